"""Lazy regularisers that are steps of their own: against updates written out by hand, and what they leave alone."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import config, games, program, rng, step, unused
from jaxgan.errors import JaxganError
from jaxgan.solvers import SOLVERS
from kinds import batches, make
from runs import Like

GAMMA, PATH, EVERY = 3.0, 2.0, {"d": 2, "g": 3}
RATES = {"g_lr": 0.01, "d_lr": 0.02, "b1": 0.5, "b2": 0.9}
LAZY = {"lazy": 2, "lazy_g": 3, "lazy_steps": True}


def made(**settings):
    hp = {"r1": GAMMA, "path_length": PATH, **RATES, **settings.pop("hp", {})}
    return make(**{**LAZY, **settings}, hp=hp)[1:]


def leaves(tree):
    return np.concatenate([np.ravel(x) for x in jax.tree.leaves(tree)])


class Adam:
    """Kingma and Ba 2014, algorithm 1, on one vector, with constants for `every` + 1 steps in place of `every`."""

    def __init__(self, lr, every):
        c = every / (every + 1)
        self.lr, self.b1, self.b2 = c * lr, RATES["b1"] ** c, RATES["b2"] ** c
        self.t, self.m, self.v = 0, 0.0, 0.0

    def __call__(self, p, g):
        self.t += 1
        self.m = self.b1 * self.m + (1 - self.b1) * g
        self.v = self.b2 * self.v + (1 - self.b2) * g**2
        m, v = self.m / (1 - self.b1**self.t), self.v / (1 - self.b2**self.t)
        return p - self.lr * m / (np.sqrt(v) + 1e-8)


def penalty(game, side, state, batch, key):
    """What the regulariser of a side is: gamma / 2 E ||grad D(x)||^2, or E (||J^T y|| - a)^2, and a after it."""
    if side == "d":
        grad = lambda p: jax.vmap(jax.grad(lambda x: game.nets["d"].apply(p, {}, x[None], None, train=True)[0][0]))  # noqa: E731
        return lambda p: GAMMA / 2 * (grad(p)(batch["x"]) ** 2).sum(1).mean(), None
    z = game.latent(rng.stream(key, "z"), len(batch["x"]))
    y = rng.normal(rng.stream(key, "path length"), len(z), (2,))  # of one pixel
    old = state.vars["path_length"]["mean"]

    def lengths(p):
        one = lambda z, y: jax.grad(lambda z: y @ game.nets["g"].apply(p, {}, z[None], None, train=True)[0][0])(z)  # noqa: E731
        return jnp.sqrt((jax.vmap(one)(z, y) ** 2).sum(1) + 1e-12)

    mean = lambda p: old + 0.01 * (lengths(p).mean() - old)  # noqa: E731
    return lambda p: PATH * ((lengths(p) - mean(p)) ** 2).mean(), mean


def lazily(game, side, state, batch, key):
    """The gradient of a side's regulariser, times its period, and what is to be remembered."""
    found, mean = penalty(game, side, state, batch, key)
    at = state.params[side]
    return jax.grad(lambda p: EVERY[side] * found(p))(at), mean and mean(at)


def by_hand(gradients, state, b, done, adams):
    """state after one step: each player's move by its loss, and by its regulariser where that is due.

    gradients: of both of these, for each side.
    """
    key = jax.random.fold_in(rng.stream(state.key, "train"), done)
    for u, side in enumerate(("d", "g")):
        batch, own = jax.tree.map(lambda x, u=u: x[u], b), jax.random.fold_in(key, u)
        back = jax.flatten_util.ravel_pytree(state.params[side])[1]

        def move(state, g, side=side, back=back):
            params = back(jnp.asarray(adams[side](leaves(state.params[side]), leaves(g))))
            return dataclasses.replace(state, params={**state.params, side: params})

        state = move(state, gradients[side][0](state, batch, own)[0][side])
        if done % EVERY[side] == 0:
            g, mean = gradients[side][1](state, batch, rng.stream(own, "lazy"))
            state = move(state, g)
            if side == "g":
                state = dataclasses.replace(state, vars={**state.vars, "path_length": {"mean": mean}})
    return state


