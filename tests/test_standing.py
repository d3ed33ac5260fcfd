"""Standing statistics: the means of those of batches that a seed draws, by NumPy, and nothing else of a run."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import rng
from jaxgan.errors import JaxganError
from jaxgan.latents import drawn
from jaxgan.run import Run
from kinds import BATCH, CLASSES, made, started

SETTINGS = {"kind": "conditional", "g_norm": "batch", "width": 6, "depth": 2, "latent": 4}


def run_of(**settings):
    """A run whose parameters and averages are random, as are their running statistics."""
    c, game, shape = made({**SETTINGS, **settings})
    state = started(c, game, shape)
    noisy = lambda x: x + 0.3 * np.random.default_rng(x.size).random(x.shape)  # noqa: E731
    state = dataclasses.replace(state, params=jax.tree.map(noisy, state.params))
    return Run(c, state, {"shape": list(shape), "classes": CLASSES})


@pytest.fixture(scope="module")
def run():
    return run_of()


def by_hand(game, params, seed, batches, truncation):
    """{layer: (mean, var)} of pre-activations, a mean over batches of their moments."""
    found: dict = {norm: ([], []) for norm in sorted(params) if norm.startswith("BatchNorm")}
    p = jax.tree.map(np.float64, params)
    for i in range(batches):
        key = jax.random.fold_in(rng.stream(rng.root(seed), "standing"), i)
        keys = rng.examples(rng.stream(key, "labels"), BATCH)
        y = np.array([jax.random.randint(k, (), 0, CLASSES) for k in keys])
        z = np.float64(drawn(game, rng.stream(key, "z"), BATCH, truncation))
        x = np.concatenate([z, p["Embed_0"]["table"][y]], 1)
        for layer, (norm, (means, variances)) in enumerate(found.items()):
            a = x @ p[f"Dense_{layer}"]["kernel"]
            means.append(a.mean(0))
            variances.append(a.var(0))
            x = (a - means[-1]) / np.sqrt(variances[-1] + 1e-5)
            x = np.maximum(x * p[norm]["scale"] + p[norm]["bias"], 0)
    return {norm: [np.mean(x, 0) for x in moments] for norm, moments in found.items()}


@pytest.mark.parametrize(("batches", "truncation", "ema"), [(5, 0.0, True), (1, 0.5, False)])
def test_statistics_are_means_over_batches(run, batches, truncation, ema):
    state = run.standing(batches, 3, truncation, ema).state
    nets = state.ema["g"] if ema else {"params": state.params["g"], "vars": state.vars["g"]}
    for norm, moments in by_hand(run.game, nets["params"], 3, batches, truncation).items():
        stats = nets["vars"]["batch_stats"][norm]
        for name, expected in zip(("mean", "var"), moments):
            np.testing.assert_allclose(stats[name], expected, rtol=1e-5, atol=1e-6)
    if ema:
        same = [(state.params, run.state.params), (state.vars, run.state.vars), (state.opt, run.state.opt)]
        same.append((state.ema["g"]["params"], run.state.ema["g"]["params"]))
    else:
        same = [(state.params, run.state.params), (state.ema, run.state.ema), (state.vars["d"], run.state.vars["d"])]
    for new, old in same:
        jax.tree.map(np.testing.assert_array_equal, new, old)


def test_samples_of_a_seed_are_the_same_every_time(run):
    """Sample i depends on the seed and i alone, and what is drawn without them stays as it was."""
    plain = run.sample(6, seed=1)
    first, again = (run.sample(6, seed=1, standing=2) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_allclose(first, run.sample(9, seed=1, standing=2)[:6], atol=1e-6)
    np.testing.assert_array_equal(first, run.standing(2, seed=1).sample(6, seed=1))
    np.testing.assert_array_equal(plain, run.sample(6, seed=1))
    others = [plain, run.sample(6, seed=1, standing=3), run.standing(2, seed=2).sample(6, seed=1)]
    assert all(abs(first - other).max() > 1e-4 for other in others)


def test_under_spectral_norm():
    """Vectors stay; the statistics are those of the divided kernels, whose first layer is smaller."""
    run = run_of(g_norm="batch_spectral", depth=1)
    new, old = (r.state.ema["g"]["vars"] for r in (run.standing(2), run))
    jax.tree.map(np.testing.assert_array_equal, new["u"], old["u"])
    kernel = run.state.ema["g"]["params"]["Dense_0"]["kernel"]
    raw = by_hand(run.game, run.state.ema["g"]["params"], 0, 2, 0.0)["BatchNorm_0"][1]
    u = old["u"]["Dense_0.kernel"]
    size = jnp.linalg.norm(kernel @ (u / jnp.linalg.norm(u)))
    np.testing.assert_allclose(new["net"]["batch_stats"]["BatchNorm_0"]["var"], raw / size**2, rtol=1e-4)


@pytest.mark.parametrize(
    ("settings", "batches", "message"),
    [
        ({"g_norm": "none"}, 2, "standing is set, but G has no batch norm"),
        ({}, -1, "statistics of -1 batches; expected at least 1"),
        ({"kind": "pix2pix", "shape": (4,), "g_norm": "own"}, 2, "kind 'pix2pix' makes images of images"),
    ],
)
def test_what_has_none(settings, batches, message):
    with pytest.raises(JaxganError, match=message):
        run_of(**settings).standing(batches)
