"""A run that an earlier version began is told where its numbers have changed since, and nothing else changes."""

import dataclasses
import json

import numpy as np
import pytest

from jaxgan import changes, checkpoint, config, train
from jaxgan.config import Hp
from jaxgan.data import from_arrays
from jaxgan.verify import verify

SMALL = {"net": "mlp", "width": 4, "depth": 1, "latent": 2, "batch": 4, "data": "arrays", "checkpoint_every": 2}
IMAGES = {**SMALL, "net": "dcgan"}
R1 = {"hp": {"r1": 1.0}}
TOUCHED = [
    (SMALL, {"solver": "optimistic", "hp": {"clip": 0.1}}, (20, 2), "hp.clip"),
    (SMALL, {"solver": "lookahead", "hp": {"max_norm": 1.0}}, (20, 2), "max_norm"),
    (SMALL, {"augment": ["jitter"], **R1}, (20, 2), "R1 and R2"),
    (SMALL, {"lazy": 2, **R1}, (20, 2), "lazy"),
    (SMALL, {"hp": {"path_length": 1.0}}, (20, 2), "path length"),
    (SMALL, {"pack": 2, "hp": {"gp0": 1.0}}, (20, 2), "each pack"),
    (SMALL, {}, (16, 2), "uniform permutation"),
    (IMAGES, {"augment": ["translation"]}, (20, 20, 20, 1), "halves of a pixel"),
    (IMAGES, {"cr_augment": ["cutout"], "hp": {"cr": 1.0}}, (20, 9, 9, 1), "halves of a pixel"),
]
UNTOUCHED = [
    (SMALL, {}, (20, 2)),
    (SMALL, {"solver": "optimistic"}, (20, 2)),
    (SMALL, {"hp": {"clip": 0.1}}, (20, 2)),
    (SMALL, {"augment": ["jitter"]}, (20, 2)),
    (SMALL, {"pack": 2, **R1}, (20, 2)),
    (IMAGES, {"augment": ["translation", "cutout"]}, (20, 8, 8, 1)),
]
OLD = {"starts": [{"versions": {"jaxgan": "0.1.0"}}]}


def made(base, more, shape):
    c = config.from_dict({**base, **more})
    return c, from_arrays(np.zeros(shape, np.uint8 if len(shape) == 4 else np.float32))


@pytest.mark.parametrize(("base", "more", "shape", "word"), TOUCHED)
def test_changed_numbers_are_named(base, more, shape, word):
    c, source = made(base, more, shape)
    (text,) = changes.since(OLD, c, source)
    assert word in text and "0.1.0" in text
    assert not changes.since({"starts": [{"versions": {"jaxgan": "0.2.0"}}]}, c, source)


@pytest.mark.parametrize(("base", "more", "shape"), UNTOUCHED)
def test_other_runs_hear_nothing(base, more, shape):
    assert changes.since(OLD, *made(base, more, shape)) == []


def test_resume_and_verify_say_so(tmp_path, monkeypatch):
    source = from_arrays(np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32))
    c = config.from_dict({**SMALL, "hp": {"path_length": 1.0}, "steps": 2})
    said = []
    monkeypatch.setattr(train.log, "show", said.append)
    train.run(c, tmp_path / "run", source)
    assert not [text for text in said if "NOTE" in text], "a run that begins has nothing to be told"
    env = json.loads((tmp_path / "run/env.json").read_text())
    env["starts"][0]["versions"]["jaxgan"] = "0.1.0"
    (tmp_path / "run/env.json").write_text(json.dumps(env))
    train.run(dataclasses.replace(c, steps=4), tmp_path / "run", source)
    assert [text for text in said if "NOTE" in text and "path length" in text]
    said.clear()
    verify(tmp_path / "run", source, say=said.append)
    assert [text for text in said if "NOTE" in text and "path length" in text]


def test_numbers_that_came_later_are_in_no_old_digest():
    """A state of 0.1.0 had no d_scale: its digest is that of the same state with d_scale at rest, and with no other."""
    hp = {name: np.float32(value) for name, value in dataclasses.asdict(Hp()).items()}
    fields = {"hp": hp, "step": np.int32(3)}
    old = {**fields, "hp": {name: value for name, value in hp.items() if name not in changes.LATER}}
    assert changes.LATER.keys() < hp.keys()
    assert checkpoint.digest(fields) == checkpoint.digest(old)
    for name in changes.LATER:
        assert checkpoint.digest({**fields, "hp": {**hp, name: np.float32(2)}}) != checkpoint.digest(old)
    assert checkpoint.digest({**fields, "hp": {**hp, "r1": np.float32(2)}}) != checkpoint.digest(old)
