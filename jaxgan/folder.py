"""The run folder: config.json, env.json, metrics.jsonl, samples/ and checkpoints/; who may enter it, and with what."""

import contextlib
import json
import os
from pathlib import Path

import jax

from jaxgan import config, log, plots
from jaxgan.config import Config
from jaxgan.errors import JaxganError
from jaxgan.types import Source

OWN = {"env.json", "samples", "checkpoints", "metrics.jsonl", ".lock"}  # what a start that was cut short may leave


@contextlib.contextmanager
def locked(dir: Path):
    """Make dir and hold it against other processes of this machine; JaxganError if it cannot be had."""
    from filelock import FileLock, Timeout

    if jax.process_index() > 0:
        yield
        return
    try:
        dir.mkdir(parents=True, exist_ok=True)
        lock = FileLock(dir / ".lock")
        lock.acquire(timeout=0)
    except Timeout:
        raise JaxganError(f"another process is training in {dir}; wait for it, or choose another --dir") from None
    except OSError as e:
        raise JaxganError(f"cannot write to {dir} ({e.strerror}); choose another --dir") from None
    try:
        yield
    finally:
        lock.release()


def enter(dir: Path, c: Config, source: Source) -> dict:
    """Start a run in dir, or enter the one that is there if c and the data are its own -> env.json's contents."""
    if (dir / "config.json").is_file():
        env = _check_same(dir, c, source)
    else:
        strangers = sorted(p.name for p in dir.iterdir() if p.name not in OWN and p.suffix != ".tmp")
        if strangers:
            raise JaxganError(
                f"{dir} holds other files ({', '.join(strangers[:3])}) and no run; choose an empty or new folder as --dir"
            )
        env = {"shape": list(source.shape), "classes": source.classes, "fingerprint": source.fingerprint, "starts": []}
    if jax.process_index() == 0:
        env["starts"].append(log.environment())
        (dir / "samples").mkdir(exist_ok=True)
        replace(dir / "env.json", json.dumps(env, indent=2))
        replace(dir / "config.json", json.dumps(config.to_dict(c), indent=2))
    return env


def _check_same(dir: Path, c: Config, source: Source) -> dict:
    old, env = config.load(dir / "config.json"), read_env(dir)
    changed = config.differences(old, c)
    if changed:
        raise JaxganError(
            f"{dir} holds a run with another configuration:\n  " + "\n  ".join(changed) + "\nGive the same values to resume "
            "it, or choose another --dir"
        )
    check_data(dir, c, env, source)
    return env


def check_data(dir: Path, c: Config, env: dict, source: Source) -> None:
    """JaxganError if source does not hold what the run in dir was trained on."""
    if env["fingerprint"] != source.fingerprint:
        raise JaxganError(
            f"the data {c.data!r} is not what the run in {dir} was trained on (fingerprint {source.fingerprint[:12]}, was "
            f"{env['fingerprint'][:12]}); bring the old data back, or choose another --dir"
        )


def replace(path: Path, text: str) -> None:
    """Write text to path so that a crash leaves the old file or the new one."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text + "\n")
    os.replace(temporary, path)


def read_env(dir: Path) -> dict:
    """env.json of a run folder: shape and classes of the data, its fingerprint, and each start's environment."""
    try:
        env = json.loads((dir / "env.json").read_text())
        return {name: env[name] for name in ("shape", "classes", "fingerprint", "starts")}
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise JaxganError(f"{dir / 'env.json'} is missing or damaged ({e}); every run folder has one") from None


def find(dir) -> Path:
    """dir as a Path that holds a run; JaxganError says what is missing."""
    dir = Path(dir).expanduser()
    if not dir.exists():
        raise JaxganError(f"there is no run folder {dir}; make one: jaxgan train EXPERIMENT --dir {dir}")
    if not (dir / "config.json").is_file():
        raise JaxganError(f"{dir} is not a run folder: it has no config.json")
    return dir


def animate(dir: Path) -> Path:
    """Write samples/training.gif from the pictures of a run -> the folder of pictures."""
    pictures = sorted((dir / "samples").glob("[0-9]*.png"))
    if len(pictures) > 1 and jax.process_index() == 0:
        plots.animate(pictures, dir / "samples" / "training.gif")
    return dir / "samples"
