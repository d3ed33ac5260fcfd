"""BicycleGAN on edges of shoes, 256 pixels: Zhu et al. 2017, arXiv 1711.11586.

    jaxgan train experiments/recipes/edges2shoes_bicyclegan.py --data pairs:PATH      # 50,000 pairs

The paper gives no FID. Losses and their weights are its own, networks pix2pix's with the code spread over the input
image; its D's also judge half the resolution, and its E is a ResNet. Not run here.
"""

from jaxgan import Config, Hp
from jaxgan.options import Patchgan

RATE = "2e-4:2e-4:1.5e6:linear/2e-4:0:1.5e6:linear"  # 30 epochs, and 30 down to 0


def config():
    return Config(
        kind="bicyclegan",
        two_d=True,
        data="pairs:edges2shoes",
        size=256,
        flip=True,
        net="patchgan",
        width=64,
        patchgan=Patchgan(),
        latent=8,
        loss="lsgan",
        batch=2,
        steps=1_500_000,
        sample_every=20_000,
        checkpoint_every=20_000,
        hp=Hp(g_lr=RATE, d_lr=RATE, b1=0.5, b2=0.999, l1=10.0, kl=0.01, reconstruct=0.5, ema_half_life=0.0),
    )
