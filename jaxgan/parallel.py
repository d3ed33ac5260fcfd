"""Devices: one program over one device, over all by pmap, or over all by jit with a NamedSharding.

The state is replicated, but for what zero1 splits, and the batch is split. Which device holds an example changes
nothing that the example sees.
"""

import contextlib
import dataclasses
import functools
import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxgan.errors import LostProcess
from jaxgan.types import Axis, JaxganError, State

DETERMINISTIC = "xla_gpu_deterministic_ops"
HEARTBEAT = 30  # seconds after which a silent process counts as lost; a closed connection is noticed at once


def compiler_options() -> dict[str, bool | str]:
    """What XLA is asked for wherever training is compiled; empty where there is nothing to ask.

    On a GPU: no sums in the order of arrival, and no kernels that a race of kernels chooses, so that a seed is a run.
    Who names the flag in XLA_FLAGS decides otherwise.
    """
    if jax.default_backend() != "gpu" or DETERMINISTIC in os.environ.get("XLA_FLAGS", ""):
        return {}
    return {DETERMINISTIC: True} if _known(DETERMINISTIC) else {}


@functools.cache
def _known(name: str) -> bool:
    """Whether this XLA knows the option."""
    try:
        jax.jit(lambda: 0, compiler_options={name: True}).lower().compile()
    except jax.errors.JaxRuntimeError:
        return False
    return True


def reproducible() -> bool:
    """Whether programs compiled here give the same bits every time."""
    asked = f"{DETERMINISTIC}=true" in os.environ.get("XLA_FLAGS", "")
    return jax.default_backend() != "gpu" or asked or DETERMINISTIC in compiler_options()


class Devices(NamedTuple):
    """How a step runs.

    mode:    "one", "pmap", "jit" or "zero1"
    axis:    the game's axis
    count:   devices over all processes
    local:   devices of this process
    split:   host batches [k, updates, b, ...] (this process's share) -> the compiled step's input
    replicate: tree of arrays that every process holds -> the same on every device
    place:   a State that every process holds -> the compiled step's input
    compile: (f(rows, state, n) -> state, out; rows are split) -> the function over all devices, which has `lower` as
             those of jax.jit do; state is donated
    """

    mode: str
    axis: Axis
    count: int  # type: ignore[assignment]  # hides a method of tuples
    local: int
    split: Callable
    replicate: Callable
    place: Callable
    compile: Callable


def start(coordinator: str = "", processes: int = 0, process: int = -1) -> None:
    """Join the other processes of a run; called before anything else touches a device.

    With no arguments it joins only where a launcher (Slurm, Open MPI, Cloud TPU pods, Kubernetes) has set several
    processes up and jax.distributed detects them. Raises JaxganError for arguments that do not name one of several.
    """
    if coordinator or processes or process != -1:
        host, _, port = coordinator.rpartition(":")
        if not host or not port.isdigit():
            raise JaxganError(
                f"--coordinator is {coordinator!r}; expected HOST:PORT of process 0, such as 10.0.0.1:1234"
            )
        if processes < 1:
            raise JaxganError(f"--processes is {processes}; with --coordinator give how many take part, such as 2")
        if not 0 <= process < processes:
            raise JaxganError(f"--process is {process}; expected 0 to {processes - 1}, another one for each process")
        jax.distributed.initialize(coordinator, processes, process, heartbeat_timeout_seconds=HEARTBEAT)
    elif jax.distributed.is_initialized():  # Ray's JaxTrainer has done it
        return
    elif any(int(os.environ.get(n, 1)) > 1 for n in ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE")) or (
        "," in os.environ.get("TPU_WORKER_HOSTNAMES", "")
    ):
        jax.distributed.initialize(heartbeat_timeout_seconds=HEARTBEAT)


@contextlib.contextmanager
def together() -> Iterator[None]:
    """A context in which the end of another process is LostProcess, in place of an error of XLA's communication."""
    try:
        yield
    except jax.errors.JaxRuntimeError as e:
        if jax.process_count() == 1 or "RESOURCE_EXHAUSTED" in str(e):
            raise
        raise LostProcess(
            f"another process of this run was lost ({str(e).splitlines()[0][:200]}); start all of them again with the "
            "same commands, and the run goes on from its newest checkpoint"
        ) from e


