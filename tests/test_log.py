"""metrics.jsonl as the truth, what resuming does to it, TensorBoard beside it, env.json, and what a terminal shows."""

import dataclasses
import io
import json
import re
import signal
import subprocess
import sys
import types

import jax
import numpy as np
import pytest
from PIL import Image

import jaxgan
from jaxgan import log, train
from jaxgan.config import Config, Hp
from jaxgan.errors import JaxganError
from jaxgan.signals import Stop

RUN = Config(
    net="mlp",
    data="ring8",
    latent=2,
    width=16,
    depth=1,
    batch=16,
    steps=20,
    log_every=5,
    sample_every=10,
    checkpoint_every=10,
    chunk=5,
    hp=Hp(g_lr=1e-3, d_lr=1e-3),
)
METRICS = {"d_loss", "g_loss", "d_real", "d_fake", "d_grad", "g_grad"}


@pytest.fixture(scope="module")
def dir(tmp_path_factory):
    dir = tmp_path_factory.mktemp("log") / "run"
    train.run(dataclasses.replace(RUN, writers=("tensorboard",)), dir, quiet=True)
    return dir


def test_rows(dir):
    """One row of losses a period, one of modes a picture, one digest a checkpoint."""
    rows = log.read(dir / "metrics.jsonl")
    losses = [row for row in rows if "d_loss" in row]
    assert [row["step"] for row in losses] == [5, 10, 15, 20]
    assert all(set(row) == METRICS | {"step", "images_per_second"} for row in losses)
    assert all(isinstance(row[name], float) for row in losses for name in METRICS)
    assert losses[-1]["images_per_second"] > 0
    modes = [row for row in rows if "modes" in row]
    assert [row["step"] for row in modes] == [10, 20]
    assert all(0 <= row["modes"] <= 8 and 0 <= row["high_quality"] <= 1 for row in modes)
    digests = [row for row in rows if "digest" in row]
    assert [row["step"] for row in digests] == [10, 20]
    assert all(re.fullmatch("[0-9a-f]{64}", row["digest"]) for row in digests)
    assert len(rows) == 8 == len((dir / "metrics.jsonl").read_text().splitlines())


def write(path, *rows, tail=""):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + tail)
    return path


def test_rewind_drops_what_comes_after(tmp_path):
    rows = [{"step": step, "a": 0.5} for step in (10, 20, 20, 30)]
    path = write(tmp_path / "metrics.jsonl", *rows)
    log.rewind(path, 20)
    assert log.read(path) == rows[:3]
    log.rewind(path, 20)
    assert log.read(path) == rows[:3]
    log.rewind(path, 0)
    assert path.read_text() == ""
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_no_file_is_no_rows(tmp_path):
    assert log.read(tmp_path / "metrics.jsonl") == []


@pytest.mark.parametrize("tail", ['{"step": 20, "a"', "{", '{"step": 20}'[:-1], '"', "\x00\x00\x00", "3"])
def test_a_torn_last_line_is_left_out(tmp_path, tail):
    path = write(tmp_path / "metrics.jsonl", {"step": 10}, tail=tail)
    assert log.read(path) == [{"step": 10}]
    log.rewind(path, 10)
    assert path.read_text() == '{"step": 10}\n'


@pytest.mark.parametrize("line", ["oops", '{"step": 1', "[]", "null", '{"loss": 1}', '{"step": "1"}'])
def test_a_bad_line_in_the_middle_is_named(tmp_path, line):
    path = tmp_path / "metrics.jsonl"
    path.write_text(f'{{"step": 10}}\n{line}\n{{"step": 20}}\n')
    with pytest.raises(JaxganError, match=r"metrics.jsonl, line 2 .*remove that line"):
        log.read(path)


