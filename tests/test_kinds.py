"""Every kind of GAN beyond the plain one: the contract that all meet, and what each computes against its formula."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from matplotlib.figure import Figure
from test_devices import python

from jaxgan import checkpoint, data, draw, games, plots, rng, step
from jaxgan.config import Config, from_dict
from jaxgan.errors import JaxganError
from jaxgan.games import autoencoder, encoder, heads, info, pool, rotation
from jaxgan.games.adversarial import Play
from jaxgan.run import Run, generate, initial, latents
from jaxgan.solvers import SOLVERS
from jaxgan.theory.diagnose import judge

CLASSES, BATCH = 3, 8
SQUARE = (8, 8, 1)
# name: settings; the networks are mlp on points unless they say otherwise
TABLE = {
    "concat": {"kind": "conditional", "head": "concat"},
    "embedding": {"kind": "conditional", "head": "embedding", "net": "dcgan"},
    "ac": {"kind": "conditional", "head": "ac", "hp": {"r1": 1.0, "r2": 1.0}},
    "adc": {"kind": "conditional", "head": "adc", "d_steps": 2, "g_steps": 2},
    "multihinge": {"kind": "conditional", "head": "multihinge"},
    "2c": {"kind": "conditional", "head": "2c"},
    "d2dce": {"kind": "conditional", "head": "d2dce", "fake_batch": 12},
    "infogan": {"kind": "infogan", "codes": (3, 1, 2)},
    "infogan-y": {"kind": "infogan", "conditional": True, "codes": (1,)},
    "ssgan": {"kind": "ssgan", "shape": SQUARE},
    "lrgan": {"kind": "lrgan", "conditional": True, "loss": "hinge"},
    "bigan": {"kind": "bigan", "net": "dcgan", "hp": {"r1": 1.0}},
    "bigan-y": {"kind": "bigan", "conditional": True, "loss": "lsgan", "fake_batch": 12},
    "aae": {"kind": "aae", "conditional": True, "loss": "rpgan", "solver": "simultaneous"},
    "vae": {"kind": "vae", "net": "dcgan"},
    "vae-y": {"kind": "vae", "conditional": True},
    "vaegan": {"kind": "vaegan", "loss": "minimax", "conditional": True},
    "ebgan": {"kind": "ebgan", "conditional": True, "net": "dcgan", "hp": {"margin": 9.0}},
    "began": {"kind": "began", "hp": {"k_rate": 0.1}},
    "pool": {"kind": "conditional", "pool": 20},
}
# at least one of each family; the others share most of their code with one of these, or with test_games.py
GATE = ["d2dce", "infogan", "aae", "vaegan", "began", "pool"]
ROWS = [pytest.param(name, marks=[] if name in GATE else pytest.mark.slow) for name in TABLE]
# the last bias shifts all logits alike: nothing to a loss of differences, or of two that cancel
NO_SHIFT = {"aae": "d.Head_0.Dense_0.bias"}


def configured(name, **more):
    c = {"net": "mlp", "width": 8, "depth": 1, "latent": 4, "batch": BATCH, **TABLE[name], **more}
    shape = c.pop("shape", SQUARE if c["net"] == "dcgan" else (2,))
    c["hp"] = {"g_lr": 0.01, "d_lr": 0.01, "ema_half_life": 8.0, **c.get("hp", {})}
    c = from_dict(c)
    return c, games.make(c, shape, CLASSES), shape


def batches(game, shape, i=0):
    r = np.random.default_rng(i)
    x = np.tanh(r.normal(size=(game.updates, BATCH, *shape))).astype(np.float32)
    return {"x": jnp.asarray(x), "y": jnp.asarray(r.integers(0, CLASSES, (game.updates, BATCH)), jnp.int32)}


LARGEST = optax.GradientTransformation(
    lambda params: jax.tree.map(lambda p: jnp.zeros(()), params),
    lambda g, state, params: (g, jax.tree.map(lambda g, s: jnp.maximum(abs(g).max(), s), g, state)),
)


def watched(game):
    """game with the largest |gradient| of each array kept in the optimizer's state."""

    def watch(player):
        return player._replace(tx=lambda hp: optax.chain(LARGEST, player.tx(hp)))

    return game._replace(players={name: watch(player) for name, player in game.players.items()})


