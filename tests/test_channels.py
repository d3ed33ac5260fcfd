"""Opacity, grey and more channels of image files where they are asked for: from the file to pictures and samples."""

import numpy as np
import pytest
from PIL import Image

from jaxgan import Config, cli, inputs, outputs, plots, train
from jaxgan.data import open_source
from jaxgan.data.images import Reading, fit_opacity, row
from jaxgan.errors import JaxganError
from jaxgan.features import small
from jaxgan.features.extractor import Extractor, run

KEPT = {"channels": 4}


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "images").mkdir()
    return tmp_path / "images"


def rows(root, size=8, **options):
    source = open_source(f"folder:{root}", size=size, **options)
    return source.rows(np.arange(source.size))["x"], source


def sprite(size=(8, 8)):
    """Random colours and opacities, a corner of nothing whose colour nobody sees."""
    x = np.random.default_rng(0).integers(1, 256, (size[1], size[0], 4), np.uint8)
    x[:2, :2] = 200, 10, 90, 0
    return x


def test_opacity_is_kept_where_it_is_asked_for(root):
    x = sprite()
    Image.fromarray(x).save(root / "a.png")
    Image.fromarray(x[..., :3]).save(root / "b.png")
    Image.fromarray(x[..., 3]).save(root / "c.png")
    Image.fromarray(x[..., 2:]).save(root / "d.png")  # grey and opacity
    found, source = rows(root, **KEPT)
    expected = np.where(x[..., 3:] > 0, x, 0)
    np.testing.assert_array_equal(found[0], expected)
    np.testing.assert_array_equal(found[1, ..., :3], x[..., :3])
    np.testing.assert_array_equal(found[2, ..., :3], x[..., 3:].repeat(3, -1))
    assert (found[1:3, ..., 3] == 255).all()
    np.testing.assert_array_equal(found[3, ..., 3], x[..., 3])
    np.testing.assert_array_equal(found[3, ..., 1], np.where(x[..., 3] > 0, x[..., 2], 0))
    assert source.shape == (8, 8, 4) and "in their files; with opacity; 8 bits" in source.found


def test_composed_on_white_it_is_what_is_read_without(root):
    Image.fromarray(sprite()).save(root / "a.png")
    kept, _ = rows(root, **KEPT)
    plain, source = rows(root)
    share = kept[..., 3:] / 255
    np.testing.assert_allclose(plain, kept[..., :3] * share + 255 * (1 - share), atol=1)
    assert source.shape == (8, 8, 3) and "opacity" not in source.found


@pytest.mark.parametrize("levels", ["bytes", "floats"])
def test_what_nobody_sees_bleeds_into_nothing(root, levels):
    """Left half opaque red, right half clear, its hidden colour green: no size has a pixel that is not red."""
    x = np.zeros((16, 16, 4), np.uint8)
    x[:, :8], x[:, 8:] = (255, 0, 0, 255), (0, 255, 0, 0)
    Image.fromarray(x).save(root / "a.png")
    found, _ = rows(root, 5, levels=levels, **KEPT)
    found = found if levels == "bytes" else (found + 1) * 127.5
    seen = found[0][found[0][..., 3] > 8]
    assert len(seen) == 15 and 100 < seen[:, 3].min() < 160, "the middle column is half covered"
    np.testing.assert_allclose(seen[:, :3], np.broadcast_to([255, 0, 0], (15, 3)), atol=3)


def test_floats_and_bytes_of_opacity_agree(root):
    Image.fromarray(sprite((23, 17))).save(root / "a.png")
    for how in ("crop", "pad", "stretch"):
        a, _ = rows(root, 9, fit=how, **KEPT)
        b, _ = rows(root, 9, fit=how, levels="floats", **KEPT)
        b = (b + 1) * 127.5
        covered = a[..., 3:] / 255  # bytes are rounded and clipped once more
        np.testing.assert_allclose(a[..., 3], b[..., 3], atol=2)
        np.testing.assert_allclose(a[..., :3] * covered, b[..., :3] * covered, atol=6)


def test_pad_adds_nothing_that_is_seen(root):
    Image.new("RGB", (4, 8), "red").save(root / "a.png")
    found, source = rows(root, fit="pad", **KEPT)
    assert (found[0, :, 2:6] == [255, 0, 0, 255]).all() and (found[0, :, [0, 1, 6, 7]] == 0).all()
    assert "padded with transparency" in source.found
    assert (fit_opacity(np.ones((2, 4, 4), np.float32), 4, "pad")[0] == -1).all()


