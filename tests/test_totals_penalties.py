"""Gradient penalties, and where they look: each total against a formula written by hand; see test_totals.py."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
from jax.nn import relu

import hand
from hand import (
    CLOCK,
    JITTER,
    LABELLED,
    NOISE,
    WEIGHTS,
    Row,
    answer,
    at_update,
    cast,
    normals,
    ns,
    shown,
    slopes,
    sp,
    uniforms,
)
from jaxgan.config import Config
from jaxgan.nets import mlp
from jaxgan.types import Spec
from kinds import SQUARE

MOVED = {"augment": ("contrast", "translation"), "shape": SQUARE}  # augmentations that change a gradient


def before_augmentation(name, side):
    """Half the squared gradient of D(augment(x) + noise) in x, with the very augmentation and noise that D is shown."""

    def formula(s):
        t = cast(s)
        x, y = (t.x, t.y) if side == "real" else (t.made, t.y_fake)
        return ns(t, {name: slopes(lambda x: s.net("d", shown(s, x, side), y), x).mean() / 2})

    return formula


def penalties_of_a_side(s):
    """R1 at real examples with their labels, R2 at generated ones with theirs, 12 of them."""
    t = cast(s)
    r1 = slopes(lambda x: s.net("d", x, t.y), t.real).mean() / 2
    r2 = slopes(lambda x: s.net("d", x, t.y_fake), t.fake).mean() / 2
    return answer(t, 0.8 * sp(-t.r).mean() + 1.2 * sp(t.f).mean(), 1.2 * sp(-t.f).mean(), {"r1": r1, "r2": r2})


def slopes_of_a_side(step):
    """D(shown(x + s u)) less D(shown(x)), over s: one augmentation and one noise in both; or its derivative in s."""

    def formula(s):
        t, terms = cast(s), {}
        for name, side, x, y in (("ar1", "real", t.x, t.y), ("ar2", "fake", t.made, t.y_fake)):
            u = normals(s.key, name, x.shape)
            along = lambda far, x=x, y=y, side=side, u=u: s.net("d", shown(s, x + far * u, side), y)  # noqa: E731
            ends = (along(step) - along(0.0)) / step if step else jax.jvp(along, (0.0,), (1.0,))[1]
            terms[name] = (ends**2).mean() / 2
        return answer(t, 0.8 * sp(-t.r).mean() + 1.2 * sp(t.f).mean(), 1.2 * sp(-t.f).mean(), terms)

    return formula


def lazy(s):
    """Every third update, three times as strong."""
    t = cast(s)
    due = 3.0 * (s.vars["clock"]["updates"] % 3 == 0)
    terms = {"r1": slopes(lambda x: s.net("d", x, None), t.real), "r2": slopes(lambda x: s.net("d", x, None), t.fake)}
    return ns(t, {name: due * x.mean() / 2 for name, x in terms.items()})


def penalties_between(s):
    """At points between what D is shown of both sides, one for each penalty, or near what it is shown of the real."""
    t, target = cast(s), s.hp["gp_target"]

    def score(x):
        return s.net("d", x, t.y)

    def at(name):
        a = uniforms(s.key, name, (8, 1))
        return (1 - a) * t.real + a * t.fake

    def steepness(x):
        return jnp.sqrt(slopes(score, x) + 1e-12)

    near = t.real + 0.5 * t.real.std() * uniforms(s.key, "dragan", t.real.shape, minval=-1)
    terms = {
        "wgan_gp": (steepness(at("wgan_gp")) - target) ** 2,
        "wgan_lp": relu(steepness(at("wgan_lp")) - target) ** 2,
    }
    terms |= {"gp0": slopes(score, at("gp0")), "dragan": (steepness(near) - target) ** 2}
    terms |= {"drift": score(t.real) ** 2}
    return ns(t, {name: term.mean() for name, term in terms.items()})


def packed(s):
    """D's input is a pair of neighbours side by side, also where penalties look; one point between for each pair."""
    d = mlp.discriminator(Config(width=8, depth=1), Spec((4,)))

    def score(pairs):
        return d.apply(s.params["d"], {}, pairs, None, train=True)[0]

    def pairs(x):
        return jnp.concatenate([x[::2], x[1::2]], 1)

    x, made = s.batch["x"], s.net("g", hand.latents(s), None)
    t = SimpleNamespace(real=pairs(shown(s, x, "real")), fake=pairs(shown(s, made, "fake")))
    t.r, t.f = score(t.real), score(t.fake)
    a = uniforms(s.key, "gp0", (8, 1))[::2]
    w = (s.batch["w"][::2] + s.batch["w"][1::2]) / 2
    terms = {"r2": slopes(score, t.fake).mean() / 2, "gp0": slopes(score, (1 - a) * t.real + a * t.fake).mean()}
    return answer(t, (w * sp(-t.r)).mean() + sp(t.f).mean(), sp(-t.f).mean(), terms)


def normalised(s):
    """D's answer is f / (||grad f|| + |f|) wherever it is asked."""
    t = cast(s)

    def score(x):
        f = s.net("d", x, None)
        return f / (jnp.sqrt(slopes(lambda x: s.net("d", x, None), x) + 1e-12) + abs(f))

    t.r, t.f = score(t.real), score(t.fake)
    return ns(t, {"r1": slopes(score, t.real).mean() / 2})


BETWEEN = {"drift": 0.2, "wgan_gp": 0.7, "wgan_lp": 0.6, "gp0": 0.3, "dragan": 0.9, "gp_target": 0.4}
LAZY = Row(lazy, {"lazy": 3, "hp": {"r1": 0.7, "r2": 0.4}}, ("clock",), rtol=hand.SINGLE, x64=False)
TABLE = {
    "r1-augment": Row(before_augmentation("r1", "real"), {**MOVED, "hp": {**NOISE, "r1": 0.7}}, ("clock",), CLOCK),
    "r2-augment": Row(
        before_augmentation("r2", "fake"), {**LABELLED, **MOVED, "hp": {**NOISE, "r2": 0.7}}, ("clock",), CLOCK
    ),
    "r1-r2": Row(
        penalties_of_a_side,
        {**LABELLED, "fake_batch": 12, "hp": {**NOISE, "r1": 0.7, "r2": 0.4}},
        ("clock",),
        CLOCK,
    ),
    "ar1-ar2": Row(
        slopes_of_a_side(0.01),
        {**LABELLED, **MOVED, "fake_batch": 12, "hp": {**NOISE, "ar1": 0.7, "ar2": 0.4, "ar_step": 0.01}},
        ("clock",),
        CLOCK,
        rtol=1e-6,
    ),
    "ar1-ar2-limit": Row(
        slopes_of_a_side(None),
        {**LABELLED, **MOVED, "fake_batch": 12, "hp": {**NOISE, "ar1": 0.7, "ar2": 0.4}},
        ("clock",),
        CLOCK,
    ),
    "lazy-due": at_update(LAZY, "clock", 6),
    "lazy-not-due": at_update(LAZY, "clock", 7),
    "penalties": Row(penalties_between, {**LABELLED, **JITTER, "hp": {**NOISE, **BETWEEN}}, ("clock",), CLOCK),
    "pack": Row(packed, {**JITTER, "pack": 2, "hp": {"gp0": 0.3, "r2": 0.6}}, batch={"w": WEIGHTS["w"]}),
    "gradient-norm": Row(normalised, {"gradient_norm": True, "hp": {"r1": 0.7}}),
}


test_total = hand.totals(TABLE)
