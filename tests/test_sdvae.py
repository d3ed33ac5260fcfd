"""Stable Diffusion's autoencoder: values of diffusers' own, the published file, and runs in its latent space."""

import dataclasses
import hashlib
import json
import math
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

import jaxgan
from hashed import hashed
from jaxgan import config, data, encoded, export, latent_space, rng, train, transfer
from jaxgan.config import Config
from jaxgan.errors import JaxganError
from jaxgan.features import sdvae
from jaxgan.verify import verify
from runs import BASE, assert_same_bits

NARROW = sdvae.Size((8, 16), 1, 2, 4)
FILE = "diffusion_pytorch_model.safetensors"


def filled(s=NARROW):
    """Every tensor from hashes of its name: gains near 1, biases near 0, and kernels that keep the scale."""
    p = {}
    for name, shape in sdvae.shapes(s).items():
        bias, gain = name.endswith("bias"), len(shape) == 1
        size = 0.1 if gain else math.prod(shape[1:]) ** -0.5
        p[name] = hashed(name, shape, size) + (gain and not bias)
    return {name: x.astype(np.float32) for name, x in p.items()}


def former(p):
    """The same under the names of diffusers' first files."""
    names = {new: old for old, new in sdvae.FORMER.items()}

    def renamed(name):
        for new, old in names.items():
            name = name.replace(f"attentions.0.{new}.", f"attentions.0.{old}.")
        return name

    return {renamed(name): x for name, x in p.items()}


def test_the_names_and_shapes_are_those_of_diffusers():
    """SHA-256 of AutoencoderKL's own table, of Stable Diffusion's sizes; each tensor has its place in the network."""
    shapes = sdvae.shapes(sdvae.PUBLISHED)
    assert len(shapes) == 248 and sum(map(math.prod, shapes.values())) == 83_653_863
    text = "\n".join(f"{name} {shape}" for name, shape in sorted(shapes.items()))
    expected = "600696bc94ffc80f250f7a2b836e289ff191e5f194ce89f9aa389cfc8ef4a0ab"
    assert hashlib.sha256(text.encode()).hexdigest() == expected
    seen = []

    class Noting(dict):
        def __getitem__(self, name):
            seen.append(name)
            return super().__getitem__(name)

    p = Noting({name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in shapes.items()})
    of = lambda f, shape: jax.eval_shape(  # noqa: E731
        lambda leaves, x: f(Noting(zip(shapes, leaves)), x, sdvae.PUBLISHED), [*p.values()], jnp.zeros(shape)
    )
    mean, deviation = of(sdvae.encode, (2, 32, 40, 3))
    assert mean.shape == deviation.shape == (2, 4, 5, 4)
    assert of(sdvae.decode, (2, 4, 5, 4)).shape == (2, 32, 40, 3)
    assert sorted({*seen}) == sorted(shapes)


def test_the_published_file_has_these_tensors_under_their_former_names():
    """Its size is that of a header of those names, offsets and PyTorch's mark, filled up to 8, and the numbers."""
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, x in sorted(former(dict(sdvae.shapes(sdvae.PUBLISHED))).items()):
        end = at + 4 * math.prod(x)
        header[name] = {"dtype": "F32", "shape": [*x], "data_offsets": [at, end]}
        at = end
    text = json.dumps(header, separators=(",", ":"))
    assert 8 + -(-len(text) // 8) * 8 + at == sdvae.BYTES == 334_643_276


def test_it_gives_the_values_of_diffusers():
    """AutoencoderKL's (diffusers 0.42) in float64, of two resolutions, norms of 4 groups, and hashed weights."""
    p = filled()
    x, z = hashed("image", (2, 16, 24, 3), 0.5), hashed("latent", (2, 8, 12, 2), 1.0)
    mean, deviation = jax.jit(lambda p, x: sdvae.encode(p, x, NARROW))(p, x)
    image = jax.jit(lambda p, z: sdvae.decode(p, z, NARROW))(p, z)
    for found, total, some in (
        (mean, 0.0730744159, (0.3363507715, 0.1665070426, 0.0408432912)),
        (deviation, 1.2636064399, (0.8817435161, 1.0907880194, 0.9838278251)),
        (image, 0.0654702657, (-0.9176104940, 0.1831892841, 0.1077683194)),
    ):
        np.testing.assert_allclose(found.mean(), total, atol=2e-6)
        np.testing.assert_allclose([found[0, 1, 2, 1], found[1, -1, -1, 0], found[1, 0, 0, -1]], some, atol=1e-5)


def test_many_images_go_through_by_parts():
    """Each as with all at once, and no more of them together."""
    seen, x = [], hashed("image", (7, 2, 2, 1), 0.5)

    def f(x):
        seen.append(x.shape[0])
        return jnp.cumsum(x, 1)

    found = sdvae._by_parts(f, x, 3)
    np.testing.assert_allclose(found, x.cumsum(1), rtol=1e-6)
    assert max(seen) < 4
    sdvae._by_parts(f, x, 7)
    assert max(seen) == 7


@pytest.fixture
def narrow(tmp_path, monkeypatch):
    """A file of a narrow network, which stands for the published one."""
    monkeypatch.setattr(sdvae, "PUBLISHED", NARROW)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    save_file(former(filled()), tmp_path / "vae.safetensors")
    return tmp_path / "vae.safetensors"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda p: None,
            r"there are no weights .*vae.safetensors; expected is diff.*ft-ema, 334,643,276 bytes$",
        ),
        (
            lambda p: b"no such thing",
            "vae.safetensors, 13 bytes, SHA-256 [0-9a-f]{64}, is not whole, or no .*334,643,276",
        ),
        (
            lambda p: p.pop("quant_conv.bias") is None,
            "another network: quant_conv.bias is not there, expected .4,.; exp",
        ),
        (
            lambda p: p.update({"quant_conv.bias": np.zeros(8, np.float32)}),
            r"quant_conv.bias is \(8,\), expected \(4,\);",
        ),
        (
            lambda p: p.update(more=np.zeros(1, np.float32)),
            r"another network: more is \(1,\), expected none; expected is",
        ),
    ],
)
def test_what_is_no_such_file_is_said(narrow, spoil, message):
    p = former(filled())
    narrow.unlink()
    if isinstance(made := spoil(p), bytes):
        narrow.write_bytes(made)
    elif "there are no" not in message:
        save_file(p, narrow)
    with pytest.raises(JaxganError, match=message) as e:
        sdvae.load(narrow, NARROW)
    assert "\n" not in str(e.value)


