"""The Frechet distance between the Gaussians of two sets of features, from moments that merge, in float64.

Heusel et al. 2017, arXiv 1706.08500: |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)).
"""

import math
import warnings
from functools import reduce
from typing import Literal, NamedTuple

import numpy as np
import scipy  # whose parts are loaded where they are used: they take a tenth of a run's start

from jaxgan.errors import JaxganError
from jaxgan.metrics.arrays import blocks, labels, pair, rows
from jaxgan.metrics.names import Score, build, mean
from jaxgan.types import AnyArray

Kind = Literal["full", "diagonal", "mean"]
ROWS = 1024  # of a block that is held in float64


class Moments(NamedTuple):
    """Sums of n rows that are enough for a Frechet distance: mean [d], and scatter [d, d], the sum of centred x x^T.

    Shards merge in any order to what the whole has, up to rounding: Chan, Golub and LeVeque 1979, Stanford CS-79-773.
    """

    n: int
    mean: np.ndarray
    scatter: np.ndarray

    def merge(self, other: "Moments") -> "Moments":
        """The moments of both sets of rows together."""
        n, shift = self.n + other.n, other.mean - self.mean
        scatter = self.scatter + other.scatter
        scatter += np.outer(shift, shift) * (self.n * other.n / n)  # symmetric to the last bit
        return Moments(n, self.mean + shift * (other.n / n), scatter)

    def update(self, x: AnyArray) -> "Moments":
        """The moments with rows x [b, d] added."""
        return self.merge(moments(x, least=1))

    def finish(self, ddof: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Mean [d], and covariance [d, d] with the divisor n - ddof."""
        return self.mean, self.scatter / (self.n - ddof)


def moments(x: AnyArray, what: str = "x", least: int = 2) -> Moments:
    """The moments of features [n, d]; memory beside x: one matrix [d, d] and a block of rows in float64."""
    x = rows(x, what, least)
    d = x.shape[1]
    centre, scatter = x.mean(0, dtype=np.float64), np.zeros((d, d), order="F")
    for block in blocks(len(x), ROWS):
        scatter = scipy.linalg.blas.dsyrk(1.0, (x[block] - centre).T, beta=1.0, c=scatter, lower=1, overwrite_c=1)
    return Moments(len(x), centre, scatter + np.tril(scatter, -1).T)  # dsyrk leaves the other half zero


def merge(shards) -> Moments:
    """The moments of all shards together."""
    return reduce(Moments.merge, shards)


def frechet(a: Moments, b: Moments, ddof: int = 1, kind: Kind = "full") -> float:
    """The squared Frechet distance: "full"; "diagonal", of features taken as uncorrelated; "mean", |m1 - m2|^2 alone.

    Never negative or complex, and of any rank.
    """
    shift = float(((a.mean - b.mean) ** 2).sum())
    if kind == "mean":
        return shift
    if kind == "diagonal":
        roots = [np.sqrt(m.scatter.diagonal() / (m.n - ddof)) for m in (a, b)]
        return shift + float(((roots[0] - roots[1]) ** 2).sum())
    s, t = a.finish(ddof)[1], b.finish(ddof)[1]
    return max(shift + float(np.trace(s) + np.trace(t) - 2 * _root_trace(s, t, min(a.n, b.n) - 1)), 0.0)


def _root_trace(s: np.ndarray, t: np.ndarray, rank: int) -> float:
    """tr (s t)^(1/2) of positive semidefinite s, t [d, d].

    The eigenvalues of s t are those of L^T s L, which is symmetric, for t = L L^T. Where they reach down to rounding,
    their roots would not: there singular values of factors are taken, which are slower and need no roots.
    """
    if rank >= len(s):
        try:
            squares = scipy.linalg.eigh(s, t, type=2, eigvals_only=True, driver="gv", check_finite=False)
            if squares[0] > 10 * np.finfo(float).eps * squares[-1]:
                return float(np.sqrt(squares).sum())
        except scipy.linalg.LinAlgError:
            pass  # t is singular
    return float(scipy.linalg.svdvals(_factor(s).T @ _factor(t), check_finite=False).sum())


def _factor(s: np.ndarray) -> np.ndarray:
    """L [d, r] with L L^T = s, r the numerical rank: Cholesky with pivots, which leave out what is but rounding."""
    packed, pivots, r, _ = scipy.linalg.lapack.dpstrf(s, lower=1)
    out = np.empty((len(s), r))
    out[pivots - 1] = np.tril(packed)[:, :r]
    return out


def fid(
    real: AnyArray | Moments,
    fake: AnyArray | Moments,
    ddof: int = 1,
    kind: Kind = "full",
    features: str = "features",
) -> Score:
    """Frechet distance of features [n, d], [m, d] or of their Moments: FID on Inception's, FD on others'.

    ddof 1 is the convention of most libraries, 0 that of NVlabs. The value is biased upwards by about a constant / n:
    compare at the same n only. Its error is names.jackknife's to find. Warns where n <= d.
    """
    a, b = _pair(real, fake)
    if kind == "full" and min(a.n, b.n) <= len(a.mean):
        warnings.warn(
            f"FID of {a.n} real and {b.n} generated examples with {len(a.mean)} features: a covariance of n examples "
            "has rank n - 1 at most, and FID is biased upwards by about a constant / n. Take more examples, or compare "
            "at this n only",
            stacklevel=2,
        )
    metric = _called("fid" if kind == "full" else f"fid-{kind}", features)
    return Score(build(metric, features, b.n, a.n, ddof=ddof), frechet(a, b, ddof, kind))


def _called(metric: str, features: str) -> str:
    """The metric's name: of Inception's features alone it is FID, of all others FD."""
    return metric if features.split("/")[0] == "inception-2015" else metric.replace("fid", "fd")


def _pair(real, fake) -> tuple[Moments, Moments]:
    a, b = (x if isinstance(x, Moments) else moments(x, what) for x, what in ((real, "real"), (fake, "fake")))
    if len(a.mean) != len(b.mean):
        raise JaxganError(f"real has {len(a.mean)} features and fake {len(b.mean)}; take both from one network")
    for m, what in ((a, "real"), (b, "fake")):
        if m.n < 2:
            raise JaxganError(f"{what} has {m.n} rows and needs 2 at least; give more examples")
        if not (np.isfinite(m.mean).all() and np.isfinite(m.scatter).all()):
            raise JaxganError(f"the moments of {what} are not finite: make them anew from finite features")
    return a, b


def perfect(real: Moments, n: int) -> float:
    """FID to expect of a perfect sampler at n examples, if features are Gaussian and both counts well above d.

    (1 / n_real + 1 / n) (tr S + sum_ij (1 + [i = j]) w_i w_j / (2 (w_i + w_j))) for eigenvalues w of the covariance:
    the mean's part, and the covariance's to second order in its error.
    """
    w = scipy.linalg.eigvalsh(real.finish()[1]).clip(np.finfo(float).tiny)
    spread = (w[:, None] * w / (w[:, None] + w)).sum() / 2 + w.sum() / 4
    return float((1 / real.n + 1 / n) * (w.sum() + spread))


def fid_infinity(
    real: AnyArray | Moments,
    fake: AnyArray,
    sizes: int = 15,
    least: int = 5000,
    seed: int = 0,
    ddof: int = 1,
    features: str = "features",
) -> Score:
    """FID extrapolated to infinitely many generated examples: Chong and Forsyth 2020, arXiv 1911.07023.

    The intercept of a line in 1 / n through FIDs of `sizes` random subsets, of least to all examples; its error is that
    of the line. The real set's own bias stays.
    """
    fake = rows(fake, "fake")
    if not (sizes > 2 and 2 <= least < len(fake)):
        raise JaxganError(f"sizes {sizes} and least {least}: take 3 or more from fewer than all {len(fake)} examples")
    a, draw = real if isinstance(real, Moments) else moments(real, "real"), np.random.default_rng(seed)
    counts = np.linspace(least, len(fake), sizes).astype(int)
    values = [fid(a, fake[np.sort(draw.permutation(len(fake))[:n])], ddof).value for n in counts]
    at = 1 / counts - (1 / counts).mean()
    slope = float(at @ values / (at @ at))
    value = float(np.mean(values) - slope * (1 / counts).mean())
    left = np.asarray(values) - value - slope / counts
    error = math.sqrt(left @ left / (sizes - 2) * (1 / sizes + (1 / counts).mean() ** 2 / (at @ at)))
    name = build(_called("fid-infinity", features), features, len(fake), a.n, ddof=ddof, sizes=sizes, least=least)
    return Score(name, value, error)


def intra_fid(real, fake, real_labels, fake_labels, ddof: int = 1, features: str = "features") -> Score:
    """The mean over classes of FID between a class's real and generated features: Miyato and Koyama 2018, 1802.05637.

    Labels are whole numbers [n] and [m] with the same classes in both; the error is that of the mean over classes.
    """
    real, fake = pair(real, fake)
    real_labels, fake_labels = (
        labels(real_labels, "real_labels", len(real)),
        labels(fake_labels, "fake_labels", len(fake)),
    )
    classes = np.unique(real_labels)
    if not np.array_equal(classes, np.unique(fake_labels)):
        raise JaxganError("real_labels and fake_labels name different classes; generate examples of each real class")
    values = [fid(real[real_labels == c], fake[fake_labels == c], ddof).value for c in classes]
    return mean(
        build(_called("intra-fid", features), features, len(fake), len(real), ddof=ddof, classes=len(classes)), values
    )
