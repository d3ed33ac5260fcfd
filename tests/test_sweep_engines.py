"""Sweeps over machines: how they are cut, what a failed task costs, and that tasks make what one process makes.

Slurm is tried through submitit's processes of this machine, Ray on a cluster of two nodes that are both this machine.
"""

import contextlib
import importlib.util
import json
import signal
import sys
import tempfile
from pathlib import Path

import pytest

from jaxgan import cli
from jaxgan.config import Config
from jaxgan.errors import JaxganError
from jaxgan.sweep import engines, grid, group, product, seeds, store
from jaxgan.sweep.options import Engine
from jaxgan.sweep.space import expand
from processes import digests

pytest.importorskip("submitit")  # here: its log keeps the output stream that it finds, and a test's own will close
BASE = Config(net="mlp", data="ring8", latent=2, width=8, depth=1, batch=16, steps=4, log_every=2, sample_every=0)
SETTINGS = product(grid(loss=["ns", "hinge"], g_lr=[1e-4, 1e-3]), seeds(2))


def test_cut():
    configs = {id: c for id, (_, c) in expand(BASE, SETTINGS).items()}
    for count in (1, 2, 3, 4, 8, 100):
        tasks = engines.cut(configs, count)
        assert sorted(id for task in tasks for id in task.ids) == sorted(configs)  # each once
        assert all(len({configs[id].loss for id in task.ids}) == 1 for task in tasks)  # one program a task
        assert min(count, 8) <= len(tasks) <= count + 1 and len({task.name for task in tasks}) == len(tasks)
        assert max(len(task.ids) for task in tasks) <= -(-8 // count)


class Here:
    """An engine whose tasks run in this process, when they are asked after; patient ones only once cancelled.

    The third question after patient ones comes with a signal.
    """

    def __init__(self, patient: bool = False):
        self.patient, self.asked, self.begun, self.cancelled = patient, 0, [], 0

    def __call__(self, dir, options):
        def error(task):
            name, order = task
            self.begun.append(name)
            return engines.work(order)

        def cancel(handles):
            self.cancelled += 1

        def ended(handle):
            self.asked += 1
            if self.patient and self.asked == 3:
                signal.raise_signal(signal.SIGTERM)
            return not self.patient or self.asked > 9

        start = lambda orders: {name: (name, order) for name, order in orders.items()}  # noqa: E731
        return contextlib.nullcontext(engines.Crew(4, start, ended, error, cancel))


@pytest.fixture
def quick(monkeypatch):
    """Tasks in this process, with a stand-in for training: members of the hinge loss fail while `broken` says so."""
    broken = [True]

    def train(dir, ids, until, mode, width, say):
        for id in ids:
            c = store.members(dir)[id][1]
            if broken[0] and c.loss == "hinge":
                raise ZeroDivisionError("of a test")
            if broken[0] and c.hp.g_lr == 1e-3:
                raise JaxganError("what a user can mend")
            store.run_dir(dir, id).mkdir(parents=True)
            store.stand(dir, id, status="done", step=c.steps, reason="")
            say(f"trained {id}")

    monkeypatch.setattr(group, "train", train)
    monkeypatch.setattr(engines, "POLL", 0)
    monkeypatch.setitem(engines.ENGINES, "ray", Here())
    return broken


def test_a_failed_task_is_named_and_the_others_go_on(quick, tmp_path):
    store.add(tmp_path, "ring.py", BASE, SETTINGS)
    said = []
    with pytest.raises(JaxganError) as raised:
        engines.run(tmp_path, Engine("ray", tasks=4), say=said.append)
    message = str(raised.value)
    assert "3 of 4 tasks failed (group-0.1, group-1.0, group-1.1)" in message
    assert "group-0.1: what a user can mend" in message and "same command trains what is left" in message
    log = tmp_path / "logs" / "group-0.1.log"
    assert str(log) in message and log.read_text() == "jaxgan: what a user can mend\n"
    assert "ZeroDivisionError: of a test" in (tmp_path / "logs" / "group-1.0.log").read_text()
    assert sum(row["status"] == "done" for row in store.results(tmp_path)) == 2
    assert any("group-1.1 failed: ZeroDivisionError: of a test" in text for text in said)

    quick[0] = False
    engines.run(tmp_path, Engine("ray", tasks=4), say=said.append)
    assert all(row["status"] == "done" for row in store.results(tmp_path))
    begun = len(engines.ENGINES["ray"].begun)
    engines.run(tmp_path, Engine("ray"), say=said.append)  # nothing is left
    assert len(engines.ENGINES["ray"].begun) == begun


def test_a_signal_stops_the_tasks(quick, monkeypatch, tmp_path):
    store.add(tmp_path, "ring.py", BASE, SETTINGS)
    crew = Here(patient=True)
    monkeypatch.setitem(engines.ENGINES, "ray", crew)
    engines.run(tmp_path, Engine("ray", tasks=2), say=lambda text: None)  # their failures are no error now
    assert crew.cancelled == 1  # a second time would interrupt them while they save
    assert sorted(crew.begun) == ["group-0.0", "group-1.0"]  # it waited for their end


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A sweep that this process trained."""
    dir = tmp_path_factory.mktemp("alone")
    store.add(dir, "ring.py", BASE, grid(g_lr=[1e-4, 1e-3]))
    group.train(dir, say=lambda text: None)
    return dir


def check_same(dir, alone):
    for id in store.members(alone):
        found = digests(store.run_dir(dir, id))
        assert found and found == digests(store.run_dir(alone, id))
        assert json.loads((store.run_dir(dir, id) / "member.json").read_text())["status"] == "done"


@pytest.mark.slow
def test_slurm_jobs_make_the_bits_of_one_process(alone, monkeypatch, tmp_path):
    monkeypatch.setattr(engines, "CLUSTER", "local")
    store.add(tmp_path, "ring.py", BASE, grid(g_lr=[1e-4, 1e-3]))
    engines.run(tmp_path, Engine("slurm", tasks=1, slurm=("partition=gpu",)), say=lambda text: None)
    check_same(tmp_path, alone)
    assert "2 of 2 members" in (tmp_path / "logs" / "group-0.0.log").read_text()


@pytest.mark.slow
def test_two_ray_nodes_make_the_bits_of_one_process(alone, monkeypatch, tmp_path):
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    Path(tempfile.gettempdir(), "ray").mkdir(exist_ok=True)  # a Cluster does not make it
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=1)
        store.add(tmp_path, "ring.py", BASE, grid(g_lr=[1e-4, 1e-3]))
        said = []
        engines.run(tmp_path, Engine("ray", address=cluster.address), say=said.append)
        assert said[0].startswith("2 members in 2 tasks by ray")  # a node has room for one
        check_same(tmp_path, alone)
        with pytest.raises(JaxganError, match=r"asks for 3 CPUs .* cluster has 2"):
            store.add(tmp_path, "ring.py", BASE, grid(g_lr=[1e-2]))
            engines.run(tmp_path, Engine("ray", cpus=3, address=cluster.address), say=said.append)
    finally:
        cluster.shutdown()


EXPERIMENT = f"""
from jaxgan import Config, Hp
from jaxgan.sweep import log_uniform
def config():
    return {BASE!r}
def search():
    return {{"g_lr": log_uniform(1e-4, 1e-2)}}
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ring.py").write_text(EXPERIMENT)
    (tmp_path / "plain.py").write_text(EXPERIMENT.partition("def search")[0])
    return tmp_path


@pytest.mark.parametrize(
    ("command", "named"),
    [
        ("ring.py --engine slurm --seeds 2", "no Slurm here"),
        ("ring.py --engine slrum --seeds 2", "slurm"),
        ("ring.py --engine ray --workers 2 --seeds 2", "--tasks 2"),
        ("ring.py --engine ray --cpus 0 --seeds 2", "--cpus is 0"),
        ("ring.py --engine slurm --slurm gpu --seeds 2", "--slurm gpu: expected NAME=VALUE"),
        ("ring.py --engine slurm --minutes 0 --seeds 2", "--minutes is 0"),
        ("ring.py --search tpe --grid loss=ns,hinge", "--search goes with --ranges"),
        ("ring.py --search tpe --ranges hp.g_lr=log:1", "expected NAME=log:LOW..HIGH"),
        ("ring.py --search tpe --space hp.g_lr=log:1", "expected NAME=log:LOW..HIGH"),  # as --ranges was called
        ("ring.py --search tpe --workers 2", "this command once more"),
        ("ring.py --search tpe --trials 0", "--trials is 0"),
        ("plain.py --search tpe", "nothing to search"),
        ("report nowhere", "nowhere is no sweep folder"),
        ("report", "PATH"),
    ],
)
def test_bad_commands(home, capsys, command, named):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["sweep", *command.split()])
    err = capsys.readouterr().err
    assert stopped.value.code == 2 and named in err and "Traceback" not in err
    assert not list(home.glob("sweeps/*/runs/*"))


