"""Toy distributions whose log density is known exactly, as sources that never end.

Two builders make them all: mixtures of Gaussians, and curves blurred by Gaussian noise. An example is a function of its
key alone. Where there are several components, the label of an example is its component.
"""

import hashlib
import itertools
import json
import math

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan import rng
from jaxgan.types import Density, JaxganError, Source

PANELS, NODES = 128, 8  # Gauss-Legendre quadrature over a curve: panels, and nodes in each


def _log_normal(squared, std: float, d: int):
    """Log density of an isotropic normal in d dimensions at a squared distance from its mean."""
    return -squared / (2 * std**2) - d * (math.log(std) + 0.5 * math.log(2 * math.pi))


def _source(name: str, definition: dict, draw, log_pdf, d: int, classes: int, modes=None, std: float = 0.0) -> Source:
    """The source of a density. draw: key -> x [d], component."""

    def finish(rows, keys):
        x, y = jax.vmap(draw)(keys)
        return {"x": x, "y": y.astype(jnp.int32)}

    text = json.dumps(definition, sort_keys=True)
    return Source(
        name=name,
        shape=(d,),
        classes=classes if classes > 1 else 0,
        size=0,
        rows=lambda index: {},
        finish=finish,
        fingerprint=hashlib.sha256(text.encode()).hexdigest(),
        density=Density(lambda key: draw(key)[0], log_pdf, modes, std),
    )


def gaussian_mixture(centers, std: float, weights=None, *, name: str = "gaussian_mixture") -> Source:
    """Gaussians [k, d] of one standard deviation; labels are components. weights [k] sum to 1, None is equal ones.

    Raises JaxganError for centres that are not finite numbers [k, d], std <= 0, or weights that are no distribution.
    """
    centers = np.asarray(centers, np.float64)
    if centers.ndim != 2 or not centers.size or not np.isfinite(centers).all():
        raise JaxganError(f"{name}: centers must be finite numbers [k, d] with k, d >= 1; got shape {centers.shape}")
    if not (math.isfinite(std) and std > 0):
        raise JaxganError(f"{name}: std must be a positive number; got {std}")
    k, d = centers.shape
    weights = np.full(k, 1 / k) if weights is None else np.asarray(weights, np.float64)
    if weights.shape != (k,):
        raise JaxganError(f"{name}: weights must be one number per centre [{k}]; got shape {weights.shape}")
    if not (weights >= 0).all() or abs(weights.sum() - 1) > 1e-6:  # the negation also catches NaN
        raise JaxganError(f"{name}: weights must be >= 0 and sum to 1; got {weights.tolist()}")
    log_w = np.log(np.maximum(weights, 1e-300)).astype(np.float32)
    log_w[weights == 0] = -np.inf
    mu = centers.astype(np.float32)

    def draw(key):
        component = jax.random.categorical(rng.stream(key, "toy component"), log_w)
        noise = jax.random.normal(rng.stream(key, "toy noise"), (d,))
        return jnp.asarray(mu)[component] + std * noise, component

    def log_pdf(x):
        squared = jnp.sum((x[None] - mu) ** 2, axis=-1)
        return jax.scipy.special.logsumexp(log_w + _log_normal(squared, std, d))

    definition = {"gaussian_mixture": centers.tolist(), "std": std, "weights": weights.tolist()}
    return _source(name, definition, draw, log_pdf, d, k, mu, std)


