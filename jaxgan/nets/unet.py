"""U-Net from images to images of the same size (Isola et al. 2017, arXiv 1611.07004), for DCGAN's sizes."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.config import Config
from jaxgan.nets.dcgan import NORMAL, gain, widths
from jaxgan.nets.layers import Down, Up, batch_norm, linen
from jaxgan.types import Axis, Net, Spec


class Translator(nn.Module):
    """z [b, latent] (latent may be 0) and x [b, size, size, c] -> [b, size, size, c] in [-1, 1].

    DCGAN's encoder and generator, joined at every resolution; widths from the lowest to size / 2. z is added to every
    layer of the encoder, one learned number a channel: up to the borders it is z copied to each pixel of the layer's
    input, as in Zhu et al. 2017, arXiv 1711.11586, figure 3b.
    """

    widths: tuple[int, ...]
    axis: Axis

    @nn.compact
    def __call__(self, z: jax.Array, x: jax.Array, train: bool) -> jax.Array:
        channels, skips = x.shape[-1], []
        for i, width in enumerate(self.widths[::-1]):
            x = Down(width, i == 0, NORMAL)(x)
            if z.shape[-1]:
                x += nn.Dense(width, use_bias=False)(z)[:, None, None]
            x = nn.leaky_relu(batch_norm(train, self.axis, gain)(x) if i else x, 0.2)
            skips.append(x)
        code = nn.leaky_relu(nn.Dense(2 * self.widths[0])(x.reshape(len(x), -1)), 0.2)  # sees the whole image
        x = nn.Dense(x[0].size, use_bias=False)(code).reshape(x.shape)
        x = nn.relu(batch_norm(train, self.axis, gain)(x))
        for width in self.widths[1:]:
            x = Up(width, False, NORMAL)(jnp.concatenate([x, skips.pop()], -1))
            x = nn.relu(batch_norm(train, self.axis, gain)(x))
        return jnp.tanh(Up(channels, True, NORMAL)(jnp.concatenate([x, skips.pop()], -1)))


def translator(config: Config, spec: Spec) -> Net:
    """The U-Net for images of this shape; depth follows from the size."""
    return linen(Translator(widths(spec.shape, config.width), spec.axis))
