"""Metrics: functions of samples or features, never of models. A metric's name carries its protocol."""

from functools import partial

from jaxgan.metrics.frechet import Moments, fid, fid_infinity, intra_fid, merge, moments
from jaxgan.metrics.images import ms_ssim, swd
from jaxgan.metrics.inception import accuracy, inception_score, mode_jsd, mode_kl, stacked_mnist
from jaxgan.metrics.kernel import cmmd, kid
from jaxgan.metrics.names import Score, jackknife, parse
from jaxgan.metrics.neighbours import authpct, nearest, prdc, precision_recall, vendi_score

__all__ = [
    "METRICS",
    "READS",
    "Moments",
    "Score",
    "accuracy",
    "authpct",
    "cmmd",
    "fid",
    "fid_infinity",
    "inception_score",
    "intra_fid",
    "jackknife",
    "kid",
    "merge",
    "mode_jsd",
    "mode_kl",
    "moments",
    "ms_ssim",
    "nearest",
    "parse",
    "prdc",
    "precision_recall",
    "stacked_mnist",
    "swd",
    "vendi_score",
]


def _of_fake(function):
    """A metric of the generated set alone, called as the others are."""
    return lambda real, fake, **options: function(fake, **options)


# name: (real, fake, **options) -> a Score, or a dict of them
METRICS = {
    "fid": fid,
    "fid-diagonal": partial(fid, kind="diagonal"),
    "fid-mean": partial(fid, kind="mean"),
    "fid-infinity": fid_infinity,
    "kid": kid,
    "cmmd": cmmd,
    "precision-recall": precision_recall,
    "prdc": prdc,
    "authpct": authpct,
    "vendi": _of_fake(vendi_score),
    "is": _of_fake(inception_score),
    "swd": swd,
    "ms-ssim": _of_fake(ms_ssim),
}
# what those read that do not read features
READS = {"is": "logits", "swd": "images", "ms-ssim": "images"}
