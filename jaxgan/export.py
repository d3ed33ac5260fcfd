"""A run's sampler as files that need neither jaxgan nor its source: jax.export, ONNX, and weights as safetensors."""

import contextlib
import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import BinaryIO

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan import disk, run_folder
from jaxgan.backend import portable
from jaxgan.errors import JaxganError
from jaxgan.run import Run, latents, load
from jaxgan.step import applied
from jaxgan.types import named

PLATFORMS = ("cpu", "cuda", "tpu")
NEEDS = {"jax": "flatbuffers", "onnx": "jax2onnx", "safetensors": "safetensors"}
FILES = {"jax": "sampler.jax", "onnx": "sampler.onnx", "safetensors": "weights.safetensors"}
ABOUT = "sampler.json"
CLOSE = 1e-5  # the largest difference of the same samples by a file and by jaxgan, where images lie in [-1, 1]


def export(dir, formats: tuple[str, ...] = ("jax",), out: Path | str = "", ema: bool = True, step=None) -> list[Path]:
    """Write the sampler of the run in dir as sampler.jax, sampler.onnx, weights.safetensors -> their paths.

    sampler.json beside them says what goes in and out. out: a folder, by default dir/export. step: as of `load`. Each
    file is read again and compared with the run's own samples. JaxganError for what the user can mend.
    """
    if not formats:
        raise JaxganError(f"which formats? Choose from {', '.join(NEEDS)}")
    for name in formats:
        _check(name)
    run = load(dir, step)
    out = Path(out).expanduser() if out else run_folder.find(dir) / "export"
    if out.exists() and not out.is_dir():
        raise JaxganError(f"--out is {out}, which is a file; choose a folder")
    out.mkdir(parents=True, exist_ok=True)
    nets = jax.tree.map(np.asarray, run.nets(ema))
    sampler, inputs = signature(run, nets)
    about: dict = {"step": int(run.state.step), "generator": "ema" if ema else "last", "shape": list(run.shape)}
    about |= {"classes": run.game.classes, "inputs": {name: [*map(str, x.shape)] for name, x in inputs.items()}}
    paths = {name: out / FILES[name] for name in formats}
    with contextlib.ExitStack() as stack:  # all of them take their places, or none does
        files = {path: stack.enter_context(disk.replacing(path)) for path in (*paths.values(), out / ABOUT)}
        for name, path in paths.items():
            WRITERS[name](files[path], run, nets, sampler, inputs)
        files[out / ABOUT].write(json.dumps(about | {"names": run.env.get("names", [])}, indent=2).encode() + b"\n")
    return [*paths.values()]


def _check(name: str) -> None:
    if name not in NEEDS:
        raise JaxganError(f"there is no format {name!r}; choose from {', '.join(NEEDS)}")
    try:
        import_module(NEEDS[name])
    except ImportError:
        raise JaxganError(f"the format {name} needs {NEEDS[name]}: pip install 'jaxgan[export]'") from None


