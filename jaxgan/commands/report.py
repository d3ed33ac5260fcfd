"""`jaxgan report`: one page of runs."""

from pathlib import Path
from typing import Annotated

import tyro

from jaxgan.errors import JaxganError


def report(runs: Annotated[tuple[str, ...], tyro.conf.Positional], out: Path = Path()) -> None:
    """Write report.html, one page that needs no network, of a run or of several side by side.

    Curves, pictures over time, evaluations of jaxgan eval with their errors, settings that differ, environments and
    commands. Of a sweep: jaxgan sweep report DIR.

    Args:
        runs: Run folders.
        out: The page, .html; by default report.html in the folder of a single run, or here.
    """
    if not runs:
        raise JaxganError("which runs? jaxgan report RUN [RUN ...]")
    from jaxgan.report import report

    print(report(runs, out if out != Path() else None))
