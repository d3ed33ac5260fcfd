"""The algorithm on games small enough to solve by hand: who moves, when, on which batch, and what is left alone."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import rng, step
from jaxgan.solvers import SOLVERS, alternating, simultaneous
from jaxgan.types import Net
from scalars import BILINEAR, HP, MEANS, H, at, batches, game, start


def jitted(g, solver):
    return jax.jit(lambda state, batches: step.train_step(g, state, batches, SOLVERS[solver].step))


# one step of min_x max_y xy at rate h is this matrix
MATRICES = {
    "simultaneous": np.array([[1, -H], [H, 1]]),
    "alternating": np.array([[1, -H], [H, 1 - H * H]]),
}


def test_every_solver_is_covered():
    assert set(MATRICES) == {name for name, solver in SOLVERS.items() if solver.step in (alternating, simultaneous)}


@pytest.mark.parametrize("solver", sorted(MATRICES))
def test_bilinear_game_step_by_step(solver):
    g = game(BILINEAR, {"x": 1.0, "y": 0.5})
    advance, state = jitted(g, solver), start(g)
    for _ in range(50):
        new, _ = advance(state, batches(g))
        np.testing.assert_allclose(at(new), MATRICES[solver] @ at(state), rtol=1e-6, atol=1e-7)
        if solver == "simultaneous":
            growth = np.linalg.norm(at(new)) / np.linalg.norm(at(state))
            np.testing.assert_allclose(growth, np.sqrt(1 + H**2), rtol=1e-6)
        state = new


@pytest.mark.parametrize(("solver", "radius"), [("simultaneous", np.sqrt(1 + H**2)), ("alternating", 1.0)])
def test_bilinear_game_contraction(solver, radius):
    """1.004988 and 1 per step: the eigenvalues of the step's own Jacobian (Mescheder et al. 2018, arXiv 1801.04406)."""
    g = game(BILINEAR, {"x": 1.0, "y": 0.5})
    state = start(g)

    def map(v):
        params = {"x": {"w": v[0]}, "y": {"w": v[1]}}
        new, _ = step.train_step(g, dataclasses.replace(state, params=params), batches(g), SOLVERS[solver].step)
        return jnp.stack([new.params["x"]["w"], new.params["y"]["w"]])

    values = np.linalg.eigvals(np.asarray(jax.jacobian(map)(jnp.array([0.3, 0.7])), np.float64))
    np.testing.assert_allclose(abs(values), radius, atol=1e-6)
    assert abs(values.imag).min() > 0.05, "they rotate"


def test_alternating_stays_on_its_ellipse():
    g = game(BILINEAR, {"x": 1.0, "y": 0.0})
    advance, state, energy = jitted(g, "alternating"), start(g), []
    for _ in range(300):
        state, _ = advance(state, batches(g))
        x, y = at(state)
        energy.append(x * x + y * y - H * x * y)  # what this map conserves
    np.testing.assert_allclose(energy, 1.0, atol=1e-4)


def test_each_update_has_a_fresh_batch():
    """The gradient is the batch mean, so three updates move x by the sum of three different means."""
    g = game(MEANS, {"x": 0.0, "y": 0.0}, steps=(3, 2))
    assert g.updates == 5
    for solver in MATRICES:
        b = batches(g, b=4)
        state, _ = jitted(g, solver)(start(g), b)
        means = np.asarray(b["x"]).mean(1)
        assert len(set(means.tolist())) == 5
        mine = {"alternating": ([0, 1, 2], [3, 4]), "simultaneous": ([0, 2, 4], [1, 3])}[solver]
        np.testing.assert_allclose(at(state), [-H * means[i].sum() for i in map(list, mine)], rtol=1e-5)


def test_alternating_metrics_are_means_over_the_updates():
    g = game(MEANS, {"x": 1.0, "y": 1.0}, steps=(3, 1))
    b = batches(g, b=4)
    _, metrics = jitted(g, "alternating")(start(g, {**HP, "lr": 0.0}), b)
    means = np.asarray(b["x"]).mean(1)
    np.testing.assert_allclose(metrics["x_loss"], means[:3].mean(), rtol=1e-5)
    np.testing.assert_allclose(metrics["x_grad"], abs(means[:3]).mean(), rtol=1e-5)
    np.testing.assert_allclose(metrics["y_loss"], means[3], rtol=1e-5)


@pytest.mark.parametrize("order", [("x", "y"), ("y", "x")])
def test_players_move_in_the_order_of_the_game(order):
    losses = {name: BILINEAR[name] for name in order}
    g = game(losses, {"x": 1.0, "y": 0.5})
    state, _ = jitted(g, "alternating")(start(g), batches(g))
    x, y = 1.0, 0.5
    for name in order:
        x, y = (x - H * y, y) if name == "x" else (x, y + H * x)
    np.testing.assert_allclose(at(state), [x, y], rtol=1e-6)
    both, _ = jitted(g, "simultaneous")(start(g), batches(g))
    np.testing.assert_allclose(at(both), [1.0 - H * 0.5, 0.5 + H * 1.0], rtol=1e-6)