def events(dir):
    """[(step, name, value)] of all event files, in order; a value is a number, or the bytes of a picture."""
    from tensorboardX.event_file_writer import EventsWriter  # noqa: F401  the package is a dependency of the tests
    from tensorboardX.proto.event_pb2 import Event

    found = []
    for path in sorted((dir / "tensorboard").glob("events*")):
        data, at = path.read_bytes(), 0
        while at < len(data):  # TFRecord: length, its checksum, the event, its checksum
            size = int.from_bytes(data[at : at + 8], "little")
            event = Event.FromString(data[at + 12 : at + 12 + size])
            found += [(event.step, v.tag, v.image.encoded_image_string or v.simple_value) for v in event.summary.value]
            at += 16 + size
    return found


def scalars(dir):
    return [event for event in events(dir) if not isinstance(event[2], bytes)]


def assert_same_pictures(dir):
    """Each picture of samples/ once."""
    found = [(step, name, np.asarray(Image.open(io.BytesIO(x)))) for step, name, x in events(dir) if type(x) is bytes]
    kept = sorted((dir / "samples").glob("[0-9]*.png"))
    assert [(step, name) for step, name, _ in found] == [(int(path.stem), "samples") for path in kept]
    for (_, _, picture), path in zip(found, kept):
        np.testing.assert_array_equal(picture, Image.open(path))


def expected(dir):
    rows = log.read(dir / "metrics.jsonl")
    return {(row["step"], k): v for row in rows for k, v in row.items() if k not in ("step", "digest")}


def assert_same_numbers(dir):
    found = scalars(dir)
    assert len({(step, name) for step, name, _ in found}) == len(found), "a number appears twice"
    assert {(step, name): value for step, name, value in found} == pytest.approx(expected(dir), rel=1e-6)


def test_tensorboard_holds_the_numbers_of_the_rows(dir):
    assert len(scalars(dir)) == 4 * 7 + 2 * 2
    assert_same_numbers(dir)
    assert_same_pictures(dir)


def test_tensorboard_after_a_resumed_run_has_each_step_once(dir, tmp_path):
    """Also those that a killed process had written before the checkpoint from which the run went on."""
    import shutil

    again = shutil.copytree(dir, tmp_path / "run")
    shutil.rmtree(again / "checkpoints" / "00000020")  # as if killed before the last save: steps 11 to 20 come again
    train.run(dataclasses.replace(RUN, writers=("tensorboard",), steps=30), again, quiet=True)
    assert sorted({step for step, _, _ in scalars(again)}) == [5, 10, 15, 20, 25, 30]
    assert_same_numbers(again)
    assert_same_pictures(again)
    # switching the writer off and on again loses nothing either
    train.run(dataclasses.replace(RUN, steps=40), again, quiet=True)
    train.run(dataclasses.replace(RUN, writers=("tensorboard",), steps=50), again, quiet=True)
    assert max(step for step, _, _ in scalars(again)) == 50
    assert_same_numbers(again)
    assert_same_pictures(again)


def test_wandb_gets_the_rows(tmp_path, monkeypatch):
    sent, begun = [], []
    fake = types.ModuleType("wandb")
    handle = types.SimpleNamespace(log=lambda row, step: sent.append((step, row)), finish=lambda: sent.append("end"))
    fake.init = lambda **options: begun.append(options) or handle
    fake.Image = lambda picture: ("a picture", picture)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    for _ in range(2):
        with log.writer(tmp_path, ("wandb",), {"steps": 3}) as write:
            write({"step": 2, "d_loss": 0.5, "digest": "abc"})
            write({"step": 2}, "pixels")
            write({"step": 3, "modes": 8.0}, "more")
    picture = [(2, {"samples": ("a picture", "pixels")}), (3, {"modes": 8.0, "samples": ("a picture", "more")})]
    assert sent == [(2, {"d_loss": 0.5}), *picture, "end"] * 2
    assert [row["step"] for row in log.read(tmp_path / "metrics.jsonl")] == [2, 3] * 2  # pictures are no lines there
    assert begun[0]["config"] == {"steps": 3}
    assert begun[0]["id"] == begun[1]["id"] and begun[0]["resume"] == "allow"  # a resumed run goes on in the same one


