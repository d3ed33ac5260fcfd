"""The run folder: config.json, env.json, metrics.jsonl, samples/ and checkpoints/; who may enter it, and with what."""

import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import jax

from jaxgan import config, data, disk, latent_space, log, parallel, plots
from jaxgan.config import Config
from jaxgan.data import kept
from jaxgan.data.latents import WITHIN
from jaxgan.errors import JaxganError
from jaxgan.types import Source

# what a start that was cut short may leave
OWN = {"env.json", kept.FILE, latent_space.FILE, "samples", "checkpoints", "metrics.jsonl", ".lock"}


def _all(values, kind: type) -> bool:
    return isinstance(values, list) and all(isinstance(value, kind) for value in values)


# field of env.json: whether a value can be one of it
SOUND: dict[str, Callable] = {
    "shape": lambda v: _all(v, int) and min(v, default=0) > 0,
    "classes": lambda v: isinstance(v, int) and v >= 0,
    "fingerprint": lambda v: isinstance(v, str),
    "starts": lambda v: _all(v, dict),
    "names": lambda v: _all(v, str),
    "init": lambda v: isinstance(v, dict),
    "space": lambda v: isinstance(v, dict) and {"run", "step", "digest", "mean", "deviation"} <= v.keys(),
}
LATER = {"names", "init", "space"}  # are not in all of them


@contextlib.contextmanager
def locked(dir: Path) -> Iterator[None]:
    """Make dir and hold it against other processes of this machine; JaxganError if it cannot be had."""
    from filelock import FileLock, Timeout

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


@contextlib.contextmanager
def entered(dir: Path, c: Config, source: Source, init: dict | None = None) -> Iterator[dict]:
    """A context in which dir is this run's own, new or resumed -> env.json's contents.

    init: what a new run begins with, as `transfer.Given.noted` says it.

    JaxganError, and an untouched folder, if it holds anything but a run of c on these data; what the operating system
    refuses to write inside the context becomes one too.
    """
    with contextlib.ExitStack() as stack:

        def enter():
            inspect(dir, c, source)
            if jax.process_index() > 0:
                return read_env(dir)
            stack.enter_context(locked(dir))
            found = inspect(dir, c, source)  # again: another process may have begun a run
            return _enter(dir, c, source, found | ({"init": init} if init and not found["starts"] else {}))

        with _clear_errors(dir):
            yield parallel.first(enter)


@contextlib.contextmanager
def _clear_errors(dir: Path) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:  # of the terminal, not of a file
        raise
    except OSError as e:
        raise JaxganError(
            f"cannot write to {e.filename or dir} ({e.strerror or e}); what was saved before is untouched. Free some "
            "space or mend the folder's permissions, then run the same command again to resume"
        ) from e


def _enter(dir: Path, c: Config, source: Source, env: dict) -> dict:
    """Write what this start adds -> env.json's contents."""
    env["starts"].append(log.environment() | {name: getattr(c, name) for name in ("accumulate", "parallel")})
    (dir / "samples").mkdir(exist_ok=True)
    if source.space and (len(env["starts"]) == 1 or not (dir / latent_space.FILE).exists()):
        latent_space.write(dir, source.space)
    disk.write(dir / "env.json", json.dumps(env, indent=2))
    disk.write(dir / "config.json", json.dumps(config.to_dict(c), indent=2))
    return env


def inspect(dir: Path, c: Config, source: Source) -> dict:
    """env.json's contents, or those of a new one; JaxganError if dir cannot be this run's folder. Writes nothing."""
    if dir.exists() and not dir.is_dir():
        raise JaxganError(f"{dir} is a file, not a folder; choose another --dir")
    if (dir / "config.json").is_file():
        return _check_same(dir, c, source)
    strangers = [p.name for p in dir.iterdir() if p.name not in OWN and p.suffix != ".tmp"] if dir.is_dir() else []
    if strangers:
        raise JaxganError(
            f"{dir} holds other files ({', '.join(sorted(strangers)[:3])}) and no run; choose an empty or new "
            "folder as --dir"
        )
    if any((dir / "checkpoints").glob("[0-9]*")):
        raise JaxganError(f"{dir} has checkpoints but no config.json; bring it back, or choose another --dir")
    return _described(source) | {"starts": []}


