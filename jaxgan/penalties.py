"""Gradient penalties: (score, real, fake, key) -> one number per example, before its weight.

score: examples -> logits; key: one per example.
The weight is a traced hyperparameter of the same name. Where D sees packs of examples (PacGAN), score gives one logit a
pack, and a penalty one number a pack.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxgan.types import AnyArray, JaxganError

Examples = Float[AnyArray, " b *shape"]
Others = Float[AnyArray, " n *other"]
Keys = Key[Array, " b"]
Numbers = Float[Array, " logits"]


def squared_norm(score: Callable, x: Examples) -> Numbers:
    """||grad score(x)||^2 per logit."""
    logits, pull = jax.vjp(score, x)
    (g,) = pull(jnp.ones_like(logits))
    return (g**2).reshape(len(logits), -1).sum(1)


def norm(score: Callable, x: Examples) -> Numbers:
    """||grad score(x)|| per logit; an epsilon inside the root keeps its gradient at 0 finite."""
    return jnp.sqrt(squared_norm(score, x) + 1e-12)


def between(real: Examples, fake: Examples, key: Keys) -> Examples:
    """A uniform point on the line between real i and fake i, for each i."""
    a = jax.vmap(jax.random.uniform)(key).reshape(-1, *[1] * (real.ndim - 1))
    return real + a * (fake - real)


def r1(score: Callable, real: Examples, fake: Others, key: Key[Array, " _"]) -> Numbers:
    """1/2 ||grad D||^2 on real examples, Mescheder et al. 2018, arXiv 1801.04406."""
    return 0.5 * squared_norm(score, real)


def r2(score: Callable, real: Examples, fake: Others, key: Key[Array, " _"]) -> Numbers:
    """1/2 ||grad D||^2 on generated examples, Mescheder et al. 2018, arXiv 1801.04406."""
    return 0.5 * squared_norm(score, fake)


def slope(score: Callable, x: Examples, key: Keys, step=0.01, logits=None) -> Numbers:
    """(D(x + step u) - D(x)) / step per logit, u ~ N(0, I) by the key of the example; its limit where step is None.

    logits: D(x), where that is known.
    """
    u = jax.vmap(lambda k: jax.random.normal(k, x.shape[1:], x.dtype))(key)
    if step is None:
        return jax.jvp(score, (x,), (u,))[1]
    return (score(x + step * u) - (score(x) if logits is None else logits)) / step


def ar1(score: Callable, real: Examples, fake: Others, key: Keys, step=0.01, logits=None) -> Numbers:
    """Approximate R1, Hyun et al. 2025, arXiv 2509.24935: half the square of `slope` at real examples.

    As step goes to 0 its mean over u is r1. It needs one pass of D, and no gradient in a gradient.
    """
    return 0.5 * slope(score, real, key, step, logits) ** 2


def ar2(score: Callable, real: Others, fake: Examples, key: Keys, step=0.01, logits=None) -> Numbers:
    """Approximate R2, the same at generated examples."""
    return 0.5 * slope(score, fake, key, step, logits) ** 2


def wgan_gp(score: Callable, real: Examples, fake: Examples, key: Keys, target=1.0) -> Numbers:
    """(||grad D|| - target)^2 at a uniform point between real and fake, Gulrajani et al. 2017, arXiv 1704.00028."""
    return (norm(score, between(real, fake, key)) - target) ** 2


def wgan_lp(score: Callable, real: Examples, fake: Examples, key: Keys, target=1.0) -> Numbers:
    """The one-sided wgan_gp, which lets smaller gradients be, Petzka et al. 2017, arXiv 1709.08894."""
    return jax.nn.relu(norm(score, between(real, fake, key)) - target) ** 2


def gp0(score: Callable, real: Examples, fake: Examples, key: Keys) -> Numbers:
    """||grad D||^2 at a uniform point between real and fake, Thanh-Tung et al. 2019, arXiv 1902.03984."""
    return squared_norm(score, between(real, fake, key))


def _unset(score: Callable, real: Examples, fake: Others, key: Key[Array, " _"]) -> Numbers:
    raise JaxganError(
        "penalty 'own' is yours to define: set jaxgan.penalties.PENALTIES['own'] = penalty before training (see "
        "jaxgan/games/README.md)"
    )


PENALTIES = {
    "r1": r1,
    "r2": r2,
    "ar1": ar1,
    "ar2": ar2,
    "wgan_gp": wgan_gp,
    "wgan_lp": wgan_lp,
    "gp0": gp0,
    "own": _unset,
}
"""By the names of their weights in Hp; `own` is a place for a penalty of the user's, see games/README.md."""
PAIRED = frozenset({"wgan_gp", "wgan_lp", "gp0"})  # these need as many real as generated examples
TARGETED = frozenset({"wgan_gp", "wgan_lp"})  # these take hp.gp_target
STEPPED = frozenset({"ar1", "ar2"})  # these take hp.ar_step, and logits where they are known
OF_FAKE = frozenset({"r2", "ar2"})  # these look at generated examples alone
