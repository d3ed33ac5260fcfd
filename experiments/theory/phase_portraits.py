"""Why GANs oscillate: phase portraits of the Dirac-GAN for losses, penalties and solvers.

    python experiments/theory/phase_portraits.py

About two minutes on 2 CPU cores. Data at 0, a generator at theta, D(x) = psi x; the Wasserstein loss makes it the
bilinear game. Each panel shows the field of all gradients, a trajectory of 400 steps of size 0.1 from theta = 1, and
the growth per step near the equilibrium as the game's Jacobian predicts it, with the growth that a trajectory there
measures. They agree within 1 % of their distance from 1. Above 1 the game runs away: simultaneous steps do without a
penalty, whatever the loss; R1, R2 and every solver but the first two cure it. Clipping only bounds the orbit, and
WGAN-GP (towards norm 1) has no Jacobian at psi = 0. Draws experiments/results/phase_portraits.png and solvers.png.
"""

import argparse
import dataclasses
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from jaxgan import Config, Hp, plots, rng
from jaxgan.solvers import SOLVERS
from jaxgan.theory import dirac, jacobian

RATE = 0.1
LOSSES = ("minimax", "ns", "lsgan", "wasserstein", "hinge", "rpgan")
PENALTIES = {  # away from critical damping, where the two eigenvalues meet and growth is not a pure power
    "none": {},
    "R1": {"r1": 0.3},
    "R2": {"r2": 0.6},
    "R1 + R2": {"r1": 0.4, "r2": 0.4},
    "WGAN-GP": {"wgan_gp": 1.0},
    "clipping": {"clip": 0.5},
}
KINKED = ("WGAN-GP",)  # no Jacobian at psi = 0
REACH = 1.6


def config(loss: str, solver: str, penalty: str) -> Config:
    """Plain gradient steps of one size."""
    hp = Hp(g_lr=RATE, d_lr=RATE, ema_half_life=0.0, **PENALTIES[penalty])
    return Config(loss=loss, solver=solver, optimizer="sgd", hp=hp)


def moved(state, theta, psi):
    params = {"g": {"theta": jnp.float32(theta)}, "d": {"psi": jnp.float32(psi)}}
    return dataclasses.replace(state, params=params)


def portrait(loss: str, solver: str, penalty: str):
    """Field [n, n, 2] on a grid, trajectory [401, 2], predicted and measured growth (None without a Jacobian)."""
    game, state = dirac.dirac(config(loss, solver, penalty))
    key = rng.root(0)
    line = jnp.linspace(-REACH, REACH, 13)
    at_rest = jacobian.motion(game, state, dirac.REAL, key)
    order = jnp.array([at_rest.tree(jnp.arange(2.0))[net][name] for net, name in (("g", "theta"), ("d", "psi"))], int)
    points = jnp.stack(jnp.meshgrid(line, line), -1)  # (theta, psi); the motion has its own order
    field = jax.jit(jax.vmap(jax.vmap(lambda p: at_rest.velocity(p[jnp.argsort(order)])[order])))(points)
    run = jax.jit(partial(dirac.trajectory, game, solver=solver, steps=4000))
    path = np.asarray(run(moved(state, 1.0, 0.0)))[:401]
    if penalty in KINKED:
        return np.asarray(field), path, None
    weights = {name: float(value) for name, value in state.hp.items()}
    matrix = jacobian.step_matrix(jacobian.dense(at_rest), jacobian.owners(game, state), RATE, solver, weights)
    return np.asarray(field), path, (jacobian.spectral_radius(*matrix), dirac.growth(run(moved(state, 1e-3, 0.0))))


def panel(axes, field, path, growth) -> None:
    """Arrows of the field, the trajectory from dark to light, and the growths."""
    line = np.linspace(-REACH, REACH, 13)
    length = np.linalg.norm(field, axis=-1, keepdims=True)
    axes.quiver(
        line, line, *np.moveaxis(field / np.maximum(length, 1e-9), -1, 0), color="#bbbbbb", scale=22, width=0.006
    )
    axes.scatter(*path.T, c=np.arange(len(path)), cmap="viridis", s=1.5, linewidths=0)
    axes.plot(*path[0], "o", c="#d55e00", ms=4)
    axes.plot(0, 0, "+", c="black", ms=7)
    axes.set(xlim=(-REACH, REACH), ylim=(-REACH, REACH), xticks=[-1, 0, 1], yticks=[-1, 0, 1], aspect="equal")
    axes.tick_params(labelsize=6, labelbottom=False, labelleft=False)
    if growth:
        color = "#d55e00" if growth[0] > 1 + 1e-6 else "#0072b2"
        axes.set_title(f"{growth[0]:.5f} / {growth[1]:.5f}", fontsize=7, color=color, pad=2)
    else:
        axes.set_title("no Jacobian at 0", fontsize=7, color="#666666", pad=2)


def draw(rows: dict, columns: dict, settings, title: str, out: Path) -> list[tuple]:
    """A figure of portraits; settings: (row, column) -> loss, solver, penalty. Returns the growths for printing."""
    figure = Figure(figsize=(1.55 * len(columns) + 0.6, 1.7 * len(rows) + 0.8), dpi=100, layout="constrained")
    grid = figure.subplots(len(rows), len(columns), squeeze=False)
    found = []
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            chosen = settings(row, column)
            field, path, growth = portrait(*chosen)
            panel(grid[i][j], field, path, growth)
            found.append((*chosen, growth))
        grid[i][0].set_ylabel(f"{rows[row]}\n$\\psi$", fontsize=9)
        grid[i][0].tick_params(labelleft=True)
    for j, column in enumerate(columns):
        grid[0][j].annotate(columns[column], (0.5, 1.16), xycoords="axes fraction", ha="center", fontsize=9)
        grid[-1][j].set_xlabel("$\\theta$", fontsize=9)
        grid[-1][j].tick_params(labelbottom=True)
    figure.suptitle(title, fontsize=10)
    plots.save_figure(figure, out)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("experiments/results"), help="folder of the two figures")
    out = parser.parse_args().out
    same = "growth per step near the equilibrium: predicted / measured"
    found = draw(
        {name: name for name in LOSSES},
        {name: name for name in PENALTIES},
        lambda row, column: (row, "simultaneous", column),
        f"Dirac-GAN, simultaneous gradient steps; {same}",
        out / "phase_portraits.png",
    )
    found += draw(
        {
            ("ns", "none"): "ns",
            ("ns", "R1"): "ns, R1",
            ("wasserstein", "none"): "wasserstein\n(bilinear)",
            ("hinge", "R1"): "hinge, R1",
        },
        {name: name.replace("_", "\n") for name in SOLVERS},
        lambda row, column: (row[0], column, row[1]),
        f"Dirac-GAN by solver; {same}",
        out / "solvers.png",
    )
    for loss, solver, penalty, growth in found:
        if growth:
            print(f"{loss}, {penalty}, {solver}: predicted {growth[0]:.6f}, measured {growth[1]:.6f}")
    print(f"figures in {out / 'phase_portraits.png'} and {out / 'solvers.png'}")


if __name__ == "__main__":
    main()
