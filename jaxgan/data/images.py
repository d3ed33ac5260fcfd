"""Single images: from a file's bytes to upright RGB, and to the size that is asked for."""

import re

import numpy as np

from jaxgan.data.levels import Ends, read, unit


def decode(data: bytes, ends: Ends = Ends()):  # noqa: B008  # a tuple of numbers
    """One image file -> an upright PIL image in RGB, 8 bits, on white; ends: of numbers of more than 8 bits."""
    from PIL import Image

    x = read(data)
    if isinstance(x, np.ndarray):
        levels = np.floor(unit(x, ends) * 255 + 0.5).astype(np.uint8)
        x = Image.fromarray(levels[..., 0] if levels.shape[-1] == 1 else levels)
    return on_white(x)


def decode_floats(data: bytes, ends: Ends = Ends()) -> np.ndarray:  # noqa: B008
    """One image file -> upright float32 [h, w, 3] in [-1, 1] on white, with all of its levels."""
    x = read(data)
    if not isinstance(x, np.ndarray):
        return (2 * np.asarray(on_white(x), np.float32) - 255) / 255
    levels = unit(x, ends)
    if levels.shape[-1] % 2 == 0:
        colours, opacity = levels[..., :-1], levels[..., -1:]
        levels = colours * opacity + 1 - opacity
    return np.broadcast_to(2 * levels - 1, (*x.shape[:2], 3)).astype(np.float32)


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


def halved(image: np.ndarray, half: str) -> np.ndarray:
    """The left or right half of an image [h, w, c]; all of it where half is ""."""
    height, width = image.shape[:2]
    if half and (width % 2 or width <= height):
        raise ValueError(f"is {width}x{height}; two images side by side have an even width above their height")
    return {"": image, "left": image[:, : width // 2], "right": image[:, width // 2 :]}[half]


def fit(image, size: int, how: str = "crop"):
    """A PIL image made size x size with antialiasing (Lanczos).

    how: crop its central square, pad it with white to a square, or stretch it.
    """
    from PIL import Image

    if how == "crop":
        width, height = image.size
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        image = image.crop((left, top, left + side, top + side))
    elif how == "pad":
        longer = max(image.size)
        width, height = (max(1, round(length * size / longer)) for length in image.size)
        square = Image.new(image.mode, (size, size), 1 if image.mode == "F" else "white")
        inside = image if image.size == (width, height) else image.resize((width, height), Image.Resampling.LANCZOS)
        square.paste(inside, ((size - width) // 2, (size - height) // 2))
        return square
    return image if image.size == (size, size) else image.resize((size, size), Image.Resampling.LANCZOS)


def fit_array(image: np.ndarray, size: int, how: str = "crop") -> np.ndarray:
    """`fit` for uint8 [h, w, c], or floats in [-1, 1], channel by channel."""
    from PIL import Image

    planes = [np.asarray(fit(Image.fromarray(image[..., c]), size, how)) for c in range(image.shape[-1])]
    whole = np.stack(planes, -1)
    return whole if whole.dtype == np.uint8 else whole.clip(-1, 1)  # Lanczos overshoots


def resize_all(images, size: int) -> np.ndarray:
    """`fit_array` for images [n, h, w, c]."""
    return np.stack([fit_array(image, size) for image in images])
