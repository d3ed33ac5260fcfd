"""DCGAN (Radford et al. 2015, arXiv 1511.06434), for images that are a small map doubled up to six times."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.config import Config
from jaxgan.nets.layers import Down, Head, Network, Up, conditioned, linen, widened
from jaxgan.nets.norms import biased, normalise
from jaxgan.nets.sizes import Stages, stages
from jaxgan.types import Axis, Net, Spec

NORMAL = nn.initializers.normal(0.02)  # the paper's section 4
NORM = {"g": "batch", "d": "batch"}  # of this architecture
COUNTS = range(1, 7)  # levels that double the image


def kernel_init(norm: str) -> nn.initializers.Initializer:
    """The paper's where a norm sets the scale of what a kernel makes; He's where none does."""
    return nn.initializers.he_normal() if norm == "none" else NORMAL


def gain(key: jax.Array, shape: tuple[int, ...], dtype=jnp.float32) -> jax.Array:
    """Initial batch-norm gains, N(1, 0.02)."""
    return 1 + 0.02 * jax.random.normal(key, shape, dtype)


class Generator(Network):
    """z [b, latent], y int [b] or None -> x [b, *size, channels] in [-1, 1]; widths from base to size / 2."""

    base: tuple[int, int]
    widths: tuple[int, ...]
    channels: int
    classes: int
    axis: Axis
    norm: str = "batch"

    @nn.compact
    def __call__(self, z: jax.Array, y: jax.Array | None, train: bool) -> jax.Array:
        z = conditioned(z, y, self.classes)
        shape = (*self.base, self.widths[0])
        bias, init = biased(self.norm), kernel_init(self.norm)
        x = nn.Dense(math.prod(shape), use_bias=bias, kernel_init=init)(z).reshape(-1, *shape)
        x = nn.relu(normalise(self.norm, train, self.axis, gain)(self.narrow(x)))

        def level(x, width):
            return nn.relu(normalise(self.norm, train, self.axis, gain)(Up(width, bias, init)(x)))

        for width in self.widths[1:]:
            x = self.stage(level, x, width=width)
        return self.image(widened(Up(self.channels, True, NORMAL)(x)))


class Discriminator(Network):
    """x [b, *size, channels], y int [b] or None -> logits [b], or logits and features [b, n] on request.

    Widths run from size / 2 to base.
    """

    widths: tuple[int, ...]
    classes: int
    axis: Axis
    outputs: int = 0
    norm: str = "batch"

    @nn.compact
    def __call__(self, x: jax.Array, y: jax.Array | None, train: bool, features: bool = False):
        bias, init = biased(self.norm), kernel_init(self.norm)

        def level(x, width):
            return nn.leaky_relu(normalise(self.norm, train, self.axis, gain)(Down(width, bias, init)(x)), 0.2)

        x = nn.leaky_relu(Down(self.widths[0], True, init)(self.narrow(x)), 0.2)
        for width in self.widths[1:]:
            x = self.stage(level, x, width=width)
        more = self.discrimination(train, self.axis)
        return Head(self.classes, NORMAL, NORMAL, self.outputs, **more)(x.reshape(x.shape[0], -1), y, features)


def levels(shape: tuple[int, ...]) -> Stages:
    """Those of images of this shape."""
    return stages("dcgan", shape, COUNTS)


def widths(shape: tuple[int, ...], width: int) -> tuple[int, ...]:
    """Channels at base, ..., size / 2 pixels: width at the highest, doubling downwards up to 8 * width."""
    return tuple(width * min(2**i, 8) for i in reversed(range(levels(shape).doublings)))


def generator(config: Config, spec: Spec) -> Net:
    """Transposed convolutions from z (and an embedding of y) to images; depth follows from the size."""
    up = widths(spec.shape, config.width)
    return linen(Generator(levels(spec.shape).first, up, spec.shape[2], spec.classes, spec.axis, spec.norm), config)


def discriminator(config: Config, spec: Spec) -> Net:
    """Strided convolutions from images to one logit, with a projection of y where there are classes."""
    return linen(Discriminator(widths(spec.shape, config.width)[::-1], spec.classes, spec.axis, 0, spec.norm), config)


def encoder(config: Config, spec: Spec) -> Net:
    """The discriminator's layers from x to numbers [b, outputs], with an embedding of y where there are classes."""
    return linen(Discriminator(widths(spec.shape, config.width)[::-1], spec.classes, spec.axis, spec.outputs), config)
