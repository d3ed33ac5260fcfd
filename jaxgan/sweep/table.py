"""What a sweep found: settings ranked over their seeds, as a table, and the best of them as a command."""

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxgan import config
from jaxgan.config import NEUTRAL, Config
from jaxgan.errors import JaxganError
from jaxgan.metrics.names import find
from jaxgan.sweep import space, store

NATURAL = (["max modes", "max high_quality"], ["min fid"])  # objectives where none is given: the first that fits


class Setting(NamedTuple):
    """Members that differ by their seed only: their values, their rows of store.results, the ids of the finite ones."""

    values: dict[str, Any]
    rows: list[dict]

    def numbers(self, name: str) -> np.ndarray:
        """The metric `name` of the members that are finite and have it."""
        return np.array([r[name] for r in self.rows if r["status"] != "non-finite" and _is_number(r.get(name))])

    def failed(self) -> int:
        """Members that became non-finite."""
        return sum(row["status"] == "non-finite" for row in self.rows)


def _is_number(x) -> bool:
    return isinstance(x, int | float) and math.isfinite(x)


def settings(dir) -> list[Setting]:
    """The members of a sweep by their values apart from the seed, in order of first appearance."""
    found: dict[str, Setting] = {}
    for row, (values, _) in zip(store.results(dir), store.members(dir).values()):
        own = {name: value for name, value in values.items() if name != "seed"}
        found.setdefault(repr(sorted(own.items())), Setting(own, [])).rows.append(row)
    return list(found.values())


def objectives(text: str, rows: list[dict]) -> list[tuple[str, str]]:
    """[("max" or "min", metric)] of "max modes, max high_quality"; the natural ones of these results if text is empty.

    A metric with a protocol may be shortened: "min fid" finds fd/digits-cnn/n5000/ddof1. JaxganError for one that no
    member has logged.
    """
    fields = {"step", *config.flat(Config())}
    known = sorted({n for row in rows for n, x in row.items() if _is_number(x) and not n.startswith("best ")} - fields)
    parts = [part.split() for part in text.split(",")] if text else []
    for part in parts:
        if len(part) != 2 or part[0] not in ("max", "min"):
            raise JaxganError(f'the objective is {text!r}; expected "max METRIC" or "min METRIC", several with commas')
    if not text:
        parts = next((found for one in NATURAL if (found := _fitting(one, known))), [])
    if not any(row["step"] for row in rows):
        return [(direction, name) for direction, name in parts]
    return [(direction, find(name, known)) for direction, name in parts]


def _fitting(objective: list[str], known: list[str]) -> list[list[str]]:
    """The parts of an objective, none where one of its metrics is not known."""
    parts = [part.split() for part in objective]
    try:
        return [[direction, find(name, known)] for direction, name in parts]
    except JaxganError:
        return []


def ranked(found: list[Setting], aims: list[tuple[str, str]]) -> list[Setting]:
    """Settings from best to worst by their means over seeds; those with a member that failed come after the others."""

    def place(setting: Setting):
        means = [(sign, setting.numbers(name)) for sign, name in aims]
        keys = [(-x.mean() if sign == "max" else x.mean()) if len(x) else math.inf for sign, x in means]
        return setting.failed(), keys

    return sorted(found, key=place) if aims else found


def table(dir, objective: str = "") -> str:
    """Mean and standard deviation over seeds of each setting, best first, aligned for a terminal."""
    found = settings(dir)
    aims = objectives(objective, [row for setting in found for row in setting.rows])
    found = ranked(found, aims)
    names = list(dict.fromkeys(name for setting in found for name in setting.values))
    metrics = [name for _, name in aims] or ["d_loss", "g_loss"]
    metrics = [shown for name in metrics for shown in (name, *([f"best {name}"] if "/n" in name else []))]
    lines = [[*names, *metrics, "members", "non-finite"]]
    for setting in found:
        numbers = [setting.numbers(name) for name in metrics]
        cells = [_text(setting.values.get(name, "")) for name in names]
        lines.append([*cells, *map(spread, numbers), str(len(setting.rows)), str(setting.failed() or "")])
    if not any(line[-1] for line in lines[1:]):
        lines = [line[:-1] for line in lines]
    widths = [max(map(len, column)) for column in zip(*lines)]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(line, widths)).rstrip() for line in lines)


def _text(value) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def spread(x: np.ndarray) -> str:
    """mean ± standard deviation (n - 1 below the root) of x, or what there is of it."""
    if not len(x):
        return "-"
    return f"{x.mean():.4g} ± {x.std(ddof=1):.2g}" if len(x) > 1 else f"{x.mean():.4g}"


def best(dir, objective: str = "", original: Config | None = None) -> str:
    """The command that trains the best setting; original: the experiment's own configuration. "" without an order."""
    found = settings(dir)
    aims = objectives(objective, [row for setting in found for row in setting.rows])
    if not aims or not ranked(found, aims)[0].numbers(aims[0][1]).size:
        return ""
    return command(dir, ranked(found, aims)[0].values, original)


def command(dir, values: dict[str, Any], original: Config | None = None) -> str:
    """The command that trains a setting of the sweep in dir."""
    contents = store.read(dir)
    c = space.member(config.from_dict(contents["config"]), values)
    old = config.flat(original or Config())
    changed = {name: value for name, value in config.flat(c).items() if value != old[name] and name != "seed"}
    keep = {name: value for name, value in changed.items() if name not in NEUTRAL or name == "steps"}
    return " ".join(["jaxgan train", contents["experiment"], *(flag(name, value) for name, value in keep.items())])


def flag(name: str, value) -> str:
    """A value as a flag of train."""
    name, value = name.replace("_", "-"), config.size_text(value) if name == "size" else value
    if isinstance(value, tuple | list):
        return " ".join([f"--{name}", *map(str, value)])
    if isinstance(value, bool):
        return f"--{name}" if value else "--" + ".".join([*name.split(".")[:-1], f"no-{name.split('.')[-1]}"])
    return f"--{name} {value}"


def summary(dir, objective: str = "", original: Config | None = None) -> str:
    """The table, and what to do next."""
    command = best(dir, objective, original)
    lines = [table(dir, objective), ""]
    waiting = sum(row["status"] in ("waiting", "running") for row in store.results(dir))
    if waiting:
        lines.append(f"members that are not finished: {waiting}; the same command goes on")
    lines.append(f"best: {command}" if command else 'no order: give one, such as --objective "max high_quality"')
    return "\n".join([*lines, f"runs: {Path(dir) / 'runs'}"])
