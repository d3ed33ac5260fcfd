"""Examples that lie in arrays: yours, or the 5,000 MNIST digits that come with the package.

Rows stay as they are (images in uint8, a quarter of float32) until `finish` turns them into numbers on the device.
"""

from pathlib import Path

import numpy as np

from jaxgan import disk
from jaxgan.config import Size, sides, size_of, size_text
from jaxgan.data.images import resize_all
from jaxgan.data.rows import fingerprint, resized, table
from jaxgan.types import JaxganError, Source

MNIST5K = Path(__file__).with_name("mnist5k.npz")
# Of dtype, shape and bytes of images and labels, not of the file: compressors differ, pixels do not.
MNIST5K_SHA256 = "2007f7273d88bc7458dc0c8f9089727f2e26f0f99be8231fe498b022db49e864"


def from_arrays(
    images, labels=None, *, name: str = "arrays", flip: bool = False, sequences: bool = False, size: Size = 0
) -> Source:
    """Examples from arrays: images [n, h, w] or [n, h, w, c], uint8 or floats in [-1, 1]; or float vectors [n, d].

    sequences: rows are sequences [n, length] or [n, length, channels], floats of any range. size: pixels, or height
    and width, to which images are cropped and resized as `folder` does, 0 leaves them.
    labels: integers [n] from 0; classes without examples are allowed. Raises JaxganError, naming the first bad row, for
    anything else: nothing is rescaled by guess.
    """
    images = (_check_sequences if sequences else _check_images)(_as_array(images, name, "images"), name)
    size = size_of(size, f"{name}: size")
    if size and images.ndim != 4:
        raise JaxganError(
            f"{name}: size is {size_text(size)}, but rows of shape {images.shape[1:]} are no images; leave it at 0"
        )
    if resizing := bool(size) and images.shape[1:3] != sides(size):
        images = resize_all(images, size)
    if labels is not None:
        labels = _check_labels(_as_array(labels, name, "labels"), len(images), name)
    classes = 0 if labels is None else int(labels.max()) + 1
    digest = fingerprint(images) if labels is None else fingerprint(images, labels)
    source = table(images, labels, name, digest, classes, flip)
    return resized(source, size) if resizing else source


def _as_array(values, name: str, what: str) -> np.ndarray:
    try:
        array = np.asarray(values)
    except ValueError as e:  # rows of different lengths
        raise JaxganError(f"{name}: {what} do not form one array: {e}") from e
    if array.dtype.kind not in "biuf" and array.dtype.name != "bfloat16":
        raise JaxganError(f"{name}: {what} must be numbers; got dtype {array.dtype}")
    return array


def _check_images(x: np.ndarray, name: str) -> np.ndarray:
    """Images [n, h, w, c] or vectors [n, d], uint8 or float32, or a JaxganError."""
    if x.ndim not in (2, 3, 4):
        raise JaxganError(f"{name}: images must be [n, h, w] or [n, h, w, c], vectors [n, d]; got shape {x.shape}")
    if not x.size:
        raise JaxganError(f"{name}: no examples; got shape {x.shape}")
    if x.ndim == 4 and x.shape[3] > 4 and x.shape[1] in (1, 3, 4):
        raise JaxganError(f"{name}: shape {x.shape} has channels first; pass np.moveaxis(images, 1, -1)")
    if x.dtype == np.uint8 and x.ndim == 2:
        raise JaxganError(f"{name}: uint8 rows {x.shape} are no images; reshape to [n, h, w], or pass floats")
    x = check_values(x, name) if x.ndim > 2 else _check_finite(_check_type(x, name), name)
    return x[..., None] if x.ndim == 3 else x


def _check_type(x: np.ndarray, name: str) -> np.ndarray:
    """uint8 as it is, floats as float32, or a JaxganError."""
    if x.dtype.kind in "biu" and x.dtype != np.uint8:
        raise JaxganError(f"{name}: got dtype {x.dtype}; pass uint8 images with values 0..255, or floats")
    return x if x.dtype == np.uint8 else x.astype(np.float32)


