"""Each solver reaches its exact rate on the bilinear game min_x max_y xy, where plain descent does not converge."""

import dataclasses

import jax
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

from jaxgan import games, step
from jaxgan.config import Config, from_dict
from jaxgan.errors import JaxganError
from jaxgan.solvers import SOLVERS
from jaxgan.state import initial
from scalars import ALTERNATING, BILINEAR, EVERY, HP, KEEP, RATES, WEIGHT, H, at, batches, game, start

NUMBERS = {**HP, "consensus": WEIGHT, "lookahead": KEEP, "lookahead_every": float(EVERY)}


def begin(solver):
    g = game(BILINEAR, {"x": 1.0, "y": 0.5})
    state = start(g, NUMBERS)
    return g, dataclasses.replace(state, memory=SOLVERS[solver].init(g, state.params))


def test_rates_are_the_published_ones():
    assert set(RATES) == set(SOLVERS)
    golden = {"simultaneous": 1.004988, "alternating": 1.0, "extragradient": 0.995038, "optimistic": 0.994936}
    for (
        name,
        rate,
    ) in golden.items():  # Gidel et al. 2018, arXiv 1802.10551, and Daskalakis et al. 2017, arXiv 1711.00141
        assert RATES[name] == pytest.approx(rate, abs=5e-7)


@pytest.mark.parametrize("k", [0, 1, 3])
def test_unrolling_differentiates_through_the_others_answers(k):
    """y sees x answer k times, x - k h y, and moves along the whole slope of (x - k h y) y: Metz et al. 2016."""
    g = game(BILINEAR, {"x": 1.0, "y": 0.5}, unroll=k)
    new, _ = step.train_step(g, start(g), batches(g), SOLVERS["alternating"].step)
    x = 1.0 - H * 0.5
    y = 0.5 + H * (x - 2 * k * H * 0.5)
    np.testing.assert_allclose([new.params["x"]["w"], new.params["y"]["w"]], [x, y], rtol=1e-6)
    assert int(new.vars["x"]["ran"]) == 1, "foreseen moves are not made"


@pytest.mark.parametrize("solver", sorted(SOLVERS))
def test_rate_on_the_bilinear_game(solver):
    """Eigenvalues of the map that `period` steps make of parameters and memory."""
    g, state = begin(solver)
    flat, back = ravel_pytree((state.params, state.memory))

    def steps(v):
        params, memory = back(v)
        s = dataclasses.replace(state, params=params, memory=memory)
        for _ in range(EVERY):
            s, _ = step.train_step(g, s, batches(g), SOLVERS[solver].step)
        return ravel_pytree((s.params, s.memory))[0]

    values = np.linalg.eigvals(np.asarray(jax.jacobian(steps)(flat), np.float64))
    assert max(abs(values)) ** (1 / EVERY) == pytest.approx(RATES[solver], abs=2e-6)


@pytest.mark.parametrize("solver", sorted(set(SOLVERS) - {"simultaneous", "alternating"}))
def test_the_trajectory_has_that_rate(solver):
    g, state = begin(solver)
    advance = jax.jit(lambda s, b: step.train_step(g, s, b, SOLVERS[solver].step)[0])
    norms = []
    for _ in range(400):
        state = advance(state, batches(g))
        norms.append(np.linalg.norm(at(state)))
    # half of it, so that slower modes have gone; a whole number of turns of lookahead
    measured = (norms[399] / norms[199]) ** (1 / 200)
    assert measured == pytest.approx(RATES[solver], abs=5e-4)
    assert norms[399] < norms[0]


def test_optimistic_adam_is_twice_the_step_less_the_last():
    """Daskalakis et al. 2017, algorithm 1: w -= 2 eta m / sqrt(v) - eta m' / sqrt(v'), with Adam's own updates."""
    g, state = begin("optimistic")
    adam = optax.adam(0.05, 0.5, 0.9)
    players = {n: p._replace(tx=lambda hp: adam) for n, p in g.players.items()}
    g = g._replace(players=players)
    state = dataclasses.replace(state, opt={n: adam.init({n: state.params[n]}) for n in players})
    w, last, opt = np.array([1.0, 0.5], np.float32), np.zeros(2, np.float32), adam.init(np.zeros(2, np.float32))
    for _ in range(5):
        state, _ = step.train_step(g, state, batches(g), SOLVERS["optimistic"].step)
        update, opt = adam.update(np.array([w[1], -w[0]]), opt)
        w, last = w + 2 * np.asarray(update) - last, np.asarray(update)
        np.testing.assert_allclose(at(state), w, rtol=1e-5)


