"""A folder of images: what is found in it, classes, damage, and the cache."""

import json

import numpy as np
import pytest
from PIL import Image

from jaxgan.data import folder as module
from jaxgan.data import open_source
from jaxgan.data.folder import folder
from jaxgan.data.rows import fingerprint
from jaxgan.types import JaxganError
from photos import noise, rows, save


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "jaxgan" / "folder"


@pytest.fixture
def root(tmp_path):
    (tmp_path / "images").mkdir()
    return tmp_path / "images"


def test_what_is_left_out_is_counted_by_kind(root):
    for name in ("a/1.png", "b/2.tif"):
        save(root, name, Image.fromarray(noise()))
    for name in ("a/list.txt", "b/LIST.TXT", "a/film.mp4", "b/README"):
        (root / name).write_text("x")
    source = folder(root, 8)
    assert source.classes == 2 and "left out: 2 .txt, 1 .mp4, 1 without a suffix" in source.found


def test_only_class_folders_give_labels(root):
    for name in ("dog/1.png", "cat/2.png", "cat/deep/3.png", "emu/4.png"):
        save(root, name, Image.fromarray(noise(ord(name[0]))))
    source = folder(root, 8)
    assert source.classes == 3
    assert rows(source)["y"].tolist() == [0, 0, 1, 2]  # cat/2, cat/deep/3, dog/1, emu/4
    np.testing.assert_array_equal(rows(source)["x"][2], noise(ord("d")))
    save(root, "loose.png", Image.fromarray(noise()))
    assert folder(root, 8).classes == 0
    (root / "loose.png").unlink()
    (root / "empty").mkdir()
    assert folder(root, 8).classes == 3
    assert folder(root / "cat", 8).classes == 0  # one subfolder and loose files
    for name in ("dog/1.png", "emu/4.png"):
        (root / name).unlink()
    assert folder(root, 8).classes == 0  # one class is none


def test_a_fingerprint_is_of_pixels_and_labels_alone(root):
    """By which runs of earlier versions know their data again."""
    for name in ("a/1.png", "b/2.png"):
        save(root, name, Image.fromarray(noise(ord(name[0]))))
    images = np.stack([noise(ord("a")), noise(ord("b"))])
    assert folder(root, 8).fingerprint == fingerprint(images, np.array([0, 1], np.int32))


def test_hidden_files_are_left_out_and_links_are_followed_without_a_loop(root):
    save(root, "a/1.png", Image.fromarray(noise(1)))
    save(root, ".trash/2.png", Image.fromarray(noise(2)))
    (root / "a" / "._1.png").write_bytes(b"resource fork")
    (root / "a" / "again").symlink_to(root)
    (root / "b").mkdir()
    (root / "b" / "2.png").symlink_to(root / "a" / "1.png")
    source = folder(root, 8)
    assert source.size == 2 and source.classes == 2


