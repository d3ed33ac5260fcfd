"""A class-conditional DCGAN on 5,000 real MNIST digits: the main job, offline on a laptop's CPU.

    jaxgan train experiments/mnist_dcgan.py

About 3 minutes on 2 CPU cores, compile time included. runs/mnist_dcgan/samples then shows ten columns, one a digit from
0 to 9, nearly all of them legible, and training.gif how they come about.

DCGAN networks (Radford et al. 2015, arXiv 1511.06434) with half the channels, a projection discriminator, and the loss
and penalties of R3GAN (Huang et al. 2024, arXiv 2501.05441): relativistic pairing with R1 and R2.
"""

from jaxgan import Config, Hp


def config():
    return Config(
        kind="auto",
        loss="rpgan",
        data="mnist5k",
        net="dcgan",
        width=32,
        latent=64,
        batch=64,
        steps=1600,
        log_every=50,
        sample_every=200,
        checkpoint_every=400,
        hp=Hp(g_lr=5e-4, d_lr=5e-4, b1=0.5, r1=0.5, r2=0.5),
    )
