"""CycleGAN on horses and zebras, 256 pixels: Zhu et al. 2017, arXiv 1703.10593, as in pytorch-CycleGAN-and-pix2pix.

    jaxgan train experiments/recipes/horse2zebra_cyclegan.py --data unpaired:PATH      # trainA and trainB

The paper gives no FID. 200 epochs of 1,334 images, of which the second hundred takes the rate to 0. Theirs draws crops
of 256 from 286 pixels; here images are mirrored alone. Not run here.
"""

from jaxgan import Config, Hp
from jaxgan.options import Patchgan

RATE = "2e-4:2e-4:133400:linear/2e-4:0:133400:linear"


def config():
    return Config(
        kind="cyclegan",
        data="unpaired:horse2zebra",
        size=256,
        flip=True,
        net="patchgan",
        width=64,
        patchgan=Patchgan(g="resnet"),
        loss="lsgan",
        pool=50,
        batch=1,
        steps=266_800,
        sample_every=10_000,
        checkpoint_every=10_000,
        hp=Hp(g_lr=RATE, d_lr=RATE, b1=0.5, b2=0.999, cycle=10.0, identity=5.0, ema_half_life=0.0),
    )
