"""Virtual batch normalisation's reference batch: Salimans et al. 2016, arXiv 1606.03498, section 3.2."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxgan.nets.norms import REFERENCE
from jaxgan.types import JaxganError, Net


def virtual(net: Net, reference: Callable) -> Net:
    """net, built of `norms.VirtualNorm`, with REFERENCE fixed examples before those that it is given.

    reference: (key, *inputs) -> inputs of as many examples as wanted, of which the first REFERENCE are taken, over and
    over if they are fewer. vars: {"net": those of net, "reference": inputs, "filled": whether they are here to stay}.
    A pass with fill=True puts its inputs there once and has no output; no other pass changes the reference, and an
    output depends on its own example and the reference alone.
    """

    def init(key, *inputs):
        params, vars = net.init(key, *inputs)
        kept = reference(key, *inputs)
        return params, {"net": vars, "reference": rows(kept or inputs), "filled": jnp.asarray(kept is not None)}

    def apply(params, vars, *inputs, train, fill=False, **options):
        kept = vars["reference"]
        if fill:
            new = jax.tree.map(lambda old, new: jnp.where(vars["filled"], old, new), kept, rows(inputs))
            return None, {**vars, "reference": new, "filled": jnp.asarray(True)}
        both = jax.tree.map(lambda a, b: jnp.concatenate([a.astype(b.dtype), b]), kept, inputs)
        out, inner = net.apply(params, vars["net"], *both, train=train, **options)
        return jax.tree.map(lambda a: a[REFERENCE:], out), {**vars, "net": inner}

    if net.keyed:
        raise JaxganError(
            "virtual batch normalisation puts reference rows before a network's own, and moves their keys"
        )
    return Net(init, apply)


def rows(inputs):
    """REFERENCE rows of each array in inputs, over and over if they are fewer."""
    return jax.tree.map(lambda a: a[jnp.arange(REFERENCE) % len(a)], inputs)
