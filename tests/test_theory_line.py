"""Minimax value, optimal discriminator and four states on the line: what training finds against what theory says."""

import dataclasses
import functools
import runpy
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import ndtr

from jaxgan import rng, step
from jaxgan.data.toy import gaussian_mixture
from jaxgan.state import initial
from jaxgan.theory import divergence, line, value

THEORY = Path(__file__).parent.parent / "experiments/theory"
CLOSE = 0.02  # how near to D*, as a probability, a trained D is asked to come where 99 % of the examples lie
RATIOS = ["1:1", "1:4", "4:1"]
slow = functools.partial(pytest.param, marks=pytest.mark.slow)  # the same proof on more of its cases


@functools.cache
def experiment(name):
    return runpy.run_path(str(THEORY / f"{name}.py"))


def parameters(config):
    """P of D's MLP. A fit of P parameters to N examples by maximum likelihood falls short by P / 2N nats per example.

    V counts two examples: P / N is what a trained D may lack.
    """
    return 2 * config.width + (config.depth - 1) * (config.width + 1) * config.width + config.width + 1


def sigmoid(logit):
    return 1 / (1 + np.exp(-np.asarray(logit)))


# the line itself


def test_transport_of_a_gaussian_is_affine():
    density = gaussian_mixture([[1.5]], 0.7).density
    z = jnp.linspace(-5, 5, 301)
    # interpolation is exact on a straight line; float32 rounds log densities near -12 to 1e-6, and Phi's slope at 5
    # sigma turns that into less than 1e-6 * 1 / 5
    np.testing.assert_allclose(line.transport(density)(z), 1.5 + 0.7 * z, atol=1e-5)


CELL = float(ndtr(5 / 4000) - ndtr(-5 / 4000))  # the largest mass between two of pushforward's points
FLAT = 1e-5  # on a straight line what is left is Phi's curve inside a cell, 2e-7, its tails beyond 5, and float32 sums
CDFS = {  # x(z) -> its cumulative distribution, and how far from it the bins may be: one cell for each branch of G
    "line": (lambda z: 2 * z - 1, lambda x: ndtr((x + 1) / 2), FLAT),
    "falling line": (lambda z: 1 - 2 * z, lambda x: ndtr((x - 1) / 2), FLAT),
    "exponential": (jnp.exp, lambda x: np.where(x > 0, ndtr(np.log(np.maximum(x, 1e-30))), 0), CELL),
    "folded": (abs, lambda x: np.where(x > 0, 2 * ndtr(x) - 1, 0), 2 * CELL),
    "standing still": (lambda z: jnp.maximum(z, 0.5), lambda x: np.where(x >= 0.5, ndtr(x), 0), CELL),
}


@pytest.mark.parametrize("name", CDFS)
def test_pushforward_is_the_distribution_of_g(name):
    """No cumulative probability errs by more than the mass of the cells that it cuts."""
    function, cdf, bound = CDFS[name]
    edges = np.linspace(-4, 4, 200)
    found = np.cumsum(np.asarray(line.pushforward(function, edges), np.float64))
    assert found[-1] == pytest.approx(1, abs=1e-5)  # 200 float32 sums
    assert abs(found[:-1] - cdf(edges[1:-1])).max() < bound


def test_pushforward_of_the_transport_is_the_density():
    weights, means = [0.3, 0.7], [-1.5, 1.0]
    density = gaussian_mixture([[m] for m in means], 0.6, weights).density
    edges = np.linspace(-4, 4, 101)
    exact = sum(a * ndtr((edges - m) / 0.6) for a, m in zip(weights, means))
    found = np.cumsum(np.asarray(line.pushforward(line.transport(density), edges), np.float64))
    assert abs(found[:-1] - exact[1:-1]).max() < CELL


def test_where_there_is_mass_is_the_smallest_set_that_holds_it():
    """For one Gaussian the densest 99 % are |x| < 2.5758, to the distance of two nodes."""
    x, w = divergence.gauss_legendre(-8, 8, 400, 5)
    lp = -0.5 * x**2 - 0.5 * np.log(2 * np.pi)
    where = line.massive(lp, lp, w)
    assert abs(x[where]).max() == pytest.approx(2.5758, abs=0.02)
    assert where[abs(x) < 2.55].all()


# chapter 2: the value, and unequal numbers of examples


