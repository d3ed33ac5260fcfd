"""What a sweep's members are: lists of settings, the configurations and ids they make, and which share a program.

A setting is a dict {field: value} such as {"loss": "ns", "hp.g_lr": 1e-4, "seed": 0}; "g_lr" stands for "hp.g_lr".
No jax here.
"""

import hashlib
import json
import math
import zlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxgan import config
from jaxgan.config import NEUTRAL, Config, Hp
from jaxgan.errors import JaxganError, nearest
from jaxgan.fields import facts, replaced
from jaxgan.hp import pieces, switched_on


class Distribution(NamedTuple):
    """kind: "uniform", "log_uniform" or "choice"; args: its bounds, or the values to choose from."""

    kind: str
    args: tuple


def uniform(low: float, high: float) -> Distribution:
    """Numbers in [low, high), all equally likely."""
    return _between("uniform", low, high)


def log_uniform(low: float, high: float) -> Distribution:
    """Numbers in [low, high) whose logarithm is uniform; low above 0."""
    if low <= 0:
        raise JaxganError(f"log_uniform({low}, {high}): the lower bound must be above 0; use uniform")
    return _between("log_uniform", low, high)


def choice(*values) -> Distribution:
    """One of the values, all equally likely."""
    if not values:
        raise JaxganError("choice() has nothing to choose from; give it values: choice('ns', 'hinge')")
    return Distribution("choice", values)


def _between(kind: str, low: float, high: float) -> Distribution:
    if not low < high:
        raise JaxganError(f"{kind}({low}, {high}): the lower bound comes first")
    return Distribution(kind, (float(low), float(high)))


def draw(d: Distribution, u: float) -> Any:
    """The value of d at u in [0, 1): its inverse distribution function."""
    if d.kind == "choice":
        return d.args[int(u * len(d.args))]
    low, high = d.args
    return low + u * (high - low) if d.kind == "uniform" else math.exp(math.log(low) + u * math.log(high / low))


def grid(values: Mapping[str, Iterable] | None = None, /, **more: Iterable) -> list[dict]:
    """Every combination: grid({"hp.g_lr": [1e-4, 1e-3]}, loss=["ns", "hinge"]) has 4 members; the last varies first."""
    settings: list[dict] = [{}]
    for name, column in _columns(values, more).items():
        settings = [{**old, name: value} for old in settings for value in column]
    return settings


def zipped(values: Mapping[str, Iterable] | None = None, /, **more: Iterable) -> list[dict]:
    """The first value of every name, then the second, and so on; all lists have the same length."""
    columns = _columns(values, more)
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise JaxganError(
            f"zipped takes lists of one length; got {', '.join(f'{k}: {v}' for k, v in lengths.items())}. grid combines"
        )
    return [dict(zip(columns, row)) for row in zip(*columns.values())]


def sampled(n: int, seed: int, values: dict[str, Distribution] | None = None, /, **more: Distribution) -> list[dict]:
    """n random settings; the i-th value of a name depends on seed, i and that name alone."""
    distributions = {**(values or {}), **more}
    for name, d in distributions.items():
        if not isinstance(d, Distribution):
            raise JaxganError(f"sampled: {name} is {d!r}; expected uniform(...), log_uniform(...) or choice(...)")

    def value(name: str, i: int):
        return draw(distributions[name], np.random.default_rng([seed, i, zlib.crc32(name.encode())]).random())

    return [{name: value(name, i) for name in distributions} for i in range(n)]


def seeds(n: int) -> list[dict]:
    """Seeds 0 to n - 1."""
    return [{"seed": i} for i in range(n)]


def product(*lists: list[dict]) -> list[dict]:
    """Every combination of one setting from each list."""
    settings: list[dict] = [{}]
    for many in lists:
        settings = [_joined(old, new) for old in settings for new in many]
    return settings


def without(settings: list[dict], name: str) -> list[dict]:
    """Settings without a field, each once."""
    rest = [{n: value for n, value in one.items() if field(n) != name} for one in settings]
    return [one for i, one in enumerate(rest) if one not in rest[:i]]


def _joined(a: dict, b: dict) -> dict:
    both = sorted(a.keys() & b.keys())
    if both:
        raise JaxganError(f"product: {both[0]} is set by two of the lists; set it in one of them")
    return {**a, **b}


def _columns(values: Mapping | None, more: Mapping) -> dict[str, list]:
    columns = {**(values or {}), **more}
    for name, column in columns.items():
        if isinstance(column, str) or not isinstance(column, Iterable):
            raise JaxganError(f"{name} is {column!r}; expected a list of values: [{column!r}]")
    return {name: list(column) for name, column in columns.items()}


