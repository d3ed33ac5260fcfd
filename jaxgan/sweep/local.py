"""Processes of this machine that train one sweep folder together, each what no other has taken."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from jaxgan import log
from jaxgan.config import Config
from jaxgan.errors import JaxganError
from jaxgan.signals import Stop
from jaxgan.sweep import group, store

POLL = 1.0  # seconds between two looks at the members' logs


def run(dir, mode="auto", width=0, workers=1, say=log.show, stop: Stop | None = None) -> None:
    """Train all members of the sweep in dir by `workers` processes; otherwise as group.train.

    On a machine with GPUs each worker has its own, or its share of one. JaxganError names the first worker that failed,
    after the others have trained what they could.
    """
    dir = Path(dir).expanduser()
    if workers < 1:
        raise JaxganError(f"workers is {workers}; expected at least 1")
    wanted = group.unfinished(dir)
    if workers == 1 or len(wanted) < 2:
        group.train(dir, None, None, mode, width, say, stop)
        return
    with stop or Stop() as stop:
        news = group.once(say, set())
        crew = [Worker(dir, mode, width, pin(i, workers), news) for i in range(workers)]
        stop.training = True
        try:
            with watched(dir, wanted, say) as update:
                while any(worker.process.poll() is None for worker in crew):
                    if stop.signal is not None:
                        break  # by their closed input the workers hear of it, save, and end
                    time.sleep(POLL)
                    update()
        finally:
            _end(crew)
    failed = [worker for worker in crew if worker.process.returncode]
    if failed and stop.signal is None:  # one that was told to stop before it could listen has lost nothing
        raise JaxganError(
            f"{len(failed)} of {workers} workers failed: {failed[0].error()}\nThe same command trains what is left"
        )


@contextlib.contextmanager
def watched(dir: Path, wanted: dict[str, Config], say) -> Iterator[Callable]:
    """update(), which looks at the logs of members that other processes train, and shows how far they are."""
    with contextlib.closing(group.Meter(dir, wanted, say)) as meter:

        def update():
            done = sum(max(last_step(dir, id) - meter.begun[id], 0) for id in wanted)
            ended = sum(store.finished(dir, id, c.steps) for id, c in wanted.items())
            if (done, ended) != (meter.done, meter.ended):
                meter.advance(done - meter.done, ended - meter.ended)

        yield update


def _end(crew: list["Worker"]) -> None:
    for worker in crew:
        if worker.process.stdin:
            worker.process.stdin.close()  # whoever still runs is told by this, too
    for worker in crew:
        worker.process.wait()
        worker.reader.join()


class Worker:
    """A process that trains what no other has taken; it hears of this one's end by its closed input."""

    def __init__(self, dir: Path, mode: str, width: int, extra: dict, say):
        import jax

        order = {"dir": str(dir), "mode": mode, "width": width, "config": {n: getattr(jax.config, n) for n in CACHE}}
        command = [sys.executable, "-m", "jaxgan.sweep.local", json.dumps(order)]
        pipe = subprocess.PIPE  # in a session of its own: Ctrl-C reaches this process, which tells the workers
        self.process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True, start_new_session=True,
            env={**os.environ, **extra},
        )  # fmt: skip
        self.said: list[str] = []
        self.reader = threading.Thread(target=self._read, args=(self.process.stdout, say), daemon=True)
        self.reader.start()

    def _read(self, lines, say) -> None:
        with lines:
            for line in lines:
                self.said.append(line.rstrip())
                if re.match(f"[0-9a-f]{{10}}: |{group.FOUND}", line):  # news of a member, or of its data
                    say(line.rstrip())

    def error(self) -> str:
        """What the process said last."""
        return self.said[-1].removeprefix("jaxgan: ") if self.said else f"exit code {self.process.returncode}"


CACHE = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")


def pin(i: int, workers: int) -> dict[str, str]:
    """Variables that give worker i its own GPU, or its share of one; none without GPUs."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None and shutil.which("nvidia-smi"):
        found = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True)
        visible = ",".join(str(n) for n, line in enumerate(found.stdout.splitlines()) if line.startswith("GPU "))
    gpus = [g for g in (visible or "").split(",") if g]
    if not gpus:
        return {}
    each = -(-workers // len(gpus))
    shares = {"XLA_PYTHON_CLIENT_MEM_FRACTION": f"{0.9 / each:.3f}"} if each > 1 else {}
    return {"CUDA_VISIBLE_DEVICES": gpus[i % len(gpus)], **shares}


def last_step(dir: Path, id: str) -> int:
    """The step of a member's last whole row of metrics; 0 without one."""
    path = store.run_dir(dir, id) / "metrics.jsonl"
    lines = path.read_bytes()[-4096:].split(b"\n")[-2:-1] if path.exists() else []
    try:
        return json.loads(lines[0])["step"]
    except (IndexError, ValueError, KeyError):
        return 0


def work(order: dict) -> None:
    """What a worker process does."""
    import signal

    import jax

    def watch():
        sys.stdin.read()  # ends when the process that started this one does
        signal.raise_signal(signal.SIGTERM)  # os.kill would end the process at once on Windows

    threading.Thread(target=watch, daemon=True).start()
    for name, value in order["config"].items():
        jax.config.update(name, value)
    try:
        with Stop() as stop:
            group.train(order["dir"], None, None, order["mode"], order["width"], log.show, stop)
    except JaxganError as e:
        sys.exit(f"jaxgan: {e}")


if __name__ == "__main__":
    work(json.loads(sys.argv[1]))
