"""Sizes, exact parameter counts, live gradients, labels that matter, pure evaluation."""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import kernels
from jaxgan.config import Config
from jaxgan.nets import (
    NETS,
    biggan,
    build,
    cat,
    conv1d,
    dcgan,
    gat,
    mlp,
    patchgan,
    progan,
    r3gan,
    r3gan2,
    rrdb,
    sngan,
    spatial,
    stargan,
    stylegan2,
)
from jaxgan.options import Cat, Gat, R3gan, R3gan2, Stylegan2
from jaxgan.types import JaxganError, Net

KINDS = ("plain", "conditional")
EXAMPLES = [("mlp", (2,)), ("mlp", (8, 8, 1)), ("dcgan", (16, 16, 3)), ("dcgan", (28, 28, 1))]
EXAMPLES += [("sngan", (28, 28, 1)), ("biggan", (28, 28, 1)), ("r3gan", (8, 8, 3)), ("stylegan2", (8, 8, 3))]
EXAMPLES += [("gat", (8, 8, 3)), ("spatial", (4, 12, 3))]
RARE = [("cat", (8, 8, 3)), ("r3gan2", (8, 8, 3))]  # whose formulas are quick tests (test_cat.py, test_r3gan2.py)
# some of their arrays begin at 0, behind which nothing acts yet
RESIDUAL = ("sngan", "biggan", "r3gan", "r3gan2", "stylegan2", "gat", "cat")
# which sides have averages of the past
REMEMBERS = {"dcgan": "gd", "sngan": "g", "biggan": "g", "stylegan2": "g", "gat": "g", "cat": "g"}
LINEAR = ("r3gan", "r3gan2", "stylegan2", "gat", "cat")  # whose images come of no tanh
EVERY = [*EXAMPLES, *(pytest.param(*rare, marks=pytest.mark.slow) for rare in RARE)]
CASES = [("conditional", *example) for example in EXAMPLES]
# what residual networks are without labels is a part of what they are with them
CASES += [pytest.param("plain", *e, marks=pytest.mark.slow if e[0] in RESIDUAL else ()) for e in EXAMPLES]
CASES += [pytest.param(kind, *rare, marks=pytest.mark.slow) for kind in KINDS for rare in RARE]
CLASSES, LATENT = 10, 6
OPTIONS = {"r3gan": R3gan(group=4), "r3gan2": R3gan2(blocks=1, group=4), "stylegan2": Stylegan2(group=1)}
OPTIONS |= {"gat": Gat(depth=2, patch=4, levels=2, features=4)}
OPTIONS |= {"cat": Cat(depth=2, patch=4, levels=2, features=4, d_depth=2)}


@functools.cache
def setup(kind, net, shape, n=6, width=4):
    """Both networks, compiled, with parameters and one batch of their inputs."""
    c = Config(net=net, width=width, latent=LATENT, **OPTIONS)
    nets = build(c, shape, CLASSES if kind == "conditional" else 0)
    nets = {name: Net(jax.jit(net.init), jax.jit(net.apply, static_argnames="train")) for name, net in nets.items()}
    keys = jax.random.split(jax.random.key(0), 4)
    x, z = jax.random.uniform(keys[0], (n, *shape), minval=-1), jax.random.normal(keys[1], (n, LATENT))
    y = jnp.arange(n) % CLASSES if kind == "conditional" else None
    made = {"g": nets["g"].init(keys[2], z, y), "d": nets["d"].init(keys[3], x, y)}
    if net in RESIDUAL:
        made = {name: (shifted(params), vars) for name, (params, vars) in made.items()}
    return nets, made, x, y, z


def shifted(params):
    """params, each array moved a little, so that none is 0."""
    r = np.random.default_rng(2)
    return jax.tree.map(lambda p: np.asarray(p) + 0.1 * r.normal(size=p.shape).astype(np.float32), params)


def count(params):
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def shapes_only(net, *inputs):
    """Parameters of a network as shapes, without computing any."""
    return jax.eval_shape(net.init, jax.random.key(0), *inputs)[0]


