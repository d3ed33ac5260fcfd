"""Projection: the latents from which a generator makes images that are as near as possible to given ones.

Gradient descent on z, or on the style w of networks that have one, which reaches more images (Karras et al. 2019, arXiv
1912.04958, section 5, where w is the same for all layers).
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxgan import features, log, rng, step
from jaxgan.errors import JaxganError
from jaxgan.latents import styled
from jaxgan.nets import styles
from jaxgan.types import Game

RATE = 0.1  # of Adam at first; it falls to 0 by half a cosine (both as StyleGAN2's projector)
AT_ONCE = 64, 2**22  # images times starts that move together, and their numbers in all, at most
PART = 50  # steps between two lines of progress
LEAST = 16  # pixels that LPIPS needs
DISTANCES = ("auto", "pixel", "lpips")


class Projected(NamedTuple):
    """latents [n, latent] in space "z" or "w", the images [n, *shape] that they make, and their errors [n].

    errors are by the distance: "pixel", the root of the mean squared difference on the scale of [-1, 1], or "lpips".
    rms [n] is the first of the two in either case. starts [n, starts]: the error that each start came to.
    """

    latents: np.ndarray
    images: np.ndarray
    errors: np.ndarray
    rms: np.ndarray
    starts: np.ndarray
    space: str
    distance: str


class Space(NamedTuple):
    """starts: (nets, z [b, latent], labels) -> latents [b, size] of these draws; centre: nets -> their mean [size].

    draw: (nets, latents [b, size], labels) -> examples. nets: {net: {"params", "vars"}}.
    """

    name: str
    starts: Callable
    centre: Callable
    draw: Callable


def project(
    run: Any, x, y, nets: dict, *, steps: int, starts: int, seed: int, distance: str, say=log.show
) -> Projected:
    """Latents of examples x [n, *shape] in [-1, 1] and labels y [n] or None; run and the rest as in `Run.project`.

    Of each example `starts` latents move at once, the first from the mean, the others from draws of the seed, by Adam;
    the nearest point on all of their ways is taken. nets: of the run, {net: {"params", "vars"}}.
    """
    if steps < 1 or starts < 1:
        raise JaxganError(f"steps is {steps} and starts is {starts}; expected 1 or more of each")
    name, far, weights = measure(distance, run.shape, say)
    space = (of_styles if styles(run.config, tuple(run.env["shape"])) else of_latents)(run.game)
    adam = optax.adam(optax.cosine_decay_schedule(RATE, steps))
    move = jax.jit(partial(moved, space.draw, far, adam))
    first = jax.jit(partial(begun, run.game, space, starts))
    together = min(AT_ONCE[0], AT_ONCE[1] // math.prod(run.shape))
    progress, found, size = log.Progress(0, steps * len(x), 1, say, "steps"), [], max(1, together // starts)
    for i in range(0, len(x), size):
        own = jnp.asarray(x[i : i + size], jnp.float32).repeat(starts, 0)
        labels = None if y is None else jnp.asarray(y[i : i + size]).repeat(starts, 0)
        points = first(nets, rng.root(seed), own, labels)
        carry = points, adam.init(points), points, jnp.full(len(own), jnp.inf)
        for done in range(0, steps, PART):
            n = min(PART, steps - done)
            carry = jax.block_until_ready(move(nets, weights, carry, own, labels, n))
            at = steps * i + (done + n) * len(own) // starts
            progress.advance(at, {}, f"{name} error {float(carry[3].reshape(-1, starts).min(1).mean()):.3g}")
            progress.line(at)
        found.append(_nearest(space, nets, own, labels, starts, carry))
    progress.close()
    latents, images, errors, rms, all_errors = (np.concatenate([np.asarray(v) for v in part]) for part in zip(*found))
    return Projected(latents, images, errors, rms, all_errors, space.name, name)


def _nearest(space: Space, nets: dict, own, labels, starts: int, carry) -> tuple:
    """The first five fields of Projected for these examples, each of which stands there once for each start."""
    _, _, points, errors = carry
    errors = errors.reshape(-1, starts)
    rows = jnp.arange(len(errors)) * starts + errors.argmin(1)
    points, own, labels = points[rows], own[rows], None if labels is None else labels[rows]
    images = jax.jit(space.draw)(nets, points, labels)
    return points, images, errors.min(1), pixels(None, images, own), errors


def measure(distance: str, shape: tuple[int, ...], say) -> tuple[str, Callable, Any]:
    """The name of the distance, (weights, a, b) -> distances [n], and weights.

    auto is lpips where images are large enough and its weights are here, else pixel.
    """
    if distance not in DISTANCES:
        raise JaxganError(f"distance is {distance!r}; choose from {', '.join(DISTANCES)}")
    suits = len(shape) == 3 and shape[-1] in (1, 3) and min(shape[:2]) >= LEAST
    if distance == "lpips" and not suits:
        raise JaxganError(
            f"lpips compares images of {LEAST} pixels or more, grey or RGB, not examples of shape {shape}"
        )
    if distance == "pixel" or not suits:
        return "pixel", pixels, None
    try:
        return "lpips", features.lpips, features.lpips_weights()
    except JaxganError as e:
        if distance == "lpips":
            raise
        say(f"the distance is that of pixels, as LPIPS is not here: {e}")
        return "pixel", pixels, None


def pixels(_, a, b):
    """The root of the mean squared difference of examples a and b [n, *shape] -> [n]."""
    return jnp.sqrt(jnp.square(a - b).reshape(len(a), -1).mean(1) + 1e-12)  # whose slope at 0 is finite


def of_latents(game: Game) -> Space:
    """z itself, whose mean is 0."""

    def draw(nets, z, y):
        run, vars = opened(game, nets)
        return game.sample(run, vars, z, y)

    return Space("z", lambda nets, z, y: z, lambda nets: jnp.zeros(game.latent(rng.root(0), 1).shape[1]), draw)


def of_styles(game: Game) -> Space:
    """w, to which G maps z; the mean is G's own running one."""

    def run_g(nets, z, y, **options):
        run, vars = opened(game, nets)
        return run(vars, "g", z, y, train=False, **options)[0]

    def centre(nets):
        return run_g(nets, game.latent(rng.root(0), 1), _zeros(game, 1), psi=jnp.zeros(1), mapped=True)[0, 0]

    def draw(nets, w, y):
        return styled(game)(*opened(game, nets), w, y)

    return Space("w", lambda nets, z, y: run_g(nets, z, y, mapped=True)[:, 0], centre, draw)


