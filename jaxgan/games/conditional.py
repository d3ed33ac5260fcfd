"""The plain GAN, and class-conditional ones, in which D joins labels to its input or features, or learns them.

A head is a small network on D's features that D's player owns; its losses stand beside the adversarial one with the
weights hp.d_class and hp.g_class. Losses on a head's outputs return one number per example.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.nn import logsumexp, relu

from jaxgan import rng
from jaxgan.config import Config
from jaxgan.games.adversarial import adversarial, usual
from jaxgan.games.terms import Term
from jaxgan.losses import Loss
from jaxgan.nets import build, heads
from jaxgan.step import everywhere
from jaxgan.types import Axis, Game

FEATURES = 512  # of the space in which 2c, 2c_proxy and d2dce compare, as in both papers


def cross_entropy(logits, y):
    """-log softmax(logits [n, k])[y [n]]."""
    return optax.softmax_cross_entropy_with_integer_labels(logits, y)


def multi_hinge(scores, y):
    """max(0, 1 + the best other score less that of y), scores [n, k]: Crammer and Singer 2001."""
    own = jax.nn.one_hot(y, scores.shape[-1])
    return relu(1 + jnp.where(own > 0, -jnp.inf, scores).max(1) - (own * scores).sum(1))


def _similarities(f, y, axis: Axis):
    """Of the rows f [n, k] to all of the global batch [n, N], whether the labels agree, whether it is another row."""
    everyone, labels = everywhere((f, y), axis)
    other = jnp.arange(len(everyone))[None] != rng.positions(len(f), axis)[:, None]
    return f @ everyone.T, labels[None] == y[:, None], other


def _log_sum(first, more, which):
    """log(exp(first [n]) + sum over j where which of exp(more [n, N]))."""
    return logsumexp(jnp.concatenate([first[:, None], jnp.where(which, more, -jnp.inf)], 1), axis=1)


def contrastive(f, proxy, y, axis: Axis = None, tau: float = 1.0, proxy_alone: bool = False):
    """Conditional contrastive loss 2C: Kang and Park 2020, arXiv 2006.12681, equation 8.

    f, proxy: unit vectors of examples and of their classes [n, k]. Attracts an example to its class and to examples of
    it, against all others of the global batch. proxy_alone: to its class only, the numerator's first summand.
    """
    near, same, other = _similarities(f, y, axis)
    own = (f * proxy).sum(1) / tau
    attracted = own if proxy_alone else _log_sum(own, near / tau, same & other)
    return _log_sum(own, near / tau, other) - attracted


def data_to_data(f, proxy, y, axis: Axis = None, tau: float = 0.5, m_p: float = 0.98):
    """Data-to-data cross-entropy D2D-CE: Kang et al. 2021, arXiv 2111.01118, equation 7, with m_n = 1 - m_p.

    Arguments as in `contrastive`. Attracts up to a cosine of m_p, and repels other classes above 1 - m_p.
    """
    near, same, _ = _similarities(f, y, axis)
    pull = jnp.minimum((f * proxy).sum(1) - m_p, 0) / tau
    return _log_sum(pull, relu(near - (1 - m_p)) / tau, ~same) - pull


class Head(NamedTuple):
    """net: classes -> Net of (features [n, f], labels [n]); d and g: its outputs to a player's numbers, as `Term.loss`.

    d: (play, output of real, output of generated), g: (play, output of generated). alone: it replaces the loss.
    """

    net: Callable
    d: Callable
    g: Callable
    alone: bool = False


def _unlabelled(outputs: int):
    """A linear layer that takes labels and does not look at them."""
    net = heads.dense(outputs)
    return net._replace(
        init=lambda key, h, y: net.init(key, h),
        apply=lambda params, vars, h, y, train: net.apply(params, vars, h, train=train),
    )


def _with_fake(scores, logit):
    """Class scores [n, k], and that of the class `generated`: less D's logit [n]."""
    return jnp.concatenate([scores, -logit[:, None]], 1)


def _classified(play, fake):
    return cross_entropy(fake, play.fake.y)


def _multi_hinge_d(play, real, fake):
    generated = jnp.full(len(fake), fake.shape[1])
    of_real = multi_hinge(_with_fake(real, play.real.logits), play.real.y)
    return of_real.mean() + multi_hinge(_with_fake(fake, play.fake.logits), generated).mean()


