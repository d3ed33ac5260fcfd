"""Games with an encoder: what each computes against its formula."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import data, draw, games, rng, step
from jaxgan.config import Config, from_dict
from jaxgan.errors import JaxganError
from jaxgan.games import encoder
from kinds import CLASSES, batches, configured, started, untrained


def test_a_run_encodes_and_reconstructs():
    """By E and then G of the average, at evaluation; examples of another shape and missing labels are named."""
    run, x = untrained("lrgan"), np.random.default_rng(0).normal(size=(300, 2)).astype(np.float32)
    y = np.arange(300) % CLASSES
    z = run.encode(x, y)
    net, state = run.game.nets["e"], run.state
    expected, _ = net.apply(state.ema["e"]["params"], state.ema["e"]["vars"], x, y, train=False)
    np.testing.assert_allclose(z, expected, atol=1e-6)
    np.testing.assert_allclose(run.reconstruct(x, y), run.generate(z, y), atol=1e-6)
    for wrong, words in (((x[:, :1], y), r"expected \[n, 2\]"), ((x,), "give the labels")):
        with pytest.raises(JaxganError, match=words):
            run.encode(*wrong)


@pytest.mark.parametrize("name", ["vae-y", "vaegan"])
def test_the_code_of_an_example_is_its_mean(name):
    """And not the log variance that E gives beside it."""
    run, x = untrained(name), np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    y, e = np.arange(5) % CLASSES, run.state.ema["e"]
    both, _ = run.game.nets["e"].apply(e["params"], e["vars"], x, y, train=False)
    assert both.shape == (5, 2 * run.config.latent)
    np.testing.assert_allclose(run.encode(x, y), both[:, : run.config.latent], atol=1e-6)


def test_reconstructions_lie_below_their_originals_with_their_labels(monkeypatch):
    """19 rows of data: two whole rows of 8, and each of them above its reconstructions."""
    run = untrained("lrgan")
    x, y = np.random.default_rng(0).normal(size=(19, 2)).astype(np.float32), np.arange(19, dtype=np.int32) % CLASSES
    monkeypatch.setattr(data, "open_source", lambda name, **fields: data.from_arrays(x, y))
    shown, labels, columns = draw.reconstructed(run, 3, 0, True)
    assert len(shown) == len(labels) == 32 and columns == 8
    shown, labels = shown.reshape(2, 2, 8, 2), labels.reshape(2, 2, 8)
    np.testing.assert_array_equal(labels[:, 0], labels[:, 1])
    again = run.reconstruct(shown[:, 0].reshape(16, 2), labels[:, 0].ravel()).reshape(2, 8, 2)
    np.testing.assert_allclose(shown[:, 1], again, atol=1e-6)


@pytest.mark.parametrize("loss", ["lsgan", "ns"])
def test_bigan_keeps_the_targets_of_its_loss(loss):
    c, game, shape = configured("bigan", net="mlp", loss=loss, hp={})
    state, batch = started(c, game, shape), jax.tree.map(lambda b: b[0], batches(game, shape))

    @jax.jit
    def found(target):
        moved = dataclasses.replace(state, hp={**state.hp, "real_target": target})
        return [step.field(game, name, moved, batch, state.key)[2][f"{name}_loss"] for name in ("d", "g")]

    assert all(abs(a - b) > 1e-3 for a, b in zip(found(1.0), found(0.5), strict=True))


def test_kl_per_example():
    """KL(N(m, s^2) || N(0, 1)) = log(1/s) + (s^2 + m^2 - 1) / 2 of each coordinate, summed; 0 for the prior itself."""
    m, s = np.array([[0.0, 0.0], [1.5, -0.5]]), np.array([[1.0, 1.0], [0.3, 2.0]])
    expected = (-np.log(s) + (s**2 + m**2 - 1) / 2).sum(1)
    np.testing.assert_allclose(encoder.kl(m, 2 * np.log(s)), expected, rtol=1e-6)
    assert encoder.kl(m, 2 * np.log(s))[0] == 0


def linear_vae(logvar, w=1.3, b=0.7):
    """The vae game with E(x) = (w x, logvar) and G(z) = b z on numbers, so that everything is Gaussian."""
    c = Config(kind="vae", net="mlp", latent=1, width=4)
    game = games.make(c, (1,))

    def run(vars, net, x, y):
        if net == "e":
            return jnp.concatenate([w * x, jnp.full_like(x, logvar)], 1), vars
        return b * x, vars

    return game.players["g"].loss, run, w, b


def test_elbo_is_that_of_a_linear_gaussian_model():
    """E_q log N(x; b z, s^2) - KL in closed form, and the evidence N(x; 0, b^2 + s^2) at the exact posterior."""
    sigma, logvar, n = 0.5, -0.8, 40_000
    loss, run, w, b = linear_vae(logvar)
    x = jnp.full((n, 1), 1.1)
    hp = {"sigma": jnp.float32(sigma), "kl": jnp.float32(1)}
    found, (_, metrics) = loss(run, {}, {"x": x}, rng.root(0), hp)
    var = math.exp(logvar)
    error = ((1.1 - b * w * 1.1) ** 2 + b**2 * var) / (2 * sigma**2) + 0.5 * math.log(2 * math.pi * sigma**2)
    divergence = 0.5 * ((w * 1.1) ** 2 + var - 1 - logvar)
    # the draw's own spread: (x - b z)^2 / 2 s^2 has a standard deviation of about 2 here
    np.testing.assert_allclose(metrics["kl"], divergence, rtol=1e-5)
    np.testing.assert_allclose(found, error + divergence, atol=5 * 2 / math.sqrt(n))
    np.testing.assert_allclose(metrics["elbo"], -found, rtol=1e-6)
    precision = 1 + b**2 / sigma**2
    loss, run, *_ = linear_vae(-math.log(precision), w=b / sigma**2 / precision)
    evidence = -0.5 * math.log(2 * math.pi * (b**2 + sigma**2)) - 1.1**2 / (2 * (b**2 + sigma**2))
    found, _ = loss(run, {}, {"x": x}, rng.root(1), hp)
    np.testing.assert_allclose(-found, evidence, atol=5 * 1 / math.sqrt(n))


def test_the_posterior_is_drawn_with_its_standard_deviation():
    """exp(logvar / 2), not exp(logvar)."""
    logvar = 2.0
    run = lambda vars, net, x, y: (jnp.concatenate([x, jnp.full_like(x, logvar)], 1), vars)  # noqa: E731
    *_, z, _ = encoder.posterior(run, {}, jnp.zeros((40_000, 1)), None, rng.root(0), None)
    np.testing.assert_allclose(z.std(), math.exp(1), rtol=5 / math.sqrt(2 * 40_000))


def test_encoder_and_generator_play_d_s_loss_with_the_sides_exchanged():
    c, game, shape = configured("bigan", loss="ns", net="mlp")
    state = started(c, game, shape)
    batch = jax.tree.map(lambda b: b[0], batches(game, shape))
    loss, (_, metrics) = game.players["d"].loss(step.runner(game, state.params), state.vars, batch, state.key, state.hp)
    other, _ = game.players["g"].loss(step.runner(game, state.params), state.vars, batch, state.key, state.hp)
    # softplus(-a) + softplus(a) - ... : sp(a) - sp(-a) = a, so the two losses differ by the mean logits alone
    plain = loss - state.hp["r1"] * metrics["r1"]
    np.testing.assert_allclose(other - plain, metrics["d_real"] - metrics["d_fake"], atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "fields", "words"),
    [
        ("vae", {"d_steps": 2}, "d_steps"),
        ("vae", {"hp": {"r1": 1.0}}, "hp.r1"),
        ("vae", {"hp": {"sigma": 0.0}}, "hp.sigma"),
        ("vaegan", {"fake_batch": 4}, "fake_batch"),
        ("bigan", {"pool": 4}, "pool"),
        ("ssgan", {}, "square images"),
        ("infogan", {"codes": ()}, "without codes"),
    ],
)
def test_what_a_kind_could_only_ignore_is_refused(kind, fields, words):
    with pytest.raises(JaxganError, match=words):
        games.make(from_dict({"kind": kind, "net": "mlp", **fields}), (2,))


@pytest.mark.parametrize("kind", ["plain", "infogan", "vae"])
def test_conditional_needs_labels(kind):
    with pytest.raises(JaxganError, match="no labels"):
        games.make(Config(kind=kind, net="mlp", conditional=True), (2,), 0)
