"""Who sees what with every class head: each total against a formula written by hand; see test_totals.py.

A head is a small network on D's features of what D is shown.
"""

import jax
import jax.numpy as jnp
from jax.nn import relu

import hand
from hand import answer, cast, cross_entropy, ns, row, sp
from jaxgan.config import Config
from jaxgan.games import conditional
from jaxgan.nets import mlp
from jaxgan.types import Spec
from kinds import BATCH, CLASSES


def head(s, h, y):
    return s.net("head", h, y)


def classified(s):
    """D and G want everything classified as what it is or was asked to be."""
    t = cast(s, features=True)
    real, fake = cross_entropy(head(s, t.h_r, t.y), t.y), cross_entropy(head(s, t.h_f, t.y_fake), t.y_fake)
    return ns(t, {"d_class": real.mean() + fake.mean()}, {"g_class": fake.mean()})


def classified_real(s):
    """D learns classes from real examples alone."""
    t = cast(s, features=True)
    real, fake = cross_entropy(head(s, t.h_r, t.y), t.y), cross_entropy(head(s, t.h_f, t.y_fake), t.y_fake)
    return ns(t, {"d_class": real.mean()}, {"g_class": fake.mean()})


def classified_apart(s):
    """Of 2 CLASSES classes the latter ones are of generated examples: D wants them there, G before."""
    t = cast(s, features=True)
    real, scores = cross_entropy(head(s, t.h_r, t.y), t.y), head(s, t.h_f, t.y_fake)
    apart, together = cross_entropy(scores, t.y_fake + CLASSES), cross_entropy(scores, t.y_fake)
    return ns(t, {"d_class": real.mean() + apart.mean()}, {"g_class": (together - apart).mean()})


def one_hinge(s):
    """Of CLASSES + 1 scores, the last of which is less D's logit, the own one is to be 1 above the best other one."""
    t = cast(s, features=True)

    def hinge(h, logit, labels, own):
        scores = jnp.concatenate([head(s, h, labels), -logit[:, None]], 1)
        apart = jax.nn.one_hot(own, CLASSES + 1)
        return relu(1 + (scores - 1e9 * apart).max(1) - (apart * scores).sum(1)).mean()

    d = hinge(t.h_r, t.r, t.y, t.y) + hinge(t.h_f, t.f, t.y_fake, jnp.full(BATCH, CLASSES))
    return answer(t, 0.0, 0.0, {"d_class": d}, {"g_class": hinge(t.h_f, t.f, t.y_fake, t.y_fake)})


def contrast(points, y, examples):
    """-log of what the own class, and other examples of it, make of all that the class and the others do."""
    f, proxy = points
    near, same, other = jnp.exp(f @ f.T), y[:, None] == y[None], 1 - jnp.eye(len(f))
    own = jnp.exp((f * proxy).sum(1))
    return -jnp.log((own + examples * (near * same * other).sum(1)) / (own + (near * other).sum(1))).mean()


def contrasted(examples):
    """D learns from real examples among each other, G from generated ones; `examples` 1: beside the class's proxy."""

    def formula(s):
        t = cast(s, features=True)
        real, fake = head(s, t.h_r, t.y), head(s, t.h_f, t.y_fake)
        return ns(t, {"d_class": contrast(real, t.y, examples)}, {"g_class": contrast(fake, t.y_fake, examples)})

    return formula


def margins(points, y):
    f, proxy = points
    pull = jnp.exp(jnp.minimum((f * proxy).sum(1) - 0.98, 0) / 0.5)
    push = (jnp.exp(relu(f @ f.T - 0.02) / 0.5) * (y[:, None] != y[None])).sum(1)
    return -jnp.log(pull / (pull + push)).mean()


def kept_apart(s):
    t = cast(s, features=True)
    real, fake = head(s, t.h_r, t.y), head(s, t.h_f, t.y_fake)
    d, g = 0.8 * sp(-t.r).mean() + 1.2 * sp(t.f).mean(), 1.2 * sp(-t.f).mean()  # 8 real and 12 generated examples
    return answer(t, d, g, {"d_class": margins(real, t.y)}, {"g_class": margins(fake, t.y_fake)})


def beside(label):
    """D of points beside what stands for their labels, `label` (s, y) -> [n, k]."""

    def formula(s):
        d = mlp.discriminator(Config(width=8, depth=1), Spec((2,)))

        def score(x, y):
            return d.apply(s.params["d"]["d"], {}, jnp.concatenate([x, label(s, y)], 1), None, train=True)[0]

        t = cast(s)
        t.r, t.f = score(t.real, t.y), score(t.fake, t.y_fake)
        return ns(t)

    return formula


def one_hot(s, y):
    return jax.nn.one_hot(y, CLASSES)


def embedded(s, y):
    return s.params["d"]["label"]["Embed_0"]["table"][y]


WEIGHTS = {"d_class": 0.7, "g_class": 0.4}
TABLE = {
    "concat": row("concat", beside(one_hot)),
    "embedding": row("embedding", beside(embedded)),
    "ac": row("ac", classified, "head", **WEIGHTS),
    "adc": row("adc", classified_apart, "head", **WEIGHTS),
    "multihinge": row("multihinge", one_hinge, "head", **WEIGHTS),
    "ac_real": row("ac_real", classified_real, "head", **WEIGHTS),
    "2c": row("2c", contrasted(1), "head", **WEIGHTS),
    "2c_proxy": row("2c_proxy", contrasted(0), "head", **WEIGHTS),
    "d2dce": row("d2dce", kept_apart, "head", **WEIGHTS),
}


test_total = hand.totals(TABLE)


def test_every_head_has_a_formula():
    """The default, projection, is in test_totals.py."""
    assert {row.settings["head"] for row in TABLE.values()} | {"projection"} == {
        "projection",
        *conditional.HEADS,
        *conditional.MAPS,
    }
