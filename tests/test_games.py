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
from jaxgan.games.terms import D_TERMS, G_TERMS
from jaxgan.losses import LOSSES
from jaxgan.run import generate, latents
from jaxgan.solvers import SOLVERS
from jaxgan.state import initial

CLASSES, BATCH = 3, 8
TERMS = (D_TERMS | G_TERMS).keys() - {"own"}  # a place that the user fills, like the loss of this name
OTHER_D = {"gp0": 1.0, "wgan_lp": 1.0, "dragan": 1.0, "lecam": 0.3, "cr": 1.0, "cr_fake": 1.0, "zcr": 1.0}
OTHER_G = {"zcr_g": 0.1, "path_length": 1.0, "feature_matching": 1.0, "logan_dz": 1.0}
JITTER = {"cr_augment": ("jitter",), "latent_steps": 1}
SPECTRAL = {"d_norm": "spectral", "g_norm": "spectral"}
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
    ("plain", "mlp", "ns", {"d_scale": 5.0}, "extragradient_two", {}),
    ("conditional", "mlp", "ns", {"r1": 1.0}, "past_extragradient", {}),
    ("plain", "mlp", "lsgan", {}, "optimistic", {}),
    ("conditional", "mlp", "ns", {"r2": 1.0}, "consensus", {}),
    ("plain", "mlp", "hinge", {"lookahead_every": 2.0}, "lookahead", {"d_steps": 2}),
    ("plain", "dcgan", "ns", {}, "alternating", {}),
    ("plain", "dcgan", "wasserstein", {"wgan_gp": 10.0}, "alternating", {}),
    ("plain", "dcgan", "rpgan", {"r1": 1.0, "r2": 1.0}, "simultaneous", {}),
    ("conditional", "dcgan", "hinge", {"r1": 1.0}, "alternating", {}),
    ("conditional", "dcgan", "lsgan", {"r2": 1.0}, "simultaneous", {"fake_batch": 16}),
    ("plain", "mlp", "f_kl", {"lecam": 0.3, "path_length": 1.0}, "alternating", {"d_steps": 2}),
    ("conditional", "mlp", "f_js", {**OTHER_D, **OTHER_G, "gp_target": 0.1}, "simultaneous", JITTER),
    ("plain", "dcgan", "klgan", {"cr": 1.0, "feature_matching": 1.0}, "alternating", {"augment": ("cutout",)}),
    ("plain", "mlp", "ragan", {"dragan": 1.0, "noise": 0.1, "noise_updates": 4.0}, "alternating", {"d_steps": 2}),
    ("conditional", "mlp", "f_alpha", {"spectral": 0.1, "alpha": 0.3}, "alternating", SPECTRAL),
    ("plain", "mlp", "f_reverse_kl", {"r1": 1.0, "r2": 1.0}, "lookahead", {"lazy": 2}),
    ("plain", "mlp", "f_pearson", {"top_k": 0.5, "orthogonal": 0.01, "max_norm": 1.0}, "alternating", {"pack": 2}),
    ("conditional", "mlp", "f_hellinger", {"gp0": 1.0}, "alternating", {"gradient_norm": True}),
    ("plain", "mlp", "rahinge", {"top_k": 0.5}, "alternating", {"latent_steps": 2}),
    ("conditional", "mlp", "ralsgan", {"clip": 0.3}, "extragradient", {"fake_batch": 4}),
    ("plain", "mlp", "mmd", {"r1": 0.1}, "alternating", {}),
    ("plain", "mlp", "ns", {}, "alternating", {"unroll": 2}),
]
NAMES = ["-".join([*row[:3], *list(row[3])[:3], row[4], *map(str, row[5])]) for row in TABLE]
# D's loss does not change when all its logits move by one number, so the bias of its last layer has no gradient
SHIFT_FREE = {"wasserstein", "rpgan", "ragan", "rahinge", "ralsgan", "mmd"}
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
    assert {row[2] for row in TABLE} == set(LOSSES) - {"own"}
    assert {p for row in TABLE if row[0] == "conditional" for p in row[3]} >= TERMS, "with labels, which go astray"
    for kind in KINDS:
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
        assert metrics.keys() >= {"d_loss", "g_loss", "d_grad", "g_grad", "d_real", "d_fake", *(TERMS & row[3].keys())}
    assert counted.traces == 1, "the step was compiled again"
    assert int(state.step) == 5
    finite = [np.isfinite(x).all() for x in jax.tree.leaves((state.params, state.vars, state.opt, state.ema))]
    assert all(finite)
    assert_all_learn(c, start, state)
    if c.hp.max_norm:
        kernels = [p for p in jax.tree.leaves(state.params["d"]) if p.ndim > 1]
        assert max(float(jnp.linalg.norm(p, axis=0).max()) for p in kernels) <= c.hp.max_norm * (1 + 1e-5)
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


@pytest.mark.parametrize("loss", ["ns", "wasserstein", "ragan", "rpgan", "mmd"])
@pytest.mark.parametrize("penalty", ["", *sorted(penalties.PENALTIES.keys() - {"own"})])
def test_unequal_numbers_are_refused_where_rows_are_paired(loss, penalty):
    hp = Hp(**({penalty: 1.0} if penalty else {}))
    c = Config(net="mlp", width=4, loss=loss, batch=8, fake_batch=4, hp=hp)
    paired = [f"loss '{loss}'"] * (loss in ("rpgan", "mmd"))
    paired += [f"penalty '{penalty}'"] * (penalty in ("wgan_gp", "wgan_lp", "gp0"))
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


