"""Search: trials repeat from a seed, survive their workers, and are never taken from a worker that lives.

Most tests train nothing: a stand-in writes the metric that a member would reach, a known function of its settings.
"""

import json
import math
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from jaxgan import log
from jaxgan.config import Config, Hp
from jaxgan.errors import JaxganError
from jaxgan.sweep import choice, group, log_uniform, store, uniform
from jaxgan.sweep.search import best, parse_space, rungs, search

optuna = pytest.importorskip("optuna")

BASE = Config(net="mlp", data="ring8", latent=2, width=8, depth=1, batch=16, steps=80, log_every=20, sample_every=40)
SPACE = {"hp.g_lr": log_uniform(1e-5, 1e-1), "loss": choice("ns", "hinge")}


def regret(c: Config) -> float:
    """Decades from the best learning rate, and one for the worse loss."""
    return abs(math.log10(c.hp.g_lr) + 3) + (c.loss != "ns")


class Trainer:
    """In place of group.train: writes the row of step `until`, and keeps account."""

    def __init__(self, value=lambda c, until: regret(c) + 1 / until):
        self.value, self.calls = value, []

    def __call__(self, dir, ids, until, mode, width, say, stop, found):
        self.calls.append((until, list(ids)))
        members = store.members(dir)
        for id in ids:
            if store.finished(dir, id, until):
                continue
            run, value = store.run_dir(dir, id), self.value(members[id][1], until)
            run.mkdir(parents=True, exist_ok=True)
            done = max((row["step"] for row in log.read(run / "metrics.jsonl")), default=0)
            if done < until:
                with (run / "metrics.jsonl").open("a") as file:
                    file.write(json.dumps({"step": until, "regret": value}) + "\n" if value is not None else "")
            status = "non-finite" if value is None else "done"
            store.stand(dir, id, status=status, step=max(done, until), reason="")


@pytest.fixture
def trainer(monkeypatch):
    fake = Trainer()
    monkeypatch.setattr(group, "train", fake)
    return fake


def seek(dir, trials, objective="min regret", space=SPACE, base=BASE, say=lambda text: None, **more):
    return search(dir, "ring.py", base, space, objective, trials, say=say, **more)


def trials(dir, objective="min regret"):
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    storage = JournalStorage(JournalFileBackend(str(dir / "study.log")))
    return optuna.load_study(study_name=objective, storage=storage).get_trials()


def told(dir):
    """What identifies a search: each trial's settings, end, value and steps."""
    return [(t.params, t.state.name, t.value, t.user_attrs["steps"]) for t in trials(dir)]


def test_trials_are_members_and_the_best_is_found(trainer, tmp_path):
    found, dir = seek(tmp_path / "a", 30), tmp_path / "a"
    values = [regret(c) + 1 / BASE.steps for _, c in store.members(dir).values()]
    assert [t.value for t in trials(dir)] == values  # in order, each a member
    assert found["value"] == min(values) and found["number"] == values.index(min(values))
    assert found["values"] == [*store.members(dir).values()][found["number"]][0]
    first, last = values[:10], values[-10:]  # the first are random
    assert sum(last) / 10 < sum(first) / 10 - 0.5, "the sampler has learnt nothing"


def test_a_seed_repeats_and_interruptions_change_nothing(trainer, tmp_path):
    seek(tmp_path / "whole", 16, batch=4)
    for n in (4, 8, 16):
        seek(tmp_path / "parts", n, batch=4)
    seek(tmp_path / "other", 12, seed=1)
    assert told(tmp_path / "parts") == told(tmp_path / "whole")
    settings = [json.dumps(t.params) for t in trials(tmp_path / "whole")]
    assert len(set(settings)) == 16  # a sampler that began anew with its seed would propose the same again
    assert not set(settings) & {json.dumps(t.params) for t in trials(tmp_path / "other")}
    seek(tmp_path / "random", 8, sampler="random")
    seek(tmp_path / "random", 16, sampler="random")
    assert len({t.params["hp.g_lr"] for t in trials(tmp_path / "random")}) == 16


def test_values_are_means_over_seeds(monkeypatch, tmp_path):
    monkeypatch.setattr(group, "train", Trainer(lambda c, until: regret(c) + 10 * c.seed))
    seek(tmp_path, 3, seeds=3)
    members = [c for _, c in store.members(tmp_path).values()]
    assert [c.seed for c in members] == [0, 1, 2] * 3
    for trial, c in zip(trials(tmp_path), members[::3]):
        assert trial.value == pytest.approx(regret(c) + 10, rel=1e-12)


def test_non_finite_members_fail(monkeypatch, tmp_path):
    monkeypatch.setattr(group, "train", Trainer(lambda c, until: None if c.hp.g_lr > 1e-3 else regret(c)))
    found = seek(tmp_path, 12, batch=4)
    for trial in trials(tmp_path):
        assert trial.state.name == ("FAIL" if trial.params["hp.g_lr"] > 1e-3 else "COMPLETE")
    assert 0 < sum(t.state.name == "FAIL" for t in trials(tmp_path)) < 12
    assert found["values"]["hp.g_lr"] <= 1e-3


