"""Training the members of a sweep, a chunk at a time; each is the run folder that `jaxgan train` makes of it."""

import contextlib
import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxgan import changes, checkpoint, log, program, run_folder, transfer
from jaxgan.config import Config
from jaxgan.errors import JaxganError, NonFiniteError, nearest
from jaxgan.signals import Stop
from jaxgan.sweep import shared, store
from jaxgan.train import Dispatches, dispatches

FOUND = "found: "  # how a line on the data begins
EVERY = 2.0  # seconds between two lines of progress, at least


class Chunk(NamedTuple):
    """Members that train together: chunk `number` of group `group`, in the places 0 to width - 1."""

    group: int
    number: int
    mode: str
    width: int
    ids: list[str]


class Member(NamedTuple):
    """A member on its way: its dispatches, the step at which it is done, what member.json says of its place."""

    id: str
    dispatches: Dispatches
    goal: int
    part: dict


def train(
    dir,
    ids=None,
    until=None,
    mode="auto",
    width=0,
    say=log.show,
    stop: Stop | None = None,
    found: set[str] | None = None,
) -> None:
    """Train members `ids` (None is all) of the sweep in dir to step `until` (None is their own), wherever they stand.

    mode: "map", "vmap", or "auto", which is map on a CPU; width: members at a time, 0 is as many as memory holds. Both
    hold for members that have not begun; the others keep theirs. Several processes may train in one folder: each takes
    chunks that no other has, and returns when all are trained. A member that becomes non-finite is marked, and the
    others go on. SIGTERM and Ctrl-C save all and return. found: lines on data that were said before, which are not said
    again. JaxganError for what the user can mend.
    """
    dir = Path(dir).expanduser()
    if mode not in ("auto", *shared.MODES) or width < 0:
        raise JaxganError(f"mode is {mode!r} and width {width}; expected auto, map or vmap, and 0 or more members")
    wanted = unfinished(dir, ids, until)
    if not wanted:
        return
    tell = once(say, set() if found is None else found)
    with stop or Stop() as stop:
        for c in {shared.common(c): c for c in wanted.values()}.values():
            shared.check(c)
        for id, c in wanted.items():
            if not (store.run_dir(dir, id) / "config.json").exists():
                shared.check_used(c)
        groups = store.assign(dir, wanted, lambda configs: shared.plan(configs, mode, width))
        todo = [chunk for chunk in chunks(groups) if not wanted.keys().isdisjoint(chunk.ids)]
        with contextlib.closing(Meter(dir, wanted, say)) as meter:
            goal = store.read(dir)["config"]["steps"]
            for chunk in claimed(dir, todo, stop):
                configs = {id: wanted[id] for id in chunk.ids if id in wanted}
                train_chunk(dir, chunk, configs, goal, tell, stop, meter)


def once(say, found: set[str]):
    """say, but what data were found is said a single time; found: what was, to which it adds."""

    def tell(text):
        if text in found:
            return
        if text.startswith(FOUND):
            found.add(text)
        say(text)

    return tell


def unfinished(dir, ids=None, until=None) -> dict[str, Config]:
    """{id: configuration with the steps to reach} of the members that are not there yet."""
    members = store.members(dir)
    for id in ids if ids is not None else ():
        if id not in members:
            raise JaxganError(f"the sweep in {dir} has no member {id!r}.{nearest(id, members)}")
    configs = {id: members[id][1] for id in (members if ids is None else ids)}
    configs = {id: dataclasses.replace(c, steps=until or c.steps) for id, c in configs.items()}
    return {id: c for id, c in configs.items() if not store.finished(dir, id, c.steps)}


