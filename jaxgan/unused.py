"""Settings that cannot act beside the others: found before a run begins, and refused by name.

Numbers of Hp are watched: a step is traced, and what it does not read is not used. Their owners, and those of static
fields, say why (fields.py).
"""

from collections.abc import Set
from operator import attrgetter

from jaxgan.config import KINDS, Config, Hp
from jaxgan.errors import JaxganError
from jaxgan.fields import GROUPS, OFFERS, Facts, facts
from jaxgan.hp import text


def facts_of(name: str) -> Facts:
    """Of a field of Config, or of Hp as "hp.r1"."""
    return facts(Hp)[name[3:]] if name.startswith("hp.") else facts(Config)[name]


def chosen(c: Config, owner: str) -> bool:
    """Whether c has the part that an owner of fields.py names."""
    name, *values = owner.split(" ")
    if owner in GROUPS:
        return True
    if name.startswith("hp."):
        return c.hp.on(name[3:])
    kinds = {"conditional"} if c.kind == "auto" or (c.kind == "plain" and c.conditional) else set()
    found = _words(c, name) | (kinds if name == "kind" else set())
    return not reason(c, name) and (bool(found & set(values)) if values else bool(attrgetter(name)(c)))


def _words(c: Config, name: str) -> set:
    """The values of the field `name`: one, or those in its list."""
    value = attrgetter(name)(c)
    return set(value) if isinstance(value, tuple) else {value}


def lacking(c: Config, name: str) -> list[str]:
    """What the field `name` needs, and the kind of c has not."""
    lacks = KINDS[c.kind].lacks.split() if c.kind in KINDS else []
    return [OFFERS[word] for word in facts_of(name).needs.split() if word in lacks]


def reason(c: Config, name: str) -> str:
    """Why the field `name` does not act in c, "" if it does."""
    found = facts_of(name)
    for owner in found.never:
        if chosen(c, owner):
            field = owner.split(" ")[0]
            return f"{field} {_shown(c, field)} has no use for it"
    if missing := lacking(c, name):
        return f"kind {c.kind} has no use for it: it has no {missing[0]}"
    if any(chosen(c, owner) for owner in found.of):
        return ""
    owners = {field: values for field, *values in (owner.split(" ") for owner in found.of)}
    for field, values in owners.items():
        if values and _words(c, field) & set(values):  # which itself does not act
            return reason(c, field)
    has = " or ".join(" ".join([field, *_listed(values)]) for field, values in owners.items())
    return f"it belongs to {has}, and this run's {' and '.join(f'{field} is {_shown(c, field)}' for field in owners)}"


def _listed(words: list[str]) -> list[str]:
    """["a, b or c"] of ["a", "b", "c"], [] of []."""
    return [" or ".join([*([", ".join(words[:-1])] if words[1:] else []), words[-1]])] if words else []


def _shown(c: Config, name: str) -> str:
    value = attrgetter(name)(c)
    if isinstance(value, tuple) and not name.startswith("hp."):
        return ", ".join(map(str, value)) or "empty"
    return text(value) if name.startswith("hp.") else str(value) or "empty"


def check(config: Config, read: Set[str]) -> None:
    """JaxganError for a setting that is not at its default and is not used; read: numbers of Hp that a step reads."""
    for name, usual in vars(Hp()).items():
        value, why = getattr(config.hp, name), reason(config, f"hp.{name}")
        if value != usual and name not in read and (why or config.hp.on(name)):  # else it is what switches it off
            raise JaxganError(
                f"hp.{name} is {text(value)}, but {why or 'nothing in this run uses it'}; leave it at {text(usual)}"
            )
    for name in facts(Config):
        value, usual = attrgetter(name)(config), attrgetter(name)(Config)
        if "own" not in (config.kind, config.net) and value != usual and (why := reason(config, name)):
            raise JaxganError(f"{name} is {value!r}, but {why}; leave it at {usual!r}")


def check_kind(config: Config) -> None:
    """JaxganError for a part that is switched on, and that this kind of GAN has nothing for."""
    hp = [f"hp.{name}" for name, found in facts(Hp).items() if f"hp.{name}" in found.of and config.hp.on(name)]
    static = [n for n in facts(Config) if facts(Config)[n].needs and attrgetter(n)(config) != attrgetter(n)(Config)]
    for name in [*static, *hp]:
        if lacking(config, name):
            value = text(getattr(config.hp, name[3:])) if name in hp else repr(attrgetter(name)(config))
            raise JaxganError(f"{name} is {value}, but {reason(config, name)}; leave it at its default")
