"""R3GAN2 on CIFAR-10, class-conditional: the successor of R3GAN (Huang et al. 2024, arXiv 2501.05441), in code alone.

    jaxgan train experiments/recipes/cifar10_r3gan2.py

The preset CIFAR10 of github.com/IFeelBloated/R3GAN2; no FID is reported. Its later versions let the rate rise for a
million images and then fall with their root; they show both of a pair one augmentation, where here each has its own.
Of its three averages this is the one of standard deviation 0.05. Not run here.
"""

from jaxgan import Config, Hp

BATCH, IMAGES, BURN_IN = 512, 250e6, 20e6


def config():
    rate = (1e-2, 1e-3, BURN_IN)
    gamma = (0.05, 0.005, BURN_IN)
    return Config(
        kind="conditional",
        data="tfds:cifar10",
        flip=True,
        net="r3gan2",
        width=512,
        latent=64,
        precision="bfloat16",
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
            ema_half_life=1e12,
            ema_ramp=0.0386,
        ),
    )
