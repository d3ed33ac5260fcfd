"""Classes of different sizes, drawn equally often."""

import numpy as np

from jaxgan.types import JaxganError, Source

BALANCED = " balanced"  # the end of such a source's fingerprint
CHUNK = 1024  # rows whose labels are read at a time


def balanced(source: Source) -> Source:
    """source with as many rows of each class as the largest has; those of smaller ones come again, in turn.

    A row stays a function of its number, and so which class is drawn when one of (seed, step). Classes without examples
    have none to draw. JaxganError where there are no classes.
    """
    if not source.classes or not source.size:
        raise JaxganError(f"balance is True, but {source.name} has no classes to draw equally; leave it at False")
    starts = range(0, source.size, CHUNK)
    y = np.concatenate([source.rows(np.arange(s, min(s + CHUNK, source.size)))["y"] for s in starts])
    members = [np.flatnonzero(y == label) for label in np.unique(y)]
    most = max(map(len, members))
    index = np.concatenate([np.resize(rows, most) for rows in members])
    return source._replace(
        size=len(index),
        rows=lambda i: source.rows(index[np.asarray(i)]),
        fingerprint=f"{source.fingerprint}{BALANCED}",
        bytes=source.bytes * len(index) // source.size,
        found=f"{source.found}; balanced: {most:,} draws of each class in an epoch",
    )
