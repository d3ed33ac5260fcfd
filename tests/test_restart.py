"""A process that is lost ends the others at once, and starting them again goes on as if nothing had happened."""

import gzip
import json
import os
import signal
import time

import pytest
from processes import digests, steps_saved
from test_devices import children, start_pair

import jaxgan
from jaxgan import checkpoint, config, train

FIELDS = {"data": "ring8", "net": "mlp", "latent": 2, "width": 16, "batch": 32, "chunk": 4, "sample_every": 0}


@pytest.fixture
def experiment(tmp_path):
    values = json.dumps({**FIELDS, "log_every": 10**6, "checkpoint_every": 120, "steps": 10**6})
    path = tmp_path / "ring.py"
    path.write_text(f"from jaxgan.config import from_dict\ndef config():\n    return from_dict({values})\n")
    return path


@pytest.mark.slow
def test_killing_one_of_two_processes(experiment, tmp_path):
    """Killed as by a machine that fails: no handler runs. Then on to the checkpoint after the last one."""
    command = ["train", experiment, "--dir", tmp_path / "run"]
    processes, outs = start_pair([command], tmp_path)
    end = time.monotonic() + 240
    while not steps_saved(tmp_path / "run") and time.monotonic() < end:
        time.sleep(0.05)
    os.kill(children(processes[1])[0], signal.SIGKILL)
    code, text = processes[0].wait(60), outs[0].read_text()
    # by the closed connection; or, where it waits for the other in a save, by JAX after 30 s without heartbeat
    assert (code == 75 and "another process of this run was lost" in text) or "another task died" in text, text[-3000:]
    assert code != 0 and "Traceback" not in text
    processes[1].wait(10)
    last = max(digests(tmp_path / "run")) + 120
    for dir in ("run", "undisturbed"):
        processes, outs = start_pair([["train", experiment, "--dir", tmp_path / dir, "--steps", last]], tmp_path)
        assert [p.wait(150) for p in processes] == [0, 0], [out.read_text()[-2000:] for out in outs]
        assert ("resuming" in outs[0].read_text()) == (dir == "run")
    assert digests(tmp_path / "run")[last] == digests(tmp_path / "undisturbed")[last]
    assert checkpoint.digest(checkpoint.to_host(jaxgan.load(tmp_path / "run").state)) == digests(tmp_path / "run")[last]


def test_profile_traces_ten_steps_and_changes_nothing(tmp_path, capsys):
    """The trace is gzipped JSON with our span and the loop's instructions, each of them at least ten times."""
    c = {**FIELDS, "chunk": 10, "steps": 40}
    plain = train.run(config.from_dict(c), tmp_path / "plain", quiet=True)
    traced = train.run(config.from_dict({**c, "profile": True}), tmp_path / "traced")
    (path,) = (tmp_path / "traced" / "profile").glob("**/*.trace.json.gz")
    assert f"into {tmp_path / 'traced' / 'profile'}" in capsys.readouterr().out
    events = json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]
    (span,) = [e for e in events if e.get("name") == "train"]
    assert 0 < int(span["args"]["step_num"]) < 40 and span["dur"] > 0
    dots = [e["name"] for e in events if "dot" in e.get("name", "") and not e["name"].startswith("end")]
    assert max(map(dots.count, dots)) == train.PROFILED
    digest = [checkpoint.digest(checkpoint.to_host(run.state)) for run in (plain, traced)]
    assert digest[0] == digest[1]
