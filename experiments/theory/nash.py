"""How far from a Nash equilibrium: the duality gap of a GAN with two parameters, exactly and by best responses.

    python experiments/theory/nash.py

About half a minute on 2 CPU cores. Draws experiments/results/nash.png and prints the numbers behind it. Data
N(0, 0.3^2), generator N(theta, 0.3^2), discriminator sigmoid(w x), both parameters in [-2, 2], minimax loss and SGD.
The only equilibrium is theta = w = 0. After 300 steps (seed 0) simultaneous gradients have left it for the walls of the
box, exploitability 0.50 -> 3.3; alternating ones circle in slowly, 0.040; lookahead, extragradient and consensus
have reached the noise of their batches, below 0.01. Best responses on samples find the exact duality gap to
3 %, or to 0.003 nats where that is more.
"""

import argparse
import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from jaxgan import Config, Hp, plots, rng
from jaxgan.data import feed, toy
from jaxgan.theory import nash

STD, BOX = 0.3, 2.0
START = {"theta": 1.0, "w": 0.0}
CONFIG = Config(
    net="mlp",
    loss="minimax",
    optimizer="sgd",
    batch=512,
    steps=301,
    hp=Hp(g_lr=0.4, d_lr=0.4, consensus=1.0),
)
RESPONSE = Hp(g_lr=0.05, d_lr=0.05, b1=0.9)  # Adam: it crosses the box in 80 steps, however small the gradient
MOVES, HELD, EVERY = 100, 2**15, 25  # moves of a best response, held-out examples, steps between two of them
SOLVERS = {  # Okabe and Ito's palette, for every kind of colour vision
    "simultaneous": "#d55e00",
    "alternating": "#e69f00",
    "lookahead": "#cc79a7",
    "extragradient": "#0072b2",
    "consensus": "#009e73",
}
SOURCE = toy.gaussian_mixture([[0.0]], STD)


def exact(theta, w):
    """The duality gap at theta and w (scalars) by quadrature, over all strategies in the box."""
    every = jnp.linspace(-BOX, BOX, 401)
    return nash.duality_gap(lambda theta, w: nash.location_value(theta, w, std=STD, box=BOX), theta, w, every, every)


def estimated(states):
    """The exploitability of each state [n], by best responses of Adam on samples."""
    responder = dataclasses.replace(CONFIG, optimizer="adam")
    game = nash.location(responder, START, STD, BOX)
    hp = {name: jnp.float32(value) for name, value in dataclasses.asdict(RESPONSE).items()}
    key = rng.root(1)

    @jax.jit
    def each(states):
        batches = feed.from_device(SOURCE, {}, key, 0, MOVES, CONFIG.batch, CONFIG.batch)
        held = feed.finish(SOURCE, {}, rng.stream(key, "held"), 0, HELD)
        ask = lambda state: nash.exploitability(game, dataclasses.replace(state, hp=hp), batches, held, key)  # noqa: E731
        return jax.lax.map(ask, states)

    return each(states)


def measure(solver: str) -> dict[str, np.ndarray]:
    """One training run: theta, w and their distance to the equilibrium at every step, the gap exactly and estimated."""
    config = dataclasses.replace(CONFIG, solver=solver)
    game = nash.location(config, START, STD, BOX)
    states = jax.jit(lambda: nash.trajectory(game, config, SOURCE))()
    theta, w = (np.asarray(states.params[net][name], np.float64) for net, name in (("g", "theta"), ("d", "w")))
    found = {"theta": theta, "w": w, "distance": np.hypot(theta, w)}
    found["estimated"] = np.asarray(estimated(jax.tree.map(lambda leaf: leaf[::EVERY], states)))
    with jax.enable_x64(True):
        found["exact"] = np.asarray(jax.jit(lambda *at: jax.lax.map(lambda p: exact(*p), at))(theta, w))
    return found


def gap_map():
    """Strategies [n], and the exact duality gap [n, n] at (theta, w)."""
    line = np.linspace(-BOX, BOX, 81)
    with jax.enable_x64(True):
        gap = jax.jit(jax.vmap(jax.vmap(exact, (None, 0)), (0, None)))(line, line)
    return line, np.asarray(gap)


def draw(found: dict, line, gap, out: Path) -> None:
    """The duality gap as a landscape with trajectories on it; gap and distance over training for every solver."""
    figure = Figure(figsize=(11, 5.4), dpi=85, layout="constrained")
    left, right = figure.subfigures(1, 2, squeeze=False)[0]
    axes = left.subplots()
    levels = np.linspace(0, gap.max(), 21)
    shades = axes.contourf(line, line, gap.T, levels, cmap="Greys")
    left.colorbar(shades, label="exact duality gap (nats)", ticks=range(5), shrink=0.8)
    for name in ("simultaneous", "alternating", "extragradient", "consensus"):
        axes.plot(found[name]["theta"], found[name]["w"], c=SOLVERS[name], lw=1.3)
    axes.plot(0, 0, "*", c="#f0e442", mec="black", ms=15, label="equilibrium")
    axes.plot(START["theta"], START["w"], "o", c="white", mec="black", label="start")
    axes.set(xlabel=r"generator's mean $\theta$", ylabel=r"discriminator's slope $w$", aspect="equal")
    top, bottom = right.subplots(2, 1, sharex=True)
    steps = np.arange(CONFIG.steps)
    for name, color in SOLVERS.items():
        top.semilogy(steps, found[name]["exact"], c=color, lw=1.3)
        top.semilogy(steps[::EVERY], found[name]["estimated"], ".", c=color)
        bottom.semilogy(steps, found[name]["distance"], c=color, lw=1.3, label=name)
    top.set(ylabel="exploitability (nats)", ylim=(2e-4, 6), xlim=(0, CONFIG.steps))
    top.set_title("lines: exact; dots: best responses on samples", fontsize=10)
    bottom.set(ylabel=r"distance $\sqrt{\theta^2 + w^2}$", ylim=(1e-3, 4), xlabel="train step")
    figure.legend(loc="outside lower center", ncols=4)
    plots.save_figure(figure, out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("experiments/results/nash.png"))
    out = parser.parse_args().out
    found = {name: measure(name) for name in SOLVERS}
    points, gap = gap_map()
    draw(found, points, gap, out)
    for name, values in found.items():
        print(
            f"{name}: distance {values['distance'][0]:.3g} -> {values['distance'][-1]:.3g}, exploitability "
            f"{values['exact'][0]:.3g} -> {values['exact'][-1]:.3g} (by best responses {values['estimated'][-1]:.3g})"
        )
    print(f"figure in {out}")


if __name__ == "__main__":
    main()
