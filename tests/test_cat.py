"""CAT: published counts, a D of several scales against slow formulas, what its game shows D and asks of G."""

import dataclasses
import functools
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import config, games, rng
from jaxgan.config import Config, Hp
from jaxgan.games import cat as game_of
from jaxgan.games.gat import copies
from jaxgan.nets import build, cat, gat, transformer
from jaxgan.penalties import squared_norm
from jaxgan.types import JaxganError, Spec
from kinds import KEY, played
from test_gat import attention, drawn, linear, mlp, moved, rms, silu

CLASSES = 3
SHAPE = (8, 8, 2)
SMALL = {"depth": 2, "patch": 2, "levels": 2, "features": 12, "d_depth": 2}
README = (Path(__file__).parent.parent / "jaxgan" / "nets" / "README.md").read_text()
# width, options of G, published count; D is one for both
SIZES = {
    "M": (768, {"depth": 24}, 260_845_376),
    "H": (1280, {"depth": 32, "heads": 16, "d_width": 768}, 959_769_216),
}
D_COUNT = 104_448_768


def made(width=16, classes=CLASSES, shape=SHAPE, **options):
    c = config.from_dict({"net": "cat", "width": width, "latent": 5, "cat": {**SMALL, **options}})
    return build(c, shape, classes)


def count(net, x):
    shapes = jax.eval_shape(net.init, jax.random.key(0), x, jnp.zeros(2, int))[0]
    return sum(leaf.size for leaf in jax.tree.leaves(shapes))


@pytest.mark.parametrize("name", SIZES)
def test_counts(name):
    """Published ones have G's fixed table of places and a layer for patches that is multiplied by 0, and D's projector
    to the 768 features of another network, by two layers of 2048."""
    width, options, published = SIZES[name]
    nets = build(config.from_dict({"net": "cat", "width": width, "cat": options}), (32, 32, 4), 1000)
    g, d = count(nets["g"], jnp.zeros((2, 64))), count(nets["d"], jnp.zeros((2, 32, 32, 4)))
    assert f"{g:,}" in README and f"{d:,}" in README
    assert g + (16**2 + 4 * 2**2 + 1) * width == published
    assert d + (768 + 1) * 2048 + 2049 * 2048 + 2049 * 768 == D_COUNT


def test_a_block_of_g_has_shifts():
    """Before each branch, beside gains of 1 more and gates as they are."""
    layer, r = gat.Styled(2, ((3, 2),), "float32", shifts=True), np.random.default_rng(1)
    xs, ws = r.normal(size=(2, 6, 16)), r.normal(size=(2, 16))
    given = jnp.asarray(xs, jnp.float32), jnp.asarray(ws, jnp.float32)
    p = moved(jax.eval_shape(layer.init, jax.random.key(0), *given)["params"])
    found = jax.jit(layer.apply)({"params": p}, *given)[0]
    for x, w, y in zip(xs, ws, found):
        a, b, c, d, first, second = np.split(linear(p["modulation"], silu(w)), 6)
        x = x + b * attention(p["attention"], (1 + a) * rms(x) + first, 2, (3, 2))
        np.testing.assert_allclose(y, x + d * mlp(p["mlp"], (1 + c) * rms(x) + second), rtol=1e-3, atol=1e-3)


# What D sees


