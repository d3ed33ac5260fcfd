"""Killed, told to stop and interrupted runs end with the bits of one that was left alone."""

import random
import signal
import subprocess
import sys
import time

import pytest

from processes import ENDLESS, digests, log_file, rows, steps_saved
from runs import command

EVERY = 10
RING = ["--data", "ring8", "--latent", "2"]
DIGITS = ["--data", "mnist5k", "--latent", "4", "--feed", "stream"]


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    path = tmp_path_factory.mktemp("experiment") / "tiny.py"
    path.write_text(f"""
from jaxgan import Config, Hp
def config():
    return Config(net="mlp", width=16, depth=1, batch=16, d_steps=2, log_every=5, sample_every=0,
                  checkpoint_every={EVERY}, chunk=5, hp=Hp(g_lr=1e-3, d_lr=1e-3))
""")
    return path


@pytest.fixture
def train(experiment, capfd):
    """One command to its end, in this process -> what it printed."""

    def run(dir, *args):
        capfd.readouterr()
        code, (out, err) = command("train", experiment, "--dir", dir, *args), capfd.readouterr()
        assert (code, err) == (0, ""), out + err
        return out

    return run


def finish_both(train, dir, alone, *args) -> None:
    """Train dir some steps further, and another run in one go to the same step."""
    last = (max(digests(dir)) // EVERY + 2) * EVERY
    assert f"resuming {dir} from step" in train(dir, *args, "--steps", str(last))
    train(alone, *args, "--steps", str(last))
    assert digests(dir)[last] == digests(alone)[last]


def kill_and_restart(server, experiment, dir, args, saves, seed: int) -> None:
    """Start the run once for each of saves and kill it: after so many, or (0) on its way to the first step.

    When a third digest is logged, the first checkpoint is there: a save waits for the one before.
    """
    r = random.Random(seed)
    for count in saves:
        before, old = max(steps_saved(dir), default=0), log_file(dir)
        child = server.start("train", experiment, "--dir", dir, *args, "--steps", ENDLESS)

        def saving(goal=before + count * EVERY, old=old):  # what the last one did not save is forgotten by then
            return log_file(dir) != old and max(digests(dir), default=0) >= goal

        assert count == 0 or child.until(saving), child.text  # a digest is logged when its save begins
        time.sleep(r.uniform(0, 0.1 if count else 2))  # whatever it is doing then
        child.signal(signal.SIGKILL)
        assert child.wait() == -9, child.text


@pytest.mark.parametrize("rounds", [1, pytest.param(5, marks=pytest.mark.slow)])
def test_kills(server, experiment, train, tmp_path, rounds):
    kill_and_restart(server, experiment, tmp_path / "run", RING, [0, 1, 3, 2] * rounds, seed=0)
    finish_both(train, tmp_path / "run", tmp_path / "alone", *RING)
    assert rows(tmp_path / "run") == rows(tmp_path / "alone")


@pytest.mark.slow
def test_kills_of_a_streamed_run(server, experiment, train, tmp_path):
    kill_and_restart(server, experiment, tmp_path / "run", DIGITS, [3, 1, 0, 3], seed=1)
    finish_both(train, tmp_path / "run", tmp_path / "alone", *DIGITS)
    assert rows(tmp_path / "run") == rows(tmp_path / "alone")


@pytest.mark.parametrize(
    "number, code, times",
    [
        (signal.SIGTERM, 0, 3),
        pytest.param(signal.SIGUSR1, 0, 1, marks=pytest.mark.slow),
        (signal.SIGINT, 130, 2),
    ],
    ids=["TERM", "USR1", "INT"],
)
def test_told_to_stop(server, experiment, train, tmp_path, number, code, times):
    """At random moments, each time with a checkpoint of the very step."""
    dir, r, stops = tmp_path / "run", random.Random(int(number)), []
    for _ in range(times):
        before = max(digests(dir), default=0)
        child = server.start("train", experiment, "--dir", dir, *RING, "--steps", ENDLESS)
        assert child.until(lambda: max(digests(dir), default=0) > before), child.text  # noqa: B023
        time.sleep(r.uniform(0, 0.1))  # whatever it is doing then
        child.signal(number)
        assert child.wait() == code, child.text
        stops.append(max(steps_saved(dir)))
        assert f"stopped at step {stops[-1]} and saved" in child.text
        assert max(digests(dir)) == stops[-1] == max(row["step"] for row in rows(dir))
        assert "Traceback" not in child.text
    assert len(set(stops)) == times
    finish_both(train, dir, tmp_path / "alone", *RING)
    # a stop between two checkpoints has left a digest of its own, and nothing else
    extra = [row for row in rows(dir) if row not in rows(tmp_path / "alone")]
    assert {row["step"] for row in extra} <= set(stops) and all("digest" in row for row in extra)
    assert [row for row in rows(dir) if row not in extra] == rows(tmp_path / "alone")


TOLD = """
import os, signal, sys
class Teller:
    def find_spec(self, name, *rest):
        if name == "jaxlib":  # JAX is being loaded: the handlers are there
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGTERM)
sys.meta_path.insert(0, Teller())
"""


def test_stop_before_the_first_step_of_a_true_command(experiment, tmp_path):
    """The wish is kept from the first moment on, and there is nothing to save."""
    told = tmp_path / "told.py"
    told.write_text(TOLD + experiment.read_text())
    command = [sys.executable, "-m", "jaxgan", "train", told, "--dir", tmp_path / "run", *RING]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    assert "stopped at step 0, before the first new one" in done.stdout
    assert steps_saved(tmp_path / "run") == []


INTERRUPTED = """
import signal
from jaxgan import transfer
first = transfer.first
def interrupted(*args):
    signal.raise_signal(signal.SIGINT)
    return first(*args)
transfer.first = interrupted
"""


def test_interrupt_before_training_ends_at_once(server, experiment, tmp_path):
    """There is nothing to save yet, so the first Ctrl-C suffices."""
    child = server.start("train", experiment, "--dir", tmp_path / "run", *RING, first=INTERRUPTED)
    assert child.wait() == 130
    assert child.text.endswith("jaxgan: interrupted\n") and "Traceback" not in child.text
    assert (tmp_path / "run" / "config.json").exists() and steps_saved(tmp_path / "run") == []


def test_a_finished_run_says_so_and_trains_on(train, tmp_path):
    dir = tmp_path / "run"
    train(dir, *RING, "--steps", "20")
    before = rows(dir)
    text = train(dir, *RING, "--steps", "20")
    assert text == f"{dir} is finished at step 20. To train on: --steps 40\n"
    assert rows(dir) == before
    finish_both(train, dir, tmp_path / "alone", *RING)
