"""Image files of more than 8 bits: their numbers, and which of them are black and white in a set."""

import contextlib
import io
import math
import sys
from typing import NamedTuple

import numpy as np

NUMPY = b"\x93NUMPY"  # how a file of NumPy begins
BITS = (8, 10, 12, 14, 16)  # that cameras and scanners give
OTHER = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}  # of two bytes, those Pillow leaves out


class Ends(NamedTuple):
    """What is black and what is white in a set: of whole numbers, and of floats."""

    whole: tuple[float, float] = (0, 65535)
    real: tuple[float, float] = (0, 1)


def read(data: bytes, most: int = 4):
    """An image file as an upright PIL image, or of more than 8 bits as an upright array [h, w, c] of numbers.

    Of several frames or pages the first. Of 2 or 4 channels the last is opacity. most: channels that an .npy may have;
    above 4 it is an array of bytes too. ValueError where an array is no single image.
    """
    from PIL import Image, ImageOps

    if data.startswith(NUMPY):
        x = _of_numpy(data, most)
        if x.dtype != np.uint8 or x.shape[-1] > 4:
            return x
        return Image.fromarray(x[..., 0] if x.shape[-1] == 1 else x)
    image = Image.open(io.BytesIO(data))
    if image.mode == "F" or image.mode.startswith("I"):
        x = np.asarray(ImageOps.exif_transpose(image))[..., None]
    elif image.tile and all(_raw(tile) in SIXTEEN for tile in image.tile):
        x = SIXTEEN[_raw(image.tile[0])](data)
    else:
        return ImageOps.exif_transpose(image)
    key = image.info.get("transparency")  # of PNG: the one colour that is transparent
    if key is not None and x.shape[-1] % 2:
        white = np.array(1 if x.dtype.kind == "f" else 65535, x.dtype)
        x = np.concatenate([x, np.where((x != np.array(key)).any(-1, keepdims=True), white, 0).astype(x.dtype)], -1)
    return x


def is_deep(data: bytes, most: int = 4) -> bool:
    """Whether a file has more than 8 bits, by its head alone."""
    from PIL import Image

    if data.startswith(NUMPY):
        return _of_numpy(data, most).dtype != np.uint8
    image = Image.open(io.BytesIO(data))
    return image.mode == "F" or image.mode.startswith("I") or any(_raw(tile) in SIXTEEN for tile in image.tile)


@contextlib.contextmanager
def any_size():
    """A context in which Pillow opens images of any number of pixels, for `check_size` to judge."""
    from PIL import Image

    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def check_size(data: bytes, most: int) -> None:
    """ValueError where the head of an image file says that it has more than `most` pixels."""
    from PIL import Image

    if not data.startswith(NUMPY) and (pixels := math.prod(Image.open(io.BytesIO(data)).size)) > most:
        raise ValueError(f"has {pixels:,} pixels; --max-pixels {pixels} reads it, if it is what it should be")


def _of_numpy(data: bytes, most: int) -> np.ndarray:
    """The numbers [h, w, c] of an .npy file, at most so many channels; bytes of truth values."""
    x = np.load(io.BytesIO(data), allow_pickle=False)
    if x.dtype.kind not in "biuf" or not x.size or x.ndim not in (2, 3) or (x.ndim == 3 and x.shape[2] > most):
        raise ValueError(f"holds {x.dtype} of shape {x.shape}; expected one image, [h, w] or [h, w, 1 to {most}]")
    x = x if x.ndim == 3 else x[..., None]
    return x.astype(np.uint8) * 255 if x.dtype == np.bool_ else x


def _raw(tile) -> str:
    """How the numbers of a part of a file are stored, in Pillow's words."""
    return str(tile.args[0]) if tile.args and isinstance(tile.args, tuple) else str(tile.args)


def _bytes(data: bytes, raw: str = "", mode: str = "") -> np.ndarray:
    """A file as Pillow reads it, upright [h, w, c]; raw, mode: as if it were stored so."""
    from PIL import Image, ImageOps

    image = Image.open(io.BytesIO(data))
    if raw:
        image.tile = [t._replace(args=(raw, *t.args[1:]) if isinstance(t.args, tuple) else raw) for t in image.tile]
    if mode:
        image._mode = mode
    return np.asarray(ImageOps.exif_transpose(image)).astype(np.uint16)


def _colours(kind: str, order: str):
    """A reader of colours of 16 bits, of which Pillow gives one byte: it is asked once for each."""
    return lambda data: (_bytes(data) << 8) + _bytes(data, f"{kind};16{OTHER[order]}")


def _grey_with_opacity(data: bytes) -> np.ndarray:
    x = _bytes(data, "RGBA", "RGBA")
    return (x[..., ::2] << 8) + x[..., 1::2]


# how colours of 16 bits are stored, in Pillow's words -> a function from the file to uint16 [h, w, c]
SIXTEEN = {f"{kind};16{order}": _colours(kind, order) for kind in ("RGB", "RGBA") for order in OTHER}
SIXTEEN["LA;16B"] = _grey_with_opacity


def has_opacity(x: np.ndarray) -> bool:
    """Whether the last channel of numbers [h, w, c] is opacity."""
    return x.shape[-1] in (2, 4)


def span(x: np.ndarray) -> tuple[str, float, float]:
    """The field of Ends that numbers [h, w, c] belong to, and their extremes without opacity."""
    colours = x[..., :-1] if has_opacity(x) else x
    return ("real" if x.dtype.kind == "f" else "whole"), float(colours.min()), float(colours.max())


def ends(spans: list[tuple[str, float, float]]) -> tuple[Ends, list[str]]:
    """Black and white of a set of such spans, and the same in words.

    Whole numbers from 0 have the least number of BITS that holds the largest; floats are in [0, 1] or in [-1, 1]; of
    others the least is black and the largest white.
    """
    found, words = {}, []
    for kind in sorted({kind for kind, _, _ in spans}):
        low = min(low for k, low, _ in spans if k == kind)
        high = max(high for k, _, high in spans if k == kind)
        usual = [(0, 2**bits - 1) for bits in BITS] if kind == "whole" else [(0, 1), (-1, 1)]
        black, white = next((pair for pair in usual if pair[0] <= low and high <= pair[1]), (low, high))
        found[kind] = black, white if white > black else black + 1
        what = "more than 8 bits" if kind == "whole" else "floats"
        words.append(f"{what} from {low:,.6g} to {high:,.6g}, of which {black:,.6g} is black and {white:,.6g} white")
    return Ends(**found), words


def unit(x: np.ndarray, ends: Ends) -> np.ndarray:
    """Numbers [h, w, c] as float64 in [0, 1], black to white, and opacity by its own full; ValueError for NaN."""
    if not np.isfinite(x).all():
        raise ValueError("holds NaN or infinite numbers")
    black, white = ends.real if x.dtype.kind == "f" else ends.whole
    scaled = ((x.astype(np.float64) - black) / (white - black)).clip(0, 1)
    if has_opacity(x):
        full = 1 if x.dtype.kind == "f" else white if x[..., -1].max() <= white else 65535
        scaled[..., -1] = (x[..., -1] / full).clip(0, 1)
    return scaled
