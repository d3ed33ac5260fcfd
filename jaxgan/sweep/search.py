"""Search by Optuna: trials that learn from those before, each a setting whose members are run folders like any other.

The study lies in DIR/study.log, an Optuna journal: any number of processes may work on it, on one machine or on several
that share the folder, and Optuna's own tools open it. A trial belongs to the worker that asked for it. A worker holds a
file lock while it lives, which the operating system releases whatever ends it; only then do others take its trials
over, and go on from their checkpoints.
"""

import contextlib
import json
import math
import os
import re
import socket
import time
import uuid
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from jaxgan import log
from jaxgan.config import Config
from jaxgan.errors import JaxganError, nearest
from jaxgan.metrics.names import find
from jaxgan.signals import Stop
from jaxgan.sweep import group, space, store, table
from jaxgan.sweep.options import Look
from jaxgan.sweep.space import Distribution, choice, log_uniform, uniform

SAMPLERS = ("tpe", "random")
RUNGS = 3  # halvings of a batch with prune: looks at 1/8, 1/4 and 1/2 of the steps
BATCH = 16  # trials asked for at a time with prune, or where members train all at once


class Search(NamedTuple):
    """What a worker knows: the sweep folder and its members' base, the study, its own name, and how to train."""

    dir: Path
    experiment: str
    base: Config
    study: Any  # optuna.Study, which is imported late
    distributions: dict
    goal: dict  # {"direction", "metric"}
    worker: str
    sampler: str
    seed: int
    seeds: int
    prune: bool
    train: dict  # mode, width, say, stop and found of group.train


_NUMBER = r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"


def parse_space(words) -> dict[str, Distribution]:
    """The distributions of ["hp.g_lr=log:1e-5..1e-2", "hp.b1=0..0.9", "loss=ns,hinge"]."""
    found = {}
    for word in words:
        name, _, text = word.partition("=")
        span = re.fullmatch(rf"(log:)?{_NUMBER}\.\.{_NUMBER}", text)
        if not name or not all(text.split(",")) or (text.startswith("log:") and not span):
            raise JaxganError(
                f"--ranges {word}: expected NAME=log:LOW..HIGH, NAME=LOW..HIGH or NAME=VALUE,VALUE,... such as "
                "hp.g_lr=log:1e-5..1e-2 or loss=ns,hinge"
            )
        if space.field(name) in found:
            raise JaxganError(f"--ranges names {space.field(name)} twice; put all its values into one list")
        if span:
            found[space.field(name)] = (log_uniform if span[1] else uniform)(float(span[2]), float(span[3]))
        else:
            found[space.field(name)] = choice(*(v for setting in space.parse_grid([word]) for v in setting.values()))
    return found


