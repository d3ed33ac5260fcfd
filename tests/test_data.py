"""Toys, arrays and names: densities that integrate to 1 and match their samplers, exact scaling, clear refusals."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import rng
from jaxgan.data import ENDS, SOURCES, from_arrays, memory, open_source, toy
from jaxgan.data import rows as stored
from jaxgan.data.stream import stream
from jaxgan.types import JaxganError

PLANE = [name for name in toy.TOYS if not name.endswith("1d")]
LINE = [name for name in toy.TOYS if name.endswith("1d")]
IMAGES = np.arange(6 * 4 * 5, dtype=np.uint8).reshape(6, 4, 5)


def draw(source, n, seed=0):
    return jax.tree.map(np.asarray, jax.jit(source.finish)({}, rng.examples(rng.root(seed), n)))


def log_pdf(source, x):
    """log density of x [n, d] in chunks, since curves cost 2048 terms a point."""
    f = jax.jit(jax.vmap(source.density.log_pdf))
    return np.concatenate([np.asarray(f(part), np.float64) for part in np.array_split(x, max(1, len(x) // 20000))])


def integral(source, centers, half, points):
    """The integral of a plane density over squares around centers, by the midpoint rule."""
    axis = (np.arange(points) + 0.5) / points * 2 * half - half
    square = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    return sum(np.exp(log_pdf(source, c + square)).sum() for c in centers) * (2 * half / points) ** 2


@pytest.mark.parametrize("name", PLANE)
def test_plane_density_integrates_to_one(name):
    source = open_source(name)
    modes = source.density.modes
    if modes is None:
        assert abs(integral(source, np.zeros((1, 2)), 3.0, 300) - 1) < 1e-3
    else:  # the modes are too narrow for one grid, and far enough apart for one each
        assert abs(integral(source, modes, 6 * source.density.std, 60) - 1) < 1e-4


@pytest.mark.parametrize("name", LINE)
def test_sampler_on_the_line_follows_the_density(name):
    """Kolmogorov-Smirnov: the largest gap between the two distribution functions stays below the 0.1 % bound."""
    source, n = open_source(name), 20_000
    grid = np.linspace(-10, 14, 8001)
    pdf = np.exp(log_pdf(source, grid[:, None]))
    cdf = np.concatenate([[0], np.cumsum((pdf[1:] + pdf[:-1]) / 2 * np.diff(grid))])
    assert abs(cdf[-1] - 1) < 1e-5
    x = np.sort(draw(source, n)["x"][:, 0])
    gap = np.abs(np.interp(x, grid, cdf) - (np.arange(n) + 0.5) / n).max()
    assert gap < 1.95 / math.sqrt(n)


@pytest.mark.parametrize("name", PLANE)
def test_sampler_in_the_plane_follows_the_density(name):
    """Chi-square over the cells of a grid: expected counts from the density, observed ones from the sampler."""
    source, n = open_source(name), 20_000
    x = draw(source, n)["x"]
    modes = source.density.modes
    if modes is None:
        width, cells, fine, low = 6.0, 40, 8, np.array([-3.0, -3.0])
    else:  # all modes have one shape: fold them onto one
        x = x - modes[np.argmin(((x[:, None] - modes) ** 2).sum(-1), 1)]
        width, cells, fine, low = 10 * source.density.std, 20, 4, -5 * np.full(2, source.density.std)
    step = width / (cells * fine)
    axis = (np.arange(cells * fine) + 0.5) * step
    points = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2) + low
    at = points if modes is None else points + modes[0]
    weight = 1 if modes is None else len(modes)
    mass = np.exp(log_pdf(source, at)).reshape(cells, fine, cells, fine).sum((1, 3)) * step**2 * weight * n
    observed = np.histogram2d(x[:, 0], x[:, 1], bins=cells, range=[[l, l + width] for l in low])[0]  # noqa: E741
    busy = mass > 5
    chi, dof = ((observed - mass)[busy] ** 2 / mass[busy]).sum(), busy.sum()
    assert dof > 50
    assert chi < dof + 4 * math.sqrt(2 * dof)


@pytest.mark.parametrize("name", ["swiss_roll", "moons"])
def test_curve_quadrature_is_converged(name, monkeypatch):
    coarse = open_source(name)
    monkeypatch.setattr(toy, "PANELS", 4 * toy.PANELS)
    x = draw(coarse, 500)["x"] + 0.05
    assert np.abs(log_pdf(coarse, x) - log_pdf(open_source(name), x)).max() < 1e-4


def test_known_numbers_of_the_rings_and_the_grid():
    for name, radius in (("ring8", 1.0), ("ring8_scgan", 2.0)):
        density = open_source(name).density
        np.testing.assert_allclose(np.linalg.norm(density.modes, axis=1), radius, rtol=1e-6)
        assert density.std == 0.01
        peak = math.log(1 / 8) - math.log(2 * math.pi * 0.01**2)
        assert float(density.log_pdf(jnp.array([radius, 0.0]))) == pytest.approx(peak, abs=1e-4)
    grid = open_source("grid25").density
    assert sorted(set(grid.modes.ravel())) == [-4, -2, 0, 2, 4]
    assert grid.std == 0.05


def test_second_moments_are_those_of_the_definitions():
    """E|x|^2 by hand: t^2 / 7.5^2 over [1.5 pi, 4.5 pi]; 1 and 2.25 - 2 / pi on the two moons; plus the noise."""
    a, b = 1.5 * math.pi, 4.5 * math.pi
    expected = {
        "swiss_roll": (b**3 - a**3) / (3 * (b - a)) / 7.5**2 + 2 / 30**2,
        "moons": (1 + 2.25 - 2 / math.pi) / 2 + 2 * 0.1**2,
        "gauss1d": 4**2 + 1.25**2,
        "mixture1d": 0.3 * 9 + 0.1 * 16 + 0.5**2,
    }
    for name, value in expected.items():
        squared = (draw(open_source(name), 20_000)["x"].astype(float) ** 2).sum(-1)
        assert abs(squared.mean() - value) < 4 * squared.std() / math.sqrt(20_000), name


@pytest.mark.parametrize("name", ["ring8", "grid25", "mixture1d"])
def test_labels_are_components(name):
    source = open_source(name)
    batch = draw(source, 4000)
    far = np.abs(batch["x"] - source.density.modes[batch["y"]]).max()
    assert far < 5.5 * source.density.std
    assert source.classes == len(source.density.modes) == len(set(batch["y"]))


def test_weights_are_the_frequencies_and_zero_is_never_drawn():
    source = toy.gaussian_mixture([[0.0], [5.0], [9.0]], 0.1, [0.25, 0.75, 0.0])
    y = draw(source, 4000)["y"]
    assert abs((y == 1).mean() - 0.75) < 0.03
    assert not (y == 2).any()
    assert np.isfinite(source.density.log_pdf(jnp.array([5.0])))


@pytest.mark.parametrize("name", toy.TOYS)
def test_a_toy_example_is_a_function_of_its_key(name):
    source = open_source(name)
    whole, again = draw(source, 64), draw(source, 8)
    np.testing.assert_allclose(whole["x"][:8], again["x"], rtol=1e-6)
    assert not np.allclose(draw(source, 64, seed=1)["x"], whole["x"])
    alone = source.density.sample(jax.random.fold_in(rng.root(0), 5))
    np.testing.assert_allclose(alone, whole["x"][5], atol=1e-5)
    assert whole["x"].dtype == np.float32 and whole["y"].dtype == np.int32
    assert whole["x"].shape[1:] == source.shape == alone.shape
    assert source.rows(np.arange(3)) == {} and source.size == 0


def test_fingerprints_differ_and_are_stable():
    prints = [open_source(name).fingerprint for name in [*toy.TOYS, "mnist5k"]]
    assert len(set(prints)) == len(prints)
    assert prints == [open_source(name).fingerprint for name in [*toy.TOYS, "mnist5k"]]
    assert toy.gaussian_mixture([[0.0]], 1.0).fingerprint != toy.gaussian_mixture([[0.0]], 1.1).fingerprint
    one = from_arrays(IMAGES, np.arange(6)).fingerprint
    assert one != from_arrays(IMAGES + 1, np.arange(6)).fingerprint
    assert one != from_arrays(IMAGES, np.arange(6)[::-1]).fingerprint != from_arrays(IMAGES).fingerprint


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_bytes_map_onto_minus_one_to_one_exactly(wrap):
    x = np.asarray(wrap(stored.to_float)(jnp.arange(256).astype(jnp.uint8)))
    assert x[0] == -1 and x[255] == 1 and x.dtype == np.float32
    np.testing.assert_allclose(x, np.arange(256) / 127.5 - 1, atol=1e-7)
    np.testing.assert_array_equal(np.rint((x + 1) * 127.5), np.arange(256))


def test_finish_is_the_same_for_rows_gathered_on_host_and_device():
    source = from_arrays(
        np.random.default_rng(0).integers(0, 256, (50, 4, 4, 3), np.uint8), np.arange(50) % 7, flip=True
    )
    index, keys = np.array([3, 49, 3, 0]), rng.examples(rng.root(2), 4)
    table = jax.tree.map(jnp.asarray, source.rows(np.arange(50)))
    inside = jax.jit(lambda i, k: source.finish(jax.tree.map(lambda r: r[i], table), k))(index, keys)
    outside = jax.jit(source.finish)(source.rows(index), keys)
    jax.tree.map(np.testing.assert_array_equal, inside, outside)
    assert source.rows(index)["x"].dtype == np.uint8
    assert (source.classes, source.size, source.shape, source.bytes) == (7, 50, (4, 4, 3), 50 * 48 + 50 * 4)


def test_flips_mirror_about_half_and_follow_the_key():
    images = np.random.default_rng(0).integers(0, 256, (2000, 2, 3), np.uint8)
    plain, flipped = from_arrays(images), from_arrays(images, flip=True)
    keys, rows = rng.examples(rng.root(1), 2000), plain.rows(np.arange(2000))
    x, y = (np.asarray(s.finish(rows, keys)["x"]) for s in (plain, flipped))
    mirrored = (y == x[:, :, ::-1]).all((1, 2, 3)) & ~(x == x[:, :, ::-1]).all((1, 2, 3))
    assert (mirrored | (y == x).all((1, 2, 3))).all()
    assert 0.46 < mirrored.mean() < 0.54
    np.testing.assert_array_equal(y, flipped.finish(rows, keys)["x"])
    part = np.asarray(flipped.finish(plain.rows(np.arange(7)), keys[:7])["x"])
    np.testing.assert_array_equal(part, y[:7])


def test_vectors_and_floats_pass_through():
    x = np.random.default_rng(0).normal(size=(9, 3)) * 100
    source = from_arrays(x)
    batch = source.finish(source.rows(np.arange(9)), rng.examples(rng.root(0), 9))
    np.testing.assert_array_equal(batch["x"], x.astype(np.float32))
    assert source.shape == (3,) and source.classes == 0 and not batch["y"].any()
    images = from_arrays(np.linspace(-1, 1, 32, dtype=np.float32).reshape(2, 4, 4), [0, 5])
    assert images.shape == (4, 4, 1) and images.classes == 6  # gaps are allowed


FLOATS = np.linspace(-1, 1, 96).reshape(6, 4, 4)
BAD_ARRAYS = {
    "nan": (lambda: from_arrays(np.where(np.arange(96).reshape(6, 4, 4) >= 40, np.nan, FLOATS)), "row 2 .*4 rows.*NaN"),
    "inf": (lambda: from_arrays(np.array([[1.0], [np.inf]])), "row 1 "),
    "0..255 floats": (lambda: from_arrays(IMAGES.astype(float)), r"\[-1, 1\].*\[0, 119\].*uint8"),
    "0..1 floats": (lambda: from_arrays(IMAGES / 255.0), r"2\*x-1"),
    "int64 images": (lambda: from_arrays(IMAGES.astype(int)), "int64.*uint8"),
    "rank": (lambda: from_arrays(IMAGES[None, None]), r"\[n, h, w\].*\(1, 1, 6, 4, 5\)"),
    "flat uint8": (lambda: from_arrays(IMAGES.reshape(6, 20)), "reshape"),
    "empty": (lambda: from_arrays(IMAGES[:0]), "no examples"),
    "ragged": (lambda: from_arrays([[1.0], [1.0, 2.0]]), "one array"),
    "strings": (lambda: from_arrays(np.array([["a"]])), "must be numbers"),
    "channels first": (lambda: from_arrays(np.zeros((2, 3, 8, 8), np.uint8)), "moveaxis"),
    "flip vectors": (lambda: from_arrays(FLOATS.reshape(6, 16), flip=True), "flip"),
    "labels short": (lambda: from_arrays(IMAGES, np.arange(5)), r"\[6\].*\(5,\)"),
    "labels 2-d": (lambda: from_arrays(IMAGES, np.eye(6, dtype=int)), r"\(6, 6\)"),
    "labels negative": (lambda: from_arrays(IMAGES, np.arange(6) - 1), "row 0 is -1"),
    "labels float": (lambda: from_arrays(IMAGES, np.arange(6.0)), "integers.*float64"),
    "labels bool": (lambda: from_arrays(IMAGES, np.ones(6, bool)), "bool"),
    "labels huge": (lambda: from_arrays(IMAGES, np.full(6, 2**40)), "int32"),
    "named": (lambda: from_arrays(IMAGES[:0], name="mine"), "^mine: "),
    "centers": (lambda: toy.gaussian_mixture([1.0, 2.0], 1.0), r"\[k, d\].*\(2,\)"),
    "std": (lambda: toy.gaussian_mixture([[1.0]], 0.0), "std"),
    "weights sum": (lambda: toy.gaussian_mixture([[1.0], [2.0]], 1.0, [1, 1]), "sum to 1"),
    "weights length": (lambda: toy.gaussian_mixture([[1.0], [2.0]], 1.0, [1.0]), "one number per centre"),
    "weights nan": (lambda: toy.gaussian_mixture([[1.0]], 1.0, [np.nan]), "sum to 1"),
}
BAD_NAMES = {
    "rng8": "did you mean ring8",
    "mnist": "did you mean tfds:mnist",
    "cifer10": "did you mean tfds:cifar10",
    "nothing-like-it": "known: mnist5k, ring8.*folder:PATH.*tfds:NAME",
    "": "known: ",
    "/": "did you mean folder:/",
    "ring8:train": "write ring8",
    "mnist5k:train": "write mnist5k",
    "folder:": "folder:PATH",
    "tfds:": "tfds:NAME",
}


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_bad_arrays_are_refused_by_name(case):
    make, message = BAD_ARRAYS[case]
    with pytest.raises(JaxganError, match=message):
        make()


@pytest.mark.parametrize("name", BAD_NAMES)
def test_bad_names_are_answered_with_the_right_one(name):
    with pytest.raises(JaxganError, match=BAD_NAMES[name]):
        open_source(name)


@pytest.mark.parametrize("arguments", [{"size": 32}, {"flip": True}, {"size": -1}, {"size": 2.5}])
def test_image_options_are_refused_where_they_mean_nothing(arguments):
    with pytest.raises(JaxganError, match="size"):
        open_source("ring8", **arguments)


def test_every_plain_name_opens():
    for name in set(SOURCES) - set(ENDS):
        assert open_source(name).name == name


def test_mnist5k_holds_500_digits_of_each_class():
    source = open_source("mnist5k")
    rows = source.rows(np.arange(5000))
    assert source.shape == (28, 28, 1) and source.classes == 10 and source.size == 5000
    np.testing.assert_array_equal(np.bincount(rows["y"]), np.full(10, 500))
    assert rows["x"].mean() == pytest.approx(33.4865056, abs=1e-6)  # of the 60,000: 33.318
    assert source.fingerprint == memory.MNIST5K_SHA256 == stored.fingerprint(rows["x"], rows["y"])
    ones, zeros = (rows["x"][rows["y"] == digit].mean(0)[..., 0] for digit in (1, 0))
    assert ones[14, 14] > 150 > 30 > zeros[14, 14]  # a one has ink in the middle, a zero a hole


def test_mnist5k_resizes():
    source = open_source("mnist5k", size=32)
    assert source.shape == (32, 32, 1)
    assert source.rows(np.arange(100))["x"].mean() == pytest.approx(
        open_source("mnist5k").rows(np.arange(100))["x"].mean(), rel=0.02
    )
    assert open_source("mnist5k", size=28).fingerprint == memory.MNIST5K_SHA256 != source.fingerprint


def test_a_missing_or_damaged_mnist5k_is_reported(tmp_path):
    path = tmp_path / "mnist5k.npz"
    with pytest.raises(JaxganError, match=r"missing.*build_mnist5k"):
        memory.load_mnist5k(path)
    good = memory.MNIST5K.read_bytes()
    for damaged in (good[: len(good) // 2], b"", good[:5000] + b"\xff" + good[5001:]):
        path.write_bytes(damaged)
        with pytest.raises(JaxganError, match="damaged"):
            memory.load_mnist5k(path)
    with np.load(memory.MNIST5K) as file:
        np.savez(path, images=255 - file["images"], labels=file["labels"])
    with pytest.raises(JaxganError, match="checksum"):
        memory.load_mnist5k(path)


def test_stream_yields_every_batch_in_order():
    source = from_arrays(np.arange(200, dtype=np.uint8).reshape(200, 1, 1), np.arange(200))
    indices = np.random.default_rng(0).integers(0, 200, (40, 2, 5))
    batches = list(stream(source, indices.__getitem__, range(40), ahead=3, threads=3))
    assert len(batches) == 40 and batches[0]["x"].shape == (2, 5, 1, 1, 1)
    np.testing.assert_array_equal(np.stack([b["y"] for b in batches]), indices)
    with pytest.raises(IndexError):
        list(stream(source, lambda start: np.array([start]), [0, 999]))


def test_stacked_digits_are_the_digits_of_their_label():
    digits, source = open_source("mnist5k"), open_source("stacked:mnist5k")
    assert (source.shape, source.size, source.classes) == ((28, 28, 3), 128_000, 1000)
    kept = {x.tobytes(): int(y) for x, y in zip(*digits.rows(np.arange(5000)).values(), strict=True)}
    found = source.rows(np.arange(0, 128_000, 997))
    for x, y in zip(found["x"], found["y"], strict=True):
        assert [kept[np.ascontiguousarray(x[..., i : i + 1]).tobytes()] for i in range(3)] == [*map(int, f"{y:03d}")]
    counts = np.bincount(source.rows(np.arange(128_000))["y"], minlength=1000)
    assert abs(counts - 128).max() < 6 * math.sqrt(128)
    assert open_source("stacked:mnist5k", size=14).fingerprint != source.fingerprint


@pytest.mark.parametrize("name", ["stacked:", "stacked:ring", "stacked:folder:x"])
def test_what_cannot_be_stacked_is_said(name):
    with pytest.raises(JaxganError, match="stacked:mnist5k or stacked:tfds:mnist"):
        open_source(name)
