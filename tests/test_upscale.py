"""Upscalers: what they are given, images of any size, stages, blends, features of images. Totals: test_totals_images.

Networks: test_rrdb.py.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxgan import cli, config, draw, features, games, plots, program, transfer, unused
from jaxgan.errors import JaxganError
from jaxgan.features import perceptual, small, vgg
from jaxgan.games import upscale
from jaxgan.run import Run
from jaxgan.state import initial
from jaxgan.train import fit
from runs import Like

SMALL = {"net": "rrdb", "factor": 2, "rrdb": {"blocks": 1, "growth": 2}, "width": 4, "batch": 4}
OFF = {"perceptual": 0.0}


def untrained(kind="upscale", shape=(8, 8, 3), seed=0, **settings):
    c = config.from_dict({"kind": kind, **SMALL, "seed": seed, "data": "folder:/nowhere", **settings})
    return Run(c, initial(games.make(c, shape), c, shape), {"shape": list(shape), "classes": 0})


def read(path):
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.fixture(scope="module")
def run():
    return untrained()


def images(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("factor", [2, 4])
def test_images_are_made_smaller_and_larger_as_pillow_does(factor):
    """Its bicubic on floats, borders too, but for values beyond black and white; of each channel."""
    x = np.random.default_rng(0).uniform(-1.1, 1.1, (2, 16, 24, 3)).astype(np.float32).clip(-1, 1)

    def by_pillow(w, h):
        planes = [
            [np.asarray(Image.fromarray(p).resize((w, h), Image.Resampling.BICUBIC)) for p in i]
            for i in np.moveaxis(x, 3, 1)
        ]
        return np.moveaxis(np.array(planes), 1, 3).clip(-1, 1)

    np.testing.assert_allclose(upscale.smaller(x, factor), by_pillow(24 // factor, 16 // factor), atol=2e-6)
    np.testing.assert_allclose(upscale.larger(x, factor), by_pillow(24 * factor, 16 * factor), atol=2e-6)


def test_images_of_any_size_are_upscaled(run, monkeypatch):
    """In parts or at once, bytes or floats, and each as the network makes it."""
    x = images(3, 5, 7, 3)
    made = run.translate(x)
    assert made.shape == (3, 10, 14, 3)
    floats = np.float32(x) / 127.5 - 1
    g = run.state.ema["g"]
    np.testing.assert_allclose(
        made[1:2], run.game.nets["g"].apply(g["params"], g["vars"], floats[1:2], train=False)[0], atol=1e-6
    )
    monkeypatch.setattr("jaxgan.run.PIXELS", 40)
    np.testing.assert_allclose(run.translate(x), made, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"x": images(2, 4, 4, 1)}, r"\(2, 4, 4, 1\); expected \[n, h, w, 3\]"),
        ({"x": images(4, 4, 3)}, r"expected \[n, h, w, 3\]"),
        ({"x": images(0, 4, 4, 3)}, r"expected \[n, h, w, 3\]"),
        ({"labels": [0, 1]}, "takes neither z nor labels nor back"),
        ({"back": True}, "takes neither z nor labels nor back"),
    ],
    ids=str,
)
def test_what_cannot_be_upscaled(run, options, message):
    with pytest.raises(JaxganError, match=message):
        run.translate(**{"x": images(2, 4, 4, 3), **options})


def test_files_are_upscaled_at_their_own_sizes(run, tmp_path):
    """Into a folder under their names, or a single one into a picture."""
    shapes = {"a.png": (4, 6, 3), "more/b.png": (7, 5, 3)}
    for name, shape in shapes.items():
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images(*shape)).save(tmp_path / "in" / name)
    options = {"labels": (), "ema": True, "back": False, "reconstruct": False}
    assert draw.save_upscaled(run, [tmp_path / "in"], tmp_path / "out", **options) == 2
    for name, shape in shapes.items():
        made = read(tmp_path / "out" / name)
        np.testing.assert_array_equal(made, plots.to_uint8(run.translate(images(1, *shape))[0]))
    draw.save_upscaled(run, [tmp_path / "in" / "a.png"], tmp_path / "one.png", **options)
    assert read(tmp_path / "one.png").shape == (8, 12, 3)
    for out, more in (("two.png", {}), ("x.npz", {}), ("new", {"labels": ("1",)}), ("new", {"reconstruct": True})):
        with pytest.raises(JaxganError, match=r"larger: --translate|take a folder"):
            draw.save_upscaled(run, [tmp_path / "in"], tmp_path / out, **{**options, **more})
    (tmp_path / "in" / "c.png").write_bytes(b"none")
    with pytest.raises(JaxganError, match=r"c\.png cannot be read"):
        draw.save_upscaled(run, [tmp_path / "in"], tmp_path / "third", **options)
    grey = untrained(shape=(8, 8, 1))
    draw.save_upscaled(grey, [tmp_path / "in" / "a.png"], tmp_path / "grey.png", **options)
    found = read(tmp_path / "grey.png")
    assert found.shape == (8, 12, 3) and (found == found[..., :1]).all()


@pytest.mark.slow
def test_two_stages_by_the_command(tmp_path, monkeypatch, capsys):
    """L1 first; then with D from its weights; pictures of both, upscaled files, and a blend of the two."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for i in range(4):
        Image.fromarray(images(8, 8, 3, seed=i)).save(tmp_path / "photos" / f"{i}.png")
    (tmp_path / "tiny.py").write_text(
        '"Tiny."\nfrom jaxgan import Config, Hp\nfrom jaxgan.options import Rrdb\n'
        'def config(): return Config(kind="upscale", net="rrdb", factor=2, rrdb=Rrdb(1, 2), width=4, batch=4, steps=2,'
        ' data="folder:photos", size=8, sample_every=0)\n'
    )
    cli.main(["train", "tiny.py", "--dir", "one"])
    second = ["--kind", "esrgan", "--loss", "ragan", "--perceptual-net", "random", "--init", "one", "--hp.g-lr", "0.1"]
    cli.main(["train", "tiny.py", "--dir", "two", *second])
    text = capsys.readouterr().out
    assert "  g: 40 of 40 arrays taken, 100% of the weights\n" in text and "  d: 0 of " in text
    assert read("two/samples/00000002.png").ndim == 3
    cli.main(["sample", "two", "--translate", "-n", "8", "--out", "rows.png"])
    cli.main(["sample", "two", "--translate", "--images", "photos", "--out", "large", "--blend", "one:2:0.75"])
    assert "4 images of yours, 2 times as large, by step 2" in capsys.readouterr().out
    one, two = (cli_load(name) for name in ("one", "two"))
    x = read("photos/3.png")[None]
    made = two.blended(one, 0.75).translate(x)
    np.testing.assert_array_equal(read("large/3.png"), plots.to_uint8(made[0]))
    assert np.abs(made - one.translate(x)).max() > 1e-4
    with pytest.raises(SystemExit):
        cli.main(["sample", "two", "--blend", "one", "--translate", "--images", "photos", "--out", "third"])
    assert "--blend is 'one'; expected RUN:SHARE" in capsys.readouterr().err


