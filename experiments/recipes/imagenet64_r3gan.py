"""R3GAN on 64-pixel ImageNet, class-conditional: Huang et al. 2024, arXiv 2501.05441.

    jaxgan train experiments/recipes/imagenet64_r3gan.py

The paper: FID 2.09, 1,000 million images. Not run here.
"""

from jaxgan import Config, Hp
from jaxgan.options import R3gan

BATCH, IMAGES, BURN_IN = 4096, 1000e6, 200e6


def config():
    rate = (2e-4, 5e-5, BURN_IN)
    gamma = (1.0, 0.1, BURN_IN)
    return Config(
        kind="conditional",
        data="tfds:imagenet_resized/64x64",
        flip=True,
        net="r3gan",
        width=1536,
        latent=64,
        r3gan=R3gan(group=32, wide=64),
        loss="rpgan",
        augment=("blit", "geometry", "color", "ada_cutout"),
        batch=BATCH,
        steps=int(IMAGES) // BATCH,
        sample_every=1000,
        checkpoint_every=1000,
        hp=Hp(
            g_lr=rate,
            d_lr=rate,
            b1=0.0,
            b2=(0.9, 0.99, BURN_IN),
            r1=gamma,
            r2=gamma,
            augment_p=(0.0, 0.4, BURN_IN),
            augment_color=0.5,
            ema_half_life=(0.0, 50e6, BURN_IN),
            ema_ramp=1.0,
        ),
    )
