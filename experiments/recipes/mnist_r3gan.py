"""A narrow R3GAN on the embedded MNIST digits, without classes: Huang et al. 2024, arXiv 2501.05441.

    jaxgan train experiments/recipes/mnist_r3gan.py

One residual block a stage in place of two, at most 32 channels in place of 768, and 48,000 images in place of millions;
relativistic pairing with R1 and R2, whose weight falls tenfold as published. Of seed 0 about half are legible, most of
them 0, 1, 6, 7 and 9, and shapes repeat: FD 11.4, recall 0.10 by the digits' classifier. 125 images/s on 2 CPU
cores while little else ran, which would be six to seven minutes; its own run shared them with much.

With classes (kind conditional) networks as narrow lost the variety of each class within 64,000 images, one shape a
digit. Their scales at the start are the published ones, by which z has ten times the class's variance in G's first
layer.
"""

from jaxgan import Config, Hp
from jaxgan.options import R3gan

BATCH, STEPS = 32, 1500


def config():
    gamma = (1.0, 0.1, BATCH * STEPS)
    return Config(
        kind="plain",
        data="mnist5k",
        size=32,
        net="r3gan",
        r3gan=R3gan(blocks=1, group=8, wide=8),
        width=32,
        latent=64,
        loss="rpgan",
        batch=BATCH,
        steps=STEPS,
        sample_every=500,
        checkpoint_every=500,
        hp=Hp(g_lr=5e-4, d_lr=5e-4, b1=0.0, b2=0.99, r1=gamma, r2=gamma, ema_half_life=2000.0),
    )
