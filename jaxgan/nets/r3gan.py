"""R3GAN: residual networks without normalisation (Huang et al. 2024, arXiv 2501.05441), of paired stages for G and D.

Each doubling of the image has a stage of residual blocks; resampling is bilinear by [1, 3, 3, 1]. G ends linearly.
With bfloat16 the stages at 4 pixels stay float32, as the authors' do.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.config import Config
from jaxgan.convolution import convolved
from jaxgan.nets import resample
from jaxgan.nets.layers import Embed, Network, conditioned, linen, matched, per_channel, widened
from jaxgan.nets.resnet import Conv
from jaxgan.nets.sizes import stages
from jaxgan.types import JaxganError, Net, Spec

NORM = {"g": "none", "d": "none"}  # of this architecture
CLASS = 64  # numbers of the label's embedding in G
GAIN = math.sqrt(2 / (1 + 0.2**2))  # of leaky ReLUs


def scaled(gain: float = 1.0) -> nn.initializers.Initializer:
    """N(0, gain^2 / fan in)."""
    return nn.initializers.variance_scaling(gain**2, "fan_in", "normal")


def activated(x: jax.Array, bias: jax.Array) -> jax.Array:
    """Leaky ReLU of x [b, h, w, c] + bias [c]."""
    return nn.leaky_relu(x + per_channel(bias, x), 0.2)


class Grouped(nn.Module):
    """3x3 convolution whose outputs see the `group` channels of their own group: [b, h, w, c] -> the same."""

    group: int
    kernel_init: nn.initializers.Initializer

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        channels = x.shape[-1]
        kernel = self.param("kernel", self.kernel_init, (3, 3, self.group, channels))
        return convolved(x, matched(kernel, x), channels // self.group)


class Block(nn.Module):
    """x + f(x), f 1x1 to twice the channels, grouped 3x3, 1x1 back, of which the last is 0 at first.

    total: residual blocks of the network, by which the others begin smaller, total^(-1/4) (Fixup).
    """

    group: int
    total: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        width, init = 2 * x.shape[-1], scaled(GAIN * self.total**-0.25)
        biases = [self.param(f"bias_{i}", nn.initializers.zeros, (width,)) for i in (0, 1)]
        y = activated(Conv(width, 1, False, init)(x), biases[0])
        y = activated(Grouped(self.group, init)(y), biases[1])
        return x + Conv(x.shape[-1], 1, False, nn.initializers.zeros)(y)


class Generator(Network):
    """z [b, latent], y int [b] or None -> x [b, *size, channels]; widths from base to size."""

    base: tuple[int, int]
    widths: tuple[int, ...]
    blocks: int
    group: int
    spec: Spec

    @nn.compact
    def __call__(self, z: jax.Array, y: jax.Array | None, train: bool) -> jax.Array:
        if self.spec.classes:
            z = jnp.concatenate([z, Embed(self.spec.classes, CLASS, scaled())(y)], -1)
        basis = self.param("basis", nn.initializers.normal(1.0), (*self.base, self.widths[0]))
        x = basis[None] * nn.Dense(self.widths[0], use_bias=False, kernel_init=scaled())(z)[:, None, None]
        for i, width in enumerate(self.widths):
            if i:
                x = self.narrow(x)
                x = resample.up(x if x.shape[-1] == width else Conv(width, 1, False, scaled())(x))
            for _ in range(self.blocks):
                x = self.stage(lambda x: Block(self.group, self.blocks * len(self.widths))(x), x)
        return Conv(self.spec.shape[-1], 1, False, scaled())(x)


class Discriminator(Network):
    """x [b, *size, channels], y int [b] or None -> logits [b], or logits and features [b, n] on request.

    The logit is linear in the features; with classes, the product of a linear map of them and of the label's embedding.
    """

    widths: tuple[int, ...]
    blocks: int
    group: int
    spec: Spec

    @nn.compact
    def __call__(self, x: jax.Array, y: jax.Array | None, train: bool, features: bool = False):
        x = Conv(self.widths[0], 1, False, scaled())(self.narrow(x))
        for i, width in enumerate(self.widths):
            if i:
                x = resample.down(x)
                x = x if x.shape[-1] == width else Conv(width, 1, False, scaled())(x)
            x = widened(x) if i == len(self.widths) - 1 else x
            for _ in range(self.blocks):
                x = self.stage(lambda x: Block(self.group, self.blocks * len(self.widths))(x), x)
        # one weight per channel and place: a depthwise convolution of the whole map
        depthwise = self.param("depthwise", nn.initializers.normal(math.prod(x.shape[1:3]) ** -0.5), x.shape[1:])
        h = (x * depthwise[None]).sum((1, 2))
        if self.spec.outputs:
            out = nn.Dense(self.spec.outputs, kernel_init=scaled())(conditioned(h, y, self.spec.classes))
        elif self.spec.classes:
            mapped = nn.Dense(h.shape[-1], use_bias=False, kernel_init=scaled())(h)
            out = (mapped * Embed(self.spec.classes, h.shape[-1], scaled(h.shape[-1] ** -0.5))(y)).sum(-1)
        else:
            out = nn.Dense(1, use_bias=False, kernel_init=scaled())(h)[:, 0]
        return (out, h) if features else out


def widths(config: Config, spec: Spec) -> tuple[int, ...]:
    """Channels of stages from the lowest: the width up to r3gan.wide pixels, halved at each doubling above."""
    pixels, options = stages("r3gan", spec.shape).pixels, config.r3gan
    if spec.norm not in ("none", "spectral"):
        raise JaxganError(f"r3gan has no place for the norm {spec.norm!r}; leave d_norm and g_norm at own, or spectral")
    found = tuple(config.width // 2 ** sum(options.wide < above <= n for above in pixels) for n in pixels)
    if wrong := [width for width in found if width < 1 or 2 * width % options.group]:
        raise JaxganError(
            f"width {config.width} gives r3gan {', '.join(map(str, found))} channels from {pixels[0]} pixels on, and "
            f"twice {wrong[0]} does not make groups of {options.group}; use a wider network, or a smaller r3gan.group"
        )
    return found


def generator(config: Config, spec: Spec) -> Net:
    """A learned map, of 4x4 or so, times a linear function of z (and an embedding of y), then stages to the image."""
    base, up = stages("r3gan", spec.shape).first, widths(config, spec)
    return linen(Generator(base, up, config.r3gan.blocks, config.r3gan.group, spec), config)


def discriminator(config: Config, spec: Spec) -> Net:
    """The generator's stages in reverse, to one logit."""
    return linen(Discriminator(widths(config, spec)[::-1], config.r3gan.blocks, config.r3gan.group, spec), config)


def encoder(config: Config, spec: Spec) -> Net:
    """The discriminator's stages from x to numbers [b, outputs], with an embedding of y where there are classes."""
    return discriminator(config, spec)
