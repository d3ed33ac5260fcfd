"""Resampling of ADA's (Karras et al. 2020, arXiv 2006.06676, appendix B): affine maps, and four bands of frequencies.

Reflection, filters and their strides are small matrices that depend on the size alone: [out, in] for a column.
"""

from functools import cache, partial

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxgan.backend import on_cpu
from jaxgan.types import AnyArray

Image = Float[AnyArray, "h w c"]
Grid = Float[Array, "r q"]
# Daubechies 1992, "Ten lectures on wavelets": the least asymmetric wavelets of 6 and 2 vanishing moments
SYM6 = np.array(
    [
        [0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633],
        [0.4910559419267466, 0.787641141030194, 0.3379294217276218, -0.07263752278646252],
        [-0.021060292512300564, 0.04472490177066578, 0.0017677118642428036, -0.007800708325034148],
    ]
).ravel()
SYM2 = np.array([-0.12940952255092145, 0.22414386804185735, 0.836516303737469, 0.48296291314469025])
BANDS = 4
REACH = 21  # pixels to each side that the filter of a band sees
SMALL = 64  # pixels, see `warp`
einsum = partial(jnp.einsum, precision="highest")


def _reflected(n: int, by: int) -> np.ndarray:
    """A column of n, its reflection before and behind it: [n + 2 by, n]."""
    return np.pad(np.eye(n), ((by, by), (0, 0)), "reflect")


def _banded(taps: np.ndarray, out: int, stride: int) -> np.ndarray:
    """Row i has the taps from column stride i on: [out, stride (out - 1) + taps]."""
    found = np.zeros((out, stride * (out - 1) + len(taps)))
    for i in range(out):
        found[i, stride * i : stride * i + len(taps)] = taps
    return found


@cache
def doubled(n: int) -> np.ndarray:
    """A column of n and its reflection of n - 1 at each end, at twice the resolution; a 0 before, two behind.

    [6 n - 1, n]; all linear interpolation beyond the reflection's end then finds 0s.
    """
    wide = 3 * n - 2
    up = _banded(np.sqrt(2) * SYM6, wide, 2).T[5 : 5 + 2 * wide]
    return np.pad(up @ _reflected(n, n - 1), ((1, 2), (0, 0)))


@cache
def halved(n: int) -> np.ndarray:
    """Half the resolution by the same filter, the other way round: [n, 2 n + 10]. It undoes `doubled`."""
    return _banded(SYM6 / np.sqrt(2), n, 2)


def _between(table: Array, at: Array) -> Array:
    """Rows of a table, linearly interpolated at places `at` [n] -> [n, ...]."""
    first = jnp.floor(at).astype(int)
    part = (at - first)[:, None]
    return (1 - part) * table[first] + part * table[first + 1]


def gathered(x: Image, rows: Grid, columns: Grid) -> Float[Array, "r q c"]:
    """The doubled x at these places, bilinearly."""
    up = einsum("rh,hwc,qw->rqc", _like(x, doubled(x.shape[0])), x, _like(x, doubled(x.shape[1])))
    i, j = jnp.floor(rows).astype(int), jnp.floor(columns).astype(int)
    down, right = (rows - i)[..., None], (columns - j)[..., None]
    above = (1 - right) * up[i, j] + right * up[i, j + 1]
    below = (1 - right) * up[i + 1, j] + right * up[i + 1, j + 1]
    return (1 - down) * above + down * below


def multiplied(x: Image, rows: Grid, columns: Grid) -> Float[Array, "r q c"]:
    """The same as `gathered` by products of matrices, as is its gradient: a place weighs all rows and columns."""
    of_rows = _between(_like(x, doubled(x.shape[0])), rows.reshape(-1))
    of_columns = _between(_like(x, doubled(x.shape[1])), columns.reshape(-1))
    return einsum("nwc,nw->nc", einsum("nh,hwc->nwc", of_rows, x), of_columns).reshape(*rows.shape, -1)


def _like(x: Image, table: np.ndarray) -> Array:
    return jnp.asarray(table, x.dtype)


def warp(x: Image, inverse: Float[Array, "3 3"]) -> Image:
    """x under an affine map: at twice the resolution, bilinearly; beyond its borders its reflection, then 0s.

    inverse: of a place (x right, y down, 1) in pixels from the centre, where in x it comes from.
    The gradient of a gather is a scatter, whose order of summation GPUs fix only when they are asked for deterministic
    operations, as runs do, and then may be slow. So accelerators, for which the arithmetic is little, multiply
    matrices up to 64 pixels; the CPU, and larger images, gather.
    """
    height, width, _ = x.shape
    down, right = ((jnp.arange(2 * n + 10) - n - 4) / 2 for n in (height, width))

    def places(row, n):
        at = row[0] * right[None] + row[1] * down[:, None] + row[2]
        return jnp.clip(2 * at + 3 * n - 3, -1, 6 * n - 4) + 1

    rows, columns = places(inverse[1], height), places(inverse[0], width)
    sample = gathered if on_cpu() or max(height, width) > SMALL else multiplied
    return einsum("kr,rqc,lq->klc", _like(x, halved(height)), sample(x, rows, columns), _like(x, halved(width)))


@cache
def bank() -> np.ndarray:
    """Filters of four octaves, the lowest first, that add up to an impulse: [4, 43], of the wavelet sym2."""
    low = np.convolve(SYM2, SYM2[::-1]) / 2
    high = low * (-1.0) ** np.arange(-3, 4)
    found = np.eye(BANDS, 1)
    for i in range(1, BANDS):
        spread = np.zeros((BANDS, 2 * found.shape[1] - 1))
        spread[:, ::2] = found
        found = np.stack([np.convolve(row, low) for row in spread])
        middle = found.shape[1] // 2
        found[i, middle - 3 : middle + 4] += high
    return found


@cache
def banks(n: int) -> np.ndarray:
    """The bank's filters on a column of n pixels, which is reflected at both ends: [4, n, n]."""
    return np.stack([_banded(taps, n, 1) @ _reflected(n, REACH) for taps in bank()])


def filtered(x: Image, gains: Float[Array, " 4"]) -> Image:
    """x with each band of `bank` times its gain, in both directions; height and width are above REACH."""
    rows, columns = (einsum("b,bij->ij", gains, _like(x, banks(n))) for n in x.shape[:2])
    return einsum("kh,hwc,lw->klc", rows, x, columns)
