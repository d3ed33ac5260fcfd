"""StyleGAN2, config F, on 1024-pixel faces (FFHQ): Karras et al. 2019, arXiv 1912.04958.

    jaxgan train experiments/recipes/ffhq1024_stylegan2.py --data folder:PATH      # the folder of 70,000 images

The paper: FID 2.84, 25 million images, 8 V100 GPUs for 9 days. R1 after every 16th and path length after every
4th update are steps of their own. Not run here.
"""

from jaxgan import Config, Hp
from jaxgan.options import Stylegan2


def config():
    return Config(
        data="folder:ffhq",
        size=1024,
        flip=True,
        net="stylegan2",
        width=512,
        latent=512,
        stylegan2=Stylegan2(),
        loss="ns",
        lazy=16,
        lazy_g=4,
        lazy_steps=True,
        batch=32,
        steps=25_000_000 // 32,
        sample_every=2000,
        checkpoint_every=2000,
        hp=Hp(g_lr=2e-3, d_lr=2e-3, b1=0.0, b2=0.99, r1=10.0, path_length=2.0, ema_half_life=10_000.0, ema_ramp=1.0),
    )
