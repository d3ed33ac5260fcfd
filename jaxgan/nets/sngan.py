"""ResNet GANs: SNGAN (Miyato et al. 2018, arXiv 1802.05957), with attention SAGAN (Zhang et al. 2018, 1805.08318).

Class-conditional by batch norm in G and by projection in D (Miyato and Koyama 2018, arXiv 1802.05637).
"""

import math
from typing import NamedTuple

import flax.linen as nn
import jax

from jaxgan.config import Config, size_text
from jaxgan.nets.layers import Head, Network, linen, widened
from jaxgan.nets.norms import normalise
from jaxgan.nets.resnet import GLOROT, GLOROT_RELU, Attention, ConditionalNorm, Conv, doubled, pooled
from jaxgan.nets.sizes import stages
from jaxgan.types import JaxganError, Net, Spec

NORM = {"g": "batch", "d": "spectral"}  # of this architecture


class Levels(NamedTuple):
    """Of images that are doubled so often; channels are in units of the width.

    g: channels of G's first map and after each block of G; d: after each block of D; halved: how many of D's first
    blocks halve the image; base: height and width of the first map
    """

    g: tuple[int, ...]
    d: tuple[int, ...]
    halved: int
    base: tuple[int, int] = (4, 4)


# of convolutions inside blocks, and of all others
INITS = {"glorot": (GLOROT_RELU, GLOROT), "normal": (nn.initializers.normal(0.02), nn.initializers.normal(0.02))}
LEVELS = {  # by doublings; published are those of 28, 32, 64, 128 and 256 pixels
    2: Levels((4, 4, 4), (2, 2, 2, 2), 2),
    3: Levels((4, 4, 4, 4), (2, 2, 2, 2), 2),
    4: Levels((16, 8, 4, 2, 1), (1, 2, 4, 8, 16), 5),
    5: Levels((16, 16, 8, 4, 2, 1), (1, 2, 4, 8, 16, 16), 5),
    6: Levels((16, 16, 8, 8, 4, 2, 1), (1, 2, 4, 8, 8, 16, 16), 6),
}


class Up(nn.Module):
    """A block of G that doubles the image: x [b, h, w, cin], y int [b] or None -> [b, 2h, 2w, features]."""

    features: int
    spec: Spec
    inside: nn.initializers.Initializer = GLOROT_RELU
    outside: nn.initializers.Initializer = GLOROT

    @nn.compact
    def __call__(self, x: jax.Array, y: jax.Array | None, train: bool) -> jax.Array:
        norms = [ConditionalNorm(self.spec.norm, self.spec.classes, self.spec.axis) for _ in range(2)]
        inner = Conv(self.features, kernel_init=self.inside)(doubled(nn.relu(norms[0](x, y, train))))
        inner = Conv(self.features, kernel_init=self.inside)(nn.relu(norms[1](inner, y, train)))
        return inner + Conv(self.features, 1, kernel_init=self.outside)(doubled(x))


class Generator(Network):
    """z [b, latent], y int [b] or None -> x [b, *size, channels] in [-1, 1]; widths from base to size."""

    base: tuple[int, int]
    widths: tuple[int, ...]
    attention: int
    spec: Spec
    inside: nn.initializers.Initializer = GLOROT_RELU
    outside: nn.initializers.Initializer = GLOROT

    @nn.compact
    def __call__(self, z: jax.Array, y: jax.Array | None, train: bool) -> jax.Array:
        x = nn.Dense(math.prod(self.base) * self.widths[0], kernel_init=self.outside)(z)

        def block(x, width):
            x = Up(width, self.spec, self.inside, self.outside)(x, y, train)
            return Attention(self.outside)(x) if x.shape[1] == self.attention else x

        x = self.narrow(x.reshape(-1, *self.base, self.widths[0]))
        for width in self.widths[1:]:
            x = self.stage(block, x, width=width)
        x = nn.relu(normalise(self.spec.norm, train, self.spec.axis)(x))
        return self.image(widened(Conv(self.spec.shape[-1], kernel_init=self.outside)(x)))


