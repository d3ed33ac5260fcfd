"""A trained run in memory: its configuration, its state, and samples from it."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan import checkpoint, games, inline, latent_space, parallel, project, run_folder, step
from jaxgan.backend import portable
from jaxgan.config import Config
from jaxgan.errors import JaxganError
from jaxgan.games.info import values as code_values
from jaxgan.games.info import with_code
from jaxgan.inputs import check_labels, examples
from jaxgan.latent_space import Space
from jaxgan.latents import closed, latents, slerp, styled, truncated
from jaxgan.nets import styles
from jaxgan.standing import statistics
from jaxgan.state import initializer, mixed, template
from jaxgan.step import applied
from jaxgan.types import Game, State, halves

PIXELS = 1 << 14  # of images that are upscaled at a time


@dataclasses.dataclass(frozen=True)
class Run:
    """What training returns and `load` opens. state is the whole training state; env describes the data.

    space: of a run with Config.space; all that comes out of such a run and goes into it are images all the same.
    """

    config: Config
    state: State
    env: dict
    dir: Path | None = None
    space: Space | None = None

    def sample(
        self,
        n: int,
        seed: int = 0,
        labels=None,
        truncation: float = 0.0,
        ema: bool = True,
        codes: dict | None = None,
        psi: float = 1.0,
        standing: int = 0,
        decode: bool = True,
    ) -> np.ndarray:
        """n examples [n, *shape], images in [-1, 1]; sample i depends on seed and i alone.

        labels: classes [n] of a conditional run, by number or name (default: all in turn). truncation: largest |z| per
        coordinate, 0 is off (Brock et al. 2018, arXiv 1809.11096). ema: the averaged generator in place of the last.
        codes: {number of a code: its value, or one for each example}, for infogan; one not given is random. psi: of
        stylegan2, how far from the mean style samples are, below 1 less varied (Karras et al. 2018, arXiv 1812.04948).
        standing: batches for statistics of batch norm, see `standing`; 0 takes the running ones of training. decode:
        images of a run in a latent space; without it its latents [n, *latents], as it was trained on.
        """
        if standing:
            run = self.standing(standing, seed, truncation, ema)
            return run.sample(n, seed, labels, truncation, ema, codes, psi, decode=decode)
        z = latents(self.game, n, seed, truncation)
        for i, value in (codes or {}).items():
            z = with_code(self.game.codes, z, i, np.broadcast_to(value, n))
        return self.generate(z, labels, ema, psi, decode)

    def show(
        self,
        n: int = 0,
        columns: int = 0,
        seed: int = 0,
        labels=None,
        truncation: float = 0.0,
        ema: bool = True,
        psi: float = 1.0,
    ):
        """A PIL image of samples, which a notebook shows: a grid of images or curves, or points over their density.

        n: by default four rows, or 2,500 points. columns: by default one a class where they fit, else 8. The rest as in
        `sample`.
        """
        return inline.picture(self, n, columns, labels, seed=seed, truncation=truncation, ema=ema, psi=psi)

    def __repr__(self) -> str:
        return inline.line(self)

    def _repr_html_(self) -> str:
        """What a notebook shows of a run that is a cell's value."""
        return inline.html(self)

    def standing(self, batches: int, seed: int = 0, truncation: float = 0.0, ema: bool = True) -> "Run":
        """The run with standing statistics in G's batch norms: means of those of so many batches of the run's size.

        Brock et al. 2018, arXiv 1809.11096: for a G whose parameters, averages of many steps, or latents, truncated
        ones, are not those of the last updates of training. The batches are of this seed, their labels at random.
        """
        if self.game.picture:
            raise JaxganError(
                f"kind {self.config.kind!r} makes images of images, and standing statistics are of latents"
            )
        g = parallel.local(self.state.ema if ema else self.shown())["g"]
        n = self.config.fake_batch or self.config.batch
        vars = statistics(self.game, g, n, batches, seed, truncation)
        if not ema:
            return self.at(dataclasses.replace(self.state, vars={**self.state.vars, "g": vars}))
        averaged = {**self.state.ema, "g": {**self.state.ema["g"], "vars": vars}}
        return self.at(dataclasses.replace(self.state, ema=averaged))

    def traverse(self, code: int, rows: int, seed: int = 0, labels=None, ema: bool = True) -> np.ndarray:
        """rows * k examples; along each row only a code changes, over its k categories, or in 10 steps from -1 to 1.

        labels: one per row.
        """
        game = self.game
        visited = code_values(game.codes, code)
        z = latents(game, rows, seed).repeat(len(visited), 0)
        z = with_code(game.codes, z, code, np.tile(visited, rows))
        return self.generate(z, self._of_rows(labels, rows, len(visited)), ema)

    def encode(self, x, labels=None, ema: bool = True, finished: bool = False) -> np.ndarray:
        """The latents [n, latent] of examples x [n, *shape], images uint8 or in [-1, 1], by the run's encoder.

        labels: classes [n] of a conditional run, which then has to have them. finished: images are floats in [-1, 1]
        for sure, though all of them may be bright; without it those in [0, 1] are an error.
        """
        game = self.game
        encode = self._view(
            "encode", "has no encoder; lrgan, bigan, aae, vae, vaegan and bicyclegan have one: --kind bigan"
        )
        x = examples("examples", x, self.shape, finished)
        if game.classes and labels is None:
            raise JaxganError(f"this run is conditional: give the labels of the {len(x)} examples")
        return self._map(encode, ema, x, self._checked(labels, len(x)))

    def reconstruct(self, x, labels=None, ema: bool = True, finished: bool = False) -> np.ndarray:
        """Examples [n, *shape] of the latents that the encoder finds for x [n, *shape]; arguments as in `encode`.

        bicyclegan: of pairs x, the translations [n, *half] of the images of A.
        """
        z = self.encode(x, labels, ema, finished)
        if "translate" in self.game.views:
            x = examples("examples", x, self.shape, finished)
            return self.translate(halves(x)[0], z, ema=ema, finished=True)
        return self.generate(z, labels, ema)

    def translate(
        self,
        x,
        z=None,
        back: bool = False,
        seed: int = 0,
        ema: bool = True,
        labels=None,
        finished: bool = False,
    ) -> np.ndarray:
        """Images of set B that translate images x [n, *half] of set A; back: of A, from images of B.

        x: uint8 or floats in [-1, 1]; finished as in `encode`. half: the shape of one image of a pair. z: latents
        [n, latent], by default those of this seed; none in a cyclegan, which alone goes back too. stargan: x
        [n, *shape], turned into the classes labels [n]. upscale, esrgan: x [n, h, w, c] of any height and width, made
        config.factor times as high and as wide.
        """
        game, shape = self.game, self.shape
        if "upscale" in game.views:
            return self._upscale(x, z is None and labels is None and not back, ema, finished)
        if "turn" in game.views:
            return self._turn(x, labels, z is None and not back, ema, finished)
        translate = self._view("translate", "translates nothing; pix2pix, bicyclegan, cyclegan, stargan and esrgan do")
        if labels is not None:
            raise JaxganError(f"kind {self.config.kind!r} translates to set B and has no use for labels; stargan has")
        if back:
            translate = self._view("back", "translates from A to B only; --kind cyclegan goes back too")
        x = examples("images to translate", x, (*shape[:-1], shape[-1] // 2), finished)
        wanted = latents(game, len(x), seed)
        if z is not None and jnp.shape(z) != wanted.shape:
            raise JaxganError(f"latents have shape {jnp.shape(z)}; expected {wanted.shape}")
        return self._map(translate, ema, wanted if z is None else jnp.asarray(z), x)

    def _turn(self, x, labels, alone: bool, ema: bool, finished: bool) -> np.ndarray:
        """x [n, *shape] turned into classes labels [n]; alone: nothing else was asked for."""
        if labels is None or not alone:
            raise JaxganError(
                f"kind {self.config.kind!r} turns images into classes: give labels, the class of each of {len(x)} "
                "translations, and neither z nor back"
            )
        x = examples("images to translate", x, self.shape, finished)
        z = jax.nn.one_hot(self._checked(labels, len(x)), self.game.classes)
        return self._map(self.game.views["turn"], ema, z, x)

    def _upscale(self, x, alone: bool, ema: bool, finished: bool) -> np.ndarray:
        """x [n, h, w, c] config.factor times as high and as wide; alone: nothing else was asked for."""
        if not alone:
            raise JaxganError(f"kind {self.config.kind!r} makes images larger, and takes neither z nor labels nor back")
        shape, channels = jnp.shape(x), self.shape[-1]
        if len(shape) != 4 or shape[-1] != channels or 0 in shape:
            raise JaxganError(f"images to upscale have shape {shape}; expected [n, h, w, {channels}]")
        x = examples("images to upscale", x, shape[1:], finished)
        many = max(1, PIXELS // (shape[1] * shape[2]))
        return portable(lambda: self._map(self.game.views["upscale"], ema, x, many=many))

    def blended(self, other: "Run", share: float) -> "Run":
        """This run with samplers whose weights are (1 - share) of its own and share of other's, share in [0, 1].

        Network interpolation, Wang et al. 2018, arXiv 1809.00219, section 3.4, of runs of which one began with the
        other (Config.init). JaxganError where their arrays differ in name or shape.
        """
        if not 0 <= share <= 1:
            raise JaxganError(f"share is {share}; expected a number from 0, this run, to 1, the other")
        if (self.space and self.space.digest) != (other.space and other.space.digest):
            raise JaxganError(f"one run trains in space {self.config.space!r} and the other in {other.config.space!r}")
        mine, theirs = self.state, other.state
        pairs = [(mine.ema, theirs.ema), (self.shown(), other.shown())]
        ema, last = (mixed(a, b, share) for a, b in pairs)
        params, vars = ({net: tree[part] for net, tree in last.items()} for part in ("params", "vars"))
        return self.at(dataclasses.replace(mine, ema=ema, params={**mine.params, **params}, vars={**mine.vars, **vars}))

    def project(
        self,
        x,
        labels=None,
        steps: int = 500,
        starts: int = 4,
        seed: int = 0,
        distance: str = "auto",
        ema: bool = True,
        finished: bool = False,
        say=lambda text: None,
    ) -> project.Projected:
        """The latents whose examples are nearest to x [n, *shape], uint8 or in [-1, 1]: z, or the style w of stylegan2.

        By gradient descent from `starts` points, the mean and draws of the seed, over `steps` steps. distance: pixel,
        lpips, or auto, which is lpips for images where its weights are here. labels and finished as in
        `encode`.
        """
        x = examples("examples", x, self.shape, finished)
        if self.game.picture:
            raise JaxganError(f"kind {self.config.kind!r} translates images, and makes none from latents alone")
        if self.game.codes:
            raise JaxganError(
                f"latents of kind {self.config.kind!r} hold codes, which cannot move; project another kind"
            )
        if self.game.classes and labels is None:
            raise JaxganError(f"this run is conditional: give the labels of the {len(x)} examples")
        nets = self.nets(ema)
        y = self._checked(labels, len(x))
        options = {"steps": steps, "starts": starts, "seed": seed, "distance": distance, "say": say}
        return project.project(self, x, y, nets, **options)

    def walk(
        self, stops, frames: int, seed: int = 0, labels=None, truncation: float = 0.0, ema: bool = True, space="z"
    ) -> np.ndarray:
        """Examples [frames, n, *shape] along a closed walk, by great circles from each of `stops` latents to the next.

        stops: how many of this seed and truncation, or latents [k, latent]; with space "w" styles, as `project` finds,
        by straight lines. All n walk at once: one for each of labels [n], by default one of each class; 1 without
        classes. Codes stay.
        """
        z = latents(self.game, stops, seed, truncation) if isinstance(stops, int) else jnp.asarray(stops)
        path = closed(self.game, z, frames, space)
        labels = np.arange(self.game.classes) if labels is None and self.game.classes else labels
        many = 1 if labels is None else len(labels)
        labels = None if labels is None else np.tile(labels, frames)
        x = self.generate(path.repeat(many, 0), labels, ema, space=space)
        return x.reshape(frames, many, *x.shape[1:])

    def interpolate(
        self, rows: int, columns: int, seed: int = 0, labels=None, truncation: float = 0.0, ema: bool = True
    ) -> np.ndarray:
        """rows * columns examples; a row walks the great circle between two latents, codes stay. labels: of rows."""
        z = latents(self.game, 2 * rows, seed, truncation)
        z, codes = jnp.split(z, [z.shape[1] - sum(self.game.codes)], 1)
        path = jax.vmap(lambda a, b: slerp(a, b, jnp.linspace(0, 1, columns)))(z[:rows], z[rows:])
        path = jnp.concatenate([path.reshape(rows * columns, -1), codes[:rows].repeat(columns, 0)], 1)
        return self.generate(path, self._of_rows(labels, rows, columns), ema)

    def _of_rows(self, labels, rows: int, columns: int):
        """Labels of a grid from one a row; by default all classes in turn, None without classes."""
        if labels is None and self.game.classes:
            labels = np.arange(rows) % self.game.classes
        return None if labels is None else np.repeat(labels, columns)

    def generate(
        self, z, labels=None, ema: bool = True, psi: float = 1.0, decode: bool = True, space: str = "z"
    ) -> np.ndarray:
        """The examples [n, *shape] of latents z [n, latent], in space "w" of styles; psi and decode as in `sample`."""
        game = self.game
        if game.picture:
            raise JaxganError(
                f"kind {self.config.kind!r} translates images and needs some: Run.translate(x), or jaxgan sample RUN "
                "--translate"
            )
        if labels is None and game.classes:
            labels = np.arange(len(z)) % game.classes
        labels = self._checked(labels, len(z))
        if not np.isfinite(psi):
            raise JaxganError(f"psi is {psi}; expected a finite number, such as 0.7")
        if psi == 1 and space == "z":
            return self._map(game.sample if decode else self._trained.sample, ema, z, labels)
        how = f"psi is {psi}" if psi != 1 else f"space is {space!r}"
        if not decode:
            raise JaxganError(f"{how}, and acts on images; leave it at {1 if psi != 1 else 'z'}, or decode")
        if (of_g := styles(self.config, tuple(self.env["shape"]))) is None:
            raise JaxganError(f"{how}, but net {self.config.net!r} has no styles; --net stylegan2 and gat have")
        if space == "z":
            return self._map(self._truncated, ema, z, labels, jnp.full(len(z), psi))
        if psi != 1 or z.shape[1:] != of_g[1:]:
            raise JaxganError(f"styles have shape {z.shape} and psi is {psi}; expected [n, {of_g[1]}] and 1")
        return self._map(self._styled, ema, z, labels)

    def _view(self, name: str, otherwise: str) -> Callable:
        """game.views[name]; JaxganError where the kind has none, which otherwise puts in words."""
        if name not in self.game.views:
            raise JaxganError(f"kind {self.config.kind!r} {otherwise}")
        return self.game.views[name]

    def _checked(self, labels, n: int):
        return None if labels is None else check_labels(labels, n, self.game.classes, self.env.get("names", ()))

    def _map(self, f, ema: bool, *inputs, many: int = 256) -> np.ndarray:
        """f(run, vars, *inputs) of all rows, by parts of `many`, which bounds memory; an input may be None."""
        nets = self.nets(ema)
        make = self._compiled.setdefault(f, jax.jit(partial(applied, self.game, f)))
        parts = [slice(i, i + many) for i in range(0, len(inputs[0]), many)]
        return np.concatenate([np.asarray(make(nets, *(x if x is None else x[p] for x in inputs))) for p in parts])

    @functools.cached_property
    def _truncated(self) -> Callable:
        return truncated(self.game)

    @functools.cached_property
    def _styled(self) -> Callable:
        return styled(self.game)

    def shown(self) -> dict:
        """The networks that draw samples {net: {"params", "vars"}} as they are, not averaged."""
        return step.shown(self.game, self.state)

    def nets(self, ema: bool = True) -> dict:
        """All networks that `game` needs to draw {net: {"params", "vars"}}: averaged ones, or the last."""
        return parallel.local(self.state.ema if ema else self.shown()) | latent_space.weights(self.space)

    def at(self, state: State) -> "Run":
        """This run in another state, with what it has compiled."""
        other = dataclasses.replace(self, state=state)
        vars(other).update(game=self.game, _trained=self._trained, _compiled=self._compiled)
        return other

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of an example; env["shape"] is that of what was trained on, in a space of a latent."""
        return tuple(self.space.shape if self.space else self.env["shape"])

    @functools.cached_property
    def game(self) -> Game:
        """The game, rebuilt from the configuration; in a space as it is of images."""
        return latent_space.imaged(self._trained, self.space)

    @functools.cached_property
    def _trained(self) -> Game:
        """The game as it was trained."""
        return games.make(self.config, tuple(self.env["shape"]), self.env["classes"])

    @functools.cached_property
    def _compiled(self) -> dict[Callable, Callable]:
        """Functions of the game, each jitted once, so that what was drawn in one shape is drawn fast again."""
        return {}


def generate(game: Game, nets: dict, z, y=None):
    """Examples [n, *shape] from {net: {"params", "vars"}} as in State.ema."""
    return applied(game, game.sample, nets, z, y)


def load(dir, step: int | str | None = None) -> Run:
    """The run in folder dir at its newest whole checkpoint. Reads JSON and arrays, and never runs code.

    step: of another checkpoint that is there, or "best", the one that Config.eval.best kept.
    """
    dir = run_folder.find(dir)
    settings, env = run_folder.read_config(dir), run_folder.read_env(dir)
    shape, fields = tuple(env["shape"]), None
    game = games.make(settings, shape, env["classes"])
    if (dir / "checkpoints").is_dir():
        with contextlib.closing(checkpoint.Checkpoints(dir / "checkpoints", settings.keep, read_only=True)) as saved:
            like = template(initializer(game, settings.solver, shape), settings)
            fields = saved.restore(like, only=checkpoint.asked(saved, dir, step))
    if fields is None:
        raise JaxganError(f"{dir} has no checkpoint yet; one is written every {settings.checkpoint_every} steps")
    space = latent_space.read(dir, env) if settings.space else None
    return Run(settings, checkpoint.from_host(fields), env, dir, space)
