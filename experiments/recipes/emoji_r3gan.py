"""A narrow R3GAN on emoji, 64 pixels in colour, by category: Huang et al. 2024, arXiv 2501.05441.

    npm pack emoji-datasource-google && tar xzf emoji-datasource-google-*.tgz
    jaxgan data prepare emoji --from package
    jaxgan train experiments/recipes/emoji_r3gan.py

One residual block a stage in place of two, at most 32 channels in place of 768, 4 at 64 pixels, and 32,000 images of
1,716 emoji; relativistic pairing with R1 and R2, whose weight falls tenfold as published. Of seed 0 categories are told
apart by their colours, and look nearly alike within one: so short a training is not enough. 15 minutes of one CPU core.
"""

from jaxgan import Config, Hp
from jaxgan.options import R3gan

BATCH, STEPS = 32, 1000


def config():
    gamma = (1.0, 0.1, BATCH * STEPS)
    return Config(
        kind="conditional",
        data="tfds:emoji",
        net="r3gan",
        r3gan=R3gan(blocks=1, group=8, wide=8),
        width=32,
        latent=64,
        loss="rpgan",
        batch=BATCH,
        steps=STEPS,
        sample_every=100,
        checkpoint_every=100,
        hp=Hp(g_lr=5e-4, d_lr=5e-4, b1=0.0, b2=0.99, r1=gamma, r2=gamma, ema_half_life=2000.0),
    )
