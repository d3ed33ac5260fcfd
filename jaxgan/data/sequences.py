"""Sequences [length, channels] that never end: noisy sines, whose statistics have closed forms, and labelled curves.

As for the toys, an example is a function of its key alone.
"""

import hashlib
import json

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan import rng
from jaxgan.types import JaxganError, Source


def _source(name: str, definition: dict, draw, length: int, classes: int = 0) -> Source:
    """The source of one-channel sequences. draw: key -> x [length], label."""

    def finish(rows, keys):
        x, y = jax.vmap(draw)(keys)
        return {"x": x[..., None], "y": y.astype(jnp.int32)}

    digest = hashlib.sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()
    return Source(name, (length, 1), classes, 0, lambda index: {}, finish, digest)


def sines(length: int = 64, amplitude: float = 0.8, noise: float = 0.05, low: float = 2.0, high: float = 6.0) -> Source:
    """A sin(2 pi (f t / length + u)) plus white Gaussian noise; f uniform in [low, high], u in [0, 1].

    f counts cycles per sequence, and need not be whole. noise is a standard deviation. Raises JaxganError for a range
    of frequencies that is empty or reaches past length / 2, above which samples cannot tell frequencies apart.
    """
    if not 0 <= low <= high <= length / 2:
        raise JaxganError(f"sines: frequencies need 0 <= low <= high <= {length / 2:g}; got {low:g} and {high:g}")

    def draw(key):
        f = low + (high - low) * jax.random.uniform(rng.stream(key, "sequence frequency"))
        u = jax.random.uniform(rng.stream(key, "sequence phase"))
        clean = amplitude * jnp.sin(2 * jnp.pi * (f * jnp.arange(length) / length + u))
        return clean + noise * jax.random.normal(rng.stream(key, "sequence noise"), (length,)), jnp.int32(0)

    definition = {"sines": [amplitude, noise, low, high], "length": length}
    return _source("sines", definition, draw, length)


TEMPLATES = np.array(  # digits as one pen stroke from left to right, drawn by hand: [class, knot], 0 at both ends
    [
        [0, 0.45, 0.75, 0.9, 1.0, 1.0, 1.0, 1.0, 0.9, 0.75, 0.45, 0],
        [0, -0.3, -0.6, -0.9, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0],
        [0, 0.5, 0.9, 1.0, 0.7, 0.2, -0.3, -0.8, -1.0, -0.4, 0.3, 0],
        [0, 0.7, 1.0, 1.0, 0.7, 0.1, 0.1, 0.7, 1.0, 1.0, 0.7, 0],
        [0, -0.3, -0.5, -0.7, -0.9, -1.0, 0.9, 1.0, 0.2, 0.2, 0.2, 0],
        [0, -0.8, -0.8, -0.8, -0.8, -0.1, 0.6, 0.9, 1.0, 0.9, 0.5, 0],
        [0, 0.9, 0.5, 0.1, -0.3, -0.6, -0.9, -1.0, -0.9, -0.6, -0.2, 0],
        [0, 0.8, 0.8, 0.8, 0.8, 0.6, 0.4, 0.2, 0.0, -0.2, -0.4, 0],
        [0, 0.8, 0.9, 0.3, -0.5, -0.9, -0.5, 0.3, 0.9, 0.8, 0.3, 0],
        [0, -0.6, -0.9, -0.9, -0.5, 0.2, -0.5, 0.5, 0.6, 0.7, 0.8, 0],
    ],
    np.float32,
)
SMOOTH = np.array([1, 4, 6, 4, 1], np.float32) / 16  # a Gaussian of one sample's width, nearly


def curves1d(length: int = 40) -> Source:
    """Ten classes of curves after MNIST-1D (Greydanus 2020, arXiv 2011.14439): a deformed template each, and noise.

    The template fills 40 to 65 % of the sequence, anywhere in it, with zeros around; its height is scaled, a ramp
    shears it, correlated and white noise are added. The templates are this module's own, so that accuracies are not
    comparable with MNIST-1D's. Values lie in about [-1, 1].
    """
    t = (np.arange(length) + 0.5) / length
    knots = np.linspace(0, 1, TEMPLATES.shape[1], dtype=np.float32)

    def draw(key):
        y = jax.random.randint(rng.stream(key, "sequence class"), (), 0, len(TEMPLATES))
        extent, start, scale, shear = jax.random.uniform(rng.stream(key, "sequence shape"), (4,))
        extent = 0.4 + 0.25 * extent
        clean = jnp.interp((t - (1 - extent) * start) / extent, knots, jnp.asarray(TEMPLATES)[y], left=0, right=0)
        rough = jax.random.normal(rng.stream(key, "sequence rough noise"), (length,))
        x = (0.5 + 0.4 * scale) * clean + 0.4 * (shear - 0.5) * (2 * t - 1) + 0.05 * rough
        x = jnp.convolve(jnp.pad(x, len(SMOOTH) // 2, mode="edge"), SMOOTH, mode="valid")
        return x + 0.02 * jax.random.normal(rng.stream(key, "sequence noise"), (length,)), y

    definition = {"curves1d": TEMPLATES.tolist(), "length": length}
    return _source("curves1d", definition, draw, length, len(TEMPLATES))


SEQUENCES = {"sines": sines, "curves1d": curves1d}
