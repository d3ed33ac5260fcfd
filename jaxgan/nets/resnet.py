"""Layers of residual networks: 3x3 and 1x1 convolutions, class-conditional batch norm, self-attention, resampling."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.convolution import convolved
from jaxgan.nets.layers import Embed, matched, per_channel, widened
from jaxgan.nets.norms import normalise
from jaxgan.types import Axis

GLOROT = nn.initializers.glorot_uniform()
GLOROT_RELU = nn.initializers.variance_scaling(2.0, "fan_avg", "uniform")  # glorot times sqrt 2, before a ReLU


class Conv(nn.Module):
    """Convolution of odd size, zeros around the image: [b, h, w, cin] -> [b, h, w, features].

    edge: pixels of zeros on each side, where these are not to be as many as keep height and width; then any size.
    """

    features: int
    size: int = 3
    bias: bool = True
    kernel_init: nn.initializers.Initializer = GLOROT
    edge: int | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        kernel = matched(self.param("kernel", self.kernel_init, (self.size, self.size, x.shape[-1], self.features)), x)
        y = x @ kernel[0, 0] if self.size == 1 else convolved(x, kernel, edge=self.edge)
        return y + per_channel(self.param("bias", nn.initializers.zeros, (self.features,)), y) if self.bias else y


def reflected(x: jax.Array, edge: int) -> jax.Array:
    """x [b, h, w, c] with so many pixels of its mirror image on each side, its border not twice."""
    return jnp.pad(x, ((0, 0), (edge, edge), (edge, edge), (0, 0)), mode="reflect")


class ConditionalNorm(nn.Module):
    """A norm whose gain and bias belong to the class, 1 and 0 at first: de Vries et al. 2017, arXiv 1707.00683.

    x [b, h, w, c], y int [b] or None -> x's shape; the norm's own gain and bias without classes.
    """

    norm: str
    classes: int
    axis: Axis

    @nn.compact
    def __call__(self, x: jax.Array, y: jax.Array | None, train: bool) -> jax.Array:
        x = normalise(self.norm, train, self.axis, affine=not self.classes)(x)
        if not self.classes:
            return x
        gain = Embed(self.classes, x.shape[-1], nn.initializers.ones, name="gain")(y)[:, None, None]
        scaled = widened(x) * gain
        bias = Embed(self.classes, x.shape[-1], nn.initializers.zeros, name="bias")(y)[:, None, None]
        return matched(scaled + bias, x)


class Attention(nn.Module):
    """x + gate * attention(x), gate 0 at first: Zhang et al. 2018 (SAGAN), arXiv 1805.08318; [b, h, w, c] -> the same.

    Queries have c / 8 channels, values c / 2; keys and values are max-pooled by 2 in both directions, as in the
    authors' code, and logits are not divided by a root. h and w are even.
    """

    kernel_init: nn.initializers.Initializer = GLOROT

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        b, h, w, c = x.shape
        few = max(c // 8, 1)
        query = Conv(few, 1, False, self.kernel_init, name="theta")(x).reshape(b, h * w, few)
        key = pooled_max(Conv(few, 1, False, self.kernel_init, name="phi")(x)).reshape(b, h * w // 4, few)
        value = pooled_max(Conv(max(c // 2, 1), 1, False, self.kernel_init, name="g")(x)).reshape(b, h * w // 4, -1)
        weights = matched(jax.nn.softmax(widened(query @ key.swapaxes(1, 2)), axis=-1), value)
        out = Conv(c, 1, False, self.kernel_init, name="o")((weights @ value).reshape(b, h, w, -1))
        return x + matched(self.param("gate", nn.initializers.zeros, ()) * widened(out), x)


def pooled_max(x: jax.Array) -> jax.Array:
    """The greatest of each 2x2 pixels: [b, 2h, 2w, c] -> [b, h, w, c]."""
    n, h, w, c = x.shape
    return x.reshape(n, h // 2, 2, w // 2, 2, c).max((2, 4))


def pooled(x: jax.Array) -> jax.Array:
    """The mean of each 2x2 pixels: [b, 2h, 2w, c] -> [b, h, w, c]."""
    n, h, w, c = x.shape
    return x.reshape(n, h // 2, 2, w // 2, 2, c).mean((2, 4))


def doubled(x: jax.Array) -> jax.Array:
    """Each pixel four times, its nearest neighbours: [b, h, w, c] -> [b, 2h, 2w, c]."""
    n, h, w, c = x.shape
    return jnp.broadcast_to(x[:, :, None, :, None], (n, h, 2, w, 2, c)).reshape(n, 2 * h, 2 * w, c)
