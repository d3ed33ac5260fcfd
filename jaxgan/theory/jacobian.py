"""The Jacobian of a game, matrix-free: how the players' gradients stretch and turn around a point.

All players follow theta' = -v(theta), v their gradients, each in its own parameters (`step.field`). Near a point the
motion is theta' = J theta with J = -dv/dtheta. Eigenvalues with negative real parts attract, positive ones repel, and
imaginary parts rotate: Mescheder et al. 2017, arXiv 1705.10461; Balduzzi et al. 2018, arXiv 1802.05642.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from jaxgan import solvers
from jaxgan.types import Game, State


class Motion(NamedTuple):
    """at: all players' parameters as one vector [n]; velocity: vector -> -v there; tree: vector -> {net: params}."""

    at: jax.Array
    velocity: Callable
    tree: Callable


def motion(game: Game, state: State, batches, key) -> Motion:
    """The players' motion on fixed batches {"x": [players, b, ...], ...} and randomness."""
    owned = {net: state.params[net] for player in game.players.values() for net in player.nets}
    at, tree = ravel_pytree(owned)

    def velocity(vector):
        here = dataclasses.replace(state, params={**state.params, **tree(vector)})
        found, _ = solvers.fields(game, here, batches, key)
        grads = {net: tree for grads, _ in found.values() for net, tree in grads.items()}
        return -ravel_pytree({net: grads[net] for net in owned})[0]

    return Motion(at, velocity, tree)


def owners(game: Game, state: State) -> np.ndarray:
    """For each entry of Motion.at [n], the number of the player that moves it, in order of play."""
    owner = {net: i for i, player in enumerate(game.players.values()) for net in player.nets}
    params = {net: jax.tree.map(lambda x, i=i: np.full(np.shape(x), i), state.params[net]) for net, i in owner.items()}
    return np.asarray(ravel_pytree(params)[0])


def jvp(m: Motion, t):
    """J t, for t [n]."""
    return jax.jvp(m.velocity, (m.at,), (t,))[1]


def vjp(m: Motion, t):
    """J^T t, for t [n]."""
    return jax.vjp(m.velocity, m.at)[1](t)[0]


def dense(m: Motion) -> jax.Array:
    """J [n, n], for games small enough."""
    return jax.jacobian(m.velocity)(m.at)


def arnoldi(m: Motion, start, steps: int):
    """Basis-free Hessenberg matrix H [steps + 1, steps] of Arnoldi's method from a vector start [n]; jittable.

    Orthogonalised twice, so that float32 suffices; a column past an invariant subspace is zero.
    """

    def body(j, carry):
        q, h = carry
        w = jvp(m, q[j])
        scale = jnp.linalg.norm(w)
        for _ in range(2):
            c = q @ w
            w, h = w - c @ q, h.at[:, j].add(c)
        norm = jnp.linalg.norm(w)
        new = norm > 1e-5 * scale  # else w is rounding noise
        h = h.at[j + 1, j].set(jnp.where(new, norm, 0.0))
        return q.at[j + 1].set(jnp.where(new, w / norm, 0.0)), h

    q = jnp.zeros((steps + 1, len(start)), start.dtype).at[0].set(start / jnp.linalg.norm(start))
    return jax.lax.fori_loop(0, steps, body, (q, jnp.zeros((steps + 1, steps), start.dtype)))[1]


def ritz(h) -> tuple[np.ndarray, np.ndarray]:
    """Approximate eigenvalues of J (complex [k], largest modulus first) from `arnoldi`, with their residuals [k].

    A residual is ||J x - lambda x|| for a unit vector x; the outermost eigenvalues converge first. They are all of J's
    eigenvalues, with residual 0, where the start vector's subspace was exhausted. One nan where h is not finite.
    """
    h = np.asarray(h, np.float64)
    if not np.isfinite(h).all():
        return np.array([complex(np.nan, np.nan)]), np.array([np.nan])
    ends = np.flatnonzero(np.diagonal(h, -1) == 0)
    k = int(ends[0]) + 1 if len(ends) else h.shape[1]
    values, vectors = np.linalg.eig(h[:k, :k])
    residuals = h[k, k - 1] * abs(vectors[-1]) / np.linalg.norm(vectors, axis=0)
    order = np.argsort(-abs(values), kind="stable")
    return values[order], residuals[order]


def parts(m: Motion, probes):
    """Squared Frobenius norms of J's symmetric part (potential) and antisymmetric part (rotation); jittable.

    probes [k, n]: random vectors of covariance I make it Hutchinson's unbiased estimate; sqrt(n) times the rows of an
    identity make it exact. The parts are those of Balduzzi et al. 2018, arXiv 1802.05642.
    """

    def one(z):
        a, b = jvp(m, z), vjp(m, z)
        return ((a + b) ** 2).sum() / 4, ((a - b) ** 2).sum() / 4

    return jax.tree.map(jnp.mean, jax.lax.map(one, probes))


def path(m: Motion, start, reach) -> dict[str, jax.Array]:
    """Along the line from the vector start [n] (reach 0) to Motion.at (reach 1): {"angle", "field"}, each [k].

    angle: cosine between the motion and the line; it turns from 1 to -1 at an attracting point without rotation, and
    bulges around one with rotation. field: norm of the gradients. Berard et al. 2019, arXiv 1906.04848.
    """
    line = m.at - start

    def one(t):
        v = m.velocity(start + t * line)
        norm = jnp.linalg.norm(v)
        return {"angle": v @ line / (norm * jnp.linalg.norm(line)), "field": norm}

    return jax.lax.map(one, reach)


def step_matrix(j, owner, rate, solver: str, hp: dict | None = None) -> tuple[np.ndarray, int]:
    """The linear map that a solver's plain gradient steps make of a small deviation, and how many steps it spans.

    j [n, n] at the equilibrium, owner [n] from `owners`, rate [n] or scalar: step sizes. Solvers with a memory act on
    (now, before) [2n]. hp: weights of consensus and lookahead as in config.Hp.
    """
    hp = hp or {}
    j, rate = np.asarray(j, np.float64), np.broadcast_to(np.asarray(rate, np.float64), len(j))
    one, a = np.eye(len(j)), rate[:, None] * j

    def in_turn():
        turns = [one + (owner == i)[:, None] * a for i in range(int(owner.max()) + 1)]
        return np.linalg.multi_dot([one, *turns[::-1]])

    if solver == "alternating":
        return in_turn(), 1
    if solver == "lookahead":
        every = int(hp["lookahead_every"])
        keep = hp["lookahead"]
        return (1 - keep) * one + keep * np.linalg.matrix_power(in_turn(), every), every
    if solver in ("past_extragradient", "optimistic"):  # the same map for plain gradient steps
        return np.block([[one + 2 * a, -a], [one, 0 * one]]), 1
    simple = {"simultaneous": one + a, **dict.fromkeys(("extragradient", "extragradient_two"), one + a + a @ a)}
    if solver == "consensus":  # the gradient of 1/2 ||v||^2 is -J^T v
        return one + a - hp["consensus"] * rate[:, None] * (j.T @ j), 1
    return simple[solver], 1


def spectral_radius(matrix, steps: int = 1) -> float:
    """Growth per step of a map that spans this many steps; below 1 the equilibrium attracts."""
    return float(max(abs(np.linalg.eigvals(matrix))) ** (1 / steps))
