"""Checkpoints by Orbax, each with the digest of what it holds; and digests, the identity of a training state.

A checkpoint holds plain arrays (keys as their uint32 data), so that it opens on any number of devices and without
running code. One that does not open, or whose digest differs, is set aside and the one before it is taken.
"""

import contextlib
import dataclasses
import errno
import logging
import math
import os
import re
import shutil
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan import disk, parallel
from jaxgan.changes import LATER
from jaxgan.config import Hp
from jaxgan.metrics import HIGHER
from jaxgan.metrics.names import find
from jaxgan.types import JaxganError, State, named

FORMAT = 1
DEFAULTS = dataclasses.asdict(Hp())  # of the numbers that an earlier version's checkpoint does not have
# Orbax numbers all saves of a process by one counter, and reads it several times as one starts: where another thread's
# moves it meanwhile, a save writes into its folder before that is made, and clears it away then
_STARTS = threading.Lock()
MARGIN = 2**20  # bytes that a checkpoint takes beside its arrays, at most


def to_host(state: State) -> dict:
    """state as {field: tree of numpy arrays}; the key as its data."""
    fields = vars(state) | {"key": jax.random.key_data(state.key)}
    return jax.tree.map(np.asarray, parallel.whole(fields))


def from_host(fields: dict) -> State:
    """The inverse of to_host."""
    key = jax.random.wrap_key_data(jnp.asarray(fields["key"]), impl="threefry2x32")
    return State(**{**fields, "key": key})


def digest(fields: dict) -> str:
    """SHA-256 over names, types, shapes and bytes of all arrays in to_host's result; of changes.LATER, if not there."""
    absent = {name for name, rest in LATER.items() if np.array_equal(fields["hp"].get(name), np.float32(rest))}
    hp = {name: value for name, value in fields["hp"].items() if name not in absent}
    arrays = jax.tree.leaves_with_path({**fields, "hp": hp})
    return disk.digest({jax.tree_util.keystr(path): array for path, array in arrays})


def check_best(text: str) -> None:
    """JaxganError where text is neither empty nor "min METRIC" or "max METRIC"."""
    if text and not re.fullmatch(r"(min|max) \S+", text):
        raise JaxganError(f'eval.best is {text!r}; expected "min METRIC" or "max METRIC", such as "min fid"')


