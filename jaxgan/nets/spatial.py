"""Small convolutional autoencoders whose latents are maps of places, in which other networks may train.

Strided convolutions, each of which halves the image and doubles the width, and transposed ones that mirror them; as
small as latent spaces of diffusion (Rombach et al. 2021, arXiv 2112.10752) are large. Latents are flat for all kinds:
the numbers of a place one after the other, place by place.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.config import Config
from jaxgan.nets.layers import Down, Embed, Head, Network, Up, linen, widened
from jaxgan.nets.norms import biased, normalise
from jaxgan.nets.resnet import Conv
from jaxgan.types import Axis, JaxganError, Net, Spec

HE = nn.initializers.he_normal()
LECUN = nn.initializers.lecun_normal()
UNIT = nn.initializers.normal(1.0)
NORM = {"g": "none", "d": "none"}  # of this architecture


def labelled(x: jax.Array, y: jax.Array | None, classes: int) -> jax.Array:
    """x [b, h, w, c], where there are classes with one more channel, a learned map of the label.

    To be called inside a compact method, whose module then owns the maps.
    """
    if not classes:
        return x
    maps = Embed(classes, math.prod(x.shape[1:3]), UNIT)(y).reshape(-1, *x.shape[1:3], 1)
    return jnp.concatenate([x, maps.astype(x.dtype)], -1)


class Generator(Network):
    """z [b, places * n], y int [b] or None -> x [b, h, w, channels] in [-1, 1]; widths from the places to the image."""

    places: tuple[int, int]
    widths: tuple[int, ...]
    channels: int
    classes: int
    axis: Axis
    norm: str = "none"

    @nn.compact
    def __call__(self, z: jax.Array, y: jax.Array | None, train: bool) -> jax.Array:
        bias = biased(self.norm)

        def after(x):
            return nn.relu(normalise(self.norm, train, self.axis)(x))

        def level(x, width):
            return after(Up(width, bias, HE)(x))

        x = labelled(self.narrow(z.reshape(z.shape[0], *self.places, -1)), y, self.classes)
        x = after(Conv(self.widths[0], bias=bias, kernel_init=HE)(x))
        for width in self.widths[1:]:
            x = self.stage(level, x, width=width)
        return self.image(widened(Up(self.channels, True, LECUN)(x)))


class Discriminator(Network):
    """x [b, h, w, channels], y int [b] or None -> logits [b], or logits and features [b, n] on request.

    outputs above 0: numbers [b, outputs], those of a place one after the other in each of `parts` equal parts.
    """

    widths: tuple[int, ...]
    classes: int
    axis: Axis
    outputs: int = 0
    parts: int = 1
    norm: str = "none"

    @nn.compact
    def __call__(self, x: jax.Array, y: jax.Array | None, train: bool, features: bool = False):
        def level(x, width):
            x = Down(width, biased(self.norm), HE)(x)
            return nn.leaky_relu(normalise(self.norm, train, self.axis)(x), 0.2)

        x = self.narrow(x)
        for width in self.widths:
            x = self.stage(level, x, width=width)
        if not self.outputs:
            more = self.discrimination(train, self.axis)
            return Head(self.classes, LECUN, UNIT, **more)(x.reshape(x.shape[0], -1), y, features)
        x = Conv(self.outputs // math.prod(x.shape[1:3]), kernel_init=LECUN)(widened(labelled(x, y, self.classes)))
        return jnp.moveaxis(x.reshape(*x.shape[:3], self.parts, -1), 3, 1).reshape(x.shape[0], -1)


def places(config: Config, shape: tuple[int, ...]) -> tuple[int, int]:
    """Height and width of the map of latents; JaxganError for images that are not halved so often."""
    count = config.spatial.halvings
    if len(shape) != 3:
        raise JaxganError(
            f"spatial makes images (h, w, c), not shape {tuple(shape)}; set net to mlp (points) or conv1d (sequences)"
        )
    if shape[0] % 2**count or shape[1] % 2**count:
        raise JaxganError(
            f"spatial halves images {count} times, which {shape[0]}x{shape[1]} pixels do not allow; set size to a "
            f"multiple of {2**count}, or other spatial.halvings"
        )
    return shape[0] >> count, shape[1] >> count


def latents(config: Config, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """The shape of a map of latents of images of this shape; JaxganError where config.latent does not fill one."""
    height, width = places(config, shape)
    count, rest = divmod(config.latent, height * width)
    if rest or not count:
        raise JaxganError(
            f"latent is {config.latent}, and net spatial has {height}x{width} places for it; use a multiple of "
            f"{height * width}, such as {4 * height * width} for 4 channels"
        )
    return height, width, count


def widths(config: Config) -> tuple[int, ...]:
    """Channels after each halving."""
    return tuple(config.width * 2**i for i in range(config.spatial.halvings))


def generator(config: Config, spec: Spec) -> Net:
    """Transposed convolutions from a map of latents to images."""
    sizes = latents(config, spec.shape)[:2], widths(config)[::-1]
    return linen(Generator(*sizes, spec.shape[2], spec.classes, spec.axis, spec.norm), config)


def discriminator(config: Config, spec: Spec) -> Net:
    """Strided convolutions from images to one logit, with a projection of y where there are classes."""
    places(config, spec.shape)
    return linen(Discriminator(widths(config), spec.classes, spec.axis, norm=spec.norm), config)


def encoder(config: Config, spec: Spec) -> Net:
    """The discriminator's layers, and a convolution to one map of latents or several, flat, one after the other."""
    latents(config, spec.shape)
    net = Discriminator(widths(config), spec.classes, spec.axis, spec.outputs, spec.outputs // config.latent)
    return linen(net, config)
