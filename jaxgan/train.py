"""The training loop: `run(config, dir)` starts or resumes a run, `fit(images)` trains on arrays.

A dispatch is one call of the compiled program, which makes several steps. The host reads the numbers of a dispatch
after it has started the next one, so that it never holds the device up.
"""

import contextlib
import tempfile
from collections.abc import Callable, Generator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxgan import (
    changes,
    checkpoint,
    config,
    data,
    encoded,
    hp,
    log,
    override,
    parallel,
    program,
    run_folder,
    transfer,
    unused,
)
from jaxgan.config import Config
from jaxgan.data import kept
from jaxgan.errors import JaxganError, LostProcess, NonFiniteError, nearest
from jaxgan.looks import Look, Seen, begin, looks
from jaxgan.run import Run
from jaxgan.signals import Stop
from jaxgan.state import initializer, shapes, template
from jaxgan.types import Source, State, named

PROFILED = 10  # steps in a trace


def run(
    c: Config,
    dir,
    source: Source | None = None,
    quiet: bool = False,
    stop: Stop | None = None,
    new: dict | None = None,
    init: Run | None = None,
    keep: Source | None = None,
    stays: bool = True,
    space: Run | None = None,
) -> Run:
    """Train until c.steps in folder dir, from its newest checkpoint if it holds this run already.

    source, init, space: in place of c.data, c.init, c.space. new: numbers of Hp that change from now. keep: examples
    whose rows stay in dir. stays: whether dir does. SIGTERM and Ctrl-C save and return. JaxganError for all else.
    """
    c, dir = config.check(c), Path(dir).expanduser()
    say = log.show if not quiet and jax.process_index() == 0 else lambda text: None
    log.check_writers(c.writers)
    with stop or Stop() as stop:
        source, held = encoded.of_config(c, source, dir, space)
        devices = parallel.devices(c.parallel)
        game = encoded.game(c, source, devices.axis)
        begin = initializer(game, c.solver, source.shape)
        compiled = program.build(game, source, c, devices)  # checks that it can be, before a file is written
        there = (dir / "config.json").exists()  # it goes on, though what it set was not read
        given = None if there else _checked(c, source, compiled, begin, new, init)
        with (
            run_folder.entered(dir, c, source, given and given.noted) as env,
            _closing(checkpoint.Checkpoints(dir / "checkpoints", c.keep, best=c.eval.best)) as saved,
        ):
            kept.keep(dir, keep, say)
            fields = saved.restore(template(begin, c), say)
            if fields is None:
                given = given or transfer.given(c, init, env.get("init"))
                state = transfer.first(game, c, source.shape, begin(c), given, say)
            else:
                state = checkpoint.from_host(fields)
            start = int(state.step)
            if start >= c.steps:
                say(f"{dir} is finished at step {start}. To train on: --steps {2 * start}")
                return Run(c, state, env, dir, source.space)
            changed = override.resumed(dir, c, start, new or {})
            state = override.applied(state, changed)
            if jax.process_index() == 0:
                log.rewind(dir / "metrics.jsonl", start)
            say(f"{'resuming' if start else 'training'}{f' {dir}' * stays} from step {start} to {c.steps}")
            for row in changed:
                say(f"since step {row['step']}: hp.{row['name']} {row['old']} -> {hp.plain(row['new'])}")
            for text in changes.since(env, c, source) if start else ():
                say(f"NOTE: {text}")
            for text in _where(c, source, compiled, devices):
                say(text)
            with parallel.together():
                state = _loop(c, dir, source, devices, compiled, state, saved, say, stop, held)
            _conclude(c, dir if stays else None, start, int(state.step), say)
    return Run(c, state, env, dir, source.space)


def _checked(c: Config, source: Source, compiled: program.Program, begin, new: dict | None, init: Run | None):
    """What a new run begins with, if with the weights of another; JaxganError for what it sets in vain."""
    override.check_new(new)
    if jax.process_count() == 1:
        compiled.lower(shapes(begin, c))
    # of several processes pmap takes arrays alone, and a step without devices is traced for its numbers
    unused.check(c, compiled.seen or program.reads(c, source))
    return transfer.given(c, init)


def _where(c: Config, source: Source, compiled: program.Program, devices: parallel.Devices) -> list[str]:
    """Lines that say on what data and devices a run trains."""
    kind, micro = jax.devices()[0].device_kind, f", {c.accumulate} micro-batches" if c.accumulate > 1 else ""
    note = (
        "NOTE: on this GPU the same seed may give other bits: XLA is not asked for, or does not know, "
        f"--{parallel.DETERMINISTIC}=true"
    )
    line = f"data: {c.data}, {compiled.feed}; devices: {devices.count} x {kind}, {devices.mode}{micro}"
    found = [f"found: {source.found}"] if source.found else []
    return [*found, line] if parallel.reproducible() else [*found, line, note]