def test_extras_that_are_missing(monkeypatch, tmp_path):
    store.add(tmp_path, "ring.py", BASE, [{}])
    for name, extra in (("ray", "ray"), ("submitit", "slurm")):
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(JaxganError, match=rf"pip install 'jaxgan\[{extra}\]'"):
            engines.run(tmp_path, Engine(extra), say=lambda text: None)


@pytest.mark.skipif(importlib.util.find_spec("optuna") is None, reason="optuna is not installed")
def test_search_and_report_from_the_command_line(home, capsys):
    cli.main(["sweep", "ring.py", "--search", "random", "--trials", "2", "--ask", "2", "--dir", "s"])
    out = capsys.readouterr().out
    assert "trial 2/2, best high_quality" in out and "best: trial" in out and "report: jaxgan sweep report s" in out
    command = next(line for line in out.splitlines() if line.startswith("best: ")).partition("jaxgan ")[2].split()
    assert command[:2] == ["train", "ring.py"]
    cli.main([*command, "--dir", "again"])  # the best trial, alone
    members = store.results(home / "s")
    best = max(members, key=lambda row: row["high_quality"])
    assert digests(home / "again") == digests(store.run_dir(home / "s", best["id"]))
    cli.main(["sweep", "report", "s"])
    assert all(row["id"] in (home / "s" / "report.html").read_text() for row in members)
