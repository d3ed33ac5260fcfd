"""Precision, recall, density, coverage, copies, KID, CMMD and Vendi: definitions written out, and what is expected."""

import math

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from jaxgan.errors import JaxganError
from jaxgan.metrics import (
    authpct,
    cmmd,
    kernel,
    kid,
    nearest,
    neighbours,
    prdc,
    precision_recall,
    two_sample,
    vendi_score,
)
from jaxgan.metrics.diversity import vendi
from jaxgan.metrics.kernel import polynomial_mmd2

NAMES = ("precision", "recall", "density", "coverage")


@pytest.fixture
def small_blocks(monkeypatch):
    for module in (neighbours, kernel):
        monkeypatch.setattr(module, "BLOCK", 37)


def by_loops(real, fake, k, inside):
    """The definitions, from whole matrices of distances that are no products."""
    ball = lambda x: np.sort(cdist(x, x), axis=1)[:, k]  # noqa: E731  (at 0 is the row itself)
    d = cdist(real, fake)
    in_real, in_fake = inside(d, ball(real)[:, None]), inside(d, ball(fake)[None])
    nearest_fake = inside(d.min(1), ball(real))
    return [in_real.any(0).mean(), in_fake.any(1).mean(), in_real.sum(0).mean() / k, nearest_fake.mean()]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("strict", "inside"), [(True, np.less), (False, np.less_equal)])
@pytest.mark.parametrize(("n", "m", "k"), [(150, 90, 3), (38, 150, 5), (30, 6, 5)])
def test_agrees_with_the_definitions(small_blocks, n, m, k, strict, inside, dtype):
    draw = np.random.default_rng(n)
    real, fake = (draw.normal(size=(size, 8)).astype(dtype) + 50 for size in (n, m))
    found = prdc(real, 0.9 * fake + 5, k, strict)
    want = by_loops(real.astype(float), (0.9 * fake + 5).astype(float), k, inside)
    assert [found[name].value for name in NAMES] == pytest.approx(want, abs=1e-12)
    assert found["recall"].name == f"recall/features/n{m}/real{n}/k{k}/{'lt' if strict else 'le'}"


def test_strictness_decides_on_a_grid(small_blocks):
    """Integer points have neighbours at the same distance as the border; on it a point is outside only where strict."""
    grid = np.stack(np.meshgrid(np.arange(9.0), np.arange(9.0)), -1).reshape(-1, 2)
    between = grid + np.array([1, 0])
    for strict, inside in ((True, np.less), (False, np.less_equal)):
        found = prdc(grid, between, 1, strict)
        assert [found[name].value for name in NAMES] == pytest.approx(by_loops(grid, between, 1, inside), abs=1e-12)
    wide = precision_recall(grid, between, 1)["precision"]
    assert wide.value == 1 > prdc(grid, between, 1)["precision"].value
    assert wide.name == "precision/features/n81/k1/le"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_identical_sets_have_precision_and_recall_one(dtype):
    """Of copies too, whose balls have no size: where the border is inside."""
    x = (np.random.default_rng(0).normal(size=(300, 40)) + 100).astype(dtype)
    found = prdc(x, x)
    assert found["precision"].value == found["recall"].value == found["coverage"].value == 1
    copies = np.repeat(x[:50], 6, 0)
    assert [score.value for score in precision_recall(copies, copies[::-1]).values()] == [1, 1]
    apart = precision_recall(x, x + 1000)
    assert apart["precision"].value == apart["recall"].value == 0


@pytest.mark.parametrize("k", [1, 3, 5])
def test_one_distribution_has_density_one_and_the_known_coverage(k):
    draw, found = np.random.default_rng(k), []
    for _ in range(30):
        found.append(prdc(draw.normal(size=(400, 4)), draw.normal(size=(400, 4)), k))
    for name, want in (("density", 1), ("coverage", 1 - 2.0**-k)):
        values = [f[name].value for f in found]
        assert np.mean(values) == pytest.approx(want, abs=4 * np.std(values) / math.sqrt(30) + 1 / 400)
    errors = np.mean([f["coverage"].error for f in found])
    assert errors <= np.std([f["coverage"].value for f in found]) * 2


def test_arguments_have_an_order():
    """One mode of two: all of it is real, and half of what is real is missing."""
    draw = np.random.default_rng(0)
    two = np.concatenate([draw.normal(size=(100, 2)), draw.normal(size=(100, 2)) + 50])
    one = draw.normal(size=(200, 2)) * 0.9
    found = precision_recall(two, one)
    assert found["precision"].value > 0.95 and found["recall"].value == pytest.approx(0.5, abs=0.05)


def test_nearest_rows_are_those_of_all_distances(small_blocks):
    draw = np.random.default_rng(0)
    train, x = draw.normal(size=(123, 7)) + 1e3, draw.normal(size=(45, 7)) + 1e3
    index, distance = nearest(train, x, 4)
    d = cdist(x, train)
    np.testing.assert_array_equal(index, d.argsort(1)[:, :4])
    np.testing.assert_allclose(distance, np.sort(d)[:, :4], rtol=1e-12)
    for k in (1, 123):
        assert (nearest(train, x, k)[0] == d.argsort(1)[:, :k]).all()
    index, distance = nearest(train.astype(np.float32), train[5:9].astype(np.float32))
    assert index[:, 0].tolist() == [5, 6, 7, 8] and not distance.any()
    with pytest.raises(JaxganError, match="k from 1 to 123"):
        nearest(train, x, 124)


