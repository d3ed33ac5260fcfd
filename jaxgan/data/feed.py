"""From a source to the batches of a train step: which row is seen when is a function of (seed, step) alone.

Two paths that give the same numbers: all rows on the device, picked inside the compiled step; or rows gathered on the
host for the next few steps.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan import rng
from jaxgan.types import Axis, Source


def order(source: Source, key, update, batch: int, n: int, axis: Axis = None):
    """Row numbers [n] of this device's share of update number `update`, whose global batch is `batch`."""
    within = rng.positions(n, axis)
    return rng.shuffled(rng.stream(key, "order"), update, within, batch, source.size)


def finish(source: Source, rows, key, update, n: int, axis: Axis = None):
    """The batch {"x": [n, ...], "y": [n]} made from gathered rows, with each example's own randomness."""
    keys = rng.examples(jax.random.fold_in(rng.stream(key, "data"), update), n, axis)
    return source.finish(rows, keys)


def from_device(source: Source, rows, key, step, updates: int, batch: int, n: int, axis: Axis = None):
    """The batches {"x": [updates, n, ...], ...} of one train step, from all rows on the device."""

    def one(update):
        if source.size:
            index = order(source, key, update, batch, n, axis)
            return finish(source, jax.tree.map(lambda r: r[index], rows), key, update, n, axis)
        return finish(source, {}, key, update, n, axis)

    return jax.vmap(one)(step * updates + jnp.arange(updates))


def from_host(source: Source, rows, key, step, updates: int, n: int, axis: Axis = None):
    """The batches of one train step, from its rows {"x": [updates, n, ...], ...} gathered on the host."""

    def one(rows, update):
        return finish(source, rows, key, update, n, axis)

    return jax.vmap(one)(rows, step * updates + jnp.arange(updates))


def indices(source: Source, seed: int, updates: int, batch: int):
    """step, count -> row numbers [count, updates, batch] (numpy) of the train steps from `step` on."""

    @partial(jax.jit, static_argnums=1)
    def rows(step, count):
        u = step * updates + jnp.arange(count * updates)
        key = rng.root(seed)
        return jax.vmap(lambda u: order(source, key, u, batch, batch))(u).reshape(count, updates, batch)

    def on_host(step: int, count: int) -> np.ndarray:
        with jax.default_device(jax.local_devices(backend="cpu")[0]):
            return np.asarray(rows(jnp.int32(step), count))

    return on_host


def examples(source: Source, count: int, seed: int = 0) -> dict:
    """A batch of `count` examples {"x", "y"} of source, always the same; rows come once where there are enough."""
    pick = np.random.default_rng(seed)
    index = pick.choice(source.size, count, replace=count > source.size) if source.size else np.zeros(count, int)
    return jax.device_get(source.finish(source.rows(index), rng.examples(rng.root(seed), count)))
