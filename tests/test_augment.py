"""Augmentations do what DiffAugment says, to each example by its own key, and pass gradients on."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import augment, rng
from jaxgan.augment import AUGMENTS, JITTER
from jaxgan.errors import JaxganError

N, SHAPE = 400, (8, 16, 3)
X = np.random.default_rng(0).uniform(-1, 1, SHAPE).astype(np.float32)


def many(name, x=X, n=N, seed=0):
    """One image augmented with n keys."""
    return np.asarray(augment.apply((name,), jnp.tile(x, (n, 1, 1, 1)), rng.examples(rng.root(seed), n)))


def uniform(values, low, high):
    """Whether N values look drawn from U(low, high): inside, and in each quarter a quarter, to 5 standard errors."""
    counts = np.histogram(values, 4, (low, high))[0]
    assert values.min() >= low - 1e-5 and values.max() <= high + 1e-5
    np.testing.assert_allclose(counts / N, 0.25, atol=5 * np.sqrt(0.25 * 0.75 / N))


def test_flip_mirrors_half_of_the_images():
    same = (many("flip") == X).all((1, 2, 3))
    mirrored = (many("flip") == X[:, ::-1]).all((1, 2, 3))
    assert (same ^ mirrored).all()
    assert abs(same.mean() - 0.5) < 5 * 0.5 / np.sqrt(N)


def test_flips_and_colours_act_on_a_share_of_images():
    """Colours on the same images, and there as without a share; at the defaults nothing is another."""
    names, keys = ("flip", "brightness", "saturation", "contrast"), rng.examples(rng.root(0), N)
    tiled = jnp.tile(X, (N, 1, 1, 1))
    some = np.asarray(augment.apply(names, tiled, keys, flip_p=0.4, color_p=0.3))
    for name in names[1:]:
        alone = np.asarray(augment.apply((name,), tiled, keys, color_p=0.3))
        acted = (alone != X).any((1, 2, 3))
        np.testing.assert_array_equal(alone, np.where(acted[:, None, None, None], many(name), X))
        np.testing.assert_array_equal(acted, ~((some == X) | (some == X[:, ::-1])).all((1, 2, 3)))
    assert abs(acted.mean() - 0.3) < 5 * np.sqrt(0.3 * 0.7 / N)
    mirrored = (np.asarray(augment.apply(("flip",), tiled, keys, flip_p=0.4)) == X[:, ::-1]).all((1, 2, 3))
    assert abs(mirrored.mean() - 0.4) < 5 * np.sqrt(0.4 * 0.6 / N)
    for p, seen in ((0.0, X), (1.0, X[:, ::-1])):
        assert (np.asarray(augment.apply(("flip",), tiled[:4], keys[:4], flip_p=p)) == seen).all()
    default = augment.apply(names, tiled, keys)
    np.testing.assert_array_equal(augment.apply(names, tiled, keys, flip_p=0.5, color_p=1.0), default)


def test_brightness_adds_one_number():
    added = many("brightness") - X
    np.testing.assert_allclose(added, np.broadcast_to(added[:, :1, :1, :1], added.shape), atol=1e-6)
    uniform(added[:, 0, 0, 0], -0.5, 0.5)


@pytest.mark.parametrize(("name", "axes", "low", "high"), [("saturation", -1, 0, 2), ("contrast", (0, 1, 2), 0.5, 1.5)])
def test_saturation_and_contrast_scale_about_a_mean(name, axes, low, high):
    """The channel mean of each pixel, and the mean of the image, stay."""
    mean = X.mean(axes, keepdims=True)
    factor = (many(name) - mean) / (X - mean)
    factor = np.where(abs(X - mean) > 0.1, factor, np.nan)
    one = np.nanmedian(factor, (1, 2, 3))
    np.testing.assert_allclose(factor, np.where(np.isnan(factor), np.nan, one[:, None, None, None]), atol=1e-4)
    uniform(one, low, high)


def test_translation_moves_by_up_to_an_eighth_and_fills_with_zeros():
    found = set()
    for image in many("translation"):
        moves = [(i, j) for i in (-1, 0, 1) for j in (-2, -1, 0, 1, 2) if (image == moved(i, j)).all()]
        assert len(moves) == 1
        found |= set(moves)
    assert len(found) == 15, "every shift is drawn"


def moved(i, j):
    """X moved i rows down and j columns right."""
    padded = np.pad(X, ((1, 1), (2, 2), (0, 0)))
    return padded[1 - i : 9 - i, 2 - j : 18 - j]


def test_cutout_zeroes_a_square_of_half_the_size():
    images = many("cutout")
    holes = (images == 0).all(-1)
    np.testing.assert_array_equal(images, X * ~holes[..., None])
    rows, columns = holes.any(2).sum(1), holes.any(1).sum(1)
    np.testing.assert_array_equal(holes.sum((1, 2)), rows * columns)
    assert rows.max() == 4 and columns.max() == 8, "half of each side, less at the border"
    assert (rows == 4).mean() > 0.4 and holes.any(0).all()


def test_jitter_is_noise_on_any_shape():
    noise = many("jitter") - X
    assert abs(noise.std() / JITTER - 1) < 0.02 and abs(noise.mean()) < 5 * JITTER / np.sqrt(noise.size)
    points = augment.apply(("jitter",), jnp.zeros((5, 2)), rng.examples(rng.root(0), 5))
    assert len(np.unique(points)) == 10


@pytest.mark.parametrize("name", sorted(AUGMENTS))
def test_randomness_is_the_examples_own(name):
    """A key decides, not the place in the batch; other keys decide otherwise."""
    keys = rng.examples(rng.root(3), 8)
    x = jnp.tile(X, (8, 1, 1, 1))
    a, b = (np.asarray(augment.apply((name,), x, k)) for k in (keys, keys[::-1]))
    np.testing.assert_array_equal(a, b[::-1])
    assert len(np.unique(a.reshape(8, -1), axis=0)) > 1
    np.testing.assert_array_equal(augment.apply((), x, keys), x)


@pytest.mark.parametrize("name", sorted(AUGMENTS))
def test_gradients_pass(name):
    """All are affine in the image: the derivative along X is the change that X makes."""
    key = rng.root(5)
    function = lambda x: AUGMENTS[name](key, x)  # noqa: E731
    value, tangent = jax.jvp(function, (jnp.asarray(X),), (jnp.asarray(X),))
    np.testing.assert_allclose(tangent, value - function(jnp.zeros(SHAPE)), atol=1e-5)
    assert abs(tangent).max() > 0.1


def test_points_have_no_pixels():
    augment.check("augment", ("flip", "jitter"), (8, 8, 1))
    augment.check("augment", ("jitter",), (2,))
    with pytest.raises(JaxganError, match=r"cr_augment has flip, cutout.*shape \(2,\).*--cr-augment jitter"):
        augment.check("cr_augment", ("flip", "jitter", "cutout"), (2,))


@pytest.mark.parametrize("n", [4, 5, 8, 9, 20, 32, 36])
def test_sizes_round_half_a_pixel_up(n):
    """DiffAugment's int(size * ratio + 0.5): a shift reaches so far and no further, a hole is so wide."""
    reach, hole = math.floor(n / 8 + 0.5), math.floor(n / 2 + 0.5)
    mark = np.zeros((n, n, 1), np.float32)
    mark[n // 2, n // 2] = 1
    keys = jax.random.split(rng.root(0), 60 * (2 * reach + 1))
    moved = (
        np.asarray(jax.jit(jax.vmap(AUGMENTS["translation"], (0, None)))(keys, mark))[..., 0].argmax(1).max(1) - n // 2
    )
    assert moved.min() == -reach and moved.max() == reach
    holes = np.asarray(jax.jit(jax.vmap(AUGMENTS["cutout"], (0, None)))(keys, np.ones((n, n, 1), np.float32)))
    assert n * n - holes[..., 0].sum((1, 2)).min() == hole**2
