"""StackedMNIST by two losses and three penalties: does R3GAN's ablation come out in order on a small budget?

    jaxgan sweep experiments/stacked_modes.py

Three digits as the channels of an image are 1,000 modes, told apart by the classifier digits-cnn. The paper (Huang et
al. 2024, arXiv 2501.05441) has a ResNet, MNIST's 60,000 digits and 10 million images: relativistic pairing with both
penalties finds 1,000 modes, KL 0.08; the standard loss with both 693, KL 0.93; either loss with R1 alone fails. Here: a
DCGAN of width 16 without normalisation in D, 5,000 digits, 160,000 images; 18 runs.
"""

from jaxgan import Config, Eval, Hp
from jaxgan.sweep.space import product, seeds


def config():
    return Config(
        kind="plain",
        data="stacked:mnist5k",
        net="dcgan",
        width=16,
        d_norm="none",
        latent=64,
        batch=64,
        steps=2500,
        sample_every=2500,
        checkpoint_every=2500,
        keep=1,
        eval_every=1250,
        eval=Eval(metrics=("stacked-mnist", "fid"), n=10_000),
        hp=Hp(g_lr=5e-4, d_lr=5e-4, b1=0.5),
    )


def sweep():
    penalties = [{"hp.r1": 0.0, "hp.r2": 0.0}, {"hp.r1": 1.0, "hp.r2": 0.0}, {"hp.r1": 1.0, "hp.r2": 1.0}]
    return product([{"loss": "ns"}, {"loss": "rpgan"}], penalties, seeds(3))
