"""Members of a sweep are runs: the same bits, the same folders, whoever trains beside them and whatever interrupts."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import jaxgan
from jaxgan import cli, train
from jaxgan.config import Config, Hp
from jaxgan.errors import JaxganError
from jaxgan.sweep import grid, group, product, replay, seeds, shared, store
from processes import digests, rows, steps_saved

QUIET = {"say": lambda text: None}
HP = Hp(g_lr=1e-3, d_lr=1e-3)
RING = Config(data="ring8", net="mlp", latent=2, width=8, depth=1, batch=16, steps=12, hp=HP)
RING = dataclasses.replace(RING, log_every=4, checkpoint_every=4, sample_every=0, chunk=4)
DIGITS = dataclasses.replace(RING, data="mnist5k", net="dcgan", depth=2, size=8, width=4, batch=8, steps=4)
GOOD = product(grid({"hp.r1": [0.0, 0.5]}), [{"g_lr": 1e-3, "seed": 0}, {"g_lr": 1e-2, "seed": 1}])
BAD = {"hp.r1": 0.0, "g_lr": 1e38}  # Adam's first step overflows float32
SETTINGS = [GOOD[0], BAD, *GOOD[1:3]]
FIRST = SETTINGS[:3]  # are one group


def swept(dir: Path, base: Config, settings: list[dict], mode: str, width: int = 0) -> list[str]:
    ids = store.add(dir, "ring.py", base, settings)
    group.train(dir, ids, mode=mode, width=width, **QUIET)
    return ids


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """Sweeps of the same members: one by one, three of a loop, and vectorised; one member becomes non-finite."""
    home = tmp_path_factory.mktemp("home")
    swept(home / "map", RING, SETTINGS, "map")
    swept(home / "map3", RING, FIRST, "map", 3)
    swept(home / "vmap", RING, FIRST, "vmap", 2)
    return home


@pytest.fixture(scope="module")
def alone(home) -> Path:
    """The finite members, each by itself."""
    for id, (values, c) in store.members(home / "map").items():
        if values["hp.g_lr"] < 1:
            train.run(c, home / "alone" / id, quiet=True)
    return home / "alone"


def same(dir: Path, alone: Path) -> int:
    """How many members were trained alone; they must have the same bits, logs and checkpoints in the sweep."""
    ids = [id for id in store.members(dir) if (alone / id).is_dir()]
    for id in ids:
        run = store.run_dir(dir, id)
        assert digests(run) == digests(alone / id)
        assert rows(run) == rows(alone / id)
        assert steps_saved(run) == steps_saved(alone / id)
        assert {p.name for p in run.iterdir()} == {p.name for p in (alone / id).iterdir()} | {"member.json"}
    return len(ids)


def test_map_members_have_the_bits_of_a_run_alone(home, alone):
    assert same(home / "map", alone) == 3
    assert len(digests(next(alone.iterdir()))) == 3


def test_so_they_have_beside_a_member_that_becomes_non_finite(home, alone):
    """It stands in one loop with two of them."""
    assert same(home / "map3", alone) == 2
    for name, expected in (("map", [(3, 1), (1, 1)]), ("map3", [(3, 3)]), ("vmap", [(3, 2)])):
        groups = store.read(home / name)["groups"]
        assert [(len(one["members"]), one["width"]) for one in groups] == expected


@pytest.mark.parametrize("name", ["map", "map3", "vmap"])
def test_a_non_finite_member_says_when_and_why(home, name):
    results = store.results(home / name)
    assert [r["status"] for r in results] == ["done", "non-finite", "done", "done"][: len(results)]
    reason = store.standing(home / name, results[1]["id"])["reason"]
    assert "d_loss" in reason and "became non-finite at step 2" in reason and "no checkpoint yet" in reason


def test_a_member_that_becomes_non_finite_late_keeps_its_last_checkpoint(tmp_path):
    """From step 4 on with a learning rate that no float holds, as a bug or a cosmic ray would have it."""
    dir = tmp_path / "sweep"
    ids = store.add(dir, "ring.py", RING, seeds(2))
    group.train(dir, ids, until=4, mode="vmap", **QUIET)
    from_host = shared.place

    def broken(fields):
        fields[1]["hp"]["g_lr"] = np.float32(np.inf)
        return from_host(fields)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shared, "place", broken)
        group.train(dir, ids, mode="vmap", **QUIET)
    assert [r["status"] for r in store.results(dir)] == ["done", "non-finite"]
    assert "the checkpoint of step 4 is kept" in store.standing(dir, ids[1])["reason"]
    assert int(jaxgan.load(store.run_dir(dir, ids[1])).state.step) == 4
    assert replay.verify(store.run_dir(dir, ids[0]), **QUIET) == 3


@pytest.mark.slow
def test_convolutions_have_the_bits_of_a_run_alone(tmp_path):
    (id, _) = swept(tmp_path / "sweep", DIGITS, seeds(2), "map", 2)
    train.run(DIGITS, tmp_path / "alone" / id, quiet=True)
    assert same(tmp_path / "sweep", tmp_path / "alone") == 1


def test_vmap_is_map_up_to_rounding(home):
    """12 steps of Adam move a weight by up to 1.2e-2; rounding, 6e-8 of a gradient, shifts each by far below 1e-6."""
    for id, (values, _) in store.members(home / "vmap").items():
        if values["hp.g_lr"] == 1e-3:
            a, b = (jaxgan.load(store.run_dir(home / name, id)).state for name in ("map", "vmap"))
            assert int(a.step) == int(b.step) == 12
            for x, y in zip(jax.tree.leaves(a.params), jax.tree.leaves(b.params)):
                np.testing.assert_allclose(x, y, atol=1e-5)
            assert max(np.abs(x).max() for x in jax.tree.leaves(a.opt["d"])) > 0


@pytest.mark.parametrize("name", ["map", "vmap"])
def test_members_are_verified_the_way_they_were_trained(home, name, capsys):
    id = list(store.members(home / name))[2]
    cli.main(["verify", str(store.run_dir(home / name, id))])
    assert "3 digests up to step 12 agree" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["map", "vmap"])
def test_verification_finds_a_member_that_differs(home, name, tmp_path):
    id = list(store.members(home / name))[2]
    run = store.run_dir(home / name, id)
    log, text = run / "metrics.jsonl", (run / "metrics.jsonl").read_text()
    try:
        log.write_text(text.replace(digests(run)[8], "0" * 64))
        with pytest.raises(JaxganError, match="first difference at step 8: recorded 000000000000"):
            replay.verify(run, **QUIET)
    finally:
        log.write_text(text)


def test_a_member_is_a_run_for_every_other_command(home, tmp_path, capsys):
    run = store.run_dir(home / "map", next(iter(store.members(home / "map"))))
    cli.main(["sample", str(run), "-n", "4", "--out", str(tmp_path / "x.npz")])
    assert np.load(tmp_path / "x.npz")["x"].shape == (4, 2)
    train.run(dataclasses.replace(RING, hp=dataclasses.replace(HP, r1=0.0)), run, quiet=True)  # is finished
    assert json.loads((run / "member.json").read_text())["status"] == "done"


def test_finished_members_are_skipped(home, monkeypatch):
    before = {p: p.stat().st_mtime_ns for p in (home / "map").rglob("*") if p.is_file()}
    monkeypatch.setattr(shared, "shared", lambda c: pytest.fail("something is trained again"))
    group.train(home / "map", **QUIET)
    assert {p: p.stat().st_mtime_ns for p in before} == before


@pytest.mark.parametrize("mode", ["map", "vmap"])
def test_a_group_whose_members_stand_apart_goes_on(home, tmp_path, mode):
    """One stands at step 8, the others at 4; then all go to the end, with the bits of an uninterrupted sweep."""
    dir, width = tmp_path / "sweep", 2 if mode == "vmap" else 3
    ids = store.add(dir, "ring.py", RING, FIRST)
    group.train(dir, ids, until=4, mode=mode, width=width, **QUIET)
    group.train(dir, [ids[0]], until=8, **QUIET)
    assert [r["step"] for r in store.results(dir)] == [8, 0, 4]
    assert [r["status"] for r in store.results(dir)] == ["running", "non-finite", "running"]
    group.train(dir, mode=mode, width=width, **QUIET)
    other = home / ("vmap" if mode == "vmap" else "map3")
    for id in ids:
        assert digests(store.run_dir(dir, id)) == digests(store.run_dir(other, id))


def test_more_members_and_more_steps_later(tmp_path):
    dir = tmp_path / "sweep"
    (first,) = swept(dir, RING, seeds(1), "map")
    both = store.add(dir, "ring.py", dataclasses.replace(RING, steps=16), seeds(2))
    assert both[0] == first
    group.train(dir, mode="map", **QUIET)
    assert [(r["id"], r["status"], r["step"]) for r in store.results(dir)] == [(id, "done", 16) for id in both]
    assert [len(one["members"]) for one in store.read(dir)["groups"]] == [1, 1]


def test_results_hold_values_and_the_last_of_each_metric(home):
    first = store.results(home / "map")[0]
    run = store.run_dir(home / "map", first["id"])
    last = [row for row in rows(run) if "d_loss" in row][-1]
    assert {name: first[name] for name in last} == last
    assert (first["hp.g_lr"], first["seed"], first["hp.r1"], first["modes"]) == (1e-3, 0, 0.0, rows(run)[-2]["modes"])


def test_width_is_what_memory_holds(home, monkeypatch):
    """A width that needs too much is cut to the share that is there, until the program fits."""
    configs = {str(i): dataclasses.replace(RING, seed=i) for i in range(100)}
    assert shared.plan(configs) == ("map", 1)
    for needs in (lambda w: 10 * w, lambda w: 300 + 5 * w, lambda w: w**1.5):
        monkeypatch.setattr(shared, "memory", lambda c, w, needs=needs: needs(w))
        monkeypatch.setattr(shared, "free_memory", lambda: 500)
        mode, width = shared.plan(configs, "vmap")
        assert mode == "vmap" and 1 <= width < 100
        assert needs(width) <= shared.SHARE * 500 < 2.5 * needs(width)
    monkeypatch.setattr(shared, "memory", lambda c, w: 1e9)
    assert shared.plan(configs, "vmap") == ("vmap", 1)  # it may yet fit, and says so itself if not
    monkeypatch.setattr(shared, "memory", lambda c, w: 1)
    assert shared.plan(configs, "vmap") == shared.plan(configs, "vmap", 1000) == ("vmap", 100)
    assert shared.plan(configs, "vmap", 7) == ("vmap", 7)


def test_memory_counts_the_states_at_least_twice(home):
    """Once where they are, once where they are looked at; and a width of 2 has two of them."""
    state = jaxgan.load(store.run_dir(home / "map", next(iter(store.members(home / "map"))))).state
    size = sum(np.asarray(x).nbytes for x in jax.tree.leaves(dataclasses.replace(state, key=np.zeros(2, np.uint32))))
    assert 2 * 2 * size <= shared.memory(RING, 2) < 2 * 2 * size + 2**24


DEVICES = """
import sys
from pathlib import Path
import jax
import test_sweep as t
assert jax.local_device_count() == 2
home = Path(sys.argv[1])
for mode, width in (("map", 0), ("vmap", 3)):
    t.swept(home / mode, t.RING, t.FIRST, mode, width)
    print(mode, [one["width"] for one in t.store.read(home / mode)["groups"]])
