"""What `jaxgan sample` draws of a trained run: samples, walks, reconstructions and translations."""

import re
from pathlib import Path

import numpy as np

from jaxgan import disk, inputs, outputs, plots, run_folder, transfer
from jaxgan.data import feed
from jaxgan.errors import JaxganError
from jaxgan.games.info import values
from jaxgan.games.star import SHOWN, class_grid
from jaxgan.games.translate import stacked
from jaxgan.games.upscale import larger
from jaxgan.inputs import check_labels
from jaxgan.latents import latents
from jaxgan.run import load
from jaxgan.types import halves


def drawn(trained, n, seed, labels, truncation, interpolate, traverse, held, ema, psi=1.0):
    """Generated examples, their labels or None, and the columns of their picture; arguments as of the command."""
    game = trained.game
    columns = 8 if interpolate or labels else plots.columns(game.classes)
    if traverse >= 0:
        columns = len(values(game.codes, traverse))
    walks, rows = interpolate or traverse >= 0, -(-n // columns)
    turns = chosen(trained, labels, game.classes)  # a label for each sample, or for each row of a walk
    y = np.resize(turns, rows if walks else n) if len(turns) else None
    if interpolate:
        x = trained.interpolate(rows, columns, seed, y, truncation, ema)
    elif walks:
        x = trained.traverse(traverse, rows, seed, y, ema)
    else:
        x = trained.sample(n, seed, y, truncation, ema, held, psi)
    return x, y.repeat(columns) if walks and y is not None else y, columns


def drawn_of(trained, way, n, seed, labels, truncation, held, ema, psi):
    """Examples, their labels or None, and columns: as `drawn`, or of the run's data; way: commands.sample.Way."""
    if way.translate:
        x, columns = translated(trained, n, seed, labels, way.back, ema)
        return x, None, columns
    if way.reconstruct:
        return reconstructed(trained, -(-n // 8), seed, ema)
    return drawn(trained, n, seed, labels, truncation, way.interpolate, way.traverse, held, ema, psi)


def walked(trained, words, frames, seed, labels, truncation, ema):
    """`Run.walk` for classes that labels name; words: how many latents of the seed, or seeds and files of `projected`.

    Of styles, which hold all that a class says, there is one walk without labels.
    """
    of = chosen(trained, labels, 0) if labels else None
    if len(words) == 1 and words[0].isdecimal():
        return trained.walk(int(words[0]), frames, seed, of, truncation, ema)
    parts = [_stops(trained, word, truncation) for word in words]
    z, spaces = np.concatenate([z for z, _ in parts]), {space for _, space in parts}
    if len(spaces) > 1:
        raise JaxganError(f"--walk {' '.join(words)}: some are latents z, as of seeds, others styles w; take one kind")
    if of is None and "w" in spaces and trained.game.classes:
        of = np.zeros(1, np.int32)
    return trained.walk(z, frames, seed, of, truncation, ema, *spaces)


def _stops(trained, word: str, truncation: float) -> tuple[np.ndarray, str]:
    """Latents [n, latent] of a seed, or of a file that `projected` wrote, and their space."""
    of_seed = np.asarray(latents(trained.game, 1, int(word) if word.isdecimal() else 0, truncation))
    if word.isdecimal():
        return of_seed, "z"
    found = disk.arrays(Path(word))
    if not {"latents", "space"} <= found.keys():
        raise JaxganError(f"--walk {word} holds {', '.join(found)}; expected the .npz of jaxgan project")
    z, space = found["latents"], str(found["space"])
    if z.ndim != 2 or (space == "z" and z.shape[1:] != of_seed.shape[1:]):
        raise JaxganError(
            f"--walk {word} has latents of shape {z.shape}, and the run of [n, {of_seed.shape[1]}]; expected the .npz "
            "of jaxgan project of this run"
        )
    if not np.isfinite(z).all():
        raise JaxganError(f"--walk {word} has latents that are not finite; project the images again")
    return z, space


def chosen(trained, labels, count: int) -> np.ndarray:
    """Numbers of the classes that labels name, by default the first `count`."""
    if not labels:
        return np.arange(count, dtype=np.int32)
    return check_labels(list(labels), len(labels), trained.game.classes, trained.env.get("names", ()))


def codes(pairs: tuple[str, ...]) -> dict[int, float]:
    """{0: 3.0} of ("0=3",)."""
    try:
        return {int(name): float(value) for name, value in (pair.split("=") for pair in pairs)}
    except ValueError:
        raise JaxganError(f"--code is {' '.join(pairs)}; expected NUMBER=VALUE, such as --code 0=3 1=-0.5") from None


def real(trained, rows: int, seed: int) -> dict:
    """Rows of 8 real examples {"x", "y"} in one batch, fewer where there are fewer; held-out ones if there are."""
    source, held = run_folder.examples(trained.dir, trained.config)
    source = held or source
    return feed.examples(source, min(8 * rows, source.size // 8 * 8 or source.size or 8 * rows), seed)


def reconstructed(trained, rows: int, seed: int, ema: bool):
    """Rows of 8 real examples, each above the row of their reconstructions; labels or None; 8."""
    batch, game = real(trained, rows, seed), trained.game
    x, y = batch["x"], batch["y"] if game.classes else None
    again = trained.reconstruct(x, y, ema, finished=True)
    x = halves(x)[1] if "translate" in game.views else x
    columns = min(8, len(x))
    return np.asarray(stacked(columns, x, again)), None if y is None else np.asarray(stacked(columns, y, y)), columns


def translated(trained, n: int, seed: int, labels, back: bool, ema: bool):
    """Rows of 8 real images of A, back: of B, each above the row of their translations, n or a few more; and 8.

    stargan: of real examples of any class, each above as many rows as there are labels, by default SHOWN classes.
    """
    game = trained.game
    if "upscale" in game.views:
        return upscaled(trained, n, seed, labels, back, ema)
    turns = "turn" in game.views
    if labels and not turns:
        raise JaxganError(f"--labels with --translate is for stargan, and the run's kind is {trained.config.kind!r}")
    if back and turns:
        raise JaxganError("--back is for cyclegan; a stargan translates into any class: --labels 3 5")
    classes = chosen(trained, labels, min(game.classes, SHOWN)) if turns else ()
    x = real(trained, -(-n // (8 * len(classes) if turns else 8)), seed)["x"]
    columns = min(8, len(x))
    if turns:
        return np.asarray(
            class_grid(lambda x, y: trained.translate(x, labels=y, ema=ema, finished=True), x, classes)
        ), columns
    x = halves(x)[back]
    return np.asarray(stacked(columns, x, trained.translate(x, back=back, seed=seed, ema=ema, finished=True))), columns


def upscaled(trained, n: int, seed: int, labels, back: bool, ema: bool):
    """Rows of 8 real images made smaller and interpolated, below them upscaled, below these as they were; and 8."""
    if labels or back:
        raise JaxganError(f"kind {trained.config.kind!r} makes images larger; leave --labels and --back out")
    x = real(trained, -(-n // 8), seed)["x"]
    low = trained.game.condition({"x": x})
    made = trained.translate(low, ema=ema, finished=True)
    return np.asarray(stacked(min(8, len(x)), larger(low, trained.config.factor), made, x)), min(8, len(x))


def save_upscaled(trained, paths, out: Path, labels, ema: bool, back: bool, reconstruct: bool) -> int:
    """Each image of paths upscaled, at its own size: a file for each in the folder out, or one .png -> how many."""
    if labels or back or reconstruct:
        raise JaxganError(f"kind {trained.config.kind!r} makes images larger: --translate --images FILES alone")
    x, names = inputs.photographs(paths, trained.shape[-1])
    if not outputs.is_folder(out) and (len(x) > 1 or out.suffix != ".png"):
        raise JaxganError(f"--out is {out}, and {len(x)} images have sizes of their own; take a folder, .png for one")
    for image, name in zip(x, outputs.pngs(names), strict=True):
        made = trained.translate(image[None], ema=ema)
        if outputs.is_folder(out):
            outputs.files(out, made, [name])
        else:
            plots.save(plots.tile(made[0]), out)
    return len(x)


def blended(trained, words: str):
    """The run blended with another, as OTHER:0.8 or OTHER:STEP:0.8 says."""
    other, _, share = words.rpartition(":")
    if not other or not re.fullmatch(r"\d*\.?\d+", share):
        raise JaxganError(f"--blend is {words!r}; expected RUN:SHARE, such as runs/b:0.8, or RUN:STEP:SHARE")
    return trained.blended(load(*transfer.parts(other)), float(share))


def own(trained, paths, reconstruct: bool, labels, seed: int, ema: bool, back: bool = False):
    """Reconstructions, or translations, of images of a user's own -> x, {class or None: what was made of x}, names.

    Of a stargan for each of the classes that labels name, by default the first SHOWN; else they are the images' own.
    """
    game, shape = trained.game, trained.shape
    pairs, turns = "translate" in game.views, "turn" in game.views
    if reconstruct:
        if pairs:
            raise JaxganError(
                f"kind {trained.config.kind!r} reconstructs pairs of images, and --images are single ones"
            )
        x, names = inputs.images(paths, shape, trained.config.fit)
        return finished(x), {None: trained.reconstruct(x, of_own(trained, labels, len(x)), ema)}, names
    x, names = inputs.images(paths, (*shape[:-1], shape[-1] // 2) if pairs else shape, trained.config.fit)
    if not turns:
        return finished(x), {None: trained.translate(x, back=back, seed=seed, ema=ema)}, names
    classes = chosen(trained, labels, min(game.classes, SHOWN))
    made = {int(c): trained.translate(x, labels=np.full(len(x), c), ema=ema) for c in classes}
    return finished(x), made, names


def finished(x: np.ndarray) -> np.ndarray:
    """Bytes as images in [-1, 1]."""
    return x.astype(np.float32) / 127.5 - 1


def of_own(trained, labels, n: int) -> np.ndarray | None:
    """The classes of n images of a user's own: labels name one for all or one each; None in a run without classes."""
    if trained.game.classes and len(labels) not in (1, n):
        raise JaxganError(
            f"this run is conditional, and there are {len(labels)} --labels; give one class for all {n} images, or one "
            "for each"
        )
    return np.resize(chosen(trained, labels, 0), n) if labels else None


def save_own(out: Path, x, made: dict, names: list[str], classes=()) -> None:
    """What `own` gives: a file for each image in the folder out, a picture of x above what was made, or arrays."""
    if outputs.is_folder(out):
        for label, images in made.items():
            inside = "" if label is None else f"{outputs.folder_name(label, classes)}/"
            outputs.files(out, images, [inside + name for name in outputs.pngs(names)])
    elif out.suffix == ".npz":
        arrays: dict = {} if None in made else {"y": np.repeat(list(made), len(x))}
        disk.write_arrays(out, x=np.concatenate([*made.values()]), images=x, names=names, **arrays)
    else:
        above(out, x, *made.values())


def above(out: Path, x, *made) -> None:
    """A picture of images x [n, *shape], in rows of 8, above the rows of what was made of them."""
    columns = min(8, len(x))
    white = np.ones((-len(x) % columns, *x.shape[1:]), np.float32)
    plots.save(
        plots.examples(np.asarray(stacked(columns, *(np.concatenate([v, white]) for v in (x, *made)))), columns), out
    )


def projected(trained, paths, out: Path, labels, seed: int, ema: bool, say, **options) -> None:
    """Project the images of paths: latents and more into an .npz, and a picture of images above what was found."""
    x, names = inputs.images(paths, trained.shape, trained.config.fit)
    y = of_own(trained, labels, len(x))
    found = trained.project(x, y, seed=seed, ema=ema, say=say, **options)
    arrays: dict = found._asdict() | {"names": names} | ({} if y is None else {"y": y})
    disk.write_arrays(out.with_suffix(".npz"), **arrays)
    for name, error, rms in zip(names, found.errors, found.rms):
        say(f"{name}: {found.distance} {error:.4f}" + (f", rms {rms:.4f}" if found.distance == "lpips" else ""))
    say(f"latents {found.space} of {len(x)} images in {out.with_suffix('.npz')}")
    if out.suffix == ".png":
        above(out, finished(x), found.images)
        say(f"each above what was found for it in {out}")
