"""Samples as files, walks as animations, and translations of images that the run's data need not be here for."""

import dataclasses
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxgan import cli, draw, latents, outputs, plots
from jaxgan.commands.sample import Way, sample
from jaxgan.errors import JaxganError
from runs import trained, untrained


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("run") / "run", steps=1)


def read(path):
    return np.asarray(Image.open(path).convert("RGB"))


def test_a_walk_passes_its_stops_by_great_circles_and_comes_back():
    game = untrained((4, 4, 1)).game
    z = jax.random.normal(jax.random.key(0), (3, 4)) * jnp.array([1.0, 2.0, 0.5])[:, None]
    path = np.asarray(latents.closed(game, z, 12))
    np.testing.assert_allclose(path[[0, 4, 8]], z, rtol=1e-4)
    again = np.concatenate([path, path[:1]])
    units = again / np.linalg.norm(again, axis=1, keepdims=True)
    angles = np.arccos(np.clip((units[1:] * units[:-1]).sum(1), -1, 1)).reshape(3, 4)
    np.testing.assert_allclose(angles, angles[:, :1].repeat(4, 1), rtol=1e-3)
    lengths = np.linalg.norm(again, axis=1)
    np.testing.assert_allclose(np.diff(lengths).reshape(3, 4).std(1), 0, atol=1e-4)
    for stops, frames in ((1, 5), (3, 2)):
        with pytest.raises(JaxganError, match=f"by {stops} latents has {frames} frames"):
            latents.closed(game, z[:stops], frames)


def test_styles_walk_in_straight_lines():
    w = np.array([[0.0, 0.0], [4.0, 0.0], [4.0, 8.0]], np.float32)
    path = latents.closed(untrained((4, 4, 1)).game, jnp.asarray(w), 6, "w")
    np.testing.assert_allclose(path, [[0, 0], [2, 0], [4, 0], [4, 4], [4, 8], [2, 4]])


def test_codes_stay_in_a_walk():
    game = untrained((4, 4, 1), kind="infogan", codes=(3, 1)).game
    z = latents.latents(game, 3, seed=1)
    path = np.asarray(latents.closed(game, z, 6))
    np.testing.assert_array_equal(path[:, -4:], np.tile(z[:1, -4:], (6, 1)))
    assert np.abs(np.diff(path[:, :-4], axis=0)).min() > 0


def test_all_classes_walk_side_by_side(run):
    x = run.walk(2, 4, seed=3)
    z = latents.latents(run.game, 2, seed=3)
    assert x.shape == (4, 3, 6, 6, 1)
    for frame, stop in ((0, 0), (2, 1)):
        for label in range(3):
            np.testing.assert_allclose(x[frame, label], run.generate(z[stop : stop + 1], [label])[0], atol=1e-5)
    np.testing.assert_allclose(run.walk(2, 4, seed=3, labels=[2])[:, 0], x[:, 2], atol=1e-5)


def test_a_walk_by_seeds_and_by_what_was_projected(run, tmp_path):
    """Of seeds 3, 5 and of two latents in a file, all in one class."""
    z = np.concatenate([latents.latents(run.game, n, seed) for n, seed in ((1, 3), (1, 5), (2, 9))])
    np.savez(tmp_path / "p.npz", latents=z[2:], space="z")
    x = draw.walked(run, ["3", "5", str(tmp_path / "p.npz")], 8, 0, ["2"], 0.0, True)
    np.testing.assert_allclose(x[::2, 0], run.generate(z, [2] * 4), atol=1e-5)
    for name, arrays, named in (
        ("small", {"latents": z[:, :2], "space": "z"}, r"has latents of shape \(4, 2\), and the run of \[n, 4\]"),
        ("style", {"latents": z, "space": "w"}, "some are latents z, as of seeds, others styles w"),
        ("flat", {"latents": z[0], "space": "z"}, r"has latents of shape \(4,\)"),
        ("lost", {"latents": z * np.nan, "space": "z"}, "has latents that are not finite"),
        ("other", {"x": z}, "holds x; expected the .npz of jaxgan project"),
    ):
        np.savez(tmp_path / f"{name}.npz", **arrays)
        with pytest.raises(JaxganError, match=named):
            draw.walked(run, ["3", str(tmp_path / f"{name}.npz")], 8, 0, [], 0.0, True)
    with pytest.raises(JaxganError, match="has no styles"):
        draw.walked(run, [str(tmp_path / "style.npz")], 8, 0, [], 0.0, True)


def test_the_animation(run, tmp_path, capsys):
    sample(str(run.dir), 4, seed=3, out=tmp_path / "w.gif", way=Way(walk=("2",)))
    x = run.walk(2, 4, seed=3)
    with Image.open(tmp_path / "w.gif") as image:
        assert image.n_frames == 4 and image.info["loop"] == 0 and "4 frames of step 1" in capsys.readouterr().out
        image.seek(2)
        np.testing.assert_allclose(np.asarray(image.convert("RGB"), int), plots.grid(x[2], 3), atol=2)
    assert not list(tmp_path.glob("*.tmp*"))


