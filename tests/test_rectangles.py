"""Rectangles: what `--size 64x96` means to files, networks, and what looks at a run."""

import json
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import zoom

from jaxgan import Config, cli, config, evaluate, fit, inputs, load, run, train
from jaxgan.data import from_arrays, images, of_config, open_source
from jaxgan.errors import JaxganError
from jaxgan.games import make
from jaxgan.metrics import swd
from jaxgan.nets import build, sizes
from jaxgan.state import initial
from jaxgan.sweep import space, table


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "images").mkdir()
    return tmp_path / "images"


def numbered(width, height):
    """Each pixel says its column and its row."""
    column, row = np.meshgrid(np.arange(width), np.arange(height))
    return np.stack([column, row, np.zeros_like(row)], -1).astype(np.uint8)


# The flag and the field


@pytest.mark.parametrize(
    ("value", "size"),
    [("64x96", (64, 96)), ((64, 96), (64, 96)), ([64, 96], (64, 96)), (64, 64), ((64, 64), 64), ("64X64", 64), (0, 0)],
)
def test_a_size_has_one_form(value, size):
    """So that a square, however it is written, is the run that it always was."""
    c = config.from_dict({"size": value})
    assert c.size == size and config.from_dict(json.loads(json.dumps(config.to_dict(c)))) == c
    assert config.size_of(config.size_text(size)) == size
    assert config.check(Config(size=value)).size == size


@pytest.mark.parametrize("value", ["64x", "64x96x3", "x", "6.5", 6.5, True, -1, (64, 0), (64, -1), (64, 2.5), (), None])
def test_what_is_no_size(value):
    with pytest.raises(
        JaxganError, match=r"size must be a number of pixels, 0 .*, or a height and a width such as 64x96"
    ):
        config.from_dict({"size": value})


def test_the_flag(monkeypatch, tmp_path, capsys):
    seen = []
    monkeypatch.setattr(train, "run", lambda c, *rest, **more: seen.append(c.size) or 1 / 0)
    (tmp_path / "e.py").write_text("from jaxgan import Config\ndef config(): return Config(size=(8, 12))\n")
    for words, size in (([], (8, 12)), (["--size", "64x96"], (64, 96)), (["--size", "32"], 32)):
        with pytest.raises(ZeroDivisionError):
            cli.main(["train", str(tmp_path / "e.py"), *words, "--dir", str(tmp_path / "run")])
        assert seen[-1] == size
    with pytest.raises(SystemExit):
        cli.main(["train", str(tmp_path / "e.py"), "--size", "64x"])
    assert "a height and a width such as 64x96" in " ".join(capsys.readouterr().err.replace("│", "").split())
    cli.main(["train", str(tmp_path / "e.py"), "--help"])
    assert "--size 8x12" in capsys.readouterr().out


def test_a_sweep_over_shapes():
    (a, b) = space.parse_grid(["size=64x96,32"])
    assert space.member(Config(), a).size == (64, 96) and space.member(Config(), b).size == 32
    assert table.flag("size", (64, 96)) == "--size 64x96"


# The files


def test_crop_takes_the_largest_central_part(root):
    """Of 20x12 pixels (width x height) at 8x12 (height x width) the shape is 18x12; of 6x12, 6x4."""
    for name, shape, box in (("a", (20, 12), (1, 0, 19, 12)), ("b", (6, 12), (0, 4, 6, 8))):
        whole = Image.fromarray(numbered(*shape))
        expected = np.asarray(whole.crop(box).resize((12, 8), Image.Resampling.LANCZOS))
        np.testing.assert_array_equal(np.asarray(images.fit(whole, (8, 12))), expected)
        whole.save(root / f"{name}.png")
    source = open_source(f"folder:{root}", size="8x12")
    assert source.shape == (8, 12, 3) and source.found == (
        "2 images 8x12x3, no classes; 6x12 to 20x12 (width x height) in their files, cropped to the central part of "
        "8 to 12 (height to width), resized to 8x12; 8 bits"
    )