class Checkpoints:
    """The checkpoints of one run folder; close it before the process ends, or the last save is lost."""

    def __init__(self, dir: Path, keep: int, read_only: bool = False, best: str = ""):
        """best: "min METRIC" or "max METRIC", by which one more checkpoint is kept; "" is the first that is saved."""
        import orbax.checkpoint as ocp

        self.ocp, self.dir, self.read_only = ocp, dir.absolute(), read_only
        self.best, self.objective = best, ""
        self.failed = False
        _QUIET.enter()
        try:
            self.options = self._options(keep)
            self.manager = self._open()
            self.objective = next((kept["objective"] for kept in reversed(self._ranks().values())), "")
        except BaseException:
            _QUIET.leave()
            raise

    def _options(self, keep: int):
        from orbax.checkpoint.checkpoint_managers import preservation_policy

        first = preservation_policy.BestN(get_metric_fn=self._rank, n=1, keep_checkpoints_without_metrics=False)
        return self.ocp.CheckpointManagerOptions(
            preservation_policy=preservation_policy.AnyPreservationPolicy([preservation_policy.LatestN(keep), first]),
            best_fn=self._rank,
            step_format_fixed_length=8,
            cleanup_tmp_directories=not self.read_only,
            read_only=self.read_only,
        )

    def _open(self):
        return self.ocp.CheckpointManager(
            self.dir, options=self.options, item_names=("state", "meta"), item_handlers=self._handlers()
        )

    def _handlers(self):
        return {"state": self.ocp.StandardCheckpointHandler(), "meta": self.ocp.JsonCheckpointHandler()}

    def _rank(self, kept: dict) -> float:
        """Higher is better; what was kept by another metric than the newest is below all."""
        return kept["rank"] if kept["objective"] == self.objective else -math.inf

    def _ranks(self) -> dict[int, dict]:
        """{step: what is kept beside its checkpoint} of those that are ranked, the newest last."""
        return {step: kept for step in sorted(self.manager.all_steps()) if (kept := self.manager.metrics(step))}

    def best_step(self) -> int | None:
        """The step of the checkpoint that is best, the latest of equals; None where none was ranked."""
        ranks = self._ranks()
        return max(ranks, key=lambda step: (self._rank(ranks[step]), step), default=None)

    def save(self, step: int, fields: dict, digest: str, scores: Mapping[str, float] | None = None) -> None:
        """Start saving to_host's result under step; it is there after the next save or close returns.

        scores: metrics of this step, by one of which the best is kept.
        """
        meta = {"digest": digest, "format": FORMAT}
        args = self.ocp.args.Composite(state=self.ocp.args.StandardSave(fields), meta=self.ocp.args.JsonSave(meta))
        with self._clear_errors():
            self.manager.wait_until_finished()
            # Orbax would find out in the middle, with some of its writes under way and more to say than an error
            if shutil.disk_usage(self.dir).free < sum(x.nbytes for x in jax.tree.leaves(fields)) + MARGIN:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            with _STARTS:
                self.manager.save(step, args=args, metrics=self._ranked(scores or {}), force=True)

    def _ranked(self, scores: Mapping[str, float]) -> dict | None:
        """What is kept beside a checkpoint, to rank it by; None where it has no scores, or not the one that ranks."""
        if not scores:
            return None
        try:
            name = find(self.best.split()[1], scores) if self.best else next(iter(scores))
        except JaxganError:  # the look that made the scores has said so
            return None
        sign = self.best.split()[0] if self.best else "max" if name.split("/")[0] in HIGHER else "min"
        self.objective = f"{sign} {name}"
        return {"objective": self.objective, "rank": scores[name] * (1 if sign == "max" else -1)}

    def restore(self, like: dict, say=print, only: int | None = None) -> dict | None:
        """The newest checkpoint that is whole, like `like` (to_host's result or shapes), or None without any.

        only: the step of the one to take.
        """
        steps = sorted((int(p.name) for p in self.dir.glob("[0-9]*") if p.name.isdigit()), reverse=True)
        if only is not None:
            if only not in steps:
                there = ", ".join(map(str, reversed(steps))) or "none"
                raise JaxganError(f"{self.dir} has no checkpoint of step {only}; there are those of: {there}")
            steps = [only]
        damaged = {}
        for step in steps:
            try:
                fields = self._read(step, like)
            except _Foreign as e:
                raise JaxganError(
                    f"the checkpoint {self._path(step)} does not fit this run: {e}. Bring the run's own "
                    "checkpoint back, or choose another --dir"
                ) from None
            except Exception as e:  # whatever a damaged file makes Orbax raise
                damaged[step] = (
                    "its contents differ from its digest" if isinstance(e, _Differs) else "it cannot be read"
                )
                continue
            for bad, reason in damaged.items():
                say(f"checkpoint {bad} is damaged: {reason}; taking the one before it{self._set_aside(bad)}")
            return fields
        if steps:
            raise JaxganError(
                f"none of the {len(steps)} checkpoints in {self.dir} is whole: "
                + ", ".join(f"{step}: {reason}" for step, reason in damaged.items())
                + ". Nothing was changed; bring one back, or start again with another --dir"
            )
        return None

    def _read(self, step: int, like: dict) -> dict:
        args = self.ocp.args
        meta = self.manager.restore(step, args=args.Composite(meta=args.JsonRestore()))["meta"]
        if meta["format"] != FORMAT:
            raise _Foreign(f"it has format {meta['format']}, this version reads {FORMAT}")
        metadata = self.manager.item_metadata(step)["state"]
        saved = metadata.tree if hasattr(metadata, "tree") else metadata
        wanted, there = like["hp"], saved.get("hp", ())
        like = like | {"hp": {n: x for n, x in wanted.items() if n in there or n not in DEFAULTS}}
        _check_shapes(saved, like)
        target = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), like)  # numpy: any number of devices may read it
        fields = self.manager.restore(step, args=args.Composite(state=args.StandardRestore(target)))["state"]
        if digest(fields) != meta["digest"]:
            raise _Differs
        return fields | {"hp": {n: fields["hp"].get(n, np.float32(DEFAULTS.get(n, 0))) for n in wanted}}

    def _path(self, step: int) -> Path:
        return self.dir / f"{step:08d}"

    def _set_aside(self, step: int) -> str:
        """Keep a damaged checkpoint where no save can meet it -> words that say where."""
        if self.read_only:
            return ""
        self.manager.close()
        target = self.dir.parent / "damaged" / f"{step:08d}"
        if jax.process_index() == 0:
            target.parent.mkdir(exist_ok=True)
            shutil.rmtree(target, ignore_errors=True)
            self._path(step).rename(target)
        if jax.process_count() > 1:
            from jax.experimental.multihost_utils import sync_global_devices

            sync_global_devices("set aside")
        self.manager = self._open()
        return f", and keeping it in {target}"

    def wait(self) -> None:
        """Until the last save is there."""
        with self._clear_errors():
            self.manager.wait_until_finished()

    def close(self) -> None:
        """Wait for the last save, and end."""
        try:
            with self._clear_errors():
                self.manager.close()
        finally:
            if self.failed:
                time.sleep(1)  # for the other writes of that checkpoint: at the end of the process no hook hears them
            _QUIET.leave()

    @contextlib.contextmanager
    def _clear_errors(self):
        """Turns what Orbax raises while it writes into one sentence."""
        try:
            yield
        except Exception as e:
            self.failed = True
            raise JaxganError(
                f"could not write a checkpoint to {self.dir} ({_reason(e)}); earlier checkpoints are untouched. Free "
                "some space or mend the folder's permissions, then run the same command again to resume"
            ) from e


