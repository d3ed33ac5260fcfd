"""Layers with equalised learning rates: weights N(0, 1), scaled in use (Karras et al. 2017, arXiv 1710.10196)."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.nets.layers import per_channel
from jaxgan.nets.sizes import Stages
from jaxgan.types import JaxganError, Spec

NORMAL = nn.initializers.normal(1.0)


def leaky(x: jax.Array) -> jax.Array:
    """Leaky ReLU that keeps the mean square of a normal input nearly: slope 0.2, times the root of 2."""
    return nn.leaky_relu(x, 0.2) * math.sqrt(2)


class Dense(nn.Module):
    """x [b, n] -> [b, features]; rate: how much slower than others it learns, as its numbers are that much larger."""

    features: int
    rate: float = 1.0
    bias: float | None = 0.0
    gain: float = 1.0

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        kernel = self.param("kernel", nn.initializers.normal(1 / self.rate), (x.shape[-1], self.features))
        y = x @ (kernel * (self.gain * self.rate / math.sqrt(x.shape[-1])))
        if self.bias is None:
            return y
        bias = self.param("bias", nn.initializers.constant(self.bias / self.rate), (self.features,))
        return y + self.rate * per_channel(bias, y)


def weight(module: nn.Module, size: int, cin: int, features: int) -> jax.Array:
    """The kernel [size, size, cin, features] of a convolution, N(0, 1) / root of what an output sees, at first."""
    return module.param("kernel", NORMAL, (size, size, cin, features)) / math.sqrt(size * size * cin)


def widths(net: str, spec: Spec, stages: Stages, base: int, most: int) -> tuple[int, ...]:
    """Channels of stages: base / pixels, at most `most`; JaxganError for what net cannot make."""
    pixels = stages.pixels
    if spec.norm != "none":
        raise JaxganError(f"{net} has no place for the norm {spec.norm!r}; leave d_norm and g_norm at own")
    if base < pixels[-1]:
        raise JaxganError(f"{net}.base is {base}; at {pixels[-1]} pixels that is no channel, so take more")
    return tuple(min(most, base // n) for n in pixels)


def spread(x: jax.Array, group: int) -> jax.Array:
    """x [b, h, w, c] with one more channel: the mean standard deviation within each group of examples.

    Minibatch standard deviation: Karras et al. 2017, arXiv 1710.10196. Groups are neighbours in the batch, and smaller
    where b is no multiple of group; b is a device's, so runs on several devices agree where group divides that.
    """
    b, h, w, c = x.shape
    size = math.gcd(b, group)
    groups = x.reshape(b // size, size, h, w, c)
    deviation = jnp.sqrt(groups.var(1) + 1e-8).mean((1, 2, 3))
    return jnp.concatenate([x, jnp.broadcast_to(deviation.repeat(size)[:, None, None, None], (b, h, w, 1))], -1)