def test_steps_are_those_written_by_hand(float64):
    game, start = made()
    plain = made(hp={"r1": 0.0, "path_length": 0.0}, lazy=1, lazy_g=1, lazy_steps=False)[0]
    wide = lambda x: x.astype(float) if jnp.issubdtype(x.dtype, jnp.floating) else x  # noqa: E731
    exact = {name: jnp.float64(value) for name, value in ({"r1": GAMMA, "path_length": PATH} | RATES).items()}
    state = hand = dataclasses.replace(jax.tree.map(wide, start), hp=jax.tree.map(wide, start.hp) | exact)
    advance = jax.jit(lambda state, b: step.train_step(game, state, b, SOLVERS["alternating"].step))
    gradients = {
        side: tuple(jax.jit(f) for f in (partial(step.field, plain, side), partial(lazily, game, side)))
        for side in EVERY
    }
    adams = {side: Adam(RATES[f"{side}_lr"], EVERY[side]) for side in EVERY}
    for i in range(4):
        b = jax.tree.map(wide, batches(game, (2,), i))
        state, metrics = advance(state, b)
        hand = by_hand(gradients, hand, b, i, adams)
        for side in ("d", "g"):
            np.testing.assert_allclose(leaves(state.params[side]), leaves(hand.params[side]), rtol=1e-9, atol=1e-10)
        np.testing.assert_allclose(state.vars["path_length"]["mean"], hand.vars["path_length"]["mean"], rtol=1e-9)
        assert not {"r1", "path_length"} & metrics.keys(), "metrics are those of the steps that are always made"
    assert [adams[side].t for side in ("d", "g")] == [4 + 2, 4 + 2], "the second players' steps"


@pytest.mark.parametrize(("kind", "shape"), [("plain", (2,)), ("pix2pix", (4,))])
def test_both_losses_are_the_one_that_analyses_see(kind, shape):
    """At one point and key: the whole loss's gradient is the first part's and the second's by its period."""
    game, state = made(kind=kind, **({"shape": shape} if kind == "pix2pix" else {}))
    batch = {name: x[0] for name, x in batches(game, shape).items()}

    def gradient(side, player):
        own = game._replace(players={side: player})
        return leaves(jax.jit(lambda: step.field(own, side, state, batch, state.key)[0])())

    for side, whole in game.players.items():
        first, second = (gradient(side, part) for part in whole.parts)
        assert whole.parts[1].every == EVERY[side]
        np.testing.assert_allclose(gradient(side, whole), first + second / EVERY[side], rtol=1e-4, atol=1e-6)
        assert abs(second).max() > 1e-3


def test_what_additional_steps_leave_alone():
    """Regularisers of weights alone, D's clock, and the memory of old examples are the first steps'."""
    more = {"hp": {"orthogonal": 0.1, "spectral": 0.1, "noise": 0.1, "noise_updates": 9.0}, "pool": 8}
    game, state = made(**more, lazy=1)
    first, second = game.players["d"].parts
    own = {net: state.params[net] for net in first.nets}
    still = jax.tree.map(jnp.zeros_like, own)
    moved = [leaves(part.tx(state.hp).update(still, part.tx(state.hp).init(own), own)[0]) for part in (first, second)]
    assert abs(moved[0]).max() > 1e-3 and not moved[1].any()
    parted, batch = game._replace(players={"d": second}), {name: x[0] for name, x in batches(game, (2,)).items()}
    vars = jax.jit(lambda: step.field(parted, "d", state, batch, state.key)[1])()
    for net in ("clock", "pool"):
        jax.tree.map(np.testing.assert_array_equal, vars[net], state.vars[net])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"solver": "simultaneous", "hp": {"r1": 1.0}}, "lazy_steps .* alternating or lookahead, and solver is 'simu"),
        ({"optimizer": "sgd", "hp": {"r1": 1.0}}, "lazy_steps is True, but optimizer sgd has no use for it"),
        ({}, "lazy_steps is True, but it belongs to hp.r1 or hp.r2 or hp.path_length"),
    ],
)
def test_where_there_are_none(settings, message):
    c = config.from_dict({"net": "mlp", "width": 4, "batch": 4, "lazy_steps": True, **settings})
    with pytest.raises(JaxganError, match=message):
        games.make(c, (2,))
        unused.check(c, program.reads(c, Like((2,), 0)))
