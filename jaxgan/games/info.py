"""InfoGAN: codes that G is rewarded for making readable (Chen et al. 2016, arXiv 1606.03657).

A latent is [z, code 0, code 1, ...]: a category out of n as n one-hot numbers, a number in [-1, 1] as itself.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan import rng
from jaxgan.config import Config
from jaxgan.games.adversarial import adversarial, usual
from jaxgan.games.terms import Term
from jaxgan.nets import heads
from jaxgan.types import Axis, Game, JaxganError

HIDDEN = 128  # units of Q's hidden layer, as in the paper


def infogan(config: Config, shape, classes: int, axis: Axis) -> Game:
    """G's player also moves Q, a head on D's features that reads the codes from a generated example.

    Q is a distribution of each category and a normal around each number, with standard deviation 1.
    """
    if not config.codes:
        raise JaxganError("kind is 'infogan' without codes; give some, such as --codes 10 1 1")
    if config.latent_steps:
        raise JaxganError("kind 'infogan' has no use for latent_steps, which would move its codes; leave it at 0")
    parts = usual(config, shape, classes, axis)
    labels = jnp.zeros(2, jnp.int32) if classes else None
    example = (jnp.zeros((2, heads.feature_count(parts.nets["d"], shape, labels))),)

    def latent(key, n, axis=None):
        z, keys = rng.normal(key, n, (config.latent,), axis), rng.examples(key, n, axis)
        return jnp.concatenate([z, jax.vmap(lambda key: draw(config.codes, key))(keys)], -1)

    def read(play, vars):
        q, vars = play.run(vars, "q", play.fake.features)
        return negative_log_likelihood(config.codes, q, play.z[:, config.latent :]), vars

    q = heads.dense(sum(config.codes), (HIDDEN,))
    term = Term(read, lambda *_: {"q": (q, example)}, features=True)
    game = adversarial(config, shape, classes, axis, g_terms={"info": term}, parts=parts._replace(latent=latent))
    return game._replace(codes=config.codes)


def draw(codes: tuple[int, ...], key):
    """The codes of one latent [sum of codes]: uniform categories, uniform numbers in [-1, 1]."""
    parts = []
    for i, n in enumerate(codes):
        own = rng.stream(key, f"code {i}")
        category = lambda own, n: jax.nn.one_hot(jax.random.randint(own, (), 0, n), n)  # noqa: E731
        parts.append(jax.random.uniform(own, (1,), minval=-1) if n == 1 else category(own, n))
    return jnp.concatenate(parts)


def spans(codes: tuple[int, ...]) -> list[slice]:
    """Where each code lies among them."""
    ends = [sum(codes[: i + 1]) for i in range(len(codes))]
    return [slice(end - n, end) for n, end in zip(codes, ends, strict=True)]


def negative_log_likelihood(codes: tuple[int, ...], q, c):
    """-log Q(c given x) [n] in nats, summed over codes; q: Q's outputs, c: codes, both [n, sum of codes]."""
    found = 0.0
    for n, at in zip(codes, spans(codes), strict=True):
        if n == 1:
            found += 0.5 * math.log(2 * math.pi) + 0.5 * (c[:, at.start] - q[:, at.start]) ** 2
        else:
            found -= (c[:, at] * jax.nn.log_softmax(q[:, at])).sum(1)
    return found


def values(codes: tuple[int, ...], i: int) -> np.ndarray:
    """What a walk over code i visits: all its categories, or 10 numbers from -1 to 1; JaxganError without code i."""
    if not 0 <= i < len(codes):
        known = f"this run has {len(codes)}, numbered from 0" if codes else "a run has some with --kind infogan"
        raise JaxganError(f"there is no code {i}; {known}")
    return np.arange(codes[i]) if codes[i] > 1 else np.linspace(-1, 1, 10)


def with_code(codes: tuple[int, ...], z, i: int, chosen):
    """Latents z [n, latent] whose code i is set to what is chosen [n]: categories, or numbers in [-1, 1].

    JaxganError where there is no such code or value.
    """
    low, high = values(codes, i)[[0, -1]]
    n, chosen = codes[i], np.asarray(chosen)
    if not ((chosen >= low) & (chosen <= high) & ((n == 1) | (chosen == np.round(chosen)))).all():
        raise JaxganError(f"code {i} takes {'numbers' if n == 1 else 'whole numbers'} from {low:g} to {high:g}")
    start = z.shape[1] - sum(codes) + sum(codes[:i])
    new = chosen[:, None] if n == 1 else jax.nn.one_hot(chosen.astype(int), n)
    return z.at[:, start : start + n].set(new)
