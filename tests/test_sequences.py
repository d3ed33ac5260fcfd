"""Sequences: closed forms of spectra and marginals, an exact test, a network that learns, pictures of curves."""

import dataclasses
import functools
import itertools
import math
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import jaxgan
from jaxgan import cli, plots, rng, train
from jaxgan.config import Config
from jaxgan.data import from_arrays, open_source, sequences
from jaxgan.metrics import two_sample
from jaxgan.metrics.two_sample import autocorrelation, mmd2, power_spectrum
from jaxgan.nets import build, conv1d
from jaxgan.run import latents
from jaxgan.state import initial
from jaxgan.types import JaxganError, Net, Spec

CASES = [("plain", (64, 1)), ("conditional", (12, 3))]
CLASSES, LATENT = 10, 5
X16 = jnp.zeros((1, 16, 1))
KS = 1.95  # Kolmogorov's distribution: sqrt(n) times the gap exceeds this once in a thousand draws


@functools.cache
def draw(name, n, seed=0, **settings):
    source = sequences.SEQUENCES[name](**settings)
    return jax.tree.map(np.asarray, jax.jit(source.finish)({}, rng.examples(rng.root(seed), n)))


def gap(values, cdf):
    """Kolmogorov-Smirnov distance of values from the distribution function cdf, in units of 1 / sqrt(n)."""
    x, n = np.sort(values), len(values)
    return np.abs(cdf(x) - (np.arange(n) + 0.5) / n).max() * math.sqrt(n)


@functools.cache
def setup(kind, shape, n=6, width=4):
    nets = build(Config(net="conv1d", width=width, latent=LATENT), shape, CLASSES if kind == "conditional" else 0)
    nets = {name: Net(jax.jit(net.init), jax.jit(net.apply, static_argnames="train")) for name, net in nets.items()}
    keys = jax.random.split(jax.random.key(0), 4)
    x, z = jax.random.normal(keys[0], (n, *shape)), jax.random.normal(keys[1], (n, LATENT))
    y = jnp.arange(n) % CLASSES if kind == "conditional" else None
    return nets, {"g": nets["g"].init(keys[2], z, y), "d": nets["d"].init(keys[3], x, y)}, x, y, z


