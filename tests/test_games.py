"""The contract that every kind of GAN meets, over architectures, losses, penalties and solvers."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgan import games, penalties, rng, step
from jaxgan.config import Config, Hp, from_dict
from jaxgan.errors import JaxganError
from jaxgan.losses import LOSSES
from jaxgan.run import generate, initial, latents
from jaxgan.solvers import SOLVERS

CLASSES, BATCH = 3, 8
KINDS = ("plain", "conditional")  # test_kinds.py has the others
SHAPES = {"mlp": (2,), "dcgan": (8, 8, 1)}
# each loss, each penalty and each solver with each kind and each architecture at least once
TABLE = [
    # kind, net, loss, hp, solver, others
    ("plain", "mlp", "minimax", {}, "alternating", {}),
    ("plain", "mlp", "ns", {"r1": 1.0, "r2": 0.5}, "simultaneous", {"fake_batch": 12}),
    ("plain", "mlp", "lsgan", {"r2": 1.0}, "alternating", {"d_steps": 2, "optimizer": "rmsprop"}),
    ("plain", "mlp", "wasserstein", {"clip": 0.3}, "simultaneous", {"d_steps": 3, "optimizer": "rmsprop"}),
    ("plain", "mlp", "hinge", {"wgan_gp": 1.0}, "alternating", {"g_steps": 2}),
    ("plain", "mlp", "rpgan", {"r1": 1.0, "r2": 1.0}, "alternating", {"optimizer": "sgd"}),
    ("conditional", "mlp", "ns", {"r1": 1.0}, "alternating", {}),
    ("conditional", "mlp", "wasserstein", {"wgan_gp": 10.0}, "alternating", {"d_steps": 2}),
    ("conditional", "mlp", "minimax", {"r2": 1.0}, "simultaneous", {"fake_batch": 4}),
    ("conditional", "mlp", "rpgan", {}, "simultaneous", {}),
    ("plain", "mlp", "ns", {}, "extragradient", {}),
    ("conditional", "mlp", "ns", {"r1": 1.0}, "past_extragradient", {}),
    ("plain", "mlp", "lsgan", {}, "optimistic", {}),
    ("conditional", "mlp", "ns", {"r2": 1.0}, "consensus", {}),
    ("plain", "mlp", "hinge", {"lookahead_every": 2.0}, "lookahead", {"d_steps": 2}),
    ("plain", "dcgan", "ns", {}, "alternating", {}),
    ("plain", "dcgan", "wasserstein", {"wgan_gp": 10.0}, "alternating", {}),
    ("plain", "dcgan", "rpgan", {"r1": 1.0, "r2": 1.0}, "simultaneous", {}),
    ("conditional", "dcgan", "hinge", {"r1": 1.0}, "alternating", {}),
    ("conditional", "dcgan", "lsgan", {"r2": 1.0}, "simultaneous", {"fake_batch": 16}),
]
NAMES = ["-".join([*row[:3], *row[3], row[4], *map(str, row[5].values())]) for row in TABLE]
# D's loss does not change when all its logits move by one number, so the bias of its last layer has no gradient
SHIFT_FREE = {"wasserstein", "rpgan"}
SLACK = {"hinge"}  # the same, as long as all logits are inside the margins


def configured(kind="plain", net="mlp", loss="ns", hp=(), solver="alternating", others=()):
    hp = {"g_lr": 0.01, "d_lr": 0.01, "ema_half_life": 8.0, **dict(hp)}
    c = {"kind": kind, "net": net, "loss": loss, "solver": solver, "hp": hp, "width": 8, "latent": 4, "batch": BATCH}
    c = from_dict({**c, **dict(others)})
    return c, games.make(c, SHAPES[net], CLASSES)


def make(kind="plain", net="mlp", *more, **others):
    """A configuration, its game and its first state."""
    c, game = configured(kind, net, *more, **others)
    return c, game, jax.jit(lambda: initial(game, c, SHAPES[net]))()


def batches(game, shape, i=0, n=BATCH):
    r = np.random.default_rng(i)
    x = np.tanh(r.normal(size=(game.updates, n, *shape))).astype(np.float32)
    return {"x": x, "y": r.integers(0, CLASSES, (game.updates, n)).astype(np.int32)}


class Counted:
    """A jitted train step that counts how often it is traced."""

    def __init__(self, c, game):
        self.traces = 0

        def advance(state, batches):
            self.traces += 1
            return step.train_step(game, state, batches, SOLVERS[c.solver].step)

        self.call = jax.jit(advance)


def test_the_table_covers_everything():
    kinds = {(row[0], row[1]) for row in TABLE}
    assert kinds == {(k, n) for k in KINDS for n in SHAPES}
    assert {row[2] for row in TABLE} == set(LOSSES)
    for kind in KINDS:
        assert {p for row in TABLE if row[0] == kind for p in row[3]} >= set(penalties.PENALTIES)
        assert {row[4] for row in TABLE if row[0] == kind} >= {"alternating", "simultaneous"}
    assert {row[4] for row in TABLE} == set(SOLVERS)


def watched(game, c):
    """game with the largest |gradient| of each array kept in the optimizer's state, and its first state."""
    largest = optax.GradientTransformation(
        lambda params: jax.tree.map(lambda p: jnp.zeros(()), params),
        lambda g, state, params: (g, jax.tree.map(lambda g, s: jnp.maximum(abs(g).max(), s), g, state)),
    )

    def watch(player):
        return player._replace(tx=lambda hp: optax.chain(largest, player.tx(hp)))

    game = game._replace(players={name: watch(player) for name, player in game.players.items()})
    return game, initial(game, c, SHAPES[c.net])


