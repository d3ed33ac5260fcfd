"""Kernels of a tree of parameters as matrices [inputs, units], and their largest singular values by power iteration."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxgan.types import AnyArray

CENTRED, FREE = "rows", "free_rows"  # names of parameters that are `rows`, with a mean of 0 and with any
HEAD = "Head_0"  # of a discriminator; its table of classes is a linear map of its features


def matrix(kernel: Float[AnyArray, "... units"]) -> Float[AnyArray, "inputs units"]:
    """A kernel with all axes but the last as one: (kh * kw * cin, cout) of a convolution."""
    return kernel.reshape(-1, kernel.shape[-1])


def path(keys) -> str:
    """A leaf's path in a tree as text, "Dense_0.kernel"."""
    return jax.tree_util.keystr(keys, simple=True, separator=".")


def named(params) -> dict[str, Any]:
    """{path: kernel} of all kernels in a tree of parameters or of their shapes, and of a head's table of classes."""
    leaves = {path(keys): p for keys, p in jax.tree.leaves_with_path(params) if jnp.ndim(p) > 1}
    return {name: p for name, p in leaves.items() if name.endswith("kernel") or HEAD in name}


def unit(x: Float[AnyArray, " *shape"]) -> Float[AnyArray, " *shape"]:
    """x divided by its length; a zero vector stays."""
    return x / jnp.sqrt((x**2).sum() + 1e-24)


def iterated(kernel: Float[AnyArray, "... units"], u: Float[AnyArray, " units"]) -> Float[AnyArray, " units"]:
    """u after one power iteration towards the kernel's first right singular vector, a constant to gradients."""
    w = jax.lax.stop_gradient(matrix(kernel))
    return unit(w.T @ unit(w @ u))


def size(kernel: Float[AnyArray, "... units"], u: Float[AnyArray, " units"]) -> Float[Array, ""]:
    """||W u|| for the direction of u: the spectral norm at the first right singular vector, else less.

    Its gradient is v u^T with v = W u / ||W u||, as if both vectors were constants.
    """
    return jnp.sqrt(((matrix(kernel) @ unit(u)) ** 2).sum() + 1e-24)


def start(key: Key[Array, ""], kernel: Float[AnyArray, "... units"], turns: int = 10) -> Float[AnyArray, " units"]:
    """A random u after so many power iterations."""
    return jax.lax.fori_loop(0, turns, lambda i, u: iterated(kernel, u), jax.random.normal(key, kernel.shape[-1:]))


def rows(w: Float[AnyArray, "... units"], centred: bool = True) -> Float[Array, "... units"]:
    """w with a mean square of 1 of the weights into each unit, and with a mean of 0 of them where they are centred."""
    w, axes = jnp.asarray(w), tuple(range(w.ndim - 1))
    w = w - w.mean(axes, keepdims=True) if centred else w
    return w / (jnp.sqrt((w**2).mean(axes, keepdims=True) + 1e-24) + 1e-4)
