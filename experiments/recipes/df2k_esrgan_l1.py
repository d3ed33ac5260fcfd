"""ESRGAN's first stage, L1 of pixels alone, four times as large: Wang et al. 2018, arXiv 1809.00219.

    jaxgan train experiments/recipes/df2k_esrgan_l1.py --data folder:PATH --dir runs/l1      # then df2k_esrgan.py

Photographs of DIV2K, Flickr2K and OST in one folder, of which random patches of 128 pixels are made smaller by 4. The
rate halves every 200,000 steps, as in the paper. A million steps, betas 0.9 and 0.99 and an average of weights, 0.999 a
step, are its authors' BasicSR's. Theirs turns patches by quarters too; here they are mirrored alone. Reported of this
stage are 32.73 dB on Set5, 28.99 on Set14 and 27.85 on BSD100, of the luma, without the borders. Not run here.
"""

from jaxgan import Config, Hp
from jaxgan.options import Rrdb

# 200,000 steps of 16 images each
RATE = "2e-4:1e-4:3.2e6:step/1e-4:5e-5:3.2e6:step/5e-5:2.5e-5:3.2e6:step/2.5e-5:1.25e-5:3.2e6:step"


def config():
    return Config(
        kind="upscale",
        data="folder:df2k",
        patch=128,
        flip=True,
        net="rrdb",
        width=64,
        rrdb=Rrdb(blocks=23, growth=32),
        factor=4,
        batch=16,
        steps=1_000_000,
        sample_every=5000,
        checkpoint_every=5000,
        hp=Hp(g_lr=RATE, b1=0.9, b2=0.99, ema_half_life=11_084.0, ema_ramp=0.0),
    )
