"""SNGAN on CIFAR-10, unconditional: Miyato et al. 2018, arXiv 1802.05957.

    jaxgan data prepare cifar10 --from DIR       # the binary version of the authors' page
    jaxgan train experiments/recipes/cifar10_sngan.py

The paper: FID 21.7, 50,000 updates of G, one GPU. Here G learns from as many examples as D (the paper: twice as many).
Not run here.
"""

from jaxgan import Config, Hp

IMAGES = 50_000 * 64


def config():
    decay = (2e-4, 0.0, IMAGES, "linear")
    return Config(
        data="tfds:cifar10",
        net="sngan",
        width=64,
        latent=128,
        loss="hinge",
        batch=64,
        d_steps=5,
        steps=50_000,
        sample_every=1000,
        checkpoint_every=1000,
        hp=Hp(g_lr=decay, d_lr=decay, b1=0.0, b2=0.9, ema_half_life=0.0),
    )