class StopAt(Stop):
    """SIGTERM while the step number `at` is under way."""

    def __init__(self, at: int):
        super().__init__()
        self.left = at

    def agreed(self):
        self.left -= 1
        if self.left == 0:
            signal.raise_signal(signal.SIGTERM)
        return super().agreed()


def test_a_stop_between_two_rows_doubles_nothing(tmp_path):
    c = dataclasses.replace(RUN, chunk=1, steps=12, log_every=3, sample_every=6, checkpoint_every=4)
    stopped = train.run(c, tmp_path / "run", quiet=True, stop=StopAt(8))
    assert 0 < int(stopped.state.step) < 12
    train.run(c, tmp_path / "run", quiet=True)
    rows = log.read(tmp_path / "run" / "metrics.jsonl")
    assert [row["step"] for row in rows if "d_loss" in row] == [3, 6, 9, 12]
    assert [row["step"] for row in rows if "modes" in row] == [6, 12]
    digests = [row["step"] for row in rows if "digest" in row]
    assert sorted(set(digests)) == digests and set(digests) >= {4, 8, 12}


def test_environment(dir, monkeypatch):
    env = json.loads((dir / "env.json").read_text())
    assert env["shape"] == [2] and env["classes"] == 8 and re.fullmatch("[0-9a-f]{64}", env["fingerprint"])
    (start,) = env["starts"]
    assert start["versions"]["jax"] == jax.__version__ and start["versions"]["jaxgan"] == jaxgan.__version__
    assert set(start["versions"]) == {"jaxgan", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy"}
    assert start["devices"] == ["cpu"] and start["processes"] == 1
    assert start["flags"]["JAX_PLATFORMS"] == "cpu"
    assert start["python"] == sys.version.split()[0]
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", start["time"]) and start["command"]
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=log.__file__[:-7])
    if commit.returncode == 0:
        assert start["git"]["commit"] == commit.stdout.strip() and isinstance(start["git"]["dirty"], bool)
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=false")
    monkeypatch.setenv("PATH", "")  # a machine without git
    later = log.environment()
    assert later["flags"]["XLA_FLAGS"] == "--xla_cpu_enable_fast_math=false"
    assert later["git"] == {}


def test_each_start_is_recorded(tmp_path):
    for steps in (5, 10):
        train.run(dataclasses.replace(RUN, steps=steps, sample_every=0), tmp_path / "run", quiet=True)
    assert len(json.loads((tmp_path / "run" / "env.json").read_text())["starts"]) == 2


def test_one_line_a_period_where_there_is_no_terminal(tmp_path, capsys):
    train.run(dataclasses.replace(RUN, sample_every=0, checkpoint_every=20), tmp_path / "run")
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert err == ""
    assert [line.split()[1] for line in lines if line.startswith("step ")] == ["5/20", "10/20", "15/20", "20/20"]
    number = r"-?[\d.]+(e[-+]\d+)?"
    for line in lines[3:-1]:  # the first dispatch, which compiles, has no speed
        pattern = rf"step \d+/20 d_loss {number} g_loss {number}, [\d,]+ images/s, \d+:\d\d left"
        assert re.fullmatch(pattern, line), line
    assert len(lines) == 7 and lines[0].startswith("training") and lines[-1].startswith("finished")


def test_quiet_prints_nothing(tmp_path, capfd):
    train.run(dataclasses.replace(RUN, sample_every=0), tmp_path / "run", quiet=True)
    assert capfd.readouterr() == ("", "")


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_bar_on_a_terminal(tmp_path, monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(sys, "stdout", out := io.StringIO())
    train.run(dataclasses.replace(RUN, sample_every=0), tmp_path / "run")
    last = screen.getvalue().replace("\n", "\r").strip("\r").split("\r")[-1].replace("\x1b[A", "")
    assert re.search(r"100%\|.*\| 20/20 \[\d\d:\d\d<00:00, d_loss \S+ g_loss \S+, [\d,]+ images/s\]", last), last
    assert "step 5/20" not in out.getvalue()  # the bar says it
    assert out.getvalue().splitlines()[-1].startswith("finished 20 steps")
