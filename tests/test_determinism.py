"""A seed is a run: the same bits however the run is logged, fed, cut into dispatches, stopped and resumed."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgan
from jaxgan import checkpoint, config, data, games, log, parallel, rng, run, signals, step, train
from jaxgan.config import Hp
from jaxgan.data import feed
from jaxgan.errors import JaxganError
from jaxgan.solvers import SOLVERS, Solver
from jaxgan.state import initial
from jaxgan.verify import verify
from runs import BASE, assert_same_bits, digest, digests, source, trained


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """(folder, run) that the others are compared with; read only."""
    dir = tmp_path_factory.mktemp("base") / "run"
    return dir, trained(dir)


def test_the_same_seed_gives_the_same_bits(base, tmp_path):
    again = trained(tmp_path / "run")
    assert sorted(digests(base[0])) == [4, 8, 12]
    assert digests(tmp_path / "run") == digests(base[0])
    assert_same_bits(again, base[1])
    numbers = [
        [{k: v for k, v in row.items() if k != "images_per_second"} for row in log.read(dir / "metrics.jsonl")]
        for dir in (base[0], tmp_path / "run")
    ]
    assert numbers[0] == numbers[1] and len(numbers[0]) == 6


@pytest.mark.slow
@pytest.mark.parametrize("norms", [{}, {"d_norm": "spectral", "g_norm": "batch_spectral"}])
def test_a_first_state_has_its_bits_however_much_xla_optimises(optimised, norms):
    """Inside another program it is compiled with that one's options; spectral vectors are divided by sums."""
    c, shape = config.from_dict({"net": "dcgan", "width": 16, "latent": 8, **norms}), (16, 16, 1)
    game = games.make(c, shape)
    quick, usual = initial(game, c, shape), jax.jit(lambda: initial(game, c, shape))()
    assert checkpoint.digest(checkpoint.to_host(quick)) == checkpoint.digest(checkpoint.to_host(usual))


def test_the_digest_is_of_the_state(base):
    assert digests(base[0])[12] == digest(base[1])
    state, before = base[1].state, digest(base[1])
    for name in ("params", "opt", "ema", "hp", "step", "key"):
        fields = checkpoint.to_host(state)
        leaves, tree = jax.tree.flatten(fields[name])
        bits = np.array(leaves[-1])
        bits.reshape(-1).view(np.uint8)[-1] ^= 1  # one bit of the last number
        changed = {**fields, name: jax.tree.unflatten(tree, [*leaves[:-1], bits])}
        assert checkpoint.digest(changed) != before, name
    renamed = {**fields, "hp": {f"{name}_": value for name, value in fields["hp"].items()}}
    assert checkpoint.digest(renamed) != before, "names count"
    ways = {"names": lambda x: {"other": x}, "types": lambda x: x.view(np.int32), "shapes": np.ravel}
    for what, change in ways.items():
        same_bytes = {**fields, "params": jax.tree.map(change, fields["params"])}
        assert checkpoint.digest(same_bytes) != before, f"{what} count"


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"hp": Hp(r1=0.1, ema_half_life=50.0, g_lr=3e-4)}], ids=["seed", "rate"]
)
def test_another_seed_or_number_is_another_run(base, tmp_path, change):
    trained(tmp_path / "run", steps=4, **change)
    assert digests(tmp_path / "run")[4] != digests(base[0])[4]


def test_logging_and_dispatches_change_nothing(base, tmp_path):
    other = trained(tmp_path / "run", log_every=3, chunk=5, sample_every=6, checkpoint_every=6, keep=1)
    assert sorted(digests(tmp_path / "run")) == [6, 12]
    assert digests(tmp_path / "run")[12] == digests(base[0])[12]
    assert_same_bits(other, base[1])
    single = trained(tmp_path / "single", chunk=1, checkpoint_every=8)
    assert digests(tmp_path / "single") == {at: digests(base[0])[at] for at in (8, 12)}
    assert_same_bits(single, base[1])