def test_scales_are_means_of_the_pixels_in_the_middle():
    """Of 2x2 pixels, and of the inner four of 4x4 ones."""
    images = [jnp.asarray(x, jnp.float32) for x in np.random.default_rng(0).normal(size=(3, 2, 8, 12, 2))]
    quarter, half, whole = cat.unfolded(cat.folded(images), (8, 12, 2), 3)
    np.testing.assert_array_equal(whole, images[2])
    for image, found, by in ((images[1], half, 2), (images[0], quarter, 4)):
        blocks = np.asarray(image).reshape(2, 8 // by, by, 12 // by, by, 2)
        middle = slice(by // 2 - 1, by // 2 + 1)
        np.testing.assert_allclose(found, blocks[:, :, middle, :, middle].mean((2, 4)), rtol=1e-5, atol=1e-6)


@functools.cache
def d():
    """D with moved parameters; (what D takes, y) -> logits at each scale, features; the one logit of each example."""
    net, (x, y) = made()["d"], (jnp.zeros((2, *SHAPE)), jnp.zeros(2, int))
    params, vars = drawn(net, x, y)

    def both(x, y):
        apply = partial(net.apply, params, vars, x, y, train=True)
        return *apply(features=True, scales=True)[0], apply()[0]

    p = jax.tree.map(lambda a: np.asarray(a, np.float64), params)
    told = silu(p["label"]["table"] @ p["first"]["kernel"] / 100 + p["first"]["bias"] / 100)
    return p, told @ p["second"]["kernel"] / 100 + p["second"]["bias"] / 100, jax.jit(both)


def test_d_is_its_formula_at_each_scale():
    """Patches, their places, a class token and an embedding of the scale, through blocks that all scales share."""
    p, told, score = d()
    x, y = np.random.default_rng(0).normal(size=(3, *SHAPE)), np.arange(3)
    found, mean, one = score(cat.folded([jnp.asarray(x, jnp.float32)] * 2), jnp.asarray(y))
    half, features = x.reshape(3, 4, 2, 4, 2, 2).mean((2, 4)), np.zeros((3, 2, 16))
    for k, (images, grid) in enumerate(((half, (2, 2)), (x, (4, 4)))):
        for i, image in enumerate(images):
            places = [(a, b) for a in range(0, 2 * grid[0], 2) for b in range(0, 2 * grid[1], 2)]
            patches = linear(p["patches"], np.array([image[a : a + 2, b : b + 2].ravel() for a, b in places]))
            h = np.concatenate([p["tokens"][k][None], patches + transformer.table(grid, 16)]) + p["scales"][k]
            for layer in range(2):
                q = jax.tree.map(lambda a: a[layer], p["blocks"])  # noqa: B023
                h = h + q["attention_scale"] * attention(q["attention"], rms(h) * q["attention_norm"]["scale"], 1, grid)
                h = h + q["mlp_scale"] * mlp(q["mlp"], rms(h) * q["mlp_norm"]["scale"])
            features[i, k] = rms(h[0]) * p["norm"]["scale"]
    logits = np.einsum("bkf,bf->bk", linear(p["features"], features), told[y])
    np.testing.assert_allclose(found, logits, rtol=2e-3, atol=1e-6)
    np.testing.assert_allclose(one, logits.mean(1), rtol=2e-3, atol=1e-6)
    np.testing.assert_allclose(mean, features.mean(1), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(one, (linear(p["features"], np.asarray(mean)) * told[y]).sum(1), rtol=2e-3, atol=1e-6)


def test_scales_do_not_see_each_other():
    """A logit changes with the image of its own scale alone, which is a part of what D takes."""
    score, small = d()[2], 2 * 4 * 4
    y, x = jnp.arange(3), jnp.asarray(np.random.default_rng(0).normal(size=(3, small + 2 * 64)), jnp.float32)
    usual = score(x, y)[0]
    for k, other in enumerate((x.at[:, :small].add(1.0), x.at[:, small:].add(1.0))):
        change = abs(np.asarray(score(other, y)[0] - usual)).min(0)
        assert change[k] > 1e-4 * abs(usual).max() and change[1 - k] == 0


# The game


def test_levels_have_one_augmentation_and_then_their_scales():
    """At full size: holes of a cutout of an image of ones are where they are, and half as large at half the size."""
    c = config.from_dict({"net": "cat", "kind": "cat", "augment": ("cutout",)})
    view = jax.jit(lambda x: game_of.scaled(2, 1, cat.folded, c, None)(x, KEY, {}, {}))
    x = jnp.ones((6, 8, 8, 1))
    half, whole = cat.unfolded(view(x), (8, 8, 1), 2)
    np.testing.assert_array_equal(half, np.asarray(whole).reshape(6, 4, 2, 4, 2, 1).mean((2, 4)))
    assert 0 < whole.mean() < 1 and len({hole.tobytes() for hole in np.asarray(whole)}) > 1
    np.testing.assert_array_equal(view(x), view(copies(x, 2)))
    levels = jnp.concatenate([x, 3 * x], -1)
    small, large = cat.unfolded(view(levels), (8, 8, 1), 2)
    np.testing.assert_array_equal(small, half)
    np.testing.assert_array_equal(large, 3 * whole)


def test_earlier_levels_are_pulled_to_the_last():
    """mean of 1/3 |x_1 - x_4|^2, 1/2 |x_2 - x_4|^2 and |x_3 - x_4|^2; 0 where they agree, in one way or the other."""
    x = np.random.default_rng(0).normal(size=(4, 5, 2, 2, 3))
    found, _ = game_of.apart(4, played(fake=jnp.asarray(np.concatenate(x, -1))), {})
    want = sum(w * ((a - x[3]) ** 2).mean((1, 2, 3)) for w, a in zip((1 / 3, 1 / 2, 1), x)) / 3
    np.testing.assert_allclose(found, want, rtol=1e-5)
    same, _ = game_of.apart(4, played(fake=copies(jnp.asarray(x[0]), 4)), {})
    assert (same == 0).all()
    slope = jax.grad(lambda last: game_of.apart(4, played(fake=jnp.concatenate([*x[:3], last], -1)), {})[0].sum())
    assert abs(slope(jnp.asarray(x[3]))).max() > 0.1, "the last is pulled to the others too"


def test_penalties_are_of_the_sum_of_logits_at_what_d_is_shown():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(5, 6)), jnp.float32)
    score = lambda x, y: jnp.tanh(x).sum(1)  # noqa: E731  # the mean of 4 logits
    c = Config(kind="cat", net="cat", augment=("flip",))
    given = {"seen_real": x, "seen_fake": x, "d_real": score(x, None), "d_fake": score(x, None), "score": score}
    seen = played(config=c, key=KEY, hp={"ar_step": 0.01}, vars={}, axis=None, real=x, fake=x, **given)
    for name in ("r1", "r2"):
        found, _ = game_of.summed(name, 4).loss(seen, {})
        np.testing.assert_allclose(found, 8 * squared_norm(lambda x: score(x, None), x), rtol=1e-5)
    for name in ("ar1", "ar2"):
        keys = rng.examples(rng.stream(KEY, name), 5, None)
        u = jax.vmap(lambda k: jax.random.normal(k, (6,)))(keys)
        slope = 4 * jax.jvp(lambda x: score(x, None), (x,), (u,))[1]
        np.testing.assert_allclose(game_of.summed(name, 4).loss(seen, {})[0], slope**2 / 2, rtol=1e-4)
        stepped = seen._replace(config=dataclasses.replace(c, hp=Hp(ar_step=0.01)))
        change = 4 * (score(x + 0.01 * u, None) - score(x, None)) / 0.01
        np.testing.assert_allclose(game_of.summed(name, 4).loss(stepped, {})[0], change**2 / 2, rtol=1e-3)


@pytest.mark.parametrize(
    ("shape", "settings", "message"),
    [
        ((2,), {}, "cat makes images"),
        ((12, 8, 1), {"cat": {"levels": 4}}, "cat shows D images of 12x8 pixels halved 3 times.* multiple of 16"),
        ((9, 8, 1), {}, "cat.patch is 2, which does not divide images of 9x8 pixels"),
        ((16, 16, 1), {"width": 64, "cat": {"d_width": 66}}, "width 66 does not make 1 heads.*set cat.d_heads"),
        ((16, 16, 1), {"width": 64, "cat": {"heads": 3}}, "set cat.heads"),
        ((16, 16, 1), {"cat": {"depth": 6}}, "cat.depth is 6, and does not make 4 levels"),
    ],
)
def test_what_does_not_go_is_said(shape, settings, message):
    c = config.from_dict({"net": "cat", **settings})
    with pytest.raises(JaxganError, match=message):
        cat.discriminator(c, Spec(shape))


def test_networks_that_see_one_scale_are_refused():
    with pytest.raises(JaxganError, match="net 'gat' sees one; use --net cat"):
        games.make(Config(kind="cat", net="gat", width=64), (8, 8, 1))
