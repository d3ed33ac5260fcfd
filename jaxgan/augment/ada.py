"""ADA's pipeline: Karras et al. 2020, arXiv 2006.06676, appendix B; images [h, w, c] in [-1, 1].

Operations come in the published order with the published draws. Each has a coin of its own per image, and is the
identity, bit for bit, where that falls the other way. Geometry is described by inverse matrices [3, 3]: of a point
(x right, y down, 1) of the result, in pixels from the centre, they give the point of the image that comes there.
"""

import math
from collections.abc import Callable
from functools import partial, reduce

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer, Key

from jaxgan import rng
from jaxgan.augment.warp import BANDS, filtered, warp
from jaxgan.types import AnyArray

Number = float | Float[AnyArray, ""]
Whole = int | Integer[AnyArray, ""]
One = Key[Array, ""]
Image = Float[AnyArray, "h w c"]
Matrix = Float[Array, "3 3"]
POWERS = np.array([10, 1, 1, 1]) / 13  # what natural images hold in each band
GRAY = np.full((3, 3), 1 / 3)  # v v', v = (1, 1, 1) / sqrt 3
CROSS = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)  # x -> v cross x


def drawn(key: One, name: str, p: Number, draw: Callable, rest):
    """draw(key) with probability p, else rest; each name has a coin and numbers of its own."""
    own = rng.stream(key, name)
    return jnp.where(jax.random.uniform(rng.stream(own, "coin")) < p, draw(rng.stream(own, "value")), rest)


def power(deviation: float) -> Callable:
    """key -> 2 to the power of N(0, deviation^2)."""
    return lambda key: jnp.exp2(deviation * jax.random.normal(key))


def angle(key: One) -> Float[Array, ""]:
    """An angle from U(-pi, pi)."""
    return jax.random.uniform(key, minval=-jnp.pi, maxval=jnp.pi)


# Geometry


def _matrix(xx=1.0, xy=0.0, dx=0.0, yx=0.0, yy=1.0, dy=0.0) -> Matrix:
    return jnp.array([[xx, xy, dx], [yx, yy, dy], [0.0, 0.0, 1.0]])


def scaled(x: Number, y: Number) -> Matrix:
    """Enlarged x and y times."""
    return _matrix(xx=1 / x, yy=1 / y)


def turned(theta: Number) -> Matrix:
    """Turned by an angle, counterclockwise where it is positive."""
    cos, sin = jnp.cos(theta), jnp.sin(theta)
    return _matrix(xx=cos, xy=-sin, yx=sin, yy=cos)


def moved(x: Number, y: Number) -> Matrix:
    """Moved by so many pixels to the right and down."""
    return _matrix(dx=-x, dy=-y)


def blits(key: One, shape: tuple[int, ...], p: Number) -> tuple[Whole, Whole, Integer[Array, " 2"]]:
    """Mirrored, 0 or 1; quarter turns, counterclockwise; pixels to the right and down, up to 1/8 of the size."""
    height, width, _ = shape

    def shift(key):
        part = jax.random.uniform(key, (2,), minval=-0.125, maxval=0.125)
        return jnp.round(part * jnp.array([width, height])).astype(int)

    return (
        drawn(key, "x flip", p, lambda key: jax.random.randint(key, (), 0, 2), 0),
        drawn(key, "rotate 90", p, lambda key: jax.random.randint(key, (), 0, 4), 0),
        drawn(key, "integer shift", p, shift, jnp.zeros(2, int)),
    )


def copied(x: Image, mirrored: Whole, turns: Whole, by: Integer[AnyArray, " 2"]) -> Image:
    """x [n, n, c] after these blits, its pixels as they are; beyond its borders stands its reflection."""
    x = jnp.where(mirrored == 1, x[:, ::-1], x)
    x = jax.lax.switch(turns, [partial(jnp.rot90, k=k) for k in range(4)], x)
    reach = round(len(x) / 8)
    padded = jnp.pad(x, ((reach, reach), (reach, reach), (0, 0)), "reflect")
    return jax.lax.dynamic_slice(padded, (reach - by[1], reach - by[0], 0), x.shape)


def geometry(key: One, shape: tuple[int, ...], p: Number) -> list[Matrix]:
    """Scale, rotation, anisotropy, rotation, fractional shift; a rotation acts if one of its two does: p of both."""
    height, width, _ = shape
    size, part = drawn(key, "scale", p, power(0.2), 1.0), drawn(key, "anisotropy", p, power(0.2), 1.0)
    once = 1 - jnp.sqrt(1 - jnp.clip(p, 0, 1))
    before, after = drawn(key, "rotation", once, angle, 0.0), drawn(key, "rotation again", once, angle, 0.0)
    x, y = drawn(key, "fractional shift", p, lambda key: 0.125 * jax.random.normal(key, (2,)), jnp.zeros(2))
    return [scaled(size, size), turned(before), scaled(part, 1 / part), turned(after), moved(width * x, height * y)]


