"""Layers that the architectures share, and the only adapter from Flax Linen to `types.Net`."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.backend import on_cpu
from jaxgan.config import Config
from jaxgan.convolution import LAYOUT
from jaxgan.nets.minibatch import Minibatch
from jaxgan.types import Axis, JaxganError, Net, Tree

EMBED = 32  # features of the label's embedding in G


class Network(nn.Module, kw_only=True):
    """A whole network, with what `linen` takes over from a configuration; options.Architecture says what they mean.

    Layers compute in the type of what they are given, to which they round their kernels; parameters stay float32, and
    so do statistics, sums over examples or places, logits and images.
    """

    precision: str = "float32"
    remat: bool = False
    minibatch: int = 0
    bounded: bool = True

    @nn.nowrap
    def narrow(self, x: jax.Array) -> jax.Array:
        """x in the type in which the network computes: from here on."""
        return narrowed(x, self.precision)

    @nn.nowrap
    def image(self, x: jax.Array) -> jax.Array:
        """The last layer's x as an image in [-1, 1]; as it is where images are latents, which have no bounds."""
        return jnp.tanh(x) if self.bounded else x

    @nn.nowrap
    def discrimination(self, train: bool, axis: Axis) -> dict:
        """The fields of a D's `Head` by which its examples see each other, on all devices where it trains."""
        return {"minibatch": self.minibatch, "axis": axis if train else None}

    @nn.nowrap
    def stage(self, layers: Callable, *inputs, **options):
        """layers(*inputs, **options), a function that makes and applies layers of the network.

        With remat its gradient keeps inputs alone and computes all else again (Chen et al. 2016, arXiv 1604.06174).
        """
        if not self.remat:
            return layers(*inputs, **options)
        return nn.remat(lambda network, *inputs: layers(*inputs, **options))(self, *inputs)


def linen(module: nn.Module, config: Config | None = None) -> Net:
    """A Flax Linen module, called as module(*inputs, train=bool), as a pair of pure functions.

    vars: the dict of all collections but "params", {} if there are none; apply returns new ones if train and the same
    ones otherwise, always with the structure that init gave them. config: of a `Network`.
    """
    module = module if config is None else module.clone(minibatch=config.minibatch)
    if config is None:
        computing = module
    else:
        computing = module.clone(precision=config.precision, remat=config.remat, bounded=not config.space)

    def init(key: jax.Array, *inputs) -> tuple[Tree, Tree]:
        variables = dict(module.init(key, *inputs, train=False))
        return variables.pop("params", {}), variables

    def apply(params: Tree, vars: Tree, *inputs, train: bool, **options) -> tuple[Any, Tree]:
        variables = {"params": params, **vars}
        if not (train and vars):
            return jax.tree.map(widened, computing.apply(variables, *inputs, train=train, **options)), vars
        output, updated = computing.apply(variables, *inputs, train=train, mutable=list(vars), **options)
        return jax.tree.map(widened, output), {**vars, **updated}

    return Net(init, apply)


def narrowed(x: jax.Array, precision: str) -> jax.Array:
    """x in bfloat16 if that is the precision."""
    return x.astype(jnp.bfloat16) if precision == "bfloat16" else x


def widened(x: jax.Array) -> jax.Array:
    """x in float32, or as it is where it is wider."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def matched(values: jax.Array, x: jax.Array) -> jax.Array:
    """values in bfloat16 where x is, else as they are."""
    return values.astype(x.dtype) if x.dtype == jnp.bfloat16 else values


def per_channel(numbers: jax.Array, x: jax.Array) -> jax.Array:
    """One number per channel [c] as an array [1, ..., 1, c] of the rank of x [b, ..., c], `fitted` to it."""
    return fitted(jnp.expand_dims(numbers, tuple(range(x.ndim - 1))), x)


def fitted(numbers: jax.Array, x: jax.Array) -> jax.Array:
    """numbers of the rank of x: in bfloat16 where x is, and then of x's shape, so that gradients are float32 sums."""
    return matched(jnp.broadcast_to(numbers, x.shape), x) if x.dtype == jnp.bfloat16 else numbers


def down_conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """4x4 convolution, stride 2, padding 1: x [b, 2h, 2w, cin], kernel [4, 4, cin, cout] -> [b, h, w, cout]."""
    return jax.lax.conv_general_dilated(x, kernel, (2, 2), ((1, 1), (1, 1)), dimension_numbers=LAYOUT)