def noisy_curves(curves, std: float, definition: str, *, name: str = "noisy_curves") -> Source:
    """Points on plane curves plus isotropic Gaussian noise; labels are curves where there are several.

    curves: functions t in [0, 1] -> [..., 2], each equally likely, t uniform. definition: text that pins them down.
    The density is the integral over t of a Gaussian around the curve. It is computed by composite Gauss-Legendre
    quadrature, 128 panels of 8 nodes on each curve, combined by logsumexp: for the curves here it agrees with a rule
    four times as fine to float32 rounding, so it is exact for every purpose but a closed form.
    """
    node, node_weight = np.polynomial.legendre.leggauss(NODES)
    t = ((np.arange(PANELS)[:, None] + (node + 1) / 2) / PANELS).ravel()
    weight = np.tile(node_weight / (2 * PANELS), PANELS) / len(curves)
    points = np.concatenate([np.asarray(curve(t, np)) for curve in curves]).astype(np.float32)  # [curves * nodes, 2]
    log_w = np.log(np.tile(weight, len(curves))).astype(np.float32)

    def draw(key):
        which = jax.random.randint(rng.stream(key, "toy component"), (), 0, len(curves))
        t = jax.random.uniform(rng.stream(key, "toy position"))
        point = jnp.stack([curve(t, jnp) for curve in curves])[which]
        return point + std * jax.random.normal(rng.stream(key, "toy noise"), (2,)), which

    def log_pdf(x):
        squared = jnp.sum((x[None] - points) ** 2, axis=-1)
        return jax.scipy.special.logsumexp(log_w + _log_normal(squared, std, 2))

    return _source(name, {"noisy_curves": definition, "std": std}, draw, log_pdf, 2, len(curves))


def ring8(radius: float = 1.0, std: float = 0.01, name: str = "ring8") -> Source:
    """Eight Gaussians on a circle (PacGAN, Lin et al. 2018, arXiv 1712.04086)."""
    angle = np.arange(8) * 2 * np.pi / 8
    return gaussian_mixture(radius * np.stack([np.cos(angle), np.sin(angle)], 1), std, name=name)


def ring8_scgan() -> Source:
    """Eight Gaussians at radius 2 of variance 1e-4 (self-conditioned GAN, Liu et al. 2020, arXiv 2006.10728)."""
    return ring8(radius=2.0, std=0.01, name="ring8_scgan")


def grid25() -> Source:
    """Gaussians at {-4, -2, 0, 2, 4}^2 of standard deviation .05 (PacGAN; self-conditioned GAN uses the same)."""
    return gaussian_mixture(list(itertools.product((-4, -2, 0, 2, 4), repeat=2)), 0.05, name="grid25")


def gauss1d() -> Source:
    """One Gaussian on the line, mean 4 and standard deviation 1.25."""
    return gaussian_mixture([[4.0]], 1.25, name="gauss1d")


def mixture1d() -> Source:
    """Three unequal Gaussians on the line: a minor mode that a collapsing generator loses first."""
    return gaussian_mixture([[-3.0], [0.0], [4.0]], 0.5, [0.3, 0.6, 0.1], name="mixture1d")


def swiss_roll() -> Source:
    """A spiral of 1.5 turns, about unit variance, noise 1/30 (WGAN-GP, Gulrajani et al. 2017, arXiv 1704.00028)."""

    def spiral(u, np):
        t = 1.5 * math.pi * (1 + 2 * u)
        return np.stack([t * np.cos(t), t * np.sin(t)], -1) / 7.5

    return noisy_curves([spiral], 1 / 30, "t (cos t, sin t) / 7.5, t uniform in [1.5 pi, 4.5 pi]", name="swiss_roll")


def moons() -> Source:
    """Two interleaved half circles with noise .1; the label says which."""

    def upper(u, np):
        return np.stack([np.cos(math.pi * u), np.sin(math.pi * u)], -1)

    def lower(u, np):
        return np.stack([1 - np.cos(math.pi * u), 0.5 - np.sin(math.pi * u)], -1)

    return noisy_curves([upper, lower], 0.1, "(cos, sin) and (1 - cos, .5 - sin) of t in [0, pi]", name="moons")


TOYS = {
    "ring8": ring8,
    "ring8_scgan": ring8_scgan,
    "grid25": grid25,
    "gauss1d": gauss1d,
    "mixture1d": mixture1d,
    "swiss_roll": swiss_roll,
    "moons": moons,
}
