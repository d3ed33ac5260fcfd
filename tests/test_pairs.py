"""The usual layouts of pairs of images, and what is no such layout."""

import numpy as np
import pytest
from PIL import Image

from jaxgan.data import open_source
from jaxgan.types import JaxganError


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def save(path, *levels, size=8):
    """A grey image of these levels side by side."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.repeat(np.array([levels], np.uint8), size, 0).repeat(size, 1)).save(path)


def levels(name):
    """The levels of the two images of each row."""
    source = open_source(name, size=8)
    x = source.rows(np.arange(source.size))["x"]
    assert all(np.ptp(image, axis=(0, 1)).max() == 0 for image in x)
    return x[:, 0, 0].tolist()


# layout -> (set, split, number) -> file
LAYOUTS = {
    "folders": lambda side, split, i: f"{side}/{i}.png",
    "folders of splits": lambda side, split, i: f"{side}/{split}/{i}.png",
    "splits of folders": lambda side, split, i: f"{split}/{side}/{i}.png",
    "CycleGAN's": lambda side, split, i: f"{split}{side}/{i}.png",
    "stems": lambda side, split, i: f"{split}{side}/{i}.{'bmp' if side == 'A' else 'png'}",
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_of_two_folders(tmp_path, layout):
    name, splits = LAYOUTS[layout], layout != "folders"
    for first, split in enumerate(("train", "test") if splits else ("train",)):
        for i in range(3):
            for second, side in enumerate("AB"):
                save(tmp_path / "x" / name(side, split, i), 100 * first + 10 * i + second)
    expected = [[10 * i, 10 * i + 1] for i in range(3)]
    assert levels(f"pairs:{tmp_path}/x") == expected
    assert sorted(a for a, _ in levels(f"unpaired:{tmp_path}/x")) == [0, 10, 20]
    if splits:
        assert levels(f"pairs:{tmp_path}/x:train") == expected
        assert levels(f"pairs:{tmp_path}/x:test") == [[100 + a, 100 + b] for a, b in expected]
        with pytest.raises(JaxganError, match="val"):
            levels(f"pairs:{tmp_path}/x:val")


@pytest.mark.parametrize("splits", [False, True])
def test_both_images_in_one_file(tmp_path, splits):
    """A on the left, B on the right, as pix2pix has them; with and without folders of splits."""
    for i in range(3):
        save(tmp_path / "x" / ("train" if splits else "") / f"{i}.png", 10 * i, 10 * i + 1)
    save(tmp_path / "x" / "test" / "9.png", 90, 91)
    rest = [] if splits else [[90, 91]]
    assert levels(f"pairs:{tmp_path}/x") == [[0, 1], [10, 11], [20, 21], *rest]
    if splits:
        assert levels(f"pairs:{tmp_path}/x:test") == [[90, 91]]
    found = open_source(f"pairs:{tmp_path}/x", size=4).found
    assert "A: " in found and "8x8 in their files, resized to 4" in found  # of each half
    with pytest.raises(JaxganError, match="no folder A and no folder B"):
        levels(f"unpaired:{tmp_path}/x")


def test_a_stretched_counterpart_shows_the_same_place_where_both_are_stretched(tmp_path):
    ramp = np.tile(np.arange(0, 256, 4, dtype=np.uint8), (64, 1))
    for side, shape in {"A": (64, 64), "B": (128, 64)}.items():
        (tmp_path / "x" / side).mkdir(parents=True)
        Image.fromarray(ramp).resize(shape, Image.Resampling.BILINEAR).save(tmp_path / "x" / side / "0.png")
    with pytest.raises(JaxganError, match="--fit stretch"):
        open_source(f"pairs:{tmp_path}/x", size=16)
    x = open_source(f"pairs:{tmp_path}/x", size=16, fit="stretch").rows(np.array([0]))["x"][0].astype(int)
    assert np.abs(x[..., 0] - x[..., 1]).max() <= 2 < np.ptp(x)


def test_what_is_no_layout_of_pairs(tmp_path):
    save(tmp_path / "square" / "0.png", 5)
    with pytest.raises(
        JaxganError, match=r"no folder A and no folder B.*side by side.*\n  0.png: .*is 8x8; two images"
    ):
        levels(f"pairs:{tmp_path}/square")
    save(tmp_path / "half" / "trainA" / "0.png", 5)
    with pytest.raises(JaxganError, match=r"no folder B beside the other; expected .*half/trainA and .*half/trainB"):
        levels(f"pairs:{tmp_path}/half")
    for name in ("A/0.png", "A/0.bmp", "B/0.png", "B/1.png"):
        save(tmp_path / "twice" / name, 5)
    with pytest.raises(JaxganError, match=r"0\.bmp and 0\.png of one set could both be 0; keep one"):
        levels(f"pairs:{tmp_path}/twice")
