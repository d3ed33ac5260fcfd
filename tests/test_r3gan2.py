"""R3GAN2: rows of its weights in use and after steps, blocks against slow formulas, noise of examples, variances."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import config, kernels, rng, step
from jaxgan.config import Hp
from jaxgan.nets import build, r3gan2, resample
from jaxgan.state import initial
from jaxgan.types import JaxganError, Spec
from kinds import KEY
from kinds import made as game_of

CLASSES = 3
SETTINGS = {"net": "r3gan2", "width": 4, "latent": 4, "r3gan2": {"blocks": 1, "group": 4}}
SIZE = (8, 8, 1)


def drawn(shapes, seed=0):
    """Numbers N(0, 1) of these shapes."""
    r = np.random.default_rng(seed)
    return jax.tree.map(lambda a: jnp.asarray(r.normal(size=a.shape), jnp.float32), shapes)


def made(side, *given, classes=CLASSES, **options):
    """A small network, and parameters N(0, 1)."""
    net = build(config.from_dict({**SETTINGS, **options}), SIZE, classes)[side]
    return net, drawn(jax.eval_shape(net.init, jax.random.key(0), *given)[0])


# Weights


def unit(w, centred=True):
    """Rows of weights [..., outputs], in numpy."""
    w = np.asarray(w, np.float64).reshape(-1, w.shape[-1])
    w = w - w.mean(0) if centred else w
    return w / (np.sqrt((w**2).mean(0)) + 1e-4)


def test_rows_have_mean_0_and_mean_square_1():
    w = np.random.default_rng(0).normal(2, 3, (3, 3, 4, 5))
    for centred in (True, False):
        found = np.asarray(kernels.rows(jnp.asarray(w, jnp.float32), centred)).reshape(-1, 5)
        np.testing.assert_allclose(found, unit(w, centred), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose((found**2).mean(0), 1, atol=1e-3)
        assert (abs(found.mean(0)) < 1e-6).all() == centred
    assert np.isfinite(jax.grad(lambda w: kernels.rows(w).sum())(jnp.zeros((4, 2)))).all()


@pytest.mark.parametrize("player", ["d", "g"])
def test_a_step_leaves_rows_normalised(player):
    """All of a player's, in place, and nothing else: other arrays have moved by what the optimizer says."""
    c, game, shape = game_of({**SETTINGS, "kind": "conditional", "shape": SIZE, "optimizer": "sgd"})
    state = drawn_state(c, game, shape)
    own = {net: state.params[net] for net in game.players[player].nets}
    grads = drawn(own, 1)
    new = jax.jit(lambda s, g: step.move(game, player, s, g, {}))(state, grads).params[player]
    names = set()
    for (path, now), old, slope in zip(
        jax.tree.leaves_with_path(new), jax.tree.leaves(own[player]), jax.tree.leaves(grads[player]), strict=True
    ):
        name, moved = path[-1].key, old - 0.01 * slope
        names.add(name)
        if name in (kernels.CENTRED, kernels.FREE):
            want = unit(moved, name == kernels.CENTRED)
            np.testing.assert_allclose(np.asarray(now).reshape(want.shape), want, rtol=1e-4, atol=1e-5)
        else:
            np.testing.assert_allclose(now, moved, rtol=1e-5, atol=1e-6)
    assert names >= {kernels.CENTRED, kernels.FREE, "alpha"}
    held = game.players[player].hold(state.hp, own)[player]
    for (path, now), old in zip(jax.tree.leaves_with_path(held), jax.tree.leaves(own[player]), strict=True):
        if path[-1].key == kernels.CENTRED:
            np.testing.assert_allclose(np.asarray(now).reshape(-1, now.shape[-1]), unit(old), rtol=1e-4, atol=1e-5)


def drawn_state(c, game, shape):
    state = jax.eval_shape(lambda: initial(game, c, shape))
    zeros = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), (state.opt, state.vars, state.ema))
    hp = {name: jnp.float32(value) for name, value in vars(c.hp).items()}
    opt, memory, ema = zeros
    return step.State(jnp.int32(0), KEY, hp, drawn(state.params), memory, opt, ema, {})


def test_the_size_of_a_row_is_not_seen():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, *SIZE)), jnp.float32)
    net, params = made("d", x, jnp.zeros(2, int))
    score = jax.jit(lambda params: net.apply(params, {}, x, jnp.arange(2), train=False)[0])
    larger = jax.tree_util.tree_map_with_path(lambda path, p: 3 * p if path[-1].key != "alpha" else p, params)
    np.testing.assert_allclose(score(larger), score(params), rtol=1e-2, atol=1e-3)


def test_classes_begin_alike():
    """So does everything else: what is between is the identity, as all alphas are 0."""
    c = config.from_dict(SETTINGS)
    nets, x, z = build(c, SIZE, CLASSES), jnp.ones((CLASSES, *SIZE)), jnp.ones((CLASSES, 4))
    for side, given in (("g", z), ("d", x)):
        y = jnp.arange(CLASSES)
        out = jax.jit(
            lambda net=nets[side], given=given, y=y: net.apply(*net.init(KEY, given, y), given, y, train=False)[0]
        )()
        np.testing.assert_array_equal(out, out[:1].repeat(CLASSES, 0))


