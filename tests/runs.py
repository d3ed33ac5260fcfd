"""A small run on images and labels, and what two runs have in common."""

import dataclasses

import jax
import numpy as np

from jaxgan import checkpoint, cli, config, data, games, log, train
from jaxgan.config import Config, Hp
from jaxgan.run import Run
from jaxgan.state import initial

BASE = Config(
    kind="conditional",
    net="mlp",
    width=16,
    latent=4,
    data="arrays",
    batch=8,
    d_steps=2,
    steps=12,
    log_every=4,
    sample_every=0,
    checkpoint_every=4,
    hp=Hp(r1=0.1, ema_half_life=50.0),
)


def source(seed=0):
    r = np.random.default_rng(seed)
    return data.from_arrays(r.integers(0, 256, (50, 6, 6, 1), np.uint8), r.integers(0, 3, 50))


def command(*args):
    """A command in this process -> its exit code."""
    try:
        cli.main([str(a) for a in args])
    except SystemExit as e:
        return e.code
    return 0


def trained(dir, c=BASE, **changes):
    return train.run(dataclasses.replace(c, **changes), dir, source(), quiet=True)


def untrained(shape, classes=0, names=(), **settings):
    """A Run in its first state, whose data are nowhere."""
    c = config.from_dict({"net": "mlp", "width": 8, "depth": 1, "latent": 4, "data": "folder:/nowhere", **settings})
    env = {"shape": list(shape), "classes": classes, "names": list(names)}
    return Run(c, initial(games.make(c, shape, classes), c, shape), env)


def digests(dir):
    return {row["step"]: row["digest"] for row in log.read(dir / "metrics.jsonl") if "digest" in row}


def digest(trained):
    return checkpoint.digest(checkpoint.to_host(trained.state))


def assert_same_bits(a, b):
    a, b = checkpoint.to_host(a.state), checkpoint.to_host(b.state)
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y)


class Like:
    """What of a Source a game needs."""

    def __init__(self, shape, classes):
        self.shape, self.classes = shape, classes
