"""Losses equal their formulas, pull the right way, stay finite, and have the optimum that theory gives them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from densities import LN2, P_DENSITY, Q_DENSITY, W, alpha_star, alpha_t, log, logits
from jaxgan.errors import JaxganError
from jaxgan.losses import BANDWIDTHS, LOSSES, value
from jaxgan.theory import divergence

NAMES = sorted(set(LOSSES) - {"own"})  # a place that the user fills


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


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
        lambda r, f: (0 * r, -log(sigmoid(f - r))),
    ),
    "klgan": (
        lambda r, f: (-log(sigmoid(r)), -log(1 - sigmoid(f))),
        lambda r, f: (0 * r, -log(sigmoid(f) / (1 - sigmoid(f)))),
    ),
    "ragan": (
        lambda r, f: (-log(sigmoid(r - f.mean())), -log(1 - sigmoid(f - r.mean()))),
        lambda r, f: (-log(1 - sigmoid(r - f.mean())), -log(sigmoid(f - r.mean()))),
    ),
    "rahinge": (
        lambda r, f: (relu(1 - (r - f.mean())), relu(1 + (f - r.mean()))),
        lambda r, f: (relu(1 + (r - f.mean())), relu(1 - (f - r.mean()))),
    ),
    "ralsgan": (
        lambda r, f: ((r - f.mean() - 1) ** 2, (f - r.mean() + 1) ** 2),
        lambda r, f: ((r - f.mean() + 1) ** 2, (f - r.mean() - 1) ** 2),
    ),
    "mmd": (lambda r, f: tuple(-t for t in discrepancy(r, f)), lambda r, f: discrepancy(r, f)),
}


def discrepancy(r, f):
    """Example by example: mean kernel with the others of its side, less that with the other side."""

    def k(a, b):
        return np.mean([np.exp(-((a - b) ** 2) / (2 * s * s)) for s in (1, 2, 4, 8, 16)])

    def one(own, i, other):
        same = [k(own[i], own[j]) for j in range(len(own)) if j != i]
        return np.mean(same) - np.mean([k(own[i], x) for x in other])

    return (
        np.array([one(r, i, f) for i in range(len(r))]),
        np.array([one(f, i, r) for i in range(len(f))]),
    )


# name: activation T(v) and conjugate f*(t), as in table 6 and table 2 of Nowozin et al. 2016, arXiv 1606.00709
F_GANS = {
    "f_kl": (lambda v: v, lambda t: np.exp(t - 1)),
    "f_reverse_kl": (lambda v: -np.exp(-v), lambda t: -1 - log(-t)),
    "f_pearson": (lambda v: v, lambda t: t**2 / 4 + t),
    "f_hellinger": (lambda v: 1 - np.exp(-v), lambda t: t / (1 - t)),
    "f_js": (lambda v: LN2 - log(1 + np.exp(-v)), lambda t: -log(2 - np.exp(t))),
    "f_alpha": (lambda v: alpha_t(v, 0.5), lambda t: alpha_star(t, 0.5)),
}


def f_gan(t, star):
    return lambda r, f: (-t(r), star(t(f))), lambda r, f: (0 * r, -star(t(f)))


FORMULAS |= {name: f_gan(*pair) for name, pair in F_GANS.items()}
# (D, G) at r = f = 0
AT_ZERO = {
    "minimax": (2 * LN2, -LN2),
    "ns": (2 * LN2, LN2),
    "lsgan": (0.5, 0.5),
    "wasserstein": (0.0, 0.0),
    "hinge": (2.0, 0.0),
    "rpgan": (LN2, LN2),
    "klgan": (2 * LN2, 0.0),
    "ragan": (2 * LN2, 2 * LN2),
    "rahinge": (2.0, 2.0),
    "ralsgan": (2.0, 2.0),
    "f_kl": (np.exp(-1), -np.exp(-1)),
    "f_reverse_kl": (0.0, 1.0),
    "f_alpha": (-2 + LN2 + 4 / LN2 - 2, 2 - 4 / LN2),
    **dict.fromkeys(("f_pearson", "f_hellinger", "f_js", "mmd"), (0.0, 0.0)),
}
# (D, G) at r = 2, f = -1
AT_A_POINT = {
    "minimax": (0.4401897, -0.3132617),
    "ns": (0.4401897, 1.3132617),
    "lsgan": (1.0, 2.0),
    "wasserstein": (-3.0, 1.0),
    "hinge": (0.0, 1.0),
    "rpgan": (0.0485874, 3.0485874),
    "klgan": (0.4401897, 1.0),
    "ragan": (0.0971747, 6.0971747),
    "rahinge": (0.0, 8.0),
    "ralsgan": (8.0, 32.0),
    "f_kl": (-1.8646647, -0.1353353),
    "f_reverse_kl": (-1.8646647, 2.0),
    "f_pearson": (-2.75, 0.75),
    "f_hellinger": (-1.4967853, 0.6321206),
    "f_js": (-0.9461047, 0.3798855),
    "f_alpha": (-0.8272206, -1.0458514),
    "mmd": (-0.7978885, 0.7978885),
}


def test_every_loss_is_covered():
    assert set(FORMULAS) == set(AT_ZERO) == set(AT_A_POINT) == set(NAMES)
    assert BANDWIDTHS == (1, 2, 4, 8, 16)


@pytest.mark.parametrize("name", NAMES)
def test_equals_its_formula(name, float64):
    r, f = logits()
    found = jax.jit(lambda r, f: (LOSSES[name].d(r, f), LOSSES[name].g(r, f)))(r, f)
    for ours, formula in zip(found, FORMULAS[name], strict=True):
        for term, expected in zip(ours, formula(r, f), strict=True):
            assert term.shape == expected.shape
            np.testing.assert_allclose(term, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("at", "table"), [((0.0, 0.0), AT_ZERO), ((2.0, -1.0), AT_A_POINT)], ids=["zero", "point"])
def test_golden(name, at, table):
    """A change here is a change of a loss's definition: numbers from before it can no longer be compared."""
    r, f = (np.full(3, x, np.float32) for x in at)
    found = jax.jit(lambda r, f: [value(side(r, f), 3, 3) for side in (LOSSES[name].d, LOSSES[name].g)])(r, f)
    np.testing.assert_allclose(found, table[name], atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("side", ["d", "g"])
def test_gradient_by_finite_differences(name, side, float64):
    r, f = logits(12, seed=1)
    x, h = np.concatenate([r, f]), 1e-6
    loss = jax.jit(jax.value_and_grad(lambda x: value(getattr(LOSSES[name], side)(x[:12], x[12:]), 12, 12)))
    numeric = [(loss(x + h * e)[0] - loss(x - h * e)[0]) / (2 * h) for e in np.eye(24)]
    np.testing.assert_allclose(loss(x)[1], np.asarray(numeric), atol=1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_pulls_logits_the_right_way(name):
    r = f = np.zeros(4, np.float32)
    d = jax.jit(jax.grad(lambda r, f: value(LOSSES[name].d(r, f), 4, 4), (0, 1)))(r, f)
    pull = jax.jit(jax.grad(lambda f: value(LOSSES[name].g(r, f), 4, 4)))
    g = pull(f)
    if name == "mmd":  # it tells the sides apart, whichever is the higher: G draws its own towards the real ones
        assert (pull(f - 1) < 0).all() and (pull(f + 1) > 0).all()
        return
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


def test_which_losses_ignore_a_shift_of_all_logits(float64):
    """The relativistic ones, for both players; wasserstein's D, as real and generated examples are equally many."""
    r, f = (jnp.asarray(x) for x in logits())
    free = {name: [True, True] for name in ("rpgan", "ragan", "rahinge", "ralsgan", "mmd")}
    for name in NAMES:
        loss = LOSSES[name]
        moved = [float(value(side(r + 3, f + 3), 40, 40) - value(side(r, f), 40, 40)) for side in (loss.d, loss.g)]
        still = [abs(m) < 1e-12 for m in moved]
        assert still == free.get(name, [True, False] if name == "wasserstein" else [False, False]), name
        assert loss.paired == (name in ("rpgan", "mmd"))


def test_a_named_target_smooths_one_side(float64):
    """Cross-entropy with the target for real examples, and no other term: 0.875 is TF-GAN's label_smoothing=0.25."""
    r, f = logits()
    expected = -(0.875 * log(sigmoid(r)) + 0.125 * log(1 - sigmoid(r)))
    for name in ("minimax", "ns", "klgan"):
        plain = LOSSES[name].d(r, f)
        real, fake = LOSSES[name].d(r, f, real_target=0.875)
        np.testing.assert_allclose(real, expected, rtol=1e-9)
        np.testing.assert_array_equal(fake, plain[1])
        slope = jax.grad(lambda r, d=LOSSES[name].d: d(r, r, real_target=0.875)[0])(jnp.log(7.0))
        assert abs(slope) < 1e-12, "D is best at its target, sigmoid(log 7) = 7/8"


def test_least_squares_targets(float64):
    """a, b and c of Mao et al. 2017; with a = -1, b = 1, c = 0 the value at D's optimum is a Pearson chi-square."""
    r, f = logits()
    real, fake = LOSSES["lsgan"].d(r, f, real_target=3.0, fake_target=-2.0)
    np.testing.assert_allclose(real, 0.5 * (r - 3) ** 2)
    np.testing.assert_allclose(fake, 0.5 * (f + 2) ** 2)
    np.testing.assert_allclose(LOSSES["lsgan"].g(r, f, g_target=7.0)[1], 0.5 * (f - 7) ** 2)
    best = (P_DENSITY - Q_DENSITY) / (P_DENSITY + Q_DENSITY)
    # equation 8: 2 C(G) is the chi-square of 2 q against p + q, each of mass 2
    found = (W * (P_DENSITY + Q_DENSITY) * LOSSES["lsgan"].g(best, best, g_target=0.0)[1]).sum()
    chi2 = divergence.chi2(log(2 * Q_DENSITY), log(P_DENSITY + Q_DENSITY), W)
    np.testing.assert_allclose(2 * found, chi2, rtol=1e-9)


def test_gathered_logits_make_the_loss_of_the_whole_batch(float64):
    """Halves that know all logits give the terms of the whole, which halves alone do not."""
    r, f = (jnp.asarray(x) for x in logits())
    for name in NAMES:
        loss = LOSSES[name]
        assert loss.gathers == (name in ("ragan", "rahinge", "ralsgan", "mmd"))
        for side in (loss.d, loss.g) if loss.gathers else ():
            whole = side(r, f)
            for half in (slice(0, 20), slice(20, 40)):
                mine = r[half], f[half]
                gather = lambda x, mine=mine: r if x is mine[0] else f  # noqa: E731
                for ours, all in zip(side(*mine, gather=gather), whole):
                    np.testing.assert_allclose(ours, all[half], rtol=1e-9, atol=1e-12)
                assert abs(side(*mine)[1] - whole[1][half]).max() > 1e-3


def test_the_place_for_an_own_loss_says_what_to_do():
    for side in (LOSSES["own"].d, LOSSES["own"].g):
        with pytest.raises(JaxganError, match=r"LOSSES\['own'\] = Loss\(d, g\)"):
            side(jnp.zeros(2), jnp.zeros(2))


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


@pytest.mark.parametrize("name", ["minimax", "ns", "klgan", "lsgan"])
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
