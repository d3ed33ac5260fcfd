"""Convolutional GAN for sequences (length, channels): DCGAN (Radford et al. 2015, arXiv 1511.06434) in one dimension.

A level halves or doubles the length. G repeats samples and then convolves; D has no batch norm, with which a gradient
penalty would mix the examples of a batch. Both are choices of WaveGAN (Donahue et al. 2018, arXiv 1802.04208).
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.config import Config
from jaxgan.nets.dcgan import gain, kernel_init
from jaxgan.nets.layers import Head, Network, conditioned, linen, matched, per_channel
from jaxgan.nets.norms import biased, normalise
from jaxgan.types import Axis, JaxganError, Net, Spec

HE = nn.initializers.he_normal()  # in D, where no batch norm sets the scale
LECUN = nn.initializers.lecun_normal()
NORM = {"g": "batch", "d": "none"}  # of this architecture
TAPS = 5  # width of every kernel
SHORTEST = 4  # levels stop here, or at an odd length


def convolve(x: jax.Array, kernel: jax.Array, stride: int = 1) -> jax.Array:
    """x [b, length, cin], zeros around it, with kernel [taps, cin, cout], taps odd -> [b, length / stride, cout].

    One matrix product of patches: with a penalty's second derivatives it is ten times as fast on a CPU as XLA's own
    convolution, and a vmapped sweep makes it a batched product.
    """
    taps, length = len(kernel), x.shape[1]
    x = jnp.pad(x, ((0, 0), (taps // 2, taps // 2), (0, 0)))
    x = jnp.concatenate([x[:, i : i + length : stride] for i in range(taps)], axis=-1)
    return x @ kernel.reshape(-1, kernel.shape[-1])


class Conv(nn.Module):
    """`convolve` with a learned kernel of TAPS taps: [b, length, cin] -> [b, length / stride, features]."""

    features: int
    stride: int
    bias: bool
    kernel_init: nn.initializers.Initializer

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        kernel = self.param("kernel", self.kernel_init, (TAPS, x.shape[-1], self.features))
        x = convolve(x, matched(kernel, x), self.stride)
        return x + per_channel(self.param("bias", nn.initializers.zeros, (self.features,)), x) if self.bias else x


class Generator(Network):
    """z [b, latent], y int [b] or None -> x [b, length, channels]; widths from base to length / 2."""

    base: int
    widths: tuple[int, ...]
    channels: int
    classes: int
    axis: Axis
    norm: str = "batch"

    @nn.compact
    def __call__(self, z: jax.Array, y: jax.Array | None, train: bool) -> jax.Array:
        z = conditioned(z, y, self.classes)
        bias, init = biased(self.norm), kernel_init(self.norm)
        x = self.narrow(nn.Dense(self.base * self.widths[0], use_bias=bias, kernel_init=init)(z))
        x = nn.relu(normalise(self.norm, train, self.axis, gain)(x.reshape(-1, self.base, self.widths[0])))

        def level(x, width):
            return nn.relu(normalise(self.norm, train, self.axis, gain)(Conv(width, 1, bias, init)(x.repeat(2, 1))))

        for width in self.widths[1:]:
            x = self.stage(level, x, width=width)
        return Conv(self.channels, 1, True, LECUN)(x.repeat(2, 1))


class Discriminator(Network):
    """x [b, length, channels], y int [b] or None -> logits [b], or logits and features [b, n] on request.

    Widths run from length / 2 to base.
    """

    widths: tuple[int, ...]
    classes: int
    outputs: int = 0
    axis: Axis = None
    norm: str = "none"

    @nn.compact
    def __call__(self, x: jax.Array, y: jax.Array | None, train: bool, features: bool = False):
        def level(x, width):
            return nn.leaky_relu(normalise(self.norm, train, self.axis)(Conv(width, 2, biased(self.norm), HE)(x)), 0.2)

        x = self.narrow(x)
        for width in self.widths:
            x = self.stage(level, x, width=width)
        x = x.reshape(x.shape[0], -1)
        embed, more = nn.initializers.normal(x.shape[-1] ** -0.5), self.discrimination(train, self.axis)
        return Head(self.classes, LECUN, embed, self.outputs, **more)(x, y, features)


def levels(shape: tuple[int, ...], width: int) -> tuple[int, tuple[int, ...]]:
    """The shortest length, and the channels from there up to length / 2: width there, doubling down to 8 * width."""
    if len(shape) != 2 or shape[0] % 4 or shape[0] < 2 * SHORTEST:
        raise JaxganError(
            "conv1d makes sequences of shape (length, channels) whose length is 8 or more and a multiple of 4, not "
            f"shape {tuple(shape)}: pad or cut them to such a length, or set net to mlp (dcgan for images)."
        )
    base, count = shape[0], 0
    while base % 2 == 0 and base > SHORTEST:
        base, count = base // 2, count + 1
    return base, tuple(width * min(2**i, 8) for i in reversed(range(count)))


def generator(config: Config, spec: Spec) -> Net:
    """Convolutions from z (and an embedding of y) to sequences, linear at the end; depth follows from the length."""
    base, up = levels(spec.shape, config.width)
    return linen(Generator(base, up, spec.shape[1], spec.classes, spec.axis, spec.norm), config)


def discriminator(config: Config, spec: Spec) -> Net:
    """Strided convolutions from sequences to one logit, with a projection of y where there are classes."""
    return linen(
        Discriminator(levels(spec.shape, config.width)[1][::-1], spec.classes, 0, spec.axis, spec.norm), config
    )


def encoder(config: Config, spec: Spec) -> Net:
    """The discriminator's layers from x to numbers [b, outputs], with an embedding of y where there are classes."""
    return linen(Discriminator(levels(spec.shape, config.width)[1][::-1], spec.classes, spec.outputs), config)
