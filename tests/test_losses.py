"""Losses equal their formulas, pull the right way, stay finite, and have the optimum that theory gives them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxgan.losses import LOSSES, value

LN2 = np.log(2)
NAMES = sorted(LOSSES)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def log(x):
    return np.log(x)


def relu(x):
    return np.where(x > 0, x, 0)


# name: (D's terms of real, of fake), (G's terms of real, of fake), as the papers write them
FORMULAS = {
    "minimax": (
        lambda r, f: (-log(sigmoid(r)), -log(1 - sigmoid(f))),
        lambda r, f: (0 * r, log(1 - sigmoid(f))),
    ),
    "ns": (
        lambda r, f: (-log(sigmoid(r)), -log(1 - sigmoid(f))),
        lambda r, f: (0 * r, -log(sigmoid(f))),
    ),
    "lsgan": (
        lambda r, f: ((r - 1) ** 2 / 2, (f - 0) ** 2 / 2),
        lambda r, f: (0 * r, (f - 1) ** 2 / 2),
    ),
    "wasserstein": (lambda r, f: (-r, f), lambda r, f: (0 * r, -f)),
    "hinge": (lambda r, f: (relu(1 - r), relu(1 + f)), lambda r, f: (0 * r, -f)),
    "rpgan": (
        lambda r, f: (-log(sigmoid(r - f)), 0 * f),
        lambda r, f: (-log(sigmoid(f - r)), 0 * f),
    ),
}
# (D, G) at r = f = 0
AT_ZERO = {
    "minimax": (2 * LN2, -LN2),
    "ns": (2 * LN2, LN2),
    "lsgan": (0.5, 0.5),
    "wasserstein": (0.0, 0.0),
    "hinge": (2.0, 0.0),
    "rpgan": (LN2, LN2),
}
# (D, G) at r = 2, f = -1
AT_A_POINT = {
    "minimax": (0.4401897, -0.3132617),
    "ns": (0.4401897, 1.3132617),
    "lsgan": (1.0, 2.0),
    "wasserstein": (-3.0, 1.0),
    "hinge": (0.0, 1.0),
    "rpgan": (0.0485874, 3.0485874),
}


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


def logits(n=40, seed=0):
    return np.random.default_rng(seed).uniform(-6, 6, (2, n))


def test_every_loss_is_covered():
    assert set(FORMULAS) == set(AT_ZERO) == set(AT_A_POINT) == set(LOSSES)


@pytest.mark.parametrize("name", NAMES)
def test_equals_its_formula(name, float64):
    r, f = logits()
    for side in (0, 1):
        ours = (LOSSES[name].d, LOSSES[name].g)[side](jnp.asarray(r), jnp.asarray(f))
        for term, expected in zip(ours, FORMULAS[name][side](r, f), strict=True):
            assert term.shape == expected.shape
            np.testing.assert_allclose(term, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("at", "table"), [((0.0, 0.0), AT_ZERO), ((2.0, -1.0), AT_A_POINT)], ids=["zero", "point"])
def test_golden(name, at, table):
    """A change here is a change of a loss's definition: numbers from before it can no longer be compared."""
    r, f = (jnp.full(3, x) for x in at)
    found = [float(value(side(r, f), 3, 3)) for side in (LOSSES[name].d, LOSSES[name].g)]
    np.testing.assert_allclose(found, table[name], atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("side", ["d", "g"])
def test_gradient_by_finite_differences(name, side, float64):
    r, f = logits(12, seed=1)
    x = jnp.asarray(np.concatenate([r, f]))
    loss = jax.jit(lambda x: value(getattr(LOSSES[name], side)(x[:12], x[12:]), 12, 12))
    h = 1e-6
    numeric = [(loss(x.at[i].add(h)) - loss(x.at[i].add(-h))) / (2 * h) for i in range(24)]
    np.testing.assert_allclose(jax.grad(loss)(x), numeric, atol=1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_pulls_logits_the_right_way(name):
    r, f = (jnp.zeros(4) for _ in range(2))
    d = jax.grad(lambda r, f: value(LOSSES[name].d(r, f), 4, 4), (0, 1))(r, f)
    g = jax.grad(lambda f: value(LOSSES[name].g(r, f), 4, 4))(f)
    assert (d[0] < 0).all(), "D wants real logits up"
    assert (d[1] > 0).all() or name == "lsgan", "and generated ones down"
    assert (g < 0).all(), "G wants generated logits up"
    if name == "lsgan":  # at 0 the generated logits are where D wants them
        assert (d[1] == 0).all() and (jax.grad(lambda f: LOSSES[name].d(r, f)[1].sum())(f + 0.1) > 0).all()


def both(name):
    """(r, f) -> D's and G's loss of one pair and its gradients in both logits."""
    loss = LOSSES[name]

    def one(side):
        return jax.value_and_grad(lambda r, f: value(side(r[None], f[None]), 1, 1), (0, 1))

    return jax.jit(lambda r, f: (one(loss.d)(r, f), one(loss.g)(r, f)))


BOTH = {name: both(name) for name in NAMES}
EXTREME = st.floats(-1e4, 1e4, width=32)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16], ids=["float32", "bfloat16"])
@settings(max_examples=50)
@given(r=EXTREME, f=EXTREME)
def test_finite_at_any_logit(name, dtype, r, f):
    for number in jax.tree.leaves(BOTH[name](jnp.asarray(r, dtype), jnp.asarray(f, dtype))):
        assert number.dtype == dtype
        assert np.isfinite(float(number))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("far", [-1e4, 1e4])
