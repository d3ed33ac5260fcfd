"""Verification of a sweep's member, the way it was trained: alone for map, in the company of its chunk for vmap."""

import dataclasses
from pathlib import Path

import numpy as np

from jaxgan import checkpoint, log, parallel, program, run_folder, transfer
from jaxgan.errors import JaxganError
from jaxgan.sweep import group, shared, store
from jaxgan.verify import digests, replay
from jaxgan.verify import verify as verify_alone


def is_member(dir) -> bool:
    """Whether a run folder belongs to a sweep."""
    return (Path(dir).expanduser() / "member.json").is_file()


def verify(dir, steps: int = 0, say=log.show) -> int:
    """Replay the member in run folder dir and compare each recorded digest (up to `steps`) -> how many agreed.

    A map member is replayed as a run alone on one device; a vmap member with its whole chunk, at the same width and in
    the same place, since only then are equal bits to be had. JaxganError at the first difference.
    """
    dir = run_folder.find(dir)
    sweep, id = dir.absolute().parent.parent, dir.absolute().name
    part = store.standing(sweep, id)
    if part["mode"] == "map":
        return verify_alone(dir, steps=steps, say=say, devices=parallel.one())
    if not (sweep / "sweep.json").exists():
        raise JaxganError(
            f"{dir} was trained together with others (vmap), and is verified with them; leave it in its sweep folder"
        )
    recorded, env = digests(dir, steps), run_folder.read_env(dir)
    chunk = next(one for one in group.chunks(store.read(sweep)["groups"]) if id in one.ids)
    members = store.members(sweep)
    c = dataclasses.replace(members[id][1], steps=max(recorded))
    k = shared.shared(c)
    run_folder.check_data(dir, c, env, k.source)
    if chunk.width % shared.mesh().size:
        raise JaxganError(f"{dir} was trained on {part['devices']} devices; verify it on as many")
    fields = []
    for one in chunk.ids:
        own = members[one][1]
        noted = run_folder.read_env(store.run_dir(sweep, one)).get("init") if own.init else None
        fields.append(checkpoint.to_host(k.start(own, transfer.given(own, noted=noted))))
    states = shared.place([*fields, *[fields[0]] * (chunk.width - len(fields))])
    advance, size = shared.advance(k, chunk.mode, chunk.width), program.adaptive()

    def all_lanes(states, step, n):
        return advance(states, np.full(chunk.width, n, np.int32))

    compiled = program.Program(all_lanes, lambda step: c.chunk or size(), "")
    say(f"replaying {id} in its chunk of {len(chunk.ids)}")
    slot = chunk.ids.index(id)
    return replay(dir, c, env, recorded, compiled, states, say, lambda tree: shared.pick(tree, slot, chunk.width))
