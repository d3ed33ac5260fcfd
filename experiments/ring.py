"""Eight Gaussians on a ring: the smallest run that can fail, and does not.

    jaxgan train experiments/ring.py

About a minute on 2 CPU cores. Finds 8 of 8 modes, with at least 90 % of the samples within 3 standard deviations of a
mode; pictures of the samples over the data, and an animation of how they get there, are in runs/ring/samples.

Protocol of Lin et al. 2018 (PacGAN, arXiv 1712.04086): radius 1, standard deviation 0.01, 2,500 samples. Measured at
the last step on a CPU, seeds 0 to 2: 8 modes in 3 of 3, and 96.4, 97.2 and 97.6 % of high quality (a perfect
sampler has 98.9 %).
"""

from jaxgan import Config, Hp


def config():
    return Config(
        data="ring8",
        net="mlp",
        latent=2,
        width=128,
        depth=2,
        batch=256,
        steps=20_000,
        log_every=1000,
        sample_every=500,
        checkpoint_every=5000,
        hp=Hp(g_lr=1e-3, d_lr=1e-3, b1=0.5),
    )
