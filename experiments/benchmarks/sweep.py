"""What a sweep saves: 64 runs on the ring as one sweep, as 64 processes, and as a plain PyTorch program.

    python experiments/benchmarks/sweep.py [--members 64] [--steps 500] [--timed 8] [--workers 2]
    python experiments/benchmarks/sweep.py --curve        # the bare program for 1 to 1,024 members, by map and by vmap

Each run makes 500 steps of an MLP (2-128-128-2 against 2-128-128-1, batch 256, Adam). The sweep and the processes leave
whole run folders: logs, digest, checkpoint, picture. PyTorch (eager, no files; on a GPU where there is one) trains one
run after the other in one process, and its start is counted. 8 of the separate processes are timed and scaled up
(--timed 64 is all of them). The compilation cache is warm for both. Processor time tells more than seconds where a
machine is busy. About 9 minutes on 2 CPU cores. PyTorch is left out where it is not installed. The curve times the
compiled program alone, without files and compilation: the median of three times --steps steps.
"""

import argparse
import dataclasses
import importlib.util
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

EXPERIMENT = """
from jaxgan import Config, Hp
def config():
    return Config(data="ring8", net="mlp", latent=2, width=128, depth=2, batch=256, steps={steps}, log_every=100,
                  sample_every=0, checkpoint_every=10_000, hp=Hp(g_lr=1e-3, d_lr=1e-3))
"""
TORCH = """
import sys, math, torch
from torch import nn
from torch.nn.functional import softplus
members, steps = int(sys.argv[1]), int(sys.argv[2])
torch.set_default_device("cuda" if torch.cuda.is_available() else "cpu")
def mlp(out):
    return nn.Sequential(nn.Linear(2, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, out))
def ring(n):
    angle = torch.randint(8, (n,)) * (math.pi / 4)
    return torch.stack([angle.cos(), angle.sin()], 1) + 0.01 * torch.randn(n, 2)
for seed in range(members):
    torch.manual_seed(seed)
    g, d = mlp(2), mlp(1)
    g_opt, d_opt = (torch.optim.Adam(net.parameters(), 1e-3, (0.5, 0.999)) for net in (g, d))
    for step in range(steps):
        with torch.no_grad():
            fake = g(torch.randn(256, 2))
        d_opt.zero_grad()
        (softplus(-d(ring(256))) + softplus(d(fake))).mean().backward()
        d_opt.step()
        g_opt.zero_grad()
        softplus(-d(g(torch.randn(256, 2)))).mean().backward()
        g_opt.step()
"""


def seconds(*command: str) -> np.ndarray:
    """Wall and processor time of a command, which must succeed."""

    def now():
        spent = resource.getrusage(resource.RUSAGE_CHILDREN)
        return np.array([time.monotonic(), spent.ru_utime + spent.ru_stime])

    start = now()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return now() - start


def processor() -> str:
    """The processor's name, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def measure(a, home: Path) -> list[tuple[str, np.ndarray, str]]:
    """(what, wall and processor seconds of all members, how they were measured)."""
    (home / "ring.py").write_text(EXPERIMENT.format(steps=a.steps), "utf-8")
    jaxgan = [sys.executable, "-m", "jaxgan"]
    sweep = [*jaxgan, "sweep", str(home / "ring.py"), "--seeds"]
    seconds(*sweep, "1", "--dir", str(home / "warm"))  # fills the compilation cache
    seconds(*jaxgan, "train", str(home / "ring.py"), "--dir", str(home / "warm_alone"))
    rows = [("one sweep", seconds(*sweep, str(a.members), "--dir", str(home / "one")), "whole")]
    if a.workers > 1:
        command = [*sweep, str(a.members), "--dir", str(home / "many"), "--workers", str(a.workers)]
        rows.append((f"one sweep, {a.workers} workers", seconds(*command), "whole"))
    count = min(a.timed, a.members)
    train = [*jaxgan, "train", str(home / "ring.py"), "--seed"]
    alone = sum(seconds(*train, str(i), "--dir", str(home / f"alone{i}")) for i in range(count))
    how = "whole" if count == a.members else f"{count} timed"
    rows.append((f"{a.members} x jaxgan train", alone * a.members / count, how))
    if importlib.util.find_spec("torch"):
        command = [sys.executable, "-c", TORCH, str(a.members), str(a.steps)]
        rows.append(("plain PyTorch, one process", seconds(*command), "whole, no files"))
    else:
        print("PyTorch is not installed: left out (pip install torch)")
    return rows


def curve(widths: list[int], steps: int) -> None:
    """Print how long `steps` steps of so many members take by each mode, and members a second."""
    import jax

    from jaxgan import checkpoint
    from jaxgan.experiment import experiment
    from jaxgan.sweep import shared

    with tempfile.TemporaryDirectory() as home:
        Path(home, "ring.py").write_text(EXPERIMENT.format(steps=steps), "utf-8")
        c, _ = experiment(Path(home, "ring.py"))
    k = shared.shared(c)
    starts = [checkpoint.to_host(k.start(dataclasses.replace(c, seed=seed))) for seed in range(16)]  # then again
    print(f"\n{steps} steps on {jax.devices()[0].device_kind}\n")
    print("| mode | members | seconds | members a second |\n|---|---|---|---|")
    for mode, n in [("map", 1), *(("vmap", n) for n in widths)]:
        states = shared.place([starts[i % len(starts)] for i in range(n)])
        program, spent = shared.advance(k, mode, n), []
        for _ in range(4):  # the first is not counted
            start = time.monotonic()
            states, _ = program(states, np.full(n, steps, np.int32))
            jax.block_until_ready(states)
            spent.append(time.monotonic() - start)
        middle = float(np.median(spent[1:]))
        print(f"| {mode} | {n} | {middle:.2f} | {n / middle:.1f} |", flush=True)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--members", type=int, default=64)
    p.add_argument("--steps", type=int, default=500)
    p.add_argument("--workers", type=int, default=2, help="also with so many workers; 1 leaves this out")
    p.add_argument("--timed", type=int, default=8, help="separate processes that are timed")
    p.add_argument("--curve", nargs="*", type=int, metavar="MEMBERS", help="time the bare program instead")
    a = p.parse_args()
    if a.curve is not None:
        return curve(a.curve or [1, 4, 16, 64, 256, 1024], a.steps)
    with tempfile.TemporaryDirectory() as home:
        rows = measure(a, Path(home))
    machine = f"{os.cpu_count()} cores of {processor()}, load {os.getloadavg()[0]:.1f}"
    print(f"\n{a.members} runs of {a.steps} steps on {machine}")
    print("\n| | seconds | a run | times one sweep | processor time, likewise | measured |\n|---|---|---|---|---|---|")
    for what, spent, how in rows:
        wall, busy = spent / rows[0][1]
        print(f"| {what} | {spent[0]:.0f} | {spent[0] / a.members:.2f} | {wall:.1f} | {busy:.1f} | {how} |")


if __name__ == "__main__":
    main()
