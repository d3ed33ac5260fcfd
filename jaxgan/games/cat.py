"""CAT: G makes an image at several levels, and D judges each at a scale of its own, the earlier the smaller.

Hyun et al. 2026, arXiv 2605.26449. What D is shown is [b, n], images of all scales one after the other.
"""

from collections.abc import Callable
from functools import partial

import jax.numpy as jnp

from jaxgan.config import Config
from jaxgan.games.adversarial import adversarial, usual
from jaxgan.games.gat import augmented
from jaxgan.games.sides import observer
from jaxgan.games.terms import BEFORE_AUGMENT, D_TERMS, Play, Term, active, penalty
from jaxgan.nets import folded, images
from jaxgan.types import Axis, Game, JaxganError


def scaled(count: int, channels: int, fold: Callable, config: Config, axis: Axis) -> Callable:
    """`sides.viewer` of images at all levels, [b, h, w, count * channels], or of real ones, which have one for all.

    An example has one augmentation, at full size, for all its levels; then each gets its scale.
    """
    one = augmented(count, channels, config, axis)
    return lambda x, key, vars, hp: fold(jnp.split(one(x, key, vars, hp), count, -1))


def summed(name: str, count: int) -> Term:
    """The penalty called name, of the sum of an example's logits, where that is count times what it is otherwise of."""
    usual = penalty(name, shown=True)

    def loss(play: Play, vars):
        sides = {side: getattr(play, side) for side in ("real", "fake")}
        sides = {side: own._replace(logits=count * own.logits) for side, own in sides.items()}
        return usual.loss(play._replace(**sides, score=lambda x, y: count * play.score(x, y)), vars)

    return Term(loss)


def apart(count: int, play: Play, vars):
    """mean over k of (x_k - x)^2 / (count - k), of each example: levels x_k before the last, and the last x."""
    *earlier, last = jnp.split(play.fake.x, count, -1)
    errors = [jnp.square(x - last).reshape(len(x), -1).mean(1) / (count - k) for k, x in enumerate(earlier, 1)]
    return jnp.stack(errors).mean(0), vars


def cat(config: Config, shape, classes: int, axis: Axis) -> Game:
    """Level k of G's image, of K, against real images at 2^(k - K) of the size; losses are means over scales.

    G also pays hp.consistency times what its levels differ from the last. R1, R2 and their approximations are of the
    sum of an example's logits, and taken at what D is shown. Published: loss rpgan, hp.ar1 and hp.ar2 1 at hp.ar_step
    0.01, hp.clip_gradient 1, reuse.
    """
    count, fold = images(config), folded(config)
    if not fold:
        raise JaxganError(
            f"kind 'cat' shows D each example at several scales, and net {config.net!r} sees one; use --net cat"
        )
    parts = usual(config, shape, classes, axis)
    d = parts.nets["d"]
    nets = {"g": parts.nets["g"], "d": d._replace(apply=partial(d.apply, scales=True))}
    parts = parts._replace(
        nets=nets, observe=partial(observer, levels=True), view=partial(scaled, count, shape[-1], fold)
    )
    d_terms = {name: summed(name, count) for name in active(config, D_TERMS) if name in BEFORE_AUGMENT}
    g_terms = active(config, {"consistency": Term(partial(apart, count))}) if count > 1 else {}
    return adversarial(config, shape, classes, axis, d_terms=d_terms, g_terms=g_terms, parts=parts)
