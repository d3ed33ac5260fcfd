"""The files of a folder of images, or of a zip or tar of one: which are images, and which are left out."""

import os
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from jaxgan.errors import JaxganError, NoSplit

ARRAY = ".npy"
SPLITS = {"train": {"train", "training"}, "val": {"val", "valid", "validation", "dev"}, "test": {"test", "testing"}}
UP = "../"  # before the name of a table that lies beside the folder of a split
UNPACKED = 4 << 30  # bytes of a compressed tar that may be held in memory
# formats that Pillow knows by name alone, or reads with the help of other programs
UNREAD = {"BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "PDF", "WMF"}


class Files(NamedTuple):
    """The images below root, a folder or an archive, or below one folder of it that is a split.

    names: relative to the split, sorted. tables: {name of a file that may say what the images are: how read calls it}.
    others: {suffix: how many files are no images}. read: name -> bytes, by several threads at a time. split: the
    folder, "" where there are none; splits: all of them; every: names of the images of all splits, as in names. kind:
    what root is, in a word. digest: what the contents of a set that knows it are a function of, else "".
    """

    root: Path
    names: list[str]
    tables: dict[str, str]
    others: dict[str, int]
    read: Callable[[str], bytes]
    split: str = ""
    splits: tuple[str, ...] = ()
    every: tuple[str, ...] = ()
    kind: str = "folder"
    digest: str = ""


def suffixes() -> frozenset[str]:
    """Of the files that are read, in small letters: what this Pillow reads by itself, and arrays."""
    from PIL import Image

    Image.init()
    known = Image.registered_extensions().items()
    return frozenset({ARRAY, *(suffix for suffix, kind in known if kind in Image.OPEN and kind not in UNREAD)})


class Listing(NamedTuple):
    """The files below root, a folder or an archive, or below one folder of it: names are relative to that."""

    root: Path
    names: list[str]
    read: Callable[[str], bytes]


def find(path: str | Path) -> Files:
    """The images below a folder, or in a .zip or .tar(.gz, ...) of one; JaxganError where there is none.

    Symbolic links in a folder are followed; hidden files are left out. If all images lie in folders that are called
    train, test or the like, they are those of one: of SPLIT where path is FOLDER:SPLIT, else of train, or the only one.
    """
    root, wanted = parted(path)
    return images_of(listed(root), wanted)


def images_of(listing: Listing, wanted: str = "") -> Files:
    """The images among the files listed, of the split wanted if there are any, as in `find`."""
    root, names, read = listing
    known = suffixes()
    found = sorted(name for name in names if _suffix(name) in known)
    splits = _splits(found)
    top = _chosen(root, splits, wanted) if splits or wanted else ""
    inside = f"{top}/" if top else ""
    here = [name for name in names if name.startswith(inside)]
    others = Counter(_suffix(name) for name in sorted(here) if _suffix(name) not in known)
    if not found:
        there = f"{told(others)} there" if others else "nothing there"
        raise JaxganError(f"folder {root}: no images, {there}; the suffixes that are read: {' '.join(sorted(known))}")
    return Files(
        root,
        [name.removeprefix(inside) for name in found if name.startswith(inside)],
        _tables(names, inside),
        dict(others.most_common()),
        lambda name: read(name.removeprefix(UP) if name.startswith(UP) else inside + name),
        top,
        tuple(splits),
        tuple(name.partition("/")[2] if top else name for name in found),
    )


def parted(path: str | Path) -> tuple[Path, str]:
    """The folder or archive of PATH or PATH:SPLIT, and the split or ""."""
    head, _, tail = str(path).rpartition(":")
    if head and not Path(path).expanduser().exists() and Path(head).expanduser().exists():
        return Path(head).expanduser(), tail
    return Path(path).expanduser(), ""


def _splits(images: list[str]) -> dict[str, str]:
    """{folder: "train", "val" or "test"} if every image lies in a folder with such a name, else {}."""
    tops = sorted({name.partition("/")[0] if "/" in name else "" for name in images})
    found = {top: kind for top in tops for kind, words in SPLITS.items() if top.lower() in words}
    return found if len(found) == len(tops) == len({*found.values()}) else {}


def _chosen(root: Path, splits: dict[str, str], wanted: str) -> str:
    """The folder of the split that is wanted; by default of train, or the only one."""
    names = {kind: top for top, kind in splits.items()} | {top: top for top in splits}
    default = "train" if "train" in names or len(splits) > 1 else next(iter(splits), "train")
    if (wanted or default) in names:
        return names[wanted or default]
    if not splits:
        raise NoSplit(f"folder {root}: there is no split {wanted!r}; folders called train and test would be splits")
    first = next(iter(splits))
    raise NoSplit(
        f"folder {root}: there is no split {wanted or default!r}, only {', '.join(splits)}; write folder:{root}:{first}"
    )


def _tables(names: list[str], inside: str) -> dict[str, str]:
    """Files.tables: of files in the split itself, or else beside its folder."""
    tables = [name for name in names if name.endswith((".json", ".csv", ".tsv"))]
    own = {name.removeprefix(inside): name.removeprefix(inside) for name in tables if name.startswith(inside)}
    own = {name: called for name, called in own.items() if "/" not in name}
    return own or {name: UP + name for name in tables if "/" not in name}


def listed(root: Path) -> Listing:
    """All files below root that are not hidden."""
    if not root.exists():
        raise JaxganError(f"folder {root}: does not exist; say where the images are now, of a run by --data")
    if root.is_dir():
        return Listing(root, _walk(root), lambda name: (root / name).read_bytes())
    try:
        if zipfile.is_zipfile(root):
            return Listing(root, *_unwrapped(*_zip(root)))
        if tarfile.is_tarfile(root):
            return Listing(root, *_unwrapped(*_tar(root)))
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError) as e:
        raise JaxganError(f"folder {root}: damaged archive ({e}); get it again") from e
    raise JaxganError(f"folder {root}: is not a folder, zip or tar; pass the one that holds the images")


def within(whole: Listing, folder: str) -> Listing | None:
    """The files of one folder of those listed, or None where there is no such folder."""
    if whole.root.is_dir():
        return listed(whole.root / folder) if (whole.root / folder).is_dir() else None
    names = [name.removeprefix(f"{folder}/") for name in whole.names if name.startswith(f"{folder}/")]
    return Listing(whole.root / folder, names, lambda name: whole.read(f"{folder}/{name}")) if names else None


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


def _unwrapped(names: list[str], read: Callable[[str], bytes]) -> tuple[list[str], Callable[[str], bytes]]:
    """Names of an archive as in the folder that it was made of, and what reads them; they never become paths."""
    inner = {name.removeprefix("./"): name for name in names}
    inner = {n: name for n, name in inner.items() if not any(p.startswith((".", "__MACOSX")) for p in n.split("/"))}
    tops = {n.partition("/")[0] for n in inner}
    if len(tops) == 1 and all("/" in n for n in inner) and not _splits([*inner]):  # the folder itself was packed
        inner = {n.partition("/")[2]: name for n, name in inner.items()}
    return [*inner], lambda name: read(inner[name])


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


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def told(others: dict[str, int], most: int = 5) -> str:
    """{".txt": 2, "": 1} as "2 .txt, 1 without a suffix"."""
    words = [f"{count:,} {suffix or 'without a suffix'}" for suffix, count in list(others.items())[:most]]
    rest = sum(list(others.values())[most:])
    return ", ".join([*words, *([f"{rest:,} of other kinds"] if rest else [])])
