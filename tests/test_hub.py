"""Sets that the library `datasets` wrote are read as they are, by column, split and size."""

import importlib.util
import sys

import numpy as np
import pytest
from PIL import Image

from jaxgan.data import open_source
from jaxgan.errors import JaxganError

there = pytest.mark.skipif(not importlib.util.find_spec("datasets"), reason="needs pip install 'jaxgan[hf]'")
RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (12, 8, 8), np.uint8)
COLOUR = RNG.integers(0, 256, (12, 8, 8, 3), np.uint8)


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def saved(path, images, **columns):
    import datasets

    kinds = {"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])}
    data = datasets.Dataset.from_dict({"image": [Image.fromarray(x) for x in images], **columns})
    for name, kind in kinds.items():
        data = data.cast_column(name, kind) if name in data.features else data
    data.save_to_disk(str(path))
    return data


def rows(source):
    return source.rows(np.arange(source.size))


@there
def test_a_saved_set_is_read_as_it_is(home):
    labels = [0, 1] * 6
    saved(home / "colour", COLOUR, label=labels)
    source = open_source(f"hf:{home}/colour")
    np.testing.assert_array_equal(rows(source)["x"], COLOUR)
    assert rows(source)["y"].tolist() == labels and source.names == ("cat", "dog") and source.classes == 2
    again = open_source(f"hf:{home}/colour", size=4)
    assert again.shape == (4, 4, 3) and again.fingerprint != source.fingerprint
    assert open_source(f"hf:{home}/colour").fingerprint == source.fingerprint
    saved(home / "grey", GREY)
    grey = open_source(f"hf:{home}/grey")
    np.testing.assert_array_equal(rows(grey)["x"][..., 0], GREY)
    assert grey.classes == 0


@there
def test_splits_and_label_columns(home):
    import datasets

    kind = ["b", "a", "b"] * 4
    one = saved(home / "one", COLOUR, kind=kind, label=[0, 1] * 6)
    datasets.DatasetDict({"train": one.select(range(8)), "test": one.select(range(8, 12))}).save_to_disk(
        str(home / "both")
    )
    assert open_source(f"hf:{home}/both").size == 8 and open_source(f"hf:{home}/both:test").size == 4
    by_kind = open_source(f"hf:{home}/one", label="kind")
    assert by_kind.names == ("a", "b") and rows(by_kind)["y"].tolist() == [int(k == "b") for k in kind]
    for name, label, message in (
        ("both:val", "", "no split 'val'; it has train, test"),
        ("one", "sort", "no column 'sort'; it has image, kind, label"),
        ("none", "", "cannot be opened"),
    ):
        with pytest.raises(JaxganError, match=message):
            open_source(f"hf:{home}/{name}", label=label)


def test_what_is_missing_is_named(monkeypatch):
    with pytest.raises(JaxganError, match="hf: needs a data set"):
        open_source("hf:")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(JaxganError, match=r"pip install 'jaxgan\[hf\]'"):
        open_source("hf:cifar10")
