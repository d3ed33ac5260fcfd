"""Metrics of a classifier's answers: Inception score, accuracy of conditional samples, how modes are covered."""

import math
from itertools import pairwise

import numpy as np
import scipy

from jaxgan.errors import JaxganError
from jaxgan.metrics.arrays import labels
from jaxgan.metrics.names import Score, build, mean
from jaxgan.types import AnyArray


def inception_score(logits: AnyArray, splits: int = 10, features: str = "features") -> Score:
    """exp of the mean of KL(p(y|x) || p(y)), averaged over splits in the order given: Salimans et al. 2016, 1606.03498.

    logits [n, classes], or logs of probabilities, where -inf is a probability of 0. All in logs and float64. The error
    is that of the mean over splits; StudioGAN has 1 split.
    """
    logits = np.asarray(logits, np.float64)
    if logits.ndim != 2 or not 1 <= splits <= len(logits):
        raise JaxganError(f"logits are {logits.shape} with {splits} splits; expected [n, classes] and 1 to n splits")
    log_p = logits - scipy.special.logsumexp(logits, 1, keepdims=True)
    if np.isnan(log_p).any():
        raise JaxganError("logits have rows that are not finite; look at the classifier or the images it was given")
    edges = [i * len(log_p) // splits for i in range(splits + 1)]
    values = [math.exp(_information(log_p[a:b])) for a, b in pairwise(edges)]
    return mean(build("is", features, len(log_p), splits=splits), values)


def _information(log_p: np.ndarray) -> float:
    """The mean KL in nats of rows from their mean."""
    p, marginal = np.exp(log_p), scipy.special.logsumexp(log_p, 0) - math.log(len(log_p))
    ratio = np.subtract(log_p, marginal, out=np.zeros_like(p), where=p > 0)  # 0 log 0 is 0
    return float((p * ratio).sum(1).mean())


def accuracy(predicted: AnyArray, asked: AnyArray, features: str = "features") -> Score:
    """Share of conditional samples that a classifier takes for the class [n] that was asked for."""
    predicted = labels(predicted, "predicted")
    return mean(build("accuracy", features, len(predicted)), predicted == labels(asked, "asked", len(predicted)))


def mode_kl(found: AnyArray, modes: int, features: str = "modes") -> Score:
    """KL(generated || uniform) in nats of the modes [n], from 0, that samples fall into: PacGAN, arXiv 1712.04086.

    The literature's reverse KL. A perfect sampler has kl_floor on average, to first order.
    """
    share = _shares(found, modes)
    ratio = np.log(np.where(share > 0, share * modes, 1))
    value = float((share * ratio).sum())
    error = math.sqrt(max(float((share * ratio**2).sum()) - value**2, 0) / len(found))
    return Score(build("mode-kl", features, len(found), modes=modes), value, error)


def mode_jsd(found: AnyArray, modes: int, features: str = "modes") -> Score:
    """Jensen-Shannon divergence, 0 to log 2 nats, of the modes [n] that samples fall into from uniform ones."""
    p, q = _shares(found, modes), np.full(modes, 1 / modes)
    m = (p + q) / 2
    to_m = np.log(np.where(p > 0, p / m, 1))  # also the derivative in p, since those of m cancel
    value = float((scipy.special.xlogy(p, p / m) + scipy.special.xlogy(q, q / m)).sum() / 2)
    error = math.sqrt(max(float((p * to_m**2).sum()) - float((p * to_m).sum()) ** 2, 0) / len(found)) / 2
    return Score(build("mode-jsd", features, len(found), modes=modes), value, error)


def kl_floor(n: int, modes: int) -> float:
    """mode_kl of a perfect sampler at n samples, on average and to first order in 1 / n: (modes - 1) / (2 n) nats."""
    return (modes - 1) / (2 * n)


def _shares(found: AnyArray, modes: int) -> np.ndarray:
    found = labels(found, "found")
    if found.max() >= modes:
        raise JaxganError(f"found names mode {found.max()} of {modes}; modes are numbered from 0")
    return np.bincount(found, minlength=modes) / len(found)


def stacked_mnist(digits: AnyArray, features: str = "digits") -> dict[str, Score]:
    """{"modes", "mode-kl", "floor"} of StackedMNIST's 1000 modes, from the digits [n, 3] seen in the channels.

    modes counts those with a sample; floor is kl_floor, which no generator is expected to pass at n samples.
    """
    digits = np.asarray(digits)
    if digits.ndim != 2 or digits.shape[1] != 3 or digits.min(initial=0) < 0 or digits.max(initial=0) > 9:
        raise JaxganError(f"digits are {digits.shape}; expected [n, 3] of whole numbers from 0 to 9")
    found, n = digits @ [100, 10, 1], len(digits)
    kl = mode_kl(found, 1000, features)
    seen = float(len(np.unique(found)))
    return {
        "modes": Score(build("modes", features, n, modes=1000), seen),
        "mode-kl": kl,
        "floor": Score(build("mode-kl-floor", features, n, modes=1000), kl_floor(n, 1000), 0.0),
    }
