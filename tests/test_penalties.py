"""Gradient penalties have the values that calculus gives them, and gradients of their own; weight clipping bounds."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxgan import rng
from jaxgan.nets import mlp
from jaxgan.optim import OPTIMIZERS, clip_weights
from jaxgan.penalties import PAIRED, PENALTIES, r1, r2, squared_norm, wgan_gp

B = 6


def keys(n=B, seed=0):
    return rng.examples(rng.root(seed), n)


def examples(shape, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


REAL, FAKE = examples((B, 4, 4, 3)), examples((B, 4, 4, 3), 1)
W = examples((4, 4, 3), 2) / 3


def constant(x):
    return jnp.full(len(x), 3.0)


def linear(x, w=W):
    return (x * w).sum((1, 2, 3)) + 5


def quadratic(x):
    """Its gradient is 2 a x with a = W**2."""
    return (W**2 * x**2).sum((1, 2, 3))


def square(x):
    return (x**2).sum((1, 2, 3))


AT_CONSTANT = {"r1": 0.0, "r2": 0.0, "wgan_gp": 1.0}
NORM2 = float(square(W[None])[0])
AT_LINEAR = {"r1": NORM2 / 2, "r2": NORM2 / 2, "wgan_gp": (NORM2**0.5 - 1) ** 2}


def test_every_penalty_is_covered():
    assert set(AT_CONSTANT) == set(AT_LINEAR) == set(PENALTIES)
    assert {"wgan_gp"} == PAIRED, "these compare real and generated examples row by row"


@pytest.mark.parametrize("name", sorted(PENALTIES))
def test_constant_and_linear_discriminators(name):
    for score, expected in ((constant, AT_CONSTANT), (linear, AT_LINEAR)):
        terms = PENALTIES[name](score, REAL, FAKE, keys())
        np.testing.assert_allclose(terms, np.full(B, expected[name]), rtol=2e-5, atol=1e-5)


def test_a_linear_critic_of_unit_norm_satisfies_wgan_gp():
    terms = wgan_gp(lambda x: linear(x, W / NORM2**0.5), REAL, FAKE, keys())
    np.testing.assert_allclose(terms, np.zeros(B), atol=1e-10)


def test_quadratic_discriminator():
    """1/2 ||2 a x||^2 at the examples of its own side, and only there; the 1/2 is part of the definition."""
    for penalty, x in ((r1, REAL), (r2, FAKE)):
        np.testing.assert_allclose(penalty(quadratic, REAL, FAKE, keys()), 2 * square(W**2 * x), rtol=1e-5)
        np.testing.assert_allclose(squared_norm(quadratic, x), 4 * square(W**2 * x), rtol=1e-5)


def test_unequal_numbers_of_examples():
    assert r1(square, REAL[:2], FAKE, keys()).shape == (2,)
    np.testing.assert_array_equal(r2(square, REAL[:2], FAKE, keys()), r2(square, REAL, FAKE, keys()))


def where(key, n=B):
    """Where wgan_gp looks, a in [0, 1] between real (0) and generated (3), from its value for D = (x + 1)^2 / 2."""
    real, fake = jnp.zeros((n, 1)), jnp.full((n, 1), 3.0)
    terms = np.asarray(wgan_gp(lambda x: 0.5 * (x[:, 0] + 1) ** 2, real, fake, key))  # ||grad|| - 1 = x
    return np.sqrt(terms) / 3


def test_interpolation_is_uniform_and_belongs_to_the_example():
    a = where(keys(2000), 2000)
    assert len(np.unique(a)) > 1990, "every example has its own point"
    assert a.min() >= 0 and a.max() <= 1 + 1e-6
    np.testing.assert_allclose(np.histogram(a, 10, (0, 1.000001))[0], 200, atol=5 * np.sqrt(180))
    np.testing.assert_allclose(a[:7], where(keys(7), 7), atol=1e-6)
    assert (np.abs(a[:50] - where(keys(50, seed=1), 50)) > 1e-3).mean() > 0.9
    np.testing.assert_allclose(a[:7][::-1], where(keys(7)[::-1], 7), atol=1e-6)  # the key's, not the row's


def test_interpolation_moves_all_of_an_example_together():
    """Between 0 and a vector v every point is a v: one number per example, not one per coordinate."""
    v = examples((B, 4, 4, 3), 5)
    seen = []
    wgan_gp(lambda x: (seen.append(jax.lax.stop_gradient(x)), square(x))[1], jnp.zeros_like(v), v, keys())
    ratio = np.asarray(seen[0].primal if hasattr(seen[0], "primal") else seen[0]) / v
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[:, :1, :1, :1], v.shape), rtol=1e-5)


@pytest.mark.parametrize("name", sorted(PENALTIES))
@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e-8, 1e4])
def test_gradient_is_finite_however_flat_the_discriminator(name, scale):
    def total(w):
        return PENALTIES[name](lambda x: linear(x, w), REAL, FAKE, keys()).sum()

    value, grad = jax.value_and_grad(total)(jnp.full(W.shape, scale))
    assert np.isfinite(value) and np.isfinite(grad).all()
    if scale == 0:
        assert (grad == 0).all()


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("name", sorted(PENALTIES))
def test_double_backward_by_finite_differences(name, classes):
    """The gradient in D's parameters, through the gradient in its input, along random directions in float64."""
    with jax.enable_x64(True):
        net = mlp.discriminator((4, 4, 3), 7, 2, classes)
        real, fake, y = REAL.astype(np.float64), FAKE.astype(np.float64), jnp.arange(B) % 3 if classes else None
        params, _ = net.init(rng.root(0), real, y)
        flat, build = jax.flatten_util.ravel_pytree(jax.tree.map(lambda p: jnp.asarray(p, jnp.float64), params))

        @jax.jit
        def total(flat):
            score = lambda x: net.apply(build(flat), {}, x, y, train=True)[0]  # noqa: E731
            return PENALTIES[name](score, real, fake, keys()).mean()

        grad, h = jax.grad(total)(flat), 1e-6
        assert jnp.linalg.norm(grad) > 1e-2
        for direction in examples((5, len(flat)), 3, np.float64):
            numeric = (total(flat + h * direction) - total(flat - h * direction)) / (2 * h)
            np.testing.assert_allclose(grad @ direction, numeric, rtol=1e-6, atol=1e-8)


