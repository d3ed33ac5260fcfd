"""Gradient penalties: (score, real, fake, key) -> one number per example, before its weight.

score: examples [b, ...] -> logits [b]; real and fake [b, ...]; key: one per example [b].
The weight is a traced hyperparameter of the same name.
"""

import jax
import jax.numpy as jnp


def squared_norm(score, x):
    """||grad score(x)||^2 per example [b]."""
    g = jax.grad(lambda x: score(x).sum())(x)
    return (g**2).reshape(len(x), -1).sum(1)


def r1(score, real, fake, key):
    """1/2 ||grad D||^2 on real examples, Mescheder et al. 2018, arXiv 1801.04406."""
    return 0.5 * squared_norm(score, real)


def r2(score, real, fake, key):
    """1/2 ||grad D||^2 on generated examples, Mescheder et al. 2018, arXiv 1801.04406."""
    return 0.5 * squared_norm(score, fake)


def wgan_gp(score, real, fake, key):
    """(||grad D|| - 1)^2 at a uniform point between real and fake, Gulrajani et al. 2017, arXiv 1704.00028.

    Needs as many real as generated examples. The epsilon stands inside the root, whose gradient at 0 is then finite.
    """
    a = jax.vmap(jax.random.uniform)(key).reshape(-1, *[1] * (real.ndim - 1))
    return (jnp.sqrt(squared_norm(score, real + a * (fake - real)) + 1e-12) - 1) ** 2


PENALTIES = {"r1": r1, "r2": r2, "wgan_gp": wgan_gp}
PAIRED = frozenset({"wgan_gp"})
