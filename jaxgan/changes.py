"""Versions in which the numbers of some runs changed: because they were wrong. All other runs keep their bits."""

from collections.abc import Callable
from typing import NamedTuple

from jaxgan.config import Config, Hp
from jaxgan.fields import facts
from jaxgan.penalties import PAIRED
from jaxgan.rng import SHUFFLED
from jaxgan.types import Source

LATER = {name: getattr(Hp(), name) for name, found in facts(Hp).items() if found.later}
"""Numbers of Hp that version 0.1.0 did not have: at these values digests leave them out, and so stay as they were."""


class Change(NamedTuple):
    """version: the first with the new numbers; touches: (config, source) -> whether this run's are among them."""

    version: str
    touches: Callable[[Config, Source], bool]
    text: str


def _rounds_up(c: Config, source: Source) -> bool:
    """Whether a half was rounded to the even number below."""
    names = {*c.augment, *(c.cr_augment if c.hp.on("cr") or c.hp.on("cr_fake") else ())}
    parts = ("translation", 8), ("cutout", 2)
    return any(name in names and round(n / k) != int(n / k + 0.5) for name, k in parts for n in source.shape[:2])


def _every(period: int, c: Config, *names: str) -> bool:
    """Whether one of these numbers is in the program and acts in some updates only."""
    return period > 1 and any(c.hp.on(name) for name in names)


CHANGES = (
    Change(
        "0.2.0",
        lambda c, source: c.solver in ("optimistic", "lookahead") and (c.hp.on("clip") or c.hp.on("max_norm")),
        "hp.clip and hp.max_norm hold after every step of the solvers optimistic and lookahead",
    ),
    Change(
        "0.2.0",
        lambda c, source: bool(c.augment) and (c.hp.on("r1") or c.hp.on("r2")),
        "R1 and R2 are taken at the image before augmentation, as published gammas mean",
    ),
    Change(
        "0.2.0",
        lambda c, source: (
            (c.lazy > 1 and (c.hp.on("r1") or c.hp.on("r2"))) or (c.lazy_g > 1 and c.hp.on("path_length"))
        ),
        "lazy and lazy_g leave learning rate and betas as they are",
    ),
    Change(
        "0.2.0",
        lambda c, source: c.hp.on("path_length"),
        "gradients of the path length penalty flow through its running mean too",
    ),
    Change(
        "0.2.0",
        lambda c, source: c.pack > 1 and any(c.hp.on(name) for name in PAIRED),
        "penalties between real and generated examples draw one point for each pack",
    ),
    Change("0.2.0", _rounds_up, "translation and cutout round halves of a pixel up"),
    Change(
        "0.2.0",
        lambda c, source: 0 < source.size <= SHUFFLED,
        f"the order of at most {SHUFFLED} examples is a uniform permutation",
    ),
)


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def since(env: dict, c: Config, source: Source) -> list[str]:
    """A sentence for each change of this run's numbers since the version that began it; env: as in env.json."""
    begun = env["starts"][0].get("versions", {}).get("jaxgan", "0.1.0") if env["starts"] else None
    if begun is None:
        return []
    return [
        f"this run began with jaxgan {begun}; since {change.version} {change.text}, so its numbers from here on are "
        "other ones, and verify cannot replay those from before"
        for change in CHANGES
        if _number(begun) < _number(change.version) and change.touches(c, source)
    ]
