"""Pairs of images: outlines of digits, folders in the usual layouts, and what is no such layout."""

import shutil

import jax
import numpy as np
import pytest
from PIL import Image

from jaxgan.data import open_source
from jaxgan.data.pairs import outlines
from jaxgan.types import JaxganError, halves


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


@pytest.mark.parametrize("packed", ["", ".zip", ".tar.gz"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_of_two_folders(tmp_path, layout, packed):
    name, splits = LAYOUTS[layout], layout != "folders"
    for first, split in enumerate(("train", "test") if splits else ("train",)):
        for i in range(3):
            for second, side in enumerate("AB"):
                save(tmp_path / "x" / name(side, split, i), 100 * first + 10 * i + second)
    path, digest = tmp_path / "x", open_source(f"pairs:{tmp_path}/x", size=8).fingerprint
    if packed:
        shutil.make_archive(str(path), {".zip": "zip", ".tar.gz": "gztar"}[packed], tmp_path, "x")
        shutil.rmtree(path)
        path = tmp_path / f"x{packed}"
    assert open_source(f"pairs:{path}", size=8).fingerprint == digest
    expected = [[10 * i, 10 * i + 1] for i in range(3)]
    assert levels(f"pairs:{path}") == expected
    assert sorted(a for a, _ in levels(f"unpaired:{path}")) == [0, 10, 20]
    if splits:
        assert levels(f"pairs:{path}:train") == expected
        assert levels(f"pairs:{path}:test") == [[100 + a, 100 + b] for a, b in expected]
        with pytest.raises(JaxganError, match="val"):
            levels(f"pairs:{path}:val")


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


def test_outlines_by_hand():
    """A 4x4 square in 8x8 pixels: its dilation is 6x6 and its erosion 2x2."""
    square = np.zeros((1, 8, 8, 1), np.uint8)
    square[:, 2:6, 2:6] = 200
    expected = np.zeros((8, 8), np.uint8)
    expected[1:7, 1:7] = 255
    expected[3:5, 3:5] = 0
    np.testing.assert_array_equal(outlines(square)[0, :, :, 0], expected)
    assert not outlines(np.full((1, 4, 4, 1), 127, np.uint8)).any()


def test_digits_and_their_outlines():
    """B is the digit and A its outline; unpaired, no digit is in both sets, and classes do not meet."""
    digits, source = open_source("mnist5k"), open_source("mnist5k_outlines")
    index = np.arange(0, 5000, 7)
    rows = source.rows(index)
    a, b = halves(rows["x"])
    np.testing.assert_array_equal(b, digits.rows(index)["x"])
    np.testing.assert_array_equal(a, outlines(b))
    np.testing.assert_array_equal(rows["y"], digits.rows(index)["y"])
    apart = open_source("mnist5k_outlines:unpaired")
    assert apart.size == 2500 and apart.fingerprint != source.fingerprint
    rows = apart.rows(np.arange(2500))
    a, b = halves(rows["x"])
    assert not {x.tobytes() for x in a} & {x.tobytes() for x in outlines(b)}
    assert {x.tobytes() for x in b} <= {x.tobytes() for x in digits.rows(np.arange(5000))["x"]}
    odd = digits.rows(np.arange(1, 5000, 2))
    classes = {x.tobytes(): y for x, y in zip(odd["x"], odd["y"], strict=True)}
    same = np.mean([classes[x.tobytes()] == y for x, y in zip(b, rows["y"], strict=True)])
    np.testing.assert_allclose(same, 0.1, atol=5 * np.sqrt(0.09 / 2500))
    with pytest.raises(JaxganError, match="mnist5k_outlines:unpaired"):
        open_source("mnist5k_outlines:unpared")


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """A, red images, and B, their brightness: image i has the level 10 i."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for side, color in (("A", (1, 0, 0)), ("B", (1, 1, 1))):
        (tmp_path / "both" / side).mkdir(parents=True)
        for i in range(6):
            pixels = np.broadcast_to(np.array(color, np.uint8) * 10 * i, (8, 8, 3))
            Image.fromarray(pixels).save(tmp_path / "both" / side / f"{i}.png")
    return tmp_path / "both"


def test_pairs_are_images_of_the_same_name(folders):
    source = open_source(f"pairs:{folders}", size=8)
    assert source.shape == (8, 8, 6) and source.size == 6 and source.classes == 0
    index = np.array([4, 0, 5])
    x = source.rows(index)["x"]
    np.testing.assert_array_equal(x[:, 3, 3], [[10 * i, 0, 0, 10 * i, 10 * i, 10 * i] for i in index])
    keys = jax.random.split(jax.random.key(0), 3)
    batch = source.finish(source.rows(index), keys)
    np.testing.assert_allclose(batch["x"][:, 0, 0, 0], np.array([40, 0, 50]) / 127.5 - 1, atol=1e-6)
    other = open_source(f"unpaired:{folders}", size=8)
    assert other.fingerprint != source.fingerprint


@pytest.mark.parametrize(
    ("shape", "right"),
    [((16, 16), True), ((4, 4), True), ((9, 8), True), ((16, 8), False), ((10, 8), False), ((8, 16), False)],
)
def test_the_images_of_a_pair_show_one_place(folders, shape, right):
    """One of another size is its counterpart scaled; one of another shape would be cropped somewhere else."""
    for i in (1, 2):
        Image.fromarray(np.full((8, 8), 200, np.uint8)).resize(shape).save(folders / "B" / f"{i}.png")
    if right:
        assert open_source(f"pairs:{folders}", size=8).rows(np.array([1]))["x"][0, 0, 0, 3] == 200
        return
    with pytest.raises(JaxganError, match=rf"1\.png \(8x8 in A, {shape[0]}x{shape[1]} in B\), 2\.png .* one shape"):
        open_source(f"pairs:{folders}", size=8)
    assert open_source(f"unpaired:{folders}", size=8).size == 6


def test_flip_mirrors_both_images_of_a_pair(folders):
    for side in "AB":
        Image.fromarray(np.tile(np.arange(8, dtype=np.uint8), (8, 1))).save(folders / side / "0.png")
    source = open_source(f"pairs:{folders}", size=8, flip=True)
    x = source.finish(source.rows(np.zeros(32, int)), jax.random.split(jax.random.key(0), 32))["x"]
    np.testing.assert_array_equal(x[..., 0], x[..., 3])
    assert 0 < (x[:, 0, 0, 0] == x.max()).mean() < 1


def test_unpaired_sets_of_any_size(folders):
    """As many rows as the larger set, every image of both, in an order that does not change."""
    for i in (1, 2, 4, 5):
        (folders / "B" / f"{i}.png").rename(folders / "B" / f"other{i}.png")
    (folders / "B" / "3.png").unlink()
    source = open_source(f"unpaired:{folders}", size=8)
    x = source.rows(np.arange(6))["x"][:, 0, 0]
    assert source.size == 6
    assert sorted(x[:, 0]) == [0, 10, 20, 30, 40, 50] and set(x[:, 3]) == {0, 10, 20, 40, 50}
    np.testing.assert_array_equal(x, open_source(f"unpaired:{folders}", size=8).rows(np.arange(6))["x"][:, 0, 0])
    with pytest.raises(JaxganError, match=r"1\.png, 2\.png, 3\.png and 2 more of A .* unpaired:"):
        open_source(f"pairs:{folders}", size=8)


def test_folders_that_are_not_there_or_damaged(folders):
    with pytest.raises(JaxganError, match="no folder A and no folder B"):
        open_source(f"pairs:{folders}/A", size=8)
    with pytest.raises(JaxganError, match="pairs:PATH"):
        open_source("pairs:", size=8)
    (folders / "A" / "2.png").write_bytes(b"no image")
    with pytest.raises(JaxganError, match=r"2\.png"):
        open_source(f"pairs:{folders}", size=8)
    with pytest.raises(JaxganError, match=r"1 files cannot be read.*remove both"):
        open_source(f"pairs:{folders}", size=8, skip_corrupt=True)
    assert open_source(f"unpaired:{folders}", size=8, skip_corrupt=True).size == 6