def test_grey_and_colour_are_made(root):
    x = sprite()[..., :3]
    Image.fromarray(x).save(root / "a.png")
    luma = x @ np.array([0.299, 0.587, 0.114])  # ITU-R 601-2, as Pillow has it
    found, source = rows(root, channels=1)
    np.testing.assert_allclose(found[0, ..., 0], luma, atol=1)
    assert source.shape == (8, 8, 1) and "; as grey; " in source.found
    floats, _ = rows(root, channels=1, levels="floats")
    np.testing.assert_allclose((floats[0, ..., 0] + 1) * 127.5, luma, atol=0.01)
    (root / "a.png").unlink()
    Image.fromarray(x[..., 0]).save(root / "b.png")
    for levels in ("bytes", "floats"):
        plain, three, one = (rows(root, channels=n, levels=levels)[0] for n in (0, 3, 1))
        np.testing.assert_array_equal(three, plain.repeat(3, -1))
        np.testing.assert_array_equal(one, plain)
    assert plain.shape[-1] == 1


def test_sixteen_bits_of_opacity(root):
    """16-bit RGBA of .npy files: opacity has its own white."""
    x = np.zeros((8, 8, 4), np.uint16)
    x[..., :3], x[..., 3] = 1023, 512
    x[0, 0, 0] = 0
    np.save(root / "a.npy", x)
    found, _ = rows(root, levels="floats", **KEPT)
    np.testing.assert_allclose(found[0, 1, 1], [1, 1, 1, 2 * 512 / 1023 - 1], atol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_more_channels_of_arrays(root, dtype):
    """Of six channels none is opacity; each is fitted alone."""
    top = {np.uint8: 255, np.uint16: 4095, np.float32: 1}[dtype]
    x = (np.random.default_rng(0).random((2, 8, 12, 6)) * top).astype(dtype)
    x[0, 0, 4], x[0, 0, 5] = 0, top
    for i in range(2):
        np.save(root / f"{i}.npy", x[i])
    found, source = rows(root, channels=6)
    np.testing.assert_allclose(found, x[:, :, 2:10].astype(float) / top * 255, atol=1)
    floats, _ = rows(root, channels=6, levels="floats")
    np.testing.assert_allclose(floats, 2 * x[:, :, 2:10].astype(float) / top - 1, atol=1e-6)
    assert "the 6 channels of arrays" in source.found and source.shape == (8, 8, 6)
    with pytest.raises(JaxganError, match=r"expected one image, \[h, w\] or \[h, w, 1 to 4\]"):
        rows(root)
    Image.new("RGB", (8, 8)).save(root / "a.png")
    np.save(root / "b.npy", x[0, ..., :5])
    with pytest.raises(JaxganError, match="2 of 4 files") as caught:
        rows(root, channels=6)
    for had in ("a.png: ValueError: has 3", "b.npy: ValueError: has 5"):
        assert f"{had} channels; --channels 6 reads .npy of [h, w, 6] alone" in str(caught.value)


def test_both_sets_of_pairs_have_it(root):
    for side in "AB":
        (root / side).mkdir()
    Image.fromarray(sprite()).save(root / "A" / "1.png")
    Image.fromarray(sprite()[..., :3]).save(root / "B" / "1.png")
    source = open_source(f"pairs:{root}", size=8, **KEPT)
    x = source.rows(np.array([0]))["x"][0]
    assert source.shape == (8, 8, 8) and (x[:2, :2, 3] == 0).all() and (x[..., 7] == 255).all()


@pytest.mark.parametrize(
    ("name", "channels", "message"),
    [
        (
            "mnist5k",
            3,
            r"channels is 3, but only image files .*, hf:\) are read so, not mnist5k; leave it at 0",
        ),
        ("folder:x", 2, "channels is 2; take 1 for grey, 3 for colour, 4 for colour and opacity, or more of .npy"),
    ],
)
def test_what_has_no_channels_to_choose(name, channels, message):
    with pytest.raises(JaxganError, match=message):
        open_source(name, channels=channels)


def test_pictures_show_a_checkerboard_behind():
    clear = np.full((16, 16, 4), -1, np.float32)
    board = plots.tile(clear)
    assert {*map(tuple, board.reshape(-1, 3))} == {(255, 255, 255), (205, 205, 205)}
    assert (board[:2, :2] == 255).all() and (board[:2, 2:4] == 205).all() and (board[2:4, :2] == 205).all()
    half = np.stack([np.ones((16, 16)), -np.ones((16, 16)), -np.ones((16, 16)), np.zeros((16, 16))], -1)
    np.testing.assert_allclose(
        plots.tile(half), np.stack([127.5 + board[..., 0] / 2, *[board[..., 0] / 2] * 2], -1), atol=1
    )
    opaque = np.concatenate([half[..., :3], np.ones((16, 16, 1))], -1)
    np.testing.assert_array_equal(plots.tile(opaque), plots.tile(opaque[..., :3]))


def test_samples_are_files_with_opacity(tmp_path):
    x = (sprite().astype(np.float32) / 127.5 - 1)[None].repeat(2, 0)
    outputs.save(tmp_path / "many", x, None, 2)
    outputs.save(tmp_path / "one.png", x[:1], None, 1)
    for path in (tmp_path / "many" / "00001.png", tmp_path / "one.png"):
        with Image.open(path) as image:
            assert image.mode == "RGBA"
            np.testing.assert_array_equal(image, sprite())


def test_ones_own_images_are_read_as_training_reads_them(root):
    Image.fromarray(sprite((12, 8))).save(root / "a.png")
    kept, _ = rows(root, **KEPT)
    x, _ = inputs.images([root / "a.png"], (8, 8, 4))
    np.testing.assert_array_equal(x, kept)
    grey, _ = inputs.images([root / "a.png"], (8, 8, 1))
    np.testing.assert_array_equal(grey, rows(root, channels=1)[0])
    np.save(root / "b.npy", np.zeros((8, 8, 5), np.uint8))
    assert inputs.images([root / "b.npy"], (8, 8, 5))[0].shape == (1, 8, 8, 5)
    with pytest.raises(JaxganError, match="read as 1, 3, 4 or more channels"):
        inputs.images([root / "a.png"], (8, 8, 2))


def test_features_are_of_what_is_seen_on_white():
    """As of a folder that is read without opacity, so that files of samples score as the run does."""
    e = Extractor("mean", 3, lambda p, u: {"features": u.mean((1, 2))})
    x = sprite()[None]
    white = row_on_white(x[0])
    np.testing.assert_allclose(run(e, x)["features"], white.mean((0, 1))[None], atol=0.5)
    with pytest.raises(JaxganError, match="mean takes grey images, RGB or RGBA; these have 5 channels"):
        run(e, np.zeros((1, 8, 8, 5), np.uint8))
    assert small.SIZE  # networks of grey images take no others
    with pytest.raises(JaxganError, match="one takes grey images; these have 4 channels"):
        run(e._replace(name="one", channels=1), x)


def row_on_white(x):
    image = Image.fromarray(x)
    return np.asarray(Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB"))


def test_a_row_knows_its_channels(root):
    Image.fromarray(sprite((12, 8))).save(root / "a.png")
    data = (root / "a.png").read_bytes()
    assert [row(data, Reading(8, channels=n))[0].shape[-1] for n in (0, 1, 3, 4)] == [3, 1, 3, 4]
    assert row(data, Reading(8))[1] == (12, 8)


def test_a_run_with_opacity(root, tmp_path, monkeypatch):
    """From files to a picture and to samples as files, by commands."""
    monkeypatch.chdir(tmp_path)
    for i in range(4):
        Image.fromarray(sprite()).save(root / f"{i}.png")
    c = Config(data=f"folder:{root}", size=8, net="mlp", width=4, depth=1, latent=2, batch=4, steps=1, channels=4)
    trained = train.run(c, tmp_path / "run", quiet=True)
    assert trained.sample(1).shape == (1, 8, 8, 4)
    cli.main(["sample", "run", "-n", "3", "--out", "many/"])
    with Image.open(tmp_path / "many" / "00002.png") as image:
        assert image.mode == "RGBA" and image.size == (8, 8)
    assert np.asarray(Image.open(tmp_path / "run" / "samples" / "00000001.png")).shape[-1] == 3
    cli.main(["project", "run", str(root / "0.png"), "--steps", "2", "--starts", "1", "--out", "p.npz"])
    with np.load("p.npz") as found:
        assert found["images"].shape == (1, 8, 8, 4)
