"""Multilayer perceptrons, for points and for small images (Goodfellow et al. 2014, arXiv 1406.2661).

With maxout units in D (Goodfellow et al. 2013, arXiv 1302.4389) those of PacGAN's points (Lin et al. 2017, 1712.04086).
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.config import Config
from jaxgan.nets.layers import Dense, Head, Network, conditioned, linen, widened
from jaxgan.nets.norms import biased, normalise
from jaxgan.types import Axis, Net, Spec

HE = nn.initializers.he_normal()
LECUN = nn.initializers.lecun_normal()
NORMAL = nn.initializers.normal(0.02)
INITS = {"he": (HE, LECUN), "normal": (NORMAL, NORMAL)}  # of hidden layers, and of the last
NORM = {"g": "none", "d": "none"}  # of this architecture


class Generator(Network):
    """z [b, latent], y int [b] or None -> x [b, *shape]."""

    shape: tuple[int, ...]
    width: int
    depth: int
    classes: int
    axis: Axis = None
    norm: str = "none"
    hidden: nn.initializers.Initializer = HE
    last: nn.initializers.Initializer = LECUN

    @nn.compact
    def __call__(self, z: jax.Array, y: jax.Array | None, train: bool) -> jax.Array:
        def layer(x):
            x = Dense(self.width, biased(self.norm), self.hidden)(x)
            return nn.relu(normalise(self.norm, train, self.axis)(x))

        x = self.narrow(conditioned(z, y, self.classes))
        for _ in range(self.depth):
            x = self.stage(layer, x)
        x = Dense(math.prod(self.shape), kernel_init=self.last)(widened(x))
        return x if len(self.shape) == 1 else self.image(x).reshape(-1, *self.shape)


class Discriminator(Network):
    """x [b, *shape], y int [b] or None -> logits [b], or logits and features [b, n].

    Units are leaky ReLUs, or the greatest of several pieces.
    """

    width: int
    depth: int
    classes: int
    outputs: int = 0
    axis: Axis = None
    norm: str = "none"
    pieces: int = 1
    hidden: nn.initializers.Initializer = HE
    last: nn.initializers.Initializer = LECUN

    @nn.compact
    def __call__(self, x: jax.Array, y: jax.Array | None, train: bool, features: bool = False):
        def layer(x):
            x = Dense(self.width * self.pieces, biased(self.norm), self.hidden)(x)
            x = normalise(self.norm, train, self.axis)(x)
            return nn.leaky_relu(x, 0.2) if self.pieces == 1 else x.reshape(len(x), self.width, self.pieces).max(-1)

        x = self.narrow(x.reshape(x.shape[0], -1))
        for _ in range(self.depth):
            x = self.stage(layer, x)
        embed, more = nn.initializers.normal(x.shape[-1] ** -0.5), self.discrimination(train, self.axis)
        return Head(self.classes, self.last, embed, self.outputs, **more)(x, y, features)


def generator(config: Config, spec: Spec) -> Net:
    """ReLU layers from z (and an embedding of y) to x: linear for points (d,), tanh for images (h, w, c)."""
    sizes, inits = (config.width, config.depth), INITS[config.mlp.init]
    return linen(Generator(spec.shape, *sizes, spec.classes, spec.axis, spec.norm, *inits), config)


def discriminator(config: Config, spec: Spec) -> Net:
    """Leaky ReLU or maxout layers from x to one logit, with a projection of y where there are classes."""
    options, inits = config.mlp, INITS[config.mlp.init]
    sizes = options.d_width or config.width, options.d_depth or config.depth
    return linen(Discriminator(*sizes, spec.classes, 0, spec.axis, spec.norm, options.pieces, *inits), config)


def encoder(config: Config, spec: Spec) -> Net:
    """Leaky ReLU layers of G's sizes from x to numbers [b, outputs], with an embedding of y where there are classes."""
    hidden, last = INITS[config.mlp.init]
    net = Discriminator(config.width, config.depth, spec.classes, spec.outputs, hidden=hidden, last=last)
    return linen(net, config)


def translator(config: Config, spec: Spec) -> Net:
    """The generator's layers from latents z [b, n], n may be 0, and examples x [b, *shape] to others."""
    net = generator(config, Spec(spec.shape, axis=spec.axis, norm=spec.norm))

    def beside(z, x):
        return jnp.concatenate([x.reshape(x.shape[0], -1), z], -1)

    return Net(
        lambda key, z, x: net.init(key, beside(z, x), None),
        lambda params, vars, z, x, train: net.apply(params, vars, beside(z, x), None, train=train),
    )
