"""ADA's pipeline: each operation against numpy and scipy, the draws against their laws, and the whole as a function."""

import typing
from functools import partial, reduce

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage, signal
from scipy.spatial.transform import Rotation

from jaxgan import augment, hp, rng
from jaxgan.augment import ada, warp
from jaxgan.backend import PLATFORM
from jaxgan.config import Augment, DiffAugment
from jaxgan.errors import JaxganError

R = np.random.default_rng(0)
N, SHAPE = 1000, (24, 24, 3)
X = R.uniform(-1, 1, SHAPE).astype(np.float32)
KEYS = rng.examples(rng.root(0), N)
GRAY = np.ones(3) / np.sqrt(3)
WARP = jax.jit(warp.warp)


def smooth(n):
    """Two blobs without a symmetry, which any resampling keeps: [n, n, 1]."""
    y, x = np.mgrid[:n, :n] / (n - 1) * 2 - 1
    bump = lambda a, b, s: np.exp(-((x - a) ** 2 + (y - b) ** 2) / s)  # noqa: E731
    return (bump(0.3, -0.1, 0.08) - 0.6 * bump(-0.4, 0.3, 0.15))[..., None].astype(np.float32)


def within(found, expected, n, scale=0.5):
    """Whether means of n draws of this standard deviation are as expected, to 5 standard errors."""
    np.testing.assert_allclose(found, expected, atol=5 * scale / np.sqrt(n))


@partial(jax.jit, static_argnums=0)
def augmented(names, x, keys, p, color=1.0):
    return augment.apply(names, x, keys, p, color)


# Geometry


def published(x, inverse):
    """Reflect by size - 1, x2 by sym6, bilinear about the centre less half a pixel, /2, by scipy: [h, w]."""
    f = warp.SYM6 / warp.SYM6.sum()
    x = np.pad(x, [(n - 1, n - 1) for n in x.shape], "reflect")
    for axis in (0, 1):
        x = signal.upfirdn(2 * f, x, 2, axis=axis).take(range(5, 5 + 2 * x.shape[axis]), axis)
    out = [2 * ((n + 2) // 3 + 6) for n in (x.shape[0] // 2, x.shape[1] // 2)]
    y, w = np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in out), indexing="ij")
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    double = np.diag([2, 2, 1])
    grid = np.linalg.inv(half) @ double @ inverse @ np.linalg.inv(double) @ half
    right, down = grid[:2] @ np.stack([w.ravel(), y.ravel(), np.ones(y.size)])
    places = [down + (x.shape[0] - 1) / 2, right + (x.shape[1] - 1) / 2]
    x = ndimage.map_coordinates(x, places, order=1, mode="grid-constant").reshape(out)
    for axis in (0, 1):
        kept = signal.correlate(x.take(range(1, x.shape[axis] - 1), axis), np.expand_dims(f, 1 - axis), "valid")
        x = kept.take(range(0, kept.shape[axis], 2), axis)
    return x


@pytest.mark.parametrize("scale", [1.0, 6.0], ids=["near", "far"])
def test_warp_is_the_published_resampling(scale):
    """Also where it looks beyond the reflection, at zeros."""
    x = R.normal(size=(9, 12, 2)).astype(np.float32)
    inverse = np.eye(3) + scale * np.concatenate([0.4 * R.normal(size=(2, 3)), np.zeros((1, 3))])
    expected = np.stack([published(x[..., c], inverse) for c in range(2)], -1)
    np.testing.assert_allclose(WARP(x, jnp.asarray(inverse, jnp.float32)), expected, atol=2e-4)
    assert abs(expected).max() > 0.5


def test_no_map_changes_nothing_and_whole_shifts_copy():
    np.testing.assert_allclose(WARP(X, jnp.eye(3)), X, atol=1e-5)
    padded = np.pad(X, ((5, 5), (5, 5), (0, 0)), "reflect")
    np.testing.assert_allclose(WARP(X, ada.moved(3.0, -5.0)), padded[10:34, 2:26], atol=1e-5)


