"""A conditional GAN as a classifier: p(y | x) from its p(x | y) by Bayes' rule, against a network that learns p(y | x).

    python experiments/theory/generative_discriminative.py

About a minute and a half for a seed on 2 CPU cores. Draws experiments/results/generative_discriminative.png and prints
the numbers behind it. Four overlapping Gaussian classes of probabilities 0.4, 0.3, 0.2 and 0.1; accuracies are
integrals over the true density, so nothing but the models is left to chance. No classifier exceeds the Bayes accuracy
of 77.6 %. From 100, 1,000 and 10,000 labelled points (mean of seeds 0, 1 and 2) the GAN reaches 73.0, 76.8 and 77.3 %,
the classifier 73.7, 77.0 and 77.4 %, and kernel densities of the points themselves 74.0, 77.1 and 77.4 %; from 100
points the seeds lie 0.6, 0.8 and 1.0 points apart from these at most. With few points a GAN is no better a model of p(x
| y) than they are.
"""

import argparse
import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from jaxgan import Config, Hp, data, games, plots, rng
from jaxgan.data import feed, toy
from jaxgan.theory import bayes
from jaxgan.theory.divergence import gauss_legendre

CENTERS, STD, PRIOR = [[-1.2, 0.0], [1.2, 0.6], [0.2, -1.8], [0.3, 2.2]], 1.0, [0.4, 0.3, 0.2, 0.1]
SOURCE = toy.gaussian_mixture(CENTERS, STD, PRIOR)
SIZES = (100, 1000, 10_000)  # labelled points to learn from
GAN = Config(
    kind="conditional",
    net="mlp",
    width=64,
    latent=2,
    batch=100,
    steps=4000,
    hp=Hp(g_lr=1e-3, d_lr=1e-3, r1=1.0, ema_half_life=20_000.0),
)
CLASSIFIER = Config(net="mlp", width=64, batch=100, steps=500, hp=Hp(d_lr=1e-3))
SAMPLES = 2000  # of the generator, for each class
LINE, WEIGHTS = gauss_legendre(-6.5, 6.5, 9, 8)
X = np.stack(np.meshgrid(LINE, LINE, indexing="ij"), -1).reshape(-1, 2).astype(np.float32)
W = np.outer(WEIGHTS, WEIGHTS).ravel()
COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7")  # Okabe and Ito's palette, for every kind of colour vision
LOOKS = {  # model: label, colour, line
    "bayes": ("Bayes (true densities)", "black", "--"),
    "kernels": ("kernel density of the data", "#009e73", ":"),
    "generative": ("conditional GAN + Bayes' rule", "#0072b2", "-"),
    "discriminative": ("classifier", "#d55e00", "-"),
}


def truth():
    """log p(x | y) at the nodes [n, c]: each class is a mixture of one."""
    densities = [toy.gaussian_mixture([center], STD).exact for center in CENTERS]
    return jnp.stack([jax.vmap(density.log_pdf)(X) for density in densities], axis=-1)


def learn(n: int, seed: int = 0) -> dict:
    """log p(x, y) at the nodes [nodes, c] by each model from n labelled points; "discriminative" is log p(y | x)."""
    batch = jax.jit(lambda: feed.finish(SOURCE, {}, rng.stream(rng.root(seed), "points"), 0, n))()
    x, y = np.asarray(batch["x"]), np.asarray(batch["y"])
    source, classes = data.from_arrays(x, y), len(PRIOR)
    prior = bayes.log_frequencies(y, classes)[None]
    kernels = jnp.stack([bayes.kernel_density(x[y == c], X) for c in range(classes)], axis=-1)
    gan_config, config = (dataclasses.replace(c, seed=seed) for c in (GAN, CLASSIFIER))
    gan = games.make(gan_config, source.shape, classes)
    generative = bayes.generative(gan, bayes.train(gan, gan_config, source), X, SAMPLES)
    net = bayes.classifier(config, source.shape, classes)
    discriminative = bayes.discriminative(net, bayes.train(net, config, source), X)
    return {"kernels": kernels + prior, "generative": generative + prior, "discriminative": discriminative}


def margin(log_joint, c: int):
    """How much more probable class c is than the next, in nats, as a picture; 0 is the boundary."""
    log_joint = np.asarray(log_joint)
    lead = log_joint[:, c] - np.delete(log_joint, c, axis=1).max(1)
    return lead.reshape(len(LINE), len(LINE)).T


def panels(left, middle, joint, models: dict) -> None:
    """Left: p(x, y) of the truth and of the GAN. Middle: the regions of Bayes' rule, and the models' boundaries."""
    shape = (len(LINE), len(LINE))
    for c, color in enumerate(COLORS):
        for log_joint, style in ((joint, "--"), (models["generative"], "-")):
            p = np.exp(np.asarray(log_joint[:, c] - joint[:, c].max())).reshape(shape).T
            left.contour(LINE, LINE, p, [0.1, 0.6], colors=color, linestyles=style, linewidths=1.4)
        left.text(*CENTERS[c], f"{PRIOR[c]}", ha="center", va="center")
        middle.contourf(LINE, LINE, margin(joint, c), [0, 1e9], colors=color, alpha=0.25)
        middle.text(*1.5 * np.array(CENTERS[c]), f"$y$ = {c}", ha="center", va="center")
        for name in ("discriminative", "generative", "bayes"):
            _, line, style = LOOKS[name]
            shown = joint if name == "bayes" else models[name]
            middle.contour(LINE, LINE, margin(shown, c), [0], colors=line, linestyles=style, linewidths=1.4)
    for axes in (left, middle):
        axes.set(xlim=(-4.5, 4.5), ylim=(-5, 5.5), aspect="equal", xlabel="$x_1$", ylabel="$x_2$")
    left.set_title("$p(x, y)$: dashed true, solid by the GAN; numbers $p(y)$", fontsize=10)
    middle.set_title("boundaries over the regions of Bayes' rule", fontsize=10)


def draw(joint, best: float, found: dict, models: dict, out: Path) -> None:
    """Densities, boundaries, and accuracy against the number of labelled points."""
    figure = Figure(figsize=(13, 5), dpi=100, layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    panels(left, middle, joint, models)
    for name, values in found.items():
        _, color, style = LOOKS[name]
        right.semilogx(SIZES, np.mean(values, 0), "o", ls=style, c=color)
    right.axhline(best, c="black", ls="--")
    right.set(xlabel="labelled points", ylabel="accuracy over the true density, mean of seeds", box_aspect=1)
    right.grid(alpha=0.3)
    handles = [Line2D([], [], c=color, ls=style, label=label) for label, color, style in LOOKS.values()]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    plots.save_figure(figure, out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("experiments/results/generative_discriminative.png"))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="densities are drawn of the first")
    args = parser.parse_args()
    joint = truth() + np.log(PRIOR)[None]
    best = float(bayes.expected_accuracy(joint, joint, W))
    print(f"Bayes accuracy {best:.1%}; mean (least to greatest) from {SIZES} labelled points:")
    models = [[learn(n, seed) for n in SIZES] for seed in args.seeds]
    found = {
        name: np.array([[bayes.expected_accuracy(of[name], joint, W) for of in by_size] for by_size in models])
        for name in models[0][0]
    }  # [seeds, sizes]
    for name, values in found.items():
        cells = (f"{v.mean():.1%} ({v.min():.1%} to {v.max():.1%})" for v in values.T)
        print(f"{LOOKS[name][0]}: " + ", ".join(cells))
    draw(joint, best, found, models[0][-1], args.out)
    print(f"figure in {args.out}")


if __name__ == "__main__":
    main()
