"""A small autoencoder of the MNIST digits, in whose latents of 8x8 places other runs may train.

    jaxgan train experiments/autoencoder.py

70 CPU seconds. Seed 0: the mean squared error of reconstructed digits is 0.005 (of their mean digit 0.250), and FD by
the digit classifier between 5,000 digits and their reconstructions 0.008. Samples are decoded noise, and no digits.

Two convolutions that halve the image, 32 and 64 wide, 4 numbers for each place, and a decoder that mirrors them. The
loss is the mean squared error plus 1e-6 times the divergence of latents from the normal distribution, as of Rombach et
al. 2021 (arXiv 2112.10752): at sigma 1 half the squared error of 1,024 pixels, 512 times the mean, so hp.kl is 5.12e-4.
"""

from jaxgan import Config, Hp


def config():
    return Config(
        kind="vae",
        net="spatial",
        data="mnist5k",
        size=32,
        width=32,
        latent=256,
        batch=64,
        steps=1000,
        log_every=100,
        sample_every=500,
        checkpoint_every=500,
        hp=Hp(sigma=1.0, kl=5.12e-4, g_lr=1e-3, b1=0.9),
    )
