"""StyleGAN2's layers against slow formulas of their own, its styles, and path lengths. Counts: test_counts.py."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from scipy.signal import convolve2d, correlate2d

from jaxgan import config, games, rng, step
from jaxgan.convolution import convolved
from jaxgan.nets import build, equalised, resample, styles
from jaxgan.nets import stylegan2 as net
from jaxgan.run import Run
from jaxgan.state import initial
from jaxgan.types import JaxganError

SHAPE, LATENT = (8, 8, 2), 5
OUTER = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64


def setting(**more):
    own = {"base": 64, "mapping": 2, "group": 2} | more.pop("stylegan2", {})
    base = {"net": "stylegan2", "width": 6, "latent": LATENT, "batch": 4, "stylegan2": own}
    return config.from_dict(base | more)


def moved(params, seed=3, size=0.3):
    """params, each array moved, so that none is 0."""
    flat, back = ravel_pytree(params)
    return back(flat + size * jax.random.normal(jax.random.key(seed), flat.shape))


def generator(classes=0, **more):
    c = setting(**more)
    g = build(c, SHAPE, classes)["g"]
    y = jnp.arange(4) % classes if classes else None
    params, vars = jax.jit(g.init)(jax.random.key(0), jnp.zeros((4, LATENT)), y)
    return g, moved(params), vars


Z = jax.random.normal(jax.random.key(1), (4, LATENT))


def by_hand(x, kernel, one):
    """[b, h, w, cin] with kernel [3, 3, cin, cout], each pair of channels by one(image, kernel)."""
    x, kernel = np.asarray(x, np.float64), np.asarray(kernel, np.float64)
    return np.stack([
        np.stack([
            sum(one(image[..., i], kernel[:, :, i, o]) for i in range(kernel.shape[2]))
            for o in range(kernel.shape[3])
        ], -1)
        for image in x
    ])  # fmt: skip


def up_then_filter(image, kernel):
    zeros = np.zeros((2 * image.shape[0] - 1, 2 * image.shape[1] - 1))
    zeros[::2, ::2] = image
    wide = convolve2d(zeros, kernel)  # 2h + 1
    return 4 * correlate2d(np.pad(wide, 1), OUTER, "valid")


def filter_then_down(image, kernel):
    return correlate2d(correlate2d(np.pad(image, 2), OUTER, "valid"), kernel, "valid")[::2, ::2]


@pytest.mark.parametrize("cpu", [True, False])
def test_convolutions_between_resolutions(cpu, monkeypatch):
    """Transposed, then filtered; filtered, then with a stride: in the form of a CPU and in that of others."""
    monkeypatch.setattr(resample, "on_cpu", lambda: cpu)
    with jax.enable_x64():
        x = jax.random.normal(jax.random.key(0), (2, 6, 4, 3), "float64")
        kernel = jax.random.normal(jax.random.key(1), (3, 3, 3, 2), "float64")
        up, down = jax.jit(lambda *a: (resample.convolved_up(*a), resample.convolved_down(*a)))(x, kernel)
        np.testing.assert_allclose(up, by_hand(x, kernel, up_then_filter), atol=1e-12)
        np.testing.assert_allclose(down, by_hand(x, kernel, filter_then_down), atol=1e-12)


def test_modulation_is_one_kernel_for_each_example():
    """Inputs of the kernel scaled by the style, outputs brought to unit norm: by weights, as the paper has it."""
    x, style = jax.random.normal(jax.random.key(0), (3, 5, 5, 4)), 1 + jax.random.normal(jax.random.key(1), (3, 4))
    kernel = jax.random.normal(jax.random.key(2), (3, 3, 4, 6))
    for demodulate in (True, False):
        made = net.modulated(x, kernel, style, convolved, demodulate)
        for i in range(3):
            own = np.asarray(kernel) * np.asarray(style[i])[None, None, :, None]
            if demodulate:
                own = own / np.linalg.norm(own.reshape(-1, 6), axis=0)
            want = by_hand(x[i : i + 1], own, lambda a, k: correlate2d(a, k, "same"))
            np.testing.assert_allclose(made[i : i + 1], want, rtol=1e-4, atol=1e-5)


def test_the_mapping_by_its_formula():
    mapping = net.Mapping(2, 5, 3)
    y = jnp.array([0, 2, 1, 1])
    params = moved(jax.jit(mapping.init)(jax.random.key(0), Z, y))["params"]
    p = jax.tree.map(np.asarray, params)
    unit = lambda x: x / np.sqrt((x**2).mean(1, keepdims=True) + 1e-8)  # noqa: E731
    label = np.eye(3)[y] @ p["label"]["kernel"] / math.sqrt(3) + p["label"]["bias"]
    x = np.concatenate([unit(np.asarray(Z)), unit(label)], 1)
    for name in ("Dense_0", "Dense_1"):
        x = x @ p[name]["kernel"] * (0.01 / math.sqrt(x.shape[1])) + 0.01 * p[name]["bias"]
        x = np.where(x > 0, x, 0.2 * x) * math.sqrt(2)
    np.testing.assert_allclose(jax.jit(mapping.apply)({"params": params}, Z, y), x, rtol=1e-4, atol=1e-6)


def test_initial_values():
    """N(0, 1) everywhere, mappings 100 times that; gains of styles 1, biases and strengths of noise 0."""
    c = setting(width=32, latent=32, stylegan2={"base": 512})
    nets = build(c, (8, 8, 3), 4)
    for side, x in (("g", jnp.zeros((2, 32))), ("d", jnp.zeros((2, 8, 8, 3)))):
        params = jax.jit(nets[side].init)(jax.random.key(0), x, jnp.zeros(2, int))[0]
        for path, leaf in jax.tree_util.tree_leaves_with_path(params):
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            if name.endswith("bias"):
                assert (leaf == ("/style/" in name)).all(), name
            elif name.endswith("noise"):
                assert leaf == 0, name
            else:
                slow = ("mapping" in name or "Mapping" in name) and "label" not in name
                assert abs(leaf.std() / (100 if slow else 1) - 1) < 5 / math.sqrt(2 * leaf.size), name


def made_by_layers(module, _):
    return isinstance(module, net.Layer | net.Conv)


def test_signals_keep_their_size_at_the_start():
    """Equalised weights hold the mean square of what layers make; filters and zeros at the borders take a part away."""
    c = setting(width=64, latent=64, stylegan2={"base": 2048})
    z, x = jax.random.normal(jax.random.key(0), (8, 64)), jax.random.normal(jax.random.key(1), (8, 32, 32, 3))
    spec = net.Spec((32, 32, 3))
    wide = net.widths(c, spec)
    for module, inputs in (
        (net.Generator((4, 4), wide, 64, c.stylegan2, spec), (z, None, False)),
        (net.Discriminator(wide[::-1], c.stylegan2, spec), (x, None, False)),
    ):

        @jax.jit
        def seen(key, module=module, inputs=inputs):
            return module.apply(module.init(key, *inputs), *inputs, capture_intermediates=made_by_layers)[1][
                "intermediates"
            ]

        squares = [float((x**2).mean()) for x in jax.tree.leaves(seen(jax.random.key(2)))]
        assert len(squares) >= 7 and all(0.1 < s < 2 for s in squares), squares


def act(x):
    return jnp.where(x > 0, x, 0.2 * x) * math.sqrt(2)


def affine(p, x):
    return x @ (p["kernel"] / math.sqrt(x.shape[-1])) + p["bias"][None]


def layer(p, x, w, up):
    kernel = p["kernel"] / math.sqrt(9 * x.shape[-1])
    x = net.modulated(x, kernel, affine(p["style"], w), resample.convolved_up if up else convolved)
    return act(x + p["bias"][None, None, None])  # without noise


def image(p, x, w):
    style = affine(p["style"], w) / math.sqrt(x.shape[-1])
    return (x * style[:, None, None]) @ p["kernel"][0, 0] + p["bias"][None, None, None]


@pytest.mark.parametrize("layout", ["skip", "residual", "plain"])
def test_the_generator_by_its_layers(layout):
    """Each layer has the style of its own number, an image that of the layer after; and what layouts add up."""
    g, params, vars = generator(stylegan2={"g_layout": layout, "mixing": 0.0})
    params = jax.tree_util.tree_map_with_path(lambda path, p: 0 * p if path[-1].key == "noise" else p, params)
    shift = jax.random.normal(jax.random.key(5), (4, 4, LATENT))
    made = jax.jit(lambda shift: g.apply(params, vars, Z, None, train=False, shift=shift)[0])(shift)
    w = net.Mapping(2, LATENT, 0).apply({"params": params["styles"]["mapping"]}, Z, None)[:, None] + shift
    p = params
    x = layer(p["conv0"], jnp.broadcast_to(p["constant"], (4, *p["constant"].shape)), w[:, 0], False)
    first = x
    x = layer(p["conv1"], layer(p["up1"], x, w[:, 1], True), w[:, 2], False)
    if layout == "residual":
        skipped = first @ (p["skip1"]["kernel"][0, 0] / math.sqrt(first.shape[-1]))
        x = (x + resample.up(skipped)) * math.sqrt(0.5)
    want = image(p["image1"], x, w[:, 3])
    want = want + resample.up(image(p["image0"], first, w[:, 1])) if layout == "skip" else want
    np.testing.assert_allclose(made, want, rtol=1e-3, atol=1e-4)
    assert ("image0" in p) == (layout == "skip") and ("skip1" in p) == (layout == "residual")


@pytest.mark.parametrize(("layout", "classes"), [("residual", 0), ("skip", 3), ("plain", 3)])
def test_the_discriminator_by_its_layers(layout, classes):
    d = build(setting(stylegan2={"d_layout": layout}), SHAPE, classes)["d"]
    x = jax.random.normal(jax.random.key(0), (4, *SHAPE))
    y = jnp.array([0, 2, 1, 1]) if classes else None
    p = moved(jax.jit(d.init)(jax.random.key(1), x, y)[0])
    made, h = jax.jit(lambda x: d.apply(p, {}, x, y, train=True, features=True)[0])(x)

    def conv(number, x, size=3, down=False):
        own = p[f"Conv_{number}"]
        kernel = own["kernel"] / math.sqrt(size * size * x.shape[-1])
        x = resample.convolved_down(x, kernel) if down else convolved(x, kernel)
        return act(x + own["bias"][None, None, None])

    at = before = conv(0, x, 1)
    at = conv(1, conv(2, at), down=True)
    if layout == "residual":
        skipped = resample.down(before) @ (p["Point_0"]["kernel"][0, 0] / math.sqrt(before.shape[-1]))
        at = (at + skipped) * math.sqrt(0.5)
    if layout == "skip":
        at = at + conv(3, resample.down(x), 1)
    at = conv(4 if layout == "skip" else 3, equalised.spread(at, 2))
    want = act(affine(p["Dense_0"], at.reshape(4, -1)))
    np.testing.assert_allclose(h, want, rtol=1e-3, atol=1e-3)
    if classes:
        told = net.Mapping(8, want.shape[1], 3).apply({"params": p["Mapping_0"]}, None, y)
        logit = (affine(p["Dense_1"], want) * told).sum(1) / math.sqrt(want.shape[1])
    else:
        logit = affine(p["Dense_1"], want)[:, 0]
    np.testing.assert_allclose(made, logit, rtol=1e-3, atol=1e-3)


def test_a_channel_of_deviations():
    x = jax.random.normal(jax.random.key(0), (6, 3, 3, 2))
    for group, size in ((2, 2), (3, 3), (4, 2), (32, 2), (6, 6)):
        made = np.asarray(equalised.spread(x, group))
        np.testing.assert_array_equal(made[..., :2], x)
        rows = np.asarray(x, np.float64).reshape(6 // size, size, -1)
        want = np.sqrt(((rows - rows.mean(1, keepdims=True)) ** 2).mean(1) + 1e-8).mean(1).repeat(size)
        np.testing.assert_allclose(made[..., 2], np.broadcast_to(want[:, None, None], (6, 3, 3)), rtol=1e-5)
    assert np.allclose(equalised.spread(jnp.ones((4, 3, 3, 2)), 4)[..., 2], 1e-4), "alike"


def test_noise_belongs_to_the_example_and_samples_have_none_of_their_own():
    g, params, vars = generator(stylegan2={"mixing": 0.0})
    same = jnp.broadcast_to(Z[:1], Z.shape)
    draw = jax.jit(lambda z, key: g.apply(params, vars, z, None, train=True, key=key)[0])
    one = draw(same, jax.random.key(0))
    assert all(abs(one[0] - x).max() > 1e-3 for x in one[1:]), "each has its own"
    np.testing.assert_array_equal(one, draw(same, jax.random.key(0)))
    assert abs(one - draw(same, jax.random.key(1))).max() > 1e-3
    np.testing.assert_allclose(draw(same[:2], jax.random.key(0)), one[:2], atol=1e-5)
    shown = jax.jit(lambda z: g.apply(params, vars, z, None, train=False)[0])(same)
    np.testing.assert_allclose(shown, jnp.broadcast_to(shown[:1], shown.shape), atol=1e-5)
    silent = jax.tree_util.tree_map_with_path(lambda path, p: 0 * p if path[-1].key == "noise" else p, params)
    noisy = jax.jit(lambda z, key: g.apply(silent, vars, z, None, train=True, key=key)[0])(Z, jax.random.key(0))
    quiet = jax.jit(lambda z: g.apply(silent, vars, z, None, train=False)[0])(Z)
    np.testing.assert_allclose(noisy, quiet, atol=1e-5, err_msg="strengths of 0 are no noise")


def test_mixed_styles():
    """With probability mixing an example has its z's styles up to some layer, 1 or later, and another's from there."""
    n, layers = 400, 4
    module = net.Styles(layers, LATENT, setting(stylegan2={"mixing": 0.75}).stylegan2, net.Spec(SHAPE))
    z = jnp.broadcast_to(Z[:1], (n, LATENT))
    variables = jax.jit(lambda: module.init(jax.random.key(0), z, None, False))()
    apply = jax.jit(lambda z, key: module.apply(variables, z, None, True, key, mutable=["average"])[0])
    seen = lambda key, z=z: np.asarray(apply(z, key))  # noqa: E731
    ws = seen(jax.random.key(1))
    own = seen(None)[:1, :1]
    first = (abs(ws - own).max(2) > 1e-7).argmax(1)  # 0 where all are its own
    assert abs((first > 0).mean() - 0.75) < 5 * math.sqrt(0.75 * 0.25 / n)
    counts = np.bincount(first[first > 0], minlength=layers)[1:]
    assert abs(counts / counts.sum() - 1 / 3).max() < 5 * math.sqrt(2 / 9 / counts.sum())
    for w, at in zip(ws, first, strict=True):
        np.testing.assert_array_equal(w[: at or layers], np.broadcast_to(own[0], (at or layers, LATENT)))
        assert at == 0 or (w[at:] == w[at]).all()
    assert len(np.unique(ws[first > 0][:, -1], axis=0)) == (first > 0).sum(), "each has a second latent of its own"
    np.testing.assert_allclose(seen(jax.random.key(1), z[:7]), ws[:7], atol=1e-6)


def test_the_mean_style_and_truncation():
    g, params, vars = generator()
    _, new = jax.jit(lambda: g.apply(params, vars, Z, None, train=True, key=jax.random.key(0)))()
    w = net.Mapping(2, LATENT, 0).apply({"params": params["styles"]["mapping"]}, Z, None)
    np.testing.assert_allclose(
        new["average"]["styles"]["style"], 0.005 * w.mean(0), atol=1e-7
    )  # a small difference of w
    draw = jax.jit(lambda psi: g.apply(params, new, Z, None, train=False, psi=psi)[0])
    whole = jax.jit(lambda: g.apply(params, new, Z, None, train=False)[0])()
    np.testing.assert_allclose(draw(jnp.ones(4)), whole, atol=1e-5)
    mean = draw(jnp.zeros(4))
    np.testing.assert_allclose(mean, jnp.broadcast_to(mean[:1], mean.shape), atol=1e-5)
    each = draw(jnp.array([0.0, 1.0, 0.0, 1.0]))
    np.testing.assert_allclose(each[::2], mean[::2], atol=1e-5)
    np.testing.assert_allclose(each[1::2], whole[1::2], atol=1e-5)


def untrained(**more):
    c = setting(**more)
    game = games.make(c, SHAPE)
    state = initial(game, c, SHAPE)
    params = {**state.params, "g": moved(state.params["g"])}
    return (
        c,
        game,
        dataclasses.replace(state, params=params, ema=step.shown(game, dataclasses.replace(state, params=params))),
    )


def test_a_run_samples_with_psi():
    c, _, state = untrained()
    run = Run(c, state, {"shape": list(SHAPE), "classes": 0})
    np.testing.assert_allclose(run.sample(3, psi=0.999999), run.sample(3), atol=1e-3)
    flat = run.sample(3, psi=0.0)
    assert abs(run.sample(3) - flat).max() > 1e-2 and np.ptp(flat, axis=0).max() < 1e-5
    plain = config.from_dict({"net": "mlp", "width": 4})
    other = Run(plain, initial(games.make(plain, (2,)), plain, (2,)), {"shape": [2], "classes": 0})
    with pytest.raises(JaxganError, match=r"'mlp' has no styles.*stylegan2"):
        other.sample(2, psi=0.5)


def test_path_lengths_are_taken_in_the_styles():
    """Against the whole Jacobian: ||J^T y||, a root of the mean over layers of squared lengths of their slopes."""
    c, game, state = untrained(hp={"path_length": 2.0}, stylegan2={"mixing": 0.0})
    batch = {"x": jnp.zeros((4, *SHAPE))}
    key = jax.random.key(7)
    _, vars, metrics = jax.jit(lambda s: step.field(game, "g", s, batch, key))(state)
    assert styles(c, SHAPE) == (4, LATENT)
    z, run = game.latent(rng.stream(key, "z"), 4), step.runner(game, state.params, key)
    make = lambda shift: run(state.vars, "g", z, None, shift=shift)[0]  # noqa: E731
    jacobian = jax.jit(jax.jacrev(make))(jnp.zeros((4, 4, LATENT)))  # [4, h, w, c, 4, layers, latent]
    noise = rng.normal(rng.stream(key, "path length"), 4, SHAPE) / 8
    slopes = np.stack([np.tensordot(noise[i], jacobian[i, ..., i, :, :], 3) for i in range(4)])
    lengths = np.sqrt((slopes**2).sum(2).mean(1))
    mean = 0.01 * lengths.mean()
    np.testing.assert_allclose(vars["path_length"]["mean"], mean, rtol=1e-4)
    np.testing.assert_allclose(metrics["path_length"], ((lengths - mean) ** 2).mean(), rtol=1e-4)


@pytest.mark.parametrize(
    ("more", "size", "words"),
    [
        ({}, 30, "stylegan2 makes images .*: set size to 32 or 28"),
        ({"g_norm": "batch"}, 8, "no place for the norm 'batch'"),
        ({"stylegan2": {"base": 4}}, 8, "stylegan2.base is 4; at 8 pixels that is no channel"),
        ({"stylegan2": {"mixing": 1.5}}, 8, "stylegan2.mixing is 1.5; expected a probability"),
    ],
)
def test_what_it_cannot_make_is_said(more, size, words):
    with pytest.raises(JaxganError, match=words):
        games.make(setting(**more), (size, size, 1))
