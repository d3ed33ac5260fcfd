"""Autoencoders with spatial latents: counts, where a latent acts, which order latents have, what does not go."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import config, games
from jaxgan.errors import JaxganError
from jaxgan.nets import build, encoder, spatial


def configured(**settings):
    return config.from_dict({"net": "spatial", "kind": "vae", "width": 32, "latent": 256, **settings})


def count(net, *inputs):
    return sum(x.size for x in jax.tree.leaves(jax.eval_shape(net.init, jax.random.key(0), *inputs)[0]))


@pytest.mark.parametrize(("classes", "halvings", "latent"), [(0, 2, 256), (10, 2, 256), (0, 3, 48)])
def test_counts_by_hand(classes, halvings, latent):
    """16 numbers for each pair of channels of a convolution that halves or doubles, 9 of one that does neither."""
    c = configured(latent=latent, spatial={"halvings": halvings})
    shape, y = (32, 32, 1), jnp.zeros(2, int) if classes else None
    widths, places = [32 * 2**i for i in range(halvings)], (32 >> halvings) ** 2
    channels = latent // places
    halving = sum(16 * a * b + b for a, b in zip([1, *widths], widths))
    maps, extra = classes * places, 1 if classes else 0
    e = halving + 9 * (widths[-1] + extra) * 2 * channels + 2 * channels + maps
    g = 9 * (channels + extra) * widths[-1] + widths[-1] + maps + 16 * widths[0] + 1
    g += sum(16 * a * b + a for a, b in itertools.pairwise(widths))
    d = halving + (widths[-1] * places) * (1 + classes) + 1
    nets = build(c, shape, classes) | {"e": encoder(c, shape, classes, None, 2 * latent)}
    x, z = jnp.zeros((2, *shape)), jnp.zeros((2, latent))
    assert [count(nets["e"], x, y), count(nets["g"], z, y), count(nets["d"], x, y)] == [e, g, d]
    if (classes, halvings) == (0, 2):
        assert e + g == 73_673


def nets_of(c, shape, outputs):
    nets = build(c, shape) | {"e": encoder(c, shape, 0, None, outputs)}
    x, z = jnp.zeros((1, *shape)), jnp.zeros((1, c.latent))
    params = {n: jax.jit(nets[n].init)(jax.random.key(1), v, None)[0] for n, v in {"g": z, "e": x}.items()}
    return {n: jax.jit(lambda v, n=n: nets[n].apply(params[n], {}, v, None, train=False)[0]) for n in params}


def test_a_latent_lies_where_its_part_of_the_image_does():
    """Far corners of latents and of images have nothing to do with each other; near ones have, in both directions."""
    shape, c = (24, 32, 2), configured(width=4, latent=6 * 8 * 3)
    nets = nets_of(c, shape, 2 * c.latent)
    x, z = (np.random.default_rng(0).normal(size=(1, *s)).astype(np.float32) for s in (shape, (c.latent,)))
    moved = x.copy()
    moved[0, 17, 26, 1] += 1  # place 4, 6
    maps = abs(nets["e"](moved) - nets["e"](x)).reshape(2, 6, 8, 3).max(-1)  # of means, and of log variances
    assert (maps[:, 4, 6] > 1e-4).all() and (maps[:, :2] == 0).all() and (maps[:, :, :4] == 0).all()
    moved = z.reshape(6, 8, 3).copy()
    moved[4, 6, 1] += 1
    image = abs(nets["g"](moved.reshape(1, -1)) - nets["g"](z)).reshape(24, 32, 2).max(-1)
    assert image[16:20, 24:28].max() > 1e-4 and image[:8].max() == 0 and image[:, :16].max() == 0


@pytest.mark.parametrize(
    ("shape", "settings", "message"),
    [
        ((2,), {}, r"spatial makes images \(h, w, c\), not shape \(2,\)"),
        ((30, 32, 1), {}, "halves images 2 times, which 30x32 pixels do not allow; set size to a multiple of 4"),
        ((32, 32, 1), {"latent": 100}, "latent is 100.*8x8 places.*a multiple of 64, such as 256 for 4 channels"),
        ((64, 64, 1), {"latent": 64}, "use a multiple of 256"),
    ],
)
def test_what_does_not_go_is_said(shape, settings, message):
    with pytest.raises(JaxganError, match=message):
        games.make(configured(**settings), shape)


def test_halvings_are_those_asked_for():
    c = configured(latent=64, spatial={"halvings": 3})
    assert spatial.latents(c, (32, 64, 3)) == (4, 8, 2)
