"""Games on the line: D against a known G, the density of any G, and the four states of training.

Networks, losses, data and steps are those that train: a game is made by games.make, and its generator may be replaced
by the exact one of a density. Distributions are compared on weighted nodes as in divergence.py.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy.special import ndtri

from jaxgan import games
from jaxgan.config import Config
from jaxgan.state import advance, initial
from jaxgan.step import runner
from jaxgan.theory import value
from jaxgan.theory.divergence import gauss_legendre
from jaxgan.types import Density, Game, Net, Source, State

ARROWS = np.linspace(-2, 2, 13)  # latents whose way to x is shown


def span(*densities: Density, reach: float = 8.0) -> tuple[float, float]:
    """The interval that ends `reach` standard deviations beyond the outermost modes of Gaussian mixtures."""
    low = min(float(d.modes.min() - reach * d.std) for d in densities)
    return low, max(float(d.modes.max() + reach * d.std) for d in densities)


def log_density(density: Density, x) -> np.ndarray:
    """The log density [n] at points x [n] of the line; float64 where that is enabled."""
    return np.asarray(jax.vmap(density.log_pdf)(jnp.asarray(x)[:, None]), np.float64)


def transport(density: Density, panels: int = 4000) -> Callable:
    """The increasing map z -> F^-1(Phi(z)) that takes a standard normal to a Gaussian mixture on the line.

    Linear between evenly spaced x, at which it is exact: the mass of each panel between them is found by quadrature.
    """
    low, high = span(density)
    x, w = gauss_legendre(low, high, panels, 4)
    mass = (w * np.exp(log_density(density, x))).reshape(panels, 4).sum(1)
    below, above = np.cumsum(mass)[:-1], np.cumsum(mass[::-1])[-2::-1]
    z = np.where(below < above, ndtri(below), -ndtri(above))  # each tail from its own side, else rounding swallows it
    knots = np.linspace(low, high, panels + 1)[1:-1]
    return lambda t: jnp.interp(t, jnp.asarray(z), jnp.asarray(knots))


def pushforward(function: Callable, edges, points: int = 4001) -> jax.Array:
    """Probabilities [n - 1] of the bins between edges [n] under x = function(z), z ~ N(0, 1): the density of any G.

    function: z [points] -> x [points], taken as linear between the points, which lie in [-5, 5]; it may fold and stand
    still. The outermost bins hold all that lies beyond the edges. Where function is monotone, no cumulative
    probability errs by more than the mass between two points.
    """
    z = jnp.linspace(-5, 5, points)
    mass = jnp.diff(jax.scipy.special.ndtr(z))
    x, inner = function(z), jnp.asarray(edges, z.dtype)[1:-1]
    low, high = jnp.minimum(x[1:], x[:-1]), jnp.maximum(x[1:], x[:-1])
    share = jnp.clip((inner[:, None] - low[None]) / jnp.maximum(high - low, 1e-6)[None], 0, 1)
    below = share @ (mass / mass.sum())
    return jnp.maximum(jnp.diff(below, prepend=0, append=1), 0)


def frozen(function: Callable) -> Net:
    """A network without parameters, whose output is a function of its first input."""
    return Net(lambda key, *inputs: ({}, {}), lambda params, vars, x, y, train: (function(x), vars))


def against(config: Config, density: Density) -> Game:
    """The game of config on the line in which only D moves, and G draws from a known density. config.latent is 1."""
    game = games.make(config, (1,))
    nets = {**game.nets, "g": frozen(transport(density))}
    return game._replace(nets=nets, players={"d": game.players["d"]}, shown=("d",))


def logits(game: Game, state: State, x) -> jax.Array:
    """D's logits [n] at points x [n] of the line."""
    return runner(game, state.params)(state.vars, "d", jnp.asarray(x)[:, None], None, train=False)[0]


def generated(game: Game, state: State, z) -> jax.Array:
    """G's points [n] of the line at latents z [n]."""
    return runner(game, state.params)(state.vars, "g", z[:, None], None, train=False)[0][:, 0]


