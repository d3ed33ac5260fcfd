"""A folder of image files as examples: any sizes, nested or in class folders, decoded once and cached."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from jaxgan.data import cache
from jaxgan.data.files import Files, find, told
from jaxgan.data.images import decode, fit
from jaxgan.data.rows import table
from jaxgan.types import JaxganError, Source

VERSION = 1  # of the decoding below: raise it when the same files give other pixels
QUIET = 2000  # files or images up to which no progress is shown


def folder(path: str | Path, size: int = 32, *, flip: bool = False, skip_corrupt: bool = False) -> Source:
    """The images below path as uint8 [n, size, size, c], in order of their relative names.

    Each image is turned upright (EXIF), composited on white where it is transparent, cropped to its central square,
    and resized with Lanczos antialiasing; 16-bit grey is scaled to 8 bits, and of an animation the first frame counts.
    c is 1 if every pixel of every image is grey, else 3. The immediate subfolders are classes, in sorted order, if all
    images lie in subfolders and there are at least two. Decoded rows are cached in $XDG_CACHE_HOME/jaxgan/folder, by
    the contents of the files. Raises JaxganError for a missing or empty folder and, with the names, for unreadable
    files, unless skip_corrupt leaves these out.
    """
    files = find(path)
    if size < 1:
        raise JaxganError(f"folder: size must be at least 1 pixel; got {size}")
    if files.others:
        print(f"folder {files.root}: {told(files.others)} left out, which are no images")
    directory = cache.writable(cache.user_cache() / "folder")
    key = content_key(files, size)
    images, facts = cache.cached(directory, key, lambda part: _build(files, size, skip_corrupt, part))
    if facts["skipped"] and not skip_corrupt:  # an earlier run skipped what this one must not
        raise _unreadable(files, facts["skipped"])
    if facts["skipped"]:
        print(f"folder {files.root}: skipped {len(facts['skipped'])} of {len(files.names)} files that cannot be read")
    classes = len(facts["classes"])
    return table(images, facts["labels"], f"folder:{path}", facts["fingerprint"], classes, flip)


def class_folders(names: list[str]) -> list[str]:
    """The sorted immediate subfolders if every image lies in one and there are at least two, else none."""
    tops = {name.split("/")[0] if "/" in name else "" for name in names}
    return sorted(tops) if "" not in tops and len(tops) > 1 else []


def content_key(files: Files, size: int) -> str:
    """SHA-256 of names, contents, size and VERSION: what the decoded rows are a function of."""

    def one(name):
        try:
            return hashlib.sha256(files.read(name)).digest()
        except OSError:
            return b"unreadable"  # decoding will report it

    total = hashlib.sha256(f"{VERSION} {size} {len(files.names)}".encode())
    for name, digest in zip(files.names, _parallel(one, files.names, "reading files")):
        total.update(os.fsencode(name) + b"\0" + digest)
    return total.hexdigest()


def _parallel(function, items, what: str):
    """function of each item, in order, by a pool of threads; with a progress bar for more than QUIET items."""
    from tqdm import tqdm

    with ThreadPoolExecutor(min(os.cpu_count() or 1, 16)) as pool:
        yield from tqdm(pool.map(function, items), what, len(items), disable=len(items) <= QUIET or None)


def _build(files: Files, size: int, skip_corrupt: bool, part: Path) -> dict:
    """Decode all files to the .npy `part`; returns labels, class names and skipped files."""
    names = files.names
    full_path = part.with_suffix(".full.npy")
    full = cache.reserve(full_path, (len(names), size, size, 3))

    def one(i):
        try:
            full[i] = np.asarray(fit(decode(files.read(names[i])), size))
        except Exception as e:  # decoders raise nearly anything on damaged files
            return f"{type(e).__name__}: {e}"
        return None

    try:
        reasons = list(_parallel(one, range(len(names)), f"decoding {files.root.name}"))
        skipped = {name: reason for name, reason in zip(names, reasons) if reason}
        if skipped and (not skip_corrupt or len(skipped) == len(names)):
            raise _unreadable(files, skipped)
        keep = np.array([i for i, reason in enumerate(reasons) if not reason])
        cache.copy_rows(full, keep, 1 if _is_grey(full, keep) else 3, part)
    finally:
        full_path.unlink(missing_ok=True)
    classes = class_folders(names)
    labels = [classes.index(names[i].split("/")[0]) for i in keep] if classes else None
    return {"labels": labels, "classes": classes, "skipped": skipped}


def _is_grey(images, keep) -> bool:
    """Whether red, green and blue are equal in all rows keep of images [n, h, w, 3]."""
    chunks = (images[keep[start : start + cache.CHUNK]] for start in range(0, len(keep), cache.CHUNK))
    return all((rows == rows[..., :1]).all() for rows in chunks)


def _unreadable(files: Files, skipped: dict[str, str]) -> JaxganError:
    lines = [f"  {name}: {reason}" for name, reason in list(skipped.items())[:20]]
    more = f"\n  and {len(skipped) - 20} more" if len(skipped) > 20 else ""
    root, total = files.root, len(files.names)
    remedy = "Repair or remove them, or pass skip_corrupt to leave them out."
    if len(skipped) == total:
        remedy = "None is left."
    return JaxganError(
        f"folder {root}: {len(skipped)} of {total} files cannot be read:\n" + "\n".join(lines) + more + f"\n{remedy}"
    )