def images(n=40, shape=(8, 12, 3)):
    r = np.random.default_rng(0)
    return data.from_arrays(r.integers(0, 256, (n, *shape), np.uint8), r.integers(0, 3, n))


def configured(path, **changes):
    return dataclasses.replace(BASE, space=f"sd-vae:{path}", d_steps=1, steps=2, checkpoint_every=2, **changes)


def test_a_run_trains_in_its_space(narrow, tmp_path):
    """Latents are times 0.18215 and no more, drawn anew; the folder has the weights' place and digest alone."""
    c = configured(narrow)
    run = train.run(c, tmp_path / "run", images(), quiet=True)
    seen, _ = encoded.of_config(c, images())
    assert seen.shape == tuple(run.env["shape"]) == (4, 6, 2) and run.shape == (8, 12, 3)
    index, keys = np.arange(9), rng.examples(rng.root(1), 9)
    mean, deviation = sdvae.encode(filled(), images().finish(images().rows(index), keys)["x"], NARROW)
    noise = jax.vmap(lambda key: jax.random.normal(rng.stream(key, "posterior"), (4, 6, 2)))(keys)
    found = seen.finish(seen.rows(index), keys)["x"]
    np.testing.assert_allclose(found, 0.18215 * (mean + deviation * noise), atol=1e-5)
    z, x = run.sample(5, decode=False), run.sample(5)
    np.testing.assert_allclose(x, sdvae.decode(filled(), z / 0.18215, NARROW), atol=1e-4)
    assert not (run.dir / latent_space.FILE).exists()
    noted = json.loads((run.dir / "env.json").read_text())["space"]
    assert noted["run"] == f"sd-vae:{narrow}" and noted["digest"] == latent_space.digest_of(filled())
    sampler, inputs = export.signature(run, jax.tree.map(np.asarray, run.nets()))
    assert jax.export.export(jax.jit(sampler))(*inputs.values()).out_avals[0].shape[1:] == (8, 12, 3)

    moved = narrow.rename(tmp_path / "moved.safetensors")
    with pytest.raises(
        JaxganError, match=r"the space of the run in .* no weights .*bring them back, put them at .*:PATH"
    ):
        jaxgan.load(run.dir)
    (tmp_path / "cache/jaxgan/weights").mkdir(parents=True)
    shutil.move(moved, tmp_path / "cache/jaxgan/weights" / FILE)
    np.testing.assert_array_equal(jaxgan.load(run.dir).sample(5), x)
    save_file({name: x + 1 for name, x in filled().items()}, narrow)
    with pytest.raises(JaxganError, match=r"vae.safetensors is not the space in which .* \(digest .*bring them back"):
        jaxgan.load(run.dir)
    with pytest.raises(
        JaxganError, match=r"which is not what the run in .*weights now. Bring the old ones back, or ch"
    ):
        train.run(dataclasses.replace(c, steps=4), run.dir, images(), quiet=True)


@pytest.mark.slow
def test_weights_may_move(narrow, tmp_path):
    """A run that goes on from another place has the bits of one that did not, and notes the place."""
    c = configured(narrow)
    whole = train.run(dataclasses.replace(c, steps=4), tmp_path / "whole", images(), quiet=True)
    train.run(c, tmp_path / "run", images(), quiet=True)
    there = f"sd-vae:{narrow.rename(tmp_path / 'moved.safetensors')}"
    run = train.run(dataclasses.replace(c, space=there, steps=4), tmp_path / "run", images(), quiet=True)
    assert_same_bits(run, whole)
    assert run.config.space == there and verify(run.dir, images(), say=lambda text: None) == 2


def test_what_has_no_place_in_it_is_said(narrow):
    for shape in ((9, 8, 3), (8, 8, 1)):
        with pytest.raises(
            JaxganError, match=r"of 3 channels whose height and width are multiples of 2, and .*channels"
        ):
            encoded.of_config(configured(narrow), images(4, shape))
    with pytest.raises(JaxganError, match=r"space is 'sd-vae:nowhere': there are no weights .*nowhere"):
        encoded.of_config(configured("nowhere"), images(4))
    assert config.from_dict(config.to_dict(Config(space="sd-vae:x"))).space == "sd-vae:x"
    assert config.placed("sd-vae:/a/b") == transfer.name("sd-vae:/a/b") == "sd-vae:/a/b"
    assert config.placed("sd-vae:b") == f"sd-vae:{config.placed('b')}"