@pytest.mark.parametrize("blit", [(1, 0, (0, 0)), (0, 1, (2, 1)), (1, 3, (-3, 0)), (0, 2, (1, -2))])
def test_blits_copy_pixels_and_their_matrices_agree(blit):
    """Exactly where they act alone; else to .03, by which sym6, whose centre is a little off, moves this image."""
    mirrored, turns, by = blit
    x = smooth(24)
    expected = np.rot90(x[:, ::-1] if mirrored else x, turns)
    expected = np.pad(expected, ((3, 3), (3, 3), (0, 0)), "reflect")[3 - by[1] :, 3 - by[0] :][:24, :24]
    found = jax.jit(ada.copied)(x, jnp.int32(mirrored), jnp.int32(turns), jnp.array(by))
    np.testing.assert_array_equal(found, expected)
    matrices = ada.scaled(1.0 - 2 * mirrored, 1.0), ada.turned(turns * jnp.pi / 2), ada.moved(*map(float, by))
    np.testing.assert_allclose(WARP(x, reduce(jnp.matmul, matrices)), expected, atol=0.03)


@pytest.mark.parametrize("shape", [(16, 24), (25, 17)])
@pytest.mark.parametrize("blit", [(0, 1, (0, 0)), (1, 3, (2, -3)), (1, 2, (-1, 2)), (1, 0, (3, 1))])
def test_blits_of_rectangles_turn_about_their_centre(shape, blit):
    """Of a far larger reflection the turned middle, moved; and its matrices agree, as above."""
    mirrored, turns, by = blit
    x = smooth(25)[: shape[0], : shape[1]]
    h, w = shape
    wide = [(25 - n) // 2 + 5 + (n % 2 == 0) for n in shape]  # to squares that have their centre
    square = np.pad(x[:, ::-1] if mirrored else x, (*((n, n) for n in wide), (0, 0)), "reflect")
    assert square.shape[0] == square.shape[1]
    turned, top, left = np.rot90(square, turns), wide[0] - by[1], wide[1] - by[0]
    expected = turned[top : top + h, left : left + w]
    found = jax.jit(ada.copied)(x, jnp.int32(mirrored), jnp.int32(turns), jnp.array(by))
    np.testing.assert_array_equal(found, expected)
    matrices = ada.scaled(1.0 - 2 * mirrored, 1.0), ada.turned(turns * jnp.pi / 2), ada.moved(*map(float, by))
    np.testing.assert_allclose(WARP(x, reduce(jnp.matmul, matrices)), expected, atol=0.05)


def test_turns_and_scales_are_those_of_scipy():
    """To what cubic splines and sym6 differ by on a smooth image."""
    x = smooth(24)
    turned = ndimage.rotate(x, 30, reshape=False, mode="mirror")
    np.testing.assert_allclose(WARP(x, ada.turned(jnp.pi / 6)), turned, atol=0.02)
    scales = np.array([1 / 0.8, 1 / 1.3, 1])  # down, right
    bigger = ndimage.affine_transform(x, scales, 11.5 * (1 - scales) * [1, 1, 0], mode="mirror")
    np.testing.assert_allclose(WARP(x, ada.scaled(1.3, 0.8)), bigger, atol=0.02)


def test_products_are_gathers():
    rows, columns = jnp.asarray(R.uniform(0, 6 * 12 - 3, (2, 5, 7)), jnp.float32)
    x = R.normal(size=(12, 12, 2)).astype(np.float32)
    pulled = [jax.vjp(lambda x: sample(x, rows, columns), x) for sample in (warp.gathered, warp.multiplied)]  # noqa: B023
    np.testing.assert_allclose(pulled[0][0], pulled[1][0], atol=1e-5)
    back = R.normal(size=(5, 7, 2)).astype(np.float32)
    np.testing.assert_allclose(*(pull(back)[0] for _, pull in pulled), atol=1e-5)


# Colours, filters, corruptions


def test_colours_mix_as_the_published_matrices():
    contrast, hue, saturation, x = 1.3, 0.7, 0.4, R.normal(size=3)
    luma, away = np.outer(GRAY, GRAY), np.eye(3) - np.outer(GRAY, GRAY)
    turn = Rotation.from_rotvec(hue * GRAY).as_matrix()
    for flipped in (0, 1):
        expected = (luma + saturation * away) @ turn @ (np.eye(3) - 2 * flipped * luma) * contrast
        np.testing.assert_allclose(ada.mixing(contrast, flipped, hue, saturation), expected, atol=1e-6)
    turn, flip = np.asarray(ada.mixing(1.0, 0, hue, 1.0)), np.asarray(ada.mixing(1.0, 1, 0.0, 1.0))
    np.testing.assert_allclose([turn @ turn.T, flip @ flip], [np.eye(3)] * 2, atol=1e-6)
    np.testing.assert_allclose([turn @ GRAY, flip @ GRAY], [GRAY, -GRAY], atol=1e-6)
    np.testing.assert_allclose((flip @ x) @ (np.eye(3) - luma), x @ (np.eye(3) - luma), atol=1e-6)
    np.testing.assert_array_equal(ada.mixing(1.0, 0, 0.0, 1.0), np.eye(3))


def test_gray_images_take_the_mean_row():
    """Of one channel, what the same gray in three channels is on average."""
    one, three = (jnp.stack([np.repeat(X[..., :1], n, -1)] * 4) for n in (1, 3))
    one, three = (np.asarray(augmented(("color",), x, KEYS[:4], 1.0)) for x in (one, three))
    np.testing.assert_allclose(one[..., 0], three.mean(-1), atol=1e-5)
    assert len(np.unique(np.round(one[:, 0, 0, 0], 4))) == 4


def test_the_bank_splits_an_impulse():
    bank = warp.bank()
    assert bank.shape == (4, 43)
    np.testing.assert_allclose(bank.sum(0), np.eye(43)[21], atol=1e-10)
    np.testing.assert_allclose(bank, bank[:, ::-1], atol=1e-12)
    response = abs(np.fft.rfft(bank, 512))  # of octaves: up to 1/8 of Nyquist's frequency, 1/4, 1/2 and 1
    assert [int(response[:, i].argmax()) for i in (8, 48, 96, 200)] == [0, 1, 2, 3]


def test_filtered_is_a_separable_convolution():
    gains = np.array([0.5, 2.0, 1.0, 0.1], np.float32)
    x = R.normal(size=(22, 26, 1)).astype(np.float32)
    expected = reduce(lambda x, axis: ndimage.convolve1d(x, gains @ warp.bank(), axis, mode="mirror"), (0, 1), x)
    np.testing.assert_allclose(warp.filtered(x, jnp.asarray(gains)), expected, atol=1e-5)


def test_bands_are_amplified_at_constant_power(monkeypatch):
    """The gains: vectors of one band each, brought to the power 1 of natural images, multiplied."""
    seen = []
    monkeypatch.setattr(ada, "filtered", lambda x, gains: (seen.append(gains), x)[1])
    ada.amplified(KEYS[0], X, 1.0)
    g, e = np.ones(4), np.array([10, 1, 1, 1]) / 13
    for i, n in enumerate(ada.numbers(KEYS[0], "filter", 4, 4)[1]):
        t = np.where(np.arange(4) == i, 2**n, 1.0)
        g *= t / np.sqrt((e * t**2).sum())
    np.testing.assert_allclose(seen[0], g, rtol=1e-5)


def test_noise_has_a_random_strength():
    noise = np.asarray(jax.vmap(ada.noisy, (0, None, None))(KEYS, X, 1.0)) - X
    sizes = noise.std((1, 2, 3))
    within(sizes.mean(), 0.1 * np.sqrt(2 / np.pi), N, 0.1)
    within((sizes**2).mean(), 0.01, N, 0.01 * np.sqrt(2))
    assert abs(noise.mean()) < 5 * 0.1 / np.sqrt(noise.size)


def test_cutout_leaves_a_rectangle_of_half_the_size():
    """At its centre from U(0, 1)^2: of 24 pixels 12 where it lies inside, 7/8 of that on average."""
    images = np.asarray(jax.vmap(ada.cut, (0, None, None))(KEYS, X, 1.0))
    holes = (images == 0).all(-1)
    np.testing.assert_array_equal(images, X * ~holes[..., None])
    rows, columns = holes.any(2).sum(1), holes.any(1).sum(1)
    np.testing.assert_array_equal(holes.sum((1, 2)), rows * columns)
    assert rows.max() == columns.max() == 12 and rows.min() >= 6
    within([rows.mean() / 24, columns.mean() / 24], [0.4375, 0.4375], N, 0.1)


# Draws


@partial(jax.jit, static_argnums=0)
def blitted(shape, p):
    return jax.vmap(lambda key: ada.blits(key, shape, p))(KEYS)


@partial(jax.jit, static_argnums=0)
def mapped(shape, p):
    return jax.vmap(lambda key: jnp.stack(ada.geometry(key, shape, p)))(KEYS)


def test_draws_follow_their_laws():
    mirrored, turns, by = map(np.asarray, blitted((24, 40, 3), 1.0))
    within(mirrored.mean(), 0.5, N)
    within(np.bincount(turns) / N, [0.25] * 4, N)
    for shift, size in ((by[:, 0], 40), (by[:, 1], 24)):  # right, down: round(U(-1/8, 1/8) size)
        assert (abs(shift) <= size / 8).all() and len(np.unique(shift)) == size // 4 + 1
        within((shift == 0).mean(), 4 / size, N)
    maps = np.asarray(mapped((24, 40, 3), 1.0))
    for log in (-np.log2(maps[:, 0, 0, 0]), -np.log2(maps[:, 2, 0, 0])):
        within([log.mean(), log.std()], [0, 0.2], N, 0.2)
    np.testing.assert_allclose(maps[:, 2, 0, 0] * maps[:, 2, 1, 1], 1, rtol=1e-5)
    for turn in (maps[:, 1], maps[:, 3]):
        angles = np.arctan2(turn[:, 1, 0], turn[:, 0, 0])
        within(np.histogram(angles, 4, (-np.pi, np.pi))[0] / N, [0.25] * 4, N)
    shifts = maps[:, 4, :2, 2] / [40, 24]
    within([*shifts.mean(0), *shifts.std(0)], [0, 0, 0.125, 0.125], N, 0.125)
    assert abs(np.corrcoef(shifts.T)[0, 1]) < 0.2


@pytest.mark.parametrize("p", [0.1, 0.6])
def test_coins_fall_with_probability_p(p):
    """Half, three quarters of blits are seen; a rotation's two coins are such that either falls with p."""
    mirrored, turns, by = map(np.asarray, blitted((80, 80, 3), p))
    within([mirrored.mean(), (turns > 0).mean()], [p / 2, 3 * p / 4], N)
    within(by.any(1).mean(), p * (1 - 1 / 400), N)
    on = ~(np.asarray(mapped((80, 80, 3), p)) == np.eye(3)).all((2, 3))
    once = 1 - np.sqrt(1 - p)
    within(on.mean(0), [p, once, p, once, p], N)
    within((on[:, 1] | on[:, 3]).mean(), p, N)
    assert abs(np.corrcoef(on.T) - np.eye(5)).max() < 0.2, "each operation has a coin of its own"


# The whole


@pytest.mark.parametrize("names", [augment.GROUPS, ("blit",)], ids=len)
def test_a_pipe_is_a_function_of_example_and_key(names):
    """At p = 0 the identity bit for bit; else a key decides, not the place in the batch; affine in the example."""
    x, keys = jnp.stack([X, X, 1e-3 * X, 1e5 * X]), KEYS[:4]
    np.testing.assert_array_equal(augmented(names, x, keys, 0.0), x)
    x = jnp.stack([X] * 4)
    made, back = (np.asarray(augmented(names, x, k, 1.0)) for k in (keys, keys[::-1]))
    np.testing.assert_array_equal(made, back[::-1])
    assert len(np.unique(made.reshape(4, -1), axis=0)) == 4
    zero, double = (np.asarray(augmented(names, n * x, keys, 1.0)) for n in (0, 2))
    np.testing.assert_allclose(double - made, made - zero, atol=1e-4)
    assert abs(made - zero).max() > 0.1


def test_the_gradient_of_a_gradient_passes():
    """As R1 takes it, at the image before augmentation: of |d D/dx|^2, D = sum (w y)^3, which grows like w^6."""

    def penalty(w):
        score = lambda x: ((w * augment.apply(augment.GROUPS, x, KEYS[:2], 0.7)) ** 3).sum()  # noqa: E731
        return (jax.grad(score)(jnp.stack([X, X])) ** 2).sum()

    value, slope = jax.jit(jax.value_and_grad(penalty))(1.2)
    np.testing.assert_allclose(1.2 * slope, 6 * value, rtol=1e-4)
    assert value > 1


def test_groups_share_p_and_colours_may_have_less():
    x, keys = jnp.stack([X] * 4), KEYS[:4]
    np.testing.assert_array_equal(augmented(("color",), x, keys, 1.0, 0.0), x)
    np.testing.assert_array_equal(augmented(("color",), x, keys, 0.6, 0.5), augmented(("color",), x, keys, 0.3))
    assert augment.groups(("noise", "flip", "ada")) == ("blit", "geometry", "color", "noise")


def test_names_are_those_of_the_configuration():
    added = set(typing.get_args(Augment)) - set(typing.get_args(DiffAugment))
    assert added == {"ada", *augment.GROUPS} == set(hp.ADA.split()[1:])
    assert set(typing.get_args(DiffAugment)) == set(augment.AUGMENTS)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("geometry", (2,), r"augment has geometry, which change images \(h, w, c\).*--augment jitter"),
        ("ada", (8, 15, 3), "augment has blit.*sides that are both even or both odd.*Leave blit out"),
        ("color", (8, 8, 2), "augment has color.*3 channels, or 1 of gray"),
        ("filter", (32, 21, 3), "augment has filter, which reaches over 21 pixels, and needs images of 22 or more"),
    ],
)
def test_images_that_do_not_fit_are_refused(name, shape, message):
    with pytest.raises(JaxganError, match=message):
        augment.check("augment", (name,), shape)
    augment.check("augment", ("ada", "filter", "noise", "ada_cutout"), (22, 22, 1))


