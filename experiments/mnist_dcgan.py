"""A DCGAN on 5,000 real MNIST digits."""

from jaxgan import Config, Hp


def config():
    return Config(data="mnist5k", net="dcgan", width=32, latent=64, batch=64, steps=3000, log_every=100, sample_every=250, checkpoint_every=500, hp=Hp(g_lr=2e-4, d_lr=2e-4, b1=0.5))
