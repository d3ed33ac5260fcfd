"""The algorithm: gradient field, move and the train step. It knows no loss, no network and no configuration.

A solver (solvers.py) composes `field` (one player's gradient in its own parameters) and `move` (that player's Optax
update). Losses see all networks; only the mover's own parameters and vars change.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
import optax

from jaxgan import rng
from jaxgan.types import Game, State


def runner(game: Game, params):
    """run(vars, net, *inputs, train=True, **options) -> output, vars with that net's replaced."""

    def run(vars, net, *inputs, train=True, **options):
        out, new = game.nets[net].apply(params[net], vars[net], *inputs, train=train, **options)
        return out, {**vars, net: new}

    return run


def mean_over(tree, axis):
    """tree averaged over a pmap axis; itself where one program sees the whole batch."""
    return jax.lax.pmean(tree, axis) if isinstance(axis, str) else tree


def everywhere(x, axis):
    """x [b, ...] of all devices of a pmap axis, [devices * b, ...]; itself where one program sees the whole batch."""
    return jax.lax.all_gather(x, axis, tiled=True) if isinstance(axis, str) else x


def field(game: Game, name: str, state: State, batch, key):
    """The gradient of player `name`'s loss in its own parameters -> grads {net: tree}, vars {net: tree}, metrics."""
    player = game.players[name]

    def loss(own):
        run = runner(game, {**state.params, **own})
        return player.loss(run, state.vars, batch, key, state.hp)

    own = {net: state.params[net] for net in player.nets}
    (value, (vars, metrics)), grads = jax.value_and_grad(loss, has_aux=True)(own)
    grads, metrics = mean_over((grads, {f"{name}_loss": value, **metrics}), game.axis)
    metrics[f"{name}_grad"] = optax.tree.norm(grads)
    return grads, {net: vars[net] for net in player.nets}, metrics


def move(game: Game, name: str, state: State, grads, vars) -> State:
    """state after player `name`'s Optax update by grads, with its nets' new vars."""
    player = game.players[name]
    own = {net: state.params[net] for net in player.nets}
    updates, opt = player.tx(state.hp).update(grads, state.opt[name], own)
    return dataclasses.replace(
        state,
        params={**state.params, **optax.apply_updates(own, updates)},
        vars={**state.vars, **vars},
        opt={**state.opt, name: opt},
    )


def averaged(game: Game, state: State, batch: int):
    """state.ema after one more step of `batch` images: half-life in images, at most hp.ema_ramp of the images seen.

    decay = 0.5 ** (batch / half_life), Karras et al. 2020, arXiv 2006.06676. BatchNorm's statistics are averaged with
    the parameters they belong to.
    """
    seen = (state.step + 1).astype(jnp.float32) * batch
    half_life = jnp.minimum(state.hp["ema_half_life"], state.hp["ema_ramp"] * seen)
    rate = -jnp.expm1(-math.log(2) * batch / jnp.maximum(half_life, 1e-8))  # 1 - decay, exact where decay rounds to 1

    def average(old, x):  # counters and the like are taken over as they are
        floating = jnp.issubdtype(x.dtype, jnp.floating)
        return jnp.where(half_life > 0, old + rate * (x - old), x) if floating else x

    return jax.tree.map(average, state.ema, shown(game, state))


def shown(game: Game, state: State):
    """{net: {"params", "vars"}} of the networks that sampling needs."""
    return {net: {"params": state.params[net], "vars": state.vars[net]} for net in game.shown}


def train_step(game: Game, state: State, batches, solver):
    """One step of the game by solver, a function in solvers.py -> state, metrics {name: scalar}.

    batches: {"x": [updates, b, ...], ...}, a fresh batch for each of game.updates updates; b is this device's share.
    """
    key = jax.random.fold_in(rng.stream(state.key, "train"), state.step)
    state, metrics = solver(game, state, batches, key)
    batch = jax.tree.leaves(batches)[0].shape[1]
    if isinstance(game.axis, str):
        batch *= jax.lax.axis_size(game.axis)
    return dataclasses.replace(state, step=state.step + 1, ema=averaged(game, state, batch)), metrics


def init(game: Game, seed, hp: dict, batch) -> State:
    """The state before the first step; batch: example inputs {"x": [b, ...], "y": [b]} that give the shapes."""
    key = rng.root(seed)
    inputs = game.inputs(batch, rng.stream(key, "shapes"))
    made = {name: net.init(rng.stream(rng.stream(key, "init"), name), *inputs[name]) for name, net in game.nets.items()}
    hp = {name: jnp.asarray(value, jnp.float32) for name, value in hp.items()}
    params = {name: params for name, (params, _) in made.items()}
    opt = {name: player.tx(hp).init({net: params[net] for net in player.nets}) for name, player in game.players.items()}
    state = State(jnp.int32(0), key, hp, params, {name: vars for name, (_, vars) in made.items()}, opt, {}, {})
    copy = jax.tree.map(jnp.copy, shown(game, state))  # its own buffers: a donated buffer may appear once only
    return dataclasses.replace(state, ema=copy)
