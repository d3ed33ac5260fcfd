"""Commands of one run: train it, replay it, diagnose it."""

import signal
import sys
from pathlib import Path
from typing import Annotated

import tyro

from jaxgan.commands.start import INTERRUPTED, moved, start_jax
from jaxgan.config import Config
from jaxgan.errors import JaxganError


def train(
    config: Annotated[Config, tyro.conf.arg(name="")],
    dir: Path,
    coordinator: str = "",
    processes: int = 0,
    process: int = -1,
    override: tuple[str, ...] = (),
) -> None:
    """Train an experiment, or resume it: the same command goes on from the newest checkpoint.

    Args:
        config: The run.
        dir: Run folder: config, metrics, sample pictures, checkpoints.
        coordinator: HOST:PORT of process 0, for a run of several processes that no launcher describes.
        processes: How many processes take part (with --coordinator).
        process: Which of them this is, from 0 (with --coordinator).
        override: NAME=VALUE of numbers to change from here on in a run that is resumed, such as hp.g_lr=1e-5.
    """
    from jaxgan.signals import Stop

    with Stop() as stop:
        start_jax(coordinator, processes, process)
        from jaxgan.override import parse
        from jaxgan.train import run

        trained = run(config, dir, stop=stop, new=parse(override))
    if stop.signal == signal.SIGINT and int(trained.state.step) < config.steps:
        sys.exit(INTERRUPTED)  # a scheduler's signal, after which everything is saved, is no failure


def verify(run: Annotated[str, tyro.conf.Positional], steps: int = 0, step: str = "", data: str = "") -> None:
    """Replay a run from its seed and compare it with its recorded digests, bit for bit.

    Args:
        run: Run folder.
        steps: Replay no further than this step; 0 is all of it.
        step: The same by a checkpoint: its number, or best.
        data: The same data under another name, such as folder:PATH after a move; empty is the run's own.
    """
    start_jax()
    from jaxgan.run import load
    from jaxgan.sweep import replay
    from jaxgan.verify import verify

    if data and replay.is_member(run):
        raise JaxganError(f"{run} belongs to a sweep, whose members share their data; bring these back, without --data")

    if step:
        steps = int(load(run, step).state.step)
    if replay.is_member(run):
        replay.verify(run, steps=steps)
    else:
        verify(run, moved(run, data), steps=steps)


def diagnose(run: Annotated[str, tyro.conf.Positional], held_out: str = "", data: str = "") -> None:
    """Measure where a run's game is going, say what it means, and draw it into RUN/diagnosis.png.

    Eigenvalues of the game's Jacobian, rotation, what each player gains by a best response, D on held-out data, path
    angle, spectral norms, diversity of samples. During training: jaxgan train ... --diagnose-every 500.

    Args:
        run: Run folder.
        held_out: Data that training did not see, such as tfds:fashion_mnist:test; empty is what the run held out
            (--holdout), or the test split of a prepared data set or a folder.
        data: The same data under another name, such as folder:PATH after a move; empty is the run's own.
    """
    start_jax()
    from jaxgan.diagnose import diagnose

    diagnose(run, moved(run, data), held_out)
