"""SAGAN on 128-pixel ImageNet: Zhang et al. 2018, arXiv 1805.08318.

    jaxgan train experiments/recipes/imagenet128_sagan.py

The paper: FID 18.65, Inception score 52.52, one million steps, 4 GPUs for two weeks. Not run here.
"""

from jaxgan import Config, Hp
from jaxgan.options import Sngan


def config():
    return Config(
        kind="conditional",
        data="tfds:imagenet2012",
        size=128,
        net="sngan",
        width=64,
        latent=128,
        sngan=Sngan(wide=True, attention=32),
        g_norm="batch_spectral",
        loss="hinge",
        batch=256,
        steps=1_000_000,
        sample_every=2000,
        checkpoint_every=2000,
        hp=Hp(g_lr=1e-4, d_lr=4e-4, b1=0.0, b2=0.9, ema_half_life=0.0),
    )
