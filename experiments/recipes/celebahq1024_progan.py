"""ProGAN on 1024-pixel faces (CelebA-HQ): Karras et al. 2017, arXiv 1710.10196.

    jaxgan train experiments/recipes/celebahq1024_progan.py --data folder:PATH      # the folder of 30,000 images

FID 7.79 as StyleGAN's authors measured it (arXiv 1812.04948, table 1); the paper: 12 million images, 8 V100 GPUs for 4
days. The batch is the paper's of its last stages at all sizes, where its own falls from 16 a GPU to 3. Not run here.
"""

from jaxgan import Config, Hp
from jaxgan.options import Progan


def config():
    return Config(
        data="folder:celebahq",
        size=1024,
        flip=True,
        net="progan",
        width=512,
        latent=512,
        progan=Progan(),
        loss="wasserstein",
        batch=24,
        steps=12_000_000 // 24,
        sample_every=2000,
        checkpoint_every=2000,
        hp=Hp(g_lr=1e-3, d_lr=1e-3, b1=0.0, b2=0.99, wgan_gp=10.0, drift=0.001, ema_half_life=16_627.0),  # 0.999 a step
    )
