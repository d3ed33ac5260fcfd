"""Patches of photographs: every crop is there and as likely, pixels are those of files, what does not fit is said."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxgan import rng
from jaxgan.config import from_dict
from jaxgan.data import feed, of_config, open_source
from jaxgan.data.patches import cut, starts
from jaxgan.errors import JaxganError

SIZES = {"a.png": (5, 11), "deep/b.png": (9, 4)}  # height, width


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A folder of two photographs, in whose pixels red says the row, green the column, and blue which it is."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for i, (name, (h, w)) in enumerate(SIZES.items()):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        red, green = np.indices((h, w))
        Image.fromarray(np.stack([red, green, np.full((h, w), i)], -1).astype(np.uint8)).save(path)
    return tmp_path / "photos"


def pixels(x):
    """Images in [-1, 1] as the bytes that they were."""
    return np.rint((np.asarray(x) + 1) * 127.5).astype(int)


def drawn(source, index, seed=0):
    index = np.asarray(index)
    return source.finish(source.rows(index), rng.examples(rng.root(seed), len(index)))


@pytest.mark.parametrize(("length", "patch"), [(4, 4), (5, 4), (7, 4), (8, 4), (100, 7), (13, 1)])
def test_starts_are_all_there_once_in_runs_of_nearly_one_length(length, patch):
    found = [list(range(a, a + more + 1)) for a, more in starts(length, patch)]
    assert [i for run in found for i in run] == list(range(length - patch + 1))
    assert max(map(len, found)) <= patch and max(map(len, found)) - min(map(len, found)) <= 1


def test_patches_are_those_of_the_files_and_all_places_come(photos):
    source = open_source(f"folder:{photos}", patch=4)
    assert source.shape == (4, 4, 3) and source.size == len(cut(np.array([*SIZES.values()]), 4).photo) == 4
    many = np.tile(np.arange(source.size), 500)
    x = pixels(drawn(source, many)["x"])
    top, left, which = x[:, 0, 0].T
    red, green = np.indices((4, 4))
    np.testing.assert_array_equal(x[..., 0], top[:, None, None] + red[None])
    np.testing.assert_array_equal(x[..., 1], left[:, None, None] + green[None])
    assert (x[..., 2] == which[:, None, None]).all()
    for i, (h, w) in enumerate(SIZES.values()):
        places = {(a, b) for a, b, k in zip(top, left, which) if k == i}
        assert places == {(a, b) for a in range(h - 3) for b in range(w - 3)}


def test_windows_of_an_image_begin_as_many_crops_each(photos):
    """16 places in 4 windows, rows of one chance: so all crops of an image come as often."""
    Image.fromarray(np.zeros((4, 19, 3), np.uint8)).save(photos / "a.png")
    (photos / "deep/b.png").unlink()
    source = open_source(f"folder:{photos}", patch=4)
    assert source.size == 4
    room = source.rows(np.arange(4))["room"]
    np.testing.assert_array_equal(room, [[0, 3]] * 4)


def test_a_crop_depends_on_seed_and_step_alone(photos):
    """Both feeds show the same ones; another step shows others."""
    source = open_source(f"folder:{photos}", patch=2, flip=True)
    key, batch, updates = rng.root(3), 4, 2
    index = feed.indices(source, 3, updates, batch)(5, 1)[0]
    rows = jax.tree.map(jnp.asarray, source.rows(np.arange(source.size)))
    ours = feed.from_device(source, rows, key, 5, updates, batch, batch)["x"]
    theirs = feed.from_host(source, source.rows(index), key, 5, updates, batch)["x"]
    np.testing.assert_array_equal(ours, theirs)
    assert (pixels(drawn(source, index[0], 1)["x"]) != pixels(drawn(source, index[0], 2)["x"])).any()


def test_classes_colours_and_words(photos):
    """Of folders, as without patches; grey where all are; pixels and patch make the fingerprint."""
    source = open_source(f"folder:{photos}", patch=4)
    assert source.found == ("4 windows for random patches 4x4x3, no classes; of 2 images of 4x9 to 11x5; 8 bits")
    assert source.fingerprint != open_source(f"folder:{photos}", patch=3).fingerprint
    (photos / "a.png").rename(photos / "deep2.png")
    for name, image in (("cat/1.png", 10), ("dog/1.png", 20)):
        (photos / name).parent.mkdir()
        Image.fromarray(np.full((6, 6), image, np.uint8)).save(photos / name)
    for name in ("deep2.png", "deep/b.png"):
        (photos / name).unlink()
    (photos / "deep").rmdir()
    source = open_source(f"folder:{photos}", patch=4)
    assert source.names == ("cat", "dog") and source.classes == 2 and source.shape == (4, 4, 1)
    batch = drawn(source, np.arange(source.size))
    np.testing.assert_array_equal(pixels(batch["x"])[:, 0, 0, 0], 10 + 10 * np.asarray(batch["y"]))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "folder:PHOTOS",
            {"patch": 5},
            r"patch is 5, and 1 of 2 images are smaller: deep/b\.png \(4x9\); take",
        ),
        ("folder:PHOTOS", {"patch": 4, "size": 8}, "size is 8, but patch is 4: images keep their own size"),
        ("folder:PHOTOS", {"patch": 4, "fit": "pad"}, "fit is 'pad', but patch is 4"),
        ("folder:PHOTOS", {"patch": 4, "levels": "floats"}, "levels is 'floats', but patch is 4"),
        ("mnist5k", {"patch": 4}, "only images of folder:PATH have sizes of their own"),
        ("pairs:PHOTOS", {"patch": 4}, "only images of folder:PATH"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_said(photos, name, options, message):
    with pytest.raises(JaxganError, match=message):
        open_source(name.replace("PHOTOS", str(photos)), **options)


def test_patches_of_one_image_are_not_held_out(photos):
    with pytest.raises(JaxganError, match="holdout is 1, but patches of one image overlap"):
        of_config(from_dict({"data": f"folder:{photos}", "patch": 4, "holdout": 1}))


def test_damaged_files_are_named_or_skipped(photos):
    (photos / "c.png").write_bytes(b"none")
    with pytest.raises(JaxganError, match=r"1 of 3 files cannot be read:\n  c\.png"):
        open_source(f"folder:{photos}", patch=4)
    assert open_source(f"folder:{photos}", patch=4, skip_corrupt=True).size == 4
    with pytest.raises(JaxganError, match=r"1 of 3 files cannot be read"):
        open_source(f"folder:{photos}", patch=4)
