"""StarGAN on faces, 128 pixels: Choi et al. 2018, arXiv 1711.09020.

    jaxgan train experiments/recipes/celeba128_stargan.py --data folder:PATH      # a folder for each class

The paper gives no FID, and turns five attributes, of which a face may have several; here classes are exclusive. Its
code penalises the gradient of the sum of D's 2x2 logits, which is four times their mean's: (4 |g| - 1)^2 of this one,
hence 160 and 0.25. Not run here.
"""

from jaxgan import Config, Hp

RATE = "1e-4:1e-4:3.2e5:linear/1e-4:0:3.2e5:linear"  # 40,000 train steps of 16 images


def config():
    return Config(
        kind="stargan",
        data="folder:celeba",
        size=128,
        flip=True,
        net="stargan",
        width=64,
        loss="wasserstein",
        batch=16,
        d_steps=5,
        steps=40_000,  # 200,000 updates of D
        sample_every=1000,
        checkpoint_every=1000,
        hp=Hp(g_lr=RATE, d_lr=RATE, b1=0.5, b2=0.999, wgan_gp=160.0, gp_target=0.25, cycle=10.0, ema_half_life=0.0),
    )