def check_values(images, name: str) -> np.ndarray:
    """Images [n, ...], uint8 or float32 in [-1, 1], or a JaxganError: nothing is rescaled by guess."""
    x = _check_type(_as_array(images, name, "images"), name)
    if x.dtype == np.uint8:
        return x
    x = _check_finite(x, name)
    inside = (np.abs(x) <= 1).all(axis=tuple(range(1, x.ndim)))
    if not inside.all():
        raise JaxganError(
            f"{name}: float images must lie in [-1, 1]; row {int(np.argmin(inside))} is the first outside, and all "
            f"values span [{x.min():g}, {x.max():g}]. Pass uint8 for values 0..255, or scale them yourself"
        )
    if x.min() >= 0:
        raise JaxganError(f"{name}: float images lie in [{x.min():g}, {x.max():g}]; pass 2*x-1, or uint8")
    return x


def _check_sequences(x: np.ndarray, name: str) -> np.ndarray:
    """Sequences [n, length, channels] float32, or a JaxganError."""
    if x.ndim not in (2, 3) or not x.size or x.dtype.kind in "biu":
        raise JaxganError(
            f"{name}: sequences must be floats [n, length] or [n, length, channels]; got {x.dtype} of shape {x.shape}"
        )
    return _check_finite((x[..., None] if x.ndim == 2 else x).astype(np.float32), name)


def _check_finite(x: np.ndarray, name: str) -> np.ndarray:
    finite = np.isfinite(x).all(axis=tuple(range(1, x.ndim)))
    if not finite.all():
        raise JaxganError(
            f"{name}: row {int(np.argmin(finite))} is the first of {int((~finite).sum())} rows with NaN or inf"
        )
    return x


def _check_labels(y: np.ndarray, n: int, name: str) -> np.ndarray:
    if y.dtype.kind not in "iu":
        raise JaxganError(f"{name}: labels must be integers; got dtype {y.dtype}")
    if y.shape != (n,):
        raise JaxganError(f"{name}: labels must be one per example [{n}]; got shape {y.shape}")
    if y.min() < 0:
        raise JaxganError(f"{name}: labels count from 0; row {int(np.argmax(y < 0))} is {int(y.min())}")
    if y.max() >= 2**31 - 1:
        raise JaxganError(f"{name}: labels must fit int32; the largest is {int(y.max())}")
    return y.astype(np.int32)


def mnist5k(size: Size = 0, flip: bool = False) -> Source:
    """5,000 MNIST digits (LeCun et al. 1998), 500 a class, 28x28x1, or resized as `folder` does.

    Raises JaxganError when the package's file is missing or damaged. Origin and licences: MNIST5K.md beside this file.
    """
    images, labels = load_mnist5k()
    digest = MNIST5K_SHA256
    if size and size != 28:
        images = resize_all(images, size)
        digest = fingerprint(images, labels)
    return table(images, labels, "mnist5k", digest, 10, flip)


def load_mnist5k(path: Path = MNIST5K) -> tuple[np.ndarray, np.ndarray]:
    """images uint8 [5000, 28, 28, 1] and labels int32 [5000], in order of class, checked against MNIST5K_SHA256."""
    remedy = "reinstall jaxgan, or rebuild the file with experiments/build_mnist5k.py"
    try:
        found = disk.arrays(path)
        images, labels = found["images"], found["labels"]
    except (JaxganError, KeyError) as e:
        raise JaxganError(f"mnist5k: {e}; {remedy}") from e
    images, labels = images[..., None], labels.astype(np.int32)
    if fingerprint(images, labels) != MNIST5K_SHA256:
        raise JaxganError(f"mnist5k: the contents of {path} do not have the right checksum; {remedy}")
    return images, labels
