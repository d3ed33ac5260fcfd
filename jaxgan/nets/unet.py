"""U-Nets from images to images of the same size (Isola et al. 2017, arXiv 1611.07004): DCGAN's, and the paper's own."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.config import Config
from jaxgan.nets.dcgan import NORMAL, gain, kernel_init, widths
from jaxgan.nets.layers import Dense, Down, Network, Up, linen, matched, widened
from jaxgan.nets.noise import dropped, spread
from jaxgan.nets.norms import biased, normalise
from jaxgan.types import Axis, Net, Spec


class Translator(Network):
    """z [b, latent] (latent may be 0) and x [b, *size, c] -> [b, *size, c] in [-1, 1].

    DCGAN's encoder and generator, joined at every resolution; widths from the lowest to size / 2. z is added to every
    layer of the encoder, one learned number a channel: up to the borders it is z copied to each pixel of the layer's
    input, as in Zhu et al. 2017, arXiv 1711.11586, figure 3b.
    """

    widths: tuple[int, ...]
    axis: Axis
    norm: str = "batch"

    @nn.compact
    def __call__(self, z: jax.Array, x: jax.Array, train: bool) -> jax.Array:
        bias, init = biased(self.norm), kernel_init(self.norm)

        def down(x, z, i, width):
            x = Down(width, bias or i == 0, init)(x)
            if z.shape[-1]:
                x = matched(x + nn.Dense(width, use_bias=False)(z)[:, None, None], x)
            return nn.leaky_relu(normalise(self.norm, train, self.axis, gain)(x) if i else x, 0.2)

        def up(x, skip, width):
            x = Up(width, bias, init)(jnp.concatenate([x, skip], -1))
            return nn.relu(normalise(self.norm, train, self.axis, gain)(x))

        channels, skips, x = x.shape[-1], [], self.narrow(x)
        for i, width in enumerate(self.widths[::-1]):
            x = self.stage(down, x, z, i=i, width=width)
            skips.append(x)
        code = nn.leaky_relu(Dense(2 * self.widths[0])(x.reshape(x.shape[0], -1)), 0.2)  # sees the whole image
        x = Dense(x[0].size, use_bias=bias)(code).reshape(x.shape)
        x = nn.relu(normalise(self.norm, train, self.axis, gain)(x))
        for width in self.widths[1:]:
            x = self.stage(up, x, skips.pop(), width=width)
        return jnp.tanh(widened(Up(channels, True, NORMAL)(jnp.concatenate([x, skips.pop()], -1))))


def translator(config: Config, spec: Spec) -> Net:
    """The U-Net for images of this shape; depth follows from the size."""
    return linen(Translator(widths(spec.shape, config.width), spec.axis, spec.norm), config)


class UNet(Network):
    """z [b, latent] (latent may be 0) and x [b, size, size, c] -> [b, size, size, c] in [-1, 1].

    The paper's, as in pytorch-CycleGAN-and-pix2pix: halved down to one pixel by convolutions of these widths, and
    doubled again, joined at every resolution. z is spread over the image as channels of x. The levels below the three
    finest, less the last, drop half of what they make on the way up where dropout is on.
    """

    widths: tuple[int, ...]
    axis: Axis
    norm: str
    dropout: bool

    @nn.compact
    def __call__(self, z: jax.Array, x: jax.Array, train: bool, key=None) -> jax.Array:
        bias, deepest = self.norm != "batch", len(self.widths) - 1

        def level_norm(x):
            return normalise(self.norm, train, self.axis, gain, affine=self.norm != "instance")(x)

        def down(x, i):
            x = Down(self.widths[i], bias, NORMAL)(nn.leaky_relu(x, 0.2) if i else x)
            return level_norm(x) if 0 < i < deepest else x

        def up(x, i):
            x = level_norm(Up(self.widths[i], bias, NORMAL)(nn.relu(x)))
            return dropped(x, key, f"level {i}", self.axis) if self.dropout and 3 <= i < deepest - 1 else x

        channels, skips, x = x.shape[-1], [], self.narrow(jnp.concatenate([x, spread(z, x)], -1))
        for i in range(deepest + 1):
            x = self.stage(down, x, i=i)
            skips.append(x)
        x = skips.pop()
        for i in reversed(range(deepest)):
            x = jnp.concatenate([skips.pop(), self.stage(up, x, i=i)], -1)
        return jnp.tanh(widened(Up(channels, True, NORMAL)(nn.relu(x))))
