"""Normalisations that a game has to serve: spectral vectors that move, and reference batches that are filled."""

from collections.abc import Callable

import jax.numpy as jnp

from jaxgan import rng
from jaxgan.config import Config
from jaxgan.nets import norm
from jaxgan.nets.norms import REFERENCE
from jaxgan.nets.spectral import spectral
from jaxgan.nets.virtual import virtual
from jaxgan.step import everywhere
from jaxgan.types import Axis, JaxganError, Net

SPECTRAL = ("spectral", "batch_spectral")


def check_norms(config: Config) -> None:
    """JaxganError if D has no use for a virtual batch of real examples."""
    if config.d_norm == "virtual" and config.minibatch:
        raise JaxganError(
            f"minibatch is {config.minibatch}, and D would compare examples with those of its virtual batch, which "
            "d_norm 'virtual' puts before them; leave one of them out"
        )
    if config.d_norm == "virtual" and (config.pack > 1 or config.kind in ("bigan", "aae")):
        raise JaxganError(
            f"d_norm is 'virtual', whose reference is real examples, but D sees something else (kind {config.kind!r}, "
            f"pack {config.pack}); take another d_norm"
        )


def normalised(config: Config, nets: dict[str, Net], latent: Callable, classes: int) -> dict[str, Net]:
    """nets with spectral or virtual batch normalisation around G and D where config asks for it; see `refreshed`.

    The reference of a virtual batch is latents of G's that its key draws, and the first real examples that D meets.
    """

    def of_latents(key, z, y):
        return latent(rng.stream(key, "reference"), REFERENCE), jnp.arange(REFERENCE) % classes if classes else None

    references = {"g": of_latents, "d": lambda key, *inputs: None}
    made = {norm: (lambda side: spectral(nets[side])) for norm in SPECTRAL}
    made["virtual"] = lambda side: virtual(nets[side], references[side])
    sides = {side: norm(config, side) for side in ("g", "d") if side in nets}
    return nets | {side: made[name](side) for side, name in sides.items() if name in made}


def refreshed(config: Config, classes: int, axis: Axis, side: str, run, vars, batch):
    """vars as an update of this side begins: its own spectral vectors one power iteration on, D's reference filled.

    All passes of an update, and its penalties, thus see one and the same network.
    """
    if norm(config, side) in SPECTRAL:
        vars = run(vars, side)[1]
    if config.d_norm == "virtual":
        real = everywhere((batch["x"], batch["y"] if classes else None), axis)
        vars = run(vars, "d", *real, fill=True)[1]
    return vars
