"""The minimax value V(D, G), exact and sampled, and what unequal numbers of examples do to the optimal discriminator.

    python experiments/theory/minimax_value.py

About a minute on 2 CPU cores. Draws experiments/results/minimax_value.png and prints the numbers behind it.

With m real and n generated examples per update, alpha = m / (m + n), there are two sums to train D on (after Goodfellow
et al. 2014, arXiv 1406.2661, proposition 1):
- all m + n examples pooled, each weighing the same: alpha E_p log D + (1 - alpha) E_q log(1 - D). Its optimum is
  alpha p / (alpha p + (1 - alpha) q), so that D, read as p / (p + q), favours the side that has more examples. Twice
  this is the library's value;
- the mean of each side, both weighing the same: E_p log D + E_q log(1 - D). Its optimum is p / (p + q) for any m and n.
The correction leads from the first to the second: D's logit, less log(alpha / (1 - alpha)), is log p - log q. G's
optimum is p_g = p in both; there D is alpha in the first and 1/2 in the second.

Measured at seed 0, for 1:1, 1:4 and 4:1: sup |D - predicted| 0.006, 0.010 and 0.015 where 99 % of the examples lie, and
0.006, 0.012 and 0.020 from p / (p + q) after the correction. Without it V at equal weights stays 0.39 (1:4) and 0.36
(4:1) below its maximum, with it less than 0.0003.
"""

import argparse
import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from jaxgan import Config, Hp, plots, rng
from jaxgan.data.toy import gaussian_mixture
from jaxgan.theory import divergence, line, value

P, Q = gaussian_mixture([[-0.5]], 1.0), gaussian_mixture([[0.5]], 1.5)
X, W = divergence.gauss_legendre(*line.span(P.exact, Q.exact), 150, 5)
CONFIG = Config(
    kind="plain",
    net="mlp",
    latent=1,
    width=32,
    depth=3,
    steps=2000,
    hp=Hp(d_lr=1e-2, b1=0.9, b2=0.99, ema_half_life=0.0),
)
RATIOS = {"1:1": (512, 512), "1:4": (256, 1024), "4:1": (1024, 256)}  # real and generated examples per update
COLORS = {"1:1": "#009e73", "1:4": "#0072b2", "4:1": "#d55e00"}  # Okabe and Ito's palette
SIZES = [2**k for k in range(5, 17)]


def densities():
    """log p, log q at the nodes X; call it where float64 is enabled."""
    return line.log_density(P.exact, X), line.log_density(Q.exact, X)


def trained(ratio: str, config=CONFIG) -> np.ndarray:
    """The logits at X of a D trained on this ratio of real to generated examples."""
    m, n = RATIOS[ratio]
    return line.train_d(dataclasses.replace(config, batch=m, fake_batch=n), P, Q.exact, X, config.steps)[-1]


def examples(seed: int, m: int, n: int):
    """Real [m, 1] and generated [n, 1] examples."""
    keys = (rng.examples(rng.stream(rng.root(seed), name), count) for name, count in (("real", m), ("fake", n)))
    return tuple(jax.vmap(source.exact.sample)(key) for source, key in zip((P, Q), keys))


def some_logit(x):
    """A discriminator that is not optimal."""
    return 1 + jnp.sin(2 * x) - 0.5 * x


def draw(logits: dict[str, np.ndarray], out: Path) -> None:
    """Three panels: V by sampling, D for each ratio, and the logits with their correction."""
    figure = Figure(figsize=(13, 4.2), dpi=90, layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    with jax.enable_x64(True):
        lp, lq = densities()
        exact = float(value.value(some_logit(X), lp, lq, W))
    found = [value.sampled(*(some_logit(x[:, 0]) for x in examples(n, n, n))) for n in SIZES]
    estimate, error = np.array(found).T
    left.errorbar(SIZES, estimate - exact, error, fmt="o", ms=4, c="#0072b2", label="sampled, one standard error")
    left.axhline(0, c="black", ls="--", lw=1.2, label="exact, by quadrature")
    left.set_xscale("log", base=2)
    left.set_xlabel("examples of each side")
    left.set_ylabel("V(D, G), less the exact value")
    where = line.massive(lp, lq, W, share=0.995)
    x = X[where]
    for ratio, (m, n) in RATIOS.items():
        alpha, style = m / (m + n), {"c": COLORS[ratio], "lw": 3, "alpha": 0.6}
        best = value.optimal_logit(lp, lq, alpha)[where]
        middle.plot(x, jax.nn.sigmoid(logits[ratio][where]), **style, label=f"D trained on {ratio} (real : generated)")
        middle.plot(x, jax.nn.sigmoid(best), c="black", ls="--", lw=1)
        right.plot(x, logits[ratio][where], **style)
        right.plot(x, logits[ratio][where] - np.log(alpha / (1 - alpha)), **{**style, "lw": 1.5, "alpha": 1}, ls=":")
    middle.plot([], [], c="black", ls="--", lw=1, label=r"predicted $\alpha p / (\alpha p + (1 - \alpha) q)$")
    right.plot(x, (lp - lq)[where], c="black", ls="--", lw=1, label=r"$\log p - \log q$")
    right.plot([], [], c="#666666", lw=3, alpha=0.6, label="logit of D, as trained")
    right.plot([], [], c="#666666", ls=":", label=r"less $\log(\alpha / (1 - \alpha))$")
    middle.set_ylim(0, 1.25)
    middle.set_ylabel("D(x)")
    right.set_ylabel("logit")
    for axes in (middle, right):
        axes.set_xlabel("x")
    for axes in (left, middle, right):
        axes.legend(fontsize=8)
    plots.save_figure(figure, out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("experiments/results/minimax_value.png"))
    out = parser.parse_args().out
    logits = {ratio: trained(ratio) for ratio in RATIOS}
    draw(logits, out)
    with jax.enable_x64(True):
        lp, lq = densities()
        top = float(value.value(value.optimal_logit(lp, lq), lp, lq, W))
        for ratio, (m, n) in RATIOS.items():
            alpha, logit = m / (m + n), logits[ratio]
            corrected = logit - np.log(alpha / (1 - alpha))
            gaps = [top - float(value.value(read, lp, lq, W)) for read in (logit, corrected)]
            sups = [line.distances(logit, lp, lq, W, alpha).max(), line.distances(corrected, lp, lq, W).max()]
            print(
                f"{ratio}: sup |D - predicted| {sups[0]:.4f}, corrected from p / (p + q) {sups[1]:.4f}; "
                f"V at equal weights below its maximum by {gaps[0]:.4f}, corrected {gaps[1]:.5f}"
            )
    print(f"figure in {out}")


if __name__ == "__main__":
    main()
