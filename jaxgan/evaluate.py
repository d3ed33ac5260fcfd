"""Evaluation of a run, or of any images, against real ones: scores under names that hold their protocol."""

import dataclasses
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from jaxgan import __version__, data, disk, log, paths, plots, protocol, rng, run_folder, translations
from jaxgan.config import Config, Eval, Size, size_of, size_text
from jaxgan.data import files, kept
from jaxgan.data.balance import BALANCED
from jaxgan.data.images import reason
from jaxgan.data.latents import of_images
from jaxgan.errors import JaxganError, NoSplit
from jaxgan.metrics import READS, Score, nearest
from jaxgan.protocol import PART, Protocol
from jaxgan.run import Run, latents, load
from jaxgan.types import Game, Source

SPLITS = "train, what the run was trained on; holdout, what it held out; or test and the like, where data have splits"


def evaluate(
    run: Run | str | Path,
    metrics: tuple[str, ...] = (),
    features: str = "",
    n: int = 0,
    split: str = "",
    step: int | str | None = None,
    weights: str | Path = "",
    seed: int = 0,
    ema: bool = True,
    interval: bool = True,
    source: Source | None = None,
    back: bool = False,
    say=log.show,
) -> dict[str, Score]:
    """Metrics of n samples of a run against real examples -> {name with protocol: Score}.

    run: a Run, or its folder, into which eval/*.json and a row of metrics.jsonl are written. What is left out is as the
    run's configuration has it (Config.eval), or what suits its data. split: see SPLITS; "" is train, and of kinds
    that translate what they have not seen: holdout, or test, where there is one. These are compared by n translations;
    back: from B to A (cyclegan). step: of a checkpoint, "best",
    or None for the newest. source: the real examples, where the run's data cannot be opened by name. Labels are drawn
    as the real ones have them. interval: errors by a jackknife too. JaxganError for what the user can mend.
    """
    run = run if isinstance(run, Run) else load(run, step)
    c = run.config
    source, seen = (reference(run, split, source), split) if split else default(run, source)
    asked = Eval(tuple(metrics) or c.eval.metrics, features or c.eval.features, n or c.eval.n)
    p = planned(c, run.game, asked, source, str(weights), back)
    which = _which(run, step)
    real, fake = sets(run, p, source, seed, ema, back, say)
    found, notes = protocol.scores(p, real, fake, source.density, interval)
    what = f"{'averaged' if ema else 'last'} generator, against {source.name}"
    what += f": {len(next(iter(fake.values())))} translations, split {seen}" if run.game.picture else ""
    say(f"step {int(run.state.step)} ({which}), {what}")
    tell(found, notes, say)
    if run.dir is not None:
        about = {"step": int(run.state.step), "which": which, "generator": "ema" if ema else "last", "seed": seed}
        about |= {"reference": source.name, "fingerprint": source.fingerprint, "split": seen}
        about |= {"back": True} if back else {}
        column = ema and seed == 0 and not back and (not split or (split == "train" and not run.game.picture))
        say(f"written to {_write(run.dir, about, found, p, column, say)}")
    return found


def planned(c: Config, game: Game, asked: Eval, source: Source, weights: str = "", back: bool = False) -> Protocol:
    """The whole protocol of what is asked of a run and source; JaxganError where it cannot be followed."""
    if game.picture:
        source = translations.target(game, source, back)
        metrics = asked.metrics or translations.usual(c, game, source.shape)
        asked = dataclasses.replace(asked, metrics=metrics, n=min(asked.n or protocol.MOST, source.size))
    p = protocol.complete(asked, source, weights)
    check(c, game, p, source.shape, back)
    return p


def sets(
    run: Run, p: Protocol, source: Source, seed: int = 0, ema: bool = True, back: bool = False, say=log.show
) -> tuple[protocol.Set, protocol.Set]:
    """What p's metrics read of real examples, and of what the run makes."""
    if run.game.picture:
        return translations.sets(run, p, source, seed, ema, back, say)
    real = protocol.reference(p, source, say)
    return real, sampled(run, p, real.get("labels"), seed, ema)


def default(run: Run, source: Source | None = None) -> tuple[Source, str]:
    """The real examples that a run is compared with where no split is named, and their split."""
    c = run.config
    if run.game.picture and c.holdout:
        return reference(run, "holdout", source), "holdout"
    test = tested(c) if run.game.picture and source is None else None
    return (test, "test") if test else (reference(run, "train", source), "train")


