"""How translators take what is not of the image: latents spread over it, and dropout."""

import jax
import jax.numpy as jnp

from jaxgan import rng
from jaxgan.nets.layers import matched
from jaxgan.types import Axis


def spread(z: jax.Array, x: jax.Array) -> jax.Array:
    """z [b, n] at every place of images x [b, h, w, c]: [b, h, w, n]."""
    return jnp.broadcast_to(matched(z, x)[:, None, None], (*x.shape[:3], z.shape[-1]))


def dropped(x: jax.Array, key, place: str, axis: Axis) -> jax.Array:
    """Half of the entries of x [b, ...] twice as large and the others 0, drawn by each example; x where key is None.

    key: the update's, see types.Net; place: what tells one layer's draws from another's.
    """
    if key is None:
        return x
    keys = rng.examples(rng.stream(key, place), len(x), axis)
    kept = jax.vmap(lambda k: jax.random.bernoulli(k, 0.5, x.shape[1:]))(keys)
    return jnp.where(kept, 2 * x, 0)