def search(
    dir,
    experiment: str,
    base: Config,
    distributions: dict[str, Distribution],
    objective: str = "max high_quality",
    trials: int = 100,
    sampler: str = "tpe",
    seeds: int = 1,
    prune: bool = False,
    batch: int = 0,
    seed: int = 0,
    mode: str = "auto",
    width: int = 0,
    say=log.show,
    stop: Stop | None = None,
) -> dict | None:
    """Search until the study in dir has so many trials -> {"number", "value", "values"} of the best, None without any.

    A trial is a setting from distributions {field: choice(...), uniform(...), log_uniform(...)}; its value is the mean
    over `seeds` members of the metric's last value. prune: of each batch the better half goes on at 1/8, 1/4 and 1/2 of
    the steps (successive halving, Jamieson and Talwalkar 2016, arXiv 1502.07943). batch: trials asked for at a time, 0
    is 16 with prune or on an accelerator, else one a device. sampler: "tpe" (Bergstra et al. 2011; Watanabe 2023, arXiv
    2304.11127) or "random". One worker with a seed makes the same trials every time, also when it was stopped between.
    Several processes may call this at once. JaxganError for what the user can mend.
    """
    _check(distributions, trials, sampler, seeds, batch)
    dir, goal = Path(dir).expanduser(), _goal(objective)
    _check_values(base, distributions)
    distributions = {space.field(name): d for name, d in distributions.items()}
    store.inspect(dir)
    with stop or Stop() as stop, _worker(dir) as worker:
        train = {"mode": mode, "width": width, "say": say, "stop": stop, "found": set()}
        fixed = json.loads(json.dumps({field: [d.kind, *d.args] for field, d in distributions.items()}))
        study = _study(dir, goal, fixed | {"steps": base.steps, "seeds": seeds})  # what makes trials comparable
        if (dir / "sweep.json").exists():  # says what differs before a trial is asked for
            values, _ = next(iter(store.members(dir).values()))
            store.add(dir, experiment, base, [values])
        s = Search(dir, str(experiment), base, study, distributions, goal, worker, sampler, seed, seeds, prune, train)
        size, begin, done = batch or _batch(prune), time.monotonic(), 0
        while stop.signal is None and (mine := _take(s, trials, size)):
            _run(s, mine)
            done += len(mine)
            if stop.signal is None:
                _tell_progress(s, trials, (time.monotonic() - begin) / done)
        if stop.signal is not None:
            say("stopped and saved; the same command goes on from there")
        return best(s.study)


def run(dir, experiment, base: Config, distributions, look: Look, objective, seeds, mode, width, original, stop) -> str:
    """The command: search -> the best trial, how to train it alone, and what to do next."""
    objective = objective or "max high_quality"
    given: dict[str, Any] = {"batch": look.ask, "seed": look.search_seed}
    given |= {"sampler": look.search, "seeds": seeds or 1, "prune": look.prune, "mode": mode, "width": width}
    found = search(dir, experiment, base, distributions, objective, look.trials, stop=stop, **given)
    report = f"report: jaxgan sweep report {dir}"
    if found is None:
        return f"no trial was finished\n{report}"
    best = f"best: trial {found['number']}, {objective.split()[1]} {found['value']:.4g}"
    return f"{best}: {table.command(dir, found['values'], original)}\n{report}"


def _goal(objective: str) -> dict[str, str]:
    aims = table.objectives(objective, [])
    if len(aims) != 1:
        raise JaxganError(f"--search wants one objective, such as 'max high_quality'; got {objective!r}")
    return {"direction": aims[0][0], "metric": aims[0][1]}


def best(study) -> dict | None:
    """{"number", "value", "values"} of the best finished trial."""
    finished = [t for t in study.get_trials(deepcopy=False) if t.state.name == "COMPLETE"]
    if not finished:
        return None
    sign = 1 if study.direction.name == "MAXIMIZE" else -1
    first = max(finished, key=lambda t: (sign * t.value, -t.number))
    return {"number": first.number, "value": first.value, "values": first.params}


def _check(distributions, trials: int, sampler: str, seeds: int, batch: int) -> None:
    _optuna()
    if not distributions:
        raise JaxganError(
            "there is nothing to search: give --ranges hp.g_lr=log:1e-5..1e-2 ..., or a function search() in the "
            "experiment that returns {field: log_uniform(...)}"
        )
    if sampler not in SAMPLERS:
        raise JaxganError(f"--search is {sampler!r}; choose from {', '.join(SAMPLERS)}.{nearest(sampler, SAMPLERS)}")
    for name, value, least in (("trials", trials, 1), ("seeds", seeds, 1), ("ask", batch, 0)):
        if value < least:
            raise JaxganError(f"--{name} is {value}; expected at least {least}")


def _check_values(base: Config, distributions: dict) -> None:
    """JaxganError for a value that no member may have, before any is trained."""
    for name, d in distributions.items():
        if not isinstance(d, Distribution):
            raise JaxganError(f"search: {name} is {d!r}; expected uniform(...), log_uniform(...) or choice(...)")
        if space.field(name) == "seed":
            raise JaxganError("a seed is not searched for: --seeds N gives each trial the mean over N of them")
        for value in d.args:
            space.member(base, {name: value})