def tested(c: Config) -> Source | None:
    """The test examples of a run's data, None where these have none."""
    try:
        return of_split(c, "test")
    except NoSplit:
        return None


def neighbours(
    run: Run | str | Path, n: int = 16, k: int = 3, features: str = "", seed: int = 0, source: Source | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Pictures [n (1 + k), *shape] of samples, each before the k training examples nearest to it; and percentiles [n].

    Nearest by the features, as in `evaluate`. The percentile of a sample is the share of training examples that are
    farther from their nearest other one than it is from its own, in %: near 100 for a copy, 50 for one more of their
    kind (cf. Meehan et al. 2020, arXiv 2004.05675).
    """
    run = run if isinstance(run, Run) else load(run)
    if run.game.picture:
        raise JaxganError(f"kind {run.config.kind!r} translates images, and draws none that could be learned by heart")
    source = reference(run, source=source)
    p = protocol.complete(Eval(("fid",), features or run.config.eval.features, n), source)
    check(run.config, run.game, p, run.shape)
    real = protocol.reference(p, source)
    x = np.concatenate([x for x, _ in draws(run, p, real.get("labels"), seed)])
    fake = protocol.measure(p, [(x, None)], n, "samples")
    index, distance = nearest(real["features"], fake["features"], k)
    among = np.sort(nearest(real["features"], real["features"], 2)[1][:, 1])
    percentile = 100 * (1 - np.searchsorted(among, distance[:, 0]) / len(among))
    rows = protocol.rows_of(source)[index.ravel()]
    near = np.asarray(source.finish(source.rows(rows), rng.examples(rng.root(seed), len(rows)))["x"])
    together = np.concatenate([x[:, None], near.reshape(n, k, *x.shape[1:])], 1)
    return together.reshape(n * (1 + k), *x.shape[1:]), percentile


def picture(
    dir: str | Path, n: int = 16, features: str = "", seed: int = 0, source: Source | None = None, say=log.show
) -> Path:
    """Draw `neighbours` of the run in dir into eval/neighbours_STEP.png, four samples a row, and say how near."""
    run = load(dir)
    x, percentile = neighbours(run, n, features=features, seed=seed, source=source)
    if len(run.shape) != 3:
        raise JaxganError("--neighbours draws images; examples of this run are none")
    path = Path(run.dir or dir) / "eval" / f"neighbours_{int(run.state.step):08d}.png"
    path.parent.mkdir(exist_ok=True)
    plots.save(plots.examples(x, 16), path)
    say(
        f"{n} samples, each before its 3 nearest training examples, in {path}. A sample is nearer to one than "
        f"{np.median(percentile):.0f} % of training examples are to each other (median; near 50 for one more of their "
        f"kind, 100 for a copy); {np.sum(percentile > 99)} of {n} are nearer than 99 %"
    )
    return path


def check(c: Config, game: Game, p: Protocol, shape: tuple[int, ...], back: bool = False) -> None:
    """JaxganError where a run makes nothing that a metric reads, such as examples of classes, or translations."""
    if game.picture:
        translations.check(c, game, p, shape, back)
    elif back or (alone := _beside(p)):
        raise JaxganError(
            f"{'--back' if back else f'metric {alone[0]}'} is of translations, and kind {c.kind!r} makes examples of "
            "latents"
        )
    asks = [name for name in p.metrics if "labels" in READS.get(name, "")]
    if asks and not game.classes:
        raise JaxganError(f"metric {asks[0]} is of conditional samples, and this run was trained without labels")


def _beside(p: Protocol) -> list[str]:
    """Those of p's metrics that are of translations alone."""
    return [name for name in p.metrics if READS.get(name) in translations.BESIDE]


def sampled(run: Run, p: Protocol, labels, seed: int = 0, ema: bool = True) -> protocol.Set:
    """What p's metrics read of p.n samples of run, as `draws` makes them, and of as many paths."""
    found, wanted = {}, protocol.reads(p)
    for space in ("z", "w"):
        if f"paths-{space}" in wanted:
            found[f"paths-{space}"] = paths.lengths(run, space, p.n, asked_labels(run, p, labels, seed), seed, ema)
    if wanted - found.keys():
        found |= protocol.measure(p, draws(run, p, labels, seed, ema), p.n, "samples")
    return found


def asked_labels(run: Run, p: Protocol, labels, seed: int):
    """Labels [p.n] of the samples, drawn from those of real examples, or all in turn; None without classes."""
    if not run.game.classes:
        return None
    return np.random.default_rng(seed).choice(labels, p.n) if labels is not None else np.arange(p.n) % run.game.classes


def draws(run: Run, p: Protocol, labels, seed: int = 0, ema: bool = True) -> Iterator[tuple]:
    """Parts (samples, labels) of p.n samples; labels: of real examples, from which those asked for are drawn."""
    z, y = latents(run.game, p.n, seed), asked_labels(run, p, labels, seed)
    for start in range(0, p.n, PART):
        at = slice(start, start + PART)
        asked = None if y is None else y[at]
        yield run.generate(z[at], asked, ema), asked


def reference(run: Run, split: str = "train", source: Source | None = None) -> Source:
    """The real examples that a run is compared with: each once, none of them mirrored."""
    c = dataclasses.replace(run.config, flip=False, balance=False)
    if source is None and run.dir is None and c.data == kept.NAME:
        raise JaxganError("this run was trained on arrays: give them, source=jaxgan.data.from_arrays(images)")
    whole, held = run_folder.examples(run.dir, c, source)
    if split == "train":
        if run.dir is not None:
            seen = run.env | {"fingerprint": of_images(run.env["fingerprint"]).removesuffix(BALANCED)}
            run_folder.check_data(run.dir, c, seen, whole)
        return whole
    if split == "holdout":
        if held is None:
            raise JaxganError("this run held nothing out; take --split train, or train with --holdout 500")
        return held
    return of_split(c, split)


def of_split(c: Config, split: str) -> Source:
    """A split of c's data; JaxganError where these have none, or not this one."""
    prefix = c.data.partition(":")[0]
    if prefix not in ("tfds", *data.FILES):
        raise NoSplit(f"--split is {split!r}, and {c.data} has no splits; choose {SPLITS}")
    named = prefix in ("tfds", "hf")
    name = ":".join([*c.data.split(":")[:2], split]) if named else _folder(c.data, split)
    return data.open_source(name, **data.reading(c))


def _folder(name: str, split: str) -> str:
    """PREFIX:PATH:split of PREFIX:PATH or PREFIX:PATH:other."""
    prefix, _, path = name.partition(":")
    return f"{prefix}:{files.parted(path)[0]}:{split}"


def unmirrored(c: Config, source: Source) -> Source:
    """The real examples of a run each once, as they are, where it mirrors or repeats some; source if it has no name."""
    if not (c.flip or c.balance):
        return source
    try:
        plain, _ = data.of_config(dataclasses.replace(c, flip=False, balance=False))
    except JaxganError:
        return source
    return plain if plain.fingerprint == source.fingerprint.removesuffix(BALANCED) else source


def compare(
    images: str,
    against: str,
    metrics: tuple[str, ...] = (),
    features: str = "",
    n: int = 0,
    size: Size = 0,
    weights: str | Path = "",
    interval: bool = True,
    say=log.show,
) -> dict[str, Score]:
    """Metrics of any images against real ones -> {name with protocol: Score}; no run is needed.

    images, against: a folder of images; an .npz or .npy of images; or data by name, such as tfds:fashion_mnist:test.
    n: of images, drawn where there are more; 0 is all. size: pixels to which folders are resized, or height and width,
    0 leaves them.
    """
    size = size_of(size)
    if n < 0:
        raise JaxganError(f"n is {n}; expected 0, which takes all images, or more")
    fake, real = opened(images, size), opened(against, size)
    if fake.shape != real.shape and not len(fake.shape) == len(real.shape) == 3:
        raise JaxganError(f"examples of {images} are {fake.shape} and of {against} {real.shape}; expected one shape")
    if fake.shape[:2] != real.shape[:2]:
        say(f"NOTE: {images} has examples {fake.shape} and {against} {real.shape}; each is resized for the features")
    count, parts = protocol.of_source(fake, n)
    p = protocol.complete(Eval(tuple(metrics), features, count), real, str(weights))
    if alone := _beside(p):
        raise JaxganError(f"metric {alone[0]} is of translations, so it is of a run: jaxgan eval RUN")
    if alone := [name for name in p.metrics if "paths" in READS.get(name, "")]:
        raise JaxganError(f"metric {alone[0]} follows paths between latents, so it is of a run: jaxgan eval RUN")
    if "labels" in protocol.reads(p) and not fake.classes:
        raise JaxganError(f"{' '.join(p.metrics)} need labels of {images}, and it has none; an .npz may hold them as y")
    of_real = protocol.reference(p, real, say)
    found, notes = protocol.scores(p, of_real, protocol.measure(p, parts, count, images), real.density, interval)
    say(f"{count:,} examples of {images} against {real.size:,} of {against}")
    tell(found, notes, say)
    return found


def opened(name: str, size: Size = 0) -> Source:
    """A folder or archive of images at their own size, which must be one, or at `size`; a file of arrays; or a name."""
    path = Path(name).expanduser()
    if path.is_dir() or (path.is_file() and path.suffix not in (".npz", ".npy")):
        return data.open_source(f"folder:{path}", size=size or _one_size(path))
    if path.suffix in (".npz", ".npy"):
        return _from_file(path)
    return data.open_source(name, size=size)


def _one_size(path: Path) -> Size:
    found = files.find(path)
    sizes = {_size(found, name) for name in found.names}
    (w, h), *more = sorted(sizes)
    size = w if w == h else (h, w)
    if more:
        shown = ", ".join(f"{w}x{h}" for w, h in sorted(sizes)[:4])
        raise JaxganError(
            f"images in {path} are {shown} (width x height); expected one size. Give it: --size {size_text(size)}"
        )
    return size


def _size(found: files.Files, name: str) -> tuple[int, int]:
    """Width and height of an image in its file."""
    from PIL import Image

    try:
        opened = io.BytesIO(found.read(name))
        if name.endswith(files.ARRAY):
            height, width = np.load(opened, allow_pickle=False).shape[:2]
            return width, height
        with Image.open(opened) as image:
            return image.size
    except Exception as e:  # decoders raise nearly anything on damaged files
        raise JaxganError(
            f"{name} in {found.root} cannot be read as an image ({reason(e)}); repair or remove it"
        ) from None


def _from_file(path: Path) -> Source:
    arrays = disk.arrays(path)
    name = next((key for key in ("x", "images", "arr_0") if key in arrays), "")
    if not name:
        raise JaxganError(f"{path} holds {', '.join(arrays) or 'nothing'}; expected images under x, images or arr_0")
    return data.from_arrays(arrays[name], arrays.get("y"), name=str(path))


def tell(found: dict[str, Score], notes: list[str], say) -> None:
    """Scores, each on a line with its standard error, and notes."""
    width = max(map(len, found))
    for name, score in found.items():
        say(f"  {name:{width}}  {score.value:.5g}" + ("" if np.isnan(score.error) else f" ± {score.error:.2g}"))
    for text in notes:
        say(f"NOTE: {text}")


def _which(run: Run, step: int | str | None) -> str:
    """best, final or step N of M: what a reader has to know of a checkpoint."""
    if step == "best":
        return "best"
    at = int(run.state.step)
    return "final" if at >= run.config.steps else f"step {at} of {run.config.steps}"


def _scores(path: Path, say) -> dict:
    """The scores that an earlier evaluation wrote, none where its file is damaged, which is said."""
    try:
        return dict(json.loads(path.read_text("utf-8"))["scores"])
    except (ValueError, KeyError, TypeError) as e:
        say(f"NOTE: {path} is damaged ({type(e).__name__}: {e}); its scores are replaced")
        return {}


def _write(dir: Path, about: dict, found: dict[str, Score], p: Protocol, column: bool, say) -> Path:
    """Scores into eval/*.json, beside earlier ones of the same protocol, and, as columns, into metrics.jsonl."""
    (dir / "eval").mkdir(exist_ok=True)
    words = [f"{about['step']:08d}", p.features.replace("/", "-"), about["split"].replace("/", "-"), f"n{p.n}"]
    words += [] if about["generator"] == "ema" else ["last"]
    words += ["back"] * about.get("back", False)
    path = dir / "eval" / f"{'_'.join(words)}_seed{about['seed']}.json"
    old = _scores(path, say) if path.exists() else {}
    new = {name: [score.value, None if np.isnan(score.error) else score.error] for name, score in found.items()}
    about |= {"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "jaxgan": __version__, "scores": old | new}
    disk.write(path, json.dumps(about, indent=2))
    if column:
        try:
            with run_folder.locked(dir):
                log.insert(dir / "metrics.jsonl", {"step": about["step"], **{n: s.value for n, s in found.items()}})
        except JaxganError:
            say("another process is training this run: the scores are in its eval folder, not in its metrics.jsonl")
    return path
