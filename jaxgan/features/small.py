"""Networks that come with the package: classifiers of digits and of clothes, 28 x 28, and random convolutions.

`experiments/train_classifiers.py` trained the two: digits-cnn on 4,000 digits, right on 99.0 % of 1,000 held out, and
fashion-cnn on Fashion-MNIST's 60,000, right on 91.3 % of its test set of 10,000.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxgan import disk, rng
from jaxgan.errors import JaxganError
from jaxgan.features.layers import Weights, conv, dense
from jaxgan.types import AnyArray

SIZE, DIM, CLASSES = 28, 64, 10
SHAPES = {"conv1": (16, 1, 5, 5), "conv2": (48, 16, 3, 3), "conv3": (48, 48, 3, 3), "fc1": (DIM, 7 * 7 * 48)}
SHAPES["fc2"] = (CLASSES, DIM)
RANDOM = {"conv1": (32, 3, 5, 5), "conv2": (64, 32, 3, 3), "conv3": (128, 64, 3, 3)}
SEED = 0


def initial(shapes: dict[str, tuple], key: jax.Array) -> Weights:
    """Normal numbers of variance 2 / inputs (He et al. 2015, arXiv 1502.01852), and biases of 0."""
    p: Weights = {}
    for name, (out, *inputs) in shapes.items():
        normal = jax.random.normal(rng.stream(key, name), (out, *inputs), jnp.float32)
        p |= {f"{name}.weight": normal * (2 / np.prod(inputs)) ** 0.5, f"{name}.bias": jnp.zeros(out)}
    return p


def classifier(p: Weights, x: Float[AnyArray, "n 28 28 1"]) -> dict[str, Array]:
    """Images in [-1, 1] -> features [n, 64], the layer before the last, and logits [n, 10]."""
    x = jax.nn.relu(convolutions(p, x))
    features = jax.nn.relu(dense(p, "fc1", x.reshape(len(x), -1)))
    return {"features": features, "logits": dense(p, "fc2", features)}


def convolutions(p: Weights, x: Float[AnyArray, "n h w 1"]) -> Float[Array, "n h2 w2 48"]:
    """The third convolution of `classifier`, before its rectifier, of images of any size."""
    x = jax.nn.relu(conv(p, "conv1", x, 2))
    x = jax.nn.relu(conv(p, "conv2", x, 2))
    return conv(p, "conv3", x)


def stacked(p: Weights, x: Float[AnyArray, "n 28 28 3"]) -> dict[str, Array]:
    """Images of three digits, one a channel -> features [n, 192] and logits [n, 30], channel after channel."""
    n = len(x)
    out = classifier(p, jnp.moveaxis(x, 3, 1).reshape(3 * n, SIZE, SIZE, 1))
    return {name: value.reshape(n, -1) for name, value in out.items()}


def random(p: Weights, x: Float[AnyArray, "n h w 3"]) -> dict[str, Array]:
    """Images in [-1, 1] -> features [n, 128], the means over pixels of the third layer."""
    return {"features": jax.nn.relu(random_maps(p, x)).mean((1, 2))}


def random_maps(p: Weights, x: Float[AnyArray, "n h w 3"]) -> Float[Array, "n h2 w2 128"]:
    """The third convolution of `random`, before its rectifier."""
    x = jax.nn.relu(conv(p, "conv1", x, 2))
    x = jax.nn.relu(conv(p, "conv2", x, 2))
    return conv(p, "conv3", x, 2)


def shipped(name: str):
    """A function that loads the classifier called name: from the package, or from a path that is given."""

    def load(path: str | Path = "") -> Weights:
        remedy = "check the path" if path else "reinstall jaxgan"
        path = Path(path).expanduser() if path else Path(__file__).with_name(f"{name}.npz")
        try:
            p: Weights = {key: value.astype(np.float32) for key, value in disk.arrays(path).items()}
        except (JaxganError, ValueError) as e:  # or arrays of words
            raise JaxganError(f"{name}: {e}; {remedy}") from e
        if {key: value.shape for key, value in p.items() if key.endswith("weight")} != {
            f"{key}.weight": shape for key, shape in SHAPES.items()
        }:
            raise JaxganError(f"{name}: {path} holds other weights than those of {SHAPES}")
        return p

    return load


def drawn(path: str | Path = "") -> Weights:
    """The weights of `random`, from SEED; they lie in no file."""
    if path:
        raise JaxganError(f"the weights of `random` are drawn, not read; leave weights={str(path)!r} out")
    return initial(RANDOM, rng.root(SEED))
