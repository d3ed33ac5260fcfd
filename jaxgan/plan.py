"""Plan a pod: compile the real train step for TPUs that are not there, and read off what it would need and do.

Nothing runs on a TPU here. XLA's TPU compiler (libtpu) says whether the program fits, and what it made of it.
"""

import dataclasses
import importlib.util
import os
import re
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import numpy as np

from jaxgan import encoded, games, parallel, program
from jaxgan.backend import PLATFORM, portable
from jaxgan.config import Config
from jaxgan.data import rows
from jaxgan.errors import JaxganError, nearest
from jaxgan.hlo import all_reduces, cycles, fill, looped, shape_bytes, weights
from jaxgan.log import show
from jaxgan.state import advance, initial
from jaxgan.types import Source


class Chip(NamedTuple):
    """Memory in bytes, peak bfloat16 FLOP/s and memory bytes/s of one chip, and its matrix units' size and number."""

    memory: int
    flops: float
    bandwidth: float
    unit: int
    units: int


# cloud.google.com/tpu/docs/v4, /v5e, /v5p and /v6e, "System architecture"
CHIPS = {
    "v4": Chip(32 * 2**30, 275e12, 1228e9, 128, 8),
    "v5e": Chip(16 * 2**30, 197e12, 819e9, 128, 4),
    "v5p": Chip(95 * 2**30, 459e12, 2765e9, 128, 8),
    "v6e": Chip(32 * 2**30, 918e12, 1640e9, 256, 4),
}
EXAMPLES = {"v4": "v4:2x2x1", "v5e": "v5e:2x4", "v5p": "v5p:2x2x1", "v6e": "v6e:2x4"}
CLOSE = 32  # the search for the largest batch stops within 1 / CLOSE of it


