"""The training loop: `run(config, dir)` starts or resumes a run, `fit(images)` trains on arrays.

A dispatch is one call of the compiled program, which makes several steps. The host reads the numbers of a dispatch
after it has started the next one, so that it never holds the device up.
"""

import contextlib
import tempfile
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxgan import changes, checkpoint, config, data, folder, games, log, parallel, plots, program, rng, unused
from jaxgan.config import Config
from jaxgan.data.holdout import split
from jaxgan.errors import JaxganError, LostProcess, NonFiniteError, nearest
from jaxgan.metrics.modes import modes
from jaxgan.run import SHOWN, Run, generate, initial, latents, stacked, template, turns
from jaxgan.signals import Stop
from jaxgan.types import Source, State, halves

PROFILED = 10  # steps in a trace


def open_source(c: Config) -> Source:
    """The source of real examples that a configuration names."""
    return data.open_source(c.data, data_dir=c.data_dir, size=c.size, flip=c.flip, skip_corrupt=c.skip_corrupt)


def hold_out(c: Config, source: Source) -> tuple[Source, Source | None]:
    """What training sees of source, and the c.holdout examples that it does not (None if there are none)."""
    return split(source, c.holdout) if c.holdout else (source, None)


def run(c: Config, dir, source: Source | None = None, quiet: bool = False, stop: Stop | None = None) -> Run:
    """Train until c.steps in folder dir, from its newest checkpoint if it holds this run already.

    source: real examples in place of c.data. Raises JaxganError for what the user can mend, and at the first non-finite
    number. SIGTERM and Ctrl-C save a checkpoint and return; the state has then made fewer than c.steps steps.
    """
    c, dir = config.check(c), Path(dir).expanduser()
    say = log.show if not quiet and jax.process_index() == 0 else lambda text: None
    log.check_writers(c.writers)
    with stop or Stop() as stop:
        source, held = hold_out(c, open_source(c) if source is None else source)
        devices = parallel.devices(c.parallel)
        game = games.make(c, source.shape, source.classes, devices.axis)
        program.check_sizes(c, source, devices)
        program.check_accumulate(c, source)
        if not (dir / "config.json").exists():  # a run that is there goes on, though what it set was not read
            unused.check(c, program.reads(c, source))
        with (
            folder.entered(dir, c, source) as env,
            _closing(checkpoint.Checkpoints(dir / "checkpoints", c.keep)) as saved,
        ):
            fields = saved.restore(template(c, env), say)
            state = initial(game, c, source.shape) if fields is None else checkpoint.from_host(fields)
            start = int(state.step)
            if start >= c.steps:
                say(f"{dir} is finished at step {start}. To train on: --steps {2 * start}")
                return Run(c, state, env, dir)
            if jax.process_index() == 0:
                log.rewind(dir / "metrics.jsonl", start)
            compiled = program.build(game, source, c, devices)
            kind = jax.devices()[0].device_kind
            say(f"{'resuming' if start else 'training'} {dir} from step {start} to {c.steps}")
            for text in changes.since(env, c, source) if start else ():
                say(f"NOTE: {text}")
            micro = f", {c.accumulate} micro-batches" if c.accumulate > 1 else ""
            say(f"data: {c.data}, {compiled.feed}; devices: {devices.count} x {kind}, {devices.mode}{micro}")
            if not parallel.reproducible():
                say(
                    "NOTE: on this GPU the same seed may give other bits: XLA is not asked for, or does not know, "
                    f"--{parallel.DETERMINISTIC}=true"
                )
            with parallel.together():
                state = _loop(c, dir, source, devices, compiled, state, saved, say, stop, held)
            _conclude(c, dir, start, int(state.step), say)
    return Run(c, state, env, dir)


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
    """Dispatch what `course` asks for, to its end -> state, which is then saved."""
    compiled = _traced(c, dir, compiled, say)
    steps = course(c, dir, tools(c, source, held), compiled.length, int(state.step), saved, say, stop)
    state = devices.replicate(state)
    with contextlib.closing(steps), contextlib.suppress(StopIteration):
        wish = next(steps)
        while True:
            state, metrics = compiled.advance(state, *wish)
            wish = steps.send((state, metrics))
    return parallel.local(state)


