"""What a run says at its start of the data that were found."""

import numpy as np
import pytest
from PIL import Image

from jaxgan import Config, train
from jaxgan.data import from_arrays, of_config, open_source
from jaxgan.data.rows import class_counts
from jaxgan.sweep import group, store


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Two cats of 8x8, of which one cannot be read, and a dog of 20x10; a note and a film."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name, shape in {"cat/1.png": (8, 8), "cat/2.png": (8, 8), "dog/3.gif": (20, 10)}.items():
        (tmp_path / "pets" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", shape, (9, 0, 0)).save(tmp_path / "pets" / name)
    (tmp_path / "pets" / "cat" / "bad.png").write_bytes(b"x")
    (tmp_path / "pets" / "note.txt").write_text("x")
    (tmp_path / "pets" / "film.mp4").write_text("x")
    return tmp_path / "pets"


def test_a_run_says_what_it_found(root, tmp_path, capsys):
    c = Config(data=f"folder:{root}", size=4, skip_corrupt=True, net="mlp", width=2, batch=2, steps=1, kind="auto")
    train.run(c, tmp_path / "run")
    assert (
        "found: 3 images 4x4x3, 2 classes: cat 2, dog 1; 8x8 to 20x10 in their files, cropped to the central square, "
        "resized to 4; 8 bits; left out: 1 .mp4, 1 .txt; skipped 1 of 4 files that cannot be read\n"
    ) in capsys.readouterr().out


def test_a_sweep_says_it_once_for_each_kind_of_data(root, tmp_path, capsys):
    c = Config(data="ring8", net="mlp", width=2, latent=2, depth=1, batch=2, size=0, steps=1, sample_every=0)
    (root / "cat" / "bad.png").unlink()
    folder = {"data": f"folder:{root}", "size": 4}
    store.add(tmp_path / "sweep", "x.py", c, [{**folder, "seed": seed} for seed in (0, 1)])
    store.add(tmp_path / "sweep", "x.py", c, [{**folder, "loss": "hinge"}, {"loss": "hinge"}])
    group.train(tmp_path / "sweep", found=(before := set()))
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("found: ")]
    assert lines == [f"found: {open_source(f'folder:{root}', size=4).found}"]
    assert before == {*lines}


def test_what_was_said_before_is_not_said_again():
    said = []
    tell = group.once(said.append, {"found: a"})
    for text in ("found: a", "found: b", "step 1", "step 1", "found: b"):
        tell(text)
    assert said == ["found: b", "step 1", "step 1"]


def test_only_what_was_done_is_said(root):
    (root / "cat" / "bad.png").unlink()
    (root / "dog" / "3.gif").unlink()
    (root / "note.txt").unlink()
    (root / "film.mp4").unlink()
    assert open_source(f"folder:{root}", size=8).found == "2 images 8x8x3, no classes; 8x8 in their files; 8 bits"


def test_pairs_say_it_of_both_sets(root):
    (root / "cat").rename(root / "A")
    (root / "dog").rename(root / "B")
    found = open_source(f"unpaired:{root}", size=4, skip_corrupt=True).found
    assert found == (
        "2 pairs 4x4x6; A: 2 images, 8x8 in their files, resized to 4, 8 bits, skipped 1 of 3 files that cannot be "
        "read; B: 1 images, 20x10 in their files, cropped to the central square, resized to 4, 8 bits"
    )


def test_other_sources_say_what_they_are():
    assert open_source("mnist5k").found.startswith("5,000 images 28x28x1, 10 classes: 0 500, 1 500")
    assert open_source("stacked:mnist5k").found.startswith("128,000 images 28x28x3, 1000 classes; of 5,000 images")
    assert open_source("ring8").found == ""
    points = from_arrays(np.zeros((7, 2), np.float32), [0, 0, 2, 2, 2, 2, 0])
    assert points.found == "7 points 2, 3 classes: 0 3, 1 0, 2 4"
    small = from_arrays(np.zeros((1, 8, 6, 1), np.uint8), size=4)
    assert small.found == "1 image 4x4x1, no classes; central squares, resized to 4"
    kept, held = of_config(Config(data="arrays", holdout=3), points)
    assert kept.found.endswith("2 4; without 3") and held.found.endswith("2 4; held out 3")


def test_many_classes_are_cut():
    found = class_counts(np.arange(400) % 100, 100, [f"c{i}" for i in range(100)])
    assert found.startswith("100 classes of 4 to 4: c0 4, c1 4, ") and found.endswith("c11 4, ...")