@pytest.mark.parametrize("stride", [1, 2])
def test_convolution_equals_the_definition(stride):
    """Whole numbers, so that no order of summation matters; XLA's own convolution is the definition."""
    draws = np.random.default_rng(0)
    x, kernel = (
        draws.integers(-3, 4, (2, 12, 3)).astype(np.float32),
        draws.integers(-3, 4, (5, 3, 4)).astype(np.float32),
    )
    form = ("NWC", "WIO", "NWC")
    want = jax.lax.conv_general_dilated(x, kernel, (stride,), ((2, 2),), dimension_numbers=form)[:, : 12 // stride]
    np.testing.assert_array_equal(conv1d.convolve(jnp.asarray(x), jnp.asarray(kernel), stride), want)


@pytest.mark.parametrize(("kind", "shape"), CASES)
def test_shapes_types_and_pure_evaluation(kind, shape):
    nets, variables, x, y, z = setup(kind, shape)
    for name, inputs, want in (("g", z, (6, *shape)), ("d", x, (6,))):
        params, vars = variables[name]
        assert {leaf.dtype for leaf in jax.tree.leaves((params, vars))} == {jnp.dtype("float32")}
        for mode in (True, False):
            out, new = nets[name].apply(params, vars, inputs, y, train=mode)
            assert out.shape == want and out.dtype == jnp.float32
            assert jax.tree.structure(new) == jax.tree.structure(vars)
        jax.tree.map(np.testing.assert_array_equal, new, vars)


@pytest.mark.parametrize(("kind", "shape"), CASES)
def test_every_trainable_array_has_a_gradient(kind, shape):
    # A dead array, or a bias before a batch norm, would have rounding noise for a gradient, 1e-7 of the largest.
    nets, variables, x, y, z = setup(kind, shape)
    (pg, vg), (pd, vd) = variables["g"], variables["d"]

    score = lambda pd, x: jax.nn.softplus(-nets["d"].apply(pd, vd, x, y, train=True)[0]).mean()  # noqa: E731
    d_loss = lambda pd: score(pd, x)  # noqa: E731
    g_loss = lambda pg: score(pd, nets["g"].apply(pg, vg, z, y, train=True)[0])  # noqa: E731
    for loss, params in ((d_loss, pd), (g_loss, pg)):
        sizes = jax.tree.map(lambda g: float(jnp.abs(g).max()), jax.jit(jax.grad(loss))(params))
        largest = max(jax.tree.leaves(sizes))
        assert all(1e-4 * largest < size for size in jax.tree.leaves(sizes)), sizes


def test_labels_and_latents_matter():
    nets, variables, x, y, z = setup(*CASES[1])
    run = lambda name, *inputs: nets[name].apply(*variables[name], *inputs, train=False)[0]  # noqa: E731
    each = lambda a, b: np.abs(np.asarray(a - b)).reshape(len(a), -1).max(1)  # noqa: E731
    for name, inputs in (("g", z), ("d", x)):
        assert (each(run(name, inputs, y), run(name, inputs, y + 1)) > 1e-6).all()
        assert (each(run(name, inputs, y), run(name, inputs[::-1], y)) > 1e-6).all()
        with pytest.raises(JaxganError, match="labels"):
            run(name, inputs, None)


def test_examples_do_not_mix_but_in_the_batch_statistics_of_g():
    """D scores an example by itself even in training, as gradient penalties assume; G does in evaluation."""
    nets, variables, x, _, z = setup(*CASES[0])
    for name, inputs, mode, alone in (("d", x, True, True), ("g", z, False, True), ("g", z, True, False)):
        run = lambda a, name=name, mode=mode: nets[name].apply(*variables[name], a, None, train=mode)[0]  # noqa: E731
        others = inputs.at[1:].set(3 * inputs[1:] + 1)
        assert bool((run(inputs)[0] == run(others)[0]).all()) == alone


def test_batch_statistics_are_those_of_all_devices():
    """Two halves of a batch, joined by an axis, give what the whole batch gives, to float32 rounding."""
    shape, z = (16, 1), jax.random.normal(jax.random.key(1), (8, LATENT))
    whole, split = (conv1d.generator(Config(width=4), Spec(shape, axis=axis)) for axis in (None, "devices"))
    params, vars = jax.jit(whole.init)(jax.random.key(0), z, None)
    want, new = jax.jit(partial(whole.apply, train=True))(params, vars, z, None)
    step = jax.vmap(lambda z: split.apply(params, vars, z, None, train=True), axis_name="devices")
    got, both = jax.jit(step)(z.reshape(2, 4, LATENT))
    np.testing.assert_allclose(got.reshape(want.shape), want, atol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, np.stack([b, b]), atol=1e-6), both, new)


@pytest.mark.parametrize("classes", [0, CLASSES])
@pytest.mark.parametrize(("shape", "base", "widths"), [((12, 2), 3, [3, 6]), ((256, 1), 4, [3, 6, 12, 24, 24, 24])])
def test_parameter_counts(shape, base, widths, classes):
    """Added up by hand: 5 weights per pair of channels, 2 numbers per batch norm; widths from length / 2 downwards."""
    nets = build(Config(net="conv1d", width=3), shape, classes)
    y = jnp.zeros(2, int) if classes else None
    count = lambda *a: sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(*a)[0]))  # noqa: E731
    pairs, top = sum(5 * a * b for a, b in itertools.pairwise(widths)), base * widths[-1]
    g = (LATENT + (32 if classes else 0)) * top + 32 * classes + pairs + 2 * sum(widths)
    g += 5 * widths[0] * shape[1] + shape[1]
    d = 5 * shape[1] * widths[0] + pairs + sum(widths) + top + 1 + classes * top
    key = jax.random.key(0)
    assert count(nets["g"].init, key, jnp.zeros((2, LATENT)), y) == g
    assert count(nets["d"].init, key, jnp.zeros((2, *shape)), y) == d


