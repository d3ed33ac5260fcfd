"""SNGAN and SAGAN: initial values, layers against their formulas, spectral norm, options. Counts: test_counts.py."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import config, games, kernels, program, unused
from jaxgan.config import Config
from jaxgan.fields import facts, replaced
from jaxgan.nets import build, resnet
from jaxgan.nets.sngan import Down
from jaxgan.nets.spectral import divided
from jaxgan.options import NETS, Patchgan, Rrdb
from jaxgan.state import initial
from jaxgan.types import JaxganError, Spec
from runs import Like


def made(size, classes=0, width=64, **options):
    c = config.from_dict({"net": "sngan", "width": width, "latent": 128, "sngan": options})
    return build(c, (size, size, 3), classes)


def test_initial_deviations():
    """Glorot's 2 / (fan in + fan out), twice that in the 3x3 convolutions of blocks; biases 0, class gains 1."""
    nets = made(32, 10, 16)
    y = jnp.zeros(2, int)
    g = jax.jit(nets["g"].init)(jax.random.key(0), jnp.zeros((2, 128)), y)[0]
    d = jax.jit(nets["d"].init)(jax.random.key(1), jnp.zeros((2, 32, 32, 3)), y)[0]
    seen = set()
    for path, leaf in [*kernels_of(g), *kernels_of(d)]:
        if path.endswith("kernel"):
            inside = path.startswith(("Up", "Down")) and leaf.shape[:2] == (3, 3)
            area = int(np.prod(leaf.shape[:-2]))
            want = np.sqrt((4 if inside else 2) / (area * sum(leaf.shape[-2:])))
            assert abs(leaf.std() / want - 1) < 4 / np.sqrt(leaf.size), path
            seen.add(inside)
        elif "gain" in path or path.endswith("scale"):
            assert (leaf == 1).all()
        elif "Head_0.Embed" not in path:
            assert (leaf == 0).all(), path
    assert seen == {True, False}


def kernels_of(params):
    return [(kernels.path(keys), leaf) for keys, leaf in jax.tree.leaves_with_path(params)]


def test_normal_kernels_of_cifar_s_biggan():
    settings = {"net": "sngan", "width": 16, "latent": 128, "sngan": {"init": "normal", "d_width": 32}}
    nets = build(config.from_dict(settings), (32, 32, 3), 10)
    for side, x in (("g", jnp.zeros((2, 128))), ("d", jnp.zeros((2, 32, 32, 3)))):
        params = jax.jit(nets[side].init)(jax.random.key(0), x, jnp.zeros(2, int))[0]
        found = [leaf for path, leaf in jax.tree_util.tree_leaves_with_path(params) if path[-1].key == "kernel"]
        assert len(found) > 8 and all(abs(x.std() / 0.02 - 1) < 5 / (2 * x.size) ** 0.5 for x in found)


def test_attention_is_its_formula():
    net, x = resnet.Attention(), jax.random.normal(jax.random.key(0), (2, 4, 6, 16))
    params = net.init(jax.random.key(1), x)["params"]
    np.testing.assert_array_equal(net.apply({"params": params}, x), x)  # the gate is shut at first
    params = params | {"gate": jnp.float32(0.7)}
    k = {name: np.asarray(params[name]["kernel"][0, 0], np.float64) for name in ("theta", "phi", "g", "o")}
    v = np.asarray(x, np.float64)
    want = np.empty_like(v)
    for n in range(2):
        flat = v[n].reshape(24, 16)
        pools = [(v[n] @ k[name]).reshape(2, 2, 3, 2, -1).max((1, 3)).reshape(6, -1) for name in ("phi", "g")]
        logits = (flat @ k["theta"]) @ pools[0].T
        weights = np.exp(logits - logits.max(1, keepdims=True))
        weights /= weights.sum(1, keepdims=True)
        want[n] = v[n] + 0.7 * (weights @ pools[1] @ k["o"]).reshape(4, 6, 16)
    np.testing.assert_allclose(net.apply({"params": params}, x), want, rtol=1e-5, atol=1e-5)


def test_a_class_has_its_own_gain_and_bias():
    net, x = resnet.ConditionalNorm("batch", 3, None), jax.random.normal(jax.random.key(0), (6, 4, 4, 2)) * 3 + 1
    y = jnp.array([0, 1, 2, 0, 1, 2])
    variables = net.init(jax.random.key(1), x, y, True)
    plain = (x - x.mean((0, 1, 2), keepdims=True)) / jnp.sqrt(x.var((0, 1, 2), keepdims=True) + 1e-5)
    out, _ = net.apply(variables, x, y, True, mutable=["batch_stats"])
    np.testing.assert_allclose(out, plain, atol=1e-5)
    gain, bias = jnp.array([[1.0, 2], [3, 4], [5, 6]]), jnp.array([[0.0, 1], [2, 3], [4, 5]])
    params = {"gain": {"table": gain}, "bias": {"table": bias}}
    out, _ = net.apply({**variables, "params": params}, x, y, True, mutable=["batch_stats"])
    np.testing.assert_allclose(out, plain * gain[y][:, None, None] + bias[y][:, None, None], atol=1e-4)


def test_resampling():
    x = jax.random.normal(jax.random.key(0), (2, 4, 6, 3))
    np.testing.assert_array_equal(resnet.doubled(x), np.asarray(x).repeat(2, 1).repeat(2, 2))
    np.testing.assert_allclose(resnet.pooled(resnet.doubled(x)), x, rtol=1e-6)
    np.testing.assert_array_equal(resnet.pooled_max(resnet.doubled(x)), x)
    want = np.asarray(x).reshape(2, 2, 2, 3, 2, 3).mean((2, 4))
    np.testing.assert_allclose(resnet.pooled(x), want, rtol=1e-5, atol=1e-6)


