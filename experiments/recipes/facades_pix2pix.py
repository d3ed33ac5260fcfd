"""pix2pix on facades, 256 pixels: Isola et al. 2017, arXiv 1611.07004, as in pytorch-CycleGAN-and-pix2pix.

    jaxgan train experiments/recipes/facades_pix2pix.py --data pairs:PATH      # 400 pairs; A is translated into B

The paper gives no FID. 200 epochs, of which the second hundred takes the rate to 0. Theirs draws crops of 256 from 286
pixels; here images are mirrored alone, D's loss is not halved, and samples are drawn without dropout. Not run here.
"""

from jaxgan import Config, Hp
from jaxgan.options import Patchgan

RATE = "2e-4:2e-4:4e4:linear/2e-4:0:4e4:linear"


def config():
    return Config(
        kind="pix2pix",
        data="pairs:facades",
        size=256,
        flip=True,
        net="patchgan",
        width=64,
        g_norm="batch",
        d_norm="batch",
        patchgan=Patchgan(dropout=True),
        latent=0,
        loss="ns",
        batch=1,
        steps=80_000,
        sample_every=4000,
        checkpoint_every=4000,
        hp=Hp(g_lr=RATE, d_lr=RATE, b1=0.5, b2=0.999, l1=100.0, ema_half_life=0.0),
    )
