"""`jaxgan sweep` from end to end: killed, stopped and shared, its best settings, and what a user can get wrong."""

import json
import re
import shlex
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

from jaxgan import cli
from jaxgan.experiment import call
from jaxgan.sweep import grid, product, seeds, store
from processes import ENDLESS, digests, steps_saved

EXPERIMENT = """
from jaxgan import Config, Hp
from jaxgan.sweep import grid, product, seeds
def config():
    return Config(data="ring8", net="mlp", latent=2, width=8, depth=1, batch=16, steps=60, log_every=10, chunk=10,
                  sample_every=0, checkpoint_every=20, keep=9, hp=Hp(g_lr=1e-3, d_lr=1e-3))
def sweep():
    return product(grid(loss=["ns", "hinge"]), seeds(3))
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An experiment file, and its sweep trained in one go."""
    dir = tmp_path_factory.mktemp("whole")
    (dir / "tiny.py").write_text(EXPERIMENT)
    cli.main(["sweep", str(dir / "tiny.py"), "--dir", str(dir / "sweep")])
    return dir


def step_of(dir: Path) -> int:
    return sum(max(digests(run), default=0) for run in (dir / "runs").glob("*"))


def equal(dir: Path, whole: Path) -> None:
    for one in store.results(whole / "sweep"):
        a, b = (digests(store.run_dir(d, one["id"])) for d in (dir, whole / "sweep"))
        assert {step: a[step] for step in b} == b  # a stop between checkpoints leaves a digest of its own


def starts(dir: Path) -> dict[str, int]:
    """How often each member was begun or went on."""
    return {p.parent.name: len(json.loads(p.read_text())["starts"]) for p in dir.glob("runs/*/env.json")}


def test_killed_and_resumed(server, whole, tmp_path):
    dir = tmp_path / "sweep"
    command = ["sweep", whole / "tiny.py", "--dir", dir]
    store.add(dir, str(whole / "tiny.py"), call(whole / "tiny.py", "config"), call(whole / "tiny.py", "sweep"))
    with store.locked(dir, "claims/1-2.lock"):  # the last member is not to be had, so the sweep cannot end
        for reach in (80, 200):
            child = server.start(*command)
            assert child.until(lambda: step_of(dir) >= reach), child.text  # noqa: B023
            child.signal(signal.SIGKILL)
            assert child.wait() == -9
    done, before = [one["id"] for one in store.results(dir) if one["status"] == "done"], starts(dir)
    assert len(done) >= 3
    child = server.start(*command)
    assert child.wait() == 0, child.text
    after = starts(dir)
    assert len(after) == 6 and all(after[id] == before[id] for id in done)  # what is done is not begun again
    assert "best: jaxgan train" in child.text
    equal(dir, whole)


@pytest.mark.slow
@pytest.mark.parametrize("number, code, flags", [(signal.SIGTERM, 0, ["--workers", "2"]), (signal.SIGINT, 130, [])])
def test_told_to_stop(server, whole, tmp_path, number, code, flags):
    """All that was trained is saved; the folder alone suffices to go on."""
    dir = tmp_path / "sweep"
    child = server.start("sweep", whole / "tiny.py", "--dir", dir, "--steps", ENDLESS, "--seeds", "2", *flags)
    assert child.until(lambda: step_of(dir) >= 200), child.text
    child.signal(number)
    assert child.wait() == code, child.text
    assert "Traceback" not in child.text and "the same command goes on" in child.text
    begun = [r for r in store.results(dir) if r["status"] == "running"]
    assert 1 <= len(begun) <= (2 if flags else 1)  # a second worker may not have begun
    for one in begun:
        saved = max(steps_saved(store.run_dir(dir, one["id"])), default=0)
        assert store.standing(dir, one["id"])["step"] == saved == one["step"]


@pytest.mark.slow
def test_two_workers_train_one_folder(server, whole, tmp_path):
    dir = tmp_path / "sweep"
    child = server.start("sweep", whole / "tiny.py", "--dir", dir, "--workers", "2")
    assert child.wait() == 0, child.text
    equal(dir, whole)
    starts = [json.loads((run / "env.json").read_text())["starts"] for run in (dir / "runs").glob("*")]
    assert len(starts) == 6 and all(len(one) == 1 for one in starts)  # nothing was done twice