@pytest.mark.parametrize(("kind", "net", "shape"), CASES)
def test_shapes_types_and_structure(kind, net, shape):
    nets, variables, x, y, z = setup(kind, net, shape)
    for name, inputs, want in (("g", z, (6, *shape)), ("d", x, (6,))):
        params, vars = variables[name]
        for train in (True, False):
            apply = functools.partial(nets[name].apply, train=train)
            given = (params, vars, inputs, y)
            out, new = jax.eval_shape(apply, *given) if train else apply(*given)
            assert out.shape == want and out.dtype == jnp.float32
            assert jax.tree.structure(new) == jax.tree.structure(vars)
            if not train:
                jax.tree.map(np.testing.assert_array_equal, new, vars)
        assert {leaf.dtype for leaf in jax.tree.leaves((params, vars))} == {jnp.dtype("float32")}
        assert bool(vars) == (name in REMEMBERS.get(net, ""))


@pytest.mark.parametrize(("kind", "net", "shape"), CASES)
def test_init_is_a_function_of_the_key(kind, net, shape):
    nets, variables, x, y, z = setup(kind, net, shape)
    for name, inputs in (("g", z), ("d", x)):
        again = nets[name].init(jax.random.key(7), inputs, y)[0]
        jax.tree.map(np.testing.assert_array_equal, again, nets[name].init(jax.random.key(7), 0 * inputs, y)[0])
        moved = jax.tree.leaves(jax.tree.map(lambda *ab: np.not_equal(*ab).any(), again, variables[name][0]))
        assert sum(moved) >= 2  # the kernels; biases start at zero


@pytest.mark.parametrize(("kind", "net", "shape"), CASES)
def test_every_trainable_array_has_a_gradient(kind, net, shape):
    # A dead array, or a bias before a batch norm, would have rounding noise for a gradient, 1e-7 of the largest.
    nets, variables, x, y, z = setup(kind, net, shape)
    (pg, vg), (pd, vd) = variables["g"], variables["d"]

    def d_loss(pd):
        return jax.nn.softplus(-nets["d"].apply(pd, vd, x, y, train=True)[0]).mean()

    def g_loss(pg):
        fake = nets["g"].apply(pg, vg, z, y, train=True)[0]
        return jax.nn.softplus(-nets["d"].apply(pd, vd, fake, y, train=True)[0]).mean()

    for grad in jax.jit(lambda pd, pg: (jax.grad(d_loss)(pd), jax.grad(g_loss)(pg)))(pd, pg):
        grads = jax.tree.leaves_with_path(grad)
        sizes = {kernels.path(keys): float(abs(np.asarray(g)).max()) for keys, g in grads}
        # published ResNets have biases before G's batch norms, which take them away; that their count is right is all
        idle = {name for name in sizes if net in ("sngan", "biggan") and name.startswith("Up") and "Conv" in name}
        live = {name: size for name, size in sizes.items() if name not in idle or not name.endswith("bias")}
        assert all(1e-4 * max(sizes.values()) < size for size in live.values()), sizes


@pytest.mark.parametrize(("net", "shape"), EVERY)
def test_labels_and_latents_matter(net, shape):
    nets, variables, x, y, z = setup("conditional", net, shape)
    run = lambda name, *inputs: nets[name].apply(*variables[name], *inputs, train=False)[0]  # noqa: E731
    each = lambda a, b: np.abs(np.asarray(a - b)).reshape(len(a), -1).max(1)  # noqa: E731
    assert (each(run("g", z, y), run("g", z, y + 1)) > 1e-6).all()
    assert (each(run("g", z, y), run("g", z[::-1], y)) > 1e-6).all()
    assert (each(run("d", x, y), run("d", x, y + 1)) > 1e-6).all()
    assert (each(run("d", x, y), run("d", x[::-1], y)) > 1e-6).all()
    with pytest.raises(JaxganError, match="labels"):
        run("g", z, None)
    with pytest.raises(JaxganError, match="labels"):
        run("d", x, None)


