"""The four states of a GAN on the line, figure 1 of Goodfellow et al. 2014 (arXiv 1406.2661), and its k inner steps.

    python experiments/theory/four_states.py

About a minute on 2 CPU cores. Draws experiments/results/four_states.png, and the whole training as four_states.gif
beside it. Data N(1, 0.7^2); G is a line x = a z + b, so that the data is within its reach; D is an MLP; the loss is the
minimax value of algorithm 1. (A) untrained; (B) D alone trains to D* = p / (p + p_g); (C) G alone moves against that D,
which it outdates; (D) both have trained: p_g = p, D = 1/2. For k = 1, 5, 20 updates of D to each of G, with a D that
learns ten times as slowly as G: at k = 1 it lags behind D*, and G overshoots.

Measured at seed 3: JSD(p, p_g) is 0.164 in (A) and (B), 0.110 in (C), 0.0001 in (D); sup |D - D*| is 0.013 in (B) and
|D - 1/2| < 0.003 in (D), where 99 % of the examples lie, with V within 2e-5 of -log 4. While G trains, updates 25 to
500, the mean |D - D*| is 0.090, 0.022 and 0.013 for k = 1, 5 and 20, and the JSD stays below 0.001 after 525, 225 and
250.
"""

import argparse
import dataclasses
import tempfile
from pathlib import Path

import jax
import numpy as np
from matplotlib.figure import Figure

from jaxgan import Config, Hp, games, plots
from jaxgan.data.toy import gaussian_mixture
from jaxgan.nets import mlp
from jaxgan.state import initial
from jaxgan.theory import divergence, line, value
from jaxgan.types import Spec

SOURCE = gaussian_mixture([[1.0]], 0.7)
CONFIG = Config(
    kind="plain",
    net="mlp",
    loss="minimax",
    latent=1,
    width=32,
    depth=3,
    batch=512,
    steps=1500,
    seed=3,
    hp=Hp(g_lr=5e-3, d_lr=1e-2, b1=0.5, b2=0.99, ema_half_life=0.0),
)
D_STEPS, G_STEPS, EVERY = 2000, 100, 25  # of (B) and (C); steps between two looks
EDGES = np.linspace(-6, 6, 301)
CENTRES = (EDGES[1:] + EDGES[:-1]) / 2
TITLES = {"A": "untrained", "B": "D at its optimum", "C": "G moves against it", "D": "converged"}
INNER = (1, 5, 20)  # k, the updates of D for each update of G
# D lags if k = 1
SLOW = dataclasses.replace(CONFIG, steps=1000, batch=256, hp=dataclasses.replace(CONFIG.hp, d_lr=5e-4))
BLUE, ORANGE, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "#666666"  # Okabe and Ito's palette


def game_of(config=CONFIG):
    """The game of config with G a line: an MLP without hidden layers."""
    game = games.make(config, (1,))
    return game._replace(nets={**game.nets, "g": mlp.generator(dataclasses.replace(config, depth=0), Spec((1,)))})


def log_data() -> np.ndarray:
    """Log probabilities of the data in the bins between EDGES."""
    return np.log(np.maximum(np.asarray(line.pushforward(line.transport(SOURCE.exact), EDGES), np.float64), 1e-30))


def numbers(logit, lq, lp) -> dict[str, float]:
    """JSD(p, p_g), V + log 4, and D's largest and mean distance from D*, and from 1/2, where there is mass."""
    with jax.enable_x64(True):
        away = line.distances(logit, lp, lq, 1.0)
        half = abs(jax.nn.sigmoid(logit[line.massive(lp, lq, 1.0)]) - 0.5)
        found = {"jsd": divergence.jsd(lp, lq, 1.0), "value": value.value(logit, lp, lq, 1.0) + np.log(4)}
        return {k: float(v) for k, v in {**found, "sup": away.max(), "mean": away.mean(), "half": half.max()}.items()}


