"""Bayes' rule against closed forms, and the trained generative and discriminative models against the Bayes accuracy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import norm

from jaxgan import Config, Hp, data, games, rng
from jaxgan.data import feed, toy
from jaxgan.theory import bayes
from jaxgan.theory.divergence import gauss_legendre

CENTERS, PRIOR = [[-1.2, 0.0], [1.2, 0.6], [0.2, -1.8], [0.3, 2.2]], [0.4, 0.3, 0.2, 0.1]
SOURCE = toy.gaussian_mixture(CENTERS, 1.0, PRIOR)
LINE, WEIGHTS = gauss_legendre(-6.5, 6.5, 6, 8)
X = np.stack(np.meshgrid(LINE, LINE, indexing="ij"), -1).reshape(-1, 2).astype(np.float32)
W = np.outer(WEIGHTS, WEIGHTS).ravel()


def densities(centers, x):
    """log p(x | y) [n, c] of Gaussian classes of standard deviation 1, each a mixture of one."""
    return jnp.stack([jax.vmap(toy.gaussian_mixture([c], 1.0).density.log_pdf)(x) for c in centers], axis=-1)


def pair(d):
    """Nodes with an edge at 0, weights, and log p(x | y) of N(-d/2, 1) and N(d/2, 1), in float64 where enabled."""
    x, w = gauss_legendre(-12, 12, 200)
    return x, w, densities([[-d / 2], [d / 2]], x[:, None])


def points(n, seed=0):
    batch = jax.jit(lambda: feed.finish(SOURCE, {}, rng.root(seed), 0, n))()
    return np.asarray(batch["x"]), np.asarray(batch["y"])


@pytest.fixture(scope="module")
def joint():
    return densities(CENTERS, X) + np.log(PRIOR)[None]


def expected(log_posterior, joint):
    return float(bayes.expected_accuracy(log_posterior, joint, W))


@pytest.mark.parametrize("d", [0.5, 1.0, 3.0])
def test_two_gaussians_have_the_bayes_accuracy_phi_of_half_their_distance(d):
    with jax.enable_x64(True):
        x, w, log_p = pair(d)
        found = bayes.posterior(log_p, np.log([0.5, 0.5]))
        assert float(bayes.expected_accuracy(found, log_p + np.log(0.5), w)) == pytest.approx(ndtr(d / 2), abs=1e-10)
        np.testing.assert_allclose(np.exp(found).sum(1), 1, atol=1e-12)
        np.testing.assert_allclose(found[:, 1] - found[:, 0], d * x, atol=1e-9)  # logistic in x


@pytest.mark.parametrize(("d", "p"), [(1.0, 0.8), (2.0, 0.3), (1.0, 0.9)])
def test_unequal_priors_shift_the_boundary(d, p):
    """N(-d/2, 1) of probability p: the boundary is log(p / (1 - p)) / d, and whoever leaves it at 0 gets Phi(d/2)."""
    boundary = np.log(p / (1 - p)) / d
    best = p * ndtr(boundary + d / 2) + (1 - p) * ndtr(d / 2 - boundary)
    with jax.enable_x64(True):
        x, w, log_p = pair(d)
        prior = np.log([p, 1 - p])
        found = bayes.posterior(log_p, prior)
        np.testing.assert_array_equal(found.argmax(1), x > boundary)
        # the boundary cuts a panel of 0.12 with 10 nodes, and the other side is nearly as probable there
        assert float(bayes.expected_accuracy(found, log_p + prior[None], w)) == pytest.approx(best, abs=1e-4)
        flat = bayes.posterior(log_p, np.log([0.5, 0.5]))
        assert float(bayes.expected_accuracy(flat, log_p + prior[None], w)) == pytest.approx(ndtr(d / 2), abs=1e-10)
    assert best > ndtr(d / 2) + 0.01


def test_nothing_beats_bayes_rule(joint):
    """Other priors, other densities, linear rules and noise: all below (Devroye et al. 1996, theorem 2.1)."""
    best = expected(joint, joint)
    log_p, draw = joint - np.log(PRIOR)[None], np.random.default_rng(0)
    tried = {
        "no prior": bayes.posterior(log_p, np.zeros(4)),
        "prior alone": np.tile(np.log(PRIOR), (len(X), 1)),
        "swapped labels": joint[:, ::-1],
        "other centres": densities(np.array(CENTERS) + 0.3, X) + np.log(PRIOR)[None],
        **{f"linear {i}": X @ draw.normal(size=(2, 4)) for i in range(5)},
        **{f"noise {s}": joint + s * draw.normal(size=joint.shape) for s in (0.1, 1.0, 10.0)},
    }
    for name, rule in tried.items():
        assert expected(rule, joint) < best, name
    # the most frequent class alone; 48^2 nodes up to 4.3 standard deviations from a centre
    assert expected(tried["prior alone"], joint) == pytest.approx(0.4, abs=1e-4)


def test_the_rule_hits_the_labels_of_samples_as_often_as_expected(joint):
    x, y = points(100_000)
    found = float(bayes.accuracy(bayes.posterior(densities(CENTERS, x), np.log(PRIOR)), y))
    best = expected(joint, joint)
    # four standard errors of a share, and the quadrature's own error at the boundaries
    assert found == pytest.approx(best, abs=4 * np.sqrt(best * (1 - best) / len(y)) + 1e-3)
    np.testing.assert_allclose(np.exp(bayes.log_frequencies(y, 4)), PRIOR, atol=4 * 0.5 / np.sqrt(len(y)))


def test_a_class_without_examples_is_never_chosen():
    prior = bayes.log_frequencies(np.array([0, 0, 2, 0]), 4)
    np.testing.assert_allclose(np.exp(prior), [0.75, 0, 0.25, 0], rtol=1e-6)
    found = bayes.posterior(np.array([[-9.0, 5.0, -9.0, 5.0]]), prior)
    np.testing.assert_allclose(np.exp(found), [[0.75, 0, 0.25, 0]], rtol=1e-6)


def test_kernel_density_is_scotts():
    """Two points -1 and 1 have variance 2, and kernels of variance 2 * 2^(-2/5); in the plane a covariance, and 1/6."""
    x = np.array([-3.0, 0.0, 0.7])
    wide = np.sqrt(2 * 2 ** (-2 / 5))
    wanted = np.log((norm.pdf(x, -1, wide) + norm.pdf(x, 1, wide)) / 2)
    np.testing.assert_allclose(bayes.kernel_density(np.array([[-1.0], [1.0]]), x[:, None]), wanted, rtol=1e-5)
    s, at = np.array([[0.0, 0.0], [2.0, 1.0], [1.0, 3.0], [-1.0, 0.5]]), np.array([[0.3, 0.2], [5.0, -4.0]])
    h = np.cov(s.T) * 4 ** (-2 / 6)
    off = at[:, None] - s
    terms = np.exp(-0.5 * np.einsum("abi,ij,abj->ab", off, np.linalg.inv(h), off))
    wanted = np.log(terms.mean(1) / (2 * np.pi * np.sqrt(np.linalg.det(h))))
    np.testing.assert_allclose(bayes.kernel_density(s, at), wanted, rtol=1e-5)


def test_kernel_densities_approach_bayes_rule_as_samples_grow(joint):
    """From samples of the true classes: what is lost, averaged over four draws, falls to below half a percent."""
    best, draw, lost = expected(joint, joint), np.random.default_rng(0), []
    for m in (10, 100, 1000):
        each = []
        for _ in range(4):
            samples = [c + draw.normal(size=(m, 2)).astype(np.float32) for c in np.array(CENTERS, np.float32)]
            log_p = jnp.stack([bayes.kernel_density(s, X) for s in samples], -1)
            each.append(best - expected(log_p + np.log(PRIOR)[None], joint))
        lost.append(np.mean(each))
    assert lost[0] > lost[1] > lost[2] > 0
    assert lost[2] < 0.005


def test_a_classifier_learns_the_posterior():
    """Cross entropy has its minimum at p(y | x): the log odds of N(-1, 1) and N(1, 1) are 2 x."""
    d, x, w = 2.0, *gauss_legendre(-6, 6, 60)
    source = toy.gaussian_mixture([[-1.0], [1.0]], 1.0)
    config = Config(net="mlp", width=32, batch=256, steps=1000, hp=Hp(d_lr=3e-3))
    game = bayes.classifier(config, (1,), 2)
    found = np.asarray(bayes.discriminative(game, bayes.train(game, config, source), x[:, None].astype(np.float32)))
    np.testing.assert_allclose(np.exp(found).sum(1), 1, atol=1e-5)
    truth = densities([[-1.0], [1.0]], x[:, None]) + np.log(0.5)
    # a boundary off by e costs about 0.24 e^2 of accuracy: 0.01 allows 0.2
    assert float(bayes.expected_accuracy(found, truth, w)) > ndtr(d / 2) - 0.01
    p = np.exp(np.asarray(truth, np.float64))
    best = np.asarray(bayes.posterior(truth, np.zeros(2)))
    excess = (w[:, None] * p * (best - found)).sum()  # KL of the two posteriors
    # a fit of p parameters to n points exceeds by p / 2n (Akaike), and by less where not all of them are needed
    assert 0 < excess < 1186 / (2 * 256_000)


@pytest.fixture(scope="module")
def learned(joint):
    """Expected accuracy of a conditional GAN trained for seconds on 2,000 points, labels as they are or shuffled."""
    config = Config(
        kind="conditional",
        net="mlp",
        width=64,
        latent=2,
        batch=100,
        steps=1500,
        hp=Hp(g_lr=1e-3, d_lr=1e-3, r1=1.0, ema_half_life=10_000.0),
    )
    x, y = points(2000, seed=1)
    game, prior, found = games.make(config, (2,), 4), bayes.log_frequencies(y, 4), {}
    for name, labels in {"labels": y, "shuffled": np.random.default_rng(0).permutation(y)}.items():
        state = bayes.train(game, config, data.from_arrays(x, labels))
        found[name] = expected(bayes.generative(game, state, X, 1000) + prior[None], joint)
    return found


def test_a_conditional_gan_classifies_by_bayes_rule(joint, learned):
    """Within 3 points of the Bayes accuracy, 37 above the most frequent class; nothing goes beyond it."""
    best = expected(joint, joint)
    assert best - 0.03 < learned["labels"] < best


def test_shuffled_labels_teach_it_nothing(joint, learned):
    """Then p(x | y) is p(x) and the prior decides, for 0.4; the GAN's noise may add less than half of the rest."""
    assert learned["shuffled"] < (0.4 + expected(joint, joint)) / 2
