"""The first state of a run, the shapes that its checkpoints have, and single steps of games that are watched."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan import step
from jaxgan.config import Config
from jaxgan.data import feed
from jaxgan.hp import arrays
from jaxgan.solvers import SOLVERS
from jaxgan.types import Game, Source, State


def initial(game: Game, settings: Config, shape: tuple[int, ...]) -> State:
    """The state before the first step."""
    return initializer(game, settings.solver, shape)(settings)


def initializer(game: Game, solver: str, shape: tuple[int, ...]) -> Callable[[Config], State]:
    """`initial` for many configurations that differ in seed and numbers of Hp only: it compiles once."""
    example = {"x": jnp.zeros((2, *shape)), "y": jnp.zeros(2, jnp.int32)}

    @jax.jit  # one program, which the compilation cache keeps, in place of one per operation
    def make(seed, hp):
        state = step.init(game, seed, hp, example)
        return dataclasses.replace(state, memory=SOLVERS[solver].init(game, state.params))

    def start(settings: Config) -> State:
        hp = {name: np.asarray(value, np.float32) for name, value in arrays(settings.hp).items()}
        return make(np.uint32(settings.seed), hp)

    return start


def template(game: Game, settings: Config, shape: tuple[int, ...]) -> dict:
    """Shapes of checkpoint.to_host's result for this run."""
    state = jax.eval_shape(lambda: initial(game, settings, shape))
    key = jax.eval_shape(jax.random.key_data, state.key)
    return vars(state) | {"key": key}


def advance(game: Game, config: Config, source: Source, rows, state: State) -> State:
    """state after one train step of config's solver, with batches drawn from source as a run draws them.

    rows: all of source's rows, {} for a density.
    """
    batches = feed.from_device(source, rows, state.key, state.step, game.updates, config.batch, config.batch)
    return step.train_step(game, state, batches, SOLVERS[config.solver].step)[0]
