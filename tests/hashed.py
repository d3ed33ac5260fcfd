"""Weights of Inception-2015 that are not trained: every tensor filled with hashes of its name."""

import zlib

import numpy as np

STEM = {"1a_3x3": (3, 32, 3, 3), "2a_3x3": (32, 32, 3, 3), "2b_3x3": (32, 64, 3, 3)}
STEM |= {"3b_1x1": (64, 80, 1, 1), "4a_3x3": (80, 192, 3, 3)}


def _a(n, pool):
    return {
        **{"branch1x1": (n, 64, 1, 1), "branch5x5_1": (n, 48, 1, 1), "branch5x5_2": (48, 64, 5, 5)},
        **{"branch3x3dbl_1": (n, 64, 1, 1), "branch3x3dbl_2": (64, 96, 3, 3), "branch3x3dbl_3": (96, 96, 3, 3)},
        "branch_pool": (n, pool, 1, 1),
    }


def _c(c):
    chain = {f"branch7x7dbl_{i}": (c, 192 if i == 5 else c, *((7, 1) if i % 2 == 0 else (1, 7))) for i in range(2, 6)}
    return {
        **{"branch1x1": (768, 192, 1, 1), "branch_pool": (768, 192, 1, 1), "branch7x7_1": (768, c, 1, 1)},
        **{"branch7x7_2": (c, c, 1, 7), "branch7x7_3": (c, 192, 7, 1), "branch7x7dbl_1": (768, c, 1, 1)},
        **chain,
    }


def _e(n):
    return {
        **{"branch1x1": (n, 320, 1, 1), "branch_pool": (n, 192, 1, 1), "branch3x3_1": (n, 384, 1, 1)},
        **{"branch3x3_2a": (384, 384, 1, 3), "branch3x3_2b": (384, 384, 3, 1)},
        **{"branch3x3dbl_1": (n, 448, 1, 1), "branch3x3dbl_2": (448, 384, 3, 3)},
        **{"branch3x3dbl_3a": (384, 384, 1, 3), "branch3x3dbl_3b": (384, 384, 3, 1)},
    }


BLOCKS = {"5b": _a(192, 32), "5c": _a(256, 64), "5d": _a(288, 64)}
BLOCKS["6a"] = {"branch3x3": (288, 384, 3, 3), "branch3x3dbl_1": (288, 64, 1, 1)}
BLOCKS["6a"] |= {"branch3x3dbl_2": (64, 96, 3, 3), "branch3x3dbl_3": (96, 96, 3, 3)}
BLOCKS |= {"6b": _c(128), "6c": _c(160), "6d": _c(160), "6e": _c(192)}
BLOCKS["7a"] = {"branch3x3_1": (768, 192, 1, 1), "branch3x3_2": (192, 320, 3, 3), "branch7x7x3_1": (768, 192, 1, 1)}
BLOCKS["7a"] |= {f"branch7x7x3_{i}": (192, 192, *k) for i, k in ((2, (1, 7)), (3, (7, 1)), (4, (3, 3)))}
BLOCKS |= {"7b": _e(1280), "7c": _e(2048)}
CONVS = {f"Conv2d_{name}": shape for name, shape in STEM.items()}
CONVS |= {f"Mixed_{block}.{name}": shape for block, units in BLOCKS.items() for name, shape in units.items()}


def hashed(name: str, shape: tuple, s: float) -> np.ndarray:
    """s sqrt(12) (h / 2^32 - 1/2), h a hash of the name and the flat index: mean 0 and standard deviation s."""
    h = np.arange(np.prod(shape), dtype=np.uint32) + np.uint32(zlib.crc32(name.encode()))
    h = (h ^ (h >> 16)) * np.uint32(0x85EBCA6B)
    h = (h ^ (h >> 13)) * np.uint32(0xC2B2AE35)
    h ^= h >> 16
    return (s * 12**0.5 * (h / 2**32 - 0.5)).astype(np.float32).reshape(shape)


def weights() -> dict[str, np.ndarray]:
    """All 472 tensors."""
    p = {}
    for name, (n, out, *kernel) in CONVS.items():
        p[f"{name}.conv.weight"] = hashed(f"{name}.conv.weight", (out, n, *kernel), (2 / (n * np.prod(kernel))) ** 0.5)
        p |= {f"{name}.bn.{k}": np.ones(out, np.float32) for k in ("weight", "running_var")}
        p |= {f"{name}.bn.{k}": hashed(f"{name}.bn.{k}", (out,), 0.1) for k in ("bias", "running_mean")}
    fc = {"fc.weight": (1008, 2048), "fc.bias": (1008,)}
    return p | {name: hashed(name, shape, 2048**-0.5) for name, shape in fc.items()}


def picture() -> np.ndarray:
    """uint8 [1, 32, 32, 3]."""
    y, x, c = np.ogrid[:32, :32, :3]
    return ((7 * x + 13 * y + 50 * c + x * y // 3) % 256).astype(np.uint8)[None]
