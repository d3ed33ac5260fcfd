"""Norms: of a batch, of groups of channels, of a virtual batch, and of pixels."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.nets.layers import matched, per_channel, widened
from jaxgan.types import Axis, JaxganError

REFERENCE = 64  # examples of a virtual batch
MOMENTUM = 0.9  # of a batch norm's running statistics that stays at each update


def batch_norm(train: bool, axis: Axis = None, scale_init=nn.initializers.ones, affine: bool = True) -> Callable:
    """Batch normalisation over the global batch, in float32 or wider (Ioffe and Szegedy 2015, arXiv 1502.03167).

    A pmap axis is named so that the statistics are averaged over it; under a NamedSharding jit does so by itself.
    The layer before needs no bias: its true gradient is zero, and Adam would turn the rounding noise into full steps.
    """
    norm = nn.BatchNorm(
        use_running_average=not train,
        axis_name=axis if isinstance(axis, str) else None,
        momentum=MOMENTUM,
        epsilon=1e-5,
        scale_init=scale_init,
        use_scale=affine,
        use_bias=affine,
    )
    return lambda x: matched(norm(x), x)


def unit_square(x: jax.Array) -> jax.Array:
    """x with a mean square of 1 over its last axis: pixel norm, or the norm of a latent; in float32 or wider."""
    wide = widened(x)
    return matched(wide * jax.lax.rsqrt((wide**2).mean(-1, keepdims=True) + 1e-8), x)


def group_norm(count: Callable, scale_init=nn.initializers.ones, affine: bool = True) -> Callable:
    """Normalisation of each example within groups of channels, over all places: Wu and He 2018, arXiv 1803.08494.

    count: channels -> groups. In float32 or wider; gain and bias are those of a channel.
    """

    def norm(x):
        channels = x.shape[-1]
        if x.ndim == 2 and count(channels) == channels:
            raise JaxganError(
                "instance norm takes the mean over places away, and a layer of single numbers has none: 0 would be "
                "left; take layer, group or batch, and several units"
            )
        options = {"use_scale": affine, "use_bias": affine, "scale_init": scale_init}
        return matched(nn.GroupNorm(count(channels), epsilon=1e-5, use_fast_variance=False, **options)(x), x)

    return norm


def groups(channels: int) -> int:
    """32, the paper's, or the next smaller number that divides the channels into groups of 4 or more."""
    return max(n for n in range(1, 33) if n == 1 or (channels % n == 0 and channels // n >= 4))


# groups of so many channels: Ulyanov et al. 2016, arXiv 1607.08022; Ba et al. 2016, arXiv 1607.06450, for convolutions
GROUPS = {"instance": lambda channels: channels, "layer": lambda channels: 1, "group": groups}


def normalise(norm: str, train: bool, axis: Axis, scale_init=nn.initializers.ones, affine: bool = True):
    """The layer x -> x of a norm; of none, and of spectral norm (`spectral.spectral`), x itself.

    affine: whether it has a gain and a bias of its own, which virtual batch norm always has and pixel norm never.
    """
    if norm in GROUPS:
        return group_norm(GROUPS[norm], scale_init, affine)
    if norm == "virtual":
        return VirtualNorm(scale_init)
    if norm == "pixel":
        return unit_square
    return batch_norm(train, axis, scale_init, affine) if norm.startswith("batch") else lambda x: x


def biased(norm: str) -> bool:
    """Whether the layer before has a bias: a norm that takes away the mean of each channel makes it idle."""
    return norm not in ("batch", "batch_spectral", "virtual", "instance")


class VirtualNorm(nn.Module):
    """Normalises x [REFERENCE + b, ..., c] by the first rows, and each of the b others by these and itself.

    Mean and variance over examples and places of a batch of REFERENCE + 1, so that examples do not see each other; in
    float32 or wider.
    """

    scale_init: nn.initializers.Initializer = nn.initializers.ones

    @nn.compact
    def __call__(self, given: jax.Array) -> jax.Array:
        x, within = widened(given), tuple(range(1, given.ndim - 1))
        moments = jnp.stack([x.mean(within, keepdims=True), (x**2).mean(within, keepdims=True)])
        reference = moments[:, :REFERENCE].mean(1, keepdims=True)
        share = jnp.where(jnp.arange(len(x)) < REFERENCE, 0.0, 1 / (REFERENCE + 1))
        share = share.reshape(-1, *[1] * (x.ndim - 1)).astype(x.dtype)
        mean, square = reference + share[None] * (moments - reference)
        scale = self.param("scale", self.scale_init, (x.shape[-1],))
        x = (x - mean) * jax.lax.rsqrt(nn.relu(square - mean**2) + 1e-5)
        bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],))
        return matched(x * per_channel(scale, x) + per_channel(bias, x), given)
