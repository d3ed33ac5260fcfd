"""Metrics: functions of samples or features, never of models. A metric's name carries its protocol."""

from functools import partial

from jaxgan.metrics.diversity import diversity
from jaxgan.metrics.frechet import Moments, fid, fid_infinity, intra_fid, merge, moments
from jaxgan.metrics.images import l1, ms_ssim, ppl, psnr, ssim, swd
from jaxgan.metrics.inception import accuracy, inception_score, mode_jsd, mode_kl, stacked_mnist
from jaxgan.metrics.kernel import cmmd, kid
from jaxgan.metrics.modes import mode_scores
from jaxgan.metrics.monge import mind
from jaxgan.metrics.names import Score, build, jackknife, mean, parse
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
    "diversity",
    "fid",
    "fid_infinity",
    "inception_score",
    "intra_fid",
    "jackknife",
    "kid",
    "l1",
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

MOST = 100  # decibels that the psnr of a pair counts for, at most


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


def _of_pairs(name: str, function, **options):
    """The mean of a function of translations and their targets, row by row."""
    return lambda real, fake, **_: mean(build(name, "images", len(fake), **options), function(real, fake))


def _psnr(real, fake):
    return psnr(real, fake).clip(max=MOST)  # equal ones, as flat patches may be, have no bound


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
    "l1": _of_pairs("l1", l1),
    "psnr": _of_pairs("psnr", _psnr, most=MOST),
    "ssim": _of_pairs("ssim", ssim),
    "lpips": lambda real, fake, **_: mean(build("lpips", "vgg16", len(fake)), fake),
    "diversity": lambda real, fake, **_: diversity(real, fake),
}
# what those read that do not read features; several come as a tuple
READS = {"is": "logits", "stacked-mnist": "logits", "swd": "images", "ms-ssim": "images"}
READS |= {"ppl-z": "paths-z", "ppl-w": "paths-w"}
READS |= {"l1": "pairs", "psnr": "pairs", "ssim": "pairs", "lpips": "pairs-lpips", "diversity": "codes-lpips"}
READS |= {"accuracy": "logits labels", "intra-fid": "features labels"}
# those that want as many real examples as generated ones
ALIKE = {"precision-recall", "prdc", "authpct", "swd"}
# scores of which more is better; of all others less is
HIGHER = {"is", "precision", "recall", "density", "coverage", "authpct", "vendi", "accuracy", "modes", "high-quality"}
HIGHER |= {"psnr", "ssim", "diversity"}