def opened(game: Game, nets: dict) -> tuple[Callable, dict]:
    """run and vars, as functions of a game take them, of {net: {"params", "vars"}}."""
    params = {name: net["params"] for name, net in nets.items()}
    return step.runner(game, params), {name: net["vars"] for name, net in nets.items()}


def _zeros(game: Game, n: int):
    return jnp.zeros(n, jnp.int32) if game.classes else None


def begun(game: Game, space: Space, starts: int, nets: dict, root, own, labels):
    """Points [b, size] from which the b examples' latents move: of every `starts` the mean first, then draws.

    Draw k is the same for all examples, so that one's way does not depend on which others there are.
    """
    draws = jnp.tile(game.latent(rng.stream(root, "eval"), starts), (len(own) // starts, 1))
    points = space.starts(nets, draws, labels)
    mean = jnp.arange(len(own)) % starts == 0
    return jnp.where(mean[:, None], space.centre(nets)[None], points)


def moved(draw: Callable, far: Callable, adam, nets: dict, weights, carry, own, labels, n):
    """carry (points, Adam's state, the nearest points so far, their distances) after n steps."""

    def error(points):
        each = far(weights, draw(nets, points, labels), own)
        return each.sum(), each

    def one(_, carry):
        points, memory, best, least = carry
        (_, each), slope = jax.value_and_grad(error, has_aux=True)(points)
        best, least = jnp.where((each < least)[:, None], points, best), jnp.minimum(each, least)
        updates, memory = adam.update(slope, memory)
        return optax.apply_updates(points, updates), memory, best, least

    return jax.lax.fori_loop(0, n, one, carry)