def parse_grid(words: Iterable[str]) -> list[dict]:
    """The settings of ["hp.g_lr=1e-4,2e-4", "loss=ns,hinge"] from the command line."""
    columns = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not (name and equals and all(text.split(","))):
            raise JaxganError(f"--grid {word}: expected NAME=VALUE,VALUE,... such as loss=ns,hinge")
        if field(name) in columns:
            raise JaxganError(f"--grid names {field(name)} twice; put all its values into one list")
        columns[field(name)] = [_value(v) for v in text.split(",")]
    return grid(columns)


def _value(text: str) -> Any:
    try:
        return json.loads(text.lower() if text.lower() in ("true", "false") else text)
    except ValueError:
        return text


def field(name: str) -> str:
    """The full name of a configuration field: "hp.g_lr" for "g_lr" and "hp.g-lr"; JaxganError for what is none."""
    plain = name.replace("-", "_")
    traced = plain.removeprefix("hp.")
    known = list(facts(Config))
    if plain in NEUTRAL:
        raise JaxganError(
            f"{plain} cannot be swept: it does not change what a run computes up to a step, so members would be the "
            f"same run. Set it for all of them: --{plain.replace('_', '-')}"
        )
    if plain in known:
        return plain
    if traced in Hp.__dataclass_fields__:
        return f"hp.{traced}"
    every = [*(n for n in known if n not in NEUTRAL), *(f"hp.{n}" for n in Hp.__dataclass_fields__)]
    short = {n.removeprefix("hp."): n for n in every}
    hint = nearest(traced if plain.startswith("hp.") else plain, short)
    raise JaxganError(f"a sweep has no field {name!r}.{hint} See the flags of: jaxgan sweep EXPERIMENT --help")


def member(base: Config, values: dict[str, Any]) -> Config:
    """base with a setting's values, checked; JaxganError names the field and the setting."""
    flat = {field(name): value for name, value in values.items()}
    if len(flat) < len(values):
        raise JaxganError(f"the setting {values} names a field twice")
    try:
        return config.check(replaced(base, flat))
    except JaxganError as e:
        raise JaxganError(f"the setting {values} of the sweep: {e}") from None


def identity(c: Config) -> str:
    """The id of a member: 10 hex digits of the SHA-256 of what c changes from the defaults, neutral fields apart.

    `steps` is neutral: a longer run passes through the shorter one, so that more --steps train the same members on. A
    field that a later version adds changes no id.
    """
    default = config.flat(Config())
    values = {name: value for name, value in config.flat(c).items() if name not in NEUTRAL and value != default[name]}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:10]


def expand(base: Config, settings: list[dict]) -> dict[str, tuple[dict, Config]]:
    """{id: (values with full names, configuration)}, in order; settings that make the same run are one member."""
    members: dict[str, tuple[dict, Config]] = {}
    for values in settings:
        if not isinstance(values, dict):
            raise JaxganError(f"a sweep is a list of dicts {{field: value}}; it holds {values!r}")
        c = member(base, values)
        members.setdefault(identity(c), ({field(name): config.flat(c)[field(name)] for name in values}, c))
    return members


def static(c: Config) -> dict[str, Any]:
    """What members of one compiled program have in common: every static field, and which numbers are above 0.

    A penalty whose weight is 0 is not in the program, so "on" lists the numbers of Hp above 0 (but for those that are
    always in it), and "pieces" the schedules, whose own numbers are free. Numbers that came after version 0.1.0 and are
    above 0 unless asked otherwise are listed where they are not, as "off", so that groups of older sweeps stay theirs.
    """
    values = {n: v for n, v in config.to_dict(c).items() if n not in NEUTRAL and n not in ("hp", "seed")}
    scheduled = {"pieces": pieces(c.hp)} if pieces(c.hp) else {}
    usual = {name for name in switched_on(Hp()) if facts(Hp)[name].later and not facts(Hp)[name].always}
    on = [name for name in sorted(switched_on(c.hp) - usual) if not facts(Hp)[name].always]
    off = sorted(usual - switched_on(c.hp))
    return {**values, "on": on, **({"off": off} if off else {}), **scheduled}


def groups(configs: dict[str, Config]) -> list[tuple[dict, list[str]]]:
    """[(static values, ids)]: members of one compiled program each, in order of first appearance."""
    found: dict[str, tuple[dict, list[str]]] = {}
    for id, c in configs.items():
        key = static(c)
        found.setdefault(json.dumps(key, sort_keys=True), (key, []))[1].append(id)
    return list(found.values())