def names(tree):
    return {jax.tree_util.keystr(path, simple=True, separator="."): x for path, x in jax.tree.leaves_with_path(tree)}


def test_the_table_covers_every_kind_and_head():
    settings = TABLE.values()
    assert {c["kind"] for c in settings} | {"plain"} == set(games.KINDS)
    assert {c.get("head", "projection") for c in settings} == {"projection", *heads.HEADS, *heads.MAPS}


@pytest.mark.parametrize("name", ROWS)
def test_contract(name):
    """Three steps, traced once: finite; all learn; samples follow their latents; the state survives saving."""
    c, game, shape = configured(name)
    game, traces = watched(game), []

    def advance(state, batches):
        traces.append(1)
        return step.train_step(game, state, batches, SOLVERS[c.solver].step)

    advance = jax.jit(advance)
    start = state = jax.jit(lambda: initial(game, c, shape))()
    owners = [net for player in game.players.values() for net in player.nets]
    assert sorted(owners) == sorted(game.nets), "every network has one owner"
    for i in range(3):
        state, metrics = advance(state, batches(game, shape, i))
        assert all(map(np.isfinite, metrics.values())), metrics
    assert len(traces) == 1, "compiled again"
    largest = {n: s for p in game.players for n, s in names(state.opt[p][0]).items()}
    moved = names(jax.tree.map(lambda a, b: float(abs(a - b).max()), start.params, state.params))
    assert largest.keys() == moved.keys()
    for array, size in largest.items():
        if array == NO_SHIFT.get(name):
            assert size < 1e-6, f"{array} has a gradient, though the loss ignores a shift"
        else:
            assert size > 1e-9, f"{array} has no gradient"
            assert moved[array] > 0, f"{array} does not move"
    fields = checkpoint.to_host(state)
    again = checkpoint.to_host(checkpoint.from_host(fields))
    assert checkpoint.digest(again) == checkpoint.digest(fields)
    check_samples(game, state, shape)
    if game.encode:
        run = step.runner(game, state.params)
        y = jnp.arange(4) % CLASSES if game.classes else None
        assert game.encode(run, state.vars, batches(game, shape)["x"][0][:4], y).shape == (4, c.latent)


def check_samples(game, state, shape):
    """The z that is given is the z that is used, and so is the label."""
    z, y = latents(game, 6, seed=0), jnp.arange(6) % CLASSES if game.classes else None
    draw = jax.jit(lambda z, y: generate(game, state.ema, z, y))
    x = np.asarray(draw(z, y))
    assert x.shape == (6, *shape)
    assert len(np.unique(x.reshape(6, -1), axis=0)) == 6
    mirrored = draw(z[::-1], None if y is None else y[::-1])
    np.testing.assert_allclose(x[::-1], mirrored, atol=1e-6)
    if game.classes:
        assert (abs(draw(z, (y + 1) % CLASSES) - x).reshape(6, -1).max(1) > 0).all()
    for i in range(z.shape[1]):
        assert abs(draw(z.at[:, i].add(1.0), y) - x).max() > 0, f"entry {i} of the latent is not used"


@pytest.mark.parametrize("name", [n for n in TABLE if n not in ("pool", "vae", "vae-y")])
def test_no_player_moves_what_it_does_not_own(name):
    """With a rate of 0 for the other, a player's whole step leaves the other's parameters as they were."""
    c, game, shape = configured(name)
    state = jax.eval_shape(lambda: initial(game, c, shape))
    batch = jax.tree.map(lambda b: b[0], batches(game, shape))
    for player in game.players:
        grads, vars, _ = jax.eval_shape(lambda s, p=player: step.field(game, p, s, batch, s.key), state)
        assert set(grads) == set(vars) == set(game.players[player].nets)
    assert not {"e", "q"} & set(game.players["d"].nets), "encoders and Q learn with G"


# Class heads


def unit_rows(n, seed, k=5):
    x = np.random.default_rng(seed).normal(size=(n, k))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def play(**fields):
    return Play(**{**dict.fromkeys(Play._fields), **fields})


