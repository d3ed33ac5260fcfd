"""Devices change nothing: 1, 2, 4 and 8, under pmap and jit, in one process and in two, follow one trajectory."""

import json
import os
import re
import signal
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import jax
import numpy as np
import pytest
from processes import ENDLESS, digests, pair, python, rows, steps_saved

import jaxgan
from jaxgan import checkpoint

STEPS = 50
COUNTS = (2, 4, 8)
TOLERANCE = 1e-5  # largest absolute difference of any parameter

# In float32 a DCGAN under Adam at 2e-4 differs by 3e-5 to 6e-4 after 50 steps: a rectifier's exact derivative turns one
# rounding error at its kink into a finite difference, and Adam turns gradients that are nothing but rounding into full
# steps. In float64 the same run agrees to 1e-15, so it is rounding and nothing else that depends on devices. "wide" is
# float64.
CASES = {
    "ring": {"net": "mlp", "data": "ring8", "latent": 2, "width": 32, "hp": {"g_lr": 1e-3, "d_lr": 1e-3}},
    "dcgan": {"net": "dcgan", "data": "mnist5k", "latent": 16, "width": 8, "hp": {"g_lr": 2e-5, "d_lr": 2e-5}},
    "unequal": {
        **{"kind": "conditional", "net": "dcgan", "data": "mnist5k", "latent": 16, "width": 8},
        **{"fake_batch": 64, "optimizer": "sgd", "hp": {"g_lr": 1e-3, "d_lr": 1e-3}},
    },
    "pairs": {
        **{"net": "mlp", "data": "mnist5k", "latent": 8, "width": 16, "feed": "stream", "flip": True, "d_steps": 2},
        **{"loss": "rpgan", "hp": {"wgan_gp": 1.0}},
    },
    "wide": {"net": "dcgan", "data": "mnist5k", "latent": 16, "width": 8, "hp": {"g_lr": 2e-4, "d_lr": 2e-4}},
}
PLAN = {
    1: list(CASES),
    2: ["ring", "dcgan", "wide"],
    4: ["ring", "pairs", "wide"],
    8: ["ring", "unequal", "wide"],
}

WORKER = """
import json, sys
import jax, jax.numpy as jnp, numpy as np
from jaxgan import checkpoint, config, games, parallel, program, rng
from jaxgan.data import feed
from jaxgan.state import initial
from jaxgan.data import of_config

out, steps, cases, modes = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3]), sys.argv[4].split(",")

def first(source, c, d):
    # the first update's real examples and noise, in global order
    n, key = parallel.share(c.batch, d), rng.root(c.seed)
    rows = source.rows(np.arange(source.size)) if source.size else {}
    def make(rows):
        x = feed.from_device(source, rows, key, 0, 1, c.batch, n, d.axis)["x"][0]
        return x, rng.normal(rng.stream(key, "z"), n, (c.latent,), d.axis)
    if d.mode == "pmap":
        made = jax.pmap(lambda _, r: make(r), axis_name=d.axis, in_axes=(0, None))(np.zeros(d.count), rows)
        return [np.asarray(a).reshape(-1, *a.shape[2:]) for a in made]
    return [np.asarray(a) for a in jax.jit(make)(rows)]

def widened(tree):
    # float64 where it is switched on; x is widened too, so that nothing is computed in less
    wide = lambda a: a.astype(float) if jnp.issubdtype(a.dtype, jnp.floating) else a
    return jax.tree.map(wide, tree)

def opened(c):
    source = of_config(c)[0]
    return source._replace(finish=lambda rows, keys: widened(source.finish(rows, keys)))

for mode in modes:
    for name, values in cases.items():
        jax.config.update("jax_enable_x64", name == "wide")
        c = config.from_dict({"batch": 32, **values, "parallel": mode, "chunk": 5, "steps": steps,
                              "log_every": 10**6, "checkpoint_every": 10**6, "sample_every": 0})
        source, d = opened(c), parallel.devices(c.parallel)
        assert d.mode == (mode if jax.device_count() > 1 else "one")
        game = games.make(c, source.shape, source.classes, d.axis)
        run, step = program.build(game, source, c, d), 0
        state = d.replicate(widened(initial(game, c, source.shape)))
        while step < steps:
            n = run.length(step)
            state, metrics = run.advance(state, step, n)
            jax.block_until_ready(metrics)
            step += n
        fields = checkpoint.to_host(state)
        arrays = {jax.tree_util.keystr(p): a for p, a in jax.tree.leaves_with_path(fields)}
        x, z = first(source, c, d)
        np.savez(f"{out}-{mode}-{name}.npz", x=x, z=z, **arrays)
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(devices, mode, case) -> {array: value}, after STEPS steps."""
    dir = tmp_path_factory.mktemp("devices")

    @cache
    def work(wide):
        def one(devices):
            cases = json.dumps({name: CASES[name] for name in PLAN[devices] if (name == "wide") == wide})
            python(WORKER, devices, dir / str(devices), STEPS, cases, "pmap" if devices == 1 else "pmap,jit")

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(one, PLAN))

    def load(devices, mode, case):
        work(case == "wide")
        return dict(np.load(dir / f"{devices}-{mode}-{case}.npz"))

    return load


