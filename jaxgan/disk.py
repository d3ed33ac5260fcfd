"""Files: written whole or not at all, and arrays read from files that may be damaged."""

import contextlib
import errno
import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

from jaxgan.errors import JaxganError
from jaxgan.types import AnyArray


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A context with a new file, open for writing, that takes the place of path at its end.

    Where the context is left by an error, path is as it was and nothing lies beside it; a process that is killed leaves
    NAME.PID.tmp. What the operating system refuses is an OSError that names path.
    """
    part = _beside(path)
    try:
        with _naming(path, part):
            with part.open("wb") as file:
                yield file
            os.replace(part, path)
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def check(path: Path) -> None:
    """OSError, which names path, where `replacing` could not write it: to be known before long work."""
    if path.is_dir():
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    part = _beside(path)
    with _naming(path, part):
        part.touch()
        part.unlink()


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.{os.getpid()}.tmp")


@contextlib.contextmanager
def _naming(path: Path, part: Path) -> Iterator[None]:
    """What the operating system says of part is said of path."""
    try:
        yield
    except OSError as e:
        if e.errno is None or e.filename not in (None, str(part)):  # not the operating system's, or of another file
            raise
        raise OSError(e.errno, e.strerror, str(path)) from None


def write(path: Path, text: str) -> None:
    """Text, and a newline, as the file path."""
    with replacing(path) as file:
        file.write(f"{text}\n".encode())


def write_arrays(path: Path, /, **arrays) -> None:
    """Arrays by their names as an .npz at path."""
    with replacing(path) as file:
        np.savez(file, **arrays)


def digest(arrays: Mapping[str, AnyArray]) -> str:
    """SHA-256 of the names, types, shapes and bytes of all arrays, in the order of their names."""
    total = hashlib.sha256()
    for name, x in sorted(arrays.items(), key=lambda item: item[0]):
        total.update(f"{name} {x.dtype} {x.shape}".encode() + np.ascontiguousarray(x).tobytes())
    return total.hexdigest()


def arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz by name, or that of an .npy as x; JaxganError where path holds none, or is damaged."""
    try:
        with path.open("rb") as opened:
            found = np.load(opened, allow_pickle=False)
            return {"x": found} if isinstance(found, np.ndarray) else {name: found[name] for name in found.files}
    except OSError as e:
        reason = e.strerror or str(e)
    except Exception as e:  # NumPy and zipfile raise nearly anything on damaged files
        words = (str(e).strip() or type(e).__name__).splitlines()[0]
        reason = "it holds objects, or is no such file" if "pickle" in words else f"damaged: {words}"
    raise JaxganError(f"cannot read arrays from {path} ({reason}); expected a whole .npz or .npy of numbers")
