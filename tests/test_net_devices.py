"""Networks with noise, styles, groups or stages of their own have one trajectory on 1 and 4 devices, in micro-batches.

In float64, where what differs is the rounding of sums in another order, and nothing else is as small.
"""

import json
import re

import numpy as np
import pytest

from processes import python

STEPS = 5
COMMON = {"data": "mnist5k", "batch": 32, "steps": STEPS, "chunk": STEPS, "sample_every": 0}
HP = {"g_lr": 1e-3, "d_lr": 1e-3, "ema_half_life": 100.0, "ema_ramp": 1.0}
STYLES = {"mapping": 2, "base": 32, "group": 2}
CASES = {
    "sngan": {"kind": "conditional", "width": 1, "latent": 4, "loss": "hinge", "hp": {}},
    "biggan": {"kind": "conditional", "width": 1, "latent": 6, "loss": "hinge", "hp": {"orthogonal": 1e-4}},
    "stylegan2": {
        **{"kind": "conditional", "size": 8, "width": 8, "latent": 4, "stylegan2": STYLES},
        **{"lazy": 2, "lazy_steps": True, "hp": {"r1": 1.0}},
    },
    "path length": {
        **{"net": "stylegan2", "size": 8, "width": 8, "latent": 4, "stylegan2": STYLES},
        **{"lazy_g": 2, "lazy_steps": True, "hp": {"path_length": 2.0}},
    },
    "r3gan": {
        **{"kind": "conditional", "size": 8, "width": 8, "latent": 4, "r3gan": {"blocks": 1, "group": 4}},
        **{"loss": "rpgan", "hp": {"r1": 1.0, "r2": 1.0}},
    },
    "r3gan2": {
        **{"kind": "conditional", "size": 8, "width": 8, "latent": 4, "r3gan2": {"blocks": 1, "group": 4}},
        **{"loss": "rpgan", "hp": {"r1": 1.0, "r2": 1.0}},
    },
    "gat": {
        **{"kind": "conditional", "size": 8, "width": 8, "latent": 4, "loss": "ns", "hp": {"r1": 1.0}},
        "gat": {"depth": 2, "patch": 4, "levels": 2, "features": 4},
    },
    "levels": {
        **{"net": "gat", "kind": "gat", "conditional": True, "size": 8, "width": 8, "latent": 4, "reuse": True},
        **{"augment": ["translation", "cutout"], "hp": {"ar1": 1.0, "ar2": 1.0, "ar_step": 0.01, "clip_gradient": 1.0}},
        "gat": {"depth": 2, "patch": 4, "levels": 2, "features": 4},
    },
    "scales": {
        **{"net": "cat", "kind": "cat", "conditional": True, "size": 8, "width": 8, "latent": 4, "loss": "rpgan"},
        **{"augment": ["translation", "cutout"], "hp": {"ar1": 1.0, "ar2": 1.0, "ar_step": 0.01}},
        "cat": {"depth": 2, "patch": 4, "levels": 2, "features": 4, "d_depth": 1},
    },
    # 2 steps at 4 pixels, 2 that fade the next stage in, and one after
    "progan": {
        **{"size": 8, "width": 4, "latent": 4, "progan": {"base": 32, "phase": 64}, "loss": "wasserstein"},
        **{"hp": {"wgan_gp": 10.0, "drift": 1e-3}},
    },
    "minibatch": {"net": "mlp", "width": 8, "latent": 4, "minibatch": 3, "hp": {"r1": 1.0}},
}
MICRO = (
    "stylegan2",
    "r3gan",
    "r3gan2",
    "gat",
    "levels",
    "scales",
    "progan",
)  # the others have batch norm, or terms that look at the whole batch
LONG = (
    "path length",
    "levels",
    "scales",
    "r3gan2",
    "biggan",
    "minibatch",
)  # what the quick ones have in them, or like it
# devices, micro-batches of each, case
QUICK = [(4, 2 if case in MICRO else 1, case) for case in CASES if case not in LONG]
SLOW = [(4, 1, case) for case in CASES] + [(n, 2, case) for case in MICRO for n in (1, 4)]