def slow_if_wide(*values):
    return pytest.param(*values, marks=pytest.mark.slow if values[-1] == "wide" else [])


PARAMETERS = [slow_if_wide(n, mode, case) for n in COUNTS for mode in ("pmap", "jit") for case in PLAN[n]]


@pytest.mark.parametrize("devices, mode, case", PARAMETERS)
def test_the_trajectory_is_that_of_one_device(trained, devices, mode, case):
    one, many = trained(1, "pmap", case), trained(devices, mode, case)
    assert one.keys() == many.keys() and one["['step']"] == STEPS
    np.testing.assert_array_equal(many["x"], one["x"])
    np.testing.assert_array_equal(many["z"], one["z"])
    names = [name for name in one if name.startswith(("['params']", "['ema']"))]
    differences = {name: np.abs(many[name] - one[name]).max() for name in names}
    worst = max(differences, key=differences.get)
    tolerance = 1e-12 if case == "wide" else TOLERANCE
    assert differences[worst] <= tolerance, f"{worst} differs by {differences[worst]:.1e}"
    assert any((many[name] != one[name]).any() for name in names) or devices == 1  # they were not the same program
    assert (one[names[0]].dtype == np.float64) == (case == "wide")


@pytest.mark.parametrize("case", ["ring", slow_if_wide("wide")])
def test_training_moved_the_parameters(trained, case):
    """By far more than the tolerance: agreement says something."""
    end = {name: value for name, value in trained(1, "pmap", case).items() if name.startswith("['params']")}
    assert all(np.abs(value).max() > 100 * TOLERANCE for name, value in end.items() if name.endswith("['bias']"))


# What follows goes through the command line.


@pytest.fixture(scope="module")
def experiments(tmp_path_factory):
    """Case -> an experiment file."""
    dir = tmp_path_factory.mktemp("experiments")
    common = {"batch": 32, "chunk": 5, "steps": STEPS, "log_every": 10, "checkpoint_every": 20, "sample_every": 0}
    for name, values in CASES.items():
        values = json.dumps({**common, **values})
        (dir / f"{name}.py").write_text(
            "import json\nfrom jaxgan.config import from_dict\n"
            f"def config():\n    return from_dict(json.loads('''{values}'''))\n"
        )
    return dir


RESUME = """
import sys, dataclasses
from jaxgan import cli, checkpoint, log, train
first = []
loop = train._loop
def watched(c, dir, source, devices, compiled, state, *rest):
    print("restored", checkpoint.digest(checkpoint.to_host(devices.replicate(state))))
    return loop(c, dir, source, devices, compiled, state, *rest)
train._loop = watched
cli.main(sys.argv[1:])
"""


