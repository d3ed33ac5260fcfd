"""Metrics of images uint8 [n, h, w, c]: sliced Wasserstein distance, MS-SSIM; of pairs and of paths between images."""

import math

import numpy as np
import scipy

from jaxgan.errors import JaxganError
from jaxgan.metrics.arrays import blocks, images
from jaxgan.metrics.names import Score, build, mean
from jaxgan.types import AnyArray

BINOMIAL = np.array([1, 4, 6, 4, 1], np.float32) / 16
PATCH, PATCHES = 7, 128
REPEATS, DIRECTIONS = 4, 128
BOX = np.array([0.5, 0.5])
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
IMAGES = 256  # of a block


def swd(real: AnyArray, fake: AnyArray, seed: int = 0, features: str = "images") -> dict[str, Score]:
    """{"swd", "swd-16", "swd-32", ...} by 1000: Karras et al. 2018, arXiv 1710.10196, of as many images in both sets.

    Mean absolute differences of 7x7 patches, 128 an image, projected on 4 x 128 directions and sorted, at each level of
    a Laplacian pyramid down to 16 pixels, or to a shorter side of 16 to 31; "swd" is their mean. The paper has 16,384
    images. Errors are those of the directions alone. Memory: the patches of one level, 25 c kilobytes an image of each
    set.
    """
    real, fake = images(real, "real"), images(fake, "fake")
    if real.shape != fake.shape:
        raise JaxganError(f"real is {real.shape} and fake {fake.shape}; expected as many images of one size")
    n, *sides = real.shape[:3]
    levels = int(math.log2(min(sides) / 16)) + 1 if min(sides) >= 16 else 0
    if not levels or any(side % 2 ** (levels - 1) for side in sides):
        raise JaxganError(
            f"images have {'x'.join(map(str, sides))} pixels; expected sides of 16 or more, each a multiple of as many "
            "doublings as take the shorter one from 16 to 31 up to its size, such as 32, 48 or 32x40"
        )
    draw = np.random.default_rng(seed)
    found: dict[str, list[float]] = {}
    for level in reversed(range(levels)):
        a, b = (_patches(x, level, levels, draw) for x in (real, fake))
        size = "x".join(str(side >> level) for side in sides[: 1 if sides[0] == sides[1] else 2])
        found[f"swd-{size}"] = [_sliced(a, b, draw) for _ in range(REPEATS)]
    found["swd"] = list(np.mean(list(found.values()), axis=0))
    protocol = {"patches": PATCHES, "directions": REPEATS * DIRECTIONS}
    return {name: mean(build(name, features, n, **protocol), values) for name, values in found.items()}


def _smooth(x: np.ndarray, gain: float = 1.0) -> np.ndarray:
    down = scipy.ndimage.convolve1d(x, BINOMIAL * gain, 1, mode="mirror")
    return scipy.ndimage.convolve1d(down, BINOMIAL * gain, 2, mode="mirror")


def pyramid(x: np.ndarray, levels: int) -> list[np.ndarray]:
    """Laplacian pyramid of images float32 [n, h, w, c], the finest first; the last level is the image at its size."""
    out = []
    for _ in range(levels - 1):
        small = _smooth(x)[:, ::2, ::2]
        spread = np.zeros_like(x)
        spread[:, ::2, ::2] = small
        out.append(x - _smooth(spread, 2.0))
        x = small
    return [*out, x]


def _patches(x: np.ndarray, level: int, levels: int, draw) -> np.ndarray:
    """Patches at random places of a level, each channel with mean 0 and deviation 1 over all: [n 128, 49 c]."""
    n, c, places = len(x), x.shape[-1], [(side >> level) - PATCH + 1 for side in x.shape[1:3]]
    out = np.empty((n, PATCHES, PATCH, PATCH, c), np.float32)
    for i in blocks(n, IMAGES):
        seen = pyramid(x[i].astype(np.float32), min(level + 2, levels))[level]
        windows = np.lib.stride_tricks.sliding_window_view(seen, (PATCH, PATCH), (1, 2))
        row, column = (draw.integers(0, most, (len(seen), PATCHES)) for most in places)
        out[i] = windows[np.arange(len(seen))[:, None], row, column].transpose(0, 1, 3, 4, 2)
    flat = out.reshape(-1, c)
    flat -= flat.mean(0, dtype=np.float64).astype(np.float32)
    deviation = np.sqrt(np.einsum("ij,ij->j", flat, flat, dtype=np.float64) / len(flat))
    flat /= np.where(deviation > 0, deviation, 1).astype(np.float32)
    return flat.reshape(n * PATCHES, -1)


def _sliced(a: np.ndarray, b: np.ndarray, draw) -> float:
    """1000 times the mean absolute difference of sorted projections on DIRECTIONS random directions."""
    directions = draw.standard_normal((a.shape[1], DIRECTIONS))
    directions = (directions / np.linalg.norm(directions, axis=0)).astype(np.float32)
    total = 0.0
    for i in blocks(DIRECTIONS, 16):
        low, high = (np.sort(directions.T[i] @ x.T, axis=1) for x in (a, b))
        total += float(np.abs(low - high).sum(dtype=np.float64))
    return 1000 * total / (DIRECTIONS * len(a))


