"""What a run writes down: metrics.jsonl is the truth, other writers hold the same rows, env.json says where it ran."""

import json
import os
import signal
import struct
import types
from collections import Counter

import jax
import pytest

from jaxgan import log, train
from jaxgan.config import Config
from jaxgan.errors import JaxganError
from jaxgan.signals import Stop

CONFIG = Config(
    net="mlp",
    data="ring8",
    latent=2,
    width=8,
    batch=16,
    steps=12,
    chunk=1,
    log_every=3,
    sample_every=6,
    checkpoint_every=4,
    writers=("tensorboard",),
)


def events(folder) -> list[tuple[int, str, float]]:
    """(step, tag, value) of all scalars in TensorBoard's event files: TFRecord frames of protocol buffers."""
    from tensorboardX.proto.event_pb2 import Event

    found = []
    for path in sorted(folder.glob("events*")):
        content, at = path.read_bytes(), 0
        while at < len(content):
            (length,) = struct.unpack_from("<Q", content, at)
            event = Event.FromString(content[at + 12 : at + 12 + length])
            found += [(event.step, value.tag, value.simple_value) for value in event.summary.value]
            at += 16 + length
    return found


class StopAt(Stop):
    """A SIGTERM while the step number `at` is under way."""

    def __init__(self, at: int):
        super().__init__()
        self.left = at

    def agreed(self):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().agreed()


@pytest.fixture(scope="module")
def resumed(tmp_path_factory):
    """A run that was stopped at step 7 and resumed."""
    dir = tmp_path_factory.mktemp("log") / "run"
    stopped = train.run(CONFIG, dir, quiet=True, stop=StopAt(8))
    assert 0 < int(stopped.state.step) < 12
    train.run(CONFIG, dir, quiet=True)
    return dir


def test_rows_stand_where_they_were_asked_for_and_once(resumed):
    rows = log.read(resumed / "metrics.jsonl")
    logged = [row["step"] for row in rows if "d_loss" in row]
    assert Counter(logged) == Counter([3, 6, 9, 12])
    assert {row["step"] for row in rows if "digest" in row} >= {4, 8, 12}
    assert {row["step"] for row in rows if "modes" in row} == {6, 12}
    names = {"step", "d_loss", "g_loss", "d_grad", "g_grad", "d_real", "d_fake", "images_per_second"}
    assert all(set(row) == names for row in rows if "d_loss" in row)


def test_tensorboard_holds_the_same_rows(resumed):
    rows = log.read(resumed / "metrics.jsonl")
    wanted = Counter(
        (row["step"], name)
        for row in rows
        for name, value in row.items()
        if name != "step" and not isinstance(value, str)
    )
    found = events(resumed / "tensorboard")
    assert Counter((step, tag) for step, tag, _ in found) == wanted
    at_six = next(row["d_loss"] for row in rows if row["step"] == 6 and "d_loss" in row)
    assert next(v for step, tag, v in found if (step, tag) == (6, "d_loss")) == pytest.approx(at_six, rel=1e-6)


def test_wandb_gets_the_rows(tmp_path, monkeypatch):
    sent, begun = [], []
    fake = types.ModuleType("wandb")
    handle = types.SimpleNamespace(
        log=lambda row, step: sent.append((step, row)), finish=lambda: sent.append("finished")
    )
    fake.init = lambda **options: begun.append(options) or handle
    monkeypatch.setitem(__import__("sys").modules, "wandb", fake)
    for _ in range(2):
        with log.writer(tmp_path, ("wandb",), {"steps": 3}) as write:
            write({"step": 2, "d_loss": 0.5, "digest": "abc"})
    assert sent == [(2, {"d_loss": 0.5}), "finished"] * 2
    assert begun[0]["config"] == {"steps": 3}
    assert begun[0]["id"] == begun[1]["id"] and begun[0]["resume"] == "allow"


def test_rewind_keeps_what_the_checkpoint_knows(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(
        "".join(json.dumps({"step": s, "d_loss": s / 10}) + "\n" for s in (1, 2, 3, 4)) + '{"step": 5, "d_l'
    )
    log.rewind(path, 2)
    assert path.read_text() == '{"step": 1, "d_loss": 0.1}\n{"step": 2, "d_loss": 0.2}\n'


def test_a_torn_last_line_is_left_out_and_a_torn_middle_one_is_an_error(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert log.read(path) == []
    path.write_text('{"step": 1}\n{"step": 2, "d_lo')
    assert log.read(path) == [{"step": 1}]
    path.write_text('{"step": 1}\n{"step": \n{"step": 3}\n')
    with pytest.raises(JaxganError, match=r"metrics\.jsonl, line 2"):
        log.read(path)


def test_environment_says_where_each_start_ran(resumed):
    env = json.loads((resumed / "env.json").read_text())
    assert (env["shape"], env["classes"], len(env["fingerprint"])) == ([2], 8, 64)
    assert len(env["starts"]) == 2
    for start in env["starts"]:
        assert start["versions"]["jax"] == jax.__version__
        assert len(start["devices"]) == jax.device_count()
        assert start["flags"]["JAX_PLATFORMS"] == os.environ["JAX_PLATFORMS"]
        assert set(start["git"]) <= {"commit", "dirty"}
        assert start["command"]
