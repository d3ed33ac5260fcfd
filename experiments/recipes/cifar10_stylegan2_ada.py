"""StyleGAN2 with adaptive augmentation on CIFAR-10, class-conditional: Karras et al. 2020, arXiv 2006.06676.

    jaxgan train experiments/recipes/cifar10_stylegan2_ada.py

The paper: FID 2.42, 100 million images, 8 V100 GPUs. R1 is a step of its own after every 16th update; the signs that
move ADA's probability are those of the updates alone. Not run here.
"""

from jaxgan import Config, Hp
from jaxgan.options import Stylegan2


def config():
    return Config(
        kind="conditional",
        data="tfds:cifar10",
        flip=True,
        net="stylegan2",
        width=512,
        latent=512,
        stylegan2=Stylegan2(mapping=2, mixing=0.0, group=32, d_layout="plain"),
        loss="ns",
        augment=("ada",),
        lazy=16,
        lazy_steps=True,
        batch=64,
        steps=100_000_000 // 64,
        sample_every=2000,
        checkpoint_every=2000,
        hp=Hp(
            g_lr=2.5e-3, d_lr=2.5e-3, b1=0.0, b2=0.99, r1=0.01, ada_target=0.6, ema_half_life=500_000.0, ema_ramp=0.05
        ),
    )
