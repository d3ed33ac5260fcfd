"""What ADA's pipeline does to images: its groups, each operation certain, and the pipe "bgc" at rising probabilities.

    python experiments/augmentations.py

About 15 seconds on 2 CPU cores. Draws experiments/results/augmentations.png: twelve coloured digits of 32 pixels; below
them what blit, geometry, color, filter, noise and ada_cutout make of them at p = 1; then `ada`, which is blit, geometry
and color, at p = 0.2, 0.5 and 0.8. Each image has the same coins and numbers in these three rows.
"""

from pathlib import Path

import jax
import numpy as np
from matplotlib.figure import Figure

from jaxgan import augment, data, plots, rng

ROWS = {
    "images": ((), 0.0),
    **{f"{name}, p = 1": ((name,), 1.0) for name in augment.GROUPS},
    **{f"ada, p = {p}": (("ada",), p) for p in (0.2, 0.5, 0.8)},
}


def images(n: int) -> np.ndarray:
    """The first n digits of each class in turn, in random colours on others: [n, 32, 32, 3] in [-1, 1]."""
    source = data.open_source("mnist5k", size=32)
    rows = source.rows(np.arange(n) % 10 * (source.size // 10) + np.arange(n))
    ink = (np.asarray(source.finish(rows, rng.examples(rng.root(0), n))["x"]) + 1) / 2
    back, front = np.random.default_rng(0).uniform(-0.9, -0.1, (2, n, 1, 1, 3))
    return (ink * -front + (1 - ink) * back).astype(np.float32)


def draw(x) -> Figure:
    figure = Figure(figsize=(9, 0.68 * len(ROWS)), dpi=90)
    figure.subplots_adjust(0.14, 0.01, 0.99, 0.99, hspace=0.1)
    keys = rng.examples(rng.root(1), len(x))
    for axes, (title, (names, p)) in zip(figure.subplots(len(ROWS)), ROWS.items(), strict=True):
        axes.imshow(plots.grid(np.asarray(jax.jit(augment.apply, static_argnums=0)(names, x, keys, p)), len(x)))
        axes.set_ylabel(title, rotation=0, ha="right", va="center", fontsize=8)
        axes.set(xticks=[], yticks=[])
    return figure


if __name__ == "__main__":
    plots.save_figure(draw(images(12)), Path(__file__).parent / "results/augmentations.png")
