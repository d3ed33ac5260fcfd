"""Summands of a player's loss: functions of `Play`, everything that one update sees.

A term is switched on by a weight above 0 in Hp, under its name in D_TERMS or G_TERMS. Means, deviations and memories
are those of the batch of all devices.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxgan import augment, rng
from jaxgan.config import Config
from jaxgan.nets import styles
from jaxgan.penalties import OF_FAKE, PAIRED, PENALTIES, STEPPED, TARGETED, norm
from jaxgan.step import mean_over
from jaxgan.types import Axis, Net


class Side(NamedTuple):
    """Real or generated examples of one update, and D's answer to them.

    x:      examples [n, ...], which D judges
    y:      what D is told beside each: a label [n], an image, a latent, or None
    weight: one for each of mean 1, or None
    shown:  what D was shown of x, augmented and noisy
    logits: [n]; features: D's [n, f], None unless a term asks for them
    patches: of a D that judges patches, the logits [n, ...] whose means are `logits`; else None
    tokens: D's [n, 1 + patches, width], None unless hp.alignment asks for them
    """

    x: Any
    y: Any = None
    weight: Any = None
    shown: Any = None
    logits: Any = None
    features: Any = None
    patches: Any = None
    tokens: Any = None


class Sides(NamedTuple):
    """What a kind shows D in one update: real and generated examples, not yet judged.

    z:     latents [n, latent] that the generated ones are made from
    more:  a kind's own, for its terms
    moved: ||dz||^2 [n] of latents that were optimised, or None
    """

    real: Side
    fake: Side
    z: Any
    more: Any = None
    moved: Any = None


class Play(NamedTuple):
    """What a term sees of one update: run, vars (before the update), key and hp as in Player.loss, both sides judged.

    axis is the game's; z, more, moved: as in Sides
    see:   (examples [b, ...], name of a stream) -> what D is shown of them, augmented and noisy
    score: (shown [b, ...], what D is told) -> the logits that enter the loss
    """

    run: Callable
    vars: Any
    key: Any
    hp: dict
    axis: Axis
    config: Config
    real: Side
    fake: Side
    z: Any
    see: Callable
    score: Callable
    more: Any = None
    moved: Any = None


class Term(NamedTuple):
    """A summand of a player's loss, weighted by the hyperparameter of its name.

    loss: (play, vars) -> numbers whose mean is taken, vars (as they came where it remembers nothing)
    nets: (config, shape, classes, axis) -> {name: (Net, example inputs)}, heads and memory that it brings; its player
          owns them
    features: whether it reads D's features
    weighed: whether the hyperparameter of its name multiplies it
    """

    loss: Callable
    nets: Callable = lambda config, shape, classes, axis: {}
    features: bool = False
    weighed: bool = True


def memory(**start) -> Net:
    """A network without parameters whose vars are numbers, float32 or int32 as given, that are read and replaced."""

    def begin(key):
        kinds = {name: jnp.int32 if isinstance(value, int) else jnp.float32 for name, value in start.items()}
        return {}, {name: jnp.asarray(value, kinds[name]) for name, value in start.items()}

    return Net(begin, lambda params, vars, train: (vars, vars))


def updates(vars):
    """D's updates before this one, where a schedule needs them (`CLOCK`)."""
    return vars["clock"]["updates"]


CLOCK = {"clock": (memory(updates=0), ())}


