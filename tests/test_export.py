"""What a run is exported to draws the run's own samples, in a process that has no jaxgan."""

import dataclasses
import importlib.util
import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import backend, config, export, games, state
from jaxgan.cli import main
from jaxgan.errors import JaxganError
from jaxgan.run import Run, latents, load
from runs import trained

READ = """
import sys
sys.modules["jaxgan"] = None  # as where it is not installed
import jax, numpy as np
sampler = jax.export.deserialize(bytearray(open("sampler.jax", "rb").read()))
z = np.load("z.npy")
np.save("x.npy", sampler.call(z, np.arange(len(z), dtype=np.int32) % 3))
"""
NETS = {
    "dcgan": ({"kind": "conditional"}, (16, 16, 1), 3),
    "sngan": ({"kind": "conditional"}, (32, 32, 3), 3),
    "stylegan2": ({"stylegan2": {"base": 64, "mapping": 2}}, (16, 16, 3), 0),
    "r3gan": ({"r3gan": {"blocks": 1, "group": 8, "wide": 8}}, (16, 16, 3), 0),
    "progan": ({"progan": {"base": 64}}, (16, 16, 3), 0),
}
LONG = ("sngan", "r3gan", "progan")
MAPS = {"pix2pix": {"net": "dcgan"}, "stargan": {"net": "dcgan"}}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("exported") / "run", steps=4)


def untrained(tmp_path, monkeypatch, shape, classes, **fields):
    """A run of a network that was only initialised, which the export finds as if it had been saved."""
    c = config.from_dict({"width": 8, "latent": 8, **fields})
    game = games.make(c, shape, classes)
    first = jax.jit(lambda: state.initial(game, c, shape))()
    # what begins at 0 would hide what comes after it
    moved = jax.tree.map(lambda x: x + (0.01 * (jnp.abs(x).max() == 0)).astype(x.dtype), first.ema)
    made = Run(c, dataclasses.replace(first, ema=moved), {"shape": list(shape), "classes": classes}, tmp_path)
    monkeypatch.setattr(export, "load", lambda dir, step: made)
    monkeypatch.setattr(export.run_folder, "find", lambda dir: tmp_path)
    return made


def test_a_process_without_jaxgan_draws_the_same(run, tmp_path):
    main(["export", str(run.dir), "--formats", "jax", "safetensors", "--out", str(tmp_path)])
    z = np.asarray(latents(run.game, 7, seed=3))  # any number of samples
    np.save(tmp_path / "z.npy", z)
    subprocess.run([sys.executable, "-c", READ], cwd=tmp_path, check=True)
    expected = run.generate(z, np.arange(7) % 3)
    np.testing.assert_allclose(np.load(tmp_path / "x.npy"), expected, atol=1e-6)
    about = json.loads((tmp_path / "sampler.json").read_text())
    assert about["inputs"] == {"z": ["b", "4"], "y": ["b"]} and about["step"] == 4 and about["classes"] == 3
    assert sorted(jax.export.deserialize(bytearray((tmp_path / "sampler.jax").read_bytes())).platforms) == [
        "cpu",
        "cuda",
        "tpu",
    ]


def test_weights_have_their_names(run, tmp_path):
    from safetensors.numpy import load_file

    for ema, nets in ((True, run.state.ema), (False, run.shown())):
        (path,) = export.export(run.dir, ("safetensors",), tmp_path, ema=ema)
        found = load_file(path)
        expected = {jax.tree_util.keystr(p, simple=True, separator="."): x for p, x in jax.tree.leaves_with_path(nets)}
        assert found.keys() == expected.keys() and all(name.startswith("g.") for name in found)
        for name, x in expected.items():
            np.testing.assert_array_equal(found[name], x)


@pytest.mark.parametrize("net", ["dcgan", "stylegan2", *(pytest.param(n, marks=pytest.mark.slow) for n in LONG)])
def test_every_network_has_a_symbolic_number_of_samples(tmp_path, monkeypatch, net):
    """Each takes the form of its convolutions that all backends have; `export` compares it with the run's own."""
    fields, shape, classes = NETS[net]
    run = untrained(tmp_path, monkeypatch, shape, classes, net=net, **fields)
    export.export(tmp_path)
    assert backend.PLATFORM.get() == ""
    read = jax.export.deserialize(bytearray((tmp_path / "export" / "sampler.jax").read_bytes()))
    z = np.asarray(latents(run.game, 2, seed=1))
    y = [np.arange(2, dtype=np.int32)] if classes else []
    np.testing.assert_allclose(read.call(z, *y), run.generate(z, *y), atol=2e-5)


