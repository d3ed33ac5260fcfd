"""Theorems as numbers: closed forms, identities and optimality, with tolerances of quadrature in float64."""

import runpy
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.theory import divergence, value
from jaxgan.theory.divergence import DIVERGENCES, gauss_legendre

X, W = gauss_legendre(-40, 40, 800)
EXACT = 1e-9  # 8000 nodes of order 10: what is left is rounding


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def normal(m, s, x=X):
    return -0.5 * ((x - m) / s) ** 2 - np.log(s * np.sqrt(2 * np.pi))


def mixture(weights, means, stds):
    return np.logaddexp.reduce([np.log(a) + normal(m, s) for a, m, s in zip(weights, means, stds)])


def discrete(probabilities):
    with np.errstate(divide="ignore"):
        return np.log(np.array(probabilities))


PAIRS = {  # log p, log q, weights
    "gaussians": (normal(0, 1), normal(1.5, 0.7), W),
    "far gaussians": (normal(-9, 1), normal(9, 1), W),
    "mixtures": (mixture([0.3, 0.7], [-2, 1], [0.5, 1]), mixture([0.5, 0.5], [0, 4], [1, 2]), W),
    "discrete": (discrete([0.5, 0.25, 0.125, 0.125]), discrete([0.1, 0.2, 0.3, 0.4]), np.ones(4)),
    "discrete with gaps": (discrete([0.5, 0.5, 0, 0]), discrete([0, 0.5, 0.25, 0.25]), np.ones(4)),
}


@pytest.mark.parametrize("gaussians", [(0, 1, 1.5, 0.9), (-1, 2, 0.5, 2), (0, 0.5, 0, 1)])
def test_closed_forms_of_gaussians(gaussians):
    m0, s0, m1, s1 = gaussians
    forms = divergence.gaussian(*gaussians)
    for name in forms.keys() & DIVERGENCES.keys():
        found = DIVERGENCES[name](normal(m0, s0), normal(m1, s1), W)
        assert float(found) == pytest.approx(forms[name], abs=EXACT), name
    line = np.linspace(-20, 20, 40_001)
    found = divergence.wasserstein(line, normal(m0, s0, line), normal(m1, s1, line), order=2)
    assert found == pytest.approx(forms["wasserstein_2"], abs=2e-3)  # the quantiles beyond 1 / 20,000 are cut


def test_wasserstein_1_of_a_shift_is_the_shift():
    line = np.linspace(-20, 20, 40_001)
    assert divergence.wasserstein(line, normal(0, 1, line), normal(3, 1, line)) == pytest.approx(3, abs=1e-3)


@pytest.mark.parametrize("pair", PAIRS)
def test_divergences_are_zero_at_equality_and_positive_elsewhere(pair):
    lp, lq, w = PAIRS[pair]
    for name, function in DIVERGENCES.items():
        if "gaps" not in pair:
            assert abs(float(function(lp, lp, w))) < EXACT, name
        assert float(function(lp, lq, w)) > 1e-3, name


@pytest.mark.parametrize("pair", PAIRS)
def test_bounds_between_divergences(pair):
    """Pinsker, and Hellinger's on both sides of total variation (Tsybakov 2009, lemmas 2.3 and 2.5)."""
    lp, lq, w = PAIRS[pair]
    tv, h2, js = (float(DIVERGENCES[n](lp, lq, w)) for n in ("total_variation", "hellinger", "jsd"))
    assert h2 - EXACT <= tv <= np.sqrt(2 * h2) + EXACT
    assert tv <= np.sqrt(float(divergence.kl(lp, lq, w)) / 2) + EXACT
    assert 0 <= js <= np.log(2) * tv + EXACT


@pytest.mark.parametrize("pair", PAIRS)
def test_value_at_the_optimal_discriminator_is_the_jensen_shannon_divergence(pair):
    """V(D*, G) = -log 4 + 2 JSD(p || q), Goodfellow et al. 2014, theorem 1."""
    lp, lq, w = PAIRS[pair]
    found = value.value(value.optimal_logit(lp, lq), lp, lq, w)
    assert float(found) == pytest.approx(-np.log(4) + 2 * float(divergence.jsd(lp, lq, w)), abs=1e-6)


@pytest.mark.parametrize("alpha", [0.5, 0.2, 0.8])
@pytest.mark.parametrize("pair", ["gaussians", "mixtures", "discrete"])
def test_no_discriminator_beats_the_optimal_one(pair, alpha):
    """Stationary at D*, and lower in every direction; with unequal samples at D* of that share, and not elsewhere."""
    lp, lq, w = PAIRS[pair]
    best = jnp.asarray(value.optimal_logit(lp, lq, alpha))
    slope = jax.grad(value.value)(best, lp, lq, w, alpha)
    assert float(abs(slope).max()) < EXACT
    top = float(value.value(best, lp, lq, w, alpha))
    for i in range(5):
        bump = np.random.default_rng(i).normal(size=best.shape)
        assert float(value.value(best + 0.1 * bump, lp, lq, w, alpha)) < top
    if alpha != 0.5:
        assert float(abs(jax.grad(value.value)(best, lp, lq, w, 0.5)).max()) > 1e-6


def test_generator_part_has_the_gradient_of_the_whole_value():
    """The real term does not depend on G: the gradient in G's mean is the same with it and without."""
    logit = np.sin(X) - 0.3 * X

    def whole(mean):
        lq = -0.5 * (X - mean) ** 2 - 0.5 * np.log(2 * np.pi)
        return value.value(logit, normal(0, 1), lq, W), value.generator_part(logit, lq, W)

    both = jax.jacobian(whole)(0.7)
    assert float(both[0]) == pytest.approx(float(both[1]), abs=EXACT)
    assert abs(float(both[0])) > 0.01


def test_jensen_shannon_saturates_where_wasserstein_grows():
    """Arjovsky and Bottou 2017, arXiv 1701.04862: why the generator's gradient vanishes."""
    line, shifts = np.linspace(-40, 40, 8001), [2, 8, 16]
    js = [float(divergence.jsd(normal(-d / 2, 1), normal(d / 2, 1), W)) for d in shifts]
    w1 = [divergence.wasserstein(line, normal(-d / 2, 1, line), normal(d / 2, 1, line)) for d in shifts]
    assert js[0] < 0.9 * np.log(2)
    assert js[2] == pytest.approx(np.log(2), abs=1e-9)
    np.testing.assert_allclose(w1, shifts, atol=1e-2)


def test_generators_slope_against_the_optimal_discriminator():
    """With D* held fixed the slope is d E sigmoid(+-logit): all of d for non-saturating, almost nothing for minimax."""
    experiment = runpy.run_path(str(Path(__file__).parent.parent / "experiments/theory/divergences.py"))
    slope, losses = experiment["generator_slope"], experiment["losses"]
    assert float(slope(losses.ns, 10.0)) == pytest.approx(10, rel=1e-5)
    assert float(slope(losses.minimax, 10.0)) < 1e-5
    for d in (0.5, 2.0):  # sigmoid(l) + sigmoid(-l) = 1
        assert float(slope(losses.ns, d) + slope(losses.minimax, d)) == pytest.approx(d, abs=1e-8)
