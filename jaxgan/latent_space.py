"""The latent space of a run's autoencoder, frozen, in which other runs train: what turns latents into images and back.

A run in a space keeps a copy of the autoencoder's networks in its folder, so that it needs that run no more. Published
weights are an autoencoder too, and are not copied: the folder keeps their place and digest.
"""

import functools
import json
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxgan import config, disk, games, nets, step
from jaxgan.config import SD_VAE, Config
from jaxgan.data.latents import per_channel
from jaxgan.errors import JaxganError
from jaxgan.features import sdvae
from jaxgan.features.weights import cache
from jaxgan.state import initial
from jaxgan.types import Game, Net, Tree, named

FILE = "space.npz"
NAME = "space"  # of the autoencoder among the networks of a game


class Space(NamedTuple):
    """config, shape: of the autoencoder's run, and of its images; run, step: where it was.

    config is None, nets are weights by name and run is SD_VAE and a path where the autoencoder is a published one; its
    shape is () until it is known what is encoded.

    nets: its averaged networks {net: {"params", "vars"}}, whose `digest_of` is digest. mean, deviation: of each
    channel of latents, in place of which those of mean 0 and deviation 1 are trained on; () where not known yet.
    """

    config: Config | None
    shape: tuple[int, ...]
    nets: Tree
    digest: str
    run: str
    step: int
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()

    @property
    def latents(self) -> tuple[int, ...]:
        """The shape of a latent."""
        if self.config is None:
            s = sdvae.PUBLISHED
            return self.shape[0] // s.shrinks, self.shape[1] // s.shrinks, s.latent
        return nets.latents(self.config, self.shape)

    @property
    def noted(self) -> dict:
        """What env.json says of it."""
        names = ("run", "step", "digest", "mean", "deviation")
        return {name: list(v) if isinstance(v := getattr(self, name), tuple) else v for name in names}


@functools.lru_cache(maxsize=4)
def _game(c: Config, shape: tuple[int, ...]) -> Game:
    return games.make(c, shape)


def digest_of(nets: Tree) -> str:
    """SHA-256 of all that a space's networks are."""
    return disk.digest(named(nets))


def posterior(space: Space, nets: Tree, x):
    """Mean and deviation, both [n, *latents], of the latents of images x [n, *shape], as the encoder has them.

    The deviation is 0 where encoders find one latent. nets: space.nets, as arguments of a compiled function.
    """
    if space.config is None:
        return sdvae.encode(nets, x, sdvae.PUBLISHED)
    game = _game(space.config, space.shape)
    if "posterior" in game.views:
        found = step.applied(game, game.views["posterior"], nets, x, None)
    else:
        mean = step.applied(game, game.views["encode"], nets, x, None)
        found = mean, jnp.zeros_like(mean)
    return tuple(part.reshape(part.shape[0], *space.latents) for part in found)


def encode(space: Space, nets: Tree, x):
    """Latents [n, *latents] of images x [n, *shape], the means, as a run in the space sees them."""
    mean, deviation = (per_channel(numbers, len(space.latents) + 1) for numbers in (space.mean, space.deviation))
    return (posterior(space, nets, x)[0] - mean) / deviation


def decode(space: Space, nets: Tree, z):
    """Images [n, *shape] of latents z [n, *latents] as a run in the space makes them."""
    mean, deviation = (per_channel(numbers, len(space.latents) + 1) for numbers in (space.mean, space.deviation))
    z = z * deviation + mean
    if space.config is None:
        return sdvae.decode(nets, z, sdvae.PUBLISHED)
    game = _game(space.config, space.shape)
    return step.applied(game, game.sample, nets, z.reshape(z.shape[0], -1), None)


