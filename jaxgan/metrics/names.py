"""What a metric returns: a number with its protocol, which its name carries, and its standard error.

A name is METRIC/FEATURES/nCOUNT/OPTIONS, such as fid/inception-2015/bilinear/n50000/ddof1.
"""

import math
import re
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from jaxgan.errors import JaxganError, nearest

COUNT = re.compile(r"n\d+")
OPTION = re.compile(r"([a-z]+)(\d[\d.]*(?:e[-+]?\d+)?)?")


class Protocol(NamedTuple):
    """The parts of a name: features may hold slashes, n counts generated examples, an option without number is True."""

    metric: str
    features: str
    n: int
    options: dict[str, float | bool]


class Score(NamedTuple):
    """A metric's value under the protocol that its name states, and its standard error, nan where none is known."""

    name: str
    value: float
    error: float = math.nan

    @property
    def low(self) -> float:
        """Lower end of the normal 95 % interval."""
        return self.value - 1.96 * self.error

    @property
    def high(self) -> float:
        """Upper end of the normal 95 % interval."""
        return self.value + 1.96 * self.error

    def __float__(self) -> float:
        return float(self.value)

    def __str__(self) -> str:
        return f"{self.name} = {self.value:.6g}" + ("" if math.isnan(self.error) else f" ± {self.error:.2g}")


def build(metric: str, features: str, n: int, real: int | None = None, **options) -> str:
    """The name of a metric of n generated examples; that of real ones stands in it where it is another number.

    An option is a number, or True for a flag; False leaves it out.
    """
    if not features or any(COUNT.fullmatch(part) for part in features.split("/")):
        raise JaxganError(f"features {features!r} need a name without a part such as n50000, which is the count's")
    if real not in (None, n):
        options = {"real": real, **options}
    parts = [f"{k}{_text(v)}" for k, v in options.items() if v is not False]
    return "/".join([metric, features, f"n{n}", *parts])


def _text(value: float | bool) -> str:
    return "" if value is True else f"{value:g}" if isinstance(value, float) else str(value)


def parse(name: str) -> Protocol:
    """The parts of a name that `build` made; JaxganError for another string."""
    metric, *parts = name.split("/")
    at = next((i for i, part in enumerate(parts) if COUNT.fullmatch(part)), 0)
    found = [OPTION.fullmatch(part) for part in parts[at + 1 :]]
    if not (metric and at and all(found)):
        raise JaxganError(f"{name!r} is no metric's name; it would look like fid/inception-2015/bilinear/n50000/ddof1")
    options = {m[1]: _number(m[2]) for m in found if m}
    return Protocol(metric, "/".join(parts[:at]), int(parts[at][1:]), options)


def _number(text: str | None) -> float | bool:
    if text is None:
        return True
    return int(text) if text.isdigit() else float(text)


def find(short: str, known: Iterable[str]) -> str:
    """The one of known names that short names: itself, or the only one that begins with its parts; fid finds fd too.

    JaxganError where there is none, or more than one.
    """
    known = list(known)
    starts = [f"{short}/", f"{short.replace('fid', 'fd')}/"]
    found = (
        [short]
        if short in known
        else next((f for start in starts if (f := [name for name in known if name.startswith(start)])), [])
    )
    if len(found) == 1:
        return found[0]
    if found:
        raise JaxganError(f"{short!r} may be any of {', '.join(found)}; give more of the name")
    raise JaxganError(f"there is no metric {short!r}.{nearest(short, known)} There are: {', '.join(known)}")


def mean(name: str, values) -> Score:
    """The mean of independent values under a name, with its standard error."""
    values = np.asarray(values, np.float64)
    error = values.std(ddof=1) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return Score(name, float(values.mean()), float(error))


def jackknife(metric, real, fake, groups: int = 10, seed: int = 0, **options):
    """metric(real, fake, **options), a Score or a dict of them, with the sampling error of both sets.

    A delete-one-group jackknife over seeded groups (Shao and Tu 1995, The Jackknife and Bootstrap, 2.3), which asks for
    the metric `groups` times more. real is None for a metric of fake alone. The error leaves out bias, such as FID's.
    """
    sets = [None if x is None else np.asarray(x) for x in (real, fake)]
    least = min(len(x) for x in sets if x is not None)
    if not 2 <= groups <= least // 2:
        raise JaxganError(f"groups is {groups}; take from 2 to {least // 2}, half of the smaller set's rows")
    draw = np.random.default_rng(seed)
    group = [None if x is None else draw.permutation(len(x)) % groups for x in sets]
    without = lambda g: [None if x is None else x[at != g] for x, at in zip(sets, group)]  # noqa: E731
    found = [metric(*without(g), **options) for g in range(groups)]
    whole = metric(real, fake, **options)
    if isinstance(whole, dict):
        return {key: _jackknifed(score, [f[key] for f in found]) for key, score in whole.items()}
    return _jackknifed(whole, found)


def _jackknifed(whole: Score, found: list[Score]) -> Score:
    return whole._replace(error=float(np.std([f.value for f in found]) * math.sqrt(len(found) - 1)))
