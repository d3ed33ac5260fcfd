"""Six losses and three learning rates on eight Gaussians on a ring, with three seeds each, as six compiled programs.

    jaxgan sweep experiments/ring_losses.py

54 runs of 2,000 steps: two to three minutes on 2 CPU cores. Each is a run folder in sweeps/ring_losses/runs, with
pictures. Measured on a CPU at the last step, one learning rate for both players, mean and standard deviation over
seeds 0 to 2 (PacGAN's protocol as in experiments/ring.py, which trains ten times as long; a perfect sampler has 8 modes
and 0.989):

    loss         rate   modes       high quality
    hinge        3e-3   8           0.74 ± 0.10
    rpgan        3e-3   8           0.66 ± 0.17
    minimax      3e-3   8           0.54 ± 0.21
    ns           1e-3   8           0.51 ± 0.05
    rpgan        1e-3   8           0.50 ± 0.14
    lsgan        1e-3   8           0.50 ± 0.18
    minimax      1e-3   8           0.38 ± 0.07
    lsgan        3e-4   8           0.07 ± 0.02
    ns           3e-3   7.7 ± 0.6   0.75 ± 0.02
    hinge        1e-3   7.7 ± 0.6   0.26 ± 0.21
    lsgan        3e-3   7.3 ± 0.6   0.67 ± 0.13
    rpgan        3e-4   7.3 ± 0.6   0.03 ± 0.01
    minimax      3e-4   6.0 ± 2.6   0.02 ± 0.01
    wasserstein  3e-3   5.3 ± 4.6   0.36 ± 0.32
    wasserstein  1e-3   5.3 ± 4.6   0.14 ± 0.18
    ns           3e-4   5.3 ± 4.6   0.07 ± 0.11
    hinge        3e-4   3.0 ± 0.0   0.00 ± 0.00
    wasserstein  3e-4   0.7 ± 0.6   0.00 ± 0.00

Three seeds rank the losses only roughly: their spread is as large as most differences. (wasserstein stands here without
its penalty or clipping.)
"""

from jaxgan import Config, Hp
from jaxgan.sweep import grid, product, seeds


def config():
    return Config(
        data="ring8",
        net="mlp",
        latent=2,
        width=64,
        depth=2,
        batch=128,
        steps=2000,
        log_every=500,
        sample_every=1000,
        checkpoint_every=1000,
        hp=Hp(b1=0.5),
    )


def sweep():
    losses = grid(loss=["minimax", "ns", "lsgan", "wasserstein", "hinge", "rpgan"])
    rates = [{"hp.g_lr": rate, "hp.d_lr": rate} for rate in (3e-4, 1e-3, 3e-3)]
    return product(losses, rates, seeds(3))
