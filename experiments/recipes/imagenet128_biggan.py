"""BigGAN on 128-pixel ImageNet: Brock et al. 2018, arXiv 1809.11096.

    jaxgan train experiments/recipes/imagenet128_biggan.py

The paper: FID 8.7, Inception score 98.8, 128 TPU v3 cores. Adam's epsilon is 1e-8 here, 1e-6 there. Not run here.
"""

from jaxgan import Config, Hp
from jaxgan.options import Biggan


def config():
    return Config(
        kind="conditional",
        data="tfds:imagenet2012",
        size=128,
        net="biggan",
        width=96,
        latent=120,
        biggan=Biggan(attention=64),
        g_norm="batch_spectral",
        loss="hinge",
        batch=2048,
        d_steps=2,
        steps=150_000,
        sample_every=1000,
        checkpoint_every=1000,
        hp=Hp(g_lr=5e-5, d_lr=2e-4, b1=0.0, b2=0.999, orthogonal=1e-4, ema_half_life=14_194_900.0),  # 0.9999 a step
    )
