"""Commands of one run: train it, draw from it, replay it, diagnose it."""

import signal
import sys
from pathlib import Path
from typing import Annotated

import tyro

from jaxgan.commands.start import INTERRUPTED, check_out, moved, start_jax
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


def sample(
    run: Annotated[str, tyro.conf.Positional],
    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 64,
    seed: int = 0,
    out: Path = Path("samples.png"),
    labels: tuple[str, ...] = (),
    truncation: float = 0.0,
    psi: float = 1.0,
    standing: int = 0,
    interpolate: bool = False,
    traverse: int = -1,
    code: tuple[str, ...] = (),
    reconstruct: bool = False,
    translate: bool = False,
    back: bool = False,
    ema: bool = True,
    step: str = "",
) -> None:
    """Draw from a trained run into a picture (.png) or an array (.npz).

    Args:
        run: Run folder.
        n: How many; rounded up to whole rows with --interpolate, --traverse, --reconstruct and --translate.
        seed: Sample i depends on the seed and i alone.
        out: .png for a grid, .npz for the array "x" in [-1, 1] (and labels "y").
        labels: Classes, by name or number, to draw in turn (conditional runs; default all), or to turn examples into
            (stargan).
        truncation: Largest |z| per coordinate; smaller is less varied; 0 is off.
        psi: How far from the mean style samples are (stylegan2); below 1 less varied, 0 is the mean.
        standing: Batches of this seed whose means are the statistics of G's batch norm; 0 takes those of training.
        interpolate: Walk from one latent to another along each row.
        traverse: Change only the code of this number along each row, over all of its values (infogan).
        code: NUMBER=VALUE of codes to hold, such as --code 0=3 1=-0.5 (infogan).
        reconstruct: Real examples, held-out ones if there are, and in the row below each what the encoder and G make
            of it.
        translate: Real images of set A, held-out ones if there are, and in the row below each its translation (pix2pix,
            cyclegan, bicyclegan); of any class, and below each a row for every class it is turned into (stargan).
        back: With --translate, from set B to A (cyclegan).
        ema: Averaged generator weights; --no-ema takes the last ones.
        step: Of a checkpoint, or best; empty is the newest.
    """
    check_out(out)
    start_jax()
    from jaxgan import draw
    from jaxgan.run import load

    trained = load(run, step)
    _check_one_way((interpolate, traverse >= 0, reconstruct, translate), back, psi)
    trained = trained.standing(standing, seed, truncation, ema) if standing else trained
    if translate:
        (x, columns), y = draw.translated(trained, n, seed, labels, back, ema), None
    elif reconstruct:
        x, y, columns = draw.reconstructed(trained, -(-n // 8), seed, ema)
    else:
        held = draw.codes(code)
        x, y, columns = draw.drawn(trained, n, seed, labels, truncation, interpolate, traverse, held, ema, psi)
    draw.save(out, x, y, columns, trained.env.get("names", ()))
    print(f"{len(x)} samples of step {int(trained.state.step)} in {out}")


def _check_one_way(ways: tuple[bool, bool, bool, bool], back: bool, psi: float) -> None:
    """JaxganError for flags of sample that do not go together; ways: walk, traverse, reconstruct, translate."""
    if sum(ways) > 1:
        raise JaxganError("choose one of --interpolate, --traverse, --reconstruct and --translate")
    if back and not ways[-1]:
        raise JaxganError("--back goes with --translate")
    if psi != 1 and any(ways):
        raise JaxganError("--psi goes with plain samples, not with walks, reconstructions or translations")


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
