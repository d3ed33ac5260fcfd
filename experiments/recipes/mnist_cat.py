"""CAT, narrow, on the MNIST digits of the package: Hyun et al. 2026, arXiv 2605.26449.

    jaxgan train experiments/recipes/mnist_cat.py

Six blocks of width 32 on 4x4 patches of 7 pixels, three levels, and a D of six that sees these at 7, 14 and 28 pixels.
Loss, penalties and consistency are those that the one public implementation has; the rate is GAT's for this width, as
the published one is of width 768. A quarter of an hour of a CPU core that other work shared; of seed 0 classes are
those asked for, each in one shape.
"""

from jaxgan import Config, Hp
from jaxgan.options import Cat

BATCH = 32


def config():
    rate = 2e-4 * (BATCH / 512) ** 0.5
    return Config(
        kind="cat",
        conditional=True,
        net="cat",
        cat=Cat(depth=6, heads=2, patch=7, levels=3, features=64, d_depth=6, d_heads=2),
        width=32,
        latent=64,
        loss="rpgan",
        augment=("translation", "cutout"),
        reuse=True,
        batch=BATCH,
        steps=3000,
        sample_every=250,
        checkpoint_every=250,
        hp=Hp(
            g_lr=rate,
            d_lr=rate,
            base_width=768.0,
            b1=0.0,
            b2=0.99,
            ar1=1.0,
            ar2=1.0,
            ar_step=0.01,
            clip_gradient=1.0,
            ema_half_life=693.0 * BATCH,
        ),
    )
