"""The minimax value V(D, G) and the discriminator that maximises it, on weighted nodes as in divergence.py."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxgan import losses
from jaxgan.theory.divergence import Nodes


def optimal_logit(lp, lq, alpha: float = 0.5):
    """The logit of D* = alpha p / (alpha p + (1 - alpha) q), Goodfellow et al. 2014, arXiv 1406.2661, proposition 1.

    alpha: share of real examples; 1/2 is the paper's.
    """
    return lp - lq + np.log(alpha / (1 - alpha))


def value(logit: Nodes, lp: Nodes, lq: Nodes, w: Nodes | float, alpha: float = 0.5) -> Float[Array, ""]:
    """V(D, G) = 2 alpha E_p log D + 2 (1 - alpha) E_q log(1 - D) for D's logits at the nodes.

    The training loss of D with its sign changed; alpha = m / (m + n) for m real and n generated examples per update.
    """
    real, fake = losses.minimax.d(logit, logit)
    return -2 * alpha * _mean(real, lp, w) - 2 * (1 - alpha) * _mean(fake, lq, w)


def sampled(real: losses.Real, fake: losses.Fake) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """V(D, G) estimated from D's logits at real and generated examples, and its standard error.

    The estimate is unbiased for `value` with alpha = m / (m + n).
    """
    terms, m, n = losses.minimax.d(real, fake), len(real), len(fake)
    error = 2 / (m + n) * jnp.sqrt(m * terms[0].var(ddof=1) + n * terms[1].var(ddof=1))
    return -losses.value(terms, m, n), error


def generator_part(logit: Nodes, lq: Nodes, w: Nodes | float) -> Float[Array, ""]:
    """The part of V that the generator sees, E_q log(1 - D), from its training loss."""
    _, fake = losses.minimax.g(logit, logit)
    return _mean(fake, lq, w)


def _mean(terms, log_density, w):
    mass = w * jnp.exp(log_density)
    return jnp.where(mass > 0, mass * terms, 0.0).sum()  # 0 times an infinite loss where there is no mass
