"""Frechet distances: closed forms, other ways to compute them, hard covariances, shards, expected bias."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import linalg

from jaxgan.errors import JaxganError
from jaxgan.metrics import Moments, fid, fid_infinity, intra_fid, merge, moments
from jaxgan.metrics.frechet import frechet, perfect

# Below n = d a warning is due, which the tests of it look for; elsewhere they look at values.
quiet = pytest.mark.filterwarnings("ignore:FID of")


def vector():
    """Two sets of 100 rows, of a form in which other libraries' tests have them too."""
    real, fake = np.ones((100, 2)), np.full((100, 2), 9.0)
    real[:50, 0] = fake[50:, 0] = 2
    return real, fake


@pytest.mark.parametrize(("ddof", "want"), [(1, 89.0909), (0, 89.0)])
def test_the_known_vector(ddof, want):
    score = fid(*vector(), ddof=ddof)
    assert score.value == pytest.approx(want, abs=5e-5)
    assert score.name == f"fd/features/n100/ddof{ddof}"


def by_sqrtm(x, y):
    """Through the matrix root, with a multiple of one added to make both covariances regular."""
    s, t = np.cov(x.T), np.cov(y.T)
    root = linalg.sqrtm(linalg.sqrtm(s).real @ t @ linalg.sqrtm(s).real).real
    return ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(s + t - 2 * root)


def by_singular_values(x, y):
    """The trace of the root is the nuclear norm of a product of the centred rows: no covariance is made."""
    a, b = ((z - z.mean(0)) / np.sqrt(len(z) - 1) for z in (x, y))
    root = linalg.svdvals(a @ b.T).sum()
    return ((x.mean(0) - y.mean(0)) ** 2).sum() + (a**2).sum() + (b**2).sum() - 2 * root


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_agrees_with_other_ways(dtype):
    draw = np.random.default_rng(0)
    x = (draw.normal(size=(500, 40)) @ draw.normal(size=(40, 40)) + 100).astype(dtype)
    y = (draw.normal(size=(300, 40)) @ draw.normal(size=(40, 40)) + 99).astype(dtype)
    got, x, y = fid(x, y).value, x.astype(np.float64), y.astype(np.float64)
    assert got == pytest.approx(by_sqrtm(x, y), rel=1e-9)
    assert got == pytest.approx(by_singular_values(x, y), rel=1e-9)


@pytest.mark.parametrize("decay", [1e-2, 1e-4, 1e-7])  # of the features' standard deviations
def test_agrees_on_ill_conditioned_sets(decay):
    draw = np.random.default_rng(1)
    scale = np.geomspace(1, decay, 60)
    turn = linalg.qr(draw.normal(size=(60, 60)))[0]
    x = draw.normal(size=(400, 60)) * scale @ turn
    y = 1.1 * draw.normal(size=(400, 60)) * scale @ turn
    assert fid(x, y).value == pytest.approx(by_singular_values(x, y), rel=1e-9)


@quiet
@pytest.mark.parametrize(("n", "m", "rank"), [(30, 30, 60), (30, 500, 60), (500, 30, 60), (500, 500, 7), (2, 3, 60)])
def test_agrees_on_sets_without_full_rank(n, m, rank):
    draw = np.random.default_rng(2)
    x = draw.normal(size=(n, rank)) @ draw.normal(size=(rank, 60))
    y = draw.normal(size=(m, rank)) @ draw.normal(size=(rank, 60)) + 1
    assert fid(x, y).value == pytest.approx(by_singular_values(x, y), rel=1e-9)
    assert fid(x, x).value == pytest.approx(0, abs=1e-12 * np.trace(np.cov(x.T)))
    assert fid(x, x).value >= 0


def test_a_dead_feature_and_a_constant_set_are_no_trouble():
    draw = np.random.default_rng(3)
    x, y = draw.normal(size=(2, 200, 5))
    dead = [np.concatenate([z, np.zeros((200, 2))], 1) for z in (x, y)]
    assert fid(*dead).value == pytest.approx(fid(x, y).value, rel=1e-9)
    assert fid(x, np.zeros((200, 5))).value == pytest.approx((x.mean(0) ** 2).sum() + np.trace(np.cov(x.T)), rel=1e-12)
    assert fid(np.ones((9, 2)), np.zeros((9, 2))).value == 2


