"""Commands of sweeps: begin one, go on with it, report it."""

import signal
import sys
from pathlib import Path
from typing import Annotated, Literal

import tyro

from jaxgan.commands.start import INTERRUPTED, start_jax
from jaxgan.config import Config
from jaxgan.errors import JaxganError
from jaxgan.experiment import call
from jaxgan.sweep.options import Engine, Look


def sweep(
    config: Annotated[Config, tyro.conf.arg(name="")],
    look: Annotated[Look, tyro.conf.arg(name="")],
    where: Annotated[Engine, tyro.conf.arg(name="")],
    dir: Path,
    grid: tuple[str, ...] = (),
    seeds: int = 0,
    mode: Literal["auto", "map", "vmap"] = "auto",
    at_once: int = 0,
    workers: int = 1,
    objective: str = "",
    experiment: Path = Path(),
) -> None:
    """Train many runs as few compiled programs, or go on: the same command trains what is left.

    Args:
        config: What all members have in common.
        dir: Sweep folder; runs/ID in it is a run folder as train makes it.
        grid: NAME=VALUE,VALUE,... for each field, all combinations; in place of the experiment's sweep().
        seeds: Train each setting with seeds 0 to N-1.
        mode: map trains members one after the other, with the bits of train; vmap all at once; auto is map on a CPU.
        at_once: Members at a time; 0 is as many as memory holds (vmap), or one on each device (map).
        workers: Processes; GPUs are shared out among them. On TPUs leave 1.
        objective: What to rank settings by, such as "max high_quality" or "min fid"; empty takes the natural one.
        experiment: The experiment's file.
    """
    from jaxgan.sweep import engines, search, space, store

    original = call(experiment, "config")
    if look.search != "none":
        if grid or workers != 1 or where.engine != "local":
            raise JaxganError("--search goes with --ranges, and with this command once more for each further worker")
        found = search.parse_space(look.ranges) if look.ranges else call(experiment, "search") or {}
        more = objective, seeds, mode, at_once, original
        return _sweeping(lambda stop: search.run(dir, experiment, config, found, look, *more, stop))
    chosen = space.parse_grid(grid) if grid else call(experiment, "sweep")
    if seeds:
        chosen = space.product(space.without(chosen or [{}], "seed"), space.seeds(seeds))
    if chosen is None:
        raise JaxganError(
            f"{experiment} has no function sweep(), so say what to vary: --grid hp.g_lr=1e-4,1e-3 loss=ns,hinge, or "
            "--seeds 5"
        )
    begin = lambda: store.add(dir, str(experiment), config, chosen)  # noqa: E731
    _sweeping(lambda stop: engines.sweep(dir, where, mode, at_once, workers, objective, begin, original, stop))


def sweep_on(
    dir: Annotated[Path, tyro.conf.Positional],
    where: Annotated[Engine, tyro.conf.arg(name="")],
    mode: Literal["auto", "map", "vmap"] = "auto",
    at_once: int = 0,
    workers: int = 1,
    objective: str = "",
) -> None:
    """Go on with a sweep from its folder alone; on several machines that share it, each takes what no other has.

    Args:
        dir: Sweep folder.
        mode: Of members that have not begun: map, vmap, or auto, which is map on a CPU.
        at_once: Of members that have not begun: how many train at a time.
        workers: Processes; GPUs are shared out among them. On TPUs leave 1.
        objective: What to rank settings by, such as "max high_quality" or "min fid".
    """
    from jaxgan.sweep import engines

    _sweeping(lambda stop: engines.sweep(dir, where, mode, at_once, workers, objective, stop=stop))


def _sweeping(work) -> None:
    """Print what work(stop) returns."""
    from jaxgan.signals import Stop

    with Stop() as stop:
        start_jax(join=False)
        print(work(stop))
    if stop.signal == signal.SIGINT:
        sys.exit(INTERRUPTED)


def sweep_report(dir: Annotated[Path, tyro.conf.Positional], objective: str = "") -> None:
    """Write report.html, one page that needs no network, and report.md, a table for papers, into a sweep folder."""
    from jaxgan.sweep.report import report

    print("\n".join(map(str, report(dir, objective))))
