"""Where published weights lie: a path that is given, an installed package, the user's cache, or their address."""

import hashlib
import importlib.util
import os
import sys
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxgan.errors import JaxganError

TIMEOUT = 30  # seconds without an answer


class Published(NamedTuple):
    """A file of weights: what it is called, bytes, SHA-256, and where it comes from.

    url: an address, "" for none. package, member, command: the importable package that holds it, the file inside, and
    what installs it; "" for none.
    """

    name: str
    size: int
    sha256: str
    url: str = ""
    package: str = ""
    member: str = ""
    command: str = ""


def cache() -> Path:
    """$XDG_CACHE_HOME/jaxgan/weights, else ~/.cache/jaxgan/weights."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jaxgan" / "weights"


def find(file: Published, path: str | Path = "") -> Path:
    """The file, its checksum verified: at path if one is given, in its package, in the cache, or downloaded to it.

    JaxganError where it is none of these, with what to fetch or to install. No package is imported.
    """
    if path:
        return _checked(file, Path(path).expanduser())
    for place in (_in_package(file), cache() / file.name):
        if place and place.is_file():
            return _checked(file, place)
    trouble = _downloaded(file) if file.url else ""
    if not trouble and file.url:
        return cache() / file.name
    ways = [f"pip install {file.command}"] if file.command else []
    ways += [f"get {file.url} (SHA-256 {file.sha256})"] if file.url else []
    raise JaxganError(
        f"the weights {file.name} are not here{trouble}: {', or '.join(ways)}, or say where they lie: "
        "--weights PATH, or weights=PATH in Python. Without a file there are digits-cnn, fashion-cnn and random"
    )


def _checked(file: Published, path: Path) -> Path:
    try:
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as e:
        raise JaxganError(f"cannot read the weights {path}: {e.strerror}") from e
    if found != file.sha256:
        raise JaxganError(
            f"{path} is not {file.name}: it has {path.stat().st_size:,} bytes and SHA-256 {found}, expected are "
            f"{file.size:,} bytes and {file.sha256}; remove it and fetch it again"
        )
    return path


def _in_package(file: Published) -> Path | None:
    spec = importlib.util.find_spec(file.package) if file.package else None
    return Path(spec.origin).parent / file.member if spec and spec.origin else None


def _downloaded(file: Published) -> str:
    """Fetch the file to the cache -> "" or why that failed; JaxganError if it is not what it should be."""
    from filelock import FileLock

    final = cache() / file.name
    part = final.with_name(f"{file.name}.part")
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{final}.lock"):
            if final.is_file():  # another process has fetched it meanwhile
                return ""
            with urllib.request.urlopen(file.url, timeout=TIMEOUT) as answer, part.open("wb") as out:
                print(f"fetching {file.url} ({file.size / 1e6:.0f} MB) to {final.parent}", file=sys.stderr)
                while chunk := answer.read(1 << 20):
                    out.write(chunk)
            os.replace(_checked(file, part), final)
    except OSError as e:
        return f", and could not be fetched ({getattr(e, 'reason', None) or e})"
    finally:
        part.unlink(missing_ok=True)
    return ""


# Files that are known by their tensors.


def safetensors(path: Path, expected: str) -> dict[str, Any]:
    """Tensors of a .safetensors file by name; JaxganError, a line that ends with what is expected, where it is none."""
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    except ImportError:
        raise JaxganError("weights in .safetensors are read by safetensors: pip install safetensors") from None
    if not path.is_file():
        raise JaxganError(f"there are no weights {path}; {expected}")
    try:
        return load_file(path)
    except OSError as e:
        raise JaxganError(f"cannot read the weights {path} ({e.strerror or e}); {expected}") from None
    except SafetensorError as e:
        raise JaxganError(f"{_told(path)} is not whole, or no .safetensors file ({e}); {expected}") from None


def whole(path: Path, found: dict, want: dict[str, tuple[int, ...]], expected: str) -> dict[str, Any]:
    """The tensors found in a file, float32, where they have the names and shapes of want; else a JaxganError."""
    shape = {name: np.shape(x) for name, x in found.items()}
    wrong = [name for name in sorted({*want, *found}) if want.get(name) != shape.get(name)]
    if wrong:
        name = wrong[0]
        has = f"is {shape[name]}" if name in found else "is not there"
        more = f", and {len(wrong) - 1} others" if wrong[1:] else ""
        raise JaxganError(
            f"{_told(path)} is another network: {name} {has}, expected {want.get(name, 'none')}{more}; {expected}"
        )
    return {name: np.asarray(found[name], np.float32) for name in want}


def _told(path: Path) -> str:
    """A file, its size and checksum, in words."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return f"{path}, {path.stat().st_size:,} bytes, SHA-256 {digest},"
