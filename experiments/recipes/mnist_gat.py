"""GAT, narrow, on the MNIST digits of the package: Hyun et al. 2025, arXiv 2509.24935.

    jaxgan train experiments/recipes/mnist_gat.py

Four blocks of width 64 on 4x4 patches of 7 pixels, with the paper's loss, noise, penalties, clipping and rate. Begun
once, seed 0, on 2 CPU cores that other work shared: after 1,000 of its 2,000 steps, in six CPU minutes, samples are
strokes such as of 9 and 1, all alike in a class, and classes are not those asked for yet.
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
        gat=Gat(depth=4, heads=2, patch=7, features=128),
        width=64,
        latent=64,
        loss="rpgan",
        augment=("translation", "cutout"),
        reuse=True,
        batch=BATCH,
        steps=2000,
        sample_every=250,
        checkpoint_every=250,
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
