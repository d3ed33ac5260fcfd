"""GAT: published counts, blocks against slow formulas of their own, sums of levels, styles, initial values."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import config, hlo, kernels, rng
from jaxgan.nets import build, gat, transformer
from jaxgan.project import of_styles
from jaxgan.types import Game, JaxganError, Spec
from test_precision import equations

CLASSES = 3
SMALL = {"depth": 4, "heads": 2, "patch": 2, "levels": 2, "features": 12}
# width, depth, heads; published counts of G and D at patch 2 and 4 of 32x32x4 latents, 1000 classes; of XL there are
# none, but its G is said to have 602 million
SIZES = {
    "S": (384, 12, 6, ((29_361_344, 39_212_928), (29_379_968, 39_212_928))),
    "B": (768, 12, 12, ((116_754_752, 104_676_864), (116_791_808, 104_676_864))),
    "L": (1024, 24, 16, ((408_748_576, 323_035_872), None)),
    "XL": (1152, 28, 16, (None, None)),
}
ROOT = Path(__file__).parent.parent
README = (ROOT / "jaxgan" / "nets" / "README.md").read_text()


def made(width=16, classes=CLASSES, shape=(8, 6, 2), **options):
    c = config.from_dict({"net": "gat", "width": width, "latent": 5, "gat": {**SMALL, **options}})
    return build(c, shape, classes)


def drawn(net, *given):
    """Parameters of a network, none of which is 0 or 1, and vars that are 0: without a program that makes them."""
    params, vars = jax.eval_shape(net.init, jax.random.key(0), *given)
    return moved(params), jax.tree.map(lambda a: jnp.zeros(a.shape), vars)


def moved(shapes):
    """Numbers N(0, 0.3) of these shapes, those of gains around 1."""
    r = np.random.default_rng(0)
    at = lambda keys: float(kernels.path(keys).endswith("scale"))  # noqa: E731
    new = lambda keys, a: jnp.asarray(at(keys) + 0.3 * r.normal(size=a.shape), jnp.float32)  # noqa: E731
    return jax.tree_util.tree_map_with_path(new, shapes)


def inputs(classes=CLASSES, n=4, shape=(8, 6, 2)):
    r = np.random.default_rng(3)
    z, x = (jnp.asarray(r.normal(size=(n, *s)), jnp.float32) for s in ((5,), shape))
    return z, x, jnp.arange(n) % classes if classes else None


def counts(width, options, shape, levels, classes):
    """Parameters of G, and of a D that sees so many levels."""
    c, y = config.from_dict({"net": "gat", "width": width, "gat": options}), jnp.zeros(2, int)
    wide = (*shape[:-1], levels * shape[-1])
    g, d = build(c, shape, classes)["g"], build(c, wide, classes)["d"]
    shapes = [
        jax.eval_shape(net.init, jax.random.key(0), x, y)[0]
        for net, x in ((g, jnp.zeros((2, 64))), (d, jnp.zeros((2, *wide))))
    ]
    return tuple(sum(leaf.size for leaf in jax.tree.leaves(p)) for p in shapes)


@pytest.mark.parametrize(("name", "patch"), [(name, patch) for name in SIZES for patch in (2, 4)])
def test_counts(name, patch):
    """Published ones have two fixed tables of places, a layer of G's for patches that is multiplied by 0, and D's
    projector to the 768 features of another network, by two layers of 2048."""
    width, depth, heads, published = SIZES[name]
    options = {"depth": depth, "heads": heads, "patch": patch}
    g, d = counts(width, options, (32, 32, 4), 4, 1000)
    assert f"{g:,}" in README and f"{d:,}" in README
    table, dead = (32 // patch) ** 2 * width, (4 * patch**2 + 1) * width
    projector = (width + 1) * 2048 + 2049 * 2048 + 2049 * 768
    if want := published[patch // 4]:
        assert (g + table + dead, d + table + projector) == want
    elif name == "XL":
        assert 601e6 < g + table + dead < 603e6


@pytest.mark.parametrize(("name", "want"), [("S", 6.0), ("B", 23.0), ("L", 80.5), ("XL", 119.0)])
def test_products_of_a_sample_are_the_published_ones(name, want):
    """Billions of multiplications and additions of G at patch 2, one image of 32x32x4 latents; XL's is the paper's."""
    width, depth, heads, _ = SIZES[name]
    settings = {"net": "gat", "width": width, "gat": {"depth": depth, "heads": heads}}
    g, given = build(config.from_dict(settings), (32, 32, 4), 1000)["g"], (jnp.zeros((1, 64)), jnp.zeros(1, int))
    params, vars = jax.eval_shape(g.init, jax.random.key(0), *given)
    lowered = jax.jit(lambda *args: g.apply(*args, train=False)).lower(params, vars, *given)
    assert hlo.multiplied(hlo.of(lowered)) / 2e9 == pytest.approx(want, rel=0.02)


@pytest.mark.parametrize(
    ("shape", "width", "depth", "heads", "want"),
    [
        ((28, 28, 1), 64, 4, 2, (299_408, 246_928)),
        ((28, 28, 1), 128, 8, 4, (2_219_280, 1_646_416)),
        ((32, 32, 3), 64, 4, 2, (307_728, 255_120)),
    ],
    ids=str,
)
def test_counts_of_narrow_ones(shape, width, depth, heads, want):
    """Added up apart, with 128 numbers for the label in D."""
    options = {"depth": depth, "heads": heads, "patch": 4, "features": 128}
    assert counts(width, options, shape, 4, 10) == want


# the formulas, in numpy and float64


def rms(x):
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6)


def linear(p, x):
    return x @ np.asarray(p["kernel"], np.float64) + np.asarray(p["bias"], np.float64)


def silu(x):
    return x / (1 + np.exp(-x))


def turned(x, rows, columns):
    """x [n, size] times complex numbers of unit length: of the row for the first half, of the column for the second."""
    size, before = x.shape[1], len(x) - rows * columns
    out = x.copy()
    for i in range(rows):
        for j in range(columns):
            at = before + i * columns + j
            for half, place in enumerate((i, j)):
                own = slice(half * size // 2, (half + 1) * size // 2)
                numbers = x[at, own][::2] + 1j * x[at, own][1::2]
                numbers = numbers * np.exp(1j * place * 10_000.0 ** (-np.arange(size // 4) * 4 / size))
                out[at, own][::2], out[at, own][1::2] = numbers.real, numbers.imag
    return out


def attention(p, x, heads, grid):
    """Of one example x [n, width]."""
    q, k, v = np.split(linear(p["qkv"], x), 3, -1)
    size, out = x.shape[1] // heads, []
    for h in range(heads):
        own = slice(h * size, (h + 1) * size)
        a, b = (turned(rms(m[:, own]) * np.asarray(p[name]["scale"]), *grid) for name, m in (("q", q), ("k", k)))
        weights = np.exp(a @ b.T / np.sqrt(size))
        out.append(weights / weights.sum(1, keepdims=True) @ v[:, own])
    return linear(p["out"], np.concatenate(out, 1))


def mlp(p, x):
    first, second = np.split(linear(p["Linear_0"], x), 2, -1)
    return linear(p["Linear_1"], silu(first) * second)


def block(kind, before=0):
    """A block with moved parameters, its inputs for two examples, and its output."""
    layer, x = kind(2, ((3, 2),), "float32"), np.random.default_rng(1).normal(size=(2, 6 + before, 16))
    w = np.random.default_rng(2).normal(size=(2, 16))
    given = jnp.asarray(x, jnp.float32), jnp.asarray(w, jnp.float32)
    params = moved(jax.eval_shape(layer.init, jax.random.key(0), *given)["params"])
    return params, x, w, jax.jit(layer.apply)({"params": params}, *given)[0]


def test_a_block_of_g_is_its_formula():
    """Gates as they are, and not 1 more; gains of 1 more; norms without gains."""
    p, xs, ws, found = block(gat.Styled)
    for x, w, y in zip(xs, ws, found):
        a, b, c, d = np.split(linear(p["modulation"], silu(w)), 4)
        x = x + b * attention(p["attention"], (1 + a) * rms(x), 2, (3, 2))
        np.testing.assert_allclose(y, x + d * mlp(p["mlp"], (1 + c) * rms(x)), rtol=1e-3, atol=1e-3)


def test_a_block_of_d_is_its_formula():
    """With a class token in front, which has no place."""
    p, xs, _, found = block(transformer.Plain, before=1)
    p64 = jax.tree.map(lambda a: np.asarray(a, np.float64), p)
    for x, y in zip(xs, found):
        x = x + p64["attention_scale"] * attention(p["attention"], rms(x) * p64["attention_norm"]["scale"], 2, (3, 2))
        x = x + p64["mlp_scale"] * mlp(p["mlp"], rms(x) * p64["mlp_norm"]["scale"])
        np.testing.assert_allclose(y, x, rtol=1e-3, atol=1e-3)


def test_places_turn_products_by_their_distance():
    """q at (i, j) times k at (i', j') depends on i - i' and j - j' alone."""
    q, k = np.random.default_rng(0).normal(size=(2, 8))
    with jax.enable_x64():
        every = [transformer.rotated(jnp.broadcast_to(v[None, None, None], (1, 12, 1, 8)), (4, 3)) for v in (q, k)]
    products = np.einsum("ns,ms->nm", *(np.asarray(v)[0, :, 0] for v in every)).reshape(4, 3, 4, 3)
    np.testing.assert_allclose(products[1:, 1:, 1:, 1:], products[:-1, :-1, :-1, :-1], rtol=1e-9)
    assert (
        abs(products[0, 0, 1] - products[0, 0, 0]).max() > 1e-3 < abs(products[0, 0, :, 1] - products[0, 0, :, 0]).max()
    )


def test_hidden_units_are_eight_thirds():
    for width, units in ((384, 1024), (1024, 2730), (64, 170)):
        p = jax.eval_shape(transformer.Mlp().init, jax.random.key(0), jnp.zeros((1, 1, width)))["params"]
        assert p["Linear_0"]["kernel"].shape == (width, 2 * units) and p["Linear_1"]["kernel"].shape == (units, width)


def test_image_k_is_the_sum_of_parts_up_to_k():
    nets, (z, _, y) = made(levels=4), inputs()
    params, vars = drawn(nets["g"], z, y)

    @jax.jit
    def both(params):
        return [nets["g"].apply(params, vars, z, y, train=False, **o)[0] for o in ({}, {"levels": True})]

    last, images = both(params)
    images = np.split(np.asarray(images), 4, -1)
    assert images[0].shape == (4, 8, 6, 2)
    np.testing.assert_allclose(images[3], last, rtol=1e-5, atol=1e-5)
    # without the part of level 3, what came before it is the same, and what comes after lacks it
    output = jax.tree.map(lambda a: a.at[2].set(0), params["levels"]["output"])
    without = both({**params, "levels": {**params["levels"], "output": output}})[1]
    without = np.split(np.asarray(without), 4, -1)
    part = images[2] - images[1]
    assert abs(part).max() > 0.1
    for image, other, less in zip(images, without, (0, 0, part, part)):
        np.testing.assert_allclose(other, image - less, rtol=1e-4, atol=1e-4)


def test_patches_lie_where_they_are_in_the_image():
    x = jnp.arange(2 * 8 * 6 * 3).reshape(2, 8, 6, 3)
    tokens = transformer.patched(x, (4, 3), 2)
    np.testing.assert_array_equal(tokens[1, 3 * 2 + 1], x[1, 4:6, 2:4].ravel())
    np.testing.assert_array_equal(transformer.unpatched(tokens, (4, 3), 2), x)


def test_styles_do_not_know_the_size_of_z_or_of_the_label():
    net, (z, _, y) = made()["g"], inputs()
    params, vars = drawn(net, z, y)
    style = jax.jit(lambda params, z: net.apply(params, vars, z, y, train=False, mapped=True)[0])
    label = jax.tree.map(lambda a: 7 * a, params["styles"]["label"])
    larger = {**params, "styles": {**params["styles"], "label": label}}
    np.testing.assert_allclose(style(larger, 7 * z), style(params, z), rtol=1e-4)
    p = jax.tree.map(lambda a: np.asarray(a, np.float64), params["styles"])
    both = np.concatenate([rms(np.asarray(z)), rms(p["label"]["table"][np.asarray(y)])], -1)
    hidden = both @ p["first"]["kernel"] / 100 + p["first"]["bias"] / 100
    want = silu(hidden) @ p["second"]["kernel"] / 100 + p["second"]["bias"] / 100
    np.testing.assert_allclose(style(params, z)[:, 0], want, rtol=1e-3, atol=1e-7)


def test_the_logit_is_a_product_of_features_and_label_without_a_root():
    net, (_, x, _) = made()["d"], inputs(n=1)
    params, vars = drawn(net, x, jnp.zeros(1, int))
    x, ys = x.repeat(CLASSES, 0), jnp.arange(CLASSES)
    logits, h = jax.jit(lambda p: net.apply(p, vars, x, ys, train=True, features=True)[0])(params)
    p = jax.tree.map(lambda a: np.asarray(a, np.float64), params)
    told = silu(p["label"]["table"] @ p["first"]["kernel"] / 100 + p["first"]["bias"] / 100)
    told = told @ p["second"]["kernel"] / 100 + p["second"]["bias"] / 100
    np.testing.assert_allclose(logits, told @ linear(p["features"], np.asarray(h[0], np.float64)), rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose((np.asarray(h / p["norm"]["scale"][None]) ** 2).mean(-1), 1, rtol=1e-3)


def test_truncation_goes_to_the_mean_of_the_class():
    net, (z, _, y) = made()["g"], inputs()
    params, vars = drawn(net, z, y)
    style = jax.jit(lambda vars, **o: net.apply(params, vars, z, y, mapped=True, **o), static_argnames="train")
    w, after = style(vars, train=True)
    own = np.asarray(y)[:, None] == np.arange(CLASSES)
    means = np.asarray(after["average"]["styles"]["style"])
    np.testing.assert_allclose(means, 0.005 * CLASSES / 4 * own.T @ np.asarray(w[:, 0]), rtol=1e-4)
    for _ in range(1500):
        _, after = style(after, train=True)
    means = np.asarray(after["average"]["styles"]["style"])
    np.testing.assert_allclose(means, own.T @ np.asarray(w[:, 0]) / own.sum(0)[:, None], rtol=1e-2, atol=1e-6)
    half = style(after, train=False, psi=jnp.full(4, 0.5))[0][:, 0]
    np.testing.assert_allclose(half, (w[:, 0] + means[np.asarray(y)]) / 2, rtol=1e-4, atol=1e-7)


def test_a_style_makes_the_image_of_its_latent_whatever_the_class():
    """Projection moves styles; the mean that they are told from is each class's own."""
    net, (z, _, y) = made()["g"], inputs()
    params, vars = drawn(net, z, y)
    vars = jax.tree.map(lambda a: jnp.arange(a.size, dtype=float).reshape(a.shape) / 100, vars)

    def sample(run, vars, z, y):
        return run(vars, "g", z, y, train=False)[0]

    space = of_styles(Game({"g": net}, {}, None, sample, latent, classes=CLASSES))

    @jax.jit
    def both(params):
        nets = {"g": {"params": params, "vars": vars}}
        return space.draw(nets, space.starts(nets, z, y), y), net.apply(params, vars, z, y, train=False)[0]

    again, want = both(params)
    np.testing.assert_allclose(again, want, rtol=1e-3, atol=1e-4)


