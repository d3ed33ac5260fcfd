"""Resampling by the filter [1, 3, 3, 1], as StyleGAN2's (Karras et al. 2019, arXiv 1912.04958); borders see zeros.

Sums of shifted slices in place of convolutions: exact, fast on every backend, and differentiable twice.
"""

import jax
import jax.numpy as jnp

from jaxgan.backend import on_cpu
from jaxgan.convolution import LAYOUT


def _along(x: jax.Array, axis: int) -> tuple[jax.Array, jax.Array]:
    """The neighbours before and after each entry of x along an axis, 0 beyond its ends."""
    pad = [(0, 0)] * x.ndim
    pad[axis] = (1, 1)
    padded, n = jnp.pad(x, pad), x.shape[axis]
    return jax.lax.slice_in_dim(padded, 0, n, axis=axis), jax.lax.slice_in_dim(padded, 2, n + 2, axis=axis)


def up(x: jax.Array) -> jax.Array:
    """Twice the height and width, each output 3/4 of its pixel and 1/4 of the next: [b, h, w, c] -> [b, 2h, 2w, c]."""
    for axis in (1, 2):
        before, after = _along(x, axis)
        both = jnp.stack([0.25 * before + 0.75 * x, 0.75 * x + 0.25 * after], axis + 1)
        x = both.reshape(*x.shape[:axis], 2 * x.shape[axis], *x.shape[axis + 1 :])
    return x


def down(x: jax.Array) -> jax.Array:
    """Half the height and width, by [1, 3, 3, 1] / 8 in each direction: [b, 2h, 2w, c] -> [b, h, w, c]."""
    for axis in (1, 2):
        pairs = x.reshape(*x.shape[:axis], x.shape[axis] // 2, 2, *x.shape[axis + 1 :])
        first, second = jnp.take(pairs, 0, axis + 1), jnp.take(pairs, 1, axis + 1)
        x = 0.375 * (first + second) + 0.125 * (_along(second, axis)[0] + _along(first, axis)[1])
    return x


def fir(x: jax.Array, pad: int, gain: float = 1.0) -> jax.Array:
    """x [b, h, w, c] by gain [1, 3, 3, 1] / 8 in each direction, pad zeros around: [b, h - 3 + 2 pad, ..., c]."""
    taps = [gain * t / 8 for t in (1, 3, 3, 1)]
    x = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    for axis in (1, 2):
        n = x.shape[axis] - 3
        shifted = [tap * jax.lax.slice_in_dim(x, i, i + n, axis=axis) for i, tap in enumerate(taps)]
        x = sum(shifted[1:], shifted[0])
    return x


def convolved_up(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Transposed 3x3 convolution of stride 2, then `fir`: x [b, h, w, cin], [3, 3, cin, cout] -> [b, 2h, 2w, cout]."""
    return fir((_transposed if on_cpu() else _transposed_conv)(x, kernel), 1, 2.0)


def convolved_down(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """`fir`, then a 3x3 convolution of stride 2: x [b, 2h, 2w, cin], [3, 3, cin, cout] -> [b, h, w, cout]."""
    x = fir(x, 2)
    if not on_cpu():
        return jax.lax.conv_general_dilated(x, kernel, (2, 2), "VALID", dimension_numbers=LAYOUT)
    h, w = x.shape[1] // 2, x.shape[2] // 2
    seen = [x[:, i : i + 2 * h : 2, j : j + 2 * w : 2] for i in range(3) for j in range(3)]
    return jnp.concatenate(seen, -1) @ kernel.reshape(-1, kernel.shape[-1])


def _transposed_conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """y[2i + u] += x[i] kernel[u] in both directions: [b, h, w, cin] -> [b, 2h + 1, 2w + 1, cout]."""
    return jax.lax.conv_general_dilated(
        x, kernel[::-1, ::-1], (1, 1), ((2, 2), (2, 2)), lhs_dilation=(2, 2), dimension_numbers=LAYOUT
    )


def _transposed(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """The map of `_transposed_conv` as one matrix product."""
    cin, cout = kernel.shape[2:]
    parts = (x @ kernel.transpose(2, 0, 1, 3).reshape(cin, 9 * cout)).reshape(*x.shape[:3], 3, 3, cout)
    for axis in (1, 2):  # of each part's three numbers, 2i + 2 falls on the next one's 2i
        first, middle, last = (jnp.take(parts, u, axis=3) for u in range(3))
        edge = [(0, 0)] * first.ndim
        edge[axis] = (0, 1)
        even = jnp.pad(first, edge) + jnp.pad(last, [(1, 0) if i == axis else p for i, p in enumerate(edge)])
        both = jnp.stack([even, jnp.pad(middle, edge)], axis + 1)
        both = both.reshape(*both.shape[:axis], -1, *both.shape[axis + 2 :])
        parts = jax.lax.slice_in_dim(both, 0, both.shape[axis] - 1, axis=axis)
    return parts
