"""The files of a folder of images: which of them are images, and which are left out."""

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from jaxgan.errors import JaxganError

ARRAY = ".npy"
# formats that Pillow knows by name alone, or reads with the help of other programs
UNREAD = {"BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "PDF", "WMF"}


class Files(NamedTuple):
    """The files below root. names: relative, sorted, of images; others: {suffix: how many files are none}.

    read: name -> bytes; OSError where that fails.
    """

    root: Path
    names: list[str]
    others: dict[str, int]
    read: Callable[[str], bytes]


def suffixes() -> frozenset[str]:
    """Of the files that are read, in small letters: what this Pillow reads by itself, and arrays."""
    from PIL import Image

    Image.init()
    known = Image.registered_extensions().items()
    return frozenset({ARRAY, *(suffix for suffix, kind in known if kind in Image.OPEN and kind not in UNREAD)})


def find(path: str | Path) -> Files:
    """The files below a folder; symbolic links are followed, hidden files are not. JaxganError where no image is."""
    root = Path(path).expanduser()
    if not root.exists():
        raise JaxganError(f"folder {root}: does not exist")
    if not root.is_dir():
        raise JaxganError(f"folder {root}: is not a folder; pass the folder that holds the images")
    return _sorted_out(root, _walk(root), lambda name: (root / name).read_bytes())


def _walk(root: Path) -> list[str]:
    """Relative names of all files below root that are not hidden."""
    names, seen = [], set()
    for where, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(where)
        folders[:] = [f for f in folders if not f.startswith(".")] if real not in seen else []  # links may form a loop
        if real not in seen:
            names += [(Path(where) / file).relative_to(root).as_posix() for file in files if not file.startswith(".")]
        seen.add(real)
    return names


def _sorted_out(root: Path, names: list[str], read: Callable[[str], bytes]) -> Files:
    """Files of all names below root."""
    known = suffixes()
    images = sorted(name for name in names if _suffix(name) in known)
    others = dict(Counter(_suffix(name) for name in sorted(names) if _suffix(name) not in known).most_common())
    if not images:
        found = f"{told(others)} there" if others else "nothing there"
        raise JaxganError(f"folder {root}: no images, {found}; the suffixes that are read: {' '.join(sorted(known))}")
    return Files(root, images, others, read)


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def told(others: dict[str, int], most: int = 5) -> str:
    """{".txt": 2, "": 1} as "2 .txt, 1 without a suffix"."""
    words = [f"{count:,} {suffix or 'without a suffix'}" for suffix, count in list(others.items())[:most]]
    rest = sum(list(others.values())[most:])
    return ", ".join([*words, *([f"{rest:,} of other kinds"] if rest else [])])
