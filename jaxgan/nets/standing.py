"""Standing statistics: batch norm's, as means over batches of G's own latents, Brock et al. 2018, arXiv 1809.11096."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.nets.norms import MOMENTUM
from jaxgan.types import JaxganError, Tree


def of_batches(vars: Tree) -> Tree:
    """Which leaves of vars are statistics of batches; JaxganError if none is."""
    found = jax.tree_util.tree_map_with_path(lambda path, _: "batch_stats" in jax.tree_util.keystr(path), vars)
    if not any(jax.tree.leaves(found)):
        raise JaxganError("standing is set, but G has no batch norm, and so no statistics of batches; leave it at 0")
    return found


def of_one_batch(step: Callable, vars: Tree) -> Tree:
    """vars with the statistics of one batch in place of running ones; step: vars -> vars after a pass in training."""
    found = of_batches(vars)
    new = step(jax.tree.map(lambda own, x: jnp.zeros_like(x) if own else x, found, vars))  # which keep nothing
    return jax.tree.map(lambda own, x, old: x / (1 - MOMENTUM) if own else old, found, new, vars)


def mean(vars: list[Tree]) -> Tree:
    """The mean of the statistics of batches, summed in float64; the rest is the same in each of vars."""
    found = of_batches(vars[0])
    return jax.tree.map(
        lambda own, x, *more: jnp.asarray(np.mean([x, *more], 0, float), x.dtype) if own else x, found, *vars
    )
