"""The compiled program of a run: several train steps a dispatch, over all devices, fed from device or host.

The number of steps in a dispatch is an argument, not a constant: one compiled loop serves every length, and a run gives
the same bits whatever its log interval.
"""

import time
from collections.abc import Callable, Iterator, Set
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan import games, parallel, step
from jaxgan.config import Config
from jaxgan.data import feed
from jaxgan.errors import JaxganError
from jaxgan.parallel import Devices
from jaxgan.solvers import SOLVERS
from jaxgan.state import initial
from jaxgan.types import Game, Source

DEVICE_LIMIT = 2 * 1024**3  # bytes of data that `auto` keeps on the device
HOST_STEPS = 8  # steps whose batches travel to the device together


class Program(NamedTuple):
    """advance: (state, step, n) -> state after n more steps (fewer if a metric becomes non-finite), metrics of the last

    length: step -> n, the steps of the next dispatch. feed says how the data arrives, for people.
    lower: shapes of a state -> jax.stages.Lowered, the program before XLA compiles it, where `build` made it
    seen: names of the numbers of Hp that a step looks at, once the program is traced, as `lower` does
    """

    advance: Callable
    length: Callable
    feed: str
    lower: Callable = lambda state: None
    seen: Set[str] = frozenset()


def build(game: Game, source: Source, c: Config, devices: Devices) -> Program:
    """The program of config c over these devices."""
    share = check_sizes(c, source, devices)
    check_accumulate(c, source)
    if not source.size:
        return _from_device(game, source, {}, share, c, devices, "drawn from an exact density on the device")
    size = f"{source.size:,} examples, {source.bytes / 2**20:,.0f} MB"
    if fits(c, source):
        rows = devices.replicate(source.rows(np.arange(source.size)))
        return _from_device(game, source, rows, share, c, devices, f"{size}, all on the device")
    return _from_host(game, source, share, c, devices, f"{size}, streamed from the host")


def fits(c: Config, source: Source) -> bool:
    """Whether all rows of the source are to lie on the device."""
    return c.feed == "device" or (c.feed == "auto" and source.bytes <= DEVICE_LIMIT)


def check_sizes(c: Config, source: Source, devices: Devices) -> int:
    """Real examples per update in one call of the step; JaxganError where the batch does not fit data or devices."""
    if source.size and c.batch > source.size:
        others = f" besides the {c.holdout} held out" if c.holdout else ""
        raise JaxganError(
            f"batch is {c.batch}, but {c.data} has only {source.size} examples{others}; use a smaller --batch"
        )
    if c.fake_batch:
        parallel.share(c.fake_batch, devices, "fake-batch", c.accumulate)
    return parallel.share(c.batch, devices, accumulate=c.accumulate)


def check_accumulate(c: Config, source: Source) -> None:
    """JaxganError if micro-batches would not add up to the batch: a part of the game looks at all of it at once."""
    if c.accumulate == 1:
        return
    game, state, batches = abstract(c, source)
    nets = [name for name, kept in state.vars.items() if "batch_stats" in str(jax.tree.structure(kept))]
    if nets:
        raise JaxganError(
            f"accumulate is {c.accumulate}, but {' and '.join(nets)} of --net {c.net} use batch normalisation, whose "
            "statistics would be those of a micro-batch and not of the batch; leave accumulate at 1 and use more "
            "devices or a smaller --batch, or take a network without it (--net mlp)"
        )
    jax.eval_shape(partial(step.train_step, game, solver=SOLVERS[c.solver].step), state, batches)


def reads(c: Config, source: Source) -> frozenset[str]:
    """Names of the numbers of Hp that a step of c looks at."""
    game, state, batches = abstract(c, source)
    return step.reads(game, state, batches, SOLVERS[c.solver].step)


def abstract(c: Config, source: Source):
    """(game of c without devices, whose axis is bound in their programs only; shapes of its state and batches)."""
    game = games.make(c, source.shape, source.classes)
    x = jax.ShapeDtypeStruct((game.updates, c.batch, *source.shape), np.float32)
    y = jax.ShapeDtypeStruct((game.updates, c.batch), np.int32)
    return game, jax.eval_shape(partial(initial, game, c, source.shape)), {"x": x, "y": y}


