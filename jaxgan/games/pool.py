"""A history of generated examples, shown to D beside new ones: Shrivastava et al. 2017, arXiv 1612.07828."""

import jax
import jax.numpy as jnp

from jaxgan import rng
from jaxgan.step import everywhere
from jaxgan.types import Axis, Net


def net(size: int, axis: Axis) -> Net:
    """A network without parameters, whose vars are the newest history: (fake, y, key) -> fake, y of the same shapes.

    Until there are `size` examples each is kept and passed on. Then, one by one and with probability 1/2, an example
    takes the place of a random kept one, and that is passed on. It follows global order, so devices change nothing.
    """

    def init(key, fake, y):
        empty = jax.tree.map(lambda a: jnp.zeros((size, *a.shape[1:]), a.dtype), (fake, y))
        return {}, {"kept": empty, "filled": jnp.int32(0)}

    def visit(vars, incoming):
        new, key = incoming
        full = vars["filled"] == size
        swap, slot = jax.random.bernoulli(key), jax.random.randint(jax.random.fold_in(key, 1), (), 0, size)
        slot = jnp.where(full, slot, vars["filled"])
        old = jax.tree.map(lambda kept: kept[slot], vars["kept"])
        stored = jax.tree.map(lambda new, old: jnp.where(swap | ~full, new, old), new, old)
        kept = jax.tree.map(lambda kept, one: kept.at[slot].set(one), vars["kept"], stored)
        passed = jax.tree.map(lambda new, old: jnp.where(swap & full, old, new), new, old)
        return {"kept": kept, "filled": vars["filled"] + ~full}, passed

    def apply(params, vars, fake, y, key, train):
        everyone = everywhere((fake, y), axis)
        keys = rng.examples(key, len(everyone[0]))
        vars, passed = jax.lax.scan(visit, vars, (everyone, keys))
        mine = rng.positions(len(fake), axis)
        return jax.tree.map(lambda a: a[mine], passed), vars

    return Net(init, apply)
