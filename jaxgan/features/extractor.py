"""Features of many images by one network: batches of one shape, over all devices of this process."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxgan import disk
from jaxgan.features.layers import Weights
from jaxgan.types import JaxganError

QUIET = 3.0  # seconds before a bar appears


def _none(path: str | Path = "") -> Weights:
    """No weights."""
    return {}


class Extractor(NamedTuple):
    """A network as metrics see it.

    name:     goes into the names of metrics, and says the resize where there are several
    dim:      numbers in the features of an image
    apply:    (weights, float images [n, h, w, channels] of whole numbers 0 to 255) -> {"features": [n, dim]}, and
              "logits": [n, classes] where it classifies
    load:     (path, or "" for where they usually are) -> weights, a tree of arrays
    classes:  number of logits, 0 for none
    channels: 3, to which grey images are repeated, and those with opacity put on white; or 1
    """

    name: str
    dim: int
    apply: Callable
    load: Callable = _none
    classes: int = 0
    channels: int = 3


def to_uint8(images) -> np.ndarray:
    """Images uint8, or floats in [-1, 1] as clip(127.5 x + 128) without the fraction, as NVlabs rounds -> uint8."""
    x = np.asarray(images)
    return x if x.dtype == np.uint8 else np.clip(127.5 * x.astype(np.float32) + 128, 0, 255).astype(np.uint8)


def run(e: Extractor, images, batch: int = 64, weights: str | Path = "", bar: bool = True) -> dict[str, np.ndarray]:
    """{"features": [n, dim], "logits": [n, classes]} of images, float32; logits where the network has them.

    images: uint8 or floats in [-1, 1], [n, h, w] or [n, h, w, c]; floats are rounded to uint8 first, as files of
    pictures are, and clipped. batch: images that the network sees at once. weights: a path, in place of where they
    usually are. bar: progress of what takes long. Several processes each look at their own images. Raises JaxganError
    for anything else.
    """
    images = _check(e, np.asarray(images))
    devices = tuple(jax.local_devices())
    if batch < 1:
        raise JaxganError(f"batch is {batch}; it must be 1 or more images")
    few = 1 << (len(images) - 1).bit_length()  # powers of two: sets of all sizes share a few programs
    batch = -(-min(batch, few) // len(devices)) * len(devices)
    p, program, put = _prepared(e, str(weights), devices)
    parts: list[dict] = []
    with progress(len(images), e.name, bar) as shown:
        for start in range(0, len(images), batch):
            rows = to_uint8(images[start : start + batch])
            rows = np.pad(rows, ((0, batch - len(rows)), *[(0, 0)] * 3))
            parts.append(program(p, put(rows)))
            if len(parts) > 1:  # one batch behind, so that the devices have the next already
                parts[-2] = jax.device_get(parts[-2])
            shown.update(min(batch, len(images) - start))
        parts[-1] = jax.device_get(parts[-1])
    return {name: np.concatenate([part[name] for part in parts])[: len(images)] for name in parts[0]}


def progress(n: int, name: str, wanted: bool = True):
    """Progress and remaining time on stderr, on a terminal, of what takes long."""
    from tqdm import tqdm

    return tqdm(total=n, desc=f"features {name}", unit=" images", delay=QUIET, disable=None if wanted else True)


def checksum(e: Extractor, weights: str | Path = "") -> str:
    """SHA-256 of names, shapes and bytes of e's weights."""
    return disk.digest({jax.tree_util.keystr(p): x for p, x in jax.tree.leaves_with_path(e.load(weights))})


@functools.lru_cache(maxsize=4)
def _prepared(e: Extractor, weights: str, devices: tuple):
    """Weights on all devices, the compiled function of (weights, uint8 images) and what splits images over devices."""
    mesh = Mesh(np.array(devices), ("devices",))
    by_example, everywhere = NamedSharding(mesh, PartitionSpec("devices")), NamedSharding(mesh, PartitionSpec())

    @functools.partial(jax.jit, in_shardings=(everywhere, by_example), out_shardings=by_example)
    def program(p, u):
        u = u.astype("float32")
        u = u.repeat(3, -1) if e.channels == 3 and u.shape[-1] == 1 else u
        if u.shape[-1] == 4:
            u = jnp.round(255 - (255 - u[..., :3]) * (u[..., 3:] / 255))  # on white, as folders are read
        with jax.default_matmul_precision("highest"):  # published values are of float32, not of less
            out = {name: value.astype("float32") for name, value in e.apply(p, u).items()}
        expected = {"features": (len(u), e.dim)} | ({"logits": (len(u), e.classes)} if e.classes else {})
        found = {name: value.shape for name, value in out.items()}
        if found != expected:
            raise JaxganError(f"the network {e.name} gave {found}; its record says {expected}")
        return out

    return jax.device_put(e.load(weights), everywhere), program, functools.partial(jax.device_put, device=by_example)


def _check(e: Extractor, x: np.ndarray) -> np.ndarray:
    """Images [n, h, w, c], or a JaxganError."""
    x = x[..., None] if x.ndim == 3 else x
    if x.ndim != 4 or not x.size or (x.dtype != np.uint8 and x.dtype.kind != "f" and x.dtype.name != "bfloat16"):
        raise JaxganError(
            f"images must be uint8, or floats in [-1, 1], [n, h, w] or [n, h, w, c]; got {x.dtype} of shape {x.shape}"
        )
    if x.shape[-1] not in ({1, 3, 4} if e.channels == 3 else {1}):
        kinds = "grey images, RGB or RGBA" if e.channels == 3 else "grey images"
        raise JaxganError(f"{e.name} takes {kinds}; these have {x.shape[-1]} channels, shape {x.shape}")
    if x.dtype != np.uint8:
        low, high = float(x.min()), float(x.max())
        if not np.isfinite([low, high]).all():
            raise JaxganError("images have NaN or inf; pass those that are finite alone")
        if low >= 0:
            raise JaxganError(f"float images lie in [{low:g}, {high:g}], not in [-1, 1]; pass 2*x-1, or uint8")
    return x
