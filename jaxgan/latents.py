"""The latents of a seed, and walks from one to another."""

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


def closed(game: Game, z, frames: int):
    """Points [frames, latent] at equal steps along the great circles from each of z [k, latent] to the next, and back.

    Codes are those of the first.
    """
    if len(z) < 2 or frames < len(z):
        raise JaxganError(
            f"a walk by {len(z)} latents has {frames} frames; expected 2 or more latents, and a frame each"
        )
    size = z.shape[1] - sum(game.codes)
    at = np.arange(frames) * len(z) / frames
    leg = at.astype(int)
    steps = jax.vmap(lambda a, b, t: slerp(a, b, t[None])[0])
    path = steps(z[leg, :size], z[(leg + 1) % len(z), :size], jnp.asarray(at - leg, jnp.float32))
    return jnp.concatenate([path, jnp.tile(z[:1, size:], (frames, 1))], 1)
