"""Norms of each example by itself, in any network that has a place for one: instance, group, layer and pixel norm."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import kernels
from jaxgan.config import from_dict
from jaxgan.errors import JaxganError
from jaxgan.nets import build
from jaxgan.nets.norms import groups, normalise
from jaxgan.nets.resnet import ConditionalNorm

NORMS = ("instance", "group", "layer", "pixel")
NETS = {"mlp": (8, 8, 1), "dcgan": (16, 16, 1), "conv1d": (8, 2), "sngan": (28, 28, 1), "biggan": (28, 28, 1)}


class One(nn.Module):
    """The layer alone."""

    norm: str

    @nn.compact
    def __call__(self, x):
        return normalise(self.norm, True, None)(x)


def normal(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def by_hand(norm, x, gain, bias):
    """One example after the other, and one group after the other: mean 0 and variance 1 over its numbers."""
    if norm == "pixel":
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-8)
    channels = x.shape[-1]
    size = {"instance": 1, "layer": channels, "group": channels // 6}[norm]  # 6 groups of 24 channels, see below
    out = np.empty_like(x)
    for example, made in zip(x, out):
        for first in range(0, channels, size):
            part = example[..., first : first + size]
            made[..., first : first + size] = (part - part.mean()) / np.sqrt(part.var() + 1e-5)
    return out * gain + bias


LAYERS = [(norm, shape) for norm in NORMS for shape in ((3, 24), (3, 5, 24), (3, 4, 5, 24))]
LAYERS.remove(("instance", (3, 24)))  # refused, see below


@pytest.mark.parametrize(("norm", "shape"), LAYERS)
def test_a_norm_is_its_formula(norm, shape, float64):
    x, gain, bias = 3 * normal(shape) + 2, normal(24, 1), normal(24, 2)
    params = {} if norm == "pixel" else {"params": {"GroupNorm_0": {"scale": gain, "bias": bias}}}
    assert jax.tree.structure(One(norm).init(jax.random.key(0), x)) == jax.tree.structure(params)
    np.testing.assert_allclose(One(norm).apply(params, x), by_hand(norm, x, gain, bias), atol=1e-12)


def test_groups_divide_the_channels_into_fours_or_more():
    """32, the paper's, where there are as many; in a narrow network none is so small that it leaves nothing."""
    assert [groups(c) for c in (128, 256, 1024)] == [32, 32, 32]
    assert [groups(c) for c in (64, 24, 12, 8, 10, 9, 7, 4, 1)] == [16, 6, 3, 2, 2, 1, 1, 1, 1]


def test_classes_have_gains_and_biases_of_their_own(float64):
    """Conditional instance norm: Dumoulin et al. 2016, arXiv 1610.07629."""
    x, y = normal((4, 3, 3, 24)), jnp.arange(4) % 2
    gain, bias = normal((2, 24), 1), normal((2, 24), 2)
    params = {"params": {"gain": {"table": gain}, "bias": {"table": bias}}}
    found = ConditionalNorm("instance", 2, None).apply(params, x, y, train=True)
    one = lambda i: by_hand("instance", x[i : i + 1], gain[i % 2], bias[i % 2])[0]  # noqa: E731
    np.testing.assert_allclose(found, [one(i) for i in range(4)], atol=1e-12)


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("norm", NORMS)
def test_networks_have_it(net, norm):
    """Both sides, without memory; a layer before instance norm has no idle bias. Traced only."""
    c = from_dict({"net": net, "width": 8, "depth": 2, "latent": 12, "d_norm": norm, "g_norm": norm})
    inputs = {"g": jnp.zeros((2, 12)), "d": jnp.zeros((2, *NETS[net]))}
    for side, part in build(c, NETS[net]).items():
        init = lambda part=part, x=inputs[side]: part.init(jax.random.key(0), x, None)  # noqa: E731
        if (net, norm) == ("mlp", "instance"):
            with pytest.raises(JaxganError, match="instance norm takes the mean over places away"):
                jax.eval_shape(init)
            continue
        params, vars = jax.eval_shape(init)
        assert not vars and ("GroupNorm_0" in str(params)) == (norm != "pixel")
        plain = build(from_dict({"net": net, "width": 8, "depth": 2, "latent": 12, f"{side}_norm": "none"}), NETS[net])
        without, _ = jax.eval_shape(plain[side].init, jax.random.key(0), inputs[side], None)
        assert kernels.named(params).keys() == kernels.named(without).keys()


@pytest.mark.parametrize("norm", ["group", "pixel"])
def test_examples_do_not_see_each_other(norm):
    """Unlike under batch norm: a gradient penalty is one example's, and a micro-batch is as good as the batch."""
    c = from_dict({"net": "dcgan", "width": 4, "latent": 4, "d_norm": norm, "g_norm": norm})
    for side, shape in (("g", (4,)), ("d", (8, 8, 1))):
        net, x = build(c, (8, 8, 1))[side], normal((6, *shape)).astype(np.float32)
        params, vars = net.init(jax.random.key(0), x, None)
        whole, part = (net.apply(params, vars, x, None, train=True)[0] for x in (x, x[:2]))
        np.testing.assert_allclose(part, whole[:2], atol=1e-6)
        assert abs(whole - whole[::-1]).max() > 1e-3


def test_statistics_are_float32_in_bfloat16():
    """Of numbers far from 0 as they are rounded: nothing but the result is rounded again."""
    x = jnp.asarray(200 + normal((2, 8, 8, 24)), jnp.bfloat16)
    for norm in NORMS:
        net = One(norm)
        variables = net.init(jax.random.key(0), x)
        narrow, wide = net.apply(variables, x), net.apply(variables, x.astype(jnp.float32))
        assert narrow.dtype == jnp.bfloat16 and wide.dtype == jnp.float32
        np.testing.assert_array_equal(narrow, wide.astype(jnp.bfloat16))
