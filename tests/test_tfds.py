"""Prepared TFDS data sets: written from original files and read again without TensorFlow, pixel for pixel."""

import gzip
import io
import json
import socket
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest

from jaxgan.data import open_source
from jaxgan.data import stream as module
from jaxgan.data.catalogue import CATALOGUE, FASHION
from jaxgan.data.prepare import idx_array, prepare
from jaxgan.types import JaxganError

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
COUNTS = {"train": 23, "test": 11}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "data"))


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def write_idx(folder, packed=True, seed=0):
    """IDX files as MNIST's -> {split: (images, labels)}."""
    folder.mkdir(parents=True, exist_ok=True)
    rng, data = np.random.default_rng(seed), {}
    for split, (image_file, label_file) in CATALOGUE["mnist"].splits.items():
        n = COUNTS[split]
        data[split] = rng.integers(0, 256, (n, 28, 28), np.uint8), rng.integers(0, 10, n).astype(np.uint8)
        for file, array in zip((image_file, label_file), data[split]):
            if packed:
                (folder / f"{file}.gz").write_bytes(gzip.compress(idx(array)))
            else:
                (folder / file).write_bytes(idx(array))
    return {split: (x[..., None], y) for split, (x, y) in data.items()}


def write_cifar(folder, name, archive):
    """CIFAR's binary version -> {split: (images, labels)}, the fine labels for cifar100."""
    recipe, rng, data, files = CATALOGUE[name], np.random.default_rng(1), {}, {}
    for split, names in recipe.splits.items():
        parts = []
        for file in names:
            x = rng.integers(0, 256, (7, 32, 32, 3), np.uint8)
            y = [rng.integers(0, count, 7).astype(np.uint8) for count in recipe.labels.values()]
            files[file] = np.concatenate(
                [*(v[:, None] for v in y), x.transpose(0, 3, 1, 2).reshape(7, -1)], 1
            ).tobytes()
            parts.append((x, y[-1]))
        data[split] = tuple(np.concatenate(arrays) for arrays in zip(*parts))
    for feature, file in recipe.names.items():
        files[file] = "\n".join(f"class_{i}" for i in range(recipe.labels[feature])).encode() + b"\n\n"
    folder.mkdir(parents=True, exist_ok=True)
    if archive:
        with tarfile.open(folder / recipe.archive, "w:gz") as tar:
            for file, content in files.items():
                info = tarfile.TarInfo(f"cifar-binary/{file}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    else:
        for file, content in files.items():
            (folder / "cifar-binary").mkdir(exist_ok=True)
            (folder / "cifar-binary" / file).write_bytes(content)
    return data


def same_rows(source, images, labels):
    """Whether the source holds these examples in any order, as TFDS shuffles them by key."""
    rows = source.rows(np.arange(source.size))
    ours = sorted((x.tobytes(), int(y)) for x, y in zip(rows["x"], rows["y"]))
    return ours == sorted((x.tobytes(), int(y)) for x, y in zip(images, labels))


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
@pytest.mark.parametrize("packed", [True, False])
def test_idx_files_round_trip(tmp_path, name, packed):
    data = write_idx(tmp_path / "idx", packed)
    final = prepare(name, tmp_path / "idx")
    assert final == tmp_path / "data" / name / "3.0.1"
    for split, (x, y) in data.items():
        source = open_source(f"tfds:{name}:{split}")
        assert source.shape == (28, 28, 1) and source.classes == 10 and source.size == COUNTS[split]
        assert same_rows(source, x, y)
    assert open_source(f"tfds:{name}").size == COUNTS["train"]
    assert json.loads((final / "dataset_info.json").read_text())["fileFormat"] == "array_record"
    if name == "fashion_mnist":
        assert (final / "label.labels.txt").read_text().split("\n")[: len(FASHION)] == FASHION


@pytest.mark.parametrize("archive", [True, False])
@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar_binaries_round_trip(tmp_path, name, archive):
    data = write_cifar(tmp_path / "bin", name, archive)
    final = prepare(name, tmp_path / "bin")
    assert final.name == "3.0.2"
    for split, (x, y) in data.items():
        source = open_source(f"tfds:{name}:{split}")
        assert source.shape == (32, 32, 3) and source.classes == int(name[5:])
        assert same_rows(source, x, y)
    assert (final / "label.labels.txt").read_text().startswith("class_0\nclass_1\n")


def test_tfds_itself_reads_what_was_prepared_and_no_tensorflow_is_loaded(tmp_path):
    data = write_idx(tmp_path / "idx")
    prepare("mnist", tmp_path / "idx")
    code = (
        "import sys, tensorflow_datasets as tfds; from jaxgan.data import open_source; "
        f"d = tfds.data_source('mnist', split='test', data_dir={str(tmp_path / 'data')!r}, download=False, "
        "builder_kwargs={'file_format': 'array_record'}); print(len(d), d[0]['image'].shape, int(d[3]['label']));"
        "s = open_source('tfds:mnist:test'); print(s.rows([3])['y'][0], 'tensorflow' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split("\n")
    assert said[-3].startswith("11 (28, 28, 1)")
    assert said[-2] == f"{said[-3].split()[-1]} False"
    assert "tensorflow" not in sys.modules
    assert len(data["test"][1]) == 11


def test_splits_slice_and_add_up(tmp_path):
    write_idx(tmp_path / "idx")
    prepare("mnist", tmp_path / "idx")
    whole = open_source("tfds:mnist").rows(np.arange(23))
    part = open_source("tfds:mnist:train[:10]")
    assert part.size == 10 and open_source("tfds:mnist:train[50%:]").size in (11, 12)
    np.testing.assert_array_equal(part.rows(np.arange(10))["x"], whole["x"][:10])
    assert open_source("tfds:mnist:train+test").size == 34


def test_sizes_other_than_the_data_s_own_are_resized(tmp_path):
    write_idx(tmp_path / "idx")
    prepare("mnist", tmp_path / "idx")
    small = open_source("tfds:mnist", size=7)
    assert small.shape == (7, 7, 1)
    own = open_source("tfds:mnist")
    assert small.fingerprint != own.fingerprint == open_source("tfds:mnist", size=28).fingerprint
    assert small.rows(np.arange(23))["x"].mean() == pytest.approx(own.rows(np.arange(23))["x"].mean(), rel=0.02)


def test_the_second_time_decodes_nothing_and_other_data_are_noticed(tmp_path, monkeypatch):
    write_idx(tmp_path / "idx")
    final = prepare("mnist", tmp_path / "idx")
    first = open_source("tfds:mnist")
    with monkeypatch.context() as patch:
        patch.setattr(module, "build", None)
        assert open_source("tfds:mnist").fingerprint == first.fingerprint
    next((final / "jaxgan").glob("*.npy")).write_bytes(b"damaged")
    assert open_source("tfds:mnist").fingerprint == first.fingerprint
    write_idx(tmp_path / "other", seed=7)
    prepare("mnist", tmp_path / "other", tmp_path / "data2")
    for file in (tmp_path / "data2" / "mnist" / "3.0.1").glob("*array_record*"):
        (final / file.name).write_bytes(file.read_bytes())
    assert open_source("tfds:mnist").fingerprint != first.fingerprint


def test_images_of_different_sizes_need_a_size(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds
    from PIL import Image

    images = [Image.fromarray(np.full((8 + i, 12, 3), 40 * i, np.uint8)) for i in range(4)]
    with tfds.core.registered.skip_registration():

        class Photos(tfds.core.GeneratorBasedBuilder):
            VERSION = tfds.core.Version("1.0.0")
            name = "photos"

            def _info(self):
                features = tfds.features.FeaturesDict({"photo": tfds.features.Image(shape=(None, None, 3))})
                return tfds.core.DatasetInfo(builder=self, features=features)

            def _split_generators(self, dl_manager):
                return {"train": ((i, {"photo": image}) for i, image in enumerate(images))}

            def _generate_examples(self):
                pass

    Photos(data_dir=tmp_path / "data", file_format="array_record").download_and_prepare()
    with pytest.raises(JaxganError, match=r"photos.*differ in size.*give a size"):
        open_source("tfds:photos")
    source = open_source("tfds:photos", size=6)
    assert source.shape == (6, 6, 3) and source.classes == 0
    assert sorted(source.rows(np.arange(4))["x"][:, 0, 0, 0].tolist()) == [0, 40, 80, 120]


def test_preparing_twice_says_so(tmp_path, capsys):
    write_idx(tmp_path / "idx")
    final = prepare("mnist", tmp_path / "idx")
    before = {file: file.stat().st_mtime_ns for file in final.iterdir()}
    capsys.readouterr()
    assert prepare("mnist", tmp_path / "idx") == final
    assert "already prepared" in capsys.readouterr().out
    assert before == {file: file.stat().st_mtime_ns for file in final.iterdir()}


def test_two_processes_may_prepare_at_once(tmp_path):
    data = write_idx(tmp_path / "idx")
    code = f"from jaxgan.data import prepare; prepare('mnist', {str(tmp_path / 'idx')!r})"
    both = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [p.communicate()[0] for p in both]
    assert [p.returncode for p in both] == [0, 0]
    assert sum("already prepared" in text for text in said) == 1
    assert same_rows(open_source("tfds:mnist"), *data["train"])


def test_what_a_killed_preparation_left_is_removed(tmp_path):
    write_idx(tmp_path / "idx")
    left = tmp_path / "data" / "mnist" / "incomplete.ABC123_3.0.1"
    left.mkdir(parents=True)
    (left / "x.array_record").write_bytes(b"half")
    (tmp_path / "data" / "mnist" / "3.0.1").mkdir()
    with pytest.raises(JaxganError, match=r"interrupted.*jaxgan data prepare mnist --from"):
        open_source("tfds:mnist")
    prepare("mnist", tmp_path / "idx")
    assert not left.exists() and open_source("tfds:mnist").size == 23


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cifar10", r"not prepared in .*data.*jaxgan data prepare cifar10 --from"),
        ("cifar1", r"Did you mean tfds:cifar10"),
        ("celeb_a", r"tfds build celeb_a --file_format=array_record"),
    ],
)
def test_an_unprepared_data_set_fails_at_once_with_the_command(name, message, monkeypatch):
    """TFDS, whose import takes seconds, is not asked, nor is the network, and nothing is tried again."""
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    for owner, call in ((socket, "socket"), (socket, "getaddrinfo"), (time, "sleep")):
        monkeypatch.setattr(owner, call, lambda *args, **more: pytest.fail("there is nothing to wait for"))
    with pytest.raises(JaxganError, match=message):
        open_source(f"tfds:{name}")


def edit(file, change):
    """A case that changes the bytes of one unpacked file of a good folder."""

    def act(folder):
        write_idx(folder, packed=False)
        (folder / file).write_bytes(change((folder / file).read_bytes()))

    return act


def gz(change):
    def act(folder):
        write_idx(folder)
        file = folder / "train-images-idx3-ubyte.gz"
        file.write_bytes(change(file.read_bytes()))

    return act


def cifar(change, name="cifar10"):
    def act(folder):
        write_cifar(folder, name, archive=True)
        change(folder)

    return act


def pickled(folder):
    (folder / "cifar-10-python.tar.gz").write_bytes(b"")
    (folder / "cifar-10-binary.tar.gz").unlink()


def cut(folder):
    file = folder / "cifar-10-binary.tar.gz"
    file.write_bytes(file.read_bytes()[:20_000])


def short_record(folder):
    write_cifar(folder, "cifar10", archive=False)
    file = folder / "cifar-binary" / "data_batch_2.bin"
    file.write_bytes(file.read_bytes()[:-5])


IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
BAD = {
    "unknown": ("mnits", write_idx, r"'mnits'.*did you mean mnist"),
    "missing": ("mnist", lambda d: (write_idx(d), (d / f"{LABELS}.gz").unlink()), rf"lacks {LABELS}\[.gz\];.*t10k"),
    "no folder": ("mnist", lambda d: None, r"not a folder.*train-images"),
    "magic": ("mnist", edit(IMAGES, lambda b: b"\x89PNG" + b[4:]), rf"{IMAGES}: starts with 89504e47"),
    "swapped": (
        "mnist",
        edit(LABELS, lambda b: idx(np.zeros((2, 28, 28), np.uint8))),
        rf"{LABELS}: starts with 00000803",
    ),
    "short": ("mnist", edit(IMAGES, lambda b: b[:-1]), rf"{IMAGES}: damaged IDX"),
    "header": ("mnist", edit(IMAGES, lambda b: b[:9]), rf"{IMAGES}: damaged IDX"),
    "count": ("mnist", edit(LABELS, lambda b: idx(np.zeros(9, np.uint8))), "23 images.* 9 labels"),
    "label": ("mnist", edit(LABELS, lambda b: b[:-1] + b"\x0a"), rf"{LABELS}: label of row 22 is 10"),
    "28": ("mnist", edit(IMAGES, lambda b: idx(np.zeros((23, 32, 32), np.uint8))), r"\(32, 32\); expected \(28, 28\)"),
    "gzip cut": ("mnist", gz(lambda b: b[: len(b) // 2]), rf"{IMAGES}.gz: damaged gzip"),
    "gzip bits": ("mnist", gz(lambda b: b[:5000] + b"!!!!" + b[5004:]), rf"{IMAGES}.gz: damaged gzip"),
    "not gzip": ("mnist", gz(lambda b: b"<html>"), rf"{IMAGES}.gz: damaged gzip"),
    "pickle": ("cifar10", cifar(pickled), "Python version.*cifar-10-binary.tar.gz"),
    "tar cut": ("cifar10", cifar(cut), "cifar-10-binary.tar.gz.*damaged"),
    "no tar": ("cifar10", write_idx, "lacks data_batch_1.bin.*cifar-10-binary.tar.gz"),
    "wrong tar": (
        "cifar100",
        cifar(lambda d: (d / "cifar-10-binary.tar.gz").rename(d / "cifar-100-binary.tar.gz")),
        "lacks train.bin",
    ),
    "record": ("cifar10", short_record, "data_batch_2.bin: 21506 bytes"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_originals_are_refused_by_name(tmp_path, case):
    name, make, message = BAD[case]
    make(tmp_path / "originals")
    with pytest.raises(JaxganError, match=message):
        prepare(name, tmp_path / "originals")
    assert not (tmp_path / "data" / name / "3.0.1").exists()


def test_a_data_dir_that_cannot_be_written_is_named(tmp_path):
    write_idx(tmp_path / "idx")
    (tmp_path / "file").write_text("")
    with pytest.raises(JaxganError, match=r"file.*choose a writable data_dir"):
        prepare("mnist", tmp_path / "idx", tmp_path / "file")


def test_other_states_of_the_data_dir_are_explained(tmp_path):
    write_idx(tmp_path / "idx")
    final = prepare("mnist", tmp_path / "idx")
    with pytest.raises(JaxganError, match=r"no split 'valid'.*train \(23\), test \(11\)"):
        open_source("tfds:mnist:valid")
    info = final / "dataset_info.json"
    good = info.read_text()
    info.write_text(good.replace("array_record", "tfrecord"))
    for act in (lambda: open_source("tfds:mnist"), lambda: prepare("mnist", tmp_path / "idx")):
        with pytest.raises(JaxganError, match="tfrecord"):
            act()
    info.write_text("{")
    with pytest.raises(JaxganError, match=r"dataset_info.json is damaged"):
        open_source("tfds:mnist")
    info.unlink()
    with pytest.raises(JaxganError, match="remove it and try again"):
        prepare("mnist", tmp_path / "idx")
    info.write_text(good)
    for file in final.glob("*.array_record*"):
        file.unlink()
    with pytest.raises(JaxganError, match="prepare"):
        open_source("tfds:mnist")


@pytest.mark.slow
@pytest.mark.skipif(not DEBIAN.is_dir(), reason=f"needs the Debian package dataset-fashion-mnist, in {DEBIAN}")
def test_the_real_fashion_mnist(tmp_path):
    prepare("fashion_mnist", DEBIAN)
    for split, stem, n in (("train", "train", 60_000), ("test", "t10k", 10_000)):
        source = open_source(f"tfds:fashion_mnist:{split}")
        images = idx_array(DEBIAN / f"{stem}-images-idx3-ubyte.gz", 3)
        labels = idx_array(DEBIAN / f"{stem}-labels-idx1-ubyte.gz", 1)
        assert source.size == n
        assert same_rows(source, images[..., None], labels)
