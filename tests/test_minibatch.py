"""Minibatch discrimination: how near each example is to the others of its batch, by its paper's formula, in any D."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import games
from jaxgan.config import from_dict
from jaxgan.errors import JaxganError
from jaxgan.nets import build, encoder
from jaxgan.nets.minibatch import PARTS, Minibatch

SHAPES = {"mlp": (2,), "dcgan": (8, 8, 1), "conv1d": (8, 2), "sngan": (28, 28, 1), "biggan": (28, 28, 1)}


def normal(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def nearness(phi, table, kernels):
    """Salimans et al. 2016, section 3.2, word for word: M_i a kernels x PARTS matrix, c_b(i, j), and their sum."""
    m = np.einsum("ia,abc->ibc", phi, table.reshape(phi.shape[1], kernels, PARTS))
    return np.array([[sum(np.exp(-abs(a - other[b]).sum()) for other in m) for b, a in enumerate(own)] for own in m])


def test_the_formula(float64):
    phi, table = normal((7, 4)), normal((4, 3 * PARTS), 1) / 4
    found = Minibatch(3).apply({"params": {"kernel": table}}, phi)
    np.testing.assert_array_equal(found[:, :4], phi)
    np.testing.assert_allclose(found[:, 4:], nearness(phi, table, 3), rtol=1e-12)
    assert 1.05 < found[:, 4:].mean() < 6.5, "between that of examples far apart, 1, and of equal ones, 7"
    np.testing.assert_allclose(Minibatch(3).apply({"params": {"kernel": table}}, phi[:1].repeat(7, 0))[:, 4:], 7)


@pytest.mark.parametrize("net", SHAPES)
def test_it_stands_before_the_logit(net):
    """D's logit is linear in features and their nearness, with classes too; an encoder has none."""
    settings = {"net": net, "width": 8, "depth": 1, "latent": 6}
    x, y = normal((5, *SHAPES[net])).astype(np.float32), jnp.arange(5) % 2
    plain = build(from_dict(settings), SHAPES[net], 2)["d"]
    d = build(from_dict({**settings, "minibatch": 4}), SHAPES[net], 2)["d"]
    params, vars = jax.jit(d.init)(jax.random.key(0), x, y)
    (logit, h), _ = jax.jit(lambda: d.apply(params, vars, x, y, train=False, features=True))()
    head = params["Head_0"]
    table = head["Minibatch_0"]["kernel"]
    inner = h.shape[1] - 4
    assert table.shape == (inner, 4 * PARTS)
    np.testing.assert_allclose(h[:, inner:], nearness(np.float64(h[:, :inner]), np.float64(table), 4), rtol=1e-3)
    told = (head["Embed_0"]["table"][y] * h).sum(1)
    np.testing.assert_allclose(logit, (h @ head["Dense_0"]["kernel"])[:, 0] + told + head["Dense_0"]["bias"], atol=1e-4)
    count = lambda params: sum(leaf.size for leaf in jax.tree.leaves(params))  # noqa: E731
    more = inner * 4 * PARTS + 4 * (1 + 2)  # the kernels; and what logit and classes see of them
    assert count(params) == count(jax.eval_shape(plain.init, jax.random.key(0), x, y)[0]) + more
    made = encoder(from_dict({**settings, "minibatch": 4}), SHAPES[net], 0, None, 3).init
    assert "Minibatch" not in str(jax.eval_shape(made, jax.random.key(0), x, None))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"accumulate": 2}, "minibatch is 3, .* accumulate is 2: D would see one micro-batch"),
        ({"d_norm": "virtual"}, "minibatch is 3, .* virtual batch"),
        ({"kind": "vae"}, "minibatch is 3, but kind vae has no use for it"),
        ({"kind": "began"}, "minibatch is 3, but kind began has no use for it"),
    ],
)
def test_where_examples_cannot_be_compared(settings, message):
    with pytest.raises(JaxganError, match=message):
        games.make(from_dict({"net": "mlp", "width": 4, "batch": 4, "minibatch": 3, **settings}), (2,), 3)
