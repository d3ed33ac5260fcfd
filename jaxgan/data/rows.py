"""Rows on the host and how the device finishes them: what all sources of stored examples share."""

import hashlib

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan import rng
from jaxgan.config import Size, size_text
from jaxgan.types import JaxganError, Source

MOST = 12  # classes that are counted one by one


def fingerprint(*arrays) -> str:
    """SHA-256 of dtypes, shapes and bytes."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def to_float(x):
    """uint8 -> float32 in [-1, 1]: x / 127.5 - 1, with 0 and 255 exactly -1 and 1; floats pass."""
    if x.dtype != jnp.uint8:
        return x.astype(jnp.float32)
    # XLA multiplies by a rounded 1 / 127.5, after which 255 would be 1.0000001: odd integers over 255 are symmetric
    return (2 * x.astype(jnp.int32) - 255).astype(jnp.float32) / 255


def coins(keys):
    """Which examples `mirror` mirrors, bool [n], by their keys [n]."""
    return jax.vmap(lambda key: jax.random.bernoulli(rng.stream(key, "data flip")))(keys)


def mirror(x, keys):
    """Each image of x [n, h, w, c] left-right mirrored with probability 1/2, decided by its own key [n]."""
    return jnp.where(coins(keys)[:, None, None, None], x[:, :, ::-1], x)


def table(images, labels, name: str, digest: str, classes: int, flip: bool = False, names=()) -> Source:
    """The source of rows [n, h, w, c] or [n, d] that were checked already; labels [n] or None; names of classes."""
    y = np.zeros(len(images), np.int32) if labels is None else np.asarray(labels, np.int32)
    if flip and images.ndim != 4:
        raise JaxganError(f"{name}: flip mirrors images, and these rows are none {images.shape[1:]}; leave flip off")

    def rows(index):
        index = np.asarray(index)
        return {"x": np.asarray(images[index]), "y": y[index]}

    def finish(rows, keys):
        x = to_float(rows["x"])
        return {"x": mirror(x, keys) if flip else x, "y": rows["y"].astype(jnp.int32)}

    shape, size, names = images.shape[1:], images.nbytes + y.nbytes, tuple(names)
    found = f"{counted(len(images), shape)}, {class_counts(y, classes, names)}"
    return Source(name, shape, classes, len(images), rows, finish, digest, size, names=names, found=found)


def resized(source: Source, size: Size) -> Source:
    """source, of which is said that its images were cropped and resized to size."""
    part = "parts" if isinstance(size, tuple) else "squares"
    return source._replace(found=f"{source.found}; central {part}, resized to {size_text(size)}")


def counted(n: int, shape: tuple[int, ...], what: str = "") -> str:
    """1,200 images 32x32x3, or what else they are."""
    kind = what or {3: "images", 2: "sequences", 1: "points"}[len(shape)]
    return f"{n:,} {kind if n > 1 else kind[:-1]} {'x'.join(map(str, shape))}"


def class_counts(y, classes: int, names=()) -> str:
    """2 classes: cat 400, dog 500; of many classes the first, and the smallest and largest number."""
    if not classes:
        return "no classes"
    counts = np.bincount(y, minlength=classes)
    first = [f"{name} {count:,}" for name, count in zip(names or map(str, range(classes)), counts[:MOST])]
    ends = f" of {counts.min():,} to {counts.max():,}" if classes > MOST else ""
    return f"{classes} classes{ends}: {', '.join(first)}{', ...' if classes > MOST else ''}"