def test_streamed_rows_are_those_of_the_device():
    """Batches of both paths are equal bit for bit, with each example's own randomness (a mirrored image here)."""
    r = np.random.default_rng(0)
    s = data.from_arrays(r.integers(0, 256, (50, 6, 6, 1), np.uint8), r.integers(0, 3, 50), flip=True)
    key, everything = rng.root(3), jax.tree.map(jnp.asarray, s.rows(np.arange(50)))
    on_host = feed.indices(s, 3, 2, 8)(5, 4)
    assert on_host.shape == (4, 2, 8)
    device = jax.jit(lambda step: feed.from_device(s, everything, key, step, 2, 8, 8))
    host = jax.jit(lambda rows, step: feed.from_host(s, rows, key, step, 2, 8))
    seen = []
    for i in range(4):
        rows = s.rows(on_host[i])
        a, b = device(5 + i), host(rows, 5 + i)
        np.testing.assert_array_equal(a["x"], b["x"])
        np.testing.assert_array_equal(a["y"], b["y"])
        unmirrored = rows["x"] / 127.5 - 1
        seen.append((abs(a["x"] - unmirrored) > 1e-3).any((2, 3, 4)))
    assert 0.2 < np.mean(seen) < 0.8, "about half of the images are mirrored"
    np.testing.assert_array_equal(feed.indices(s, 3, 2, 8)(7, 1)[0], on_host[2])


def test_an_example_draws_anew_each_time_it_is_seen():
    """Points of a density never repeat, and a row is mirrored in some epochs and not in others."""
    toy = data.open_source("ring8")
    draw = jax.jit(lambda i: feed.from_device(toy, {}, rng.root(0), i, 2, 8, 8)["x"])
    drawn = [np.asarray(draw(i)) for i in range(3)]
    assert len(np.unique(np.concatenate(drawn).reshape(-1, 2), axis=0)) == 3 * 2 * 8
    one = data.from_arrays(np.arange(6, dtype=np.uint8).reshape(1, 1, 6), flip=True)
    draw = jax.jit(lambda rows: feed.from_device(one, rows, rng.root(0), 0, 100, 1, 1)["x"])
    seen = np.asarray(draw(one.rows(np.arange(1))))[:, 0, 0, :, 0]
    assert 30 < (seen[:, 0] < seen[:, 1]).sum() < 70


@pytest.mark.parametrize("chunk", [0, 3, pytest.param(8, marks=pytest.mark.slow)])  # as users get it
def test_streaming_gives_the_run_of_the_device(base, tmp_path, chunk):
    streamed = trained(tmp_path / "run", feed="stream", chunk=chunk)
    assert digests(tmp_path / "run") == digests(base[0])
    assert_same_bits(streamed, base[1])


def test_steps_raised_later_are_one_long_run(base, tmp_path):
    assert int(trained(tmp_path / "run", steps=7).state.step) == 7
    longer = trained(tmp_path / "run", steps=12)
    found = digests(tmp_path / "run")
    assert sorted(found) == [4, 7, 8, 12]
    assert {at: found[at] for at in (4, 8, 12)} == digests(base[0])
    assert_same_bits(longer, base[1])


@pytest.mark.parametrize("way", ["device", "stream"])
def test_stopped_and_resumed_equals_uninterrupted(base, tmp_path, monkeypatch, way):
    class StopSoon(signals.Stop):
        asked = 0

        def agreed(self):
            StopSoon.asked += 1
            if StopSoon.asked == 6:
                signal.raise_signal(signal.SIGTERM)
            return super().agreed()

    monkeypatch.setattr(train, "Stop", StopSoon)
    stopped = trained(tmp_path / "run", chunk=1, feed=way)
    assert int(stopped.state.step) == 5 and max(digests(tmp_path / "run")) == 5
    monkeypatch.undo()
    resumed = trained(tmp_path / "run", feed=way)
    assert_same_bits(resumed, base[1])
    found = digests(tmp_path / "run")
    assert {at: found[at] for at in (4, 8, 12)} == digests(base[0])
    steps = [row["step"] for row in log.read(tmp_path / "run" / "metrics.jsonl") if "digest" not in row]
    assert steps == [4, 8, 12], "no row is lost or written twice"


EMPTY = Solver._field_defaults["init"]  # the others resume like alternating, above
REMEMBER = [pytest.param(n, marks=pytest.mark.slow) if s.init is EMPTY else n for n, s in SOLVERS.items()]


@pytest.mark.parametrize("solver", REMEMBER)
def test_a_resumed_run_has_the_memory_of_its_solver(tmp_path, solver):
    """The last step or gradients, and where lookahead began: after 3 of its 5 steps none is what it is at first."""
    c = dataclasses.replace(BASE, kind="plain", solver=solver, d_steps=1, steps=6, checkpoint_every=3, hp=Hp(g_lr=0.01))
    whole = trained(tmp_path / "run", c)
    shutil.rmtree(tmp_path / "run" / "checkpoints" / f"{6:08d}")
    start = jaxgan.load(tmp_path / "run").state
    assert int(start.step) == 3
    fresh = SOLVERS[solver].init(whole.game, start.params)
    pairs = zip(jax.tree.leaves(start.memory), jax.tree.leaves(fresh), strict=True)
    assert any((a != b).any() for a, b in pairs) == (SOLVERS[solver].init is not EMPTY), "nothing could be forgotten"
    assert_same_bits(trained(tmp_path / "run", c), whole)