@pytest.mark.parametrize("solver", SOLVERS)
def test_what_an_optimizer_remembers(solver):
    """One gradient a step, or both of extragradient's; an old one that serves to look ahead is not met again."""
    g, state = begin(solver)
    adam = optax.adam(0.05)
    g = g._replace(players={n: p._replace(tx=lambda hp: adam) for n, p in g.players.items()})
    state = dataclasses.replace(state, opt={n: adam.init({n: state.params[n]}) for n in g.players})
    for _ in range(3):
        state, _ = step.train_step(g, state, batches(g), SOLVERS[solver].step)
    met = 6 if solver.startswith("extragradient") else 3
    assert {n: int(opt[0].count) for n, opt in state.opt.items()} == {"x": met, "y": met}


def test_lookahead_goes_back_every_few_steps_only():
    g, state = begin("lookahead")
    expected = np.array([1.0, 0.5])
    slow = expected
    for t in range(1, 2 * EVERY + 1):
        state, _ = step.train_step(g, state, batches(g), SOLVERS["lookahead"].step)
        expected = ALTERNATING @ expected
        if t % EVERY == 0:
            expected = slow = slow + KEEP * (expected - slow)
        np.testing.assert_allclose(at(state), expected, rtol=1e-5)


@pytest.mark.parametrize("solver", sorted(name for name, s in SOLVERS.items() if s.together))
def test_moving_together_refuses_sub_steps(solver):
    with pytest.raises(JaxganError, match=f"{solver}.*d_steps is 5"):
        games.make(Config(net="mlp", solver=solver, d_steps=5), (2,))


RULES = {"clip": 0.01, "max_norm": 0.05}


def largest(rule, params):
    """What the rule bounds in D's parameters."""
    if rule == "clip":
        return max(abs(p).max() for p in jax.tree.leaves(params))
    return max(np.sqrt((np.asarray(p) ** 2).sum(0)).max() for p in jax.tree.leaves(params) if p.ndim == 2)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("solver", sorted(SOLVERS))
def test_rules_on_weights_hold_after_every_step(solver, rule):
    """Whatever a solver makes of the moves; the WGAN's clipping too, from weights that begin outside."""
    hp = {"g_lr": 0.05, "d_lr": 0.05, "lookahead_every": 3.0, rule: RULES[rule]}
    c = from_dict({"net": "mlp", "width": 8, "depth": 1, "latent": 2, "batch": 4, "loss": "wasserstein", "hp": hp})
    c = dataclasses.replace(c, solver=solver)
    g = games.make(c, (2,))
    state = jax.jit(lambda: initial(g, c, (2,)))()
    assert largest(rule, state.params["d"]) > 2 * RULES[rule], "a start inside proves nothing"
    advance = jax.jit(lambda s, x: step.train_step(g, s, {"x": x}, SOLVERS[solver].step)[0])
    moved = 0
    for i in range(12):
        x = np.random.default_rng(i).normal(size=(g.updates, 4, 2)).astype(np.float32)
        new = advance(state, x)
        moved += abs(largest(rule, new.params["d"]) - largest(rule, state.params["d"]))
        state = new
        # the projection is an update p + (allowed - p), and rounds like p did where it began
        assert largest(rule, state.params["d"]) <= RULES[rule] * (1 + 1e-5)
        assert all(np.isfinite(p).all() for p in jax.tree.leaves(state.params))
    assert moved > 0


def test_extragradient_two_looks_at_two_batches():
    """ExtraAdam draws a batch for each half step: the second half depends on its own, and extragradient has one."""
    c = from_dict({"net": "mlp", "width": 4, "depth": 1, "latent": 2, "batch": 4, "optimizer": "sgd"})
    found = {}
    for solver in ("extragradient", "extragradient_two"):
        g = games.make(dataclasses.replace(c, solver=solver), (2,))
        state = jax.jit(lambda g=g: initial(g, c, (2,)))()
        advance = jax.jit(lambda x, g=g, s=state: step.train_step(g, s, {"x": x}, SOLVERS["extragradient"].step)[0])
        x = np.random.default_rng(0).normal(size=(g.updates, 4, 2)).astype(np.float32)
        first = advance(x).params
        for i in range(g.updates):
            changed = x.copy()
            changed[i] += 1
            moved = jax.tree.map(lambda a, b: abs(a - b).max(), first, advance(changed).params)
            found[solver, i] = float(max(jax.tree.leaves(moved)))
    assert [n for s, n in found if s == "extragradient"] == [0, 1] and len(found) == 6
    # a batch of the first half step acts through the look ahead alone, and G's real examples do not act at all
    assert found["extragradient_two", 2] > found["extragradient_two", 0] > 0
    assert found["extragradient_two", 1] == found["extragradient_two", 3] == found["extragradient", 1] == 0