def test_a_run_goes_on_over_another_number_of_devices(experiments, tmp_path):
    """4 devices, then 1, then 2 under jit: the same state each time, bit for bit, and the trajectory of one device."""
    dir = tmp_path / "run"
    digest = None
    for devices, steps, mode in ((4, 20, "pmap"), (1, 40, "pmap"), (2, STEPS, "jit")):
        args = ["train", experiments / "ring.py", "--dir", dir, "--steps", steps, "--parallel", mode]
        out = python(RESUME, devices, *args)
        assert f"devices: {devices} x cpu" in out
        if digest:
            assert f"restored {digest}" in out
        digest = digests(dir)[steps]
        assert checkpoint.digest(checkpoint.to_host(jaxgan.load(dir).state)) == digest
    assert [len(start["devices"]) for start in json.loads((dir / "env.json").read_text())["starts"]] == [4, 1, 2]
    alone = tmp_path / "alone"
    python(RESUME, 1, "train", experiments / "ring.py", "--dir", alone)
    assert largest_difference(jaxgan.load(dir), jaxgan.load(alone)) <= TOLERANCE


def largest_difference(a, b):
    pairs = zip(
        jax.tree.leaves((a.state.params, a.state.ema)), jax.tree.leaves((b.state.params, b.state.ema)), strict=True
    )
    return max(np.abs(np.asarray(x) - np.asarray(y)).max() for x, y in pairs)


@pytest.mark.slow
def test_two_processes(trained, experiments, tmp_path):
    runs = [("ring", "pmap"), ("dcgan", "jit"), ("pairs", "jit")]
    runs = [(case, mode, tmp_path / f"{case}-{mode}") for case, mode in runs]
    commands = [("train", experiments / f"{c}.py", "--dir", dir, "--parallel", mode) for c, mode, dir in runs]
    with pair(tmp_path, *commands) as both:
        assert both.wait() == [0, 0], both.texts
    texts = both.texts
    assert texts[0].count("finished 50 steps") == len(runs) and texts[0].count("devices: 4 x cpu") == len(runs)
    for word in ("training", "finished", "step 10"):  # only process 0 speaks
        assert word not in texts[1]
    for case, mode, dir in runs:
        one, state = trained(1, "pmap", case), jaxgan.load(dir).state
        arrays = {jax.tree_util.keystr(p): x for p, x in jax.tree.leaves_with_path(checkpoint.to_host(state))}
        names = [name for name in one if name.startswith(("['params']", "['ema']"))]
        worst = max(np.abs(arrays[name] - one[name]).max() for name in names)
        assert worst <= TOLERANCE, f"{case} under {mode}: {worst:.1e}"
        # and only process 0 writes, once
        assert steps_saved(dir) == [20, 40, 50]
        assert [row["step"] for row in rows(dir) if "digest" in row] == [20, 40, 50]
        assert [row["step"] for row in rows(dir) if "d_loss" in row] == [10, 20, 30, 40, 50]
        assert {p.name for p in (dir / "checkpoints").glob("*/state/ocdbt.process_*")} == {"ocdbt.process_0"}
        assert len(json.loads((dir / "env.json").read_text())["starts"]) == 1


@pytest.mark.parametrize("told", [pytest.param((0, 1), marks=pytest.mark.slow), (1,)], ids=["both", "one"])
def test_a_signal_stops_all_processes_at_one_step(experiments, tmp_path, told):
    dir = tmp_path / "run"
    command = ["train", experiments / "ring.py", "--dir", dir, "--steps", ENDLESS]
    with pair(tmp_path, command) as both:
        assert both.until(lambda: digests(dir)), both.texts
        for i in told:
            both.signal(i, signal.SIGTERM)
        assert both.wait() == [0, 0], both.texts
    step = int(re.search(r"stopped at step (\d+) and saved", both.texts[0]).group(1))
    assert max(steps_saved(dir)) == step == max(digests(dir))
    assert checkpoint.digest(checkpoint.to_host(jaxgan.load(dir).state)) == digests(dir)[step]


def test_a_bad_start_ends_all_processes_with_its_message(experiments, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("mine")
    with pair(tmp_path, ["train", experiments / "ring.py", "--dir", tmp_path / "run"]) as both:
        assert both.wait() == [2, 2], both.texts
    assert "holds other files (thesis.tex)" in both.texts[0]
    assert "another process of this run could not start" in both.texts[1]
    assert os.listdir(tmp_path / "run") == ["thesis.tex"]
