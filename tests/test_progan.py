"""ProGAN's growth: stages, fades, what moves, and a run through a change of stage. Published counts: test_counts.py."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

from jaxgan import checkpoint, config, games, step, train
from jaxgan.data import from_arrays
from jaxgan.errors import JaxganError
from jaxgan.nets import build, progan, real, restarts
from jaxgan.nets.resnet import doubled, pooled
from jaxgan.optim import restarted
from jaxgan.run import Run
from jaxgan.solvers import SOLVERS
from jaxgan.state import initial

SHAPE, BATCH, PHASE = (16, 16, 1), 4, 3  # PHASE: steps


def setting(**more):
    own = {"base": 128, "phase": PHASE * BATCH}
    fields = {"net": "progan", "width": 6, "latent": 5, "batch": BATCH, "progan": own, "loss": "wasserstein"}
    return config.from_dict(fields | {"hp": {"wgan_gp": 10.0, "drift": 0.001, "b1": 0.0}} | more)


def test_when_stages_act_and_fade():
    """4 pixels alone for a phase; then every stage fades in for a phase and is alone for one; the last for ever."""
    stages, shares = zip(*(map(float, progan.growth(i, 3, 4)) for i in range(26)), strict=True)
    assert stages == (0,) * 4 + (1,) * 8 + (2,) * 14
    assert shares == (1,) * 4 + (0, 0.25, 0.5, 0.75, 1, 1, 1, 1) + (0, 0.25, 0.5, 0.75) + (1,) * 10
    assert progan.changes(3, 4) == (4, 12)
    assert restarts(setting(), SHAPE) == (PHASE, 3 * PHASE)


@pytest.fixture(scope="module")
def made():
    nets = build(setting(), SHAPE, 0)
    z, x = jax.random.normal(jax.random.key(0), (4, 5)), jax.random.uniform(jax.random.key(1), (4, *SHAPE), minval=-1)
    params = {side: jax.jit(nets[side].init)(jax.random.key(2), v, None)[0] for side, v in (("g", z), ("d", x))}
    draw = jax.jit(lambda done: nets["g"].apply(params["g"], {"done": done}, z, None, train=False)[0])
    score = jax.jit(lambda x, done: nets["d"].apply(params["d"], {"done": done}, x, None, train=False)[0])
    return draw, score, x


def square(x, n):
    """The mean of each n x n pixels."""
    b, h, w, c = x.shape
    return np.asarray(x).reshape(b, h // n, n, w // n, n, c).mean((2, 4))


def test_images_are_those_of_their_stage(made):
    """Early images are made of squares; a stage that begins to fade in shows what was there before, and no jump."""
    draw = lambda done: np.asarray(made[0](done))  # noqa: E731
    for done, n in ((0, 4), (PHASE, 4), (PHASE + 1, 2), (2 * PHASE, 2), (3 * PHASE, 2), (3 * PHASE + 1, 1), (99, 1)):
        x = draw(jnp.int32(done))
        np.testing.assert_allclose(x, square(x, n).repeat(n, 1).repeat(n, 2), atol=1e-6)
        assert n == 1 or abs(x - square(x, 2 * n).repeat(2 * n, 1).repeat(2 * n, 2)).max() > 1e-3 or done == PHASE * 3
    for end in (PHASE, 3 * PHASE):
        np.testing.assert_allclose(draw(jnp.int32(end)), draw(jnp.int32(end - 1)), atol=1e-6)
        half = (draw(jnp.int32(end)) + draw(jnp.int32(end + PHASE))) / 2
        blend = draw(jnp.int32(end)) * (1 - 1 / PHASE) + draw(jnp.int32(end + PHASE)) / PHASE
        np.testing.assert_allclose(draw(jnp.int32(end + 1)), blend, atol=1e-5)
        assert abs(half - blend).max() > 1e-3


def test_d_sees_what_its_stage_can(made):
    """Only means of squares; where a stage begins, the logits are those of the stage before."""
    _, score, x = made
    for done, n in ((0, 4), (PHASE + 1, 2), (3 * PHASE + 1, 1)):
        same = jnp.asarray(square(x, n).repeat(n, 1).repeat(n, 2))
        moved = same.at[:, 0, 0].add(0.5).at[:, 0, 1].add(-0.5)  # within a square but where n is 1
        np.testing.assert_allclose(score(x, jnp.int32(done)), score(same, jnp.int32(done)), rtol=1e-4, atol=1e-5)
        assert (abs(score(moved, jnp.int32(done)) - score(same, jnp.int32(done))).max() > 1e-5) == (n == 1)
    for end in (PHASE, 3 * PHASE):
        np.testing.assert_allclose(score(x, jnp.int32(end)), score(x, jnp.int32(end - 1)), rtol=1e-5, atol=1e-6)


def test_real_images_fade_too():
    seen = jax.jit(real(setting(), SHAPE))
    x = jax.random.normal(jax.random.key(0), (2, *SHAPE))
    at = lambda done: np.asarray(seen({"done": jnp.int32(done)}, x))  # noqa: E731
    whole, half, quarter = (square(x, n).repeat(n, 1).repeat(n, 2) for n in (1, 2, 4))
    np.testing.assert_allclose(at(0), quarter, atol=1e-6)
    np.testing.assert_allclose(at(PHASE), quarter, atol=1e-6)
    np.testing.assert_allclose(at(PHASE + 1), quarter + (half - quarter) / PHASE, atol=1e-6)
    np.testing.assert_allclose(at(2 * PHASE), half, atol=1e-6)
    np.testing.assert_allclose(at(3 * PHASE + 2), half + (whole - half) * 2 / PHASE, atol=1e-6)
    np.testing.assert_allclose(at(99), whole, atol=1e-6)
    np.testing.assert_allclose(doubled(pooled(x)), half, atol=1e-6)


def test_optimizers_that_begin_anew():
    """Before its third update it forgets: from there on it moves as one that has just been made."""
    plain, tx = optax.adam(0.1), restarted(optax.adam(0.1), (2,))
    params = {"a": jnp.ones(3)}
    grads = [{"a": jnp.array([1.0, -2, 3]) * (i + 1)} for i in range(4)]
    state, old, new = tx.init(params), plain.init(params), plain.init(params)
    for i, g in enumerate(grads):
        update, state = tx.update(g, state, params)
        if i < 2:
            want, old = plain.update(g, old, params)
        else:
            want, new = plain.update(g, new, params)
        np.testing.assert_array_equal(update["a"], want["a"])
    assert (plain.update(grads[2], old, params)[0]["a"] != want["a"]).any()
    assert restarted(plain, ()) is plain


def test_only_stages_that_act_move():
    c, shape = setting(hp={"b1": 0.0}), (8, 8, 1)
    game = games.make(c, shape)
    advance = jax.jit(lambda state, b: step.train_step(game, state, b, SOLVERS[c.solver].step)[0])
    state = start = initial(game, c, shape)
    x = jax.random.uniform(jax.random.key(0), (game.updates, BATCH, *shape), minval=-1)
    batch = {"x": x, "y": jnp.zeros((game.updates, BATCH), jnp.int32)}
    moved = {}
    for i in range(PHASE + 3):
        state = advance(state, batch)
        for side in ("g", "d"):
            assert int(state.vars[side]["done"]) == i + 1
            count = optax.tree_utils.tree_get(state.opt[side], "count")
            assert int(count) == (i + 1 if i < PHASE else i + 1 - PHASE), "moments begin anew with the second stage"
            for name, p in state.params[side].items():
                before = jax.tree.leaves(start.params[side][name])
                if any(np.not_equal(a, b).any() for a, b in zip(jax.tree.leaves(p), before, strict=True)):
                    moved.setdefault((side, name), i)
    # a stage's RGB layer and block fade in from its first step on, at which their share is still 0
    begins = {"0": 0, "1": PHASE + 1}
    assert moved == {(side, kind + n): at for side in "gd" for kind in ("block", "image") for n, at in begins.items()}


def test_d_is_shown_real_images_that_fade():
    """Where a third of a stage has faded in, as D's mean logit of real examples shows."""
    c, shape = setting(), (8, 8, 1)
    game = games.make(c, shape)
    done = jnp.int32(PHASE + 1)
    start = initial(game, c, shape)
    state = dataclasses.replace(start, step=done, vars={net: {"done": done} for net in start.vars})
    x = jax.random.normal(jax.random.key(0), (BATCH, *shape))
    _, _, metrics = jax.jit(lambda s: step.field(game, "d", s, {"x": x}, s.key))(state)
    score = jax.jit(lambda x: game.nets["d"].apply(state.params["d"], {"done": done}, x, None, train=False)[0].mean())
    faded = real(c, shape)({"done": done}, x)
    np.testing.assert_allclose(metrics["d_real"], score(faded), rtol=1e-4)
    assert abs(score(faded) - score(x)) > 1e-3 * abs(score(x))


