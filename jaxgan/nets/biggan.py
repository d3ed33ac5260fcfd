"""BigGAN and BigGAN-deep (Brock et al. 2018, arXiv 1809.11096): class-conditional ResNets, both spectrally normal.

Labels share one embedding, which reaches every conditional batch norm of G; BigGAN's blocks each get a chunk of z
beside it, BigGAN-deep's the whole z. D is SNGAN's with wide blocks, or a deep one.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.config import Config, size_text
from jaxgan.nets import sngan
from jaxgan.nets.layers import Embed, Head, Network, linen, matched, widened
from jaxgan.nets.norms import normalise
from jaxgan.nets.resnet import Attention, Conv, doubled, pooled
from jaxgan.types import JaxganError, Net, Spec

NORM = {"g": "batch_spectral", "d": "spectral"}  # of this architecture
ORTHOGONAL = nn.initializers.orthogonal()
SHARED = 128  # numbers of the embedding of a label
# of BigGAN-deep, in units of the width: channels of G and of D before the first and after each block; two a resolution
DEEP = {  # by doublings
    3: ((4,) * 7, (2,) * 7),
    4: ((16, 16, 8, 8, 4, 4, 2, 2, 1), (1, 2, 2, 4, 4, 8, 8, 16, 16)),
    5: ((16, 16, 16, 16, 8, 8, 4, 4, 2, 2, 1), (1, 2, 2, 4, 4, 8, 8, 16, 16, 16, 16)),
    6: ((16, 16, 16, 16, 8, 8, 8, 8, 4, 4, 2, 2, 1), (1, 2, 2, 4, 4, 8, 8, 8, 8, 16, 16, 16, 16)),
}


class LinearNorm(nn.Module):
    """Batch norm with gain 1 + A c and bias B c: x [b, h, w, k] and a condition c [b, n] -> x's shape."""

    spec: Spec

    @nn.compact
    def __call__(self, x: jax.Array, c: jax.Array, train: bool) -> jax.Array:
        x = normalise(self.spec.norm, train, self.spec.axis, affine=False)(x)
        gain, bias = (nn.Dense(x.shape[-1], use_bias=False, kernel_init=ORTHOGONAL)(c)[:, None, None] for _ in "gb")
        return matched(widened(x) * (1 + gain) + bias, x)


class Up(nn.Module):
    """A block of BigGAN's G that doubles the image: x [b, h, w, cin], c [b, n] -> [b, 2h, 2w, features]."""

    features: int
    spec: Spec

    @nn.compact
    def __call__(self, x: jax.Array, c: jax.Array, train: bool) -> jax.Array:
        inner = doubled(nn.relu(LinearNorm(self.spec)(x, c, train)))
        inner = nn.relu(LinearNorm(self.spec)(Conv(self.features, kernel_init=ORTHOGONAL)(inner), c, train))
        skip = Conv(self.features, 1, kernel_init=ORTHOGONAL)(doubled(x))
        return Conv(self.features, kernel_init=ORTHOGONAL)(inner) + skip


class DeepUp(nn.Module):
    """A bottleneck of BigGAN-deep's G, which doubles the image or not; its skip keeps the first channels of x."""

    features: int
    doubles: bool
    spec: Spec

    @nn.compact
    def __call__(self, x: jax.Array, c: jax.Array, train: bool) -> jax.Array:
        grow, few = doubled if self.doubles else lambda x: x, x.shape[-1] // 4
        inner = x
        for i, (width, size) in enumerate(((few, 1), (few, 3), (few, 3), (self.features, 1))):
            inner = nn.relu(LinearNorm(self.spec)(inner, c, train))
            inner = Conv(width, size, kernel_init=ORTHOGONAL)(grow(inner) if i == 1 else inner)
        return inner + grow(x[..., : self.features])


