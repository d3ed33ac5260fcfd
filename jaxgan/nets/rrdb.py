"""ESRGAN's networks (Wang et al. 2018, arXiv 1809.00219): G makes images of smaller ones, D judges as VGG classifies.

G has residual-in-residual dense blocks without normalisation, whose kernels begin at a tenth of Kaiming's, and ends
linearly; after the blocks each doubling is by nearest neighbours and a convolution. Other kernels of G begin as in the
authors' code, by PyTorch's default.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.config import Config
from jaxgan.nets.layers import Dense, Down, Head, Network, linen, widened
from jaxgan.nets.norms import biased, normalise
from jaxgan.nets.resnet import Conv, doubled
from jaxgan.nets.sizes import doublings
from jaxgan.types import Axis, JaxganError, Net, Spec

NORM = {"g": "none", "d": "batch"}  # of this architecture
RESIDUAL = 0.2  # of what a block adds
FACTORS = (2, 4, 8)
HIDDEN = 100  # features of D before its logit
KAIMING = nn.initializers.variance_scaling(2.0, "fan_in", "normal")
DEFAULT = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")  # PyTorch's; biases begin at 0
SMALL = nn.initializers.variance_scaling(2.0 * 0.1**2, "fan_in", "normal")


class Block(nn.Module):
    """x + residual f(x), f five convolutions of which each sees x and all before it: [b, h, w, c] -> the same."""

    growth: int
    residual: float = RESIDUAL

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        seen = [x]
        for _ in range(4):
            seen.append(nn.leaky_relu(Conv(self.growth, kernel_init=SMALL)(jnp.concatenate(seen, -1)), 0.2))
        return x + self.residual * Conv(x.shape[-1], kernel_init=SMALL)(jnp.concatenate(seen, -1))


class Upscaler(Network):
    """x [b, h, w, c] -> [b, factor h, factor w, c]."""

    width: int
    blocks: int
    growth: int
    factor: int
    residual: float = RESIDUAL

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        def conv(x, features=self.width):
            return Conv(features, kernel_init=DEFAULT)(x)

        def dense_blocks(x):
            y = x
            for _ in range(3):
                y = Block(self.growth, self.residual)(y)
            return x + self.residual * y

        channels = x.shape[-1]
        x = y = conv(self.narrow(x))
        for _ in range(self.blocks):
            y = self.stage(dense_blocks, y)
        x += conv(y)
        for _ in range(self.factor.bit_length() - 1):
            x = self.stage(lambda x: nn.leaky_relu(conv(doubled(x)), 0.2), x)
        return widened(conv(nn.leaky_relu(conv(x), 0.2), channels))


class Discriminator(Network):
    """x [b, size, size, channels], y int [b] or None -> logits [b], or logits and features [b, HIDDEN] on request.

    A 3x3 convolution and a 4x4 one of stride 2 at each of the widths.
    """

    widths: tuple[int, ...]
    classes: int
    axis: Axis
    outputs: int = 0
    norm: str = "batch"

    @nn.compact
    def __call__(self, x: jax.Array, y: jax.Array | None, train: bool, features: bool = False):
        bias = biased(self.norm)

        def normed(x):
            return nn.leaky_relu(normalise(self.norm, train, self.axis)(x), 0.2)

        def level(x, width):
            x = normed(Conv(width, bias=bias, kernel_init=KAIMING)(x))
            return normed(Down(width, bias, KAIMING)(x))

        x = nn.leaky_relu(Conv(self.widths[0], kernel_init=KAIMING)(self.narrow(x)), 0.2)
        x = normed(Down(self.widths[0], bias, KAIMING)(x))
        for width in self.widths[1:]:
            x = self.stage(level, x, width=width)
        x = nn.leaky_relu(Dense(HIDDEN, kernel_init=KAIMING)(x.reshape(x.shape[0], -1)), 0.2)
        more = self.discrimination(train, self.axis)
        return Head(self.classes, KAIMING, KAIMING, self.outputs, **more)(x, y, features)


def widths(config: Config, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Channels of D at size, size / 2, ..., down to 8 pixels or more: the width, doubling up to 8 times."""
    halvings = doublings(shape[0], shape[1]) if len(shape) == 3 and shape[0] == shape[1] else None
    if halvings is None:
        raise JaxganError(
            "D of rrdb sees squares that halves make 4 to 7 pixels high, such as 32, 48, 64, 96, 128 or 192, not shape "
            f"{tuple(shape)}; set patch, or size, to one of these"
        )
    first = config.rrdb.d_width or config.width
    return tuple(first * min(2**i, 8) for i in range(halvings))


def generator(config: Config, spec: Spec) -> Net:
    """There is none: JaxganError."""
    raise JaxganError(
        f"net rrdb makes images of smaller ones, and none from latents, which kind {config.kind!r} asks for; use "
        "another net"
    )


def upscaler(config: Config, spec: Spec) -> Net:
    """RRDB net to images of this shape; JaxganError where no smaller image makes one."""
    factor, options = config.factor, config.rrdb
    if factor not in FACTORS:
        raise JaxganError(f"factor is {factor}; net rrdb doubles images, so choose from {', '.join(map(str, FACTORS))}")
    if len(spec.shape) != 3 or any(n % factor for n in spec.shape[:2]):
        raise JaxganError(
            f"factor is {factor}, which does not divide height and width of examples of shape {spec.shape}; set "
            "patch, or size, to a multiple of it"
        )
    return linen(Upscaler(config.width, options.blocks, options.growth, factor), config)


def discriminator(config: Config, spec: Spec) -> Net:
    """Pairs of convolutions, the second of stride 2, from images to one logit."""
    made = Discriminator(widths(config, spec.shape), spec.classes, spec.axis, spec.outputs, spec.norm)
    return linen(made, config)


def encoder(config: Config, spec: Spec) -> Net:
    """The discriminator's layers from x to numbers [b, outputs], with an embedding of y where there are classes."""
    return discriminator(config, spec._replace(norm=NORM["d"]))
