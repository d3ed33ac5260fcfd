"""Self-supervision: D also guesses how an image was rotated (SSGAN, Chen et al. 2018, arXiv 1811.11212)."""

from functools import partial

import jax
import jax.numpy as jnp

from jaxgan import rng
from jaxgan.config import Config
from jaxgan.games.adversarial import adversarial, usual
from jaxgan.games.conditional import cross_entropy
from jaxgan.games.terms import Term
from jaxgan.nets import heads
from jaxgan.types import Axis, Game, JaxganError


def rotated(x, turns):
    """Square images x [n, h, h, c], each turned by turns [n] quarters of a circle."""
    ways = [partial(jnp.rot90, k=k) for k in range(4)]
    return jax.vmap(lambda x, turn: jax.lax.switch(turn, ways, x))(x, turns)


def ssgan(config: Config, shape, classes: int, axis: Axis) -> Game:
    """D learns rotations from real images, with weight hp.d_rotation; G is rewarded for images whose rotation shows."""
    if len(shape) != 3 or shape[0] != shape[1]:
        raise JaxganError(
            f"kind 'ssgan' rotates square images; the data {config.data!r} have shape {tuple(shape)}; set size to one "
            "number"
        )
    parts = usual(config, shape, classes, axis)
    labels = jnp.zeros(2, jnp.int32) if classes else None
    example = (jnp.zeros((2, heads.feature_count(parts.nets["d"], shape, labels))),)

    def guess(play, vars, x, y):
        keys = rng.examples(rng.stream(play.key, "rotation"), len(x), axis)
        turns = jax.vmap(lambda key: jax.random.randint(key, (), 0, 4))(keys)
        (_, h), vars = play.run(vars, "d", rotated(play.see(x, "rotation"), turns), y, features=True)
        logits, vars = play.run(vars, "rotation", h)
        return cross_entropy(logits, turns), vars

    d = Term(
        lambda play, vars: guess(play, vars, play.real.x, play.real.y),
        lambda *_: {"rotation": (heads.dense(4), example)},
    )
    g = Term(lambda play, vars: guess(play, vars, play.fake.x, play.fake.y))
    return adversarial(config, shape, classes, axis, {"d_rotation": d}, {"g_rotation": g})
