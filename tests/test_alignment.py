"""Alignment of D's tokens with another network's features: its formula, what that network sees, who may have it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hand import each
from jaxgan import augment, games, rng, step
from jaxgan.config import from_dict
from jaxgan.errors import JaxganError
from jaxgan.features import perceptual
from jaxgan.games import alignment
from kinds import BATCH, KEY, batches
from kinds import made as game_of
from test_gat import linear, moved, rms, silu

GAT = {"depth": 2, "patch": 4, "levels": 2, "features": 4}
SETTINGS = {"net": "gat", "kind": "conditional", "shape": (8, 8, 1), "gat": GAT, "augment": ("translation", "cutout")}


def cosine(a, b):
    return (a * b).sum(-1) / np.sqrt((a**2).sum(-1) * (b**2).sum(-1))


def test_it_is_of_angles_alone():
    a, b = np.random.default_rng(0).normal(size=(2, 3, 5, 4))
    found = alignment.off(jnp.asarray(a), jnp.asarray(b))
    np.testing.assert_allclose(found, 1 - cosine(a, b)[:, 0] + (1 - cosine(a, b)[:, 1:]).mean(1), rtol=1e-4)
    np.testing.assert_allclose(alignment.off(jnp.asarray(a), jnp.asarray(3 * a)), 0, atol=1e-5)
    np.testing.assert_allclose(alignment.off(jnp.asarray(a), jnp.asarray(-a)), 4, rtol=1e-5)


def test_patches_have_the_features_of_their_place():
    """A grid as fine as the maps has these row by row, and the first token their mean."""
    x = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (2, 16, 16, 1)), jnp.float32)
    want, (maps,) = alignment.wanted("digits-cnn", x, (4, 4)), perceptual.maps("digits-cnn", x)
    assert maps.shape[1:] == (4, 4, perceptual.PERCEPTUAL["digits-cnn"].channels)
    np.testing.assert_allclose(want[:, 1:], maps.reshape(2, 16, -1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(want[:, 0], maps.mean((1, 2)), rtol=1e-4, atol=1e-5)
    assert alignment.wanted("digits-cnn", x, (2, 2)).shape[1] == 5


def test_the_term_is_its_formula(monkeypatch):
    """Of real examples, moved as D is shown them and not cut; D's player owns and moves the projector."""
    monkeypatch.setattr(alignment, "HIDDEN", 6)
    moves = ("flip", "translation")
    c, game, shape = game_of({**SETTINGS, "augment": (*moves, "cutout"), "hp": {"alignment": 0.7, "flip_p": 0.9}})
    assert game.players["d"].nets == ("d", "projector")
    state = jax.eval_shape(lambda: step.init(game, 0, vars(c.hp), batch_of(game, shape)))
    params = {name: moved(p) for name, p in state.params.items()}
    memory = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), state.vars)
    batch, hp = batch_of(game, shape), {name: jnp.float32(value) for name, value in vars(c.hp).items()}

    @jax.jit
    def both(params):
        def loss(projector, weight):
            run = step.runner(game, {**params, "projector": projector})
            return game.players["d"].loss(run, memory, batch, KEY, {**hp, "alignment": weight})

        slopes, (_, metrics) = jax.grad(loss, (0, 1), has_aux=True)(params["projector"], jnp.float32(0.7))
        keys = each(rng.stream(KEY, "view real"), "augment", BATCH)
        shown = augment.apply(c.augment, batch["x"], keys, flip_p=0.9)
        d = game.nets["d"].apply(params["d"], memory["d"], shown, batch["y"], train=True, features=True, tokens=True)[0]
        want = alignment.wanted("digits-cnn", augment.apply(moves, batch["x"], keys, flip_p=0.9), (2, 2))
        return metrics["alignment"], slopes, d[1:], want

    found, (slopes, weighed), (h, tokens), want = jax.device_get(both(params))
    assert tokens.shape == (BATCH, 1 + 4, 8)
    np.testing.assert_allclose(rms(tokens[:, 0]) * np.asarray(params["d"]["norm"]["scale"]), h, rtol=1e-4, atol=1e-5)
    p, x = params["projector"], np.asarray(tokens, np.float64)
    made = linear(p["Linear_2"], silu(linear(p["Linear_1"], silu(linear(p["Linear_0"], x)))))
    off = 1 - cosine(made, np.asarray(want, np.float64))
    np.testing.assert_allclose(found, (off[:, 0] + off[:, 1:].mean(1)).mean(), rtol=1e-4)
    np.testing.assert_allclose(weighed, found, rtol=1e-5)
    assert all(abs(leaf).max() > 0 for leaf in jax.tree.leaves(slopes))


def batch_of(game, shape):
    return jax.tree.map(lambda b: b[0], batches(game, shape))


@pytest.mark.parametrize("settings", [{"kind": "gat"}, {"kind": "cat", "net": "cat", "cat": {**GAT, "d_width": 12}}])
def test_kinds_with_levels_have_it(settings, monkeypatch):
    """At full size, of as many tokens as D has of one image."""
    monkeypatch.setattr(alignment, "HIDDEN", 6)
    c, game, shape = game_of({**SETTINGS, "conditional": True, **settings, "hp": {"alignment": 1.0}})
    state = jax.eval_shape(lambda: step.init(game, 0, vars(c.hp), batch_of(game, shape)))
    metrics = jax.eval_shape(lambda s, b: step.field(game, "d", s, b, s.key), state, batch_of(game, shape))[2]
    assert "alignment" in metrics
    assert state.params["projector"]["Linear_0"]["kernel"].shape == (12 if c.kind == "cat" else 8, 6)


@pytest.mark.parametrize(
    ("settings", "shape", "message"),
    [
        ({"net": "dcgan", "gat": {}}, (8, 8, 1), "D of net 'dcgan' has none; use --net gat or cat"),
        ({"space": "runs/vae"}, (8, 8, 1), "space 'runs/vae' makes latents"),
        ({}, (8, 8, 4), "alignment_net 'digits-cnn' sees grey or RGB"),
        ({"alignment_net": "vgg16"}, (8, 8, 1), "of 16 pixels or more"),
        ({"kind": "plain", "pack": 2}, (8, 8, 1), "pack is 2; leave pack at 1"),
    ],
)
def test_what_does_not_go_is_said(settings, shape, message):
    given = {**SETTINGS, "width": 8, "hp": {"alignment": 1.0}, **settings}
    given.pop("shape")
    with pytest.raises(JaxganError, match=message):
        games.make(from_dict(given), shape, 3)