def penalty(name: str, shown: bool = False) -> Term:
    """The entry of PENALTIES called name as a term of D's loss; shown: taken at what D is shown, in any case.

    r1 and r2 come every config.lazy updates, times as much: their gradient is added to the loss's, so nothing corrects
    rate or betas, unlike config.lazy_steps, with which they are plain terms of a loss of their own. Under augmentation
    it is the gradient of D(augment(x)) in x, which the gammas of arXiv 2006.06676 and 2501.05441 mean; so are slopes of
    ar1 and ar2, under one and the same augmentation, and so it is where D sees several levels of x.
    """

    def numbers(play: Play):
        # generated examples' labels may differ in number from the real ones'
        side, own = ("fake", play.fake) if name in OF_FAKE else ("real", play.real)
        n = len(own.x if name in STEPPED else play.real.x)
        keys, pack = rng.examples(rng.stream(play.key, name), n, play.axis), play.config.pack
        if name in PAIRED and pack > 1:  # a pack is one input of D, so it has one point between real and generated
            keys = keys[jnp.arange(len(keys)) // pack * pack]
        more = {"target": play.hp["gp_target"]} if name in TARGETED else {}
        if name in STEPPED:
            step = play.hp["ar_step"]
            more = {"step": step if play.config.hp.on("ar_step") else None, "logits": own.logits}
        score, real, fake = (lambda x: play.score(x, own.y)), play.real.shown, play.fake.shown
        if not shown and name in BEFORE_AUGMENT and (play.config.augment or play.config.kind == "gat"):
            score, real, fake = (lambda x: play.score(play.see(x, side), own.y)), play.real.x, play.fake.x
        return PENALTIES[name](score, real, fake, keys, **more)

    def loss(play: Play, vars):
        every = play.config.lazy
        if every == 1 or play.config.lazy_steps or name not in LAZY:
            return numbers(play), vars
        due = updates(play.vars) % every == 0
        return jax.lax.cond(due, lambda: every * numbers(play).mean(), lambda: jnp.float32(0)), vars

    return Term(loss)


BEFORE_AUGMENT = frozenset({"r1", "r2", "ar1", "ar2"})
LAZY = frozenset({"r1", "r2", "path_length"})


def dragan(play: Play, vars):
    """(||grad D|| - target)^2 near real examples, x + 0.5 std(x) u with u ~ U(-1, 1): Kodali et al. 2017.

    arXiv 1705.07215. std is one number, over all coordinates of all examples.
    """
    x = play.real.shown
    std = jnp.sqrt(mean_over(((x - mean_over(x.mean(), play.axis)) ** 2).mean(), play.axis))
    keys = rng.examples(rng.stream(play.key, "dragan"), len(x), play.axis)
    u = jax.vmap(lambda k: jax.random.uniform(k, x.shape[1:], minval=-1.0))(keys)
    return (norm(lambda x: play.score(x, play.real.y), x + 0.5 * std * u) - play.hp["gp_target"]) ** 2, vars


def consistency(side: str) -> Term:
    """(D(x) - D(T x))^2 on real or fake examples, T = config.cr_augment: CR, Zhang et al. 2019, arXiv 1910.12027.

    Both together are balanced consistency, bCR, Zhao et al. 2020, arXiv 2002.04724.
    """

    def loss(play: Play, vars):
        real, fake = (play.real.shown, play.real.y, play.real.logits), (play.fake.shown, play.fake.y, play.fake.logits)
        x, y, logits = real if side == "real" else fake
        keys = rng.examples(rng.stream(play.key, f"consistency {side}"), len(x), play.axis)
        return (logits - play.score(augment.apply(play.config.cr_augment, x, keys), y)) ** 2, vars

    return Term(loss)


def _nearby(play: Play):
    """Examples of latents at a distance of hp.zcr_radius times N(0, I) from those of play."""
    noise = rng.normal(rng.stream(play.key, "zcr"), len(play.z), play.z.shape[1:], play.axis)
    return play.run(play.vars, "g", play.z + play.hp["zcr_radius"] * noise, play.fake.y)[0]


def zcr(play: Play, vars):
    """(D(G(z)) - D(G(z + noise)))^2, D's part of latent consistency: Zhao et al. 2020, arXiv 2002.04724."""
    return (play.fake.logits - play.score(play.see(_nearby(play), "fake"), play.fake.y)) ** 2, vars


def zcr_g(play: Play, vars):
    """-(G(z) - G(z + noise))^2, a mean over entries, G's part of zcr: Zhao et al. 2020, arXiv 2002.04724."""
    return -((play.fake.x - _nearby(play)) ** 2).reshape(len(play.fake.x), -1).mean(1), vars


def lecam(play: Play, vars):
    """E relu(r - a_f)^2 + E relu(a_r - f)^2, a_r and a_f averages of D's logits: Tseng et al. 2021, arXiv 2104.03310.

    The averages forget by hp.lecam_decay a step, and weigh all steps so far where these are few.
    """
    old, decay = play.vars["lecam"], play.hp["lecam_decay"]
    now = {"real": play.real.logits.mean(), "fake": play.fake.logits.mean(), "mass": 1.0}
    now = jax.lax.stop_gradient(mean_over(now, play.axis))
    new = {name: decay * old[name] + (1 - decay) * now[name] for name in now}
    real, fake = new["real"] / new["mass"], new["fake"] / new["mass"]
    numbers = (jax.nn.relu(play.real.logits - fake) ** 2).mean() + (jax.nn.relu(real - play.fake.logits) ** 2).mean()
    return numbers, {**vars, "lecam": new}


def path_length(play: Play, vars):
    """(||J^T y|| - a)^2 with J = dG/dz, y ~ N(0, I) / sqrt(pixels): Karras et al. 2019, arXiv 1912.04958, equation 4.

    J is in the styles where G has them: the root of the mean over layers of squared lengths. a is the running average
    of the lengths, 1 % of it new each time; gradients flow through that part, as in the authors' code. All of the batch
    takes part, and not half of it.
    """
    numbers, new = _deviations(play, play.vars["path_length"]["mean"])
    return numbers, {**vars, "path_length": {"mean": new}}


def lazy_path_length(play: Play, vars):
    """`path_length` at every config.lazy_g-th update of G, that many times as strong, as section 3.1 there has it.

    It is added to G's loss, not a step of its own, so G's rate and betas stay.
    """
    every, old = play.config.lazy_g, play.vars["path_length"]

    def due():
        numbers, new = _deviations(play, old["mean"])
        return every * numbers.mean(), new

    found, new = jax.lax.cond(old["updates"] % every == 0, due, lambda: (jnp.zeros_like(old["mean"]), old["mean"]))
    return found, {**vars, "path_length": {"mean": new, "updates": old["updates"] + 1}}


def _deviations(play: Play, old):
    """(||J^T y|| - a)^2 [n], and the new a, from the old one."""
    keys = rng.stream(play.key, "path length")
    y = rng.normal(keys, len(play.fake.x), play.fake.x.shape[1:], play.axis) / jnp.sqrt(play.fake.x[0, ..., 0].size)
    shape = styles(play.config, play.fake.x.shape[1:])
    if shape is None:
        _, pull = jax.vjp(lambda z: play.run(play.vars, "g", z, play.fake.y)[0], play.z)
        square = (pull(y)[0] ** 2).sum(1)
    else:
        no_shift = jnp.zeros((len(play.z), *shape))
        _, pull = jax.vjp(lambda shift: play.run(play.vars, "g", play.z, play.fake.y, shift=shift)[0], no_shift)
        square = (pull(y)[0] ** 2).sum(2).mean(1)
    lengths = jnp.sqrt(square + 1e-12)
    new = old + 0.01 * (mean_over(lengths.mean(), play.axis) - old)
    return (lengths - new) ** 2, jax.lax.stop_gradient(new)


def logan_dz(play: Play, vars):
    """||dz||^2, how far latent_steps moved the latents: Wu et al. 2019, arXiv 1912.00953, section 3.3.

    In both losses; gradients flow through the latent steps.
    """
    return play.moved, vars


def feature_matching(play: Play, vars):
    """||E h(real) - E h(fake)||^2 for D's features h: Salimans et al. 2016, arXiv 1606.03498, section 3.1."""
    real, fake = mean_over((play.real.features.mean(0), play.fake.features.mean(0)), play.axis)
    return ((real - fake) ** 2).sum(), vars


def drift(play: Play, vars):
    """D(x)^2 of real examples, so that logits stay near 0: Karras et al. 2017, arXiv 1710.10196, appendix A.1."""
    return play.real.logits**2, vars


D_TERMS = {
    **{name: penalty(name) for name in PENALTIES},
    "drift": Term(drift),
    "dragan": Term(dragan),
    "cr": consistency("real"),
    "cr_fake": consistency("fake"),
    "zcr": Term(zcr),
    "logan_dz": Term(logan_dz),
    "lecam": Term(lecam, lambda *_: {"lecam": (memory(real=0.0, fake=0.0, mass=0.0), ())}),
}
G_TERMS = {
    "zcr_g": Term(zcr_g),
    "path_length": Term(path_length, lambda *_: {"path_length": (memory(mean=0.0), ())}),
    "logan_dz": Term(logan_dz),
    "feature_matching": Term(feature_matching, features=True),
}
LAZY_PATH_LENGTH = Term(lazy_path_length, lambda *_: {"path_length": (memory(mean=0.0, updates=0), ())})


def active(config: Config, terms: dict[str, Term]) -> dict[str, Term]:
    """The terms that config switches on by a weight above 0."""
    found = {name: term for name, term in terms.items() if config.hp.on(name)}
    lazily = {"path_length": LAZY_PATH_LENGTH} if config.lazy_g > 1 and not config.lazy_steps else {}
    return {name: lazily.get(name, term) for name, term in found.items()}