def inner_steps(k: int, config=SLOW, every: int = EVERY) -> dict[str, np.ndarray]:
    """`numbers` over the training from state A with k updates of D for each of G."""
    config = dataclasses.replace(config, d_steps=k)
    game = game_of(config)
    rates = line.decay(config, config.steps)
    _, seen = line.train(game, config, SOURCE, initial(game, config, (1,)), rates, every, line.view(game, EDGES))
    lp = log_data()
    rows = [numbers(logit, lq, lp) for logit, lq in zip(*(np.asarray(seen[n], np.float64) for n in ("logit", "lq")))]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def panel(axes, look, title: str) -> None:
    """One state: data dotted, model solid, D dashed, and below them where G takes z."""
    width = np.diff(EDGES)
    axes.plot(CENTRES, np.exp(log_data()) / width, c="black", ls=":", lw=2, label="data $p$")
    axes.plot(CENTRES, np.exp(look["lq"]) / width, c=GREEN, lw=2, label="model $p_g$")
    axes.plot(CENTRES, jax.nn.sigmoid(look["logit"]), c=BLUE, ls="--", lw=2, label="$D(x)$")
    for start, end in zip(line.ARROWS, look["x"]):
        axes.annotate("", (end, -0.15), (start, -0.6), arrowprops={"arrowstyle": "->", "color": GREY, "lw": 0.8})
    for y, name in ((-0.15, "x"), (-0.6, "z")):
        axes.axhline(y, c=GREY, lw=0.8)
        axes.text(-3.1, y + 0.03, f"${name}$")
    axes.set(xlim=(-3.2, 4), ylim=(-0.65, 1.5), yticks=(0, 0.5, 1), title=title)


def picture(figure, looks: dict, found: dict) -> None:
    """The figure: four states above, k inner steps below."""
    grid = figure.add_gridspec(2, 4, height_ratios=(1.15, 1))
    for i, (name, look) in enumerate(looks.items()):
        axes = figure.add_subplot(grid[0, i])
        panel(axes, look, f"({name}) {TITLES[name]}")
        if i == 0:
            axes.set_ylabel("density, D(x)")
            axes.legend(loc="upper right", fontsize=8)
    labels = {"mean": "mean $|D - D^*|$ where there is mass", "jsd": "JSD$(p, p_g)$, nats"}
    for i, (key, label) in enumerate(labels.items()):
        axes = figure.add_subplot(grid[1, 2 * i : 2 * i + 2])
        for color, (k, rows) in zip((ORANGE, GREEN, BLUE), found.items()):
            axes.semilogy(np.arange(len(rows[key])) * EVERY, rows[key], c=color, lw=1.8, label=f"k = {k}")
        axes.set_xlabel("updates of G")
        axes.set_ylabel(label)
        axes.legend(fontsize=8)


def animate(seen: dict, out: Path) -> None:
    """The whole training, A to D, as one GIF."""
    doing = {"B": "D alone", "C": "G alone", "D": "both"}
    last = {"B": 16, "C": 5, "D": 41}  # looks that are shown: what follows changes little
    with tempfile.TemporaryDirectory() as folder:
        paths: list[Path] = []
        for name, i in [(stretch, i) for stretch in doing for i in range(last[stretch])]:
            figure = Figure(figsize=(4.6, 3.4), dpi=80, layout="constrained")
            axes = figure.add_subplot()
            panel(axes, {key: looks[i] for key, looks in seen[name].items()}, f"{doing[name]}, step {i * EVERY}")
            axes.legend(loc="upper right", fontsize=8)
            paths.append(Path(folder) / f"{len(paths):03}.png")
            figure.savefig(paths[-1])
        plots.animate(paths, out, 120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("experiments/results/four_states.png"))
    out = parser.parse_args().out
    game, lp = game_of(), log_data()
    seen = line.four_states(game, CONFIG, SOURCE, EDGES, D_STEPS, G_STEPS, EVERY)
    at = {"A": ("B", 0), "B": ("B", -1), "C": ("C", -1), "D": ("D", -1)}
    looks = {name: {key: values[i] for key, values in seen[of].items()} for name, (of, i) in at.items()}
    for name, look in looks.items():
        print(f"({name}) " + ", ".join(f"{k} {v:.5f}" for k, v in numbers(look["logit"], look["lq"], lp).items()))
    found = {k: inner_steps(k) for k in INNER}
    for k, rows in found.items():
        early = slice(1, 1 + 500 // EVERY)
        print(
            f"k = {k}: mean |D - D*| over updates 25 to 500 of G {rows['mean'][early].mean():.4f}; JSD below 0.001 "
            f"for good after {EVERY * (1 + int(np.nonzero(rows['jsd'] > 1e-3)[0].max()))} updates of G, "
            f"{rows['jsd'][-1]:.1e} at the end, with sup |D - 1/2| {rows['half'][-1]:.4f}"
        )
    figure = Figure(figsize=(13, 6.5), dpi=85, layout="constrained")
    picture(figure, looks, found)
    plots.save_figure(figure, out)
    animate(seen, out.with_suffix(".gif"))
    print(f"figure in {out}, animation in {out.with_suffix('.gif')}")


if __name__ == "__main__":
    main()