def test_a_film_shows_the_frames(run, tmp_path, capsys):
    """To what H.264 keeps of them; a picture of odd sides gets a white line."""
    av = pytest.importorskip("av")
    sample(str(run.dir), 5, seed=3, out=tmp_path / "w.mp4", way=Way(walk=("2",)))
    assert "5 frames of step 1" in capsys.readouterr().out and not list(tmp_path.glob("*.tmp*"))
    expected = [plots.grid(x, 3) for x in run.walk(2, 5, seed=3)]
    with av.open(str(tmp_path / "w.mp4")) as film:
        stream = film.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p") and float(
            stream.average_rate
        ) == pytest.approx(1000 / 60, rel=1e-3)
        frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    assert len(frames) == 5
    for frame, picture in zip(frames, expected, strict=True):
        assert np.abs(frame[: picture.shape[0], : picture.shape[1]].astype(int) - picture).mean() < 6
    outputs.film([np.full((33, 65, 3), 30 * i, np.uint8) for i in range(3)], tmp_path / "odd.mp4", 100)
    with av.open(str(tmp_path / "odd.mp4")) as film:
        frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    assert [frame.shape for frame in frames] == [(34, 66, 3)] * 3
    for i, frame in enumerate(frames):
        assert abs(frame[4:28, 4:60].mean() - 30 * i) < 4


