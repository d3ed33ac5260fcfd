"""StyleGAN2: a mapping to styles, and styles that scale the channels of convolutions (Karras et al. 2019, 1912.04958).

Weights have equalised rates. In training each layer of G adds noise of its own for each example, some examples have the
styles of a second latent from some layer on, and G keeps the mean style; where samples are drawn the noise is always
the same. With bfloat16 the mappings, the stages at 4 pixels and the sum of images stay float32.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan import rng
from jaxgan.config import Config
from jaxgan.convolution import convolved
from jaxgan.nets import equalised, resample
from jaxgan.nets.equalised import NORMAL, Dense, leaky, spread, weight
from jaxgan.nets.layers import Network, linen, matched, one_hot, per_channel, widened
from jaxgan.nets.noise import gaussian
from jaxgan.nets.norms import unit_square
from jaxgan.nets.sizes import stages
from jaxgan.options import Stylegan2
from jaxgan.types import Axis, JaxganError, Net, Spec

NORM = {"g": "none", "d": "none"}  # of this architecture
SLOW = 0.01  # rate of mappings
CLASS_LAYERS = 8  # of D's mapping of labels
AVERAGE = 0.995  # of the mean style that stays at each update
HALF = math.sqrt(0.5)  # of each branch of a residual block


class Mapping(nn.Module):
    """z [b, n] or None, y int [b] or None -> styles [b, width]."""

    layers: int
    width: int
    classes: int

    @nn.compact
    def __call__(self, z: jax.Array | None, y: jax.Array | None) -> jax.Array:
        parts = [] if z is None else [unit_square(z)]
        if self.classes:
            parts.append(unit_square(Dense(self.width, name="label")(one_hot(y, self.classes))))
        x = jnp.concatenate(parts, -1)
        for _ in range(self.layers):
            x = leaky(Dense(self.width, SLOW)(x))
        return x


class Styles(nn.Module):
    """z [b, n], y int [b] or None -> the style of each layer [b, layers, latent], mixed in training; keeps their mean.

    key, psi: as of `Generator`.
    """

    layers: int
    latent: int
    options: Stylegan2
    spec: Spec

    @nn.compact
    def __call__(self, z, y, train: bool, key=None, psi=None) -> jax.Array:
        axis, mapping = self.spec.axis, Mapping(self.options.mapping, self.latent, self.spec.classes, name="mapping")
        w = mapping(z, y)
        average = self.variable("average", "style", lambda: jnp.zeros(self.latent, w.dtype))
        if train:
            now = jax.lax.stop_gradient(w.mean(0))
            now = jax.lax.pmean(now, axis) if isinstance(axis, str) else now
            average.value = now + AVERAGE * (average.value - now)
        ws = jnp.broadcast_to(w[:, None], (w.shape[0], self.layers, self.latent))  # a symbolic number in an export
        if key is not None and self.options.mixing:
            other = mapping(rng.normal(rng.stream(key, "second"), len(z), z.shape[1:], axis), y)[:, None]
            ws = jnp.where(self.second(rng.examples(rng.stream(key, "mixing"), len(z), axis)), other, ws)
        if psi is not None:
            mean = average.value[None, None]
            ws = mean + psi[:, None, None] * (ws - mean)
        return ws

    def second(self, keys: jax.Array) -> jax.Array:
        """Which layers of which examples have the style of a second latent [b, layers, 1]."""
        first = jax.vmap(lambda k: jax.random.randint(k, (), 1, self.layers))(keys)
        mixed = jax.vmap(lambda k: jax.random.uniform(rng.stream(k, "mixed")))(keys) < self.options.mixing
        return (mixed[:, None] & (jnp.arange(self.layers)[None] >= first[:, None]))[..., None]


def modulated(x: jax.Array, kernel: jax.Array, style: jax.Array, convolve, demodulate: bool = True) -> jax.Array:
    """x [b, h, w, cin] convolved with the kernel [k, k, cin, cout] whose inputs are scaled by style [b, cin].

    demodulate: each output's weights, after that, have unit norm. Written as scaled inputs and outputs, which is the
    same, so that all examples share one convolution.
    """
    y = convolve(matched(x * style[:, None, None], x), matched(kernel, x))
    if not demodulate:
        return y
    square = (style**2) @ (kernel**2).sum((0, 1))
    return matched(y * jax.lax.rsqrt(square + 1e-8)[:, None, None], y)


class Layer(nn.Module):
    """Modulated 3x3 convolution, noise, bias, leaky ReLU: x [b, h, w, cin], w [b, n] -> [b, h, w, features], or twice.

    key: one for the update, of which each example has its own noise; None is always the same noise.
    """

    features: int
    up: bool
    axis: Axis

    @nn.compact
    def __call__(self, x: jax.Array, w: jax.Array, key) -> jax.Array:
        style = Dense(x.shape[-1], bias=1.0, name="style")(w)
        kernel = weight(self, 3, x.shape[-1], self.features)
        x = modulated(x, kernel, style, resample.convolved_up if self.up else convolved)
        noise = gaussian(key, "/".join(self.path), x.shape[0], (*x.shape[1:3], 1), self.axis)
        x = matched(x + self.param("noise", nn.initializers.zeros, ()) * noise, x)
        return leaky(x + per_channel(self.param("bias", nn.initializers.zeros, (self.features,)), x))


class ToImage(nn.Module):
    """1x1 convolution modulated by w [b, n], never demodulated: [b, h, w, cin] -> [b, h, w, channels]."""

    channels: int

    @nn.compact
    def __call__(self, x: jax.Array, w: jax.Array) -> jax.Array:
        style = Dense(x.shape[-1], bias=1.0, name="style")(w) / math.sqrt(x.shape[-1])
        kernel = self.param("kernel", NORMAL, (1, 1, x.shape[-1], self.channels))
        x = modulated(x, kernel, style, lambda x, kernel: x @ kernel[0, 0], demodulate=False)
        return x + per_channel(self.param("bias", nn.initializers.zeros, (self.channels,)), x)


class Point(nn.Module):
    """1x1 convolution without bias, of equalised rate."""

    features: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return x @ matched(weight(self, 1, x.shape[-1], self.features)[0, 0], x)


class Conv(nn.Module):
    """3x3 or 1x1 convolution, bias, leaky ReLU: [b, h, w, cin] -> [b, h, w, features], or half of h and w."""

    features: int
    size: int = 3
    down: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        kernel = matched(weight(self, self.size, x.shape[-1], self.features), x)
        x = resample.convolved_down(x, kernel) if self.down else convolved(x, kernel)
        return leaky(x + per_channel(self.param("bias", nn.initializers.zeros, (self.features,)), x))


class Generator(Network):
    """z [b, latent], y int [b] or None -> x [b, *size, channels]; widths from base pixels to size.

    key: the update's in training. shift: [b, layers, latent] added to the styles, in which path lengths are taken. psi:
    how far from the mean style each example's is, [b]; 1 is all the way (truncation). mapped: the styles themselves,
    [b, layers, latent], in place of images.
    """

    base: tuple[int, int]
    widths: tuple[int, ...]
    latent: int
    options: Stylegan2
    spec: Spec

    @nn.compact
    def __call__(self, z, y, train: bool, key=None, shift=None, psi=None, mapped: bool = False):
        last = len(self.widths) - 1
        ws = Styles(2 * len(self.widths), self.latent, self.options, self.spec, name="styles")(z, y, train, key, psi)
        ws = ws if shift is None else ws + shift
        if mapped:
            return ws
        skip, residual = self.options.g_layout == "skip", self.options.g_layout == "residual"
        constant = self.param("constant", NORMAL, (*self.base, self.widths[0]))

        def block(x, ws, i, width):
            before = x
            if i:
                x = Layer(width, True, self.spec.axis, name=f"up{i}")(x, ws[:, 2 * i - 1], key)
            x = Layer(width, False, self.spec.axis, name=f"conv{i}")(x, ws[:, 2 * i], key)
            return HALF * (x + resample.up(Point(width, name=f"skip{i}")(before))) if residual and i else x

        x, image = jnp.broadcast_to(constant, (z.shape[0], *constant.shape)), None
        for i, width in enumerate(self.widths):
            x = self.stage(block, self.narrow(x) if i else x, ws, i=i, width=width)
            if skip or i == last:  # an image shares its style with the next layer
                seen = widened(ToImage(self.spec.shape[-1], name=f"image{i}")(x, ws[:, 2 * i + 1]))
                image = seen if image is None else resample.up(image) + seen
        return image


class Discriminator(Network):
    """x [b, *size, channels], y int [b] or None -> logits [b], or logits and features [b, n] on request.

    The logit is linear in the features; with classes, the product of a linear map of them and of the label's mapping.
    """

    widths: tuple[int, ...]
    options: Stylegan2
    spec: Spec

    @nn.compact
    def __call__(self, x: jax.Array, y: jax.Array | None, train: bool, features: bool = False):
        skip, residual = self.options.d_layout == "skip", self.options.d_layout == "residual"

        def block(x, i, width):
            before, x = x, Conv(width, down=True)(Conv(self.widths[i])(x))
            return HALF * (x + Point(width)(resample.down(before))) if residual else x

        image, x = x, Conv(self.widths[0], 1)(self.narrow(x))
        for i, width in enumerate(self.widths[1:]):
            if skip and i:
                image = resample.down(image)
                x = x + Conv(self.widths[i], 1)(self.narrow(image))
            x = self.stage(block, x, i=i, width=width)
        x, width = widened(x), self.widths[-1]
        if skip:
            x = x + Conv(width, 1)(resample.down(image))
        x = Conv(width)(spread(x, self.options.group) if self.options.group > 1 else x)
        h = leaky(Dense(width)(x.reshape(x.shape[0], -1)))
        if self.spec.outputs:
            told = [Mapping(CLASS_LAYERS, width, self.spec.classes)(None, y)] if self.spec.classes else []
            out = Dense(self.spec.outputs)(jnp.concatenate([h, *told], -1))
        elif self.spec.classes:
            mapped = Mapping(CLASS_LAYERS, width, self.spec.classes)(None, y)
            out = (Dense(width)(h) * mapped).sum(-1) / math.sqrt(width)
        else:
            out = Dense(1)(h)[:, 0]
        return (out, h) if features else out


def widths(config: Config, spec: Spec) -> tuple[int, ...]:
    """Channels of the first map to those of the image: stylegan2.base / pixels, at most the width."""
    found = stages("stylegan2", spec.shape)
    return equalised.widths("stylegan2", spec, found, config.stylegan2.base, config.width)


def generator(config: Config, spec: Spec) -> Net:
    """Styles of z (and y), then a learned constant through modulated convolutions to the image."""
    if not 0 <= config.stylegan2.mixing <= 1:
        raise JaxganError(f"stylegan2.mixing is {config.stylegan2.mixing}; expected a probability from 0 to 1")
    base, up = stages("stylegan2", spec.shape).first, widths(config, spec)
    return linen(Generator(base, up, config.latent, config.stylegan2, spec), config)._replace(keyed=True)


def discriminator(config: Config, spec: Spec) -> Net:
    """The generator's stages in reverse, a channel of the minibatch's deviation, to one logit."""
    return linen(Discriminator(widths(config, spec)[::-1], config.stylegan2, spec), config)


def encoder(config: Config, spec: Spec) -> Net:
    """The discriminator's stages from x to numbers [b, outputs], with the label's mapping where there are classes."""
    return discriminator(config, spec)


def styles(config: Config, shape: tuple[int, ...]) -> tuple[int, int]:
    """Layers of G that have a style, and its size: the shape of the option shift of each example."""
    return 2 * len(widths(config, Spec(shape))), config.latent