def test_pad_keeps_all_of_an_image(root):
    Image.new("RGB", (10, 10), "red").save(root / "a.png")
    Image.new("RGB", (40, 8), "red").save(root / "b.png")
    source = open_source(f"folder:{root}", size=(8, 16), fit="pad")
    a, b = source.rows(np.arange(2))["x"]
    red, white = (255, 0, 0), (255, 255, 255)
    assert (a[:, 4:12] == red).all() and (a[:, :4] == white).all() and (a[:, 12:] == white).all()
    rows = (b == red).all(-1)
    assert rows.all(1).sum() == 3 and (b[~rows] == white).all(), "16 wide, of 3.2 pixels' height"
    assert "padded with white, resized to 8x16" in source.found


def test_what_has_the_shape_already_stays(root):
    x = np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8)
    Image.fromarray(x).save(root / "a.png")
    for how in ("crop", "pad", "stretch"):
        source = open_source(f"folder:{root}", size=(8, 12), fit=how)
        np.testing.assert_array_equal(source.rows(np.array([0]))["x"][0], x)
        assert "12x8 (width x height) in their files; 8 bits" in source.found
    np.testing.assert_array_equal(inputs.images([root / "a.png"], (8, 12, 3))[0][0], x)
    stretched = images.fit(Image.fromarray(x), (12, 8), "stretch")
    np.testing.assert_array_equal(stretched, Image.fromarray(x).resize((8, 12), Image.Resampling.LANCZOS))


@settings(max_examples=40)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 40), st.integers(1, 40))
def test_turned_images_are_fitted_to_turned_shapes(width, height, h, w):
    """Rows and columns are alike, but for rounding between the two passes of a resize."""
    x = np.random.default_rng(0).integers(80, 176, (height, width), np.uint8)  # so that no pass is clipped
    for how in ("crop", "pad", "stretch"):
        a, b = images.fit(Image.fromarray(x), (h, w), how), images.fit(Image.fromarray(x.T), (w, h), how)
        assert a.size == (w, h)
        np.testing.assert_allclose(np.asarray(a, int), np.asarray(b, int).T, atol=2)


def test_tall_pairs_lie_side_by_side(root):
    """Two of 4 wide and 8 high are 8x8: too narrow for two squares, wide enough for two such."""
    both = np.concatenate([np.full((8, 4, 3), 9, np.uint8), np.full((8, 4, 3), 99, np.uint8)], 1)
    Image.fromarray(both).save(root / "1.png")
    source = open_source(f"pairs:{root}", size=(8, 4))
    x = source.rows(np.array([0]))["x"]
    assert source.shape == (8, 4, 2) and (x[..., 0] == 9).all() and (x[..., 1] == 99).all()
    with pytest.raises(JaxganError, match="is 8x8; two images side by side have an even width above their height"):
        open_source(f"pairs:{root}", size=8)
    Image.fromarray(both[:, :4]).save(root / "1.png")
    with pytest.raises(JaxganError, match=r"is 4x8; two .* have an even width above 0\.5 of their height"):
        open_source(f"pairs:{root}", size=(8, 4))


def test_arrays_and_digits_take_it_too():
    x = np.random.default_rng(0).integers(0, 256, (3, 12, 20, 1), np.uint8)
    assert from_arrays(x, size=(8, 12)).shape == (8, 12, 1)
    assert from_arrays(x, size=(12, 20)).fingerprint == from_arrays(x).fingerprint
    assert open_source("mnist5k", size="16x24").shape == (16, 24, 1)
    assert open_source("mnist5k_outlines", size=(16, 24)).shape == (16, 24, 2)
    with pytest.raises(JaxganError, match=r"size is 8x12, but the examples of arrays have shape \(12, 20, 1\)"):
        of_config(config.from_dict({"size": "8x12", "data": "arrays"}), from_arrays(x))


# The networks

REACHED = [
    ("dcgan", (8, 12), {}),
    ("dcgan", (40, 24), {}),
    ("sngan", (24, 56), {}),
    ("sngan", (80, 112), {}),
    ("biggan", (20, 16), {"latent": 9}),
    ("biggan", (32, 48), {"biggan": {"deep": True}}),
    ("stylegan2", (8, 20), {}),
    ("stylegan2", (24, 16), {"stylegan2": {"d_layout": "skip", "g_layout": "residual"}}),
    ("r3gan", (12, 8), {}),
    ("mlp", (3, 5), {}),
]