def test_the_command_line_from_end_to_end(whole, tmp_path, capsys):
    dir = tmp_path / "sweep"
    tiny = str(whole / "tiny.py")
    words = ["--grid", "g_lr=1e-3,1e-2", "--grid", "loss=ns", "--seeds", "2", "--steps", "20"]
    cli.main(["sweep", tiny, *words, "--dir", str(dir), "--objective", "min d_loss"])
    out = capsys.readouterr().out
    values = [values for values, _ in store.members(dir).values()]
    assert values == product(grid({"hp.g_lr": [1e-3, 1e-2], "loss": ["ns"]}), seeds(2))
    means = {lr: np.mean([r["d_loss"] for r in store.results(dir) if r["hp.g_lr"] == lr]) for lr in (1e-3, 1e-2)}
    best = min(means, key=means.get)
    line = next(line for line in out.splitlines() if line.startswith("best: jaxgan train"))
    assert line == f"best: jaxgan train {tiny} --steps 20 --hp.g-lr 0.01" if best == 1e-2 else "--hp.g-lr" not in line
    cli.main([*line.split()[2:], "--seed", "1", "--dir", str(tmp_path / "best")])
    (id,) = [r["id"] for r in store.results(dir) if r["hp.g_lr"] == best and r["seed"] == 1]
    assert digests(tmp_path / "best") == digests(store.run_dir(dir, id))
    capsys.readouterr()
    cli.main(["sweep", str(dir), "--objective", "max d_loss"])
    out = capsys.readouterr().out
    assert out.splitlines()[2].split()[0] == f"{best:g}" and "step 20/" not in out  # nothing was trained


@pytest.fixture(scope="module")
def bad(whole):
    """Folders that a sweep must refuse."""
    (whole / "plain.py").write_text(EXPERIMENT.replace("def sweep", "def swep"))
    (whole / "loss.py").write_text(EXPERIMENT.replace('"hinge"', '"hing"'))
    (whole / "empty.py").write_text(EXPERIMENT.replace("seeds(3)", "[]"))
    (whole / "raises.py").write_text(EXPERIMENT.replace("seeds(3)", "seeds(3) + 1"))
    (whole / "thesis").mkdir()
    (whole / "thesis/thesis.tex").write_text("precious")
    (whole / "torn").mkdir()
    (whole / "torn/sweep.json").write_text('{"format": 1, "memb')
    (whole / "future").mkdir()
    (whole / "future/sweep.json").write_text(
        (whole / "sweep/sweep.json").read_text().replace('"format": 1', '"format": 9')
    )
    return whole


WRONG = [
    ("sweep plain.py --dir new", "plain.py has no function sweep.*--grid"),
    ("sweep loss.py --dir new", "{'loss': 'hing', 'seed': 0}.*Did you mean 'hinge'"),
    ("sweep empty.py --dir new", "has no members"),
    ("sweep raises.py --dir new", "raises.py does not run, line"),
    ("sweep tiny.py --grid los=ns --dir new", "'los'. Did you mean 'loss'"),
    ("sweep tiny.py --grid steps=1,2 --dir new", "steps cannot be swept"),
    ("sweep tiny.py --grid width=1e2 --dir new", "width is 100.0"),
    ("sweep tiny.py --objective high_quality --dir new", 'expected "max METRIC"'),
    ("sweep tiny.py --workers 0 --dir new", "workers is 0"),
    ("sweep tiny.py --at-once -1 --dir new", "width -1"),
    ("sweep tiny.py --data mnist5k --feed stream --dir new", "--feed device"),
    ("sweep tiny.py --data ring9 --dir new", "unknown data 'ring9'"),
    ("sweep tiny.py --grid hp.wgan_gp=1 --fake-batch 8 --dir new", "penalty 'wgan_gp' compares"),
    ("sweep tiny.py --dir thesis", "thesis.tex.*and no sweep"),
    ("sweep tiny.py --dir thesis/thesis.tex", "is a file"),
    ("sweep tiny.py --dir sweep --batch 8", "batch: 8 -> 16|batch: 16 -> 8"),
    ("sweep tiny.py --dir torn", "sweep.json cannot be used"),
    ("sweep future", "its format is 9"),
    ("sweep sweep --objective", "objective"),
    ('sweep sweep --objective "max high_qualty"', "there is no metric 'high_qualty'. Did you mean"),
    ("sweep --grid loss=ns", "the experiment comes first: jaxgan sweep EXPERIMENT"),
    ("sweep nothing.py --dir new", "there is no experiment nothing.py"),
    ("swep tiny.py", "Did you mean 'sweep'"),
]


@pytest.mark.parametrize("line, message", WRONG, ids=[line for line, _ in WRONG])
def test_what_a_user_can_get_wrong(bad, line, message, monkeypatch, capsys):
    monkeypatch.chdir(bad)
    before = (bad / "sweep/sweep.json").read_text()
    with pytest.raises(SystemExit) as end:
        cli.main(shlex.split(line))
    out = "".join(capsys.readouterr())
    assert end.value.code == 2 and "Traceback" not in out
    assert re.search(message, out, re.S), out
    assert (bad / "sweep/sweep.json").read_text() == before
    assert not (bad / "new" / "runs").exists()
    if (bad / "new").exists():
        shutil.rmtree(bad / "new")
