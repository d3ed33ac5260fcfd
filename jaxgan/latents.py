"""The latents of a seed, walks from one to another, and samples of networks that have styles."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan import rng
from jaxgan.errors import JaxganError
from jaxgan.types import Game


def latents(game: Game, n: int, seed: int, truncation: float = 0.0):
    """z [n, latent] of this seed; truncation as in Run.sample, codes are not truncated."""
    if n < 1:
        raise JaxganError(f"asked for {n} samples; expected at least 1")
    return drawn(game, rng.stream(rng.root(seed), "eval"), n, truncation)


def drawn(game: Game, key, n: int, truncation: float):
    """z [n, latent] of this key, as `latents`."""
    z = game.latent(key, n)
    if not 0 <= truncation < np.inf:
        raise JaxganError(f"truncation is {truncation}; expected a bound above 0, or 0 for none")
    if truncation == 0:
        return z
    size = z.shape[1] - sum(game.codes)
    normal = jax.vmap(lambda k: jax.random.truncated_normal(k, -truncation, truncation, (size,)))(rng.examples(key, n))
    return z.at[:, :size].set(normal)


def slerp(a, b, t):
    """Points [len(t), d] on the great circle from a to b [d], lengths interpolated (White 2016, arXiv 1609.04468)."""
    la, lb = jnp.linalg.norm(a), jnp.linalg.norm(b)
    angle = jnp.arccos(jnp.clip(a @ b / (la * lb), -1 + 1e-6, 1 - 1e-6))
    t = t[:, None]
    direction = (jnp.sin((1 - t) * angle) * a[None] / la + jnp.sin(t * angle) * b[None] / lb) / jnp.sin(angle)
    return direction * ((1 - t) * la + t * lb)


def closed(game: Game, z, frames: int, space: str = "z"):
    """Points [frames, latent] at equal steps from each of z [k, latent] to the next and back, along great circles.

    Codes are those of the first. Of styles, space "w", along straight lines, as nothing says how long they should be.
    """
    if len(z) < 2 or frames < len(z):
        raise JaxganError(
            f"a walk by {len(z)} latents has {frames} frames; expected 2 or more latents, and a frame each"
        )
    size = z.shape[1] - (sum(game.codes) if space == "z" else 0)
    at = np.arange(frames) * len(z) / frames
    leg, share = at.astype(int), jnp.asarray(at % 1, jnp.float32)[:, None]
    here, there = z[leg, :size], z[(leg + 1) % len(z), :size]
    path = (
        here + share * (there - here)
        if space == "w"
        else jax.vmap(lambda a, b, t: slerp(a, b, t)[0])(here, there, share)
    )
    return jnp.concatenate([path, jnp.tile(z[:1, size:], (frames, 1))], 1)


def truncated(game: Game) -> Callable:
    """game.sample with one more input, the psi [b] of each example: how far its styles are from their mean."""

    def sample(run, vars, z, y, psi):
        return game.sample(_with_g(run, psi=psi), vars, z, y)

    return sample


def styled(game: Game) -> Callable:
    """game.sample of styles w [b, size], the same in all layers, in place of z."""

    def sample(run, vars, w, y):
        z = jnp.zeros((len(w), game.latent(rng.root(0), 1).shape[1]))
        still = jnp.zeros(len(w))  # psi: all layers at the mean, which may be that of a class, and from there to w
        shift = w[:, None] - run(vars, "g", z, y, train=False, psi=still, mapped=True)[0][:, :1]
        return game.sample(_with_g(run, psi=still, shift=shift), vars, z, y)

    return sample


def _with_g(run: Callable, **more) -> Callable:
    """run, by which G gets more options."""

    def with_more(vars, net, *inputs, **options):
        return run(vars, net, *inputs, **options, **(more if net == "g" else {}))

    return with_more
