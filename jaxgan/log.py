"""Logs: metrics.jsonl as the truth, progress on the terminal, TensorBoard and wandb on request. Process 0 writes."""

import json
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jax

from jaxgan import __version__
from jaxgan.errors import JaxganError


def read(path: Path) -> list[dict]:
    """The rows of a metrics.jsonl; a last line that a killed process left half-written is left out."""
    rows = []
    for number, line in enumerate(path.read_text().splitlines() if path.exists() else [], 1):
        try:
            rows.append(json.loads(line))
        except ValueError:
            if number < len(path.read_text().splitlines()):
                raise JaxganError(f"{path}, line {number} is not JSON: {line[:60]!r}; remove that line") from None
    return rows


def rewind(path: Path, step: int) -> None:
    """Drop the rows after step, which a resumed run writes again."""
    rows = [row for row in read(path) if row["step"] <= step]
    new = path.with_suffix(".tmp")
    new.write_text("".join(json.dumps(row) + "\n" for row in rows))
    os.replace(new, path)


def writer(dir: Path, names: tuple[str, ...], config: dict) -> tuple[Callable, Callable]:
    """(write(row), close()): rows {"step": ..., name: value} go to metrics.jsonl and to each named writer."""
    if jax.process_index() > 0:
        return lambda row: None, lambda: None
    file = (dir / "metrics.jsonl").open("a", buffering=1)
    extra = [WRITERS[name](dir, config) for name in names]

    def write(row):
        file.write(json.dumps(row) + "\n")
        for emit, _ in extra:
            emit({k: v for k, v in row.items() if isinstance(v, int | float)}, row["step"])

    def close():
        file.close()
        for _, end in extra:
            end()

    return write, close


def _tensorboard(dir: Path, config: dict):
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        raise JaxganError("--writers tensorboard needs tensorboardX: pip install 'jaxgan[tensorboard]'") from None
    board = SummaryWriter(str(dir / "tensorboard"))

    def emit(row, step):
        for name, value in row.items():
            if name != "step":
                board.add_scalar(name, value, step)

    return emit, board.close


def _wandb(dir: Path, config: dict):
    try:
        import wandb
    except ImportError:
        raise JaxganError("--writers wandb needs wandb: pip install 'jaxgan[wandb]'") from None
    run = wandb.init(project="jaxgan", name=dir.name, dir=str(dir), config=config, id=dir.name, resume="allow")
    return lambda row, step: run.log(row, step=step), run.finish


WRITERS = {"tensorboard": _tensorboard, "wandb": _wandb}


def environment() -> dict:
    """Versions, devices, flags and the state of the git checkout, for env.json."""
    from importlib.metadata import version

    packages = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": sys.argv,
        "python": platform.python_version(),
        "machine": f"{platform.machine()} {platform.system()}",
        "versions": {"jaxgan": __version__, **{name: version(name) for name in packages}},
        "devices": [d.device_kind for d in jax.devices()],
        "processes": jax.process_count(),
        "flags": {n: v for n, v in os.environ.items() if n.startswith(("XLA_", "JAX_", "LIBTPU_"))},
        "git": _git(),
    }


def _git() -> dict:
    def ask(*words):
        here = Path(__file__).parent
        return subprocess.run(["git", *words], capture_output=True, text=True, cwd=here, timeout=10).stdout.strip()

    try:
        return {"commit": ask("rev-parse", "HEAD"), "dirty": bool(ask("status", "--porcelain"))}
    except (OSError, subprocess.TimeoutExpired):
        return {}


class Progress:
    """A bar with losses, images/s and remaining time on a terminal; one line per log period elsewhere."""

    def __init__(self, done: int, total: int, batch: int, say: Callable):
        from tqdm import tqdm

        self.total, self.batch, self.say = total, batch, say
        self.tty = sys.stderr.isatty() and say is print
        self.begin = None  # (time, step) at the end of the first dispatch
        self.speed, self.text = 0.0, ""  # images/s, without the first dispatch, which compiles
        self.bar = tqdm(
            total=total,
            initial=done,
            unit="step",
            dynamic_ncols=True,
            disable=not self.tty,
            bar_format="{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]",
        )

    def advance(self, step: int, metrics: dict) -> None:
        """Show that `step` is done."""
        if self.begin is None:
            self.begin = (time.monotonic(), step)
        else:
            self.speed = (step - self.begin[1]) * self.batch / max(time.monotonic() - self.begin[0], 1e-9)
        losses = " ".join(f"{n} {v:.3g}" for n, v in metrics.items() if n.endswith("_loss"))
        self.text = f"{losses}, {self.speed:,.0f} images/s" if self.speed > 0 else losses
        self.bar.set_postfix_str(self.text, refresh=False)
        self.bar.update(step - self.bar.n)

    def line(self, step: int) -> None:
        """One line of text, where there is no terminal to draw a bar on."""
        if not self.tty:
            left = (self.total - step) * self.batch / self.speed if self.speed > 0 else math.nan
            rest = f", {int(left) // 60}:{int(left) % 60:02d} left" if left == left else ""
            self.say(f"step {step}/{self.total} {self.text}{rest}")

    def close(self) -> None:
        """Leave the bar as it stands."""
        self.bar.close()
