"""A generator against a discriminator, with any number of further terms in either loss: what most kinds are made of.

A kind gives `adversarial` its terms; a term is a function of `Play`, everything that one update sees.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import optax

from jaxgan import rng
from jaxgan.config import Config
from jaxgan.games import pool
from jaxgan.losses import LOSSES, Loss, value
from jaxgan.nets import build
from jaxgan.optim import OPTIMIZERS, clip_weights
from jaxgan.penalties import PAIRED, PENALTIES
from jaxgan.types import Axis, Game, JaxganError, Player


class Play(NamedTuple):
    """What one update sees: run, vars (before the update), key and hp as in Player.loss, examples and D's answers.

    real [m, ...] with labels y [m]; fake [n, ...] with labels y_fake [n], made from z [n, latent]; labels are None
    without classes. Logits d_real [m] and d_fake [n]; D's features h_real [m, f] and h_fake [n, f],
    None unless a term asks for them. axis is the game's; more is what a kind's own observer adds.
    """

    run: Callable
    vars: Any
    key: Any
    hp: dict
    axis: Axis
    real: Any
    y: Any
    fake: Any
    y_fake: Any
    z: Any
    d_real: Any
    d_fake: Any
    h_real: Any
    h_fake: Any
    more: Any = None


class Parts(NamedTuple):
    """What a kind may exchange in `adversarial`; `usual` gives what it has otherwise.

    loss:    of the logits
    nets:    {"g": Net, "d": Net}; further ones belong to G's player
    latent:  as in Game
    observe: (config, classes, axis, latent, features) -> (run, vars, batch, key, hp, pooled) -> Play, vars; pooled says
             that D moves, and that a pool of generated examples may serve
    """

    loss: Loss
    nets: dict
    latent: Callable
    observe: Callable


class Term(NamedTuple):
    """A summand of a player's loss, weighted by the hyperparameter of its name, by 1 where there is none.

    loss: (play, vars) -> numbers whose mean is taken, vars (as they came where it remembers nothing)
    nets: (config, shape, classes, axis) -> {name: (Net, example inputs)}, heads and memory that it brings; its player
          owns them
    features: whether it reads D's features
    """

    loss: Callable
    nets: Callable = lambda config, shape, classes, axis: {}
    features: bool = False


def penalty(name: str) -> Term:
    """The entry of PENALTIES called name as a term of D's loss."""

    def loss(play: Play, vars):
        # R2 scores generated examples, whose labels may differ in number from the real ones'
        labels = play.y_fake if name == "r2" else play.y
        keys = rng.examples(rng.stream(play.key, name), len(play.real), play.axis)
        score = lambda x: play.run(play.vars, "d", x, labels)[0]  # noqa: E731
        return PENALTIES[name](score, play.real, play.fake, keys), vars

    return Term(loss)


D_TERMS = {name: penalty(name) for name in PENALTIES}
G_TERMS: dict[str, Term] = {}


def active(config: Config, terms: dict[str, Term]) -> dict[str, Term]:
    """The terms that config switches on by a weight above 0."""
    return {name: term for name, term in terms.items() if getattr(config.hp, name) > 0}


def check_pairs(config: Config) -> None:
    """JaxganError if a term that compares real and fake row by row is asked for with unequal numbers of them."""
    fakes = config.fake_batch or config.batch
    paired = [f"loss {config.loss!r}"] * LOSSES[config.loss].paired
    paired += [f"penalty {name!r}" for name in active(config, D_TERMS) if name in PAIRED]
    if paired and fakes != config.batch:
        raise JaxganError(
            f"{' and '.join(paired)} pairs real example i with generated example i, so it needs as many of each; got "
            f"batch={config.batch} and fake_batch={fakes}. Leave fake_batch at 0, or take an unpaired loss"
        )


def _nets(terms: dict[str, Term], config: Config, shape, classes: int, axis: Axis) -> dict:
    """{name: (Net, example inputs)} that terms bring."""
    brought = [term.nets(config, shape, classes, axis) for term in terms.values()]
    return {name: net for nets in brought for name, net in nets.items()}


