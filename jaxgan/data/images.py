"""Single images: from a file's bytes to upright RGB, and to the size that is asked for."""

import re
from typing import NamedTuple

import numpy as np

from jaxgan.config import Config, Size, sides, size_of
from jaxgan.data.levels import Ends, has_opacity, read, unit


class Reading(NamedTuple):
    """How image files become rows: fields of Config of the same names, size being at least 1 pixel.

    half: left or right, of images that hold two side by side.
    """

    size: Size = 32
    skip_corrupt: bool = False
    label: str = ""
    levels: str = "bytes"
    max_pixels: int = Config.max_pixels
    fit: str = "crop"
    half: str = ""
    channels: int = 0


def row(data: bytes, how: Reading, ends: Ends = Ends()) -> tuple[np.ndarray, tuple[int, int]]:  # noqa: B008
    """One image file as a row [h, w, c], uint8 or float32 in [-1, 1], and its width and height.

    c is how.channels: 1 for grey, 3 for colour on white, also for 0, 4 for colour and opacity, and more of arrays.
    """
    from PIL import Image

    opacity = how.channels == 4
    if how.channels > 4 or how.levels == "floats":
        x = decode_many(data, how, ends) if how.channels > 4 else decode_floats(data, ends, opacity)
        x = halved(x, how.half, how.size)
        made = (fit_opacity if opacity else fit_array)(x, how.size, how.fit)
        return (_luma(made) if how.channels == 1 else made), x.shape[1::-1]
    image = Image.fromarray(halved(np.asarray(decode(data, ends, opacity)), how.half, how.size))
    made = np.array(fit(image, how.size, how.fit).convert("L" if how.channels == 1 else image.mode))
    if opacity:
        made[made[..., 3] == 0] = 0  # colours that nobody sees, as resizing leaves them
    return made.reshape(*made.shape[:2], -1), image.size


def decode(data: bytes, ends: Ends = Ends(), opacity: bool = False):  # noqa: B008  # a tuple of numbers
    """One image file -> an upright PIL image in RGB, 8 bits, on white; ends: of numbers of more than 8 bits.

    opacity: in RGBA, as it is.
    """
    from PIL import Image

    x = read(data)
    if isinstance(x, np.ndarray):
        levels = np.floor(unit(x, ends) * 255 + 0.5).astype(np.uint8)
        x = Image.fromarray(levels[..., 0] if levels.shape[-1] == 1 else levels)
    return x.convert("RGBA") if opacity else on_white(x)


def decode_floats(data: bytes, ends: Ends = Ends(), opacity: bool = False) -> np.ndarray:  # noqa: B008
    """One image file -> upright float32 [h, w, 3] in [-1, 1] on white, with all of its levels; opacity: [h, w, 4]."""
    x = read(data)
    if not isinstance(x, np.ndarray):
        return (2 * np.asarray(x.convert("RGBA") if opacity else on_white(x), np.float32) - 255) / 255
    colours = unit(x, ends)
    covered = np.ones((*x.shape[:2], 1))
    if has_opacity(x):
        colours, covered = colours[..., :-1], colours[..., -1:]
        colours = colours if opacity else colours * covered + 1 - covered
    colours = np.broadcast_to(colours, (*x.shape[:2], 3))
    return (2 * (np.concatenate([colours, covered], -1) if opacity else colours) - 1).astype(np.float32)


def decode_many(data: bytes, how: Reading, ends: Ends) -> np.ndarray:
    """An .npy file of how.channels, more than 4 -> [h, w, c], uint8 or float32 in [-1, 1]; ValueError for others."""
    x = read(data, how.channels)
    if not isinstance(x, np.ndarray) or x.shape[-1] != how.channels:
        found = x.shape[-1] if isinstance(x, np.ndarray) else len(x.getbands())
        raise ValueError(f"has {found} channels; --channels {how.channels} reads .npy of [h, w, {how.channels}] alone")
    unscaled = x / 255 if x.dtype == np.uint8 else unit(x, ends)
    if how.levels == "floats":
        return (2 * unscaled - 1).astype(np.float32)
    return x if x.dtype == np.uint8 else np.floor(unscaled * 255 + 0.5).astype(np.uint8)