def test_identical_sets_have_no_distance():
    x = np.random.default_rng(4).normal(size=(300, 50)) * np.geomspace(1, 1e-6, 50) + 7
    assert 0 <= fid(x, x).value < 1e-12 * 50
    assert fid(x, x[::-1]).value < 1e-10


sets = st.integers(0, 10**6).map(lambda seed: np.random.default_rng(seed).normal(size=(2, 50, 6)))


@given(sets, st.integers(0, 10**6))
def test_properties(both, seed):
    """Moving one set adds the squared shift; turning or moving both changes nothing; nor does order, or who is real."""
    x, y = both
    draw, base = np.random.default_rng(seed), fid(x, y).value
    turn, shift = linalg.qr(draw.normal(size=(6, 6)))[0], draw.normal(size=6)
    assert fid(x @ turn, y @ turn).value == pytest.approx(base, rel=1e-9)
    assert fid(x + shift, y + shift).value == pytest.approx(base, rel=1e-9)
    assert fid(3 * x, 3 * y).value == pytest.approx(9 * base, rel=1e-9)
    assert fid(y, draw.permutation(x)).value == pytest.approx(base, rel=1e-9)
    moved = x + (y.mean(0) - x.mean(0)) + shift
    gap = ((x.mean(0) - y.mean(0)) ** 2).sum()
    assert fid(moved, y).value == pytest.approx(base - gap + shift @ shift, rel=1e-9)
    assert fid(x, y, kind="mean").value == pytest.approx(gap, rel=1e-9)


def test_the_diagonal_one_is_that_of_features_apart():
    x, y = np.random.default_rng(5).normal(size=(2, 100, 4)) * [1, 2, 3, 4]
    each = [fid(x[:, [i]], y[:, [i]]).value for i in range(4)]
    score = fid(x, y, kind="diagonal")
    assert score.value == pytest.approx(sum(each), rel=1e-9)
    assert score.name == "fd-diagonal/features/n100/ddof1"
    line = ((x[:, 0].mean() - y[:, 0].mean()) ** 2) + (x[:, 0].std(ddof=1) - y[:, 0].std(ddof=1)) ** 2
    assert each[0] == pytest.approx(line, rel=1e-9)