def test_initial_values():
    """N(0, 0.02) kernels and N(1, 0.02) gains before a batch norm, as in DCGAN; variance 2 / fan-in in D."""
    nets = build(Config(net="conv1d", width=64), (16, 1))
    g, d = (jax.jit(nets[n].init)(jax.random.key(0), x, None)[0] for n, x in (("g", jnp.zeros((1, 9))), ("d", X16)))
    for path, leaf in jax.tree_util.tree_leaves_with_path(g):
        if path[-1].key in ("kernel", "scale") and path[0].key != "Conv_1":
            # 64 gains are the fewest: their mean has a standard error of 0.02 / 8, their deviation one of 0.02 / 11
            assert abs(leaf.mean() - (path[-1].key == "scale")) < 0.01 and abs(leaf.std() - 0.02) < 0.008, path
    assert float(d["Conv_1"]["kernel"].var() * 5 * 64) == pytest.approx(2, rel=0.05)  # 40,960 numbers


@pytest.mark.parametrize("shape", [(30, 1), (4, 1), (7, 2), (64,), (8, 8, 1)], ids=str)
def test_unsupported_shapes_are_answered(shape):
    with pytest.raises(JaxganError, match=r"multiple of 4.*pad or cut.*net to mlp"):
        build(Config(net="conv1d"), shape)


def test_sines_are_sines_of_uniform_frequency_and_phase():
    """Without noise x_{t-1} + x_{t+1} = 2 cos(w) x_t, which gives w; then x_0 and x_1 give the phase."""
    n, low, high = 2000, 2.0, 6.0
    x = draw("sines", n, amplitude=1.0, noise=0.0)["x"][..., 0].astype(np.float64)
    cos = (x[:, 1:-1] * (x[:, :-2] + x[:, 2:])).sum(1) / (2 * (x[:, 1:-1] ** 2).sum(1))
    w = np.arccos(cos)
    assert np.abs(x[:, :-2] + x[:, 2:] - 2 * cos[:, None] * x[:, 1:-1]).max() < 1e-4  # float32 phases up to 12 pi
    assert gap(64 * w / (2 * np.pi), lambda f: (f - low) / (high - low)) < KS
    u = np.arctan2(x[:, 0] * np.sin(w), x[:, 1] - cos * x[:, 0]) / (2 * np.pi) % 1
    assert gap(u, lambda u: u) < KS


def test_the_noise_is_white_and_of_its_size():
    """Power of white noise is 2 s^2 / length in a bin for +k and -k, with a relative error of 1 / sqrt(n)."""
    n, s = 4000, 0.25
    power = power_spectrum(draw("sines", n, amplitude=0.0, noise=s)["x"])[:, 0]
    np.testing.assert_allclose(power[1:-1], 2 * s**2 / 64, rtol=4.5 / math.sqrt(n))
    np.testing.assert_allclose(power[[0, -1]], s**2 / 64, rtol=4.5 * math.sqrt(2 / n))  # real bins: chi-square of one


@pytest.mark.parametrize("t", [0, 29])
def test_marginals_are_arcsine_plus_noise(t):
    """F(x) = E_u Phi((x - A sin 2 pi u) / s), u by the midpoint rule. One value a sequence: they are independent."""
    normal_cdf = lambda x: 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))  # noqa: E731
    sines = 0.8 * np.sin(2 * np.pi * (np.arange(400) + 0.5) / 400)  # periodic and analytic: exact to rounding
    x = draw("sines", 4000)["x"][:, t, 0]
    assert gap(x, lambda x: normal_cdf((x[:, None] - sines) / 0.05).mean(1)) < KS


def test_autocorrelation_of_the_data_has_its_closed_form():
    """A^2 / 2 E_f cos(2 pi f lag / length) plus the noise at lag 0; each lag within 5 standard errors of 50 groups."""
    x, lag = draw("sines", 4000)["x"], np.arange(33)
    turn = 2 * np.pi * lag / 64
    with np.errstate(invalid="ignore"):
        want = 0.8**2 / 2 * np.where(lag == 0, 1, (np.sin(6 * turn) - np.sin(2 * turn)) / (4 * turn))
    want[0] += 0.05**2
    error = np.std([autocorrelation(part)[:, 0] for part in np.split(x, 50)], axis=0) / math.sqrt(50)
    assert (np.abs(autocorrelation(x)[:, 0] - want) < 5 * error).all()


