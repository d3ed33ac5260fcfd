"""GAT-XL/2 on ImageNet at 256 pixels, in the latent space of Stable Diffusion: Hyun et al. 2025, arXiv 2509.24935.

    jaxgan train experiments/recipes/imagenet256_gat.py --data folder:PATH --space sd-vae:PATH
    --width 1024 --gat.depth 24                        # L/2; batch and rate are one for all sizes
    --width 768 --gat.depth 12 --gat.heads 0           # B/2, --width 384 S/2; --gat.patch 4 is L/4 and so on

The paper: FID 2.18 after 60 epochs, 2.96 after 40; S, B and L at 50,000 steps 15.2, 9.5 and 4.6. Not run here, nor were
the autoencoder's published weights ever read. Settings are those of the authors' code, but for two: D's tokens are not
aligned with DINOv2, which is not possible in a space, and blocks are float32; with --precision bfloat16, as theirs are,
take --hp.ar-step 0, because logits are then too coarse for the step.
"""

from jaxgan import Config, Hp
from jaxgan.options import Gat

BATCH = 512


def config():
    return Config(
        kind="gat",
        conditional=True,
        data="folder:imagenet",
        size=256,
        flip=True,
        space="sd-vae:diffusion_pytorch_model.safetensors",
        net="gat",
        gat=Gat(depth=28, heads=16),
        width=1152,
        latent=64,
        loss="rpgan",
        augment=("brightness", "saturation", "contrast", "translation", "cutout", "flip"),
        reuse=True,
        remat=True,
        batch=BATCH,
        steps=150_000,
        sample_every=1000,
        checkpoint_every=1000,
        hp=Hp(
            g_lr=2e-4,
            d_lr=2e-4,
            base_width=768.0,
            b1=0.0,
            b2=0.99,
            ar1=0.1,
            ar2=0.1,
            ar_step=0.01,
            clip_gradient=1.0,
            flip_p=0.4,
            color_p=0.5,
            ema_half_life=693.0 * BATCH,
        ),
    )
