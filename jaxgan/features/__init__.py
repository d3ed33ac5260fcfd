"""Networks whose features metrics compare, by name: `extract("inception-2015/tf1", images)["features"]`."""

from functools import partial
from pathlib import Path

import numpy as np

from jaxgan.errors import JaxganError, nearest
from jaxgan.features import dinov2, extractor, inception, mobilenet, small, vgg
from jaxgan.features.extractor import Extractor, to_uint8
from jaxgan.features.layers import Weights
from jaxgan.features.resizes import resize
from jaxgan.features.vgg import load as lpips_weights
from jaxgan.features.vgg import lpips

__all__ = ["FEATURES", "Extractor", "extract", "known", "lpips", "lpips_weights", "resize", "to_uint8"]


def _unit(u):
    """Values 0 to 255 -> [-1, 1]."""
    return (2 * u - 255) / 255


def _inception(kind: str, prepare) -> Extractor:
    def apply(p: Weights, u):
        return inception.network(p, prepare(resize(u, inception.SIZE, kind)))

    return Extractor(f"inception-2015/{kind}", inception.DIM, apply, inception.load, inception.CLASSES)


def _dinov2(name: str) -> Extractor:
    s = dinov2.SIZES[name]

    def apply(p: Weights, u):
        return {"features": dinov2.network(p, dinov2.prepared(u, rounded=True), s)[:, 0]}

    return Extractor(f"dinov2-{name}", s.width, apply, partial(dinov2.load, name))


def _vgg16(p: Weights, u):
    return {"features": vgg.network(p, _unit(resize(u, 224, "clean")))[-1].mean((1, 2))}


def _mobilenet(p: Weights, u):
    return mobilenet.network(p, _unit(resize(u, mobilenet.SIZE, "clean")))


def _classifier(p: Weights, u):
    return small.classifier(p, _unit(resize(u, small.SIZE, "clean")))


def _stacked(p: Weights, u):
    return small.stacked(p, _unit(resize(u, small.SIZE, "clean")))


def _random(p: Weights, u):
    return small.random(p, _unit(u))


FEATURES: dict[str, Extractor] = {
    e.name: e
    for e in [
        _inception("bilinear", inception.pytorch_fid),
        _inception("tf1", inception.tensorflow),
        _inception("clean", inception.tensorflow),
        *map(_dinov2, dinov2.SIZES),
        Extractor("vgg16", vgg.DIM, _vgg16, vgg.load),
        Extractor("mobilenet-v2", mobilenet.DIM, _mobilenet, mobilenet.load, mobilenet.CLASSES),
        *(
            Extractor(name, small.DIM, _classifier, small.shipped(name), small.CLASSES, channels=1)
            for name in ("digits-cnn", "fashion-cnn")
        ),
        Extractor("digits-cnn/stacked", 3 * small.DIM, _stacked, small.shipped("digits-cnn"), 3 * small.CLASSES),
        Extractor("random", 128, _random, small.drawn),
    ]
}


def known(name: str) -> Extractor:
    """The one of FEATURES that is called name; JaxganError where there is none."""
    if name not in FEATURES:
        raise JaxganError(f"unknown features {name!r}.{nearest(name, FEATURES)} Known: {', '.join(FEATURES)}")
    return FEATURES[name]


def extract(name: str | Extractor, images, *, batch: int = 64, weights: str | Path = "") -> dict[str, np.ndarray]:
    """Features, and logits where there are some, by one of FEATURES or an Extractor of yours; see `extractor.run`."""
    return extractor.run(known(name) if isinstance(name, str) else name, images, batch, weights)