def test_a_finished_run_is_returned_as_it_is(base, tmp_path):
    first = trained(tmp_path / "run", steps=4)
    before = (tmp_path / "run" / "metrics.jsonl").read_text()
    assert_same_bits(trained(tmp_path / "run", steps=4), first)
    assert (tmp_path / "run" / "metrics.jsonl").read_text() == before


def test_load_returns_the_run(base):
    loaded = jaxgan.load(base[0])
    assert_same_bits(loaded, base[1])
    assert loaded.config == base[1].config and loaded.env == base[1].env
    np.testing.assert_array_equal(loaded.sample(5, seed=3), base[1].sample(5, seed=3))


def test_samples_depend_on_seed_and_index_alone(base):
    trained = base[1]
    x = trained.sample(9, seed=1)
    assert x.shape == (9, 6, 6, 1) and (abs(x) <= 1).all()
    np.testing.assert_array_equal(x, trained.sample(9, seed=1))
    np.testing.assert_allclose(trained.sample(4, seed=1), x[:4], atol=1e-6)
    assert abs(trained.sample(9, seed=2) - x).max() > 1e-3
    z, y = run.latents(trained.game, 9, seed=1), np.arange(9) % 3
    for ema, nets in ((True, trained.state.ema), (False, step.shown(trained.game, trained.state))):
        expected = np.asarray(run.generate(trained.game, nets, z, y))
        np.testing.assert_allclose(trained.sample(9, seed=1, ema=ema), expected, atol=1e-6)
    assert abs(expected - x).max() > 1e-5, "the average is another generator than the last"
    np.testing.assert_allclose(trained.sample(300, seed=1)[:9], x, atol=1e-6)  # drawn in parts of 256
    close = np.asarray(run.latents(trained.game, 50, 1, truncation=0.5))
    assert abs(close).max() <= 0.5 and len(np.unique(close[:, 0])) == 50


def test_fit_is_a_function_of_its_arrays_and_seed():
    r = np.random.default_rng(0)
    points = r.normal(size=(40, 2)).astype(np.float32)
    settings = {"steps": 3, "width": 8, "batch": 8, "quiet": True, "g_lr": 0.01}
    a, b, c = (jaxgan.fit(points, seed=seed, **settings) for seed in (0, 0, 1))
    assert digest(a) == digest(b) != digest(c)
    np.testing.assert_array_equal(a.sample(6, seed=2), b.sample(6, seed=2))
    assert a.config.hp.g_lr == 0.01 and a.config.kind == "plain" and int(a.state.step) == 3 and a.dir is None
    moved = jaxgan.fit(points + 1, seed=0, **settings)
    assert digest(moved) != digest(a)


def says():
    lines = []
    return lines, lines.append


def test_verify_agrees(base):
    lines, say = says()
    assert verify(base[0], source(), say=say) == 3
    assert "3 digests up to step 12 agree" in lines[-1]
    assert verify(base[0], source(), steps=8, say=say) == 2


def tampered(dir, step, text):
    """Another digest in the row of that step."""
    path = dir / "metrics.jsonl"
    rows = log.read(path)
    for row in rows:
        if row["step"] == step and "digest" in row:
            row["digest"] = text
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_verify_reports_the_first_difference(tmp_path):
    trained(tmp_path / "run")
    original = digests(tmp_path / "run")
    tampered(tmp_path / "run", 12, "e" * 64)
    tampered(tmp_path / "run", 8, "d" * 64)
    with pytest.raises(JaxganError, match="first difference at step 8: recorded dddddddddddd") as e:
        verify(tmp_path / "run", source(), say=lambda text: None)
    assert original[8][:12] in str(e.value) and "in the same environment" in str(e.value)
    assert verify(tmp_path / "run", source(), steps=4, say=lambda text: None) == 1
    with pytest.raises(JaxganError, match="fingerprint"):
        verify(tmp_path / "run", source(1), say=lambda text: None)
    with pytest.raises(JaxganError, match="no digest up to step 3"):
        verify(tmp_path / "run", source(), steps=3)


@pytest.mark.parametrize("way", ["device", "stream"])
def test_verify_knows_runs_that_were_extended(tmp_path, way):
    """The first end, 7, is no multiple of anything; and asking for fewer steps later leaves the record as it is."""
    for steps in (7, 10, 5):
        trained(tmp_path / "run", steps=steps, feed=way, checkpoint_every=50, log_every=50)
    assert sorted(digests(tmp_path / "run")) == [7, 10]
    assert verify(tmp_path / "run", source(), say=lambda text: None) == 2