def upright_size(data: bytes) -> Size:
    """Pixels of one image file, or height and width where it is no square, as it is seen."""
    h, w = np.asarray(read(data)).shape[:2]
    return size_of((h, w))


def reason(error: Exception) -> str:
    """Why a decoder refused a file, in words of which none is an address in memory."""
    words = re.sub(r" ?<_io\.[^>]*>", "", str(error)).strip()
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def on_white(image):
    """A PIL image in RGB; what is transparent shows white."""
    from PIL import Image

    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def _luma(x: np.ndarray) -> np.ndarray:
    """Grey [h, w, 1] of RGB floats, by Pillow's weights; what was grey stays so to the bit."""
    red, green, blue = (x[..., i : i + 1] for i in range(3))
    return (red + np.float32(0.587) * (green - red) + np.float32(0.114) * (blue - red)).clip(-1, 1)


def halved(image: np.ndarray, half: str, size: Size = 1) -> np.ndarray:
    """The left or right half of an image [h, w, c]; all of it where half is "".

    ValueError where all of it is less wide than one image of the shape of size.
    """
    height, width = image.shape[:2]
    h, w = sides(size)
    if half and (width % 2 or width * h <= height * w):
        shape = "above their height" if h == w else f"above {w / h:.3g} of their height"
        raise ValueError(f"is {width}x{height}; two images side by side have an even width {shape}")
    return {"": image, "left": image[:, : width // 2], "right": image[:, width // 2 :]}[half]


def fit(image, size: Size, how: str = "crop", blank=None):
    """A PIL image made so large with antialiasing (Lanczos).

    how: crop its largest central part of that shape, pad it to it, or stretch it. blank: what pads it, by default
    white, and nothing where there is opacity.
    """
    from PIL import Image

    h, w = sides(size)
    (width, height), wide = image.size, image.size[0] * h >= image.size[1] * w  # or as wide as is asked for
    if how == "crop":
        across, down = (max(1, round(height * w / h)), height) if wide else (width, max(1, round(width * h / w)))
        left, top = (width - across) // 2, (height - down) // 2
        image = image.crop((left, top, left + across, top + down))
    elif how == "pad":
        width, height = (w, max(1, round(height * w / width))) if wide else (max(1, round(width * h / height)), h)
        usual: dict = {"F": 1, "RGBA": (0, 0, 0, 0)}
        blank = usual.get(image.mode, "white") if blank is None else blank
        whole = Image.new(image.mode, (w, h), blank)
        inside = image if image.size == (width, height) else image.resize((width, height), Image.Resampling.LANCZOS)
        whole.paste(inside, ((w - width) // 2, (h - height) // 2))
        return whole
    return image if image.size == (w, h) else image.resize((w, h), Image.Resampling.LANCZOS)


def fit_array(image: np.ndarray, size: Size, how: str = "crop", blank=None) -> np.ndarray:
    """`fit` for uint8 [h, w, c], or floats in [-1, 1], channel by channel."""
    from PIL import Image

    planes = [np.asarray(fit(Image.fromarray(image[..., c]), size, how, blank)) for c in range(image.shape[-1])]
    whole = np.stack(planes, -1)
    return whole if whole.dtype == np.uint8 else whole.clip(-1, 1)  # Lanczos overshoots


def fit_opacity(image: np.ndarray, size: Size, how: str = "crop") -> np.ndarray:
    """`fit` for floats in [-1, 1] of colour and opacity [h, w, 4]: each pixel's colour weighs as much as it covers."""
    shares = (image + 1) / 2
    covered = np.concatenate([shares[..., :3] * shares[..., 3:], shares[..., 3:]], -1)
    shares = (fit_array((2 * covered - 1).astype(np.float32), size, how, blank=-1) + 1) / 2
    opacity = shares[..., 3:]
    colours = np.where(opacity > 0, shares[..., :3] / np.maximum(opacity, 1e-6), 0).clip(0, 1)
    return (2 * np.concatenate([colours, opacity], -1) - 1).astype(np.float32)


def resize_all(images, size: Size) -> np.ndarray:
    """`fit_array` for images [n, h, w, c]."""
    return np.stack([fit_array(image, size) for image in images])
