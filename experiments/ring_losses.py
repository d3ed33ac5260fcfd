"""Six losses and three learning rates on eight Gaussians on a ring, with three seeds each, as six compiled programs.

jaxgan sweep experiments/ring_losses.py
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
