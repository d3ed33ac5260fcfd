"""The first state of a run, the shapes that its checkpoints have, and single steps of games that are watched."""

import dataclasses
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan import step
from jaxgan.config import Config
from jaxgan.data import feed
from jaxgan.errors import JaxganError
from jaxgan.hp import arrays
from jaxgan.solvers import SOLVERS
from jaxgan.types import Game, Source, State, named


def initial(game: Game, settings: Config, shape: tuple[int, ...]) -> State:
    """The state before the first step."""
    return initializer(game, settings.solver, shape)(settings)


def initializer(game: Game, solver: str, shape: tuple[int, ...]) -> Callable[[Config], State]:
    """`initial` for many configurations that differ in seed and numbers of Hp only: traced and compiled once."""
    made: dict[tuple, Callable] = {}  # by the shapes of hp, which schedules have
    make = jax.jit(partial(drawn, game, solver, shape))  # one program, which the compilation cache keeps

    def start(settings: Config) -> State:
        hp = {name: np.asarray(value, np.float32) for name, value in arrays(settings.hp).items()}
        given, shapes = (np.uint32(settings.seed), hp), tuple(value.shape for value in hp.values())
        inside = isinstance(jnp.zeros(()), jax.core.Tracer)  # another program, which is compiled as a whole
        if not inside and shapes not in made:
            lowered = make.lower(*given)
            made[shapes] = lowered.compile(compiler_options=once(lowered.as_text()))
        return (make if inside else made[shapes])(*given)

    return start


def drawn(game: Game, solver: str, shape: tuple[int, ...], seed, hp: dict) -> State:
    """What `initializer` compiles; as it stands, one operation after the other. hp: as hp.arrays makes it."""
    example = {"x": jnp.zeros((2, *shape)), "y": jnp.zeros(2, jnp.int32)}
    state = step.init(game, seed, hp, example)
    return dataclasses.replace(state, memory=SOLVERS[solver].init(game, state.params))


def once(program: str) -> dict[str, bool | str]:
    """What XLA is asked for where a program, StableHLO, runs once: on a CPU a third of the time, and the same bits.

    At this level sums are made in another order, so a program with sums is left alone. The level below, 0, fuses no
    multiplications with additions.
    """
    sums = any(f"stablehlo.{name}" in program for name in ("reduce", "dot_general", "convolution", "custom_call"))
    if jax.default_backend() != "cpu" or sums or jax.config.read("jax_disable_most_optimizations"):
        return {}
    return {"xla_backend_optimization_level": "1"}


def shapes(start: Callable[[Config], State], settings: Config) -> State:
    """The state of a run with shapes in place of arrays; start: as `initializer` makes it."""
    return jax.eval_shape(lambda: start(settings))


def template(start: Callable[[Config], State], settings: Config) -> dict:
    """Shapes of checkpoint.to_host's result for this run; start: as `initializer` makes it."""
    state = shapes(start, settings)
    key = jax.eval_shape(jax.random.key_data, state.key)
    return vars(state) | {"key": key}


def mixed(a: dict, b: dict, share: float) -> dict:
    """(1 - share) a + share b of trees of arrays; JaxganError where they differ in names or shapes."""
    own, other = named(a), named(b)
    for name in own | other:
        shapes = [found[name].shape if name in found else "none" for found in (own, other)]
        if shapes[0] != shapes[1]:
            raise JaxganError(
                f"{name} is {shapes[0]} in one run and {shapes[1]} in the other; blend runs of one --net and options"
            )
    leaves = [((1 - share) * x + share * other[name]).astype(x.dtype) for name, x in own.items()]
    return jax.tree.unflatten(jax.tree.structure(a), leaves)


def advance(game: Game, config: Config, source: Source, rows, state: State) -> State:
    """state after one train step of config's solver, with batches drawn from source as a run draws them.

    rows: all of source's rows, {} for a density.
    """
    batches = feed.from_device(source, rows, state.key, state.step, game.updates, config.batch, config.batch)
    return step.train_step(game, state, batches, SOLVERS[config.solver].step)[0]
