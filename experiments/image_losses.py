"""Eight losses on one network and budget, three seeds each: which differences are larger than the seeds' spread?

    jaxgan sweep experiments/image_losses.py --objective "min fid, min kid, max density, max coverage, max recall"
    jaxgan sweep experiments/image_losses.py --data tfds:fashion_mnist --dir sweeps/image_losses_fashion

A DCGAN (Radford et al. 2015, arXiv 1511.06434) of width 16 without normalisation in D and without labels, the same rate
for both players, and R1 for all of them, since `wasserstein` alone does not bound D. FD by the digits' (or clothes')
classifier, KID, density and coverage of 5,000 samples against the training images, half way and at the end: the table
gives the last and the best. 24 runs of 51,200 images: 54 minutes on 2 CPU cores that much other work shared.

Expected on digits: FD 11.9 to 13.9, each ± 1, for seven of them, and 16.6 for `wasserstein`; most of the order between
is within the seeds' spread. On clothes, in 14 CPU minutes: 27.9 to 29.9 for the seven, and 34.6.
"""

from jaxgan import Config, Eval, Hp
from jaxgan.sweep import grid, product, seeds

LOSSES = ["minimax", "ns", "lsgan", "wasserstein", "hinge", "rpgan", "ragan", "rahinge"]


def config():
    return Config(
        kind="plain",
        data="mnist5k",
        net="dcgan",
        width=16,
        d_norm="none",
        latent=64,
        batch=64,
        steps=800,
        sample_every=800,
        checkpoint_every=800,
        keep=1,
        eval_every=400,
        eval=Eval(metrics=("fid", "kid", "prdc"), n=5000),
        hp=Hp(g_lr=5e-4, d_lr=5e-4, b1=0.5, r1=1.0),
    )


def sweep():
    return product(grid(loss=LOSSES), seeds(3))