def _against(loss: Callable) -> Head:
    """The head of a loss on the unit sphere: D learns from real examples, G from its own."""
    return Head(
        lambda classes: heads.contrast(classes, FEATURES),
        lambda play, real, fake: loss(*real, play.real.y, play.axis),
        lambda play, fake: loss(*fake, play.fake.y, play.axis),
    )


HEADS = {
    # Odena et al. 2016, arXiv 1610.09585: D and G both want all examples classified
    "ac": Head(
        _unlabelled,
        lambda play, real, fake: cross_entropy(real, play.real.y).mean() + cross_entropy(fake, play.fake.y).mean(),
        _classified,
    ),
    # its D learns classes from real examples alone, as most implementations of it do (StudioGAN's, and AC-GAN as Hou
    # et al. 2021 analyse it): else D and G may agree on any digit for a class
    "ac_real": Head(_unlabelled, lambda play, real, fake: cross_entropy(real, play.real.y).mean(), _classified),
    # Hou et al. 2021, arXiv 2107.10060: the class y of real examples is y, of generated ones y + k
    "adc": Head(
        lambda classes: _unlabelled(2 * classes),
        lambda play, real, fake: (
            cross_entropy(real, play.real.y).mean() + cross_entropy(fake, play.fake.y + fake.shape[1] // 2).mean()
        ),
        lambda play, fake: cross_entropy(fake, play.fake.y) - cross_entropy(fake, play.fake.y + fake.shape[1] // 2),
    ),
    # Kavalerov et al. 2019, arXiv 1912.04216: k classes and `generated` in one hinge, which is the whole loss
    "multihinge": Head(
        _unlabelled,
        _multi_hinge_d,
        lambda play, fake: multi_hinge(_with_fake(fake, play.fake.logits), play.fake.y),
        alone=True,
    ),
    "2c": _against(contrastive),
    # examples of one label attract each other more than their class does, so that 2c may settle on permuted classes;
    # cured as its authors advise, without positives in the numerator: PyTorch-StudioGAN, issue 81
    "2c_proxy": _against(partial(contrastive, proxy_alone=True)),
    "d2dce": _against(data_to_data),
}
NOTHING = Loss(lambda real, fake: (0 * real, 0 * fake), lambda real, fake: (0 * real, 0 * fake))
# Mirza and Osindero 2014, arXiv 1411.1784: one-hot channels; and learned ones
MAPS = {"concat": (heads.one_hot_maps, lambda classes: classes), "embedding": (heads.label_maps, lambda classes: 1)}


def plain(config: Config, shape, classes: int, axis: Axis) -> Game:
    """Goodfellow et al. 2014, arXiv 1406.2661: G maps z to an example, D that to a logit. Labels are not used."""
    return adversarial(config, shape, 0, axis)


def conditional(config: Config, shape, classes: int, axis: Axis) -> Game:
    """The class-conditional GAN with the D that config.head names; the default is projection, arXiv 1802.05637.

    Generated examples take the labels of the real ones in their batch (repeated or thinned out if the numbers differ).
    """
    if config.head == "projection":
        return adversarial(config, shape, classes, axis)
    parts = usual(config, shape, classes, axis)
    if config.head in MAPS:
        make, channels = MAPS[config.head]
        wider = (*shape[:-1], shape[-1] + channels(classes))
        d = heads.beside(make(classes, tuple(shape)), build(config, wider, 0, axis)["d"])
        return adversarial(config, shape, classes, axis, parts=parts._replace(nets=parts.nets | {"d": d}))
    head, d = HEADS[config.head], build(config, shape, 0, axis)["d"]
    example = jnp.zeros((2, heads.feature_count(d, shape, None))), jnp.zeros(2, jnp.int32)

    def d_loss(play, vars):
        real, _ = play.run(vars, "head", play.real.features, play.real.y)
        fake, _ = play.run(vars, "head", play.fake.features, play.fake.y)
        return head.d(play, real, fake), vars

    def g_loss(play, vars):
        return head.g(play, play.run(vars, "head", play.fake.features, play.fake.y)[0]), vars

    d_terms = {"d_class": Term(d_loss, lambda *_: {"head": (head.net(classes), example)}, features=True)}
    parts = parts._replace(nets=parts.nets | {"d": d}, loss=NOTHING if head.alone else parts.loss)
    return adversarial(config, shape, classes, axis, d_terms, {"g_class": Term(g_loss, features=True)}, parts)
