"""BigGAN and BigGAN-deep: how labels and latents enter, spectral norm, initial values. Counts: test_counts.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import config, kernels, program
from jaxgan.nets import biggan, build
from jaxgan.types import JaxganError, Spec
from runs import Like


def made(size, classes, width, latent, **options):
    c = config.from_dict({"net": "biggan", "width": width, "latent": latent, "biggan": options})
    return build(c, (size, size, 3), classes)


@pytest.mark.parametrize("deep", [False, True])
def test_every_part_of_z_and_the_label_reach_the_image(deep):
    nets = made(32, 3, 4, 8, deep=deep)
    z, y = jax.random.normal(jax.random.key(0), (3, 8)), jnp.array([0, 1, 2])
    params, vars = jax.jit(nets["g"].init)(jax.random.key(1), z, y)

    def loss(z, y):
        x = nets["g"].apply(params, vars, z, y, train=False)[0]
        return (x**2).sum(), x

    look = jax.jit(jax.value_and_grad(loss, has_aux=True))
    ((_, x), slope), ((_, other), _) = look(z, y), look(z, jnp.roll(y, 1))
    assert (abs(slope) > 0).all()
    assert abs(x - other).max() > 1e-4


def test_a_chunk_of_z_enters_its_own_block_alone():
    """With the norms' maps of block i set to 0, G no longer depends on chunk i + 1, and still on all others."""
    nets = made(32, 0, 2, 8)
    z = jax.random.normal(jax.random.key(0), (2, 8))
    params, vars = jax.jit(nets["g"].init)(jax.random.key(1), z, None)
    slopes = jax.jit(jax.grad(lambda z, cut: (nets["g"].apply(cut, vars, z, None, train=False)[0] ** 2).sum()))
    for i in range(3):
        dead = {"LinearNorm_0": 0, "LinearNorm_1": 0}
        cut = params | {
            f"Up_{i}": {n: jax.tree.map(np.zeros_like, p) if n in dead else p for n, p in params[f"Up_{i}"].items()}
        }
        flat = abs(np.asarray(slopes(z, cut))).max(0).reshape(4, 2).max(1)
        assert flat[i + 1] == 0 and (np.delete(flat, i + 1) > 0).all()


def test_spectral_norm_takes_the_maps_of_the_norms_and_not_the_shared_embedding():
    net = made(32, 3, 4, 8)["g"]
    params = jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((2, 8)), jnp.zeros(2, int))[0]
    names = kernels.named(params)
    assert "Up_0.LinearNorm_0.Dense_0.kernel" in names and not any("Embed" in name for name in names)


def test_kernels_begin_orthogonal():
    nets = made(32, 3, 4, 8)
    params = jax.jit(nets["d"].init)(jax.random.key(1), jnp.zeros((2, 32, 32, 3)), jnp.zeros(2, int))[0]
    kernel = np.asarray(params["Down_1"]["Conv_0"]["kernel"]).reshape(-1, 8)
    np.testing.assert_allclose(kernel.T @ kernel, np.eye(8), atol=1e-5)


def test_a_latent_that_has_no_equal_parts_is_refused():
    """Codes of infogan count too, which the network alone sees."""
    net = made(32, 0, 4, 6)["g"]
    with pytest.raises(JaxganError, match=r"z has 6 .* 4 parts at 32 pixels; .* multiple of 4, such as 80"):
        jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((2, 6)), None)
    c = config.from_dict({"kind": "infogan", "net": "biggan", "width": 2, "latent": 8, "codes": (3,), "batch": 4})
    with pytest.raises(JaxganError, match="z has 11 numbers"):
        program.reads(c, Like((32, 32, 1), 0))


@pytest.mark.parametrize(
    ("shape", "settings", "message"),
    [
        ((28, 28, 1), {"biggan": {"deep": True}}, "biggan.deep makes images of 32, 64, 128, 256 pixels, .* not 28x28"),
        ((32, 32, 3), {"biggan": {"deep": True}, "width": 6}, "width is 6"),
        ((50, 50, 3), {}, "biggan makes images .* 2 to 6 times.*: set size to 48 or 56"),
        ((32, 32, 3), {"biggan": {"attention": 4}}, "biggan.attention is 4"),
    ],
)
def test_what_does_not_go_is_said(shape, settings, message):
    c = config.from_dict({"net": "biggan", "width": 4, "latent": 8, **settings})
    with pytest.raises(JaxganError, match=message):
        biggan.generator(c, Spec(shape))
