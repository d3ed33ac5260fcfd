"""How long metrics of features take, and the memory of each.

python experiments/benchmarks/metrics.py [--repeats 5] [--rows 10000] [--features 2048]      about 5 minutes (2 cores)

Each metric runs in a process of its own, on two sets of normal float32 features; prints a Markdown table with the
median time of calls after a first, and how far the process's memory rose above that of the sets. CPU seconds count all
cores: on a busy machine those of OPENBLAS_NUM_THREADS=1, which keeps matrix products to one core, say more than times.
"""

import argparse
import os
import platform
import resource
import statistics
import subprocess
import sys
import time

import numpy as np

from jaxgan.metrics import METRICS

NAMES = ("fid", "kid", "precision-recall", "prdc", "cmmd", "mind", "authpct", "vendi")


def peak() -> float:
    """The largest memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 1024**2)


def measure(name: str, rows: int, features: int, repeats: int) -> str:
    """A row of the table."""
    draw = np.random.default_rng(0)
    real, fake = (draw.standard_normal((rows, features), np.float32) for _ in range(2))
    before, times, cpu = peak(), [], []
    for _ in range(1 + repeats):
        start, used = time.perf_counter(), time.process_time()
        METRICS[name](real, fake)
        times.append(time.perf_counter() - start)
        cpu.append(time.process_time() - used)
    times, cpu = times[1:], cpu[1:]
    return f"| {name} | {statistics.median(times):.2f} | {statistics.median(cpu):.2f} | {peak() - before:.0f} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--rows", type=int, default=10000)
    parser.add_argument("--features", type=int, default=2048)
    parser.add_argument("--only", choices=NAMES, help="measure one metric here, and print its row")
    args = parser.parse_args()
    if args.only:
        print(measure(args.only, args.rows, args.features, args.repeats))
        return
    load = os.getloadavg()[0]
    print(f"two sets of {args.rows:,} x {args.features:,} float32, medians of {args.repeats} calls")
    print(f"{platform.machine()}, {os.cpu_count()} cores, load before {load:.1f}; numpy {np.__version__}\n")
    print("| metric | seconds | CPU seconds | MB above the sets |\n|---|---|---|---|", flush=True)
    for name in NAMES:
        subprocess.run([sys.executable, __file__, *sys.argv[1:], "--only", name], check=True)


if __name__ == "__main__":
    main()