@pytest.mark.parametrize(("kind", "net", "shape"), CASES)
def test_evaluation_is_per_example(kind, net, shape):
    nets, variables, x, y, z = setup(kind, net, shape)
    for name, inputs in (("g", z), ("d", x)):
        params, vars = variables[name]
        vars = nets[name].apply(params, vars, inputs, y, train=True)[1]
        run = lambda a, name=name, params=params, vars=vars: nets[name].apply(params, vars, a, y, train=False)[0]  # noqa: E731
        others = inputs.at[1:].set(3 * inputs[1:] + 1)
        np.testing.assert_array_equal(run(inputs)[0], run(others)[0])
        assert (run(inputs)[1:] != run(others)[1:]).any()


def test_training_moves_the_statistics_that_evaluation_uses():
    nets, variables, x, y, z = setup("plain", "dcgan", (16, 16, 3))
    for name, inputs in (("g", z), ("d", x)):
        params, vars = variables[name]
        before = nets[name].apply(params, vars, inputs, y, train=False)[0]
        trained, new = nets[name].apply(params, vars, inputs, y, train=True)
        assert jnp.abs(trained - before).max() > 1e-4
        for _ in range(200):
            _, new = nets[name].apply(params, new, inputs, y, train=True)
        # flax keeps the biased variance, so on a constant batch the running statistics become the batch's own
        np.testing.assert_allclose(nets[name].apply(params, new, inputs, y, train=False)[0], trained, atol=2e-5)