def test_upscalers_take_images_of_any_size(tmp_path, monkeypatch):
    settings = {"kind": "upscale", "net": "rrdb", "factor": 2, "rrdb": {"blocks": 1, "growth": 2}}
    run = untrained(tmp_path, monkeypatch, (8, 8, 1), 0, **settings)
    export.export(tmp_path)
    read = jax.export.deserialize(bytearray((tmp_path / "export" / "sampler.jax").read_bytes()))
    for shape in ((3, 4, 7, 1), (1, 9, 5, 1)):
        x = np.tanh(np.random.default_rng(0).normal(size=shape)).astype(np.float32)
        np.testing.assert_allclose(read.call(x), run.translate(x, finished=True), atol=1e-5)


@pytest.mark.parametrize("kind", MAPS)
def test_translators_take_images(tmp_path, monkeypatch, kind):
    shape, classes = ((16, 16, 2), 0) if kind == "pix2pix" else ((16, 16, 1), 3)
    run = untrained(tmp_path, monkeypatch, shape, classes, kind=kind, **MAPS[kind])
    export.export(tmp_path)
    read = jax.export.deserialize(bytearray((tmp_path / "export" / "sampler.jax").read_bytes()))
    x = np.tanh(np.random.default_rng(0).normal(size=(3, 16, 16, 1))).astype(np.float32)
    if kind == "pix2pix":
        z = np.asarray(latents(run.game, 3, seed=0))
        expected = run.translate(x, z)
    else:
        z = np.eye(3, dtype=np.float32)[[2, 0, 1]]
        expected = run.translate(x, labels=np.array([2, 0, 1]))
    np.testing.assert_allclose(read.call(z, x), expected, atol=1e-5)


def test_what_cannot_be_had_is_said(run, tmp_path, monkeypatch):
    with pytest.raises(JaxganError, match=r"no format 'tf'; choose from jax, onnx, safetensors"):
        export.export(run.dir, ("tf",))
    monkeypatch.setitem(sys.modules, "flatbuffers", None)
    with pytest.raises(JaxganError, match=r"format jax needs flatbuffers: pip install 'jaxgan\[export\]'"):
        export.export(run.dir, ("jax",))
    monkeypatch.undo()
    monkeypatch.setattr(export, "examples", lambda inputs: [np.ones((2, 4), np.float32), np.array([0, 1], np.int32)])
    monkeypatch.setattr(jax.export.Exported, "call", lambda self, *xs: np.zeros((2, 6, 6, 1)))
    with pytest.raises(JaxganError, match="draws other samples than the run"):
        export.export(run.dir, ("jax",), tmp_path)


ONNX = """
import sys
sys.modules["jaxgan"] = sys.modules["jax"] = None
import numpy as np, onnxruntime
session = onnxruntime.InferenceSession("sampler.onnx")
z = np.load("z.npy")
np.save("x.npy", session.run(None, {"z": z, "y": np.arange(len(z), dtype=np.int32) % 3})[0])
"""


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("jax2onnx"), reason="needs pip install 'jaxgan[export]'")
def test_onnx_runtime_draws_the_same_without_jax(run, tmp_path, monkeypatch):
    export.export(run.dir, ("onnx",), tmp_path)
    z = np.asarray(latents(run.game, 5, seed=3))
    np.save(tmp_path / "z.npy", z)
    subprocess.run([sys.executable, "-c", ONNX], cwd=tmp_path, check=True)
    np.testing.assert_allclose(np.load(tmp_path / "x.npy"), load(run.dir).generate(z, np.arange(5) % 3), atol=1e-5)
    for net, (fields, shape, classes) in NETS.items():
        untrained(tmp_path / net, monkeypatch, shape, classes, net=net, **fields)
        (tmp_path / net).mkdir()
        if net == "progan":
            with pytest.raises(JaxganError, match="'progan' cannot be written as ONNX"):
                export.export(tmp_path, ("onnx",))
        else:
            export.export(tmp_path, ("onnx",))