def chunks(groups: list[dict]) -> list[Chunk]:
    """The chunks of sweep.json's groups, in order."""
    found = []
    for g, group in enumerate(groups):
        width, ids = group["width"], group["members"]
        for first in range(0, len(ids), width):
            found.append(Chunk(g, first // width, group["mode"], width, ids[first : first + width]))
    return found


def claimed(dir: Path, todo: list[Chunk], stop: Stop) -> Iterator[Chunk]:
    """One after the other, each while this process alone holds it; waits for those that other processes hold."""
    while todo and stop.signal is None:
        busy = []
        for chunk in todo:
            if stop.signal is not None:
                return
            with store.locked(dir, f"claims/{chunk.group}-{chunk.number}.lock", wait=False) as mine:
                if mine:
                    yield chunk
                else:
                    busy.append(chunk)
        if len(busy) == len(todo):
            time.sleep(0.5)
        todo = busy


def train_chunk(
    dir: Path, chunk: Chunk, configs: dict[str, Config], goal: int, say, stop: Stop, meter: "Meter"
) -> None:
    """Train the members of a chunk that `configs` asks for; the others keep their places, and stand still.

    goal: the step at which a member is done, which `configs` need not reach.
    """
    configs = {id: c for id, c in configs.items() if not store.finished(dir, id, c.steps)}  # others were here
    if not configs:
        return
    k = shared.shared(next(iter(configs.values())))
    if k.source.found:
        say(f"{FOUND}{k.source.found}")
    pace, size = program.adaptive(), 1

    def length(c: Config, step: int) -> int:
        return min(c.chunk or size, program.to_boundary(c, step))

    with contextlib.ExitStack() as stack:
        members, fields = {}, {}
        for slot, id in enumerate(chunk.ids):
            if id in configs:
                entered = enter(dir, chunk, slot, configs[id], k, length, say, stop)
                own, place, fields[slot] = stack.enter_context(entered)
                members[slot] = Member(id, own, goal, place)
        at = {slot: int(f["step"]) for slot, f in fields.items()}
        filler = next(iter(fields.values()))  # stands in the places of members that are not trained now
        width = shared.rounded(chunk.width)  # there may be more devices than when it began
        states = shared.place([fields.get(slot, filler) for slot in range(width)])
        del fields, filler
        advance = shared.advance(k, chunk.mode, width)
        answers = {slot: ask(dir, member, None, at[slot], say) for slot, member in members.items()}
        while wanted_steps := {slot: dispatch for slot, dispatch in answers.items() if dispatch}:
            steps = np.zeros(width, np.int32)
            for slot, (_, n) in wanted_steps.items():
                steps[slot] = n
            size = pace()
            states, metrics = advance(states, steps)
            for slot, (step, n) in wanted_steps.items():
                at[slot] = step + n
                new = shared.pick((states, metrics), slot, width)
                answers[slot] = ask(dir, members[slot], new, at[slot], say)
            meter.advance(int(steps.sum()), sum(not answers[slot] for slot in wanted_steps))


@contextlib.contextmanager
def enter(
    dir: Path, chunk: Chunk, slot: int, c: Config, k: shared.Shared, length, say, stop: Stop
) -> Iterator[tuple[Dispatches, dict, dict]]:
    """Enter the run folder of the member in place `slot` -> its dispatches, place and newest state (as to_host's)."""
    id = chunk.ids[slot]
    run, tell = store.run_dir(dir, id), lambda text: say(f"{id}: {text}")
    given = None if (run / "config.json").exists() else transfer.given(c)
    with (
        run_folder.entered(run, c, k.source, given and given.noted) as env,
        contextlib.closing(checkpoint.Checkpoints(run / "checkpoints", c.keep, best=c.eval.best)) as saved,
    ):
        fields = saved.restore(k.like, tell)
        if fields is None:
            given = given or transfer.given(c, noted=env.get("init"))
            fields = checkpoint.to_host(k.start(c, given, tell))
        step = int(fields["step"])
        for text in changes.since(env, c, k.source) if step else ():
            tell(f"NOTE: {text}")
        log.rewind(run / "metrics.jsonl", step)
        place = {"mode": chunk.mode, "width": chunk.width, "index": slot, "group": chunk.group}
        part = {**place, "devices": shared.mesh().size}
        store.stand(dir, id, **part, status="running", step=step, reason="")
        own = dispatches(c, run, k.looks, lambda step: length(c, step), step, saved, tell, stop, quiet=True)
        with contextlib.closing(own):
            yield own, part, fields


def ask(dir: Path, member: Member, sent, at: int, say) -> tuple[int, int] | None:
    """(step, n) that a member at step `at` wants next, given what was sent; None, and its end on file, if nothing."""
    try:
        return member.dispatches.send(sent)
    except StopIteration:
        status, reason = "done" if at >= member.goal else "running", ""
        run_folder.animate(store.run_dir(dir, member.id))
    except NonFiniteError as e:
        status, reason = "non-finite", str(e)
        say(f"{member.id}: {reason}")
    store.stand(dir, member.id, **member.part, status=status, step=at, reason=reason)
    return None


class Meter:
    """Progress over all members that are to be trained."""

    def __init__(self, dir: Path, wanted: dict[str, Config], say):
        self.done = self.ended = 0
        self.members, self.last = len(wanted), time.monotonic()
        self.begun = {id: store.standing(dir, id)["step"] for id in wanted}
        steps = sum(c.steps - self.begun[id] for id, c in wanted.items())
        self.progress = log.Progress(0, steps, sum(c.batch * c.d_steps for c in wanted.values()) / len(wanted), say)

    def advance(self, steps: int, ended: int) -> None:
        """So many more steps were made, and so many members came to their end."""
        self.done, self.ended = self.done + steps, self.ended + ended
        self.progress.advance(self.done, {}, f"{self.ended} of {self.members} members")
        now = time.monotonic()
        if now - self.last > EVERY or (ended and self.ended == self.members):
            self.progress.line(self.done)
            self.last = now

    def close(self) -> None:
        self.progress.close()
