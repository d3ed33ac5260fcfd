"""Metrics of a classifier's answers: closed forms, the floor of a perfect generator, and errors as they vary."""

import math

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy

from jaxgan.errors import JaxganError
from jaxgan.metrics import accuracy, inception_score, mode_jsd, mode_kl, stacked_mnist
from jaxgan.metrics.inception import kl_floor
from jaxgan.metrics.modes import modes, nearest_mode
from jaxgan.types import Density


def test_inception_score_has_its_closed_forms():
    sure = np.where(np.eye(10), 0, -np.inf)[np.arange(1000) % 10]
    assert inception_score(sure).value == pytest.approx(10, rel=1e-12)
    assert inception_score(1e4 * np.eye(10)[np.arange(1000) % 10]).value == pytest.approx(10, rel=1e-12)
    assert inception_score(np.tile(np.arange(7.0), (50, 1))).value == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize("splits", [1, 3, 10])
def test_inception_score_agrees_with_entropies(splits):
    logits = 3 * np.random.default_rng(0).normal(size=(100, 6))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    each = [np.exp(entropy(q, q.mean(0, keepdims=True), axis=1).mean()) for q in np.array_split(p, splits)]
    score = inception_score((logits + 1e3).astype(np.float32), splits)
    assert score.value == pytest.approx(np.mean(each), rel=1e-2 if splits == 3 else 1e-3)  # float32 at 1000: 6e-5
    exact = inception_score(logits, splits)
    assert exact.name == f"is/features/n100/splits{splits}"
    if splits != 3:  # array_split has the long parts first
        assert exact.value == pytest.approx(np.mean(each), rel=1e-12)
    assert math.isnan(exact.error) if splits == 1 else exact.error > 0


def test_inception_score_refuses_what_is_no_number():
    for bad in (np.full((4, 3), np.nan), np.full((4, 3), -np.inf), np.full((4, 3), np.inf)):
        with np.errstate(invalid="ignore"), pytest.raises(JaxganError, match="not finite"):
            inception_score(bad, 1)
    with pytest.raises(JaxganError, match="1 to n splits"):
        inception_score(np.zeros((4, 3)))


def test_accuracy_is_a_share():
    score = accuracy(np.array([0, 1, 2, 2]), np.array([0, 1, 2, 0]))
    assert score.value == 0.75 and score.error == pytest.approx(math.sqrt(0.75 * 0.25 / 3))
    assert score.name == "accuracy/features/n4"
    for wrong in (np.array([0, 1, 2]), np.array([0.0, 1, 2, 3]), np.array([-1, 0, 0, 0]), np.zeros((4, 1), int)):
        with pytest.raises(JaxganError, match="expected 4 labels"):
            accuracy(np.zeros(4, int), wrong)


def test_divergences_of_modes_agree_with_scipy():
    found = np.random.default_rng(0).integers(0, 5, 77)
    share, uniform = np.bincount(found, minlength=8) / 77, np.full(8, 1 / 8)
    assert mode_kl(found, 8).value == pytest.approx(entropy(share, uniform), rel=1e-12)
    assert mode_jsd(found, 8).value == pytest.approx(jensenshannon(share, uniform) ** 2, rel=1e-12)
    assert mode_kl(found, 8).name == "mode-kl/modes/n77/modes8"
    assert mode_kl(np.zeros(9, int), 8).value == pytest.approx(math.log(8))
    assert mode_kl(np.arange(16) % 8, 8).value == mode_jsd(np.arange(16) % 8, 8).value == 0
    with pytest.raises(JaxganError, match="mode 8 of 8"):
        mode_kl(np.array([8]), 8)


@pytest.mark.parametrize("metric", [mode_kl, mode_jsd])
def test_errors_of_modes_are_how_they_vary(metric):
    draw = np.random.default_rng(0)
    p = np.array([0.5, 0.2, 0.2, 0.1, 0])
    scores = [metric(draw.choice(5, 1000, p=p), 5) for _ in range(400)]
    spread = np.std([s.value for s in scores])
    assert np.mean([s.error for s in scores]) == pytest.approx(spread, rel=0.12)  # 400 draws: 3.5 %


def test_a_perfect_generator_stands_on_the_floor():
    draw = np.random.default_rng(0)
    found = [stacked_mnist(draw.integers(0, 10, (26000, 3))) for _ in range(20)]
    values = [f["mode-kl"].value for f in found]
    floor = found[0]["floor"]
    assert floor.value == pytest.approx(999 / 52000) == pytest.approx(0.0192, abs=5e-5)
    assert floor.name == "mode-kl-floor/digits/n26000/modes1000"
    assert np.mean(values) == pytest.approx(floor.value, rel=0.03)  # second order: 1.3 %
    assert {f["modes"].value for f in found} == {1000}
    assert kl_floor(26000, 1000) == floor.value


def test_stacked_digits_are_a_number_of_three():
    found = stacked_mnist(np.array([[0, 0, 1], [0, 0, 1], [9, 9, 9], [1, 0, 0]]))
    assert found["modes"].value == 3
    assert found["mode-kl"].value == pytest.approx(math.log(1000) - 1.5 * math.log(2))
    for wrong in (np.zeros((4, 2), int), np.full((4, 3), 10), np.full((4, 3), -1)):
        with pytest.raises(JaxganError, match="0 to 9"):
            stacked_mnist(wrong)


@pytest.mark.parametrize(("box", "want"), [(False, 0.98889), (True, 0.99461)])
def test_a_perfect_sampler_of_a_toy_scores_what_its_protocol_says(box, want):
    centres = 5 * np.array([[0, 0], [1, 0], [0, 1]])
    toy = Density(None, None, centres, 0.5)
    which = np.arange(300000) % 3
    x = centres[which] + 0.5 * np.random.default_rng(0).normal(size=(300000, 2))
    assert modes(x, toy, box)["high_quality"] == pytest.approx(want, abs=8e-4)  # 4 deviations of a ball's share
    assert (nearest_mode(x, toy) == which).mean() > 0.9999
    corner = np.array([[1.4, 1.4]])  # in the box of the first mode, out of its ball
    assert modes(corner, toy, box) == {"modes": float(box), "high_quality": float(box)}