def unit(x):
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-8)


def rectified(x):
    return np.where(x > 0, x, 0.2 * x)


def convolved(p, x):
    x = np.pad(np.asarray(x), ((0, 0), (1, 1), (1, 1), (0, 0)))
    kernel, h, w = np.asarray(p["kernel"]) * math.sqrt(2 / (9 * x.shape[-1])), x.shape[1] - 2, x.shape[2] - 2
    return sum(x[:, i : i + h, j : j + w] @ kernel[i, j] for i in range(3) for j in range(3)) + np.asarray(p["bias"])


def made_of(module, *inputs):
    """A module's parameters, all moved, so that no bias is 0; and its output."""
    flat, back = ravel_pytree(jax.jit(module.init)(jax.random.key(1), *inputs)["params"])
    p = back(flat + 0.3 * jax.random.normal(jax.random.key(2), flat.shape))
    return p, jax.jit(module.apply)({"params": p}, *inputs)


def test_blocks_by_hand():
    """Gains of sqrt 2 / 4 for the first product, sqrt 2 before leaky ReLUs; pixel norm after them in G, never in D."""
    z, x = jax.random.normal(jax.random.key(0), (4, 5)), jax.random.normal(jax.random.key(3), (4, 4, 4, 6))
    p, made = made_of(progan.First(6), z)
    first = unit(np.asarray(z)) @ np.asarray(p["Dense_0"]["kernel"]) * (math.sqrt(2) / 4 / math.sqrt(5))
    first = unit(rectified(first.reshape(4, 4, 4, 6) + np.asarray(p["bias"])))
    np.testing.assert_allclose(made, unit(rectified(convolved(p["Conv_0"], first))), rtol=1e-4, atol=1e-5)

    p, made = made_of(progan.Up(3), x)
    outer, inner = p["Conv_0"], p["Conv_1"]  # numbered from without
    want = unit(rectified(convolved(inner, np.asarray(x).repeat(2, 1).repeat(2, 2))))
    np.testing.assert_allclose(made, unit(rectified(convolved(outer, want))), rtol=1e-4, atol=1e-5)

    p, made = made_of(progan.Down(3), x)
    want = rectified(convolved(p["Conv_0"], rectified(convolved(p["Conv_1"], x))))
    np.testing.assert_allclose(made, square(want, 2), rtol=1e-4, atol=1e-5)

    (p, (logit, h)), y = made_of(progan.Last(3, 0), x, jnp.array([0, 2, 1, 1])), [0, 2, 1, 1]
    deviation = np.sqrt(np.asarray(x).var(0) + 1e-8).mean()
    wide = np.concatenate([x, np.full((4, 4, 4, 1), deviation)], -1)
    flat = rectified(convolved(p["Conv_0"], wide)).reshape(4, -1)

    def dense(p, x, gain):
        bias = np.asarray(p["bias"]) if "bias" in p else 0.0
        return x @ np.asarray(p["kernel"]) * (gain / math.sqrt(x.shape[1])) + bias

    want = rectified(dense(p["Dense_0"], flat, math.sqrt(2)))
    np.testing.assert_allclose(h, want, rtol=1e-4, atol=1e-4)
    told = dense(p["Dense_2"], np.eye(3)[y], 1.0)
    np.testing.assert_allclose(
        logit, dense(p["Dense_1"], want, 1.0)[:, 0] + (want * told).sum(1) / math.sqrt(6), rtol=1e-4
    )


