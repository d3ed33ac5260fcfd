"""DINOv2: the counts and names of its files, values of transformers' own, and metrics and alignment by its features."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from hashed import hashed
from jaxgan import features, types
from jaxgan.features import dinov2, perceptual, resizes
from jaxgan.games import alignment

TINY = dinov2.Size(32, 3, 2, side=4)
# names in transformers' program, and in the published files
FILES = {"q_proj": "attention.query", "k_proj": "attention.key", "v_proj": "attention.value", "o_proj": "output.dense"}


def filled(s=TINY) -> dict[str, np.ndarray]:
    """Every tensor, as Hugging Face publishes them, from hashes of its name in transformers' program."""
    d, p = s.width, {}

    def put(name: str, *shape: int) -> None:
        gain = len(shape) == 1
        size = 0.1 if gain else 0.5 if name.endswith(("token", "embeddings")) else math.prod(shape[1:]) ** -0.5
        x = hashed(name, shape, size) + np.float32(gain and not name.endswith("bias"))
        for program, file in FILES.items():
            name = name.replace(f"attention.{program}.", f"attention.{file}.")
        p[name] = x.astype(np.float32)

    put("embeddings.cls_token", 1, 1, d)
    put("embeddings.mask_token", 1, d)
    put("embeddings.position_embeddings", 1, 1 + s.side**2, d)
    layers = {"embeddings.patch_embeddings.projection": (d, 3, s.patch, s.patch), "layernorm": (d,)}
    for i in range(s.depth):
        at = f"encoder.layer.{i}"
        layers |= {f"{at}.attention.{name}": (d, d) for name in FILES}
        layers |= {f"{at}.mlp.fc1": (4 * d, d), f"{at}.mlp.fc2": (d, 4 * d), f"{at}.norm1": (d,), f"{at}.norm2": (d,)}
        put(f"{at}.layer_scale1.lambda1", d)
        put(f"{at}.layer_scale2.lambda1", d)
    for name, shape in layers.items():
        put(f"{name}.weight", *shape)
        put(f"{name}.bias", shape[0])
    return p


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A file of a tiny network, which stands for that of ViT-B/14."""
    monkeypatch.setitem(dinov2.SIZES, "vitb14", TINY)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    save_file(filled(), tmp_path / "tiny.safetensors")
    return tmp_path / "tiny.safetensors"


def test_counts_are_the_published_ones():
    counts = {name: sum(map(math.prod, dinov2.shapes(s).values())) for name, s in dinov2.SIZES.items()}
    assert counts == {"vits14": 22_056_576, "vitb14": 86_580_480, "vitl14": 304_368_640}


def test_it_gives_the_values_of_transformers(tiny):
    """Dinov2Model's (transformers 5.24) in float64, of three blocks and hashed weights, at its own number of places."""
    p = dinov2.load("vitb14", tiny)
    x = hashed("image", (2, 3, 56, 56), 1.0).transpose(0, 2, 3, 1)
    y = jax.jit(lambda p, x: dinov2.network(p, x, TINY))(p, x)
    assert y.shape == (2, 17, 32)
    np.testing.assert_allclose([y.mean(), (y**2).mean()], [-0.0068366169, 1.0009807044], atol=2e-6)
    np.testing.assert_allclose(y[0, 0, :3], [-0.09401227, 0.13055232, -1.49449884], atol=1e-5)
    np.testing.assert_allclose(y[1, 0, -2:], [0.94457063, -0.22073972], atol=1e-5)
    np.testing.assert_allclose([y[1, 5, 7], y[0, -1, 0]], [1.7416720904, -1.2376797899], atol=1e-5)


def test_places_are_interpolated_as_pytorch_does():
    """Values of its interpolate, bicubic, 7 x 7 to 3 x 10, with the tenth of a patch that Meta adds to each side."""
    places = hashed("places", (1, 2, 7, 7), 1.0)[0]
    rows, columns = (resizes.cubic(7, n, (n + dinov2.OFFSET) / 7) for n in (3, 10))
    found = np.einsum("ih,chw,jw->cij", rows, places, columns)
    np.testing.assert_allclose(found.mean(), 0.1832279468, atol=1e-7)
    some = [found[0, 0, 0], found[1, 2, 9], found[1, 1, 4]]
    np.testing.assert_allclose(some, [1.0907429426, 1.6896697171, 1.7677351713], atol=1e-6)
    table = np.concatenate([np.full((1, 2), 5.0), places.reshape(2, -1).T])[None].astype(np.float32)
    tokens = dinov2.placed(table, [3, 10], 7)
    np.testing.assert_allclose(tokens[0, 1:], found.reshape(2, -1).T, atol=1e-5)
    np.testing.assert_array_equal(tokens[0, 0], 5)
    np.testing.assert_array_equal(dinov2.placed(table, [7, 7], 7), table)


