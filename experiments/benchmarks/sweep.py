"""What a sweep saves: 64 runs on the ring as one sweep, as 64 processes, and as a plain PyTorch program.

    python experiments/benchmarks/sweep.py [--members 64] [--steps 500] [--all] [--workers 2]

Each run makes 500 steps of an MLP (2-128-128-2 against 2-128-128-1, batch 256, Adam). The sweep and the processes leave
whole run folders: logs, digest, checkpoint, picture. PyTorch (eager, no files) trains one run after the other in one
process, and its start is counted. 8 of the separate processes are timed and scaled up, or --all of them. The
compilation cache is warm for both. Processor time tells more than seconds where a machine is busy. About 6 minutes on
2 CPU cores. PyTorch is left out where it is not installed.
"""

import argparse
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
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def measure(a, home: Path) -> list[tuple[str, np.ndarray, str]]:
    """(what, wall and processor seconds of all members, how they were measured)."""
    (home / "ring.py").write_text(EXPERIMENT.format(steps=a.steps))
    jaxgan = [sys.executable, "-m", "jaxgan"]
    sweep = [*jaxgan, "sweep", str(home / "ring.py"), "--seeds"]
    seconds(*sweep, "1", "--dir", str(home / "warm"))  # fills the compilation cache
    seconds(*jaxgan, "train", str(home / "ring.py"), "--dir", str(home / "warm_alone"))
    rows = [("one sweep", seconds(*sweep, str(a.members), "--dir", str(home / "one")), "whole")]
    if a.workers > 1:
        command = [*sweep, str(a.members), "--dir", str(home / "many"), "--workers", str(a.workers)]
        rows.append((f"one sweep, {a.workers} workers", seconds(*command), "whole"))
    count = a.members if a.all else min(8, a.members)
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


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--members", type=int, default=64)
    p.add_argument("--steps", type=int, default=500)
    p.add_argument("--workers", type=int, default=2, help="also with so many workers; 1 leaves this out")
    p.add_argument("--all", action="store_true", help="time every separate process")
    a = p.parse_args()
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
