"""Which images the stages of a network reach: those that are a small first map, doubled so and so many times."""

import math
from typing import NamedTuple

from jaxgan.config import size_text
from jaxgan.types import JaxganError

SHORT = range(4, 8)  # pixels that the shorter side of a first map may have; its longer side may have any
COUNTS = range(1, 20)  # doublings, as many as any network may ask for
NEAR, FAR = 3, 3  # sizes that an error names, and how much farther than the nearest they may be


class Stages(NamedTuple):
    """first: height and width of the first map; doublings: how many times it is doubled."""

    first: tuple[int, int]
    doublings: int

    @property
    def pixels(self) -> tuple[int, ...]:
        """The sizes 4, 8, 16, ... after which widths are chosen: those of squares that are doubled as often."""
        return tuple(SHORT[0] << i for i in range(self.doublings + 1))


def stages(net: str, shape: tuple[int, ...], counts: range = COUNTS) -> Stages:
    """Those of images of this shape, doubled as often as one of counts says; JaxganError where there are none."""
    if len(shape) != 3:
        raise JaxganError(
            f"{net} makes images (height, width, channels), not examples of shape {tuple(shape)}: set net to mlp "
            "(conv1d for sequences)."
        )
    h, w = shape[:2]
    if (count := doublings(h, w, counts)) is not None:
        return Stages((h >> count, w >> count), count)
    often = "" if counts[-1] > 9 else f", {counts[0]} to {counts[-1]} times"
    raise JaxganError(
        f"{net} makes images whose shorter side is {SHORT[0]} to {SHORT[-1]} pixels, doubled again and again{often}, "
        f"and the longer one any number doubled as often, not shape {tuple(shape)}: set size to "
        f"{' or '.join(size_text(h if h == w else (h, w)) for h, w in nearest(h, w, counts))}, or net to mlp."
    )


def doublings(h: int, w: int, counts: range = COUNTS) -> int | None:
    """How many times, one of counts, a first map is doubled to h x w pixels; None where there is no such."""
    fits = (n for n in counts if h % 2**n == w % 2**n == 0 and min(h, w) >> n in SHORT)
    return next(fits, None)


def squares(net: str, shape: tuple[int, ...]) -> Stages:
    """Those of squares of 8, 16, 32, ... pixels, which begin with 4; JaxganError for other images."""
    count = shape[0].bit_length() - SHORT[0].bit_length()
    if len(shape) == 3 and count > 0 and shape[0] == shape[1] == SHORT[0] << count:
        return Stages((SHORT[0], SHORT[0]), count)
    near = {max(2 * SHORT[0], 1 << n) for n in (min(shape[:2]).bit_length() - 1, min(shape[:2]).bit_length())}
    raise JaxganError(
        f"{net} makes square images of 8, 16, 32, 64, ... pixels, not shape {tuple(shape)}: set size to "
        f"{' or '.join(map(str, sorted(near)))}, or net to stylegan2, which reaches rectangles too (mlp for points, "
        "conv1d for sequences)."
    )


def nearest(h: int, w: int, counts: range) -> list[tuple[int, int]]:
    """Some sizes that are reached, the nearest to h x w in ratios first; squares where it is one."""
    found = set()
    for count in counts:
        for a in (h >> count, (h >> count) + 1):
            for b in (w >> count, (w >> count) + 1):
                a, b = max(a, SHORT[0]), max(b, SHORT[0])
                short = min(a, b, SHORT[-1])
                found.add(((short if a <= b else a) << count, (short if b <= a else b) << count))
    away = {(a, b): abs(math.log(a / h)) + abs(math.log(b / w)) for a, b in found if h != w or a == b}
    return sorted((size for size in away if away[size] <= FAR * min(away.values())), key=lambda s: (away[s], s))[:NEAR]
