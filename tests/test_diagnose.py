"""Diagnosis: what each number means on games whose answer is known, and that looking never changes a run."""

import dataclasses
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from jax.scipy.special import ndtr
from PIL import Image

import jaxgan
from jaxgan import Config, Hp, cli, data, games, log, rng, run, signals, train
from jaxgan.data import feed
from jaxgan.data.holdout import split
from jaxgan.diagnose import diagnose
from jaxgan.errors import JaxganError
from jaxgan.metrics.diversity import auc, relative_diversity, vendi
from jaxgan.solvers import alternating
from jaxgan.state import initial
from jaxgan.step import runner
from jaxgan.theory import dirac, jacobian, nash
from jaxgan.theory.diagnosis import COLUMNS, RULES, cosines, instruments, judge, readings, spectral_norms
from scalars import MEANS, game, start

KEY = rng.root(0)


def test_vendi_counts_what_is_different():
    """n rows at k far points: k. All equal: 1. Two at a distance: the exponential of a binary entropy."""
    far = 100 * np.eye(4, dtype=np.float32)
    count = jax.jit(vendi)
    assert float(count(far.repeat(5, 0), 1.0)) == pytest.approx(4, rel=1e-5)
    assert float(count(jnp.zeros((7, 3)), 1.0)) == pytest.approx(1, rel=1e-5)
    assert float(count(far, 1.0)) == pytest.approx(4, rel=1e-5)
    k = np.exp(-(1.5**2) / 2)
    rate = np.array([1 + k, 1 - k]) / 2
    assert float(count(jnp.array([[0.0], [1.5]]), 1.0)) == pytest.approx(np.exp(-(rate * np.log(rate)).sum()), rel=1e-5)


def test_diversity_is_one_on_the_data_and_falls_with_each_lost_mode():
    source = data.open_source("ring8")
    draw = jax.jit(lambda key: source.finish({}, rng.examples(key, 2000)))
    real, other = (jax.tree.map(np.asarray, draw(key)) for key in (KEY, rng.root(1)))
    diversity = jax.jit(relative_diversity)
    found = [float(diversity(other["x"][other["y"] < kept][:200], real["x"][:200])) for kept in (8, 4, 2, 1)]
    assert found[0] == pytest.approx(1, abs=0.05)
    assert found == sorted(found, reverse=True)
    assert found[1] < 0.75
    assert found[2] < 0.4
    assert found[3] < 0.2


def test_auc_is_the_share_of_pairs():
    pick = np.random.default_rng(0)
    high, low = pick.integers(0, 9, 50).astype(np.float32), pick.integers(0, 6, 70).astype(np.float32)
    pairs = (high[:, None] > low).mean() + (high[:, None] == low).mean() / 2
    assert float(auc(high, low)) == pytest.approx(pairs, abs=1e-6)
    assert float(auc(low, high)) == pytest.approx(1 - pairs, abs=1e-6)
    high, low = pick.normal(1, 1, 4000).astype(np.float32), pick.normal(0, 1, 4000).astype(np.float32)
    assert float(auc(high, low)) == pytest.approx(float(ndtr(1 / np.sqrt(2))), abs=5 * 0.5 / np.sqrt(4000))


def test_held_out_examples_are_never_trained_on():
    source = data.open_source("mnist5k")
    left, held = split(source, 500)
    assert (left.size, held.size) == (4500, 500)
    assert len({left.fingerprint, held.fingerprint, source.fingerprint}) == 3
    digits = lambda s: {x.tobytes() for x in s.rows(np.arange(s.size))["x"]}  # noqa: E731
    assert digits(left) | digits(held) == digits(source)
    assert not digits(left) & digits(held)
    epoch = feed.indices(left, 0, 1, 100)(0, 45)  # all 4,500, once each
    assert {x.tobytes() for x in left.rows(epoch.ravel())["x"]} == digits(left)
    counts = np.bincount(held.rows(np.arange(500))["y"], minlength=10)
    assert counts.min() > 50 - 5 * np.sqrt(45)  # drawn from all classes: hypergeometric, below binomial deviation


@pytest.mark.parametrize("name, n, words", [("ring8", 5, "density"), ("mnist5k", 5000, "keep some")])
def test_impossible_holdout(name, n, words):
    with pytest.raises(JaxganError, match=words):
        split(data.open_source(name), n)


def test_cosine_of_successive_updates():
    """Gradients are batch means here: the same sign twice, and opposite ones."""
    g = game(MEANS, {"x": 0.0, "y": 0.0})
    means = jnp.array([[1.0, 2.0], [3.0, -1.0]])[..., None]  # [step, player, 1]
    found = cosines(g, alternating, start(g), {"x": means})
    assert float(found["cos_x"]) == pytest.approx(1)
    assert float(found["cos_y"]) == pytest.approx(-1)


