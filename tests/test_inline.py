"""A run shown where Python shows values, its progress in a notebook, and trainings one after the other in a process."""

import base64
import dataclasses
import io
import logging
import os
import re
import signal
import sys
import threading
import types
import warnings

import jax
import numpy as np
import pytest
from PIL import Image

import jaxgan
from jaxgan import plots
from jaxgan.data.toy import ring8
from jaxgan.errors import JaxganError
from runs import digest, untrained

X = np.random.default_rng(0).integers(0, 256, (40, 6, 6, 1), np.uint8)
SMALL = {"net": "mlp", "width": 4, "depth": 1, "latent": 2, "batch": 8, "steps": 6, "log_every": 1}


@pytest.fixture(scope="module")
def run():
    return jaxgan.fit(X, np.arange(40) % 3, **SMALL, quiet=True)


def test_a_run_shows_samples(run):
    """Four rows of a column a class; or as many, in as many columns, of the classes that are asked for."""
    np.testing.assert_array_equal(run.show(), plots.grid(run.sample(12), 3))
    few = run.sample(4, seed=5, labels=[2, 2, 0, 1], truncation=0.5, ema=False)
    shown = run.show(4, 2, 5, [2, 2, 0, 1], truncation=0.5, ema=False)
    np.testing.assert_array_equal(shown, plots.grid(few, 2))
    assert isinstance(shown, Image.Image)
    named = dataclasses.replace(run, env={**run.env, "names": ["cat", "dog", "eel"]})
    np.testing.assert_array_equal(named.show(), plots.grid(run.sample(12), 3, ["cat", "dog", "eel"]))
    np.testing.assert_array_equal(
        named.show(2, labels=["eel", "cat"]), plots.grid(run.sample(2, labels=[2, 0]), 2, ["eel", "cat"])
    )
    with pytest.raises(JaxganError, match="n is -1"):
        run.show(-1)


def test_without_classes_there_are_eight_columns():
    run = untrained((4, 4, 1))
    np.testing.assert_array_equal(run.show(), plots.grid(run.sample(32), 8))


def test_points_are_shown_over_their_density():
    run = untrained((2,), data="ring8")
    np.testing.assert_array_equal(run.show(), plots.points(run.sample(2500), ring8().density, "step 0"))
    np.testing.assert_array_equal(untrained((2,)).show(9), plots.points(run.sample(9), None, "step 0"))


def decoded(html):
    (data,) = re.findall(r'<img alt="samples" src="data:image/png;base64,([^"]+)">', html)
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def test_a_cell_shows_what_the_run_is(run):
    html = run._repr_html_()
    for words in ("<td>conditional</td>", "<td>mlp</td>", "<td>arrays (6x6x1, 3 classes)</td>", "<td>6 of 6</td>"):
        assert words in html
    np.testing.assert_array_equal(decoded(html), run.show())
    assert repr(run) == "Run(kind conditional, net mlp, data arrays (6x6x1, 3 classes), step 6 of 6)"


def test_names_of_files_are_no_html(tmp_path):
    html = untrained((4, 4, 1), data="folder:/<b>&")._repr_html_()
    assert "folder:/&lt;b&gt;&amp; (4x4x1)" in html and "<b>" not in html


def test_a_translator_shows_its_newest_picture(tmp_path):
    """It makes none from latents alone."""
    run = untrained((4, 4, 2), kind="pix2pix", latent=2)
    assert "<img" not in run._repr_html_()
    run = dataclasses.replace(run, dir=tmp_path)
    assert "<img" not in run._repr_html_() and f"<td>{tmp_path}</td>" in run._repr_html_()
    assert repr(run).endswith(f"step 0 of 1,000, {tmp_path})")
    (tmp_path / "samples").mkdir()
    for step in (9, 10):
        plots.save(np.full((2, 2, 3), step, np.uint8), tmp_path / "samples" / f"{step:08d}.png")
    np.testing.assert_array_equal(decoded(run._repr_html_()), np.full((2, 2, 3), 10))
    with pytest.raises(JaxganError, match=r"Run.translate\(x\)"):
        run.show()