@functools.cache
def fits():
    """Residuals (root mean squares) of 200 curves after the best fit of each class: [200, 10], and the labels."""
    batch = draw("curves1d", 200)
    x, t, k = batch["x"][..., 0].astype(float), (np.arange(40) + 0.5) / 40, np.linspace(0, 1, 12)
    best = np.full((200, 10), np.inf)
    for y, extent, start in itertools.product(range(10), np.linspace(0.4, 0.65, 15), np.linspace(0, 1, 41)):
        curve = np.interp((t - (1 - extent) * start) / extent, k, sequences.TEMPLATES[y], left=0, right=0)
        curve = np.convolve(np.pad(curve, 2, mode="edge"), sequences.SMOOTH, mode="valid")
        q = np.linalg.qr(np.stack([curve, 2 * t - 1], 1))[0]
        best[:, y] = np.minimum(best[:, y], np.sqrt(((x - x @ q @ q.T) ** 2).mean(1)))
    return best, batch["y"]


def test_a_curve_is_its_class_template_deformed():
    """The right template leaves only the noise, and is the best of the ten but where noise hides the difference."""
    best, y = fits()
    noise = math.sqrt(0.05**2 * (sequences.SMOOTH**2).sum() + 0.02**2)
    right = best[np.arange(200), y]
    # four fitted numbers take a share of about 20 independent values, and the grid's steps add a little
    assert 0.8 * noise < np.median(right) < 1.2 * noise
    assert (best.argmin(1) == y).mean() > 0.9
    assert np.median(np.sort(best, 1)[:, 5]) > 2 * noise  # most templates do not fit


def test_curves_have_all_classes_alike_and_stay_near_the_unit_range():
    """Chi-square with 9 degrees of freedom exceeds 27.9 once in a thousand; heights are at most 1.1, plus noise."""
    batch = draw("curves1d", 4000)
    counts = np.bincount(batch["y"], minlength=10)
    assert ((counts - 400) ** 2 / 400).sum() < 27.9
    assert np.abs(batch["x"]).max() < 1.1 + 6 * 0.033
    assert (np.abs(batch["x"]) <= 1).mean() > 0.999


@pytest.mark.parametrize("name", sequences.SEQUENCES)
def test_a_sequence_is_a_function_of_its_key(name):
    source, whole = open_source(name), draw(name, 64)
    np.testing.assert_allclose(draw(name, 8)["x"], whole["x"][:8], atol=1e-5)
    assert np.abs(draw(name, 64, seed=1)["x"] - whole["x"]).max() > 0.1
    assert whole["x"].shape[1:] == source.shape and whole["x"].dtype == np.float32 and whole["y"].dtype == np.int32
    assert source.rows(np.arange(3)) == {} and source.size == 0
    assert source.fingerprint == open_source(name).fingerprint != sequences.SEQUENCES[name](length=32).fingerprint
    with pytest.raises(JaxganError, match="sequences, not images"):
        open_source(name, size=32)
    with pytest.raises(JaxganError, match=f"write {name}"):
        open_source(f"{name}:train")


def test_frequencies_that_cannot_be_told_apart_are_refused():
    for low, high in ((5.0, 4.0), (-1.0, 3.0), (2.0, 33.0), (math.nan, 3.0)):
        with pytest.raises(JaxganError, match="0 <= low <= high <= 32"):
            sequences.sines(low=low, high=high)