def damage(root):
    for i in range(3):
        save(root, f"good{i}.png", Image.fromarray(noise(i)))
    whole = (root / "good0.png").read_bytes()
    (root / "cut.png").write_bytes(whole[: len(whole) // 2])
    (root / "text.jpg").write_text("not an image")
    (root / "zero.webp").write_bytes(b"")


def test_all_corrupt_files_are_named(root):
    damage(root)
    with pytest.raises(JaxganError, match="3 of 6 files") as caught:
        open_source(f"folder:{root}", size=8)
    for name in ("cut.png", "text.jpg", "zero.webp", "skip_corrupt"):
        assert name in str(caught.value)
    assert "good" not in str(caught.value)


def test_corrupt_files_are_skipped_and_counted_when_asked(root):
    damage(root)
    for _ in range(2):  # decoded, then from the cache
        source = open_source(f"folder:{root}", size=8, skip_corrupt=True)
        assert "skipped 3 of 6" in source.found
        np.testing.assert_array_equal(rows(source)["x"], np.stack([noise(i) for i in range(3)]))
    with pytest.raises(
        JaxganError, match="3 of 6 files"
    ):  # the cache of one that skipped does not excuse one that does not
        folder(root, 8)


def test_large_images_are_allowed_by_a_number(root, monkeypatch):
    """Above Pillow's bound, which is put back, and which the number may be below too."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # above it Pillow warns, above twice that it refuses
    save(root, "large.png", Image.fromarray(noise(1, (20, 20, 3))))
    save(root, "small.png", Image.fromarray(noise()))
    assert folder(root, 8).size == 2 and Image.MAX_IMAGE_PIXELS == 100
    with pytest.raises(JaxganError, match=r"1 of 2 files .*\n  large.png: .*has 400 pixels; --max-pixels 400 reads it"):
        open_source(f"folder:{root}", size=8, max_pixels=399)
    assert open_source(f"folder:{root}", size=8, max_pixels=399, skip_corrupt=True).size == 1
    assert open_source(f"folder:{root}", size=8, max_pixels=400, skip_corrupt=True).size == 2


def test_many_corrupt_files_are_cut_at_twenty(root):
    for i in range(25):
        (root / f"{i:02}.png").write_bytes(b"x")
    with pytest.raises(JaxganError, match="and 5 more") as caught:
        folder(root, 8, skip_corrupt=True)
    assert "19.png" in str(caught.value) and "20.png" not in str(caught.value)


BAD = {
    "missing": (lambda root: root / "nowhere", {}, "nowhere: does not exist"),
    "file": (lambda root: root / "note.txt", {}, "is not a folder"),
    "empty": (lambda root: root, {}, r"no images, 1 \.txt there; .* \.png"),
    "size": (lambda root: root.parent, {"size": 0}, "at least 1 pixel"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_folders_are_refused_by_name(root, case):
    path, options, message = BAD[case]
    (root / "note.txt").write_text("hello")
    save(root.parent, "other.png", Image.fromarray(noise()))
    with pytest.raises(JaxganError, match=message):
        folder(path(root), **options)


def test_the_second_time_comes_from_the_cache(root, home, monkeypatch):
    for i in range(4):
        save(root, f"{'ab'[i % 2]}/{i}.png", Image.fromarray(noise(i, (20, 30, 3))))
    first = folder(root, 8)
    monkeypatch.setattr(module, "row", None)
    second = folder(root, 8)
    assert first.fingerprint == second.fingerprint
    for k, v in rows(first).items():
        np.testing.assert_array_equal(v, rows(second)[k])
    assert sorted(p.suffix for p in home.iterdir()) == [".json", ".lock", ".npy"]  # and no left-overs
    with pytest.raises(JaxganError, match="4 of 4"):
        folder(root, 9)  # another size is not in the cache, and decoding is out of order


def test_a_changed_file_changes_the_fingerprint(root):
    save(root, "a.png", Image.fromarray(noise(0)))
    before = folder(root, 8)
    save(root, "a.png", Image.fromarray(noise(1)))
    after = folder(root, 8)
    assert before.fingerprint != after.fingerprint
    np.testing.assert_array_equal(rows(after)["x"][0], noise(1))


@pytest.mark.parametrize("how", ["cut", "flip", "junk", "facts", "no facts"])
def test_a_damaged_cache_is_built_again(root, home, how, capsys):
    save(root, "a.png", Image.fromarray(noise(0)))
    good = folder(root, 8)
    array, facts = next(home.glob("*.npy")), next(home.glob("*.json"))
    data = array.read_bytes()
    if how == "no facts":
        facts.unlink()
    elif how == "facts":
        facts.write_text(json.dumps({"labels": None}))
    else:
        array.write_bytes({"cut": data[:-7], "flip": data[:-1] + bytes([data[-1] ^ 1]), "junk": b"\x80\x04junk"}[how])
    again = folder(root, 8)
    assert again.fingerprint == good.fingerprint
    np.testing.assert_array_equal(rows(again)["x"][0], noise(0))
    assert ("damaged" in capsys.readouterr().out) == (how != "no facts")


def test_a_cache_that_cannot_be_written_is_an_error_with_a_way_out(root, tmp_path, monkeypatch):
    save(root, "a.png", Image.fromarray(noise(0)))
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(JaxganError, match="XDG_CACHE_HOME"):
        folder(root, 8)