def test_a_film_without_its_library_is_refused_before_a_run_is_read(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(SystemExit):
        cli.main(["sample", "nowhere", "--walk", "2", "--out", str(tmp_path / "w.mp4")])
    message = "jaxgan: an .mp4 needs the library av: pip install 'jaxgan[mp4]'; or let --out end in .gif\n"
    assert capsys.readouterr().err == message


def test_a_file_for_each_sample_in_the_folder_of_its_class(run, tmp_path):
    cli.main(["sample", str(run.dir), "-n", "5", "--seed", "2", "--out", f"{tmp_path / 'all'}/"])
    x = run.sample(5, seed=2)
    found = sorted(p.relative_to(tmp_path / "all").as_posix() for p in (tmp_path / "all").rglob("*.png"))
    assert found == ["0/00000.png", "0/00003.png", "1/00001.png", "1/00004.png", "2/00002.png"]
    for i, image in enumerate(x):
        np.testing.assert_array_equal(
            read(tmp_path / "all" / f"{i % 3}/{i:05d}.png"), plots.to_uint8(image).repeat(3, -1)
        )
    sample(str(run.dir), 1, seed=2, out=tmp_path / "one.png")
    assert read(tmp_path / "one.png").shape == (6, 6, 3)
    np.testing.assert_array_equal(read(tmp_path / "one.png"), read(tmp_path / "all" / "0/00000.png"))


def test_names_of_files():
    assert outputs.numbered(7, 8) == "00007.png" and outputs.numbered(7, 10**6) == "000007.png"
    assert outputs.numbered(7, 10**6 + 1, 1, ("cat", "a/b: c")) == "a_b_ c/0000007.png"
    assert [outputs.folder_name(i, ("a/b", "a:b", "..", "ok")) for i in range(5)] == ["0", "1", "2", "ok", "4"]
    assert outputs.pngs(["a.jpg", "d/a.jpg", "b.jpg", "b.png"]) == ["a.png", "d/a.png", "b.jpg.png", "b.png.png"]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--out", "full"], "--out is full, which holds files already"),
        (["--out", "none/x.png"], "there is no folder none"),
        (
            ["--out", "x.jpg"],
            "--out is x.jpg; expected a name that ends in .png or .npz or .gif or .mp4, or in / for a folder",
        ),
        (["--walk", "2"], "--walk makes a .gif or .mp4, and nothing else does; --out is samples.png"),
        (["--out", "x.gif"], "--walk makes a .gif or .mp4, and nothing else does"),
        (["--out", "x.mp4"], "--walk makes a .gif or .mp4, and nothing else does; --out is x.mp4"),
        (["--walk", "2", "--interpolate", "--out", "x.gif"], "choose one of --interpolate, --walk"),
        (["--images", "a.png"], "--images goes with --reconstruct or --translate"),
        (["--translate", "--out", "x"], "with the run's own data take .png or .npz, or give --images"),
        (["--walk", "a.png", "--out", "x.gif"], "--walk a.png is neither a number nor an .npz file"),
        (["--psi", "0.5", "--walk", "2", "--out", "x.gif"], "--psi goes with plain samples"),
    ],
    ids=" ".join,
)
def test_what_does_not_go_together(words, named, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a.txt").write_text("")
    with pytest.raises(SystemExit):
        cli.main(["sample", "run", *words])
    assert named in capsys.readouterr().err


def test_points_are_no_files(tmp_path):
    with pytest.raises(JaxganError, match=r"examples of shape \(2,\) are no images; use \.npz"):
        outputs.save(tmp_path / "new", np.zeros((3, 2)), None, 8)


@pytest.fixture
def photos(tmp_path):
    """A folder of three images, grey as they are; and these as a run is given them."""
    x = np.random.default_rng(0).integers(0, 256, (3, 4, 4), np.uint8)
    for name, image in zip(("a.png", "b.png", "more/a.png"), x):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return [str(tmp_path / "photos")], x[..., None]


def test_own_images_are_translated_without_the_data(photos, tmp_path):
    paths, x = photos
    run = untrained((4, 4, 2), kind="pix2pix", latent=2)
    given, made, names = draw.own(run, paths, False, (), 5, True)
    np.testing.assert_allclose(given, x / 127.5 - 1, atol=1e-6)
    np.testing.assert_array_equal(made[None], run.translate(x, seed=5))
    draw.save_own(tmp_path / "out", given, made, names)
    for name, image in zip(("a.png", "b.png", "more/a.png"), made[None]):
        np.testing.assert_array_equal(read(tmp_path / "out" / name), plots.to_uint8(image).repeat(3, -1))
    draw.save_own(tmp_path / "x.npz", given, made, names)
    with np.load(tmp_path / "x.npz") as kept:
        np.testing.assert_array_equal(kept["x"], made[None])
        assert kept["names"].tolist() == names and "y" not in kept
    draw.save_own(tmp_path / "x.png", given, made, names)
    np.testing.assert_array_equal(read(tmp_path / "x.png"), plots.grid(np.concatenate([given, made[None]]), 3))
    with pytest.raises(JaxganError, match="reconstructs pairs of images"):
        draw.own(run, paths, True, (), 0, True)


def test_own_images_become_square_as_the_runs_data_did(tmp_path):
    wide = Image.new("L", (8, 4), 0)
    wide.paste(255, (2, 0, 6, 4))
    wide.save(tmp_path / "x.png")
    run = untrained((4, 4, 2), kind="pix2pix", latent=2)
    cropped, padded = (
        draw.own(
            dataclasses.replace(run, config=dataclasses.replace(run.config, fit=fit)), [tmp_path], False, (), 0, True
        )
        for fit in ("crop", "pad")
    )
    assert (cropped[0] == 1).all() and (padded[0] < 0).any()


def test_a_stargan_turns_own_images_into_each_class(photos, tmp_path):
    paths, x = photos
    run = untrained((4, 4, 1), 3, ("cat", "dog", "eel"), kind="stargan")
    given, made, names = draw.own(run, paths, False, ("eel", "0"), 0, True)
    assert list(made) == [2, 0]
    np.testing.assert_array_equal(made[2], run.translate(x, labels=[2, 2, 2]))
    draw.save_own(tmp_path / "out", given, made, names, run.env["names"])
    found = sorted(p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.png"))
    assert found == [f"{c}/{n}" for c in ("cat", "eel") for n in ("a.png", "b.png", "more/a.png")]
    np.testing.assert_array_equal(read(tmp_path / "out/eel/b.png"), plots.to_uint8(made[2][1]).repeat(3, -1))


def test_own_images_are_reconstructed_with_the_classes_that_are_said(photos):
    paths, x = photos
    run = untrained((4, 4, 1), 3, kind="bigan", conditional=True)
    _, made, _ = draw.own(run, paths, True, ("2",), 0, True)
    np.testing.assert_array_equal(made[None], run.reconstruct(x, [2, 2, 2]))
    with pytest.raises(JaxganError, match="there are 0 --labels; give one class for all 3 images"):
        draw.own(run, paths, True, (), 0, True)
    plain = dataclasses.replace(untrained((4, 4, 1), kind="bigan"))
    np.testing.assert_array_equal(draw.own(plain, paths, True, (), 0, True)[1][None], plain.reconstruct(x))


def test_one_sequence_and_one_point_are_pictures_too(tmp_path):
    for x in (np.linspace(-1, 1, 16, dtype=np.float32).reshape(1, 16, 1), np.zeros((1, 2), np.float32)):
        outputs.save(tmp_path / "x.png", x, None, 8)
        np.testing.assert_array_equal(read(tmp_path / "x.png"), plots.examples(x, 8))


def test_an_empty_folder_may_hold_what_is_drawn(tmp_path):
    outputs.check(tmp_path)
    assert not list(tmp_path.iterdir())
    (tmp_path / "x.png").touch()
    outputs.check(tmp_path / "x.png")  # a picture takes the place of an older one
    with pytest.raises(JaxganError, match="holds files already"):
        outputs.check(tmp_path)