def networks(net, shape, more):
    c = config.from_dict({"net": net, "width": 4, "latent": 6, "r3gan": {"group": 4}, "batch": 4, **more})
    return c, build(c, (*shape, 2))


@pytest.mark.parametrize(("net", "shape", "more"), REACHED)
def test_networks_make_and_judge_them(net, shape, more):
    c, nets = networks(net, shape, more)
    x, z = jnp.zeros((4, *shape, 2)), jnp.zeros((4, c.latent))
    made = lambda net, *a: net.apply(*net.init(jax.random.key(0), *a), *a, train=True)[0]  # noqa: E731
    assert jax.eval_shape(lambda: made(nets["g"], z, None)).shape == x.shape
    assert jax.eval_shape(lambda: made(nets["d"], x, None)).shape == (4,)


LONG = [pytest.param(net, shape, marks=pytest.mark.slow) for net, shape in (("stylegan2", (8, 12)), ("r3gan", (12, 8)))]


@pytest.mark.parametrize(("net", "shape"), [("dcgan", (8, 12)), *LONG])
def test_every_pixel_is_made_and_seen(net, shape):
    """D's logit depends on each pixel, and each pixel of G on z."""
    c, nets = networks(net, shape, {"stylegan2": {"group": 1}})
    z, x = jax.random.normal(jax.random.key(0), (4, c.latent)), jax.random.normal(jax.random.key(1), (4, *shape, 2))

    @jax.jit
    def spread():
        g, d = nets["g"].init(jax.random.key(2), z, None), nets["d"].init(jax.random.key(3), x, None)
        slope = jax.grad(lambda x: nets["d"].apply(*d, x, None, train=False)[0].sum())(x)
        return nets["g"].apply(*g, z, None, train=False)[0].std(0), abs(slope).min(0)

    made, seen = spread()
    assert made.shape == seen.shape == (*shape, 2) and made.min() > 1e-6 and seen.max() > 1e-6
    assert (np.asarray(seen) > 0).mean() > 0.95


@given(st.integers(1, 700), st.integers(1, 700), st.sampled_from([range(1, 7), range(2, 7), range(1, 20)]))
def test_refusals_name_sizes_that_are_reached(h, w, counts):
    """And what is reached is a first map, 4 to 7 pixels at its shorter side, that is doubled."""
    try:
        found = sizes.stages("net", (h, w, 3), counts)
    except JaxganError as e:
        named = str(e).partition("set size to ")[2].partition(", or net to mlp")[0].split(" or ")
        assert 1 <= len(named) <= sizes.NEAR
        for size in named:
            sizes.stages("net", (*config.sides(config.size_of(size)), 3), counts)
        assert not any(h % 2**n == w % 2**n == 0 and 4 <= min(h, w) / 2**n <= 7 for n in counts)
    else:
        assert found.doublings in counts and 4 <= min(found.first) <= 7
        assert (found.first[0] * 2**found.doublings, found.first[1] * 2**found.doublings) == (h, w)
        assert found.pixels[-1] == 4 * 2**found.doublings


def test_what_is_near_is_named_first():
    """By ratios; of squares only squares."""
    assert sizes.nearest(50, 50, range(1, 7)) == [(48, 48), (56, 56)]
    assert sizes.nearest(64, 95, range(1, 7)) == [(64, 96)]
    assert sizes.nearest(100, 150, range(1, 7))[0] == (96, 144)


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (
            {"net": "progan"},
            r"progan makes square images .* not shape \(16, 24, 3\): set size to 16 or 32, or net to styleg",
        ),
        ({"kind": "ssgan"}, r"rotates square images; .* have shape \(16, 24, 3\); set size to one number"),
        (
            {"sngan": {"attention": 6}, "net": "sngan"},
            "sngan.attention is 6; with images of 16x24 pixels choose from 0, 8",
        ),
    ],
)
def test_what_cannot_is_said(more, named):
    with pytest.raises(JaxganError, match=named):
        make(config.from_dict({"width": 4, **more}), (16, 24, 3))