def _optuna():
    try:
        import optuna
    except ImportError:
        raise JaxganError("--search needs optuna: pip install 'jaxgan[sweep]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _batch(prune: bool) -> int:
    import jax

    return BATCH if prune or jax.default_backend() != "cpu" else jax.local_device_count()


@contextlib.contextmanager
def _worker(dir: Path) -> Iterator[str]:
    """This worker's name, and the lock that says it lives."""
    name = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
    with store.locked(dir, _lock(name)):
        yield name


def _lock(worker: str) -> str:
    return f"claims/worker-{worker.replace(':', '-')}.lock"


def _lives(s: Search, worker: str) -> bool:
    if worker == s.worker:
        return True
    with store.locked(s.dir, _lock(worker), wait=False) as free:
        return not free


def _study(dir: Path, goal: dict, new: dict):
    """The study of this objective; JaxganError if it searched another space, or for other numbers of steps or seeds."""
    optuna = _optuna()
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    name = f"{goal['direction']} {goal['metric']}"
    with store.locked(dir, "claims/search.lock"):
        path = str(dir / "study.log")
        lock = JournalFileOpenLock(path) if os.name == "nt" else None  # else a symbolic link, which needs rights there
        storage = JournalStorage(JournalFileBackend(path, lock))
        try:
            study = optuna.load_study(study_name=name, storage=storage)
        except KeyError:
            study = optuna.create_study(study_name=name, storage=storage, direction=f"{goal['direction']}imize")
        old = study.user_attrs.get("space")
        if old is None:
            study.set_user_attr("space", new)
        elif old != new:
            changed = [n for n in {**old, **new} if old.get(n) != new.get(n)]
            lines = "\n  ".join(f"{n}: {old.get(n)} -> {new.get(n)}" for n in changed)
            raise JaxganError(f"{dir} holds another search:\n  {lines}\nGive the same, or another --dir")
    return study


def _ask(s: Search):
    """A new trial. Call under the lock: its number then is what the sampler's seed adds to."""
    optuna = _optuna()
    number = len(s.study.get_trials(deepcopy=False))
    seed = zlib.crc32(f"{s.seed} {number}".encode())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if s.sampler == "tpe":
            s.study.sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)
        else:
            s.study.sampler = optuna.samplers.RandomSampler(seed=seed)
    return s.study.ask({name: _distribution(d) for name, d in s.distributions.items()})


def _distribution(d: Distribution):
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if d.kind == "choice":
        return CategoricalDistribution(d.args)
    low, high = d.args
    return FloatDistribution(low, high, log=d.kind == "log_uniform")


def _take(s: Search, trials: int, size: int) -> list:
    """Trials to run now: a batch that a dead worker left, or a new one; [] if the study is complete."""
    with store.locked(s.dir, "claims/search.lock"):
        known = s.study.get_trials(deepcopy=False)
        for trial in known:
            if trial.state.name == "RUNNING" and not _lives(s, trial.user_attrs.get("worker", "")):
                first = trial.user_attrs.get("batch", trial.number)
                left = [t for t in known if t.user_attrs.get("batch", t.number) == first]
                return _own(s, left, first)
        first = len(known)
        for _ in range(min(size, trials - first)):
            trial = _ask(s)
            trial.set_user_attr("worker", s.worker)
            trial.set_user_attr("batch", first)
        return s.study.get_trials(deepcopy=False)[first:]


def _own(s: Search, batch: list, first: int) -> list:
    """Write this worker's name on what others left of a batch -> the whole batch."""
    for trial in batch:
        if not trial.state.is_finished():
            s.study._storage.set_trial_user_attr(trial._trial_id, "worker", s.worker)
            s.study._storage.set_trial_user_attr(trial._trial_id, "batch", first)
    return batch


