"""The game of GAT: nested noise, one augmentation of levels, shared batches, clipped gradients, rates of widths."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import runs
from jaxgan import config, games, rng, step
from jaxgan.config import Config, Hp
from jaxgan.errors import JaxganError
from jaxgan.games import gat
from jaxgan.options import Gat
from jaxgan.solvers import SOLVERS
from kinds import KEY, ROOM, batches, configured, make

T = (0.885, 1.01 - 0.125 ** (2 / 3), 0.51 + 0.5 - 0.125 ** (1 / 3), 0.01)


def test_the_noise_of_levels():
    np.testing.assert_allclose(gat.deviations(0.125, 4), T, rtol=1e-6)
    np.testing.assert_allclose(T[1:3], [0.76, 0.51], rtol=1e-6)
    np.testing.assert_allclose(gat.deviations(0.125, 1), [0.01], rtol=1e-6)
    np.testing.assert_allclose(gat.deviations(1.0, 4), [0.01] * 4, rtol=1e-6)


def test_noise_is_nested():
    """Level k of an image is (1 - t_k) of it and noise t_k: a share of that of level k + 1, and what is independent."""
    e = rng.normal(KEY, ROOM, (4, 1, 1, 1))
    x = jnp.full((ROOM, 1, 1, 4), 2.0)
    seen = np.asarray(gat.noised(x, 0.125, 4, e), np.float64).reshape(ROOM, 4)
    noise = seen - 2 * (1 - np.array(T))
    np.testing.assert_allclose(noise.std(0), T, rtol=5 / np.sqrt(2 * ROOM))
    for k in range(3):
        left = (1 - T[k]) / (1 - T[k + 1])
        new = noise[:, k] - left * noise[:, k + 1]
        np.testing.assert_allclose(seen[:, k] - left * seen[:, k + 1], new, atol=1e-6)
        for later in noise[:, k + 1 :].T:
            assert abs(np.corrcoef(new, later)[0, 1]) < 5 / np.sqrt(ROOM)
        assert new.std() > 0.4, "each level has noise of its own"


def view(count=4, **settings):
    """What D is shown of images with one channel: (x, key) -> x of all levels."""
    c = config.from_dict({"net": "gat", "kind": "gat", **settings})
    shown, hp = gat.levelled(count, 1, c, None), {"level_signal": jnp.float32(c.hp.level_signal)}
    return jax.jit(lambda x, key: shown(x, key, {}, hp))


def test_levels_have_one_augmentation_and_examples_their_own():
    """With hardly any noise; holes of the cutout are where the image of ones is not."""
    shown = view(augment=("translation", "cutout"), hp={"level_signal": 1.0})(jnp.ones((6, 8, 8, 1)), KEY)
    holes = np.asarray(shown) < 0.5
    assert (holes == holes[..., :1]).all() and holes.any() and not holes.all()
    assert len({hole.tobytes() for hole in holes[..., 0]}) > 1


def test_a_real_image_is_its_copies_and_generated_levels_are_as_they_are():
    r, shown = np.random.default_rng(0), view(augment=("translation",))
    x = jnp.asarray(r.normal(size=(5, 8, 8, 1)), jnp.float32)
    np.testing.assert_array_equal(shown(x, KEY), shown(gat.copies(x, 4), KEY))
    levels = jnp.asarray(r.normal(size=(5, 8, 8, 4)), jnp.float32)
    plain = view(hp={"level_signal": 1.0})
    np.testing.assert_allclose(plain(levels, KEY), 0.99 * levels, atol=0.06)
    assert abs(shown(x, KEY) - shown(x, rng.stream(KEY, "other"))).max() > 0.1


def test_one_level_is_a_game_too():
    """The first rung of a ladder: D sees the image, with the noise of the last level."""
    c, game, shape = configured("gat", gat={"depth": 2, "patch": 4, "levels": 1, "features": 4})
    state = jax.eval_shape(
        lambda: step.init(game, 0, vars(c.hp), {"x": jnp.zeros((2, *shape)), "y": jnp.zeros(2, int)})
    )
    assert state.params["d"]["patches"]["kernel"].shape == (16, 8)
    advance = SOLVERS["alternating"].step
    _, metrics = jax.eval_shape(lambda s, b: advance(game, s, b, s.key), state, batches(game, shape))
    assert {"ar1", "ar2", "d_loss", "g_loss"} <= metrics.keys()


def test_scores_are_those_of_a_noisy_image():
    """Under one noise for all, so that an image has one score: that of its copies under the first draw."""
    c, game, shape = configured("gat")
    state = jax.jit(lambda: step.init(game, 0, vars(c.hp), {"x": jnp.zeros((2, *shape)), "y": jnp.zeros(2, int)}))()
    x, y = (b[0] for b in batches(game, shape).values())
    run = step.runner(game, state.params)
    score = jax.jit(lambda x: game.views["score"](run, state.vars, x, y))
    np.testing.assert_array_equal(score(x)[:2], score(x.at[2:].set(0))[:2])
    assert len(np.unique(score(x))) == len(x)


def test_other_networks_are_refused():
    with pytest.raises(JaxganError, match="net 'dcgan' makes one; use --net gat"):
        games.make(Config(kind="gat"), (8, 8, 1))


# What the game brings to all kinds


@pytest.mark.parametrize(
    ("steps", "reuse", "of_d", "of_g"),
    [
        ((1, 1), True, [0], [0]),
        ((3, 1), True, [0, 1, 2], [2]),
        ((1, 2), True, [1], [0, 1]),
        ((2, 1), False, [0, 1], [2]),
    ],
)
def test_reuse_shows_g_what_d_saw_last(steps, reuse, of_d, of_g):
    """Its batch, and the key that makes its latents; without it every update has its own."""
    _, game, state = make(d_steps=steps[0], g_steps=steps[1], reuse=reuse)
    assert game.updates == 1 + max(of_d + of_g)
    x, seen = jnp.arange(game.updates, dtype=float), {"d": [], "g": []}

    def watched(name):
        def loss(run, vars, batch, key, hp):
            seen[name].append((int(batch["x"]), jax.random.key_data(key).tolist()))
            return jnp.float32(0), (vars, {})

        return game.players[name]._replace(loss=loss)

    with jax.disable_jit():
        SOLVERS["alternating"].step(game._replace(players={n: watched(n) for n in seen}), state, {"x": x}, state.key)
    key = lambda u: jax.random.key_data(jax.random.fold_in(state.key, u)).tolist()  # noqa: E731
    assert seen == {"d": [(u, key(u)) for u in of_d], "g": [(u, key(u)) for u in of_g]}


def moved(**settings):
    """How far one step of gradient descent moved G and D, and the gradients' norms."""
    c, game, state = make(optimizer="sgd", **settings)
    new, metrics = jax.jit(lambda s, b: step.train_step(game, s, b, SOLVERS[c.solver].step))(state, batches(game, (2,)))
    flat = lambda tree: np.concatenate([np.ravel(a) for a in jax.tree.leaves(tree)])  # noqa: E731
    return {n: (flat(new.params[n]) - flat(state.params[n]), float(metrics[f"{n}_grad"])) for n in ("d", "g")}


