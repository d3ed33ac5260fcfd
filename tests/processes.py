"""The command line in real processes that tests may signal and kill, without paying for the imports each time."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

# Imports what a run needs but touches no device, then forks a child for each command.
SERVER = """
import json, os, sys
import jax, numpy, optax, orbax.checkpoint, tqdm, filelock, grain, PIL.Image
import jaxgan.cli, jaxgan.train, jaxgan.data.folder, jaxgan.data.stream
for line in sys.stdin:
    order = json.loads(line)
    if "wait" in order:
        print(os.waitstatus_to_exitcode(os.waitpid(order["wait"], 0)[1]), flush=True)
        continue
    pid = os.fork()
    if pid:
        print(pid, flush=True)
        continue
    out = os.open(order["out"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(out, 1)
    os.dup2(out, 2)
    jaxgan.cli.main(order["args"])
    sys.exit(0)
"""


class Server:
    """start(args) -> Child."""

    def __init__(self, dir: Path):
        self.dir, self.count = dir, 0
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, **order) -> int:
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def start(self, *args) -> "Child":
        self.count += 1
        out = self.dir / f"out{self.count}.txt"
        return Child(self, self.ask(args=[str(a) for a in args], out=str(out)), out)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


class Child:
    """One command; what it printed, and its end."""

    def __init__(self, server: Server, pid: int, out: Path):
        assert pid > 1  # 0 and -1 would mean other processes to os.kill
        self.server, self.pid, self.out, self.code = server, pid, out, None

    @property
    def text(self) -> str:
        return self.out.read_text() if self.out.exists() else ""

    def running(self) -> bool:
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"

    def until(self, done, seconds: float = 120) -> bool:
        """Whether done() came true before the end of the process."""
        end = time.monotonic() + seconds
        while not done() and self.running():
            assert time.monotonic() < end, f"nothing for {seconds} s\n{self.text}"
            time.sleep(0.005)
        return done()

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self) -> int:
        """The exit code, -9 after kill -9."""
        if self.code is None:
            self.until(lambda: False)
            self.code = self.server.ask(wait=self.pid)
        return self.code


def digests(dir: Path) -> dict[int, str]:
    """{step: digest} as they stand in metrics.jsonl now, whole lines only."""
    path = dir / "metrics.jsonl"
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return {row["step"]: row["digest"] for row in map(json.loads, lines) if "digest" in row}


def rows(dir: Path) -> list[dict]:
    """metrics.jsonl apart from speeds; every line must be readable."""
    found = [json.loads(line) for line in (dir / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name != "images_per_second"} for row in found]


def steps_saved(dir: Path) -> list[int]:
    """Steps of the committed checkpoints."""
    return sorted(int(p.name) for p in (dir / "checkpoints").glob("[0-9]*") if p.name.isdigit())
