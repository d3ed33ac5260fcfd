"""Diagnosis of a run: where its game is going, measured at one state by the functions that train it.

`instruments` compiles the measurements once; calling them on a state gives a Report. `readings` says in words what the
numbers mean. Column names and units are in COLUMNS.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from jaxgan import rng
from jaxgan.config import Config
from jaxgan.metrics.diversity import auc, relative_diversity
from jaxgan.solvers import SOLVERS
from jaxgan.step import at_now, runner, train_step
from jaxgan.theory import jacobian, nash
from jaxgan.types import Game, Source, State

COLUMNS = {
    "field": "norm of all players' gradients",
    "eig_abs": "largest modulus of the game Jacobian's eigenvalues",
    "eig_re": "largest real part: above 0 a direction repels",
    "eig_im": "largest imaginary part: speed of rotation",
    "eig_error": "largest residual of these three, relative to eig_abs",
    "rotation": "antisymmetric share of the Jacobian, 0 to 1",
    "cos_d": "cosine between two successive updates of D",
    "cos_g": "cosine between two successive updates of G",
    "auc_train": "chance that D scores a training example above a generated one",
    "auc_held": "the same for examples that were held out",
    "gain_d": "what D gains by a best response of k steps, on held-out data",
    "gain_g": "what G gains likewise",
    "exploitability": "sum of the gains, 0 at a Nash equilibrium",
    "diversity": "Vendi score of generated over that of real examples",
    "spectral_d": "largest spectral norm of D's kernels",
    "spectral_g": "largest spectral norm of G's kernels",
}
ARNOLDI, PROBES, RESPONSES, MANY = 20, 4, 10, 1024
DIVERSE = 256  # examples whose diversity is measured: a fixed number, since the score depends on it


class Report(NamedTuple):
    """row: {column: float}; eigenvalues complex [k] and residuals [k]; spectral {layer: norm}; scores {set: logits}."""

    row: dict[str, float]
    eigenvalues: np.ndarray
    residuals: np.ndarray
    spectral: dict[str, float]
    scores: dict[str, np.ndarray]


def instruments(game: Game, c: Config, source: Source, held: Source | None = None) -> Callable:
    """A function State -> Report for this game on one device. held: real examples that training does not see.

    A density's examples are always new, so it is its own held-out set. Without one, gains are measured on training
    data and auc_held is left out.
    """
    held = source if held is None and not source.size else held
    finish = jax.jit(source.finish)
    curved = jax.jit(partial(curvature, game))
    turned = jax.jit(partial(cosines, game, SOLVERS[c.solver].step))
    gained = jax.jit(partial(nash.gains, game))
    judged = jax.jit(partial(judge, game))

    def draw(source, key, *shape):
        """{"x": [*shape, ...], "y": [*shape]}: random examples, each at most once where there are enough."""
        n, size = math.prod(shape), source.size
        pick = np.random.default_rng(np.asarray(jax.random.key_data(key)))
        index = pick.choice(size, n, replace=n > size) if size else np.zeros(n, int)
        batch = finish(source.rows(index), rng.examples(key, n))
        return jax.tree.map(lambda b: b.reshape(*shape, *b.shape[1:]), batch)

    def many(source):  # whole packs, where D judges packs
        return max(min(MANY, source.size or MANY) // c.pack, 1) * c.pack

    def measure(state: State) -> Report:
        state = at_now(state, c.batch)
        key = jax.random.fold_in(rng.stream(state.key, "diagnosis"), state.step)
        stream = partial(rng.stream, key)
        train = draw(source, stream("train"), many(source))
        new = draw(held, stream("held"), many(held)) if held else train
        row, hessenberg = curved(state, draw(source, stream("players"), len(game.players), c.batch), key)
        values, residuals = jacobian.ritz(hessenberg)
        row |= extremes(values, residuals) | turned(state, draw(source, stream("steps"), 2, game.updates, c.batch))
        gains = gained(state, draw(source, stream("responses"), RESPONSES, c.batch), new, key)
        row |= {f"gain_{name}": gain for name, gain in gains.items()} | {"exploitability": sum(gains.values())}
        logits, row["diversity"] = judged(state, train, key)
        if held and logits:
            logits["held out"] = judged(state, new, key)[0]["training"]
        names = {"auc_train": "training", "auc_held": "held out"}
        row |= {name: auc(logits[of], logits["generated"]) for name, of in names.items() if of in logits}
        spectral = spectral_norms(state.params)
        largest = {f"spectral_{net}": [v for k, v in spectral.items() if k.startswith(f"{net}.")] for net in ("d", "g")}
        row |= {name: max(values) for name, values in largest.items() if values}
        row = {name: float(row[name]) for name in COLUMNS if name in row}
        return Report(row, values, residuals, spectral, {name: np.asarray(x) for name, x in logits.items()})

    return measure


def curvature(game: Game, state: State, batches, key):
    """{"field", "rotation"}, and the Hessenberg matrix of the game's Jacobian on one batch for each player."""
    m = jacobian.motion(game, state, batches, key)
    probes = jax.random.rademacher(rng.stream(key, "probes"), (PROBES, len(m.at)), m.at.dtype)
    potential, rotation = jacobian.parts(m, probes)
    hessenberg = jacobian.arnoldi(m, jax.random.normal(rng.stream(key, "arnoldi"), m.at.shape), ARNOLDI)
    return {"field": jnp.linalg.norm(m.velocity(m.at)), "rotation": rotation / (potential + rotation)}, hessenberg


