"""What is not of the image: latents spread over it and dropout of translators, noise maps of generators."""

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


def gaussian(key, place: str, n: int, shape: tuple[int, ...], axis: Axis) -> jax.Array:
    """N(0, 1) of each of n examples [n, *shape], or, where key is None, the same for all of them [1, *shape].

    key, place: as of `dropped`.
    """
    if key is not None:
        return rng.normal(rng.stream(key, place), n, shape, axis)
    with jax.ensure_compile_time_eval():  # numbers of the program, which other formats draw otherwise
        return jax.random.normal(rng.stream(rng.root(0), place), shape)[None]
