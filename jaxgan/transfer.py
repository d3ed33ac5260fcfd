"""Starting from another run's weights: Config.init, as far as names and shapes of arrays agree; the rest begins anew.

env.json says which run, step and digest it was, so that a run that is replayed begins with the same bits or not at all.
"""

import dataclasses
import re
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxgan import checkpoint, step
from jaxgan.config import Config, placed
from jaxgan.errors import JaxganError
from jaxgan.nets import first_layers, part
from jaxgan.run import Run, load
from jaxgan.solvers import SOLVERS
from jaxgan.types import Game, State, Tree, named

EXAMPLES = {"reference", "filled"}  # vars that hold examples of the other run's data (nets/virtual.py)
MEMORY = "a run without a folder"  # Config.init of one
NAMED = 3  # arrays of a network that are named where they do not fit


class Given(NamedTuple):
    """The state that a run takes weights from, and where it stands."""

    state: State
    net: str
    run: str
    step: int
    digest: str

    @property
    def noted(self) -> dict:
        """What env.json keeps of it."""
        return {"run": self.run, "step": self.step, "digest": self.digest}


def parts(init: str) -> tuple[str, str]:
    """(run folder, step or "") of "RUN:STEP"."""
    found = re.fullmatch(r"(.+):(\d+|best)", init)
    return (found[1], found[2]) if found else (init, "")


def name(init) -> str:
    """Config.init or Config.space of a Run, or of the folder of one, from wherever it is read."""
    if isinstance(init, Run):
        return f"{init.dir.absolute()}:{int(init.state.step)}" if init.dir else MEMORY
    return placed(init)


def given(c: Config, run: Run | None = None, noted: dict | None = None) -> Given | None:
    """What a run of c takes weights from, None without Config.init; run: in place of the folder that c names.

    noted: of env.json, what it began with before. JaxganError where that is gone, or has other bits now.
    """
    if not c.init:
        return None
    dir, at = parts(c.init)
    if c.init == MEMORY and run is None:
        raise JaxganError("this run began with the weights of another that had no folder; give it: init=RUN")
    try:
        run = run or load(dir, noted["step"] if noted else at)
    except JaxganError as e:
        then = f", at step {noted['step']}" if noted else ""
        raise JaxganError(f"init is {c.init!r}, the run that this one begins with{then}: {e}") from None
    found = Given(run.state, run.config.net, dir, int(run.state.step), checkpoint.digest(checkpoint.to_host(run.state)))
    if found.net != c.net:
        raise JaxganError(
            f"init is {c.init!r}, whose net is {found.net!r}, and this run's is {c.net!r}: they share none"
        )
    if noted and noted["digest"] != found.digest:
        raise JaxganError(
            f"init is {c.init!r}, which is not what this run began with: step {found.step} has the digest "
            f"{found.digest[:12]}, was {noted['digest'][:12]} of step {noted['step']}; bring the old run back"
        )
    return found


def first(
    game: Game, c: Config, shape: tuple[int, ...], new: State, source: Given | None, say=lambda text: None
) -> State:
    """The state before the first step: new, as `state.initial` makes it, with what a run begins with in its place.

    That is the weights of source, its averages where it has some, and optimizers that are new; nothing without one.

    Networks without weights, such as pools and controls, are new too. say gets what was taken, a line for each network.
    JaxganError where nothing fits, or a layer that is to be frozen does not.
    """
    if source is None:
        return new
    there = source.state
    nets = [net for net, tree in new.params.items() if jax.tree.leaves(tree)]
    kept = first_layers(c, shape)
    _check_fits(c, new.params, there.params, kept)
    params = {net: _taken(tree, there.params.get(net, {})) for net, tree in new.params.items()}
    vars = {net: _taken(tree, there.vars.get(net, {})) if net in nets else tree for net, tree in new.vars.items()}
    begun = step.begin(game, new.key, new.hp, params, vars)
    ema = {net: _taken(tree, there.ema.get(net, {})) for net, tree in begun.ema.items()}
    memory = SOLVERS[c.solver].init(game, params)
    say(f"weights of {source.run}, step {source.step} (digest {source.digest[:12]}):")
    for net in nets:
        say(f"  {net}: {_told(new.params[net], there.params.get(net, {}))}")
    if kept:
        say(f"  frozen in d: {', '.join(kept)}")
    # buffers of its own, as a dispatch donates them
    return jax.tree.map(jnp.copy, dataclasses.replace(begun, ema=ema, memory=memory))


def _fitting(own: Tree, other: Tree) -> dict[str, jax.Array]:
    """The arrays of other that have the name and shape of one of own."""
    mine, others = named(own), named(other)
    same = {name for name, x in mine.items() if name in others and x.shape == others[name].shape}
    return {name: others[name] for name in same if not EXAMPLES & set(name.split("."))}


def _taken(own: Tree, other: Tree) -> Tree:
    """own with the arrays of other that fit."""
    names, leaves, found = named(own), jax.tree.leaves(own), _fitting(own, other)
    made = [jnp.asarray(found[name], x.dtype) if name in found else x for name, x in zip(names, leaves, strict=True)]
    return jax.tree.unflatten(jax.tree.structure(own), made)


def _told(own: Tree, other: Tree) -> str:
    """What was taken of a network and what was not, in words."""
    mine, others, found = named(own), named(other), _fitting(own, other)
    size = sum(x.size for x in found.values()) / max(1, sum(x.size for x in mine.values()))
    words = f"{len(found)} of {len(mine)} arrays taken, {size:.0%} of the weights"
    left = [name for name in mine if name not in found]
    lacks = [f"{name} {_size(mine[name])}, there {_size(others.get(name))}" for name in left[:NAMED]]
    more = [f"and {len(left) - NAMED} more"] if len(left) > NAMED else []
    return f"{words}; new: {'; '.join(lacks + more)}" if left else words


def _size(x) -> str:
    """The shape of an array in words, "none" without one."""
    return "none" if x is None else "x".join(map(str, x.shape)) or "1"


def _check_fits(c: Config, own: dict, other: dict, kept: tuple[str, ...]) -> None:
    """JaxganError if no array of the networks {net: params} fits, or not all those of the parts `kept` of D."""
    if not any(x.ndim > 1 for net in own for x in _fitting(own[net], other.get(net, {})).values()):
        raise JaxganError(
            f"init is {c.init!r}, but no kernel of this run's networks has the name and the shape of one there; take "
            "what says the networks' shapes from there, such as --width"
        )
    if kept:
        found, mine = _fitting(own["d"], other.get("d", {})), named(own["d"])
        paths = [path for path, _ in jax.tree.leaves_with_path(own["d"])]
        new = [name for name, path in zip(mine, paths, strict=True) if part(path) in kept and name not in found]
        if new:
            raise JaxganError(
                f"freeze is {c.freeze!r}, but {new[0]} {_size(mine[new[0]])} of D is "
                f"{_size(named(other.get('d', {})).get(new[0]))} in {c.init}, and cannot be taken; freeze fewer layers"
            )
