"""--help of a command with an experiment: the flags that act in it, each under the part that it belongs to. No jax."""

import shutil
import textwrap
import typing
from collections.abc import Callable
from operator import attrgetter

from docstring_parser import parse_from_object

from jaxgan import hp
from jaxgan.config import Config, Hp, size_text
from jaxgan.fields import GROUPS, facts, records
from jaxgan.unused import chosen, facts_of, lacking, reason


def show(command: Callable, usage: str, doc: str, config: Config, **more) -> None:
    """Print the help of a command whose arguments are config and more: values, and records of values."""
    print(f"usage: {usage} [--FLAG VALUE ...]\n\n{doc.strip()}")
    names = [*facts(Config), *(f"hp.{name}" for name in facts(Hp))]
    values = {name: attrgetter(name)(config) for name in names} | {"size": size_text(config.size)}
    docs, groups = described(Config) | described(Hp, "hp."), grouped(config)
    for record, kind in records(Config).items():
        docs |= described(kind, f"{record}.")
    for owner, names in groups.items():
        _table(owner, {name: values[name] for name in names}, docs)
    _table(
        usage.split(" ")[1],
        {n: value for n, value in more.items() if not hasattr(value, "__dict__")},
        described(command),
    )
    for record in (value for value in more.values() if hasattr(value, "__dict__")):
        _table(record.__doc__, vars(record), described(type(record)))
    off = [_flag(n) for n in values if n in facts_of(n).of and reason(config, n) and not lacking(config, n)]
    print("\n" + _filled("Off, until a number switches it on: ", " ".join(off)))
    print(f"\n--help-all shows the other {len(values) - sum(map(len, groups.values()))} flags.")


def grouped(c: Config) -> dict[str, list[str]]:
    """{owner: names of fields of Config, and of Hp as "hp.r1"} of those that act in c, under the first owner there."""
    found: dict[str, list[str]] = {}
    for name in [*facts(Config), *(f"hp.{n}" for n in facts(Hp))]:
        if not reason(c, name):
            owner = next(owner for owner in facts_of(name).of if chosen(c, owner))
            field = owner.split(" ")[0]
            with_value = owner not in GROUPS and owner != field
            found.setdefault(f"{field} {getattr(c, field)}" if with_value else owner, []).append(name)
    rank = {name: i + 2 for i, name in enumerate(GROUPS)} | {"parts": 0}
    return dict(sorted(found.items(), key=lambda item: rank.get(item[0], 1 + item[0].startswith("hp.") / 2)))


def described(thing: Callable, prefix: str = "") -> dict[str, str]:
    """{name: documentation, and choices} of the fields of a class or the arguments of a function."""
    found = {}
    for part in getattr(thing, "__mro__", (thing, object))[-2::-1]:  # the parser sees what stands in one class
        for p in parse_from_object(part).params:
            found[prefix + p.arg_name] = " ".join((p.description or "").split())
    for name, kind in typing.get_type_hints(thing).items():
        for part in (kind, *typing.get_args(kind)):
            if typing.get_origin(part) is typing.Literal:
                found[prefix + name] += f" One of {', '.join(typing.get_args(part))}."
    return found


def _flag(name: str, value=None) -> str:
    return f"--{'[no-]' * isinstance(value, bool)}{name.replace('_', '-')}"


def _written(value) -> str:
    """value as a command line has it."""
    if isinstance(value, float) or (isinstance(value, tuple) and value and isinstance(value[0], hp.Piece)):
        return hp.text(value)
    return " ".join(map(str, value)) or "()" if isinstance(value, tuple) else str(value) or '""'


def _filled(start: str, text: str) -> str:
    width = min(shutil.get_terminal_size().columns, 120)
    return textwrap.fill(text, width, initial_indent=start, subsequent_indent=" " * 34, break_on_hyphens=False)


def _table(heading: str, values: dict, docs: dict[str, str]) -> None:
    print(f"\n{heading}")
    for name, value in values.items():
        print(_filled(f"  {_flag(name, value) + ' ' + _written(value):<30}  ", docs[name]))
