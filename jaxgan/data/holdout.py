"""Examples kept out of training."""

import numpy as np

from jaxgan.types import JaxganError, Source


def split(source: Source, n: int) -> tuple[Source, Source]:
    """source without n of its rows, and a source of those n; which ones depends on the number of rows alone.

    Raises JaxganError where there are not enough rows, or none because the source is a density.
    """
    if not source.size:
        raise JaxganError(f"{source.name} is a density: every example is new, so there is nothing to hold out")
    if n >= source.size:
        raise JaxganError(f"holdout is {n}, but {source.name} has {source.size} examples; keep some for training")
    order = np.random.default_rng(0).permutation(source.size)
    return _some(source, np.sort(order[n:]), f"without {n}"), _some(source, np.sort(order[:n]), f"held out {n}")


def _some(source: Source, keep: np.ndarray, words: str) -> Source:
    return source._replace(
        size=len(keep),
        rows=lambda index: source.rows(keep[np.asarray(index)]),
        fingerprint=f"{source.fingerprint} {words}",
        found=f"{source.found}; {words}",
        bytes=source.bytes * len(keep) // source.size,
    )
