"""The f-GAN losses: the optimal critic attains the divergence, and a trained one comes near it."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from densities import LN2, P_DENSITY, Q_DENSITY, W, X, alpha_star, alpha_t, log, logits
from jaxgan import rng
from jaxgan.config import Config
from jaxgan.losses import LOSSES
from jaxgan.nets import mlp
from jaxgan.theory import divergence
from jaxgan.types import Spec

RATIO = P_DENSITY / Q_DENSITY


def inverse_log_softplus(s):
    """v with log(1 + e^-v) = s."""
    return -(s + log(-np.expm1(-s)))


# T(v) = f'(p / q) solved for the logit v, and the divergence in the convention of theory/divergence.py
OPTIMA = {
    "f_kl": (1 + log(RATIO), divergence.kl, 1, 0),
    "f_reverse_kl": (log(RATIO), divergence.reverse_kl, 1, 0),
    "f_pearson": (2 * (RATIO - 1), divergence.chi2, 1, 0),
    "f_hellinger": (log(RATIO) / 2, divergence.hellinger, 2, 0),
    "f_js": (log(RATIO), divergence.jsd, 2, 0),
    "f_alpha": (inverse_log_softplus(2 * RATIO**-0.5), partial(divergence.alpha, a=0.5), 1, 0),
    "minimax": (log(RATIO), divergence.jsd, 2, -2 * LN2),  # the member that the paper calls GAN
}


def bound(name, v):
    """E_p T - E_q f*(T) for logits v at the nodes: minus D's loss."""
    real, fake = LOSSES[name].d(v, v)
    return -(W * (P_DENSITY * real + Q_DENSITY * fake)).sum()


def f_divergence(name):
    _, function, factor, offset = OPTIMA[name]
    return float(factor * function(log(P_DENSITY), log(Q_DENSITY), W) + offset)


@pytest.mark.parametrize("name", sorted(OPTIMA))
def test_the_optimal_critic_attains_the_f_divergence(name, float64):
    """And no other exceeds it: Nowozin et al. 2016, equation 4. G's loss is the part of the bound that it moves."""
    best, expected = OPTIMA[name][0], f_divergence(name)
    np.testing.assert_allclose(bound(name, best), expected, rtol=1e-6)
    for wrong in (best + 0.1, best - 0.1, 1.1 * best, best + 0.1 * np.sin(X)):
        assert bound(name, wrong) < expected
    d, g = LOSSES[name].d(best, best)[1], LOSSES[name].g(best, best)[1]
    np.testing.assert_array_equal(g, -d)


@pytest.mark.parametrize("alpha", [1e-3, 0.1, 0.3, 0.5, 0.8, 0.9, 0.999])
def test_alpha_divergences(alpha, float64):
    """The literal formulas; the value that D's optimum attains; and the divergences between which it runs."""
    loss, (r, f) = LOSSES["f_alpha"], logits()
    low = f[alpha / (1 - alpha) * -log((1 - alpha) * log(1 + np.exp(-f))) < 19]  # before the tangent
    np.testing.assert_allclose(loss.d(r, r, alpha=alpha)[0], -alpha_t(r, alpha), rtol=1e-9)
    np.testing.assert_allclose(loss.d(low, low, alpha=alpha)[1], alpha_star(alpha_t(low, alpha), alpha), rtol=1e-7)
    np.testing.assert_array_equal(loss.g(low, low, alpha=alpha)[1], -loss.d(low, low, alpha=alpha)[1])
    args = log(P_DENSITY), log(Q_DENSITY), W
    expected = divergence.alpha(*args, alpha)
    if alpha in (1e-3, 0.999):
        limit = divergence.reverse_kl(*args) if alpha < 0.5 else divergence.kl(*args)
        np.testing.assert_allclose(expected, limit, rtol=1e-2)
    if alpha == 0.5:
        np.testing.assert_allclose(expected, 4 * divergence.hellinger(*args), rtol=1e-9)
    narrow = abs(X) < 6  # beyond, the critic of alpha near 1 has logits that no float64 tells apart
    v = inverse_log_softplus(RATIO[narrow] ** (alpha - 1) / (1 - alpha))
    real, fake = loss.d(v, v, alpha=alpha)
    found = -(W[narrow] * (P_DENSITY[narrow] * real + Q_DENSITY[narrow] * fake)).sum()
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16], ids=["float32", "bfloat16"])
def test_alpha_divergences_are_finite_at_any_logit(dtype):
    v = jnp.asarray([0, 1, 10, 19, 20, 21, 87, 89, 104, 1e3, 1e4], dtype)
    for alpha in (0.01, 0.5, 0.9, 0.99):
        for x in (v, -v):
            for side in (LOSSES["f_alpha"].d, LOSSES["f_alpha"].g):
                both = jax.vmap(jax.value_and_grad(lambda x, side=side, a=alpha: sum(side(x, x, alpha=a))))(x)
                assert all(np.isfinite(np.asarray(out, np.float64)).all() for out in both), (alpha, both)


@pytest.mark.parametrize("name", sorted(OPTIMA))
def test_a_trained_critic_approaches_the_f_divergence(name):
    """From below, within 5 %, between N(0, 1) and N(1, 1) with a network of this package."""
    net = mlp.discriminator(Config(width=32, depth=2), Spec((1,)))
    x = jnp.asarray(X[::4, None], jnp.float32)
    params, _ = net.init(rng.root(0), x, None)
    tx = optax.adam(optax.cosine_decay_schedule(1e-2, 400))

    def loss(params):
        real, fake = LOSSES[name].d(*[net.apply(params, {}, x, None, train=True)[0]] * 2)
        return (4 * W[::4] * (P_DENSITY[::4] * real + Q_DENSITY[::4] * fake)).sum()

    def update(carry, _):
        params, state = carry
        updates, state = tx.update(jax.grad(loss)(params), state)
        return (optax.apply_updates(params, updates), state), None

    trained = jax.jit(lambda params: jax.lax.scan(update, (params, tx.init(params)), None, 400)[0][0])(params)
    v = net.apply(trained, {}, jnp.asarray(X[:, None], jnp.float32), None, train=True)[0]
    found, expected = float(bound(name, v)), f_divergence(name)
    size = expected - OPTIMA[name][3]  # of the divergence itself
    assert expected - 0.05 * size <= found <= expected + 1e-4
