"""CAT: GAT's G with shifts, and a D that judges images at each of several scales (Hyun et al. 2026, arXiv 2605.26449).

D sees K images, the last at full size and each at half the height and width of the next. One patch layer and one set of
blocks serve all of them; tokens see those of their own image alone, and each scale has a class token, an embedding and
a logit of its own. Beside these the published counts have D's projector to the features of another network, and of G a
fixed table of places and a layer that is multiplied by 0. bfloat16 is as in GAT.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.config import Config
from jaxgan.nets import gat
from jaxgan.nets.gat import SMALL, answered, heads
from jaxgan.nets.layers import Network, linen, widened
from jaxgan.nets.transformer import Gain, Grids, Linear, Plain, patched, scanned, starts, table
from jaxgan.options import Cat
from jaxgan.types import JaxganError, Net, Spec

NORM = {"g": "none", "d": "none"}  # of this architecture


def sizes(shape: tuple[int, ...], levels: int) -> Grids:
    """Height and width of images of a shape [h, w, ...] at each scale, the smallest first."""
    return tuple((shape[0] >> k, shape[1] >> k) for k in reversed(range(levels)))


def folded(images: list[jax.Array]) -> jax.Array:
    """Images [b, h, w, c], of which D sees each at half the size of the next, as D takes them, [b, n].

    Bilinear, between the pixels in the middle of what becomes one pixel, without smoothing.
    """

    def resized(x: jax.Array, size: tuple[int, int]) -> jax.Array:
        return jax.image.resize(x, (x.shape[0], *size, x.shape[-1]), "linear", antialias=False)

    scales = zip(images, sizes(images[-1].shape[1:], len(images)))
    return jnp.concatenate([resized(x, size).reshape(x.shape[0], -1) for x, size in scales], 1)


def unfolded(x: jax.Array, shape: tuple[int, ...], levels: int) -> list[jax.Array]:
    """What D sees [b, n] of images of a shape [h, w, c], each scale [b, h_k, w_k, c]."""
    found = sizes(shape, levels)
    ends = np.cumsum([h * w * shape[-1] for h, w in found])[:-1]
    return [part.reshape(x.shape[0], *size, shape[-1]) for part, size in zip(jnp.split(x, ends, 1), found)]


class Discriminator(Network):
    """x [b, h, w, c], or images at all scales as `folded` has them, y int [b] or None -> logits [b], or with features.

    Those of an example are the mean of its scales, or with the option scales each by itself, [b, scales]. A logit is
    linear in the features, the normalised class token, of which features are the mean over scales, [b, n]. tokens:
    beside features what leaves the blocks at full size, [b, 1 + patches, width], the class token first.
    """

    width: int
    options: Cat
    spec: Spec

    @nn.compact
    def __call__(self, x: jax.Array, y, train: bool, features=False, scales=False, tokens=False):
        o, shape, count = self.options, self.spec.shape, self.options.levels
        images = unfolded(widened(folded([x] * count) if x.ndim == 4 else x), shape, count)
        grids = tuple((h // o.patch, w // o.patch) for h, w in sizes(shape, count))
        x = jnp.concatenate([patched(image, grid, o.patch) for image, grid in zip(images, grids)], 1)
        x = Linear(self.width, name="patches")(x)
        x += jnp.asarray(np.concatenate([table(grid, self.width) for grid in grids]), x.dtype)[None]
        token, scale = (self.param(name, SMALL, (count, self.width)) for name in ("tokens", "scales"))
        first = jnp.broadcast_to(token[:, None, None], (count, x.shape[0], 1, self.width))
        parts = jnp.split(x, np.cumsum([math.prod(grid) for grid in grids])[:-1], 1)
        parts = [jnp.concatenate([first[k], part], 1) + scale[k][None, None] for k, part in enumerate(parts)]
        x = jnp.concatenate(parts, 1)
        blocks = scanned(Plain, o.d_depth, self.remat)
        x, _ = blocks(heads(self.width, o.d_heads), grids, self.precision, name="blocks")(x, None)
        begin = starts(grids, x.shape[1])
        h = Gain(name="norm")(x[:, np.array(begin)])
        if self.spec.outputs:
            return answered(h.mean(1), y, self.spec, o.features)
        out = answered(h, y, self.spec, o.features)
        out = out if scales else out.mean(1)
        return (out, h.mean(1), x[:, begin[-1] :])[: 1 + features + tokens] if features else out


def generator(config: Config, spec: Spec) -> Net:
    """GAT's G, whose branches are shifted too."""
    gat.check("cat", config, spec)
    return linen(gat.Generator(config.width, config.cat, spec, shifts=True), config)


def discriminator(config: Config, spec: Spec) -> Net:
    """Patches of all scales and their class tokens through shared blocks, to a logit of each scale."""
    o = config.cat
    width = o.d_width or config.width
    gat.check("cat", config, spec)
    gat.check_width("cat.d_heads", width, o.d_heads)
    least = o.patch << (o.levels - 1)
    if spec.shape[0] % least or spec.shape[1] % least:
        what, cure = gat.sized(config, spec, least)
        raise JaxganError(
            f"cat shows D {what} halved {o.levels - 1} times, of which patches of {o.patch} are no parts; take other "
            f"cat.levels or another cat.patch, or {cure}"
        )
    return linen(Discriminator(width, o, spec), config)


def encoder(config: Config, spec: Spec) -> Net:
    """The discriminator's blocks from x to numbers [b, outputs], with an embedding of y where there are classes."""
    return discriminator(config, spec)


def styles(config: Config, shape: tuple[int, ...]) -> tuple[int, int]:
    """As of GAT: one layer, of the width."""
    return gat.styles(config, shape)


def tokens(config: Config, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Rows and columns of the patches of an image at full size, of which D has tokens, and their numbers."""
    return *gat.places(config.cat, Spec(shape)), config.cat.d_width or config.width


def images(config: Config) -> int:
    """Images that G makes of one latent with the option levels, of which the last is its example."""
    return config.cat.levels
