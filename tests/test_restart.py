"""A process that is lost ends the others at once, and starting them again goes on as if nothing had happened."""

import gzip
import json
import signal

import pytest

import jaxgan
from jaxgan import checkpoint, config, train
from processes import ENDLESS, digests, pair, steps_saved

FIELDS = {"data": "ring8", "net": "mlp", "latent": 2, "width": 16, "batch": 32, "chunk": 4, "sample_every": 0}


@pytest.fixture
def experiment(tmp_path):
    values = json.dumps({**FIELDS, "log_every": 10**6, "checkpoint_every": 120, "steps": ENDLESS})
    path = tmp_path / "ring.py"
    path.write_text(f"from jaxgan.config import from_dict\ndef config():\n    return from_dict({values})\n")
    return path


@pytest.mark.slow
def test_killing_one_of_two_processes(experiment, tmp_path):
    """Killed as by a machine that fails: no handler runs. Then on to the checkpoint after the last one."""
    with pair(tmp_path, ["train", experiment, "--dir", tmp_path / "run"]) as both:
        assert both.until(lambda: steps_saved(tmp_path / "run")), both.texts
        both.signal(1, signal.SIGKILL)
        (code, _), text = both.wait(), both.texts[0]
    # by the closed connection; or, where it waits for the other in a save, by JAX after 30 s without heartbeat
    assert (code == 75 and "another process of this run was lost" in text) or "another task died" in text, text[-3000:]
    assert code != 0 and "Traceback" not in text
    last = max(digests(tmp_path / "run")) + 120
    for dir in ("run", "undisturbed"):
        with pair(tmp_path, ["train", experiment, "--dir", tmp_path / dir, "--steps", last]) as both:
            assert both.wait() == [0, 0], both.texts
        assert ("resuming" in both.texts[0]) == (dir == "run")
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