def test_auxiliary_classifiers_against_cross_entropy():
    r = np.random.default_rng(0)
    real, fake = r.normal(size=(5, 6)).astype(np.float32), r.normal(size=(5, 6)).astype(np.float32)
    y, y_fake = r.integers(0, 3, 5), r.integers(0, 3, 5)
    seen = play(y=y, y_fake=y_fake)
    ce = lambda logits, y: -np.take_along_axis(logits - np.log(np.exp(logits).sum(1, keepdims=True)), y[:, None], 1)  # noqa: E731
    ac, adc = heads.HEADS["ac"], heads.HEADS["adc"]
    np.testing.assert_allclose(ac.d(seen, real, fake), ce(real, y).mean() + ce(fake, y_fake).mean(), rtol=1e-5)
    np.testing.assert_allclose(ac.g(seen, fake), ce(fake, y_fake)[:, 0], rtol=1e-5)
    # Hou et al.: D takes real y for class y of 2k and generated y for class y + k; G pays log C(y + k) - log C(y)
    np.testing.assert_allclose(adc.d(seen, real, fake), ce(real, y).mean() + ce(fake, y_fake + 3).mean(), rtol=1e-5)
    np.testing.assert_allclose(adc.g(seen, fake), (ce(fake, y_fake) - ce(fake, y_fake + 3))[:, 0], rtol=1e-4)


def test_multi_hinge_by_hand():
    """Classes 0, 1 and `generated`, whose score is less D's logit."""
    scores = jnp.array([[2.0, 0.5], [0.0, 0.4]])
    np.testing.assert_allclose(heads.multi_hinge(scores, jnp.array([0, 0])), [0.0, 1.4], atol=1e-6)
    head = heads.HEADS["multihinge"]
    seen = play(
        d_real=jnp.array([3.0, 1.0]), d_fake=jnp.array([-2.0, 0.0]), y=jnp.array([0, 1]), y_fake=jnp.array([0, 1])
    )
    # real: 1 + 0.5 - 2 < 0, and 1 + 0 - 0.4; generated as class 2: 1 + 2 - 2, and 1 + 0.4 - 0
    np.testing.assert_allclose(head.d(seen, scores, scores), (0 + 0.6) / 2 + (1 + 1.4) / 2, rtol=1e-6)
    np.testing.assert_allclose(head.g(seen, scores), [1 + 2 - 2, 1 + 0 - 0.4], rtol=1e-6)
    assert head.alone, "it is the whole loss: the hinge of the scalar logit is not added"


@pytest.mark.parametrize("tau", [1.0, 0.3])
def test_contrastive_loss_against_a_loop(tau):
    """ContraGAN's equation 8, written example by example."""
    y = np.array([0, 0, 1, 2, 0, 1])
    f, proxy = unit_rows(6, 0), unit_rows(3, 1)[y]
    expected = []
    for i in range(6):
        own = math.exp(f[i] @ proxy[i] / tau)
        same = sum(math.exp(f[i] @ f[k] / tau) for k in range(6) if k != i and y[k] == y[i])
        everyone = sum(math.exp(f[i] @ f[k] / tau) for k in range(6) if k != i)
        expected.append(-math.log((own + same) / (own + everyone)))
    found = heads.contrastive(jnp.asarray(f), jnp.asarray(proxy), jnp.asarray(y), tau=tau)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_data_to_data_cross_entropy_against_a_loop():
    """ReACGAN's equation 7: easy positives and easy negatives are cut off at the margins."""
    y, tau, m_p = np.array([0, 0, 1, 2, 0, 1]), 0.5, 0.7
    f, proxy = unit_rows(6, 0), unit_rows(3, 1)[y]
    f[0] = proxy[0]  # beyond m_p
    expected = []
    for i in range(6):
        pull = math.exp(min(f[i] @ proxy[i] - m_p, 0) / tau)
        push = sum(math.exp(max(f[i] @ f[j] - (1 - m_p), 0) / tau) for j in range(6) if y[j] != y[i])
        expected.append(-math.log(pull / (pull + push)))
    found = heads.data_to_data(jnp.asarray(f), jnp.asarray(proxy), jnp.asarray(y), tau=tau, m_p=m_p)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    one_class = heads.data_to_data(jnp.asarray(f), jnp.asarray(proxy), jnp.zeros(6, int))
    np.testing.assert_allclose(one_class, 0, atol=1e-6)  # without negatives there is nothing to tell apart


