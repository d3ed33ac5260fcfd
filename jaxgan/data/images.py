"""Single images: from a file's bytes to upright RGB, and to the size that is asked for."""

import io

import numpy as np

NUMPY = b"\x93NUMPY"  # how a file of NumPy begins


def decode(data: bytes):
    """One image file -> an upright PIL image in RGB, 8 bits, on white; of several frames or pages the first."""
    from PIL import Image, ImageOps

    image = _of_numpy(data) if data.startswith(NUMPY) else Image.open(io.BytesIO(data))
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16-bit grey
        grey = np.asarray(image).astype(np.int64).clip(0, 65535)
        image = Image.fromarray(((grey + 128) // 257).astype(np.uint8))  # 65535 / 257 = 255
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def _of_numpy(data: bytes):
    """The PIL image of an .npy file: bytes or 16-bit grey; ValueError where it holds anything else."""
    from PIL import Image

    x = np.load(io.BytesIO(data), allow_pickle=False)
    x = x[..., 0] if x.ndim == 3 and x.shape[2] == 1 else x
    grey, colour = x.ndim == 2, x.ndim == 3 and x.shape[2] in (2, 3, 4)
    if not x.size or not ((x.dtype in (np.uint8, np.bool_) and (grey or colour)) or (x.dtype == np.uint16 and grey)):
        raise ValueError(f"holds {x.dtype} of shape {x.shape}; expected one image, uint8 [h, w] or [h, w, 1 to 4]")
    return Image.fromarray(x.astype(np.uint8) * 255 if x.dtype == np.bool_ else x)


def fit(image, size: int):
    """The central square of a PIL image, resized to size x size with antialiasing (Lanczos)."""
    from PIL import Image

    width, height = image.size
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    image = image.crop((left, top, left + side, top + side))
    return image if side == size else image.resize((size, size), Image.Resampling.LANCZOS)


def fit_array(image: np.ndarray, size: int) -> np.ndarray:
    """`fit` for uint8 [h, w, c], channel by channel."""
    from PIL import Image

    planes = [np.asarray(fit(Image.fromarray(image[..., c]), size)) for c in range(image.shape[-1])]
    return np.stack(planes, -1)


def resize_all(images, size: int) -> np.ndarray:
    """`fit` for uint8 [n, h, w, c]."""
    return np.stack([fit_array(image, size) for image in images])