class Generator(Network):
    """z [b, latent], y int [b] or None -> x [b, *size, channels] in [-1, 1]; widths from base to size."""

    base: tuple[int, int]
    widths: tuple[int, ...]
    attention: int
    deep: bool
    spec: Spec

    @nn.compact
    def __call__(self, z: jax.Array, y: jax.Array | None, train: bool) -> jax.Array:
        shared = [Embed(self.spec.classes, SHARED, ORTHOGONAL)(y)] if self.spec.classes else []
        parts = len(self.widths)  # the stem and each block
        if self.deep:
            stem, *conditions = [jnp.concatenate([z, *shared], -1)] * parts
        elif z.shape[1] % parts:
            raise JaxganError(
                f"z has {z.shape[1]} numbers, but BigGAN splits it over {parts} parts at {self.spec.shape[0]} pixels; "
                f"use a --latent that makes a multiple of {parts}, such as {20 * parts}, or --biggan.deep"
            )
        else:
            stem, *chunks = jnp.split(z, parts, 1)
            conditions = [jnp.concatenate([*shared, chunk], -1) for chunk in chunks]
        x = nn.Dense(math.prod(self.base) * self.widths[0], kernel_init=ORTHOGONAL)(stem)

        def block(x, c, i, width):
            before = x.shape[1]
            x = DeepUp(width, i % 2 == 1, self.spec)(x, c, train) if self.deep else Up(width, self.spec)(x, c, train)
            return Attention(ORTHOGONAL)(x) if before < x.shape[1] == self.attention else x

        x = self.narrow(x.reshape(-1, *self.base, self.widths[0]))
        for i, (width, c) in enumerate(zip(self.widths[1:], conditions)):
            x = self.stage(block, x, c, i=i, width=width)
        x = nn.relu(normalise(self.spec.norm, train, self.spec.axis)(x))
        return self.image(widened(Conv(self.spec.shape[-1], kernel_init=ORTHOGONAL)(x)))


class DeepDiscriminator(Network):
    """x [b, *size, channels], y int [b] or None -> logits [b], or logits and features [b, n] on request."""

    widths: tuple[int, ...]
    attention: int
    spec: Spec

    @nn.compact
    def __call__(self, x: jax.Array, y: jax.Array | None, train: bool, features: bool = False):
        act = lambda x: nn.relu(normalise(self.spec.norm, train, self.spec.axis)(x))  # noqa: E731
        conv = lambda width, size, x: Conv(width, size, kernel_init=ORTHOGONAL)(x)  # noqa: E731

        def block(x, i, width):
            pool, few = pooled if i % 2 == 0 else lambda x: x, width // 4
            inner = conv(few, 3, act(conv(few, 3, act(conv(few, 1, act(x))))))
            skip = pool(x)
            if width > x.shape[-1]:
                skip = jnp.concatenate([skip, conv(width - x.shape[-1], 1, skip)], -1)
            x = conv(width, 1, pool(act(inner))) + skip
            return Attention(ORTHOGONAL)(x) if i % 2 == 0 and x.shape[1] == self.attention else x

        x = conv(self.widths[0], 3, self.narrow(x))
        for i, width in enumerate(self.widths[1:]):
            x = self.stage(block, x, i=i, width=width)
        more = self.discrimination(train, self.spec.axis)
        head = Head(self.spec.classes, ORTHOGONAL, ORTHOGONAL, self.spec.outputs, **more)
        return head(widened(act(x)).sum((1, 2)), y, features)


def levels(config: Config, spec: Spec) -> sngan.Levels:
    """Channels and blocks of images of this shape; JaxganError for sizes and widths that do not go."""
    options = config.biggan
    found = sngan.sized("biggan", spec.shape, options.attention)
    if options.deep:
        count = len(found.g) - 1
        if count not in DEEP:
            sizes = ", ".join(str(4 << n) for n in DEEP)
            raise JaxganError(
                f"biggan.deep makes images of {sizes} pixels, or of others that are doubled {min(DEEP)} times or more, "
                f"not {size_text((spec.shape[0], spec.shape[1]))}"
            )
        if config.width % 4:
            raise JaxganError(
                f"width is {config.width}, but bottlenecks of biggan.deep have a quarter; use a multiple of 4"
            )
        found = found._replace(g=DEEP[count][0], d=DEEP[count][1])
    return found._replace(g=tuple(config.width * n for n in found.g), d=tuple(config.width * n for n in found.d))


def generator(config: Config, spec: Spec) -> Net:
    """Residual blocks from z to images, conditioned on z and the label's embedding by batch norm."""
    found = levels(config, spec)
    return linen(Generator(found.base, found.g, config.biggan.attention, config.biggan.deep, spec), config)


def discriminator(config: Config, spec: Spec) -> Net:
    """SNGAN's wide blocks, or deep ones, to one logit, with a projection of y where there are classes."""
    found, at = levels(config, spec), config.biggan.attention
    if config.biggan.deep:
        return linen(DeepDiscriminator(found.d, at, spec), config)
    halved = sngan.halvings(found, wide=True)
    return linen(sngan.Discriminator(found.d, halved, True, at, spec, ORTHOGONAL, ORTHOGONAL), config)


def encoder(config: Config, spec: Spec) -> Net:
    """The discriminator's blocks from x to numbers [b, outputs], with an embedding of y where there are classes."""
    return discriminator(config, spec)