def test_pruning_lets_the_better_half_go_on(trainer, tmp_path):
    seek(tmp_path, 32, prune=True)
    assert rungs(80, True) == [10, 20, 40, 80] and rungs(80, False) == [80] and rungs(3, True) == [1, 3]
    assert [(until, len(ids)) for until, ids in trainer.calls] == [(10, 16), (20, 8), (40, 4), (80, 2)] * 2
    members = store.members(tmp_path)
    for calls in (trainer.calls[:4], trainer.calls[4:]):
        for (_, before), (_, after) in pairwise(calls):
            kept = sorted(before, key=lambda id: regret(members[id][1]))[: len(before) // 2]
            assert set(after) == set(kept)
    states = [t.state.name for t in trials(tmp_path)]
    assert states.count("PRUNED") == 28 and states.count("COMPLETE") == 4
    for trial, (_, c) in zip(trials(tmp_path), members.values()):
        steps = trial.user_attrs["steps"]
        assert (steps < 80) == (trial.state.name == "PRUNED")
        assert trial.value == pytest.approx(regret(c) + 1 / steps)  # which the sampler learns from


def test_of_an_odd_batch_the_middle_one_goes_on_and_what_is_to_grow_is_kept_large(monkeypatch, tmp_path):
    fake = Trainer(lambda c, until: 1 / regret(c))
    monkeypatch.setattr(group, "train", fake)
    seek(tmp_path, 5, "max regret", prune=True, batch=5)
    assert [(until, len(ids)) for until, ids in fake.calls] == [(10, 5), (20, 3), (40, 2), (80, 1)]
    members = store.members(tmp_path)
    order = sorted(members, key=lambda id: regret(members[id][1]))
    assert all(set(ids) == set(order[: len(ids)]) for _, ids in fake.calls)


def test_pruning_goes_on_as_it_began(monkeypatch, tmp_path):
    """A search that ends between two rungs, also where a member has become non-finite since the first."""

    def value(c, until):
        return None if c.hp.g_lr > 3e-4 and until > 40 else regret(c)

    whole, parts = tmp_path / "whole", tmp_path / "parts"
    monkeypatch.setattr(group, "train", Trainer(value))
    seek(whole, 16, prune=True)
    assert "FAIL" in {t.state.name for t in trials(whole)}

    class Power(Exception):
        pass

    for survived in (1, 2, 3):
        fake = Trainer(value)

        def train(dir, ids, until, fake=fake, survived=survived, **more):
            if len(fake.calls) == survived:
                fake(dir, ids[:1] if survived < 3 else ids, until, **more)
                raise Power
            fake(dir, ids, until, **more)

        monkeypatch.setattr(group, "train", train)
        with pytest.raises(Power):
            seek(parts, 16, prune=True)
    monkeypatch.setattr(group, "train", Trainer(value))
    seek(parts, 16, prune=True)
    assert told(parts) == told(whole)


WORKER = """
import sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import test_sweep_search as here
dir, trials, mode, name = Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5]
fake = here.Trainer()
def train(dir, ids, **more):
    while mode == "block" and len(fake.calls) == 2:
        (dir / "blocked").write_text("")
        time.sleep(0.01)
    if not fake.calls:
        (dir / f"began-{name}").write_text("")
        while mode == "meet" and len([*dir.glob("began-*")]) < 2:
            time.sleep(0.01)
    fake(dir, ids, **more)
here.group.train = train
here.seek(dir, trials)
"""


@pytest.fixture
def start(tmp_path):
    """Starts a worker. One that is to block does at its third trial; those that are to meet wait at their first."""
    begun = []

    def one(dir, trials, mode, name):
        command = [sys.executable, "-c", WORKER, str(Path(__file__).parent), str(dir), str(trials), mode, name]
        with (tmp_path / f"{name}.txt").open("w") as out:
            begun.append(subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT))
        return begun[-1]

    yield one
    for process in begun:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_workers_share_a_study_and_a_killed_one_loses_nothing(trainer, start, tmp_path):
    whole = tmp_path / "whole"
    seek(whole, 6)
    dir = tmp_path / "a"
    one = start(dir, 6, "block", "one")
    two, three = (start(tmp_path / "b", 24, "meet", name) for name in ("two", "three"))
    while not (dir / "blocked").exists():
        assert one.poll() is None, (tmp_path / "one.txt").read_text()
        time.sleep(0.01)
    before = trials(dir)
    assert [t.state.name for t in before] == ["COMPLETE", "COMPLETE", "RUNNING"]
    seek(dir, 4)  # beside the live worker
    after = trials(dir)
    assert [t.state.name for t in after] == ["COMPLETE", "COMPLETE", "RUNNING", "COMPLETE"]
    assert after[2].user_attrs["worker"] == before[2].user_attrs["worker"] != after[3].user_attrs["worker"]
    one.kill()
    one.wait()
    seek(dir, 4)
    assert [t.state.name for t in trials(dir)] == ["COMPLETE"] * 4
    assert told(dir)[:3] == told(whole)[:3]  # as if nothing had happened

    for process, name in ((two, "two"), (three, "three")):
        assert process.wait() == 0, (tmp_path / f"{name}.txt").read_text()
    found = trials(tmp_path / "b")
    assert [t.state.name for t in found] == ["COMPLETE"] * 24
    assert len({json.dumps(t.params) for t in found}) == 24  # no two workers tried the same
    assert len({t.user_attrs["worker"] for t in found}) == 2