def devices(parallel: str = "auto", pool: list | None = None) -> Devices:
    """The way to run on all devices there are; parallel as in Config.

    pool: several devices of a machine that is not there. Programs compile for them; shapes stand in for what they hold.
    """
    count = len(pool) if pool else jax.device_count()
    if count == 1:
        return one()
    mode = "pmap" if parallel == "auto" else parallel
    return _pmap(count, pool) if mode == "pmap" else _jit(count, pool, spread=mode == "zero1")


def one() -> Devices:
    """The way to run on one device, of however many there are."""
    return Devices("one", None, 1, 1, jax.device_put, jax.device_put, jax.device_put, partial(_compile_one))


def share(batch: int, d: Devices, name: str = "batch", accumulate: int = 1) -> int:
    """Examples that one call of the step sees: a device's under pmap, all of them elsewhere.

    JaxganError where devices, and micro-batches on each of them, do not divide the batch.
    """
    parts = d.count * accumulate
    if batch % parts:
        near = max(parts, round(batch / parts) * parts)
        micro = f"{accumulate} micro-batches" if accumulate > 1 else ""
        over = " of ".join(filter(None, [micro, f"{d.count} devices" if d.count > 1 or not micro else ""]))
        raise JaxganError(
            f"{name} {batch} cannot be split over {over}; {_kept(batch, d, accumulate)}in a new run use a multiple of "
            f"{parts}, such as --{name} {near}"
        )
    return batch // d.count if d.mode == "pmap" else batch


def _kept(batch: int, d: Devices, accumulate: int) -> str:
    """How a run that has begun, and so keeps its batch, can go on: the most devices or micro-batches that divide it."""
    devices = next((n for n in range(d.count, 0, -1) if batch % (n * accumulate) == 0), 0)
    micro = next((n for n in range(accumulate, 0, -1) if batch % (d.count * n) == 0), 0)
    shown = {"gpu": " (CUDA_VISIBLE_DEVICES)", "tpu": " (TPU_VISIBLE_CHIPS)"}.get(jax.default_backend(), "")
    ways = [f"{devices} of the devices{shown}"] * bool(devices) + [f"--accumulate {micro}"] * bool(micro)
    return f"a run that has begun goes on with {' or '.join(ways)}; " if ways else ""


def first(work: Callable):
    """work() by process 0, and then by the others, who find its files; on all JaxganError where it fails on one."""
    if jax.process_count() == 1:
        return work()
    from jax.experimental.multihost_utils import process_allgather

    result, error = None, None
    for turn in (True, False):
        if turn == (jax.process_index() == 0) and error is None:
            try:
                result = work()
            except JaxganError as e:
                error = e
        if process_allgather(np.array(error is not None)).any():
            raise error or JaxganError("another process of this run could not start; see its message")
    return result


def local(tree):
    """tree with each replicated array as this process's first device holds it; what is split stays so."""
    alone = lambda x: isinstance(x, jax.Array) and x.is_fully_replicated  # noqa: E731
    return jax.tree.map(lambda x: x.addressable_data(0) if alone(x) else x, tree)


def whole(tree):
    """`local`, and arrays that are split as numpy's, one after the other; all processes have to call it."""

    def gathered(x):
        if not isinstance(x, jax.Array) or x.is_fully_replicated:
            return x
        if x.is_fully_addressable:
            return np.asarray(x)
        from jax.experimental.multihost_utils import process_allgather

        return process_allgather(x, tiled=True)

    return jax.tree.map(gathered, local(tree))


def _compile_one(f, rows_split: bool):
    return jax.jit(f, donate_argnums=1, compiler_options=compiler_options())


