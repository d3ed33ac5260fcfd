"""A narrow SNGAN on the embedded MNIST digits, class-conditional: Miyato and Koyama 2018, arXiv 1802.05637.

    jaxgan train experiments/recipes/mnist_sngan.py

Under spectral norm D's slope is at most 1; hp.d_scale lets its logits go further. Ten columns of digits; of seed 0 all
but the twos are legible in most rows.
"""

from jaxgan import Config, Hp

IMAGES = 2000 * 64


def config():
    return Config(
        kind="conditional",
        data="mnist5k",
        net="sngan",
        width=8,
        latent=64,
        loss="hinge",
        batch=64,
        steps=2000,
        hp=Hp(
            g_lr=(1e-3, 1e-4, IMAGES, "linear"),
            d_lr=(2e-3, 2e-4, IMAGES, "linear"),
            b1=0.0,
            b2=0.9,
            d_scale=4.0,
            ema_half_life=5000.0,
        ),
    )