# InfoGAN


def test_codes_have_their_prior_and_likelihood():
    codes = (4, 1)
    c = jax.vmap(lambda key: info.draw(codes, key))(rng.examples(rng.root(0), 4000))
    share = c[:, :4].mean(0)
    np.testing.assert_allclose(share, 0.25, atol=5 * math.sqrt(0.25 * 0.75 / 4000))  # 5 standard errors
    assert set(np.unique(c[:, :4])) == {0, 1} and (c[:, :4].sum(1) == 1).all()
    assert abs(c[:, 4]).max() <= 1
    np.testing.assert_allclose([c[:, 4].mean(), c[:, 4].var()], [0, 1 / 3], atol=5 / math.sqrt(3 * 4000))
    assert abs(np.corrcoef(c[:, 4], c[:, 0])[0, 1]) < 5 / math.sqrt(4000), "codes are independent"
    q = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)
    log_q = np.log(np.exp(q[:, :4]) / np.exp(q[:, :4]).sum(1, keepdims=True))
    normal = np.exp(-((c[:7, 4] - q[:, 4]) ** 2) / 2) / math.sqrt(2 * math.pi)
    expected = -(log_q * c[:7, :4]).sum(1) - np.log(normal)
    np.testing.assert_allclose(info.negative_log_likelihood(codes, q, c[:7]), expected, rtol=1e-5)
    # a Q that knows the codes still pays 1/2 log 2 pi for each number
    sure = c.at[:, :4].multiply(1e3)
    np.testing.assert_allclose(info.negative_log_likelihood(codes, sure, c), 0.5 * math.log(2 * math.pi), rtol=1e-6)


def test_codes_are_set_where_they_lie():
    codes = (3, 1, 2)
    z = jnp.arange(20.0).reshape(2, 10)
    np.testing.assert_array_equal(info.with_code(codes, z, 0, [2, 0])[:, 4:7], [[0, 0, 1], [1, 0, 0]])
    np.testing.assert_array_equal(info.with_code(codes, z, 1, [0.5, -1])[:, 7], [0.5, -1])
    new = info.with_code(codes, z, 2, [1, 1])
    np.testing.assert_array_equal(new[:, :8], z[:, :8])
    np.testing.assert_array_equal(new[:, 8:], [[0, 1], [0, 1]])
    for i, value, words in (
        (3, 0, "no code 3"),
        (-1, 0, "no code -1"),
        (0, 3, "0 to 2"),
        (0, 0.5, "whole"),
        (1, 2, "-1 to 1"),
    ):
        with pytest.raises(JaxganError, match=words):
            info.with_code(codes, z, i, [value, value])


def test_truncation_and_walks_leave_codes_alone():
    _, game, _ = configured("infogan")
    z, cut = latents(game, 50, 0), latents(game, 50, 0, truncation=0.1)
    np.testing.assert_array_equal(z[:, 4:], cut[:, 4:])
    assert abs(cut[:, :4]).max() <= 0.1 < abs(z[:, :4]).max()
    plain = configured("lrgan")[1]
    np.testing.assert_array_equal(z[:, :4], latents(plain, 50, 0))  # codes move no other draw


def untrained(name):
    c, game, shape = configured(name)
    return Run(c, initial(game, c, shape), {"shape": list(shape), "classes": CLASSES})


def test_a_run_holds_codes_and_walks_over_them():
    run = untrained("infogan")  # codes 3, 1, 2
    walk = run.traverse(0, rows=2, seed=5)
    z = latents(run.game, 2, seed=5)
    for row in range(2):
        for value in range(3):
            one = run.generate(info.with_code((3, 1, 2), z[row : row + 1], 0, [value]))
            np.testing.assert_allclose(walk[3 * row + value], one[0], atol=1e-6)
    assert len(run.traverse(1, rows=2)) == 20 and len(run.traverse(2, rows=2)) == 4
    held = run.sample(4, seed=5, codes={0: 2, 1: [0, 0.5, -0.5, 1]})
    z = latents(run.game, 4, seed=5)
    expected = info.with_code((3, 1, 2), info.with_code((3, 1, 2), z, 0, [2] * 4), 1, [0, 0.5, -0.5, 1])
    np.testing.assert_array_equal(held, run.generate(expected))
    x, _, columns = draw.drawn(run, 5, 0, (), 0.0, False, 0, {}, True)
    assert len(x) == 6 and columns == 3, "whole rows"


