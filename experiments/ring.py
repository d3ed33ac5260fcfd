"""Eight Gaussians on a ring: all 8 modes."""

from jaxgan import Config, Hp


def config():
    return Config(net="mlp", data="ring8", latent=2, width=128, depth=2, batch=256, steps=10_000, log_every=1000, sample_every=500, checkpoint_every=2500, hp=Hp(g_lr=1e-3, d_lr=1e-3))
