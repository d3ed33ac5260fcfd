"""Divergences between two known distributions, as sums over weighted nodes.

A distribution is its log density at the nodes, lp or lq, with weights w. Quadrature nodes make a density
(`gauss_legendre`), and weights of 1 make a discrete distribution of probabilities exp(lp). All values are in nats.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxgan.types import AnyArray

Nodes = Float[AnyArray, " n"]
Number = Float[Array, ""]
LOG2 = float(np.log(2))


def gauss_legendre(
    low: float, high: float, panels: int = 200, order: int = 10
) -> tuple[Float[np.ndarray, " {panels*order}"], Float[np.ndarray, " {panels*order}"]]:
    """Nodes x and weights w of composite Gauss-Legendre quadrature on [low, high], in float64."""
    t, v = np.polynomial.legendre.leggauss(order)
    edges = np.linspace(low, high, panels + 1)
    half = np.diff(edges)[:, None] / 2
    return (edges[:-1, None] + half * (t + 1)).ravel(), (half * v).ravel()


def kl(lp: Nodes, lq: Nodes, w: Nodes | float) -> Number:
    """Kullback-Leibler divergence KL(p || q), the maximum-likelihood loss of q."""
    return (w * jnp.where(jnp.isneginf(lp), 0.0, jnp.exp(lp) * (lp - lq))).sum()


def reverse_kl(lp: Nodes, lq: Nodes, w: Nodes | float) -> Number:
    """KL(q || p), which punishes q for mass where p has none."""
    return kl(lq, lp, w)


def jsd(lp: Nodes, lq: Nodes, w: Nodes | float) -> Number:
    """Jensen-Shannon divergence, from 0 to log 2: Goodfellow et al. 2014, arXiv 1406.2661, theorem 1."""
    middle = jnp.logaddexp(lp, lq) - LOG2
    return 0.5 * (kl(lp, middle, w) + kl(lq, middle, w))


def hellinger(lp: Nodes, lq: Nodes, w: Nodes | float) -> Number:
    """Squared Hellinger distance, 1/2 the integral of (sqrt p - sqrt q)^2, from 0 to 1."""
    return 0.5 * (w * (jnp.exp(lp / 2) - jnp.exp(lq / 2)) ** 2).sum()


def alpha(lp: Nodes, lq: Nodes, w: Nodes | float, a) -> Number:
    """The alpha-divergence, the integral of (a p + (1 - a) q - p^a q^(1 - a)) / (a (1 - a)), for a in (0, 1).

    Towards 1 it is KL(p || q), towards 0 KL(q || p): Nowozin et al. 2016, arXiv 1606.00709, table 2.
    """
    mixed = a * jnp.exp(lp) + (1 - a) * jnp.exp(lq) - jnp.exp(a * lp + (1 - a) * lq)
    return (w * mixed).sum() / (a * (1 - a))


def chi2(lp: Nodes, lq: Nodes, w: Nodes | float) -> Number:
    """Pearson's chi-square divergence, the integral of (p - q)^2 / q; infinite where only p has mass."""
    excess = jnp.where(jnp.isneginf(lp), 0.0, jnp.exp(2 * lp - lq) - 2 * jnp.exp(lp))
    return (w * (excess + jnp.exp(lq))).sum()


def total_variation(lp: Nodes, lq: Nodes, w: Nodes | float) -> Number:
    """1/2 the integral of |p - q|, from 0 to 1."""
    return 0.5 * (w * abs(jnp.exp(lp) - jnp.exp(lq))).sum()


DIVERGENCES = {
    "kl": kl,
    "reverse_kl": reverse_kl,
    "jsd": jsd,
    "hellinger": hellinger,
    "chi2": chi2,
    "total_variation": total_variation,
}


def wasserstein(x: Nodes, lp: Nodes, lq: Nodes, order: int = 1) -> float:
    """Wasserstein distance W_1 or W_2 on the line, by the quantiles of densities at evenly spaced nodes x."""
    level = np.linspace(0, 1, 20_001)[1:-1]

    def quantiles(log_density):
        p = np.exp(np.asarray(log_density, np.float64))
        mass = np.concatenate([[0], np.cumsum((p[1:] + p[:-1]) / 2)])
        return np.interp(level, mass / mass[-1], np.asarray(x, np.float64))

    return float((abs(quantiles(lp) - quantiles(lq)) ** order).mean() ** (1 / order))


def gaussian(m0: float, s0: float, m1: float, s1: float) -> dict[str, float]:
    """Closed forms between N(m0, s0^2) and N(m1, s1^2), under the names of DIVERGENCES and "wasserstein_2"."""
    v0, v1, d2 = s0**2, s1**2, (m0 - m1) ** 2
    forms = {
        "kl": np.log(s1 / s0) + (v0 + d2) / (2 * v1) - 0.5,
        "reverse_kl": np.log(s0 / s1) + (v1 + d2) / (2 * v0) - 0.5,
        "hellinger": 1 - np.sqrt(2 * s0 * s1 / (v0 + v1)) * np.exp(-d2 / (4 * (v0 + v1))),
        "wasserstein_2": np.sqrt(d2 + (s0 - s1) ** 2),
    }
    if 2 * v1 > v0:  # else the integral diverges
        forms["chi2"] = v1 / (s0 * np.sqrt(2 * v1 - v0)) * np.exp(d2 / (2 * v1 - v0)) - 1
    return {name: float(value) for name, value in forms.items()}
