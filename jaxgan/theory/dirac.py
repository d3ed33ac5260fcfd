"""The Dirac-GAN: data at 0, a generator at theta, D(x) = psi x; the smallest GAN that shows how training fails.

Mescheder et al. 2018, arXiv 1801.04406, section 2. Losses, penalties, optimizers and solvers are those that train. With
the Wasserstein loss it is the bilinear game min over theta, max over psi, of -psi theta.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp

from jaxgan import games, step
from jaxgan.config import Config
from jaxgan.hp import arrays
from jaxgan.solvers import SOLVERS
from jaxgan.types import Game, JaxganError, Net, State

REAL = {"x": jnp.zeros((2, 1, 1))}  # a batch for each player: one example, at 0


def _smoothed(hp) -> float:
    """D = real_target / 2 in logits: where -t log D - (1 - t) log(1 - D) - log(1 - D) is least."""
    if not 0 < hp.real_target < 2:
        raise JaxganError(f"hp.real_target is {hp.real_target}; this loss has an equilibrium between 0 and 2 only")
    return math.log(hp.real_target / (2 - hp.real_target))


# what D answers where it cannot tell real from generated, if that is not 0; of f-GANs T(v) = f'(1)
OFFSETS = {
    **dict.fromkeys(("minimax", "ns", "klgan"), _smoothed),
    "lsgan": lambda hp: (hp.real_target + hp.fake_target) / 2,
    "f_kl": lambda hp: 1.0,
    "f_alpha": lambda hp: -math.log(math.expm1(1 / (1 - hp.alpha))),
}


def dirac(config: Config, theta: float = 0.0, psi: float = 0.0) -> tuple[Game, State]:
    """The Dirac-GAN of config's loss, penalties, optimizer and solver, at (theta, psi).

    D's output is shifted so that its equilibrium is at psi = 0 for every loss, see OFFSETS.
    """
    offset = OFFSETS.get(config.loss, lambda hp: 0.0)(config.hp) / config.hp.d_scale
    config = dataclasses.replace(config, net="mlp", latent=1, batch=1)

    def point(params, vars, z, y, train):
        return params["theta"] + 0 * z, vars

    def line(params, vars, x, y, train):
        return params["psi"] * x[:, 0] + offset, vars

    nets = {
        "g": Net(lambda key, *inputs: ({"theta": jnp.float32(theta)}, {}), point),
        "d": Net(lambda key, *inputs: ({"psi": jnp.float32(psi)}, {}), line),
    }
    game = games.make(config, (1,))._replace(nets=nets)
    state = step.init(game, config.seed, arrays(config.hp), {"x": REAL["x"][0]})
    return game, dataclasses.replace(state, memory=SOLVERS[config.solver].init(game, state.params))


def trajectory(game: Game, state: State, solver: str, steps: int):
    """(theta, psi) before the first and after each step [steps + 1, 2]; jittable in state."""

    def at(state):
        return jnp.stack([state.params["g"]["theta"], state.params["d"]["psi"]])

    real = {"x": jnp.zeros((game.updates, 1, 1))}

    def one(state, _):
        state, _ = step.train_step(game, state, real, SOLVERS[solver].step)
        return state, at(state)

    return jnp.concatenate([at(state)[None], jax.lax.scan(one, state, None, steps)[1]])


def growth(points, low: float = 1e-25, high: float = 1e-2) -> float:
    """Growth per step of the distance from the equilibrium, by least squares over the second half of a trajectory.

    points [steps + 1, 2]. Only distances in [low, high] count: there the game is linear to rounding.
    """
    import numpy as np

    distance = np.linalg.norm(np.asarray(points, np.float64), axis=1)
    inside = np.flatnonzero((distance > low) & (distance < high))
    t = inside[len(inside) // 2 :]
    return float(np.exp(np.polyfit(t, np.log(distance[t]), 1)[0]))
