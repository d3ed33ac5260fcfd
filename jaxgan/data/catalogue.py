"""The data sets that can be prepared here, most of the TFDS catalogue, and where prepared ones live."""

import contextlib
import io
import logging
import os
from pathlib import Path
from typing import NamedTuple


class Recipe(NamedTuple):
    """How to read a data set: its version, in the TFDS catalogue if it is there, and the files of each split."""

    version: str
    read: str  # a key of READERS
    splits: dict[str, tuple[str, ...]]
    shape: tuple[int, int, int]
    labels: dict[str, int]  # label features in the order of the file, and their numbers of classes
    names: dict[str, str]  # label feature -> file with its class names
    archive: str = ""


IDX: dict[str, tuple[str, ...]] = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
CATALOGUE = {
    "mnist": Recipe("3.0.1", "idx", IDX, (28, 28, 1), {"label": 10}, {}),
    "fashion_mnist": Recipe("3.0.1", "idx", IDX, (28, 28, 1), {"label": 10}, {}),
    "cifar10": Recipe(
        "3.0.2",
        "bin",
        {"train": tuple(f"data_batch_{i}.bin" for i in range(1, 6)), "test": ("test_batch.bin",)},
        (32, 32, 3),
        {"label": 10},
        {"label": "batches.meta.txt"},
        "cifar-10-binary.tar.gz",
    ),
    "cifar100": Recipe(
        "3.0.2",
        "bin",
        {"train": ("train.bin",), "test": ("test.bin",)},
        (32, 32, 3),
        {"coarse_label": 20, "label": 100},
        {"coarse_label": "coarse_label_names.txt", "label": "fine_label_names.txt"},
        "cifar-100-binary.tar.gz",
    ),
    "emoji": Recipe(
        "1.0.0",
        "emoji",
        dict.fromkeys(("train", "test", "train_toned", "test_toned"), ("emoji.json", "img/google/64")),
        (64, 64, 3),
        {"label": 9},
        {},
    ),
}
FASHION = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
# in Unicode's order
EMOJI = ["Smileys & Emotion", "People & Body", "Animals & Nature", "Food & Drink", "Travel & Places"]
EMOJI += ["Activities", "Objects", "Symbols", "Flags"]


def data_root(data_dir: str = "") -> Path:
    """Where prepared data sets live: data_dir, else $TFDS_DATA_DIR, else ~/tensorflow_datasets."""
    return Path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()


@contextlib.contextmanager
def quiet():
    """Swallow what TFDS prints and logs: banners about TensorFlow and OpenCV. Progress and errors still show."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