def test_skips_are_identities_where_nothing_changes():
    """D's last blocks at 32 pixels keep size and width: with kernels of zeros an input passes through as it came."""
    block = Down(8, 8, False, False, Spec((32, 32, 3)))
    x = jax.random.normal(jax.random.key(0), (2, 4, 4, 8))
    params = jax.tree.map(jnp.zeros_like, block.init(jax.random.key(1), x, True))
    np.testing.assert_array_equal(block.apply(params, x, True), x)
    assert len(params["params"]) == 2, "and no convolution stands in the skip"


@pytest.mark.parametrize("norms", [{}, {"g_norm": "batch_spectral"}], ids=["sngan", "sagan"])
def test_every_kernel_of_a_spectral_side_has_norm_1(norms):
    """Against numpy's SVD, as D (in SAGAN G too) is used; tables of G's batch norm stay as they are."""
    small = {"kind": "conditional", "net": "sngan", "width": 2, "latent": 4, "batch": 4}
    c = config.from_dict({**small, "sngan": {"attention": 16}, **norms})
    game = games.make(c, (32, 32, 3), 10)
    state = initial(game, c, (32, 32, 3))
    for side in ("d", "g") if norms else ("d",):
        params, vars = state.params[side], state.vars[side]
        turn = lambda _, vars: game.nets[side].apply(params, vars, train=True)[1]  # noqa: B023, E731
        vars = jax.jit(lambda vars: jax.lax.fori_loop(0, 200, turn, vars))(vars)  # noqa: B023
        for name, kernel in kernels.named(jax.jit(divided)(params, vars["u"])).items():
            assert abs(np.linalg.svd(kernels.matrix(kernel), compute_uv=False)[0] - 1) < 1e-3, name
        assert not any("gain" in name for name in vars["u"])
    if not norms:
        assert "u" not in state.vars["g"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 30}, "2 to 6 times.*: set size to 32 or 28"),
        ({"sngan": {"attention": 12}}, "sngan.attention is 12; with images of 32 pixels choose from 0, 16, 8"),
        ({"sngan": {"attention": 7}}, "sngan.attention is 7"),
        ({"net": "dcgan", "sngan": {"wide": True}}, "sngan.wide is True, but it belongs to net sngan"),
        ({"sngan": {"wide": True}}, "sngan.wide changes nothing at 32 pixels"),
        ({"sngan": {"wyde": True}}, "unknown field 'wyde' of Sngan.*wide"),
        ({"sngan": {"attention": -1}}, "sngan.attention is -1; expected 0 or more"),
        ({"sngan": {"wide": 1}}, "sngan.wide is 1; expected bool"),
    ],
)
def test_what_does_not_go_is_said(settings, message):
    size = settings.pop("size", 32)
    with pytest.raises(JaxganError, match=message):
        c = config.from_dict({"net": "sngan", "width": 2, "batch": 4, **settings})
        unused.check(c, program.reads(c, Like((size, size, 1), 0)))


def test_options_of_a_network_change_it():
    """Every option that a record of options.py has makes another network, where its network is chosen."""
    other = {
        "mlp.pieces": 2,
        "mlp.d_width": 3,
        "mlp.d_depth": 1,
        "sngan.wide": True,
        "sngan.attention": 16,
        "sngan.d_width": 3,
        "biggan.deep": True,
        "biggan.attention": 16,
        "progan.base": 256,
        "stylegan2.base": 256,
        "stylegan2.mapping": 2,
        "stylegan2.group": 1,
        "stylegan2.g_layout": "residual",
        "stylegan2.d_layout": "skip",
        "r3gan.blocks": 1,
        "r3gan.group": 4,
        "r3gan.wide": 8,
        "r3gan2.blocks": 1,
        "r3gan2.group": 4,
        "gat.depth": 8,
        "gat.heads": 2,
        "gat.patch": 4,
        "gat.levels": 2,
        "cat.depth": 8,
        "cat.heads": 2,
        "cat.patch": 4,
        "cat.levels": 2,
        "cat.d_width": 32,
        "cat.d_depth": 4,
        "cat.d_heads": 2,
    }
    # mixing and phase act in training alone (test_stylegan2.py, test_progan.py), init on values at first (above), gat's
    # and cat's features where there are labels (test_gat.py, test_cat.py)
    elsewhere = {"stylegan2.mixing", "sngan.init", "mlp.init", "progan.phase", "gat.features", "cat.features"}
    elsewhere |= {f"patchgan.{name}" for name in vars(Patchgan())}  # test_translators.py
    elsewhere |= {f"rrdb.{name}" for name in vars(Rrdb())}  # test_rrdb.py
    elsewhere |= {"spatial.halvings"}  # test_spatial.py
    named = {name for name in facts(Config) if name.partition(".")[0] in NETS and "." in name}
    assert {*other, *elsewhere} == named
    inputs = {"g": (jnp.zeros((2, 10)), None), "d": (jnp.zeros((2, 64, 64, 3)), None)}

    @functools.cache
    def shapes(c):
        made = build(config.check(c), (64, 64, 3))
        return str({side: jax.eval_shape(net.init, jax.random.key(0), *inputs[side]) for side, net in made.items()})

    for name, value in other.items():
        usual = config.from_dict({"net": name.split(".")[0], "width": 64, "latent": 10})
        assert shapes(usual) != shapes(replaced(usual, {name: value})), name