# Blocks


def leaky(x):
    """Of N(0, 1), of variance 1."""
    return np.where(x > 0, x, 0.2 * x) / np.sqrt((1.04 - 0.64 / np.pi) / 2)


def test_leaky_relus_have_variance_1():
    x = np.random.default_rng(0).normal(size=100_000)
    np.testing.assert_allclose(leaky(x).var(), 1, rtol=0.02)
    np.testing.assert_allclose(r3gan2.leaky(jnp.asarray(x[:100], jnp.float32)), leaky(x[:100]), rtol=1e-5)


def block(x, variance, p, noise):
    """Of one example [h, w, c], in numpy."""
    c, alpha = x.shape[-1], np.tanh(np.asarray(p["alpha"], np.float64))
    first = unit(p["Biased_0"]["Rows_0"]["rows"])
    first = first / np.sqrt(len(first))
    strength = 0 if noise is None else noise * first[-2]
    y = leaky(x / np.sqrt(variance) @ first[:c] + first[-1] + strength)
    inner = unit(p["Grouped_0"]["Rows_0"]["rows"]).reshape(3, 3, -1, 2 * c) / np.sqrt(9 * 4)
    padded, out = np.pad(y, ((1, 1), (1, 1), (0, 0))), np.zeros_like(y)
    for i in range(len(x)):
        for j in range(len(x)):
            for o in range(2 * c):
                own = slice(o // 4 * 4, o // 4 * 4 + 4)
                out[i, j, o] = (padded[i : i + 3, j : j + 3, own] * inner[..., o]).sum()
    last = unit(p["Linear_0"]["Rows_0"]["rows"]) / np.sqrt(2 * c)
    return x + alpha * (leaky(out) @ last), variance + alpha**2


@pytest.mark.parametrize("noisy", [True, False])
def test_a_block_is_its_formula(noisy):
    layer, r = r3gan2.Block(4, noisy, None), np.random.default_rng(0)
    x, variance = r.normal(size=(2, 3, 3, 4)), r.uniform(1, 3, 4)
    given = jnp.asarray(x, jnp.float32), jnp.asarray(variance, jnp.float32), KEY
    params = drawn(jax.eval_shape(layer.init, jax.random.key(0), *given)["params"])
    found, after = jax.jit(layer.apply)({"params": params}, *given)
    noise = rng.normal(rng.stream(KEY, ""), 2, (3, 3, 1)) if noisy else [None, None]
    for i in range(2):
        want, sum_of = block(x[i], variance, params, noise[i] if noise[i] is None else np.asarray(noise[i]))
        np.testing.assert_allclose(found[i], want, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(after, sum_of, rtol=1e-5)


def test_branches_keep_the_variance_that_is_said():
    """1 and the sum of squares of tanh(a), of wide blocks with random weights on random inputs of variance 1."""
    r, layer = np.random.default_rng(0), r3gan2.Block(32, True, None)
    x, variance = jnp.asarray(r.normal(size=(4, 12, 12, 64)), jnp.float32), jnp.ones(64)
    apply = jax.jit(layer.apply)
    for i in range(3):
        params = drawn(jax.eval_shape(layer.init, KEY, x, variance, KEY)["params"], i)
        x, variance = apply({"params": params}, x, variance, rng.stream(KEY, str(i)))
    found = np.asarray(x[:, 1:-1, 1:-1]).var((0, 1, 2))
    assert variance.mean() > 1.5
    np.testing.assert_allclose((found / variance).mean(), 1, rtol=0.15)
    np.testing.assert_allclose(np.asarray(r3gan2.unit(x, variance))[:, 1:-1, 1:-1].var(), 1, rtol=0.15)


# Ends: where all alphas are 0, blocks are the identity


def still(params):
    """params whose alphas are 0."""
    return jax.tree_util.tree_map_with_path(lambda path, p: 0 * p if path[-1].key == "alpha" else p, params)


def test_g_is_its_formula_around_the_blocks():
    """z, the label's row and a 1, a layer, a 4x4 map of each channel of a group of it, a layer; doubled once."""
    r = np.random.default_rng(0)
    z, y = r.normal(size=(3, 4)), np.arange(3)
    net, params = made("g", jnp.zeros((2, 4)), jnp.zeros(2, int))
    found = jax.jit(lambda p: net.apply(p, {}, jnp.asarray(z, jnp.float32), jnp.asarray(y), train=False)[0])(
        still(params)
    )
    rows = {
        name: unit(params[name]["Rows_0"]["rows"] if name != "label" else params[name]["rows"])
        for name in ("first", "second", "label")
    }
    x = np.concatenate([z, rows["label"].T[y], np.ones((3, 1))], 1)
    x = leaky(x @ rows["first"] / np.sqrt(x.shape[1]))
    basis = unit(params["basis"]["rows"]).reshape(4, 4, 4, 8) / np.sqrt(4)
    maps = np.zeros((3, 4, 4, 8))
    for o in range(8):
        maps[..., o] = np.einsum("bi,hwi->bhw", x[:, o // 4 * 4 : o // 4 * 4 + 4], basis[..., o])
    x = leaky(maps) @ rows["second"] / np.sqrt(8)
    x = np.asarray(resample.up(jnp.asarray(x, jnp.float32)), np.float64)
    image = unit(params["image"]["Rows_0"]["free_rows"], centred=False)
    np.testing.assert_allclose(found, float(params["gain"]) * x @ image / np.sqrt(4), rtol=1e-3, atol=1e-4)


def test_d_is_its_formula_around_the_blocks():
    """A layer; halved; a layer with a bias, a number of each group of a 4x4 map, a layer times the label's row."""
    x, y = np.random.default_rng(0).normal(size=(3, *SIZE)), np.arange(3)
    given = jnp.asarray(x, jnp.float32)
    net, params = made("d", given, jnp.zeros(3, int))
    found, h = jax.jit(lambda p: net.apply(p, {}, given, jnp.asarray(y), train=False, features=True)[0])(still(params))
    x = x @ unit(params["image"]["Rows_0"]["free_rows"], centred=False) / 1
    x = np.asarray(resample.down(jnp.asarray(x, jnp.float32)), np.float64)
    second = unit(params["second"]["Rows_0"]["rows"]) / np.sqrt(5)
    x = leaky(x @ second[:4] + second[4])
    basis = unit(params["basis"]["rows"]).reshape(4, 4, 4, 8) / np.sqrt(64)
    want = np.stack([(x[..., o // 4 * 4 : o // 4 * 4 + 4] * basis[..., o]).sum((1, 2, 3)) for o in range(8)], 1)
    np.testing.assert_allclose(h, leaky(want), rtol=1e-3, atol=1e-4)
    mapped = leaky(want) @ unit(params["first"]["Rows_0"]["rows"]) / np.sqrt(8)
    logits = (mapped * unit(params["label"]["rows"]).T[y]).sum(1) / np.sqrt(4)
    np.testing.assert_allclose(found, logits, rtol=1e-3, atol=1e-4)


# Noise


def test_noise_belongs_to_the_example():
    """Whatever part of the batch a pass has of it: as devices and micro-batches do; without a key always the same."""
    z, y = jnp.ones((4, 4)), jnp.zeros(4, int)
    net, params = made("g", z, y)
    draw = jax.jit(lambda z, key: net.apply(params, {}, z, y[: len(z)], train=True, key=key)[0])
    whole = draw(z, KEY)
    assert len({np.asarray(x).tobytes() for x in whole}) == 4
    part = jax.jit(lambda z: net.apply(params, {}, z, y[:2], train=True, key=rng.Part(KEY, 1, 2))[0])(z[:2])
    np.testing.assert_allclose(part, whole[2:], rtol=1e-5, atol=1e-6)
    assert abs(whole - draw(z, rng.stream(KEY, "other"))).max() > 1e-3
    drawn = jax.jit(lambda: net.apply(params, {}, z, y, train=False, key=None)[0])()
    np.testing.assert_array_equal(drawn, drawn[:1].repeat(4, 0))


# Averages


def test_power_averages_are_those_of_a_ramp():
    """Weights t^gamma of the past (Karras et al. 2023, arXiv 2312.02696): a half-life that is a share of what was seen.

    The README's shares for standard deviations of 0.01, 0.05 and 0.1 of that.
    """
    for deviation, ramp in ((0.01, 0.0071), (0.05, 0.0386), (0.1, 0.0873)):
        power = math.log(2) / ramp - 1
        found = math.sqrt(power + 1) / (power + 2) / math.sqrt(power + 3)
        np.testing.assert_allclose(found, deviation, rtol=2e-2)
    steps, ramp = 2000, 0.0873
    left = 2 ** -(1 / (ramp * np.arange(1, steps + 1)))  # step.averaged, where the ramp is the shorter
    weights = (1 - left) * np.append(np.cumprod(left[:0:-1])[::-1], 1)
    power = (np.arange(1, steps + 1) / steps) ** (math.log(2) / ramp - 1)
    np.testing.assert_allclose(np.cumsum(weights), np.cumsum(power / power.sum()), atol=2e-3)
    assert Hp().ema_ramp == 0.05


@pytest.mark.parametrize(
    ("shape", "settings", "norm", "message"),
    [
        ((2,), {}, "none", "r3gan2 makes images"),
        ((32, 32, 3), {"width": 20}, "none", "width is 20, and twice as many channels do not make groups of 32"),
        ((32, 32, 3), {}, "batch", "r3gan2 has no place for the norm 'batch'"),
    ],
)
def test_what_does_not_go_is_said(shape, settings, norm, message):
    c = config.from_dict({"net": "r3gan2", **settings})
    with pytest.raises(JaxganError, match=message):
        r3gan2.generator(c, Spec(shape, norm=norm))
