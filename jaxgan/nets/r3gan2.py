"""R3GAN2: R3GAN's stages with normalised weights and residual branches of bounded share, without a paper so far.

After the authors' code, github.com/IFeelBloated/R3GAN2, 2026. The weights into an output, its row, have mean 0 and mean
square 1, in use and after each step; biases and strengths of noise are among them. A branch adds tanh(a) of itself to
each channel, and what follows divides by the deviation that this makes: each layer sees variance 1. G has noise of its
own for each example in training; where samples are drawn it is always the same. With bfloat16 the stages compute in it,
and what is before them in G and behind them in D in float32, as in the authors' code.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan import kernels
from jaxgan.config import Config
from jaxgan.convolution import convolved
from jaxgan.nets import resample
from jaxgan.nets.layers import Network, conditioned, linen, matched, one_hot, per_channel, widened
from jaxgan.nets.noise import gaussian
from jaxgan.nets.sizes import stages
from jaxgan.types import Axis, JaxganError, Net, Spec

NORM = {"g": "none", "d": "none"}  # of this architecture
NORMALISED_ROWS = True
CLASS = 64  # numbers of the label's embedding in G
SLOPE = 0.2  # of leaky ReLUs
GAIN = 1 / math.sqrt(((1 + SLOPE**2) - (1 - SLOPE) ** 2 / math.pi) / 2)  # after which their variance is 1


def leaky(x: jax.Array) -> jax.Array:
    """Leaky ReLU of N(0, 1), of variance 1."""
    return nn.leaky_relu(x, SLOPE) * GAIN


def drawn(key, shape, dtype=jnp.float32) -> jax.Array:
    """Rows of N(0, 1), normalised."""
    return kernels.rows(jax.random.normal(key, shape, dtype))


def alike(key, shape, dtype=jnp.float32) -> jax.Array:
    """The same row for each output."""
    return jnp.broadcast_to(drawn(key, (*shape[:-1], 1), dtype), shape)


class Rows(nn.Module):
    """Weights [..., outputs], whose rows have mean square 1, and mean 0 where they are centred."""

    shape: tuple[int, ...]
    centred: bool = True
    start: nn.initializers.Initializer = drawn

    @nn.compact
    def __call__(self) -> jax.Array:
        name = kernels.CENTRED if self.centred else kernels.FREE
        return kernels.rows(self.param(name, self.start, self.shape), self.centred)


class Linear(nn.Module):
    """x [..., n] -> [..., features], of variance 1 where x has that; no bias."""

    features: int
    centred: bool = True

    @nn.compact
    def __call__(self, x: jax.Array, before=1.0, after=1.0) -> jax.Array:
        """before, after: factors of inputs [n] and of outputs [features], or numbers."""
        w = Rows((x.shape[-1], self.features), self.centred)() / math.sqrt(x.shape[-1])
        return x @ matched(jnp.reshape(before, (-1, 1)) * w * jnp.reshape(after, (1, -1)), x)


class Biased(nn.Module):
    """x [b, h, w, n] times before [n] -> [b, h, w, features], plus a bias, and noise [b, h, w, 1] of some strength.

    Bias and strength are two more inputs in the row of an output, and one where there is no noise.
    """

    features: int

    @nn.compact
    def __call__(self, x: jax.Array, before: jax.Array, noise: jax.Array | None = None) -> jax.Array:
        n = x.shape[-1] + (1 if noise is None else 2)
        w = Rows((n, self.features))() / math.sqrt(n)
        y = x @ matched(before[:, None] * w[: x.shape[-1]], x)
        y += per_channel(w[-1], y)
        return y if noise is None else y + matched(noise * w[-2][None, None, None], y)


class Grouped(nn.Module):
    """3x3 convolution whose outputs see the channels of their own group: [b, h, w, c] -> the same."""

    group: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        w = Rows((3, 3, self.group, x.shape[-1]))() / math.sqrt(9 * self.group)
        return convolved(x, matched(w, x), x.shape[-1] // self.group)


class Block(nn.Module):
    """x [b, h, w, c] of a variance [c] -> x + tanh(a) f(x over its deviation), and its variance.

    f: 1x1 to twice the channels, grouped 3x3, 1x1 back. noisy: noise before the first leaky ReLU; key: the update's.
    """

    group: int
    noisy: bool
    axis: Axis

    @nn.compact
    def __call__(self, x: jax.Array, variance: jax.Array, key=None) -> tuple[jax.Array, jax.Array]:
        place, shape = "/".join(self.path), (*x.shape[1:3], 1)
        noise = gaussian(key, place, x.shape[0], shape, self.axis) if self.noisy else None
        y = leaky(Biased(2 * x.shape[-1])(x, jax.lax.rsqrt(variance), noise))
        y = leaky(Grouped(self.group)(y))
        alpha = jnp.tanh(self.param("alpha", nn.initializers.zeros, (x.shape[-1],)))
        return x + Linear(x.shape[-1])(y, after=alpha), variance + alpha**2


def staged(net: "Generator | Discriminator", x: jax.Array, key=None) -> tuple[jax.Array, jax.Array]:
    """The blocks of a stage of net, which it then owns: x [b, h, w, c] of variance 1 -> x, and its variance [c].

    key: the update's, of G alone.
    """
    noisy, variance = isinstance(net, Generator), jnp.ones(x.shape[-1])
    for _ in range(net.blocks):
        block = lambda x, variance: Block(net.group, noisy, net.spec.axis)(x, variance, key)  # noqa: E731
        x, variance = net.stage(block, x, variance)
    return x, variance


def unit(x: jax.Array, variance: jax.Array) -> jax.Array:
    """x [b, h, w, c] of a variance [c] as one of variance 1."""
    return x * per_channel(jax.lax.rsqrt(variance), x)


class Generator(Network):
    """z [b, latent], y int [b] or None -> x [b, *size, channels]; a map of base pixels is doubled so many times.

    key: the update's in training.
    """

    base: tuple[int, int]
    doublings: int
    width: int
    blocks: int
    group: int
    spec: Spec

    @nn.compact
    def __call__(self, z: jax.Array, y: jax.Array | None, train: bool, key=None) -> jax.Array:
        classes, wide = self.spec.classes, 2 * self.width
        told = [one_hot(y, classes) @ Rows((CLASS, classes), start=alike, name="label")().T] if classes else []
        x = leaky(Linear(wide, name="first")(jnp.concatenate([z, *told, jnp.ones_like(z[:, :1])], -1)))
        basis = Rows((*self.base, self.group, wide), name="basis")() / math.sqrt(self.group)
        basis = basis.reshape(*self.base, self.group, -1, self.group)
        x = jnp.einsum("bgi,hwigo->bhwgo", x.reshape(x.shape[0], -1, self.group), basis)
        x = Linear(self.width, name="second")(leaky(x.reshape(*x.shape[:3], wide)))
        x, variance = staged(self, self.narrow(resample.up(x)), key)
        for _ in range(self.doublings - 1):
            x, variance = staged(self, resample.up(unit(x, variance)), key)
        gain = self.param("gain", nn.initializers.ones, ())
        return Linear(self.spec.shape[-1], centred=False, name="image")(x, gain * jax.lax.rsqrt(variance))


class Discriminator(Network):
    """x [b, *size, channels], y int [b] or None -> logits [b], or logits and features [b, n] on request.

    The logit is linear in the features; with classes, the product of a linear map of them and of the label's embedding.
    """

    doublings: int
    width: int
    blocks: int
    group: int
    spec: Spec

    @nn.compact
    def __call__(self, x: jax.Array, y: jax.Array | None, train: bool, features: bool = False):
        classes = self.spec.classes
        x, variance = staged(self, Linear(self.width, centred=False, name="image")(self.narrow(x)))
        for _ in range(self.doublings - 1):
            x, variance = staged(self, resample.down(unit(x, variance)))
        x = leaky(Biased(2 * self.width, name="second")(resample.down(widened(x)), jax.lax.rsqrt(variance)))
        shape = *x.shape[1:3], self.group, x.shape[-1]
        basis = Rows(shape, name="basis")() / math.sqrt(math.prod(shape[:3]))
        x = x.reshape(*x.shape[:3], -1, self.group)
        h = jnp.einsum("bhwgi,hwigo->bgo", x, basis.reshape(*shape[:3], -1, self.group))
        h = leaky(h.reshape(x.shape[0], -1))
        if self.spec.outputs:
            out = nn.Dense(self.spec.outputs)(conditioned(h, y, classes))
        elif classes:
            told = one_hot(y, classes) @ Rows((self.width, classes), start=alike, name="label")().T
            out = (Linear(self.width, name="first")(h) * told).sum(-1) / math.sqrt(self.width)
        else:
            out = Linear(1, name="first")(h)[:, 0]
        return (out, h) if features else out


def layout(config: Config, spec: Spec) -> tuple[int, int, int, int]:
    """Doublings, width, blocks and groups; JaxganError for what does not go."""
    found, o = stages("r3gan2", spec.shape), config.r3gan2
    if spec.norm != "none":
        raise JaxganError(f"r3gan2 has no place for the norm {spec.norm!r}; leave d_norm and g_norm at own")
    if 2 * config.width % o.group:
        raise JaxganError(
            f"width is {config.width}, and twice as many channels do not make groups of {o.group}; use another width, "
            "or another r3gan2.group"
        )
    return found.doublings, config.width, o.blocks, o.group


def generator(config: Config, spec: Spec) -> Net:
    """z, an embedding of y and a 1 through a layer and a basis of maps, of 4x4 or so, then stages to the image."""
    base = stages("r3gan2", spec.shape).first
    return linen(Generator(base, *layout(config, spec), spec), config)._replace(keyed=True)


def discriminator(config: Config, spec: Spec) -> Net:
    """The generator's stages in reverse, to one logit."""
    return linen(Discriminator(*layout(config, spec), spec), config)


def encoder(config: Config, spec: Spec) -> Net:
    """The discriminator's stages from x to numbers [b, outputs], with an embedding of y where there are classes."""
    return discriminator(config, spec)
