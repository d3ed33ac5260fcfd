"""A train step on one device for games that are small enough to be watched step by step."""

from jaxgan.config import Config
from jaxgan.data import feed
from jaxgan.solvers import SOLVERS
from jaxgan.step import train_step
from jaxgan.types import Game, Source, State


def advance(game: Game, config: Config, source: Source, rows, state: State) -> State:
    """state after one train step of config's solver, with batches drawn from source as a run draws them.

    rows: all of source's rows, {} for a density.
    """
    batches = feed.from_device(source, rows, state.key, state.step, game.updates, config.batch, config.batch)
    return train_step(game, state, batches, SOLVERS[config.solver].step)[0]
