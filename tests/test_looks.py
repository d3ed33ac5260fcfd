"""What looks at a run changes no bit of it, and cannot lose it."""

import dataclasses
import errno

import numpy as np
import pytest

from jaxgan import config, log, looks, train
from jaxgan.looks import LOOKS, Seen
from runs import BASE, digests, source, trained

TOY = config.from_dict(
    {"net": "mlp", "width": 8, "latent": 2, "data": "ring8", "batch": 16, "steps": 6, "log_every": 3}
)


def seeing(seen):
    """A maker of a look that notes the steps it sees, and what it was given."""

    def make(game, c, source, held):
        def see(state, step):
            seen.append((step, int(state.step)))
            return lambda dir: Seen({"seen": float(step)}, (f"I saw step {step}",))

        return see

    return make


@pytest.fixture
def said(monkeypatch):
    heard = []
    monkeypatch.setattr(train.log, "show", heard.append)
    return heard


@pytest.mark.parametrize("waits", [False, True])
def test_a_row_of_the_table_is_all_that_a_look_needs(monkeypatch, tmp_path, said, waits):
    """It sees the states of its own period and the last one; its row and its words come out."""
    seen = []
    monkeypatch.setitem(LOOKS, "mine", ("diagnose_every", True, seeing(seen), waits))
    monkeypatch.delitem(LOOKS, "diagnosis")
    train.run(dataclasses.replace(BASE, diagnose_every=5), tmp_path / "run", source())
    assert seen == [(5, 5), (10, 10), (12, 12)]
    rows = {row["step"]: row["seen"] for row in log.read(tmp_path / "run" / "metrics.jsonl") if "seen" in row}
    assert rows == {5: 5.0, 10: 10.0, 12: 12.0}
    assert [text for text in said if text.startswith("I saw")] == [f"I saw step {n}" for n in (5, 10, 12)]
    assert trained(tmp_path / "plain").config == BASE and digests(tmp_path / "plain") == digests(tmp_path / "run")


def test_a_period_of_0_is_never_but_for_pictures(monkeypatch):
    assert [look.name for look in looks.looks(TOY, *_open())] == ["picture"]
    both = looks.looks(dataclasses.replace(TOY, diagnose_every=2), *_open())
    assert [(look.name, look.every, look.waits) for look in both] == [
        ("picture", "sample_every", False),
        ("diagnosis", "diagnose_every", True),
    ]


def _open():
    from jaxgan import data

    return data.of_config(TOY)


class Full(OSError):
    def __init__(self):
        super().__init__(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("when", ["see", "finish"])
@pytest.mark.parametrize(
    ("error", "words"),
    [
        (Full(), "No space left on device"),
        (ValueError("bad reference\nmore"), "bad reference"),
        (MemoryError(), "MemoryError"),
    ],
)
def test_one_that_fails_says_so_and_the_run_goes_on(monkeypatch, tmp_path, said, when, waits, error, words):
    def make(game, c, source, held):
        def fail(*args):
            raise error

        return fail if when == "see" else lambda state, step: fail

    monkeypatch.setitem(LOOKS, "mine", ("diagnose_every", True, make, waits))
    monkeypatch.delitem(LOOKS, "diagnosis")
    monkeypatch.delitem(LOOKS, "picture")
    run = train.run(dataclasses.replace(TOY, diagnose_every=3), tmp_path / "run")
    assert int(run.state.step) == 6 and list(digests(tmp_path / "run")) == [6]
    found = [text for text in said if "failed" in text]
    assert found == [f"step {n}: the mine failed ({words}); training goes on without it" for n in (3, 6)]


def test_a_picture_that_cannot_be_written_loses_no_run(tmp_path, said, monkeypatch):
    """A full disk under samples/, while metrics and checkpoints find room."""

    def full(*args):
        raise Full

    monkeypatch.setattr(looks.plots, "save", full)
    run = train.run(dataclasses.replace(TOY, sample_every=3), tmp_path / "run")
    assert int(run.state.step) == 6 and digests(tmp_path / "run")
    assert sum("the picture failed (No space left on device)" in text for text in said) == 2


def test_a_picture_shows_always_the_same_latents():
    """Two calls on one state draw the same points, and another state others."""
    draw, columns = looks.samples(*_game())
    state, other = (_state(seed).ema for seed in (0, 1))
    np.testing.assert_array_equal(draw(state), draw(state))
    assert abs(np.asarray(draw(other)) - draw(state)).max() > 1e-3 and columns == 8


def _game():
    from jaxgan import games

    kept, held = _open()
    return games.make(TOY, kept.shape), kept, held


def _state(seed):
    from jaxgan.state import initial

    return initial(_game()[0], dataclasses.replace(TOY, seed=seed), (2,))
