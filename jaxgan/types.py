"""The nouns: what a network, a player, a game, a training state and a source of examples are.

Everything here is a tuple of pure functions or a frozen tree of arrays. `Axis` says where the examples of a batch live:
None (one device), the name of a pmap axis, or a NamedSharding over which jit splits the batch.
"""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxgan.errors import JaxganError

Tree = Any
AnyArray = jax.Array | np.ndarray
Axis = str | jax.sharding.NamedSharding | None


def named(tree: Tree) -> dict[str, Any]:
    """{dotted name: array} of a tree."""
    return {jax.tree_util.keystr(p, simple=True, separator="."): x for p, x in jax.tree.leaves_with_path(tree)}


class Net(NamedTuple):
    """A network as two pure functions.

    init:  (key, *inputs) -> params, vars
    apply: (params, vars, *inputs, train, **options) -> output, vars; D's option features asks for its features too
    keyed: apply takes the option key as well, for noise inputs, style mixing or dropout: in training the update's for
           this network, of which rng.normal and rng.examples make one per example; None where samples are drawn
    timed: apply takes the option step as well, the number of train steps before; None where samples are drawn
    """

    init: Callable
    apply: Callable
    keyed: bool = False
    timed: bool = False


class Spec(NamedTuple):
    """What a game asks of an architecture, beside the options of the configuration.

    shape:   of one example
    classes: number of labels, 0 where the network gets none
    axis:    see the module's docstring
    norm:    one of options.Norm but "own"; see nets/norms.normalise
    outputs: of an encoder, numbers per example
    """

    shape: tuple[int, ...]
    classes: int = 0
    axis: Axis = None
    norm: str = "none"
    outputs: int = 0


class Player(NamedTuple):
    """One side of a game.

    nets:  the networks it owns; only their parameters and vars change when it moves
    loss:  (run, vars, batch, key, hp) -> scalar, (vars, metrics), with run(vars, net, *inputs, train=True, **options)
           -> output, vars; key goes into rng.stream, rng.normal and rng.examples only, so that it may be a
           micro-batch's rng.Part
    tx:    hp -> optax.GradientTransformation, built inside the trace so that its numbers can be swept
    steps: updates per train step (k in Goodfellow et al. 2014, arXiv 1406.2661), each with a fresh batch
    hold:  (hp, {net: params}) -> the nearest parameters that the player's rules on weights allow; tx keeps to them by
           itself, so this is for solvers that make moves of their own
    parts: () or two players of the same networks and memory of tx, whose losses make up loss: an update is a move of
           the first and, at every part.every-th update, one of the second; for a regulariser with steps of its own
    every: of such a part
    """

    nets: tuple[str, ...]
    loss: Callable
    tx: Callable
    steps: int = 1
    hold: Callable = lambda hp, params: params
    parts: tuple = ()
    every: int = 1


def halves(x):
    """The two images [..., c] that pairs x [..., 2c] hold on their last axis: of set A, and of set B."""
    c = x.shape[-1] // 2
    return x[..., :c], x[..., c:]


def per_example(logits):
    """D's answers [n], or of a D that judges patches [n, ...] the mean over them, as one number an example [n]."""
    return logits.reshape(len(logits), -1).mean(1) if logits.ndim > 1 else logits


def logits(run, vars, x, y):
    """D's logits [n] of examples, as most kinds have them."""
    return per_example(run(vars, "d", x, y)[0])


