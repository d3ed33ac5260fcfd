"""Layers and blocks of residual networks against formulas written out in numpy, and in every kind of GAN."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import config, program
from jaxgan.backend import PLATFORM
from jaxgan.convolution import convolved
from jaxgan.games import KINDS
from jaxgan.nets import biggan, sngan
from jaxgan.types import JaxganError, Spec
from runs import Like

SPEC = Spec((32, 32, 3), norm="none")


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def conv(x, p):
    """3x3 or 1x1 convolution with zeros around the image, pixel by pixel of the kernel."""
    kernel = np.asarray(p["kernel"], np.float64)
    size, (h, w) = len(kernel), x.shape[1:3]
    padded = np.pad(x, ((0, 0), (size // 2, size // 2), (size // 2, size // 2), (0, 0)))
    out = sum(padded[:, i : i + h, j : j + w] @ kernel[i, j] for i in range(size) for j in range(size))
    return out + np.asarray(p.get("bias", 0.0), np.float64)


def relu(x):
    return np.maximum(x, 0)


def pool(x):
    return (x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]) / 4


def double(x):
    return x.repeat(2, 1).repeat(2, 2)


def moved(block, *inputs):
    """Parameters of a module, none of them 0, in float64."""
    params = jax.jit(lambda: block.init(jax.random.key(0), *inputs, True))()["params"]
    leaves, tree = jax.tree.flatten(params)
    return jax.tree.unflatten(tree, [np.asarray(p) + 0.3 * normal(*p.shape, seed=i) for i, p in enumerate(leaves)])


def made(block, params, *inputs):
    """What a module makes in training, in one program."""
    return jax.jit(lambda params: block.apply({"params": params}, *inputs, True))(params)


@pytest.mark.parametrize(
    ("size", "groups", "edge", "cout"),
    [
        *((1, 1, None, 9), (3, 1, None, 9), (1, 3, None, 9), (3, 3, None, 9), (4, 1, 1, 9), (3, 1, 0, 9)),
        *((1, 1, None, 2), (3, 1, None, 2), (4, 1, 1, 2), (5, 1, 0, 2)),
    ],
)
def test_all_forms_of_a_convolution_are_one_map(size, groups, edge, cout):
    """What a CPU runs is what XLA's own convolution computes, which other backends run; gradients too."""
    found = {}
    with jax.enable_x64():
        x, kernel = jnp.asarray(normal(2, 5, 7, 6)), jnp.asarray(normal(size, size, 6 // groups, cout, seed=1))
        for platform in ("cpu", "tpu"):
            token = PLATFORM.set(platform)
            f = lambda x, kernel: convolved(x, kernel, groups, edge)  # noqa: E731
            look = lambda *a, f=f: (f(*a), jax.grad(lambda *a: (f(*a) ** 3).sum(), (0, 1))(*a))  # noqa: E731
            found[platform] = jax.jit(look)(x, kernel)
            PLATFORM.reset(token)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10), found["cpu"], found["tpu"])


def test_blocks_of_sngan():
    x, y = jnp.asarray(normal(2, 4, 4, 6), jnp.float32), None
    up = sngan.Up(4, SPEC)
    p = moved(up, x, y)
    inner = conv(relu(conv(double(relu(x)), p["Conv_0"])), p["Conv_1"])
    np.testing.assert_allclose(made(up, p, x, y), inner + conv(double(x), p["Conv_2"]), rtol=1e-4, atol=1e-4)
    for first, halves, width in ((True, True, 4), (False, True, 4), (False, False, 4), (False, False, 6)):
        down = sngan.Down(width, 5, halves, first, SPEC)
        p, shrink = moved(down, x), pool if halves else lambda x: x
        inner = shrink(conv(relu(conv(x if first else relu(x), p["Conv_0"])), p["Conv_1"]))
        skip = x if width == 6 else shrink(conv(x, p["Conv_2"]))
        np.testing.assert_allclose(made(down, p, x), inner + skip, rtol=1e-4, atol=1e-4)


def test_the_discriminator_of_sngan():
    """Features are sums over pixels, not means; a thin block is inside as wide as it begins, a wide one as it ends."""
    x = jnp.asarray(normal(2, 8, 8, 3), jnp.float32)
    for wide, inside in ((False, 4), (True, 6)):
        d = sngan.Discriminator((4, 6), 2, wide, 0, SPEC)
        p = moved(d, x, None)
        assert p["Down_1"]["Conv_0"]["kernel"].shape == (3, 3, 4, inside)
        first, second = p["Down_0"], p["Down_1"]
        at = pool(conv(relu(conv(np.asarray(x), first["Conv_0"])), first["Conv_1"])) + conv(pool(x), first["Conv_2"])
        at = pool(conv(relu(conv(relu(at), second["Conv_0"])), second["Conv_1"])) + pool(conv(at, second["Conv_2"]))
        head = p["Head_0"]["Dense_0"]
        want = relu(at).sum((1, 2)) @ np.asarray(head["kernel"]) + np.asarray(head["bias"])
        np.testing.assert_allclose(made(d, p, x, None), want[:, 0], rtol=1e-3, atol=1e-2)


