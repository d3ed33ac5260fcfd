"""ESRGAN's networks against their formulas: first values, the way around blocks, doublings, sizes. Counts: test_counts.

The kinds that train them: test_upscale.py.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import kernels
from jaxgan.config import from_dict
from jaxgan.nets import build, discriminator, rrdb, upscaler
from jaxgan.options import Rrdb
from jaxgan.types import JaxganError

SMALL = {"net": "rrdb", "width": 6, "rrdb": {"blocks": 2, "growth": 3}}


def plain(p, x):
    """A 3x3 convolution of zero-padded x by the definition: sums over places and channels."""
    x = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    h, w = x.shape[1] - 2, x.shape[2] - 2
    places = [(i, j) for i in range(3) for j in range(3)]
    return sum(x[:, i : i + h, j : j + w] @ p["kernel"][i, j] for i, j in places) + p["bias"]


def leaky(x):
    return np.where(x > 0, x, 0.2 * x)


def drawn(net, *inputs):
    """Parameters of which none is 0, as NumPy's arrays in float64."""
    params, vars = net.init(jax.random.key(0), *inputs)
    draw = np.random.default_rng(0)
    return jax.tree.map(lambda p: draw.normal(size=p.shape) / np.sqrt(p.size / p.shape[-1] + 1), params), vars


def formula(p, x, blocks, factor, residual=0.2):
    """The generator of arXiv 1809.00219, figures 3 and 4, in NumPy; convolutions outside of blocks in order."""
    convs = iter(p[f"Conv_{i}"] for i in range(99))
    first = y = plain(next(convs), x)
    for i in range(blocks):
        start = y
        for k in range(3):
            block, seen = p[f"Block_{3 * i + k}"], [y]
            for j in range(4):
                seen.append(leaky(plain(block[f"Conv_{j}"], np.concatenate(seen, -1))))
            y = y + residual * plain(block["Conv_4"], np.concatenate(seen, -1))
        y = start + residual * y
    y = first + plain(next(convs), y)
    for _ in range({2: 1, 4: 2}[factor]):
        y = leaky(plain(next(convs), np.kron(y, np.ones((1, 2, 2, 1)))))
    return plain(p[f"Conv_{len([n for n in p if n[0] == 'C']) - 1}"], leaky(plain(next(convs), y)))


@pytest.mark.parametrize("factor", [2, 4])
def test_the_generator_is_its_formula(factor):
    """And takes images of any height and width, with the parameters of one size."""
    net, x = upscaler(from_dict({**SMALL, "factor": factor}), (8, 8, 2), None), np.random.default_rng(1)
    params, vars = drawn(net, jnp.zeros((1, 4, 4, 2)))
    for shape in ((2, 3, 5, 2), (1, 4, 4, 2)):
        image = x.normal(size=shape).astype(np.float32)
        found = net.apply(params, vars, image, train=False)[0]
        np.testing.assert_allclose(found, formula(params, image, 2, factor), rtol=1e-3, atol=1e-4)


def test_without_residuals_the_blocks_are_not_there():
    """What is left: a convolution of the image, doubled and convolved; the skip carries it past the blocks."""
    module = rrdb.Upscaler(6, 2, 3, 2, residual=0.0)
    x = jax.random.normal(jax.random.key(1), (1, 4, 4, 2))
    params = module.init(jax.random.key(0), x, train=False)["params"]
    found = module.apply({"params": params}, x, train=False)
    changed = {n: jax.tree.map(lambda p: p + 1, v) if n[0] == "B" else v for n, v in params.items()}
    np.testing.assert_array_equal(module.apply({"params": changed}, x, train=False), found)
    p, image = jax.tree.map(np.float64, params), np.float64(x)
    first = plain(p["Conv_0"], image)
    up = leaky(plain(p["Conv_2"], np.kron(first + plain(p["Conv_1"], first), np.ones((1, 2, 2, 1)))))
    np.testing.assert_allclose(found, plain(p["Conv_4"], leaky(plain(p["Conv_3"], up))), rtol=1e-4, atol=1e-9)


def test_first_values():
    """Kernels of G's blocks have a tenth of Kaiming's deviation, those of D have it; biases are 0, gains 1.

    The others of G have a sixth of Kaiming's variance, which is PyTorch's default.
    """
    c = from_dict({"net": "rrdb", "width": 16, "rrdb": {"blocks": 1}})
    sides = {"g": upscaler(c, (32, 32, 3), None), "d": discriminator(c, (32, 32, 3))}
    inputs = {"g": (jnp.zeros((2, 8, 8, 3)),), "d": (jnp.zeros((2, 32, 32, 3)), None)}
    for side, net in sides.items():
        params, _ = jax.jit(net.init)(jax.random.key(0), *inputs[side])
        for path, leaf in jax.tree.leaves_with_path(params):
            name = kernels.path(path)
            if name.endswith("kernel"):
                share = 1 if side == "d" else 0.1 if name.startswith("Block") else (1 / 6) ** 0.5
                want = np.sqrt(2 / np.prod(leaf.shape[:-1])) * share
                assert abs(leaf.std() / want - 1) < 4 / np.sqrt(leaf.size), (side, name)
            else:
                assert (leaf == name.endswith("scale")).all(), (side, name)


def test_its_options_change_it():
    """Each that its record has makes other shapes of G or of D; without d_width D is as wide as G."""

    def shapes(**options):
        c = from_dict({**SMALL, "rrdb": {**SMALL["rrdb"], **options}})
        return str(jax.eval_shape(upscaler(c, (8, 8, 1), None).init, jax.random.key(0), jnp.zeros((1, 2, 2, 1)))), str(
            jax.eval_shape(discriminator(c, (8, 8, 1)).init, jax.random.key(0), jnp.zeros((1, 8, 8, 1)), None)
        )

    g, d = shapes()
    found = {f.name: shapes(**{f.name: 5}) for f in dataclasses.fields(Rrdb)}
    assert {name: (a != g, b != d) for name, (a, b) in found.items()} == {
        "blocks": (True, False),
        "growth": (True, False),
        "d_width": (False, True),
    }
    assert shapes(d_width=6) == (g, d)


@pytest.mark.parametrize(("size", "levels"), [(8, 1), (28, 2), (48, 3), (64, 4), (128, 5), (192, 5)])
def test_d_halves_images_to_4_to_7_pixels(size, levels):
    widths = rrdb.widths(from_dict({**SMALL, "rrdb": {"d_width": 4}}), (size, size, 3))
    assert widths == (4, 8, 16, 32, 32)[:levels]
    assert 4 <= size / 2**levels < 8


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda c: upscaler(from_dict({**SMALL, "factor": 3}), (12, 12, 3), None), "factor is 3.*choose from 2, 4, 8"),
        (lambda c: upscaler(c, (30, 30, 3), None), r"factor is 4, which does not divide .* shape \(30, 30, 3\)"),
        (lambda c: upscaler(c, (32,), None), r"examples of shape \(32,\)"),
        (lambda c: discriminator(c, (36, 36, 3)), r"such as 32, 48, .*, not shape \(36, 36, 3\)"),
        (lambda c: discriminator(c, (32, 64, 3)), r"squares .* not shape \(32, 64, 3\)"),
        (lambda c: build(c, (32, 32, 3)), "kind 'plain' asks for; use another net"),
        (lambda c: upscaler(from_dict({"net": "dcgan"}), (32, 32, 3), None), "'dcgan' does not make .* use --net rrdb"),
    ],
)
def test_what_does_not_fit_is_said(make, message):
    with pytest.raises(JaxganError, match=message):
        make(from_dict(SMALL))
