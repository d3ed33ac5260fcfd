"""Decoded images kept on disk: one .npy per key, opened as a memory map, checked, and rebuilt when damaged."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from jaxgan.data.rows import fingerprint
from jaxgan.types import JaxganError

CHECKED = 4 << 30  # bytes: larger arrays are checked by length alone, as hashing them would take longer than it helps
CHUNK = 1024  # rows copied at a time


def user_cache() -> Path:
    """$XDG_CACHE_HOME/jaxgan, else ~/.cache/jaxgan."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jaxgan"


def writable(*candidates: Path) -> Path:
    """The first folder that exists or can be made and that this user may write to; JaxganError if none is."""
    for path in candidates:
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(path, os.W_OK):
            return path
    tried = ", ".join(map(str, candidates))
    raise JaxganError(f"no place for decoded images: cannot write to {tried}; set XDG_CACHE_HOME to a writable folder")


def reserve(path: Path, shape: tuple[int, ...], dtype=np.uint8) -> np.memmap:
    """A new .npy of this shape to write rows into, after a look at the free space."""
    need, free = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize, shutil.disk_usage(path.parent).free
    if need > free:
        raise JaxganError(f"decoding needs {need / 1e9:.1f} GB in {path.parent}, where {free / 1e9:.1f} GB are free")
    return np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)


def copy_rows(source, keep, channels: int, path: Path) -> None:
    """Write rows keep (numpy int) and the first `channels` channels of source [n, h, w, c] to a .npy, in chunks."""
    out = reserve(path, (len(keep), *source.shape[1:3], channels), source.dtype)
    for start in range(0, len(keep), CHUNK):
        out[start : start + CHUNK] = source[keep[start : start + CHUNK], :, :, :channels]
    out.flush()


def cached(directory: Path, key: str, build: Callable[[Path], dict]) -> tuple[np.ndarray, dict]:
    """images (read-only memory map) and facts of key, built once even when several processes ask at once.

    build: writes images as .npy to the path it is given and returns facts for JSON, with "labels", a list or None.
    "fingerprint" is added to the facts: SHA-256 of images and labels.
    """
    from filelock import FileLock

    final, facts_file = directory / f"{key}.npy", directory / f"{key}.json"
    with FileLock(directory / f"{key}.lock"):
        found = _load(final, facts_file)
        if found is None:
            part = directory / f"{key}.part.npy"
            try:
                facts = build(part)
                facts["fingerprint"] = digest(np.load(part, mmap_mode="r"), facts)
                facts_file.with_suffix(".part.json").write_text(json.dumps(facts), "utf-8")
                os.replace(part, final)
                os.replace(facts_file.with_suffix(".part.json"), facts_file)
            finally:
                part.unlink(missing_ok=True)
            found = np.load(final, mmap_mode="r", allow_pickle=False), facts
    return found


def digest(images, facts: dict) -> str:
    """SHA-256 of images and labels."""
    labels = [] if facts["labels"] is None else [np.asarray(facts["labels"], np.int32)]
    return fingerprint(images, *labels)


def _load(final: Path, facts_file: Path):
    """images and facts, or None where there are none or they are damaged."""
    if not (final.exists() and facts_file.exists()):
        return None
    try:
        facts = json.loads(facts_file.read_text("utf-8"))
        images = np.load(final, mmap_mode="r", allow_pickle=False)
        if images.nbytes > CHECKED or digest(images, facts) == facts["fingerprint"]:
            return images, facts
    except (OSError, ValueError, KeyError, EOFError, TypeError):
        pass
    print(f"{final}: damaged, building it again")
    return None
