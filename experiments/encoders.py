"""Games with an encoder on MNIST digits: how well they reconstruct digits that they did not see, and what they draw.

    python experiments/encoders.py

About a minute for each kind and seed on 2 quiet CPU cores: 600 steps on 4,000 digits. Prints the mean squared error per
pixel, in [-1, 1], of the reconstructions of 1,000 held-out digits, beside that of the mean digit, and draws
reconstructions and samples from the prior into experiments/results/encoders.png. Measured over seeds 0, 1 and 2, mean
(least to greatest): the mean digit 0.265, vae 0.052 (0.051 to 0.052), aae 0.054 (0.053 to 0.054), vaegan 0.072 (0.069
to 0.073), lrgan 0.203 (0.192 to 0.222), bigan 0.267 (0.252 to 0.281): bigan learns nothing of it in so few steps.
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from jaxgan import Config, Hp, data, games, plots
from jaxgan.data.holdout import split
from jaxgan.run import applied, generate, latents
from jaxgan.theory import bayes

HELD_OUT = 1000  # in order of their classes
EACH, OTHERS = slice(0, None, HELD_OUT // 10), slice(HELD_OUT // 20, None, HELD_OUT // 10)
RATES = {"g_lr": 1e-3, "ema_half_life": 3000.0}
GAN = {"g_lr": 5e-4, "d_lr": 5e-4, "r1": 0.5, "ema_half_life": 3000.0}
KINDS = {
    "vae": {"hp": Hp(**RATES, sigma=0.3)},
    "aae": {"hp": Hp(**RATES, d_lr=1e-3)},
    "vaegan": {"hp": Hp(**GAN)},
    "bigan": {"hp": Hp(**GAN)},
    "lrgan": {"hp": Hp(**GAN)},
}


def settings(kind: str, seed: int = 0) -> Config:
    return Config(kind=kind, net="dcgan", width=16, latent=16, steps=600, seed=seed, **KINDS[kind])


def measure(kind: str, source, x, seed: int):
    """Mean squared error per pixel of held-out digits x, ten reconstructions, and ten samples."""
    c = settings(kind, seed)
    game = games.make(c, source.shape)
    nets = bayes.train(game, c, source).ema

    @jax.jit
    def again(nets, x):
        return generate(game, nets, applied(game, game.views["encode"], nets, x, None))

    made = again(nets, x)
    return float(((made - x) ** 2).mean()), made[EACH], generate(game, nets, latents(game, 10, seed=0))


def draw(x, found: dict):
    """Held-out digits in order; then for each kind reconstructions of the first, and samples."""
    figure = Figure(figsize=(9, 0.55 * (len(found) + 1)), dpi=100, layout="constrained")
    left, right = figure.subplots(1, 2)
    rows = {"held out": (x[EACH], x[OTHERS]), **found}
    for axes, column, title in ((left, 0, "reconstructions"), (right, 1, "samples from the prior")):
        picture = plots.grid(np.concatenate([np.asarray(row[column]) for row in rows.values()]), 10)
        axes.imshow(picture)
        axes.set_xticks([])
        height = picture.shape[0] / len(rows)
        axes.set_yticks([height * (i + 0.5) for i in range(len(rows))], list(rows) if not column else [""] * len(rows))
        axes.tick_params(length=0)
        axes.set_title(title, fontsize=10)
        axes.spines[:].set_visible(False)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "encoders.png")
    args = parser.parse_args()
    source, held = split(data.open_source("mnist5k"), HELD_OUT)

    def opened(source):
        return source.finish(source.rows(np.arange(source.size)), jax.random.split(jax.random.key(0), source.size))["x"]

    x = opened(held)
    baseline = float(((x - opened(source).mean(0)) ** 2).mean())
    print(f"the mean digit: {baseline:.3f}", flush=True)
    found = {}
    for kind in args.kinds:
        runs = [measure(kind, source, x, seed) for seed in args.seeds]
        found[kind] = runs[0][1:]
        errors = [error for error, *_ in runs]
        print(f"{kind:7s} {np.mean(errors):.3f} ({min(errors):.3f} to {max(errors):.3f})", flush=True)
    plots.save_figure(draw(jnp.asarray(x), found), args.out)


if __name__ == "__main__":
    main()
