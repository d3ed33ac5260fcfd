"""Optimizers by name, as (learning rate, hp) -> optax.GradientTransformation; all numbers may be traced.

Regularisers of weights alone are transformations too: they stand before or after the optimizer in a chain.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from jaxgan import kernels, rng

# eps_root changes no number above 1e-23, and lets unrolled steps be differentiated where a gradient is 0
OPTIMIZERS = {
    "adam": lambda lr, hp: optax.adam(lr, hp["b1"], hp["b2"], eps_root=1e-30),
    "sgd": lambda lr, hp: optax.sgd(lr),
    "rmsprop": lambda lr, hp: optax.rmsprop(lr, decay=0.99),
}


def with_lazy_steps(hp: dict, lr: str, every: int) -> dict:
    """hp for Adam that makes every + 1 steps where it would make every: c lr, b1^c and b2^c, c = every / (every + 1).

    Karras et al. 2019, arXiv 1912.04958, appendix B. lr: the name of the learning rate in hp.
    """
    c = every / (every + 1)
    return {**hp, lr: c * hp[lr], "b1": hp["b1"] ** c, "b2": hp["b2"] ** c}


def _projected(project) -> optax.GradientTransformation:
    """project: parameter -> parameter, applied to every parameter after the update. Stands last in a chain."""

    def update(updates, state, params):
        return jax.tree.map(lambda u, p: project(p, u), updates, params), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def clip_weights(bound) -> optax.GradientTransformation:
    """Keep every parameter within [-bound, bound] after the update, Arjovsky et al. 2017, arXiv 1701.07875.

    Stands last in a chain. A bound of 0 is off.
    """
    return _projected(lambda p, u: jnp.where(bound > 0, jnp.clip(p + u, -bound, bound) - p, u))


def max_norm(bound) -> optax.GradientTransformation:
    """Keep the L2 norm of the weights into each unit at most bound, Srivastava et al. 2014, JMLR 15, section 5.1.

    For parameters with two axes or more, the last of which is the units. Stands last in a chain. A bound of 0 is off.
    """

    def project(p, u):
        if p.ndim < 2:
            return u
        new = p + u
        size = jnp.sqrt((new**2).sum(tuple(range(p.ndim - 1)), keepdims=True))
        return jnp.where((bound > 0) & (size > bound), new * (bound / jnp.maximum(size, 1e-30)) - p, u)

    return _projected(project)


def normalised_rows() -> optax.GradientTransformation:
    """Brings parameters that are `kernels.rows`, by their names, back to such after the update.

    Stands last in a chain.
    """

    def update(updates, state, params):
        def one(path, u, p):
            name = getattr(path[-1], "key", "")
            return kernels.rows(p + u, name == kernels.CENTRED) - p if name in (kernels.CENTRED, kernels.FREE) else u

        return jax.tree_util.tree_map_with_path(one, updates, params), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def restarted(tx: optax.GradientTransformation, steps: tuple[int, ...]) -> optax.GradientTransformation:
    """tx that begins anew, as in its first update, before the updates of these numbers."""
    if not steps:
        return tx

    def init(params):
        return {"updates": jnp.int32(0), "inner": tx.init(params)}

    def update(updates, state, params):
        again = (state["updates"] == jnp.array(steps)).any()
        inner = jax.tree.map(lambda new, old: jnp.where(again, new, old), tx.init(params), state["inner"])
        updates, inner = tx.update(updates, inner, params)
        return updates, {"updates": state["updates"] + 1, "inner": inner}

    return optax.GradientTransformation(init, update)


def frozen(still: Callable[[tuple], bool]) -> optax.GradientTransformation:
    """Leaves parameters as they are whose path still is true of. Stands last in a chain.

    Mo et al. 2020, arXiv 2002.10964, for the first layers of D.
    """

    def update(updates, state, params):
        keep = lambda path, u: jnp.zeros_like(u) if still(path) else u  # noqa: E731
        return jax.tree_util.tree_map_with_path(keep, updates), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


RULES = {"max_norm": max_norm, "clip": clip_weights}
"""Rules on D's weights, in the order in which they are applied, by the names of their bounds in Hp."""


def hold(rules: optax.GradientTransformation, params):
    """params moved by nothing but rules, a transformation without memory such as those in RULES."""
    still = jax.tree.map(jnp.zeros_like, params)
    return optax.apply_updates(params, rules.update(still, rules.init(params), params)[0])


def overlap(params) -> Float[Array, ""]:
    """||W^T W * (1 - I)||^2 summed over all kernels W [inputs, units], Brock et al. 2018, arXiv 1809.11096, equation 3.

    0 where the weights of different units are orthogonal; their lengths are free. params: a tree whose kernels are
    named "kernel", with units as their last axis.
    """

    def one(path, p):
        if p.ndim < 2 or getattr(path[-1], "key", "") != "kernel":
            return jnp.float32(0)
        w = p.reshape(-1, p.shape[-1])
        products = w.T @ w
        return ((products * (1 - jnp.eye(len(products)))) ** 2).sum()

    return sum(jax.tree.leaves(jax.tree_util.tree_map_with_path(one, params)), jnp.float32(0))


def orthogonal(weight) -> optax.GradientTransformation:
    """Adds the gradient of weight * overlap: as if the loss had that term. Stands first in a chain."""

    def update(updates, state, params):
        return jax.tree.map(lambda u, g: u + weight * g, updates, jax.grad(overlap)(params)), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def spectral(weight) -> optax.GradientTransformation:
    """Adds the gradient of weight / 2 * the sum of squared spectral norms of all kernels: as if the loss had that term.

    Yoshida and Miyato 2017, arXiv 1705.10941: the gradient is weight * W u u^T, with u the first right singular vector,
    which the state {kernel: u [units]} follows by one power iteration an update. Stands first in a chain.
    """

    def init(params):
        key = rng.stream(rng.root(0), "spectral")
        return {name: kernels.start(rng.stream(key, name), p) for name, p in kernels.named(params).items()}

    def update(updates, state, params):
        found = kernels.named(params)
        state = {name: kernels.iterated(found[name], u) for name, u in state.items()}

        def add(path, g):
            u = state.get(kernels.path(path))
            if u is None:
                return g
            w = kernels.matrix(found[kernels.path(path)])
            return g + weight * jnp.outer(w @ u, u).reshape(g.shape)

        return jax.tree_util.tree_map_with_path(add, updates), state

    return optax.GradientTransformation(init, update)


def _norm(tree):
    """The L2 norm of all entries of tree, right too where their squares overflow."""
    largest = jnp.maximum(optax.tree.norm(tree, ord=jnp.inf), 1e-30)
    return largest * optax.tree.norm(jax.tree.map(lambda x: x / largest, tree))


def balanced(main, adversarial, ratio, eps=1e-6):
    """main + c * adversarial for two gradients (trees), with c such that |main| / |c * adversarial| is ratio.

    TF-GAN's combine_adversarial_loss with gradient_ratio, after Rippel and Bourdev 2017, arXiv 1705.05823. A zero
    adversarial gradient stays zero.
    """
    c = _norm(main) / (ratio * (_norm(adversarial) + eps))
    return jax.tree.map(lambda a, b: a + c * b, main, adversarial)