FORMS = [("", 8, "gathered"), ("tpu", 8, "multiplied"), ("tpu", 65, "gathered")]


@pytest.mark.parametrize(("platform", "size", "form"), FORMS)
def test_the_form_of_the_backend_that_a_program_is_made_for(platform, size, form, monkeypatch):
    """Also where it is another than this machine's, as in a plan."""
    used = []
    for name in ("gathered", "multiplied"):
        made = getattr(warp, name)
        monkeypatch.setattr(warp, name, lambda *a, name=name, made=made: used.append(name) or made(*a))
    token = PLATFORM.set(platform)
    try:
        jax.eval_shape(lambda *a: warp.warp(*a), jnp.zeros((size, size, 1)), jnp.eye(3))  # a function not traced yet
    finally:
        PLATFORM.reset(token)
    assert used == [form]


def test_holes_are_centred(monkeypatch):
    """A hole around a mirrored centre is the mirrored hole, to the pixel."""
    x, mirror = jnp.ones((6, 9, 1)), lambda x: x[::-1, ::-1]

    def cut(row, column):
        monkeypatch.setattr(ada, "numbers", lambda *_: (jnp.array([0.0, row, column]), jnp.zeros(0)))
        return np.asarray(ada.cut(jax.random.key(0), x, 1.0))

    for row, column in ((0.3, 0.6), (0.51, 0.07), (0.93, 0.77)):
        np.testing.assert_array_equal(cut(row, column), mirror(cut(1 - row, 1 - column)))