def test_a_search_that_trains(tmp_path):
    base, lr = Config(**{**vars(BASE), "steps": 2, "hp": Hp(d_lr=1e-3)}), {"hp.g_lr": log_uniform(1e-4, 1e-2)}
    said = []
    found = seek(tmp_path, 2, "max high_quality", lr, base, said.append, prune=True, batch=2)
    states = [t.state.name for t in trials(tmp_path, "max high_quality")]
    assert sorted(states) == ["COMPLETE", "PRUNED"]
    (one,) = [r for r in store.results(tmp_path) if all(r[name] == v for name, v in found["values"].items())]
    assert one["high_quality"] == found["value"] and one["step"] == 2 and one["status"] == "done"
    import jaxgan

    assert int(jaxgan.load(store.run_dir(tmp_path, one["id"])).state.step) == 2
    assert f"trial 2/2 (1 pruned), best high_quality {found['value']:.4g}" in said[-1]
    with pytest.raises(JaxganError, match=r"no metric 'high_qality'.*Did you mean 'high_quality'"):
        seek(tmp_path, 1, "max high_qality", lr, base)
    seek(tmp_path, 1, "max high_quality", lr, base)  # another objective is another study of the same members
    assert len(trials(tmp_path, "max high_quality")) == 2


def test_space_from_words():
    words = ["hp.g-lr=log:1e-5..1e-2", "r1=0..10.5", "loss=ns,hinge", "width=8,16", "flip=true,false", "net=mlp"]
    assert parse_space(words) == {
        "hp.g_lr": log_uniform(1e-5, 1e-2),
        "hp.r1": uniform(0, 10.5),
        "loss": choice("ns", "hinge"),
        "width": choice(8, 16),
        "flip": choice(True, False),
        "net": choice("mlp"),
    }


@pytest.mark.parametrize(
    ("word", "named"),
    [
        ("g_lr", "expected NAME=log:LOW..HIGH"),
        ("g_lr=", "expected NAME="),
        ("=1..2", "expected NAME="),
        ("g_lr=log:1", "expected NAME=log:LOW..HIGH"),
        ("g_lr=log:0..1", "above 0"),
        ("g_lr=2..1", "lower bound comes first"),
        ("g_rl=1..2", "Did you mean 'g_lr'"),
        ("steps=1..2", "cannot be swept"),
    ],
)
def test_space_that_is_none(word, named):
    with pytest.raises(JaxganError, match=named):
        parse_space([word])


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"space": {}}, "nothing to search"),
        ({"space": {"hp.g_lr": [1, 2]}}, r"expected uniform"),
        ({"space": {"seed": choice(1, 2)}}, "--seeds N"),
        ({"space": {"loss": choice("ns", "hinges")}}, "Did you mean 'hinge'"),
        ({"space": {"hp.b1": uniform(0, 1)}}, "hp.b1 is 1.0"),
        ({"space": {"loss": choice("ns")}}, r"another search:\n  hp.g_lr"),
        ({"base": Config(**{**vars(BASE), "steps": 90})}, "steps: 80 -> 90"),
        ({"seeds": 2}, "seeds: 1 -> 2"),
        ({"trials": 0}, "--trials is 0"),
        ({"seeds": 0}, "--seeds is 0"),
        ({"batch": -1}, "--ask is -1"),
        ({"sampler": "tpo"}, "Did you mean 'tpe'"),
        ({"objective": "regret"}, '"max METRIC"'),
        ({"objective": "min regret, max modes"}, "one objective"),
        ({"base": Config(**{**vars(BASE), "width": 9})}, "width: 8 -> 9"),
    ],
)
def test_bad_input_changes_nothing(trainer, tmp_path, change, named):
    seek(tmp_path, 2)
    before = [(tmp_path / name).read_bytes() for name in ("study.log", "sweep.json")]
    with pytest.raises(JaxganError, match=named):
        seek(tmp_path, **{"trials": 4, **change})
    assert [(tmp_path / name).read_bytes() for name in ("study.log", "sweep.json")] == before


def test_without_optuna(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(JaxganError, match=r"pip install 'jaxgan\[sweep\]'"):
        seek(tmp_path / "a", 2)
    assert not (tmp_path / "a").exists()


def test_best_of_nothing():
    assert best(optuna.create_study()) is None
