"""Diagnosis of a run folder: measurements at its newest checkpoint, what they mean, and a picture of both."""

import dataclasses
import json
import time

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan import data, disk, encoded, games, log, plots, rng, run_folder, transfer
from jaxgan.data import feed
from jaxgan.errors import JaxganError
from jaxgan.run import Run, load
from jaxgan.solvers import SOLVERS
from jaxgan.state import initial
from jaxgan.step import at_now, train_step
from jaxgan.theory import jacobian
from jaxgan.theory.diagnosis import COLUMNS, instruments, readings
from jaxgan.types import Source

REACH = np.linspace(-0.1, 1.2, 27)  # where the path from the first parameters to the last is sampled


def diagnose(dir, source: Source | None = None, held_out: str = "", say=log.show) -> dict[str, float]:
    """Measure the run in dir, say what the numbers mean, write dir/diagnosis.json and .png -> {column: value}.

    source: what the run was trained on, if that cannot be opened by name. held_out: a data set that training did not
    see; "" is what the run held out, or the data's test split.
    """
    run = load(dir)
    c, dir = run.config, run_folder.find(dir)
    source, held = encoded.examples(dir, c, source)
    run_folder.check_data(dir, c, run.env, source)
    history = log.read(dir / "metrics.jsonl")  # complains before anything is measured
    game = games.make(c, source.shape, source.classes)
    held = _unseen(c, source, held, held_out, game.classes)
    say(f"diagnosing {dir} at step {int(run.state.step)}; held-out data: {_name(source, held)}")
    measure = instruments(game, c, source, held)
    report = measure(run.state)
    begun = time.monotonic()
    measure(run.state)
    cost = (time.monotonic() - begun) / _step_time(game, c, source, run.state)
    for name, value in report.row.items():
        say(f"  {name:15s} {value:12.5g}   {COLUMNS[name]}")
    words = readings(report.row)
    for text in words:
        say(f"- {text}")
    path = along(game, c, source, run)
    found = {"step": int(run.state.step), "train_steps_of_cost": round(cost, 1), "readings": words, **report.row}
    disk.write(dir / "diagnosis.json", json.dumps(found, indent=2))
    plots.save_figure(
        plots.diagnosis(report, path, history, words, f"{dir}, step {found['step']}"), dir / "diagnosis.png"
    )
    say(f"a diagnosis costs as much as {cost:.0f} train steps here; figure in {dir / 'diagnosis.png'}")
    return report.row


def _unseen(c, source: Source, held: Source | None, name: str, classes: int) -> Source | None:
    """The held-out examples: those called name, else those of the run, else a test split that is at hand.

    classes: of the game, 0 if it does not use labels.
    """
    options, c = data.reading(c), dataclasses.replace(c, flip=False)  # as they are
    if name:
        held = encoded.inside(c, source.space, data.open_source(name, **options))[0]
        if held.shape != source.shape or (classes and held.classes != classes):
            raise JaxganError(
                f"--held-out {name} has shape {held.shape} and {held.classes} classes; the run was trained on shape "
                f"{source.shape} and {source.classes} classes"
            )
        return held
    if held is None and (c.data.startswith("folder:") or (c.data.startswith("tfds:") and c.data.count(":") == 1)):
        try:
            test = data.open_source(f"{c.data.removesuffix(':train')}:test", **options)
            held = encoded.inside(c, source.space, test)[0]
        except JaxganError:
            return None
        return held if held.shape == source.shape and held.classes == source.classes else None
    return held


def _name(source: Source, held: Source | None) -> str:
    if held:
        return f"{held.name}, {held.size} examples"
    return "none (train with --holdout 500, or give --held-out DATA)" if source.size else "new draws from the density"


def batches_of(game, c, source: Source, step: int) -> dict:
    """The batches {"x": [updates, b, ...], ...} of the run's train step number `step`."""
    index = feed.indices(source, c.seed, game.updates, c.batch)(step, 1)[0] if source.size else np.zeros(0, int)
    rows = source.rows(index)
    return feed.from_host(source, rows, rng.root(c.seed), jnp.int32(step), game.updates, c.batch)


def along(game, c, source: Source, run: Run) -> dict[str, np.ndarray]:
    """{"reach", "angle", "field"} on the line from the run's first parameters to its present ones."""
    state = run.state
    given = transfer.given(c, noted=run.env.get("init"))
    start = transfer.first(game, c, source.shape, initial(game, c, source.shape), given)
    batches = batches_of(game, c, source, int(state.step))
    players = jax.tree.map(lambda b: b[jnp.arange(len(game.players)) % len(b)], batches)

    @jax.jit
    def measured(first, state, players):
        state = at_now(state, c.batch)
        m = jacobian.motion(game, state, players, rng.stream(state.key, "path"))
        begun = jacobian.motion(game, dataclasses.replace(state, params=first.params), players, state.key).at
        return jacobian.path(m, begun, jnp.asarray(REACH, jnp.float32))

    return {"reach": REACH, **jax.tree.map(np.asarray, measured(start, state, players))}


def _step_time(game, c, source: Source, state) -> float:
    """Seconds of one train step: median of five, after compilation."""
    batches = batches_of(game, c, source, int(state.step))
    step = jax.jit(lambda state, batches: train_step(game, state, batches, SOLVERS[c.solver].step)[0])
    times = []
    for _ in range(6):
        begun = time.monotonic()
        jax.block_until_ready(step(state, batches))
        times.append(time.monotonic() - begun)
    return float(np.median(times[1:]))