def test_path_angle_of_the_dirac_gan():
    """On (0, psi) the motion is (psi/2, -gamma psi): cosine gamma / sqrt(gamma^2 + 1/4), reversed beyond 0."""
    g, state = dirac.dirac(Config(hp=Hp(r1=0.7)))
    m = jacobian.motion(g, state, dirac.REAL, KEY)
    begin = ravel_pytree({"d": {"psi": jnp.float32(1)}, "g": {"theta": jnp.float32(0)}})[0]
    found = jacobian.path(m, begin, jnp.array([0.0, 0.5, 1.5]))
    cosine = 0.7 / np.hypot(0.7, 0.5)
    np.testing.assert_allclose(found["angle"], [cosine, cosine, -cosine], rtol=1e-5)
    np.testing.assert_allclose(found["field"], np.hypot(0.7, 0.5) * np.array([1, 0.5, 0.5]), rtol=1e-5)


def test_spectral_norms_read_kernels_as_matrices():
    kernel = np.zeros((2, 2, 3, 4), np.float32)
    kernel[0, 1, 2, 3], kernel[1, 0, 0, 1] = 5, -7
    found = spectral_norms(
        {"d": {"conv": {"kernel": kernel, "bias": np.ones(4)}}, "g": {"dense": {"kernel": np.eye(3)}}}
    )
    assert found == pytest.approx({"d.conv": 7, "g.dense": 1})


GOOD = dict.fromkeys(COLUMNS, 0.1) | {"diversity": 1, "auc_train": 0.8, "auc_held": 0.8, "eig_abs": 9, "eig_re": -1}


@pytest.mark.parametrize(
    "change, word",
    [
        ({}, "nothing remarkable"),
        ({"diversity": 0.2}, "ALARM.*20%.*collapsing"),
        ({"auc_train": 0.95, "auc_held": 0.6}, "ALARM.*heart.*95%.*60%"),
        ({"auc_train": 0.999, "auc_held": 0.999}, "without error"),
        ({"auc_train": 0.55, "auc_held": 0.55, "gain_d": 0.5}, "more --d-steps"),
        ({"auc_train": 0.55, "auc_held": 0.55, "gain_d": 0.01}, "near equilibrium"),
        ({"eig_re": 2}, "repels"),
        ({"rotation": 0.9}, "chase each other, 90%"),
        ({"cos_g": -0.9}, "lower learning rate"),
    ],
)
def test_each_rule_has_its_words(change, word):
    found = readings(GOOD | change)
    assert len(found) == 1
    assert re.search(word, found[0])
    assert len(RULES) == 8


def test_a_row_without_held_out_data_says_nothing_of_it():
    row = {name: value for name, value in GOOD.items() if name != "auc_held"}
    assert readings(row) == ["nothing remarkable"]


@pytest.fixture(scope="module")
def ring():
    """A game on the ring, its source, its first state and the instruments."""
    c = Config(data="ring8", net="mlp", width=16, latent=2, batch=32)
    source = data.of_config(c)[0]
    g = games.make(c, source.shape)
    return g, source, initial(g, c, source.shape), instruments(g, c, source)


def test_a_collapsed_generator_and_a_constant_discriminator_are_seen(ring):
    g, source, state, measure = ring
    constant = jax.tree.map(jnp.zeros_like, state.params)
    batch = source.finish({}, rng.examples(KEY, 300))
    logits, diversity = jax.jit(lambda s: judge(g, s, batch, KEY))(dataclasses.replace(state, params=constant))
    assert float(auc(logits["training"], logits["generated"])) == 0.5
    assert float(diversity) < 0.2  # one point: Vendi 1 of the ring's 8
    report = measure(dataclasses.replace(state, params=constant))
    assert set(report.row) == set(COLUMNS)
    assert report.row["auc_held"] == report.row["auc_train"] == 0.5
    assert readings(report.row)[0].startswith("ALARM")


def test_held_out_scores_and_gains_are_of_held_out_examples(ring, monkeypatch):
    """150 examples far from the 200 of training: D's logits are those at them, gains are taken on 150."""
    g, _, state, _ = ring
    points = np.random.default_rng(0).normal(size=(350, 2)).astype(np.float32)
    points[200:] += 10
    seen, gains = [], nash.gains

    def spy(game, state, batches, held, key):
        seen.append(len(held["x"]))
        return gains(game, state, batches, held, key)

    monkeypatch.setattr(nash, "gains", spy)
    c = Config(net="mlp", width=16, latent=2, batch=32)
    train_source, held = data.from_arrays(points[:200]), data.from_arrays(points[200:])
    scores = instruments(g, c, train_source, held)(state).scores
    assert seen == [150]
    for name, x in (("training", points[:200]), ("held out", points[200:])):
        logits, _ = runner(g, state.params)(state.vars, "d", x, None)
        np.testing.assert_allclose(np.sort(scores[name]), np.sort(logits), rtol=1e-4, atol=1e-5)