def shapes(tree):
    """tree with each array as its shape and type."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree)


def _pmap(count: int, pool: list | None = None) -> Devices:
    n_local = len(pool or jax.local_devices())
    mesh = Mesh(np.array(pool or jax.local_devices()), ("devices",))

    def split(rows):
        if pool:
            cut = lambda r: jax.ShapeDtypeStruct((n_local, *r.shape[:2], r.shape[2] // n_local, *r.shape[3:]), r.dtype)  # noqa: E731
            return jax.tree.map(cut, rows)

        def one(r):  # [k, updates, local batch, ...] -> [local devices, k, updates, b, ...]
            r = r.reshape(*r.shape[:2], n_local, r.shape[2] // n_local, *r.shape[3:])
            return np.moveaxis(r, 2, 0)

        return jax.tree.map(one, rows)

    def compile(f, rows_split: bool):
        # pmap wants one mapped argument; a row of zeros serves where everything else is replicated
        mapped = jax.pmap(
            lambda _, *args: f(*args),
            axis_name="devices",
            in_axes=(0, 0 if rows_split else None, None, None),
            out_axes=None,
            donate_argnums=2,
            devices=pool,
        )
        call = partial(_ahead(mapped) if compiler_options() else mapped, np.zeros(n_local))
        call.lower = partial(mapped.lower, np.zeros(n_local))  # type: ignore[attr-defined]
        return call

    replicated = NamedSharding(mesh, PartitionSpec())
    replicate = shapes if pool else lambda t: jax.device_put(t, replicated)
    return Devices("pmap", "devices", count, n_local, split, replicate, replicate, compile)


def _ahead(mapped) -> Callable:
    """A pmapped function, for arguments of one shape, compiled with compiler_options, which pmap does not take."""
    made: list[Callable] = []

    def call(*args):
        if not made:
            made.append(mapped.lower(*args).compile(compiler_options=compiler_options()))
        return made[0](*args)

    return call


def _jit(count: int, pool: list | None = None, spread: bool = False) -> Devices:
    """spread: each device keeps a part of what the optimizers remember, and updates that part of the parameters.

    ZeRO's first stage, Rajbhandari et al. 2019, arXiv 1910.02054: XLA sends the parts of the update to all.
    """
    every = np.array(pool or jax.devices())
    mesh = Mesh(every, ("devices",))
    replicated = NamedSharding(mesh, PartitionSpec())
    by_example = NamedSharding(mesh, PartitionSpec(None, None, "devices"))

    def places(state: State) -> State:
        found = jax.tree.map(lambda _: replicated, state)
        return dataclasses.replace(found, opt=jax.tree.map(partial(_parts, every), state.opt)) if spread else found

    def split(rows):
        return jax.tree.map(lambda r: jax.make_array_from_process_local_data(by_example, r), rows)

    def compile(f, rows_split: bool):
        rows = by_example if rows_split else replicated
        made: list = []

        def program(state):
            if not made:
                where = places(state)
                jitted = jax.jit(
                    f,
                    donate_argnums=1,
                    in_shardings=(rows, where, None),
                    out_shardings=(where, replicated),
                    compiler_options=compiler_options(),
                )
                made.append(jitted)
            return made[0]

        call = lambda rows, state, n: program(state)(rows, state, n)  # noqa: E731
        call.lower = lambda rows, state, n: program(state).lower(rows, state, n)  # type: ignore[attr-defined]
        return call

    def put(x, where):  # device_put takes no array of one process to devices of another
        if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(put(jax.random.key_data(x), where), impl=jax.random.key_impl(x))
        return jax.make_array_from_callback(x.shape, where, np.asarray(x).__getitem__)

    axis, mode = NamedSharding(mesh, PartitionSpec("devices")), "zero1" if spread else "jit"
    if pool:
        return Devices(mode, axis, count, count, shapes, shapes, shapes, compile)
    replicate = partial(jax.tree.map, partial(put, where=replicated))
    place = lambda state: jax.tree.map(put, state, places(state))  # noqa: E731
    return Devices(mode, axis, count, jax.local_device_count(), split, replicate, place, compile)


def _parts(every: np.ndarray, x) -> NamedSharding:
    """Where the parts of x lie on devices [n]: each prime factor of n cuts the first axis that it still divides.

    A factor that divides none leaves copies. The last axis is cut last, as a TPU pads it to 128.
    """
    factors = _primes(len(every))
    names = [f"part{i}" for i in range(len(factors))]
    sizes = list(x.shape)
    spec: list[tuple[str, ...]] = [()] * x.ndim
    for name, n in zip(names, factors):
        if (axis := next((i for i, size in enumerate(sizes) if size % n == 0), None)) is not None:
            sizes[axis] //= n
            spec[axis] += (name,)
    return NamedSharding(Mesh(every.reshape(factors), names), PartitionSpec(*spec))


def _primes(n: int) -> list[int]:
    """Prime factors of n, 2 and more."""
    least = next((i for i in range(2, int(n**0.5) + 1) if n % i == 0), n)
    return [least, *_primes(n // least)] if least < n else [n]