def observer(config: Config, classes: int, axis: Axis, latent: Callable, features: bool) -> Callable:
    """(run, vars, batch, key, hp, pooled) -> Play of one update, vars after G's pass and D's two."""
    real_n, fake_n = config.batch, config.fake_batch or config.batch

    def score(run, vars, x, y):
        out, vars = run(vars, "d", x, y, **{"features": True} if features else {})
        return (*out, vars) if features else (out, None, vars)

    def play(run, vars, batch, key, hp, pooled):
        n, before = len(batch["x"]) * fake_n // real_n, vars
        # fake i takes the label of real i m / n, which lies on the same device however many devices there are
        y, y_fake = (batch["y"], batch["y"][jnp.arange(n) * real_n // fake_n]) if classes else (None, None)
        z = latent(rng.stream(key, "z"), n, axis)
        fake, vars = run(vars, "g", z, y_fake)
        if pooled and config.pool:
            (fake, y_fake), vars = run(vars, "pool", fake, y_fake, rng.stream(key, "pool"))
        d_real, h_real, vars = score(run, vars, batch["x"], y)
        d_fake, h_fake, vars = score(run, vars, fake, y_fake)
        return Play(run, before, key, hp, axis, batch["x"], y, fake, y_fake, z, d_real, d_fake, h_real, h_fake), vars

    return play


def usual(config: Config, shape, classes: int, axis: Axis) -> Parts:
    """The configured loss and networks, Gaussian latents, and an update that sees real and generated examples."""

    def latent(key, n, axis=None):
        return rng.normal(key, n, (config.latent,), axis)

    return Parts(LOSSES[config.loss], build(config, shape, classes, axis), latent, observer)


def adversarial(
    config: Config,
    shape,
    classes: int,
    axis: Axis,
    d_terms: dict[str, Term] | None = None,
    g_terms: dict[str, Term] | None = None,
    parts: Parts | None = None,
) -> Game:
    """The two-player game; classes = 0 is unconditional. d_terms and g_terms stand beside D_TERMS and G_TERMS."""
    check_pairs(config)
    loss, nets, latent, observe = parts or usual(config, shape, classes, axis)
    real_n, fake_n = config.batch, config.fake_batch or config.batch
    terms = {"d": active(config, D_TERMS) | (d_terms or {}), "g": active(config, G_TERMS) | (g_terms or {})}
    brought = {side: _nets(terms[side], config, shape, classes, axis) for side in terms}
    if config.pool:
        example = jnp.zeros((2, *shape)), jnp.zeros(2, jnp.int32) if classes else None
        brought["d"]["pool"] = pool.net(config.pool, axis), example
    make_optimizer = OPTIMIZERS[config.optimizer]
    features = any(term.features for side in terms.values() for term in side.values())
    play = observe(config, classes, axis, latent, features)

    def total(side, seen, vars, metrics):
        summed = value(getattr(loss, side)(seen.d_real, seen.d_fake), real_n, fake_n)
        for name, term in terms[side].items():
            numbers, vars = term.loss(seen, vars)
            metrics[name] = numbers.mean()
            summed += seen.hp.get(name, 1.0) * metrics[name]
        return summed, (vars, metrics)

    def d_loss(run, vars, batch, key, hp):
        seen, vars = play(run, vars, batch, key, hp, True)
        return total("d", seen, vars, {"d_real": seen.d_real.mean(), "d_fake": seen.d_fake.mean()})

    def g_loss(run, vars, batch, key, hp):
        return total("g", *play(run, vars, batch, key, hp, False), {})

    def d_tx(hp):
        return optax.chain(make_optimizer(hp["d_lr"], hp), *[clip_weights(hp["clip"])] * (config.hp.clip > 0))

    heads = brought["d"] | brought["g"]

    def inputs(batch, key):
        y = batch["y"] if classes else None
        own = {"g": (latent(key, len(batch["x"])), y), "d": (batch["x"], y)}
        return own | {name: example for name, (_, example) in heads.items()}

    def sample(run, vars, z, y):
        return run(vars, "g", z, y, train=False)[0]

    more = [name for name in nets if name not in ("g", "d")]
    players = {
        "d": Player(("d", *brought["d"]), d_loss, d_tx, config.d_steps),
        "g": Player(("g", *more, *brought["g"]), g_loss, lambda hp: make_optimizer(hp["g_lr"], hp), config.g_steps),
    }
    nets = nets | {name: net for name, (net, _) in heads.items()}
    return Game(nets, players, inputs, sample, latent, classes=classes, axis=axis)
