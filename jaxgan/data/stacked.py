"""StackedMNIST: three digits as the channels of an image, whose thousand triples are its modes."""

import hashlib

import numpy as np

from jaxgan.data.rows import counted
from jaxgan.types import JaxganError, Source

TRIPLES = 128_000  # of training, as in PacGAN (Lin et al. 2018, arXiv 1712.04086) and VEEGAN


def stacked(digits: Source) -> Source:
    """TRIPLES examples [h, w, 3] of three grey images each, drawn once; the label of digits a, b, c is 100a + 10b + c.

    Metz et al. 2016, arXiv 1611.02163, section 3.3.1. Raises JaxganError where the source has no ten classes of grey
    images.
    """
    if digits.classes != 10 or len(digits.shape) != 3 or digits.shape[-1] != 1:
        raise JaxganError(
            f"stacked: needs grey images of ten classes, and {digits.name} has shape {digits.shape} and "
            f"{digits.classes} classes; write stacked:mnist5k or stacked:tfds:mnist"
        )
    every = digits.rows(np.arange(digits.size))
    chosen = np.random.default_rng(0).integers(0, digits.size, (TRIPLES, 3))

    def rows(index):
        three = chosen[np.asarray(index)]
        x = np.moveaxis(every["x"][three][..., 0], 1, -1)
        return {"x": x, "y": (every["y"][three] @ np.array([100, 10, 1])).astype(np.int32)}

    return digits._replace(
        name=f"stacked:{digits.name}",
        shape=(*digits.shape[:2], 3),
        classes=1000,
        size=TRIPLES,
        rows=rows,
        names=(),
        found=f"{counted(TRIPLES, (*digits.shape[:2], 3))}, 1000 classes; of {digits.found}",
        fingerprint=hashlib.sha256(f"stacked {TRIPLES} {digits.fingerprint}".encode()).hexdigest(),
        bytes=TRIPLES * (3 * every["x"][0].nbytes + 4),
    )