def latent(key, n):
    return rng.normal(key, n, (5,))


def test_initial_values():
    """Xavier's, a tenth of it for modulations; deviations of 0.02, LayerScale 0.1, gains 1, biases 0."""
    nets, (z, _, y) = made(64, shape=(8, 8, 2)), inputs(shape=(8, 8, 2))
    found = {
        "g": jax.jit(nets["g"].init)(jax.random.key(0), z, y)[0],
        "d": jax.jit(nets["d"].init)(jax.random.key(1), jnp.zeros((2, 8, 8, 2)), y[:2])[0],
    }
    for side, params in found.items():
        for keys, leaf in jax.tree.leaves_with_path(params):
            path = kernels.path(keys)
            if "table" in path or path == "token":
                want = 0.02
            elif path.endswith("kernel"):
                want = np.sqrt(2 / sum(leaf.shape[-2:])) * (0.1 if "modulation" in path else 1)
                want *= 100 if path.split(".")[-2] in ("first", "second") else 1
                assert abs(leaf).max() <= np.sqrt(3) * want * (1 + 1e-6), "uniform"
            else:
                constant = {"bias": 0, "scale": 1, "attention_scale": 0.1, "mlp_scale": 0.1}[path.split(".")[-1]]
                assert (leaf == np.float32(constant)).all(), (side, path)
                continue
            assert abs(leaf.std() - want) <= 4 * want / np.sqrt(leaf.size), (side, path)
    kernel = np.asarray(found["g"]["levels"]["blocks"]["mlp"]["Linear_0"]["kernel"])
    assert kernel.shape[:2] == (2, 2) and len(np.unique(kernel[:, :, 0, 0])) == 4, "each block has its own"


