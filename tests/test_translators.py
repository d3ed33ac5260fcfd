"""Networks from images to images, and a D of patches: against formulas in numpy, and what each number depends on."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import config, games, kernels, rng
from jaxgan.fields import facts, replaced
from jaxgan.nets import discriminator, encoder, layers, noise, residual_translator, translator, unet
from jaxgan.options import Patchgan
from jaxgan.types import JaxganError


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def conv(x, p, stride=1, edge=0):
    """A convolution with zeros around, a pixel of the kernel at a time."""
    kernel = np.asarray(p["kernel"], np.float64)
    size, x = len(kernel), np.pad(x, ((0, 0), (edge, edge), (edge, edge), (0, 0)))
    h, w = ((n - size) // stride + 1 for n in x.shape[1:3])
    out = 0.0
    for i in range(size):
        for j in range(size):
            out = out + x[:, i : i + stride * h : stride, j : j + stride * w : stride] @ kernel[i, j]
    return out + np.asarray(p.get("bias", 0.0), np.float64)


def transposed(x, p):
    """Each pixel s adds its kernel at 2s - 1 and on, cut to twice the size: PyTorch's ConvTranspose2d."""
    kernel = np.asarray(p["kernel"], np.float64)
    size, (n, h, w, _) = len(kernel), x.shape
    out = np.zeros((n, 2 * h + size, 2 * w + size, kernel.shape[-1]))
    for i in range(size):
        for j in range(size):
            out[:, i : i + 2 * h : 2, j : j + 2 * w : 2] += x @ kernel[i, j]
    return out[:, 1 : 1 + 2 * h, 1 : 1 + 2 * w] + np.asarray(p.get("bias", 0.0), np.float64)


def reflect(x, edge):
    return np.pad(x, ((0, 0), (edge, edge), (edge, edge), (0, 0)), mode="reflect")


def relu(x, slope=0.0):
    return np.where(x > 0, x, slope * x)


def instance(x, p=None):
    x = (x - x.mean((1, 2), keepdims=True)) / np.sqrt(x.var((1, 2), keepdims=True) + 1e-5)
    return x if p is None else x * np.asarray(p["scale"]) + np.asarray(p["bias"])


def params_of(net, *inputs):
    """Parameters none of which is 0."""
    params = jax.jit(net.init)(jax.random.key(0), *inputs)[0]
    leaves, tree = jax.tree.flatten(params)
    return jax.tree.unflatten(tree, [np.float32(p + 0.2 * normal(*p.shape, seed=i)) for i, p in enumerate(leaves)])


def made(net, params, *inputs, **options):
    return jax.jit(lambda params: net.apply(params, {}, *inputs, train=True, **options)[0])(params)


@pytest.mark.parametrize("size", [3, 4])
def test_resampling_by_3x3_and_4x4(size):
    x = normal(2, 6, 8, 3)
    for layer, want in (
        (layers.Down(5, size=size), lambda x, p: conv(x, p, 2, 1)[:, :3, :4]),
        (layers.Up(5, size=size), transposed),
    ):
        params = layer.init(jax.random.key(0), jnp.asarray(x, jnp.float32))["params"]
        assert params["kernel"].shape == (size, size, 3, 5)
        found = layer.apply({"params": params}, jnp.asarray(x, jnp.float32))
        np.testing.assert_allclose(found, want(x, params), rtol=1e-4, atol=1e-5)


