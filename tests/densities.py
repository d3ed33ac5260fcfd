"""Two Gaussians on the nodes of a quadrature, logits at random, and formulas of f-divergences."""

import numpy as np

from jaxgan.theory import divergence

LN2 = np.log(2)
X, W = divergence.gauss_legendre(-12, 13)
P_DENSITY = np.exp(-(X**2) / 2) / np.sqrt(2 * np.pi)
Q_DENSITY = np.exp(-((X - 1) ** 2) / 2) / np.sqrt(2 * np.pi)


def log(x):
    return np.log(x)


def alpha_t(v, a):
    return 1 / (1 - a) - log(1 + np.exp(-v))


def alpha_star(t, a):
    return (t * (a - 1) + 1) ** (a / (a - 1)) / a - 1 / a


def logits(n=40, seed=0):
    return np.random.default_rng(seed).uniform(-6, 6, (2, n))
