"""Layers of published networks, as functions of a dict of their weights under the names that PyTorch gives them.

Activations are [n, h, w, c], kernels (out, in, h, w), as they lie in the files.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgan.convolution import convolved
from jaxgan.types import AnyArray

Weights = dict[str, AnyArray]
Images = Float[AnyArray, "n h w c"]
Maps = Float[AnyArray, "n h2 w2 k"]  # of another size
LAYOUT = ("NHWC", "OIHW", "NHWC")


def conv(p: Weights, name: str, x: Images, stride: int = 1, pad="same", groups: int = 1) -> Float[Array, "n h2 w2 k"]:
    """Convolution `name`.weight, plus `name`.bias where there is one; pad: "same", (k - 1) / 2 a side, or "valid"."""
    kernel = jnp.asarray(p[f"{name}.weight"], x.dtype)
    sides = [(0, 0) if pad == "valid" else (k // 2, k // 2) for k in kernel.shape[2:]]
    dims = jax.lax.conv_dimension_numbers(x.shape, kernel.shape, LAYOUT)
    y = jax.lax.conv_general_dilated(
        jnp.asarray(x), kernel, (stride, stride), sides, dimension_numbers=dims, feature_group_count=groups
    )
    return y + _row(p[f"{name}.bias"]) if f"{name}.bias" in p else y


def sloped(p: Weights, name: str, x: Images) -> Float[Array, "n h w k"]:
    """`conv` of an odd kernel by whose gradient others learn; on a CPU that is faster, and takes more memory."""
    y = convolved(jnp.asarray(x), jnp.asarray(p[f"{name}.weight"], x.dtype).transpose(2, 3, 1, 0))
    return y + _row(p[f"{name}.bias"]) if f"{name}.bias" in p else y


def normalise(p: Weights, name: str, x: Images, eps: float) -> Float[Array, "n h w c"]:
    """Batch normalisation `name` with the moments of its training."""
    scale = p[f"{name}.weight"] / jnp.sqrt(p[f"{name}.running_var"] + eps)
    return jnp.asarray(x) * _row(scale) + _row(p[f"{name}.bias"] - p[f"{name}.running_mean"] * scale)


def dense(p: Weights, name: str, x: Float[AnyArray, "n c"], bias: bool = True) -> Float[Array, "n k"]:
    """x `name`.weight^T + `name`.bias; without it where bias is False."""
    y = jnp.asarray(x) @ jnp.asarray(p[f"{name}.weight"]).T
    return y + jnp.asarray(p[f"{name}.bias"])[None] if bias else y


def max_pool(x: Images, size: int, stride: int, pad: int = 0) -> Float[Array, "n h2 w2 c"]:
    """Largest values of size x size windows."""
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, *_window(size, stride, pad))


def mean_pool(x: Images, size: int = 3) -> Images:
    """Means of size x size windows around each pixel, of those pixels alone that are in the image."""
    window = _window(size, 1, size // 2)
    count = jax.lax.reduce_window(jnp.ones((1, *x.shape[1:3], 1), x.dtype), 0.0, jax.lax.add, *window)
    return jax.lax.reduce_window(x, 0.0, jax.lax.add, *window) / count


def _window(size: int, stride: int, pad: int):
    return (1, size, size, 1), (1, stride, stride, 1), ((0, 0), (pad, pad), (pad, pad), (0, 0))


def _row(v) -> Array:
    return jnp.asarray(v)[None, None, None]