def cli_load(name):
    import jaxgan

    return jaxgan.load(name)


def test_a_picture_has_what_was_there_what_is_made_and_what_it_was(tmp_path):
    x = images(8, 8, 8, 3)
    trained = fit(x, kind="upscale", steps=1, quiet=True, dir=tmp_path / "run", **SMALL)
    rows, columns = draw.translated(trained, 8, 0, (), False, True)
    assert columns == 8 and rows.shape == (24, 8, 8, 3)
    real = rows[16:]
    np.testing.assert_allclose(np.sort(real.ravel()), np.sort(np.float32(x).ravel()) / 127.5 - 1, atol=1e-6)
    low = upscale.smaller(real, 2)
    np.testing.assert_allclose(rows[:8], upscale.larger(low, 2), atol=1e-6)
    np.testing.assert_array_equal(rows[8:16], trained.translate(low, finished=True))
    for options in ((("1",), False), ((), True)):
        with pytest.raises(JaxganError, match="leave --labels and --back out"):
            draw.translated(trained, 8, 0, *options, True)


def test_a_blend_lies_between_two_runs():
    """Weights of averages and of last ones; it ends at either, and runs of other shapes have none."""
    a, b = untrained(), untrained("esrgan", seed=1, hp=OFF)
    x = images(2, 4, 4, 3)
    for ema in (True, False):
        np.testing.assert_array_equal(a.blended(b, 0).translate(x, ema=ema), a.translate(x, ema=ema))
        np.testing.assert_array_equal(a.blended(b, 1).translate(x, ema=ema), b.translate(x, ema=ema))
    found = a.blended(b, 0.75)
    for tree in (lambda run: run.state.ema["g"]["params"], lambda run: run.state.params["g"]):
        jax.tree.map(
            lambda f, p, q: np.testing.assert_allclose(f, p / 4 + 3 * q / 4, atol=1e-6), *map(tree, (found, a, b))
        )
    assert not {"d"} & found.state.params.keys()
    with pytest.raises(JaxganError, match=r"g\.params\.Block_0.* is \(3, 3, 4, 2\) in one run and \(3, 3, 6, 2\)"):
        a.blended(untrained(width=6), 0.5)
    with pytest.raises(JaxganError, match="is none in one run"):
        a.blended(untrained(rrdb={"blocks": 2, "growth": 2}), 0.5)
    for share in (-0.1, 1.5, float("nan")):
        with pytest.raises(JaxganError, match="share is"):
            a.blended(b, share)


def filled(shapes, seed=0):
    r = np.random.default_rng(seed)
    return {name: np.float32(r.normal(size=shape) / np.sqrt(np.prod(shape[1:]) + 1)) for name, shape in shapes}


def vgg_like(width=4):
    """Weights of a VGG16 that is narrow."""
    inputs = [3] + [width] * 12
    return filled([(f"conv{i}.weight", (width, n, 3, 3)) for i, n in enumerate(inputs)]) | filled(
        [(f"conv{i}.bias", (width,)) for i in range(13)]
    )