def loop(game: Game, c: Config, batches, note: Callable = lambda name: None):
    """(rows, state, n) -> state, metrics: up to n steps in one loop; batches: (rows, state, i) -> step i's data.

    note: called with the name of each number of Hp that a step looks at, while it is traced.
    """
    solver = step.watched(SOLVERS[c.solver].step, note)

    @partial(jax.jit, inline=True)  # traced once, though the loop below asks first what it returns
    def one(rows, state, i):
        state, metrics = step.train_step(game, state, batches(rows, state, i), solver)
        return state, metrics | {"step": state.step}

    def steps(rows, state, n):
        def body(carry):
            i, state, _ = carry
            return i + 1, *one(rows, state, i)

        def go_on(carry):
            i, _, metrics = carry
            finite = jnp.stack([jnp.isfinite(m) for m in jax.tree.leaves(metrics)]).all()
            return (i < n) & finite

        empty = jax.eval_shape(body, (jnp.int32(0), state, {}))[2]
        empty = jax.tree.map(lambda m: jnp.zeros(m.shape, m.dtype), empty)
        return jax.lax.while_loop(go_on, body, (jnp.int32(0), state, empty))[1:]

    return steps


def from_device(game: Game, source: Source, c: Config, share: int, note: Callable = lambda name: None) -> Callable:
    """`loop` for a source whose rows all lie on the device."""

    def batches(rows, state, i):
        return feed.from_device(source, rows, state.key, state.step, game.updates, c.batch, share, game.axis)

    return loop(game, c, batches, note)


def _from_device(game, source, rows, share, c, devices, text) -> Program:
    seen: set[str] = set()
    call = devices.compile(from_device(game, source, c, share, seen.add), False)
    lower = lambda state: call.lower(rows, state, np.int32(1))  # noqa: E731
    return Program(lambda state, step, n: call(rows, state, np.int32(n)), _pace(c), text, lower, seen)


def _from_host(game, source, share, c, devices, text) -> Program:
    size = c.chunk or HOST_STEPS

    def batches(rows, state, i):
        rows = jax.tree.map(lambda r: r[i], rows)
        return feed.from_host(source, rows, state.key, state.step, game.updates, share, game.axis)

    seen: set[str] = set()
    call = devices.compile(loop(game, c, batches, seen.add), True)
    length = lambda step: min(size, to_boundary(c, step))  # noqa: E731
    ahead: list[tuple[int, Iterator]] = []  # the step whose rows come next, and the iterator over them

    def advance(state, step, n):
        if not ahead or ahead[0][0] != step:
            ahead[:] = [(step, _host_rows(source, c, game.updates, size, length, step, devices))]
        rows = ahead[0][1]
        new = call(devices.split(next(rows)), state, np.int32(n))
        ahead[:] = [(step + n, rows)] if n == length(step) else []  # a shorter dispatch leaves the plan
        return new

    def lower(state):
        mine = (size, game.updates, c.batch * devices.local // devices.count)
        rows = {name: r[0] for name, r in source.rows(np.arange(1)).items()}
        blank = {name: np.broadcast_to(np.zeros((), r.dtype), (*mine, *r.shape)) for name, r in rows.items()}
        return call.lower(devices.split(blank), state, np.int32(1))

    return Program(advance, length, text, lower, seen)


def _host_rows(source, c, updates, size, length, step, devices) -> Iterator:
    """This process's rows {"x": [size, updates, b, ...]} of one dispatch after the other, from `step` on."""
    from jaxgan.data.stream import stream

    order = feed.indices(source, c.seed, updates, c.batch)
    mine = c.batch * devices.local // devices.count
    first = jax.process_index() * mine

    starts = []
    while step < c.steps:
        starts.append(step)
        step += length(step)
    # always the rows of `size` steps: one shape, one program
    return stream(source, lambda start: order(start, size)[..., first : first + mine], starts)


def to_boundary(c: Config, step: int) -> int:
    """Steps until something has to be logged, looked at or saved: fields of Config that end in _every say when."""
    every = [period for name, period in vars(c).items() if name.endswith("_every") and period]
    return min(c.steps - step, *(e - step % e for e in every))


def _pace(c: Config) -> Callable:
    """step -> steps of the next dispatch, about a second of work; the same on every process."""
    if c.chunk or jax.process_count() > 1:
        return lambda step: min(c.chunk or HOST_STEPS, to_boundary(c, step))
    size = adaptive()
    return lambda step: min(size(), to_boundary(c, step))


def adaptive() -> Callable:
    """() -> how many steps make about a second of work, by the time since it was asked last."""
    size, last = 1, None

    def steps():
        nonlocal size, last
        now = time.monotonic()
        if last is not None:
            size = size * 2 if now - last < 0.5 else max(1, size // 2) if now - last > 2 else size
        last = now
        return size

    return steps
