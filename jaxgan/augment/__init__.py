"""Augmentations of what D sees, by name: DiffAugment's (diffaugment.py), and the groups of ADA's pipeline (ada.py).

Images [h, w, c] in [-1, 1]. Each example has its own key, real and generated examples go through the same policy, and
all of it is affine in the example, so differentiable any number of times.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxgan import rng
from jaxgan.augment.ada import GROUPS, Number, pipeline
from jaxgan.augment.diffaugment import AUGMENTS, COLORS, JITTER, flip
from jaxgan.augment.warp import REACH
from jaxgan.types import AnyArray, JaxganError

__all__ = ["AUGMENTS", "COLORS", "GROUPS", "JITTER", "apply", "check", "groups"]

Examples = Float[AnyArray, " b *shape"]


def groups(names: tuple[str, ...]) -> tuple[str, ...]:
    """ADA's groups among names, in the order in which they act; "ada" is its pipe "bgc": blit, geometry and color."""
    asked = {*names, *(("blit", "geometry", "color") if "ada" in names else ())}
    return tuple(name for name in GROUPS if name in asked)


def apply(
    names: tuple[str, ...],
    x: Examples,
    keys: Key[Array, " b"],
    p: Number = 0.0,
    color: Number = 1.0,
    flip_p: Number | None = None,
    color_p: Number | None = None,
) -> Examples:
    """x after DiffAugment's augmentations of these names in turn, then ADA's in their own order; one key per example.

    p: with which each operation of ADA's acts on an example; those of the group color with color times p. flip_p: with
    which flip exchanges sides, 1/2 where it is None. color_p: with which all of COLORS act, or none; always where None.
    """
    flips = {"flip": functools.partial(flip, p=flip_p)} if flip_p is not None else {}
    for name in names:
        if name in AUGMENTS:
            moved = jax.vmap((AUGMENTS | flips)[name])(jax.vmap(rng.stream, (0, None))(keys, name), x)
            x = moved if color_p is None or name not in COLORS else _some(keys, color_p, moved, x)
    if asked := groups(names):
        own = jax.vmap(rng.stream, (0, None))(keys, "ada")
        x = jax.vmap(lambda key, x: pipeline(asked, key, x, p, color))(own, x)
    return x


def _some(keys: Key[Array, " b"], p: Number, moved: Examples, x: Examples) -> Examples:
    """moved in a share p of examples, whichever of COLORS it is; x in others."""
    drawn = jax.vmap(lambda key: jax.random.bernoulli(rng.stream(key, "colors"), p))(keys)
    return jnp.where(drawn.reshape(-1, *[1] * (x.ndim - 1)), moved, x)


def check(field: str, names: tuple[str, ...], shape: tuple[int, ...]) -> None:
    """JaxganError if one of the names in this field of the configuration needs other images than of this shape."""
    wrong = [name for name in names if name != "jitter"]
    if wrong and len(shape) != 3:
        raise JaxganError(
            f"{field} has {', '.join(wrong)}, which change images (h, w, c); these examples have shape {tuple(shape)}. "
            f"Use --{field.replace('_', '-')} jitter, or none"
        )
    needs = {
        "blit": (
            "turns images by quarters about their centre, and needs sides that are both even or both odd",
            len(shape) != 3 or (shape[0] - shape[1]) % 2 == 0,
        ),
        "color": ("mixes red, green and blue, and needs 3 channels, or 1 of gray", shape[-1] in (1, 3)),
        "filter": (f"reaches over {REACH} pixels, and needs images of {REACH + 1} or more", min(shape[:2]) > REACH),
    }
    for name in groups(names):
        what, met = needs.get(name, ("", True))
        if not met:
            raise JaxganError(f"{field} has {name}, which {what}; these have shape {tuple(shape)}. Leave {name} out")
