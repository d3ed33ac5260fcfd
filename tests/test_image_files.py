"""Image files of every format and mode: which pixels become rows."""

import zlib

import numpy as np
import pytest
from PIL import Image, features

from jaxgan.data import open_source
from jaxgan.data.folder import folder
from jaxgan.data.images import fit
from jaxgan.types import JaxganError
from photos import noise, rows, save

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "jaxgan" / "folder"


@pytest.fixture
def root(tmp_path):
    (tmp_path / "images").mkdir()
    return tmp_path / "images"


def one(root, size=8):
    source = folder(root, size)
    assert source.size == 1
    return source.rows(np.array([0]))["x"][0]


def sixteen():
    """16-bit grey noise with 0 and 65535 in it."""
    values = np.random.default_rng(0).integers(0, 65536, (8, 8), np.uint16)
    values[0, 0], values[7, 7] = 0, 65535
    return values


def palette(transparency=None):
    image = Image.fromarray(np.repeat(np.array([[0, 1]], np.uint8), 8, 0).repeat(4, 1)).convert("P")
    image.putpalette([*RED, *BLUE])
    if transparency is not None:
        image.info["transparency"] = transparency
    return image


def left_and_right(a, b, mode):
    image = Image.new(mode, (8, 8), a)
    image.paste(b, (4, 0, 8, 8))
    return image


# name -> image, options of save, expected left and right pixel
MODES = {
    "rgb.png": (left_and_right(RED, BLUE, "RGB"), {}, RED, BLUE),
    "rgb.bmp": (left_and_right(RED, BLUE, "RGB"), {}, RED, BLUE),
    "rgb.webp": (left_and_right(RED, BLUE, "RGB"), {"lossless": True}, RED, BLUE),
    "RGB.PNG": (left_and_right(RED, BLUE, "RGB"), {"format": "PNG"}, RED, BLUE),
    "grey.png": (left_and_right(10, 200, "L"), {}, (10,), (200,)),
    "bits.png": (left_and_right(0, 1, "1"), {}, (0,), (255,)),
    "grey_in_rgb.png": (left_and_right((9, 9, 9), (99, 99, 99), "RGB"), {}, (9,), (99,)),
    "palette.png": (palette(), {}, RED, BLUE),
    "palette_clear.png": (palette(0), {"transparency": 0}, (255, 255, 255), BLUE),
    "clear.png": (left_and_right((255, 0, 0, 0), (0, 0, 255, 255), "RGBA"), {}, (255, 255, 255), BLUE),
    "half.png": (left_and_right((255, 0, 0, 128), (0, 0, 255, 255), "RGBA"), {}, (255, 127, 127), BLUE),
    "half.webp": (
        left_and_right((255, 0, 0, 128), (0, 0, 255, 255), "RGBA"),
        {"lossless": True},
        (255, 127, 127),
        BLUE,
    ),
    "grey_alpha.png": (left_and_right((0, 0), (7, 255), "LA"), {}, (255,), (7,)),
    "key_colour.png": (left_and_right(RED, BLUE, "RGB"), {"transparency": RED}, (255, 255, 255), BLUE),
}


@pytest.mark.parametrize("name", MODES)
def test_every_mode_gives_the_right_pixels(root, name):
    image, options, left, right = MODES[name]
    save(root, name, image, **options)
    x = one(root)
    assert x.shape == (8, 8, len(left)) and x.dtype == np.uint8
    np.testing.assert_allclose(x[:, :4].astype(int), np.broadcast_to(left, (8, 4, len(left))), atol=1)
    np.testing.assert_allclose(x[:, 4:].astype(int), np.broadcast_to(right, (8, 4, len(right))), atol=1)


# name -> options of save
FORMATS = {
    **{f"a.{suffix}": {} for suffix in ("tif", "tiff", "tga", "ppm", "pcx", "dib", "sgi")},
    **{"a.gif": {}, "a.jp2": {"irreversible": False}, "a.jfif": {"quality": 100, "subsampling": 0}},
    "a.avif": {"quality": 100, "subsampling": "4:4:4"},
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_that_pillow_reads_is_read(root, name):
    if name == "a.avif" and not features.check("avif"):
        pytest.skip("this Pillow is built without AVIF")
    save(root, "b.png", left_and_right(RED, BLUE, "RGB"))
    save(root, name, left_and_right(RED, BLUE, "RGB"), **FORMATS[name])
    x = rows(folder(root, 8))["x"].astype(int)
    assert len(x) == 2
    np.testing.assert_allclose(x[0], x[1], atol=3)


@pytest.mark.parametrize("suffix", ["gif", "webp", "tif", "apng"])
def test_the_first_of_several_frames_counts(root, suffix):
    first, *others = (Image.new("RGB", (8, 8), colour) for colour in (RED, GREEN, BLUE))
    first.save(root / f"a.{suffix}", save_all=True, append_images=others)
    np.testing.assert_allclose(one(root).astype(int), np.broadcast_to(RED, (8, 8, 3)), atol=3)


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 1), (8, 8, 2), (8, 8, 3), (8, 8, 4)])
def test_arrays_are_images_too(root, shape):
    """The last of two or four channels is the opacity, as in other files."""
    values = noise(1, shape)
    np.save(root / "a.npy", values)
    colours = values.reshape(8, 8, -1).astype(float)
    if colours.shape[-1] in (2, 4):
        opacity = colours[..., -1:] / 255
        colours = colours[..., :-1] * opacity + 255 * (1 - opacity)
    np.testing.assert_allclose(one(root), colours, atol=1)


