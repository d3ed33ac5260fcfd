"""A user's own images as a run takes them: files, folders of them and archives."""

from pathlib import Path

import numpy as np

from jaxgan.data import files
from jaxgan.data.images import decode, fit
from jaxgan.errors import JaxganError


def images(paths, shape: tuple[int, ...]) -> tuple[np.ndarray, list[str]]:
    """The images of files, folders and archives (paths) as [n, *shape] in [-1, 1], and their names, in that order.

    Each is upright, its central square, resized with Lanczos antialiasing; colour becomes grey where shape is grey.
    JaxganError for what is no image, or a shape that is none.
    """
    if len(shape) != 3 or shape[0] != shape[1] or shape[2] not in (1, 3):
        raise JaxganError(f"the run's examples have shape {shape}, and image files are read as squares in grey or RGB")
    found = [one for path in paths for one in _listed(Path(path).expanduser())]
    rows = [_row(name, read, shape) for name, read in found]
    return np.stack(rows).astype(np.float32) / 127.5 - 1, [name for name, _ in found]


def _listed(path: Path):
    """[(name, () -> bytes)] of an image file, or of those in a folder or archive."""
    if path.is_file() and path.suffix.lower() in files.suffixes():
        return [(path.name, path.read_bytes)]
    if not path.exists():
        raise JaxganError(f"there is no image {path}")
    found = files.find(path)
    return [(name, lambda name=name: found.read(name)) for name in found.names]


def _row(name: str, read, shape: tuple[int, ...]) -> np.ndarray:
    try:
        image = fit(decode(read()), shape[0])
    except Exception as e:  # decoders raise nearly anything on damaged files
        raise JaxganError(f"{name} cannot be read as an image ({type(e).__name__}: {e})") from None
    return np.asarray(image.convert("L") if shape[2] == 1 else image).reshape(shape)