def test_authenticity_finds_the_copies():
    draw = np.random.default_rng(0)
    real, fresh = draw.normal(size=(200, 5)), draw.normal(size=(120, 5))
    near = real[:80] + 1e-4
    assert authpct(real, near).value == 0
    both = authpct(real, np.concatenate([near, fresh]))
    d, own = cdist(fresh, real), cdist(real, real) + np.diag([np.inf] * 200)
    want = [own[d[i].argmin()].min() < d[i].min() for i in range(120)]
    assert authpct(real, fresh).value == pytest.approx(100 * np.mean(want))
    assert both.value == pytest.approx(100 * sum(want) / 200) and 0 < np.mean(want) < 1
    assert both.error == pytest.approx(100 * np.sqrt(both.value / 100 * (1 - both.value / 100) / 199))


def by_pairs(x, y):
    """Unbiased MMD^2 as sums over pairs of different rows."""
    k = lambda a, b: (a @ b / len(a) + 1) ** 3  # noqa: E731
    n = len(x)
    own = sum(k(z[i], z[j]) for z in (x, y) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    return own - 2 * np.mean([k(a, b) for a in x for b in y])


def test_kid_is_the_mean_over_pairs():
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(2, 12, 5))
    assert polynomial_mmd2(x, y) == pytest.approx(by_pairs(x, y), abs=1e-12)
    assert kid(x, y, 3).value == pytest.approx(by_pairs(x, y), abs=1e-12)  # every subset is the whole
    score = kid(x, y, 7, 4, seed=1)
    order = np.random.default_rng(1)
    each = [by_pairs(x[order.permutation(12)[:4]], y[order.permutation(12)[:4]]) for _ in range(7)]
    assert score.value == pytest.approx(np.mean(each)) and score.error == pytest.approx(np.std(each) / np.sqrt(6))


def test_kid_takes_blocks_that_both_sets_can_fill():
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(60, 5)), draw.normal(size=(40, 5))
    assert kid(x, y, 5).name == "kid/features/n40/real60/subsets5/block40"
    assert kid(y, x, 5).name == "kid/features/n60/real40/subsets5/block40"
    assert kid(x, y, 5, 10) == kid(x, y, 5, 10) != kid(x, y, 5, 10, seed=1)
    with pytest.raises(JaxganError, match="1 subset and 2 rows"):
        kid(x, y, block=1)


def test_kid_is_unbiased_and_float32_is_enough():
    draw = np.random.default_rng(0)
    same = [kid(*draw.normal(size=(2, 30, 4)), subsets=1).value for _ in range(400)]
    assert abs(np.mean(same)) < 4 * np.std(same) / 20 and min(same) < 0
    x, y = draw.normal(size=(2, 500, 64)) + 0.5
    assert kid(*(z.astype(np.float32) for z in (x, 1.1 * y)), 10, 200).value == pytest.approx(
        kid(x, 1.1 * y, 10, 200).value, rel=1e-5
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cmmd_is_the_biased_mmd(dtype, small_blocks):
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(90, 16)), draw.normal(size=(70, 16)) + 0.3
    x, y = ((z / np.linalg.norm(z, axis=1, keepdims=True)).astype(dtype) for z in (x, y))
    k = lambda a, b: two_sample.kernel(two_sample.squared_distances(a, b), [10]).mean()  # noqa: E731
    want = 1000 * (k(x, x) + k(y, y) - 2 * k(x, y))
    score = cmmd(x, y)
    assert score.value == pytest.approx(want, rel=1e-9 if dtype is np.float64 else 1e-4) and want > 0
    assert score.name == "cmmd/features/n70/real90/sigma10"
    assert cmmd(x, x).value == pytest.approx(0, abs=1e-9)


def test_vendi_counts_directions():
    for n, d in ((4, 9), (40, 9)):
        axes = np.eye(9)[np.arange(n) % 4] * np.linspace(1, 5, n)[:, None]
        assert vendi_score(axes[:, :d]).value == pytest.approx(4, rel=1e-9)
    assert vendi_score(np.ones((5, 3))).value == pytest.approx(1)
    x = np.random.default_rng(0).normal(size=(60, 20))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    rate = np.linalg.eigvalsh(x @ x.T / 60)[-20:]
    assert vendi_score(7 * x).value == pytest.approx(np.prod(rate**-rate), rel=1e-9)
    # on the sphere a wide Gaussian kernel is 1 - (1 - cosine) / s^2: nearly one direction
    assert float(vendi(x.astype(np.float32), 100.0)) < 1.01 < vendi_score(x).value
    with pytest.raises(JaxganError, match="row 1 of fake is zero"):
        vendi_score(np.eye(3) * [1, 0, 1])


def test_k_must_leave_a_neighbour():
    x = np.random.default_rng(0).normal(size=(5, 2))
    with pytest.raises(JaxganError, match="smaller set has 5 rows, so take k from 1 to 4"):
        prdc(x, np.concatenate([x, x]), 5)
    assert prdc(x, x, 4)["precision"].value == 1