def test_the_resnet_of_cyclegan():
    c = config.from_dict({"net": "patchgan", "width": 2, "patchgan": {"g": "resnet", "blocks": 2}})
    net, x, z = translator(c, (8, 12, 3), None), np.float32(normal(2, 8, 12, 3)), np.float32(normal(2, 2, seed=1))
    p = params_of(net, z, x)
    assert not [name for name in p if name.startswith("GroupNorm")], "norms without gains"
    at = np.concatenate([x, np.broadcast_to(z[:, None, None], (2, 8, 12, 2))], -1)
    at = relu(instance(conv(reflect(at, 3), p["Conv_0"])))
    for name in ("Down_0", "Down_1"):
        at = relu(instance(conv(at, p[name], 2, 1)[:, : at.shape[1] // 2, : at.shape[2] // 2]))
    for i in (1, 3):
        inner = relu(instance(conv(reflect(at, 1), p[f"Conv_{i}"])))
        at = at + instance(conv(reflect(inner, 1), p[f"Conv_{i + 1}"]))
    for name in ("Up_0", "Up_1"):
        at = relu(instance(transposed(at, p[name])))
    want = np.tanh(conv(reflect(at, 3), p["Conv_5"]))
    np.testing.assert_allclose(made(net, p, z, x), want, atol=1e-4)


def test_the_resnet_of_stargan():
    """Zeros around, 4x4 resampling, no biases, and norms with gains."""
    options = {"size": 4, "reflect": False, "bias": False, "last_bias": False, "affine": True}
    net = layers.linen(
        residual_translator.Translator(2, 1, None, "instance", jax.nn.initializers.normal(0.5), **options)
    )
    x, z = np.float32(normal(2, 8, 8, 3)), np.eye(2, dtype=np.float32)
    p = params_of(net, z, x)
    norms = iter(range(7))
    act = lambda x: instance(x, p[f"GroupNorm_{next(norms)}"])  # noqa: E731
    at = np.concatenate([x, np.broadcast_to(z[:, None, None], (2, 8, 8, 2))], -1)
    at = relu(act(conv(at, p["Conv_0"], edge=3)))
    for name in ("Down_0", "Down_1"):
        at = relu(act(conv(at, p[name], 2, 1)))
    inner = relu(act(conv(at, p["Conv_1"], edge=1)))
    at = at + act(conv(inner, p["Conv_2"], edge=1))
    for name in ("Up_0", "Up_1"):
        at = relu(act(transposed(at, p[name])))
    np.testing.assert_allclose(made(net, p, z, x), np.tanh(conv(at, p["Conv_3"], edge=3)), atol=1e-4)
    assert not any("bias" in p[name] for name in p if not name.startswith("GroupNorm"))


def test_the_unet_of_pix2pix():
    """At 8 pixels: down to one, up again, joined at every resolution; the first and the last way down have no norm."""
    c = config.from_dict({"net": "patchgan", "width": 2})
    net, x, z = translator(c, (8, 8, 3), None), np.float32(normal(2, 8, 8, 3)), np.zeros((2, 0), np.float32)
    p = params_of(net, z, x)
    first = conv(x, p["Down_0"], 2, 1)
    second = instance(conv(relu(first, 0.2), p["Down_1"], 2, 1))
    third = conv(relu(second, 0.2), p["Down_2"], 2, 1)
    at = instance(transposed(relu(third), p["Up_0"]))
    at = instance(transposed(relu(np.concatenate([second, at], -1)), p["Up_1"]))
    want = np.tanh(transposed(relu(np.concatenate([first, at], -1)), p["Up_2"]))
    np.testing.assert_allclose(made(net, p, z, x), want, atol=1e-4)


@pytest.mark.parametrize(("layers", "size"), [(0, 1), (1, 16), (2, 34), (3, 70)])
def test_a_logit_sees_its_patch(layers, size):
    """The pixels on which one logit in the middle depends: patches of 1, 16, 34 and 70 pixels, without norms."""
    c = config.from_dict({"net": "patchgan", "width": 1, "d_norm": "none", "patchgan": {"layers": layers}})
    side = {0: 4, 1: 32, 2: 64, 3: 128}[layers]
    net = discriminator(c, (side, side, 1))
    x = jnp.asarray(normal(1, side, side, 1), jnp.float32)
    params = jax.tree.map(lambda p: abs(p) + 0.1, params_of(net, x, None))

    def middle(x):
        logits = net.apply(params, {}, x, None, train=True)[0]
        return logits[0, logits.shape[1] // 2, logits.shape[2] // 2]

    seen = np.asarray(jax.jit(jax.grad(middle))(x))[0, :, :, 0] != 0
    rows, columns = (np.flatnonzero(seen.any(axis)) for axis in (1, 0))
    assert len(rows) == len(columns) == size and seen.sum() == size**2


def test_the_d_of_patches():
    c = config.from_dict({"net": "patchgan", "width": 2, "patchgan": {"layers": 2, "d_width": 3}})
    net, x = discriminator(c, (16, 16, 3)), np.float32(normal(2, 16, 16, 3))
    p = params_of(net, x, None)
    at = relu(conv(x, p["Down_0"], 2, 1), 0.2)
    at = relu(instance(conv(at, p["Down_1"], 2, 1)), 0.2)
    at = relu(instance(conv(at, p["Conv_0"], edge=1)), 0.2)
    logits, h = made(net, p, x, None, features=True)
    np.testing.assert_allclose(logits, conv(at, p["Conv_1"], edge=1)[..., 0], atol=1e-4)
    np.testing.assert_allclose(h, at.mean((1, 2)), atol=1e-4)
    code = encoder(c, (16, 16, 3), 0, None, 5)
    assert jax.eval_shape(code.init, jax.random.key(0), x, None)[0]["Head_0"]["Dense_0"]["kernel"].shape == (12, 5)


def test_dropout_belongs_to_the_example():
    """Half of the entries, each example its own, the same in a part of the batch; none where samples are drawn."""
    x = jnp.ones((6, 40, 50))
    key = rng.stream(rng.root(0), "noise g")
    found = np.asarray(noise.dropped(x, key, "level 3", None))
    assert set(np.unique(found)) == {0.0, 2.0} and abs(found.mean() - 1) < 5 / np.sqrt(found.size)
    assert len({row.tobytes() for row in found}) == 6
    np.testing.assert_array_equal(noise.dropped(x[:2], key, "level 3", None), found[:2])
    assert (np.asarray(noise.dropped(x, key, "level 4", None)) != found).any()
    assert noise.dropped(x, None, "level 3", None) is x


@pytest.mark.parametrize(("g", "size"), [("unet", 64), ("resnet", 8)])
def test_g_with_dropout_is_told_a_key_in_training(g, size):
    def with_dropout(on):
        options = {"g": g, "dropout": on, **({"blocks": 1} if g == "resnet" else {})}
        return translator(config.from_dict({"net": "patchgan", "width": 1, "patchgan": options}), (size, size, 1), None)

    net, plain = with_dropout(True), with_dropout(False)
    assert net.keyed and not plain.keyed
    x, z = np.float32(normal(1, size, size, 1)).repeat(2, 0), jnp.zeros((2, 0))
    p = params_of(net, z, x)
    run = jax.jit(lambda key: net.apply(p, {}, z, x, train=True, key=key)[0])
    first, other, off = run(rng.root(0)), run(rng.root(1)), made(plain, p, z, x)
    np.testing.assert_array_equal(first, run(rng.root(0)))
    np.testing.assert_allclose(made(net, p, z, x, key=None), off, atol=1e-6)
    assert abs(first[0] - first[1]).max() > 1e-3 and abs(first - other).max() > 1e-3
    np.testing.assert_array_equal(off[0], off[1])


@pytest.mark.parametrize("norm, told", [("instance", False), ("layer", True), ("group", True)])
def test_a_resnet_with_reflected_borders_loses_z_to_instance_norms(norm, told):
    """Which take away what is the same at each place; other norms of an example leave it."""
    settings = {"net": "patchgan", "g_norm": norm, "width": 8, "patchgan": {"g": "resnet", "blocks": 1}}
    g = translator(config.from_dict(settings), (8, 8, 3), None)
    x, z = np.float32(normal(1, 8, 8, 3)).repeat(2, 0), np.float32([[0, 1], [1, 0]])
    params, vars = jax.jit(g.init)(jax.random.key(0), z, x)
    a, b = jax.jit(partial(g.apply, train=False))(params, vars, z, x)[0]
    assert (abs(a - b).max() > 0.01) == told


def test_options_change_the_networks():
    other = {"g": "resnet", "blocks": 1, "layers": 2, "d_width": 3, "dropout": True}
    assert other.keys() == vars(Patchgan()).keys()
    base = config.from_dict({"net": "patchgan", "width": 2, "patchgan": {"g": "resnet"}})
    x, z = jnp.zeros((2, 32, 32, 1)), jnp.zeros((2, 0))

    def looks(c):
        g, d = translator(c, (32, 32, 1), None), discriminator(c, (32, 32, 1))
        key = {"key": rng.root(0)} if g.keyed else {}
        params = jax.eval_shape(g.init, rng.root(0), z, x)[0]
        program = jax.make_jaxpr(lambda p: g.apply(p, {}, z, x, train=True, **key))(params)
        return str(program) + str(jax.eval_shape(d.init, rng.root(0), x, None))

    for name, value in other.items():
        if name != "g":
            assert looks(replaced(base, {f"patchgan.{name}": value})) != looks(base), name
    assert looks(base) != looks(replaced(base, {"patchgan.g": "unet"}))
    assert {name for name in facts(config.Config) if name.startswith("patchgan.")} == {f"patchgan.{n}" for n in other}


SMALL = {
    "unet": ({"net": "patchgan"}, 16),
    "resnet": ({"net": "patchgan", "patchgan": {"g": "resnet", "blocks": 1}}, 8),
    "stargan": ({"net": "stargan"}, 64),
    "dcgan": ({"net": "dcgan"}, 8),
}


@pytest.mark.parametrize("g_norm", ["own", pytest.param("batch", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["unet", *(pytest.param(n, marks=pytest.mark.slow) for n in SMALL if n != "unet")])
def test_every_array_of_a_translator_has_a_gradient(name, g_norm):
    """But biases before instance norms, which the published networks have too."""
    settings, size = SMALL[name]
    g = translator(config.from_dict({"width": 2, "g_norm": g_norm, **settings}), (size, size, 1), None)
    x, z = np.float32(normal(3, size, size, 1)), np.float32(normal(3, 2))
    params, vars = params_of(g, z, x), jax.jit(g.init)(jax.random.key(0), z, x)[1]
    loss = lambda p: ((g.apply(p, vars, z, x, train=True)[0] - x) ** 2).mean()  # noqa: E731
    grads = jax.tree.leaves_with_path(jax.jit(jax.grad(loss))(params))
    sizes = {kernels.path(keys): abs(np.asarray(grad)).max() for keys, grad in grads}
    idle = settings["net"] == "patchgan" and g_norm == "own"
    live = {name: size for name, size in sizes.items() if not (idle and name.endswith("bias"))}
    assert min(live.values()) > 1e-4 * max(sizes.values()), sizes


REFUSED = {
    "latents": ({"net": "patchgan"}, (32, 32, 3), "makes images of images, and kind 'plain'"),
    "stargan's latents": ({"net": "stargan", "kind": "lrgan"}, (64, 64, 3), "kind 'lrgan' makes them of latents"),
    "unet": ({"net": "patchgan", "kind": "pix2pix"}, (48, 48, 6), "square images of 8, 16, 32, .*resnet"),
    "oblong": ({"net": "patchgan", "kind": "pix2pix"}, (32, 64, 6), "square"),
    "resnet": (
        {"net": "patchgan", "kind": "pix2pix", "patchgan": {"g": "resnet", "layers": 0}},
        (30, 30, 6),
        "multiples of 4",
    ),
    "patches": ({"net": "patchgan", "kind": "pix2pix"}, (16, 16, 6), "patchgan.layers"),
    "stargan": ({"net": "stargan", "kind": "pix2pix"}, (32, 32, 6), "multiple of 64"),
    "nothing to drop": (
        {"net": "patchgan", "kind": "pix2pix", "patchgan": {"dropout": True}},
        (32, 32, 6),
        "patchgan.dropout is on.* 64 pixels on, and these have 32",
    ),
    "no z": (
        {"net": "patchgan", "kind": "bicyclegan", "patchgan": {"g": "resnet"}},
        (32, 32, 6),
        "same at each place, .* loses them to instance norms; set g_norm to layer",
    ),
    "points": ({"net": "patchgan", "kind": "pix2pix"}, (4,), "have shape"),
    "norm": ({"net": "patchgan", "kind": "cyclegan", "g_norm": "virtual"}, (32, 32, 6), "g_norm is 'virtual'.*no use"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_go_is_said(case):
    settings, shape, words = REFUSED[case]
    with pytest.raises(JaxganError, match=words):
        games.make(config.from_dict({"width": 2, **settings}), shape, 3)


def test_unet_levels_that_drop():
    """Of 256 pixels those that make 4, 8 and 16 pixels, as pytorch-CycleGAN-and-pix2pix has them."""
    net = unet.UNet((1,) * 8, None, "none", True)
    x, z = jax.ShapeDtypeStruct((1, 256, 256, 1), jnp.float32), jnp.zeros((1, 0))
    params = jax.eval_shape(lambda k, x: net.init(k, z, x, True), jax.random.key(0), x)
    jaxpr = jax.make_jaxpr(lambda p, x: net.apply(p, z, x, True, key=jax.random.key(0)))(params, x)
    sizes = [tuple(e.outvars[0].aval.shape) for e in jaxpr.eqns if "select_n" in str(e) or "_where" in str(e)]
    dropped = [s for s in sizes if s in {(1, n, n, 1) for n in (2, 4, 8, 16, 32, 64)}]
    assert {s[1] for s in dropped if dropped.count(s) > sizes_of_relu(params, net, z, x).count(s)} == {4, 8, 16}


def sizes_of_relu(params, net, z, x):
    jaxpr = jax.make_jaxpr(lambda p, x: net.apply(p, z, x, True))(params, x)
    return [tuple(e.outvars[0].aval.shape) for e in jaxpr.eqns if "select_n" in str(e) or "_where" in str(e)]
