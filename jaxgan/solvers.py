"""Solvers: how the players' gradients become moves. Each works on any game and remembers what it must in State.memory.

`alternating`, `simultaneous` and `lookahead` take any number of steps per player. The others move all players together,
once a step. All use Optax's update of each player in place of a plain gradient step, so that Adam works too.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxgan import rng
from jaxgan.step import field, mean_over, move
from jaxgan.types import Game, State


class Solver(NamedTuple):
    """step: (game, state, batches, key) -> state, metrics; init: (game, params) -> memory."""

    step: Callable
    init: Callable = lambda game, params: {}
    together: bool = False  # moves each player exactly once a step
    parted: bool = False  # knows players of two parts
    rounds: int = 1  # fresh batches for each update


def answers(game: Game, name: str, batch, key):
    """state -> state after game.unroll further moves of each player but `name`, on this batch.

    The last player's gradient runs through them: unrolled GANs, Metz et al. 2016, arXiv 1611.02163.
    """

    def foresee(state):
        for u in range(game.unroll):
            for other in (player for player in game.players if player != name):
                grads, vars, _ = field(game, other, state, batch, jax.random.fold_in(rng.stream(key, "unroll"), u))
                state = move(game, other, state, grads, vars)
        return state

    return foresee


def updated(game: Game, name: str, state: State, batch, key, turn, *foresee):
    """state after an update of player `name`, number `turn` of the step, and its metrics.

    A player of two parts moves by the first, and where it is due by the second; metrics are the first's.
    """
    first, *lazy = game.players[name].parts or (game.players[name],)

    def moved(part, state, key, *foresee):
        parted = game._replace(players={**game.players, name: part})
        grads, vars, metrics = field(parted, name, state, batch, key, *foresee)
        return move(parted, name, state, grads, vars), metrics

    state, metrics = moved(first, state, key, *foresee)
    for part in lazy:
        due = (state.step * part.steps + turn) % part.every == 0
        then = lambda state, part=part: moved(part, state, rng.stream(key, "lazy"))[0]  # noqa: E731
        state = jax.lax.cond(due, then, lambda state: state, state)
    return state, metrics


def alternating(game: Game, state: State, batches, key):
    """Each player in turn makes its steps, and sees the moves made before; Goodfellow et al. 2014, algorithm 1.

    The last one also foresees game.unroll answers of the others. With game.reuse all see the same batches and keys.
    """
    metrics: dict = {}
    first, last = 0, list(game.players)[-1]
    for name, player in game.players.items():
        first = game.updates - player.steps if game.reuse else first

        def update(state, u, name=name, first=first):
            batch, own = jax.tree.map(lambda b: b[u], batches), jax.random.fold_in(key, u)
            foresee = [answers(game, name, batch, own)] if name == last and game.unroll else []
            return updated(game, name, state, batch, own, u - first, *foresee)

        if player.steps == 1:  # outside a loop XLA fuses better
            state, new = update(state, first)
        else:
            state, new = jax.lax.scan(update, state, first + jnp.arange(player.steps))
            new = jax.tree.map(lambda m: m.mean(0), new)
        metrics |= new
        first += player.steps
    return state, metrics


def simultaneous(game: Game, state: State, batches, key):
    """All players take their gradients at the same point, then all move; one with fewer steps leaves later rounds."""
    metrics: dict = {}
    u = 0
    for turn in range(max(player.steps for player in game.players.values())):
        moves = []
        for name, player in game.players.items():
            if turn < player.steps:
                batch = jax.tree.map(lambda b: b[u], batches)  # noqa: B023
                grads, vars, new = field(game, name, state, batch, jax.random.fold_in(key, u))
                moves.append((name, grads, vars))
                metrics |= new
                u += 1
        for name, grads, vars in moves:
            state = move(game, name, state, grads, vars)
    return state, metrics


def fields(game: Game, state: State, batches, key, first: int = 0):
    """All players' gradients at one point, on the batches from `first` on -> {player: (grads, vars)}, metrics."""
    found: dict = {}
    metrics: dict = {}
    for u, name in enumerate(game.players, first):
        batch = jax.tree.map(lambda b, u=u: b[u], batches)
        grads, vars, new = field(game, name, state, batch, jax.random.fold_in(key, u))
        found[name] = (grads, vars)
        metrics |= new
    return found, metrics


def move_all(game: Game, state: State, found) -> State:
    """state after every player's update by the gradients in `found`."""
    for name, (grads, vars) in found.items():
        state = move(game, name, state, grads, vars)
    return state


