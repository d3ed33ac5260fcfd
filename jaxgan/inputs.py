"""What a trained run is given: a user's images in files, examples as arrays, labels."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np

from jaxgan.data import files
from jaxgan.data.images import Reading, decode, reason, row
from jaxgan.data.memory import check_values
from jaxgan.data.rows import to_float
from jaxgan.errors import JaxganError, nearest


def images(paths, shape: tuple[int, ...], how: str = "crop") -> tuple[np.ndarray, list[str]]:
    """The images of files, folders and archives (paths) as uint8 [n, *shape], and their names, in that order.

    Each is upright, given that shape as Config.fit (how) says, and resized; colour becomes grey where shape is grey,
    and opacity stays where shape has 4 channels. JaxganError for what is no image, or a shape that is none.
    """
    if len(shape) != 3 or shape[2] == 2:
        raise JaxganError(
            f"the run's examples have shape {shape}, and image files are read as 1, 3, 4 or more channels"
        )
    if not paths:
        raise JaxganError("which images? Name files, or folders of them, such as photo.png")
    found = [one for path in paths for one in _listed(Path(path).expanduser())]
    rows = [_row(name, read, shape, how) for name, read in found]
    return np.stack(rows), [name for name, _ in found]


def photographs(paths, channels: int) -> tuple[list[np.ndarray], list[str]]:
    """The images of files, folders and archives (paths), upright and each of its own size, uint8 [h, w, c]; names."""
    if channels not in (1, 3):
        raise JaxganError(f"the run's examples have {channels} channels, and image files are read in grey or RGB")
    found = [one for path in paths for one in _listed(Path(path).expanduser())]
    return [_whole(name, read, channels) for name, read in found], [name for name, _ in found]


def _whole(name: str, read, channels: int) -> np.ndarray:
    image = _made(name, lambda: decode(read()))
    return np.asarray(image.convert("L"))[..., None] if channels == 1 else np.asarray(image)


def _made(name: str, make):
    """What make returns of the file called name; JaxganError where it cannot."""
    try:
        return make()
    except Exception as e:  # decoders raise nearly anything on damaged files
        raise JaxganError(f"{name} cannot be read as an image ({reason(e)}); repair it, or leave it out") from None


def _listed(path: Path):
    """[(name, () -> bytes)] of an image file, or of those in a folder or archive."""
    if path.is_file() and path.suffix.lower() in files.suffixes():
        return [(path.name, path.read_bytes)]
    if not path.exists():
        raise JaxganError(f"there is no image {path}")
    found = files.find(path)
    return [(name, lambda name=name: found.read(name)) for name in found.names]


def _row(name: str, read, shape: tuple[int, ...], how: str) -> np.ndarray:
    how_read = Reading((shape[0], shape[1]), fit=how, channels=shape[2])
    return _made(name, lambda: row(read(), how_read)[0])


def examples(what: str, x, shape: tuple[int, ...], finished: bool):
    """x [n, *shape] as training sees them, images in [-1, 1]; JaxganError where that is not clear. finished: it is."""
    check_shape(what, x, shape)
    return jnp.asarray(x) if finished or len(shape) != 3 else to_float(check_values(x, what))


def check_shape(what: str, x, shape: tuple[int, ...]) -> None:
    """JaxganError if x is not [n, *shape]."""
    if jnp.shape(x)[1:] != shape or not len(x):
        raise JaxganError(f"{what} have shape {jnp.shape(x)}; expected [n, {', '.join(map(str, shape))}]")


def check_labels(labels, n: int, classes: int, names=()) -> np.ndarray:
    """labels, numbers or names, as int32 [n]; JaxganError where the run has no classes or not this one."""
    if not classes:
        raise JaxganError("this run was trained without labels, so ask for none; or train one with --conditional")
    labels = np.asarray(labels)
    if labels.dtype.kind == "U":
        labels = np.array([class_number(name, classes, names) for name in labels.ravel().tolist()]).reshape(
            labels.shape
        )
    if labels.shape != (n,) or not np.issubdtype(labels.dtype, np.integer):
        raise JaxganError(f"labels have shape {labels.shape} and type {labels.dtype}; expected {n} whole numbers")
    if labels.min() < 0 or labels.max() >= classes:
        raise JaxganError(f"labels lie in [{labels.min()}, {labels.max()}]; this run knows 0 to {classes - 1}")
    return labels.astype(np.int32)


def class_number(word: str, classes: int, names=()) -> int:
    """The class that is called word, in letters of any size, or whose number it is; JaxganError if there is none."""
    lower = [name.lower() for name in names]
    if word in names:
        return list(names).index(word)
    if lower.count(word.lower()) == 1:
        return lower.index(word.lower())
    if word.isdecimal() and int(word) < classes:
        return int(word)
    if not classes:
        check_labels([0], 1, 0)
    shown = f"{', '.join(names[:20])}{', ...' if len(names) > 20 else ''}; or " if names else ""
    raise JaxganError(f"there is no class {word!r}.{nearest(word, names)} Known: {shown}numbers 0 to {classes - 1}")
