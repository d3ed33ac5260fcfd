"""Commands in processes of their own, which tests may signal and kill: forked without paying for the imports each
time, over virtual devices, or as a pair that trains together.

A test waits for what a process leaves behind, a row, a checkpoint, a file or its exit code, and never for a line on the
terminal or for some seconds: only hangs are cut short by the clock, by `timeout` and by pytest's own limit.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

ENDLESS = 10**6  # steps: no run in a test ever comes to its end by itself

# Does once what every command does, imports, a parser of flags, the tracing of a step, a picture, but touches no
# device; then forks a child for each command.
SERVER = """
import contextlib, gc, io, json, os, sys
import jax, numpy, optax, orbax.checkpoint, tqdm, filelock, grain, PIL.Image
import jaxgan.cli, jaxgan.train, jaxgan.data.folder, jaxgan.data.stream
import matplotlib.figure, matplotlib.backends.backend_agg  # of the pictures at their end
from jaxgan import program
from jaxgan.config import Config

class Points:
    shape, classes = (2,), 0

program.reads(Config(net="mlp", width=16, depth=1, batch=16, d_steps=2, latent=2), Points)
matplotlib.figure.Figure().savefig(io.BytesIO())
with contextlib.suppress(SystemExit), contextlib.redirect_stderr(io.StringIO()):
    jaxgan.cli.main(["sample", "RUN", "--no-such-flag"])
gc.collect()
gc.freeze()
gc.set_threshold(100_000, 20, 10)
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
    exec(order["first"], {})
    jaxgan.cli.main(order["args"])
    sys.exit(0)
"""


class Server:
    """start(args) -> Child."""

    def __init__(self, dir: Path):
        self.dir, self.children = dir, []
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, **order) -> int:
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def start(self, *args, first: str = "") -> "Child":
        """The command in a new process, which runs the code `first` before it."""
        out = self.dir / f"out{len(self.children)}.txt"
        pid = self.ask(args=[str(a) for a in args], out=str(out), first=first)
        self.children.append(Child(self, pid, out))
        return self.children[-1]

    def close(self) -> None:
        for child in self.children:
            if child.code is None:  # of a test that failed
                child.signal(signal.SIGKILL)
        self.process.stdin.close()
        self.process.wait()
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
        return state(self.pid) != "Z"

    def until(self, done) -> bool:
        """Whether done() came true before the end of the process."""
        while not done() and self.running():
            time.sleep(0.005)
        return done()

    def freeze(self, done) -> bool:
        """Stop the process, all of its threads, where done() holds; False if it ended before."""
        while self.until(done):
            self.signal(signal.SIGSTOP)
            while not halted(self.pid):
                time.sleep(0.001)
            if done():
                return True
            self.signal(signal.SIGCONT)
        return False

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self) -> int:
        """The exit code, -9 after kill -9."""
        if self.code is None:
            self.until(lambda: False)
            self.code = self.server.ask(wait=self.pid)
        return self.code


def state(pid: int) -> str:
    """The letter for the state of a process or thread: T is stopped, Z is ended."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def halted(pid: int) -> bool:
    """Whether all threads of a process are stopped."""
    try:
        return all(state(int(thread)) in "TZ" for thread in os.listdir(f"/proc/{pid}/task"))
    except FileNotFoundError:  # one has just ended
        return False


def environment(devices: int) -> dict[str, str]:
    """Of a process with so many virtual devices."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
    return {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}


def python(code: str, devices: int, *args) -> str:
    """Run code over virtual devices, which may hang rather than fail -> what it printed."""
    command = ["timeout", "-k", "5", "500", sys.executable, "-c", code, *map(str, args)]
    done = subprocess.run(command, env=environment(devices), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    return done.stdout


# Code, in one line, after which rectifiers are smooth: no kink makes a finite difference of a rounding error. They are
# 0 at 0: softplus makes nearly equal features, by whose small variance D's batch norm divides, and so rounding grows.
SMOOTH = (
    "import jax; from flax import linen as nn; "
    "nn.relu, nn.leaky_relu = jax.nn.silu, lambda x, a: a * x + (1 - a) * jax.nn.silu(x)"
)


def rounding(w: float, steps: int = 50, terms: int = 32 * 28 * 28) -> float:
    """A bound on the difference of two runs in float32 by SGD without kinks whose parameters are at most w.

    The unit is u = 2^-24. Each step rounds a parameter once, by u w at most. It adds lr times a gradient, a sum of n
    terms (the examples of a batch times the pixels of each), whose rounding is below sqrt(n) u times the sum of their
    sizes (Higham and Mary 2019, with overwhelming probability); over all steps lr times these sums is what a parameter
    moves, at most w. So (steps + sqrt(n)) u w. Later steps do not amplify it: in float64 such runs end 2 units apart.
    """
    return 2.0**-24 * (steps + terms**0.5) * w


# The first command joins the processes; at the others they are already together.
PAIR = """
import json, sys
from jaxgan import cli
for args in json.loads(sys.argv[1]):
    print("begin", flush=True)
    cli.main(args)
"""


@contextlib.contextmanager
def pair(dir: Path, *commands, first: str = ""):
    """A Pair of processes, of two devices each, that run the same commands after the code `first`."""
    with socket.socket() as held:  # to the end: no other process is given the port, which the coordinator shares
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(("127.0.0.1", 0))
        both = Pair([], [dir / f"process{i}.txt" for i in (0, 1)])
        try:
            for i, out in enumerate(both.outs):
                at = ["--coordinator", f"127.0.0.1:{held.getsockname()[1]}", "--processes", "2", "--process", str(i)]
                args = json.dumps([[*map(str, words), *at[: 6 * (k == 0)]] for k, words in enumerate(commands)])
                words = ["timeout", "-k", "5", "500", sys.executable, "-c", f"{first}\n{PAIR}", args]
                with out.open("w") as file:
                    one = subprocess.Popen(words, env=environment(2), stdout=file, stderr=subprocess.STDOUT)
                both.processes.append(one)
            yield both
        finally:
            for process in both.processes:
                process.terminate()  # those of a test that failed
                process.wait()


class Pair(NamedTuple):
    """What runs under `timeout`, and where it prints."""

    processes: list[subprocess.Popen]
    outs: list[Path]

    @property
    def texts(self) -> list[str]:
        return [out.read_text() for out in self.outs]

    def until(self, done) -> bool:
        """Whether done() came true before the end of either process."""
        while not done() and all(p.poll() is None for p in self.processes):
            time.sleep(0.005)
        return done()

    def signal(self, i: int, number: int) -> None:
        """Tell process i itself, and not `timeout`."""
        parent = self.processes[i].pid
        (child,) = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        os.kill(int(child), number)

    def wait(self) -> list[int]:
        """The exit codes."""
        return [p.wait() for p in self.processes]


def log_file(dir: Path) -> int:
    """The inode of metrics.jsonl, 0 without one: a run that goes on replaces the file before it trains."""
    path = dir / "metrics.jsonl"
    return path.stat().st_ino if path.exists() else 0


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
