"""What a train step costs is known: FLOPs by hand, one all-reduce per update, and a state that is updated in place."""

import json
import re
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from jaxgan import cli, config, games
from jaxgan.backend import PLATFORM
from jaxgan.nets.layers import EMBED
from jaxgan.solvers import SOLVERS
from jaxgan.state import initial
from jaxgan.step import train_step
from processes import python

EXPERIMENTS = Path(__file__).parent.parent / "experiments"
SHAPES = {  # of the data, and its classes
    "ring": ((2,), 0),
    "sines": ((64, 1), 0),
    "curves": ((64, 1), 10),
    "mnist_dcgan": ((28, 28, 1), 10),
}

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("optimised")]


def recipe(name):
    """The configuration of an experiment, its game, and shapes of its state and of one step's batches."""
    c = cli.experiment(EXPERIMENTS / f"{name}.py")[0]
    shape, classes = SHAPES[name]
    game = games.make(c, shape, classes)
    state = jax.eval_shape(partial(initial, game, c, shape))
    batches = {"x": jax.ShapeDtypeStruct((game.updates, c.batch, *shape), jnp.float32)}
    if classes:
        batches["y"] = jax.ShapeDtypeStruct((game.updates, c.batch), jnp.int32)
    return c, game, state, batches


def step(c, game):
    return jax.jit(partial(train_step, game, solver=SOLVERS[c.solver].step), donate_argnums=0)


# The hand count. A network is a list of layers; a layer's number is the FLOPs of its product, 2 per multiply-add, for
# one example. BatchNorm is marked, because second derivatives go through it to the layers below.


def pairs(h):
    """Pixels times taps of a 4x4 convolution, stride 2, padding 1, between h and 2h pixels: a tap a side falls out."""
    return (4 * h - 2) ** 2


def networks(c, shape, classes):
    """G's layers, D's layers, the FLOPs of G's and of D's embedding of a label, how many of D are below BatchNorm."""
    z = c.latent + EMBED * bool(classes)
    if c.net == "mlp":
        middle = [2 * c.width * c.width] * (c.depth - 1)
        d = [2 * shape[0] * c.width, *middle, 2 * c.width]
        return [2 * z * c.width, *middle, 2 * c.width * shape[0]], d, 0, 0, 0
    if c.net == "conv1d":  # 5 taps; 64 samples: lengths 32, 16, 8, 4 with 1, 2, 4, 8 times the width
        w = [c.width, 2 * c.width, 4 * c.width, 8 * c.width]
        up = [2 * 5 * length * a * b for length, a, b in zip((8, 16, 32), w[:0:-1], w[-2::-1])]
        down = [2 * 5 * length * a * b for length, a, b in zip((32, 16, 8, 4), [1, *w], w)]
        phi, below = 4 * w[3], 0
        g, d = [2 * z * 4 * w[3], *up, 2 * 5 * 64 * w[0]], [*down, 2 * phi]
    else:  # 28 pixels: 7 and 14 with twice and once the width
        w, phi, below = c.width, 7 * 7 * 2 * c.width, 2
        g = [2 * z * phi, 2 * pairs(7) * 2 * w * w, 2 * pairs(14) * w]
        d = [2 * pairs(14) * w, 2 * pairs(7) * w * 2 * w, 2 * phi]
    return g, d, 2 * classes * EMBED, 2 * classes * phi, below


def by_hand(c, shape, classes):
    """FLOPs of the products in one train step: alternating, one update each, as many generated as real examples.

    Forward F, gradient in the parameters F, gradient in the inputs F less the first layer. A penalty on |dD/dx|^2 adds
    dD/dx (F, and F for the forward pass before it), then, in the parameters, two products for each product of dD/dx but
    for the last layer's one (its cotangent is the constant 1); rectifiers pass no second derivative on to the forward
    pass, BatchNorm does: gradients in parameters and inputs of the layers below it.
    """
    g, d, g_embed, d_embed, below = networks(c, shape, classes)
    forward = sum(d)
    inner = forward - d[0]
    g_forward, embeds = sum(g) + g_embed, d_embed
    d_update = g_forward + 2 * (forward + forward + inner + 2 * embeds)
    penalties = (c.hp.r1 > 0) + (c.hp.r2 > 0)
    through = 2 * sum(d[:below]) - d[0] if below else 0
    d_update += penalties * (forward + forward + 2 * forward - d[-1] + through + 2 * embeds)
    g_update = g_forward + (sum(g) - g[0]) + g_forward  # its embedding has a gradient too
    g_update += 2 * forward + embeds  # the generated examples' score, down to the pixels
    g_update += (forward + embeds) * (c.loss == "rpgan")  # the real ones' score
    return c.batch * (d_update + g_update)


