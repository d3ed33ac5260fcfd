"""What is true of a field of Config or Hp, written at the field as its metadata. No jax here."""

import dataclasses
import functools
import operator
from typing import Any, NamedTuple

GROUPS = ("parts", "generator", "discriminator", "data", "run", "devices", "run folder")

# what most kinds of GAN have, and a field may need; config.KINDS says what a kind lacks
OFFERS = {
    "critic": "discriminator",
    "loss": "adversarial loss that may be chosen",
    "g_loss": "loss of G's own",
    "latent": "examples that a latent vector alone makes",
    "search": "latents that may move before an update",
    "again": "generated examples that D may see once more",
    "made": "examples that are made of latents alone",
    "counts": "other number of generated examples than of real ones",
    "views": "examples that may be moved alone",
    "alike": "generated examples that could be real ones",
    "whole": "examples that D sees at one size alone",
    "alone": "discriminator of examples alone",
    "layers": "discriminator whose layers run from an image to a logit",
    "one": "discriminator that judges all examples alike",
    "labels": "networks that take labels",
    "norms": "generator whose normalisation is a choice",
}


class Facts(NamedTuple):
    """of, never: owners. The field acts beside any of the first, unless beside one of the others.

    An owner is one of GROUPS, which every run has; "kind aae vae", a field and some of its values; or "hp.r1", a field
    that is on.
    needs: words of OFFERS, of all of which a kind of GAN has to have, or the field does not act there.
    least, above, below, most: bounds of a number, None without one.
    off: of Hp, the value that leaves a number out of the program; always: whether 0 switches nothing off.
    neutral: a run may be resumed with another value: it cannot change the trajectory.
    free: members of one compiled program may differ in it.
    later: not in version 0.1.0; at its default a digest (of Hp) and config.json (of Config) leave it out, and so stay
    as they were.
    """

    of: tuple[str, ...]
    never: tuple[str, ...] = ()
    needs: str = ""
    least: float | None = 0
    above: float | None = None
    below: float | None = None
    most: float | None = None
    off: float = 0.0
    always: bool = False
    neutral: bool = False
    free: bool = False
    later: bool = False


def option(default, *of: str, **facts) -> Any:
    """A dataclass field with a default and its Facts."""
    return dataclasses.field(default=default, metadata={"facts": Facts(of, **facts)})


def brief(record) -> str:
    """A dataclass as Python writes it, less the fields that are at their defaults."""
    usual = type(record)()
    changed = {f.name: getattr(record, f.name) for f in dataclasses.fields(record)}
    words = [f"{name}={value!r}" for name, value in changed.items() if value != getattr(usual, name)]
    return f"{type(record).__name__}({', '.join(words)})"


@functools.cache
def facts(cls: type) -> dict[str, Facts]:
    """{field: its facts} of the fields that were made by `option`, those of records in it as "record.field"."""
    own = {f.name: f.metadata["facts"] for f in dataclasses.fields(cls) if f.metadata}
    return own | {f"{name}.{n}": found for name, record in records(cls).items() for n, found in facts(record).items()}


@functools.cache
def records(cls: type) -> dict[str, type]:
    """{field: class} of the fields that hold options of one part: dataclasses at their defaults."""
    return {f.name: type(f.default) for f in dataclasses.fields(cls) if dataclasses.is_dataclass(f.default)}


def replaced(c, values: dict[str, Any]):
    """A dataclass with other values of fields, and of fields of those in it, "record.field"."""
    nested: dict[str, dict] = {}
    for name, value in values.items():
        record, _, field = name.rpartition(".")
        nested.setdefault(record, {})[field] = value
    own = nested.pop("", {})
    return dataclasses.replace(c, **own, **{n: replaced(getattr(c, n), fields) for n, fields in nested.items()})


BOUNDS = {
    "least": (operator.ge, "{} or more"),
    "above": (operator.gt, "above {}"),
    "below": (operator.lt, "below {}"),
    "most": (operator.le, "at most {}"),
}


def outside(found: Facts, x: float) -> str:
    """What a number has to be, such as "above 0 and below 1", if x is not; else ""."""
    bounds = [(right, words, bound) for n, (right, words) in BOUNDS.items() if (bound := getattr(found, n)) is not None]
    if all(right(x, bound) for right, _, bound in bounds):
        return ""
    return " and ".join(words.format(bound) for _, words, bound in bounds)