@given(st.floats(1e-3, 1.0), st.sampled_from(sorted(OPTIMIZERS)), st.integers(0, 100))
def test_clipping_bounds_every_weight(bound, name, seed):
    hp = {"b1": 0.5, "b2": 0.9}
    tx = optax.chain(OPTIMIZERS[name](1.0, hp), clip_weights(jnp.float32(bound)))
    params = {"w": examples((4, 3), seed), "b": examples((3,), seed + 1)}
    state = tx.init(params)
    for i in range(2):
        grads = jax.tree.map(lambda p, i=i: examples(p.shape, seed + 7 * i), params)
        updates, state = tx.update(grads, state, params)
        params = optax.apply_updates(params, updates)
    largest = max(float(abs(p).max()) for p in params.values())
    # Optax adds a difference, which rounds once: from within the bound the error is at most one unit of it
    assert largest <= bound * (1 + 2**-22)
    assert largest > 0.9 * bound, "with steps this large some weight stands at the bound"


def test_clipping_leaves_what_is_inside_alone_and_0_is_off():
    params, grads = {"w": examples((50,)) / 10}, {"w": examples((50,), 1)}
    plain, _ = optax.sgd(0.01).update(grads, optax.sgd(0.01).init(params), params)
    for bound in (0.0, 10.0):
        tx = optax.chain(optax.sgd(0.01), clip_weights(jnp.float32(bound)))
        updates, _ = jax.jit(tx.update)(grads, tx.init(params), params)
        np.testing.assert_allclose(updates["w"], plain["w"], atol=0 if bound == 0 else 1e-7)


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_optimizers_minimise_and_use_their_rate(name):
    hp = {"b1": 0.5, "b2": 0.9}
    w = {lr: np.ones(3, np.float32) for lr in (0.0, 0.01, 0.02)}
    for lr in w:
        tx = OPTIMIZERS[name](lr, hp)
        state = tx.init(w[lr])
        for _ in range(5):
            updates, state = tx.update(2 * w[lr], state, w[lr])
            w[lr] = optax.apply_updates(w[lr], updates)
    assert (w[0.0] == 1).all()
    assert (w[0.02] < w[0.01]).all() and (w[0.01] < 1).all()


def test_adam_uses_its_betas():
    """The first step is lr in size whatever the betas; the second tells them apart, by Kingma and Ba's algorithm 1."""
    for b1, b2 in ((0.0, 0.9), (0.5, 0.999), (0.9, 0.99)):
        tx, w, m, v = OPTIMIZERS["adam"](0.1, {"b1": b1, "b2": b2}), 1.0, 0.0, 0.0
        p = jnp.float32(w)
        state = tx.init(p)
        for t, g in enumerate((1.0, -3.0, 0.5), 1):
            updates, state = tx.update(jnp.float32(g), state, p)
            p = optax.apply_updates(p, updates)
            m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
            w -= 0.1 * (m / (1 - b1**t)) / ((v / (1 - b2**t)) ** 0.5 + 1e-8)
            np.testing.assert_allclose(p, w, rtol=1e-5)