def _run(s: Search, batch: list) -> None:
    """Train a batch and tell the study; with prune, the better half goes on at each rung."""
    members = {}
    for trial in batch:
        settings = space.product([trial.params], space.seeds(s.seeds)) if s.seeds > 1 else [trial.params]
        members[trial.number] = store.add(s.dir, s.experiment, s.base, settings)
    running = {trial.number: trial for trial in batch}
    sign = -1 if s.goal["direction"] == "max" else 1
    for until in rungs(s.base.steps, s.prune):
        group.train(s.dir, [id for number in running for id in members[number]], until=until, **s.train)
        if s.train["stop"].signal is not None:
            return
        found = {number: _value(s, members[number], until) for number in running}
        values = {number: value for number, value in found.items() if value is not None}
        for number in [number for number in found if number not in values]:
            _tell(s, running.pop(number), None, "FAIL", until)
        order = sorted(running, key=lambda number: (sign * values[number], number))
        keep = len(order) if until == s.base.steps else -(-len(order) // 2)
        for number in order[keep:]:
            _tell(s, running.pop(number), values[number], "PRUNED", until)
    for number, trial in running.items():
        _tell(s, trial, values[number], "COMPLETE", s.base.steps)


def rungs(steps: int, prune: bool) -> list[int]:
    """Steps at which a batch is looked at; the last is `steps`."""
    early = [steps // 2**k for k in range(RUNGS, 0, -1)] if prune else []
    return [step for step in dict.fromkeys(early) if step > 0] + [steps]


def _value(s: Search, ids: list[str], until: int) -> float | None:
    """Mean over members of the metric's last value up to step `until`; None if one of them is non-finite."""
    values = []
    for id in ids:
        rows = log.read(store.run_dir(s.dir, id) / "metrics.jsonl")
        known = sorted({name for row in rows for name in row} - {"step", "digest"})
        lost = store.standing(s.dir, id)["status"] == "non-finite"
        metric = s.goal["metric"] if lost and not known else find(s.goal["metric"], known)
        found = [(row["step"], row[metric]) for row in rows if metric in row and row["step"] <= until]
        # every metric is recorded at the step that was asked for; one that broke later counts as it did then
        if (lost and (not found or found[-1][0] < until)) or (found and not math.isfinite(found[-1][1])):
            return None
        if not found:
            raise JaxganError(f"the members have no metric {metric!r} at step {until}")
        values.append(found[-1][1])
    return math.fsum(values) / len(values)


def _tell(s: Search, trial, value: float | None, state: str, step: int) -> None:
    from optuna.trial import TrialState

    if trial.state.is_finished():  # by a worker that then died
        return
    s.study._storage.set_trial_user_attr(trial._trial_id, "steps", step)
    if state == "PRUNED":  # the sampler learns from these, too
        s.study._storage.set_trial_intermediate_value(trial._trial_id, step, value)
    s.study.tell(trial.number, value if state == "COMPLETE" else None, state=TrialState[state])


def _tell_progress(s: Search, trials: int, seconds: float) -> None:
    """One line: how far the study is, its best trial, and the time that is left."""
    known = s.study.get_trials(deepcopy=False)
    ended = [t for t in known if t.state.is_finished()]
    left, first = int(seconds * (trials - len(ended))), best(s.study)
    counts = ", ".join(f"{n} {name}" for name in ("pruned", "failed") if (n := sum(_ended(t) == name for t in ended)))
    text = f"trial {len(ended)}/{trials}{f' ({counts})' if counts else ''}"
    if first:
        values = ", ".join(f"{n} {v:.4g}" if isinstance(v, float) else f"{n} {v}" for n, v in first["values"].items())
        text += f", best {s.goal['metric']} {first['value']:.4g} in trial {first['number']} ({values})"
    s.train["say"](f"{text}, {left // 60}:{left % 60:02d} left")


def _ended(trial) -> str:
    return {"PRUNED": "pruned", "FAIL": "failed"}.get(trial.state.name, "")