# Encoders


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


def test_reconstructions_lie_below_their_originals_with_their_labels(monkeypatch):
    """19 rows of data: two whole rows of 8, and each of them above its reconstructions."""
    run = untrained("lrgan")
    x, y = np.random.default_rng(0).normal(size=(19, 2)).astype(np.float32), np.arange(19, dtype=np.int32) % CLASSES
    monkeypatch.setattr(draw, "open_source", lambda c: data.from_arrays(x, y))
    shown, labels, columns = draw.reconstructed(run, 3, 0, True)
    assert len(shown) == len(labels) == 32 and columns == 8
    shown, labels = shown.reshape(2, 2, 8, 2), labels.reshape(2, 2, 8)
    np.testing.assert_array_equal(labels[:, 0], labels[:, 1])
    again = run.reconstruct(shown[:, 0].reshape(16, 2), labels[:, 0].ravel()).reshape(2, 8, 2)
    np.testing.assert_allclose(shown[:, 1], again, atol=1e-6)


@pytest.mark.parametrize("loss", ["lsgan", "ns"])
def test_bigan_keeps_the_targets_of_its_loss(loss):
    c, game, shape = configured("bigan", net="mlp", loss=loss, hp={})
    state, batch = initial(game, c, shape), jax.tree.map(lambda b: b[0], batches(game, shape))
    found = {}
    for target in (1.0, 0.5):
        hp = {**state.hp, "real_target": jnp.float32(target)}
        moved = dataclasses.replace(state, hp=hp)
        found[target] = [step.field(game, name, moved, batch, state.key)[2][f"{name}_loss"] for name in ("d", "g")]
    assert all(abs(a - b) > 1e-3 for a, b in zip(found[1.0], found[0.5], strict=True))


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
    state = initial(game, c, shape)
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


# Autoencoding discriminators


def test_pull_away_is_0_for_orthogonal_rows_and_1_for_parallel_ones():
    np.testing.assert_allclose(autoencoder.pull_away(3 * jnp.eye(4)), 0, atol=1e-7)
    np.testing.assert_allclose(autoencoder.pull_away(jnp.outer(jnp.array([1.0, -2.0, 5.0]), jnp.ones(3))), 1, rtol=1e-6)
    angle = jnp.array([[1.0, 0.0], [math.cos(1), math.sin(1)]])
    np.testing.assert_allclose(autoencoder.pull_away(angle), math.cos(1) ** 2, rtol=1e-6)


def test_ebgan_s_margin_is_per_example():
    """One example above the margin does not pay for another below it."""
    c, game, shape = configured("ebgan", hp={"margin": 1.0, "pull_away": 0.0})
    state = initial(game, c, shape)

    def run(vars, net, x, y, features=False):
        if net == "g":
            return jnp.zeros((len(x), 2)), vars
        errors = jnp.arange(len(x)) * 0.5 if (x == 0).all() else jnp.full(len(x), 0.3)
        return ((-errors, jnp.ones((len(x), 4))) if features else -errors), vars

    batch = jax.tree.map(lambda b: b[0], batches(game, shape))
    loss, _ = game.players["d"].loss(run, state.vars, batch, state.key, state.hp)
    np.testing.assert_allclose(loss, 0.3 + (1 + 0.5) / BATCH, rtol=1e-6)  # errors 0, 0.5, 1, ...: max(0, 1 - error)
    loss, _ = game.players["g"].loss(run, state.vars, batch, state.key, state.hp)
    np.testing.assert_allclose(loss, 0.5 * 3.5, rtol=1e-6)


