"""The Monge inception distance against transport by brute force, and what it does with shifts."""

import itertools

import numpy as np
import pytest

from jaxgan.errors import JaxganError
from jaxgan.metrics import jackknife, mind
from jaxgan.metrics.monge import transport


@pytest.mark.parametrize("m", [4, 6])
def test_transport_is_the_best_of_all_ways(m):
    """Of 6 points onto as many, among all orders; where there are fewer, of copies that make the numbers equal."""
    a, b = np.random.default_rng(m).normal(size=(6, 3)), np.random.default_rng(9).normal(size=(m, 3))
    if m == 6:
        ways = [np.square(a - b[list(order)]).mean(0) for order in itertools.permutations(range(m))]
        np.testing.assert_allclose(transport(a, b), np.min(ways, 0), rtol=1e-12)
    else:
        equal = np.sort(np.repeat(a, 2, 0), 0) - np.sort(np.repeat(b, 3, 0), 0)
        np.testing.assert_allclose(transport(a, b), np.square(equal).mean(0), rtol=1e-12)
    np.testing.assert_allclose(transport(a, b), transport(b, a), rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_shift_costs_three_times_its_square(dtype):
    draw = np.random.default_rng(0)
    x, v = draw.normal(size=(300, 8)), draw.normal(size=8)
    score = mind(x.astype(dtype), (x + v)[::-1].astype(dtype), 4000)
    assert score.name == "mind/features/n300/directions4000"
    # (u.v)^2 has the mean |v|^2 / d and the variance 2 |v|^4 (d - 1) / (d^2 (d + 2))
    room = 4 * np.sqrt(2 * 7 / 10 / 4000)
    assert score.value == pytest.approx(3 * (v @ v), rel=room)
    assert mind(x.astype(dtype), x[::-1].astype(dtype)).value < 1e-10


def test_directions_are_a_function_of_the_seed():
    x, y = np.random.default_rng(0).normal(size=(2, 40, 5))
    assert mind(x, y, 20) == mind(x, y, 20) and mind(x, y, 20).value != mind(x, y, 20, seed=1).value
    assert mind(x, y[:30], 70).name == "mind/features/n30/real40/directions70"
    with pytest.raises(JaxganError, match="directions is 0; take 1 at least"):
        mind(x, y, 0)


def test_its_interval_covers_the_other_draws():
    """The jackknife's error is the spread over pairs of sets, within a third."""
    draw = np.random.default_rng(1)
    found = [mind(draw.normal(size=(200, 4)), 1.5 * draw.normal(size=(200, 4)), 50) for _ in range(60)]
    errors = [jackknife(mind, *draw.normal(size=(2, 200, 4)) * [[[1]], [[1.5]]], directions=50).error for _ in range(8)]
    assert np.mean(errors) == pytest.approx(np.std([score.value for score in found]), rel=1 / 3)


def test_features_of_the_same_seed_are_not_its_directions():
    """Sets of one distribution, of many more features than directions, cost what sets of any seed cost."""
    same, other = (mind(*np.random.default_rng(seed).normal(size=(2, 100, 400)), 20).value for seed in (0, 5))
    assert same == pytest.approx(other, rel=0.2)
