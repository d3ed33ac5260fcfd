"""Maximum mean discrepancies of features: KID and CMMD. Products in the features' precision, sums in float64."""

import numpy as np

from jaxgan.errors import JaxganError
from jaxgan.metrics.arrays import blocks, pair
from jaxgan.metrics.names import Score, build, mean
from jaxgan.metrics.neighbours import BLOCK, squared
from jaxgan.types import AnyArray


def polynomial_mmd2(x: np.ndarray, y: np.ndarray) -> float:
    """Unbiased MMD^2 of x and y [n, d], as many of each, by the kernel (x.y / d + 1)^3."""
    n, d = x.shape
    both = np.concatenate([x, y])
    gram = both @ both.T  # one symmetric product, which costs half of a general one
    gram /= d
    gram += 1
    gram *= gram * gram
    total = [float(g.sum(dtype=np.float64)) for g in (gram[:n, :n], gram[n:, n:], gram[:n, n:])]
    own = [float(g.sum(dtype=np.float64)) for g in np.split(gram.diagonal(), 2)]
    return sum(t - s for t, s in zip(total, own)) / (n * (n - 1)) - 2 * total[2] / n**2


def kid(
    real: AnyArray,
    fake: AnyArray,
    subsets: int = 100,
    block: int = 1000,
    seed: int = 0,
    features: str = "features",
) -> Score:
    """Kernel distance of features [n, d], [m, d]: Binkowski et al. 2018, arXiv 1801.01401. Unbiased, so also below 0.

    The mean of polynomial_mmd2 over seeded subsets without replacement, of `block` rows of either set, or of as many as
    the smaller set has; the name says how many. The error is the standard error of that mean, the sets being given;
    names.jackknife finds that of the sets.
    """
    real, fake = pair(real, fake)
    block = min(block, len(real), len(fake))
    if subsets < 1 or block < 2:
        raise JaxganError(f"subsets {subsets} and block {block}: take 1 subset and 2 rows at least")
    draw = np.random.default_rng(seed)
    pick = lambda x: x[draw.permutation(len(x))[:block]]  # noqa: E731
    values = [polynomial_mmd2(pick(real), pick(fake)) for _ in range(subsets)]
    return mean(build("kid", features, len(fake), len(real), subsets=subsets, block=block), values)


def cmmd(real: AnyArray, fake: AnyArray, sigma: float = 10.0, features: str = "features") -> Score:
    """1000 MMD^2 by exp(-|x - y|^2 / (2 sigma^2)), biased: Jayasumana et al. 2024, arXiv 2401.09603.

    Its features are CLIP's, of length 1; what is given is taken as it is.
    """
    real, fake = pair(real, fake)
    total = _decay(real, real, sigma) + _decay(fake, fake, sigma) - 2 * _decay(real, fake, sigma)
    return Score(build("cmmd", features, len(fake), len(real), sigma=sigma), 1000 * max(total, 0.0))


def _decay(x: np.ndarray, y: np.ndarray, sigma: float) -> float:
    """The mean of the kernel less 1 over all pairs: the ones cancel between means, and would cost digits."""
    total = 0.0
    for i in blocks(len(x), BLOCK):
        for j in blocks(len(y), BLOCK):
            d = squared(x[i], y[j])
            d /= -2 * sigma**2
            total += float(np.expm1(d, out=d).sum(dtype=np.float64))
    return total / len(x) / len(y)