def test_began_s_control_by_hand():
    """k += rate (gamma L(x) - L(G(z))), kept in [0, 1], after D's update; M = L(x) + |gamma L(x) - L(G(z))|."""
    c, game, shape = configured("began", hp={"k_rate": 0.5, "balance": 0.75})
    state = initial(game, c, shape)

    def updated(k, real, fake):
        def run(vars, net, x, *y):
            if net == "k":
                return x, {**vars, "k": {"k": x}}
            errors = fake if (x == 0).all() else real
            return (jnp.zeros((len(x), 2)) if net == "g" else jnp.full(len(x), -errors)), vars

        batch = jax.tree.map(lambda b: b[0], batches(game, shape))
        loss, (vars, metrics) = game.players["d"].loss(run, {"k": {"k": k}}, batch, state.key, state.hp)
        return float(loss), float(vars["k"]["k"]), float(metrics["convergence"])

    np.testing.assert_allclose(updated(0.2, 0.8, 0.4), (0.8 - 0.2 * 0.4, 0.2 + 0.5 * 0.2, 0.8 + 0.2), rtol=1e-6)
    np.testing.assert_allclose(updated(0.2, 0.8, 0.7), (0.8 - 0.2 * 0.7, 0.2 - 0.5 * 0.1, 0.8 + 0.1), rtol=1e-6)
    assert updated(0.99, 4.0, 0.0)[1] == 1 and updated(0.01, 0.0, 4.0)[1] == 0


# Pool and rotation


def test_a_pool_is_a_history():
    """Filled first; then each example either passes, or takes a kept one's place, which passes in its stead."""
    net = pool.net(6, None)
    _, vars = net.init(None, jnp.zeros((2, 1)), jnp.zeros(2, jnp.int32))
    seen, swaps = [], 0
    apply = jax.jit(lambda vars, x, y, key: net.apply({}, vars, x, y, key, train=True))
    for i in range(50):
        new = 4.0 * i + jnp.arange(4.0)
        before = np.asarray(vars["kept"][0])[: int(vars["filled"]), 0]
        (x, y), vars = apply(vars, new[:, None], new.astype(jnp.int32), jax.random.fold_in(rng.root(0), i))
        x, kept = np.asarray(x)[:, 0], np.asarray(vars["kept"][0])[: int(vars["filled"]), 0]
        np.testing.assert_array_equal(x, y)  # the label stays with its example
        if i == 0:
            np.testing.assert_array_equal(x, new)
        # nothing is lost and nothing doubled: what came in or was kept is now shown or kept
        if i > 1:
            assert sorted([*x, *kept]) == sorted([*before, *np.asarray(new)])
            swaps += (x != np.asarray(new)).sum()
        seen += list(x)
    assert int(vars["filled"]) == 6
    total = 48 * 4
    assert abs(swaps / total - 0.5) < 5 * math.sqrt(0.25 / total)
    assert np.corrcoef(np.arange(200), seen)[0, 1] > 0.9


def test_the_pool_serves_d_alone():
    c, game, shape = configured("pool")
    state = jax.jit(lambda: initial(game, c, shape))()
    batch = jax.tree.map(lambda b: b[0], batches(game, shape))
    filled = {n: jax.jit(lambda s, n=n: step.field(game, n, s, batch, s.key))(state)[1] for n in ("d", "g")}
    assert int(filled["d"]["pool"]["filled"]) == BATCH and "pool" not in filled["g"]


def test_rotations_are_quarters_of_a_circle():
    x = np.random.default_rng(0).normal(size=(4, 3, 3, 1))
    found = rotation.rotated(jnp.asarray(x), jnp.arange(4))
    for k in range(4):
        np.testing.assert_allclose(found[k], np.rot90(x[k], k), rtol=1e-6)


# Weights, batches, diagnosis, devices


WEIGHTS = {
    ("ac", "d"): ("d_class",),
    ("ac", "g"): ("g_class",),
    ("infogan", "g"): ("info",),
    ("lrgan", "g"): ("reconstruct",),
    ("vaegan", "g"): ("kl", "reconstruct"),
    ("ebgan", "g"): ("pull_away",),
    ("ssgan", "d"): ("d_rotation",),
    ("ssgan", "g"): ("g_rotation",),
}


@pytest.mark.parametrize(("name", "player"), WEIGHTS)
def test_a_weight_multiplies_its_term(name, player):
    c, game, shape = configured(name)
    state = jax.jit(lambda: initial(game, c, shape))()
    batch = jax.tree.map(lambda b: b[0], batches(game, shape))
    loss = game.players[player].loss

    @jax.jit
    def total(hp):
        found, (_, metrics) = loss(step.runner(game, state.params), state.vars, batch, state.key, {**state.hp, **hp})
        return found, metrics

    for weight in WEIGHTS[name, player]:
        (none, metrics), (three, _) = total({weight: 0.0}), total({weight: 3.0})
        assert abs(metrics[weight]) > 1e-6
        np.testing.assert_allclose(three - none, 3 * metrics[weight], rtol=1e-3)