def placed(groups: tuple[str, ...], key: One, x: Image, p: Number) -> Image:
    """x after blits and geometry, by one resampling of all of them; blits alone copy pixels."""
    mirrored, turns, by = blits(key, x.shape, p if "blit" in groups else 0.0)
    if "geometry" not in groups:
        return copied(x, mirrored, turns, by)
    first = [scaled(1.0 - 2 * mirrored, 1.0), turned(turns * (jnp.pi / 2)), moved(*by.astype(float))]
    inverse = reduce(partial(jnp.matmul, precision="highest"), [*first, *geometry(key, x.shape, p)])
    return jnp.where((inverse == jnp.eye(3)).all(), x, warp(x, inverse))


# The rest


def mixing(contrast: Number, flipped: Whole, hue: Number, saturation: Number) -> Float[AnyArray, "3 3"]:
    """The matrix of colours: times contrast, luma flipped, turned about the grays, spread from these.

    Each is exactly the identity at 1, 0, 0 and 1.
    """
    away = GRAY - np.eye(3)
    luma = np.eye(3) - 2 * flipped * GRAY
    turn = np.eye(3) + jnp.sin(hue) * CROSS + (1 - jnp.cos(hue)) * away
    spread = np.eye(3) + (1 - saturation) * away
    return contrast * reduce(partial(jnp.matmul, precision="highest"), [spread, turn, luma])


def recolored(key: One, x: Image, p: Number) -> Image:
    """Brightness + N(0, .2^2), then contrast 2^N(0, .5^2), luma flip, hue, saturation 2^N(0, 1).

    Gray images take the mean of the three rows.
    """
    light = drawn(key, "brightness", p, lambda key: 0.2 * jax.random.normal(key), 0.0)
    mix = mixing(
        drawn(key, "contrast", p, power(0.5), 1.0),
        drawn(key, "luma flip", p, lambda key: jax.random.randint(key, (), 0, 2), 0),
        drawn(key, "hue", p, angle, 0.0),
        drawn(key, "saturation", p, power(1.0), 1.0),
    )
    if x.shape[-1] == 1:
        return (x + light) * mix.sum(1).mean()
    return jnp.einsum("hwc,dc->hwd", x + light, mix, precision="highest")


def amplified(key: One, x: Image, p: Number) -> Image:
    """Each of four bands of frequencies by 2^N(0, 1), keeping the power that a natural image would have."""
    t = jnp.stack([drawn(key, f"filter {i}", p, power(1.0), 1.0) for i in range(BANDS)])
    gains = t / jnp.sqrt(1 + POWERS * (t**2 - 1)).prod()
    return jnp.where((t == 1).all(), x, filtered(x, gains))


def noisy(key: One, x: Image, p: Number) -> Image:
    """Gaussian noise, whose standard deviation is |N(0, .1^2)|."""
    size = drawn(key, "noise", p, lambda key: 0.1 * abs(jax.random.normal(key)), 0.0)
    return x + size * jax.random.normal(rng.stream(key, "noise itself"), x.shape)


def cut(key: One, x: Image, p: Number) -> Image:
    """A rectangle of half the size in each direction set to 0, its centre anywhere in the image."""
    centre = jax.random.uniform(rng.stream(key, "centre"), (2,))
    half = drawn(key, "cutout", p, lambda key: 0.25, 0.0)
    rows, columns = (abs((np.arange(n) + 0.5) / n - c) >= half for n, c in zip(x.shape[:2], centre))
    return x * (rows[:, None] | columns[None])[..., None]


PLACES = ("blit", "geometry")
VALUES = {"color": recolored, "filter": amplified, "noise": noisy, "ada_cutout": cut}
GROUPS = (*PLACES, *VALUES)
"""In the order in which they act."""


def pipeline(groups: tuple[str, ...], key: One, x: Image, p: Number, color: Number) -> Image:
    """x after these groups in the order of GROUPS, each operation with probability p; those of color with color p."""
    if set(PLACES) & set(groups):
        x = placed(groups, key, x, p)
    for name, act in VALUES.items():
        if name in groups:
            x = act(key, x, color * p if name == "color" else p)
    return x
