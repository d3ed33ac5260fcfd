"""What metrics ask of the arrays that they are given, and the blocks in which they go through them."""

from collections.abc import Iterator

import numpy as np

from jaxgan.errors import JaxganError
from jaxgan.types import AnyArray


def rows(x: AnyArray, what: str, least: int = 2) -> np.ndarray:
    """Features [n, d] as they are where float64, else as float32; JaxganError if too few, or not finite."""
    x = np.asarray(x)
    if x.ndim != 2 or not x.shape[1]:
        raise JaxganError(f"{what} has shape {x.shape}; features are [n, d]. Flatten each example to one row")
    if len(x) < least:
        raise JaxganError(f"{what} has {len(x)} rows and needs {least} at least; give more examples")
    x = x if x.dtype == np.float64 else x.astype(np.float32, copy=False)
    if not np.isfinite(x).all():
        bad = ~np.isfinite(x).all(1)
        raise JaxganError(
            f"{what} is not finite in {bad.sum()} of {len(x)} rows, the first is row {bad.argmax()}; look at the "
            "network or the images that made them"
        )
    return x


def pair(real: AnyArray, fake: AnyArray, least: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Features of both sets [n, d] and [m, d], of one precision; JaxganError as for `rows`, or if d differs."""
    real, fake = rows(real, "real", least), rows(fake, "fake", least)
    if real.shape[1] != fake.shape[1]:
        raise JaxganError(f"real has {real.shape[1]} features and fake {fake.shape[1]}; take both from one network")
    both = np.result_type(real, fake)
    return real.astype(both, copy=False), fake.astype(both, copy=False)


def images(x: AnyArray, what: str, least: int = 2) -> np.ndarray:
    """Images uint8 [n, h, w, c]; JaxganError for another type or shape."""
    x = np.asarray(x)
    if x.ndim != 4 or x.dtype != np.uint8 or len(x) < least:
        raise JaxganError(
            f"{what} is {x.dtype} {x.shape}; expected at least {least} images uint8 [n, h, w, c]. Floats in [-1, 1] "
            "become np.rint((x + 1) * 127.5).clip(0, 255).astype(np.uint8)"
        )
    return x


def labels(y: AnyArray, what: str, n: int | None = None) -> np.ndarray:
    """Labels: whole numbers [n] from 0; JaxganError otherwise."""
    y = np.asarray(y)
    if y.ndim != 1 or not len(y) or not np.issubdtype(y.dtype, np.integer) or y.min() < 0 or n not in (None, len(y)):
        raise JaxganError(
            f"{what} is {y.dtype} {y.shape}; expected {n or 'some'} labels, whole numbers from 0 in one row"
        )
    return y


def blocks(n: int, size: int) -> Iterator[slice]:
    """Slices of at most size that cover range(n)."""
    return (slice(i, min(i + size, n)) for i in range(0, n, size))
