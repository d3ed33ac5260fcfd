"""Metrics of nearest neighbours among features: precision, recall, density, coverage, authenticity.

Distances are made in blocks of BLOCK x BLOCK, in the features' own precision and from features less their mean, so that
what float32 rounds is small beside their spread; one below that rounding counts as 0, as between copies.
"""

import numpy as np

from jaxgan.errors import JaxganError
from jaxgan.metrics.arrays import blocks, pair, rows
from jaxgan.metrics.names import Score, build, mean
from jaxgan.types import AnyArray

BLOCK = 2000


def squared(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """|x_i - y_j|^2 [n, m] of rows, 0 where it lies below rounding."""
    xx, yy = (np.einsum("ij,ij->i", a, a) for a in (x, y))
    d = x @ y.T
    d *= -2
    d += yy
    d += xx[:, None]
    d[d < 8 * np.finfo(d.dtype).eps * xx[:, None]] = 0
    return d


def centred(real: np.ndarray, fake: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both sets less the mean of the real one, which moves no distance."""
    centre = real.mean(0, dtype=np.float64).astype(real.dtype)
    return real - centre, fake - centre


def radii(x: np.ndarray, k: int) -> np.ndarray:
    """Squared distance [n] of each row to the k-th nearest other one."""
    near = np.full((len(x), k), np.inf, x.dtype)
    parts = list(blocks(len(x), BLOCK))
    for at, i in enumerate(parts):
        for j in parts[at:]:
            d = squared(x[i], x[j])
            if i == j:
                np.fill_diagonal(d, np.inf)
            else:
                near[j] = _least(near[j], d.T.copy())
            near[i] = _least(near[i], d)
    return near.max(1)


def _least(near: np.ndarray, d: np.ndarray) -> np.ndarray:
    """The k least of near [n, k] and d [n, m], which is overwritten."""
    k = near.shape[1]
    if d.shape[1] > k:
        d.partition(k - 1, axis=1)
    return np.partition(np.concatenate([near, d[:, :k]], 1), k - 1, axis=1)[:, :k]


def _check(k: int, *sets: np.ndarray) -> None:
    least = min(map(len, sets))
    if not 1 <= k < least:
        raise JaxganError(f"k is {k}; the smaller set has {least} rows, so take k from 1 to {least - 1}")


def prdc(
    real: AnyArray, fake: AnyArray, k: int = 5, strict: bool = True, features: str = "features"
) -> dict[str, Score]:
    """{"precision", "recall", "density", "coverage"} of features [n, d], [m, d]: Naeem et al. 2020, arXiv 2002.09797.

    A point is inside the ball of another one if nearer than that one's k-th neighbour in its own set; strict=False lets
    it be as near. precision: share of fake in some real ball; recall: share of real in some fake ball; density: real
    balls around a fake point, over k; coverage: share of real balls with a fake point. Where both sets have one
    distribution density is 1 and coverage 1 - 2^-k on average. Errors are those of means over rows, the balls given.
    """
    real, fake = centred(*pair(real, fake))
    _check(k, real, fake)
    inside = np.less if strict else np.less_equal
    of_real, of_fake = radii(real, k), radii(fake, k)
    balls, recalled, nearest = np.zeros(len(fake), int), np.zeros(len(real), bool), np.full(len(real), np.inf)
    for i in blocks(len(real), BLOCK):
        for j in blocks(len(fake), BLOCK):
            d = squared(real[i], fake[j])
            balls[j] += np.count_nonzero(inside(d, of_real[i, None]), axis=0)
            recalled[i] |= inside(d, of_fake[j]).any(1)
            nearest[i] = np.minimum(nearest[i], d.min(1))
    found = {"precision": balls > 0, "recall": recalled, "density": balls / k, "coverage": inside(nearest, of_real)}
    side = {"lt" if strict else "le": True}
    return {
        name: mean(build(name, features, len(fake), len(real), k=k, **side), values) for name, values in found.items()
    }


def precision_recall(real: AnyArray, fake: AnyArray, k: int = 3, features: str = "features") -> dict[str, Score]:
    """{"precision", "recall"} with balls that hold their border: Kynkaanniemi et al. 2019, arXiv 1904.06991."""
    found = prdc(real, fake, k, strict=False, features=features)
    return {name: found[name] for name in ("precision", "recall")}


def nearest(train: AnyArray, x: AnyArray, k: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest rows of train [n, d] to each of x [m, d], the nearest first: their indices and distances [m, k].

    Candidates are found as elsewhere here; the distances are then made anew in float64.
    """
    train, x = pair(train, x, least=1)
    if not 1 <= k <= len(train):
        raise JaxganError(f"k is {k}; train has {len(train)} rows, so take k from 1 to {len(train)}")
    near_train, near_x = centred(train, x)
    index, distance = np.zeros((len(x), k), int), np.zeros((len(x), k))
    for j in blocks(len(x), max(1, BLOCK**2 // len(train))):
        d = squared(near_x[j], near_train)
        found = np.argpartition(d, k - 1, axis=1)[:, :k] if k > 1 else d.argmin(1)[:, None]
        exact = np.stack([np.linalg.norm(np.subtract(x[j], train[i], dtype=np.float64), axis=1) for i in found.T], 1)
        order = exact.argsort(1, kind="stable")
        index[j], distance[j] = (np.take_along_axis(a, order, 1) for a in (found, exact))
    return index, distance


def authpct(real: AnyArray, fake: AnyArray, features: str = "features") -> Score:
    """Percentage of fake features that are no copies: Alaa et al. 2022, arXiv 2102.08921.

    A row of fake is authentic if its nearest real row has another real one that is nearer still.
    """
    real, fake = pair(real, fake)
    index, distance = (found[:, 0] for found in nearest(real, fake))
    among = nearest(real, real, 2)[1][:, 1]
    return mean(build("authpct", features, len(fake), len(real)), 100.0 * (among[index] < distance))


def vendi_score(x: AnyArray, features: str = "features") -> Score:
    """Effective number of different rows, 1 to n: Friedman and Dieng 2022, arXiv 2210.02410, with the cosine kernel.

    diversity.vendi is that of a Gaussian kernel. Memory: one matrix of the smaller of n and d.
    """
    x = rows(x, "fake").astype(np.float64)
    length = np.linalg.norm(x, axis=1, keepdims=True)
    if not length.all():
        raise JaxganError(f"row {length.argmin()} of fake is zero, and has no direction")
    x /= length * np.sqrt(len(x))
    rate = np.linalg.eigvalsh(x @ x.T if len(x) < x.shape[1] else x.T @ x)
    rate = rate[rate > 0]
    return Score(build("vendi", features, len(x), cosine=True), float(np.exp(-(rate * np.log(rate)).sum())))