def notebook(monkeypatch):
    """As in a kernel of a notebook that has no widgets -> its stderr, no terminal, of which cells draw the returns."""
    shell = types.SimpleNamespace(config={"IPKernelApp": {}})
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setattr(sys, "stderr", screen := io.StringIO())
    return screen


def test_progress_in_a_notebook_is_one_line(monkeypatch, capsys):
    screen = notebook(monkeypatch)
    jaxgan.fit(X, **SMALL)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["training", "found:", "data:", "made"]
    assert lines[0] == "training from step 0 to 6" and lines[-1] == "made 6 of 6 steps"  # of a folder that is gone
    drawn = screen.getvalue().strip("\r\n").split("\r")
    assert len(drawn) > 1 and not any("\n" in line for line in drawn)
    assert re.match(r"100%\|.*\| 6/6 .*d_loss", drawn[-1])


def test_nothing_is_drawn_when_quiet_or_outside_of_a_notebook(monkeypatch):
    screen = notebook(monkeypatch)
    jaxgan.fit(X, **SMALL, quiet=True)
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", lambda: types.SimpleNamespace(config={}))
    jaxgan.fit(X, **SMALL)
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", lambda: None)
    jaxgan.fit(X, **SMALL)
    assert screen.getvalue() == ""


def process() -> dict:
    """What of a process a training could leave otherwise than it was."""
    return {
        "signals": {s: signal.getsignal(s) for s in signal.valid_signals()},
        "hooks": (sys.unraisablehook, sys.excepthook, threading.excepthook),
        "jax": dict(jax.config.values),
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "levels": {name: logging.getLogger(name).level for name in ("", "absl", "asyncio", "orbax")},
        "filters": {name: [*logging.getLogger(name).filters] for name in ("", "absl", "asyncio")},
        "warnings": [*warnings.filters],
        "pillow": Image.MAX_IMAGE_PIXELS,
        "random": np.random.get_state()[1].tolist(),
        "threads": {t.name for t in threading.enumerate() if not t.daemon},
    }


def test_trainings_in_one_process_leave_it_as_it_was(tmp_path, monkeypatch):
    """And are each what it is alone: the second of other data and the first again have the bits of the first."""
    jaxgan.fit(X, **SMALL, quiet=True)  # what is imported or made once is no leak
    monkeypatch.setattr(logging.getLogger("absl"), "level", 17)
    before = process()
    first = jaxgan.fit(X, **SMALL, quiet=True)
    other = jaxgan.fit(X[::-1], np.arange(40) % 3, **SMALL, dir=tmp_path / "run", sample_every=3, quiet=True)
    again = jaxgan.fit(X, **SMALL, quiet=True)
    assert digest(first) == digest(again) != digest(other)
    after = process()
    for name, value in before.items():
        assert after[name] == value, name


def test_orbax_says_nothing_beside_what_is_said_here(tmp_path, capfd, caplog):
    jaxgan.fit(X, **SMALL, dir=tmp_path / "run", quiet=True)
    jaxgan.load(tmp_path / "run").sample(1)
    assert capfd.readouterr() == ("", "")
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_training_that_fails_leaves_it_too(tmp_path):
    before = process()
    wild = {**SMALL, "loss": "wasserstein", "optimizer": "sgd", "g_lr": 1e38, "d_lr": 1e38}
    with pytest.raises(JaxganError, match="non-finite"):
        jaxgan.fit(X, **wild, dir=tmp_path / "run", quiet=True)
    after = process()
    for name, value in before.items():
        assert after[name] == value, name


def test_trainings_at_the_same_time_are_what_they_are_alone(run):
    found = {}

    def work(name, labels):
        found[name] = digest(jaxgan.fit(X, labels, **SMALL, quiet=True))

    hook = sys.unraisablehook
    threads = [threading.Thread(target=work, args=(i, np.arange(40) % 3)) for i in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {0: digest(run), 1: digest(run)}
    assert sys.unraisablehook is hook
