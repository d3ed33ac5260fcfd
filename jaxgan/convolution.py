"""Convolution in the form that suits the backend: fast gradients on a CPU, the library's own elsewhere."""

import jax
import jax.numpy as jnp

from jaxgan.backend import on_cpu

LAYOUT = ("NHWC", "HWIO", "NHWC")  # of images, kernels and outputs


def convolved(x: jax.Array, kernel: jax.Array, groups: int = 1, edge: int | None = None) -> jax.Array:
    """x [b, h, w, cin], zeros around it, with kernel [k, k, cin / groups, cout], k odd -> [b, h, w, cout].

    edge: pixels of zeros, where there are others than (k - 1) / 2 -> [b, h + 2 edge - k + 1, ..., cout].

    In the form that suits the backend: on a CPU, in a loop of steps, XLA's own gradients take 7 to 34 times as long as
    products of patches (experiments/benchmarks/convs.py). To fewer channels products of rows take half of that or less.
    """
    if not on_cpu():
        padding = "SAME" if edge is None else ((edge, edge), (edge, edge))
        return jax.lax.conv_general_dilated(
            x, kernel, (1, 1), padding, dimension_numbers=LAYOUT, feature_group_count=groups
        )
    if groups == 1:
        fewer = len(kernel) > 1 and kernel.shape[3] < kernel.shape[2]
        return (
            by_rows(x, kernel, edge) if fewer else patches(x, len(kernel), edge) @ kernel.reshape(-1, kernel.shape[3])
        )
    x = x.reshape(*x.shape[:3], groups, -1)
    table = kernel.reshape(-1, groups, kernel.shape[-1] // groups)
    out = jnp.einsum("bhwgi,igo->bhwgo", patches(x, len(kernel), edge), table)
    return out.reshape(*out.shape[:3], -1)


def by_rows(x: jax.Array, kernel: jax.Array, edge: int | None = None) -> jax.Array:
    """`convolved` of one group: each row with each row of the kernel, as products of patches a pixel high, then sums.

    These patches are size times as large as x, in place of size^2 times.
    """
    size, cout = len(kernel), kernel.shape[-1]
    edge = size // 2 if edge is None else edge
    x = jnp.pad(x, ((0, 0), (edge, edge), (edge, edge), (0, 0)))
    h, w = (n - size + 1 for n in x.shape[1:3])
    wide = jnp.concatenate([x[:, :, j : j + w] for j in range(size)], -1)
    rows = wide @ kernel.reshape(size, -1, cout).transpose(1, 0, 2).reshape(-1, size * cout)
    rows = rows.reshape(*rows.shape[:3], size, cout)
    return sum(rows[:, i : i + h, :, i] for i in range(1, size)) + rows[:, :h, :, 0]


def patches(x: jax.Array, size: int, edge: int | None = None) -> jax.Array:
    """The neighbourhood of each pixel, size by size, side by side in the last axis: [b, h, w, ..., c size^2].

    edge: as in `convolved`.
    """
    edge = size // 2 if edge is None else edge
    h, w = (n + 2 * edge - size + 1 for n in x.shape[1:3])
    x = jnp.pad(x, ((0, 0), (edge, edge), (edge, edge), *[(0, 0)] * (x.ndim - 3)))
    return jnp.concatenate([x[:, i : i + h, j : j + w] for i in range(size) for j in range(size)], -1)
