"""Devices change nothing: 1, 2, 4 and 8, under pmap and jit, in one process and in two, follow one trajectory."""

import dataclasses
import json
import os
import re
import signal

import jax
import numpy as np
import pytest
from flax import linen as nn

import jaxgan
from jaxgan import checkpoint, parallel, train
from jaxgan.errors import JaxganError
from jaxgan.experiment import experiment
from processes import ENDLESS, SMOOTH, digests, pair, python, rounding, rows, steps_saved

STEPS = 50
CASES = {
    "ring": {"net": "mlp", "data": "ring8", "latent": 2, "width": 32},
    "dcgan": {"net": "dcgan", "data": "mnist5k", "size": 16, "latent": 16, "width": 4},
    "unequal": {
        **{"kind": "conditional", "net": "dcgan", "data": "mnist5k", "size": 16, "latent": 16, "width": 4},
        **{"fake_batch": 64},
    },
    "pairs": {
        **{"net": "mlp", "data": "mnist5k", "latent": 8, "width": 16, "feed": "stream", "flip": True, "d_steps": 2},
        **{"loss": "rpgan", "hp": {"wgan_gp": 1.0}},
    },
}
# In float64 the runs of Adam agree to 1e-15, and a thousand times that can be nothing but rounding either. In float32
# they agree less: a rectifier's exact derivative turns one rounding error at its kink into a finite difference, and
# Adam turns gradients that are nothing but rounding into full steps, 2e-5 where all else agrees to 1e-7. So float32 has
# rectifiers without a kink (SMOOTH), and SGD, at a rate at which steps do not amplify: 50 of dcgan's in float64 end
# 2e-16 apart, at 0.02 it is 7e-13.
ADAM = {"hp": {"g_lr": 1e-3, "d_lr": 1e-3}}
SGD = {"optimizer": "sgd", "hp": {"g_lr": 0.005, "d_lr": 0.005}}
EXACT = 1e-12
LAYOUTS = [(n, mode) for n in (2, 4, 8) for mode in ("pmap", "jit", "zero1")]
TABLE = [(*layout, case, 64) for layout in LAYOUTS for case in CASES]
TABLE += [(*layout, case, 32) for layout, case in zip(LAYOUTS, 3 * [*CASES])]
# each mode, and the hardest cases; float32 is below, where a run goes on over other devices
QUICK = [(4, "pmap", "pairs", 64), (8, "jit", "unequal", 64), (8, "zero1", "dcgan", 64)]


WORKER = """
import json, sys
import jax, jax.numpy as jnp, numpy as np
from flax import linen as nn
from jaxgan import checkpoint, config, games, parallel, program, rng
from jaxgan.data import feed
from jaxgan.state import initial
from jaxgan.data import of_config

kinks = nn.relu, nn.leaky_relu

def first(source, c, d):
    # the first update's real examples and noise, in global order
    n, key = parallel.share(c.batch, d), rng.root(c.seed)
    rows = source.rows(np.arange(source.size)) if source.size else {}
    def make(rows):
        x = feed.from_device(source, rows, key, 0, 1, c.batch, n, d.axis)["x"][0]
        return x, rng.normal(rng.stream(key, "z"), n, (c.latent,), d.axis)
    if d.mode == "pmap":
        made = jax.pmap(lambda _, r: make(r), axis_name=d.axis, in_axes=(0, None))(np.zeros(d.count), rows)
        made = [a.reshape(-1, *a.shape[2:]) for a in made]
    else:
        made = jax.jit(make)(rows)
    return dict(zip(("x", "z"), map(np.asarray, made)))

def widened(tree):
    # float64 where it is switched on; x is widened too, so that nothing is computed in less
    wide = lambda a: a.astype(float) if jnp.issubdtype(a.dtype, jnp.floating) else a
    return jax.tree.map(wide, tree)

def opened(c):
    source = of_config(c)[0]
    return source._replace(finish=lambda rows, keys: widened(source.finish(rows, keys)))

def named(tree, name):
    return {name + jax.tree_util.keystr(p): np.array(a) for p, a in jax.tree.leaves_with_path(tree)}

for path, bits, values in json.loads(sys.argv[1]):
    jax.config.update("jax_enable_x64", bits == 64)
    nn.relu, nn.leaky_relu = kinks
    if bits == 32:
        SMOOTH
    c = config.from_dict(values)
    source, d = opened(c), parallel.devices(c.parallel)
    assert d.mode == (c.parallel if jax.device_count() > 1 else "one")
    game = games.make(c, source.shape, source.classes, d.axis)
    run, step = program.build(game, source, c, d), 0
    state = widened(initial(game, c, source.shape))
    start, state = named(state.params, "start"), d.place(state)
    while step < c.steps:
        n = run.length(step)
        state, metrics = run.advance(state, step, n)
        jax.block_until_ready(metrics)  # virtual devices may hang with many collectives in flight
        step += n
    fields, moments = checkpoint.to_host(state), jax.tree.leaves(state.opt)
    kept = sum(x.addressable_data(0).size for x in moments) / max(1, sum(x.size for x in moments))
    saved = start | named(fields["params"], "end") | named(fields["ema"], "ema")
    saved |= {"step": fields["step"], "kept": kept}
    np.savez(path, **saved, **(first(source, c, d) if c.flip else {}))
"""


