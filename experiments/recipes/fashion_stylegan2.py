"""StyleGAN2, narrow, on Fashion-MNIST at 32 pixels: Karras et al. 2019, arXiv 1912.04958.

    jaxgan data prepare fashion_mnist --from /usr/share/datasets/fashion-mnist
    jaxgan train experiments/recipes/fashion_stylegan2.py

Skip G and residual D with at most 32 channels, a mapping of four layers, noise and style mixing; R1 as a step of its
own at every fourth update. Five minutes on 2 CPU cores that other work shared; of seed 0 classes are told apart, some
pullovers and shirts are broken.
"""

from jaxgan import Config, Hp
from jaxgan.options import Stylegan2


def config():
    return Config(
        kind="auto",
        data="tfds:fashion_mnist",
        size=32,
        net="stylegan2",
        stylegan2=Stylegan2(base=256, mapping=4, group=4),
        width=32,
        latent=32,
        batch=32,
        lazy=4,
        lazy_steps=True,
        steps=1600,
        sample_every=400,
        checkpoint_every=400,
        hp=Hp(g_lr=2e-3, d_lr=2e-3, b1=0.0, b2=0.99, r1=1.0, ema_half_life=5000.0),
    )
