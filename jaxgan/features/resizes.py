"""Resizing as two small matrices, of rows and of columns; which one a network was fed with changes every metric.

Parmar et al. 2022, arXiv 2104.11222, compare them.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxgan.types import AnyArray, JaxganError


def bilinear(size: int, out: int) -> np.ndarray:
    """PyTorch's without antialiasing, align_corners=False: pixel centres map to pixel centres, borders repeat."""
    return _interpolate(np.maximum((np.arange(out) + 0.5) * size / out - 0.5, 0), size)


def tf1(size: int, out: int) -> np.ndarray:
    """TensorFlow 1's: output pixel i is taken at i size / out, half a pixel off."""
    return _interpolate(np.arange(out) * size / out, size)


def _interpolate(at: np.ndarray, size: int) -> np.ndarray:
    """Matrix [len(at), size] of linear interpolation at these places, the last pixel repeated."""
    low = np.floor(at).astype(int)
    matrix, rows, part = np.zeros((len(at), size)), np.arange(len(at)), at - low
    matrix[rows, np.minimum(low, size - 1)] = 1 - part
    matrix[rows, np.minimum(low + 1, size - 1)] += part
    return matrix


def clean(size: int, out: int) -> np.ndarray:
    """PIL's bicubic (Keys' cubic with a = -1/2), whose support grows where it shrinks the image: antialiased."""
    scale = size / out
    wide = max(scale, 1.0)
    centre = (np.arange(out)[:, None] + 0.5) * scale
    pixel = np.arange(size)[None]
    first, last = (np.trunc(np.clip(centre + side * 2 * wide + 0.5, 0, size)) for side in (-1, 1))
    weights = np.where((pixel >= first) & (pixel < last), _keys(np.abs(pixel + 0.5 - centre) / wide), 0)
    return weights / weights.sum(1, keepdims=True)


def cubic(size: int, out: int, scale: float) -> np.ndarray:
    """PyTorch's bicubic of this scale without antialiasing (Keys' cubic with a = -3/4), whose borders repeat."""
    at = (np.arange(out) + 0.5) / scale - 0.5
    low, matrix = np.floor(at).astype(int), np.zeros((out, size))
    for i in range(-1, 3):
        np.add.at(matrix, (np.arange(out), np.clip(low + i, 0, size - 1)), _keys(np.abs(at - low - i), -0.75))
    return matrix


def _keys(x: np.ndarray, a: float = -0.5) -> np.ndarray:
    near = ((a + 2) * x - (a + 3)) * x**2 + 1
    far = a * (((x - 5) * x + 8) * x - 4)
    return np.where(x < 1, near, np.where(x < 2, far, 0))


RESIZES = {"bilinear": bilinear, "tf1": tf1, "clean": clean}


@functools.cache
def _matrix(kind: str, size: int, out: int) -> np.ndarray:
    return RESIZES[kind](size, out).astype(np.float32)


def resize(x: Float[AnyArray, "n h w c"], out: int, kind: str) -> Float[Array, "n {out} {out} c"]:
    """Images of values 0 to 255 at out x out pixels by one of RESIZES; nothing happens to images of that size.

    `clean` overshoots at edges, as cubics do, and is clipped.
    """
    if kind not in RESIZES:
        raise JaxganError(f"unknown resize {kind!r}; known: {', '.join(RESIZES)}")
    if x.shape[1:3] == (out, out):
        return jnp.asarray(x)
    rows, columns = (_matrix(kind, size, out) for size in x.shape[1:3])
    y = jnp.einsum("ih,nhwc,jw->nijc", rows, x, columns, precision=jax.lax.Precision.HIGHEST)
    return jnp.clip(y, 0, 255) if kind == "clean" else y