def psnr(a: AnyArray, b: AnyArray) -> np.ndarray:
    """10 log10(255^2 / mean squared error) [n] of images uint8 [n, h, w, c], in decibels; infinite for equal ones."""
    a, b = _both(a, b)
    with np.errstate(divide="ignore"):
        return 10 * np.log10(255**2 / ((a - b) ** 2).mean((1, 2, 3)))


def l1(a: AnyArray, b: AnyArray) -> np.ndarray:
    """Mean |a - b| [n] of examples [n, ...], on the scale of [-1, 1] also where both are bytes."""
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or a.dtype != b.dtype or not a.size:
        raise JaxganError(f"examples are {a.dtype} {a.shape} and {b.dtype} {b.shape}; expected pairs of one kind")
    scale = 127.5 if a.dtype == np.uint8 else 1.0
    return np.abs(a.astype(np.float64) - b).reshape(len(a), -1).mean(1) / scale


def ssim(a: AnyArray, b: AnyArray) -> np.ndarray:
    """Structural similarity [n] of images uint8 [n, h, w, c], 1 for equal ones: Wang et al. 2004 (IEEE TIP 13).

    The mean over channels and places of windows of 11 pixels and deviation 1.5, as far as these lie inside.
    """
    return _ssim(*_both(a, b))[0]


def _both(a, b) -> tuple[np.ndarray, np.ndarray]:
    """Images of one shape, as float64."""
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or a.ndim != 4 or not a.size or {a.dtype, b.dtype} != {np.dtype(np.uint8)}:
        raise JaxganError(
            f"images are {a.dtype} {a.shape} and {b.dtype} {b.shape}; expected pairs of uint8 [n, h, w, c]. Floats in "
            "[-1, 1] become np.rint((x + 1) * 127.5).clip(0, 255).astype(np.uint8)"
        )
    return a.astype(np.float64), b.astype(np.float64)


def ms_ssim(x: AnyArray, features: str = "images") -> Score:
    """Mean multi-scale similarity of the pairs (0, 1), (2, 3), ... of images, 0 to 1: the lower, the more diverse.

    Wang et al. 2003 (Asilomar), as GANs use it since Odena et al. 2017, arXiv 1610.09585: five scales, windows of 11
    pixels and deviation 1.5, shrunk to images that are smaller.
    """
    x = images(x, "fake")
    x = x[: len(x) // 2 * 2]
    values = np.concatenate([_pairs(x[i][::2], x[i][1::2]) for i in blocks(len(x), IMAGES)])
    return mean(build("ms-ssim", features, len(x), pairs=len(values)), values)


def _pairs(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """MS-SSIM [n] of images a and b uint8 [n, h, w, c]."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    out = np.ones(len(a))
    for scale, weight in enumerate(WEIGHTS):
        similarity, contrast = _ssim(a, b)
        out *= (similarity if scale == len(WEIGHTS) - 1 else contrast).clip(0) ** weight
        a, b = (_along(x, BOX)[:, ::2, ::2] for x in (a, b))
    return out


def _along(x: np.ndarray, window: np.ndarray) -> np.ndarray:
    return scipy.ndimage.convolve1d(scipy.ndimage.convolve1d(x, window, 1), window, 2)


def _ssim(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Similarity and its contrast part [n] of images float64 [n, h, w, c] at one scale."""
    taps = min(11, *a.shape[1:3])
    at = np.arange(taps) - (taps - 1) / 2
    window = np.exp(-((at / (1.5 * taps / 11)) ** 2) / 2)
    window /= window.sum()
    inside = [slice((taps - 1) // 2, n - taps // 2) for n in a.shape[1:3]]
    mean_of = lambda x: _along(x, window)[:, inside[0], inside[1]]  # noqa: E731
    ma, mb = mean_of(a), mean_of(b)
    aa, bb, ab = mean_of(a * a) - ma * ma, mean_of(b * b) - mb * mb, mean_of(a * b) - ma * mb
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    contrast = (2 * ab + c2) / (aa + bb + c2)
    similarity = (2 * ma * mb + c1) / (ma * ma + mb * mb + c1) * contrast
    return similarity.mean((1, 2, 3)), contrast.mean((1, 2, 3))


def ppl(lengths: AnyArray, space: str, features: str = "lpips") -> Score:
    """Perceptual path length: the mean of lengths [n] from the 1st percentile (lower) to the 99th (higher).

    Karras et al. 2018, arXiv 1812.04948, at the beginning of paths ("end") as since StyleGAN2, arXiv 1912.04958, which
    have 50,000 in w. Small where images change evenly with the latents of `space`, z or w.
    """
    found = np.asarray(lengths, np.float64)
    if found.ndim != 1 or not len(found) or not (np.isfinite(found) & (found >= 0)).all():
        raise JaxganError(f"lengths of paths, of shape {found.shape}, are not all finite and 0 or more; expected [n]")
    low, high = np.percentile(found, 1, method="lower"), np.percentile(found, 99, method="higher")
    return mean(build(f"ppl-{space}", features, len(found), end=True), found[(low <= found) & (found <= high)])
