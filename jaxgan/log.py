"""Logs: metrics.jsonl as the truth, progress on the terminal, TensorBoard and wandb on request. Process 0 writes."""

import contextlib
import hashlib
import json
import math
import os
import platform
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import numpy as np

from jaxgan import __version__, disk, plots
from jaxgan.errors import JaxganError

SAMPLES = "samples"  # what pictures are called in TensorBoard and wandb


def read(path: Path) -> list[dict]:
    """The rows of a metrics.jsonl; a last line that a killed process left half-written is left out."""
    rows, lines = [], path.read_text("utf-8", errors="replace").splitlines() if path.exists() else []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if isinstance(row, dict) and isinstance(row.get("step"), int):
            rows.append(row)
        elif number < len(lines):
            raise JaxganError(f"{path}, line {number} is no row of metrics: {line[:60]!r}; remove that line")
    return rows


def rewind(path: Path, step: int) -> None:
    """Drop the rows after step, which a resumed run writes again."""
    _replace(path, [row for row in read(path) if row["step"] <= step])


def insert(path: Path, row: dict) -> None:
    """Put a row after those of its step, once."""
    rows = [old for old in read(path) if old != row]
    at = sum(old["step"] <= row["step"] for old in rows)
    _replace(path, [*rows[:at], row, *rows[at:]])


def _replace(path: Path, rows: list[dict]) -> None:
    with disk.replacing(path) as file:
        file.writelines(f"{json.dumps(row)}\n".encode() for row in rows)


@contextlib.contextmanager
def writer(dir: Path, names: tuple[str, ...], config: dict) -> Iterator[Callable]:
    """A context with write(row, picture): rows {"step": ..., name: value} go to metrics.jsonl and to each named writer.

    picture: [h, w, 3] uint8 of that step, for named writers alone; a row without more than its step is no line.
    """
    if jax.process_index() > 0:
        yield lambda row, picture=None: None
        return
    with contextlib.ExitStack() as stack:
        extra = [stack.enter_context(contextlib.closing(WRITERS[name](dir, config))) for name in names]
        file = stack.enter_context((dir / "metrics.jsonl").open("a", buffering=1, encoding="utf-8"))

        def write(row, picture=None):
            if len(row) > 1:
                file.write(json.dumps(row) + "\n")
            for one in extra:
                one.write(row, picture)

        yield write


def _numbers(row: dict) -> dict:
    return {name: value for name, value in row.items() if isinstance(value, int | float) and name != "step"}


class _TensorBoard:
    """Event files of metrics.jsonl and samples/: written anew at each start, so that no step appears twice."""

    def __init__(self, dir: Path, config: dict):
        from tensorboardX import SummaryWriter

        shutil.rmtree(dir / "tensorboard", ignore_errors=True)
        self.board = SummaryWriter(str(dir / "tensorboard"))
        rows = read(dir / "metrics.jsonl")
        for row in rows:
            self.write(row)
        for path in sorted((dir / "samples").glob("[0-9]*.png")):
            if rows and int(path.stem) <= rows[-1]["step"]:  # later ones will be drawn again
                self.write({"step": int(path.stem)}, np.asarray(plots.read(path).convert("RGB")))

    def write(self, row, picture=None):
        for name, value in _numbers(row).items():
            self.board.add_scalar(name, value, row["step"])
        if picture is not None:
            self.board.add_image(SAMPLES, picture, row["step"], dataformats="HWC")

    def close(self):
        self.board.close()


class _Wandb:
    """A run whose id is made from its folder, so that a resumed run goes on in the same one."""

    def __init__(self, dir: Path, config: dict):
        import wandb

        self.image = wandb.Image
        id = f"{dir.name}-{hashlib.sha256(str(dir.absolute()).encode()).hexdigest()[:8]}"
        self.run = wandb.init(project="jaxgan", name=dir.name, dir=str(dir), config=config, id=id, resume="allow")

    def write(self, row, picture=None):
        shown = {} if picture is None else {SAMPLES: self.image(picture)}
        self.run.log(_numbers(row) | shown, step=row["step"])

    def close(self):
        self.run.finish()


