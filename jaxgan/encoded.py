"""What a run trains on: its data, or with Config.space their latents in the space of another run's autoencoder."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax
import numpy as np

from jaxgan import data, games, latent_space, run_folder, transfer, unused
from jaxgan.config import SD_VAE, Config
from jaxgan.data import latents
from jaxgan.errors import JaxganError
from jaxgan.features import sdvae
from jaxgan.latent_space import Space
from jaxgan.run import Run, load
from jaxgan.types import Axis, Game, Source

MADE = "jaxgan train EXPERIMENT --kind vae --net spatial --latent 256"


def of_run(c: Config, run: Run) -> Space:
    """The space of a run's autoencoder; JaxganError where it has none, or one that is no map of images alone."""
    name, game = f"space is {c.space!r}", run.game
    if run.config.space:
        raise JaxganError(f"{name}, a run that itself trains in the space of {run.config.space}; take one on images")
    if "encode" not in game.views or game.picture:
        raise JaxganError(
            f"{name}, a run of kind {run.config.kind!r}, which is no autoencoder; vae, vaegan, aae and others with an "
            f"encoder are: {MADE}"
        )
    if game.classes:
        raise JaxganError(f"{name}, an autoencoder that is told labels, and latents are not; train one without labels")
    nets = {net: run.state.ema[net] for net in game.shown}
    shape = tuple(run.env["shape"])
    where = transfer.parts(c.space)[0]
    return Space(run.config, shape, nets, latent_space.digest_of(nets), where, int(run.state.step))


def opened(c: Config, dir: Path | None = None, run: Run | None = None) -> Space | None:
    """The space that c names, None if it names none; run: in place of the folder that c names.

    dir: of a run that may have begun; one that has knows the step of its autoencoder, and keeps a copy that serves
    where the folder is gone. JaxganError for what cannot train in a space, or be one.
    """
    if not c.space:
        return None
    unused.check_kind(c)
    if c.patch:
        raise JaxganError(
            f"patch is {c.patch!r}, but space is {c.space!r}: examples are encoded once, as they are; leave patch at "
            f"{Config.patch!r}, or move latents: --augment translation"
        )
    if run is None and c.space.startswith(SD_VAE):
        try:
            return latent_space.published(c.space)
        except JaxganError as e:
            raise JaxganError(f"space is {c.space!r}: {e}") from None
    env = run_folder.read_env(dir) if dir and (dir / "env.json").is_file() else {}
    noted = env.get("space")
    where, at = transfer.parts(c.space)
    if run is None and c.space == transfer.MEMORY and not noted:
        raise JaxganError("this run trains in the space of another that had no folder; give it: space=RUN")
    try:
        space = of_run(c, run or load(where, noted["step"] if noted else at))
    except JaxganError as e:
        if noted and dir and (dir / latent_space.FILE).exists():
            return latent_space.read(dir, env)
        raise JaxganError(str(e) if str(e).startswith("space is") else f"space is {c.space!r}: {e}") from None
    if noted and noted["digest"] == space.digest:
        return space._replace(mean=tuple(noted["mean"]), deviation=tuple(noted["deviation"]))
    return space


def inside(c: Config, space: Space | None, source: Source, held: Source | None = None) -> tuple[Source, Source | None]:
    """Training and held-out examples as latents in a space, themselves without one.

    Latents have mean 0 and deviation 1 over those of training.
    """
    if space is None:
        return source, held
    if not source.size:
        raise JaxganError(
            f"{source.name} is a density, whose examples are new each time, and those in a space are encoded once; "
            "take data that are stored, or leave space out"
        )
    if space.config is None:
        space = _sized(c, space, source)
    if source.shape != space.shape:
        size = f"--size {'x'.join(map(str, dict.fromkeys(space.shape[:2])))}" if len(space.shape) == 3 else "other data"
        raise JaxganError(
            f"space is {c.space!r}, an autoencoder of examples {space.shape}, and those of {source.name} are "
            f"{source.shape}; take {size}, or an autoencoder of such data"
        )
    encode = jax.jit(partial(latent_space.posterior, space))
    find = partial(encode, space.nets)
    sampled = c.posterior == "sampled"
    made, labels = _found(c, source, find, space.digest)
    if not space.mean:
        mean, deviation = latents.moments(made, sampled)
        space = space._replace(mean=mean, deviation=deviation)
    seen = latents.latents(source, made, labels, space, sampled)
    if held is None:
        return seen, None
    return seen, latents.latents(held, *_found(c, held, find, space.digest), space, sampled)


def _sized(c: Config, space: Space, source: Source) -> Space:
    """A space of published weights, for images of source's shape; JaxganError where it has none of them."""
    shape, factor = source.shape, sdvae.PUBLISHED.shrinks
    if len(shape) != 3 or shape[-1] != 3 or shape[0] % factor or shape[1] % factor:
        raise JaxganError(
            f"space is {c.space!r}, an autoencoder of images of 3 channels whose height and width are multiples of "
            f"{factor}, and examples of {source.name} are {shape}; set size to one, and of a folder channels to 3"
        )
    return space._replace(shape=shape)


def _found(c: Config, source: Source, find: Callable, digest: str) -> tuple[list[np.ndarray], np.ndarray]:
    """`latents.posteriors` of examples as they are, and with c.flip of them mirrored; and labels."""
    ways = (False, True)[: 1 + c.flip]
    made, labels = zip(*(latents.posteriors(source, find, digest, mirrored) for mirrored in ways))
    return [*made], labels[0]


def examples(dir: Path, c: Config, source: Source | None = None) -> tuple[Source, Source | None]:
    """`run_folder.examples` of the run in dir as it trains on them: in its space, if it has one, by its own copy."""
    space = latent_space.read(dir, run_folder.read_env(dir)) if c.space else None
    return inside(c, space, *run_folder.examples(dir, c, source))


def game(c: Config, source: Source, axis: Axis = None) -> Game:
    """games.make for the examples of source; its errors say where sizes are those of latents."""
    try:
        return games.make(c, source.shape, source.classes, axis)
    except JaxganError as e:
        if source.space is None:
            raise
        shape = "x".join(map(str, source.shape))
        raise JaxganError(
            f"{e}. In the space of {source.space.run} examples are latents {shape}: another autoencoder has others"
        ) from None


def of_config(
    c: Config, source: Source | None = None, dir: Path | None = None, space: Run | None = None
) -> tuple[Source, Source | None]:
    """data.of_config as a run trains on them; dir and space, a run, as of `opened`."""
    return inside(c, opened(c, dir, space), *data.of_config(c, source))
