"""The strided convolutions equal their definition, in every form, with both derivatives; batch norm is global."""

import json
import os
import subprocess
import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.nets import layers, norms
from jaxgan.types import JaxganError

SHAPES = [(2, 4, 6, 3, 5), (3, 8, 8, 1, 4), (2, 4, 4, 9, 1), (1, 2, 2, 2, 2), (2, 6, 4, 16, 3)]  # b, h, w, cin, cout
DOWN = [layers.down, layers.down_conv, layers.down_matmul]
UP = [layers.up, layers.up_conv, layers.up_matmul]


def whole(seed, shape):
    """Small whole numbers, with which float32 sums are exact in any order."""
    return np.random.default_rng(seed).integers(-3, 4, shape).astype(np.float32)


def down_by_hand(x, kernel):
    """y[o] = sum over u of x[2o + u - 1] kernel[u], x zero outside."""
    (n, h, w, _), cout = x.shape, kernel.shape[3]
    y = np.zeros((n, h // 2, w // 2, cout))
    for p, q, u, v in np.ndindex(h // 2, w // 2, 4, 4):
        r, s = 2 * p + u - 1, 2 * q + v - 1
        if 0 <= r < h and 0 <= s < w:
            y[:, p, q] += x[:, r, s] @ kernel[u, v]
    return y


def up_by_hand(x, kernel):
    """y[2s - 1 + u] += x[s] kernel[u], y cut at the border: ConvTranspose2d(4, stride=2, padding=1)."""
    (n, h, w, _), cout = x.shape, kernel.shape[3]
    y = np.zeros((n, 2 * h, 2 * w, cout))
    for p, q, u, v in np.ndindex(h, w, 4, 4):
        r, s = 2 * p + u - 1, 2 * q + v - 1
        if 0 <= r < 2 * h and 0 <= s < 2 * w:
            y[:, r, s] += x[:, p, q] @ kernel[u, v]
    return y


CASES = [(f, down_by_hand) for f in DOWN] + [(f, up_by_hand) for f in UP]
NAMES = [f.__name__ for f, _ in CASES]


@pytest.mark.parametrize(("form", "by_hand"), CASES, ids=NAMES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_equals_its_definition_exactly(form, by_hand, shape):
    n, h, w, cin, cout = shape
    x, kernel = whole(0, (n, h, w, cin)), whole(1, (4, 4, cin, cout))
    np.testing.assert_array_equal(jax.jit(form)(x, kernel), by_hand(x, kernel))


@pytest.mark.parametrize(("form", "by_hand"), CASES, ids=NAMES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_derivatives_equal_the_definition_exactly(form, by_hand, shape):
    # The map is linear in x and in the kernel, so its derivatives are the map itself at a tangent.
    n, h, w, cin, cout = shape
    x, kernel = whole(0, (n, h, w, cin)), whole(1, (4, 4, cin, cout))
    dx, dk = whole(2, x.shape), whole(3, kernel.shape)
    ct = whole(4, by_hand(x, kernel).shape)
    loss = lambda x, kernel: (form(x, kernel) * ct).sum()  # noqa: E731

    @jax.jit
    def derivatives(x, kernel):
        mixed = jax.grad(lambda kernel: (jax.grad(loss)(x, kernel) * dx).sum())(kernel)
        return *jax.grad(loss, (0, 1))(x, kernel), mixed, jax.jvp(form, (x, kernel), (dx, dk))[1]

    gx, gk, mixed, tangent = map(np.asarray, derivatives(x, kernel))
    assert (gx * dx).sum() == (by_hand(dx, kernel) * ct).sum()
    assert (gk * dk).sum() == (by_hand(x, dk) * ct).sum()
    assert (mixed * dk).sum() == (by_hand(dx, dk) * ct).sum()
    np.testing.assert_array_equal(tangent, by_hand(dx, kernel) + by_hand(x, dk))


@pytest.mark.parametrize("kind", ["down", "up"])
def test_gradient_penalty_agrees_between_forms(kind):
    x, kernel = jax.random.normal(jax.random.key(0), (4, 8, 8, 3)), jax.random.normal(jax.random.key(1), (4, 4, 3, 6))

    def penalty(form):  # the kernel's gradient of R1, through a curved function of the output
        score = lambda x, kernel: nn.softplus(form(x, kernel)).sum()  # noqa: E731
        return np.asarray(jax.jit(jax.grad(lambda kernel: (jax.grad(score)(x, kernel) ** 2).mean()))(kernel))

    want = penalty(getattr(layers, f"{kind}_conv"))
    np.testing.assert_allclose(penalty(getattr(layers, f"{kind}_matmul")), want, atol=1e-5 * abs(want).max())


@pytest.mark.parametrize("form", DOWN + UP, ids=NAMES)
def test_vmap_over_members(form):
    x, kernel = whole(0, (3, 2, 4, 4, 3)), whole(1, (3, 4, 4, 3, 5))
    alone, together = jax.jit(form), jax.jit(jax.vmap(form))
    np.testing.assert_array_equal(together(x, kernel), [alone(a, k) for a, k in zip(x, kernel)])


class Counter(nn.Module):
    """A module with one variable besides its parameters."""

    @nn.compact
    def __call__(self, x, y, train):
        seen = self.variable("memory", "seen", jnp.zeros, ())
        if train:
            seen.value += 1
        return nn.Dense(2)(x if y is None else x + y)


def test_linen_adapter():
    net, x = layers.linen(Counter()), jnp.ones((1, 3))
    params, vars = net.init(jax.random.key(0), x, None)
    assert list(vars) == ["memory"] and "params" not in params and vars["memory"]["seen"] == 0
    assert type(params) is dict and type(vars) is dict
    trained = net.apply(params, vars, x, None, train=True)[1]
    assert trained["memory"]["seen"] == 1 and vars["memory"]["seen"] == 0
    assert jax.tree.structure(trained) == jax.tree.structure(vars)
    assert net.apply(params, trained, x, None, train=False)[1] is trained
    assert net.apply(params, vars, x, x, train=False)[0].shape == (1, 2)


def test_embed_is_a_lookup_and_says_when_labels_are_missing():
    embed, y = layers.Embed(5, 3, nn.initializers.normal(1.0)), jnp.array([4, 0, 4])
    params = embed.init(jax.random.key(0), y)
    np.testing.assert_array_equal(embed.apply(params, y), params["params"]["table"][y])
    with pytest.raises(JaxganError, match="5 classes"):
        embed.apply(params, None)


class Normed(nn.Module):
    axis: object = None

    @nn.compact
    def __call__(self, x, train):
        return nn.Dense(3)(jnp.tanh(norms.batch_norm(train, self.axis)(nn.Dense(4, use_bias=False)(x))))


def test_batch_norm_normalises_in_training_and_keeps_running_statistics():
    class Alone(nn.Module):
        @nn.compact
        def __call__(self, x, train):
            return norms.batch_norm(train)(x)

    net, x = layers.linen(Alone()), 3 + 2 * jax.random.normal(jax.random.key(0), (64, 5, 5, 3))
    params, vars = net.init(jax.random.key(1), x)
    y, after = net.apply(params, vars, x, train=True)
    mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
    np.testing.assert_allclose(y.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(y.var((0, 1, 2)), var / (var + 1e-5), rtol=1e-5)
    (stats,) = after["batch_stats"].values()
    np.testing.assert_allclose(stats["mean"], 0.1 * mean, rtol=1e-5)
    np.testing.assert_allclose(stats["var"], 0.9 + 0.1 * var, rtol=1e-5)
    y, same = net.apply(params, after, x, train=False)
    assert same is after
    x, mean, var = np.asarray(x), np.asarray(stats["mean"]), np.asarray(stats["var"])
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(var + 1e-5), rtol=1e-5, atol=1e-5)


def batch_norm_on_devices():
    """Largest differences of outputs, gradients and statistics from one device: under pmap, and under a sharded jit."""
    devices = jax.devices()
    x, t = jax.random.normal(jax.random.key(0), (16, 6)) * 2 + 1, jax.random.normal(jax.random.key(1), (16, 3))
    params, vars = layers.linen(Normed()).init(jax.random.key(2), x)

    def run(params, x, t, axis):
        def loss(params):
            y, new = layers.linen(Normed(axis)).apply(params, vars, x, train=True)
            return ((y - t) ** 2).mean(), (y, new)

        (_, (y, new)), grads = jax.value_and_grad(loss, has_aux=True)(params)
        return y, jax.lax.pmean(grads, axis) if isinstance(axis, str) else grads, new

    def worst(y, grads, new):
        gap = lambda a, b: float(jnp.abs(jnp.asarray(a) - b).max())  # noqa: E731
        return max(jax.tree.leaves(jax.tree.map(gap, (y, grads, new), one)))

    one = jax.block_until_ready(jax.jit(lambda *a: run(*a, None))(params, x, t))
    split = lambda a: a.reshape(len(devices), -1, a.shape[-1])  # noqa: E731
    many = jax.pmap(lambda *a: run(*a, "i"), "i", in_axes=(None, 0, 0), out_axes=(0, None, None))
    y, grads, new = jax.block_until_ready(many(params, split(x), split(t)))
    results = {"devices": len(devices), "pmap": worst(y.reshape(16, 3), grads, new)}
    mesh = jax.make_mesh((len(devices),), ("i",), axis_types=(jax.sharding.AxisType.Auto,))
    axis = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("i"))
    placed = jax.device_put((x, t), axis)
    y, grads, new = jax.block_until_ready(jax.jit(lambda *a: run(*a, axis))(params, *placed))
    return {**results, "jit": worst(y, grads, new), "scale": float(jnp.abs(one[1]["Dense_0"]["kernel"]).max())}


def test_batch_norm_is_global_over_devices():
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    code = "import json, test_layers as t; print(json.dumps(t.batch_norm_on_devices()))"
    paths = os.pathsep.join([os.path.dirname(__file__), os.path.dirname(os.path.dirname(__file__))])
    env = {**os.environ, **flags, "PYTHONPATH": paths + os.pathsep + os.environ.get("PYTHONPATH", "")}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["devices"] == 4 and found["scale"] > 1e-3
    assert found["pmap"] < 1e-5 and found["jit"] < 1e-5, found
