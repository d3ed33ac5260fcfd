"""Maps of features by which images of one size are compared place by place, in losses."""

from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxgan.features import dinov2, small, vgg
from jaxgan.features.layers import Images, Weights


class Maps(NamedTuple):
    """maps: (weights, images [n, h, w, 1 or 3] in [-1, 1]) -> activations before the last rectifier [n, h2, w2, k].

    load: () -> weights; JaxganError where they are not here. least: pixels that images have at least.
    channels: k. tokens: such as maps, -> a vector of the whole image [n, k], and the maps; None where it is their mean.
    """

    maps: Callable
    load: Callable
    least: int
    channels: int
    tokens: Callable | None = None


def _vgg16(p: Weights, x: Images) -> Float[Array, "n h2 w2 k"]:
    """conv5_3, the 13th of 13; a 16th of the size."""
    return vgg.last(p, jnp.broadcast_to(x, (*x.shape[:3], 3)))


def _classifier(p: Weights, x: Images) -> Float[Array, "n h2 w2 k"]:
    """The third of three, of grey; a quarter of the size."""
    return small.convolutions(p, jnp.asarray(x).mean(-1, keepdims=True))


def _random(p: Weights, x: Images) -> Float[Array, "n h2 w2 k"]:
    """The third of three; an eighth of the size."""
    return small.random_maps(p, jnp.broadcast_to(x, (*x.shape[:3], 3)))


def _dinov2(name: str) -> Maps:
    """The class token and patches after the last norm, which are a rectifier's to none; 16 x 16 of any size."""
    s, side = dinov2.SIZES[name], dinov2.PIXELS // dinov2.SIZES[name].patch

    def tokens(p: Weights, x: Images) -> tuple[Array, Array]:
        wide = jnp.broadcast_to(x, (*x.shape[:3], 3))
        found = dinov2.network(p, dinov2.prepared(127.5 * (wide + 1)), s)
        return found[:, 0], found[:, 1:].reshape(-1, side, side, s.width)

    return Maps(lambda p, x: tokens(p, x)[1], partial(dinov2.load, name), 1, s.width, tokens)


PERCEPTUAL = {
    "vgg16": Maps(_vgg16, vgg.load, 16, 512),
    "digits-cnn": Maps(_classifier, small.shipped("digits-cnn"), 1, 48),
    "fashion-cnn": Maps(_classifier, small.shipped("fashion-cnn"), 1, 48),
    **{f"dinov2-{name}": _dinov2(name) for name in ("vits14", "vitb14")},
    "random": Maps(_random, small.drawn, 1, 128),
}


@cache
def weights(name: str) -> dict[str, np.ndarray]:
    """Those of a network of PERCEPTUAL, read when a loss is traced: a run that only samples needs none."""
    with jax.ensure_compile_time_eval():
        return {key: np.asarray(value) for key, value in PERCEPTUAL[name].load().items()}


def tokens(name: str, x: Images) -> tuple[Float[Array, "n k"], Float[Array, "n h2 w2 k"]]:
    """What a network of PERCEPTUAL makes of whole images, the mean of its maps where it has nothing else; and these."""
    p, net = jax.lax.optimization_barrier(weights(name)), PERCEPTUAL[name]
    if net.tokens:
        return net.tokens(p, x)
    found = net.maps(p, x)
    return found.mean((1, 2)), found


def maps(name: str, *images: Images) -> list[Float[Array, "n h2 w2 k"]]:
    """What a network of PERCEPTUAL makes of each of the images, its weights being constants of the program."""
    # a barrier: XLA would work through arrays that are constants when it compiles
    p = jax.lax.optimization_barrier(weights(name))
    return [PERCEPTUAL[name].maps(p, x) for x in images]
