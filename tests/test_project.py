"""Projection finds latents again, says how near it came, and takes images as users have them."""

import dataclasses
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxgan import cli, config, features, games, inputs, project
from jaxgan.errors import JaxganError
from jaxgan.run import Run
from jaxgan.state import initial
from runs import trained

MLP = {"net": "mlp", "width": 16, "latent": 4, "kind": "plain"}


def untrained(shape, classes=0, **settings):
    """A Run in a first state, whose generator is as good as any here; with biases, or it would be flat at z = 0."""
    c, r = config.from_dict(settings), np.random.default_rng(0)
    state = initial(games.make(c, shape, classes), c, shape)
    ema = jax.tree.map(lambda x: x + r.normal(0, 0.1, x.shape).astype(np.float32), state.ema)
    return Run(c, dataclasses.replace(state, ema=ema), {"shape": list(shape), "classes": classes})


@pytest.fixture(scope="module")
def run():
    return untrained((8, 8, 1), **MLP)


@pytest.fixture(scope="module")
def found(run):
    """Five of the run's own samples, projected from eight points each."""
    x = run.sample(5, seed=9)
    return x, run.project(x, steps=200, starts=8)


def test_what_a_generator_made_is_found_again(run, found):
    x, p = found
    assert p.errors.max() < 0.03 < x.std() / 10, "from at least one of the points"
    np.testing.assert_allclose(run.generate(p.latents), p.images, atol=1e-6)
    assert (p.space, p.distance) == ("z", "pixel")
    rms = [np.sqrt(np.mean((a - b) ** 2)) for a, b in zip(x, p.images)]
    np.testing.assert_allclose(p.errors, rms, atol=1e-5)
    np.testing.assert_allclose(p.rms, rms, atol=1e-5)


def test_each_start_goes_its_own_way_and_the_nearest_is_taken(run, found):
    x, p = found
    assert p.starts.shape == (5, 8) and len(np.unique(p.starts[0])) > 1
    np.testing.assert_array_equal(p.errors, p.starts.min(1))
    alone = run.project(x[3:4], steps=200, starts=1)  # from the mean, without company
    np.testing.assert_allclose(alone.starts[0, 0], p.starts[3, 0], rtol=0.05, atol=1e-4)


def test_steps_bring_it_nearer_and_the_first_point_is_the_mean(run):
    x = run.sample(2, seed=9)
    errors = [run.project(x, steps=n, starts=1).errors for n in (1, 40)]
    mean = run.generate(jnp.zeros((2, 4)))
    np.testing.assert_allclose(errors[0], np.sqrt(np.mean((mean - x) ** 2, (1, 2, 3))), rtol=1e-4)
    assert (errors[1] < errors[0] / 2).all()


def test_labels_are_held():
    """Of a conditional run: the image of class 2 is found under 2, and not under 0."""
    run = untrained((8, 8, 1), 3, **(MLP | {"kind": "conditional"}))
    x = run.sample(1, labels=[2], seed=4)
    right, wrong = (run.project(x, [label], steps=150, starts=4).errors[0] for label in (2, 0))
    assert right < 0.02 < wrong


def test_styles_draw_what_their_latents_draw():
    """w of z makes z's image; the centre is the mean style, at which psi 0 holds every sample."""
    run = untrained((8, 8, 1), net="stylegan2", width=8, latent=4, kind="plain", stylegan2={"mapping": 2})
    nets, z = run.state.ema, run.game.latent(jax.random.key(5), 2)
    space, average = project.of_styles(run.game), nets["g"]["vars"]["average"]["styles"]["style"]
    w, centre = jax.jit(lambda nets, z: (space.starts(nets, z, None), space.centre(nets)))(nets, z)
    assert w.shape == (2, 4) and np.abs(average).min() > 0
    np.testing.assert_allclose(centre, average, rtol=1e-5)
    drawn = run.generate(jnp.concatenate([w, centre[None]]), space="w")
    np.testing.assert_allclose(drawn[:2], run.generate(z), atol=1e-4)
    np.testing.assert_allclose(drawn[2:], run.sample(1, psi=0.0), atol=1e-4)
    with pytest.raises(JaxganError, match=r"styles have shape \(2, 3\) and psi is 1"):
        run.generate(w[:, :3], space="w")


@pytest.mark.slow
def test_styles_are_found_again():
    run = untrained((8, 8, 1), net="stylegan2", width=8, latent=4, kind="plain", stylegan2={"mapping": 2})
    x = run.sample(2, seed=5)
    p = run.project(x, steps=60, starts=2, finished=True)  # its images are not bounded
    assert p.space == "w" and p.errors.max() < x.std() / 5
    space = project.of_styles(run.game)
    np.testing.assert_allclose(space.draw(run.state.ema, p.latents, None), p.images, atol=1e-4)