START = """
import json, sys
import jax, jax.numpy as jnp, numpy as np
from jaxgan import checkpoint, config, games, parallel, program, rng, step
from jaxgan.data import of_config
from jaxgan.state import initial

jax.config.update("jax_enable_x64", True)

def widened(tree):
    wide = lambda a: a.astype(float) if jnp.issubdtype(a.dtype, jnp.floating) else a
    return jax.tree.map(wide, tree)

def opened(devices, values):
    c = config.from_dict(values)
    return c, of_config(c)[0], parallel.one() if devices == 1 else parallel.devices("pmap")

def save(path, tree):
    np.savez(path, **{jax.tree_util.keystr(p): a for p, a in jax.tree.leaves_with_path(tree)})
"""
# the gradient of a linear function of D(G(z)) in all parameters, and what the networks remember of this one pass; of
# micro-batches as step.accumulated has it, which would trace it twice
GRADIENTS = (
    START
    + """
for path, devices, values in json.loads(sys.argv[1]):
    c, source, d = opened(devices, values)
    count, game = c.accumulate, games.make(c, source.shape, source.classes, d.axis)
    y = jnp.arange(c.batch) % game.classes if game.classes else None
    inputs = {"g": jnp.zeros((c.batch, c.latent)), "d": jnp.zeros((c.batch, *source.shape))}
    shapes = {n: jax.eval_shape(game.nets[n].init, rng.root(0), x, y) for n, x in inputs.items()}
    r = np.random.default_rng(0)
    slow = lambda path: "mapping" in jax.tree_util.keystr(path).lower()  # numbers 100 times as large
    drawn = lambda path, s: r.normal(size=s.shape) * (100 if slow(path) else 0.5)
    params = {n: jax.tree_util.tree_map_with_path(drawn, p) for n, (p, _) in shapes.items()}
    vars = {n: jax.tree.map(lambda s: np.ones(s.shape, s.dtype), v) for n, (_, v) in shapes.items()}

    def gradient(batch, key):
        def loss(params):
            run, y = step.runner(game, params, key, jnp.int32(3)), batch.get("y")
            x, new = run(vars, "g", game.latent(rng.stream(key, "z"), len(batch["w"]), game.axis), y)
            logits, new = run(new, "d", x, y)
            return (logits * batch["w"]).mean(), new
        new, grads = jax.value_and_grad(loss, has_aux=True)(params)
        return grads, new[1]

    def found(batch):
        one = lambda i: gradient(rng.split(batch, i, count, game.axis), rng.Part(rng.root(1), i, count))
        parts = jax.lax.map(one, jnp.arange(count)) if count > 1 else one(0)
        mean = lambda a: a if count == 1 else a.mean(0) if jnp.issubdtype(a.dtype, jnp.floating) else a[-1]
        grads, new = jax.tree.map(mean, parts)
        return step.over_devices(grads, game.axis), new

    batch = {"w": r.normal(size=c.batch)} | ({} if y is None else {"y": y})
    if devices == 1:
        save(path, jax.jit(found)(batch))
    else:
        cut = jax.tree.map(lambda a: a.reshape(devices, -1, *a.shape[1:]), batch)
        save(path, jax.tree.map(lambda a: a[0], jax.pmap(found, axis_name=d.axis)(cut)))
"""
)
TRAJECTORIES = (
    START
    + """
for path, devices, values in json.loads(sys.argv[1]):
    c, source, d = opened(devices, values)
    finish = source.finish
    source = source._replace(finish=lambda rows, keys: widened(finish(rows, keys)))
    game = games.make(c, source.shape, source.classes, d.axis)
    start = widened(initial(game, c, source.shape))
    first = checkpoint.to_host(start)["params"]
    state, metrics = program.build(game, source, c, d).advance(d.replicate(start), 0, c.steps)
    jax.block_until_ready(metrics)
    fields = checkpoint.to_host(state)
    save(path, {name: fields[name] for name in ("params", "vars", "opt", "ema", "step")} | {"first": first})
"""
)


def computed(worker, groups, dir):
    """(devices, micro-batches, case) -> {array: value}; one process computes all layouts of a group of cases."""

    def path(layout):
        return dir / f"{'-'.join(map(str, layout))}.npz"

    def job(devices, count, case):
        values = {"net": case, **COMMON, **CASES[case], "accumulate": count}
        return str(path((devices, count, case))), devices, {**values, "hp": {**HP, **values["hp"]}}

    def load(*layout):
        if not path(layout).exists():
            (group,) = (group for group in groups if layout[-1] in {case for *_, case in group})
            python(
                worker, 4, json.dumps([job(*one) for one in sorted({(1, 1, one[-1]) for one in group} | set(group))])
            )
        return dict(np.load(path(layout)))

    return load


def agree(one, other, least):
    """To a billionth of the largest number in each array, or of least where all are smaller."""
    assert one.keys() == other.keys()
    arrays = {name: (a, other[name]) for name, a in one.items() if a.dtype == float}
    differences = {name: np.abs(a - b).max() / max(np.abs(a).max(), least) for name, (a, b) in arrays.items()}
    worst = max(differences, key=differences.get)
    assert differences[worst] <= 1e-9, f"{worst} differs by {differences[worst]:.1e}"
    assert differences[worst] > 0, "they were the same program"
    for name in one.keys() - differences.keys():
        np.testing.assert_array_equal(one[name], other[name])


@pytest.fixture(scope="module")
def gradients(tmp_path_factory):
    return computed(GRADIENTS, [QUICK], tmp_path_factory.mktemp("gradients"))


@pytest.mark.parametrize(("devices", "count", "case"), QUICK)
def test_gradients_and_memory_are_those_of_one_device(gradients, devices, count, case):
    one = gradients(1, 1, case)
    agree(one, gradients(devices, count, case), 1e-6)
    felt = [np.abs(value).max() > 1e-6 for name, value in one.items() if name.startswith("[0]")]
    assert np.mean(felt) > 0.7, "all but biases that a norm takes away, and stages that are not there yet"


@pytest.fixture(scope="module")
def trajectories(tmp_path_factory):
    groups = [[layout for layout in SLOW if layout[-1] == case] for case in CASES]
    return computed(TRAJECTORIES, groups, tmp_path_factory.mktemp("trajectories"))


@pytest.mark.slow
@pytest.mark.parametrize(("devices", "count", "case"), SLOW)
def test_trajectories_are_those_of_one_device(trajectories, devices, count, case):
    one, many = trajectories(1, 1, case), trajectories(devices, count, case)
    # biases of G that its batch norms take away: their gradients are rounding, and Adam makes steps of any number
    idle = {name for name in one if case in ("sngan", "biggan") and re.search(r"\['g'\]\['Up_.*\['bias'\]$", name)}
    one, many = ({name: x for name, x in found.items() if name not in idle} for found in (one, many))
    agree(one, many, 1.0)
    start = {name: value for name, value in one.items() if name.startswith("['first']")}
    moved = [np.abs(one[name.replace("first", "params", 1)] - value).max() for name, value in start.items()]
    assert one["['step']"] == STEPS and max(moved) > 1e-3, "agreement says something"
