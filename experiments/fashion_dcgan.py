"""A class-conditional DCGAN on Fashion-MNIST: 60,000 images of clothes, 28 x 28, prepared once without TensorFlow.

    apt-get install dataset-fashion-mnist        # Debian's copy of the original files, or download them yourself
    jaxgan data prepare fashion_mnist --from /usr/share/datasets/fashion-mnist
    jaxgan train experiments/fashion_dcgan.py

About 4 minutes on 2 CPU cores. runs/fashion_dcgan/samples shows ten columns, one a class: T-shirt, trouser, pullover,
dress, coat, sandal, shirt, sneaker, bag, ankle boot.
"""

from jaxgan import Config, Hp


def config():
    return Config(
        kind="auto",
        loss="rpgan",
        data="tfds:fashion_mnist",
        net="dcgan",
        width=32,
        latent=64,
        batch=64,
        steps=2000,
        log_every=50,
        sample_every=200,
        checkpoint_every=500,
        hp=Hp(g_lr=5e-4, d_lr=5e-4, b1=0.5, r1=0.5, r2=0.5),
    )