@pytest.mark.parametrize("counts", [(20_000, 20_000), (10_000, 40_000), (40_000, 10_000)])
def test_the_sampled_value_is_the_exact_one(counts):
    """Within 4.5 standard errors, which chance breaks once in 150,000; V at equal weights lies further off."""
    e = experiment("minimax_value")
    real, fake = e["examples"](0, *counts)
    found, error = (float(v) for v in value.sampled(e["some_logit"](real[:, 0]), e["some_logit"](fake[:, 0])))
    with jax.enable_x64(True):
        lp, lq = e["densities"]()
        alpha = counts[0] / sum(counts)
        exact, equal = (float(value.value(e["some_logit"](e["X"]), lp, lq, e["W"], a)) for a in (alpha, 0.5))
    assert abs(found - exact) < 4.5 * error
    if alpha != 0.5:
        assert abs(found - equal) > 4.5 * error


@pytest.mark.parametrize("counts", [(50, 200), (200, 50)])
def test_the_standard_error_is_the_spread_of_the_sampled_value(counts):
    """Errors over the standard error have variance 1: 2000 of them within 4.5 standard deviations of chi-square."""
    e = experiment("minimax_value")
    real, fake = e["examples"](1, 2000 * counts[0], 2000 * counts[1])
    both = (e["some_logit"](x[:, 0]).reshape(2000, -1) for x in (real, fake))
    found, error = jax.vmap(value.sampled)(*both)
    with jax.enable_x64(True):
        lp, lq = e["densities"]()
        exact = float(value.value(e["some_logit"](e["X"]), lp, lq, e["W"], counts[0] / sum(counts)))
    squares = ((np.asarray(found) - exact) / np.asarray(error)) ** 2
    # a variance estimated from 50 examples makes it a t variable, whose variance is larger by 2 / 50
    assert abs(squares.mean() - 1) < 4.5 * np.sqrt(2 / 2000) + 2 / 50


@pytest.mark.parametrize("alpha", [0.5, 0.2, 0.8])
def test_value_at_the_optimum_for_unequal_numbers(alpha):
    """V(D*) = -2 H(alpha) + 2 (alpha KL(p || m) + (1 - alpha) KL(q || m)): G's optimum is p for any alpha."""
    e = experiment("minimax_value")
    with jax.enable_x64(True):
        (lp, lq), w = e["densities"](), e["W"]
        lm = np.logaddexp(np.log(alpha) + lp, np.log(1 - alpha) + lq)
        skewed = alpha * divergence.kl(lp, lm, w) + (1 - alpha) * divergence.kl(lq, lm, w)
        entropy = -alpha * np.log(alpha) - (1 - alpha) * np.log(1 - alpha)
        found = value.value(value.optimal_logit(lp, lq, alpha), lp, lq, w, alpha)
        assert float(found) == pytest.approx(float(-2 * entropy + 2 * skewed), abs=1e-9)
        at_data = value.value(value.optimal_logit(lp, lp, alpha), lp, lp, w, alpha)
        assert float(at_data) == pytest.approx(-2 * entropy, abs=1e-9) and float(found) > float(at_data)


@functools.cache
def trained(ratio):
    e = experiment("minimax_value")
    return e["trained"](ratio)


@pytest.mark.parametrize("ratio", [RATIOS[1], *map(slow, [RATIOS[0], RATIOS[2]])])
def test_a_trained_d_is_the_optimum_of_its_own_ratio(optimised_once, ratio):
    """alpha p / (alpha p + (1 - alpha) q), and p / (p + q) once log(alpha / (1 - alpha)) is taken from its logit."""
    e = experiment("minimax_value")
    m, n = e["RATIOS"][ratio]
    alpha = m / (m + n)
    with jax.enable_x64(True):
        (lp, lq), w = e["densities"](), e["W"]
        logit = trained(ratio)
        corrected = logit - np.log(alpha / (1 - alpha))
        assert line.distances(logit, lp, lq, w, alpha).max() < CLOSE
        assert (
            line.distances(corrected, lp, lq, w).max() < 1.5 * CLOSE
        )  # taking c away stretches errors, 4 times at most
        best = value.optimal_logit(lp, lq, alpha)
        own = float(value.value(best, lp, lq, w, alpha) - value.value(logit, lp, lq, w, alpha))
        assert 0 <= own < parameters(e["CONFIG"]) / ((m + n) * e["CONFIG"].steps)
        if alpha != 0.5:  # read as p / (p + q), D falls short of the maximum at equal weights, by a closed form
            top, biased, found, mended = (float(value.value(v, lp, lq, w)) for v in (lp - lq, best, logit, corrected))
            # dV / dD at D_alpha is (1 / alpha - 1 / (1 - alpha)) (alpha p + (1 - alpha) q), a factor times a density
            assert top - found == pytest.approx(top - biased, abs=CLOSE * abs(1 / alpha - 1 / (1 - alpha)))
            assert 0 <= top - mended < (top - found) / 100


