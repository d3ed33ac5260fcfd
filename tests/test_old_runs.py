"""A run folder and a sweep folder that version 0.1.0 made, in runs-0.1.0.tar.xz: they open, go on and replay.

    jaxgan train experiments/ring.py --dir run --steps 20 OPTIONS
    jaxgan sweep experiments/ring.py --dir sweep --steps 10 --grid hp.r1=0,0.1 OPTIONS

with OPTIONS --checkpoint-every 10 --log-every 5 --sample-every 0 --width 8 --batch 16. Equal bits are promised for one
machine and one version of JAX, so what is replayed here is compared to rounding; digests are those that were recorded.
"""

import dataclasses
import json
import tarfile
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxgan import changes, checkpoint, config, data, games, load, log, parallel, program, run_folder, train
from jaxgan.state import initial
from jaxgan.sweep import group, space, store
from processes import digests

PACKED = Path(__file__).with_name("runs-0.1.0.tar.xz")


@pytest.fixture
def old(tmp_path):
    with tarfile.open(PACKED) as file:
        file.extractall(tmp_path, filter="data")
    return tmp_path


def test_a_run_opens_with_the_digest_that_it_recorded(old):
    run = load(old / "run")
    assert run_folder.read_env(old / "run")["starts"][0]["versions"]["jaxgan"] == "0.1.0"
    assert checkpoint.digest(checkpoint.to_host(run.state)) == digests(old / "run")[20]
    assert run.config.hp.d_scale == float(run.state.hp["d_scale"]) == 1.0, "what came later has its default"
    x = run.sample(5)
    assert x.shape == (5, 2) and len(np.unique(x, axis=0)) == 5


def test_it_is_replayed_from_its_seed(old):
    run = load(old / "run")
    source, _ = data.of_config(run.config)
    game = games.make(run.config, source.shape, source.classes)
    compiled = program.build(game, source, run.config, parallel.one())
    state, _ = compiled.advance(initial(game, run.config, source.shape), 0, 20)
    assert changes.since(run.env, run.config, source) == []
    for part in ("params", "ema", "opt"):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), getattr(state, part), getattr(run.state, part)
        )
    assert max(abs(x).max() for x in jax.tree.leaves(initial(game, run.config, source.shape).opt)) == 0, "it has moved"


def test_it_goes_on(old):
    before = digests(old / "run")
    c = dataclasses.replace(load(old / "run").config, steps=30)
    assert int(train.run(c, old / "run", quiet=True).state.step) == 30
    after = digests(old / "run")
    assert {step: after[step] for step in before} == before and set(after) == {10, 20, 30}
    versions = [start["versions"]["jaxgan"] for start in json.loads((old / "run/env.json").read_text())["starts"]]
    assert versions[0] == "0.1.0" != versions[1]


def test_a_sweep_goes_on_with_its_members_and_groups(old):
    """Ids and groups are what they would be today, so that nothing is trained twice; more steps train all on."""
    dir = old / "sweep"
    found = store.read(dir)
    members = store.members(dir)
    assert [space.identity(c) for _, c in members.values()] == list(members)
    keys = [key for key, _ in space.groups({id: c for id, (_, c) in members.items()})]
    assert json.loads(json.dumps(keys)) == [one["key"] for one in found["groups"]]
    before = {id: digests(store.run_dir(dir, id)) for id in members}
    base = dataclasses.replace(config.from_dict(found["config"]), steps=20)
    store.add(dir, "experiments/ring.py", base, [values for values, _ in members.values()])
    assert list(store.members(dir)) == list(members)
    group.train(dir, say=lambda text: None)
    for id in members:
        after = digests(store.run_dir(dir, id))
        assert {10: after[10]} == before[id] and set(after) == {10, 20}
        assert store.standing(dir, id)["status"] == "done"
        assert max(row["step"] for row in log.read(store.run_dir(dir, id) / "metrics.jsonl")) == 20
