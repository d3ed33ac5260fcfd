"""ADA's pipeline: Karras et al. 2020, arXiv 2006.06676, appendix B; images [h, w, c] in [-1, 1].

Operations come in the published order with the published draws. Each has a coin of its own per image, and is the
identity, bit for bit, where that falls the other way. Geometry is described by inverse matrices [3, 3]: of a point
(x right, y down, 1) of the result, in pixels from the centre, they give the point of the image that comes there.
"""

import math
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


def numbers(key: One, name: str, uniform: int, normal: int) -> tuple[Float[Array, " u"], Float[Array, " n"]]:
    """So many numbers from U(0, 1) and from N(0, 1), for the group of this name."""
    first, second = (rng.stream(key, f"{name} {law}") for law in ("uniform", "normal"))
    return jax.random.uniform(first, (uniform,)), jax.random.normal(second, (normal,))


# Geometry


def _matrix(xx=1.0, xy=0.0, dx=0.0, yx=0.0, yy=1.0, dy=0.0) -> Matrix:
    return jnp.array([[xx, xy, dx], [yx, yy, dy], [0.0, 0.0, 1.0]])


def product(*matrices: Matrix) -> Matrix:
    """The matrices multiplied from left to right, in full precision."""
    return reduce(partial(jnp.matmul, precision="highest"), matrices)


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
    u, _ = numbers(key, "blit", 7, 0)
    flip, turn, shift = u[:3] < p
    by = jnp.round((u[5:] - 0.5) / 4 * jnp.array([width, height])).astype(int)
    return (flip * jnp.floor(2 * u[3])).astype(int), (turn * jnp.floor(4 * u[4])).astype(int), shift * by


def copied(x: Image, mirrored: Whole, turns: Whole, by: Integer[AnyArray, " 2"]) -> Image:
    """x [h, w, c] after these blits, its pixels as they are; beyond its borders stands its reflection.

    h and w are both even, or both odd, so that a quarter turn about the centre takes pixels to pixels.
    """
    x = jnp.where(mirrored == 1, x[:, ::-1], x)
    ways = [partial(jnp.rot90, k=k) for k in range(4)]
    height, width, _ = x.shape
    if height == width:
        x = jax.lax.switch(turns, ways, x)
    longer = max(height, width)
    reach = [round(longer / 8) + (longer - n) // 2 for n in (height, width)]
    padded = jnp.pad(x, (*((n, n) for n in reach), (0, 0)), "reflect")
    if height != width:  # which is a square now
        padded = jax.lax.switch(turns, ways, padded)
    return jax.lax.dynamic_slice(padded, (reach[0] - by[1], reach[1] - by[0], 0), x.shape)


def geometry(key: One, shape: tuple[int, ...], p: Number) -> list[Matrix]:
    """Scale, rotation, anisotropy, rotation, fractional shift; p of a rotation that either of its two coins falls."""
    height, width, _ = shape
    u, n = numbers(key, "geometry", 7, 4)
    once = 1 - jnp.sqrt(1 - jnp.clip(p, 0, 1))
    scale, before, part, after, shift = u[:5] < jnp.stack(jnp.broadcast_arrays(p, once, p, once, p))
    size, wide = jnp.exp2(0.2 * scale * n[0]), jnp.exp2(0.2 * part * n[1])
    first, second = before * jnp.pi * (2 * u[5] - 1), after * jnp.pi * (2 * u[6] - 1)
    x, y = 0.125 * shift * n[2:] * jnp.array([width, height])
    return [scaled(size, size), turned(first), scaled(wide, 1 / wide), turned(second), moved(x, y)]


def placed(groups: tuple[str, ...], key: One, x: Image, p: Number) -> Image:
    """x after blits and geometry, by one resampling of all of them; blits alone copy pixels."""
    mirrored, turns, by = blits(key, x.shape, p if "blit" in groups else 0.0)
    if "geometry" not in groups:
        return copied(x, mirrored, turns, by)
    first = [scaled(1.0 - 2 * mirrored, 1.0), turned(turns * (jnp.pi / 2)), moved(*by.astype(float))]
    inverse = product(*first, *geometry(key, x.shape, p))
    return jnp.where((inverse == jnp.eye(3)).all(), x, warp(x, inverse))


# The rest


def mixing(contrast: Number, flipped: Number, hue: Number, saturation: Number) -> Float[AnyArray, "3 3"]:
    """The matrix of colours: times contrast, luma flipped, turned about the grays, spread from these.

    Each is exactly the identity at 1, 0, 0 and 1.
    """
    eye, luma = jnp.eye(3), jnp.full((3, 3), 1 / 3)  # v v', v = (1, 1, 1) / sqrt 3
    cross = jnp.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)  # x -> v cross x
    flip = eye - 2 * flipped * luma
    turn = eye + jnp.sin(hue) * cross + (1 - jnp.cos(hue)) * (luma - eye)
    spread = eye + (1 - saturation) * (luma - eye)
    return contrast * product(spread, turn, flip)


def recolored(key: One, x: Image, p: Number) -> Image:
    """Brightness + N(0, .2^2), contrast 2^N(0, .5^2), luma flip, hue U(-pi, pi), saturation 2^N(0, 1).

    Gray images take the mean of the three rows.
    """
    u, n = numbers(key, "color", 7, 3)
    light, contrast, flip, hue, saturation = u[:5] < p
    angle = hue * jnp.pi * (2 * u[5] - 1)
    mix = mixing(jnp.exp2(0.5 * contrast * n[1]), flip * jnp.floor(2 * u[6]), angle, jnp.exp2(saturation * n[2]))
    x = x + 0.2 * light * n[0]
    return x * mix.sum(1).mean() if x.shape[-1] == 1 else jnp.einsum("hwc,dc->hwd", x, mix, precision="highest")


def amplified(key: One, x: Image, p: Number) -> Image:
    """Each of four bands of frequencies by 2^N(0, 1), keeping the power that a natural image would have."""
    u, n = numbers(key, "filter", BANDS, BANDS)
    t = jnp.exp2((u < p) * n)
    gains = t / jnp.sqrt(1 + jnp.asarray(POWERS, t.dtype) * (t**2 - 1)).prod()
    return jnp.where((t == 1).all(), x, filtered(x, gains))


def noisy(key: One, x: Image, p: Number) -> Image:
    """Gaussian noise, whose standard deviation is |N(0, .1^2)|."""
    u, n = numbers(key, "noise", 1, 1 + x.size)
    return x + 0.1 * (u[0] < p) * abs(n[0]) * n[1:].reshape(x.shape)


def cut(key: One, x: Image, p: Number) -> Image:
    """A rectangle of half the size in each direction set to 0, its centre anywhere in the image."""
    u, _ = numbers(key, "cutout", 3, 0)
    away = [abs((jnp.arange(n) + 0.5) / n - centre) >= 0.25 * (u[0] < p) for n, centre in zip(x.shape[:2], u[1:])]
    return x * (away[0][:, None] | away[1][None])[..., None]


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
