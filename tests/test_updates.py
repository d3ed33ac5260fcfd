"""When terms are due, what examples weigh, and the latents that an update starts from."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgan import games, rng, step
from jaxgan.config import Config, Hp
from jaxgan.errors import JaxganError
from jaxgan.games.sides import improved, viewer
from jaxgan.solvers import SOLVERS
from kinds import KEY, ROOM, batches, make, normal


def test_instance_noise_falls_in_a_straight_line():
    for end, at, share in ((10, 0, 1.0), (10, 4, 0.6), (10, 10, 0.0), (10, 99, 0.0), (0, 99, 1.0)):
        config = Config(hp=Hp(noise=0.5, noise_updates=end))
        hp = {name: jnp.float32(value) for name, value in dataclasses.asdict(config.hp).items()}
        x = viewer(config, None)(jnp.ones((ROOM, 2)), KEY, {"clock": {"updates": jnp.int32(at)}}, hp)
        assert abs(np.std(x) - 0.5 * share) < 5 * 0.5 / np.sqrt(4 * ROOM)
        assert share or (x == 1).all()


def test_a_solver_that_looks_ahead_remembers_once():
    """Extragradient takes two gradients a step and makes one move: what D remembers moves once, too."""
    _, game, state = make(hp={"noise": 0.1, "noise_updates": 100.0}, solver="extragradient")
    advance = jax.jit(lambda state, b: step.train_step(game, state, b, SOLVERS["extragradient"].step)[0])
    for i in range(3):
        state = advance(state, batches(game, (2,), i))
    assert int(state.vars["clock"]["updates"]) == 3


def test_the_clock_counts_updates_of_d():
    _, game, state = make(hp={"noise": 0.1, "noise_updates": 100.0}, d_steps=3, g_steps=2)
    advance = jax.jit(lambda state, b: step.train_step(game, state, b, SOLVERS["alternating"].step)[0])
    for i in range(2):
        state = advance(state, batches(game, (2,), i))
    assert int(state.vars["clock"]["updates"]) == 6


@pytest.mark.parametrize("steps", [1, 3])
def test_latents_climb_by_the_rule(steps):
    """For D(G(z)) = w z each step adds alpha w / (beta + ||w||^2): LOGAN, equation 12."""
    w, z = np.float32([3, 4]), jnp.zeros((5, 2))
    hp = {"logan_alpha": 0.9, "logan_beta": 5.0}
    found = improved(lambda z: (z @ w).sum(), z, hp, steps)
    np.testing.assert_allclose(found, np.tile(steps * 0.9 * w / (5 + 25), (5, 1)), rtol=1e-6)


def test_g_sees_improved_latents():
    _, game, state = make(latent_steps=1)
    _, plain, _ = make()
    b = {k: v[0] for k, v in batches(game, (2,)).items()}
    scores = []
    for g in (game, plain):
        _, (_, metrics) = g.players["d"].loss(step.runner(g, state.params), state.vars, b, state.key, state.hp)
        scores.append(float(metrics["d_fake"]))
    assert scores[0] > scores[1] + 1e-4, "D ranks what it is shown higher"


@pytest.mark.parametrize("every", [2, 3])
def test_lazy_penalties_have_the_same_mean_gradient(every):
    """Over as many updates at one point, by linearity; in between they are not felt."""
    hp = {"r1": 1.0, "r2": 0.5}
    _, plain, state = make(hp=hp)
    _, none, _ = make()
    _, game, lazy = make(hp=hp, lazy=every)
    b = {k: v[0] for k, v in batches(plain, (2,)).items()}

    def gradient(game, state):
        grads = step.field(game, "d", state, b, state.key)[0]["d"]
        return np.concatenate([np.ravel(g) for g in jax.tree.leaves(grads)])

    found = []
    for i in range(every):
        vars = {**lazy.vars, "clock": {"updates": jnp.int32(i + 2 * every)}}
        found.append(gradient(game, dataclasses.replace(lazy, vars=vars)))
    np.testing.assert_allclose(np.mean(found, 0), gradient(plain, state), atol=1e-6)
    np.testing.assert_allclose(found[1], gradient(none, state), atol=1e-7)
    assert abs(found[0] - found[1]).max() > 1e-2


def test_lazy_penalties_leave_the_optimizer_as_it_is():
    """Their gradient is added to the loss's: as many steps are made as without, of the same size."""
    for side, settings in (("d", {"lazy": 4}), ("g", {"lazy_g": 4})):
        moved = []
        for others in ({}, settings):
            _, game, state = make(hp={"r1": 1.0, "path_length": 1.0}, **others)
            own = {side: state.params[side]}
            tx = game.players[side].tx(state.hp)
            moved.append(jax.tree.leaves(tx.update(own, tx.init(own), own)[0]))
        jax.tree.map(np.testing.assert_array_equal, *moved)


