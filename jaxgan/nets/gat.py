"""GAT: transformers as G and D, whose images G makes at several levels (Hyun et al. 2025, arXiv 2509.24935).

Tokens are patches. G begins with their places, and each block is scaled by a style w of z and y; after every depth /
levels blocks a part of the image is put out, and image k is the sum of parts 1 to k. D has a class token, whose product
with a map of the label is the logit. Blocks are scanned: programs have the size of one block, and parameters of blocks
stand in arrays [levels, blocks, ...] in G and [blocks, ...] in D. Beside them the published counts have D's projector
to the features of another network, a fixed table of places in G and in D, and a layer of G's that is multiplied by 0.
With bfloat16 blocks multiply in it; styles, the sum over blocks, norms, softmaxes and both ends stay float32.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.config import Config
from jaxgan.nets.layers import Embed, Network, conditioned, linen, narrowed, one_hot, widened
from jaxgan.nets.norms import unit_square
from jaxgan.nets.transformer import Attention, Gain, Grids, Linear, Mlp, Plain, patched, rms, scanned, table, unpatched
from jaxgan.options import Cat, Gat
from jaxgan.types import JaxganError, Net, Spec

NORM = {"g": "none", "d": "none"}  # of this architecture
MODULATION = nn.initializers.variance_scaling(0.1**2, "fan_avg", "uniform")  # a tenth of Xavier's
SMALL = nn.initializers.normal(0.02)  # of tables of classes and the class token
SLOW = 0.01  # rate of the maps of z and labels
CLASS = 64  # numbers of the label's embedding in G
AVERAGE = 0.995  # of a class's mean style that stays at each of its turns


def modulated(x: jax.Array, scale: jax.Array, shift: jax.Array | None = None) -> jax.Array:
    """rms(x) times 1 + scale, plus shift."""
    x = (1 + scale) * rms(x)
    return x if shift is None else x + shift


class Styled(nn.Module):
    """A block of G: x [b, n, width], each branch before and after scaled by linear functions of w [b, width].

    shifts: what goes into a branch is shifted by such functions too.
    """

    heads: int
    grids: Grids
    precision: str
    shifts: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, w: jax.Array):
        n = 6 if self.shifts else 4
        numbers = widened(Linear(n * x.shape[-1], MODULATION, name="modulation")(narrowed(nn.silu(w), self.precision)))
        a, b, c, d, *shifts = jnp.split(numbers[:, None], n, -1)
        inner = narrowed(modulated(x, a, *shifts[:1]), self.precision)
        x += b * widened(Attention(self.heads, self.grids, name="attention")(inner))
        inner = narrowed(modulated(x, c, *shifts[1:]), self.precision)
        return x + d * widened(Mlp(name="mlp")(inner)), None


class Level(nn.Module):
    """Blocks of G, and the part of the image after them: x [b, n, width], w [b, width] -> x, [b, n, outputs]."""

    count: int
    remat: bool
    outputs: int
    heads: int
    grids: Grids
    precision: str
    shifts: bool

    @nn.compact
    def __call__(self, x: jax.Array, w: jax.Array):
        blocks = scanned(Styled, self.count, self.remat)
        x, _ = blocks(self.heads, self.grids, self.precision, self.shifts, name="blocks")(x, w)
        n = 2 if self.shifts else 1
        numbers = Linear(n * x.shape[-1], MODULATION, name="modulation")(nn.silu(w))[:, None]
        return x, Linear(self.outputs, name="output")(modulated(x, *jnp.split(numbers, n, -1)))


class Styles(nn.Module):
    """z [b, n], y int [b] or None -> styles [b, width]; in training it follows the mean style of each class.

    psi [b]: how far from that each example's style is, 1 all the way.
    """

    width: int
    spec: Spec

    @nn.compact
    def __call__(self, z: jax.Array, y: jax.Array | None, train: bool, psi=None) -> jax.Array:
        classes, axis = self.spec.classes, self.spec.axis
        told = [Embed(classes, CLASS, SMALL, name="label")(y)] if classes else []
        w = jnp.concatenate([unit_square(z), *map(unit_square, told)], -1)
        w = Linear(self.width, rate=SLOW, name="first")(w)
        w = Linear(self.width, rate=SLOW, name="second")(nn.silu(w))
        average = self.variable("average", "style", lambda: jnp.zeros((max(classes, 1), self.width), w.dtype))
        own = one_hot(y, classes) if classes else jnp.ones((z.shape[0], 1), w.dtype)
        mean = own @ average.value
        if train:  # linear in examples, so that devices and micro-batches change nothing
            way = (own.T @ jax.lax.stop_gradient(w - mean)) * (own.shape[1] / z.shape[0])
            way = jax.lax.pmean(way, axis) if isinstance(axis, str) else way
            average.value = average.value + (1 - AVERAGE) * way
        return w if psi is None else mean + psi[:, None] * (w - mean)


class Generator(Network):
    """z [b, latent], y int [b] or None -> x [b, h, w, channels].

    levels: images of all levels side by side, [b, h, w, levels * channels], the last of which is x. shift: [b, 1,
    width] added to the style. psi [b]: as of `Styles`. mapped: the style itself, [b, 1, width], in place of an image.
    shifts: as of `Styled`.
    """

    width: int
    options: Gat | Cat
    spec: Spec
    shifts: bool = False

    @nn.compact
    def __call__(self, z, y, train: bool, shift=None, psi=None, mapped: bool = False, levels: bool = False):
        o, channels = self.options, self.spec.shape[-1]
        w = Styles(self.width, self.spec, name="styles")(z, y, train, psi)
        w = w if shift is None else w + shift[:, 0]
        if mapped:
            return w[:, None]
        grid = places(o, self.spec)
        start = jnp.asarray(table(grid, self.width), w.dtype)
        x = jnp.broadcast_to(start[None], (z.shape[0], *start.shape))
        count, outputs = o.depth // o.levels, o.patch**2 * channels
        own = self.remat, outputs, heads(self.width, o.heads), (grid,), self.precision, self.shifts
        _, parts = scanned(Level, o.levels)(count, *own, name="levels")(x, w)
        if not levels:
            return unpatched(parts.sum(0), grid, o.patch)
        images = [unpatched(part, grid, o.patch) for part in jnp.cumsum(parts, 0)]
        return jnp.concatenate(images, -1)


class Discriminator(Network):
    """x [b, h, w, channels], y int [b] or None -> logits [b], or logits and features [b, n] on request, and tokens.

    The logit is linear in the features, the normalised class token; with classes the product of a linear map of them
    and of the label's. tokens: beside features what leaves the blocks, [b, 1 + patches, width], the class token first.
    """

    width: int
    options: Gat
    spec: Spec

    @nn.compact
    def __call__(self, x: jax.Array, y: jax.Array | None, train: bool, features: bool = False, tokens: bool = False):
        o, grid = self.options, places(self.options, self.spec)
        x = Linear(self.width, name="patches")(patched(widened(x), grid, o.patch))
        token = self.param("token", SMALL, (self.width,))
        first = jnp.broadcast_to(token.reshape(1, 1, -1), (x.shape[0], 1, self.width))
        x = jnp.concatenate([first, x + jnp.asarray(table(grid, self.width), x.dtype)[None]], 1)
        blocks = scanned(Plain, o.depth, self.remat)
        x, _ = blocks(heads(self.width, o.heads), (grid,), self.precision, name="blocks")(x, None)
        h = Gain(name="norm")(x[:, 0])
        out = answered(h, y, self.spec, o.features)
        return (out, h, x)[: 1 + features + tokens] if features else out


def answered(h: jax.Array, y: jax.Array | None, spec: Spec, features: int) -> jax.Array:
    """Logits [b, ...] of a D's features h [b, ..., n] and labels y [b]; of an encoder, [b, n], numbers [b, outputs].

    To be called inside a compact method, whose module then owns the layers.
    """
    if spec.outputs:
        return Linear(spec.outputs, name="outputs")(conditioned(h, y, spec.classes))
    if not spec.classes:
        return Linear(1, name="logit")(h)[..., 0]
    told = Linear(features, rate=SLOW, name="first")(Embed(spec.classes, features, SMALL, name="label")(y))
    told = Linear(features, rate=SLOW, name="second")(nn.silu(told))
    told = told.reshape(told.shape[0], *[1] * (h.ndim - 2), -1)
    return (Linear(features, name="features")(h) * told).sum(-1)


def places(options: Gat | Cat, spec: Spec) -> tuple[int, int]:
    """Rows and columns of patches of an image."""
    return spec.shape[0] // options.patch, spec.shape[1] // options.patch


def heads(width: int, count: int = 0) -> int:
    """Heads of attention, count, or one for each 64 of the width where that is 0."""
    return count or max(1, width // 64)


def check_width(name: str, width: int, count: int) -> None:
    """JaxganError where places cannot turn what each of count heads has of the width; name: of the option of count."""
    count = heads(width, count)
    if width % (4 * count):
        raise JaxganError(
            f"width {width} does not make {count} heads of a multiple of 4, which places in two dimensions turn; use a "
            f"multiple of {4 * count}, or set {name}"
        )


def sized(config: Config, spec: Spec, factor: int) -> tuple[str, str]:
    """What examples are, with their height and width, and how to get others that factor divides, in words."""
    size = f"{spec.shape[0]}x{spec.shape[1]}"
    if config.space:
        return f"latents of {size}", f"an autoencoder whose latents have multiples of {factor} for it"
    return f"images of {size} pixels", f"set size to a multiple of {factor}"


def check(name: str, config: Config, spec: Spec) -> None:
    """JaxganError for images and widths that do not go; name: of the network."""
    o, width = getattr(config, name), config.width
    if len(spec.shape) != 3:
        raise JaxganError(
            f"{name} makes images (h, w, c), not shape {tuple(spec.shape)}; set net to mlp (points) or conv1d "
            "(sequences)"
        )
    if spec.shape[0] % o.patch or spec.shape[1] % o.patch:
        what, cure = sized(config, spec, o.patch)
        raise JaxganError(
            f"{name}.patch is {o.patch}, which does not divide {what}; take another {name}.patch, or {cure}"
        )
    if spec.norm != "none":
        raise JaxganError(f"{name} has no place for the norm {spec.norm!r}; leave d_norm and g_norm at own")
    check_width(f"{name}.heads", width, o.heads)
    if o.depth % o.levels:
        raise JaxganError(
            f"{name}.depth is {o.depth}, and does not make {o.levels} levels of equally many blocks; use a multiple of "
            f"{o.levels}, or other {name}.levels"
        )


def generator(config: Config, spec: Spec) -> Net:
    """Places of patches through blocks that a style of z and y scales, to a sum of images."""
    check("gat", config, spec)
    return linen(Generator(config.width, config.gat, spec), config)


def discriminator(config: Config, spec: Spec) -> Net:
    """Patches and a class token through blocks, to one logit."""
    check("gat", config, spec)
    return linen(Discriminator(config.width, config.gat, spec), config)


def encoder(config: Config, spec: Spec) -> Net:
    """The discriminator's blocks from x to numbers [b, outputs], with an embedding of y where there are classes."""
    return discriminator(config, spec)


def styles(config: Config, shape: tuple[int, ...]) -> tuple[int, int]:
    """Layers of G that have a style, here one for all, and its size: the shape of the option shift of each example."""
    return 1, config.width


def tokens(config: Config, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Rows and columns of the patches of an image of which D has tokens, and their numbers."""
    return *places(config.gat, Spec(shape)), config.width


def images(config: Config) -> int:
    """Images that G makes of one latent with the option levels, of which the last is its example."""
    return config.gat.levels
