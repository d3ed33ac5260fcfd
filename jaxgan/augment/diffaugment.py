"""DiffAugment and flips, as (key, example) -> example: Zhao et al. 2020, arXiv 2006.10738."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxgan.augment.ada import Number
from jaxgan.types import AnyArray

Image = Float[AnyArray, "h w c"]
COLORS = ("brightness", "saturation", "contrast")
JITTER = 0.05  # standard deviation


def flip(key: Key[Array, ""], x: Image, p: Number = 0.5) -> Image:
    """Left and right exchanged with probability p."""
    return jnp.where(jax.random.bernoulli(key, p), x[:, ::-1], x)


def brightness(key: Key[Array, ""], x: Image) -> Image:
    """One number from U(-1/2, 1/2) added."""
    return x + jax.random.uniform(key, minval=-0.5, maxval=0.5)


def saturation(key: Key[Array, ""], x: Image) -> Image:
    """Distance from each pixel's mean over channels times U(0, 2)."""
    mean = x.mean(-1, keepdims=True)
    return mean + (x - mean) * jax.random.uniform(key, maxval=2.0)


def contrast(key: Key[Array, ""], x: Image) -> Image:
    """Distance from the image's mean times U(1/2, 3/2)."""
    return x.mean() + (x - x.mean()) * jax.random.uniform(key, minval=0.5, maxval=1.5)


def translation(key: Key[Array, ""], x: Image) -> Image:
    """Moved by up to 1/8 of the size, halves rounded up, in each direction, zeros coming in."""
    reach = [int(n / 8 + 0.5) for n in x.shape[:2]]
    start = [jax.random.randint(k, (), 0, 2 * r + 1) for k, r in zip(jax.random.split(key), reach)]
    padded = jnp.pad(x, (*((r, r) for r in reach), (0, 0)))
    return jax.lax.dynamic_slice(padded, (*start, 0), x.shape)


def cutout(key: Key[Array, ""], x: Image) -> Image:
    """A square of half the size, rounded up, set to zero, its centre anywhere in the image."""

    def outside(k, n):
        size = int(n / 2 + 0.5)
        first = jax.random.randint(k, (), 0, n + 1 - size % 2) - size // 2
        i = jnp.arange(n)
        return (i < first) | (i >= first + size)

    rows, columns = (outside(k, n) for k, n in zip(jax.random.split(key), x.shape))
    return x * (rows[:, None] | columns[None])[..., None]


def jitter(key: Key[Array, ""], x: Float[AnyArray, " *shape"]) -> Float[AnyArray, " *shape"]:
    """Gaussian noise of standard deviation JITTER, for examples of any shape."""
    return x + JITTER * jax.random.normal(key, x.shape)


AUGMENTS = {
    "flip": flip,
    "brightness": brightness,
    "saturation": saturation,
    "contrast": contrast,
    "translation": translation,
    "cutout": cutout,
    "jitter": jitter,
}
