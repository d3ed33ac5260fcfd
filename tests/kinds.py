"""Settings of every kind of GAN, and small games of them."""

import jax.numpy as jnp
import numpy as np

from jaxgan import games
from jaxgan.config import from_dict
from jaxgan.run import Run
from jaxgan.state import initial

CLASSES, BATCH = 3, 8
SQUARE = (8, 8, 1)
# name: settings; the networks are mlp on points unless they say otherwise
TABLE = {
    "concat": {"kind": "conditional", "head": "concat"},
    "embedding": {"kind": "conditional", "head": "embedding", "net": "dcgan"},
    "ac": {"kind": "conditional", "head": "ac", "hp": {"r1": 1.0, "r2": 1.0}},
    "ac_real": {"kind": "conditional", "head": "ac_real"},
    "adc": {"kind": "conditional", "head": "adc", "d_steps": 2, "g_steps": 2},
    "multihinge": {"kind": "conditional", "head": "multihinge"},
    "2c": {"kind": "conditional", "head": "2c"},
    "2c_proxy": {"kind": "conditional", "head": "2c_proxy"},
    "d2dce": {"kind": "conditional", "head": "d2dce", "fake_batch": 12},
    "infogan": {"kind": "infogan", "codes": (3, 1, 2)},
    "infogan-y": {"kind": "infogan", "conditional": True, "codes": (1,)},
    "ssgan": {"kind": "ssgan", "shape": SQUARE},
    "lrgan": {"kind": "lrgan", "conditional": True, "loss": "hinge"},
    "bigan": {"kind": "bigan", "net": "dcgan", "hp": {"r1": 1.0}},
    "bigan-y": {"kind": "bigan", "conditional": True, "loss": "lsgan", "fake_batch": 12},
    "aae": {"kind": "aae", "conditional": True, "loss": "rpgan", "solver": "simultaneous"},
    "vae": {"kind": "vae", "net": "dcgan"},
    "vae-y": {"kind": "vae", "conditional": True},
    "vaegan": {"kind": "vaegan", "loss": "minimax", "conditional": True},
    "ebgan": {"kind": "ebgan", "conditional": True, "net": "dcgan", "hp": {"margin": 9.0}},
    "began": {"kind": "began", "hp": {"k_rate": 0.1}},
    "pool": {"kind": "conditional", "pool": 20},
    "pix2pix": {"kind": "pix2pix", "shape": (4,), "pool": 20, "hp": {"r1": 1.0}},
    "pix2pix-image": {"kind": "pix2pix", "shape": (8, 8, 2), "net": "dcgan"},
    "cyclegan": {"kind": "cyclegan", "shape": (4,), "loss": "lsgan", "pool": 20, "hp": {"wgan_gp": 1.0}},
    "cyclegan-image": {"kind": "cyclegan", "shape": (16, 16, 2), "net": "dcgan", "d_norm": "spectral"},
    "bicyclegan": {"kind": "bicyclegan", "shape": (4,)},
    "stargan": {"kind": "stargan", "loss": "lsgan", "hp": {"wgan_gp": 1.0}},
    "stargan-image": {"kind": "stargan", "net": "dcgan", "d_norm": "virtual", "loss": "hinge"},
}


def configured(name, **more):
    return made({**TABLE[name], **more})


def made(settings):
    """The small configuration that settings make, its game and the shape of its examples."""
    c = {"net": "mlp", "width": 8, "depth": 1, "latent": 4, "batch": BATCH, **settings}
    shape = c.pop("shape", SQUARE if c["net"] == "dcgan" else (2,))
    c["hp"] = {"g_lr": 0.01, "d_lr": 0.01, "ema_half_life": 8.0, **c.get("hp", {})}
    c = from_dict(c)
    return c, games.make(c, shape, CLASSES), shape


def batches(game, shape, i=0):
    r = np.random.default_rng(i)
    x = np.tanh(r.normal(size=(game.updates, BATCH, *shape))).astype(np.float32)
    return {"x": jnp.asarray(x), "y": jnp.asarray(r.integers(0, CLASSES, (game.updates, BATCH)), jnp.int32)}


def untrained(name):
    c, game, shape = configured(name)
    return Run(c, initial(game, c, shape), {"shape": list(shape), "classes": CLASSES})