def test_lpips_is_taken_where_it_is_here(run, monkeypatch):
    """A stand-in with weights of its own, since the real ones are 59 MB; images of 16 pixels at least."""
    said = []
    monkeypatch.setattr(features, "lpips_weights", lambda: jnp.float32(3))
    monkeypatch.setattr(features, "lpips", lambda p, a, b: p * jnp.abs(a - b).mean((1, 2, 3)))
    assert project.measure("auto", (8, 8, 1), said.append)[0] == "pixel"
    big = untrained((16, 16, 1), **MLP)
    x = big.sample(1, seed=3)
    p = big.project(x, steps=5, starts=2)
    assert p.distance == "lpips" and p.errors[0] == pytest.approx(3 * np.abs(p.images - x).mean(), rel=1e-4)
    assert p.rms[0] == pytest.approx(np.sqrt(np.mean((p.images - x) ** 2)), rel=1e-4)

    def gone():
        raise JaxganError("vgg16.ckpt is not here")

    monkeypatch.setattr(features, "lpips_weights", gone)
    assert project.measure("auto", (16, 16, 1), said.append)[0] == "pixel"
    assert said == ["the distance is that of pixels, as LPIPS is not here: vgg16.ckpt is not here"]
    with pytest.raises(JaxganError, match=r"vgg16\.ckpt is not here"):
        project.measure("lpips", (16, 16, 1), said.append)


@pytest.mark.parametrize(
    ("settings", "arguments", "named"),
    [
        (MLP, {"steps": 0}, "steps is 0 and starts is 4"),
        (MLP, {"distance": "ssim"}, "distance is 'ssim'; choose from auto, pixel, lpips"),
        (MLP, {"distance": "lpips"}, "16 pixels or more, grey or RGB, not examples of shape .8, 8, 1."),
        (MLP | {"kind": "conditional"}, {}, "this run is conditional: give the labels of the 2"),
        (MLP | {"kind": "infogan", "codes": (2,)}, {}, "kind 'infogan' hold codes"),
        (MLP, {"x": np.zeros((2, 8, 9, 1), np.uint8)}, "examples have shape .2, 8, 9, 1.; expected .n, 8, 8, 1."),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, dict) else "",
)
def test_refusals(settings, arguments, named):
    run = untrained((8, 8, 1), 3 * (settings["kind"] == "conditional"), **settings)
    with pytest.raises(JaxganError, match=named):
        run.project(**{"x": np.zeros((2, 8, 8, 1), np.uint8), **arguments})


def picture(path, colour, size=(12, 8)):
    Image.new("RGB", size, colour).save(path)
    return str(path)


def test_images_are_read_as_a_run_takes_them(tmp_path):
    """Upright squares of its size, in the order of the words; of folders and archives in that of names."""
    wide = Image.new("RGB", (12, 8), "red")
    wide.paste("blue", (2, 0, 10, 8))  # the central square
    wide.save(tmp_path / "z.png")
    (tmp_path / "many").mkdir()
    for name, colour in (("2.png", "white"), ("1.png", "black"), ("note.txt", None)):
        (tmp_path / "many" / name).write_text("") if colour is None else picture(tmp_path / "many" / name, colour)
    x, names = inputs.images([tmp_path / "z.png", tmp_path / "many"], (4, 4, 3))
    assert names == ["z.png", "1.png", "2.png"] and x.dtype == np.uint8 and x.shape == (3, 4, 4, 3)
    np.testing.assert_array_equal(x[0], np.broadcast_to(np.uint8([0, 0, 255]), (4, 4, 3)))
    assert (x[1] == 0).all() and (x[2] == 255).all()
    stretched, _ = inputs.images([tmp_path / "z.png"], (4, 4, 3), "stretch")
    assert stretched[0, 0, 0, 0] > 100 > 50 > stretched[0, 0, 2, 0], "its red sides are there"
    grey, _ = inputs.images([tmp_path / "z.png"], (4, 4, 1))
    assert grey.shape == (1, 4, 4, 1) and np.ptp(grey) == 0 and grey[0, 0, 0, 0] == round(0.114 * 255)


@pytest.mark.parametrize(
    ("name", "shape", "named"),
    [
        ("none.png", (4, 4, 3), "there is no image .*none.png"),
        ("bad.png", (4, 4, 3), r"bad.png cannot be read as an image \(UnidentifiedImageError"),
        ("note.txt", (4, 4, 3), "is not a folder, zip or tar"),
        ("bad.png", (2,), "the run's examples have shape"),
    ],
)
def test_what_is_no_image(tmp_path, name, shape, named):
    (tmp_path / "bad.png").write_text("no image")
    (tmp_path / "note.txt").write_text("no image")
    with pytest.raises(JaxganError, match=named):
        inputs.images([tmp_path / name], shape)


def test_the_command(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trained(tmp_path / "run", steps=1)
    photos = [picture(tmp_path / f"{i}.png", colour) for i, colour in enumerate(("black", "white"))]
    words = ["project", "run", *photos, "--steps", "30", "--starts", "2", "--labels", "1", "--out", "p.png"]
    cli.main(words)
    text = capsys.readouterr().out
    with np.load("p.npz", allow_pickle=False) as kept:
        kept = types.SimpleNamespace(**kept)
    assert kept.names.tolist() == ["0.png", "1.png"] and kept.y.tolist() == [1, 1] and kept.space == "z"
    assert kept.latents.shape == (2, 4) and kept.errors[0] == pytest.approx(
        np.sqrt(np.mean((kept.images[0] + 1) ** 2)), rel=1e-4
    )
    assert f"0.png: pixel {kept.errors[0]:.4f}\n" in text and "step 60/60 pixel error" in text
    drawn = np.asarray(Image.open("p.png").convert("L"))
    top = drawn[: drawn.shape[0] // 3]
    assert top[:, : top.shape[1] // 3].max() < 5 and top[:, -top.shape[1] // 3 :].min() > 250, "targets stand above"
    with pytest.raises(SystemExit):
        cli.main([word for word in words if word not in ("--labels", "1")])
    assert "there are 0 --labels; give one class for all 2 images" in capsys.readouterr().err
