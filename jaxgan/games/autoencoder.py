"""Discriminators that are autoencoders, and call generated what they reconstruct badly. D's logit is less its error."""

import dataclasses

import jax
import jax.numpy as jnp
from jax.nn import relu

from jaxgan import rng
from jaxgan.config import Config
from jaxgan.games.adversarial import Parts, adversarial, usual
from jaxgan.games.terms import Term
from jaxgan.losses import Loss
from jaxgan.nets import build, encoder, heads
from jaxgan.step import everywhere, mean_over
from jaxgan.types import Axis, Game, Net

ENERGY = Loss(lambda real, fake: (-real, 0 * fake), lambda real, fake: (0 * real, -fake))
"""D lowers the error of real examples, G that of generated ones; how D meets these is a term."""


def _parts(config: Config, shape, classes: int, axis: Axis, error) -> Parts:
    own = dataclasses.replace(config, g_norm="own")  # g_norm is of G, and not of D's decoder
    e, g = encoder(config, shape, classes, axis, config.latent), build(own, shape, classes, axis)["g"]
    parts = usual(config, shape, classes, axis)
    return parts._replace(loss=ENERGY, nets=parts.nets | {"d": heads.autoencoder(e, g, error)})


def pull_away(h, axis: Axis = None):
    """Mean squared cosine between each row of h [n, f] and all other rows of the global batch -> [n].

    0 where rows are orthogonal, 1 where parallel: Zhao et al. 2016, arXiv 1609.03126, section 2.4.
    """
    rows = heads.unit(h)
    everyone = everywhere(rows, axis)
    other = jnp.arange(len(everyone))[None] != rng.positions(len(h), axis)[:, None]
    return jnp.where(other, (rows @ everyone.T) ** 2, 0).sum(1) / (len(everyone) - 1)


def ebgan(config: Config, shape, classes: int, axis: Axis) -> Game:
    """Energy-based GAN: Zhao et al. 2016, arXiv 1609.03126. The energy is the mean squared error of an example.

    D raises each generated example's error up to hp.margin; G pays hp.pull_away times the pull-away term of D's codes.
    config.loss is not used.
    """

    def below(play, vars):
        return relu(play.hp["margin"] + play.fake.logits), vars

    def apart(play, vars):
        return pull_away(play.fake.features, axis), vars

    parts = _parts(config, shape, classes, axis, jnp.square)
    g_terms = {"pull_away": Term(apart, features=True)}
    return adversarial(config, shape, classes, axis, {"below_margin": Term(below, weighed=False)}, g_terms, parts)


def began(config: Config, shape, classes: int, axis: Axis) -> Game:
    """Boundary equilibrium GAN: Berthelot et al. 2017, arXiv 1703.10717. The energy L is the mean absolute error.

    D minimises L(x) - k L(G(z)) and G L(G(z)); after each update of D, k += hp.k_rate (hp.balance L(x) - L(G(z))), kept
    in [0, 1]. The metric convergence is the paper's M = L(x) + |hp.balance L(x) - L(G(z))|. config.loss is not used.
    """
    control = Net(lambda key: ({}, {"k": jnp.float32(0)}), lambda params, vars, k, train: (k, {"k": k}))

    def unbalanced(metrics, hp):
        return -hp["balance"] * metrics["d_real"] + metrics["d_fake"]

    def resist(play, vars):
        means = mean_over({"d_real": play.real.logits.mean(), "d_fake": play.fake.logits.mean()}, axis)
        k = vars["k"]["k"]
        new = jax.lax.stop_gradient(jnp.clip(k + play.hp["k_rate"] * unbalanced(means, play.hp), 0, 1))
        return k * play.fake.logits, play.run(vars, "k", new)[1]

    parts = _parts(config, shape, classes, axis, jnp.abs)
    d_terms = {"resist": Term(resist, lambda *_: {"k": (control, ())}, weighed=False)}
    game = adversarial(config, shape, classes, axis, d_terms, parts=parts)
    d = game.players["d"]

    def loss(run, vars, batch, key, hp):
        found, (vars, metrics) = d.loss(run, vars, batch, key, hp)
        means = mean_over({name: metrics[name] for name in ("d_real", "d_fake")}, axis)
        convergence = -means["d_real"] + abs(unbalanced(means, hp))
        return found, (vars, metrics | {"k": vars["k"]["k"], "convergence": convergence})

    return game._replace(players={**game.players, "d": d._replace(loss=loss)})
