"""Sweeps over machines: pieces of groups as tasks of a Ray cluster or jobs of Slurm, in a sweep folder that all share.

A task is a process that trains its members by group.train, so what it makes is what one machine would make. A task that
fails is named with its log, the others go on, and the same command trains what is left.
"""

import contextlib
import os
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from jaxgan import log
from jaxgan.config import Config
from jaxgan.errors import JaxganError
from jaxgan.signals import Stop
from jaxgan.sweep import group, local, space, table
from jaxgan.sweep.options import Engine

POLL = 1.0  # seconds between two looks at the tasks
CLUSTER = "slurm"  # what submitit starts jobs by; "local" is processes of this machine
JOBS = 8  # of Slurm, where nothing is said


class Task(NamedTuple):
    """Members that one process trains; its log is logs/NAME.log in the sweep folder."""

    name: str
    ids: list[str]


def run(dir, options: Engine, mode="auto", width=0, workers=1, say=log.show, stop: Stop | None = None) -> None:
    """Train all members of the sweep in dir where options say; otherwise as group.train.

    local: by `workers` processes. ray, slurm: by tasks; dir must be on a file system that all machines share.
    JaxganError names the tasks that failed after the others have ended. SIGTERM and Ctrl-C stop the tasks, which save.
    """
    if options.engine == "local":
        local.run(dir, mode, width, workers, say, stop)
        return
    if workers != 1:
        raise JaxganError(f"--workers is for --engine local; with {options.engine} give --tasks {workers}")
    dir = Path(dir).expanduser().absolute()
    wanted = group.unfinished(dir)
    if not wanted:
        return
    failed = {}
    # the engine first: Ray takes over signals while it starts
    started = ENGINES[options.engine](dir, options)
    with started as crew, stop or Stop() as stop, local.watched(dir, wanted, say) as update:
        tasks = cut(wanted, options.tasks or crew.slots)
        say(f"{len(wanted)} members in {len(tasks)} tasks by {options.engine}; their logs: {dir / 'logs'}")
        orders = {task.name: order(dir, task, mode, width) for task in tasks}
        handles = crew.start(orders)
        stop.training = True
        cancelled = False
        while handles:
            if stop.signal is not None and not cancelled:  # once: a second time would interrupt them while they save
                crew.cancel(handles)
                cancelled = True
            for name in [name for name, handle in handles.items() if crew.ended(handle)]:
                error = crew.error(handles.pop(name))
                if error and stop.signal is None:
                    failed[name] = error
                    say(f"{name} failed: {error}; log: {orders[name]['log']}")
            update()
            time.sleep(POLL if handles else 0)
    if failed:
        name = next(iter(failed))
        raise JaxganError(
            f"{len(failed)} of {len(tasks)} tasks failed ({', '.join(failed)}). {name}: {failed[name]}\nIts log: "
            f"{dir / 'logs' / name}.log. The same command trains what is left"
        )


def sweep(dir, options: Engine, mode, width, workers, objective, begin=lambda: None, original=None, stop=None) -> str:
    """The command: begin(), which makes or extends the sweep in dir, then train -> its table, and what to do next."""
    table.objectives(objective, [])  # complains before anything is made
    check(options)
    begin()
    run(dir, options, mode, width, workers, stop=stop)
    return f"{table.summary(dir, objective, original)}\nreport: jaxgan sweep report {dir}"


def check(options: Engine) -> None:
    """JaxganError for options that no engine takes."""
    for name, least in (("tasks", 0), ("cpus", 1), ("gpus", 0), ("minutes", 1)):
        value = getattr(options, name)
        if value < least:
            raise JaxganError(f"--{name} is {value}; expected at least {least}")
    for word in options.slurm:
        if not all(word.partition("=")):
            raise JaxganError(f"--slurm {word}: expected NAME=VALUE as sbatch names it, such as partition=gpu")