def asked(saved: Checkpoints, dir: Path, step: int | str | None) -> int | None:
    """The step that is asked for by its number, or as best; JaxganError where that is neither or not there."""
    if step in (None, ""):
        return None
    if step == "best":
        found = saved.best_step()
        if found is None:
            raise JaxganError(
                f"no checkpoint in {dir} was kept for being the best; train with --eval-every 500, which keeps it"
            )
        return found
    if not str(step).isdigit():
        raise JaxganError(f"step is {step!r}; expected a number of a checkpoint, or best")
    return int(step)


class _Foreign(Exception):
    """A checkpoint of something else."""


class _Differs(Exception):
    """A checkpoint whose arrays are not those that were saved."""


def _not_of_orbax(record: logging.LogRecord) -> bool:
    """False for what asyncio says of Orbax's writes when one of them has failed, which is reported here."""
    return "orbax" not in record.getMessage()


class _Quiet:
    """While any checkpoints are open: no word of Orbax, whose errors are reported here, nor of its late writes."""

    def __init__(self):
        self.lock, self.open = threading.Lock(), 0  # several trainings may be, in several threads

    def enter(self):
        with self.lock:
            if not self.open:
                self.before, sys.unraisablehook = sys.unraisablehook, self.hear
                self.level = logging.getLogger("absl").level
                logging.getLogger("absl").setLevel(logging.CRITICAL)
                logging.getLogger("asyncio").addFilter(_not_of_orbax)
            self.open += 1

    def leave(self):
        with self.lock:
            self.open -= 1
            if not self.open:
                sys.unraisablehook = self.before
                logging.getLogger("absl").setLevel(self.level)
                logging.getLogger("asyncio").removeFilter(_not_of_orbax)

    def hear(self, event):
        """What late writes say when an earlier write of the same checkpoint has failed is no news."""
        if str(event.exc_value) != "Event loop is closed":
            self.before(event)


_QUIET = _Quiet()


def _reason(error: BaseException) -> str:
    """The operating system's words inside whatever Orbax made of them, else the first line."""
    chain: list[BaseException] = []
    one: BaseException | None = error
    while one is not None:
        chain.append(one)
        one = one.__cause__ or one.__context__
    for link in chain:
        if isinstance(link, OSError) and link.strerror:
            return link.strerror
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO):
        if any(os.strerror(number) in str(link) for link in chain):
            return os.strerror(number)
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def _check_shapes(saved, like: dict) -> None:
    """_Foreign with the first array that is missing, extra or of another shape."""

    def shapes(t):
        return {name: tuple(x.shape) for name, x in named(t).items()}

    saved, wanted = shapes(saved), shapes(like)
    if not saved:
        raise ValueError("it does not say what it holds")
    for name in sorted(saved.keys() | wanted.keys()):
        if saved.get(name) != wanted.get(name):
            raise _Foreign(f"{name} is {saved.get(name, 'missing')} there and {wanted.get(name, 'missing')} here")
