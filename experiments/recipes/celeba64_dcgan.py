"""DCGAN on 64-pixel faces (CelebA): Radford et al. 2015, arXiv 1511.06434.

    jaxgan train experiments/recipes/celeba64_dcgan.py --data folder:PATH      # the folder of 202,599 aligned images

The paper gives no score; it trained on faces of its own. Not run here.
"""

from jaxgan import Config, Hp


def config():
    return Config(
        data="folder:celeba",
        size=64,
        net="dcgan",
        width=128,
        latent=100,
        loss="ns",
        batch=128,
        steps=40_000,  # 25 epochs
        sample_every=1000,
        checkpoint_every=1000,
        hp=Hp(g_lr=2e-4, d_lr=2e-4, b1=0.5, b2=0.999, ema_half_life=0.0),
    )