def test_blocks_of_biggan():
    x, c = jnp.asarray(normal(2, 4, 4, 8), jnp.float32), jnp.asarray(normal(2, 3, seed=1), jnp.float32)

    def norm(x, p):
        gain, bias = (np.asarray(c) @ np.asarray(p[f"Dense_{i}"]["kernel"]) for i in (0, 1))
        return relu(x * (1 + gain)[:, None, None] + bias[:, None, None])

    up = biggan.Up(4, SPEC)
    p = moved(up, x, c)
    inner = conv(double(norm(x, p["LinearNorm_0"])), p["Conv_0"])
    want = conv(norm(inner, p["LinearNorm_1"]), p["Conv_2"]) + conv(double(x), p["Conv_1"])
    np.testing.assert_allclose(made(up, p, x, c), want, rtol=1e-3, atol=1e-3)
    for doubles in (False, True):
        up, grow = biggan.DeepUp(5, doubles, SPEC), double if doubles else lambda x: x
        p = moved(up, x, c)
        inner = conv(norm(np.asarray(x), p["LinearNorm_0"]), p["Conv_0"])
        inner = conv(grow(norm(inner, p["LinearNorm_1"])), p["Conv_1"])
        inner = conv(norm(inner, p["LinearNorm_2"]), p["Conv_2"])
        want = conv(norm(inner, p["LinearNorm_3"]), p["Conv_3"]) + grow(np.asarray(x)[..., :5])
        np.testing.assert_allclose(made(up, p, x, c), want, rtol=1e-3, atol=1e-3)


def test_the_deep_discriminator():
    """Stem, a block that halves and widens (its skip gains channels), one that keeps both, and the sum over pixels."""
    d = biggan.DeepDiscriminator((4, 8, 8), 0, SPEC)
    x = jnp.asarray(normal(2, 4, 4, 3), jnp.float32)
    p = moved(d, x, None)
    at = conv(np.asarray(x), p["Conv_0"])
    inner = at
    for i in (1, 2, 3):
        inner = conv(relu(inner), p[f"Conv_{i}"])
    skip = pool(at)
    at = conv(pool(relu(inner)), p["Conv_5"]) + np.concatenate([skip, conv(skip, p["Conv_4"])], -1)
    inner = at
    for i in (6, 7, 8):
        inner = conv(relu(inner), p[f"Conv_{i}"])
    at = conv(relu(inner), p["Conv_9"]) + at
    head = p["Head_0"]["Dense_0"]
    want = relu(at).sum((1, 2)) @ np.asarray(head["kernel"]) + np.asarray(head["bias"])
    np.testing.assert_allclose(made(d, p, x, None), want[:, 0], rtol=1e-3, atol=1e-2)


NETS = ("sngan", "biggan", "stylegan2", "r3gan", "r3gan2", "gat", "cat")
OPTIONS = {
    "r3gan": {"group": 8},
    "r3gan2": {"group": 8, "blocks": 1},
    "gat": {"depth": 2, "levels": 2, "patch": 8, "features": 4},
}
OPTIONS |= {"cat": {"depth": 2, "levels": 2, "patch": 8, "features": 4, "d_depth": 2}}


def paired(names):
    """(name, net) of all of both; each second name with one net in turn is for every day, the rest are long proofs."""
    every = [(name, net, i % (2 * len(NETS)) == 2 * j) for i, name in enumerate(names) for j, net in enumerate(NETS)]
    return [pytest.param(name, net, marks=[] if daily else pytest.mark.slow) for name, net, daily in every]


@pytest.mark.parametrize(("kind", "net"), paired(sorted(KINDS)))
def test_every_kind_takes_them_or_says_why_not(kind, net):
    """A step is traced for images of 32 pixels; translators are not among these networks."""
    settings = {"net": net, "kind": kind, "width": 8, "latent": 8, "batch": 4, "codes": (2, 1, 1)}
    settings |= {"codes": (10, 1, 1)} if kind != "infogan" else {}
    c = config.from_dict({**settings, **OPTIONS})
    source = Like((32, 32, 2), 3 if kind in ("conditional", "stargan") else 0)
    if kind in ("pix2pix", "cyclegan", "bicyclegan", "stargan"):
        with pytest.raises(JaxganError, match=f"net '{net}' translates nothing"):
            program.reads(c, source)
    elif kind in ("upscale", "esrgan"):
        with pytest.raises(JaxganError, match=f"net '{net}' does not make images of smaller ones"):
            program.reads(c, source)
    elif kind == "cat" and net != "cat":
        with pytest.raises(JaxganError, match=f"net '{net}' sees one; use --net cat"):
            program.reads(c, source)
    elif kind == "gat" and net not in ("gat", "cat"):
        with pytest.raises(JaxganError, match=f"net '{net}' makes one; use --net gat"):
            program.reads(c, source)
    else:
        assert "g_lr" in program.reads(c, source)


@pytest.mark.parametrize(("head", "net"), paired(["concat", "embedding", "ac", "2c"]))
def test_every_sort_of_class_head_takes_them(head, net):
    settings = {"net": net, "kind": "conditional", "head": head, "width": 8, "latent": 8, "batch": 4}
    c = config.from_dict({**settings, **OPTIONS})
    assert "g_lr" in program.reads(c, Like((32, 32, 1), 3))
