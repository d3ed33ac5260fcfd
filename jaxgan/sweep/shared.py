"""What members of a group share: game, data on the devices, and the program that advances `width` of them at once.

map: one member after the other on each device, by the loop of a run alone, and with its bits. vmap: all at once; equal
to a run alone up to rounding. Members are spread over the devices of this process, and never talk to each other.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxgan import checkpoint, encoded, games, parallel, program, transfer, unused
from jaxgan.config import Config, Hp
from jaxgan.errors import JaxganError
from jaxgan.fields import facts
from jaxgan.hp import Piece, pieces
from jaxgan.looks import Look, looks
from jaxgan.state import initializer, template
from jaxgan.types import Source, Tree

MODES = ("map", "vmap")
SHARE = 0.8  # of the memory that is free


class Shared(NamedTuple):
    """source: training examples. looks: as in looks.py. like: shapes of a checkpoint.

    start: (Config, what it begins with or None, say) -> the State before the first step.
    loop: (rows, state, n) -> state, metrics of one member.
    """

    c: Config
    source: Source
    looks: list[Look]
    start: Callable
    like: dict
    loop: Callable


def common(c: Config) -> Config:
    """c without what its group leaves open: the seed, free fields, and the values of Hp but for whether they are on."""
    on = {n: getattr(Hp, n) if found.always else 0.5 if found.off else 1.0 for n, found in facts(Hp).items()}
    hp = {n: on[n] if found.always or c.hp.on(n) else found.off for n, found in facts(Hp).items()}
    hp |= {n: (Piece(hp[n], hp[n], 1.0),) * count for n, count in pieces(c.hp).items()}
    free = {n: getattr(Config, n) for n, found in facts(Config).items() if found.free}
    least: dict[str, Any] = {n: facts(Config)[n].least if type(value) is int else value for n, value in free.items()}
    return dataclasses.replace(c, seed=0, hp=Hp(**hp), diagnose_every=int(c.diagnose_every > 0), **least)


def check(c: Config) -> None:
    """JaxganError for what the group of c cannot train on; cheap, so that all groups are checked before the first."""
    if jax.process_count() > 1:
        raise JaxganError(
            "a sweep runs in processes that do not join: start each without --coordinator or srun's ranks"
        )
    if c.profile:
        raise JaxganError("a sweep traces no member; train one alone: jaxgan train EXPERIMENT --profile")
    source, _ = _data(_named(c))
    encoded.game(c, source)
    program.check_sizes(c, source, parallel.one())
    program.check_accumulate(c, source)
    if source.size and not program.fits(c, source):
        raise JaxganError(
            f"a sweep keeps all data on the device, and {c.data} is {source.bytes / 2**20:,.0f} MB with feed "
            f"{c.feed!r}; use --feed device if it fits, else train the members one by one with jaxgan train"
        )


def check_used(c: Config) -> None:
    """JaxganError for what c sets and nothing uses; members of one group share the work."""
    unused.check(c, _reads(common(c)))


@functools.lru_cache
def _reads(c: Config) -> frozenset[str]:
    return program.reads(c, _data(_named(c))[0])


def shared(c: Config) -> Shared:
    """What the members of c's group share; kept for the next call."""
    return _shared(common(c))


@functools.lru_cache(maxsize=4)
def _shared(c: Config) -> Shared:
    source, held = _data(_named(c))
    game = games.make(c, source.shape, source.classes)
    initial = initializer(game, c.solver, source.shape)
    like = template(initial, c)

    def start(c: Config, given: transfer.Given | None = None, say=lambda text: None):
        return transfer.first(game, c, source.shape, initial(c), given, say)

    loop = program.from_device(game, source, c, c.batch)
    return Shared(c, source, looks(c, source, held), start, like, loop)


def _named(c: Config) -> Config:
    """The fields of c that say what the data are."""
    return Config(
        **{name: getattr(c, name) for name, found in facts(Config).items() if {"data", "space"} & {*found.of}}
    )


@functools.lru_cache(maxsize=2)
def _data(c: Config) -> tuple[Source, Source | None]:
    return encoded.of_config(c)


@functools.lru_cache(maxsize=1)  # groups on the same data share them
def _rows(c: Config) -> Tree:
    source, _ = _data(c)
    rows = source.rows(np.arange(source.size)) if source.size else {}
    return jax.device_put(rows, NamedSharding(mesh(), PartitionSpec()))


