"""What plain and conditional games make of their settings: labels, weights, terms, rates, steps."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import games, penalties, rng, step
from jaxgan.config import Config, Hp
from jaxgan.errors import JaxganError
from jaxgan.games.terms import D_TERMS, G_TERMS
from jaxgan.losses import LOSSES
from jaxgan.state import initial
from kinds import CLASSES, JITTER, OTHER_D, OTHER_G, SQUARE, Counted, batches, made, make

TERMS = (D_TERMS | G_TERMS).keys() - {"own"}  # a place that the user fills, like the loss of this name


@pytest.mark.parametrize(("real_n", "fake_n"), [(8, 8), (8, 4), (4, 8), (8, 12), (12, 8)])
def test_generated_examples_take_the_labels_of_the_real_ones(real_n, fake_n):
    """Also with unequal numbers, and of reals on the same device: with two devices each half labels its half."""
    _, game, state = make("conditional", batch=real_n, fake_batch=fake_n)
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
    _, game, state = make(fake_batch=12)
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
    trace(**JITTER)
    for name in TERMS | {"own"}:
        with pytest.raises(AssertionError, match=f"computed {name}"):
            trace(hp={name: 1e-9}, **JITTER)


def trace(**settings):
    """Build the first state and a step, and run neither."""
    c, game, shape = made({"kind": "plain", **settings})
    state = jax.eval_shape(lambda: initial(game, c, shape))
    jax.eval_shape(Counted(c, game).call, state, batches(game, shape))


def test_a_penalty_and_a_loss_of_ones_own(monkeypatch):
    """Until they are there the game can be built, so that a run can be sampled, but not trained."""
    for settings, remedy in (({"loss": "own"}, "LOSSES"), ({"hp": {"own": 1.0}}, "PENALTIES")):
        made(settings)
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
    _, game, state = make(hp={**dict.fromkeys(names, 1.0), "gp_target": 0.1}, **JITTER)
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
        | {"orthogonal": 0.1, "spectral": 0.1, "clip_gradient": 0.5, "base_width": 4.0, "ar_step": 0.1},
        {**JITTER, "loss": "lsgan"},
        dict.fromkeys((*OTHER_D, *OTHER_G, "noise", "gp_target", "orthogonal", "zcr_radius", "logan_alpha"), 2.0)
        | {"fake_target": -1.0, "g_target": 0.0, "top_k": 0.25, "noise_updates": 9.0, "max_norm": 0.3}
        | {"lecam_decay": 0.1, "logan_beta": 0.1, "spectral": 2.0}
        | {"ar_step": 0.3, "clip_gradient": 0.1, "base_width": 8.0},
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
    elsewhere |= {"alignment"}  # test_alignment.py
    elsewhere |= {"level_signal", "consistency"}  # test_levels_of_gat.py, test_totals_kinds.py
    elsewhere |= {"pixel", "perceptual", "adversarial"}  # test_totals_images.py
    elsewhere |= {
        "flip_p",
        "color_p",
        "augment_p",
        "augment_color",
        "ada_target",
        "ada_images",
        "apa_target",
    }  # test_control.py
    known = {name for *_, others in TRACED for name in others}
    assert known | elsewhere == {f.name for f in dataclasses.fields(Hp)}
    for hp, others, changes in TRACED:
        c, game, state = make(hp=hp, **others)
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
    _, game, _ = make(d_steps=3, g_steps=2)
    assert game.updates == 5 and [p.steps for p in game.players.values()] == [3, 2]
    assert list(game.players) == ["d", "g"], "D moves first, as in the paper's algorithm 1"


def test_batch_statistics_follow_their_own_player():
    """D's running statistics move in D's update, G's in G's; with the other's rate at 0 nothing else changes them."""
    _, game, state = make(net="dcgan", width=4)
    b = {k: v[0] for k, v in batches(game, SQUARE).items()}
    for name in ("d", "g"):
        vars = jax.jit(lambda s, b, name=name: step.field(game, name, s, b, s.key)[1])(state, b)
        assert list(vars) == [name]
        old, new = jax.tree.leaves(state.vars[name]), jax.tree.leaves(vars[name])
        assert all((abs(a - b) > 0).any() for a, b in zip(old, new, strict=True))
