"""Arrays that a run was trained on, in its folder, so that they need not be given again."""

from pathlib import Path

import jax
import numpy as np

from jaxgan import disk
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
        disk.write_arrays(path, **arrays)


def kept(dir: Path, c: Config) -> Source:
    """The arrays that the run in dir was trained on; JaxganError where they are not there."""
    path = dir / FILE
    try:
        found = disk.arrays(path)
        return from_arrays(found["x"], found.get("y"), flip=c.flip, sequences=c.net == "conv1d")
    except (JaxganError, KeyError) as e:
        raise JaxganError(
            f"the run in {dir} was trained on arrays, which are not there as they were: {e}; they are kept up to "
            f"{MOST >> 20} MB. Give them in Python: source=jaxgan.data.from_arrays(images, labels)"
        ) from None
