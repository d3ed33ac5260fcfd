"""Image files of more than 8 bits: every number is kept until the set's black and white are known."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from jaxgan.data import levels, open_source
from jaxgan.types import JaxganError


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def root(tmp_path):
    (tmp_path / "images").mkdir()
    return tmp_path / "images"


def rows(root, **options):
    source = open_source(f"folder:{root}", size=8, **options)
    return source.rows(np.arange(source.size))["x"]


def numbers(top, channels=1, seed=0):
    """uint16 [8, 8, channels] from 0 to top, both of which are there."""
    x = np.random.default_rng(seed).integers(0, top, (8, 8, channels), np.uint16, endpoint=True)
    x[0, 0, 0], x[7, 7, 0] = 0, top
    return x


def png(x, transparent=b""):
    """A PNG file of 16 bits, by hand: Pillow writes grey ones only."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    h, w, c = x.shape
    head = struct.pack(">IIBBBBB", w, h, 16, {1: 0, 2: 4, 3: 2, 4: 6}[c], 0, 0, 0)
    lines = b"".join(b"\0" + line.tobytes() for line in x.astype(">u2"))
    parts = chunk(b"IHDR", head) + (chunk(b"tRNS", transparent) if transparent else b"")
    return b"\x89PNG\r\n\x1a\n" + parts + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def tiff(x, order, packed):
    """A TIFF file of 16-bit colours in one strip, by hand."""
    h, w, c = x.shape
    strip = x.astype(f"{order}u2").tobytes()
    strip = zlib.compress(strip) if packed else strip
    start = 8 + 2 + 12 * 10 + 4
    entries = [(256, 3, 1, w), (257, 3, 1, h), (258, 3, c, start), (259, 3, 1, 8 if packed else 1), (262, 3, 1, 2)]
    entries += [(273, 4, 1, start + 2 * c), (277, 3, 1, c), (278, 3, 1, h), (279, 4, 1, len(strip)), (338, 3, 1, 2)]
    entries = entries if c == 4 else [*entries[:-1], (339, 3, 1, 1)]
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HIH", 42, 8, len(entries))
    for tag, kind, count, value in entries:
        short = kind == 3 and count == 1
        head += struct.pack(f"{order}HHIHH" if short else f"{order}HHII", tag, kind, count, value, *[0] * short)
    return head + struct.pack(f"{order}I", 0) + struct.pack(f"{order}{c}H", *[16] * c) + strip


FILES = {
    "grey png": (1, png),
    "grey and opacity png": (2, png),
    "colour png": (3, png),
    "colour and opacity png": (4, png),
    **{
        f"tiff of {c} {order} {packed}": (c, lambda x, o=order, p=packed: tiff(x, o, p))
        for c in (3, 4)
        for order in "<>"
        for packed in (False, True)
    },
}


@pytest.mark.parametrize("name", FILES)
def test_every_bit_of_a_file_is_read(name):
    channels, write = FILES[name]
    x = numbers(65535, channels)
    assert levels.is_deep(write(x))
    np.testing.assert_array_equal(levels.read(write(x)), x)