def test_saturates_where_it_should(name, far):
    """Far from the goal only minimax's G has no gradient: that is why ns exists."""
    (_, d), (_, g) = BOTH[name](jnp.float32(-far), jnp.float32(far))
    wrong = far > 0  # D is wrong about both
    steep = {"minimax", "ns", "hinge", "rpgan"}
    if name in steep:
        assert (abs(d[0]) >= 1) == (abs(d[1]) >= 1) == wrong
    if name in {"minimax", "ns", "rpgan"}:
        assert (abs(g[1]) >= 1) == (wrong if name == "minimax" else not wrong)


def test_only_rpgan_ignores_a_shift_of_all_logits(float64):
    """For D, that is; wasserstein ignores it too, as real and generated examples are equally many."""
    r, f = (jnp.asarray(x) for x in logits())
    for name, loss in LOSSES.items():
        moved = [float(value(side(r + 3, f + 3), 40, 40) - value(side(r, f), 40, 40)) for side in (loss.d, loss.g)]
        still = [abs(m) < 1e-12 for m in moved]
        assert still == {"rpgan": [True, True], "wasserstein": [True, False]}.get(name, [False, False]), name
        assert loss.paired == (name == "rpgan")


@settings(max_examples=50)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 1000))
def test_every_example_weighs_the_same(m, n, seed):
    rs = np.random.default_rng(seed)
    real, fake = rs.normal(size=m).astype(np.float32), rs.normal(size=n).astype(np.float32)
    found = float(value((real, fake), m, n))
    np.testing.assert_allclose(found, 2 * np.concatenate([real, fake]).mean(dtype=np.float64), atol=1e-5)
    if m == n:
        np.testing.assert_allclose(found, real.mean(dtype=np.float64) + fake.mean(dtype=np.float64), atol=1e-5)


def test_a_share_of_the_batch_weighs_by_the_whole_batch():
    """Devices hold 2 of 8 real and 3 of 12 generated examples: the mean over devices is the loss of the whole."""
    real, fake = np.arange(8.0, dtype=np.float32), 10 * np.arange(12.0, dtype=np.float32)
    parts = [value((real[2 * i : 2 * i + 2], fake[3 * i : 3 * i + 3]), 8, 12) for i in range(4)]
    np.testing.assert_allclose(np.mean(parts), value((real, fake), 8, 12), rtol=1e-6)


P, Q = (1, 2, 5, 0), (4, 1, 0, 1)  # how often each of four points is drawn: 8 real, 6 generated


def newton(name):
    """D's logit at each of the four points after Newton's method on the loss of the sample."""
    xr, xf = np.repeat(np.arange(4), P), np.repeat(np.arange(4), Q)
    loss = lambda t: value(LOSSES[name].d(t[xr], t[xf]), len(xr), len(xf)) + 1e-9 * (t**2).sum()  # noqa: E731
    step = jax.jit(lambda t: t - jnp.clip(jax.grad(loss)(t) / jnp.diag(jax.hessian(loss)(t)), -2, 2))
    t = jnp.zeros(4)
    for _ in range(60):
        t = step(t)
    return np.asarray(t)


@pytest.mark.parametrize("name", ["minimax", "ns", "lsgan"])
def test_optimal_discriminator(name, float64):
    """D* = alpha p / (alpha p + (1 - alpha) q) with alpha = m / (m + n), Goodfellow et al. 2014, proposition 1."""
    m, n = sum(P), sum(Q)
    p, q, alpha = np.array(P) / m, np.array(Q) / n, m / (m + n)
    expected = alpha * p / (alpha * p + (1 - alpha) * q)
    t = newton(name)
    found = t if name == "lsgan" else sigmoid(t)
    np.testing.assert_allclose(
        found, expected, atol=1e-6
    )  # the quadratic term, which bounds the logits, moves it by 1e-7


def test_minimax_is_one_game_of_opposite_sides(float64):
    """G's gradient is minus that of D's loss, for any numbers of examples."""
    r, f = jnp.asarray(logits()[0]), jnp.asarray(logits()[1][:24])
    loss = LOSSES["minimax"]
    d = jax.grad(lambda f: value(loss.d(r, f), 40, 24))(f)
    g = jax.grad(lambda f: value(loss.g(r, f), 40, 24))(f)
    assert (d != 0).all()
    np.testing.assert_array_equal(g, -d)


def test_minimax_and_ns_have_the_same_fixed_points_but_not_the_same_slope(float64):
    """Both G gradients have one sign at every logit; their ratio is D / (1 - D)."""
    f = jnp.linspace(-5, 5, 11)
    slope = {n: jax.grad(lambda f, n=n: LOSSES[n].g(f, f)[1].sum())(f) for n in ("minimax", "ns")}
    np.testing.assert_allclose(slope["minimax"] / slope["ns"], np.exp(f), rtol=1e-9)