def test_a_program_has_the_size_of_one_block():
    sizes = set()
    for depth in (4, 32):
        nets, (z, x, y) = made(depth=depth), inputs()
        params = {n: jax.eval_shape(nets[n].init, jax.random.key(0), a, y) for n, a in (("g", z), ("d", x))}

        def loss(params, nets=nets, z=z, y=y):
            image = nets["g"].apply(*params["g"], z, y, train=True)[0]
            return nets["d"].apply(*params["d"], image, y, train=True)[0].sum()

        sizes.add(len(list(equations(jax.make_jaxpr(jax.grad(loss))(params).jaxpr))))
    assert len(sizes) == 1


@pytest.mark.slow
def test_the_first_images_of_s_are_as_loud_as_the_authors():
    """Deviations by level of the published code at random weights: 1.6 2.1 2.5 2.8; of the mean over z and y 0.10."""
    c = config.from_dict({"net": "gat", "width": 384, "gat": {"patch": 4}})
    net, r = build(c, (32, 32, 4), 1000)["g"], np.random.default_rng(0)
    z, y = jnp.asarray(r.normal(size=(8, 64)), jnp.float32), jnp.asarray(r.integers(0, 1000, 8))
    params, vars = jax.jit(net.init)(jax.random.key(1), z, y)
    images = jax.jit(lambda params: net.apply(params, vars, z, y, train=False, levels=True)[0])(params)
    found = [part.std() for part in np.split(np.asarray(images), 4, -1)]
    np.testing.assert_allclose(found, [1.6, 2.1, 2.5, 2.8], rtol=0.25)
    assert 0.08 < np.sqrt(np.asarray(images[..., 12:]).var(0).mean()) < 0.12


