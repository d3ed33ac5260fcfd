"""Lengths of paths are the slopes of G along them, by derivatives that know nothing of small steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgan
from jaxgan import evaluate, features, paths, project, rng
from jaxgan.errors import JaxganError
from test_project import MLP, untrained

SAY = {"say": lambda text: None}


def squares(a, b):
    return jnp.square(a - b).sum((1, 2, 3))


def ends(game, n):
    """As `lengths` draws them."""
    key = rng.stream(rng.root(3), "paths")
    return [game.latent(rng.stream(key, name), n) for name in ("from", "to")]


def tangent(a, b):
    """The speed at a on the way to b, along a circle for the direction and a line for the length."""
    (la, ua), (lb, ub) = ((jnp.linalg.norm(v), v / jnp.linalg.norm(v)) for v in (a, b))
    angle, side = jnp.arccos(ua @ ub), ub - (ua @ ub) * ua
    return (lb - la) * ua + la * angle * side / jnp.linalg.norm(side)


def test_in_z_they_are_squared_slopes_along_great_circles(float64):
    """In float64: float32 rounds latents by a thousandth of a step along a path."""
    run = untrained((8, 8, 1), 3, **(MLP | {"kind": "conditional"}))
    labels = np.arange(20) % 3
    found = paths.lengths(run, "z", 20, labels, seed=3, far=squares)
    a, b = ends(run.game, 20)

    def slope(a, b, y):
        draw = lambda z: project.of_latents(run.game).draw(run.state.ema, z[None], y[None])[0]  # noqa: E731
        return jnp.square(jax.jvp(draw, (a,), (tangent(a, b),))[1]).sum()

    np.testing.assert_allclose(found, jax.vmap(slope)(a, b, jnp.asarray(labels)), rtol=1e-3)
    assert (
        np.abs(found - paths.lengths(run, "z", 20, labels[::-1].copy(), seed=3, far=squares)).max() > found.mean() / 100
    )


def test_in_w_they_are_squared_slopes_along_lines_between_styles():
    run = untrained((8, 8, 1), net="stylegan2", width=8, latent=4, kind="plain", stylegan2={"mapping": 2})
    found = paths.lengths(run, "w", 4, seed=3, far=squares)
    space = project.of_styles(run.game)
    a, b = (space.starts(run.state.ema, z, None) for z in ends(run.game, 4))
    _, slope = jax.jvp(lambda w: space.draw(run.state.ema, w, None), (a,), (b - a,))
    np.testing.assert_allclose(found, jnp.square(slope).sum((1, 2, 3)), rtol=2e-2)


def test_large_images_are_averaged_over_boxes(monkeypatch):
    monkeypatch.setattr(paths, "LARGEST", 2)
    x = np.arange(32.0).reshape(1, 4, 4, 2)
    np.testing.assert_array_equal(paths._at_most(2, x)[0, 0, 1], x[0, :2, 2:].mean((0, 1)))
    np.testing.assert_array_equal(paths._at_most(4, x), x)
    np.testing.assert_array_equal(paths._at_most(2, np.pad(x, ((0, 0), (0, 0), (0, 1), (0, 0)))), paths._at_most(2, x))


def test_evaluate_scores_paths_by_lpips(monkeypatch):
    """The network's place is taken by squares: what is tested is the way from a run to a Score."""
    run = untrained((16, 16, 1), **MLP)
    monkeypatch.setattr(features, "lpips_weights", lambda: 2.0)
    monkeypatch.setattr(features, "lpips", lambda p, a, b: p * squares(a, b))
    source = jaxgan.data.from_arrays(np.zeros((30, 16, 16, 1), np.uint8))
    found = evaluate.evaluate(run, ("ppl-z",), n=20, seed=3, source=source, **SAY)
    each = 2 * paths.lengths(run, "z", 20, seed=3, far=squares)
    assert found["ppl-z/lpips/n20/end"].value == pytest.approx(each.mean(), rel=1e-5)
    with pytest.raises(JaxganError, match="ppl-w is of styles; net 'mlp' has none"):
        evaluate.evaluate(run, ("ppl-w",), n=20, source=source, **SAY)


def test_images_alone_have_no_paths(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((30, 16, 16, 1), np.uint8))
    with pytest.raises(JaxganError, match="of a run: jaxgan eval RUN"):
        evaluate.compare(str(tmp_path / "x.npy"), str(tmp_path / "x.npy"), ("ppl-z",), **SAY)
