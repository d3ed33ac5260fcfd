"""Arrays that a run was trained on, in its folder, so that they need not be given again."""

import os
import zipfile
from pathlib import Path

import jax
import numpy as np

from jaxgan.config import Config
from jaxgan.data.memory import from_arrays
from jaxgan.types import JaxganError, Source

NAME = "arrays"  # of such data, in a configuration
FILE = "arrays.npz"
MOST = 256 << 20  # bytes: larger ones are not kept, and have to be given again


def keep(dir: Path, source: Source | None, say) -> None:
    """Write source's rows into dir, unless they are there or too many, which is said; by the first process."""
    path = dir / FILE
    if source is None or jax.process_index() > 0:
        return
    if source.bytes > MOST:
        say(f"NOTE: the arrays are larger than {MOST >> 20} MB and not kept; verify needs them again")
    elif not path.exists():
        rows = source.rows(np.arange(source.size))
        arrays: dict = {"x": rows["x"], **({"y": rows["y"]} if source.classes else {})}
        part = path.with_suffix(".part.npz")
        np.savez(part, **arrays)
        os.replace(part, path)


def kept(dir: Path, c: Config) -> Source:
    """The arrays that the run in dir was trained on; JaxganError where they are not there."""
    path = dir / FILE
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            x, y = file["x"], file["y"] if "y" in file.files else None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as e:
        raise JaxganError(
            f"the run in {dir} was trained on arrays, and {FILE} in it cannot be read ({getattr(e, 'strerror', e)}); "
            f"it is kept up to {MOST >> 20} MB. Give them in Python: source=jaxgan.data.from_arrays(images, labels)"
        ) from None
    return from_arrays(x, y, flip=c.flip, sequences=c.net == "conv1d")
