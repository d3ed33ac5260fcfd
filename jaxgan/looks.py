"""Everything that looks at a run while it trains: pictures, modes, diagnosis. None of them changes a bit of it.

To add one: a function that makes a Look's `see`, and a row in LOOKS. Runs that differ in seed and in numbers of Hp only
share their looks, and compile them once.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxgan import checkpoint, evaluate, games, latent_space, parallel, plots, protocol
from jaxgan.config import Config
from jaxgan.data.feed import examples
from jaxgan.errors import JaxganError
from jaxgan.metrics.modes import modes
from jaxgan.metrics.names import find
from jaxgan.run import Run, generate, latents
from jaxgan.types import Game, Source, State


class Seen(NamedTuple):
    """What a look has found: columns of metrics.jsonl, sentences for the terminal, a picture for TensorBoard and wandb.

    picture: [h, w, 3] uint8, or None.
    """

    row: Mapping[str, float] = MappingProxyType({})
    words: tuple[str, ...] = ()
    picture: np.ndarray | None = None


class Look(NamedTuple):
    """see: (state, step) -> finish, on one process; finish: (run folder) -> Seen, and whatever it writes there.

    every: the field of Config that has the steps between two looks; the last step is always looked at. waits: see waits
    for the device, so the numbers of the step are checked first; else it only starts work, which finish waits for, and
    under zero1 is shown optimizers' moments as they are split.
    """

    name: str
    every: str
    see: Callable[[State, int], Callable[[Path], Seen]]
    waits: bool = False


def pictures(game: Game, c: Config, source: Source, held: Source | None) -> Callable:
    """Samples of always the same latents into samples/STEP.png; of toys with modes, how many there are."""
    draw, columns = samples(game, source, held)
    density = source.density
    heads = () if game.picture else plots.heads(np.arange(8 * columns) % max(game.classes, 1), columns, source.names)

    def see(state, step):
        x = draw(state.ema)

        def finish(dir: Path) -> Seen:
            found = np.asarray(x)
            row = modes(found, density) if density is not None and density.modes is not None else {}
            picture = plots.examples(found, columns, density, f"step {step}", heads if game.classes else ())
            plots.save(picture, dir / "samples" / f"{step:08d}.png")
            return Seen(row, picture=picture)

        return finish

    return see


def samples(game: Game, source: Source, held: Source | None) -> tuple[Callable, int]:
    """A function from State.ema to the examples of a picture, and how many stand in a row of it."""
    columns = plots.columns(game.classes)
    count = 8 * columns if len((source.images or source).shape) > 1 else 2500  # 2,500: PacGAN's protocol for modes
    z = latents(game, count, seed=0)
    y = np.arange(count, dtype=np.int32) % source.classes if game.classes else None
    if game.picture:
        columns, y = 8, game.condition(examples(held or source, count))

    game, frozen = latent_space.imaged(game, source.space), latent_space.weights(source.space)

    @jax.jit
    def make(nets, y):  # y is an argument: XLA would work through images that are constants when it compiles
        draw = partial(generate, game, nets)
        return game.picture(draw, z, y) if game.picture else draw(z, y)

    return lambda nets: make(nets | frozen, y), columns


def diagnosis(game: Game, c: Config, source: Source, held: Source | None) -> Callable:
    """Columns diagnosis/* (theory.diagnosis), and its alarms."""
    from jaxgan.theory.diagnosis import instruments, readings

    measure = instruments(game, c, source, held)

    def see(state, step):
        row = measure(state).row
        alarms = tuple(f"step {step}: {text}" for text in readings(row) if text.startswith("ALARM"))
        return lambda dir: Seen({f"diagnosis/{name}": value for name, value in row.items()}, alarms)

    return see


def evaluation(game: Game, c: Config, source: Source, held: Source | None) -> Callable:
    """Columns such as fd/digits-cnn/n5000/ddof1: the metrics of Config.eval, of samples that are always of one seed."""
    images = source.images or source
    if game.picture:
        images = held or evaluate.tested(c) or evaluate.unmirrored(c, images)
    p = evaluate.planned(c, game, c.eval, images)
    if network := protocol.network(p):
        network.load(p.weights)  # complains now, if they are not here
    checkpoint.check_best(c.eval.best)
    kept: dict[str, Any] = {}

    def see(state, step):
        env = {"shape": source.shape, "classes": source.classes}
        kept["run"] = kept["run"].at(state) if kept else Run(c, state, env, space=source.space)
        if game.picture:
            real, fake = evaluate.sets(kept["run"], p, images)
        else:
            real = kept["real"] if "real" in kept else protocol.reference(p, evaluate.unmirrored(c, images))
            kept["real"], fake = real, evaluate.sampled(kept["run"], p, real.get("labels"))
        found, _ = protocol.scores(p, real, fake, images.density)
        row = {name: score.value for name, score in found.items()}
        words = [f"step {step}: " + ", ".join(f"{name.split('/')[0]} {value:.4g}" for name, value in row.items())]
        try:
            find(c.eval.best.split()[1] if c.eval.best else next(iter(row)), row)
        except JaxganError as e:
            words.append(f"NOTE: no checkpoint is kept as the best by {c.eval.best!r}: {e}")
        return lambda dir: Seen(row, tuple(words))

    return see


# name: (field of Config with its period, whether 0 there means never, what makes see, whether see waits)
LOOKS: dict[str, tuple[str, bool, Callable, bool]] = {
    "picture": ("sample_every", False, pictures, False),
    "diagnosis": ("diagnose_every", True, diagnosis, True),
    "evaluation": ("eval_every", True, evaluation, True),
}


def looks(c: Config, source: Source, held: Source | None = None) -> list[Look]:
    """Those that c asks for; on all processes but the first they see nothing, and help to gather what is split."""
    wanted = {name: row for name, row in LOOKS.items() if getattr(c, row[0]) > 0 or not row[1]}
    if jax.process_index() > 0:
        return [
            Look(name, every, lambda state, step: lambda dir: Seen(), waits)
            for name, (every, _, _, waits) in wanted.items()
        ]
    game = games.make(c, source.shape, source.classes)
    return [Look(name, every, make(game, c, source, held), waits) for name, (every, _, make, waits) in wanted.items()]


def begin(look: Look, state: State, step: int, say) -> Callable[[Path], Seen]:
    """look's finish for this state; neither part ever raises: what went wrong is said, and the run goes on."""

    def attempt(work, *args):
        try:
            return work(*args)
        except Exception as e:  # whatever a look meets: a full disk, too little memory, a bad reference
            reason = getattr(e, "strerror", None) or str(e).strip() or type(e).__name__
            say(f"step {step}: the {look.name} failed ({reason.splitlines()[0][:200]}); training goes on without it")
            return None

    held = parallel.whole(state) if look.waits else parallel.local(state)  # what does not wait is of the networks alone
    finish = attempt(look.see, held, step)
    return lambda dir: (finish and attempt(finish, dir)) or Seen()