def test_translators_translate_them():
    c = config.from_dict({"kind": "pix2pix", "width": 2, "batch": 2})
    game = make(c, (8, 12, 2))
    state = jax.eval_shape(partial(initial, game, c, (8, 12, 2)))
    r = run.Run(c, state, {"shape": [8, 12, 2], "classes": 0})
    latent = run.latents(game, 2, 0).shape
    draw = lambda state, z, x: run.applied(game, game.views["translate"], state.ema, z, x)  # noqa: E731
    assert jax.eval_shape(draw, r.state, jnp.zeros(latent), jnp.zeros((2, 8, 12, 1))).shape == (2, 8, 12, 1)


# What looks at a run


def test_swd_of_rectangles():
    rng = np.random.default_rng(0)
    a, b = (zoom(rng.random((6, 4, 5, 3)), (1, 8, 8, 1), order=1) for _ in "ab")
    a, b, noise = ((255 * x).astype(np.uint8) for x in (a, b, rng.random((6, 32, 40, 3))))
    same, other = swd(a, b), swd(a, noise)
    assert set(same) == {"swd", "swd-32x40", "swd-16x20"}
    assert 0 < same["swd-32x40"].value < other["swd-32x40"].value / 1.5
    with pytest.raises(JaxganError, match="images have 32x41 pixels; expected sides of 16 or more"):
        swd(np.zeros((2, 32, 41, 3), np.uint8), np.zeros((2, 32, 41, 3), np.uint8))


def test_a_folder_of_one_shape_is_evaluated_at_it(root):
    for i in range(2):
        Image.new("L", (12, 8), 9 * i).save(root / f"{i}.png")
    assert evaluate.opened(str(root)).shape == (8, 12, 1)
    Image.new("L", (13, 8)).save(root / "2.png")
    with pytest.raises(
        JaxganError, match=r"are 12x8, 13x8 \(width x height\); expected one size. Give it: --size 8x12"
    ):
        evaluate.opened(str(root))
    assert evaluate.opened(str(root), "8x12").shape == (8, 12, 1)


def test_a_run_of_rectangles(tmp_path, monkeypatch, capsys):
    """Trained, drawn, walked, evaluated, projected, its neighbours found, its bits replayed."""
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).integers(0, 256, (20, 8, 12, 1), np.uint8)
    fields = {"net": "mlp", "width": 4, "depth": 1, "latent": 2, "batch": 4, "augment": ("blit",), "augment_p": 0.5}
    r = fit(x.repeat(2, 1).repeat(2, 2), steps=2, dir="run", size="8x12", quiet=True, **fields)
    assert r.config.size == (8, 12) and r.sample(2).shape == r.walk(2, 2)[:, 0].shape == (2, 8, 12, 1)
    Image.fromarray(x[0, ..., 0]).save("a.png")
    for words in (
        "sample run -n 2 --out s/",
        "sample run --walk 2 -n 3 --out w.gif",
        "eval run --features raw --metrics fid -n 20",
        "eval run --features raw --neighbours 2",
        "project run a.png --steps 2 --starts 1 --out p.png",
        "verify run",
        "export run",
    ):
        cli.main(words.split())
    assert "bit for bit" in capsys.readouterr().out
    with Image.open("s/00001.png") as image:
        assert image.size == (12, 8)
    assert load("run").env["shape"] == [8, 12, 1]


@pytest.mark.slow
@pytest.mark.parametrize("net", ["dcgan", "sngan", "stylegan2", "r3gan", "biggan"])
def test_every_network_trains_on_them(net, tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (16, 32, 48, 3), np.uint8)
    more = {"r3gan": {"group": 4}} if net == "r3gan" else {}
    fields = {"net": net, "width": 4, "latent": 20, "batch": 4, "augment": ("ada", "translation"), "steps": 2, **more}
    c = config.from_dict({**fields, "data": "arrays", "hp": {"augment_p": 0.5}})
    trained = train.run(c, tmp_path / "run", from_arrays(x), quiet=True)
    assert np.isfinite(trained.sample(2)).all() and trained.sample(2).shape == (2, 32, 48, 3)