run = t.store.run_dir(home / "vmap", t.store.results(home / "vmap")[2]["id"])
print("agree", t.replay.verify(run, **t.QUIET))
t.group.train(home / "moved", **t.QUIET)
"""


@pytest.mark.slow
def test_members_are_spread_over_devices(home, tmp_path):
    """2 devices, members of their own on each, a place left over: map has the bits of one, begun there or not."""
    ids = store.add(tmp_path / "moved", "ring.py", RING, FIRST)
    group.train(tmp_path / "moved", ids, until=4, **QUIET)
    flags = "--xla_force_host_platform_device_count=2"
    env = {**os.environ, "XLA_FLAGS": flags, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    command = ["timeout", "-k", "5", "300", sys.executable, "-c", DEVICES, str(tmp_path)]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split("\n")[:3] == ["map [2]", "vmap [4]", "agree 3"]
    for one in store.results(tmp_path / "map"):
        own, moved, expected = (
            digests(store.run_dir(d, one["id"])) for d in (tmp_path / "map", tmp_path / "moved", home / "map")
        )
        assert own == moved == expected
        assert store.standing(tmp_path / "map", one["id"])["devices"] == 2
    assert [r["status"] for r in store.results(tmp_path / "vmap")] == ["done", "non-finite", "done"]


def test_python_says_which_member_does_not_exist(home):
    id = next(iter(store.members(home / "map")))
    with pytest.raises(JaxganError, match=f"no member '{id[:-1]}'. Did you mean '{id}'"):
        group.train(home / "map", [id[:-1]], **QUIET)