@pytest.mark.parametrize("name", SHAPES)
def test_flops_of_a_step_are_those_of_its_products(name):
    """Within 5 %, which is what all the rest takes: activations, BatchNorm, random numbers, Adam.

    Counted by XLA before it optimises, with convolutions as accelerators have them (a CPU's products of patches also
    multiply the zeros around an image).
    """
    c, game, state, batches = recipe(name)
    token = PLATFORM.set("tpu")
    try:
        counted = step(c, game).lower(state, batches).cost_analysis()["flops"]
    finally:
        PLATFORM.reset(token)
    hand = by_hand(c, *SHAPES[name])
    assert 0 <= counted / hand - 1 <= 0.05, f"XLA counts {counted:.4g}, by hand {hand:.4g}: {counted / hand:.3f}"


def test_one_hand_count_serves_both_image_recipes():
    """Fashion-MNIST is trained as the digits are."""
    a, b = (cli.experiment(EXPERIMENTS / f"{name}.py")[0] for name in ("fashion_dcgan", "mnist_dcgan"))
    assert {text.partition(":")[0] for text in config.differences(a, b)} == {"data"}


# The program of two devices, as training compiles it.

COMPILE = """
import dataclasses, json, re, sys
from functools import partial
from pathlib import Path
import jax
from jaxgan import cli, data, games, parallel, program
from jaxgan.state import initial

found = {}
for name, width in json.loads(sys.argv[2]).items():
    c = dataclasses.replace(cli.experiment(Path(sys.argv[1]) / f"{name}.py")[0], width=width)
    source, d = data.of_config(c)[0], parallel.devices("pmap")
    game = games.make(c, source.shape, source.classes, d.axis)
    state = jax.eval_shape(partial(initial, game, c, source.shape))
    compiled = program.build(game, source, c, d).lower(state).compile()
    text = compiled.as_text()
    lines = [line for line in text.splitlines() if re.search(r" all-reduce(-start)?\\(", line)]
    found[name] = {
        "reduced": [re.findall(r"f32\\[[\\d,]*\\]", line.partition(" all-reduce")[0]) for line in lines],
        "aliased": compiled.memory_analysis().alias_size_in_bytes,
        "aliases": len(re.findall("(?:may|must)-alias", text)),
        "state": sum(4 * max(x.size, 1) * (1 + (x.dtype.itemsize > 4)) for x in jax.tree.leaves(state)),
        "leaves": len(jax.tree.leaves(state)),
        "kernels": {p: sum(x.ndim > 1 for x in jax.tree.leaves(state.params[p])) for p in "dg"},
    }
print("found", json.dumps(found))
"""


@pytest.fixture(scope="module")
def compiled():
    """What XLA made of two recipes, at small widths, for two devices."""
    widths = json.dumps({"ring": 16, "mnist_dcgan": 8})
    return json.loads(python(COMPILE, 2, EXPERIMENTS, widths).rpartition("found ")[2])


def test_one_all_reduce_for_each_update(compiled):
    """Gradients, losses and metrics of an update travel together: as many all-reduces as players."""
    reduced = compiled["ring"]["reduced"]
    assert len(reduced) == 2
    kernels = [sum("," in shape for shape in shapes) for shapes in reduced]
    assert sorted(kernels) == sorted(compiled["ring"]["kernels"].values())


def test_batch_norm_adds_its_own_all_reduces(compiled):
    """A pair of moments [2, channels] per direction and layer; the kernels of an update still travel in one.

    D's update: G's 2 layers forward; D's layer, forward and backward, on real and on generated examples (4); R1 and R2,
    whose forward pass is the loss's: backward, and the derivative of both directions (3 each). G's update: G's 2 layers
    (4), D's layer on generated examples (2) and, for RpGAN, on real ones, which have no gradient (1).
    """
    reduced = compiled["mnist_dcgan"]["reduced"]
    moments = [shape for shapes in reduced for shape in shapes if re.fullmatch(r"f32\[2,(8|16)\]", shape)]
    assert len(moments) == 2 + 4 + 2 * 3 + 4 + 2 + 1
    kernels = [[s for s in shapes if re.fullmatch(r"f32\[(4,4,\d+,\d+|\d{2,},\d+)\]", s)] for shapes in reduced]
    assert sorted(len(k) for k in kernels if k) == sorted(compiled["mnist_dcgan"]["kernels"].values())


@pytest.mark.parametrize("name", ["ring", "mnist_dcgan"])
def test_the_state_is_updated_in_place(compiled, name):
    """Every array of the state is donated, and its buffer holds the new one."""
    found = compiled[name]
    assert found["aliases"] == found["leaves"] and found["aliased"] == found["state"]
