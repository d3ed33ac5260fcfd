"""PacGAN2 on the grid of 25 Gaussians: Lin et al. 2017, arXiv 1712.04086, section 4.1.

    jaxgan train experiments/recipes/grid25_pacgan.py

The paper, means of 10 runs: 23.8 of 25 modes, 91.3 % of high quality, reverse KL 0.13; without packs (--pack 1 --batch
100) 17.3, 94.8 %, 0.70. A batch is 100 packs of 2; here each is of new points, there all are of 100,000. Not run here.
"""

from jaxgan import Config, Hp
from jaxgan.options import Mlp


def config():
    return Config(
        data="grid25",
        net="mlp",
        width=400,
        depth=4,
        latent=2,
        g_norm="batch",
        mlp=Mlp(pieces=5, d_width=200, d_depth=3, init="normal"),
        loss="ns",
        pack=2,
        solver="simultaneous",
        batch=200,
        steps=400_000,
        log_every=1000,
        sample_every=10_000,
        checkpoint_every=10_000,
        hp=Hp(g_lr=1e-4, d_lr=1e-4, b1=0.8, ema_half_life=0.0),
    )
