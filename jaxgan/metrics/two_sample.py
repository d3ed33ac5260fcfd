"""Do two samples come from one distribution? Summaries of sequences, and a test with an exact p-value.

Sequences are [n, length, channels]; where rows are compared as points they are flattened. All sums are in float64.
"""

from typing import NamedTuple

import numpy as np
from scipy.signal import periodogram
from scipy.spatial.distance import cdist
from scipy.stats import ks_2samp

from jaxgan.errors import JaxganError

SCALES = (0.25, 0.5, 1.0)  # bandwidths, in units of the median distance


def power_spectrum(x: np.ndarray) -> np.ndarray:
    """Mean power of sequences in each frequency, one-sided [length // 2 + 1, channels].

    Bin k has k cycles per sequence. The bins add up to the mean square (Parseval): a sine of amplitude A and a whole
    number of cycles k < length / 2 has A^2 / 2 in bin k, white noise of variance s^2 has 2 s^2 / length in each bin.
    """
    return _periodogram(x).mean(0)


def _periodogram(x) -> np.ndarray:
    return periodogram(np.asarray(x, np.float64), detrend=False, scaling="spectrum", axis=1)[1]


def peaks(x: np.ndarray) -> np.ndarray:
    """The bin of each sequence's largest power, constants apart [n, channels]."""
    return 1 + _periodogram(x)[:, 1:].argmax(1)


def autocorrelation(x: np.ndarray) -> np.ndarray:
    """Mean of x_t x_{t + lag} over sequences and t, for lags 0 to length / 2: [length // 2 + 1, channels].

    Neither centred nor normalised, each lag divided by its own number of terms. A sine of amplitude A, random phase
    and f cycles per sample has A^2 / 2 cos(2 pi f lag); white noise adds its variance at lag 0.
    """
    x = np.asarray(x, np.float64)
    length = x.shape[1]
    return np.stack([(x[:, : length - lag] * x[:, lag:]).mean((0, 1)) for lag in range(length // 2 + 1)])


def kolmogorov_smirnov(x: np.ndarray, y: np.ndarray) -> float:
    """The largest gap between the distribution functions of all values of x and of y, from 0 to 1."""
    return float(ks_2samp(np.ravel(x), np.ravel(y), method="asymp").statistic)


def squared_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """||x_i - y_j||^2 [n, m] of rows."""
    return cdist(*(np.asarray(a, np.float64).reshape(len(a), -1) for a in (x, y)), "sqeuclidean")


def kernel(squared: np.ndarray, bandwidths) -> np.ndarray:
    """The mean over bandwidths s of the Gaussian kernel exp(-d^2 / (2 s^2)) at squared distances d^2."""
    return sum(np.exp(squared / (-2 * s**2)) for s in bandwidths) / len(bandwidths)


def mmd2(x: np.ndarray, y: np.ndarray, bandwidths) -> float:
    """Unbiased estimate of MMD^2 between rows x [n, ...] and y [m, ...]: Gretton et al. 2012, JMLR 13, lemma 6.

    Its mean is zero where both have one distribution, so that about half of its values there are below zero.
    """
    pooled = np.concatenate([np.asarray(x), np.asarray(y)])
    in_x = np.arange(len(pooled)) < len(x)
    return float(_mmd2(_gram(squared_distances(pooled, pooled), bandwidths), in_x[None])[0])


class TwoSample(NamedTuple):
    """mmd2, its p-value, and the bandwidths of its kernel."""

    mmd2: float
    p: float
    bandwidths: tuple[float, ...]


def two_sample(x: np.ndarray, y: np.ndarray, seed: int = 0, permutations: int = 499, scales=SCALES) -> TwoSample:
    """The permutation test of "x [n, ...] and y [m, ...] have one distribution" by unbiased MMD^2.

    p = (1 + permutations at least as large) / (1 + permutations): under the hypothesis P(p <= a) <= a exactly, at any n
    (Phipson and Smyth 2010, arXiv 1603.05766). Bandwidths are scales times the median distance of the pooled rows,
    which no permutation changes. Memory: two matrices [n + m, n + m] of float64.
    """
    if min(len(x), len(y)) < 2:
        raise JaxganError(f"two_sample needs two rows of each sample; got {len(x)} and {len(y)}")
    pooled = np.concatenate([np.asarray(x), np.asarray(y)])
    squared = squared_distances(pooled, pooled)
    median = float(np.sqrt(np.median(squared))) or 1.0  # zero where most rows are the same
    bandwidths = tuple(scale * median for scale in scales)
    in_x = np.arange(len(pooled)) < len(x)
    draws = np.random.default_rng(seed).permuted(np.tile(in_x, (permutations, 1)), axis=1)
    found, *others = _mmd2(_gram(squared, bandwidths), np.concatenate([in_x[None], draws]))
    as_large = np.sum(np.array(others) >= found)
    return TwoSample(float(found), float((1 + as_large) / (1 + permutations)), bandwidths)


def _gram(squared: np.ndarray, bandwidths) -> np.ndarray:
    """The pooled rows' kernel without its diagonal: pairs of a row with itself would bias the estimate."""
    gram = kernel(squared, bandwidths)
    np.fill_diagonal(gram, 0)
    return gram


def _mmd2(gram: np.ndarray, in_x: np.ndarray) -> np.ndarray:
    """Unbiased MMD^2 [p] of ways in_x, bool [p, n + m], to call n of the rows x and the others y."""
    a = in_x.astype(np.float64)
    n, m = a[0].sum(), (1 - a[0]).sum()
    with_x, every = a @ gram, gram.sum(0)
    xx, xy = (with_x * a).sum(1), (with_x * (1 - a)).sum(1)
    yy = every.sum() - xx - 2 * xy
    return xx / (n * (n - 1)) + yy / (m * (m - 1)) - 2 * xy / (n * m)