def test_a_run_with_held_out_examples_is_a_run_on_the_others(tmp_path):
    points = np.random.default_rng(0).normal(size=(96, 2)).astype(np.float32)
    source = data.from_arrays(points)
    settings = {**SETTINGS, "data": "arrays", "steps": 10}
    trained = [
        train.run(Config(**settings, holdout=n), tmp_path / str(i), s, quiet=True).state.params
        for i, (n, s) in enumerate([(32, source), (0, split(source, 32)[0]), (0, source)])
    ]
    flat = [np.asarray(ravel_pytree(params)[0]) for params in trained]
    np.testing.assert_array_equal(flat[0], flat[1])
    assert (flat[0] != flat[2]).any()


def test_a_diverged_state_gives_nan_and_no_error(ring):
    """The loop names what became non-finite; looking must not fail before it does."""
    _, _, state, measure = ring
    row = measure(dataclasses.replace(state, params=jax.tree.map(lambda x: x * jnp.nan, state.params))).row
    names = ("field", "eig_abs", "eig_re", "diversity", "auc_train", "spectral_d")
    assert np.isnan([row[name] for name in names]).all()


def test_columns_of_an_untrained_game(ring):
    """What must hold of any state: sums, bounds, and that ten steps help an untrained D."""
    _, _, state, measure = ring
    row = measure(state).row
    assert row["exploitability"] == pytest.approx(row["gain_d"] + row["gain_g"])
    assert row["gain_d"] > 0
    assert 0 <= row["rotation"] <= 1
    assert row["eig_error"] < 0.1
    assert row["eig_abs"] >= max(abs(row["eig_re"]), row["eig_im"])


@pytest.mark.slow
def test_packs_are_diagnosed_whole():
    """1,024 examples are not made of packs of 3, and 1,023 are."""
    c = Config(data="ring8", net="mlp", width=8, latent=2, batch=12, pack=3)
    source = data.of_config(c)[0]
    game = games.make(c, source.shape)
    found = instruments(game, c, source, None)(initial(game, c, source.shape))
    assert len(found.scores["training"]) == len(found.scores["generated"]) == 341


SETTINGS = {"data": "ring8", "net": "mlp", "width": 8, "latent": 2, "batch": 32, "steps": 30, "checkpoint_every": 10}


def test_looking_never_changes_a_run(tmp_path):
    """Equal digests with and without diagnoses, which come when they are due."""
    quiet, looked = tmp_path / "quiet", tmp_path / "looked"
    train.run(Config(**SETTINGS), quiet, quiet=True)
    train.run(Config(**SETTINGS, diagnose_every=12), looked, quiet=True)
    rows = [log.read(folder / "metrics.jsonl") for folder in (quiet, looked)]
    digests = [[row["digest"] for row in found if "digest" in row] for found in rows]
    assert digests[0] == digests[1]
    assert len(digests[0]) == 3
    seen = {row["step"]: row for row in rows[1] if "diagnosis/field" in row}
    assert set(seen) == {12, 24, 30}
    assert {name.removeprefix("diagnosis/") for name in seen[30]} == {"step", *COLUMNS}
    # the command finds what training found at the same step
    row = diagnose(looked, say=lambda text: None)
    assert row == {name: seen[30][f"diagnosis/{name}"] for name in COLUMNS}
    assert json.loads((looked / "diagnosis.json").read_text())["train_steps_of_cost"] > 1
    assert (looked / "diagnosis.png").stat().st_size > 10_000
    with pytest.raises(JaxganError, match=r"shape \(28, 28, 1\) .* on shape \(2,\)"):
        diagnose(looked, held_out="mnist5k")


def test_told_to_stop_right_after_a_look_a_run_is_saved(tmp_path):
    class Stop(signals.Stop):
        def agreed(self):
            self.asked = getattr(self, "asked", 0) + 1
            return self.asked > 2

    c = Config(**{**SETTINGS, "checkpoint_every": 100}, chunk=5, diagnose_every=5)
    stopped = train.run(c, tmp_path / "run", quiet=True, stop=Stop())
    assert int(stopped.state.step) == int(run.load(tmp_path / "run").state.step) == 10


@pytest.mark.slow
def test_diagnosis_on_the_command_line(tmp_path, capsys):
    """Images with held-out examples; data that cannot be opened by name."""
    settings = {"net": "mlp", "width": 4, "steps": 2, "batch": 16, "latent": 8}
    images = np.random.default_rng(0).integers(0, 256, (80, 8, 8, 1), np.uint8)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i, image in enumerate(images):
        Image.fromarray(image[..., 0]).save(folder / f"{i}.png")
    c = Config(data=f"folder:{folder}", size=8, holdout=20, **settings)
    train.run(c, tmp_path / "run", quiet=True)
    cli.main(["diagnose", str(tmp_path / "run")])
    out = capsys.readouterr().out
    assert "20 examples" in out
    assert all(name in out for name in COLUMNS)
    run_of_arrays = tmp_path / "arrays"
    jaxgan.fit(images, dir=run_of_arrays, quiet=True, **settings)
    (run_of_arrays / "arrays.npz").unlink()  # else they are found there
    with pytest.raises(SystemExit) as stopped:
        cli.main(["diagnose", str(run_of_arrays)])
    assert stopped.value.code == 2
    assert "arrays.npz in it cannot be read" in capsys.readouterr().err