def decay(config: Config, steps: int) -> dict:
    """Both learning rates of config falling to 0 along half a cosine, {name: [steps]}: averages the batches' noise."""
    fall = optax.cosine_decay_schedule(1.0, steps)(jnp.arange(steps))
    return {"d_lr": config.hp.d_lr * fall, "g_lr": config.hp.g_lr * fall}


def train(game: Game, config: Config, source: Source, state: State, rates: dict, every: int, look: Callable):
    """The state after one train step for each of the rates -> state, what look(state) saw on the way, stacked.

    rates: {name in hp: [steps]}. look is taken before the first step and after every `every`-th: [1 + steps / every].
    """

    def one(state, hp):
        state = dataclasses.replace(state, hp={**state.hp, **hp})
        return advance(game, config, source, {}, state), None

    def some(state, hp):
        state, _ = jax.lax.scan(one, state, hp)
        return state, look(state)

    @jax.jit
    def run(state, rates):
        first = look(state)
        state, seen = jax.lax.scan(some, state, rates)
        return state, jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), first, seen)

    chunks = {name: jnp.asarray(rate, jnp.float32).reshape(-1, every) for name, rate in rates.items()}
    return run(state, chunks)


def train_d(config: Config, source: Source, density: Density, x, every: int) -> np.ndarray:
    """D's logits [1 + steps / every, n] at points x [n] while it trains for config.steps against a known density."""
    game = against(config, density)
    state, rates = initial(game, config, (1,)), decay(config, config.steps)
    _, seen = train(game, config, source, state, rates, every, lambda state: logits(game, state, x))
    return np.asarray(seen, np.float64)


def massive(lp, lq, w, alpha: float = 0.5, share: float = 0.99) -> np.ndarray:
    """Which nodes have mass, bool [n]: the densest of alpha p + (1 - alpha) q that hold this share of it."""
    density = alpha * np.exp(np.asarray(lp)) + (1 - alpha) * np.exp(np.asarray(lq))
    order = np.argsort(-density)
    held = np.empty(len(density))
    held[order] = np.cumsum((w * density)[order])
    return held <= share * held.max()


def distances(logit, lp, lq, w, alpha: float = 0.5) -> np.ndarray:
    """|D - D*| [k] at the k nodes that are `massive`, for D's logits [n]; its max is the sup norm."""
    where = massive(lp, lq, w, alpha)
    best = value.optimal_logit(lp[where], lq[where], alpha)
    return abs(np.asarray(jax.nn.sigmoid(logit[where]) - jax.nn.sigmoid(best)))


def view(game: Game, edges, z=ARROWS) -> Callable:
    """state -> {"lq": G's log probabilities of the bins between edges, "logit": D's at their centres, "x": G at z}."""
    centres = (edges[1:] + edges[:-1]) / 2

    def look(state):
        lq = jnp.log(pushforward(lambda z: generated(game, state, z), edges))
        return {"lq": lq, "logit": logits(game, state, centres), "x": generated(game, state, jnp.asarray(z))}

    return look


def four_states(game: Game, config: Config, source: Source, edges, d_steps: int, g_steps: int, every: int) -> dict:
    """Figure 1 of Goodfellow et al. 2014, arXiv 1406.2661 -> {"B", "C", "D": what `view` saw on the way there}.

    A, the first look of "B": untrained. B: D alone has taken d_steps, to its optimum. C: G alone has taken g_steps
    against that D. D: both have played for config.steps. Looks are stacked as in `train`.
    """
    alone = {name: game._replace(players={name: player}) for name, player in game.players.items()}
    stretches = {"B": (alone["d"], d_steps), "C": (alone["g"], g_steps), "D": (game, config.steps)}
    state, seen = initial(game, config, (1,)), {}
    for name, (players, steps) in stretches.items():
        rates = decay(config, steps)
        state, looks = train(players, config, source, state, rates, min(every, steps), view(game, edges))
        seen[name] = {key: np.asarray(values, np.float64) for key, values in looks.items()}
    return seen