Course = Generator[tuple[int, int], tuple[State, dict], None]  # as `course` makes it


class Tools(NamedTuple):
    """What draws and diagnoses; runs that differ in seed and in numbers of Hp only share it, and compile it once.

    source: the training examples. samples: State.ema -> the examples of the run's pictures. measure: as
    theory.diagnose.instruments makes it, or None.
    """

    source: Source
    columns: int
    samples: Callable
    measure: Callable | None


def course(
    c: Config, dir: Path, tools: Tools, length, step: int, saved, say, stop: Stop, quiet: bool = False
) -> Course:
    """The course of a run from `step` to c.steps or a signal: log, draw, diagnose and save.

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
        report = partial(_report, c, dir, progress, write)
        draw = _painter(c, dir, tools, write)
        diagnose = _doctor(tools, write, say)
        stop.training = True
        while step < c.steps and not stop.agreed():
            n = length(step)
            state, metrics = yield step, n
            step += n
            if pending:
                report(*pending)
            pending = (step, metrics, draw(state, step))
            looks = c.diagnose_every > 0 and _due(step, c.diagnose_every, c.steps)
            saves = _due(step, c.checkpoint_every, c.steps)
            if looks or saves:  # both wait for the device, and want its numbers checked first
                report(*pending)
                pending = None
            if looks:
                diagnose(state, step)
            if saves:
                _save(saved, dir, state, step, write)
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


def _conclude(c: Config, dir: Path, start: int, step: int, say) -> None:
    if step == c.steps:
        say(f"finished {c.steps} steps; pictures are in {folder.animate(dir)}")
    elif step > start:
        say(f"stopped at step {step} and saved; the same command goes on from there")
    else:
        say(f"stopped at step {step}, before the first new one; the same command goes on from there")


def _due(step: int, every: int, last: int) -> bool:
    return step == last or (every > 0 and step % every == 0)


def _save(saved, dir: Path, state, step: int, write) -> None:
    fields = checkpoint.to_host(state)
    bad = [jax.tree_util.keystr(p, simple=True, separator=".") for p, x in jax.tree.leaves_with_path(fields) if _bad(x)]
    if bad:
        raise NonFiniteError(_diverged(f"{bad[0]} and {len(bad) - 1} other arrays" if bad[1:] else bad[0], step, dir))
    digest = checkpoint.digest(fields)
    write({"step": step, "digest": digest})
    saved.save(step, fields, digest)


def _bad(x: np.ndarray) -> bool:
    return not np.isfinite(x).all()


def _report(c: Config, dir: Path, progress, write, step: int, metrics, paint: Callable) -> None:
    """Wait for a dispatch that ends at `step`; check its numbers, log them and draw its picture."""
    metrics = {name: float(value) for name, value in jax.device_get(parallel.local(metrics)).items()}
    check_finite(metrics, dir)
    del metrics["step"]
    progress.advance(step, metrics)
    if _due(step, c.log_every, c.steps):
        write({"step": step, **metrics, "images_per_second": round(progress.speed, 1)})
        progress.line(step)
    paint()


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


def tools(c: Config, source: Source, held: Source | None = None) -> Tools:
    """The Tools of c's game; pictures show the same latents every time."""
    game = games.make(c, source.shape, source.classes)
    columns = plots.columns(game.classes)
    count = 8 * columns if len(source.shape) > 1 else 2500  # 2,500: PacGAN's protocol for modes
    z = latents(game, count, seed=0)
    y = np.arange(count, dtype=np.int32) % source.classes if game.classes else None
    turning = range(min(source.classes, SHOWN)) if game.targets and len(source.shape) > 1 else ()
    if turning:
        columns = 8
        count = columns * max(1, 8 // len(turning))
    if game.translate:
        y = game.given(drawn(held or source, count))

    @jax.jit
    def samples(nets, y):  # y is an argument: XLA would work through images that are constants when it compiles
        if turning:
            return turns(lambda x, to: generate(game, nets, jax.nn.one_hot(to, game.classes), x), y, turning, columns)
        made = generate(game, nets, z, y)
        if not game.translate or game.targets:
            return made
        return stacked(columns, *halves(made)) if len(source.shape) > 1 else halves(made)[1]

    measure = None
    if c.diagnose_every:
        from jaxgan.theory.diagnose import instruments

        measure = instruments(game, c, source, held)
    return Tools(source, columns, lambda nets: samples(nets, y), measure)


def drawn(source: Source, count: int, seed: int = 0) -> dict:
    """A batch of `count` examples {"x", "y"} of source, always the same; rows come once where there are enough."""
    pick = np.random.default_rng(seed)
    index = pick.choice(source.size, count, replace=count > source.size) if source.size else np.zeros(count, int)
    return jax.device_get(source.finish(source.rows(index), rng.examples(rng.root(seed), count)))


def _painter(c: Config, dir: Path, tools: Tools, write) -> Callable:
    """(state, step) -> a function that writes that step's picture.

    The device starts on the samples at once; the returned function waits for them.
    """
    density = tools.source.density

    def draw(state, step):
        if not _due(step, c.sample_every, c.steps) or jax.process_index() > 0:
            return lambda: None
        samples = tools.samples(parallel.local(state.ema))
        return lambda: paint(np.asarray(samples), step)

    def paint(x, step):
        if density is not None and density.modes is not None:
            write({"step": step, **modes(x, density)})
        picture = plots.examples(x, tools.columns, density, f"step {step}")
        plots.save(picture, dir / "samples" / f"{step:08d}.png")

    return draw


def _doctor(tools: Tools, write, say) -> Callable:
    """(state, step) -> None, which writes the columns diagnosis/* and says what alarms."""
    measure = tools.measure
    if measure is None or jax.process_index() > 0:
        return lambda state, step: None
    from jaxgan.theory.diagnose import readings

    def diagnose(state, step):
        row = measure(parallel.local(state)).row
        write({"step": step, **{f"diagnosis/{name}": value for name, value in row.items()}})
        for text in readings(row):
            if text.startswith("ALARM"):
                say(f"step {step}: {text}")

    return diagnose


def fit(images, labels=None, *, dir=None, quiet: bool = False, **fields) -> Run:
    """Train on arrays: images uint8 [n, h, w, c] or float [n, h, w, c] in [-1, 1], or points [n, d] -> Run.

    With net="conv1d" they are sequences, floats [n, length, channels]. labels: ints [n], which make the GAN
    class-conditional. Other keywords are fields of Config (steps, seed, loss, ...) and of Hp (g_lr, r1, ...). dir keeps
    the run folder; without it nothing stays on disk.
    """
    sequences = fields.get("net") == "conv1d"
    source = data.from_arrays(images, labels, flip=fields.get("flip", False), sequences=sequences)
    traced = {name: fields.pop(name) for name in list(fields) if name in config.Hp.__dataclass_fields__}
    unknown = [name for name in fields if name not in Config.__dataclass_fields__]
    if unknown:
        known = [*Config.__dataclass_fields__, *config.Hp.__dataclass_fields__]
        raise JaxganError(f"fit has no argument {unknown[0]!r}.{nearest(unknown[0], known)}")
    defaults: dict[str, Any] = {"data": "arrays", "kind": "plain" if labels is None else "conditional"}
    defaults |= {"net": "dcgan" if len(source.shape) == 3 else "mlp", "batch": min(64, source.size)}
    c = config.from_dict({**defaults, **fields, "hp": traced})
    if dir is not None:
        return run(c, dir, source, quiet)
    with tempfile.TemporaryDirectory() as temporary:
        trained = run(c, temporary, source, quiet)
    return Run(trained.config, trained.state, trained.env)
