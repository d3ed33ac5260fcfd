"""How varied a sample is, and how well a score tells two samples apart."""

import math
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
import scipy
from jaxtyping import Array, Float

from jaxgan.metrics.names import Score, build, mean
from jaxgan.types import AnyArray, JaxganError


def distances(x: Float[AnyArray, "n ..."]) -> Float[Array, "n n"]:
    """Squared distances between the rows of x."""
    x = x.reshape(len(x), -1)
    square = (x**2).sum(1)
    return jnp.maximum(square[:, None] + square[None] - 2 * x @ x.T, 0.0)


def vendi(x: Float[AnyArray, "n ..."], scale) -> Float[Array, ""]:
    """Effective number of different rows of x, from 1 to n: Friedman and Dieng 2022, arXiv 2210.02410.

    The exponential of the entropy of the eigenvalues of K / n, for the kernel exp(-distance^2 / (2 scale^2)).
    """
    rate = jnp.linalg.eigvalsh(jnp.exp(-distances(x) / (2 * scale**2)) / len(x))
    return jnp.exp(-(rate * jnp.log(jnp.where(rate <= 0, 1.0, rate))).sum())  # 0 log 0 is 0; nan stays nan


def relative_diversity(x: Float[AnyArray, " n *shape"], real: Float[AnyArray, " n *shape"]) -> Float[Array, ""]:
    """The Vendi score of x over that of as many real rows: 1 is as varied as the data, near 0 collapsed.

    The scale is a third of the median distance between real rows. Depends on n: compare at the same n only.
    """
    n = len(real)
    scale = jnp.sqrt(jnp.median(distances(real)[np.triu_indices(n, 1)])) / 3
    return vendi(x, scale) / vendi(real, scale)


def between(x: Float[AnyArray, "n k *shape"], distance: Callable) -> float:
    """Mean distance between two of the k outputs for one input: Zhu et al. 2017, arXiv 1711.11586, table 1.

    x: k translations of each of n inputs; distance: (a, b [n, *shape]) -> [n], there LPIPS. 0 where all are alike.
    """
    return float(np.mean(apart(x, distance)))


def apart(x: Float[AnyArray, "n k *shape"], distance: Callable) -> Float[np.ndarray, "n pairs"]:
    """Distances between each two of the k outputs for one input, k (k - 1) / 2 of them; arguments as in `between`."""
    pairs = [(i, j) for i in range(x.shape[1]) for j in range(i)]
    if not pairs:
        raise JaxganError(f"{x.shape[1]} output of each input has no distance to another; make two or more")
    return np.stack([np.asarray(distance(x[:, i], x[:, j])) for i, j in pairs], 1)


def diversity(real, fake, features: str = "lpips") -> dict[str, Score]:
    """{"diversity", "diversity-data"}: `between` of translations by codes, and what it is of targets.

    Zhu et al. 2017, arXiv 1711.11586, table 1. fake: distances [n, pairs] as of `apart`; real: distances [m] of pairs
    of other inputs' targets, disjoint ones. Errors are over inputs and pairs.
    """
    n, pairs = np.shape(fake)
    codes = (1 + math.isqrt(1 + 8 * pairs)) // 2
    names = (
        build("diversity", features, n * codes, codes=codes),
        build("diversity-data", features, 2 * len(real), pairs=len(real)),
    )
    return {"diversity": mean(names[0], np.mean(fake, 1)), "diversity-data": mean(names[1], real)}


def auc(high: Float[AnyArray, " m"], low: Float[AnyArray, " n"]) -> float:
    """Share of pairs in which high lies above low, ties half: 1/2 if a score cannot tell the two apart.

    The area under the ROC curve; nan if a score is. Its standard error is at most 1/2 / sqrt(min(m, n)).
    """
    found = scipy.stats.mannwhitneyu(np.asarray(high), np.asarray(low), method="asymptotic")
    return float(found.statistic) / (len(high) * len(low))
