"""Tokens of D in the directions of another network's features: REPA, Yu et al. 2024, arXiv 2410.06940, as GAT has it.

Hyun et al. 2025, arXiv 2509.24935, align with DINOv2 (ViT-B/14); these are networks of features/perceptual.py.
"""

import math

import jax
import jax.numpy as jnp

from jaxgan import augment, rng
from jaxgan.config import Config
from jaxgan.features import perceptual
from jaxgan.features.perceptual import PERCEPTUAL
from jaxgan.games.terms import Play, Term
from jaxgan.nets import heads, tokens
from jaxgan.types import JaxganError

HIDDEN = 2048  # units of the projector, as published
MOVES = ("translation", "flip")  # augmentations that the other network sees too


def cosines(a, b):
    """Of the angles between vectors [..., n]; 0 where one has no length."""
    return (heads.unit(a) * heads.unit(b)).sum(-1)


def wanted(name: str, x, grid: tuple[int, int]):
    """Features [b, 1 + patches, k] of images x: of the whole, and those of each patch of a grid, by cubics."""
    try:
        whole, found = jax.lax.stop_gradient(perceptual.tokens(name, x))
    except JaxganError as e:
        raise JaxganError(
            f"hp.alignment compares with features of {name}: {e}. Here is --alignment-net digits-cnn, and others"
        ) from e
    placed = jax.image.resize(found, (found.shape[0], *grid, found.shape[-1]), "cubic", antialias=False)
    return jnp.concatenate([whole[:, None], placed.reshape(placed.shape[0], math.prod(grid), -1)], 1)


def off(made, want):
    """1 - cos [b] of the first of these tokens [b, 1 + patches, k], and the mean of it over the others."""
    found = 1 - cosines(made, want)
    return found[:, 0] + found[:, 1:].mean(1)


def terms(config: Config, shape) -> dict[str, Term]:
    """The term of D's loss that hp.alignment weighs, {} where that is 0; JaxganError for what it cannot be of.

    Of real examples alone. The other network sees shifts and flips of an example's augmentation, and not the rest.
    """
    if not config.hp.on("alignment"):
        return {}
    seen, name = tokens(config, shape), config.alignment_net
    if seen is None:
        raise JaxganError(f"hp.alignment is of tokens, and D of net {config.net!r} has none; use --net gat or cat")
    if config.pack > 1:
        raise JaxganError(f"hp.alignment is of an example's tokens, and pack is {config.pack}; leave pack at 1")
    if config.space:
        raise JaxganError(
            f"hp.alignment is with features of images, and space {config.space!r} makes latents of them; "
            "leave hp.alignment at 0"
        )
    if min(shape[:2]) < PERCEPTUAL[name].least or shape[2] not in (1, 3):
        raise JaxganError(
            f"alignment_net {name!r} sees grey or RGB of {PERCEPTUAL[name].least} pixels or more, and examples have "
            f"shape {tuple(shape)}; leave hp.alignment at 0"
        )
    *grid, width = seen
    moves = tuple(augmentation for augmentation in config.augment if augmentation in MOVES)
    net = heads.projector(PERCEPTUAL[name].channels, HIDDEN), (jnp.zeros((2, 1 + math.prod(grid), width)),)

    def loss(play: Play, vars):
        keys = rng.examples(rng.stream(rng.stream(play.key, "view real"), "augment"), len(play.real.x), play.axis)
        made, vars = play.run(vars, "projector", play.real.tokens)
        mirrored = {"flip_p": play.hp["flip_p"]} if "flip" in moves and config.hp.on("flip_p") else {}
        x = augment.apply(moves, play.real.x, keys, **mirrored)
        return off(made, wanted(name, x, (grid[0], grid[1]))), vars

    return {"alignment": Term(loss, lambda *_: {"projector": net})}
