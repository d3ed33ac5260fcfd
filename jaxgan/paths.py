"""Lengths of a generator's paths, of which perceptual path length is the mean: Karras et al. 2018, arXiv 1812.04948."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan import log, project, rng
from jaxgan.errors import JaxganError
from jaxgan.features.extractor import progress
from jaxgan.latents import slerp
from jaxgan.nets import styles
from jaxgan.run import Run

EPS = 1e-4  # the step along a path
PAIRS = 16  # images of two ends that are compared together
LARGEST = 256  # pixels; larger images are averaged over boxes first


def lengths(
    run: Run, space: str, n: int, labels=None, seed: int = 0, ema: bool = True, far: Callable | None = None
) -> np.ndarray:
    """Distances by LPIPS of images EPS apart, over EPS^2, at the beginning of n paths between latents -> [n].

    space: "z", along great circles, or "w", along lines between styles (stylegan2, gat). labels: classes [n], the same
    at both ends, as all noise is. far: (a, b) -> distances [b] of images [b, h, w, c] in [-1, 1] in place of LPIPS.
    """
    shape, game = run.shape, run.game
    if space == "w" and styles(run.config, tuple(run.env["shape"])) is None:
        raise JaxganError(f"ppl-w is of styles; net {run.config.net!r} has none: take ppl-z, or stylegan2 or gat")
    if game.codes:
        raise JaxganError(f"latents of kind {run.config.kind!r} hold codes, between which there is no path")
    if far is None:
        _, distance, weights = project.measure("lpips", shape, log.show)
        far = functools.partial(distance, weights)
    nets = run.nets(ema)
    step = jax.jit(
        functools.partial(_apart, project.of_styles(game) if space == "w" else project.of_latents(game), far)
    )
    a, b = (game.latent(rng.stream(rng.stream(rng.root(seed), "paths"), end), n) for end in ("from", "to"))
    found = []
    with progress(n, f"of paths in {space}") as bar:
        for i in range(0, n, PAIRS):
            part = slice(i, i + PAIRS)
            found.append(np.asarray(step(nets, a[part], b[part], None if labels is None else labels[part])))
            bar.update(len(found[-1]))
    return np.concatenate(found).astype(np.float64) / EPS**2


def _apart(space: project.Space, far: Callable, nets: dict, a, b, y):
    """Distances [n] of the images of a [n, latent], and of points EPS further on the way to b."""
    start, end = space.starts(nets, a, y), space.starts(nets, b, y)
    t = jnp.array([0.0, EPS])
    if space.name == "z":
        points = jax.vmap(slerp, (0, 0, None), 1)(start, end, t)
    else:
        points = start[None] + t[:, None, None] * (end - start)[None]
    return far(*(_at_most(LARGEST, space.draw(nets, p, y)) for p in points))


def _at_most(size: int, x):
    """Images [n, h, w, c], means over boxes of those that are larger than size; what fills no box is left out."""
    n, h, w, c = x.shape
    k = max(1, min(h, w) // size)
    return x[:, : h // k * k, : w // k * k].reshape(n, h // k, k, w // k, k, c).mean((2, 4))
