"""R3GAN on StackedMNIST, a thousand modes: Huang et al. 2024, arXiv 2501.05441.

    jaxgan train experiments/recipes/stacked_mnist_r3gan.py

The paper: 1,000 modes, KL 0.029, 10 million images; on MNIST's 60,000 digits. stacked:mnist5k has 5,000. Not run here.
"""

from jaxgan import Config, Hp

BATCH, IMAGES, BURN_IN = 512, 10e6, 2e6


def config():
    gamma = (1.0, 0.1, BURN_IN)
    return Config(
        kind="plain",
        data="stacked:tfds:mnist",
        size=32,
        net="r3gan",
        width=768,
        latent=64,
        loss="rpgan",
        batch=BATCH,
        steps=int(IMAGES) // BATCH,
        sample_every=1000,
        checkpoint_every=1000,
        hp=Hp(
            g_lr=2e-4,
            d_lr=2e-4,
            b1=0.0,
            b2=(0.9, 0.99, BURN_IN),
            r1=gamma,
            r2=gamma,
            ema_half_life=(0.0, 5e5, BURN_IN),
            ema_ramp=1.0,
        ),
    )
