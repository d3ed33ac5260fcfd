"""The Monge inception distance: what it costs to move one set of features onto another, along random lines."""

import numpy as np

from jaxgan.errors import JaxganError
from jaxgan.metrics.arrays import blocks, pair
from jaxgan.metrics.names import Score, build
from jaxgan.types import AnyArray

STREAM = 2605  # of the numbers that directions are drawn from
BLOCK = 64  # directions whose projections are in memory together


def transport(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """W_2^2 [k] of the points in each column of a [n, k] and of b [m, k], each point of a column of the same weight.

    The least mean square distance over all ways to carry one onto the other: in order, in shares that n and m make.
    """
    n, m = len(a), len(b)
    ends = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)  # of the shares, in parts of n * m
    shares = np.diff(ends, prepend=0) / (n * m)
    steps = np.sort(a, 0)[(ends - 1) // m] - np.sort(b, 0)[(ends - 1) // n]
    return shares @ np.square(steps, dtype=np.float64)


def mind(real: AnyArray, fake: AnyArray, directions: int = 1000, seed: int = 0, features: str = "features") -> Score:
    """3 d times the mean of `transport` along random directions, of features [n, d], [m, d].

    Berthet et al. 2026, arXiv 2605.06797, with Inception's features of 5,000 images in each set; a shift by v of all
    features adds about 3 |v|^2. names.jackknife finds its error.
    """
    real, fake = pair(real, fake)
    if directions < 1:
        raise JaxganError(f"directions is {directions}; take 1 at least")
    d = real.shape[1]
    # numbers of their own: features that the same seed has drawn would be lines, and stick out along themselves
    lines = np.random.default_rng((seed, STREAM)).normal(size=(directions, d))
    lines = (lines / np.linalg.norm(lines, axis=1, keepdims=True)).astype(real.dtype)
    costs = [transport(real @ lines[i].T, fake @ lines[i].T) for i in blocks(directions, BLOCK)]
    name = build("mind", features, len(fake), len(real), directions=directions)
    return Score(name, 3 * d * float(np.concatenate(costs).mean()))