@pytest.mark.parametrize("row", TABLE, ids=NAMES)
def test_contract(row):
    c, game = configured(*row)
    game, start = watched(game, c)
    counted, state = Counted(c, game), start
    for i in range(5):
        state, metrics = counted.call(state, batches(game, SHAPES[c.net], i))
        bad = [n for n, m in metrics.items() if not np.isfinite(m)]
        assert not bad, f"step {i + 1}: {bad}"
        assert metrics.keys() >= {"d_loss", "g_loss", "d_grad", "g_grad", "d_real", "d_fake", *row[3]} - {
            "clip",
            "lookahead_every",
        }
    assert counted.traces == 1, "the step was compiled again"
    assert int(state.step) == 5
    finite = [np.isfinite(x).all() for x in jax.tree.leaves((state.params, state.vars, state.opt, state.ema))]
    assert all(finite)
    assert_all_learn(c, start, state)
    if c.hp.clip:
        assert max(float(abs(p).max()) for p in jax.tree.leaves(state.params["d"])) <= c.hp.clip * (1 + 1e-5)


def assert_all_learn(c, start, state):
    """Every array has a gradient and moves; but the bias of D's last layer where the loss ignores a shift."""
    largest = {"d": state.opt["d"][0]["d"], "g": state.opt["g"][0]["g"]}
    moved = jax.tree.map(lambda a, b: float(abs(a - b).max()), start.params, state.params)
    for (path, size), change in zip(jax.tree.leaves_with_path(largest), jax.tree.leaves(moved), strict=True):
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        last_bias = name.startswith("d.Head") and name.endswith("bias")
        if last_bias and c.loss in SHIFT_FREE:
            assert size < 1e-6, f"{name} has a gradient, though {c.loss} ignores a shift"
        elif not (last_bias and c.loss in SLACK):
            assert size > 1e-9, f"{name} has no gradient"
            assert change > 0, f"{name} does not move"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("net", sorted(SHAPES))
def test_the_latent_that_is_given_is_used(kind, net):
    _, game, state = make(kind, net)
    z = latents(game, 6, seed=0)
    y = jnp.zeros(6, jnp.int32) if game.classes else None
    x = np.asarray(generate(game, state.ema, z, y))
    assert x.shape == (6, *SHAPES[net])
    np.testing.assert_array_equal(x, generate(game, state.ema, z, y))
    assert len(np.unique(x.reshape(6, -1), axis=0)) == 6, "different latents, different examples"
    swapped = generate(game, state.ema, z[::-1], y)
    np.testing.assert_allclose(x[::-1], swapped, atol=1e-6)
    constant = np.asarray(generate(game, state.ema, jnp.tile(z[:1], (6, 1)), y))
    np.testing.assert_allclose(constant, np.broadcast_to(x[:1], x.shape), atol=1e-6)


@pytest.mark.parametrize("net", sorted(SHAPES))
def test_the_label_that_is_given_is_used(net):
    _, game, state = make("conditional", net)
    z = jnp.tile(latents(game, 1, seed=0), (CLASSES, 1))
    x = np.asarray(generate(game, state.params and step.shown(game, state), z, jnp.arange(CLASSES)))
    assert len(np.unique(x.reshape(CLASSES, -1), axis=0)) == CLASSES, "G depends on the label"
    run = step.runner(game, state.params)
    real = jnp.tile(batches(game, SHAPES[net])["x"][0][:1], (CLASSES, *[1] * len(SHAPES[net])))
    logits = run(state.vars, "d", real, jnp.arange(CLASSES), train=False)[0]
    assert len(np.unique(np.asarray(logits))) == CLASSES, "and so does D"
    assert make("plain", net)[1].classes == 0, "a plain GAN does not look at labels"