@pytest.mark.parametrize(
    ("shape", "settings", "norm", "message"),
    [
        ((2,), {}, "none", "gat makes images"),
        ((9, 8, 1), {}, "none", "gat.patch is 2, which does not divide images of 9x8 pixels"),
        ((8, 8, 1), {"width": 66}, "none", "width 66 does not make 1 heads of a multiple of 4"),
        ((8, 8, 1), {"width": 64, "gat": {"heads": 3}}, "none", "set gat.heads"),
        ((8, 8, 1), {"gat": {"depth": 6}}, "none", "gat.depth is 6, and does not make 4 levels"),
        ((8, 8, 1), {}, "batch", "no place for the norm 'batch'"),
    ],
)
def test_what_does_not_go_is_said(shape, settings, norm, message):
    c = config.from_dict({"net": "gat", **settings})
    with pytest.raises(JaxganError, match=message):
        gat.generator(c, Spec(shape, norm=norm))


def test_labels_that_are_missing_are_said():
    nets, (z, x, y) = made(), inputs()
    for net, first in ((nets["g"], z), (nets["d"], x)):
        params, vars = drawn(net, first, y)
        with pytest.raises(JaxganError, match="got no labels"):
            jax.eval_shape(lambda: net.apply(params, vars, first, None, train=True))  # noqa: B023


def test_attention_is_the_librarys():
    q, k, v = (jnp.asarray(a, jnp.float32) for a in np.random.default_rng(0).normal(size=(3, 2, 5, 2, 8)))
    np.testing.assert_allclose(
        transformer.attended(q, k, v), jax.nn.dot_product_attention(q, k, v), rtol=1e-5, atol=1e-6
    )
