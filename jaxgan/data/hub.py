"""Data sets of the Hugging Face hub, or saved by its library `datasets`, as examples: hf:NAME[:SPLIT]."""

import hashlib
from pathlib import Path

import numpy as np

from jaxgan.config import Size
from jaxgan.data import cache
from jaxgan.data.images import fit_array, on_white
from jaxgan.data.rows import table
from jaxgan.data.stream import build
from jaxgan.types import JaxganError, Source

VERSION = 1  # of the decoding below: raise it when the same data set gives other pixels


def hub(name: str, split: str = "train", *, size: Size = 0, flip: bool = False, label: str = "") -> Source:
    """The images and labels of a split as uint8 [n, h, w, c], decoded once and cached by the data's fingerprint.

    name: of the hub, such as cifar10, or a folder that `Dataset.save_to_disk` wrote. size: pixels, or height
    and width, by central crop and antialiased resize; 0 keeps the data's own, which must then be one. label: the column
    with the classes, by default the only one of type ClassLabel, or none. Grey images stay grey where all are.
    JaxganError for what the user can mend.
    """
    data = _opened(name, split)
    image, label = _columns(data, name, label)
    data = data if not label else _encoded(data, label)
    names = list(data.features[label].names) if label else []
    what = f"hf:{name}:{split}"
    grey = all(one.mode in ("1", "L") for one in data[: min(len(data), 64)][image])
    key = hashlib.sha256(f"{VERSION} {data._fingerprint} {size} {image} {label} {grey}".encode()).hexdigest()
    directory = cache.writable(cache.user_cache() / "hf")
    rows = _Rows(data, image, label, grey, size)
    images, facts = cache.cached(directory, key, lambda part: build(rows, image, label or None, size, what, part))
    return table(images, facts["labels"], what, facts["fingerprint"], len(names), flip, names)


class _Rows:
    """A split as `stream.build` reads it: images as uint8 arrays, of one number of channels."""

    def __init__(self, data, image: str, label: str, grey: bool, size: Size):
        self.data, self.image, self.label, self.grey, self.size = data, image, label, grey, size

    def __len__(self) -> int:
        return len(self.data)

    def __getitems__(self, index):
        found = self.data[list(index)]
        arrays = [self._array(one) for one in found[self.image]]
        labels = found[self.label] if self.label else [0] * len(arrays)
        return [{self.image: x, self.label: y} for x, y in zip(arrays, labels)]

    def _array(self, image) -> np.ndarray:
        x = np.asarray(image.convert("L") if self.grey else on_white(image))
        x = x[..., None] if x.ndim == 2 else x
        return fit_array(x, self.size) if self.size else x


def _opened(name: str, split: str):
    """The split as a datasets.Dataset."""
    try:
        import datasets
    except ImportError:
        raise JaxganError("hf: needs the library datasets: pip install 'jaxgan[hf]'") from None
    try:
        if not Path(name).expanduser().is_dir():
            return datasets.load_dataset(name, split=split)
        found = datasets.load_from_disk(str(Path(name).expanduser()))
    except Exception as e:  # whatever it makes of a name, a network or a damaged file
        reason = (str(e).strip() or type(e).__name__).splitlines()[0][:200]
        raise JaxganError(
            f"hf:{name}: cannot be opened ({reason}); check the name, the split and the network"
        ) from None
    if isinstance(found, datasets.Dataset):
        return found
    if split not in found:
        raise JaxganError(f"hf:{name}: there is no split {split!r}; it has {', '.join(found)}")
    return found[split]


def _columns(data, name: str, label: str) -> tuple[str, str]:
    """The columns with images and with labels, "" without the latter."""
    import datasets

    images = [column for column, kind in data.features.items() if isinstance(kind, datasets.Image)]
    if not images or not len(data):
        raise JaxganError(f"hf:{name}: no images among its {len(data)} rows of {', '.join(data.features)}")
    if label and label not in data.features:
        raise JaxganError(f"hf:{name}: there is no column {label!r}; it has {', '.join(data.features)}")
    classes = [column for column, kind in data.features.items() if isinstance(kind, datasets.ClassLabel)]
    if not label and len(classes) > 1 and "label" not in classes:
        raise JaxganError(f"hf:{name}: {', '.join(classes)} may all be labels; choose one: --label {classes[0]}")
    chosen = label or ("label" if "label" in classes else next(iter(classes), ""))
    return ("image" if "image" in images else images[0]), chosen


def _encoded(data, label: str):
    """data with the column label as numbers of classes, whose names are its values where it has none."""
    import datasets

    return data if isinstance(data.features[label], datasets.ClassLabel) else data.class_encode_column(label)