def test_a_term_of_weight_0_is_not_in_the_program(monkeypatch):
    for table in (D_TERMS, G_TERMS):
        for name, term in table.items():

            def bomb(*args, name=name):
                raise AssertionError(f"computed {name}")

            monkeypatch.setitem(table, name, term._replace(loss=bomb))
    trace(others=JITTER)
    for name in TERMS | {"own"}:
        with pytest.raises(AssertionError, match=f"computed {name}"):
            trace(hp={name: 1e-9}, others=JITTER)


def trace(**settings):
    """Build the first state and a step, and run neither."""
    c, game = configured(**settings)
    state = jax.eval_shape(lambda: initial(game, c, SHAPES[c.net]))
    jax.eval_shape(Counted(c, game).call, state, batches(game, SHAPES[c.net]))


def test_a_penalty_and_a_loss_of_ones_own(monkeypatch):
    """Until they are there the game can be built, so that a run can be sampled, but not trained."""
    for settings, remedy in (({"loss": "own"}, "LOSSES"), ({"hp": {"own": 1.0}}, "PENALTIES")):
        configured(**settings)
        with pytest.raises(JaxganError, match=rf"{remedy}\['own'\] ="):
            trace(**settings)
    monkeypatch.setitem(LOSSES, "own", LOSSES["ns"])
    monkeypatch.setitem(penalties.PENALTIES, "own", penalties.r1)
    found = []
    for settings in ({"loss": "own", "hp": {"own": 0.5}}, {"hp": {"r1": 0.5}}):
        c, game, state = make(**settings)
        found.append(Counted(c, game).call(state, batches(game, (2,)))[0].params)
    jax.tree.map(np.testing.assert_array_equal, *found)


@pytest.mark.parametrize(("side", "names"), [("d", sorted(D_TERMS.keys() - {"own"})), ("g", sorted(G_TERMS))])
def test_the_weight_multiplies_the_term(side, names):
    """Loss and gradients are those without the term, plus weight times the term's own."""
    _, game, state = make(hp={**dict.fromkeys(names, 1.0), "gp_target": 0.1}, others=JITTER)
    b = {k: v[0] for k, v in batches(game, (2,)).items()}

    @jax.jit
    def field(hp):
        grads, _, metrics = step.field(game, side, dataclasses.replace(state, hp={**state.hp, **hp}), b, state.key)
        return metrics, jnp.concatenate([jnp.ravel(g) for g in jax.tree.leaves(grads)])

    off = dict.fromkeys(names, 0.0)
    at0, g0 = field(off)
    for name in names:
        at1, g1 = field({**off, name: 1.0})
        at3, g3 = field({**off, name: 3.0})
        assert abs(at1[name]) > 1e-6 and abs(g1 - g0).max() > 1e-6, name
        np.testing.assert_allclose(at1[f"{side}_loss"], at0[f"{side}_loss"] + at1[name], rtol=1e-5)
        np.testing.assert_allclose(at3[f"{side}_loss"], at0[f"{side}_loss"] + 3 * at1[name], rtol=1e-5)
        np.testing.assert_allclose(g0 + 3 * (g1 - g0), g3, atol=1e-5 * max(1, abs(g3).max()))


# base hyperparameters, other settings, and for each number another value
TRACED = [
    (
        {"r1": 1.0, "r2": 1.0, "wgan_gp": 1.0, "clip": 10.0, "ema_ramp": 1.0, "d_scale": 2.0},
        {},
        {"g_lr": 0.5, "d_lr": 0.5, "b1": 0.9, "b2": 0.5, "clip": 0.01, "r1": 9.0, "r2": 9.0, "wgan_gp": 9.0}
        | {"ema_half_life": 1e6, "ema_ramp": 0.5, "real_target": 0.5, "d_scale": 5.0},
    ),
    (
        {**OTHER_D, **OTHER_G, "gp_target": 0.1, "top_k": 0.5, "noise": 0.1, "noise_updates": 4.0, "max_norm": 2.0}
        | {"orthogonal": 0.1, "spectral": 0.1},
        {**JITTER, "loss": "lsgan"},
        dict.fromkeys((*OTHER_D, *OTHER_G, "noise", "gp_target", "orthogonal", "zcr_radius", "logan_alpha"), 2.0)
        | {"fake_target": -1.0, "g_target": 0.0, "top_k": 0.25, "noise_updates": 9.0, "max_norm": 0.3}
        | {"lecam_decay": 0.1, "logan_beta": 0.1, "spectral": 2.0},
    ),
    ({"alpha": 0.5}, {"loss": "f_alpha"}, {"alpha": 0.7}),
]


def test_every_number_is_traced_and_matters():
    """One program serves all values of hp, and none of them is ignored."""
    elsewhere = {"consensus", "lookahead", "lookahead_every"}  # test_solvers.py finds their values in the rates
    elsewhere |= {"own"}  # test_a_penalty_and_a_loss_of_ones_own
    elsewhere |= {"d_class", "g_class", "info", "reconstruct", "kl", "sigma", "margin", "pull_away", "balance"}
    elsewhere |= {"k_rate", "d_rotation", "g_rotation"}  # test_kinds.py
    elsewhere |= {"l1", "cycle", "identity"}  # test_translate.py
    known = {name for *_, others in TRACED for name in others}
    assert known | elsewhere == {f.name for f in dataclasses.fields(Hp)}
    for hp, others, changes in TRACED:
        c, game, state = make(hp=hp, others=others)
        counted = Counted(c, game)

        def trained(hp, state=state, game=game, counted=counted):
            s = dataclasses.replace(state, hp={**state.hp, **{n: jnp.float32(v) for n, v in hp.items()}})
            for i in range(3):
                s, _ = counted.call(s, batches(game, (2,), i))
            return np.concatenate([np.ravel(x) for x in jax.tree.leaves((s.params, s.ema))])

        base = trained({})
        for name, value in changes.items():
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