def held(game: Game, state: State) -> State:
    """state with every player's weights back inside its rules: for solvers that move parameters by themselves."""
    params = dict(state.params)
    for player in game.players.values():
        params |= player.hold(state.hp, {net: params[net] for net in player.nets})
    return dataclasses.replace(state, params=params)


def extragradient(game, state, batches, key):
    """Look one move ahead, then move from the old point by the gradient found there (Korpelevich 1976).

    Both gradients pass through the optimizer's memory, as in ExtraAdam, Gidel et al. 2018, arXiv 1802.10551. They are
    those of one batch, which halves the data; where game.rounds is 2 the second has a batch of its own, as there.
    """
    found, _ = fields(game, state, batches, key)
    ahead = dataclasses.replace(move_all(game, state, found), vars=state.vars)  # what is remembered, moves once
    found, metrics = fields(game, ahead, batches, key, (game.rounds - 1) * len(game.players))
    return move_all(game, dataclasses.replace(ahead, params=state.params), found), metrics


def past_extragradient(game, state, batches, key):
    """Extragradient that looks ahead by the gradient of last time, one gradient a step (Popov 1980)."""
    old: dict = {name: (grads, {}) for name, grads in state.memory["grads"].items()}
    ahead = dataclasses.replace(move_all(game, state, old), opt=state.opt)
    found, metrics = fields(game, ahead, batches, key)
    state = move_all(game, state, found)
    return dataclasses.replace(state, memory={"grads": {name: grads for name, (grads, _) in found.items()}}), metrics


def optimistic(game, state, batches, key):
    """Twice the update less the one before: 2 step_t - step_{t-1}, Daskalakis et al. 2017, arXiv 1711.00141.

    Rules on weights hold for the sum: a weight outside them would be pulled back twice over, and grow.
    """
    found, metrics = fields(game, state, batches, key)
    new = move_all(game, state, found)
    step = jax.tree.map(jnp.subtract, new.params, state.params)
    params = jax.tree.map(lambda p, s, last: p + 2 * s - last, state.params, step, state.memory["step"])
    return held(game, dataclasses.replace(new, params=params, memory={"step": step})), metrics


def consensus(game, state, batches, key):
    """Adds hp.consensus times the gradient of 1/2 ||v||^2, v all gradients: Mescheder et al. 2017, arXiv 1705.10461."""

    def half_square(params):
        found, metrics = fields(game, dataclasses.replace(state, params=params), batches, key)
        return 0.5 * sum(optax.tree.norm(grads, squared=True) for grads, _ in found.values()), (found, metrics)

    pull, (found, metrics) = jax.grad(half_square, has_aux=True)(state.params)
    pull = mean_over(pull, game.axis)
    weight = state.hp["consensus"]
    for name, (grads, vars) in found.items():
        grads = {net: jax.tree.map(lambda g, p: g + weight * p, grads[net], pull[net]) for net in grads}
        state = move(game, name, state, grads, vars)
    return state, metrics


def lookahead(game, state, batches, key):
    """Alternating steps, and every hp.lookahead_every of them back towards where they began (Chavdarova et al. 2020).

    slow += hp.lookahead (fast - slow), arXiv 2006.14567: lookahead-minimax, for both players at once.
    """
    state, metrics = alternating(game, state, batches, key)
    due = (state.step + 1) % state.hp["lookahead_every"].astype(jnp.int32) == 0
    rate = jnp.where(due, state.hp["lookahead"], 0.0)
    slow = jax.tree.map(lambda slow, fast: slow + rate * (fast - slow), state.memory["slow"], state.params)
    params = jax.tree.map(lambda slow, fast: jnp.where(due, slow, fast), slow, state.params)
    return held(game, dataclasses.replace(state, params=params, memory={"slow": slow})), metrics


def _no_gradients(game, params):
    return {"grads": {n: jax.tree.map(jnp.zeros_like, {k: params[k] for k in p.nets}) for n, p in game.players.items()}}


SOLVERS = {
    "alternating": Solver(alternating, parted=True),
    "simultaneous": Solver(simultaneous),
    "extragradient": Solver(extragradient, together=True),
    "extragradient_two": Solver(extragradient, together=True, rounds=2),
    "past_extragradient": Solver(past_extragradient, _no_gradients, together=True),
    "optimistic": Solver(
        optimistic, lambda game, params: {"step": jax.tree.map(jnp.zeros_like, params)}, together=True
    ),
    "consensus": Solver(consensus, together=True),
    "lookahead": Solver(lookahead, lambda game, params: {"slow": jax.tree.map(jnp.copy, params)}, parted=True),
}
