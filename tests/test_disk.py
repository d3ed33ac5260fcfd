"""Files are written whole or not at all, and damaged ones are named in one sentence."""

import errno
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxgan import disk, draw, evaluate, export, log, outputs, plots
from jaxgan.errors import JaxganError
from jaxgan.features import small
from jaxgan.metrics import Score
from jaxgan.protocol import Protocol
from runs import trained


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("run") / "run", steps=1)


def figure():
    from matplotlib.figure import Figure

    return Figure(figsize=(1, 1))


IMAGES = np.linspace(-1, 1, 4 * 6 * 6, dtype=np.float32).reshape(4, 6, 6, 1)
WRITES = {  # name: what writes it at a path
    "x.png": lambda path: outputs.save(path, IMAGES, None, 2),
    "one.png": lambda path: outputs.save(path, IMAGES[:1], None, 2),
    "x.npz": lambda path: outputs.save(path, IMAGES, np.arange(4), 2),
    "x.gif": lambda path: outputs.animation(path, IMAGES[:, None]),
    "own.png": lambda path: draw.save_own(path, IMAGES, {None: IMAGES}, list("abcd")),
    "own.npz": lambda path: draw.save_own(path, IMAGES, {None: IMAGES}, list("abcd")),
    "figure.png": lambda path: plots.save_figure(figure(), path),
    "env.json": lambda path: disk.write(path, json.dumps({"a": 1})),
    "metrics.jsonl": lambda path: log.insert(path, {"step": 1}),
}
FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def full(*_):
    raise OSError(*FULL.args)


class Full(io.FileIO):
    """A file on a disk that has room for the half of what is written."""

    def write(self, data):
        super().write(bytes(data)[: len(data) // 2])
        full()


def through(kind):
    """Path.open that writes files of this kind."""
    usual = Path.open
    return lambda path, mode="r", *rest, **how: kind(path, "w") if mode == "wb" else usual(path, mode, *rest, **how)


BREAKS = {"write": (Path, "open", through(Full)), "rename": (os, "replace", full)}


@pytest.mark.parametrize("where", BREAKS)
@pytest.mark.parametrize("name", WRITES)
def test_a_write_that_fails_leaves_what_was_there(name, where, tmp_path, monkeypatch):
    path = tmp_path / name
    path.write_text('{"step": 0}\n')
    with monkeypatch.context() as patch:
        patch.setattr(*BREAKS[where])
        with pytest.raises(OSError) as caught:
            WRITES[name](path)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(path))
    assert path.read_text() == '{"step": 0}\n'
    assert [p.name for p in tmp_path.iterdir()] == [name]
    WRITES[name](path)
    assert path.read_text("latin-1") != '{"step": 0}\n'
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_an_error_of_another_file_keeps_its_name(tmp_path):
    with pytest.raises(FileNotFoundError) as caught, disk.replacing(tmp_path / "x"):
        (tmp_path / "y").read_text()
    assert caught.value.filename == str(tmp_path / "y")
    with pytest.raises(OSError, match="no such mode"), disk.replacing(tmp_path / "x"):
        raise OSError("no such mode")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_written_is_known_before(tmp_path):
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").touch()
    for name, kind in (("folder.png", IsADirectoryError), ("file/x", NotADirectoryError), ("no/x", FileNotFoundError)):
        with pytest.raises(kind) as caught:
            disk.check(tmp_path / name)
        assert caught.value.filename == str(tmp_path / name)
    disk.check(tmp_path / "new")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder.png"]


def test_an_export_is_whole(run, tmp_path, monkeypatch):
    """One format that cannot be written leaves the others, and what they say of themselves, as they were."""
    export.export(run.dir, ("safetensors",), tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    assert before.keys() == {"weights.safetensors", "sampler.json"}

    def broken(file, *_):
        file.write(b"torn")
        raise JaxganError("it draws other samples")

    monkeypatch.setitem(export.WRITERS, "jax", broken)
    with pytest.raises(JaxganError, match="other samples"):
        export.export(run.dir, ("safetensors", "jax"), tmp_path, ema=False)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_scores_go_on_after_a_damaged_file(tmp_path):
    """What was measured is not lost with what was measured before."""
    about = {"step": 3, "split": "test", "generator": "ema", "seed": 0}
    said, p = [], Protocol(("fid",), "raw", 8)
    path = evaluate._write(tmp_path, dict(about), {"fd": Score("fd", 1.0, 0.5)}, p, False, said.append)
    path = evaluate._write(tmp_path, dict(about), {"kd": Score("kd", 2.0)}, p, False, said.append)
    assert json.loads(path.read_text())["scores"] == {"fd": [1.0, 0.5], "kd": [2.0, None]} and not said
    path.write_text(path.read_text()[:30])
    evaluate._write(tmp_path, dict(about), {"kd": Score("kd", 4.0)}, p, False, said.append)
    assert json.loads(path.read_text())["scores"] == {"kd": [4.0, None]}
    assert len(said) == 1 and str(path) in said[0] and "damaged" in said[0]


def test_arrays_are_read_by_name(tmp_path):
    disk.write_arrays(tmp_path / "x.npz", path=np.arange(3), y=np.ones((2, 2)))
    found = disk.arrays(tmp_path / "x.npz")
    assert found.keys() == {"path", "y"}
    np.testing.assert_array_equal(found["path"], [0, 1, 2])
    np.save(tmp_path / "x.npy", np.eye(2))
    np.testing.assert_array_equal(disk.arrays(tmp_path / "x.npy")["x"], np.eye(2))


def test_code_in_a_file_is_never_run(tmp_path):
    np.savez(tmp_path / "x.npz", x=np.array([print], object))
    for read in (disk.arrays, evaluate.opened, small.shipped("digits-cnn")):
        with pytest.raises(JaxganError, match=r"x\.npz \(it holds objects"):
            read(tmp_path / "x.npz")


def packed(**arrays) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


WHOLE = packed(x=np.random.default_rng(0).integers(0, 9, (8, 4, 4), np.uint8), y=np.arange(8) % 3)


@given(at=st.integers(0, len(WHOLE) - 1), byte=st.integers(0, 255), cut=st.booleans())
def test_any_damage_is_one_sentence(at, byte, cut, tmp_path_factory):
    """Whatever byte changes, and wherever the file ends."""
    path = tmp_path_factory.getbasetemp() / "damaged.npz"
    path.write_bytes(WHOLE[:at] if cut else WHOLE[:at] + bytes([byte]) + WHOLE[at + 1 :])
    try:
        found = disk.arrays(path)
    except JaxganError as e:
        assert str(path) in str(e) and "\n" not in str(e)
    else:
        assert not cut and all(isinstance(x, np.ndarray) for x in found.values())