def settings(mode, case, bits) -> dict:
    """Of a run in float32 or float64."""
    common = {"batch": 32, "parallel": mode, "chunk": 5, "steps": STEPS, "sample_every": 0}
    values, rates = CASES[case], SGD if bits == 32 else ADAM
    return {**common, **values, **rates, "hp": {**values.get("hp", {}), **rates["hp"]}}


@pytest.fixture(scope="module")
def trained(request, tmp_path_factory):
    """(devices, mode, case, bits) -> {array: value} after STEPS steps."""
    dir, mine = (
        tmp_path_factory.mktemp("devices"),
        [item for item in request.session.items if item.path == request.path],
    )
    asked = {tuple(item.callspec.params.get("layout", ())) for item in mine if hasattr(item, "callspec")} - {()}
    asked |= {(1, "pmap", *what) for _, _, *what in asked}

    def path(layout):
        return dir / f"{'-'.join(map(str, layout))}.npz"

    def load(*layout):
        if not path(layout).exists():  # with all that so many devices are asked for
            layouts = sorted({layout} | {one for one in asked if one[0] == layout[0]})
            jobs = [(str(path(one)), one[-1], settings(*one[1:])) for one in layouts]
            python(WORKER.replace("SMOOTH", SMOOTH), layout[0], json.dumps(jobs))
        return dict(np.load(path(layout)))

    return load


def slow_unless_quick(layout):
    marks = [] if layout in QUICK else pytest.mark.slow
    return pytest.param(layout, id="-".join(map(str, layout)), marks=marks)


def names(arrays):
    return [name for name in arrays if name.startswith(("end", "ema"))]


@pytest.mark.parametrize("layout", [slow_unless_quick(layout) for layout in TABLE])
def test_the_trajectory_is_that_of_one_device(trained, layout):
    (*_, bits), one, many = layout, trained(1, "pmap", *layout[2:]), trained(*layout)
    assert one.keys() == many.keys() and one["step"] == many["step"] == STEPS
    for name in one.keys() & {"x", "z"}:
        np.testing.assert_array_equal(many[name], one[name])
    differences = {name: np.abs(many[name] - one[name]).max() for name in names(one)}
    worst = max(differences, key=differences.get)
    tolerance = EXACT if bits == 64 else rounding(max(np.abs(one[name]).max() for name in names(one)))
    assert differences[worst] <= tolerance, f"{worst} differs by {differences[worst]:.1e}"
    assert differences[worst] > 0  # they were not the same program
    least, most = (0, 1.5 / layout[0]) if layout[1] == "zero1" else (1, 1)  # SGD has no moments
    assert least * one["kept"] <= many["kept"] <= most * one["kept"]
    assert all(one[name].dtype == f"float{bits}" for name in names(one))
    moved = max(np.abs(one[name] - one[name.replace("end", "start", 1)]).max() for name in one if name[:3] == "end")
    assert moved > 1000 * tolerance  # agreement says something