@pytest.mark.slow  # the quick one above holds a D of an unequal ratio to its optimum, from which this follows
@pytest.mark.parametrize("pair", [("1:1", "1:4"), ("1:1", "4:1"), ("1:4", "4:1")])
def test_ds_of_two_ratios_differ_by_the_closed_form(pair):
    """sup |D_a - D_b| = tanh(|c_a - c_b| / 4), c = log(alpha / (1 - alpha)): where the two logits are opposite."""
    e = experiment("minimax_value")
    c = [np.log(np.divide(*e["RATIOS"][ratio])) for ratio in pair]
    with jax.enable_x64(True):
        where = line.massive(*e["densities"](), e["W"])
    found = abs(sigmoid(trained(pair[0])) - sigmoid(trained(pair[1])))[where].max()
    assert found == pytest.approx(np.tanh(abs(c[0] - c[1]) / 4), abs=2 * CLOSE)


# chapter 4: the optimal discriminator


@pytest.mark.parametrize("name", [slow("shifted"), slow("unequal widths"), "two mixtures"])
def test_a_trained_d_reaches_the_optimal_one(name):
    """sup |D - D*| < 0.02 where 99 % of the examples lie, and V rises to -log 4 + 2 JSD, which it never exceeds."""
    e = experiment("optimal_discriminator")
    config, found = e["CONFIG"], e["solve"](*e["PAIRS"][name])
    assert found["sup"][-1] < CLOSE < found["sup"][0]
    # the toys hold centres and weights in float32, so that their masses are 1 to about 1e-7
    assert found["best"] == pytest.approx(found["bound"], abs=1e-6)
    assert (found["value"] <= found["best"] + 1e-9).all()
    gap = found["best"] - found["value"]
    assert gap[-1] < parameters(config) / (2 * config.batch * config.steps) < gap[0]


def test_what_v_lacks_is_twice_the_divergence_of_d_from_the_optimal_one():
    """V(D*) - V(D) = 2 E_m KL(Bernoulli(D*) || Bernoulli(D)), m = (p + q) / 2: an identity, for any D."""
    e = experiment("minimax_value")
    with jax.enable_x64(True):
        (lp, lq), w = e["densities"](), e["W"]
        best, some = lp - lq, np.asarray(e["some_logit"](e["X"]))
        log_d, log_not = (lambda t: -np.logaddexp(0, -t)), (lambda t: -np.logaddexp(0, t))
        kl = sigmoid(best) * (log_d(best) - log_d(some)) + sigmoid(-best) * (log_not(best) - log_not(some))
        right = 2 * (w * np.exp(np.logaddexp(lp, lq) - np.log(2)) * kl).sum()
        left = value.value(best, lp, lq, w) - value.value(some, lp, lq, w)
        assert float(left) == pytest.approx(right, abs=1e-9)


# chapter 3: the four states


