"""The files of a folder of images, or of a zip or tar of one: which are images, and which are left out."""

import os
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from jaxgan.errors import JaxganError

ARRAY = ".npy"
UNPACKED = 4 << 30  # bytes of a compressed tar that may be held in memory
# formats that Pillow knows by name alone, or reads with the help of other programs
UNREAD = {"BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "PDF", "WMF"}


class Files(NamedTuple):
    """The files below root, a folder or an archive.

    names: relative, sorted, of images. tables: of files in root itself that may say what the images are. others:
    {suffix: how many files are no images}. read: name -> bytes, by several threads at a time.
    """

    root: Path
    names: list[str]
    tables: list[str]
    others: dict[str, int]
    read: Callable[[str], bytes]


def suffixes() -> frozenset[str]:
    """Of the files that are read, in small letters: what this Pillow reads by itself, and arrays."""
    from PIL import Image

    Image.init()
    known = Image.registered_extensions().items()
    return frozenset({ARRAY, *(suffix for suffix, kind in known if kind in Image.OPEN and kind not in UNREAD)})


def find(path: str | Path) -> Files:
    """The files below a folder, or in a .zip or .tar(.gz, ...) of one; JaxganError where no image is.

    Symbolic links in a folder are followed; hidden files are left out.
    """
    root = Path(path).expanduser()
    if not root.exists():
        raise JaxganError(f"folder {root}: does not exist")
    if root.is_dir():
        return _sorted_out(root, _walk(root), lambda name: (root / name).read_bytes())
    try:
        if zipfile.is_zipfile(root):
            return _archive(root, *_zip(root))
        if tarfile.is_tarfile(root):
            return _archive(root, *_tar(root))
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError) as e:
        raise JaxganError(f"folder {root}: damaged archive ({e}); get it again") from e
    raise JaxganError(f"folder {root}: is not a folder, zip or tar; pass the one that holds the images")


def _zip(path: Path) -> tuple[list[str], Callable[[str], bytes]]:
    file = zipfile.ZipFile(path)
    return [one.filename for one in file.infolist() if not one.is_dir()], file.read


def _tar(path: Path) -> tuple[list[str], Callable[[str], bytes]]:
    """Of a compressed one, in which no file can be found without all before it, memory holds the contents."""
    try:
        with tarfile.open(path, "r:") as tar:
            places = {one.name: (one.offset_data, one.size) for one in tar if one.isfile()}
    except tarfile.ReadError:
        if path.stat().st_size > UNPACKED:
            raise JaxganError(f"folder {path}: a compressed tar of this size is read too slowly; unpack it") from None
        with tarfile.open(path) as tar:
            contents = {one.name: tar.extractfile(one).read() for one in tar if one.isfile()}  # type: ignore[union-attr]
        return [*contents], contents.__getitem__

    def read(name):
        with path.open("rb") as file:
            file.seek(places[name][0])
            return file.read(places[name][1])

    return [*places], read


def _archive(root: Path, names: list[str], read: Callable[[str], bytes]) -> Files:
    """Files of an archive, whose names are those in the folder that it was made of; they never become paths."""
    inner = {name.removeprefix("./"): name for name in names}
    inner = {n: name for n, name in inner.items() if not any(p.startswith((".", "__MACOSX")) for p in n.split("/"))}
    tops = {n.partition("/")[0] for n in inner}
    if len(tops) == 1 and all("/" in n for n in inner):  # the folder itself was packed, not what it holds
        inner = {n.partition("/")[2]: name for n, name in inner.items()}
    return _sorted_out(root, [*inner], lambda name: read(inner[name]))


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
    tables = sorted(name for name in names if name.endswith((".json", ".csv", ".tsv")) and "/" not in name)
    return Files(root, images, tables, others, read)


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def told(others: dict[str, int], most: int = 5) -> str:
    """{".txt": 2, "": 1} as "2 .txt, 1 without a suffix"."""
    words = [f"{count:,} {suffix or 'without a suffix'}" for suffix, count in list(others.items())[:most]]
    rest = sum(list(others.values())[most:])
    return ", ".join([*words, *([f"{rest:,} of other kinds"] if rest else [])])
