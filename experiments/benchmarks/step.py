"""How long a train step takes, and how long it is until the first: three workloads, beside plain PyTorch programs.

    python experiments/benchmarks/step.py [--runs 3] [--torch DIR] [--only mlp2d dcgan28 ...] [--steps N]

Each program runs in a process of its own, one after the other, --runs times in turn, so that a busy moment of the
machine hits all of them; prints Markdown tables with the medians. `mlp2d`: MLPs 2-128-128-2 and 2-128-128-1 on the
ring, batch 256, also on one core. `dcgan28`: digits at 32 pixels, 64 channels, batch 64. `sngan32`: SNGAN's ResNets, G
256 and D 128 wide, batch 64, 5 updates of D and one of G a step. `first`: from the start of `jaxgan train` on dcgan28
until its first step is logged, with an empty compilation cache and with the one that this leaves. `products alone` adds
up the matrix products and convolutions of a step of jaxgan, each timed as a program of its own: what XLA takes at least
(not of mlp2d, where calling them costs more than they do).

DIR holds torch_steps.py, which takes WORKLOAD, --channels-last, --threads N and --steps N, and prints a line of JSON
with sec_per_step_median and cold_start_s, seconds until its first step is done. --only and a small --steps show sooner
that it works.
"""

import argparse
import contextlib
import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import jax.extend
import numpy as np
from sweep import processor

from jaxgan import data, games, parallel, program, step
from jaxgan.commands.start import start_jax
from jaxgan.experiment import experiment
from jaxgan.solvers import SOLVERS
from jaxgan.state import initial

EXPERIMENT = """
from jaxgan import Config, Hp
def config():
    return Config({}, sample_every=0, checkpoint_every=10**9, hp=Hp({}, ema_half_life=0.0))
"""
# fields of Config, of Hp; steps a call of the program, timed steps
WORKLOADS = {
    "mlp2d": ("data='ring8', net='mlp', width=128, depth=2, latent=2, batch=256", "g_lr=1e-3, d_lr=1e-3", 100, 2000),
    "dcgan28": ("data='mnist5k', size=32, net='dcgan', width=64, latent=64, batch=64", "g_lr=2e-4, d_lr=2e-4", 5, 30),
    "sngan32": (
        "data='stacked:mnist5k', size=32, net='sngan', width=64, latent=128, loss='hinge', batch=64, d_steps=5",
        "g_lr=2e-4, d_lr=2e-4, b1=0.0, b2=0.9",
        *(1, 3),
    ),
}
# glibc keeps memory of calls that are over, as one program of all of them would
KEEP = {"MALLOC_MMAP_THRESHOLD_": str(2**34), "MALLOC_TRIM_THRESHOLD_": str(2**34)}
IMAGES = {"mlp2d": 256, "dcgan28": 64, "sngan32": 5 * 64}  # real examples a step


def write(workload: str, home: Path) -> Path:
    """The experiment file of a workload in home."""
    file = home / f"{workload}.py"
    file.write_text(EXPERIMENT.format(*WORKLOADS[workload][:2]), "utf-8")
    return file


def opened(workload: str):
    """(game, source, config, devices) of a workload, as `jaxgan train` has them."""
    start_jax()
    with tempfile.TemporaryDirectory() as home:
        c, _ = experiment(write(workload, Path(home)))
    source = data.of_config(c)[0]
    devices = parallel.devices(c.parallel)
    return games.make(c, source.shape, source.classes, devices.axis), source, c, devices


def timed(call, *args):
    """(what call returns, seconds until all of it is there)."""
    start = time.monotonic()
    found = jax.block_until_ready(call(*args))
    return found, time.monotonic() - start


def one(workload: str, steps: int) -> None:
    """Prints as JSON the seconds a step of jaxgan's compiled program: the median of calls, the first not counted."""
    game, source, c, devices = opened(workload)
    compiled = program.build(game, source, c, devices)
    state, at = devices.replicate(initial(game, c, source.shape)), 0
    many, spent = min(WORKLOADS[workload][2], steps), []
    for _ in range(1 + steps // many):
        (state, _), seconds = timed(compiled.advance, state, at, many)
        spent.append(seconds / many)
        at += many
    print(json.dumps({"sec_per_step_median": statistics.median(spent[1:]), "version": jax.__version__}))


def inside(jaxpr, times: int = 1):
    """(equation, how often it runs) of all products and convolutions of a program."""
    for equation in jaxpr.eqns:
        if equation.primitive.name in ("dot_general", "conv_general_dilated"):
            yield equation, times
        for part in jax.extend.core.jaxprs_in_params(equation.params):
            yield from inside(part, times * equation.params.get("length", 1))


def products(workload: str, repeats: int = 10) -> None:
    """Prints as JSON the seconds of a step's products alone: of each the median of its calls, and all of them added."""
    game, source, c, _ = opened(workload)
    state, batches = program.abstract(c, source)[1:]
    step_of = functools.partial(step.train_step, game, solver=SOLVERS[c.solver].step)
    spent: dict[str, float] = {}
    total = 0.0
    for equation, times in inside(jax.make_jaxpr(step_of)(state, batches).jaxpr):
        shapes = [a.aval for a in equation.invars]
        name = f"{shapes} {equation.params}"
        if name not in spent:
            call = jax.jit(functools.partial(equation.primitive.bind, **equation.params))
            inputs = [np.random.default_rng(0).normal(size=a.shape).astype(a.dtype) for a in shapes]
            calls = [timed(call, *map(jax.device_put, inputs))[1] for _ in range(1 + repeats)]
            spent[name] = statistics.median(calls[1:])
        total += times * spent[name]
    print(json.dumps({"sec_per_step_median": total}))


@contextlib.contextmanager
def cores(count: int):
    """Processes that begin in this context have so many cores, all for 0."""
    mine = os.sched_getaffinity(0) if count else set()
    if count:
        os.sched_setaffinity(0, sorted(mine)[:count])
    yield
    if count:
        os.sched_setaffinity(0, mine)


def last_line(command: list[str]) -> dict:
    """What a program prints as JSON; it must succeed."""
    env = {**os.environ, **(KEEP if "--products" in command else {})}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=env)
    return json.loads(done.stdout.splitlines()[-1])


