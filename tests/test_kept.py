"""A run on arrays keeps them, and is verified, evaluated and gone on with without being given them again."""

import numpy as np
import pytest

import jaxgan
from jaxgan import cli, run_folder, train
from jaxgan.data import kept
from jaxgan.errors import JaxganError
from runs import digests

RNG = np.random.default_rng(0)
KINDS = {
    "grey": (RNG.integers(0, 256, (40, 6, 6), np.uint8), None, {}),
    "labelled": (RNG.integers(0, 256, (40, 6, 6, 3), np.uint8), np.arange(40) % 3, {"flip": True, "holdout": 4}),
    "resized": (RNG.integers(0, 256, (40, 8, 6, 1), np.uint8), None, {"size": 4}),
    "points": (RNG.normal(size=(40, 2)).astype(np.float32), None, {}),
    "sequences": (RNG.normal(size=(40, 16)).astype(np.float64), None, {"net": "conv1d"}),
}
SMALL = {"net": "mlp", "width": 4, "latent": 2, "batch": 8, "steps": 2, "checkpoint_every": 1, "quiet": True}


@pytest.mark.parametrize("name", KINDS)
def test_arrays_come_back_as_they_were(tmp_path, name):
    x, y, more = KINDS[name]
    run = jaxgan.fit(x, y, dir=tmp_path / "run", **{**SMALL, **more})
    source, held = run_folder.examples(run.dir, run.config)
    run_folder.check_data(run.dir, run.config, run.env, source)  # by their fingerprint
    assert (held is None) == ("holdout" not in more)


def test_a_run_on_arrays_needs_them_once(tmp_path, capsys):
    x, y, _ = KINDS["labelled"]
    dir = tmp_path / "run"
    jaxgan.fit(x, y, dir=dir, **SMALL)
    cli.main(["verify", str(dir)])
    assert "2 digests up to step 2 agree" in capsys.readouterr().out
    cli.main(["eval", str(dir), "--metrics", "kid", "--features", "raw", "-n", "20"])
    assert "kid/raw/n20/real40" in capsys.readouterr().out
    before = (dir / "arrays.npz").stat().st_mtime_ns
    jaxgan.fit(x, y, dir=dir, **{**SMALL, "steps": 3})
    assert (dir / "arrays.npz").stat().st_mtime_ns == before and list(digests(dir)) == [1, 2, 3]
    (dir / "arrays.npz").write_bytes(b"PK\x03\x04cut")
    with pytest.raises(JaxganError, match=r"arrays\.npz \(damaged.*Give them in Python: source="):
        run_folder.examples(dir, jaxgan.load(dir).config)


def test_large_arrays_are_not_kept_and_a_note_says_so(tmp_path, monkeypatch):
    x, _, _ = KINDS["points"]
    said = []
    monkeypatch.setattr(kept, "MOST", x.nbytes - 1)
    monkeypatch.setattr(train.log, "show", said.append)
    run = jaxgan.fit(x, dir=tmp_path / "run", **{**SMALL, "quiet": False})
    assert not (run.dir / "arrays.npz").exists()
    (note,) = [text for text in said if text.startswith("NOTE")]
    assert note == "NOTE: the arrays are larger than 0 MB and not kept; verify needs them again"


def test_without_a_folder_nothing_is_written(monkeypatch):
    monkeypatch.setattr(kept.disk, "write_arrays", lambda *_, **__: pytest.fail("written"))
    jaxgan.fit(KINDS["points"][0], **SMALL)
