"""GAT, narrow, on the MNIST digits of the package: Hyun et al. 2025, arXiv 2509.24935.

    jaxgan train experiments/recipes/mnist_gat.py

Six blocks of width 32 on 4x4 patches of 7 pixels and three outputs, with the paper's loss, noise, penalties, clipping
and rate. Ten minutes of one CPU core; of seed 0 classes are those asked for, each in one shape.
"""

from jaxgan import Config, Hp
from jaxgan.options import Gat

BATCH = 32


def config():
    rate = 2e-4 * (BATCH / 512) ** 0.5
    return Config(
        kind="gat",
        conditional=True,
        net="gat",
        gat=Gat(depth=6, heads=2, patch=7, levels=3, features=64),
        width=32,
        latent=64,
        loss="rpgan",
        augment=("translation", "cutout"),
        reuse=True,
        batch=BATCH,
        steps=4000,
        sample_every=500,
        checkpoint_every=500,
        hp=Hp(
            g_lr=rate,
            d_lr=rate,
            base_width=768.0,
            b1=0.0,
            b2=0.99,
            ar1=0.1,
            ar2=0.1,
            ar_step=0.01,
            clip_gradient=1.0,
            ema_half_life=693.0 * BATCH,
        ),
    )