def test_arrays_that_are_no_image_are_named(root):
    save(root, "a.png", Image.fromarray(noise()))
    np.save(root / "stack.npy", np.zeros((3, 8, 8, 3), np.uint8))
    np.save(root / "objects.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(JaxganError, match="2 of 3 files") as caught:
        folder(root, 8)
    assert "uint8 of shape (3, 8, 8, 3); expected one image" in str(caught.value)
    assert "objects.npy: ValueError: Object arrays cannot be loaded" in str(caught.value)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpeg(root, mode):
    pixels = np.asarray(Image.fromarray(noise(shape=(2, 2, 3))).resize((8, 8)))
    image = Image.fromarray(pixels).convert(mode)
    save(root, "a.jpg", image, quality=100, subsampling=0)
    x = one(root)
    expected = np.asarray(image.convert("L" if mode == "L" else "RGB")).reshape(x.shape)
    assert np.abs(x.astype(int) - expected).mean() < 3


def test_sixteen_bit_png_is_scaled_to_eight(root):
    values = sixteen()
    save(root, "deep.png", Image.fromarray(values))
    x = one(root)[..., 0]
    assert x[0, 0] == 0 and x[7, 7] == 255
    np.testing.assert_array_equal(x, np.rint(values / 257).astype(np.uint8))


def chunk(kind, data):
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


def test_sixteen_bit_colour_png_is_scaled_to_eight(root):
    """Written by hand, as Pillow cannot."""
    values = np.zeros((8, 8, 3), ">u2")
    values[..., 0], values[..., 1] = 65535, np.arange(8) * 8192
    lines = b"".join(b"\0" + line.tobytes() for line in values)
    head = (8).to_bytes(4, "big") * 2 + bytes([16, 2, 0, 0, 0])
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    (root / "deep.png").write_bytes(b"\x89PNG\r\n\x1a\n" + parts)
    np.testing.assert_allclose(one(root).astype(int), np.rint(values / 257), atol=1)


def test_exif_orientation_is_applied(root):
    image = Image.fromarray(noise())
    for orientation, turn in {3: lambda x: x[::-1, ::-1], 6: lambda x: np.rot90(x, -1), 8: np.rot90}.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        save(root, "turned.png", image, exif=exif)
        np.testing.assert_array_equal(one(root), turn(noise()))


def test_mixed_sizes_are_cropped_to_the_centre_and_resized_without_aliasing(root):
    wide = Image.new("RGB", (300, 100), RED)
    wide.paste(GREEN, (100, 0, 200, 100))
    stripes = Image.fromarray(np.tile(np.array([0, 255], np.uint8), (128, 64)).astype(np.uint8))
    save(root, "a.png", wide)
    save(root, "b.png", wide.transpose(Image.Transpose.ROTATE_90))
    save(root, "c.png", stripes)
    save(root, "d.png", Image.new("RGB", (1, 1), BLUE))
    x = rows(folder(root, 16))["x"]
    assert x.shape == (4, 16, 16, 3)
    for i, colour in enumerate((GREEN, GREEN, None, BLUE)):
        if colour:
            np.testing.assert_array_equal(x[i], np.broadcast_to(colour, (16, 16, 3)))
    assert np.abs(x[2].astype(int) - 127).max() < 12  # a nearest-neighbour reduction would show black or white
    np.testing.assert_array_equal(x[2][..., 0], fit(stripes, 16))


FITTED = {  # rows of a 16x8 image of a red and a blue half, at size 8
    "crop": [[RED] * 4 + [BLUE] * 4] * 8,
    "stretch": [[RED] * 4 + [BLUE] * 4] * 8,
    "pad": [[(255, 255, 255)] * 8] * 2 + [[RED] * 4 + [BLUE] * 4] * 4 + [[(255, 255, 255)] * 8] * 2,
}


@pytest.mark.parametrize("levels", ["bytes", "floats"])
@pytest.mark.parametrize("how", FITTED)
def test_images_become_square_as_is_asked(root, how, levels):
    image = left_and_right(RED, BLUE, "RGB").resize((16, 8), Image.Resampling.NEAREST)
    image.paste(GREEN, (0, 0, 2, 8))  # which a crop leaves out
    save(root, "wide.png", image)
    save(root, "square.png", Image.fromarray(noise()))
    source = open_source(f"folder:{root}", size=8, fit=how, levels=levels)
    square, wide = rows(source)["x"]
    wide, square = ((x + 1) * 127.5 if levels == "floats" else x.astype(float) for x in (wide, square))
    np.testing.assert_allclose(square, noise(), atol=1e-4)  # a square one stays as it is
    expected = np.array(FITTED[how], float)
    if how == "crop":
        np.testing.assert_allclose(wide, expected, atol=1e-4)
        return
    assert (np.abs(wide - expected)[:, 5:].max() < 40) and {"pad": "padded with white", "stretch": "stretched"}[
        how
    ] in source.found
    inside = wide[2:6] if how == "pad" else wide
    assert (inside[:, 0, 1] > 200).all() and (inside[:, 0, 0] < 60).all()  # all of the image is there


def test_unknown_ways_are_refused(root):
    save(root, "a.png", Image.fromarray(noise()))
    for option, value in {"fit": "cover", "levels": "all"}.items():
        with pytest.raises(JaxganError, match=f"{option} is '{value}'; choose from"):
            open_source(f"folder:{root}", size=8, **{option: value})
    with pytest.raises(JaxganError, match=r"fit is 'pad'.*only image files"):
        open_source("mnist5k", fit="pad")


def test_grey_needs_every_image_grey(root):
    save(root, "a.png", Image.new("L", (8, 8), 7))
    save(root, "b.jpg", Image.new("L", (8, 8), 9))
    assert folder(root, 8).shape == (8, 8, 1)
    save(root, "c.png", Image.new("RGB", (8, 8), RED))
    assert folder(root, 8).shape == (8, 8, 3)
