"""Emoji of the npm package as a data set: composed on white, classes, tones on the side of their emoji."""

import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxgan.data import open_source
from jaxgan.data.catalogue import EMOJI
from jaxgan.data.prepare import prepare
from jaxgan.types import JaxganError

PACKAGE = Path(os.environ.get("EMOJI_PACKAGE", "node_modules/emoji-datasource-google"))
# code: category, tones; the crc32 of the second and the fourth code is a multiple of 10
ROWS = {
    "1F385": ("People & Body", ("1F3FB", "1F3FF")),
    "1F3C7": ("People & Body", ("1F3FC",)),
    "1F431": ("Animals & Nature", ()),
    "1F38A": ("Activities", ()),
    "1F3FB": ("Component", ()),
}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "data"))


def entry(code, **more):
    return {"unified": code, "image": f"{code.lower()}.png", "has_img_google": True, **more}


def colour(i):
    return (20 * i, 255 - 20 * i, 100, 51 * (i % 6))


def write(root, rows=ROWS):
    """A package with the pictures of rows -> {file: number}: of one colour each, of any opacity."""
    folder, entries, files = root / "img" / "google" / "64", [], []
    folder.mkdir(parents=True)
    for code, (category, tones) in rows.items():
        entries.append(entry(code, category=category))
        if tones:
            entries[-1]["skin_variations"] = {tone: entry(f"{code}-{tone}") for tone in tones}
        files += [f"{name}.png".lower() for name in (code, *(f"{code}-{tone}" for tone in tones))]
    (root / "emoji.json").write_text(json.dumps(entries))
    for i, name in enumerate(files):
        Image.new("RGBA", (64, 64), colour(i)).save(folder / name)
    return {name: i for i, name in enumerate(files)}


def seen(source):
    """{colour: label} of a source whose images are of one colour each."""
    rows = source.rows(np.arange(source.size))
    assert (rows["x"] == rows["x"][:, :1, :1]).all()
    return {tuple(x[0, 0].tolist()): int(y) for x, y in zip(rows["x"], rows["y"], strict=True)}


def test_pictures_are_composed_on_white_and_split_by_the_code_of_their_emoji(tmp_path, capsys):
    numbers = write(tmp_path / "package")
    assert prepare("emoji", tmp_path / "package").name == "1.0.0"
    assert "train 2, test 2, train_toned 2, test_toned 1" in capsys.readouterr().out
    want = {
        "train": {"1f385.png": 1, "1f431.png": 2},
        "test": {"1f3c7.png": 1, "1f38a.png": 5},
        "train_toned": {"1f385-1f3fb.png": 1, "1f385-1f3ff.png": 1},
        "test_toned": {"1f3c7-1f3fc.png": 1},
    }
    for split, labels in want.items():
        source = open_source(f"tfds:emoji:{split}")
        assert source.shape == (64, 64, 3) and source.classes == len(EMOJI) == 9
        found = seen(source)
        for name, label in labels.items():
            *rgb, alpha = colour(numbers[name])
            on_white = [255 + (c - 255) * alpha / 255 for c in rgb]
            assert any(np.abs(np.subtract(key, on_white)).max() <= 1 and y == label for key, y in found.items()), name
        assert len(found) == len(labels)
    assert open_source("tfds:emoji:train+train_toned").size == 4
    assert open_source("tfds:emoji", size=32).shape == (32, 32, 3)


@pytest.mark.parametrize("place", ["package", "emoji-datasource-google", "node_modules/emoji-datasource-google"])
def test_the_folder_above_the_package_will_do(tmp_path, place):
    write(tmp_path / "here" / place)
    prepare("emoji", tmp_path / "here")
    assert open_source("tfds:emoji").size == 2


def test_the_order_is_that_of_file_names(tmp_path):
    """Not of emoji.json, so that two packages with the same pictures make the same data set."""
    write(tmp_path / "a")
    write(tmp_path / "b")
    file = tmp_path / "b" / "emoji.json"
    file.write_text(json.dumps(json.loads(file.read_text())[::-1]))
    for name in "ab":
        prepare("emoji", tmp_path / name, tmp_path / f"data {name}")
    a, b = (open_source("tfds:emoji", data_dir=str(tmp_path / f"data {name}")) for name in "ab")
    assert a.fingerprint == b.fingerprint


def edited(change):
    def act(root):
        write(root)
        entries = json.loads((root / "emoji.json").read_text())
        (root / "emoji.json").write_text(json.dumps(change(entries)))

    return act


def picture(change):
    def act(root):
        write(root)
        change(root / "img" / "google" / "64" / "1f385-1f3ff.png")

    return act


def drawn(size):
    return picture(lambda file: Image.new("RGBA", size).save(file))


def text(content):
    return lambda root: (write(root), (root / "emoji.json").write_text(content))


BAD = {
    "no folder": (lambda root: None, r"not a folder; pass the folder that holds emoji.json, img/google/64$"),
    "no emoji.json": (lambda root: root.mkdir(), "lacks emoji.json.*emoji-datasource-google"),
    "json": (text("[{"), "emoji.json is damaged .*npm pack"),
    "another json": (text('{"a": 1}'), "emoji.json is damaged .*npm pack"),
    "no code": (edited(lambda rows: [{**rows[0], "unified": None}, *rows[1:]]), "emoji.json is damaged"),
    "category": (edited(lambda rows: [{**rows[0], "category": "Aliens"}]), "1f385.png has the category 'Aliens'"),
    "few": (edited(lambda rows: rows[2:]), "no emoji for train_toned and test_toned"),
    "missing": (picture(Path.unlink), r"64: 1 of 7 pictures.*1f385-1f3ff.png \(FileNotFoundError"),
    "cut": (picture(lambda file: file.write_bytes(file.read_bytes()[:80])), r"1f385-1f3ff.png \(\w*Error"),
    "bits": (picture(lambda file: file.write_bytes(b"GIF" + file.read_bytes())), r"1f385-1f3ff.png \(Unidentified"),
    "size": (drawn((32, 64)), r"1f385-1f3ff.png \(is \(64, 32, 3\), expected \(64, 64, 3\)\).*npm pack"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_package_is_refused_by_name(tmp_path, case):
    make, message = BAD[case]
    make(tmp_path / "package")
    with pytest.raises(JaxganError, match=message):
        prepare("emoji", tmp_path / "package")
    assert not (tmp_path / "data" / "emoji" / "1.0.0").exists()


@pytest.mark.slow
@pytest.mark.skipif(not PACKAGE.is_dir(), reason="needs the npm package emoji-datasource-google, or its $EMOJI_PACKAGE")
def test_the_real_package():
    """16.0.0 has 3,786 pictures: five swatches, and 1,906 emoji with 1,875 variants."""
    prepare("emoji", PACKAGE)
    sizes = {split: open_source(f"tfds:emoji:{split}").size for split in ("train", "test", "train_toned", "test_toned")}
    assert sizes == {"train": 1716, "test": 190, "train_toned": 1625, "test_toned": 250}
    source = open_source("tfds:emoji:train+test")
    rows = source.rows(np.arange(source.size))
    counts = {"Smileys & Emotion": 169, "People & Body": 386, "Animals & Nature": 159, "Food & Drink": 131}
    counts |= {"Travel & Places": 218, "Activities": 85, "Objects": 264, "Symbols": 224, "Flags": 270}
    assert Counter(EMOJI[y] for y in rows["y"]) == counts
    assert (rows["x"] == 255).all(-1).mean() > 0.25, "much of them is transparent"