@pytest.mark.parametrize("kind", ["grey png", "colour png", "tiff of 3 < True"])
@pytest.mark.parametrize(("top", "white"), [(4095, 4095), (3000, 4095), (255, 255), (16000, 16383), (65535, 65535)])
def test_white_is_the_largest_number_of_the_least_bits_that_hold_the_set(root, kind, top, white):
    channels, write = FILES[kind]
    first, second = numbers(top, channels), numbers(top // 2, channels, 1)
    (root / "a.png").write_bytes(write(first))
    (root / "b.png").write_bytes(write(second))
    Image.new("RGB", (8, 8), (7, 8, 9)).save(root / "c.png")
    x = rows(root)
    for found, values in zip(x, (first, second)):
        expected = np.floor(values.astype(float) * 255 / white + 0.5)
        np.testing.assert_array_equal(found, np.broadcast_to(expected, (8, 8, 3)))
    np.testing.assert_array_equal(x[2, 0, 0], (7, 8, 9))  # files of 8 bits are as they were
    found = open_source(f"folder:{root}", size=8).found
    assert f"from 0 to {top:,}, of which 0 is black and {white:,} white" in found


REALS = {
    "from 0 to 1": ([0, 0.25, 0.8, 0.5], (0, 1)),
    "around 0": ([-0.5, 0, 0.75, 1], (-1, 1)),
    "bytes": ([0, 10, 255, 100], (0, 255)),
    "wide": ([-1000, 0, 500, 3000], (-1000, 3000)),
    "one": ([7, 7, 7, 7], (7, 8)),
}


@pytest.mark.parametrize("suffix", ["npy", "tif"])
@pytest.mark.parametrize("case", REALS)
def test_floats_lie_in_a_usual_range_or_have_their_own(root, case, suffix):
    values, (black, white) = REALS[case]
    x = np.repeat(np.array(values, np.float32), 16).reshape(8, 8)
    for i, part in enumerate((x, np.full((8, 8), values[1], np.float32))):  # the second has the range of the set too
        if suffix == "npy":
            np.save(root / f"{i}.npy", part)
        else:
            Image.fromarray(part).save(root / f"{i}.tif")
    expected = (x.astype(float) - black) / (white - black)
    assert np.abs(rows(root)[0, ..., 0] - expected * 255).max() <= 0.5 + 1e-4
    kept = rows(root, levels="floats")
    assert kept.dtype == np.float32
    np.testing.assert_allclose(kept[0, ..., 0], 2 * expected - 1, atol=1e-6)


def test_whole_numbers_below_zero_have_their_own_range(root):
    x = np.linspace(-100, 300, 64).astype(np.int32).reshape(8, 8)
    np.save(root / "a.npy", x)
    np.testing.assert_allclose(rows(root, levels="floats")[0, ..., 0], (x + 100) / 200 - 1, atol=1e-6)


def test_all_levels_are_kept_if_asked(root):
    x = numbers(4095, 3)
    (root / "a.png").write_bytes(png(x))
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(root / "b.png")
    kept = rows(root, levels="floats")
    np.testing.assert_allclose(kept[0], 2 * x / 4095 - 1, atol=1e-6)
    np.testing.assert_allclose(kept[1, ..., 0].ravel(), 2 * np.arange(64) / 255 - 1, atol=1e-6)
    source = open_source(f"folder:{root}", size=4, levels="floats")
    assert source.fingerprint != open_source(f"folder:{root}", size=4).fingerprint
    small = source.rows(np.array([0]))["x"]
    assert np.abs(small).max() <= 1 and len(np.unique(small)) > 40  # resized as floats
    with pytest.raises(JaxganError, match=r"levels is 'floats'.*only image files"):
        open_source("mnist5k", levels="floats")


@pytest.mark.parametrize("options", [{}, {"levels": "floats"}])
def test_opacity_of_sixteen_bits_is_composed_on_white(root, options):
    x = np.zeros((8, 8, 4), np.uint16)
    x[..., :3], x[:4, :, 3] = (4095, 0, 0), 65535
    x[6:, :, 3] = 65535 // 2
    (root / "a.png").write_bytes(png(x))
    keyed = np.zeros((8, 8, 3), np.uint16)
    keyed[..., 0] = 4095
    keyed[4:] = 300, 200, 100
    (root / "b.png").write_bytes(png(keyed, struct.pack(">3H", 300, 200, 100)))
    found = rows(root, **options).astype(float)
    found = (found + 1) * 127.5 if options else found
    for image in found:
        np.testing.assert_allclose(image[0, 0], (255, 0, 0), atol=0.01)
        np.testing.assert_allclose(image[5, 5], 255, atol=0.01)
    np.testing.assert_allclose(found[0, 7, 7], (255, 127.5, 127.5), atol=0.51)


def test_numbers_that_are_none_are_named(root):
    x = np.ones((8, 8), np.float32)
    np.save(root / "good.npy", x)
    x[3, 3] = np.nan
    np.save(root / "bad.npy", x)
    with pytest.raises(JaxganError, match=r"1 of 2 files cannot be read:\n  bad\.npy: ValueError: holds NaN"):
        rows(root)
    assert len(rows(root, skip_corrupt=True)) == 1