def up_conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """4x4 transposed convolution, stride 2, padding 1: x [b, h, w, cin], kernel [4, 4, cin, cout] -> [b, 2h, 2w, cout].

    Output pixel t takes kernel row u from input row s where t = 2s - 1 + u.
    """
    return jax.lax.conv_general_dilated(
        x,
        kernel[::-1, ::-1],
        (1, 1),
        ((2, 2), (2, 2)),
        lhs_dilation=(2, 2),
        dimension_numbers=LAYOUT,
    )


def four(kernel: jax.Array) -> jax.Array:
    """A kernel [4, 4, cin, cout], or [3, 3, cin, cout] with a last row and column of zeros: the same map by 4x4."""
    return jnp.pad(kernel, [(0, 4 - n) for n in kernel.shape[:2]] + [(0, 0)] * 2) if len(kernel) < 4 else kernel


def blocks(kernel: jax.Array) -> jax.Array:
    """A kernel [4, 4, cin, cout] as [i, j, a, b, cin, cout], row 2i + a and column 2j + b: 2x2 blocks of 2x2 pixels."""
    cin, cout = kernel.shape[2:]
    return kernel.reshape(2, 2, 2, 2, cin, cout).transpose(0, 2, 1, 3, 4, 5)


def space_to_depth(x: jax.Array) -> jax.Array:
    """Pads by a pixel and moves 2x2 pixels into channels (a, b, c): [b, 2h, 2w, c] -> [b, h + 1, w + 1, 4c]."""
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    n, h, w, c = x.shape
    return x.reshape(n, h // 2, 2, w // 2, 2, c).transpose(0, 1, 3, 2, 4, 5).reshape(n, h // 2, w // 2, 4 * c)


def depth_to_space(x: jax.Array) -> jax.Array:
    """The transpose of `space_to_depth`: [b, h + 1, w + 1, 4c] -> [b, 2h, 2w, c]."""
    n, h, w, c = x.shape
    x = x.reshape(n, h, w, 2, 2, c // 4).transpose(0, 1, 3, 2, 4, 5).reshape(n, 2 * h, 2 * w, c // 4)
    return x[:, 1:-1, 1:-1]


def shifted(x: jax.Array) -> list[jax.Array]:
    """x [b, h, w, c] at the offsets (i, j) of a block in [b, h + 1, w + 1, c], zero elsewhere."""
    return [jnp.pad(x, ((0, 0), (i, 1 - i), (j, 1 - j), (0, 0))) for i in (0, 1) for j in (0, 1)]


def down_matmul(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """The map of `down_conv` as one matrix product of 4x4 patches."""
    cin, cout = kernel.shape[2:]
    h, w = x.shape[1] // 2, x.shape[2] // 2
    x = space_to_depth(x)
    x = jnp.concatenate([x[:, i : i + h, j : j + w] for i in (0, 1) for j in (0, 1)], axis=-1)
    return x @ blocks(kernel).reshape(16 * cin, cout)


def up_matmul(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """The map of `up_conv` as one matrix product, of 2x2 patches or into 4x4 patches, whichever are smaller."""
    n, h, w, _ = x.shape
    cin, cout = kernel.shape[2:]
    if cin <= 4 * cout:
        table = blocks(kernel).transpose(0, 1, 4, 2, 3, 5).reshape(4 * cin, 4 * cout)
        return depth_to_space(jnp.concatenate(shifted(x), axis=-1) @ table)
    table = blocks(kernel).transpose(4, 0, 1, 2, 3, 5).reshape(cin, 16 * cout)
    parts = (x @ table).reshape(n, h, w, 4, 4 * cout)
    return depth_to_space(sum(shifted(parts[:, :, :, k])[k] for k in range(4)))  # type: ignore[arg-type]  # not 0


def down(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """4x4 convolution, stride 2, padding 1, in the form that suits the backend: [b, 2h, 2w, cin] -> [b, h, w, cout].

    XLA on CPU is slow at gradients of strided convolutions; experiments/benchmarks/convs.py measures the forms.
    """
    return (down_matmul if on_cpu() else down_conv)(x, kernel)


def up(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """4x4 transposed convolution, stride 2, padding 1, like `down`: [b, h, w, cin] -> [b, 2h, 2w, cout]."""
    return (up_matmul if on_cpu() else up_conv)(x, kernel)


class Down(nn.Module):
    """4x4 convolution, stride 2, padding 1, that halves height and width: [b, 2h, 2w, cin] -> [b, h, w, features].

    size 3: a 3x3 convolution, whose padding is one row above and one column on the left, as the rest is not reached.
    """

    features: int
    bias: bool = True
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
    size: int = 4

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        kernel = self.param("kernel", self.kernel_init, (self.size, self.size, x.shape[-1], self.features))
        x = down(x, matched(four(kernel), x))
        return x + per_channel(self.param("bias", nn.initializers.zeros, (self.features,)), x) if self.bias else x


class Up(nn.Module):
    """4x4 transposed convolution, stride 2, padding 1: [b, h, w, cin] -> [b, 2h, 2w, features].

    size 3: a 3x3 one, in PyTorch's words with an output padding of 1.
    """

    features: int
    bias: bool = True
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
    size: int = 4

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        kernel = self.param("kernel", self.kernel_init, (self.size, self.size, x.shape[-1], self.features))
        x = up(x, matched(four(kernel), x))
        return x + per_channel(self.param("bias", nn.initializers.zeros, (self.features,)), x) if self.bias else x


class Dense(nn.Module):
    """nn.Dense in the type of its input: [b, n] -> [b, features]."""

    features: int
    use_bias: bool = True
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x @= matched(self.param("kernel", self.kernel_init, (x.shape[-1], self.features)), x)
        bias = self.param("bias", nn.initializers.zeros, (self.features,)) if self.use_bias else None
        return x if bias is None else x + fitted(bias.reshape(1, -1), x)


def one_hot(y: jax.Array | None, classes: int) -> jax.Array:
    """Labels y int [b] as [b, classes]; JaxganError without labels."""
    if y is None:
        raise JaxganError(f"This network was built for {classes} classes but got no labels: pass y [b].")
    return jax.nn.one_hot(y, classes)


class Embed(nn.Module):
    """One learned vector per class: y int [b] -> [b, features].

    A product with one-hot rows: the gradient of a lookup is a scatter, whose order of summation is not fixed on GPUs.
    """

    classes: int
    features: int
    table_init: nn.initializers.Initializer

    @nn.compact
    def __call__(self, y: jax.Array | None) -> jax.Array:
        return one_hot(y, self.classes) @ self.param("table", self.table_init, (self.classes, self.features))


def conditioned(z: jax.Array, y: jax.Array | None, classes: int) -> jax.Array:
    """z [b, latent] with EMBED learned features of the label y [b] beside it; z where there are no classes.

    To be called inside a compact method, whose module then owns the embedding.
    """
    return jnp.concatenate([z, Embed(classes, EMBED, nn.initializers.normal(1.0))(y)], -1) if classes else z


class Head(nn.Module):
    """One logit per example, plus <e_y, phi(x)> where there are classes (Miyato and Koyama 2018, arXiv 1802.05637).

    phi [b, n], y int [b] or None -> float32 (or wider) [b], and phi beside it where features are asked for. With
    outputs above 0 it is an encoder's: [b, outputs], of phi and an embedding of y. Computes in float32 or wider.
    minibatch, axis: kernels of `Minibatch`, whose numbers are among the features of D then, and its axis.
    """

    classes: int
    kernel_init: nn.initializers.Initializer
    embed_init: nn.initializers.Initializer
    outputs: int = 0
    minibatch: int = 0
    axis: Axis = None

    @nn.compact
    def __call__(self, phi: jax.Array, y: jax.Array | None, features: bool = False):
        phi = widened(phi)
        if self.outputs:
            phi = conditioned(phi, y, self.classes)
            return nn.Dense(self.outputs, kernel_init=self.kernel_init)(phi).astype(jnp.float32)
        phi = Minibatch(self.minibatch, self.axis)(phi) if self.minibatch else phi
        logit = nn.Dense(1, kernel_init=self.kernel_init)(phi)[:, 0]
        if self.classes:
            logit += (Embed(self.classes, phi.shape[-1], self.embed_init)(y) * phi).sum(-1)
        return (logit, phi) if features else logit