def test_simultaneous_players_with_more_steps_go_on_alone():
    g = game(BILINEAR, {"x": 1.0, "y": 0.5}, steps=(1, 3))
    state, _ = jitted(g, "simultaneous")(start(g), batches(g))
    x, y = 1.0 - H * 0.5, 0.5 + H * 1.0
    np.testing.assert_allclose(at(state), [x, y + H * x + H * x], rtol=1e-6)


def test_a_move_leaves_what_it_does_not_own_untouched():
    g = game(BILINEAR, {"x": 1.0, "y": 0.5})
    state = start(g)
    for mover, other in (("x", "y"), ("y", "x")):
        grads, vars, _ = step.field(g, mover, state, {"x": jnp.ones(1)}, state.key)
        assert set(grads) == set(vars) == {mover}
        new = step.move(g, mover, state, grads, vars)
        assert new.params[mover]["w"] != state.params[mover]["w"]
        assert new.vars[mover]["ran"] == 1, "its own memory is kept"
        for old, kept in ((state.params, new.params), (state.vars, new.vars), (state.opt, new.opt)):
            assert kept[other] is old[other]
        assert new.ema is state.ema and new.hp is state.hp and new.step is state.step


def test_vars_of_a_net_move_with_its_own_player_only():
    g = game(BILINEAR, {"x": 1.0, "y": 0.5}, steps=(2, 3))
    for solver in MATRICES:
        state, _ = jitted(g, solver)(start(g), batches(g))
        assert (int(state.vars["x"]["ran"]), int(state.vars["y"]["ran"])) == (2, 3)


def test_field_is_the_gradient():
    g = game({"x": lambda x, y, b: x**2 * y, "y": lambda x, y, b: jnp.sin(x * y)}, {"x": 1.5, "y": 0.5})
    state = start(g)
    grads, _, metrics = step.field(g, "x", state, {"x": jnp.ones(1)}, state.key)
    np.testing.assert_allclose(grads["x"]["w"], 2 * 1.5 * 0.5, rtol=1e-6)
    np.testing.assert_allclose([metrics["x_loss"], metrics["x_grad"]], [1.5**2 * 0.5, 1.5], rtol=1e-6)
    grads, _, _ = step.field(g, "y", state, {"x": jnp.ones(1)}, state.key)
    np.testing.assert_allclose(grads["y"]["w"], 1.5 * np.cos(0.75), rtol=1e-6)


def test_field_and_batch_are_averaged_over_a_named_axis():
    whole = game(MEANS, {"x": 0.0, "y": 0.0})
    split = whole._replace(axis="devices")
    hp = {**HP, "ema_half_life": 8.0, "ema_ramp": 1e9}
    b = batches(whole, b=8)
    one, _ = jitted(whole, "alternating")(start(whole, hp), b)
    shares = {"x": b["x"].reshape(2, 4, 2).swapaxes(0, 1)}
    advance = jax.vmap(lambda s, b: step.train_step(split, s, b, alternating), (None, 0), axis_name="devices")
    many, metrics = advance(start(split, hp), shares)
    for i in range(4):
        device = jax.tree.map(lambda x, i=i: x[i], (many.params, many.ema))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), device, (one.params, one.ema))
    np.testing.assert_allclose(metrics["seen"], np.full(4, b["x"][1].mean()), rtol=1e-5)


@pytest.mark.parametrize(
    ("half_life", "ramp"), [(20.0, 1e9), (1000.0, 0.05), (20.0, 0.5), (5e6, 1e9), (0.0, 0.05), (100.0, 0.0)], ids=str
)
def test_average_follows_its_formula(half_life, ramp):
    """Against the recursion in float64: decay = 0.5 ** (batch / min(half-life, ramp * images seen))."""
    g = game(BILINEAR, {"x": 1.0, "y": 0.5})
    hp, size = {**HP, "ema_half_life": half_life, "ema_ramp": ramp}, 7
    advance, state = jitted(g, "simultaneous"), start(g, hp)
    expected, moved = 1.0, []
    for i in range(60):
        state, _ = advance(state, batches(g, b=size))
        x, seen = float(state.params["x"]["w"]), (i + 1) * size
        length = min(half_life, ramp * seen)
        rate = -np.expm1(np.log(0.5) * size / length) if length > 0 else 1.0
        expected += rate * (x - expected)
        found = float(state.ema["x"]["params"]["w"])
        np.testing.assert_allclose(found, expected, atol=3e-6)
        moved.append((found - 1.0, expected - 1.0))
        if length == 0:
            assert found == x, "no averaging is the last generator, to the bit"
        assert int(state.ema["x"]["vars"]["ran"]) == int(state.vars["x"]["ran"]), "counters are taken over as they are"
    found, wanted = np.array(moved[-1])
    # with a long half-life a step adds some 1e-6 to a number near 1, whose unit in float32 is 6e-8
    np.testing.assert_allclose(found, wanted, rtol=0.02 if half_life > 1e6 else 1e-3)