FLAG = "xla_gpu_deterministic_ops"


@pytest.mark.parametrize(
    ("flags", "options", "reproducible"),
    [
        ("", {FLAG: True}, True),
        ("--xla_dump_to=d", {FLAG: True}, True),
        (f"--{FLAG}=false", {}, False),
        (f"--{FLAG}=true", {}, True),
    ],
)
def test_gpus_sum_in_a_fixed_order_unless_told_otherwise(monkeypatch, flags, options, reproducible):
    monkeypatch.setenv("XLA_FLAGS", flags)
    assert parallel.compiler_options() == {} and parallel.reproducible(), "nothing to ask of a CPU"
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert (parallel.compiler_options(), parallel.reproducible()) == (options, reproducible)
    assert os.environ["XLA_FLAGS"] == flags


def test_a_compiler_that_does_not_know_is_not_asked_and_the_run_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(parallel, "DETERMINISTIC", "xla_gpu_such_a_thing_is_not")
    assert parallel.compiler_options() == {} and not parallel.reproducible()
    said = []
    monkeypatch.setattr(train.log, "show", said.append)
    train.run(dataclasses.replace(BASE, steps=1), tmp_path / "run", source())
    assert [text for text in said if "the same seed may give other bits" in text]


@pytest.mark.parametrize("mode", ["one", "pmap", "jit"])
def test_every_way_to_compile_passes_the_options_on(monkeypatch, mode):
    """An option that no XLA knows has to arrive to be refused."""
    monkeypatch.setattr(parallel, "compiler_options", lambda: {"xla_gpu_such_a_thing_is_not": True})
    devices = {"one": parallel.one, "pmap": lambda: parallel._pmap(1), "jit": lambda: parallel._jit(1)}[mode]()
    call = devices.compile(lambda rows, state, n: (state + n, rows), False)
    with pytest.raises(jax.errors.JaxRuntimeError, match="such_a_thing"):
        call(np.zeros((1, 1, 1)), np.zeros(1), np.int32(1))


def test_importing_changes_no_environment():
    program = "import os; before = dict(os.environ); import jaxgan, jaxgan.train; print(before == dict(os.environ))"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["True"]


def test_what_was_drawn_once_is_drawn_again_without_compiling(base):
    compiled = []

    def note(name, seconds, **about):
        compiled.append(name) if "backend_compile" in name else None

    loaded = jaxgan.load(base[0])
    jax.monitoring.register_event_duration_secs_listener(note)
    try:
        first = loaded.sample(8)
        assert compiled, "the listener hears nothing"
        compiled.clear()
        np.testing.assert_array_equal(loaded.sample(8), first)
        loaded.sample(8, seed=1, labels=np.zeros(8, int))
        moved = loaded.at(dataclasses.replace(loaded.state, ema=jax.tree.map(lambda x: x + 1, loaded.state.ema)))
        compiled.clear()  # of the sums
        assert not np.array_equal(moved.sample(8), first)
        assert not compiled
    finally:
        jax.monitoring.unregister_event_duration_listener(note)


def test_opening_a_run_runs_nothing(base, tmp_path, monkeypatch):
    """A folder from a stranger: code beside the files, code in the configuration, and no pickle on the way."""
    dir, trace = tmp_path / "run", tmp_path / "trace"
    trained(dir, steps=4)
    payload = f"open({str(trace)!r}, 'w').close()"
    for name in ("config.py", "__init__.py", "env.py", "sitecustomize.py", "checkpoints/checkpoint.py"):
        (dir / name).write_text(payload)
    values = json.loads((dir / "config.json").read_text())
    (dir / "config.json").write_text(json.dumps({**values, "data": f"__import__('os'); {payload}"}))
    import pickle

    def refuse(*args, **kwargs):
        raise AssertionError("unpickled")

    monkeypatch.setattr(pickle, "load", refuse)
    monkeypatch.setattr(pickle, "loads", refuse)
    monkeypatch.chdir(dir)
    loaded = jaxgan.load(".")
    assert loaded.sample(2).shape == (2, 6, 6, 1)
    assert loaded.config.data.startswith("__import__") and not trace.exists()
    (dir / "config.json").write_text(json.dumps({**values, "loss": payload}))
    with pytest.raises(JaxganError, match="choose from"):
        config.load(dir / "config.json")
    assert not trace.exists()
