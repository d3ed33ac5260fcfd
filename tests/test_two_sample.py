"""Spectra, autocorrelations and distances between samples: closed forms, an exact test."""

import itertools
import math

import numpy as np
import pytest

from jaxgan.metrics import two_sample
from jaxgan.metrics.two_sample import autocorrelation, kolmogorov_smirnov, mmd2, peaks, power_spectrum
from jaxgan.types import JaxganError


@pytest.mark.parametrize("length", [63, 64])
def test_the_spectrum_satisfies_parseval(length):
    x = np.random.default_rng(0).normal(size=(7, length, 2)) + 0.5
    want = (x**2).mean((0, 1))
    np.testing.assert_allclose(power_spectrum(x).sum(0), want, rtol=1e-12)  # float64 rounding
    np.testing.assert_allclose(autocorrelation(x)[0], want, rtol=1e-12)


@pytest.mark.parametrize(("k", "height"), [(0, 1.0), (1, 0.5), (5, 0.5), (31, 0.5), (32, 1.0)])
def test_a_pure_wave_has_its_closed_form(k, height):
    """A^2 / 2 in bin k alone; constants, and the wave of one sample up and one down, have all of A^2 there."""
    x = 3 * np.cos(2 * np.pi * k * np.arange(64) / 64)[None, :, None]
    np.testing.assert_allclose(power_spectrum(x)[:, 0], 9 * height * (np.arange(33) == k), atol=1e-12)
    if k:
        assert peaks(x + 10).tolist() == [[k]]  # a constant is no oscillation


@pytest.mark.parametrize("f", [0.05, 0.11, 0.37])
def test_autocorrelation_of_a_sine_of_random_phase(f):
    """cos(2 pi f lag) / 2: the mean over four phases a quarter apart is that over all, exactly."""
    t, lag = np.arange(50), np.arange(26)
    x = np.sin(2 * np.pi * (f * t + np.arange(4)[:, None] / 4))[..., None]
    np.testing.assert_allclose(autocorrelation(x)[:, 0], np.cos(2 * np.pi * f * lag) / 2, atol=1e-12)


def test_kolmogorov_smirnov_by_hand():
    x = np.arange(100) / 100
    assert kolmogorov_smirnov(x, x[::-1]) == 0
    assert kolmogorov_smirnov(x, x + 0.25) == pytest.approx(0.25, abs=0.011)  # the grid's step
    assert kolmogorov_smirnov(x, x[:30] - 7) == 1
    y = np.random.default_rng(0).normal(size=77)
    assert kolmogorov_smirnov(np.exp(x), np.exp(y)) == kolmogorov_smirnov(x, y) == kolmogorov_smirnov(y, x)


def test_unbiased_mmd_equals_the_double_loop():
    draws = np.random.default_rng(0)
    x, y, s = draws.normal(size=(5, 3, 2)), 1 + draws.normal(size=(7, 3, 2)), (0.5, 2.0)
    k = lambda a, b: np.mean([math.exp(-((a - b) ** 2).sum() / (2 * h**2)) for h in s])  # noqa: E731
    xx = [k(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j]
    yy = [k(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j]
    xy = [k(a, b) for a in x for b in y]
    assert mmd2(x, y, s) == pytest.approx(np.mean(xx) + np.mean(yy) - 2 * np.mean(xy), abs=1e-12)


def test_unbiased_mmd_has_mean_zero_under_equality():
    """Exactly zero over all ways to split the pooled rows, since every pair is then alike; and over fresh draws."""
    draws = np.random.default_rng(0)
    rows = draws.normal(size=(7, 2))
    splits = [np.isin(np.arange(7), chosen) for chosen in itertools.combinations(range(7), 3)]
    assert np.mean([mmd2(rows[s], rows[~s], (1.0,)) for s in splits]) == pytest.approx(0, abs=1e-14)
    fresh = [mmd2(draws.normal(size=(8, 2)), draws.normal(size=(12, 2)), (1.0,)) for _ in range(400)]
    assert abs(np.mean(fresh)) < 4 * np.std(fresh) / math.sqrt(400)


def test_mmd_of_gaussians_has_its_closed_form():
    """E k between N(a, 1) and N(b, 1) on the line is s / r exp(-(a - b)^2 / (2 r^2)) with r^2 = s^2 + 2."""
    draws, s, shift = np.random.default_rng(0), 0.7, 1.5
    r = math.sqrt(s**2 + 2)
    want = 2 * s / r * (1 - math.exp(-(shift**2) / (2 * r**2)))
    found = [mmd2(draws.normal(size=(100, 1)), shift + draws.normal(size=(100, 1)), (s,)) for _ in range(50)]
    assert abs(np.mean(found) - want) < 4 * np.std(found) / math.sqrt(50)


def test_p_values_are_uniform_under_the_hypothesis():
    """With 19 permutations p is k / 20, each equally likely: counts of p <= a within exact binomial bounds of 1e-4."""
    draws, n = np.random.default_rng(0), 200
    sample = lambda n: draws.normal(size=(n, 2))  # noqa: E731
    p = [two_sample.two_sample(sample(12), sample(8), seed, permutations=19).p for seed in range(n)]
    for a in (0.05, 0.1, 0.25, 0.5, 0.75, 0.9):
        below = np.cumsum([math.comb(n, k) * a**k * (1 - a) ** (n - k) for k in range(n + 1)])
        low, high = np.searchsorted(below, 1e-4), np.searchsorted(below, 1 - 1e-4)
        assert low <= np.sum(np.array(p) <= a + 1e-9) <= high, a


def test_the_test_sees_a_shift_and_knows_no_units():
    """A shift of one standard deviation at n = 60: no permutation comes near. Units and order change nothing."""
    draws = np.random.default_rng(0)
    x, y = draws.normal(size=(60, 3)), draws.normal(size=(60, 3))
    shifted = two_sample.two_sample(x, y + 1)
    assert shifted.p == 1 / 500
    plain, scaled = two_sample.two_sample(x, y), two_sample.two_sample(8 * x, 8 * y)
    assert plain.p == scaled.p > 0.01 and plain.mmd2 == pytest.approx(scaled.mmd2, abs=1e-12)
    assert plain.mmd2 == pytest.approx(mmd2(x, y, plain.bandwidths), abs=1e-14)
    swapped = two_sample.two_sample(y[::-1], x)
    assert swapped.mmd2 == pytest.approx(plain.mmd2, abs=1e-14)
    np.testing.assert_allclose(swapped.bandwidths, plain.bandwidths, rtol=1e-12)
    with pytest.raises(JaxganError, match="two rows"):
        two_sample.two_sample(x[:1], y)
