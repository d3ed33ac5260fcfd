"""The algorithm: gradient field, move and the train step. It knows no loss, no network and no configuration.

A solver (solvers.py) composes `field` (one player's gradient in its own parameters) and `move` (that player's Optax
update). Losses see all networks; only the mover's own parameters and vars change.
"""

import dataclasses
import math
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial

import jax
import jax.numpy as jnp
import optax
from jax.sharding import NamedSharding, PartitionSpec

from jaxgan import rng
from jaxgan.types import Game, JaxganError, State

MICRO: ContextVar[int] = ContextVar("micro-batches", default=1)  # more while a loss is traced for one of several


def runner(game: Game, params, key=None, step=None):
    """run(vars, net, *inputs, train=True, **options) -> output, vars with that net's replaced.

    key: the update's; nets that are keyed get their own stream of it in training, the same in each of its passes.
    step: the number of steps before, for nets that are timed.
    """

    def run(vars, net, *inputs, train=True, **options):
        if game.nets[net].keyed:
            options.setdefault("key", rng.stream(key, f"noise {net}") if train and key is not None else None)
        if game.nets[net].timed:
            options.setdefault("step", step if train else None)
        out, new = game.nets[net].apply(params[net], vars[net], *inputs, train=train, **options)
        return out, {**vars, net: new}

    return run


def applied(game: Game, f, nets: dict, *inputs):
    """f(run, vars, *inputs), such as game.sample, with the networks {net: {"params", "vars"}} as in State.ema."""
    run = runner(game, {name: net["params"] for name, net in nets.items()})
    return f(run, {name: net["vars"] for name, net in nets.items()}, *inputs)


def mean_over(tree, axis):
    """tree averaged over a pmap axis; itself where one program sees the whole batch."""
    check_whole()
    return over_devices(tree, axis)


def over_devices(tree, axis):
    """`mean_over`, of a micro-batch too: for what is averaged over these in the end, see `accumulated`."""
    return jax.lax.pmean(tree, axis) if isinstance(axis, str) else tree


def alike(tree, axis):
    """tree, all of it on every device, where jit splits the batch: what it meets may be split otherwise, as zero1 does.

    Without this the split of an optimizer's moments would reach through gradients and updates into the networks.
    """
    if not isinstance(axis, NamedSharding):
        return tree
    return jax.lax.with_sharding_constraint(tree, NamedSharding(axis.mesh, PartitionSpec()))


def everywhere(x, axis):
    """x [b, ...] of all devices of a pmap axis, [devices * b, ...]; itself where one program sees the whole batch."""
    check_whole()
    return jax.lax.all_gather(x, axis, tiled=True) if isinstance(axis, str) else x


def check_whole() -> None:
    """JaxganError while a micro-batch is all that a loss can see of its batch."""
    if MICRO.get() > 1:
        raise JaxganError(
            f"accumulate is {MICRO.get()}, but a term of the loss looks at the whole batch at once (averages over it, "
            "or compares its examples), and would see one micro-batch only; leave accumulate at 1, or take the term out"
        )


def accumulated(game: Game, gradient, batch, key):
    """gradient(batch, key), or its mean over game.accumulate micro-batches, of which one at a time is in memory.

    It is the gradient of the whole batch where the loss is a mean over examples that do not see each other; a loss
    that calls `mean_over` or `everywhere` is refused. Whole numbers among the vars, such as counters, are taken from
    the last micro-batch.
    """
    count = game.accumulate
    if count == 1:
        return gradient(batch, key)

    def one(i):
        token = MICRO.set(count)
        try:
            return gradient(rng.split(batch, i, count, game.axis), rng.Part(key, i, count))
        finally:
            MICRO.reset(token)

    def add(total, i):
        floating = lambda x: jnp.issubdtype(x.dtype, jnp.floating)  # noqa: E731
        return jax.tree.map(lambda t, x: t + x / count if floating(x) else x, total, one(i)), None

    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(one, 0))
    return jax.lax.scan(add, zeros, jnp.arange(count))[0]


def field(game: Game, name: str, state: State, batch, key, foresee=lambda state: state):
    """The gradient of player `name`'s loss in its own parameters -> grads {net: tree}, vars {net: tree}, metrics.

    foresee: state -> a state that answers it, at whose parameters the loss is taken and differentiated through.
    """
    player = game.players[name]

    def loss(own, batch, key):
        params = foresee(dataclasses.replace(state, params={**state.params, **own})).params
        run = runner(game, params, key, state.step)
        return player.loss(run, state.vars, batch, key, state.hp)

    own = {net: state.params[net] for net in player.nets}
    gradient = partial(jax.value_and_grad(loss, has_aux=True), own)
    (value, (vars, metrics)), grads = accumulated(game, gradient, batch, key)
    grads, metrics = mean_over((grads, {f"{name}_loss": value, **metrics}), game.axis)
    grads = alike(grads, game.axis)
    metrics[f"{name}_grad"] = optax.tree.norm(grads)
    return grads, {net: vars[net] for net in player.nets}, metrics


