"""ResNet from images to images of the same size (Johnson et al. 2016, arXiv 1603.08155), CycleGAN's and StarGAN's."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.nets.layers import Down, Network, Up, widened
from jaxgan.nets.noise import dropped, spread
from jaxgan.nets.norms import normalise
from jaxgan.nets.resnet import Conv, reflected
from jaxgan.types import Axis


class Translator(Network):
    """z [b, latent] (latent may be 0) and x [b, h, w, c] -> [b, h, w, c] in [-1, 1]; 4 divides h and w.

    7x7 to the width, halved twice to 4 times the width, residual blocks, doubled twice, 7x7 to an image; z is spread
    over the image as channels of x. CycleGAN's (Zhu et al. 2017, arXiv 1703.10593): 3x3 resampling (size 3), borders
    reflected, biases, and instance norms without gains. StarGAN's (Choi et al. 2018, arXiv 1711.09020): 4x4 resampling,
    zeros around, no biases, and norms with gains. Where dropout is on, each block drops half of its inner units.
    """

    width: int
    blocks: int
    axis: Axis
    norm: str
    kernel_init: nn.initializers.Initializer
    gains: nn.initializers.Initializer = nn.initializers.ones
    size: int = 3
    reflect: bool = True
    bias: bool = True
    last_bias: bool = True
    affine: bool = False
    dropout: bool = False

    @nn.compact
    def __call__(self, z: jax.Array, x: jax.Array, train: bool, key=None) -> jax.Array:
        def norm(x):
            return normalise(self.norm, train, self.axis, self.gains, self.affine)(x)

        def conv(x, width, size, bias):
            edge = size // 2
            x = reflected(x, edge) if self.reflect else x
            return Conv(width, size, bias, self.kernel_init, edge=0 if self.reflect else edge)(x)

        def layer(x, width, size):
            return nn.relu(norm(conv(x, width, size, self.bias)))

        def resampled(x, kind, width):
            return nn.relu(norm(kind(width, self.bias, self.kernel_init, self.size)(x)))

        def block(x, i):
            inner = layer(x, x.shape[-1], 3)
            inner = dropped(inner, key, f"block {i}", self.axis) if self.dropout else inner
            return x + norm(conv(inner, x.shape[-1], 3, self.bias))

        channels, x = x.shape[-1], self.narrow(jnp.concatenate([x, spread(z, x)], -1))
        x = self.stage(layer, x, width=self.width, size=7)
        for i in (2, 4):
            x = self.stage(resampled, x, kind=Down, width=i * self.width)
        for i in range(self.blocks):
            x = self.stage(block, x, i=i)
        for i in (2, 1):
            x = self.stage(resampled, x, kind=Up, width=i * self.width)
        return jnp.tanh(widened(conv(x, channels, 7, self.last_bias)))
