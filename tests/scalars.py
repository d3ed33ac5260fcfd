"""Games of two numbers, small enough to solve by hand, and the rates of solvers on the bilinear one."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxgan import step
from jaxgan.types import Game, Net, Player

H = 0.1
HP = {"lr": H, "ema_half_life": 0.0, "ema_ramp": 0.05}


def scalar(start):
    """A network that is one number and counts in its vars how often it ran in training."""

    def apply(params, vars, x, train):
        return params["w"] * jnp.ones_like(x), {"ran": vars["ran"] + 1} if train else vars

    return Net(lambda key, x: ({"w": jnp.float32(start)}, {"ran": jnp.int32(0)}), apply)


def game(losses, starts, steps=(1, 1), **fields):
    """Two scalars x and y; losses: {player: (x, y, batch) -> scalar}."""
    nets = {name: scalar(start) for name, start in starts.items()}

    def player(name, k):
        def loss(run, vars, batch, key, hp):
            one = jnp.ones(())
            x, vars = run(vars, "x", one)
            y, vars = run(vars, "y", one)
            return losses[name](x, y, batch["x"]), (vars, {"seen": batch["x"].mean(), "drawn": jax.random.uniform(key)})

        return Player((name,), loss, lambda hp: optax.sgd(hp["lr"]), k)

    players = {name: player(name, k) for name, k in zip(losses, steps, strict=True)}
    ones = jnp.ones(())
    return Game(
        nets, players, lambda batch, key: dict.fromkeys(nets, (ones,)), None, None, **{"shown": ("x",), **fields}
    )


BILINEAR = {"x": lambda x, y, b: x * y, "y": lambda x, y, b: -x * y}
MEANS = {"x": lambda x, y, b: x * b.mean(), "y": lambda x, y, b: y * b.mean()}


def start(g, hp=HP):
    return step.init(g, 0, hp, {"x": jnp.zeros(2)})


def batches(g, b=1, seed=0):
    return {"x": jnp.asarray(np.random.default_rng(seed).normal(size=(g.updates, b)).astype(np.float32))}


def at(state):
    return np.array([state.params["x"]["w"], state.params["y"]["w"]], np.float64)


WEIGHT, KEEP, EVERY = 0.3, 0.5, 4
ALTERNATING = np.array([[1, -H], [H, 1 - H * H]])

# The gradient field is rotation by 90 degrees, with eigenvalues i and -i; a solver's rate follows by scalar algebra.
RATES = {
    "simultaneous": abs(1 - 1j * H),
    "alternating": 1.0,
    "extragradient": abs(1 - 1j * H + (1j * H) ** 2),
    "extragradient_two": abs(1 - 1j * H + (1j * H) ** 2),  # on a game without chance
    "past_extragradient": max(abs(np.roots([1, -(1 - 2j * H), -1j * H]))),
    "optimistic": max(abs(np.roots([1, -(1 - 2j * H), -1j * H]))),
    "consensus": abs(1 - H * (WEIGHT + 1j)),
    "lookahead": max(abs(np.linalg.eigvals((1 - KEEP) * np.eye(2) + KEEP * np.linalg.matrix_power(ALTERNATING, EVERY))))
    ** (1 / EVERY),
}
