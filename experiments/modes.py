"""Modes that each loss and regulariser finds on eight Gaussians on a ring, and on a grid of 25.

    python experiments/modes.py --seeds 10
    python experiments/modes.py --data ring8 --seeds 3 --settings ns wasserstein pac2
    jaxgan train experiments/modes.py --loss hinge

The first command prints the whole table; the last trains one of its runs and keeps it. All seeds of a setting run in
one compiled program. Protocol of Lin et al. 2018 (PacGAN, arXiv 1712.04086): 2,500 samples of the averaged generator;
high quality is within 3 standard deviations of a mode (a perfect sampler scores 98.9 %), a mode counts with one such
sample, and the reverse KL is that of the shares of the nearest modes from uniform ones. Networks, rates and steps are
the same for all settings and none is tuned: 4,000 steps are few, and the table says who gets there early.

Expected with ten seeds: 8 of 8 modes of the ring in most rows, with 58 to 80 % of high quality, and 19 to 22 of 25 on
the grid, not yet sharp; the table is in the README. Spectral norm bounds D's slope by 1, too little for such narrow
modes: three seeds find 3.0 of the ring's 8 on average, and with D's logits times 10 all of them. A row of three seeds
takes about 20 seconds of one CPU core; on a GPU the seeds run side by side, and the whole table with ten took a minute
and a half in five processes on an H200.
"""

import argparse
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan import Config, Hp, games, rng, step
from jaxgan.data.toy import TOYS
from jaxgan.hp import arrays
from jaxgan.metrics.modes import modes
from jaxgan.run import generate
from jaxgan.solvers import SOLVERS
from jaxgan.state import advance

SETTINGS: dict[str, dict] = {
    **{name: {"loss": name} for name in ("minimax", "ns", "klgan", "lsgan", "hinge", "rpgan", "ragan", "rahinge")},
    **{name: {"loss": name} for name in ("f_kl", "f_reverse_kl", "f_hellinger", "f_js", "mmd")},
    "wasserstein, gp": {"loss": "wasserstein", "wgan_gp": 1.0},
    "rpgan, r1 + r2": {"loss": "rpgan", "r1": 0.01, "r2": 0.01},
    "pac2": {"loss": "ns", "pack": 2},
    "pac4": {"loss": "ns", "pack": 4},
    "unrolled": {"loss": "ns", "unroll": 3},
    "spectral norm": {"loss": "ns", "d_norm": "spectral"},
    "hinge, spectral norm": {"loss": "hinge", "d_norm": "spectral"},
    "spectral norm, d_scale 10": {"loss": "ns", "d_norm": "spectral", "d_scale": 10.0},
    "hinge, spectral norm, d_scale 10": {"loss": "hinge", "d_norm": "spectral", "d_scale": 10.0},
    "lecam": {"loss": "ns", "lecam": 0.3},
    "gradient norm": {"loss": "ns", "gradient_norm": True},
}
SAMPLES = 2500


def config(data: str = "ring8", **settings) -> Config:
    hp = {name: settings.pop(name) for name in list(settings) if name in Hp.__dataclass_fields__}
    return Config(
        data=data,
        net="mlp",
        latent=2,
        width=64,
        batch=128,
        steps=4000,
        sample_every=1000,
        checkpoint_every=4000,
        **settings,
        hp=Hp(g_lr=1e-3, d_lr=1e-3, b1=0.5, **hp),
    )


def samples(c: Config, seeds: int) -> np.ndarray:
    """[seeds, SAMPLES, 2]: of one run for each seed from 0, all in one program."""
    source = TOYS[c.data]()
    game = games.make(c, source.shape)

    def one(seed):
        state = step.init(game, seed, arrays(c.hp), {"x": jnp.zeros((2, *source.shape))})
        state = dataclasses.replace(state, memory=SOLVERS[c.solver].init(game, state.params))
        state = jax.lax.fori_loop(0, c.steps, lambda i, state: advance(game, c, source, {}, state), state)
        return generate(game, state.ema, game.latent(rng.stream(rng.root(seed), "eval"), SAMPLES))

    over = jax.lax.map if jax.default_backend() == "cpu" else lambda one, seeds: jax.vmap(one)(seeds)
    return np.asarray(jax.jit(lambda seeds: over(one, seeds))(jnp.arange(seeds, dtype=jnp.uint32)))


def scores(x: np.ndarray, density) -> dict[str, float]:
    """{"modes", "high_quality" in %, "reverse_kl" in nats} of samples [n, 2]."""
    found = modes(x, density)
    nearest = np.linalg.norm(x[:, None] - density.modes, axis=-1).argmin(1)
    share = np.bincount(nearest, minlength=len(density.modes)) / len(x)
    kl = (share[share > 0] * np.log(share[share > 0] * len(share))).sum()
    return {"modes": found["modes"], "high_quality": 100 * found["high_quality"], "reverse_kl": float(kl)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=["ring8", "grid25"], choices=("ring8", "ring8_scgan", "grid25"))
    parser.add_argument("--settings", nargs="+", default=list(SETTINGS), choices=SETTINGS, metavar="SETTING")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4000)
    args = parser.parse_args()
    for data in args.data:
        density = TOYS[data]().exact
        print(f"\n{data}, {args.steps} steps, {args.seeds} seeds: mean ± standard deviation\n")
        print("| setting | modes | high quality, % | reverse KL, nats |\n|---|---|---|---|", flush=True)
        for name in args.settings:
            c = dataclasses.replace(config(data, **SETTINGS[name]), steps=args.steps)
            rows = [scores(x, density) for x in samples(c, args.seeds)]
            cells = []
            for column, digits in (("modes", 1), ("high_quality", 1), ("reverse_kl", 2)):
                values = np.array([row[column] for row in rows])
                cells.append(f"{values.mean():.{digits}f} ± {values.std(ddof=min(1, args.seeds - 1)):.{digits}f}")
            print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
