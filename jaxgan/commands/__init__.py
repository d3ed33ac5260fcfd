"""What each command does. Its arguments are its flags, its docstring their help; imports come late."""

from collections.abc import Callable

from jaxgan.commands.data import prepare, stats
from jaxgan.commands.evaluate import evaluate
from jaxgan.commands.export import export
from jaxgan.commands.plan import plan
from jaxgan.commands.project import project
from jaxgan.commands.report import report
from jaxgan.commands.runs import diagnose, train, verify
from jaxgan.commands.sample import sample
from jaxgan.commands.start import INTERRUPTED
from jaxgan.commands.sweeps import sweep, sweep_on, sweep_report

__all__ = ["COMMANDS", "INTERRUPTED", "SECOND", "sweep_on"]

COMMANDS: dict[str, Callable] = {"train": train, "sweep": sweep, "sample": sample, "verify": verify}
COMMANDS |= {"eval": evaluate, "diagnose": diagnose, "project": project, "export": export}
COMMANDS |= {"report": report, "plan": plan, "data": prepare}
# those of two words
SECOND: dict[tuple[str, str], Callable] = {("sweep", "report"): sweep_report, ("data", "stats"): stats}