def move(game: Game, name: str, state: State, grads, vars) -> State:
    """state after player `name`'s Optax update by grads, with its nets' new vars."""
    player = game.players[name]
    own = {net: state.params[net] for net in player.nets}
    updates, opt = player.tx(state.hp).update(grads, state.opt[name], own)
    return dataclasses.replace(
        state,
        params={**state.params, **optax.apply_updates(own, alike(updates, game.axis))},
        vars={**state.vars, **vars},
        opt={**state.opt, name: opt},
    )


def averaged(game: Game, state: State, batch: int):
    """state.ema after one more step of `batch` images: half-life in images, at most hp.ema_ramp of the images seen.

    decay = 0.5 ** (batch / half_life), Karras et al. 2020, arXiv 2006.06676. A step counts as one batch of images,
    whatever d_steps and g_steps are. BatchNorm's statistics are averaged with the parameters they belong to.
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


def scheduled(pieces, images):
    """The value after so many images of a schedule [k, 4]: start, end, images, index of the shape (hp.arrays)."""
    start, end, length, shape = pieces.T
    done = jnp.clip((images - (jnp.cumsum(length) - length)) / length, 0, 1)
    way = jnp.stack([(1 - jnp.cos(jnp.pi * done)) / 2, done, (done >= 1).astype(done.dtype)])
    way = jnp.take_along_axis(way, shape.astype(int)[None], 0)[0]
    now = jnp.minimum((images >= jnp.cumsum(length)).sum(), len(pieces) - 1)  # the piece that runs, or the last
    return ((1 - way) * start + way * end)[now]


def at_now(state: State, batch: int) -> State:
    """state with each schedule among hp at its value after step * batch images; as it is where hp has none."""
    if not any(jnp.ndim(value) for value in state.hp.values()):
        return state
    images = state.step.astype(jnp.float32) * batch
    hp = {name: scheduled(value, images) if jnp.ndim(value) else value for name, value in state.hp.items()}
    return dataclasses.replace(state, hp=hp)


def train_step(game: Game, state: State, batches, solver):
    """One step of the game by solver, a function in solvers.py -> state, metrics {name: scalar}.

    batches: {"x": [updates, b, ...], ...}, a fresh batch for each of game.updates updates; b is this device's share.
    """
    key = jax.random.fold_in(rng.stream(state.key, "train"), state.step)
    batch = jax.tree.leaves(batches)[0].shape[1]
    if isinstance(game.axis, str):
        batch *= jax.lax.axis_size(game.axis)
    state, given = at_now(state, batch), state.hp
    moving = {f"hp/{name}": state.hp[name] for name, value in given.items() if jnp.ndim(value)}
    state, metrics = solver(game, state, batches, key)
    ema = averaged(game, state, batch)
    return dataclasses.replace(state, step=state.step + 1, ema=ema, hp=given), metrics | moving


class _Watched(dict):
    """A dict whose copies in a trace note in one place which of their entries are read."""

    def __init__(self, values, note):
        super().__init__(values)
        self.note = note

    def __getitem__(self, name):
        self.note(name)
        return super().__getitem__(name)

    def get(self, name, default=None):
        self.note(name)
        return super().get(name, default)


def _rebuilt(aux, leaves) -> _Watched:
    names, note = aux
    return _Watched(zip(names, leaves), note)


jax.tree_util.register_pytree_node(_Watched, lambda w: (tuple(w.values()), (tuple(w), w.note)), _rebuilt)


def watched(solver: Callable, note: Callable[[str], object]) -> Callable:
    """solver, a function in solvers.py, that while it is traced calls note with each number of Hp that it looks at."""

    def solve(game, state, *rest):
        return solver(game, dataclasses.replace(state, hp=_Watched(state.hp, note)), *rest)

    return solve


def reads(game: Game, state: State, batches, solver) -> frozenset[str]:
    """Names of the numbers of state.hp that a train step looks at; state and batches as arrays or shapes."""
    seen: set[str] = set()
    solver = watched(solver, seen.add)
    jax.eval_shape(lambda state, batches: train_step(game, state, batches, solver), state, batches)
    return frozenset(seen)


def init(game: Game, seed, hp: dict, batch) -> State:
    """The state before the first step; batch: example inputs {"x": [b, ...], "y": [b]} that give the shapes.

    hp: {name: number, or schedule [k, 4]}, as hp.arrays makes it.
    """
    key = rng.root(seed)
    inputs = game.inputs(batch, rng.stream(key, "shapes"))
    made = {name: net.init(rng.stream(rng.stream(key, "init"), name), *inputs[name]) for name, net in game.nets.items()}
    hp = {name: jnp.asarray(value, jnp.float32) for name, value in hp.items()}
    params = {name: params for name, (params, _) in made.items()}
    return begin(game, key, hp, params, {name: vars for name, (_, vars) in made.items()})


def begin(game: Game, key, hp: dict, params: dict, vars: dict) -> State:
    """The state before the first step with these parameters and vars, {net: tree}: optimizers and averages are new."""
    first = {name: value[0, 0] if value.ndim else value for name, value in hp.items()}  # of schedules
    own = {name: {net: params[net] for net in player.nets} for name, player in game.players.items()}
    opt = {name: player.tx(first).init(own[name]) for name, player in game.players.items()}
    state = State(jnp.int32(0), key, hp, params, vars, opt, {}, {})
    copy = jax.tree.map(jnp.copy, shown(game, state))  # its own buffers: a donated buffer may appear once only
    return dataclasses.replace(state, ema=copy)
