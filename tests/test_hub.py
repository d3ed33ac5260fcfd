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
    assert rows(open_source(f"hf:{home}/one"))["y"].tolist() == [0, 1] * 6, "of the same images, in one cache"
    for name, label, message in (
        ("both:val", "", "no split 'val'; it has train, test"),
        ("one", "sort", "no column 'sort'; it has image, kind, label"),
        ("none", "", "cannot be opened"),
    ):
        with pytest.raises(JaxganError, match=message):
            open_source(f"hf:{home}/{name}", label=label)


@there
def test_images_are_read_like_files(home):
    """Opacity, more than 8 bits, other shapes, and colour that comes late, as in a folder of the same images."""
    late = [Image.fromarray(GREY[i % 12]).convert("RGB") for i in range(80)] + [Image.fromarray(COLOUR[0])]
    saved(home / "late", [np.asarray(one) for one in late[:80]] + [COLOUR[0]])
    x = rows(open_source(f"hf:{home}/late"))["x"]
    np.testing.assert_array_equal(x[80], COLOUR[0])
    np.testing.assert_array_equal(x[3], np.repeat(GREY[3][..., None], 3, -1))
    deep = np.arange(64, dtype=np.uint16).reshape(8, 8) * 65
    wide = np.concatenate([COLOUR[1], COLOUR[2]], 1)
    sprite = np.concatenate([COLOUR[3], GREY[3][..., None]], -1)
    for name, images, options in (
        ("deep", [deep, deep // 2], {"levels": "floats"}),
        ("wide", [wide, COLOUR[4]], {"size": 8, "fit": "pad"}),
        ("sprite", [sprite, COLOUR[5]], {"channels": 4}),
        ("grey", [COLOUR[6]], {"channels": 1}),
        ("flat", [COLOUR[7, :6], COLOUR[8, :6]], {}),  # of its own size
    ):
        saved(home / name, images)
        for i, one in enumerate(images):
            (home / f"{name}-files").mkdir(exist_ok=True)
            Image.fromarray(one).save(home / f"{name}-files" / f"{i}.png")
        source = open_source(f"hf:{home}/{name}", **options)
        same = open_source(f"folder:{home}/{name}-files", **{"size": images[-1].shape[:2], **options})
        np.testing.assert_array_equal(rows(source)["x"], rows(same)["x"])
        assert source.fingerprint == same.fingerprint
        assert source.found == same.found
    with pytest.raises(JaxganError, match="differ in size, such as 8x8 and 16x8; give a size"):
        open_source(f"hf:{home}/wide")


@there
def test_rows_that_cannot_be_read_are_named_or_skipped(home):
    import datasets

    saved(home / "good", COLOUR[:3])
    good = datasets.load_from_disk(str(home / "good")).cast_column("image", datasets.Image(decode=False))[:]["image"]
    kind = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b"])})
    content = [{"bytes": b"no image", "path": None}, *good, None]
    broken = datasets.Dataset.from_dict({"image": content, "label": [0, 1, 0, 1, 1]}, features=kind)
    broken.save_to_disk(str(home / "broken"))
    with pytest.raises(
        JaxganError, match=r"2 of 5 files cannot be read:\n  row 0: Unid.*\n  row 4: ValueError: is empty"
    ):
        open_source(f"hf:{home}/broken")
    source = open_source(f"hf:{home}/broken", skip_corrupt=True)
    np.testing.assert_array_equal(rows(source)["x"], COLOUR[:3])
    assert rows(source)["y"].tolist() == [1, 0, 1] and source.names == ("a", "b")
    unlabelled = datasets.Dataset.from_dict({"image": good, "label": [0, -1, 1]}, features=kind)
    unlabelled.save_to_disk(str(home / "unlabelled"))
    source = open_source(f"hf:{home}/unlabelled")
    assert source.classes == 0 and "have no label (-1)" in source.why


def test_what_is_missing_is_named(monkeypatch):
    with pytest.raises(JaxganError, match="hf: needs a data set"):
        open_source("hf:")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(JaxganError, match=r"pip install 'jaxgan\[hf\]'"):
        open_source("hf:cifar10")