def test_half_life_is_a_half_life():
    """A jump of the parameters from 0 to 1 is followed half-way after half_life images."""
    g = game(MEANS, {"x": 1.0, "y": 0.0})
    state = start(g, {**HP, "lr": 0.0, "ema_half_life": 64.0, "ema_ramp": 1e9})
    state = dataclasses.replace(state, ema=jax.tree.map(lambda x: 0 * x, state.ema))
    for _ in range(8):
        state, _ = jitted(g, "alternating")(state, batches(g, b=8))
    np.testing.assert_allclose(state.ema["x"]["params"]["w"], 0.5, atol=1e-6)


def test_only_what_sampling_needs_is_averaged():
    assert set(start(game(BILINEAR, {"x": 1.0, "y": 0.5})).ema) == {"x"}
    assert set(start(game(BILINEAR, {"x": 1.0, "y": 0.5}, shown=("y", "x"))).ema) == {"x", "y"}


def test_step_counts_and_draws_anew():
    g = game(MEANS, {"x": 0.0, "y": 0.0}, steps=(1, 1))
    state, drawn = start(g), []
    assert state.step == 0 and state.step.dtype == jnp.int32
    for i in range(4):
        state, metrics = jitted(g, "alternating")(state, batches(g))
        assert state.step == i + 1
        drawn.append(float(metrics["drawn"]))
    assert len(set(drawn)) == 4, "the key of a step depends on the step"
    np.testing.assert_array_equal(jax.random.key_data(state.key), jax.random.key_data(rng.root(0)))


@pytest.mark.parametrize("solver", sorted(MATRICES))
def test_each_update_has_its_own_key(solver):
    """The key is fold_in(fold_in(train stream, step), update), whoever asks."""
    recorded = {}

    def recording(name):
        return lambda run, vars, batch, key, hp: (
            run(vars, name, jnp.ones(()))[0] * jax.random.uniform(key),
            (vars, {}),
        )

    g = game(MEANS, {"x": 0.0, "y": 0.0}, steps=(2, 1))
    players = {n: p._replace(loss=recording(n)) for n, p in g.players.items()}
    g = g._replace(players=players)
    state, _ = jitted(g, solver)(dataclasses.replace(start(g), step=jnp.int32(5)), batches(g))
    key = jax.random.fold_in(rng.stream(rng.root(0), "train"), 5)
    u = [float(jax.random.uniform(jax.random.fold_in(key, i))) for i in range(3)]
    recorded["x"], recorded["y"] = (u[0] + u[1], u[2]) if solver == "alternating" else (u[0] + u[2], u[1])
    np.testing.assert_allclose(at(state), [-H * recorded["x"], -H * recorded["y"]], rtol=1e-5)


@pytest.mark.parametrize("steps", [(1, 1), (3, 2)])
def test_scan_equals_field_and_move_by_hand(steps):
    losses = {"x": lambda x, y, b: (x * y + x**2) * b.mean(), "y": lambda x, y, b: -x * y + y**2 * b.mean()}
    g = game(losses, {"x": 1.0, "y": 0.5}, steps)
    state = hand = start(g)
    b = batches(g, b=3)
    found, _ = jax.lax.scan(lambda s, _: (step.train_step(g, s, b, alternating)[0], None), state, length=3)
    for i in range(3):
        key, u = jax.random.fold_in(rng.stream(hand.key, "train"), i), 0
        for name, k in zip(g.players, steps, strict=True):
            for _ in range(k):
                batch = jax.tree.map(lambda x, u=u: x[u], b)
                grads, vars, _ = step.field(g, name, hand, batch, jax.random.fold_in(key, u))
                hand, u = step.move(g, name, hand, grads, vars), u + 1
    np.testing.assert_allclose(at(found), at(hand), rtol=1e-6)
    assert found.step == 3


def test_init_gives_each_net_its_own_stream_and_the_average_its_own_buffers():
    normal = Net(lambda key, x: (jax.random.normal(key, (50,)), {}), None)
    g = game(BILINEAR, {"x": 1.0, "y": 0.5})
    made = {seed: step.init(g._replace(nets={"x": normal, "y": normal}), seed, HP, {}) for seed in (0, 1)}
    again = step.init(g._replace(nets={"y": normal, "x": normal}), 0, HP, {})
    np.testing.assert_array_equal(made[0].params["x"], again.params["x"])
    np.testing.assert_array_equal(made[0].params["y"], again.params["y"])
    assert (made[0].params["x"] != made[0].params["y"]).all() and (made[0].params["x"] != made[1].params["x"]).all()
    state = made[0]
    donated = jax.jit(lambda s: jax.tree.map(lambda x: x, s), donate_argnums=0)(state)  # refuses a shared buffer
    np.testing.assert_array_equal(donated.ema["x"]["params"], donated.params["x"])
