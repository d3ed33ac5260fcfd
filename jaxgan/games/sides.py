"""What one update shows D: real and generated examples, augmented and noisy; and what D answers."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxgan import augment, rng
from jaxgan.config import Config
from jaxgan.games import control
from jaxgan.games.terms import Play, Side, Sides, updates
from jaxgan.types import Axis, JaxganError, per_example


def judge(config: Config, features: bool, tokens: bool = False) -> Callable:
    """(run, vars, x, y, hp) -> logits, (features, tokens) or so many as are asked for, vars: D as the losses see it.

    Logits are times hp.d_scale.
    """
    options = {"features": True} if features or tokens else {}
    options |= {"tokens": True} if tokens else {}

    def plain(run, vars, x, y):
        out, vars = run(vars, "d", x, y, **options)
        logits, *more = out if options else (out,)
        return logits, tuple(more), vars

    def normalized(run, vars, x, y):
        """f / (||grad f|| + |f|), Wu et al. 2021, arXiv 2109.02235."""

        def split(x):
            logits, *rest = plain(run, vars, x, y)
            return per_example(logits), rest

        logits, pull, (h, new) = jax.vjp(split, x, has_aux=True)
        (slope,) = pull(jnp.ones_like(logits))
        size = jnp.sqrt((slope**2).reshape(len(logits), -1).sum(1) + 1e-12)
        return logits / (size + abs(logits)), h, new

    d = normalized if config.gradient_norm else plain

    def scaled(run, vars, x, y, hp):
        logits, h, vars = d(run, vars, x, y)
        return (hp["d_scale"] * logits if config.hp.on("d_scale") else logits), h, vars

    return scaled


def viewer(config: Config, axis: Axis) -> Callable:
    """(x, key, vars, hp) -> what D is shown of examples x: augmented, and under instance noise if it is on.

    Instance noise N(0, std^2) on real and fake, Sønderby et al. 2016, arXiv 1610.04490: std falls from hp.noise to 0
    in a straight line over hp.noise_updates updates of D, and stays where these are 0.
    """

    def view(x, key, vars, hp):
        keys = rng.examples(rng.stream(key, "augment"), len(x), axis)
        x = augment.apply(config.augment, x, keys, **control.strength(config, vars, hp))
        if config.hp.on("noise"):
            end = hp["noise_updates"]
            left = jnp.where(end > 0, jax.nn.relu(1 - updates(vars) / jnp.maximum(end, 1)), 1)
            x += hp["noise"] * left * rng.normal(rng.stream(key, "noise"), len(x), x.shape[1:], axis)
        return x

    return view


def improved(rank: Callable, z, hp: dict, steps: int):
    """z [n, latent] after steps of z += alpha g / (||g||^2 + beta), g the gradient of D's logits of G(z).

    The natural-gradient form of LOGAN, Wu et al. 2019, arXiv 1912.00953, equation 12; gradients flow through it.
    """
    for _ in range(steps):
        g = jax.grad(rank)(z)
        z += hp["logan_alpha"] * g / ((g**2).sum(1, keepdims=True) + hp["logan_beta"])
    return z


def judged(config: Config, axis: Axis, features: bool, view: Callable = viewer, tokens: bool = False) -> Callable:
    """(run, vars, before, key, hp, sides) -> Play in which D has judged both sides, vars.

    before: the vars before the update, where these have moved on already. view: as in adversarial.Parts.
    """
    d, view = judge(config, features, tokens), view(config, axis)

    def play(run, vars, before, key, hp, sides: Sides):
        def see(x, name):
            return view(x, rng.stream(key, f"view {name}"), before, hp)

        def score(x, y):
            return per_example(d(run, before, x, y, hp)[0])

        (x, y, *_), (made, y_fake, *_) = sides.real, sides.fake
        seen = see(x, "real"), see(made, "fake")
        d_real, h_real, vars = d(run, vars, seen[0], y, hp)
        d_fake, h_fake, vars = d(run, vars, seen[1], y_fake, hp)
        real = answered(sides.real._replace(shown=seen[0]), d_real, *h_real)
        fake = answered(sides.fake._replace(shown=seen[1]), d_fake, *h_fake)
        rest = sides.z, see, score, sides.more, sides.moved
        return Play(run, before, key, hp, axis, config, real, fake, *rest), vars

    return play


def answered(side: Side, logits, features=None, tokens=None) -> Side:
    """side with D's logits, one for each example [n] or one for each patch of it [n, ...], its features and tokens."""
    patches = logits if logits.ndim > 1 else None
    return side._replace(logits=per_example(logits), patches=patches, features=features, tokens=tokens)


def observer(config: Config, classes: int, axis: Axis, latent: Callable, **options) -> Callable:
    """(run, vars, batch, key, hp, pooled) -> Sides of one update, vars after G's pass; options: of that pass."""
    real_n, fake_n = config.batch, config.fake_batch or config.batch
    d, view = judge(config, False), viewer(config, axis)

    def sides(run, vars, batch, key, hp, pooled):
        n, before = len(batch["x"]) * fake_n // real_n, vars
        of = source_rows(n, real_n, fake_n)
        y, y_fake = (batch["y"], batch["y"][of]) if classes else (None, None)

        def rank(z):
            x = view(run(before, "g", z, y_fake)[0], rng.stream(key, "view fake"), before, hp)
            return per_example(d(run, before, x, y_fake, hp)[0]).sum()

        start = latent(rng.stream(key, "z"), n, axis)
        z = improved(rank, start, hp, config.latent_steps)
        fake, vars = run(vars, "g", z, y_fake, **options)
        if config.pool and "w_fake" in batch:
            raise JaxganError('a batch has "w_fake", weights of new examples, but pool shows old ones; leave pool at 0')
        if pooled and config.pool:
            (fake, y_fake), vars = run(vars, "pool", fake, y_fake, rng.stream(key, "pool"))
        return shown(batch, (batch["x"], y), (fake, y_fake), z, of, moved=((z - start) ** 2).sum(1)), vars

    return sides


def source_rows(n: int, real_n: int, fake_n: int):
    """Rows [n] of a batch from which generated examples take labels and weights, real_n real for fake_n generated.

    Row i m / n for example i, which lies on the same device however many devices there are.
    """
    return jnp.arange(n) * real_n // fake_n


def shown(batch, real, fake, z, of=None, **rest) -> Sides:
    """Sides of (examples, what D is told), with the batch's weights of mean 1: "w" and, at rows `of`, "w_fake"."""
    w_fake = batch.get("w_fake")
    w_fake = w_fake if w_fake is None or of is None else w_fake[of]
    (x, y), (made, y_fake) = real, fake
    return Sides(Side(x, y, batch.get("w")), Side(made, y_fake, w_fake), z, **rest)
