"""Adversarial losses on logits: one number per example, reduced nowhere.

A loss is a pair of functions (real [m], fake [n]) -> (terms of the real examples [m], terms of the generated [n]), one
for the discriminator and one for the generator; both are minimised. Real and fake are D's logits.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax.nn import relu, softplus

zeros = jnp.zeros_like


class Loss(NamedTuple):
    """d and g as in the module's docstring; paired: row i of real is compared with row i of fake."""

    d: Callable
    g: Callable
    paired: bool = False


def _logistic_d(real, fake):
    return softplus(-real), softplus(fake)


minimax = Loss(_logistic_d, lambda real, fake: (zeros(real), -softplus(fake)))
"""The value V(D, G) itself, Goodfellow et al. 2014, arXiv 1406.2661, equation 1."""

ns = Loss(_logistic_d, lambda real, fake: (zeros(real), softplus(-fake)))
"""Non-saturating, Goodfellow et al. 2014, arXiv 1406.2661, section 3."""

lsgan = Loss(
    lambda real, fake: (0.5 * (real - 1) ** 2, 0.5 * fake**2),
    lambda real, fake: (zeros(real), 0.5 * (fake - 1) ** 2),
)
"""Least squares on raw logits with targets 1 and 0, Mao et al. 2017, arXiv 1611.04076."""

wasserstein = Loss(lambda real, fake: (-real, fake), lambda real, fake: (zeros(real), -fake))
"""Kantorovich dual, for a Lipschitz D (clip or wgan_gp), Arjovsky et al. 2017, arXiv 1701.07875."""

hinge = Loss(lambda real, fake: (relu(1 - real), relu(1 + fake)), lambda real, fake: (zeros(real), -fake))
"""Hinge, Lim and Ye 2017, arXiv 1705.02894; Miyato et al. 2018, arXiv 1802.05957."""

rpgan = Loss(
    lambda real, fake: (softplus(fake - real), zeros(fake)),
    lambda real, fake: (softplus(real - fake), zeros(fake)),
    paired=True,
)
"""Relativistic pairing, Jolicoeur-Martineau 2018, arXiv 1807.00734; Huang et al. 2024, arXiv 2501.05441."""

LOSSES = {"minimax": minimax, "ns": ns, "lsgan": lsgan, "wasserstein": wasserstein, "hinge": hinge, "rpgan": rpgan}


def value(terms, m: int, n: int):
    """Scalar 2 alpha mean(real terms) + 2 (1 - alpha) mean(fake terms) with alpha = m / (m + n): usual if m = n.

    m real and n generated examples, each weighing the same whatever their numbers. At D's optimum
    D* = alpha p_d / (alpha p_d + (1 - alpha) p_g).
    """
    real, fake = terms
    alpha = m / (m + n)
    return 2 * alpha * real.mean() + 2 * (1 - alpha) * fake.mean()