def test_maps_of_features_are_the_last_convolutions_before_the_rectifier():
    p, x = vgg_like(), np.random.default_rng(1).uniform(-1, 1, (2, 32, 32, 3)).astype(np.float32)
    found = perceptual.PERCEPTUAL["vgg16"].maps(p, x)
    assert found.shape == (2, 2, 2, 4) and found.min() < 0
    np.testing.assert_allclose(jnp.maximum(found, 0), vgg.network(p, x)[-1], atol=1e-6)
    grey = perceptual.PERCEPTUAL["vgg16"].maps(p, x[..., :1])
    np.testing.assert_array_equal(grey, perceptual.PERCEPTUAL["vgg16"].maps(p, x[..., :1].repeat(3, -1)))
    of = perceptual.PERCEPTUAL["random"]
    maps = of.maps(of.load(), x)
    expected = features.FEATURES["random"].apply(of.load(), (x + 1) * 127.5)["features"]
    np.testing.assert_allclose(jnp.maximum(maps, 0).mean((1, 2)), expected, atol=1e-5)
    for name in ("digits-cnn", "fashion-cnn"):
        of = perceptual.PERCEPTUAL[name]
        p, grey = of.load(), x[:, :28, :28].mean(-1, keepdims=True)
        flat = jnp.maximum(of.maps(p, x[:, :28, :28]), 0).reshape(2, -1)
        hidden = np.maximum(np.asarray(flat) @ p["fc1.weight"].T + p["fc1.bias"], 0)
        np.testing.assert_allclose(hidden, small.classifier(p, grey)["features"], atol=1e-4)


def test_weights_are_read_when_a_loss_is_made_and_not_to_upscale(monkeypatch):
    """Where they are not here, training says so before it begins, and a trained run still works."""

    def missing():
        raise JaxganError("the weights vgg16.ckpt are not here")

    monkeypatch.setitem(perceptual.PERCEPTUAL, "vgg16", perceptual.PERCEPTUAL["vgg16"]._replace(load=missing))
    perceptual.weights.cache_clear()
    run = untrained("esrgan", (16, 16, 3))
    assert run.translate(images(1, 4, 4, 3)).shape == (1, 8, 8, 3)
    with pytest.raises(JaxganError, match=r"not here.*--perceptual-net digits-cnn"):
        program.reads(run.config, Like((16, 16, 3), 0))
    monkeypatch.setitem(perceptual.PERCEPTUAL, "vgg16", perceptual.PERCEPTUAL["vgg16"]._replace(load=vgg_like))
    assert {"pixel", "perceptual", "adversarial"} <= program.reads(run.config, Like((16, 16, 3), 0))
    perceptual.weights.cache_clear()


@pytest.mark.parametrize(
    ("settings", "shape", "message"),
    [
        ({}, (8, 8, 3), r"'vgg16' sees grey or RGB of 16 pixels or more, .* take digits-cnn or random"),
        ({}, (16, 16, 2), r"shape \(16, 16, 2\); set hp.perceptual to 0$"),
        ({"hp": OFF, "perceptual_net": "random"}, (16, 16, 3), "perceptual_net is 'random', but hp.perceptual is 0"),
        ({"net": "dcgan"}, (16, 16, 3), "net 'dcgan' does not make images of smaller ones; use --net rrdb"),
        ({"factor": 8}, (20, 20, 3), "factor is 8, which does not divide"),
        ({"conditional": True}, (16, 16, 3), "conditional is True, but kind esrgan has no use for it"),
    ],
    ids=str,
)
def test_what_does_not_go_together(settings, shape, message):
    with pytest.raises(JaxganError, match=message):
        games.make(config.from_dict({"kind": "esrgan", **SMALL, **settings}), shape, 0)


def test_the_first_stage_refuses_what_the_second_has():
    for settings in ({"hp": {"pixel": 1.0}}, {"hp": {"adversarial": 1.0}}, {"perceptual_net": "random"}, {"latent": 3}):
        c = config.from_dict({"kind": "upscale", **SMALL, **settings})
        with pytest.raises(JaxganError, match=r"kind esrgan.*kind is upscale|kind upscale has no use"):
            unused.check(c, program.reads(c, Like((8, 8, 3), 0)))


def test_d_has_the_layers_that_freeze_counts():
    c = config.from_dict({"kind": "esrgan", **SMALL, "hp": OFF, "init": "RUN", "freeze": "d:2"})
    first = untrained("esrgan", (16, 16, 3), hp=OFF)
    given = transfer.Given(first.state, "rrdb", "RUN", 0, "0" * 12)
    lines = []
    game = games.make(c, (16, 16, 3))
    transfer.first(game, c, (16, 16, 3), initial(game, c, (16, 16, 3)), given, lines.append)
    assert lines[-1] == "  frozen in d: Conv_0, Down_0, BatchNorm_0"


def test_old_configurations_keep_their_json_and_digest():
    assert not {"factor", "perceptual_net", "rrdb"} & config.to_dict(config.Config()).keys()
    assert dataclasses.replace(config.Config(), kind="esrgan", factor=2) == config.from_dict(
        config.to_dict(dataclasses.replace(config.Config(), kind="esrgan", factor=2))
    )