def test_against_the_optimal_d_the_generator_descends_the_jensen_shannon_divergence():
    """step.field of G, D = D* held fixed, is the gradient of 2 JSD(p || p_g): the envelope theorem, by two ways."""
    e = experiment("four_states")
    mean, std = 1.0, 0.7
    game = e["game_of"](dataclasses.replace(e["CONFIG"], batch=4096, seed=8))
    state = initial(game, dataclasses.replace(e["CONFIG"], seed=8), (1,))
    m, s = 0.0, abs(float(state.params["g"]["Dense_0"]["kernel"][0, 0]))  # G is z -> s z, up to z's sign

    def log_normal(x, m, s):
        return -0.5 * ((x - m) / s) ** 2 - jnp.log(s) - 0.5 * np.log(2 * np.pi)

    def optimal(x):
        return value.optimal_logit(log_normal(x[:, 0], mean, std), log_normal(x[:, 0], m, s))

    game = game._replace(nets={**game.nets, "d": line.frozen(optimal)})
    state = dataclasses.replace(state, params={**state.params, "d": {}}, vars={**state.vars, "d": {}})
    batch = {"x": jnp.zeros((4096, 1)), "y": jnp.zeros(4096, jnp.int32)}  # the minimax G does not look at it
    one = jax.jit(jax.vmap(lambda key: step.field(game, "g", state, batch, key)[0]["g"]["Dense_0"]))
    grads = one(rng.examples(rng.root(0), 64))
    x, w = divergence.gauss_legendre(-12, 12, 300)
    with jax.enable_x64(True):
        two_jsd = lambda own: 2 * divergence.jsd(log_normal(x, mean, std), log_normal(x, *own), w)  # noqa: E731
        exact = jax.grad(two_jsd)((jnp.float64(m), jnp.float64(s)))
    for name, slope in zip(("bias", "kernel"), exact):
        found = np.asarray(grads[name], np.float64).ravel()
        found = found * np.sign(state.params["g"]["Dense_0"]["kernel"][0, 0]) if name == "kernel" else found
        error = found.std(ddof=1) / 8  # of the mean of 64 batches
        assert abs(found.mean() - float(slope)) < 5 * error
        assert abs(float(slope)) > 20 * error


@functools.cache
def looks():
    e = experiment("four_states")
    return line.four_states(e["game_of"](), e["CONFIG"], e["SOURCE"], e["EDGES"], e["D_STEPS"], e["G_STEPS"], 100)


@functools.cache
def states():
    e, seen = experiment("four_states"), looks()
    at = {"A": ("B", 0), "B": ("B", -1), "C": ("C", -1), "D": ("D", -1)}
    return {s: e["numbers"](seen[of]["logit"][i], seen[of]["lq"][i], e["log_data"]()) for s, (of, i) in at.items()}


def test_a_to_b_only_d_moves_and_finds_its_optimum():
    found, (first, *_, last) = states(), looks()["B"]["x"]
    assert (first == last).all() and found["A"]["jsd"] > 0.05
    assert found["B"]["sup"] < CLOSE < 0.1 < found["A"]["sup"]
    assert found["A"]["value"] < found["B"]["value"] <= 2 * found["B"]["jsd"] + 1e-6


def test_b_to_c_only_g_moves_and_comes_closer_to_the_data():
    found, (first, *_, last) = states(), looks()["C"]["logit"]
    assert (first == last).all()
    assert found["C"]["jsd"] < 0.9 * found["B"]["jsd"]
    assert found["C"]["value"] < found["B"]["value"]


def test_at_d_the_model_is_the_data_and_d_is_one_half():
    """As near as one batch of n allows: to fit mean and width to it by maximum likelihood misses by 2 / 2n nats.

    JSD is a quarter of that. The falling learning rate averages over many batches, so that training does no worse.
    """
    found, n = states()["D"], experiment("four_states")["CONFIG"].batch
    bound = 2 / (8 * n)
    assert found["jsd"] < bound
    # such a fit is off by sigma / sqrt n in the mean and sigma / sqrt 2n in the width: at t = 2.58 sigma, the rim of
    # 99 %, the log ratio is t / sqrt n + (t^2 - 1) / sqrt 2n, and D a quarter of it from 1/2
    rim = 2.58 / np.sqrt(n) + (2.58**2 - 1) / np.sqrt(2 * n)
    assert found["half"] < CLOSE + rim / 4
    # V + log 4 <= 2 JSD for every D, and lower by 2 E KL(D* || D), about 4 (D - D*)^2 near D* = 1/2
    assert -4 * CLOSE**2 < found["value"] < 2 * bound
    assert states()["C"]["jsd"] > 20 * bound


def test_more_inner_steps_keep_d_nearer_to_its_optimum():
    """k updates of D for each of G: while G moves, D lags behind D* at k = 1, and follows it at k = 20."""
    e = experiment("four_states")
    config = dataclasses.replace(e["SLOW"], steps=200)
    # D relaxes to D* at a rate that is proportional to k, so that behind a target that moves it lags by 1 / k of that;
    # the noise of the batches does not shrink: a half, where 1 / 20 is the ideal
    away = [e["inner_steps"](k, config)["mean"][2:].mean() for k in (1, 20)]
    assert away[1] < away[0] / 2