def test_files_of_meta_have_the_same_tensors(tiny, tmp_path):
    p = dinov2.load("vitb14", tiny)
    meta = {name: p[name] for name in dinov2.shapes(TINY) if name in p}
    for name in dinov2.shapes(TINY).keys() - meta.keys():
        _, i, inner = name.split(".", 2)
        meta[name] = p[f"blocks.{inner}"][int(i)].copy()
    save_file(meta, tmp_path / "meta.safetensors")
    again = dinov2.load("vitb14", tmp_path / "meta.safetensors")
    assert again.keys() == p.keys() and all(np.array_equal(again[name], p[name]) for name in p)


def test_features_are_of_whole_images(tiny):
    """Resized to 224 as PIL does, with ImageNet's moments; the class token; grey is repeated."""
    u = np.asarray(hashed("u", (3, 9, 12, 1), 60.0).clip(-127, 128) + 127, np.uint8)
    found = features.extract(features._dinov2("vitb14"), u, weights=tiny)["features"]
    wide = np.asarray(resizes.resize(u.repeat(3, -1).astype(np.float32), 224, "clean")).round() / 255
    x = (wide - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    p = dinov2.load("vitb14", tiny)
    want = jax.jit(lambda p, x: dinov2.network(p, x, TINY))(p, x.astype(np.float32))[:, 0]
    np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-5)
    assert {f"dinov2-{name}" for name in dinov2.SIZES} <= features.FEATURES.keys()


def test_alignment_is_with_its_tokens(tiny, monkeypatch):
    """The class token to the class token, each patch to the patch of its place, of images in [-1, 1]."""
    monkeypatch.setitem(perceptual.PERCEPTUAL, "dinov2-vitb14", perceptual._dinov2("vitb14"))
    perceptual.weights.cache_clear()
    x = jnp.asarray(hashed("x", (2, 8, 8, 1), 0.5))
    with pytest.raises(types.JaxganError, match=r"dinov2_vitb14_pretrain\.pth.*--alignment-net digits-cnn"):
        alignment.wanted("dinov2-vitb14", x, (16, 16))
    here = perceptual.PERCEPTUAL["dinov2-vitb14"]._replace(load=lambda: dinov2.load("vitb14", tiny))
    monkeypatch.setitem(perceptual.PERCEPTUAL, "dinov2-vitb14", here)
    found = alignment.wanted("dinov2-vitb14", x, (16, 16))
    want = dinov2.network(dinov2.load("vitb14", tiny), dinov2.prepared(127.5 * (x.repeat(3, -1) + 1)), TINY)
    assert found.shape == (2, 257, 32)
    np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-5)
    perceptual.weights.cache_clear()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layernorm.bias": np.zeros(31, np.float32)}, r"is another network: norm\.bias is \(31,\), expected \(32,\)"),
        ({"more": np.zeros(1, np.float32)}, "more is"),
        ({"encoder.layer.1.attention.attention.key.bias": None}, r"blocks\.1\.attn\.qkv\.bias is \(64,\)"),
        (
            {"encoder.layer.0.attention.attention.key.weight": np.zeros((16, 16), np.float32)},
            r"blocks\.0\.attn\.qkv\.weight is \(32, 32\), expected \(96, 32\)",
        ),
        ({"embeddings.cls_token": None}, "cls_token is not there"),
    ],
)
def test_other_files_are_refused(change, message, tiny, tmp_path):
    p = {name: x for name, x in {**filled(), **change}.items() if x is not None}
    save_file(p, tmp_path / "other.safetensors")
    with pytest.raises(types.JaxganError, match=message) as e:
        dinov2.load("vitb14", tmp_path / "other.safetensors")
    assert "\n" not in str(e.value) and "dinov2_vitb14_pretrain.pth" in str(e.value)


def test_without_a_file_one_line_says_what_to_fetch(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for path in ("", tmp_path / "none.pth"):
        with pytest.raises(types.JaxganError, match=r"dinov2_vits14/dinov2_vits14_pretrain\.pth.*--weights PATH"):
            dinov2.load("vits14", path)
