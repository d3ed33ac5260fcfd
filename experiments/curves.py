"""Ten classes of curves by a class-conditional GAN in one dimension, and a collapse that diagnosis finds and cures.

    jaxgan train experiments/curves.py

About 40 seconds on 2 CPU cores. Pictures of sampled curves, a column for each class, are in runs/curves/samples: every
class is recognised, and varies in place, width and height.

With the settings of experiments/sines.py (--loss ns --hp.r1 0.3 --hp.r2 0) the generator ignores its latents and draws
one curve a class. D's losses do not show it; `jaxgan diagnose` does, and its advice, RpGAN with R1 and R2, is this
experiment. Measured at the last step on a CPU, seeds 0 and 1, 256 samples: diversity (Vendi score over the data's) 0.84
and 0.81, with those settings 0.04 and 0.04. The two-sample test of metrics/two_sample.py, 5 %: passed with 200
curves (p 0.26, 0.72), failed with 500 (0.04, 0.04) and 2,000 (below 0.005).
"""

from jaxgan import Config, Hp


def config():
    return Config(
        kind="conditional",
        loss="rpgan",
        data="curves1d",
        net="conv1d",
        latent=32,
        width=16,
        batch=64,
        steps=3000,
        log_every=500,
        sample_every=250,
        checkpoint_every=1000,
        hp=Hp(g_lr=1e-3, d_lr=1e-3, b1=0.0, b2=0.99, r1=1.0, r2=1.0, ema_half_life=40_000, ema_ramp=0.2),
    )