@pytest.mark.parametrize(("real_n", "fake_n"), [(8, 8), (8, 4), (4, 8), (8, 12), (12, 8)])
def test_generated_examples_take_the_labels_of_the_real_ones(real_n, fake_n):
    """Also with unequal numbers, and of reals on the same device: with two devices each half labels its half."""
    _, game, state = make("conditional", others={"batch": real_n, "fake_batch": fake_n})
    asked = []

    def run(vars, net, x, y):
        asked.append((net, y))
        return (jnp.zeros((len(x), 2)), vars) if net == "g" else (jnp.zeros(len(x)), vars)

    y = jnp.arange(real_n)
    game.players["g"].loss(run, state.vars, {"x": jnp.zeros((real_n, 2)), "y": y}, state.key, state.hp)
    (_, of_g), (_, of_real), (_, of_fake) = asked
    np.testing.assert_array_equal(of_g, of_fake)
    np.testing.assert_array_equal(of_real, y)
    np.testing.assert_array_equal(of_g, [i * real_n // fake_n for i in range(fake_n)])
    half = fake_n // 2
    assert (np.asarray(of_g)[:half] < real_n // 2).all() and (np.asarray(of_g)[half:] >= real_n // 2).all()


@pytest.mark.parametrize("loss", sorted(LOSSES))
@pytest.mark.parametrize("penalty", ["", *sorted(penalties.PENALTIES)])
def test_unequal_numbers_are_refused_where_rows_are_paired(loss, penalty):
    hp = Hp(**({penalty: 1.0} if penalty else {}))
    c = Config(net="mlp", width=4, loss=loss, batch=8, fake_batch=4, hp=hp)
    paired = [f"loss '{loss}'"] * (loss == "rpgan") + [f"penalty '{penalty}'"] * (penalty == "wgan_gp")
    if not paired:
        games.make(c, (2,))
        return
    with pytest.raises(JaxganError) as e:
        games.make(c, (2,))
    for part in (*paired, "as many of each", "batch=8", "fake_batch=4"):
        assert part in str(e.value)
    games.make(dataclasses.replace(c, fake_batch=8), (2,))


def test_unequal_numbers_are_weighed():
    """D's loss is 2 alpha E sp(-r) + 2 (1 - alpha) E sp(f), alpha = m / (m + n), computed here from D's own logits."""
    _, game, state = make(others={"fake_batch": 12})
    b = {k: v[0] for k, v in batches(game, (2,)).items()}
    total, (_, metrics) = game.players["d"].loss(step.runner(game, state.params), state.vars, b, state.key, state.hp)
    z = rng.normal(rng.stream(state.key, "z"), 12, (4,))
    run = step.runner(game, state.params)
    fake = np.asarray(run(state.vars, "d", run(state.vars, "g", z, None)[0], None)[0], np.float64)
    real = np.asarray(run(state.vars, "d", b["x"], None)[0], np.float64)
    expected = 2 * (np.log1p(np.exp(-real)).sum() + np.log1p(np.exp(fake)).sum()) / 20
    np.testing.assert_allclose(total, expected, rtol=1e-5)
    np.testing.assert_allclose([metrics["d_real"], metrics["d_fake"]], [real.mean(), fake.mean()], atol=1e-6)


def test_conditional_needs_labels():
    with pytest.raises(JaxganError, match="no labels"):
        games.make(Config(kind="conditional", net="mlp"), (2,), 0)


@pytest.mark.parametrize("name", sorted(penalties.PENALTIES))
def test_a_penalty_of_weight_0_is_not_in_the_program(name, monkeypatch):
    def bomb(*args):
        raise AssertionError("computed")

    monkeypatch.setitem(penalties.PENALTIES, name, bomb)
    c, game, state = make()
    jax.eval_shape(Counted(c, game).call, state, batches(game, (2,)))
    c, game, state = make(hp={name: 1e-9})
    with pytest.raises(AssertionError, match="computed"):
        jax.eval_shape(Counted(c, game).call, state, batches(game, (2,)))


@pytest.mark.parametrize("name", sorted(penalties.PENALTIES))
def test_the_weight_multiplies_the_penalty(name):
    _, game, state = make(hp={name: 1.0})
    b = {k: v[0] for k, v in batches(game, (2,)).items()}

    @jax.jit
    def field(weight):
        s = dataclasses.replace(state, hp={**state.hp, name: weight})
        grads, _, metrics = step.field(game, "d", s, b, state.key)
        return metrics, grads

    (at0, g0), (at1, g1), (at3, g3) = map(field, (0.0, 1.0, 3.0))
    assert at1[name] > 1e-4
    np.testing.assert_allclose(at1["d_loss"], at0["d_loss"] + at1[name], rtol=1e-5)
    np.testing.assert_allclose(at3["d_loss"], at0["d_loss"] + 3 * at1[name], rtol=1e-5)
    three = jax.tree.map(lambda a, b: a + 3 * (b - a), g0, g1)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), three, g3)


TRACED = {"g_lr": 0.5, "d_lr": 0.5, "b1": 0.9, "b2": 0.5, "clip": 0.01, "r1": 9.0, "r2": 9.0, "wgan_gp": 9.0}
TRACED |= {"ema_half_life": 1e6, "ema_ramp": 0.5}


def test_every_number_is_traced_and_matters():
    """One program serves all values of hp, and none of them is ignored."""
    solvers = {"consensus", "lookahead", "lookahead_every"}  # test_solvers.py finds their values in the rates
    kinds = {"d_class", "g_class", "info", "reconstruct", "kl", "sigma", "margin", "pull_away", "balance", "k_rate"}
    kinds |= {"d_rotation", "g_rotation"}  # test_kinds.py
    assert set(TRACED) | solvers | kinds == {f.name for f in dataclasses.fields(Hp)}
    c, game, state = make(hp={"r1": 1.0, "r2": 1.0, "wgan_gp": 1.0, "clip": 10.0, "ema_ramp": 1.0})
    counted = Counted(c, game)

    def trained(hp):
        s = dataclasses.replace(state, hp={**state.hp, **{n: jnp.float32(v) for n, v in hp.items()}})
        for i in range(3):
            s, _ = counted.call(s, batches(game, (2,), i))
        return np.concatenate([np.ravel(x) for x in jax.tree.leaves((s.params, s.ema))])

    base = trained({})
    for name, value in TRACED.items():
        assert abs(trained({name: value}) - base).max() > 1e-6, f"{name} is ignored"
    assert counted.traces == 1


@pytest.mark.parametrize(("classes", "kind"), [(0, "plain"), (CLASSES, "conditional")])
def test_auto_follows_the_data(classes, kind):
    auto, named = (games.make(Config(kind=k, net="mlp", width=8), (2,), classes) for k in ("auto", kind))
    assert auto.classes == named.classes == classes
    c = Config(kind="auto", net="mlp", width=8)
    trees = [jax.tree.map(jnp.shape, initial(g, c, (2,)).params) for g in (auto, named)]
    assert trees[0] == trees[1]


def test_each_player_has_its_own_rate():
    c, game, state = make()
    for frozen, moving in (("d", "g"), ("g", "d")):
        hp = {**state.hp, f"{frozen}_lr": jnp.float32(0)}
        new, _ = Counted(c, game).call(dataclasses.replace(state, hp=hp), batches(game, (2,)))
        same = jax.tree.map(lambda a, b: bool((a == b).all()), state.params, new.params)
        assert all(jax.tree.leaves(same[frozen])) and not all(jax.tree.leaves(same[moving]))


def test_steps_per_player_are_made():
    _, game, _ = make(others={"d_steps": 3, "g_steps": 2})
    assert game.updates == 5 and [p.steps for p in game.players.values()] == [3, 2]
    assert list(game.players) == ["d", "g"], "D moves first, as in the paper's algorithm 1"


def test_batch_statistics_follow_their_own_player():
    """D's running statistics move in D's update, G's in G's; with the other's rate at 0 nothing else changes them."""
    _, game, state = make(net="dcgan", others={"width": 4})
    b = {k: v[0] for k, v in batches(game, SHAPES["dcgan"]).items()}
    for name in ("d", "g"):
        vars = jax.jit(lambda s, b, name=name: step.field(game, name, s, b, s.key)[1])(state, b)
        assert list(vars) == [name]
        old, new = jax.tree.leaves(state.vars[name]), jax.tree.leaves(vars[name])
        assert all((abs(a - b) > 0).any() for a, b in zip(old, new, strict=True))