def dcgan_count(size, channels, width, latent, classes=0):
    """Parameters of DCGAN's G and D, added up by hand: 16 weights per pair of channels, 2 numbers per batch norm."""
    base = 7 if size == 28 else 4
    levels = [width * min(2**i, 8) for i in range(int(math.log2(size // base)))]  # from the highest resolution down
    top = base * base * levels[-1]
    pairs = [16 * a * b for a, b in itertools.pairwise(levels)]
    g = (latent + (32 if classes else 0)) * top + 32 * classes + sum(pairs) + 2 * sum(levels)
    g += 16 * levels[0] * channels + channels
    d = 16 * channels * levels[0] + levels[0] + sum(pairs) + 2 * sum(levels[1:]) + top + 1 + classes * top
    return g, d


# size, channels, classes: parameters of G and of D at width 64, latent 64
COUNTS = {
    (28, 1, 0): (533_889, 138_689),
    (28, 1, 10): (734_913, 201_409),
    (32, 1, 0): (919_425, 661_313),
    (32, 3, 0): (921_475, 663_361),
    (64, 3, 0): (3_281_795, 2_765_633),
    (128, 3, 0): (7_477_123, 6_960_961),
    (256, 3, 0): (11_672_451, 11_156_289),
}


def counts_of(size, channels, width, latent, classes):
    """Parameters of G and of D as the library makes them."""
    shape = (size, size, channels)
    nets = build(Config(width=width), shape, classes)
    y = jnp.zeros(2, int) if classes else None
    g, d = shapes_only(nets["g"], jnp.zeros((2, latent)), y), shapes_only(nets["d"], jnp.zeros((2, *shape)), y)
    return count(g), count(d)


@pytest.mark.parametrize("width", [3, 64])
@pytest.mark.parametrize("classes", [0, CLASSES])
@pytest.mark.parametrize("size", [8, 16, 28, 32, 64, 128, 256])
def test_dcgan_parameter_counts(size, classes, width):
    assert counts_of(size, 3, width, 100, classes) == dcgan_count(size, 3, width, 100, classes)


@pytest.mark.parametrize("case", COUNTS, ids=str)
def test_dcgan_counts_of_the_table(case):
    size, channels, classes = case
    assert counts_of(size, channels, 64, 64, classes) == COUNTS[case]


@pytest.mark.parametrize("classes", [0, CLASSES])
@pytest.mark.parametrize(("shape", "width", "depth"), [((2,), 128, 2), ((8, 8, 3), 16, 3), ((2,), 5, 1)])
def test_mlp_parameter_counts(shape, width, depth, classes):
    n = math.prod(shape)
    nets = build(Config(net="mlp", width=width, depth=depth), shape, classes)
    y = jnp.zeros(2, int) if classes else None
    hidden = (depth - 1) * (width + 1) * width
    first = 7 + (32 if classes else 0) + 1
    assert count(shapes_only(nets["g"], jnp.zeros((2, 7)), y)) == (
        first * width + hidden + (width + 1) * n + 32 * classes
    )
    assert count(shapes_only(nets["d"], jnp.zeros((2, *shape)), y)) == (
        (n + 1) * width + hidden + width + 1 + classes * width
    )


@pytest.mark.parametrize("size", [8, 16, 28, 32, 64, 128, 256])
def test_dcgan_sizes(size):
    shape = (size, size, 4)
    nets = build(Config(width=2, latent=3), shape)
    key, z, x = jax.random.key(0), jnp.zeros((2, 3)), jnp.zeros((2, *shape))
    run = lambda net, *a: net.apply(*net.init(key, *a), *a, train=True)[0]  # noqa: E731
    assert jax.eval_shape(lambda: run(nets["g"], z, None)).shape == (2, *shape)
    assert jax.eval_shape(lambda: run(nets["d"], x, None)).shape == (2,)


@pytest.mark.parametrize(
    ("shape", "named"),
    [
        ((18, 18, 1), "4 to 7 pixels, doubled again and again, 1 to 6 times, .*: set size to 20 or 16 or 14, or net"),
        ((512, 512, 3), "set size to 448, or net"),
        ((30, 40, 1), "set size to 32x40 or 28x40 or"),
        ((2,), "makes images .*: set net to mlp"),
    ],
    ids=str,
)
def test_unsupported_sizes_name_the_nearest_ones(shape, named):
    with pytest.raises(JaxganError, match=f"dcgan makes images.*{named}|dcgan {named}"):
        build(Config(net="dcgan"), shape)


def test_dcgan_initial_values():
    nets = build(Config(width=64), (32, 32, 3))
    params = jax.jit(nets["g"].init)(jax.random.key(0), jnp.zeros((1, 64)), None)[0]
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        name = path[-1].key
        if name in ("kernel", "scale"):
            assert abs(leaf.mean() - (name == "scale")) < 0.01 and abs(leaf.std() - 0.02) < 0.004, path
        else:
            assert name == "bias" and (leaf == 0).all()


@pytest.mark.parametrize(("net", "shape"), EVERY)
def test_images_lie_in_range_and_points_do_not(net, shape):
    nets, variables, _, y, z = setup("conditional", net, shape)
    out = nets["g"].apply(*variables["g"], 1000 * z, y, train=False)[0]
    assert (jnp.abs(out).max() <= 1) == (len(shape) == 3 and net not in LINEAR)


def test_projection_adds_the_inner_product():
    # D(x, y) - D(x, y') is linear in phi with coefficients e_y - e_y': the same phi for all labels
    nets, variables, x, _, _ = setup("conditional", "mlp", (2,), n=7)
    params, vars = variables["d"]
    head = params["Head_0"]
    logits = jnp.stack([nets["d"].apply(params, vars, x, jnp.full(7, y), train=False)[0] for y in range(CLASSES)], 1)
    table = head["Embed_0"]["table"] + head["Dense_0"]["kernel"].T
    hidden = x
    for i in range(2):
        hidden = hidden @ params[f"Dense_{i}"]["kernel"] + params[f"Dense_{i}"]["bias"][None]
        hidden = jnp.where(hidden > 0, hidden, 0.2 * hidden)
    np.testing.assert_allclose(logits, hidden @ table.T + head["Dense_0"]["bias"][None], rtol=1e-4, atol=1e-5)


def test_the_table_of_architectures():
    files = {
        "sngan": sngan,
        "biggan": biggan,
        "progan": progan,
        "stylegan2": stylegan2,
        "r3gan": r3gan,
        "r3gan2": r3gan2,
    }
    files |= {"patchgan": patchgan, "stargan": stargan, "rrdb": rrdb, "gat": gat, "cat": cat, "spatial": spatial}
    assert files | {"mlp": mlp, "dcgan": dcgan, "conv1d": conv1d} == NETS
    assert set(Config.__dataclass_fields__["net"].type.__args__) == {*NETS, "own"}
