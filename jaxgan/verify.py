"""Verification: replay a run from its seed and compare digests with those it recorded."""

import dataclasses
from pathlib import Path

from jaxgan import changes, checkpoint, encoded, games, log, override, parallel, program, run_folder, transfer
from jaxgan.config import Config
from jaxgan.errors import JaxganError
from jaxgan.parallel import Devices
from jaxgan.run import Run
from jaxgan.state import initial
from jaxgan.train import check_finite
from jaxgan.types import Source


def verify(
    dir,
    source: Source | None = None,
    steps: int = 0,
    say=log.show,
    devices: Devices | None = None,
    init: Run | None = None,
) -> int:
    """Replay the run in dir and compare each recorded digest (up to `steps`, 0 is all) -> how many agreed.

    devices: those to replay on, None is what the configuration says. init: the run whose weights it began with, None is
    where the configuration says. Raises JaxganError at the first difference, or where that run is gone or has changed.
    Equal bits need the same jax version, kind and number of devices.
    """
    dir = run_folder.find(dir)
    c, env = run_folder.read_config(dir), run_folder.read_env(dir)
    recorded = digests(dir, steps)
    c = dataclasses.replace(c, steps=max(recorded))  # the folder may have been asked for fewer steps since
    source, _ = encoded.examples(dir, c, source)
    run_folder.check_data(dir, c, env, source)
    for text in changes.since(env, c, source):
        say(f"NOTE: {text}")
    devices = devices or parallel.devices(c.parallel)
    game = games.make(c, source.shape, source.classes, devices.axis)
    given = transfer.given(c, init, env.get("init"))
    state = transfer.first(game, c, source.shape, initial(game, c, source.shape), given)
    compiled = program.build(game, source, c, devices)
    return replay(dir, c, env, recorded, compiled, devices.place(state), say)


def digests(dir: Path, steps: int = 0) -> dict[int, str]:
    """{step: digest} that the run in dir recorded, up to `steps` (0 is all); JaxganError if there is none."""
    recorded = {row["step"]: row["digest"] for row in log.read(dir / "metrics.jsonl") if "digest" in row}
    recorded = {at: value for at, value in recorded.items() if not steps or at <= steps}
    if not recorded:
        raise JaxganError(f"{dir} has recorded no digest{f' up to step {steps}' if steps else ''}; nothing to compare")
    return recorded


def replay(dir: Path, c: Config, env: dict, recorded: dict[int, str], compiled, state, say, pick=lambda tree: tree):
    """Advance the initial state by the compiled program, and compare -> how many digests agreed.

    pick: what belongs to this run in a tree that the program makes.
    """
    progress, step, changed = log.Progress(0, max(recorded), c.batch * c.d_steps, say), 0, override.read(dir)
    for at in sorted(recorded):
        while step < at:
            n = min(compiled.length(step), at - step)
            state, metrics = compiled.advance(state, step, n)
            step += n
            metrics = {name: float(value) for name, value in parallel.local(pick(metrics)).items()}
            check_finite(metrics, dir)
            progress.advance(step, metrics)
        found = checkpoint.digest(checkpoint.to_host(pick(state)))
        if found != recorded[at]:
            progress.close()
            raise JaxganError(_difference(at, recorded[at], found, env))
        progress.line(step)
        state = override.applied(state, changed, step)
    progress.close()
    say(f"{len(recorded)} digests up to step {step} agree: {dir} is reproduced bit for bit")
    return len(recorded)


def _difference(at: int, recorded: str, found: str, env: dict) -> str:
    now, then = log.environment(), env["starts"][0]
    layouts = {(start.get("accumulate"), start.get("parallel")) for start in env["starts"]}
    if len(layouts) > 1:
        return (
            f"first difference at step {at}: recorded {recorded[:12]}, replayed {found[:12]}; the run went on with "
            "another accumulate or parallel, which changes the rounding, and is replayed with the last"
        )
    names = [n for n in ("versions", "devices", "processes", "flags", "machine") if now[n] != then[n]]
    reason = f"; what differs from the run's start: {', '.join(names)}" if names else " in the same environment"
    return f"first difference at step {at}: recorded {recorded[:12]}, replayed {found[:12]}{reason}"
