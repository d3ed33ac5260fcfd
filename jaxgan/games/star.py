"""One generator that turns examples of any class into any other, learnt from labelled examples without pairs."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan import rng
from jaxgan.config import Config
from jaxgan.games.adversarial import Parts, adversarial
from jaxgan.games.conditional import cross_entropy
from jaxgan.games.sides import shown
from jaxgan.games.terms import Play, Term, active
from jaxgan.games.translate import absolute, check_source, stacked
from jaxgan.losses import LOSSES
from jaxgan.nets import discriminator, heads, translator
from jaxgan.types import Axis, Game, JaxganError

SHOWN = 16  # classes into which pictures show examples turned


def class_grid(turn, x, classes):
    """Rows of 8 (or of all) of x [n, ...], below each a row of its turns into each of k classes -> [(k + 1) n, ...].

    turn: (x, labels) -> x turned into these classes.
    """
    n, k = len(x), len(classes)
    made = turn(jnp.tile(x, (k, *[1] * (x.ndim - 1))), np.repeat(np.asarray(classes, np.int32), n))
    return stacked(min(8, n), x, *made.reshape(k, *x.shape))


def check(config: Config, classes: int) -> None:
    """JaxganError where there are no classes to turn into each other, and for what a target label leaves no room."""
    if classes < 2:
        raise JaxganError(
            f"kind 'stargan' turns examples of one class into another, and data {config.data!r} have "
            f"{'one class' if classes else 'no labels'}; use mnist5k, or a folder with a subfolder for each class"
        )
    if config.hp.on("g_class") and not config.hp.on("d_class"):
        raise JaxganError(
            "hp.g_class lets G learn from classes that D is never taught, as hp.d_class is 0; set both, or both to 0"
        )


def target(classes: int):
    """(key, n, axis) -> one-hot targets [n, classes], each class with the same chance."""

    def latent(key, n, axis=None):
        draw = jax.vmap(lambda k: jax.random.randint(k, (), 0, classes))
        return jax.nn.one_hot(draw(rng.examples(key, n, axis)), classes)

    return latent


def retargeted(config: Config, classes: int, axis: Axis, latent):
    """`observer` of an update in which G turns each real example into its target class."""

    def sides(run, vars, batch, key, hp, pooled):
        x = batch["x"]
        z = latent(rng.stream(key, "z"), len(x), axis)
        fake, vars = run(vars, "g", z, x)
        return shown(batch, (x, batch["y"]), (fake, z.argmax(1)), z), vars

    return sides


def stargan(config: Config, shape, classes: int, axis: Axis) -> Game:
    """G(x, c') turns an x of class c into one of class c': Choi et al. 2018, arXiv 1711.09020.

    D's head learns the classes of real examples (hp.d_class); G's player also pays hp.g_class times the cross entropy
    of c' where the head sees G(x, c'), and hp.cycle times |G(G(x, c'), c) - x|. c' is drawn for each example, c itself
    included, and stands one-hot where other translators have z. The paper: wasserstein, hp.wgan_gp 10, d_steps 5.
    """
    check(config, classes)
    check_source(config, shape)
    d = discriminator(config, shape, 0, axis)
    example = (jnp.zeros((2, heads.feature_count(d, shape, None))),)

    def d_class(play: Play, vars):
        scores, _ = play.run(vars, "head", play.real.features)
        return cross_entropy(scores, play.real.y), vars

    def g_class(play: Play, vars):
        return cross_entropy(play.run(vars, "head", play.fake.features)[0], play.fake.y), vars

    def cycle(play: Play, vars):  # at these inputs batch norm's statistics are not those of a translation
        again, _ = play.run(play.vars, "g", jax.nn.one_hot(play.real.y, classes), play.fake.x)
        return absolute(again, play.real.x), vars

    taught = Term(d_class, lambda *_: {"head": (heads.dense(classes), example)}, features=True)
    g_terms = {"cycle": Term(cycle), "g_class": Term(g_class, features=True)}
    parts = Parts(LOSSES[config.loss], {"g": translator(config, shape, axis), "d": d}, target(classes), retargeted)
    terms = active(config, {"d_class": taught}), active(config, g_terms)
    game = adversarial(config, shape, classes, axis, *terms, parts)

    def inputs(batch, key):
        return game.inputs(batch, key) | {"g": (game.latent(key, len(batch["x"])), batch["x"])}

    def turn(run, vars, z, x):
        return run(vars, "g", z, x, train=False)[0]

    def picture(draw, z, x):
        if x.ndim == 2:
            return draw(z, x)
        turned = range(min(classes, SHOWN))
        return class_grid(lambda x, y: draw(jax.nn.one_hot(y, classes), x), x[: 8 * max(1, 8 // len(turned))], turned)

    views = {**game.views, "turn": turn}
    return game._replace(inputs=inputs, sample=turn, views=views, condition=lambda b: b["x"], picture=picture)
