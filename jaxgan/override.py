"""Numbers that were changed on purpose where a run was resumed: kept in its folder, and replayed by verify.

overrides.json: [{"step", "name", "old", "new"}], in the order in which they were made; config.json keeps what the run
began with. A resumed run goes on with its overrides, whether they are named again or not.
"""

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np

from jaxgan import disk, hp
from jaxgan.config import Config
from jaxgan.errors import JaxganError, nearest
from jaxgan.hp import Hp
from jaxgan.types import State

FILE = "overrides.json"


def parse(words: tuple[str, ...]) -> dict[str, hp.Number]:
    """{name in Hp: new value} of words such as "hp.g_lr=1e-5"; JaxganError for what is no number of Hp."""
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        short = name.replace("-", "_").removeprefix("hp.")
        if not equals or not value:
            raise JaxganError(f"--override {word}: expected NAME=VALUE, such as hp.g_lr=1e-5")
        if short not in Hp.__dataclass_fields__:
            raise JaxganError(
                f"--override {word}: only numbers of hp can change while a run goes on.{nearest(short, vars(Hp()))}"
            )
        try:
            found[short] = hp.number(f"hp.{short}", value if ":" in value else float(value))
        except ValueError:
            raise JaxganError(f"--override {word}: {value!r} is no number") from None
    return found


def read(dir: Path) -> list[dict]:
    """The overrides of the run in dir, [] without any."""
    path = dir / FILE
    try:
        rows = json.loads(path.read_text("utf-8"))
        if all(isinstance(row["step"], int) and row["name"] in Hp.__dataclass_fields__ for row in rows):
            return [{**row, "new": hp.number(f"hp.{row['name']}", row["new"])} for row in rows]
        reason = "a row has no step, or names no number"
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as e:
        reason = str(e)
    raise JaxganError(f"{path} cannot be used ({reason}); bring it back, or the run cannot go on as it was")


def check_new(new: dict[str, hp.Number] | None) -> None:
    """JaxganError for overrides of a run that has nothing to go on from."""
    if new:
        raise JaxganError("--override changes a run that is resumed, and this one has no checkpoint yet; use --hp.NAME")


def resumed(dir: Path, c: Config, step: int, new: dict[str, hp.Number]) -> list[dict]:
    """Overrides as they stand where the run in dir goes on from `step`, `new` ones among them; also into the folder.

    Those of later steps are forgotten with the steps. JaxganError where a new value would make another program.
    """
    old = read(dir)
    rows = [row for row in old if row["step"] <= step]
    if not step:
        check_new(new)
    now = _with(c, {row["name"]: row["new"] for row in rows})
    then = _with(now, new)
    for name, value in new.items():
        before = getattr(now.hp, name)
        if _program(now, name) != _program(then, name):
            raise JaxganError(
                f"--override hp.{name}: {hp.text(before)} -> {hp.text(value)} makes another program: it switches a "
                "part on or off, or exchanges a constant and a schedule; start a new run"
            )
        if before != value:
            rows.append({"step": step, "name": name, "old": hp.plain(before), "new": value})
    if rows != old and jax.process_index() == 0:
        disk.write(dir / FILE, json.dumps([{**row, "new": hp.plain(row["new"])} for row in rows], indent=1))
    return rows


def _program(c: Config, name: str) -> tuple:
    """What the compiled program knows of a number."""
    return name in hp.switched_on(c.hp), hp.pieces(c.hp).get(name)


def _with(c: Config, numbers: dict[str, hp.Number]) -> Config:
    return dataclasses.replace(c, hp=hp.check(dataclasses.replace(c.hp, **numbers)))


def applied(state: State, rows: list[dict], step: int | None = None) -> State:
    """state with the new values of rows, or of those made at `step`, where the old ones lie."""
    numbers = {row["name"]: row["new"] for row in rows if step is None or row["step"] == step}
    if not numbers:
        return state
    new = hp.arrays(Hp(**numbers))
    put = {n: jax.device_put(np.asarray(new[n], np.float32), getattr(state.hp[n], "sharding", None)) for n in numbers}
    return dataclasses.replace(state, hp={**state.hp, **put})
