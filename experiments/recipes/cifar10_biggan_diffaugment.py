"""CIFAR-10's BigGAN under DiffAugment, class-conditional: Zhao et al. 2020, arXiv 2006.10738.

    jaxgan train experiments/recipes/cifar10_biggan_diffaugment.py

The paper: FID 8.70 (9.59 without augmentation), 1,000 epochs. Not run here.
"""

from jaxgan import Config, Hp
from jaxgan.options import Sngan

STEPS = 1000 * 50_000 // 50 // 4  # 1,000 epochs of D's batches


def config():
    return Config(
        kind="conditional",
        data="tfds:cifar10",
        flip=True,
        net="sngan",
        width=64,
        latent=128,
        sngan=Sngan(d_width=128, init="normal"),
        g_norm="batch_spectral",
        loss="hinge",
        augment=("translation", "cutout"),
        batch=50,
        d_steps=4,
        steps=STEPS,
        sample_every=2000,
        checkpoint_every=2000,
        hp=Hp(g_lr=2e-4, d_lr=2e-4, b1=0.0, b2=0.999, ema_half_life=346_556.0),  # 0.9999 an update
    )