PRODUCTS = """
import json, sys
from functools import partial
import jax
from jaxgan import config, games, hlo, parallel, program
from jaxgan.data import of_config
from jaxgan.state import initial

c = config.from_dict(json.loads(sys.argv[1]))
source = of_config(c)[0]
for mode in ("jit", "zero1"):
    d = parallel.devices(mode)
    game = games.make(c, source.shape, source.classes, d.axis)
    state = jax.eval_shape(partial(initial, game, c, source.shape))
    text = program.build(game, source, c, d).lower(state).compile().as_text()
    print(sorted(sizes for _, *sizes in hlo.products(text)))
"""


def test_what_splits_moments_leaves_the_networks_products_as_they_are():
    """XLA would carry the split of Adam's moments through gradients and updates into layers, and back by copies."""
    jit, zero1 = python(PRODUCTS, 4, json.dumps(settings("auto", "ring", 64))).splitlines()
    assert jit == zero1 and jit.count("[") > 10


# What follows goes through the command line.


def test_split_moments_are_looked_at_and_verified(experiments, tmp_path):
    """By what needs the whole state of a run, and what replays it from the start."""
    dir, cli = tmp_path / "run", "import sys; from jaxgan import cli; cli.main(sys.argv[1:])"
    looks = ["--diagnose-every", 10, "--eval-every", 10, "--sample-every", 10]
    adam = ["--optimizer", "adam", "--steps", 20, "--parallel", "zero1"]
    out = python(cli, 4, "train", experiments / "ring.py", "--dir", dir, *adam, *looks)
    assert "failed" not in out and "devices: 4 x cpu, zero1" in out
    for name in ("diagnosis/", "modes"):
        assert {row["step"] for row in rows(dir) if any(key.startswith(name) for key in row)} == {10, 20}
    assert "agree" in python(cli, 4, "verify", dir)


@pytest.fixture(scope="module")
def experiments(tmp_path_factory):
    """Case -> an experiment file."""
    dir = tmp_path_factory.mktemp("experiments")
    common = {"log_every": 10, "checkpoint_every": 20}
    for name in CASES:
        values = json.dumps({**settings("auto", name, 32), **common})
        (dir / f"{name}.py").write_text(
            "import json\nfrom jaxgan.config import from_dict\n"
            f"def config():\n    return from_dict(json.loads('''{values}'''))\n"
        )
    return dir


GO_ON = """
import sys
SMOOTH
from jaxgan import cli, checkpoint, train
loop = train._loop
def watched(c, dir, source, devices, compiled, state, *rest):
    print("restored", checkpoint.digest(checkpoint.to_host(devices.place(state))))
    return loop(c, dir, source, devices, compiled, state, *rest)
train._loop = watched
cli.main(sys.argv[1:])
"""


@pytest.fixture
def smooth(monkeypatch):
    """SMOOTH, in this process."""
    for name in ("relu", "leaky_relu"):
        monkeypatch.setattr(nn, name, getattr(nn, name))
    exec(SMOOTH)


def test_a_run_goes_on_over_another_number_of_devices(experiments, smooth, tmp_path):
    """4 devices, then 1, then 2 under jit: the same state each time, bit for bit, and the trajectory of one device."""
    dir, digest, c = tmp_path / "run", None, experiment(experiments / "ring.py")[0]
    for devices, steps, mode in ((4, 20, "pmap"), (1, 40, "pmap"), (2, STEPS, "jit")):
        if devices == 1:
            train.run(dataclasses.replace(c, steps=steps), dir, quiet=True)
        else:
            args = ["train", experiments / "ring.py", "--dir", dir, "--steps", steps, "--parallel", mode]
            out = python(GO_ON.replace("SMOOTH", SMOOTH), devices, *args)
            assert f"devices: {devices} x cpu" in out
            assert digest is None or f"restored {digest}" in out
        digest = digests(dir)[steps]
        assert checkpoint.digest(checkpoint.to_host(jaxgan.load(dir).state)) == digest
    assert [len(start["devices"]) for start in json.loads((dir / "env.json").read_text())["starts"]] == [4, 1, 2]
    alone = train.run(c, tmp_path / "alone", quiet=True)
    one, many = (jax.flatten_util.ravel_pytree(run.state.params)[0] for run in (alone, jaxgan.load(dir)))
    assert np.abs(one - many).max() <= rounding(np.abs(one).max())


