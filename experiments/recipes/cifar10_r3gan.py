"""R3GAN on CIFAR-10, class-conditional: Huang et al. 2024, arXiv 2501.05441.

    jaxgan train experiments/recipes/cifar10_r3gan.py

The paper: FID 1.96, 250 million images. Not run here.
"""

from jaxgan import Config, Hp

BATCH, IMAGES, BURN_IN = 512, 250e6, 20e6


def config():
    rate = (2e-4, 5e-5, BURN_IN)
    gamma = (0.05, 0.005, BURN_IN)
    return Config(
        kind="conditional",
        data="tfds:cifar10",
        flip=True,
        net="r3gan",
        width=768,
        latent=64,
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
            augment_p=(0.0, 0.55, BURN_IN),
            augment_color=0.5,
            ema_half_life=(0.0, 5e6, BURN_IN),
            ema_ramp=1.0,
        ),
    )