class Down(nn.Module):
    """A block of D: x [b, h, w, cin] -> [b, h, w, features], or half as high and wide.

    inner: channels between its two convolutions; first: it sees the image, and pools before the skip's convolution.
    """

    features: int
    inner: int
    halves: bool
    first: bool
    spec: Spec
    inside: nn.initializers.Initializer = GLOROT_RELU
    outside: nn.initializers.Initializer = GLOROT

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        act = lambda x: nn.relu(normalise(self.spec.norm, train, self.spec.axis)(x))  # noqa: E731
        pool = pooled if self.halves else lambda x: x
        inner = Conv(self.inner, kernel_init=self.inside)(x if self.first else act(x))
        inner = pool(Conv(self.features, kernel_init=self.inside)(act(inner)))
        skip = Conv(self.features, 1, kernel_init=self.outside)
        if self.first:
            return inner + skip(pool(x))
        return inner + (pool(skip(x)) if self.halves or x.shape[-1] != self.features else x)


class Discriminator(Network):
    """x [b, *size, channels], y int [b] or None -> logits [b], or logits and features [b, n] on request.

    widths: after each block, of which the first `halved` halve the image; wide: see options.Sngan.
    """

    widths: tuple[int, ...]
    halved: int
    wide: bool
    attention: int
    spec: Spec
    inside: nn.initializers.Initializer = GLOROT_RELU
    outside: nn.initializers.Initializer = GLOROT

    @nn.compact
    def __call__(self, x: jax.Array, y: jax.Array | None, train: bool, features: bool = False):
        def block(x, i, width):
            inner = width if self.wide or not i else x.shape[-1]
            before = x.shape[1]
            x = Down(width, inner, i < self.halved, not i, self.spec, self.inside, self.outside)(x, train)
            return Attention(self.outside)(x) if before > x.shape[1] == self.attention else x

        x = self.narrow(x)
        for i, width in enumerate(self.widths):
            x = self.stage(block, x, i=i, width=width)
        x = widened(nn.relu(normalise(self.spec.norm, train, self.spec.axis)(x))).sum((1, 2))
        more = self.discrimination(train, self.spec.axis)
        return Head(self.spec.classes, self.outside, self.outside, self.spec.outputs, **more)(x, y, features)


def sized(net: str, shape: tuple[int, ...], attention: int) -> Levels:
    """Those of images of this shape, in units of the width; JaxganError for sizes that there are none of."""
    base, count = stages(net, shape, range(2, 7))
    found, (h, w) = LEVELS[count], shape[:2]
    inside = [(h >> i, w >> i) for i in range(1, len(found.g) - 1)]  # where both have blocks
    heights = [n for n, m in inside if n % 2 == m % 2 == 0]
    if attention and attention not in heights:
        known = ", ".join(map(str, [0, *heights]))
        size = size_text(h if h == w else (h, w))
        raise JaxganError(f"{net}.attention is {attention}; with images of {size} pixels choose from {known}")
    even = h % 2**found.halved == w % 2**found.halved == 0
    return found._replace(base=base, halved=found.halved if even else count)


def halvings(found: Levels, wide: bool) -> int:
    """How many blocks of D halve the image: the last of a wide D always keeps its size."""
    return found.halved - int(wide and found.halved == len(found.d))


def levels(config: Config, shape: tuple[int, ...]) -> Levels:
    """Those of images of this shape, in channels."""
    found = sized("sngan", shape, config.sngan.attention)
    if config.sngan.wide and len(set(found.d)) == 1:
        raise JaxganError(
            f"sngan.wide changes nothing at {shape[0]} pixels: all of D's blocks are as wide; leave it out"
        )
    units = config.width, config.sngan.d_width or config.width
    return found._replace(g=tuple(units[0] * n for n in found.g), d=tuple(units[1] * n for n in found.d))


def generator(config: Config, spec: Spec) -> Net:
    """Residual blocks from z to images, one for each doubling; labels choose the gains and biases of batch norm."""
    found = levels(config, spec.shape)
    return linen(Generator(found.base, found.g, config.sngan.attention, spec, *INITS[config.sngan.init]), config)


def discriminator(config: Config, spec: Spec) -> Net:
    """Residual blocks from images to one logit, of sums over pixels, with a projection of y where there are classes."""
    found = levels(config, spec.shape)
    wide, attention = config.sngan.wide, config.sngan.attention
    inits = INITS[config.sngan.init]
    return linen(Discriminator(found.d, halvings(found, wide), wide, attention, spec, *inits), config)


def encoder(config: Config, spec: Spec) -> Net:
    """The discriminator's blocks from x to numbers [b, outputs], with an embedding of y where there are classes."""
    return discriminator(config, spec)