def test_gradients_are_clipped_by_their_norm_and_shorter_ones_are_left():
    usual = moved(hp={"g_lr": 0.0})["d"]
    for bound in (usual[1] / 3, usual[1] * 3):
        found, _ = moved(hp={"g_lr": 0.0, "clip_gradient": bound})["d"]
        np.testing.assert_allclose(found, usual[0] * min(1, bound / usual[1]), rtol=1e-3, atol=3e-7)
    assert moved(hp={"d_lr": 0.0, "clip_gradient": 1e-3})["g"][1] > 2e-3
    np.testing.assert_allclose(np.linalg.norm(moved(hp={"d_lr": 0.0, "clip_gradient": 1e-3})["g"][0]), 1e-5, rtol=1e-2)


def test_the_rate_is_in_inverse_proportion_to_the_width():
    """Of both players, as a product of traced numbers: members of a sweep may differ in it."""
    for side in ("d", "g"):
        still = {"d_lr": 0.0} if side == "g" else {"g_lr": 0.0}
        usual = moved(hp=still)[side][0]
        for base in (4.0, 16.0):
            np.testing.assert_allclose(
                moved(hp={**still, "base_width": base})[side][0], usual * base / 8, rtol=1e-3, atol=3e-7
            )


SMALL = dataclasses.replace(
    runs.BASE,
    kind="gat",
    net="gat",
    conditional=True,
    loss="rpgan",
    augment=("translation", "cutout"),
    reuse=True,
    d_steps=1,
    width=8,
    checkpoint_every=8,
    gat=Gat(depth=2, patch=3, levels=2, features=4),
    hp=Hp(ar1=0.1, ar2=0.1, ar_step=0.01, clip_gradient=1.0, base_width=768.0, b1=0.0, b2=0.99),
)


def test_what_a_run_has_recorded_stays_as_it_was():
    assert not {"gat", "reuse"} & config.to_dict(Config()).keys()


@pytest.mark.slow
def test_a_run_resumes_bit_for_bit(tmp_path):
    alone = runs.trained(tmp_path / "alone", SMALL)
    runs.trained(tmp_path / "two", SMALL, steps=8)
    resumed = runs.trained(tmp_path / "two", SMALL)
    runs.assert_same_bits(alone, resumed)
    assert runs.digests(tmp_path / "alone") == runs.digests(tmp_path / "two")
    written = json.loads((tmp_path / "two" / "config.json").read_text())
    assert written["gat"]["levels"] == 2 and written["reuse"] is True
    assert resumed.sample(3, psi=0.5).shape == (3, 6, 6, 1)
