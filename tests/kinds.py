"""Settings of every kind of GAN, and small games of them."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan import games, rng, state, step
from jaxgan.config import from_dict
from jaxgan.games.terms import Play, Side
from jaxgan.hp import arrays
from jaxgan.run import Run
from jaxgan.solvers import SOLVERS

CLASSES, BATCH = 3, 8
SQUARE = (8, 8, 1)
KEY = rng.root(0)
ROOM = 2000  # examples, where means over them are compared
UPSCALER = {"net": "rrdb", "shape": SQUARE, "factor": 2, "rrdb": {"blocks": 1, "growth": 3}}
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
    "gat": {
        **{"kind": "gat", "conditional": True, "net": "gat", "shape": SQUARE, "augment": ("cutout",)},
        **{
            "gat": {"depth": 2, "patch": 4, "levels": 2, "features": 4},
            "hp": {"ar1": 1.0, "ar2": 1.0, "ar_step": 0.01},
        },
    },
    "cat": {
        **{"kind": "cat", "conditional": True, "net": "cat", "shape": SQUARE, "augment": ("cutout",)},
        **{
            **{"cat": {"depth": 2, "patch": 4, "levels": 2, "features": 4, "d_depth": 1}},
            "hp": {"ar1": 1.0, "ar2": 1.0, "ar_step": 0.01, "consistency": 1.0},
        },
    },
    "ebgan": {"kind": "ebgan", "conditional": True, "net": "dcgan", "hp": {"margin": 9.0}},
    "began": {"kind": "began", "hp": {"k_rate": 0.1}},
    "pool": {"kind": "conditional", "pool": 20},
    "pix2pix": {"kind": "pix2pix", "shape": (4,), "pool": 20, "hp": {"r1": 1.0}},
    "pix2pix-image": {"kind": "pix2pix", "shape": (8, 8, 2), "net": "dcgan"},
    "cyclegan": {"kind": "cyclegan", "shape": (4,), "loss": "lsgan", "pool": 20, "hp": {"wgan_gp": 1.0}},
    "cyclegan-image": {"kind": "cyclegan", "shape": (16, 16, 2), "net": "dcgan", "d_norm": "spectral"},
    "bicyclegan": {"kind": "bicyclegan", "shape": (4,)},
    "stargan": {"kind": "stargan", "loss": "lsgan", "hp": {"wgan_gp": 1.0}},
    "upscale": {"kind": "upscale", **UPSCALER},
    "esrgan": {"kind": "esrgan", **UPSCALER, "loss": "ragan", "perceptual_net": "random", "hp": {"pixel": 1.0}},
    "stargan-image": {"kind": "stargan", "net": "dcgan", "d_norm": "virtual", "loss": "hinge"},
}

# every penalty with labels, which go astray, and what these ask for
OTHER_D = {
    "ar1": 1.0,
    "ar2": 1.0,
    "drift": 0.1,
    "gp0": 1.0,
    "wgan_lp": 1.0,
    "dragan": 1.0,
    "lecam": 0.3,
    "cr": 1.0,
    "cr_fake": 1.0,
    "zcr": 1.0,
}
OTHER_G = {"zcr_g": 0.1, "path_length": 1.0, "feature_matching": 1.0, "logan_dz": 1.0}
JITTER = {"cr_augment": ("jitter",), "latent_steps": 1}
# each loss, each penalty and each solver, with each of these kinds and each architecture at least once
PLAIN = {
    "minimax": {"loss": "minimax"},
    "ns-simultaneous": {"loss": "ns", "solver": "simultaneous", "hp": {"r1": 1.0, "r2": 0.5}, "fake_batch": 12},
    "lsgan": {"loss": "lsgan", "hp": {"r2": 1.0}, "d_steps": 2, "optimizer": "rmsprop"},
    "wasserstein-simultaneous": {
        **{"loss": "wasserstein", "solver": "simultaneous"},
        **{"hp": {"clip": 0.3}, "d_steps": 3, "optimizer": "rmsprop"},
    },
    "hinge": {"loss": "hinge", "hp": {"wgan_gp": 1.0}, "g_steps": 2},
    "rpgan": {"loss": "rpgan", "hp": {"r1": 1.0, "r2": 1.0}, "optimizer": "sgd"},
    "ns-extragradient": {"loss": "ns", "solver": "extragradient"},
    "ns-extragradient_two": {"loss": "ns", "solver": "extragradient_two", "hp": {"d_scale": 5.0}},
    "lsgan-optimistic": {"loss": "lsgan", "solver": "optimistic"},
    "hinge-lookahead": {"loss": "hinge", "solver": "lookahead", "hp": {"lookahead_every": 2.0}, "d_steps": 2},
    "ns-dcgan": {"net": "dcgan", "loss": "ns"},
    "wasserstein-dcgan": {"net": "dcgan", "loss": "wasserstein", "hp": {"wgan_gp": 10.0}},
    "rpgan-simultaneous-dcgan": {
        **{"net": "dcgan", "loss": "rpgan", "solver": "simultaneous"},
        **{"hp": {"r1": 1.0, "r2": 1.0}},
    },
    "f_kl": {"loss": "f_kl", "hp": {"lecam": 0.3, "path_length": 1.0}, "d_steps": 2},
    "klgan-dcgan": {
        **{"net": "dcgan", "loss": "klgan"},
        **{"hp": {"cr": 1.0, "feature_matching": 1.0}, "augment": ("cutout",)},
    },
    "ragan": {"loss": "ragan", "hp": {"dragan": 1.0, "noise": 0.1, "noise_updates": 4.0}, "d_steps": 2},
    "f_reverse_kl-lookahead": {"loss": "f_reverse_kl", "solver": "lookahead", "hp": {"r1": 1.0, "r2": 1.0}, "lazy": 2},
    "f_pearson": {"loss": "f_pearson", "hp": {"top_k": 0.5, "orthogonal": 0.01, "max_norm": 1.0}, "pack": 2},
    "rahinge": {"loss": "rahinge", "hp": {"top_k": 0.5}, "latent_steps": 2},
    "mmd": {"loss": "mmd", "hp": {"r1": 0.1}},
    "ns": {"loss": "ns", "unroll": 2},
}
CONDITIONAL = {
    "ns-y": {"loss": "ns", "hp": {"r1": 1.0}},
    "wasserstein-y": {"loss": "wasserstein", "hp": {"wgan_gp": 10.0}, "d_steps": 2},
    "minimax-simultaneous-y": {"loss": "minimax", "solver": "simultaneous", "hp": {"r2": 1.0}, "fake_batch": 4},
    "rpgan-simultaneous-y": {"loss": "rpgan", "solver": "simultaneous"},
    "ns-past_extragradient-y": {"loss": "ns", "solver": "past_extragradient", "hp": {"r1": 1.0}},
    "ns-consensus-y": {"loss": "ns", "solver": "consensus", "hp": {"r2": 1.0}},
    "hinge-y-dcgan": {"net": "dcgan", "loss": "hinge", "hp": {"r1": 1.0}},
    "lsgan-simultaneous-y-dcgan": {
        **{"net": "dcgan", "loss": "lsgan", "solver": "simultaneous"},
        **{"hp": {"r2": 1.0}, "fake_batch": 16},
    },
    "f_js-simultaneous-y": {
        **{"loss": "f_js", "solver": "simultaneous", **JITTER},
        **{"hp": {**OTHER_D, **OTHER_G, "gp_target": 0.1}},
    },
    "f_alpha-y": {"loss": "f_alpha", "hp": {"spectral": 0.1, "alpha": 0.3}, "d_norm": "spectral", "g_norm": "spectral"},
    "f_hellinger-y": {"loss": "f_hellinger", "hp": {"gp0": 1.0}, "gradient_norm": True},
    "ralsgan-extragradient-y": {"loss": "ralsgan", "solver": "extragradient", "hp": {"clip": 0.3}, "fake_batch": 4},
}
PLAIN = {name: {"kind": "plain", **c} for name, c in PLAIN.items()}
PLAIN |= {name: {"kind": "conditional", **c} for name, c in CONDITIONAL.items()}


def configured(name, **more):
    return made({**(TABLE | PLAIN)[name], **more})


def made(settings):
    """The small configuration that settings make, its game and the shape of its examples."""
    c = {"net": "mlp", "width": 8, "depth": 1, "latent": 4, "batch": BATCH, **settings}
    shape = c.pop("shape", SQUARE if c["net"] == "dcgan" else (2,))
    c["hp"] = {"g_lr": 0.01, "d_lr": 0.01, "ema_half_life": 8.0, **c.get("hp", {})}
    c = from_dict(c)
    return c, games.make(c, shape, CLASSES), shape


def make(kind="plain", **settings):
    """A small configuration, its game and its first state."""
    c, game, shape = made({"kind": kind, **settings})
    return c, game, started(c, game, shape)


def started(c, game, shape):
    """The first state, by operations that games have in common: compiled once each, where a program is once a game."""
    return state.drawn(game, c.solver, shape, c.seed, arrays(c.hp))


def losses(game, state, batch):
    """{player: (value, vars, metrics)} of one batch, as `step.field` takes them before it differentiates."""
    run = step.runner(game, state.params, state.key, state.step)
    found = {name: player.loss(run, state.vars, batch, state.key, state.hp) for name, player in game.players.items()}
    return {name: (value, vars, metrics) for name, (value, (vars, metrics)) in found.items()}


def batches(game, shape, i=0, n=BATCH):
    r = np.random.default_rng(i)
    x = np.tanh(r.normal(size=(game.updates, n, *shape))).astype(np.float32)
    return {"x": jnp.asarray(x), "y": jnp.asarray(r.integers(0, CLASSES, (game.updates, n)), jnp.int32)}


def normal(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


class Counted:
    """A jitted train step that counts how often it is traced."""

    def __init__(self, c, game):
        self.traces = 0

        def advance(state, batches):
            self.traces += 1
            return step.train_step(game, state, batches, SOLVERS[c.solver].step)

        self.call = jax.jit(advance)


def untrained(name):
    c, game, shape = configured(name)
    return Run(c, started(c, game, shape), {"shape": list(shape), "classes": CLASSES})


def played(**fields) -> Play:
    """What a term sees, with these fields and no others: of Play, and of its sides as d_real, y_fake and so on."""
    names = {"x": "{}", "y": "y_{}", "shown": "seen_{}", "logits": "d_{}", "features": "h_{}", "weight": "weight_{}"}
    sides = {
        side: Side(**{name: fields.pop(flat.format(side), None) for name, flat in names.items()})
        for side in ("real", "fake")
    }
    return Play(**{**dict.fromkeys(Play._fields), **sides, **fields})