def signature(run: Run, nets: dict) -> tuple[Callable, dict[str, jax.ShapeDtypeStruct]]:
    """The sampler, a function of arrays alone, and its inputs by name, whose first axis is a symbolic number b.

    z are latents as Run.sample draws them, y labels; of a translator x are images, which it translates. An upscaler has
    images of any height h and width w alone.
    """
    game, shape = run.game, run.shape
    (b,) = jax.export.symbolic_shape("b")
    inputs = {"z": jax.ShapeDtypeStruct((b, *jax.eval_shape(lambda: latents(game, 1, 0)).shape[1:]), jnp.float32)}
    f = game.sample
    if "upscale" in game.views:
        b, h, w = jax.export.symbolic_shape("b, h, w")
        x = jax.ShapeDtypeStruct((b, h, w, shape[-1]), jnp.float32)
        return lambda x: applied(game, game.views["upscale"], nets, x), {"x": x}
    if "turn" in game.views:
        f, inputs["x"] = game.views["turn"], jax.ShapeDtypeStruct((b, *shape), jnp.float32)
        inputs["z"] = jax.ShapeDtypeStruct((b, game.classes), jnp.float32)
    elif "translate" in game.views:
        half = (*shape[:-1], shape[-1] // 2)
        f, inputs["x"] = game.views["translate"], jax.ShapeDtypeStruct((b, *half), jnp.float32)
    elif game.classes:
        inputs["y"] = jax.ShapeDtypeStruct((b,), jnp.int32)

    def sampler(z, other=None):
        return applied(game, f, nets, z, other)

    return sampler, inputs


def examples(inputs: dict[str, jax.ShapeDtypeStruct], n: int = 3) -> list[np.ndarray]:
    """Arrays that the sampler takes: normal latents, images in [-1, 1], labels 0 or 1."""
    draw = np.random.default_rng(0)
    shapes = {name: (n, *(i if isinstance(i, int) else 6 for i in x.shape[1:])) for name, x in inputs.items()}
    made = {name: np.tanh(draw.normal(size=shape)).astype(np.float32) for name, shape in shapes.items()}
    return [np.arange(n, dtype=np.int32) % 2 if name == "y" else x for name, x in made.items()]


def _read_again(file: BinaryIO, data: bytes) -> bytes:
    """What file holds, data having been written into it."""
    file.write(data)
    file.flush()
    return Path(file.name).read_bytes()


def _write_jax(file: BinaryIO, run: Run, nets, sampler, inputs) -> None:
    exported = portable(lambda: jax.export.export(jax.jit(sampler), platforms=PLATFORMS)(*inputs.values()))
    again = jax.export.deserialize(bytearray(_read_again(file, exported.serialize())))
    _compare("jax", lambda xs: again.call(*xs), sampler, inputs)


def _write_onnx(file: BinaryIO, run: Run, nets, sampler, inputs) -> None:
    from jax2onnx import to_onnx
    from onnxruntime import InferenceSession

    try:
        model = portable(lambda: to_onnx(sampler, list(inputs.values()), model_name="sampler"))
        for given, name in zip([*model.graph.input], inputs):
            _rename(model.graph, given.name, name)
        session = InferenceSession(_read_again(file, model.SerializeToString()), providers=["CPUExecutionProvider"])
    except OSError:  # of the file
        raise
    except Exception as e:  # whatever the converter or the runtime meets
        reason = (str(e).strip() or type(e).__name__).splitlines()[0][:200]
        raise JaxganError(f"net {run.config.net!r} cannot be written as ONNX ({reason}); --formats jax can") from e
    _compare("onnx", lambda xs: session.run(None, dict(zip(inputs, xs)))[0], sampler, inputs)


def _rename(graph, old: str, new: str) -> None:
    """Call an input of an ONNX graph otherwise."""
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
    for given in graph.input:
        given.name = new if given.name == old else given.name


def _write_weights(file: BinaryIO, run: Run, nets, sampler, inputs) -> None:
    from safetensors.numpy import load, save

    arrays = named(nets)
    again = load(_read_again(file, save({name: np.ascontiguousarray(x) for name, x in arrays.items()})))
    if any(not np.array_equal(again[name], x) for name, x in arrays.items()):
        raise JaxganError(f"{FILES['safetensors']} does not hold what was written; is the disk sound?")


def _compare(name: str, read: Callable, sampler: Callable, inputs: dict) -> None:
    """JaxganError where what was read draws other samples than the run."""
    xs = examples(inputs)
    expected, found = np.asarray(jax.jit(sampler)(*xs)), np.asarray(read(xs))
    worst = float(np.abs(found - expected).max() / max(1.0, np.abs(expected).max()))
    if not worst <= CLOSE:
        raise JaxganError(f"{FILES[name]} draws other samples than the run, by {worst:.2g}; please report this")


WRITERS: dict[str, Callable] = {"jax": _write_jax, "onnx": _write_onnx, "safetensors": _write_weights}
