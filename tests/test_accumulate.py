"""Gradient accumulation: devices, micro-batches and processes share a batch in many ways, and follow one trajectory."""

import json
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgan
from jaxgan import checkpoint, config, data, games, parallel, program, rng, train
from jaxgan.errors import JaxganError
from jaxgan.solvers import SOLVERS
from jaxgan.state import initial
from jaxgan.step import field, train_step
from processes import SMOOTH, pair, python, rounding

STEPS = 50
# by SGD and without kinks (SMOOTH), so that what differs is the rounding of sums in another order
COMMON = {"net": "mlp", "width": 32, "batch": 32, "chunk": 5, "steps": STEPS, "optimizer": "sgd"}
COMMON |= {"log_every": 10**6, "checkpoint_every": 10**6, "sample_every": 0}
CASES = {
    "ns": {"data": "ring8", "latent": 2, "hp": {"g_lr": 0.02, "d_lr": 0.02, "r1": 0.5}},
    "rpgan": {
        **{"data": "ring8", "latent": 2, "loss": "rpgan"},
        **{"hp": {"g_lr": 0.02, "d_lr": 0.02, "wgan_gp": 0.5}},  # whose random points are an example's own
    },
    "unequal": {
        **{"kind": "conditional", "data": "mnist5k", "latent": 8, "width": 16, "fake_batch": 64, "feed": "stream"},
        **{"d_steps": 2, "hp": {"g_lr": 0.05, "d_lr": 0.05, "r2": 0.5}},
    },
    "control": {
        **{"data": "mnist5k", "latent": 8, "width": 16, "augment": ("blit", "noise")},
        **{"hp": {"g_lr": 0.05, "d_lr": 0.05, "ada_target": 0.3, "apa_target": 0.1, "ada_images": 800.0}},
    },
}
LAYOUTS = {  # devices: [(mode, micro-batches, cases)]
    1: [("pmap", 1, CASES), ("pmap", 2, ["ns"]), ("pmap", 4, ["rpgan"])],
    2: [("pmap", 4, ["ns", "control"]), ("jit", 2, ["rpgan"])],
    4: [("pmap", 2, ["rpgan"]), ("jit", 4, ["ns", "control"]), ("jit", 2, ["unequal"])],
}

WORKER = """
import json, sys
import jax, numpy as np
from jaxgan import checkpoint, config, games, parallel, program
from jaxgan.state import initial
from jaxgan.data import of_config

SMOOTH
for name, values in json.loads(sys.argv[1]).items():
    c = config.from_dict(values)
    source, d = of_config(c)[0], parallel.devices(c.parallel)
    game = games.make(c, source.shape, source.classes, d.axis)
    run, step = program.build(game, source, c, d), 0
    state = d.replicate(initial(game, c, source.shape))
    while step < c.steps:
        n = run.length(step)
        state, metrics = run.advance(state, step, n)
        jax.block_until_ready(metrics)
        step += n
    arrays = {jax.tree_util.keystr(p): a for p, a in jax.tree.leaves_with_path(checkpoint.to_host(state))}
    np.savez(name, **arrays)
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(devices, mode, micro-batches, case) -> {array: value}, after STEPS steps."""
    dir = tmp_path_factory.mktemp("accumulate")
    for devices, layouts in LAYOUTS.items():
        runs = {
            str(dir / f"{devices}-{mode}-{count}-{case}.npz"): COMMON
            | CASES[case]
            | {"parallel": mode, "accumulate": count}
            for mode, count, cases in layouts
            for case in cases
        }
        python(WORKER.replace("SMOOTH", SMOOTH), devices, json.dumps(runs))
    return lambda *names: dict(np.load(dir / f"{'-'.join(map(str, names))}.npz"))


def largest_difference(a, b):
    """(over parameters and averages, with its name), and what rounding may make of it."""
    names = [name for name in a if name.startswith(("['params']", "['ema']"))]
    bound = rounding(max(np.abs(a[name]).max() for name in names), STEPS)
    return max((float(np.abs(a[name] - b[name]).max()), name) for name in names), bound


TABLE = [(d, mode, n, case) for d, layouts in LAYOUTS.items() for mode, n, cases in layouts for case in cases]


@pytest.mark.slow
@pytest.mark.parametrize("layout", TABLE[len(CASES) :], ids=lambda t: "-".join(map(str, t)))
def test_the_trajectory_is_that_of_one_device_and_one_batch(trained, layout):
    one, many = trained(1, "pmap", 1, layout[3]), trained(*layout)
    assert one.keys() == many.keys() and many["['step']"] == STEPS
    worst, bound = largest_difference(one, many)
    assert 0 < worst[0] <= bound, worst  # above 0: it was another program