@pytest.mark.parametrize("cuts", [[1], [500, 501], [7, 300, 1999, 2000], list(range(1, 20))])
def test_shards_merge_to_the_whole(cuts):
    x = np.random.default_rng(6).normal(size=(2500, 5)) * [1, 10, 1e3, 1e-3, 1] + [0, 1e3, 1e6, 0, 5]
    streamed = moments(x[:2])
    for start in range(2, 2500, 833):
        streamed = streamed.update(x[start : start + 833])
    for whole in (merge(moments(part, least=1) for part in np.split(x, cuts)), streamed, moments(x)):
        assert isinstance(whole, Moments) and whole.n == 2500
        mean, covariance = whole.finish()
        np.testing.assert_allclose(mean, x.mean(0), rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(covariance, np.cov(x.T), rtol=1e-9, atol=1e-9 * np.outer(x.std(0), x.std(0)).max())
        assert (covariance == covariance.T).all()
        np.testing.assert_allclose(whole.finish(0)[1].diagonal(), x.var(0), rtol=1e-10)
        assert fid(whole, x).value < 1e-3  # of a trace of 1e6


def test_a_perfect_sampler_has_the_expected_bias():
    draw = np.random.default_rng(7)
    scale = np.sqrt(np.geomspace(1, 0.1, 20))
    sample = lambda n: draw.normal(size=(n, 20)) * scale  # noqa: E731
    found = [fid(sample(2000), sample(1000)).value for _ in range(60)]
    exact = moments(sample(2000))._replace(scatter=np.diag(scale**2) * 1999)
    error = np.std(found) / np.sqrt(60)
    assert perfect(exact, 1000) == pytest.approx(np.mean(found), abs=4 * error)
    assert error < 0.02 * perfect(exact, 1000)
    unit = exact._replace(scatter=np.eye(20) * 1999)
    assert perfect(unit, 1000) == pytest.approx((1 / 2000 + 1 / 1000) * (20 + 20 * 21 / 4), rel=1e-9)


def test_infinity_takes_the_bias_of_the_generated_set_away():
    draw = np.random.default_rng(8)
    real = moments(draw.normal(size=(2000, 20)))._replace(mean=np.zeros(20), scatter=np.eye(20) * 1999)
    fake = draw.normal(size=(3000, 20)) * 1.1
    truth = 20 * 0.1**2
    score = fid_infinity(real, fake, least=300)
    assert abs(score.value - truth) < 0.03 < fid(real, fake[:1000]).value - truth
    assert score.name == "fd-infinity/features/n3000/real2000/ddof1/sizes15/least300"
    assert score == fid_infinity(real, fake, least=300)
    # the line, by another way
    n = np.linspace(300, 3000, 15).astype(int)
    order = np.random.default_rng(0)
    y = [fid(real, fake[order.permutation(3000)[:k]]).value for k in n]
    (slope, start), spread = np.polyfit(1 / n, y, 1, cov=True)
    assert score.value == pytest.approx(start, rel=1e-9) and slope > 0
    assert score.error == pytest.approx(np.sqrt(spread[1, 1]), rel=1e-6)
    with pytest.raises(JaxganError, match="fewer than all 3000"):
        fid_infinity(real, fake)


def test_few_rows_warn_of_the_reason():
    x = np.random.default_rng(9).normal(size=(30, 30))
    with pytest.warns(UserWarning, match=r"FID of 30 real and 20 generated .* rank n - 1 .* biased upwards"):
        fid(x, x[:20])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fid(x[:, :20], x[:, :20])
        fid(x, x[:20], kind="diagonal")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda x: x[:1], "1 rows and needs 2"),
        (lambda x: x[0], "features are"),
        (lambda x: x[:, :3], "take both from one network"),
        (lambda x: np.where(np.arange(9)[:, None] == 4, np.nan, x), "not finite in 1 of 9 rows, the first is row 4"),
        (lambda x: np.where(x == x[2, 1], np.inf, x), "not finite in 1 of 9 rows, the first is row 2"),
    ],
)
def test_what_cannot_be_compared_is_refused(change, says):
    x = np.random.default_rng(10).normal(size=(9, 4))
    for sets in ((x, change(x)), (change(x), x)):
        with pytest.raises(JaxganError, match=says):
            fid(*sets)
    with pytest.raises(JaxganError, match="moments of fake are not finite"):
        fid(x, moments(x)._replace(mean=np.full(4, np.nan)))


def test_intra_class_fid_is_the_mean_over_classes():
    draw = np.random.default_rng(11)
    x, y, a, b = draw.normal(size=(90, 4)), draw.normal(size=(60, 4)), np.arange(90) % 3, np.arange(60) % 3
    score = intra_fid(x, y, a, b)
    each = [fid(x[c::3], y[c::3]).value for c in range(3)]
    assert score.value == pytest.approx(np.mean(each)) and score.error == pytest.approx(np.std(each) / np.sqrt(2))
    assert score.name == "intra-fd/features/n60/real90/ddof1/classes3"
    # swapped classes: no distance between the sets, but within classes
    apart = x + 9 * np.arange(3)[a, None]
    assert fid(apart, apart).value < 1e-9 < 100 < intra_fid(apart, apart, a, (a + 1) % 3).value
    with pytest.raises(JaxganError, match="different classes"):
        intra_fid(x, y, a, np.zeros(60, int))


def test_frechet_is_never_negative():
    x = moments(np.random.default_rng(12).normal(size=(100, 30)) + 1e4)
    assert frechet(x, x) >= 0 and frechet(x, x._replace(scatter=x.scatter * (1 + 1e-15))) >= 0


def test_fid_is_of_inception_alone():
    real, fake = np.random.default_rng(0).normal(size=(2, 40, 3))
    for features, name in (("inception-2015/tf1", "fid"), ("digits-cnn", "fd")):
        assert fid(real, fake, features=features).name == f"{name}/{features}/n40/ddof1"
        assert fid(real, fake, kind="mean", features=features).name.startswith(f"{name}-mean/")
        assert fid_infinity(real, fake, least=10, features=features).name.startswith(f"{name}-infinity/")
