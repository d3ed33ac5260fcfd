"""One of each part, brought by a program without touching a file of the package, trains, resumes and verifies."""

import dataclasses
import json
from types import SimpleNamespace

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgan
from jaxgan import config, data, games, nets, penalties, train
from jaxgan.data.toy import gaussian_mixture
from jaxgan.errors import JaxganError
from jaxgan.games.adversarial import adversarial
from jaxgan.games.terms import Term
from jaxgan.looks import LOOKS, Seen
from jaxgan.losses import LOSSES, Loss
from jaxgan.nets.layers import linen
from jaxgan.verify import verify


class Maxout(nn.Module):
    """x [b, d] -> [b, outputs], by the greatest of `pieces` linear maps in the middle."""

    outputs: int
    width: int
    pieces: int

    @nn.compact
    def __call__(self, x, y, train):
        x = nn.Dense(self.width * self.pieces)(x.reshape(len(x), -1)).reshape(len(x), self.width, self.pieces).max(-1)
        return nn.Dense(self.outputs)(x)


def architecture(pieces):
    """A network with an option of its own."""

    def discriminator(config, spec):
        net = linen(Maxout(1, config.width, pieces))
        return net._replace(apply=lambda *a, **k: (lambda out: (out[0][:, 0], out[1]))(net.apply(*a, **k)))

    def generator(config, spec):
        return linen(Maxout(spec.shape[0], config.width, pieces))

    return SimpleNamespace(NORM={"g": "none", "d": "none"}, generator=generator, discriminator=discriminator)


def d_loss(real, fake):
    return jax.nn.softplus(-real), jax.nn.softplus(fake)


def g_loss(real, fake):
    return 0 * real, -jax.nn.softplus(fake)


def slope_of_generated(score, real, fake, key):
    return 0.5 * penalties.squared_norm(score, fake)


def centred(config, shape, classes, axis):
    """A GAN whose examples are the mean of four that G makes, and whose G pays for being far from the origin."""
    far = Term(lambda play, vars: ((play.fake.x**2).sum(1), vars), weighed=False)
    game = adversarial(config, shape, 0, axis, g_terms={"far": far})

    def sample(run, vars, z, y):
        return sum(run(vars, "g", s * z, y, train=False)[0] for s in (1.0, -1.0, 0.5, -0.5)) / 4

    return game._replace(sample=sample)


def spread(game, c, source, held):
    """A metric of samples, as a look."""
    draw = jax.jit(lambda nets: jaxgan.run.generate(game, nets, game.latent(jax.random.key(0), 64), None))
    return lambda state, step: (lambda x: lambda dir: Seen({"spread": float(jnp.std(x))}))(draw(state.ema))


@pytest.fixture
def brought(monkeypatch):
    made = gaussian_mixture(np.array([[0.0, 2], [0, -2], [2, 0], [-2, 0]]), 0.1, name="cross")
    monkeypatch.setitem(LOSSES, "own", Loss(d_loss, g_loss))
    monkeypatch.setitem(penalties.PENALTIES, "own", slope_of_generated)
    monkeypatch.setitem(games.KINDS, "own", centred)
    monkeypatch.setitem(nets.NETS, "own", architecture(3))
    monkeypatch.setitem(data.SOURCES, "cross", lambda argument, **options: made)
    monkeypatch.setitem(LOOKS, "spread", ("sample_every", True, spread, False))
    return config.from_dict(
        {"kind": "own", "net": "own", "loss": "own", "data": "cross", "width": 8, "latent": 2, "batch": 16, "steps": 20}
        | {"sample_every": 10, "checkpoint_every": 10, "log_every": 10, "hp": {"own": 0.5}}
    )


def test_parts_from_outside(brought, tmp_path):
    c, half = brought, dataclasses.replace(brought, steps=10)
    train.run(half, tmp_path / "run", quiet=True)
    resumed = train.run(c, tmp_path / "run", quiet=True)
    whole = train.run(c, tmp_path / "whole", quiet=True)
    for a, b in zip(jax.tree.leaves(resumed.state.params), jax.tree.leaves(whole.state.params)):
        np.testing.assert_array_equal(a, b)
    assert resumed.state.params["d"]["Dense_0"]["kernel"].shape == (2, 24), "the network's option has acted"
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    for name in ("far", "own", "spread"):
        assert any(row.get(name, 0) > 0 for row in rows), name
    x = jaxgan.load(tmp_path / "run").sample(5, seed=1)
    assert x.shape == (5, 2)
    said = []
    assert verify(tmp_path / "run", say=said.append) == 2, said


def test_it_is_asked_for_where_it_is_missing(brought, monkeypatch):
    monkeypatch.delitem(nets.NETS, "own")
    with pytest.raises(JaxganError, match=r"nets.NETS\['own'\]"):
        games.make(brought, (2,))
