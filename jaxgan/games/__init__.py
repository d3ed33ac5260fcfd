"""Kinds of GAN: functions (config, shape, classes, axis) -> Game, where losses meet networks."""

import dataclasses
from collections.abc import Callable
from importlib import import_module

from jaxgan import config as names
from jaxgan import unused
from jaxgan.config import Config
from jaxgan.solvers import SOLVERS
from jaxgan.types import Axis, Game, JaxganError

KINDS: dict[str, Callable[..., Game]] = {
    name: getattr(import_module(f"jaxgan.games.{made.file}"), name) for name, made in names.KINDS.items()
}

LATENT_0 = ("pix2pix", "cyclegan", "stargan")  # kinds that can do without latents


def make(config: Config, shape: tuple[int, ...], classes: int = 0, axis: Axis = None) -> Game:
    """The game of config for examples of this shape and number of classes."""
    kind = config.kind
    if kind == "auto":
        kind = "conditional" if classes else "plain"
    if kind not in KINDS:
        raise JaxganError("kind is 'own', and nothing is there: put a function at jaxgan.games.KINDS['own'] first")
    if kind == "plain" and config.conditional:
        kind = "conditional"
    unused.check_kind(config)
    if not config.latent and kind not in (*LATENT_0, "own"):
        raise JaxganError(f"latent is 0, and kind {kind!r} makes examples of latents; expected 1 or more")
    labelled = kind == "conditional" or config.conditional
    if labelled and not classes:
        raise JaxganError(
            f"kind {config.kind!r} is to be conditional, but the data {config.data!r} has no labels; use --kind plain "
            "or --no-conditional, or a folder with one subfolder per class"
        )
    if config.head != Config.head and kind not in ("conditional", "own"):
        raise JaxganError(f"head is {config.head!r}, but kind {kind!r} has no class head; use --kind conditional")
    if SOLVERS[config.solver].together and (config.d_steps, config.g_steps) != (1, 1):
        raise JaxganError(
            f"solver {config.solver!r} moves all players together, once a step, but d_steps is {config.d_steps} and "
            f"g_steps is {config.g_steps}; leave both at 1, or use alternating, simultaneous or lookahead"
        )
    classes = classes if labelled or kind == "stargan" else 0
    game = KINDS[kind](dataclasses.replace(config, kind=kind), shape, classes, axis)
    return game._replace(accumulate=config.accumulate, reuse=config.reuse, rounds=SOLVERS[config.solver].rounds)
