"""What the command line may say of a search and of the machines that a sweep runs on. No jax here."""

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class Look:
    """How settings are searched for, in place of a grid."""

    search: Literal["none", "tpe", "random"] = "none"
    """Propose settings from how those before did (tpe), or at random. Needs jaxgan[sweep]."""
    trials: int = 100
    """Settings to try in all, by all processes that run this command."""
    ranges: tuple[str, ...] = ()
    """NAME=log:LOW..HIGH, NAME=LOW..HIGH or NAME=VALUE,VALUE,... each; in place of the experiment's search()."""
    prune: bool = False
    """Of each batch of trials, let the better half go on at 1/8, 1/4 and 1/2 of the steps."""
    ask: int = 0
    """Trials to propose at a time; 0 is 16 with --prune or on an accelerator, else one a device."""
    search_seed: int = 0
    """One process with a seed proposes the same trials every time."""


@dataclasses.dataclass(frozen=True)
class Engine:
    """Where members are trained."""

    engine: Literal["local", "ray", "slurm"] = "local"
    """This machine, a Ray cluster (jaxgan[ray]) or Slurm jobs (jaxgan[slurm]); DIR must be on a shared file system."""
    tasks: int = 0
    """Tasks to cut the sweep into; 0 is as many as the Ray cluster has room for, or 8 Slurm jobs."""
    cpus: int = 1
    """CPU cores of one task."""
    gpus: float = 0
    """GPUs of one task."""
    minutes: int = 60
    """Time limit of one Slurm job."""
    address: str = ""
    """Ray cluster, "auto" on one of its nodes; empty starts one here for this command."""
    slurm: tuple[str, ...] = ()
    """Further options of sbatch, such as partition=gpu account=x."""


def gathered(args: list[str], flag: str) -> list[str]:
    """args with all values of a flag that was given several times behind one."""
    rest, values, mine = [], [], False
    for word in args:
        name, equals, value = word.partition("=")
        mine = name == flag or (mine and not word.startswith("-"))
        if not mine:
            rest.append(word)
        elif name != flag:
            values.append(word)
        elif equals:
            values.append(value)
    return [*rest, flag, *values] if flag in " ".join(args) else args