@pytest.mark.slow
def test_two_processes_with_micro_batches(trained, tmp_path):
    values = json.dumps(COMMON | CASES["ns"])
    (tmp_path / "ns.py").write_text(
        "import json\nfrom jaxgan.config import from_dict\n"
        f"def config():\n    return from_dict(json.loads('{values}'))\n"
    )
    command = ["train", tmp_path / "ns.py", "--dir", tmp_path / "run", "--accumulate", 4]
    with pair(tmp_path, command, first=SMOOTH) as both:
        assert both.wait() == [0, 0], both.texts
    assert "devices: 4 x cpu, pmap, 4 micro-batches" in both.texts[0]
    fields = checkpoint.to_host(jaxgan.load(tmp_path / "run").state)
    many = {jax.tree_util.keystr(p): a for p, a in jax.tree.leaves_with_path(fields)}
    one = {name: a for name, a in trained(1, "pmap", 1, "ns").items() if name in many}
    worst, bound = largest_difference(one, many)
    assert worst[0] <= bound, worst


def prepared(**values):
    """config, source, game, state and the first batches of a run on one device."""
    c = config.from_dict(COMMON | {"data": "ring8", "latent": 2, "hp": {"r1": 0.5}} | values)
    source = data.of_config(c)[0]
    game = games.make(c, source.shape, source.classes)
    state = initial(game, c, source.shape)
    x = jax.random.normal(jax.random.key(1), (game.updates, c.batch, *source.shape))
    return c, source, game, state, {"x": x}


def test_micro_batches_are_the_examples_of_the_batch():
    """Each example is in exactly one of them, with the keys that it has in the whole batch."""
    key, batch = rng.root(3), {"x": jnp.arange(24.0).reshape(12, 2), "y": jnp.arange(12)}
    parts = [rng.split(batch, i, 3) for i in range(3)]
    np.testing.assert_array_equal(np.concatenate([p["y"] for p in parts]), batch["y"])
    np.testing.assert_array_equal(np.concatenate([p["x"] for p in parts]), batch["x"])
    whole = rng.normal(rng.stream(key, "z"), 12, (5,))
    pieces = [rng.normal(rng.stream(rng.Part(key, i, 3), "z"), 4, (5,)) for i in range(3)]
    np.testing.assert_array_equal(np.concatenate(pieces), whole)


@pytest.mark.parametrize("solver", ["consensus", "extragradient"])
def test_one_step_of_other_kinds_of_solver(solver):
    """Also of one that differentiates the gradient. SGD: Adam would make full steps of a rounding error."""
    found = {}
    for count in (1, 4):
        _, _, game, state, batches = prepared(solver=solver, accumulate=count, optimizer="sgd")
        found[count] = jax.jit(partial(train_step, game, solver=SOLVERS[solver].step))(state, batches)
    for (path, a), b in zip(jax.tree.leaves_with_path(found[1][1]), jax.tree.leaves(found[4][1])):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6, err_msg=jax.tree_util.keystr(path))
    for a, b in zip(jax.tree.leaves(found[1][0].params), jax.tree.leaves(found[4][0].params)):
        np.testing.assert_allclose(a, b, atol=1e-7)


def test_activations_take_a_fraction_of_the_memory():
    """D's gradient keeps the activations of one micro-batch: with 8 of them, at most a quarter of the temporaries.

    (Not an eighth: the sum of the gradients, and latents, are the same.)
    """
    sizes = {}
    for count in (1, 8):
        _, _, game, state, batches = prepared(width=128, depth=4, batch=2048, accumulate=count)
        first = {"x": batches["x"][0]}
        gradient = jax.jit(lambda state, batch, game=game: field(game, "d", state, batch, state.key))
        sizes[count] = gradient.lower(state, first).compile().memory_analysis().temp_size_in_bytes
    assert sizes[8] < sizes[1] / 4, sizes


def test_batch_normalisation_is_refused(tmp_path):
    c = config.from_dict({"data": "mnist5k", "net": "dcgan", "width": 8, "accumulate": 2})
    with pytest.raises(JaxganError, match="accumulate is 2, but d and g of --net dcgan use batch normalisation"):
        train.run(c, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "values, message",
    [
        ({"batch": 30, "accumulate": 4}, "batch 30 cannot be split over 4 micro-batches; .*such as --batch 32"),
        ({"fake_batch": 6, "accumulate": 4}, "fake-batch 6 cannot be .* 4 micro-batches; .*such as --fake-batch 8"),
    ],
)
def test_a_batch_that_cannot_be_split(values, message):
    c, source, *_ = prepared()
    c = config.from_dict({**config.to_dict(c), **values})
    with pytest.raises(JaxganError, match=message):
        program.check_sizes(c, source, parallel.devices())