def test_a_run_through_a_change_of_stage_resumes_bit_for_bit(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (32, 8, 8, 1), np.uint8)
    c = setting(hp={"b1": 0.0}, steps=PHASE + 3, checkpoint_every=PHASE - 1, log_every=1, sample_every=0)
    whole = train.run(c, tmp_path / "whole", source=from_arrays(images), quiet=True)
    train.run(dataclasses.replace(c, steps=PHASE - 1), tmp_path / "cut", source=from_arrays(images), quiet=True)
    again = train.run(c, tmp_path / "cut", source=from_arrays(images), quiet=True)
    digest = lambda run: checkpoint.digest(checkpoint.to_host(run.state))  # noqa: E731
    assert digest(whole) == digest(again)
    x = Run(c, whole.state, whole.env).sample(4)
    assert x.shape == (4, 8, 8, 1)
    assert abs(x - square(x, 2).repeat(2, 1).repeat(2, 2)).max() > 1e-4, "8 pixels have begun"


@pytest.mark.parametrize(
    ("more", "size", "words"),
    [
        ({}, 28, "progan makes square images of 8, 16, 32, 64, ... pixels, .*: set size to 16 or 32"),
        ({"d_norm": "spectral"}, 16, "no place for the norm 'spectral'"),
        ({"progan": {"base": 8}}, 16, "progan.base is 8; at 16 pixels that is no channel"),
        ({"progan": {"phase": 3}}, 16, "progan.phase is 3 images, less than a batch of 4"),
        ({"kind": "bigan", "loss": "ns", "hp": {}}, 16, "net 'progan' grows, which kind 'bigan'"),
    ],
)
def test_what_it_cannot_make_is_said(more, size, words):
    with pytest.raises(JaxganError, match=words):
        games.make(setting(**more), (size, size, 1))
