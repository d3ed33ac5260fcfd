"""Small networks on top of others, and networks made of others: class heads, joint and autoencoding discriminators."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.nets.layers import EMBED, Embed, linen
from jaxgan.nets.transformer import Linear
from jaxgan.types import JaxganError, Net

HIDDEN = 256  # units of the layers that stand on features or latents


class Dense(nn.Module):
    """Inputs [b, n] of which the first are joined -> [b, outputs], through leaky layers of these widths."""

    outputs: int
    hidden: tuple[int, ...] = ()

    @nn.compact
    def __call__(self, *inputs: jax.Array, train: bool) -> jax.Array:
        x = jnp.concatenate(inputs, -1)
        for width in self.hidden:
            x = nn.leaky_relu(nn.Dense(width, kernel_init=nn.initializers.he_normal())(x), 0.2)
        return nn.Dense(self.outputs)(x)


class Contrast(nn.Module):
    """Features [b, n] and labels [b] -> points of the unit sphere [b, features]: of the examples, of their classes."""

    classes: int
    features: int

    @nn.compact
    def __call__(self, h: jax.Array, y: jax.Array, train: bool) -> tuple[jax.Array, jax.Array]:
        of_class = Embed(self.classes, self.features, nn.initializers.normal(1.0))(y)
        return unit(nn.Dense(self.features)(h)), unit(of_class)


class LabelMap(nn.Module):
    """Labels [b] -> a learned picture of each [b, *shape]."""

    classes: int
    shape: tuple[int, ...]

    @nn.compact
    def __call__(self, y: jax.Array, train: bool) -> jax.Array:
        return Embed(self.classes, math.prod(self.shape), nn.initializers.normal(1.0))(y).reshape(-1, *self.shape)


def unit(x: jax.Array) -> jax.Array:
    """Rows of x [b, n] divided by their lengths; a row of zeros stays, with a finite gradient."""
    return x * jax.lax.rsqrt((x**2).sum(-1, keepdims=True) + 1e-12)


class Projector(nn.Module):
    """Tokens [b, n, width] -> [b, n, outputs], through two layers: Hyun et al. 2025, arXiv 2509.24935."""

    outputs: int
    hidden: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        for _ in range(2):
            x = nn.silu(Linear(self.hidden)(x))
        return Linear(self.outputs)(x)


def projector(outputs: int, hidden: int) -> Net:
    """Tokens [b, n, width] -> [b, n, outputs]."""
    return linen(Projector(outputs, hidden))


def dense(outputs: int, hidden: tuple[int, ...] = ()) -> Net:
    """Features [b, n] -> [b, outputs]."""
    return linen(Dense(outputs, hidden))


def contrast(classes: int, features: int) -> Net:
    """Features [b, n] and labels [b] -> unit vectors of examples and of their classes, both [b, features]."""
    return linen(Contrast(classes, features))


def one_hot_maps(classes: int, shape: tuple[int, ...]) -> Net:
    """Labels [b] -> one channel a class [b, *shape[:-1], classes], 1 everywhere in the label's own; no parameters."""

    def apply(params, vars, y, train):
        rows = jax.nn.one_hot(y, classes).reshape(len(y), *[1] * (len(shape) - 1), classes)
        return jnp.broadcast_to(rows, (len(y), *shape[:-1], classes)), vars

    return Net(lambda key, y: ({}, {}), apply)


def label_maps(classes: int, shape: tuple[int, ...]) -> Net:
    """Labels [b] -> one learned channel [b, *shape[:-1], 1] of images and sequences, EMBED numbers of points."""
    return linen(LabelMap(classes, (*shape[:-1], 1 if shape[:-1] else EMBED)))


def beside(label: Net, d: Net) -> Net:
    """D that sees the channels of `label` beside those of x: (x [b, ..., c], y [b]) -> as d."""

    def init(key, x, y):
        table, _ = label.init(jax.random.fold_in(key, 0), y)
        maps, _ = label.apply(table, {}, y, train=False)
        params, vars = d.init(jax.random.fold_in(key, 1), jnp.concatenate([x, maps], -1), None)
        return {"d": params, "label": table}, vars

    def apply(params, vars, x, y, train, **options):
        maps, _ = label.apply(params["label"], {}, y, train=train)
        return d.apply(params["d"], vars, jnp.concatenate([x, maps], -1), None, train=train, **options)

    return Net(init, apply)