def _described(source: Source) -> dict:
    """What env.json says of the data."""
    known = {"shape": list(source.shape), "classes": source.classes, "fingerprint": source.fingerprint}
    known |= {"names": list(source.names)} if source.names else {}
    return known | ({"space": source.space.noted} if source.space else {})


def _check_same(dir: Path, c: Config, source: Source) -> dict:
    old, env = read_config(dir), read_env(dir)
    if env["fingerprint"] == source.fingerprint:  # the same data may have moved, or have been packed, and so a space
        old = dataclasses.replace(old, data=c.data, space=c.space)
    changed = config.differences(old, c)
    if changed:
        fields = "\n  ".join(changed)
        raise JaxganError(
            f"{dir} holds a run with another configuration:\n  {fields}\nGive the same values to resume it, or choose "
            "another --dir. To change a number of hp on purpose from here on: --override hp.NAME=VALUE"
        )
    check_data(dir, c, env, source)
    log.read(dir / "metrics.jsonl")  # complains before anything is written
    return env | _described(source)


def examples(dir: Path | None, c: Config, source: Source | None = None) -> tuple[Source, Source | None]:
    """data.of_config for the run in dir, which may hold the arrays it was trained on; source: in place of them."""
    if source is None and dir is not None and c.data == kept.NAME:
        source = kept.kept(dir, c)
    return data.of_config(c, source)


def check_data(dir: Path, c: Config, env: dict, source: Source) -> None:
    """JaxganError if source does not hold what the run in dir was trained on."""
    if env["fingerprint"] == source.fingerprint:
        return
    (was, _, before), (images, _, now) = (text.partition(WITHIN) for text in (env["fingerprint"], source.fingerprint))
    if before and now and was == images:
        copy = f", move the new ones away, as the run keeps a copy of the old in {latent_space.FILE}"
        raise JaxganError(
            f"space is {c.space!r}, which is not what the run in {dir} was trained in (digest {now[:12]}, was "
            f"{before[:12]}): its autoencoder has other weights now. Bring the old ones back"
            f"{'' if c.space.startswith(config.SD_VAE) else copy}, or choose another --dir"
        )
    raise JaxganError(
        f"the data {source.name!r} are not what the run in {dir} was trained on (fingerprint "
        f"{source.fingerprint[:12]}, was {env['fingerprint'][:12]}); bring the old data back, say by --data where "
        "they are now, or choose another --dir"
    )


def read_config(dir: Path) -> Config:
    """The configuration of a run folder; reading it never runs code."""
    path = dir / "config.json"
    try:
        return config.load(path)
    except OSError as e:
        raise JaxganError(f"cannot read {path} ({e.strerror}); every run folder has one") from None
    except JaxganError as e:
        if str(path) in str(e):
            raise
        raise JaxganError(
            f"{path} is not the configuration of a run: {e} Restore it, or choose another folder"
        ) from None


def read_env(dir: Path) -> dict:
    """env.json of a run folder: shape and classes of the data, its fingerprint, and each start's environment.

    names, of the classes, are not there where they have none, nor in runs of version 0.1.0; init, {"run", "step",
    "digest"} of what a run with Config.init began with; space, of a run with Config.space, as latent_space.Space.noted.
    """
    path = dir / "env.json"
    try:
        env = json.loads(path.read_text("utf-8"))
        found = {name: env[name] for name in SOUND if name in env or name not in LATER}
        wrong = [name for name, value in found.items() if not SOUND[name](value)]
        if not wrong:
            return found
        reason = f"its {wrong[0]} is {json.dumps(found[wrong[0]])[:40]}"
    except OSError as e:
        reason = e.strerror or str(e)
    except KeyError as e:
        reason = f"it has no {e}"
    except (ValueError, TypeError) as e:
        reason = str(e)
    raise JaxganError(
        f"{path} is missing or damaged ({reason}); it describes the data of the run. Bring it back, or start the run "
        "again in another folder"
    )


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
    pictures, whole = sorted((dir / "samples").glob("[0-9]*.png")), dir / "samples" / "training.gif"
    if len(pictures) > 1 and jax.process_index() == 0:
        plots.animate(pictures, whole)
    return dir / "samples"