def test_arrays_of_sequences():
    x = 3 * np.random.default_rng(0).normal(size=(5, 8, 2))
    source = from_arrays(x, sequences=True)
    assert source.shape == (8, 2) and from_arrays(x[..., 0], sequences=True).shape == (8, 1)
    np.testing.assert_array_equal(source.finish(source.rows(np.arange(5)), None)["x"], x.astype(np.float32))
    nan = np.where(x > 3, np.nan, x)
    for bad, message in ((x[None], r"\[n, length, channels\]"), (x.astype(int), "floats"), (nan, "row .* NaN")):
        with pytest.raises(JaxganError, match=message):
            from_arrays(bad, sequences=True)
    with pytest.raises(JaxganError, match="flip"):
        from_arrays(x, sequences=True, flip=True)


@pytest.mark.slow
def test_a_short_training_moves_from_noise_to_sines(tmp_path):
    """Nearer to the data than before it, by a test that passes data against data; and by half in the autocorrelation.

    Before is the first G in training mode, where its samples vary: in evaluation they are nearly zeros.
    """
    source = Path(__file__).parent.parent / "experiments/sines.py"
    config = dataclasses.replace(cli.experiment(source)[0], width=8, batch=32, steps=200, sample_every=200)
    trained = train.run(config, tmp_path / "run", quiet=True)
    first, g, z = initial(trained.game, config, (64, 1)), trained.game.nets["g"], latents(trained.game, 300, 0)
    before = np.asarray(jax.jit(partial(g.apply, train=True))(first.params["g"], first.vars["g"], z, None)[0])
    data, other, after = draw("sines", 300, seed=1)["x"], draw("sines", 300, seed=2)["x"], trained.sample(300)
    null = two_sample.two_sample(data, other)
    assert null.p > 0.01 and two_sample.two_sample(data, before).p == 1 / 500
    assert null.mmd2 < mmd2(data, after, null.bandwidths) < 0.5 * mmd2(data, before, null.bandwidths)
    off = lambda x: np.abs(autocorrelation(x) - autocorrelation(data)).max()  # noqa: E731
    assert off(other) < off(after) < 0.5 * off(before)
    assert [path.name for path in (tmp_path / "run/samples").glob("*.png")] == ["00000200.png"]
    cli.main(["sample", str(tmp_path / "run"), "-n", "5", "--out", str(tmp_path / "a.png")])
    assert (plots.curves(after[:5], 8) == np.asarray(Image.open(tmp_path / "a.png"))).mean() > 0.99  # seed 0 of both


def test_fit_trains_on_arrays_of_sequences():
    batch = draw("curves1d", 64)
    run = jaxgan.fit(batch["x"], batch["y"], net="conv1d", width=2, latent=4, steps=2, batch=16, quiet=True)
    assert run.config.kind == "conditional" and run.sample(20).shape == (20, 40, 1)
    assert np.abs(run.sample(20, labels=np.full(20, 3)) - run.sample(20, labels=np.full(20, 4))).max() > 0
    with pytest.raises(JaxganError, match="multiple of 4"):
        jaxgan.fit(batch["x"][:, :30], net="conv1d", quiet=True)


def test_curves_are_drawn_in_their_cells():
    """Constants: a horizontal line in each cell, at the height of its value; values outside stay in their own cell."""
    values = np.array([0.9, -0.9, 50.0, 0.5])
    picture = plots.curves(values[:, None, None] + np.zeros((4, 16, 1)), 2).astype(int)
    height, width = picture.shape[0] // 2, picture.shape[1] // 2
    blue = (picture[..., 2] > picture[..., 0] + 60) & (picture[..., 0] < 160)
    for i, value in enumerate(values):
        cell = blue[i // 2 * height : (i // 2 + 1) * height, i % 2 * width : (i % 2 + 1) * width]
        rows = np.flatnonzero(cell.any(1)) + 0.5
        want = height * (0.5 - 0.4 * min(value, 1.2))
        assert len(rows) and abs(rows - want).max() < 2, (i, rows, want)  # 2 pixels: the line's width
    two = plots.curves(np.stack([np.full(16, 0.5), np.full(16, -0.5)], -1)[None], 1).astype(int)
    orange = np.flatnonzero((two[..., 0] > two[..., 2] + 60).any(1)) / len(two)
    assert len(orange) and abs(orange.mean() - 0.7) < 0.02  # the second channel has its own colour and place