def on_pairs(d: Net) -> Net:
    """D that sees the image it is told on the same pixels as x: (x [b, ..., c], told [b, ..., c]) -> as d."""

    def both(x, told):
        return jnp.concatenate([told, x], -1)

    return Net(
        lambda key, x, told: d.init(key, both(x, told), None),
        lambda params, vars, x, told, train, **options: d.apply(
            params, vars, both(x, told), None, train=train, **options
        ),
    )


def alternated(a: jax.Array, b: jax.Array) -> jax.Array:
    """Rows a0, b0, a1, b1, ... [2n, ...] of a and b [n, ...]: what belongs together stays on one device."""
    return jnp.stack([a, b], 1).reshape(-1, *a.shape[1:])


def alternating(d: Net) -> Net:
    """Two D of one architecture, for the rows of two sets as `alternated` orders them: (x [2n, ...], y) -> [2n].

    y: None, or what D is told of each row.
    """

    def sides(x, y):
        if len(x) % 2:
            raise JaxganError(f"{len(x)} examples on a device are not shared by two discriminators; use an even number")
        both = jax.tree.map(lambda rows: rows.reshape(-1, 2, *rows.shape[1:]), (x, y))
        return {side: jax.tree.map(lambda rows: rows[:, i], both) for i, side in enumerate("ab")}  # noqa: B023

    def init(key, x, y):
        made = {side: d.init(jax.random.fold_in(key, i), *seen) for i, (side, seen) in enumerate(sides(x, y).items())}
        return {side: params for side, (params, _) in made.items()}, {side: vars for side, (_, vars) in made.items()}

    def apply(params, vars, x, y, train, **options):
        made = {s: d.apply(params[s], vars[s], *seen, train=train, **options) for s, seen in sides(x, y).items()}
        return jax.tree.map(alternated, made["a"][0], made["b"][0]), {s: vars for s, (_, vars) in made.items()}

    return Net(init, apply)


def joint(d: Net) -> Net:
    """D of pairs (x, z), the logit of x by d plus one of (features of x, z): (x, (y, z)) -> logits [b].

    Donahue and Simonyan 2019, arXiv 1907.02544, sum unary and joint scores like this.
    """
    head = dense(1, (HIDDEN,))

    def init(key, x, told):
        y, z = told
        params, vars = d.init(jax.random.fold_in(key, 0), x, y)
        (_, h), _ = d.apply(params, vars, x, y, train=False, features=True)
        return {"x": params, "xz": head.init(jax.random.fold_in(key, 1), h, z)[0]}, vars

    def apply(params, vars, x, told, train, features=False):
        y, z = told
        (logit, h), vars = d.apply(params["x"], vars, x, y, train=train, features=True)
        logit += head.apply(params["xz"], {}, h, z, train=train)[0][:, 0]
        return ((logit, h) if features else logit), vars

    return Net(init, apply)


def autoencoder(e: Net, g: Net, error) -> Net:
    """D whose logit is less its reconstruction error, and whose features are the code: (x, y) -> logits [b].

    error: differences x - g(e(x)) [b, ...] -> numbers of the same shape; their mean over an example is its error.
    """

    def init(key, x, y):
        encoder, e_vars = e.init(jax.random.fold_in(key, 0), x, y)
        code, _ = e.apply(encoder, e_vars, x, y, train=False)
        decoder, g_vars = g.init(jax.random.fold_in(key, 1), code, y)
        return {"e": encoder, "g": decoder}, {"e": e_vars, "g": g_vars}

    def apply(params, vars, x, y, train, features=False):
        code, e_vars = e.apply(params["e"], vars["e"], x, y, train=train)
        again, g_vars = g.apply(params["g"], vars["g"], code, y, train=train)
        logit = -error(x - again).reshape(len(x), -1).mean(1)
        return ((logit, code) if features else logit), {"e": e_vars, "g": g_vars}

    return Net(init, apply)


def feature_count(d: Net, shape: tuple[int, ...], y) -> int:
    """How many features D gives of an example of this shape; y: example labels [2], or what it takes in their place."""

    def features(key):
        x = jnp.zeros((2, *shape))
        return d.apply(*d.init(key, x, y), x, y, train=False, features=True)[0][1]

    return jax.eval_shape(features, jax.random.key(0)).shape[-1]
