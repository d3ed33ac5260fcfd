"""A user's own arrays at every door: what training scales, a trained run scales the same way, and neither guesses."""

import json
from functools import cache, partial

import numpy as np
import pytest

from jaxgan import fit, games
from jaxgan.config import from_dict
from jaxgan.data import from_arrays, of_config
from jaxgan.errors import JaxganError
from jaxgan.run import Run
from jaxgan.state import initial

SETTINGS = {"net": "mlp", "width": 4, "latent": 2, "batch": 4}


UPSCALER = {"net": "rrdb", "factor": 2, "rrdb": {"blocks": 1, "growth": 2}, "hp": {"perceptual": 0.0}}


def untrained(kind, shape, classes=0, **settings):
    """A run of this kind with the networks that training begins with."""
    c = from_dict({"kind": kind, **SETTINGS, **settings})
    game = games.make(c, shape, classes)
    return Run(c, initial(game, c, shape), {"shape": list(shape), "classes": classes})


BYTES = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 1), np.uint8)
BYTES[0, 0, :2, 0] = 0, 255
FLOATS = (2 * BYTES.astype(np.float32) - 255) / 255
VAE = partial(untrained, "vae", (4, 4, 1))
DOORS = {  # what makes a run, and a call of it
    "encode": (VAE, lambda run, x, **o: run.encode(x, **o)),
    "reconstruct": (VAE, lambda run, x, **o: run.reconstruct(x, **o)),
    "reconstruct pairs": (
        partial(untrained, "bicyclegan", (4, 4, 2)),
        lambda run, x, **o: run.reconstruct(np.concatenate([x, x], -1), **o),
    ),
    "translate": (partial(untrained, "pix2pix", (4, 4, 2)), lambda run, x, **o: run.translate(x, **o)),
    "translate back": (partial(untrained, "cyclegan", (4, 4, 2)), lambda run, x, **o: run.translate(x, back=True, **o)),
    "upscale": (partial(untrained, "esrgan", (8, 8, 1), **UPSCALER), lambda run, x, **o: run.translate(x, **o)),
    "turn": (
        partial(untrained, "stargan", (4, 4, 1), 3),
        lambda run, x, **o: run.translate(x, labels=[0, 1, 2, 0, 1], **o),
    ),
}


@cache
def opened(door):
    made, call = DOORS[door]
    return made(), call


WRONG = {
    "bytes as floats": (BYTES.astype(np.float32), r"must lie in \[-1, 1\]; row 0 is the first outside.*Pass uint8"),
    "from 0 to 1": (BYTES.astype(np.float32) / 255, r"lie in \[0, 1\]; pass 2\*x-1, or uint8"),
    "whole numbers": (BYTES.astype(np.int32), "dtype int32; pass uint8"),
    "NaN": (np.where(BYTES[3, 2, 1] == BYTES, np.nan, FLOATS), "row . is the first of . rows with NaN"),
}


@pytest.mark.parametrize("door", DOORS)
def test_bytes_are_scaled_as_training_scales_them(door):
    run, call = opened(door)
    by_floats = call(run, FLOATS)
    np.testing.assert_array_equal(call(run, BYTES), by_floats)
    assert np.abs(call(run, -FLOATS) - by_floats).max() > 1e-4  # the door lets more through than a constant
    source = from_arrays(BYTES)
    np.testing.assert_array_equal(source.finish(source.rows(np.arange(5)), np.zeros(5))["x"], FLOATS)


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.parametrize("door", DOORS)
def test_what_training_refuses_a_run_refuses(door, case):
    run, call = opened(door)
    x, message = WRONG[case]
    with pytest.raises(JaxganError, match=message):
        from_arrays(x)
    with pytest.raises(JaxganError, match=message):
        call(run, x)


@pytest.mark.parametrize("door", DOORS)
def test_bright_images_pass_where_they_are_said_to_be_finished(door):
    run, call = opened(door)
    bright = (FLOATS + 1) / 2
    np.testing.assert_array_equal(call(run, bright, finished=True), call(run, bright.astype(np.float64), finished=True))
    with pytest.raises(JaxganError, match="pass 2"):
        call(run, bright)


@pytest.mark.parametrize("images", [BYTES, FLOATS, BYTES[..., 0]], ids=["bytes", "floats", "grey"])
def test_fit_resizes_as_folders_are(images, tmp_path):
    """And config.json says the size that was trained on; without it, none."""
    wide = np.concatenate([images[:, :, :1]] * 2 + [images] + [images[:, :, -1:]] * 2, 2)  # the centre is images
    assert from_arrays(wide, size=4).fingerprint == from_arrays(images).fingerprint
    run = fit(wide.repeat(2, 1).repeat(2, 2), size=4, dir=tmp_path / "run", steps=1, quiet=True, **SETTINGS)
    assert run.sample(1).shape == (1, 4, 4, 1) and run.config.size == 4
    assert json.loads((tmp_path / "run/config.json").read_text())["size"] == run.env["shape"][0] == 4
    assert fit(images, steps=1, quiet=True, **SETTINGS).config.size == 0
    small = from_arrays(images, size=2)
    assert small.shape == (2, 2, 1)
    x = small.finish(small.rows(np.arange(5)), np.zeros(5))["x"]
    assert np.abs(x).max() <= 1 and np.abs(x.mean((1, 2)) - FLOATS.mean((1, 2))).max() < 0.2
    with pytest.raises(JaxganError, match=r"size is 2, but the examples of arrays have shape \(4, 4, 1\)"):
        of_config(from_dict({**SETTINGS, "data": "arrays", "size": 2}), from_arrays(images))


def test_points_have_no_range():
    run = untrained("vae", (2,))
    x = np.array([[0.0, 7.0], [3.0, 300.0]], np.float32)
    np.testing.assert_array_equal(run.encode(x), run.encode(x.astype(int)))