def extremes(values, residuals) -> dict[str, float]:
    """The eig_ columns of eigenvalues and their residuals."""
    chosen = {"eig_abs": np.argmax(abs(values)), "eig_re": np.argmax(values.real), "eig_im": np.argmax(values.imag)}
    sizes = {"eig_abs": abs(values), "eig_re": values.real, "eig_im": values.imag}
    row = {name: sizes[name][i] for name, i in chosen.items()}
    return row | {"eig_error": max(residuals[i] for i in chosen.values()) / max(row["eig_abs"], 1e-30)}


def cosines(game: Game, solver: Callable, state: State, batches):
    """{"cos_" + player: cosine of its next two updates}; batches {"x": [2, updates, b, ...], ...}."""
    first, _ = train_step(game, state, jax.tree.map(lambda b: b[0], batches), solver)
    second, _ = train_step(game, first, jax.tree.map(lambda b: b[1], batches), solver)

    def update(name, before, after):
        owned = [jax.tree.map(jnp.subtract, after.params[net], before.params[net]) for net in game.players[name].nets]
        return ravel_pytree(owned)[0]

    found = {}
    for name in game.players:
        a, b = update(name, state, first), update(name, first, second)
        found[f"cos_{name}"] = a @ b / jnp.maximum(jnp.linalg.norm(a) * jnp.linalg.norm(b), 1e-30)
    return found


def judge(game: Game, state: State, batch, key):
    """D's logits {"training": of a batch of real examples [n], "generated": of as many}, and the relative diversity.

    {} where no D judges examples (vae, aae).
    """
    n, labels = len(batch["x"]), batch["y"] if game.classes else None
    run = runner(game, state.params)
    made = game.sample(run, state.vars, game.latent(rng.stream(key, "z"), n), game.condition(batch))
    few = slice(min(n, DIVERSE))
    diversity = relative_diversity(made[few], batch["x"][few])
    if "score" not in game.views:
        return {}, diversity
    # batch statistics of real and of generated examples apart, as in training
    sides = {"training": batch["x"], "generated": made}
    return {name: game.views["score"](run, state.vars, x, labels) for name, x in sides.items()}, diversity


def spectral_norms(params) -> dict[str, float]:
    """{"net.layer": largest singular value} of every kernel, read as a matrix [all but the last axis, last axis]."""
    found = {}
    for path, x in jax.tree.leaves_with_path(params):
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        if jnp.ndim(x) > 1:
            matrix = np.asarray(x).reshape(-1, x.shape[-1])
            finite = np.isfinite(matrix).all()
            found[name.removesuffix(".kernel")] = float(np.linalg.norm(matrix, 2)) if finite else math.nan
    return found


RULES = (  # (condition on a row, its meaning and what to try); a comparison with nan is false
    (
        lambda r: r["diversity"] < 0.5,
        "ALARM: samples have {diversity:.0%} of the data's diversity: collapsing, unless training has just begun. "
        "Loss rpgan with --hp.r1 and --hp.r2 holds it, or a lower --hp.g-lr",
    ),
    (
        lambda r: r["auc_train"] - r["auc_held"] > 0.1,
        "ALARM: D learns the training set by heart, it ranks {auc_train:.0%} of training examples above generated ones "
        "and {auc_held:.0%} of held-out ones. More data, --hp.r1, or fewer steps",
    ),
    (
        lambda r: r["auc_train"] > 0.99,
        "D tells real from generated almost without error, so G learns little from it. A lower --hp.d-lr, or --hp.r1",
    ),
    (
        lambda r: r["auc_train"] < 0.6 and r["gain_d"] > 0.1,
        "D does not see what it could, a best response gains {gain_d:.2f}: more --d-steps, or a higher --hp.d-lr",
    ),
    (
        lambda r: r["auc_train"] < 0.6 and r["gain_d"] <= 0.1,
        "D cannot tell real from generated, nor quickly learn to: near equilibrium, as far as this D can see",
    ),
    (
        lambda r: r["eig_re"] > 0.05 * r["eig_abs"],
        "a direction of the game repels, with real part {eig_re:.3g} where the largest eigenvalue is {eig_abs:.3g}: "
        "small gradient steps move away from this point; --hp.r1 damps it",
    ),
    (
        lambda r: r["rotation"] > 0.5,
        "the players chase each other, {rotation:.0%} of the Jacobian is rotation: --hp.r1, or --solver extragradient, "
        "optimistic or lookahead",
    ),
    (
        lambda r: r["cos_d"] < -0.3 or r["cos_g"] < -0.3,
        "successive updates point against each other: a lower learning rate",
    ),
)


def readings(row: dict[str, float]) -> list[str]:
    """What a row of measurements means, in plain language; alarms come first, and begin with ALARM."""
    row = {name: row.get(name, math.nan) for name in COLUMNS}
    return [text.format(**row) for true, text in RULES if true(row)] or ["nothing remarkable"]
