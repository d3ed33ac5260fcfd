"""R3GAN: initial values, and layers against slow formulas of their own. Published counts: test_counts.py."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import config, kernels
from jaxgan.nets import build, r3gan, resample
from jaxgan.types import JaxganError, Spec


def made(size, classes=0, width=16, **options):
    c = config.from_dict({"net": "r3gan", "width": width, "latent": 64, "r3gan": options})
    return build(c, (size, size, 3), classes)


@pytest.mark.parametrize("size", [64, 256])
def test_counts_of_ffhq_by_its_layers(size):
    """Added up by hand: FFHQ's widths are 768 to 32 pixels, then 384, 192, 96, in groups of 16 channels."""
    nets, stages = made(size, 0, 768), {64: [768] * 4 + [384], 256: [768] * 4 + [384, 192, 96]}[size]
    blocks = sum(2 * (4 * c * c + 4 * c + 9 * 16 * 2 * c) for c in stages)
    changes = sum(a * b for a, b in itertools.pairwise(stages) if a != b)
    rgb = 3 * stages[-1]
    for side, x, ends in (("g", (2, 64), 16 * 768 + 64 * 768), ("d", (2, size, size, 3), 16 * 768 + 768)):
        params = jax.eval_shape(nets[side].init, jax.random.key(0), jnp.zeros(x), None)[0]
        assert sum(leaf.size for leaf in jax.tree.leaves(params)) == blocks + changes + rgb + ends, side


def stuffed(x, k, before, after, up=1, down=1):
    """x [h, w] with zeros between pixels, padded, correlated with the outer product of k, every `down`-th kept."""
    big = np.zeros((x.shape[0] * up, x.shape[1] * up))
    big[::up, ::up] = x
    big = np.pad(big, (before, after))
    n = len(k)
    out = [
        [(big[i : i + n, j : j + n] * np.outer(k, k)).sum() for j in range(big.shape[1] - n + 1)]
        for i in range(big.shape[0] - n + 1)
    ]
    return np.array(out)[::down, ::down]


def test_resampling_is_the_filter_over_zeros():
    """upfirdn2d as StyleGAN2 defines it: gain 4 and padding 2, 1 going up, padding 1, 1 going down."""
    x, k = np.random.default_rng(0).normal(size=(6, 4)), np.array([1, 3, 3, 1]) / 8
    with jax.enable_x64():
        up, down = resample.up(jnp.asarray(x)[None, :, :, None]), resample.down(jnp.asarray(x)[None, :, :, None])
        np.testing.assert_allclose(up[0, :, :, 0], 4 * stuffed(x, k, 2, 1, up=2), atol=1e-12)
        np.testing.assert_allclose(down[0, :, :, 0], stuffed(x, k, 1, 1, down=2), atol=1e-12)


