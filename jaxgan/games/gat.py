"""GAT: G makes an image at several levels, and one D judges all of them at once, the earlier under the more noise.

Hyun et al. 2025, arXiv 2509.24935 (multi-level noise-perturbed guidance). D sees levels side by side in the last axis.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan import rng
from jaxgan.config import Config
from jaxgan.games.adversarial import adversarial, usual
from jaxgan.games.sides import observer, viewer
from jaxgan.hp import values
from jaxgan.nets import build, images
from jaxgan.types import Axis, Game, JaxganError

FLOOR = 0.01  # of the noise, at the last level


def deviations(signal, count: int):
    """t [count] of the noise, 1 - signal^(1 - (k - 1) / (count - 1)) + FLOOR at level k; a single one is the last."""
    done = np.arange(count) / (count - 1) if count > 1 else np.ones(1)
    return 1 - signal ** (1 - done) + FLOOR


def nested(x, t, e):
    """Levels (1 - t_k) x_k + n_k of images x [k, ...], N(0, t_k^2) noises n from e ~ N(0, 1) [k, ...], both lists.

    The noise of a level is that of the next times what is left of its image, and new one: so that where images agree
    each level is the next one, further noised.
    """
    n = t[-1] * e[-1]
    seen = [(1 - t[-1]) * x[-1] + n]
    for k in reversed(range(len(x) - 1)):
        left = (1 - t[k]) / (1 - t[k + 1])
        n = left * n + jnp.sqrt(jnp.maximum(t[k] ** 2 - (left * t[k + 1]) ** 2, 0)) * e[k]
        seen.append((1 - t[k]) * x[k] + n)
    return seen[::-1]


def copies(x, count: int):
    """An image [..., c] at each level, [..., count * c]."""
    return jnp.concatenate([x] * count, -1)


def noised(x, signal, count: int, e):
    """Levels x [b, h, w, count * c] under nested noise from e [b, count, h, w, c]."""
    return jnp.concatenate(nested(jnp.split(x, count, -1), deviations(signal, count), jnp.moveaxis(e, 1, 0)), -1)


def augmented(count: int, channels: int, config: Config, axis: Axis) -> Callable:
    """`sides.viewer` of images at all levels, [b, h, w, count * channels], or of real ones, whose levels are copies.

    An example has one augmentation for all its levels.
    """
    one = viewer(config, axis)

    def view(x, key, vars, hp):
        x = copies(x, count) if x.shape[-1] == channels else x
        each = jax.vmap(lambda x: one(x, key, vars, hp), -2, -2)(x.reshape(*x.shape[:-1], count, channels))
        return each.reshape(x.shape)

    return view


def levelled(count: int, channels: int, config: Config, axis: Axis) -> Callable:
    """`augmented`, with each level under its noise, of which an example has one."""
    one = augmented(count, channels, config, axis)

    def view(x, key, vars, hp):
        x = one(x, key, vars, hp)
        e = rng.normal(rng.stream(key, "levels"), len(x), (count, *x.shape[1:-1], channels), axis)
        return noised(x, hp["level_signal"], count, e)

    return view


def gat(config: Config, shape, classes: int, axis: Axis) -> Game:
    """All levels of G's image against copies of real ones, under noise that hp.level_signal sets.

    R1, R2 and their approximations are taken at images before augmentation and noise: of a real one in all its levels
    together, of a generated one in each. Published: loss rpgan, hp.ar1 and hp.ar2 0.1 at hp.ar_step 0.01,
    hp.clip_gradient 1, reuse.
    """
    count, channels = images(config), shape[-1]
    if not count:
        raise JaxganError(
            f"kind 'gat' shows D several levels of each image, and net {config.net!r} makes one; use --net gat"
        )
    parts = usual(config, shape, classes, axis)
    d = build(config, (*shape[:-1], count * channels), classes, axis)["d"]
    view, observe = partial(levelled, count, channels), partial(observer, levels=True)
    parts = parts._replace(nets={"g": parts.nets["g"], "d": d}, observe=observe, view=view)
    game = adversarial(config, shape, classes, axis, parts=parts)

    def inputs(batch, key):
        made = game.inputs(batch, key)
        x, y = made["d"]
        return made | {"d": (copies(x, count), y)}

    def score(run, vars, x, y):  # under one noise for all, that answers may be compared
        e = jax.random.normal(rng.stream(rng.root(0), "levels"), (1, count, *shape))
        signal = values(config.hp.level_signal)[-1]
        shown = noised(copies(x, count), signal, count, jnp.broadcast_to(e, (len(x), *e.shape[1:])))
        return run(vars, "d", shown, y)[0]

    return game._replace(inputs=inputs, views={**game.views, "score": score})
