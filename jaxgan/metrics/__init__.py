"""Metrics: functions of samples or features, never of models. A metric's name carries its protocol."""

from functools import partial

from jaxgan.metrics.frechet import Moments, fid, fid_infinity, intra_fid, merge, moments
from jaxgan.metrics.images import ms_ssim, ppl, psnr, ssim, swd
from jaxgan.metrics.inception import accuracy, inception_score, mode_jsd, mode_kl, stacked_mnist
from jaxgan.metrics.kernel import cmmd, kid
from jaxgan.metrics.modes import mode_scores
from jaxgan.metrics.monge import mind
from jaxgan.metrics.names import Score, jackknife, parse
from jaxgan.metrics.neighbours import authpct, nearest, prdc, precision_recall, vendi_score

__all__ = [
    "ALIKE",
    "HIGHER",
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
    "mind",
    "mode_jsd",
    "mode_kl",
    "mode_scores",
    "moments",
    "ms_ssim",
    "nearest",
    "parse",
    "ppl",
    "prdc",
    "precision_recall",
    "psnr",
    "ssim",
    "stacked_mnist",
    "swd",
    "vendi_score",
]


def _of_fake(function):
    """A metric of the generated set alone, called as the others are."""
    return lambda real, fake, **options: function(fake, **options)


def _accuracy(real, fake, **options):
    logits, labels = fake
    return accuracy(logits.argmax(1), labels, **options)


def _intra_fid(real, fake, **options):
    return intra_fid(real[0], fake[0], real[1], fake[1], **options)


def _stacked_mnist(real, fake, **options):
    return stacked_mnist(fake.reshape(len(fake), 3, 10).argmax(2), **options)


def _path_length(space: str):
    return lambda real, fake, **_: ppl(fake, space)  # by LPIPS, whatever the features of others are


# name: (real, fake, **options) -> a Score, or a dict of them
METRICS = {
    "fid": fid,
    "fid-diagonal": partial(fid, kind="diagonal"),
    "fid-mean": partial(fid, kind="mean"),
    "fid-infinity": fid_infinity,
    "intra-fid": _intra_fid,
    "kid": kid,
    "cmmd": cmmd,
    "mind": mind,
    "precision-recall": precision_recall,
    "prdc": prdc,
    "authpct": authpct,
    "vendi": _of_fake(vendi_score),
    "is": _of_fake(inception_score),
    "accuracy": _accuracy,
    "stacked-mnist": _stacked_mnist,
    "modes": _of_fake(mode_scores),
    "swd": swd,
    "ms-ssim": _of_fake(ms_ssim),
    "ppl-z": _path_length("z"),
    "ppl-w": _path_length("w"),
}
# what those read that do not read features; several come as a tuple
READS = {"is": "logits", "stacked-mnist": "logits", "swd": "images", "ms-ssim": "images"}
READS |= {"ppl-z": "paths-z", "ppl-w": "paths-w"}
READS |= {"accuracy": "logits labels", "intra-fid": "features labels"}
# those that want as many real examples as generated ones
ALIKE = {"precision-recall", "prdc", "authpct", "swd"}
# scores of which more is better; of all others less is
HIGHER = {"is", "precision", "recall", "density", "coverage", "authpct", "vendi", "accuracy", "modes", "high-quality"}