def test_a_group_sees_its_own_channels():
    net, x = r3gan.Grouped(2, r3gan.scaled()), jax.random.normal(jax.random.key(0), (2, 5, 5, 6))
    params = net.init(jax.random.key(1), x)
    kernel = params["params"]["kernel"]
    out = net.apply(params, x)
    for g in range(3):
        own = slice(2 * g, 2 * g + 2)
        want = jax.lax.conv_general_dilated(
            x[..., own], kernel[..., own], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        np.testing.assert_allclose(out[..., own], want, rtol=1e-5, atol=1e-5)


def test_blocks_begin_as_identities():
    block, x = r3gan.Block(2, 8), jax.random.normal(jax.random.key(0), (2, 4, 4, 6))
    params, apply = jax.jit(block.init)(jax.random.key(1), x), jax.jit(block.apply)
    np.testing.assert_array_equal(apply(params, x), x)
    moved = jax.tree.map(lambda p: np.asarray(p) + np.float32(0.1), params)
    assert abs(apply(moved, x) - x).max() > 0.1


def test_a_block_is_its_formula():
    """1x1, bias and leaky ReLU, grouped 3x3, bias and leaky ReLU, 1x1, added to what came in; in numpy."""
    block, x = r3gan.Block(2, 8), np.random.default_rng(0).normal(size=(2, 4, 4, 3))
    params = block.init(jax.random.key(0), jnp.asarray(x, jnp.float32))["params"]
    params = jax.tree.map(lambda p: p + 0.3 * np.random.default_rng(p.size).normal(size=p.shape), params)
    p = jax.tree.map(lambda a: np.asarray(a, np.float64), params)
    leaky = lambda x: np.where(x > 0, x, 0.2 * x)  # noqa: E731
    y = leaky(x @ p["Conv_0"]["kernel"][0, 0] + p["bias_0"])
    padded, grouped = np.pad(y, ((0, 0), (1, 1), (1, 1), (0, 0))), np.zeros_like(y)
    for g in range(3):
        own = slice(2 * g, 2 * g + 2)
        for i in range(3):
            for j in range(3):
                part = padded[:, i : i + 4, j : j + 4, own]
                grouped[..., own] += part @ p["Grouped_0"]["kernel"][i, j][:, own]
    want = x + leaky(grouped + p["bias_1"]) @ p["Conv_1"]["kernel"][0, 0]
    np.testing.assert_allclose(block.apply({"params": params}, jnp.asarray(x, jnp.float32)), want, rtol=1e-4, atol=1e-4)


def test_initial_deviations():
    """sqrt(2 / 1.04) L^(-1/4) / sqrt(fan in) inside blocks, L = 8; 1 / sqrt(fan in) elsewhere; the basis N(0, 1)."""
    nets, y = made(32, 10, 64), jnp.zeros(2, int)
    g = jax.jit(nets["g"].init)(jax.random.key(0), jnp.zeros((2, 64)), y)[0]
    d = jax.jit(nets["d"].init)(jax.random.key(1), jnp.zeros((2, 32, 32, 3)), y)[0]
    inside = np.sqrt(2 / 1.04) * 8**-0.25
    for params in (g, d):
        for keys, leaf in jax.tree.leaves_with_path(params):
            path, fan_in = kernels.path(keys), int(np.prod(leaf.shape[:-1]))
            if "bias" in path or (path.startswith("Block") and "Conv_1" in path):
                want = 0
            elif path == "basis":
                want = 1
            elif path == "depthwise":
                want = 1 / 4
            elif path == "Embed_0.table":
                want = 10**-0.5 * (64**-0.5 if params is d else 1)
            else:
                want = (inside if path.startswith("Block") else 1) / np.sqrt(fan_in)
            assert abs(leaf.std() - want) <= 4 * want / np.sqrt(leaf.size), path


def test_the_logit_of_a_class_is_a_product_with_its_embedding():
    nets = made(8, 3)
    x, ys = jax.random.normal(jax.random.key(0), (1, 8, 8, 3)), jnp.arange(3)
    params, vars = jax.jit(nets["d"].init)(jax.random.key(1), x, ys[:1])
    score = jax.jit(lambda x, y: nets["d"].apply(params, vars, x, y, train=True, features=True)[0])
    logits, h = score(x.repeat(3, 0), ys)
    mapped = np.asarray(h[0]) @ params["Dense_0"]["kernel"]
    np.testing.assert_allclose(logits, np.asarray(params["Embed_0"]["table"]) @ mapped, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "settings", "norm", "message"),
    [
        ((18, 18, 1), {}, "none", "r3gan makes images .*: set size to 20 or 16"),
        ((4, 4, 1), {}, "none", "r3gan makes images .*: set size to 8"),
        ((16, 16, 1), {"width": 12}, "none", "width 12 gives r3gan 12, 12, 12 channels .* groups of 16"),
        ((64, 64, 1), {"width": 8}, "none", "twice 4 does not make groups of 16"),
        ((16, 16, 1), {}, "batch", "no place for the norm 'batch'"),
    ],
)
def test_what_does_not_go_is_said(shape, settings, norm, message):
    c = config.from_dict({"net": "r3gan", **settings})
    with pytest.raises(JaxganError, match=message):
        r3gan.generator(c, Spec(shape, norm=norm))
