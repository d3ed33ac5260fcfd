"""The fields of a configuration, and another valid value of each."""

import dataclasses
import typing

from jaxgan.config import Config, Eval, Hp
from jaxgan.options import Biggan, Cat, Gat, Mlp, Patchgan, Progan, R3gan, R3gan2, Rrdb, Sngan, Spatial, Stylegan2

FIELDS = {f.name: f for f in dataclasses.fields(Config)}
HP = [f.name for f in dataclasses.fields(Hp)]
KINDS = typing.get_type_hints(Config)
CHOICES = {name: typing.get_args(kind) for name, kind in KINDS.items() if typing.get_origin(kind) is typing.Literal}
LISTED = {name: typing.get_args(typing.get_args(KINDS[name])[0]) for name in ("augment", "cr_augment", "writers")}


def other(name):
    """A valid value of a field that is not its default."""
    default = getattr(Config(), name)
    if name in CHOICES:
        return next(c for c in CHOICES[name] if c != default)
    special = {"writers": ("wandb",), "codes": (3,), "hp": Hp(g_lr=0.125)}
    special |= {
        "augment": ("flip",),
        "cr_augment": ("cutout",),
        "mlp": Mlp(pieces=3),
        "sngan": Sngan(wide=True),
        "r3gan": R3gan(blocks=3),
        "r3gan2": R3gan2(blocks=3),
        "rrdb": Rrdb(blocks=3),
        "biggan": Biggan(deep=True),
        "progan": Progan(base=64),
        "stylegan2": Stylegan2(mapping=2),
        "patchgan": Patchgan(layers=2),
        "gat": Gat(depth=24),
        "cat": Cat(depth=32),
        "spatial": Spatial(halvings=3),
        "eval": Eval(n=100),
    }
    if name in special:
        return special[name]
    return {bool: lambda: not default, int: lambda: default + 3, str: lambda: default + "x"}[type(default)]()


OTHER = {name: other(name) for name in FIELDS}