def test_weighted_real_examples():
    """A batch's "w" multiplies the real terms: weight 0 is as if the example were not there."""
    _, game, state = make()
    b = {k: v[0] for k, v in batches(game, (2,)).items()}
    run = step.runner(game, state.params)

    def loss(batch):
        return float(game.players["d"].loss(run, state.vars, batch, state.key, state.hp)[0])

    w = jnp.float32([2, 2, 2, 2, 0, 0, 0, 0])
    real = np.asarray(run(state.vars, "d", b["x"], None)[0], np.float64)
    change = (w * np.log1p(np.exp(-real))).mean() - np.log1p(np.exp(-real)).mean()
    np.testing.assert_allclose(loss({**b, "w": w}) - loss(b), change, rtol=1e-3, atol=1e-6)
    assert abs(change) > 1e-3
    assert loss({**b, "w": jnp.ones(8)}) == loss(b)


def test_weighted_generated_examples():
    """A batch's "w_fake" multiplies the generated terms, of D and of G; all ones are none."""
    _, game, state = make()
    b = {k: v[0] for k, v in batches(game, (2,)).items()}
    run = step.runner(game, state.params)

    def loss(side, batch):
        return float(game.players[side].loss(run, state.vars, batch, state.key, state.hp)[0])

    w = jnp.float32([0, 2, 2, 2, 0, 0, 2, 0])
    fake = run(state.vars, "g", rng.normal(rng.stream(state.key, "z"), 8, (4,)), None)[0]
    logits = np.asarray(run(state.vars, "d", fake, None)[0], np.float64)
    for side, terms in (("d", np.log1p(np.exp(logits))), ("g", np.log1p(np.exp(-logits)))):
        change = (w * terms).mean() - terms.mean()
        np.testing.assert_allclose(loss(side, {**b, "w_fake": w}) - loss(side, b), change, rtol=1e-3, atol=1e-6)
        assert abs(change) > 1e-4
        assert loss(side, {**b, "w_fake": jnp.ones(8)}) == loss(side, b)
    _, game, state = make(pool=8)
    with pytest.raises(JaxganError, match="leave pool at 0"):
        loss("d", {**b, "w_fake": w})


@pytest.mark.parametrize(("loss", "fakes"), [("lsgan", 8), ("ns", 16), ("ns", 4), ("rpgan", 8)])
def test_a_masked_example_has_no_influence(loss, fakes):
    """Neither on D nor on G: real rows and latents of weight 0 may be anything. n weights come from m as labels do."""
    w, w_fake = jnp.float32([2, 0, 2, 0, 2, 0, 2, 0]), jnp.float32([2, 2, 2, 2, 0, 0, 0, 0])
    config = Config(loss=loss, net="mlp", width=4, latent=2, batch=8, fake_batch=fakes)
    game = games.make(config, (2,))
    state = step.init(game, 0, dataclasses.asdict(config.hp), {"x": jnp.zeros((2, 2))})
    x = jnp.asarray(normal((8, 2)))

    def sized(game, scale):
        """With examples of weight 0 moved by scale."""
        g, of = game.nets["g"], jnp.arange(fakes) * 8 // fakes

        def apply(params, vars, z, y, train):
            out, vars = g.apply(params, vars, z, y, train=train)
            return out + scale * (w_fake[of] == 0)[:, None], vars

        return game._replace(nets={**game.nets, "g": g._replace(apply=apply)})

    def slopes(scale, weights):
        batch = {"x": x + scale * (w == 0)[:, None], **weights}
        played = sized(game, scale)
        return jax.jit(lambda b: [step.field(played, n, state, b, state.key)[0][n] for n in ("d", "g")])(batch)

    weights = {"w": w, "w_fake": w_fake}
    for ours, other in zip(slopes(0.0, weights), slopes(5.0, weights)):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), ours, other)
    changes = [optax.tree.norm(jax.tree.map(jnp.subtract, *pair)) for pair in zip(slopes(0.0, {}), slopes(5.0, {}))]
    assert min(changes) > 1e-3, "without weights they have"