def first(home: Path, cache: Path) -> float:
    """Seconds from the start of `jaxgan train` on dcgan28 until its first step is logged, with this cache folder."""
    with tempfile.TemporaryDirectory() as run:
        what = [str(write("dcgan28", home)), "--dir", run, "--steps", "2", "--log-every", "1"]
        env = {**os.environ, "XDG_CACHE_HOME": str(cache), "PYTHONUNBUFFERED": "1"}
        env.pop("JAX_COMPILATION_CACHE_DIR", None)
        start = time.monotonic()
        with subprocess.Popen(
            [sys.executable, "-m", "jaxgan", "train", *what], env=env, stdout=subprocess.PIPE
        ) as going:
            assert going.stdout
            for line in going.stdout:
                if line.startswith(b"step 1"):
                    spent = time.monotonic() - start
        if going.returncode:
            raise SystemExit("jaxgan train failed; see above")
    return spent


def programs(workload: str, torch: str, steps: int) -> list[tuple[str, int, list[str]]]:
    """(name, cores, command) of what is compared on a workload."""
    many = str(steps or WORKLOADS[workload][3])
    ours = [sys.executable, __file__, "--one", workload, "--steps", many]
    theirs = [sys.executable, str(Path(torch, "torch_steps.py")), workload, "--steps", many]
    alone = workload == "mlp2d"
    found = [("jaxgan", 0, ours)] + [("jaxgan, one core", 1, ours)] * alone
    found += [("jaxgan, products alone", 0, [sys.executable, __file__, "--products", workload])] * (not alone)
    if torch:
        found += [("PyTorch, eager", 0, theirs)]
        found += [("PyTorch, eager, one core", 1, [*theirs, "--threads", "1"])] * alone
        found += [("PyTorch, channels last", 0, [*theirs, "--channels-last"])] * (not alone)
    return found


def compare(workloads: list[str], torch: str, runs: int, steps: int) -> dict[str, list[float]]:
    """Prints the table of steps; returns the seconds until PyTorch's first step of each workload."""
    cold: dict[str, list[float]] = {}
    if workloads:
        print("| workload | program | ms a step | from | to | images/s | times jaxgan |\n|---|---|---|---|---|---|---|")
    for workload in workloads:
        spent: dict[str, list[float]] = {}
        for _ in range(runs):
            for name, count, command in programs(workload, torch, steps):
                with cores(count):
                    row = last_line(command)
                spent.setdefault(name, []).append(row["sec_per_step_median"])
                if name == "PyTorch, eager":
                    cold.setdefault(workload, []).append(row["cold_start_s"])
        for name, times in spent.items():
            middle, low, high = (1e3 * f(times) for f in (statistics.median, min, max))
            ratio = middle / 1e3 / statistics.median(spent["jaxgan"])
            cells = f"{middle:.2f} | {low:.2f} | {high:.2f} | {IMAGES[workload] / middle * 1e3:,.0f} | {ratio:.2f}"
            print(f"| {workload} | {name} | {cells} |", flush=True)
    return cold


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [*WORKLOADS, "first"]
    p.add_argument("--runs", type=int, default=3)
    p.add_argument("--torch", default="", metavar="DIR", help="folder of torch_steps.py, which needs PyTorch")
    p.add_argument("--only", nargs="+", choices=names, default=names)
    p.add_argument("--steps", type=int, default=0, help="timed steps of each; 0 is the workload's own number")
    p.add_argument("--one", choices=list(WORKLOADS), help="time one workload of jaxgan here, and print JSON")
    p.add_argument("--products", choices=list(WORKLOADS), help="time one workload's products alone, and print JSON")
    a = p.parse_args()
    if a.products:
        return products(a.products)
    if a.one:
        return one(a.one, a.steps or WORKLOADS[a.one][3])
    print(f"{os.cpu_count()} cores of {processor()}, load {os.getloadavg()[0]:.1f}, medians of {a.runs} runs\n")
    cold = compare([name for name in a.only if name in WORKLOADS], a.torch, a.runs, a.steps)
    if "first" in a.only:
        rows: dict[str, list[float]] = {"jaxgan, empty cache": [], "jaxgan, warm cache": []}
        for _ in range(a.runs):
            with tempfile.TemporaryDirectory() as home:
                for row in rows.values():
                    row.append(first(Path(home), Path(home, "cache")))
        rows |= {"PyTorch, eager": cold["dcgan28"]} if "dcgan28" in cold else {}
        print("\n| first step of dcgan28 | seconds | from | to |\n|---|---|---|---|")
        for name, times in rows.items():
            print(f"| {name} | {statistics.median(times):.1f} | {min(times):.1f} | {max(times):.1f} |")
    print(f"\nload after {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
