"""R3GAN on 64-pixel faces (FFHQ): Huang et al. 2024, arXiv 2501.05441.

    jaxgan train experiments/recipes/ffhq64_r3gan.py --data folder:PATH      # the folder of 70,000 images

The paper: FID 1.95, 100 million images. Not run here.
"""

from jaxgan import Config, Hp

BATCH, IMAGES, BURN_IN = 256, 100e6, 20e6


def config():
    rate = (2e-4, 5e-5, BURN_IN)
    gamma = (2.0, 0.2, BURN_IN)
    return Config(
        data="folder:ffhq",
        flip=True,
        size=64,
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
            augment_p=(0.0, 0.3, BURN_IN),
            augment_color=0.5,
            ema_half_life=(0.0, 5e5, BURN_IN),
            ema_ramp=1.0,
        ),
    )
