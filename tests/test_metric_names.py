"""Scores: their names say the protocol and are read back; their errors are those of repeated experiments."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxgan.data.toy import TOYS
from jaxgan.errors import JaxganError
from jaxgan.metrics import METRICS, READS, Score, jackknife, kid, parse
from jaxgan.metrics.names import build, find, mean

words = st.from_regex(r"[a-z][a-z0-9-]{0,9}", fullmatch=True).filter(lambda w: not w[1:].isdigit() or w[0] != "n")
numbers = st.booleans().filter(bool) | st.integers(0, 10**7) | st.floats(1e-6, 1e6).map(lambda v: float(f"{v:g}"))
options = st.dictionaries(st.from_regex(r"[a-z]{1,9}", fullmatch=True), numbers, max_size=3)


@given(words, st.lists(words, min_size=1, max_size=3).map("/".join), st.integers(1, 10**8), options)
def test_names_are_read_back(metric, features, n, found):
    assert parse(build(metric, features, n, **found)) == (metric, features, n, found)


def test_the_protocol_stands_in_the_name():
    name = "fid/inception-2015/bilinear/n50000/ddof1"
    assert build("fid", "inception-2015/bilinear", 50000, 50000, ddof=1) == name
    assert parse(name) == ("fid", "inception-2015/bilinear", 50000, {"ddof": 1})
    assert build("fid", "x", 5, 4, ddof=0) == "fid/x/n5/real4/ddof0"
    for wrong in ("fid", "fid/n10", "fid/x/m10", "fid/x/n10/ddof-1", "/x/n10", ""):
        with pytest.raises(JaxganError, match="no metric's name"):
            parse(wrong)
    with pytest.raises(JaxganError, match="count's"):
        build("fid", "inception/n50", 10)


def test_metrics_of_answers_read_them_rightly():
    """Of logits whose greatest is known: the class asked for in two of three; digits 1 2 3 and 4 5 6, and again."""
    logits, asked = np.eye(3)[[0, 1, 2]], np.array([0, 1, 1])
    assert METRICS["accuracy"](None, (logits, asked)).value == pytest.approx(2 / 3)
    digits = np.eye(10)[[[1, 2, 3], [4, 5, 6], [1, 2, 3]]].reshape(3, 30)
    found = METRICS["stacked-mnist"](None, digits)
    assert found["modes"].value == 2
    one, two = math.log(1000 * 2 / 3), math.log(1000 / 3)
    assert found["mode-kl"].value == pytest.approx(2 / 3 * one + 1 / 3 * two)


def test_a_name_may_be_shortened_where_one_is_meant():
    known = ["fd/digits-cnn/n50/ddof1", "kid/a/n50", "kid/b/n50", "modes", "modes/raw/n9/modes8"]
    assert find("fid", known) == find("fd", known) == find("fd/digits-cnn", known) == known[0]
    assert find("modes", known) == "modes" and find("kid/b", known) == "kid/b/n50"
    assert find("fid", ["fd-mean/a/n5", "fd/a/n5", "fid/b/n5"]) == "fid/b/n5", "FID itself comes first"
    with pytest.raises(JaxganError, match="'kid' may be any of kid/a/n50, kid/b/n50"):
        find("kid", known)
    with pytest.raises(JaxganError, match=r"no metric 'mods'\. Did you mean 'modes'"):
        find("mods", known)


def test_a_score_is_a_number_with_an_interval():
    score = mean("m/x/n4", [1, 2, 3, 6])
    assert float(score) == 3 and score.error == pytest.approx(math.sqrt(14 / 3 / 4))
    assert (score.high - 3, 3 - score.low) == pytest.approx([1.96 * score.error] * 2)
    assert str(score) == "m/x/n4 = 3 ± 1.1" and str(Score("m", 2.5)) == "m = 2.5"
    assert math.isnan(mean("m", [2]).error)


def of_means(real, fake, power=1):
    return Score("m", float(real.mean() - fake.mean()) ** power)


def test_the_jackknife_knows_the_error_of_a_mean():
    """n / groups rows a group: for a difference of means the squared error is the groups' means' variance, exactly."""
    draw = np.random.default_rng(0)
    real, fake = draw.normal(size=(4000, 1)), draw.normal(size=(1000, 1))
    found = jackknife(of_means, real, fake, groups=40)
    assert found.value == of_means(real, fake).value
    assert found.error == pytest.approx(math.sqrt(1 / 4000 + 1 / 1000), rel=0.25)  # 39 degrees: 11 % deviation
    scaled = jackknife(lambda a, b: {"m": of_means(3 * a, 3 * b)}, real, fake, groups=40)["m"]
    assert scaled.error == pytest.approx(3 * found.error)
    assert found == jackknife(of_means, real, fake, groups=40) != jackknife(of_means, real, fake, groups=40, seed=1)
    with pytest.raises(JaxganError, match="from 2 to 500"):
        jackknife(of_means, real, fake, groups=1)


def test_the_jackknife_covers_what_repeated_experiments_find():
    """Intervals of KID, as it varies over fresh sets, hold its true mean about as often as they say."""
    held, draw = 0, np.random.default_rng(0)
    truth = np.mean([kid(draw.normal(size=(500, 3)), 1 + draw.normal(size=(500, 3)), 1).value for _ in range(100)])
    for seed in range(40):
        real, fake = draw.normal(size=(200, 3)), 1 + draw.normal(size=(200, 3))
        score = jackknife(kid, real, fake, subsets=1, seed=seed)
        held += score.low <= truth <= score.high
    assert 33 <= held <= 40  # of 40 at 95 %, and less at 9 degrees of freedom: 92 %


def test_every_metric_is_called_alike():
    draw = np.random.default_rng(0)
    given = {
        "features": draw.normal(size=(2, 64, 3)),
        "logits": draw.normal(size=(2, 64, 3)),
        "images": draw.integers(0, 256, (2, 64, 8, 8, 1), np.uint8).repeat(2, 2).repeat(2, 3),
        "labels": np.arange(128).reshape(2, 64) % 3,
    }
    digits = {"real": None, "fake": draw.normal(size=(64, 30))}
    assert METRICS["stacked-mnist"](*digits.values())["modes"].name == "modes/digits/n64/modes1000"
    both = [(given["features"][i], given["labels"][i]) for i in (0, 1)]
    given |= {"features labels": both, "logits labels": both}
    more = {"fid-infinity": {"least": 32}, "fid": {"features": "toy"}, "modes": {"density": TOYS["grid25"]().exact}}
    given["paths-z"] = given["paths-w"] = draw.uniform(size=(2, 64))
    given |= {"pairs": given["images"], "pairs-lpips": given["paths-z"]}
    given["codes-lpips"] = draw.uniform(size=32), draw.uniform(size=(16, 6))  # 16 inputs, each by 4 codes
    given["modes"] = given["features"][..., :2]
    for name, metric in METRICS.items():
        if name == "stacked-mnist":
            continue
        reads = "modes" if name == "modes" else READS.get(name, "features")
        found = metric(*given[reads], **more.get(name, {}))
        for score in found.values() if isinstance(found, dict) else [found]:
            assert math.isfinite(float(score)) and parse(score.name).n == 64, name
            called = name.replace("fid", "fd")  # FID is of Inception's features alone
            assert parse(score.name).metric == called or isinstance(found, dict)
    assert parse(METRICS["fid"](*given["features"], features="toy").name).features == "toy"