def test_diagnosis_asks_the_game_for_scores():
    """BiGAN's D scores (x, E(x)); where no D judges examples there are no scores, and the picture says so."""
    batch = jax.tree.map(lambda b: b[0], batches(configured("vae-y")[1], (2,)))
    for name in ("bigan-y", "vae-y", "aae"):
        c, game, shape = configured(name)
        state = initial(game, c, shape)
        logits, diversity = judge(game, state, batch, state.key)
        assert np.isfinite(diversity)
        assert set(logits) == ({"training", "generated"} if name == "bigan-y" else set())
        if logits:
            run = step.runner(game, state.params)
            code = game.encode(run, state.vars, batch["x"], batch["y"])
            expected, _ = run(state.vars, "d", batch["x"], (batch["y"], code))
            np.testing.assert_allclose(logits["training"], expected, atol=1e-6)
    axes = Figure().subplots()
    plots._scores(axes, {})
    assert "no D" in axes.get_title()


def test_each_sub_step_has_its_own_batch():
    """Every batch is seen by one update, in order of play."""
    c, game, shape = configured("lrgan", d_steps=2)
    state = initial(game, c, shape)

    def watch(name, player):
        def loss(run, vars, batch, key, hp):
            total, (vars, metrics) = player.loss(run, vars, batch, key, hp)
            return total, (vars, {**metrics, f"seen_{name}": batch["x"].sum()})

        return player._replace(loss=loss)

    players = {name: watch(name, player) for name, player in game.players.items()}
    assert [p.steps for p in players.values()] == [2, 1] and game.updates == 3
    data = batches(game, shape)
    _, metrics = jax.jit(lambda s, b: step.train_step(game._replace(players=players), s, b, SOLVERS[c.solver].step))(
        state, data
    )
    each = data["x"].sum((1, 2))
    np.testing.assert_allclose(metrics["seen_d"], each[:2].mean(), rtol=1e-5)  # a mean over its steps
    np.testing.assert_allclose(metrics["seen_g"], each[2], rtol=1e-5)


DEVICES = """
import sys, json, jax, numpy as np, dataclasses
from jaxgan import config, games, parallel, program, checkpoint
from jaxgan.run import initial
from jaxgan.train import open_source
cases = {
  "2c and pool": dict(kind="conditional", head="2c", pool=12), "began": dict(kind="began", hp={"k_rate": 0.1}),
}
found = {}
for name, values in cases.items():
    rates = {"g_lr": 1e-2, "d_lr": 1e-2, **values.pop("hp", {})}
    c = config.from_dict({"net": "mlp", "data": "ring8", "latent": 2, "width": 8, "batch": 8, "optimizer": "sgd",
                          "steps": 4, "chunk": 4, "parallel": "pmap", "hp": rates, **values})
    source, d = open_source(c), parallel.devices(c.parallel)
    game = games.make(c, source.shape, source.classes, d.axis)
    state = d.replicate(initial(game, c, source.shape))
    state, metrics = program.build(game, source, c, d).advance(state, 0, 4)
    fields = checkpoint.to_host(parallel.local(state))
    found |= {f"{name} {jax.tree_util.keystr(p)}": np.asarray(a) for p, a in jax.tree.leaves_with_path(fields)}
np.savez(sys.argv[1], **found)
"""


@pytest.mark.slow
def test_two_devices_agree_with_one_where_the_batch_is_compared_with_itself(tmp_path):
    """Contrasts, pool and BEGAN's control are those of the global batch. SGD: no rounding is amplified."""
    for devices in (1, 2):
        python(DEVICES, devices, tmp_path / f"{devices}.npz")
    one, two = (dict(np.load(tmp_path / f"{n}.npz")) for n in (1, 2))
    assert one.keys() == two.keys()
    for name in one:
        np.testing.assert_allclose(two[name], one[name], atol=1e-5, err_msg=name)
