"""The plain GAN and the class-conditional one: a generator against a discriminator.

G maps z (and a label) to an example; D maps an example (and its label) to a logit.
"""

import jax.numpy as jnp
import optax

from jaxgan import rng
from jaxgan.config import Config
from jaxgan.losses import LOSSES, value
from jaxgan.nets import build
from jaxgan.optim import OPTIMIZERS, clip_weights
from jaxgan.penalties import PAIRED, PENALTIES
from jaxgan.types import Axis, Game, JaxganError, Player


def plain(config: Config, shape, classes: int, axis: Axis) -> Game:
    """Goodfellow et al. 2014, arXiv 1406.2661. Labels, if there are any, are not used."""
    return adversarial(config, shape, 0, axis)


def conditional(config: Config, shape, classes: int, axis: Axis) -> Game:
    """Mirza and Osindero 2014, arXiv 1411.1784, with a projection D: Miyato and Koyama 2018, arXiv 1802.05637.

    Generated examples take the labels of the real ones in their batch (repeated or thinned out if the numbers differ).
    """
    return adversarial(config, shape, classes, axis)


def penalties(config: Config) -> tuple[str, ...]:
    """Names of the penalties that config switches on by a weight above 0."""
    return tuple(name for name in PENALTIES if getattr(config.hp, name) > 0)


def check_pairs(config: Config) -> None:
    """JaxganError if a term that compares real and fake row by row is asked for with unequal numbers of them."""
    fakes = config.fake_batch or config.batch
    paired = [f"loss {config.loss!r}"] * LOSSES[config.loss].paired
    paired += [f"penalty {name!r}" for name in penalties(config) if name in PAIRED]
    if paired and fakes != config.batch:
        raise JaxganError(
            f"{' and '.join(paired)} pairs real example i with generated example i, so it needs as many of each; got "
            f"batch={config.batch} and fake_batch={fakes}. Leave fake_batch at 0, or take an unpaired loss"
        )


def adversarial(config: Config, shape, classes: int, axis: Axis) -> Game:
    """The two-player game that both kinds share; classes = 0 is unconditional."""
    check_pairs(config)
    nets = build(config, shape, classes, axis)
    loss, active = LOSSES[config.loss], penalties(config)
    real_n, fake_n = config.batch, config.fake_batch or config.batch
    make_optimizer = OPTIMIZERS[config.optimizer]

    def latent(key, n, axis=None):
        return rng.normal(key, n, (config.latent,), axis)

    def generate(run, vars, batch, key):
        n = len(batch["x"]) * fake_n // real_n
        # fake i takes the label of real i m / n, which lies on the same device however many devices there are
        y = batch["y"][jnp.arange(n) * real_n // fake_n] if classes else None
        fake, vars = run(vars, "g", latent(rng.stream(key, "z"), n, axis), y)
        return fake, y, vars

    def score_both(run, vars, batch, fake, y):
        real, vars = run(vars, "d", batch["x"], batch["y"] if classes else None)
        fake, vars = run(vars, "d", fake, y)
        return real, fake, vars

    def d_loss(run, vars, batch, key, hp):
        fake, y, _ = generate(run, vars, batch, key)
        real, scored, new = score_both(run, vars, batch, fake, y)
        metrics = {"d_real": real.mean(), "d_fake": scored.mean()}
        total = value(loss.d(real, scored), real_n, fake_n)
        for name in active:
            # R2 scores generated examples, whose labels may differ in number from the real ones'
            labels = y if name == "r2" else batch["y"] if classes else None
            keys = rng.examples(rng.stream(key, name), len(batch["x"]), axis)
            terms = PENALTIES[name](lambda x, labels=labels: run(vars, "d", x, labels)[0], batch["x"], fake, keys)
            metrics[name] = terms.mean()
            total += hp[name] * metrics[name]
        return total, (new, metrics)

    def g_loss(run, vars, batch, key, hp):
        fake, y, vars = generate(run, vars, batch, key)
        real, scored, vars = score_both(run, vars, batch, fake, y)
        return value(loss.g(real, scored), real_n, fake_n), (vars, {})

    def d_tx(hp):
        return optax.chain(make_optimizer(hp["d_lr"], hp), *[clip_weights(hp["clip"])] * (config.hp.clip > 0))

    def inputs(batch, key):
        y = batch["y"] if classes else None
        return {"g": (latent(key, len(batch["x"])), y), "d": (batch["x"], y)}

    def sample(run, vars, z, y):
        return run(vars, "g", z, y, train=False)[0]

    players = {
        "d": Player(("d",), d_loss, d_tx, config.d_steps),
        "g": Player(("g",), g_loss, lambda hp: make_optimizer(hp["g_lr"], hp), config.g_steps),
    }
    return Game(nets, players, inputs, sample, latent, classes=classes, axis=axis)
