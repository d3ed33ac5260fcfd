"""Gradient penalties have the values that calculus gives them, and gradients of their own; weight clipping bounds."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxgan import rng
from jaxgan.config import Config
from jaxgan.nets import mlp
from jaxgan.optim import OPTIMIZERS, balanced, clip_weights, max_norm, orthogonal, overlap, spectral
from jaxgan.penalties import PAIRED, PENALTIES, STEPPED, TARGETED, ar1, ar2, r1, r2, squared_norm, wgan_gp, wgan_lp
from jaxgan.types import Spec

B = 6
NAMES = sorted(PENALTIES.keys() - {"own"})  # a place that the user fills


def keys(n=B, seed=0):
    return rng.examples(rng.root(seed), n)


def examples(shape, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


REAL, FAKE = examples((B, 4, 4, 3)), examples((B, 4, 4, 3), 1)
W = examples((4, 4, 3), 2) / 3


def constant(x):
    return jnp.full(len(x), 3.0)


def linear(x, w=W):
    return (x * w[None]).sum((1, 2, 3)) + 5


def quadratic(x):
    """Its gradient is 2 a x with a = W**2."""
    return ((W**2)[None] * x**2).sum((1, 2, 3))


def square(x):
    return (x**2).sum((1, 2, 3))


AT_CONSTANT = {"r1": 0.0, "r2": 0.0, "wgan_gp": 1.0, "wgan_lp": 0.0, "gp0": 0.0}
NORM2 = float(square(W[None])[0])
AT_LINEAR = {"r1": NORM2 / 2, "r2": NORM2 / 2, "wgan_gp": (NORM2**0.5 - 1) ** 2}
AT_LINEAR |= {"wgan_lp": AT_LINEAR["wgan_gp"], "gp0": NORM2}  # W is longer than 1


def test_every_penalty_is_covered():
    assert set(AT_CONSTANT) == set(AT_LINEAR) == set(NAMES) - STEPPED
    assert {"wgan_gp", "wgan_lp", "gp0"} == PAIRED, "these compare real and generated examples row by row"
    assert NORM2 > 1.5


@pytest.mark.parametrize("name", sorted(AT_LINEAR))
def test_constant_and_linear_discriminators(name):
    for score, expected in ((constant, AT_CONSTANT), (linear, AT_LINEAR)):
        terms = jax.jit(lambda key, score=score: PENALTIES[name](score, REAL, FAKE, key))(keys())
        np.testing.assert_allclose(terms, np.full(B, expected[name]), rtol=2e-5, atol=1e-5)


def directions(n, shape, seed=0):
    return np.asarray(jax.vmap(lambda k: jax.random.normal(k, shape))(keys(n, seed)), np.float64)


@pytest.mark.parametrize("step", [1.0, 0.01, None])
def test_slopes_of_constant_and_linear_discriminators(step):
    """0; and half the square of w u, at any step: a direction u for each example, by its key."""
    along = (directions(B, REAL.shape[1:]) * W).sum((1, 2, 3))
    assert np.abs(along).min() > 1e-3
    for penalty in (ar1, ar2):
        np.testing.assert_array_equal(penalty(constant, REAL, FAKE, keys(), step), np.zeros(B))
        np.testing.assert_allclose(penalty(linear, REAL, FAKE, keys(), step), along**2 / 2, rtol=2e-2, atol=1e-5)


@pytest.mark.parametrize(("penalty", "exact", "side"), [(ar1, r1, 0), (ar2, r2, 1)])
def test_slopes_go_to_their_limit_and_their_mean_to_the_exact_penalty(float64, penalty, exact, side):
    """Of D = exp(w x): in float64, the error of a step falls with it, and the mean over directions is R1 or R2."""
    w = W.astype(np.float64) / 4
    pair = [np.asarray(x, np.float64)[:1].repeat(4000, 0) for x in (REAL, FAKE)]
    score = lambda x: jnp.exp((x * w[None]).sum((1, 2, 3)))  # noqa: E731
    found = {step: np.asarray(penalty(score, *pair, keys(4000), step)) for step in (1e-2, 1e-4, 1e-6, None)}
    errors = [abs(found[step] - found[None]).max() / found[None].max() for step in (1e-2, 1e-4, 1e-6)]
    assert 1e-3 < errors[0] < 0.2 and errors[1] < 2e-2 * errors[0] and errors[2] < 2e-2 * errors[1], errors
    want = np.asarray(exact(score, *(x[:1] for x in pair), keys(1)))[0]
    np.testing.assert_allclose(found[None].mean(), want, rtol=5 * np.sqrt(2 / 4000))
    alone = penalty(score, *pair, keys(4000), 1e-2, logits=score(jnp.asarray(pair[side])))
    np.testing.assert_allclose(alone, found[1e-2], rtol=1e-9)


def test_a_linear_critic_of_unit_norm_satisfies_wgan_gp():
    terms = wgan_gp(lambda x: linear(x, W / NORM2**0.5), REAL, FAKE, keys())
    np.testing.assert_allclose(terms, np.zeros(B), atol=1e-10)


@pytest.mark.parametrize("target", [0.0, 0.5, 3.0])
def test_targets_and_sides(target):
    """(s - target)^2 for a linear D of slope s; the one-sided form is 0 below the target, and the same above."""
    assert {"wgan_gp", "wgan_lp"} == TARGETED
    for slope in (0.25, 1.0, 4.0):
        score = lambda x, slope=slope: linear(x, slope * W / NORM2**0.5)  # noqa: E731
        both = lambda key: [p(score, REAL, FAKE, key, target=target) for p in (wgan_gp, wgan_lp)]  # noqa: B023, E731
        two, one = jax.jit(both)(keys())
        np.testing.assert_allclose(two, np.full(B, (slope - target) ** 2), rtol=1e-4, atol=1e-9)
        np.testing.assert_allclose(one, np.asarray(two) * (slope > target), atol=1e-9)


def test_a_pack_is_one_input():
    """Where D judges examples in pairs, the gradient's norm is that of the pair: the roots add in squares."""
    score = lambda x: linear(x).reshape(-1, 2).sum(1)  # noqa: E731
    np.testing.assert_allclose(squared_norm(score, REAL), np.full(B // 2, 2 * NORM2), rtol=1e-5)
    terms = wgan_gp(score, REAL, FAKE, keys())
    np.testing.assert_allclose(terms, np.full(B // 2, ((2 * NORM2) ** 0.5 - 1) ** 2), rtol=1e-4)


def test_wgan_gp_overestimates_the_distance_as_theory_says():
    """Between points a distance W apart the critic's best slope is 1 + W / (2 lambda): its value is W times that.

    D maximises s W - lambda (s - 1)^2 over its slope s. Here Gaussians of 1/40 of the distance, samples, and a network
    of this package: within 5 %.
    """
    distance, weight, n = 2.0, 2.0, 256
    net = mlp.discriminator(Config(width=32, depth=2), Spec((1,)))
    params, _ = net.init(rng.root(0), jnp.zeros((2, 1)), None)
    tx = optax.adam(optax.cosine_decay_schedule(3e-3, 600), b1=0.5)

    def value(score, real, fake):
        return score(real).mean() - score(fake).mean()

    def draw(key):
        return (0.05 * rng.normal(rng.stream(key, s), n, (1,)) + at for s, at in (("real", distance), ("fake", 0.0)))

    def update(carry, i):
        params, state = carry
        key = jax.random.fold_in(rng.root(1), i)
        real, fake = draw(key)

        def loss(params):
            score = lambda x: net.apply(params, {}, x, None, train=True)[0]  # noqa: E731
            return weight * wgan_gp(score, real, fake, rng.examples(key, n)).mean() - value(score, real, fake)

        updates, state = tx.update(jax.grad(loss)(params), state)
        return (optax.apply_updates(params, updates), state), None

    trained = jax.jit(lambda p: jax.lax.scan(update, (p, tx.init(p)), jnp.arange(600))[0][0])(params)
    found = value(lambda x: net.apply(trained, {}, x, None, train=True)[0], *draw(rng.root(2)))
    np.testing.assert_allclose(found, distance * (1 + distance / (2 * weight)), rtol=0.05)


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
    real, fake = np.zeros((n, 1), np.float32), np.full((n, 1), 3.0, np.float32)
    terms = jax.jit(lambda key: wgan_gp(lambda x: 0.5 * (x[:, 0] + 1) ** 2, real, fake, key))(key)  # ||grad|| - 1 = x
    return np.sqrt(np.asarray(terms)) / 3


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


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e-8, 1e4])
def test_gradient_is_finite_however_flat_the_discriminator(name, scale):
    def total(w):
        return PENALTIES[name](lambda x: linear(x, w), REAL, FAKE, keys()).sum()

    value, grad = jax.value_and_grad(total)(jnp.full(W.shape, scale))
    assert np.isfinite(value) and np.isfinite(grad).all()
    if scale == 0:
        assert (grad == 0).all()


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("name", NAMES)
def test_double_backward_by_finite_differences(name, classes):
    """The gradient in D's parameters, through the gradient in its input, along random directions in float64."""
    with jax.enable_x64(True):
        net = mlp.discriminator(Config(width=7, depth=2), Spec((4, 4, 3), classes))
        real, fake, y = REAL.astype(np.float64), FAKE.astype(np.float64), jnp.arange(B) % 3 if classes else None
        params, _ = jax.jit(net.init)(rng.root(0), real, y)
        flat, build = jax.flatten_util.ravel_pytree(jax.tree.map(lambda p: jnp.asarray(p, jnp.float64), params))

        @jax.jit
        @jax.value_and_grad
        def total(flat):
            score = lambda x: net.apply(build(flat), {}, x, y, train=True)[0]  # noqa: E731
            return PENALTIES[name](score, real, fake, keys()).mean()

        flat, grad, h = np.asarray(flat), np.asarray(total(flat)[1]), 1e-6
        assert np.linalg.norm(grad) > 1e-2
        for direction in examples((5, len(flat)), 3, np.float64):
            numeric = (total(flat + h * direction)[0] - total(flat - h * direction)[0]) / (2 * h)
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


def test_max_norm_bounds_the_weights_into_each_unit():
    """As a projection after the step: longer columns are scaled to the bound, shorter ones and biases left alone."""
    tx = optax.chain(optax.sgd(1.0), max_norm(jnp.float32(2.0)))
    params = {"kernel": np.float32([[3.0, 0.1], [4.0, 0.2]]), "bias": np.float32([9.0, 9.0])}
    zero = jax.tree.map(np.zeros_like, params)
    updates, _ = tx.update(zero, tx.init(params), params)
    new = optax.apply_updates(params, updates)
    np.testing.assert_allclose(new["kernel"], [[1.2, 0.1], [1.6, 0.2]], rtol=1e-6)
    np.testing.assert_array_equal(new["bias"], params["bias"])
    conv = {"kernel": examples((3, 3, 4, 5), 7)}
    grads = {"kernel": examples((3, 3, 4, 5), 8)}
    for bound in (1.0, 0.0):
        tx = optax.chain(optax.sgd(0.1), max_norm(jnp.float32(bound)))
        updates, _ = tx.update(grads, tx.init(conv), conv)
        moved = conv["kernel"] - 0.1 * grads["kernel"]
        size = np.sqrt((moved**2).sum((0, 1, 2)))
        expected = moved * np.minimum(1, bound / size) if bound else moved
        np.testing.assert_allclose(conv["kernel"] + updates["kernel"], expected, atol=1e-6)


def test_overlap_is_0_for_orthogonal_units_of_any_length():
    q, _ = np.linalg.qr(examples((12, 4), 3))
    w = (q * np.float32([1, 2, 3, 0.5])).astype(np.float32)
    tree = {"layer": {"kernel": w.reshape(2, 3, 2, 4), "bias": np.ones(4, np.float32)}, "table": np.ones((4, 4))}
    assert overlap(tree) < 1e-10, "biases and embeddings do not count"
    tree["layer"]["kernel"] = np.float32([[1.0, 2.0], [0.0, 1.0]])
    np.testing.assert_allclose(overlap(tree), 2 * 2.0**2)  # the product of the columns is 2, and stands there twice


def test_orthogonal_is_a_term_of_the_loss():
    params = {"kernel": examples((5, 4)), "bias": examples((4,), 1)}
    grads = {"kernel": examples((5, 4), 2), "bias": examples((4,), 3)}
    tx = optax.chain(orthogonal(jnp.float32(0.3)), optax.sgd(1.0))
    updates, _ = tx.update(grads, tx.init(params), params)
    w = params["kernel"].astype(np.float64)
    off = (w.T @ w) * (1 - np.eye(4))
    np.testing.assert_allclose(-updates["kernel"], grads["kernel"] + 0.3 * 4 * w @ off, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(-updates["bias"], grads["bias"])


def test_spectral_is_a_term_of_the_loss():
    """W moves by -weight * s v u^T, the slope of s^2 / 2, of each kernel; u comes by one iteration an update."""
    params = {"d": {"kernel": examples((2, 5, 4)), "bias": examples((4,), 1)}, "e": {"kernel": examples((3, 2), 4)}}
    grads = jax.tree.map(lambda p: 0.1 * p, params)
    tx = optax.chain(spectral(jnp.float32(0.3)), optax.sgd(1.0))
    state = tx.init(params)
    first = state[0]["d.kernel"]
    for i in range(30):
        updates, state = tx.update(grads, state, params)
        if i == 0:
            w = params["d"]["kernel"].reshape(-1, 4).astype(np.float64)
            once = w.T @ w @ first
            np.testing.assert_allclose(state[0]["d.kernel"], once / np.linalg.norm(once), atol=1e-5)
    for layer in params:
        w = params[layer]["kernel"].astype(np.float64)
        v, s, ut = np.linalg.svd(w.reshape(-1, w.shape[-1]), full_matrices=False)
        expected = grads[layer]["kernel"] + 0.3 * s[0] * np.outer(v[:, 0], ut[0]).reshape(w.shape)
        np.testing.assert_allclose(-updates[layer]["kernel"], expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(-updates["d"]["bias"], grads["d"]["bias"])


def test_balanced_gradients_have_the_ratio_asked_for():
    """TF-GAN's own example: gradients 2 and 3 at ratio 1/2 make 2 + 3 * 2 / (3 / 2)."""
    assert balanced(jnp.float32(2), jnp.float32(3), 0.5) == pytest.approx(2 + 3 * 2 / 1.5, rel=1e-5)
    main, other = {"a": examples((3,)), "b": examples((2, 2), 1)}, {"a": examples((3,), 2), "b": examples((2, 2), 3)}
    part = jax.tree.map(jnp.subtract, balanced(main, other, 4.0), main)
    np.testing.assert_allclose(optax.tree.norm(main) / optax.tree.norm(part), 4.0, rtol=1e-5)
    cosine = sum(jax.tree.leaves(jax.tree.map(lambda a, b: (a * b).sum(), part, other)))
    np.testing.assert_allclose(cosine, optax.tree.norm(part) * optax.tree.norm(other), rtol=1e-5)
    for size in (1e-12, 1e19, 1e30):  # whose squares have no place in float32
        part = balanced(np.full(3, size, np.float32), np.full(3, -2 * size, np.float32), 4.0)
        np.testing.assert_allclose(part, 0.75 * size, rtol=1e-4 if size > 1 else 1)  # eps is felt at 1e-12
    same = balanced(main, jax.tree.map(np.zeros_like, other), 1.0)
    jax.tree.map(np.testing.assert_array_equal, same, main)


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
