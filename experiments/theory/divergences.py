"""Why generators stop learning: divergences, and the generator's gradient, as two distributions move apart.

    python experiments/theory/divergences.py

Seconds on a CPU. Draws experiments/results/divergences.png and prints the numbers behind it. Data N(0, 1), generator
N(d, 1). The Jensen-Shannon divergence saturates at log 2, and with it the gradient of the minimax generator against the
optimal discriminator; Wasserstein-1 is d itself; the non-saturating loss keeps a gradient (Arjovsky and Bottou 2017,
arXiv 1701.04862).
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from jaxgan import losses, plots
from jaxgan.theory import divergence, value

SHIFTS = np.linspace(0.05, 10, 60)
X, W = divergence.gauss_legendre(-20, 30, 500)
COLORS = {  # Okabe and Ito's palette, for every kind of colour vision
    "jsd": "#0072b2",
    "total_variation": "#009e73",
    "hellinger": "#e69f00",
    "wasserstein_1": "#d55e00",
    "minimax": "#0072b2",
    "ns": "#d55e00",
}


def log_normal(x, mean):
    return -0.5 * (x - mean) ** 2 - 0.5 * np.log(2 * np.pi)


def generator_slope(loss, shift):
    """|d E loss / d shift| over samples x = shift + z, against the optimal D held fixed, as training sees it."""

    def logit(x):  # of D* for this shift, held fixed while the sample moves
        return value.optimal_logit(log_normal(x, 0.0), log_normal(x, shift))

    z, w = divergence.gauss_legendre(-12, 12, 200)

    def objective(moved):
        scores = logit(moved + z)
        return (w * np.exp(log_normal(z, 0.0)) * loss.g(scores, scores)[1]).sum()

    return abs(jax.grad(objective)(jnp.float64(shift)))


def curves() -> dict[str, np.ndarray]:
    """Each divergence, and the slope of each generator loss, at every shift."""
    names = ("jsd", "total_variation", "hellinger")
    lp = log_normal(X, 0.0)
    found: dict[str, list] = {n: [divergence.DIVERGENCES[n](lp, log_normal(X, d), W) for d in SHIFTS] for n in names}
    line = np.linspace(-10, 25, 20_001)
    found["wasserstein_1"] = [divergence.wasserstein(line, log_normal(line, 0), log_normal(line, d)) for d in SHIFTS]
    for name in ("minimax", "ns"):
        found[name] = [generator_slope(losses.LOSSES[name], d) for d in SHIFTS]
    return {name: np.array(values, np.float64) for name, values in found.items()}


def draw(found: dict[str, np.ndarray], out: Path) -> None:
    """Two panels: divergences, and generator gradients on a logarithmic axis."""
    figure = Figure(figsize=(10, 4), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2)
    labels = {"jsd": "Jensen-Shannon", "total_variation": "total variation", "hellinger": "squared Hellinger"}
    for name, label in {**labels, "wasserstein_1": "Wasserstein-1"}.items():
        left.plot(SHIFTS, found[name], c=COLORS[name], label=label)
    left.axhline(np.log(2), c="#999999", ls=":", label="log 2")
    left.set_ylim(0, 3)
    left.set_ylabel("divergence")
    for name, label in {"minimax": "minimax", "ns": "non-saturating"}.items():
        right.semilogy(SHIFTS, found[name], c=COLORS[name], label=label)
    right.set_ylabel("|gradient of G's loss| against D*")
    for axes in (left, right):
        axes.set_xlabel("distance d between data N(0, 1) and generator N(d, 1)")
        axes.legend()
    plots.save_figure(figure, out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("experiments/results/divergences.png"))
    out = parser.parse_args().out
    with jax.enable_x64(True):
        found = curves()
    draw(found, out)
    for name, values in found.items():
        print(f"{name}: " + ", ".join(f"{values[i]:.3g} at d = {SHIFTS[i]:.2g}" for i in (5, 20, 59)))
    print(f"figure in {out}")


if __name__ == "__main__":
    main()