@contextlib.contextmanager
def _closing(saved: checkpoint.Checkpoints):
    """contextlib.closing, except that nothing waits for a save that a lost process has to take part in."""
    try:
        yield saved
    except LostProcess:
        raise
    except BaseException:
        saved.close()
        raise
    saved.close()


def _loop(c: Config, dir: Path, source: Source, devices, compiled, state, saved, say, stop: Stop, held):
    """Dispatch what `dispatches` asks for, to its end -> state, which is then saved."""
    compiled = _traced(c, dir, compiled, say)
    steps = dispatches(c, dir, looks(c, source, held), compiled.length, int(state.step), saved, say, stop)
    state = devices.place(state)
    with contextlib.closing(steps), contextlib.suppress(StopIteration):
        dispatch = next(steps)
        while True:
            state, metrics = compiled.advance(state, *dispatch)
            dispatch = steps.send((state, metrics))
    return parallel.whole(state)


Dispatches = Generator[tuple[int, int], tuple[State, dict], None]  # as `dispatches` makes it


def dispatches(
    c: Config, dir: Path, looks: list[Look], length, step: int, saved, say, stop: Stop, quiet: bool = False
) -> Dispatches:
    """The dispatches of a run from `step` to c.steps or a signal; logs, looks and saves between them.

    Yields (step, n), and is sent what n steps from there give: (state, metrics). Whoever drives it decides how they are
    computed. length: step -> n at most. quiet: no lines of progress. JaxganError at the first non-finite number.
    """
    safe = step  # the last step that is in a checkpoint
    pending: tuple | None = None
    with (
        log.writer(dir, c.writers, config.to_dict(c)) as write,
        contextlib.closing(
            log.Progress(step, c.steps, c.batch * c.d_steps, (lambda text: None) if quiet else say)
        ) as progress,
    ):
        report = partial(_report, c, dir, progress, write, say)
        stop.training = True
        while step < c.steps and not stop.agreed():
            n = length(step)
            state, metrics = yield step, n
            step += n
            if pending:
                report(*pending)
            due = [look for look in looks if _due(step, getattr(c, look.every), c.steps)]
            slow = [look for look in due if look.waits]
            ranked = c.eval_every > 0 and _due(step, c.eval_every, c.steps)
            saves = ranked or _due(step, c.checkpoint_every, c.steps)
            pending = (step, metrics, [begin(look, state, step, say) for look in due if not look.waits])
            if slow or saves:  # both wait for the device, and want its numbers checked first
                report(*pending)
                pending = None
            seen = {look.name: _tell(begin(look, state, step, say)(dir), step, write, say) for look in slow}
            if saves:
                _save(saved, dir, state, step, write, seen.get("evaluation"))
                safe = step
        if pending:
            report(*pending)
        if step > safe:
            _save(saved, dir, state, step, write)
        saved.wait()


def _traced(c: Config, dir: Path, compiled: program.Program, say) -> program.Program:
    """compiled itself; with c.profile its fifth dispatch, or the run's last before, is short and traced."""
    if not c.profile:
        return compiled
    dispatches = 0

    def length(step):  # short on every process, though only one of them traces
        return min(compiled.length(step), PROFILED) if dispatches < 5 else compiled.length(step)

    def advance(state, step, n):
        nonlocal dispatches
        dispatches += 1
        due = dispatches == 5 or (dispatches < 5 and step + n >= c.steps)
        if not due or jax.process_index() > 0:
            return compiled.advance(state, step, n)
        jax.block_until_ready(state)
        with jax.profiler.trace(dir / "profile"), jax.profiler.StepTraceAnnotation("train", step_num=step):
            made = jax.block_until_ready(compiled.advance(state, step, n))
        say(
            f"traced steps {step + 1} to {step + n} into {dir / 'profile'}: tensorboard --logdir {dir / 'profile'} "
            "(with xprof), or open its .trace.json.gz in ui.perfetto.dev"
        )
        return made

    return compiled._replace(length=length, advance=advance)


def _conclude(c: Config, dir: Path | None, start: int, step: int, say) -> None:
    if dir is None:
        say(f"made {step} of {c.steps} steps")
    elif step == c.steps:
        say(f"finished {c.steps} steps; pictures are in {run_folder.animate(dir)}")
    elif step > start:
        say(f"stopped at step {step} and saved; the same command goes on from there")
    else:
        say(f"stopped at step {step}, before the first new one; the same command goes on from there")


