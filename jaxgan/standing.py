"""Standing statistics of a run: those of G's batch norms, as means over batches of latents (nets/standing.py)."""

import jax

from jaxgan import rng, step
from jaxgan.errors import JaxganError
from jaxgan.latents import drawn
from jaxgan.nets.standing import mean, of_one_batch
from jaxgan.types import Game, Tree


def statistics(game: Game, g: dict, n: int, batches: int, seed: int, truncation: float) -> Tree:
    """vars of G with these statistics, of `batches` batches of n latents and labels; g: its {"params", "vars"}."""
    if batches < 1:
        raise JaxganError(f"asked for statistics of {batches} batches; expected at least 1")

    @jax.jit
    def one(g, i):
        key = jax.random.fold_in(rng.stream(rng.root(seed), "standing"), i)
        label = lambda key: jax.random.randint(key, (), 0, game.classes)  # noqa: E731
        y = jax.vmap(label)(rng.examples(rng.stream(key, "labels"), n)) if game.classes else None
        z = drawn(game, rng.stream(key, "z"), n, truncation)
        run = step.runner(game, {"g": g["params"]})
        return of_one_batch(lambda vars: run({"g": vars}, "g", z, y)[1]["g"], g["vars"])

    return mean([one(g, i) for i in range(batches)])
