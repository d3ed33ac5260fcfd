"""Means, spreads and ranks of a sweep, by hand."""

import dataclasses
import json

import numpy as np
import pytest
import tyro

from jaxgan import cli
from jaxgan.config import Config, Hp
from jaxgan.errors import JaxganError
from jaxgan.sweep import product, seeds, store, table

BASE = Config(data="ring8", net="mlp", latent=2, steps=10, hp=Hp(g_lr=1e-3))
FOUND = {  # loss -> (high_quality, modes) of each seed; None became non-finite
    "ns": [(0.5, 8), (0.7, 8), (0.3, 8)],
    "hinge": [(0.9, 7), (0.8, 8), (0.9, 8)],
    "lsgan": [(0.6, 8), (0.6, 8), (0.6, 8)],
    "minimax": [(0.99, 8), None, (0.99, 8)],
}


@pytest.fixture
def sweep(tmp_path):
    """A sweep folder whose logs are written by hand, and one member that has not begun."""
    base = dataclasses.replace(BASE, batch=32)
    ids = store.add(tmp_path, "ring.py", base, product([{"loss": loss} for loss in FOUND], seeds(3)))
    for id, found in zip(ids, [one for many in FOUND.values() for one in many]):
        run = store.run_dir(tmp_path, id)
        run.mkdir(parents=True)
        steps = [{"step": 5, "d_loss": 1.0, "high_quality": 0.0}]
        if found:
            steps += [{"step": 10, "d_loss": 2.0}, {"step": 10, "high_quality": found[0], "modes": found[1]}]
        (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in steps))
        store.stand(tmp_path, id, status="done" if found else "non-finite", step=10, reason="")
    store.add(tmp_path, "ring.py", base, [{"loss": "wasserstein"}])
    return tmp_path


def order(dir, objective=""):
    found = table.settings(dir)
    aims = table.objectives(objective, [row for one in found for row in one.rows])
    return [one.values["loss"] for one in table.ranked(found, aims)]


def test_rank_by_means_over_seeds_with_failures_last(sweep):
    """Modes first: lsgan 8 and 0.6, ns 8 and 0.5, hinge 7.67; nothing is known of wasserstein; minimax lost a seed."""
    assert order(sweep) == ["lsgan", "ns", "hinge", "wasserstein", "minimax"]
    assert order(sweep, "max high_quality") == ["hinge", "lsgan", "ns", "wasserstein", "minimax"]
    assert order(sweep, "min high_quality") == ["ns", "lsgan", "hinge", "wasserstein", "minimax"]
    assert order(sweep, "min d_loss, min modes")[0] == "hinge"


def test_mean_and_spread_are_numpys(sweep):
    ns = table.settings(sweep)[0]
    assert ns.values == {"loss": "ns"} and len(ns.rows) == 3
    x = [one[0] for one in FOUND["ns"]]
    np.testing.assert_array_equal(ns.numbers("high_quality"), x)
    lines = [line.split() for line in table.table(sweep).splitlines()]
    assert lines[0] == ["loss", "modes", "high_quality", "members", "non-finite"]
    assert ["ns", "8", "±", "0", f"{np.mean(x):.4g}", "±", f"{np.std(x, ddof=1):.2g}", "3"] in lines
    assert ["minimax", "8", "±", "0", "0.99", "±", "0", "3", "1"] in lines  # the mean of those that are finite
    assert ["wasserstein", "-", "-", "1"] in lines
    assert table.spread(np.array([0.25])) == "0.25"  # one seed has no spread


def test_a_score_with_a_protocol_is_told_final_and_best_apart(sweep):
    for k, id in enumerate(store.members(sweep)):
        rows = [{"step": at, "fd/x/n9/ddof1": fd + k, "is/x/n9": fd} for at, fd in ((2, 5.0), (4, 1.0), (6, 3.0))]
        run = store.run_dir(sweep, id)
        run.mkdir(parents=True, exist_ok=True)
        (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    heads, *lines = (line.split("  ") for line in table.table(sweep, "min fid, max is").splitlines())
    heads = [word.strip() for word in heads if word]
    assert heads[1:5] == ["fd/x/n9/ddof1", "best fd/x/n9/ddof1", "is/x/n9", "best is/x/n9"]
    first = [word.strip() for word in lines[0] if word]
    assert first[:5] == ["ns", "4 ± 1", "2 ± 1", "3 ± 0", "5 ± 0"], "the last of each; the least FD, the greatest IS"
    assert order(sweep, "min fid")[0] == "ns"


def test_the_best_is_a_command_that_trains_it(sweep):
    """Its flags are what differs from the experiment: from the base as well as from the setting."""
    assert table.best(sweep, original=BASE) == "jaxgan train ring.py --loss lsgan --batch 32"
    assert "not finished: 1;" in table.summary(sweep)
    c = dataclasses.replace(BASE, flip=True, loss="hinge", hp=Hp(g_lr=1e-3, r1=0.5, b1=0.0))
    flags = [table.flag("flip", True), table.flag("loss", "hinge"), table.flag("hp.r1", 0.5), table.flag("hp.b1", 0.0)]
    flags.append(table.flag("augment", ("flip", "cutout")))
    c = dataclasses.replace(c, augment=("flip", "cutout"))
    with cli._registry():
        assert tyro.cli(Config, args=" ".join(flags).split(), default=BASE) == c


@pytest.mark.parametrize(
    "objective, message",
    [
        ("high_quality", 'expected "max METRIC"'),
        ("most modes", 'expected "max METRIC"'),
        ("max mode", "there is no metric 'mode'. Did you mean 'modes'"),
        ("max loss", "there is no metric 'loss'.*d_loss, high_quality, modes"),
    ],
)
def test_an_objective_must_be_a_metric(sweep, objective, message):
    with pytest.raises(JaxganError, match=message):
        table.table(sweep, objective)