def plan(c: Config, topology: str, search: bool = False, source: Source | None = None, say=show) -> dict:
    """What c's train step needs and does on each chip of `topology`, such as v5e:4x4; see `measure` for the fields.

    search: the largest batch that fits takes the place of c.batch. source: real examples in place of c.data. Raises
    JaxganError where libtpu is missing, the topology is unknown, or chips do not divide the batch.
    """
    pool, chip = chips(topology)
    source = encoded.of_config(c, source)[0]
    if not search:
        return {"topology": topology, **measure(build(c, source, pool), c, source, chip, len(pool))}
    if c.fake_batch:
        raise JaxganError("--search-batch changes the batch, but fake_batch is fixed; leave --fake-batch at 0")
    rows, unit = {}, len(pool) * c.accumulate

    def fits(batch: int) -> bool:
        new = dataclasses.replace(c, batch=batch)
        rows[batch] = measure(build(new, source, pool), new, source, chip, len(pool))
        say(f"batch {batch:,}: {'fits' if rows[batch]['fits'] else 'does not fit'}")
        return rows[batch]["fits"]

    best, over = largest(fits, -(-c.batch // unit) * unit, unit, source.size or 2**30)
    if not best:
        raise JaxganError(f"not even a batch of {unit} fits on {topology}; use a smaller --width, or more --accumulate")
    return {"topology": topology, **rows[best], "too_large": over}


def stand_in(shape: str, classes: int, flip: bool) -> Source:
    """Data of this shape, such as 64x64x3, that nobody has here: as many zeros as are streamed from the host."""
    try:
        h, w, c = (int(n) for n in shape.split("x"))
    except ValueError:
        raise JaxganError(f"--shape is {shape!r}; expected HEIGHTxWIDTHxCHANNELS, such as 64x64x3") from None
    images = np.broadcast_to(np.uint8(0), (2**22, h, w, c))  # which takes no memory
    return rows.table(images, None, "data that are not here", shape, classes, flip)


def chips(topology: str) -> tuple[list, Chip]:
    """The devices of a topology GENERATION:AxB or AxBxC, which can be compiled for only, and what each of them is."""
    generation = topology.partition(":")[0]
    known = f"Known: {', '.join(EXAMPLES.values())} and larger ones, such as v5e:4x4"
    if generation not in CHIPS:
        raise JaxganError(f"there is no topology {topology!r}.{nearest(topology, EXAMPLES.values())} {known}")
    if importlib.util.find_spec("libtpu") is None:
        raise JaxganError("planning needs XLA's TPU compiler, though no TPU: pip install -e '.[tpu]' (or libtpu)")
    os.environ |= {"TPU_SKIP_MDS_QUERY": "1", "TPU_WORKER_HOSTNAMES": "localhost", "ALLOW_MULTIPLE_LIBTPU_LOAD": "1"}
    from jax.experimental import topologies

    try:
        devices = topologies.get_topology_desc(platform="tpu", topology_name=topology).devices
    except Exception as e:  # of a type that differs between versions of JAX
        reason = str(e).splitlines()[0]
        raise JaxganError(f"the TPU compiler has no topology {topology!r} ({reason}). {known}") from None
    if len(devices) < 2:
        raise JaxganError(f"{topology} is one chip; planning needs two or more, such as {EXAMPLES[generation]}")
    return list(devices), CHIPS[generation]


def build(c: Config, source: Source, pool: list) -> jax.stages.Compiled | str:
    """The program that training would run on the devices in pool, one step a call; XLA's words if it does not fit."""
    lowered = lower(c, source, pool)
    try:
        return lowered.compile()
    except jax.errors.JaxRuntimeError as e:
        if "RESOURCE_EXHAUSTED" not in str(e):
            raise
        return str(e)


def lower(c: Config, source: Source, pool: list) -> jax.stages.Lowered:
    """The program for pool before XLA compiles it."""
    devices = parallel.devices(c.parallel, pool)
    token = PLATFORM.set("tpu")
    try:
        game = encoded.game(c, source, devices.axis)
        state = jax.eval_shape(partial(initial, game, c, source.shape))
        return program.build(game, source, c, devices).lower(state)
    finally:
        PLATFORM.reset(token)


def written(c: Config, shape: tuple[int, ...], classes: int, size: int) -> jax.stages.Lowered:
    """A step on one device on so many examples, before XLA compiles it: of plain convolutions, whatever this machine.

    By its text FLOPs are counted that do not depend on where.
    """
    source, game = stand_in("x".join(map(str, shape)), classes, c.flip), games.make(c, shape, classes)
    state = jax.eval_shape(lambda: initial(game, c, shape))
    rows = {"x": jax.ShapeDtypeStruct((size, *shape), np.uint8), "y": jax.ShapeDtypeStruct((size,), np.int32)}
    step = jax.jit(lambda rows, state: advance(game, c, source, rows, state))
    return portable(lambda: step.lower(rows, state))


def measure(compiled, c: Config, source: Source, chip: Chip, count: int) -> dict:
    """A row of plain numbers about one step on each of count chips; sizes in bytes, times in seconds.

    arguments, outputs, aliased (outputs in the place of donated arguments), temporaries and code lie in a chip's
    memory. flops and bytes are XLA's counts of one step on one chip, which have the body of a loop once; in flops its
    products are counted as often as they are made. seconds is the sum of its estimates of cycles,
    without communication, and no less than flops and bytes take at the chip's peak. matrix_fill is `fill`'s,
    layout_fill the share of the arguments that is not padding of 8x128 tiles.
    """
    row = {"chips": count, "parallel": "pmap" if c.parallel == "auto" else c.parallel}
    row |= {"batch": c.batch, "memory": chip.memory}
    if isinstance(compiled, str):
        used = re.search(r"\(?([\d.]+)([KMGT])\)? (?:of|exceeds)", compiled)
        size = float(used[1]) * 1024 ** ("KMGT".index(used[2]) + 1) if used else None
        return {"fits": False, **row, "used": size, "reason": compiled.splitlines()[0]}
    m, cost, text = compiled.memory_analysis(), compiled.cost_analysis(), compiled.as_text()
    calls = weights(text)
    flops = cost["flops"] + looped(text, calls)
    sizes = {
        "arguments": m.argument_size_in_bytes,
        "outputs": m.output_size_in_bytes,
        "aliased": m.alias_size_in_bytes,
        "temporaries": m.temp_size_in_bytes,
        "code": m.generated_code_size_in_bytes,
    }
    used = sum(sizes.values()) - 2 * sizes["aliased"]
    clock = chip.flops / (2 * chip.units * chip.unit**2)
    bound = max(flops / chip.flops, cost["bytes accessed"] / chip.bandwidth)
    seconds = max(cycles(text, calls) / clock, bound)
    reduced = all_reduces(text, calls)
    real = sum(shape_bytes(s) for s in re.findall(r"\w+\[[\d,]*\]", text[: text.index("->")]))
    return {
        **{"fits": used <= chip.memory, **row, "used": used, **sizes},
        **{"flops": flops, "bytes": cost["bytes accessed"], "seconds": seconds},
        "images_per_second": c.batch * c.d_steps / seconds,
        "utilisation": flops / seconds / chip.flops,
        **{"all_reduces": sum(n for n, _ in reduced), "all_reduce_bytes": sum(n * size for n, size in reduced)},
        **{"matrix_fill": fill(text, calls, chip.unit), "layout_fill": real / max(sizes["arguments"], 1)},
    }


def largest(fits: Callable, start: int, unit: int, limit: int) -> tuple[int, int]:
    """(largest, too large): multiples of unit of which the first fits, and the other does not or is beyond the limit.

    fits grows harder with its argument. Doubles from start, then halves the gap until it is unit or 1 / CLOSE.
    """
    low, high = 0, limit // unit * unit + unit
    try_next = min(start, high - unit)
    while high - low > max(unit, low // CLOSE):
        if fits(try_next):
            low = try_next
        else:
            high = try_next
        doubled = 2 * low if low and low == try_next else 0
        try_next = doubled if 0 < doubled < high else (low + high) // 2 // unit * unit
        try_next = min(max(try_next, low + unit), high - unit)
    return low, high


def table(row: dict) -> str:
    """A row of `measure` for people."""
    size = lambda n: f"{n / 2**20:,.1f} MB" if n < 2**30 else f"{n / 2**30:,.2f} GB"  # noqa: E731
    lines = [f"{row['topology']}: {row['chips']} chips, {row['parallel']}, batch {row['batch']:,} (compiled, not run)"]
    needs = f"{size(row['used'])} of {size(row['memory'])}" if row["used"] else f"more than {size(row['memory'])}"
    if not row["fits"]:
        remedies = "try --parallel zero1, --remat, --precision bfloat16, --accumulate or a smaller --batch"
        lines += [f"  does not fit: needs {needs} a chip; {remedies}"]
        return "\n".join([*lines, f"  XLA: {row['reason']}" if "reason" in row else ""]).rstrip()
    parts = ", ".join(
        f"{name} {size(row[name])}" for name in ("arguments", "temporaries", "outputs", "aliased", "code")
    )
    lines += [
        f"  fits: {needs} a chip ({parts})",
        f"  a step on a chip: {row['flops'] / 1e9:,.3f} GFLOP, {size(row['bytes'])} of memory traffic",
        f"  XLA's estimate: {row['seconds'] * 1e6:,.0f} us without communication, "
        f"{row['images_per_second']:,.0f} images/s, {100 * row['utilisation']:.2f} % of the peak",
        f"  all-reduces: {row['all_reduces']} a step, {size(row['all_reduce_bytes'])}",
        f"  fill: {100 * row['matrix_fill']:.1f} % of the matrix units, "
        f"{100 * row['layout_fill']:.0f} % of the arguments' tiles",
    ]
    if "too_large" in row:
        lines += [f"  largest batch found: {row['batch']:,}; {row['too_large']:,} is too large"]
    return "\n".join(lines)