@pytest.mark.slow
def test_two_processes(trained, experiments, tmp_path):
    runs = [("ring", "pmap"), ("dcgan", "jit"), ("pairs", "jit")]
    runs = [(case, mode, tmp_path / f"{case}-{mode}") for case, mode in runs]
    commands = [("train", experiments / f"{c}.py", "--dir", dir, "--parallel", mode) for c, mode, dir in runs]
    with pair(tmp_path, *commands, first=SMOOTH) as both:
        assert both.wait() == [0, 0], both.texts
    texts = both.texts
    assert texts[0].count("finished 50 steps") == len(runs) and texts[0].count("devices: 4 x cpu") == len(runs)
    for word in ("training", "finished", "step 10"):  # only process 0 speaks
        assert word not in texts[1]
    for case, mode, dir in runs:
        one, fields = trained(1, "pmap", case, 32), checkpoint.to_host(jaxgan.load(dir).state)
        for net, tree in fields["params"].items():
            many = {f"end{jax.tree_util.keystr(p)}": a for p, a in jax.tree.leaves_with_path({net: tree})}
            worst = max(np.abs(many[name] - one[name]).max() for name in many)
            assert worst <= rounding(max(np.abs(a).max() for a in many.values())), f"{case} under {mode}: {worst:.1e}"
        # and only process 0 writes, once
        assert steps_saved(dir) == [20, 40, 50]
        assert [row["step"] for row in rows(dir) if "digest" in row] == [20, 40, 50]
        assert [row["step"] for row in rows(dir) if "d_loss" in row] == [10, 20, 30, 40, 50]
        assert {p.name for p in (dir / "checkpoints").glob("*/state/ocdbt.process_*")} == {"ocdbt.process_0"}
        assert len(json.loads((dir / "env.json").read_text())["starts"]) == 1


@pytest.mark.slow
def test_moments_that_two_processes_share_are_saved_whole(experiments, smooth, tmp_path):
    """Of Adam, after 20 steps: those of one device."""
    dir, c = tmp_path / "run", dataclasses.replace(experiment(experiments / "ring.py")[0], optimizer="adam", steps=20)
    command = ["train", experiments / "ring.py", "--dir", dir, "--optimizer", "adam", "--steps", 20]
    command += ["--diagnose-every", 10, "--eval-every", 10]  # which one process sees, and all help to gather
    with pair(tmp_path, [*command, "--parallel", "zero1"], first=SMOOTH) as both:
        assert both.wait() == [0, 0], both.texts
    assert "failed" not in both.texts[0]
    assert {row["step"] for row in rows(dir) if "diagnosis/rotation" in row} == {10, 20}
    runs = jaxgan.load(dir), train.run(c, tmp_path / "alone", quiet=True)
    many, one = (jax.flatten_util.ravel_pytree(run.state.opt)[0] for run in runs)
    assert np.abs(many - one).max() <= 1e-4 * np.abs(one).max()


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


def devices_of(count):
    return parallel.one()._replace(count=count)


@pytest.mark.parametrize(
    ("batch", "count", "accumulate", "kept"),
    [
        (8, 3, 1, "goes on with 2 of the devices; "),
        (12, 5, 1, "goes on with 4 of the devices; "),
        (7, 3, 1, "goes on with 1 of the devices; "),
        (12, 4, 2, "goes on with 3 of the devices or --accumulate 1; "),
        (30, 1, 4, "goes on with --accumulate 3; "),
        (9, 2, 2, ""),
    ],
)
def test_advice_on_a_batch_that_is_not_divided_can_be_followed(batch, count, accumulate, kept):
    """By a run that has begun, which keeps its batch, and by a new one."""
    with pytest.raises(JaxganError) as caught:
        parallel.share(batch, devices_of(count), accumulate=accumulate)
    said = str(caught.value)
    assert f"{kept}in a new run use a multiple" in said
    if found := re.search(r"(\d+) of the devices", said):
        parallel.share(batch, devices_of(int(found[1])), accumulate=accumulate)
    if found := re.search(r"--accumulate (\d+)", said):
        parallel.share(batch, devices_of(count), accumulate=int(found[1]))
    near = int(re.search(r"--batch (\d+)", said)[1])
    parallel.share(near, devices_of(count), accumulate=accumulate)