class Game(NamedTuple):
    """A kind of GAN: networks, and players in the order in which they move.

    inputs: (batch, key) -> {net: example inputs}, for init
    sample: (run, vars, z, y) -> examples from latents z [n, latent] and what condition gives: labels y [n], or images
    condition: batch -> what sample is told besides latents, None where it is told nothing
    latent: (key, n) -> z [n, latent], row i depending on key and i alone
    shown:  the networks that sampling needs; these get an exponential moving average
    axis:   where examples live, see the module's docstring
    accumulate: micro-batches of an update, one after the other; see step.field
    unroll: moves of the other players that the last one foresees where they move in turn (solvers.alternating)
    reuse:  whether players that move in turn see the same batches, by the same keys: the last ones where they differ in
            number
    rounds: how many times the solver asks for fresh batches for all updates of a step
    codes:  the latents' last entries are codes of these sizes, see Config.codes
    views:  what else may be asked of a trained game, functions by name (a kind has those that make sense for it):
            score     (run, vars, x, y) -> D's logits [n] of examples, higher for real ones
            encode    (run, vars, x, y) -> latents [n, latent] of examples
            posterior (run, vars, x, y) -> mean and standard deviation of latents [n, latent] that are drawn
            translate (run, vars, z, x) -> images of set B from those of set A; examples are pairs (`halves`)
            back      (run, vars, z, x) -> images of set A from those of set B
            turn      (run, vars, z, x) -> examples x turned into the classes that z [n, classes] has one-hot
    picture: (draw, z, x) -> examples in rows of 8, made of x that condition gave of real ones by draw(z, x), which is
            sample; None where a picture shows samples as they are
    """

    nets: dict[str, Net]
    players: dict[str, Player]
    inputs: Callable
    sample: Callable
    latent: Callable
    condition: Callable = lambda batch: None
    shown: tuple[str, ...] = ("g",)
    classes: int = 0
    axis: Axis = None
    accumulate: int = 1
    unroll: int = 0
    reuse: bool = False
    rounds: int = 1
    codes: tuple[int, ...] = ()
    views: Mapping[str, Callable] = MappingProxyType({"score": logits})
    picture: Callable | None = None

    @property
    def updates(self) -> int:
        """Batches that one train step consumes."""
        steps = [player.steps for player in self.players.values()]
        return self.rounds * (max(steps) if self.reuse else sum(steps))


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["step", "key", "hp", "params", "vars", "opt", "ema", "memory"],
    meta_fields=[],
)
@dataclasses.dataclass(frozen=True)
class State:
    """Everything the next step depends on; all of it is checkpointed.

    step int32, key the run's root key, params and vars {net: tree}, opt {player: tree}; hp {name: float32, or float32
    [k, 4] for a schedule of k pieces (hp.arrays)}; ema {net: {"params": tree, "vars": tree}} for the networks in
    Game.shown; memory is the solver's, {} for most.
    """

    step: jax.Array
    key: jax.Array
    hp: dict[str, jax.Array]
    params: dict[str, Tree]
    vars: dict[str, Tree]
    opt: dict[str, Tree]
    ema: dict[str, Tree]
    memory: dict[str, Tree]


class Density(NamedTuple):
    """A distribution that is known exactly.

    sample:  key -> one example [d]
    log_pdf: x [d] -> log density in nats
    modes:   centres [k, d] (numpy) or None
    std:     standard deviation of one mode, 0 where there are none
    """

    sample: Callable
    log_pdf: Callable
    modes: Any = None
    std: float = 0.0


class Source(NamedTuple):
    """Real examples: rows that an index picks, and a function that finishes them on the device.

    shape:   one example, (h, w, c) or (d,)
    classes: number of labels, 0 without labels
    size:    rows; 0 for a density, which never ends
    rows:    index (numpy int [n]) -> {"x": [n, ...], "y": [n]} on the host; {} for a density
    finish:  (rows, keys [n]) -> {"x": float32 [n, *shape], "y": int32 [n]}; images in [-1, 1]
    fingerprint: SHA-256 of what the rows hold, or of the density's definition
    bytes:   size of all rows as they would lie on the device
    density: the exact density of a toy, else None
    names:   of the classes, () where they have none
    why:     there are no classes, where something looks as if there were
    found:   what the rows are and how they were read, in words; "" for a density
    images:  of latents, the source of the examples that they are latents of, row by row; else None
    space:   of latents, the latent_space.Space in which they are; else None
    """

    name: str
    shape: tuple[int, ...]
    classes: int
    size: int
    rows: Callable
    finish: Callable
    fingerprint: str
    bytes: int = 0
    density: Density | None = None
    names: tuple[str, ...] = ()
    why: str = ""
    found: str = ""
    images: "Source | None" = None
    space: Any = None

    @property
    def exact(self) -> Density:
        """The density of a toy; JaxganError for data without one."""
        if self.density is None:
            raise JaxganError(f"{self.name} has no exact density; take a toy such as ring")
        return self.density
