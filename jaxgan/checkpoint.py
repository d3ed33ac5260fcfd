"""Checkpoints by Orbax, each with the digest of what it holds; and digests, the identity of a training state.

A checkpoint holds plain arrays (keys as their uint32 data), so that it opens on any number of devices and without
running code. One that does not open, or whose digest differs, is set aside and the one before it is taken.
"""

import hashlib
import logging
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan import parallel
from jaxgan.types import JaxganError, State

FORMAT = 1


def to_host(state: State) -> dict:
    """state as {field: tree of numpy arrays}; the key as its data."""
    fields = vars(state) | {"key": jax.random.key_data(state.key)}
    return jax.tree.map(np.asarray, parallel.local(fields))


def from_host(fields: dict) -> State:
    """The inverse of to_host."""
    key = jax.random.wrap_key_data(jnp.asarray(fields["key"]), impl="threefry2x32")
    return State(**{**fields, "key": key})


def digest(fields: dict) -> str:
    """SHA-256 over names, types, shapes and bytes of all arrays in to_host's result."""
    total = hashlib.sha256()
    for path, array in sorted((jax.tree_util.keystr(p), a) for p, a in jax.tree.leaves_with_path(fields)):
        total.update(f"{path} {array.dtype} {array.shape}".encode())
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


class Checkpoints:
    """The checkpoints of one run folder; close it before the process ends, or the last save is lost."""

    def __init__(self, dir: Path, keep: int, read_only: bool = False):
        import orbax.checkpoint as ocp
        from orbax.checkpoint.checkpoint_managers import preservation_policy

        logging.getLogger("absl").setLevel(logging.CRITICAL)  # Orbax logs what is reported here anyway
        self.ocp, self.dir, self.read_only = ocp, dir.absolute(), read_only
        self.options = ocp.CheckpointManagerOptions(
            preservation_policy=preservation_policy.LatestN(keep),
            step_format_fixed_length=8,
            cleanup_tmp_directories=not read_only,
            read_only=read_only,
        )
        self.manager = self._open()

    def _open(self):
        return self.ocp.CheckpointManager(
            self.dir, options=self.options, item_names=("state", "meta"), item_handlers=self._handlers()
        )

    def _handlers(self):
        return {"state": self.ocp.StandardCheckpointHandler(), "meta": self.ocp.JsonCheckpointHandler()}

    def save(self, step: int, fields: dict, digest: str) -> None:
        """Start saving to_host's result under step; it is there after the next save or close returns."""
        meta = {"digest": digest, "format": FORMAT}
        args = self.ocp.args.Composite(state=self.ocp.args.StandardSave(fields), meta=self.ocp.args.JsonSave(meta))
        with self._clear_errors():
            self.manager.save(step, args=args, force=True)

    def restore(self, like: dict, say=print) -> dict | None:
        """The newest checkpoint that is whole, like `like` (to_host's result or shapes), or None without any."""
        steps = sorted(self.manager.all_steps(), reverse=True)
        for step in steps:
            try:
                return self._read(step, like)
            except _Foreign as e:
                raise JaxganError(f"the checkpoint {self._path(step)} does not fit this run: {e}") from None
            except Exception as e:  # whatever a damaged file makes Orbax raise
                say(f"checkpoint {step} is damaged ({_first_line(e)}); taking the one before it")
                self._set_aside(step)
        if steps:
            raise JaxganError(
                f"none of the {len(steps)} checkpoints of {self.dir.parent} can be read; nothing was deleted. "
                "Start again with another --dir"
            )
        return None

    def _read(self, step: int, like: dict) -> dict:
        args = self.ocp.args
        meta = self.manager.restore(step, args=args.Composite(meta=args.JsonRestore()))["meta"]
        if meta["format"] != FORMAT:
            raise _Foreign(f"it has format {meta['format']}, this version reads {FORMAT}")
        _check_shapes(self.manager.item_metadata(step)["state"], like)
        target = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), like)
        fields = self.manager.restore(step, args=args.Composite(state=args.StandardRestore(target)))["state"]
        if digest(fields) != meta["digest"]:
            raise ValueError("its contents differ from its digest")
        return fields

    def _path(self, step: int) -> Path:
        return self.dir / f"{step:08d}"

    def _set_aside(self, step: int) -> None:
        if self.read_only:
            return
        if jax.process_index() == 0:
            target = self.dir.parent / "damaged" / f"{step:08d}"
            target.parent.mkdir(exist_ok=True)
            shutil.rmtree(target, ignore_errors=True)
            self._path(step).rename(target)
        self.manager.close()
        self.manager = self._open()

    def close(self) -> None:
        """Wait for the last save."""
        with self._clear_errors():
            self.manager.wait_until_finished()
            self.manager.close()

    def _clear_errors(self):
        return _ClearErrors(self.dir)


class _Foreign(Exception):
    """A checkpoint of something else."""


class _ClearErrors:
    """Turns what Orbax raises while it writes into one sentence."""

    def __init__(self, dir: Path):
        self.dir = dir

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if isinstance(error, Exception) and not isinstance(error, JaxganError):
            raise JaxganError(
                f"could not write a checkpoint to {self.dir} ({_first_line(error)}); earlier checkpoints are untouched. "
                "Free some space or mend the folder's permissions, then run the same command again to resume"
            ) from error


def _first_line(error: Exception) -> str:
    cause = error
    while not isinstance(cause, OSError) and (cause.__cause__ or cause.__context__):
        cause = cause.__cause__ or cause.__context__
    return (str(cause if isinstance(cause, OSError) else error).strip() or type(error).__name__).splitlines()[0][:200]


def _check_shapes(metadata, like: dict) -> None:
    """_Foreign with the first array that is missing, extra or of another shape."""
    tree = metadata.tree if hasattr(metadata, "tree") else metadata

    def shapes(t):
        return {
            jax.tree_util.keystr(p, simple=True, separator="."): tuple(x.shape)
            for p, x in jax.tree.leaves_with_path(t)
        }

    saved, wanted = shapes(tree), shapes(like)
    for name in sorted(saved.keys() | wanted.keys()):
        if saved.get(name) != wanted.get(name):
            raise _Foreign(f"{name} is {saved.get(name, 'missing')} there and {wanted.get(name, 'missing')} here")
