"""Optimizers by name, as (learning rate, hp) -> optax.GradientTransformation; all numbers may be traced."""

import jax
import jax.numpy as jnp
import optax

OPTIMIZERS = {
    "adam": lambda lr, hp: optax.adam(lr, hp["b1"], hp["b2"]),
    "sgd": lambda lr, hp: optax.sgd(lr),
    "rmsprop": lambda lr, hp: optax.rmsprop(lr, decay=0.99),
}


def clip_weights(bound) -> optax.GradientTransformation:
    """Keep every parameter within [-bound, bound] after the update, Arjovsky et al. 2017, arXiv 1701.07875.

    Stands last in a chain. A bound of 0 is off.
    """

    def update(updates, state, params):
        def clipped(u, p):
            return jnp.where(bound > 0, jnp.clip(p + u, -bound, bound) - p, u)

        return jax.tree.map(clipped, updates, params), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)