def imaged(game: Game, space: Space | None) -> Game:
    """The game as it is of images: what it samples is decoded, what it is shown encoded; itself without a space.

    Its networks are those of game, and the autoencoder, whose `weights` go beside theirs.
    """
    if space is None:
        return game

    def apply(params, vars, x, train, way):
        return way(space, params, x), vars

    def sample(run, vars, z, y):
        return run(vars, NAME, game.sample(run, vars, z, y), train=False, way=decode)[0]

    def seeing(view):
        def of_images(run, vars, x, y):
            return view(run, vars, run(vars, NAME, x, train=False, way=encode)[0], y)

        return of_images

    nets = {**game.nets, NAME: Net(lambda key, x: (space.nets, {}), apply)}
    views = {name: seeing(game.views[name]) for name in ("score", "encode", "posterior") if name in game.views}
    return game._replace(nets=nets, sample=sample, views=views)


def weights(space: Space | None) -> dict:
    """The autoencoder as one of the networks {net: {"params", "vars"}} of an `imaged` game; {} without a space."""
    return {} if space is None else {NAME: {"params": space.nets, "vars": {}}}


def published(name: str) -> Space:
    """The space of the weights in the file that Config.space names, or else in the user's cache; latents times SCALE.

    JaxganError where they are in neither, or others.
    """
    path, kept = Path(name.removeprefix(SD_VAE)).expanduser().absolute(), cache() / sdvae.NAME.split()[0]
    nets = sdvae.load(kept if kept.exists() and not path.exists() else path, sdvae.PUBLISHED)
    count = sdvae.PUBLISHED.latent
    numbers = (0.0,) * count, (1 / sdvae.SCALE,) * count
    return Space(None, (), jax.tree.map(jnp.asarray, nets), digest_of(nets), f"{SD_VAE}{path}", 0, *numbers)


def write(dir: Path, space: Space) -> None:
    """Keep what a run in the space needs of it in the run's folder; of published weights nothing."""
    if space.config is None:
        return
    about = {"config": config.to_dict(space.config), "shape": space.shape}
    disk.write_arrays(dir / FILE, about=json.dumps(about), **named(space.nets))


def read(dir: Path, env: dict) -> Space:
    """The space of the run in dir, whose env.json is env; JaxganError where it is not there as it was."""
    path, noted = dir / FILE, env.get("space")
    if noted and noted["run"].startswith(SD_VAE):
        return _again(dir, env, noted)
    cure = f"bring it back, or with {FILE} removed resume the run where its autoencoder is: --space RUN"
    try:
        if noted is None:
            raise JaxganError(f"{dir / 'env.json'} says nothing of it")
        found = disk.arrays(path)
        about = json.loads(str(found.pop("about")))
        c, shape = config.from_dict(about["config"]), tuple(about["shape"])
        tree = jax.eval_shape(lambda: initial(_game(c, shape), c, shape)).ema
        nets = jax.tree.unflatten(jax.tree.structure(tree), [found[name] for name in named(tree)])
    except (JaxganError, KeyError, ValueError, TypeError) as e:
        raise JaxganError(f"the space of the run in {dir} is not there as it was ({e}); {cure}") from None
    if digest_of(nets) != noted["digest"]:
        raise JaxganError(
            f"{path} is not the space in which the run in {dir} was trained (digest {digest_of(nets)[:12]}, was "
            f"{noted['digest'][:12]}); {cure}"
        )
    numbers = {name: tuple(noted[name]) for name in ("mean", "deviation")}
    return Space(c, shape, jax.tree.map(jnp.asarray, nets), noted["digest"], noted["run"], noted["step"], **numbers)


def _again(dir: Path, env: dict, noted: dict) -> Space:
    """The published weights in whose space the run in dir was trained; JaxganError where they are gone, or others."""
    there = cache() / sdvae.NAME.split()[0]
    cure = (
        f"bring them back, put them at {there}, or give their new place to the same jaxgan train: --space sd-vae:PATH"
    )
    try:
        space = published(noted["run"])
    except JaxganError as e:
        raise JaxganError(f"the space of the run in {dir} is not there as it was ({e}); {cure}") from None
    if space.digest != noted["digest"]:
        raise JaxganError(
            f"{noted['run']} is not the space in which the run in {dir} was trained (digest {space.digest[:12]}, was "
            f"{noted['digest'][:12]}); {cure}"
        )
    height, width, _ = env["shape"]
    return space._replace(shape=(sdvae.PUBLISHED.shrinks * height, sdvae.PUBLISHED.shrinks * width, 3))