WRITERS: dict[str, Callable] = {"tensorboard": _TensorBoard, "wandb": _Wandb}
PACKAGES = {"tensorboard": "tensorboardX", "wandb": "wandb"}


def check_writers(names: tuple[str, ...]) -> None:
    """JaxganError with the command to run if the package of a writer is not installed, or knows no account."""
    from importlib import import_module

    for name in names:
        try:
            import_module(PACKAGES[name])
        except ImportError:
            raise JaxganError(f"--writers {name} needs {PACKAGES[name]}: pip install 'jaxgan[{name}]'") from None
        if name == "wandb" and os.environ.get("WANDB_MODE", "online") == "online":
            _check_login()


def _check_login() -> None:
    """JaxganError where wandb would ask for a key, or not get through, at the end of a long start."""
    import wandb

    try:
        try:
            there = wandb.login(prompt=False)
        except TypeError:  # before version 0.31, which would ask
            there = bool(wandb.api.api_key)
        reason = "" if there else "no key is known"
    except Exception as e:  # whatever it makes of a network
        reason = str(e).strip().splitlines()[0][:200] if str(e).strip() else type(e).__name__
    if reason:
        raise JaxganError(
            f"--writers wandb cannot write to an account ({reason}): run wandb login, or keep what it writes on this "
            "machine: WANDB_MODE=offline"
        )


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


def show(text: str) -> None:
    """Print a line at once, also into a pipe."""
    print(text, flush=True)


def _has_terminal() -> bool:
    """Whether a bar can be drawn: some terminals, of containers for one, have no size, and would show nothing."""
    try:
        return sys.stderr.isatty() and 0 not in os.get_terminal_size(sys.stderr.fileno())
    except (OSError, ValueError):  # isatty without a file behind it, as in a notebook
        return sys.stderr.isatty()


def _in_notebook() -> bool:
    """Whether this is the kernel of a notebook, whose cells show a bar that is drawn over."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return shell is not None and "IPKernelApp" in shell.config


def _bar(notebook: bool, **options):
    """tqdm's bar: of a notebook its widget where ipywidgets is installed, else a line of text."""
    if not notebook:
        from tqdm import tqdm

        return tqdm(**options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is not installed
        from tqdm.auto import tqdm as suited
    return suited(**options)


class Progress:
    """A bar with losses, images/s and remaining time on a terminal or in a notebook; elsewhere a line a log period.

    unit: what a step has `batch` of.
    """

    def __init__(self, done: int, total: int, batch: float, say: Callable, unit: str = "images"):
        self.total, self.batch, self.say, self.unit = total, batch, say, unit
        notebook = say is show and _in_notebook()
        self.drawn = notebook or (say is show and _has_terminal())
        self.begin: tuple[float, int] | None = None  # (time, step) at the end of the first dispatch
        self.speed, self.text = 0.0, ""  # images/s, without the first dispatch, which compiles
        self.bar = _bar(
            notebook,
            total=total,
            initial=done,
            unit="step",
            dynamic_ncols=True,
            disable=not self.drawn,
            bar_format="{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]",
        )

    def advance(self, step: int, metrics: dict, note: str = "") -> None:
        """Show that `step` is done; note stands before the losses."""
        if self.begin is None:
            self.begin = (time.monotonic(), step)
        else:
            self.speed = (step - self.begin[1]) * self.batch / max(time.monotonic() - self.begin[0], 1e-9)
        losses = " ".join(f"{n} {v:.3g}" for n, v in metrics.items() if n.endswith("_loss"))
        speed = f"{self.speed:,.0f} {self.unit}/s" if self.speed > 0 else ""
        self.text = ", ".join(filter(None, (note, losses, speed)))
        self.bar.set_postfix_str(self.text, refresh=False)
        self.bar.update(step - self.bar.n)

    def line(self, step: int) -> None:
        """One line of text, where there is nothing to draw a bar on."""
        if not self.drawn:
            left = (self.total - step) * self.batch / self.speed if self.speed > 0 else math.nan
            rest = f", {int(left) // 60}:{int(left) % 60:02d} left" if left == left else ""
            self.say(f"step {step}/{self.total} {self.text}{rest}")

    def close(self) -> None:
        """Leave the bar as it stands."""
        self.bar.close()