def mesh() -> Mesh:
    """The devices of this process in a row."""
    return Mesh(np.array(jax.local_devices()), ("members",))


def place(fields: list[dict]):
    """States of members, each as to_host makes it, on the devices: one State whose arrays have a leading axis."""
    stacked = jax.tree.map(lambda *xs: np.stack(xs), *fields)
    return checkpoint.from_host(jax.device_put(stacked, NamedSharding(mesh(), PartitionSpec("members"))))


@jax.jit
def _row(tree, i):
    return jax.tree.map(lambda x: x[i], tree)


def pick(tree, slot: int, width: int):
    """What member `slot` of `width` has in a tree with a leading axis, on its own device."""
    each = width // jax.local_device_count()

    def own(x):
        return next(s.data for s in x.addressable_shards if (s.index[0].start or 0) == slot // each * each)

    return _row(jax.tree.map(own, tree), np.int32(slot % each))


def advance(common: Shared, mode: str, width: int) -> Callable:
    """(states, steps int32 [width]) -> states, metrics: each member makes its own number of steps, 0 is none."""
    compiled = _compiled(common.c, mode, width)
    return lambda states, steps: compiled(_rows(_named(common.c)), states, steps)


@functools.lru_cache(maxsize=8)
def _compiled(c: Config, mode: str, width: int):
    loop, devices = _shared(c).loop, mesh()
    split, whole = PartitionSpec("members"), PartitionSpec()

    def many(rows, states, steps):
        if mode == "vmap":
            return jax.vmap(loop, (None, 0, 0))(rows, states, steps)
        return jax.lax.map(lambda one: loop(rows, *one), (states, steps))

    if devices.size > 1:  # no collectives: each device has members of its own, at their own pace
        many = jax.shard_map(many, mesh=devices, in_specs=(whole, split, split), out_specs=split, check_vma=False)

    def shaped(x):
        return jax.ShapeDtypeStruct((width, *x.shape), x.dtype, sharding=NamedSharding(devices, split))

    state = jax.eval_shape(lambda: _shared(c).start(c))
    arguments = _rows(_named(c)), jax.tree.map(shaped, state), jax.ShapeDtypeStruct((width,), np.int32)
    return jax.jit(many, donate_argnums=1).lower(*arguments).compile(parallel.compiler_options())


def rounded(width: int) -> int:
    """The least width that the devices divide, and that has so many places."""
    devices = jax.local_device_count()
    return -(-width // devices) * devices


def plan(configs: dict[str, Config], mode: str = "auto", width: int = 0) -> tuple[str, int]:
    """(mode, width) for the members of a group: map on a CPU, else vmap over as many as fit into memory."""
    if mode == "auto":
        mode = "map" if jax.default_backend() == "cpu" else "vmap"
    devices = jax.local_device_count()
    width = width or (devices if mode == "map" else len(configs))
    width = rounded(min(width, len(configs)))
    while mode == "vmap" and width > devices:
        used, limit = memory(next(iter(configs.values())), width), SHARE * free_memory()
        if used <= limit:
            break
        width = max(devices, int(width * limit / used) // devices * devices)
    return mode, width


def memory(c: Config, width: int) -> float:
    """Bytes on each device that vmap over `width` members of c's group needs; inf if it cannot be compiled."""
    try:
        found = _compiled(common(c), "vmap", width).memory_analysis()
    except jax.errors.JaxRuntimeError as e:  # TPUs find out while compiling
        if "RESOURCE_EXHAUSTED" not in str(e):
            raise
        return 2 * SHARE * free_memory()  # half of the width is tried next
    if found is None:
        return 0
    states = found.argument_size_in_bytes  # once more, for what is looked at while the next dispatch runs
    made = found.output_size_in_bytes - found.alias_size_in_bytes + found.temp_size_in_bytes
    return 2 * states + made


def free_memory() -> float:
    """Bytes that this process may still take on each of its devices."""
    stats = [d.memory_stats() or {} for d in jax.local_devices()]
    if all("bytes_limit" in s for s in stats):
        return min(s["bytes_limit"] - s.get("bytes_in_use", 0) for s in stats)
    import psutil

    return psutil.virtual_memory().available / len(stats)