def _due(step: int, every: int, last: int) -> bool:
    return step == last or (every > 0 and step % every == 0)


def _save(saved, dir: Path, state, step: int, write, scores: Mapping[str, float] | None = None) -> None:
    fields = checkpoint.to_host(state)
    bad = [name for name, x in named(fields).items() if _bad(x)]
    if bad:
        raise NonFiniteError(_diverged(f"{bad[0]} and {len(bad) - 1} other arrays" if bad[1:] else bad[0], step, dir))
    digest = checkpoint.digest(fields)
    write({"step": step, "digest": digest})
    saved.save(step, fields, digest, scores)


def _bad(x: np.ndarray) -> bool:
    return not np.isfinite(x).all()


def _report(c: Config, dir: Path, progress, write, say, step: int, metrics, finishes: list[Callable]) -> None:
    """Wait for a dispatch that ends at `step`; check its numbers, log them and finish its looks."""
    metrics = {name: float(value) for name, value in jax.device_get(parallel.local(metrics)).items()}
    check_finite(metrics, dir)
    del metrics["step"]
    progress.advance(step, metrics)
    if _due(step, c.log_every, c.steps):
        write({"step": step, **metrics, "images_per_second": round(progress.speed, 1)})
        progress.line(step)
    for finish in finishes:
        _tell(finish(dir), step, write, say)


def _tell(seen: Seen, step: int, write, say) -> Mapping[str, float]:
    if seen.row or seen.picture is not None:
        write({"step": step, **seen.row}, seen.picture)
    for text in seen.words:
        say(text)
    return seen.row


def check_finite(metrics: dict[str, float], dir: Path) -> None:
    """NonFiniteError that names the non-finite metrics and the step."""
    bad = [name for name, value in metrics.items() if not np.isfinite(value)]
    if bad:
        raise NonFiniteError(_diverged(", ".join(bad), int(metrics["step"]), dir))


def _diverged(names: str, step: int, dir: Path) -> str:
    last = max((row["step"] for row in log.read(dir / "metrics.jsonl") if "digest" in row), default=0)
    kept = f"the checkpoint of step {last} is kept" if last else "there was no checkpoint yet"
    return (
        f"{names} became non-finite at step {step}; training stopped and {kept}. Lower a learning rate (--hp.g-lr, "
        "--hp.d-lr) or add a penalty (--hp.r1 1), in a new --dir"
    )


def fit(images, labels=None, *, dir=None, quiet: bool = False, init=None, space=None, **fields) -> Run:
    """Train on arrays: images uint8 [n, h, w, c] or float [n, h, w, c] in [-1, 1], or points [n, d] -> Run.

    With net="conv1d" they are sequences, floats [n, length, channels]. labels: ints [n], which make the GAN
    class-conditional. Other keywords are fields of Config (steps, seed, loss, ...) and of Hp (g_lr, r1, ...); with size
    images are cropped and resized. dir keeps the run folder; without it nothing stays on disk. init: a Run, or the
    folder of one, whose weights it begins with; space: in whose latent space it trains, or
    "sd-vae:PATH".
    """
    if named := next((name for name in ("data", *data.reading(Config())) if name in fields and name != "size"), ""):
        raise JaxganError(f"fit has no use for {named}: it trains on the arrays that it is given; leave it out")
    arrays = {name: fields[name] for name in ("flip", "size") if name in fields}
    source = data.from_arrays(images, labels, sequences=fields.get("net") == "conv1d", **arrays)
    traced = {name: fields.pop(name) for name in list(fields) if name in config.Hp.__dataclass_fields__}
    unknown = [name for name in fields if name not in Config.__dataclass_fields__]
    if unknown:
        known = [*Config.__dataclass_fields__, *config.Hp.__dataclass_fields__]
        raise JaxganError(f"fit has no argument {unknown[0]!r}.{nearest(unknown[0], known)}")
    defaults: dict[str, Any] = {"data": kept.NAME, "kind": "plain" if labels is None else "conditional"}
    defaults |= {"net": "dcgan" if len(source.shape) == 3 else "mlp", "batch": min(64, source.size)}
    given, within = (other if isinstance(other, Run) else None for other in (init, space))
    fields |= {n: transfer.name(other) for n, other in (("init", init), ("space", space)) if other is not None}
    c = config.from_dict({**defaults, **fields, "hp": traced})
    if dir is not None:
        return run(c, dir, source, quiet, init=given, keep=source, space=within)
    with tempfile.TemporaryDirectory() as temporary:
        trained = run(c, temporary, source, quiet, init=given, stays=False, space=within)
    return Run(trained.config, trained.state, trained.env, space=trained.space)
