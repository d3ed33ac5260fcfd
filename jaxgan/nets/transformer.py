"""Transformers' parts for images: tokens of patches, their places, attention, SwiGLU, and blocks as a loop.

As GAT has them (Hyun et al. 2025, arXiv 2509.24935); in bfloat16 blocks multiply, and the sum over blocks, norms
and softmaxes stay float32.
"""

import math
from itertools import accumulate

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.nets.layers import matched, narrowed, per_channel, widened

XAVIER = nn.initializers.xavier_uniform()
SCALE = 0.1  # of D's branches at first
THETA = 10_000.0  # longest wave of places
Grids = tuple[tuple[int, int], ...]  # rows and columns of tokens


class Linear(nn.Module):
    """x [..., n] -> [..., features] in the type of x; rate: how much slower than others it learns."""

    features: int
    kernel_init: nn.initializers.Initializer = XAVIER
    rate: float = 1.0

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        larger = lambda *args: self.kernel_init(*args) / self.rate  # noqa: E731
        kernel = self.rate * self.param("kernel", larger, (x.shape[-1], self.features))
        x @= matched(kernel, x)
        return x + self.rate * per_channel(self.param("bias", nn.initializers.zeros, (self.features,)), x)


def rms(x: jax.Array) -> jax.Array:
    """x with a mean square of 1 over its last axis, in float32 or wider."""
    x = widened(x)
    return x * jax.lax.rsqrt((x**2).mean(-1, keepdims=True) + 1e-6)


class Gain(nn.Module):
    """rms(x) times a gain of each channel, 1 at first: [..., n] -> the same."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return rms(x) * per_channel(self.param("scale", nn.initializers.ones, (x.shape[-1],)), x)


def waves(places: np.ndarray, count: int) -> np.ndarray:
    """Angles [n, count] of places [n], with count wave lengths from 2 pi up to below 2 pi THETA."""
    return places[:, None] * THETA ** -(np.arange(count) / count)[None]


def corners(grid: tuple[int, int]) -> list[np.ndarray]:
    """Row and column of each token of a grid, two arrays [rows * columns]."""
    return [axis.ravel().astype(float) for axis in np.meshgrid(*map(np.arange, grid), indexing="ij")]


def table(grid: tuple[int, int], width: int) -> np.ndarray:
    """Fixed places of tokens [rows * columns, width]: sines and cosines of the row, then of the column."""
    angles = [waves(places, width // 4) for places in corners(grid)]
    return np.concatenate([f(a) for a in angles for f in (np.sin, np.cos)], -1)


def rotated(x: jax.Array, grid: tuple[int, int]) -> jax.Array:
    """Rotary places in two dimensions: x [b, n, heads, size], n tokens of a grid, after any others, which stay.

    Neighbouring pairs of numbers are turned, those of the first half of a head by the row, of the second by the column.
    """
    size, before = x.shape[-1], x.shape[1] - math.prod(grid)
    angles = np.concatenate([waves(places, size // 4) for places in corners(grid)], -1)
    angles = np.pad(angles, ((before, 0), (0, 0)))[None, :, None]
    cos, sin = (jnp.asarray(f(angles), x.dtype) for f in (np.cos, np.sin))
    a, b = x[..., ::2], x[..., 1::2]
    return jnp.stack([a * cos - b * sin, a * sin + b * cos], -1).reshape(x.shape)


def attended(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    """Softmax attention, all [b, n, heads, size]: jax.nn's, in products of one type forwards and backwards."""
    logits = widened(jnp.einsum("bqhs,bkhs->bhqk", q / math.sqrt(q.shape[-1]), k))
    return jnp.einsum("bhqk,bkhs->bqhs", matched(nn.softmax(logits), v), v)


def starts(grids: Grids, n: int) -> list[int]:
    """The first of n tokens of each grid, with those that stand before it, of which each grid has as many."""
    before = (n - sum(map(math.prod, grids))) // len(grids)
    return [0, *accumulate(before + math.prod(grid) for grid in grids[:-1])]


class Attention(nn.Module):
    """Attention between tokens x [b, n, width]; queries and keys are normalised in each head, and rotated.

    Tokens of several grids, one after the other, see those of their own alone.
    """

    heads: int
    grids: Grids

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        b, n, width = x.shape
        q, k, v = jnp.moveaxis(Linear(3 * width, name="qkv")(x).reshape(b, n, 3, self.heads, -1), 2, 0)
        q, k = (Gain(name=name)(part) for name, part in (("q", q), ("k", k)))
        parts = zip(self.grids, *(jnp.split(part, starts(self.grids, n)[1:], 1) for part in (q, k, v)))
        turned = lambda part, grid: matched(rotated(part, grid), x)  # noqa: E731
        seen = [attended(turned(q, grid), turned(k, grid), v) for grid, q, k, v in parts]
        return Linear(width, name="out")(jnp.concatenate(seen, 1).reshape(b, n, width))


class Mlp(nn.Module):
    """SwiGLU (Shazeer 2020, arXiv 2002.05202) of 8/3 the width: [..., n] -> the same."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        a, b = jnp.split(Linear(2 * (8 * x.shape[-1] // 3))(x), 2, -1)
        return Linear(x.shape[-1])(nn.silu(a) * b)


class Plain(nn.Module):
    """A block of D: x [b, n, width], with gains of channels before and after each branch."""

    heads: int
    grids: Grids
    precision: str

    @nn.compact
    def __call__(self, x: jax.Array, w: None):
        for name, branch in (
            ("attention", Attention(self.heads, self.grids, name="attention")),
            ("mlp", Mlp(name="mlp")),
        ):
            inner = narrowed(Gain(name=f"{name}_norm")(x), self.precision)
            scale = self.param(f"{name}_scale", nn.initializers.constant(SCALE), (x.shape[-1],))
            x += per_channel(scale, x) * widened(branch(inner))
        return x, None


def scanned(block: type[nn.Module], count: int, remat: bool = False):
    """count of a block (x, w) -> x, output, one after the other as a loop: its arrays are [count, ...]."""
    block = nn.remat(block, prevent_cse=False) if remat else block  # a loop keeps the two passes apart by itself
    return nn.scan(block, variable_axes={"params": 0}, split_rngs={"params": True}, in_axes=nn.broadcast, length=count)


def patched(x: jax.Array, grid: tuple[int, int], patch: int) -> jax.Array:
    """Images [b, h, w, c] as tokens [b, n, patch * patch * c], row by row."""
    x = x.reshape(x.shape[0], grid[0], patch, grid[1], patch, x.shape[-1])
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(x.shape[0], math.prod(grid), -1)


def unpatched(x: jax.Array, grid: tuple[int, int], patch: int) -> jax.Array:
    """The inverse of `patched`."""
    x = x.reshape(x.shape[0], *grid, patch, patch, -1).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(x.shape[0], grid[0] * patch, grid[1] * patch, -1)