def cut(configs: dict[str, Config], count: int) -> list[Task]:
    """Tasks, about `count` in all; the members of a task share one compiled program."""
    groups = [ids for _, ids in space.groups(configs)]
    size = -(-len(configs) // max(1, count))
    return [
        Task(f"group-{g}.{i // size}", ids[i : i + size])
        for g, ids in enumerate(groups)
        for i in range(0, len(ids), size)
    ]


def order(dir: Path, task: Task, mode: str, width: int) -> dict:
    """What a task's process is told, as plain values."""
    import jax

    cache = {name: getattr(jax.config, name) for name in local.CACHE}
    log = str(dir / "logs" / f"{task.name}.log")
    return {"dir": str(dir), "ids": task.ids, "mode": mode, "width": width, "config": cache, "log": log}


def work(order: dict) -> str:
    """What a task's process does -> "" or what went wrong; its progress, and any traceback, is in its log."""
    Path(order["log"]).parent.mkdir(exist_ok=True)
    with open(order["log"], "a", buffering=1, encoding="utf-8") as file:

        def say(text):
            file.write(f"{text}\n")

        try:
            import jax

            for name, value in order["config"].items():
                jax.config.update(name, value)
            group.train(order["dir"], order["ids"], None, order["mode"], order["width"], say)
        except JaxganError as e:
            say(f"jaxgan: {e}")
            return str(e)
        except Exception as e:
            say(traceback.format_exc())
            return f"{type(e).__name__}: {e}"
    return ""


class Crew(NamedTuple):
    """What starts tasks, and looks after them.

    slots: tasks that run at once. start: {name: order} -> {name: handle}. ended: handle -> bool.
    error: handle of an ended task -> what went wrong, or "". cancel: {name: handle} -> None, so that they save.
    """

    slots: int
    start: Callable
    ended: Callable
    error: Callable
    cancel: Callable


def _import(name: str, extra: str):
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError:
        raise JaxganError(f"--engine {extra} needs {name}: pip install 'jaxgan[{extra}]'") from None


@contextlib.contextmanager
def _ray(dir: Path, o: Engine) -> Iterator[Crew]:
    """Tasks of a Ray cluster; where none is named, of one that lives as long as this command."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # a task without GPUs keeps what it sees
    ray = _import("ray", "ray")
    here = {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}  # nobody else needs to reach it
    try:
        quiet = {"logging_level": "error", "log_to_driver": False}
        with ray.init(address=o.address or "local", **quiet, **({} if o.address else here)):
            remote, need = ray.remote(work), {"num_cpus": o.cpus, "num_gpus": o.gpus, "max_retries": 0}
            found = ray.cluster_resources()
            slots = found.get("CPU", 0) // o.cpus
            if o.gpus:
                slots = min(slots, found.get("GPU", 0) // o.gpus)
            if slots < 1:
                raise JaxganError(
                    f"a task asks for {o.cpus} CPUs and {o.gpus} GPUs, and the Ray cluster has {found.get('CPU', 0):g} "
                    f"and {found.get('GPU', 0):g}; ask for less, or add nodes: ray start --address=HEAD:6379"
                )

            def error(handle):
                try:
                    return ray.get(handle)
                except Exception as e:  # the process died, or was cancelled
                    return f"{type(e).__name__}: {str(e).strip().splitlines()[0]}"

            def cancel(handles):
                for handle in handles.values():
                    ray.cancel(handle)

            yield Crew(
                int(slots),
                lambda orders: {n: remote.options(**need, name=n).remote(one) for n, one in orders.items()},
                lambda handle: bool(ray.wait([handle], timeout=0)[0]),
                error,
                cancel,
            )
    except ConnectionError:
        raise JaxganError(
            f"there is no Ray cluster at {o.address!r}; start one: ray start --head --port=6379"
        ) from None


@contextlib.contextmanager
def _slurm(dir: Path, o: Engine) -> Iterator[Crew]:
    """Jobs of Slurm, one array, by submitit."""
    submitit = _import("submitit", "slurm")
    try:
        executor = submitit.AutoExecutor(folder=str(dir / "logs" / "jobs"), cluster=CLUSTER)
    except RuntimeError as e:
        raise JaxganError(f"there is no Slurm here ({e}); run this where sbatch is") from None
    special = {f"slurm_{name}": value for name, _, value in (word.partition("=") for word in o.slurm)}
    executor.update_parameters(
        name="jaxgan", timeout_min=o.minutes, cpus_per_task=o.cpus, gpus_per_node=int(o.gpus), **special
    )

    def error(job):
        try:
            return job.result()
        except Exception as e:  # the process died, ran out of time, or was cancelled
            return f"job {job.job_id}: {str(e).strip().splitlines()[0]} (see {job.paths.stderr})"

    def cancel(jobs):
        for job in jobs.values():
            job.cancel(check=False)

    yield Crew(
        JOBS,
        lambda orders: dict(zip(orders, executor.map_array(work, orders.values()))),
        lambda job: job.done(),
        error,
        cancel,
    )


ENGINES = {"ray": _ray, "slurm": _slurm}
