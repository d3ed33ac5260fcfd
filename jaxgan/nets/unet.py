"""U-Net from images to images of the same size (Isola et al. 2017, arXiv 1611.07004), for DCGAN's sizes."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.config import Config
from jaxgan.nets.dcgan import NORMAL, gain, widths
from jaxgan.nets.layers import Dense, Down, Network, Up, batch_norm, linen, matched, widened
from jaxgan.types import Axis, Net, Spec


class Translator(Network):
    """z [b, latent] (latent may be 0) and x [b, size, size, c] -> [b, size, size, c] in [-1, 1].

    DCGAN's encoder and generator, joined at every resolution; widths from the lowest to size / 2. z is added to every
    layer of the encoder, one learned number a channel: up to the borders it is z copied to each pixel of the layer's
    input, as in Zhu et al. 2017, arXiv 1711.11586, figure 3b.
    """

    widths: tuple[int, ...]
    axis: Axis

    @nn.compact
    def __call__(self, z: jax.Array, x: jax.Array, train: bool) -> jax.Array:
        def down(x, z, i, width):
            x = Down(width, i == 0, NORMAL)(x)
            if z.shape[-1]:
                x = matched(x + nn.Dense(width, use_bias=False)(z)[:, None, None], x)
            return nn.leaky_relu(batch_norm(train, self.axis, gain)(x) if i else x, 0.2)

        def up(x, skip, width):
            x = Up(width, False, NORMAL)(jnp.concatenate([x, skip], -1))
            return nn.relu(batch_norm(train, self.axis, gain)(x))

        channels, skips, x = x.shape[-1], [], self.narrow(x)
        for i, width in enumerate(self.widths[::-1]):
            x = self.stage(down, x, z, i=i, width=width)
            skips.append(x)
        code = nn.leaky_relu(Dense(2 * self.widths[0])(x.reshape(x.shape[0], -1)), 0.2)  # sees the whole image
        x = Dense(x[0].size, use_bias=False)(code).reshape(x.shape)
        x = nn.relu(batch_norm(train, self.axis, gain)(x))
        for width in self.widths[1:]:
            x = self.stage(up, x, skips.pop(), width=width)
        return jnp.tanh(widened(Up(channels, True, NORMAL)(jnp.concatenate([x, skips.pop()], -1))))


def translator(config: Config, spec: Spec) -> Net:
    """The U-Net for images of this shape; depth follows from the size."""
    return linen(Translator(widths(spec.shape, config.width), spec.axis), config)
