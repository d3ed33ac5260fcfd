"""Multilayer perceptrons, for points and for small images (Goodfellow et al. 2014, arXiv 1406.2661)."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.config import Config
from jaxgan.nets.layers import Dense, Head, Network, biased, conditioned, linen, normalise, widened
from jaxgan.types import Axis, Net, Spec

HE = nn.initializers.he_normal()
LECUN = nn.initializers.lecun_normal()
NORM = {"g": "none", "d": "none"}  # of this architecture


class Generator(Network):
    """z [b, latent], y int [b] or None -> x [b, *shape]."""

    shape: tuple[int, ...]
    width: int
    depth: int
    classes: int
    axis: Axis = None
    norm: str = "none"

    @nn.compact
    def __call__(self, z: jax.Array, y: jax.Array | None, train: bool) -> jax.Array:
        def layer(x):
            x = Dense(self.width, biased(self.norm), HE)(x)
            return nn.relu(normalise(self.norm, train, self.axis)(x))

        x = self.narrow(conditioned(z, y, self.classes))
        for _ in range(self.depth):
            x = self.stage(layer, x)
        x = Dense(math.prod(self.shape), kernel_init=LECUN)(widened(x))
        return x if len(self.shape) == 1 else jnp.tanh(x).reshape(-1, *self.shape)


class Discriminator(Network):
    """x [b, *shape], y int [b] or None -> logits [b], or logits and features [b, n]."""

    width: int
    depth: int
    classes: int
    outputs: int = 0
    axis: Axis = None
    norm: str = "none"

    @nn.compact
    def __call__(self, x: jax.Array, y: jax.Array | None, train: bool, features: bool = False):
        def layer(x):
            x = Dense(self.width, biased(self.norm), HE)(x)
            return nn.leaky_relu(normalise(self.norm, train, self.axis)(x), 0.2)

        x = self.narrow(x.reshape(len(x), -1))
        for _ in range(self.depth):
            x = self.stage(layer, x)
        embed, more = nn.initializers.normal(x.shape[-1] ** -0.5), self.discrimination(train, self.axis)
        return Head(self.classes, LECUN, embed, self.outputs, **more)(x, y, features)


def generator(config: Config, spec: Spec) -> Net:
    """ReLU layers from z (and an embedding of y) to x: linear for points (d,), tanh for images (h, w, c)."""
    return linen(Generator(spec.shape, config.width, config.depth, spec.classes, spec.axis, spec.norm), config)


def discriminator(config: Config, spec: Spec) -> Net:
    """Leaky ReLU layers from x to one logit, with a projection of y where there are classes."""
    return linen(Discriminator(config.width, config.depth, spec.classes, 0, spec.axis, spec.norm), config)


def encoder(config: Config, spec: Spec) -> Net:
    """The discriminator's layers from x to numbers [b, outputs], with an embedding of y where there are classes."""
    return linen(Discriminator(config.width, config.depth, spec.classes, spec.outputs), config)


def translator(config: Config, spec: Spec) -> Net:
    """The generator's layers from latents z [b, n], n may be 0, and examples x [b, *shape] to others."""
    net = generator(config, Spec(spec.shape))

    def beside(z, x):
        return jnp.concatenate([x.reshape(len(x), -1), z], -1)

    return Net(
        lambda key, z, x: net.init(key, beside(z, x), None),
        lambda params, vars, z, x, train: net.apply(params, vars, beside(z, x), None, train=train),
    )
