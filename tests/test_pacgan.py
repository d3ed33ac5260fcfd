"""PacGAN's networks for points: their counts, their maxout units by hand, and what they are at first."""

import dataclasses
import runpy
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import config
from jaxgan.config import from_dict
from jaxgan.games.adversarial import networks
from jaxgan.nets import build

ROOT = Path(__file__).parent.parent
RECIPE = ROOT / "experiments" / "recipes" / "grid25_pacgan.py"


def published(pack=1):
    """Both, and their parameters, of the published setting with packs of so many points."""
    c = config.check(runpy.run_path(str(RECIPE))["config"]())
    nets = networks(dataclasses.replace(c, pack=pack), (2,), 0, None)
    inputs = {"g": jnp.zeros((2, 2)), "d": jnp.zeros((2 * pack, 2))}
    return nets, {side: jax.jit(nets[side].init)(jax.random.key(0), inputs[side], None) for side in ("g", "d")}


@pytest.mark.parametrize("pack", [1, 2, 3, 4])
def test_counts(pack):
    """From the layers of its section 4.1; G's before batch norm are without biases, as in its code."""
    _, made = published(pack)
    counts = {side: sum(leaf.size for leaf in jax.tree.leaves(params)) for side, (params, _) in made.items()}
    assert counts["g"] == (2 * 400 + 3 * 400 * 400) + 4 * 2 * 400 + (400 * 2 + 2) == 484_802
    assert counts["d"] == (2 * pack + 1) * 1000 + 2 * (200 + 1) * 1000 + (200 + 1)
    assert f"{counts['d']:,}" in (ROOT / "jaxgan" / "nets" / "README.md").read_text()


def test_a_unit_is_the_greatest_of_its_pieces():
    """Against NumPy: five linear functions a unit, no other nonlinearity, three layers, a linear logit."""
    nets, made = published()
    params, vars = made["d"]
    params = jax.tree.map(lambda p: p + 0.1 * np.random.default_rng(p.size).normal(size=p.shape), params)
    x = np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32)
    h = x
    for layer in ("Dense_0", "Dense_1", "Dense_2"):
        kernel, bias = np.asarray(params[layer]["kernel"]), np.asarray(params[layer]["bias"])
        h = np.stack([h @ kernel[:, k::5] + bias[k::5] for k in range(5)]).max(0)
    last = jax.tree.map(np.asarray, params["Head_0"]["Dense_0"])
    found, _ = nets["d"].apply(params, vars, x, None, train=True)
    np.testing.assert_allclose(found, (h @ last["kernel"])[:, 0] + last["bias"], rtol=2e-4)


def test_all_kernels_are_small_at_first():
    """N(0, 0.02), the last too, and biases 0."""
    for params, _ in published()[1].values():
        for path, leaf in jax.tree.leaves_with_path(params):
            if path[-1].key == "kernel":
                assert abs(np.std(leaf) - 0.02) < 0.02 * 4 / np.sqrt(2 * leaf.size)
            elif path[-1].key == "bias":
                assert not leaf.any()


def test_sizes_of_d_are_its_own_where_asked():
    """G's otherwise; one piece is a leaky ReLU, as ever."""

    def shapes(**options):
        net = build(from_dict({"net": "mlp", "width": 6, "depth": 2, "mlp": options}), (2,))["d"]
        params, _ = jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((2, 2)), None)
        return [params[f"Dense_{i}"]["kernel"].shape for i in range(len(params) - 1)]

    assert shapes() == [(2, 6), (6, 6)]
    assert shapes(d_width=4, d_depth=3) == [(2, 4), (4, 4), (4, 4)]
    assert shapes(d_width=4, pieces=3) == [(2, 12), (4, 12)]