def test_the_way_of_the_latents_is_weighed_in_both_losses():
    """For D(G(z)) = w z one latent step is alpha w / (beta + ||w||^2) long, and D can lower that by its slope."""
    _, game, state = make(hp={"logan_dz": 3.0}, latent_steps=1)
    _, plain, _ = make(latent_steps=1)
    b = {k: jnp.asarray(v[0]) for k, v in batches(game, (2,)).items()}
    z = rng.normal(rng.stream(state.key, "z"), 8, (4,))

    def way(params):
        run = step.runner(game, params)
        rank = lambda z: run(state.vars, "d", run(state.vars, "g", z, None)[0], None)[0].sum()  # noqa: E731
        return ((improved(rank, z, state.hp, 1) - z) ** 2).sum(1).mean()

    slope = jax.jit(jax.grad(way))(state.params)
    for side in ("d", "g"):
        found, none = (jax.jit(lambda g=g, s=side: step.field(g, s, state, b, state.key))() for g in (game, plain))
        np.testing.assert_allclose(found[2]["logan_dz"], way(state.params), rtol=1e-5)
        np.testing.assert_allclose(found[2][f"{side}_loss"] - none[2][f"{side}_loss"], 3 * way(state.params), rtol=1e-3)
        more = jax.tree.map(lambda a, b, c: a - b - 3 * c, found[0][side], none[0][side], slope[side])
        assert optax.tree.norm(more) < 1e-5 < 1e-3 < optax.tree.norm(slope[side])


def test_lazy_path_length_has_the_same_mean_gradient():
    """At every third update of G, three times as strong; its average length moves at these alone, and D's at none."""
    hp = {"path_length": 1.0, "r1": 1.0}
    _, plain, state = make(hp=hp)
    _, none, _ = make(hp={"r1": 1.0})
    _, game, lazy = make(hp=hp, lazy_g=3)
    b = {k: jnp.asarray(v[0]) for k, v in batches(plain, (2,)).items()}
    own = state.vars["path_length"] | {"updates": jnp.int32(0)}
    assert lazy.vars["path_length"].keys() == own.keys() and "clock" not in lazy.vars

    def compiled(game):
        slope = jax.jit(lambda state: step.field(game, "g", state, b, state.key)[:2])

        def gradient(state):
            grads, vars = slope(state)
            return np.concatenate([np.ravel(g) for g in jax.tree.leaves(grads["g"])]), vars

        return gradient

    gradient, found, memory = compiled(game), [], lazy.vars["path_length"] | {"updates": jnp.int32(6)}
    for i in range(3):
        slope, vars = gradient(dataclasses.replace(lazy, vars={**lazy.vars, "path_length": memory}))
        found.append(slope)
        assert int(vars["path_length"]["updates"]) == 7 + i
        assert (vars["path_length"]["mean"] != memory["mean"]) == (i == 0)
        memory = vars["path_length"] | {"mean": memory["mean"]}
    np.testing.assert_allclose(np.mean(found, 0), compiled(plain)(state)[0], atol=1e-6)
    np.testing.assert_allclose(found[1], compiled(none)(state)[0], atol=1e-7)
    assert abs(found[0] - found[1]).max() > 1e-3
