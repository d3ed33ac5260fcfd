"""What a run that translates makes of images, as metrics read it: as a set, beside its target, and by several codes."""

from collections.abc import Callable, Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan import log, project, protocol
from jaxgan.config import Config
from jaxgan.errors import JaxganError
from jaxgan.features.extractor import progress, to_uint8
from jaxgan.games.translate import UNPAIRED
from jaxgan.metrics import READS
from jaxgan.metrics.diversity import apart
from jaxgan.protocol import Protocol, Set
from jaxgan.run import Run, latents
from jaxgan.types import Game, Source, halves

BESIDE = {"pairs", "pairs-lpips", "codes-lpips"}  # what metrics of METRICS read of translations alone
PAIRED = ("l1", "psnr", "ssim", "lpips")
CODES, INPUTS = 4, 100  # translations of an image, and images, of which diversity is measured
PART = 16  # images that LPIPS compares together


def target(game: Game, source: Source, back: bool = False) -> Source:
    """The real examples that translations are compared with: of set B, back of set A; all where there is one set."""
    if "translate" not in game.views:
        return source
    side = "AB"[not back]

    def finish(rows, keys):
        batch = source.finish(rows, keys)
        return {**batch, "x": halves(batch["x"])[not back]}

    shape = (*source.shape[:-1], source.shape[-1] // 2)
    return source._replace(
        name=f"{source.name}:{side}", shape=shape, fingerprint=f"{source.fingerprint} set {side}", finish=finish
    )


def usual(c: Config, game: Game, shape: tuple[int, ...]) -> tuple[str, ...]:
    """Metrics of translations into examples of this shape, where none are named: those that their kind has."""
    if not paired(c, game) or c.kind == "cyclegan":
        return protocol.USUAL
    if len(shape) < 3:
        return ("l1",)
    varied = ("diversity",) if drawn(game) else ()
    near = project.measure("auto", shape, log.show)[0] == "lpips"
    return PAIRED + varied if near else PAIRED[:-1]


def paired(c: Config, game: Game) -> bool:
    """Whether each image has its right translation in the data."""
    return "turn" not in game.views and UNPAIRED not in c.data.split(":")


def drawn(game: Game) -> bool:
    """Whether translations of one image differ by z."""
    return "translate" in game.views and jax.eval_shape(lambda key: game.latent(key, 1), jax.random.key(0)).shape[1] > 0


def check(c: Config, game: Game, p: Protocol, shape: tuple[int, ...], back: bool) -> None:
    """JaxganError for metrics that translations into examples of this shape do not have."""
    asked = {key: name for name in p.metrics for key in READS.get(name, "features").split()}
    if path := [name for key, name in asked.items() if key.startswith("paths")]:
        raise JaxganError(f"metric {path[0]} follows paths between latents, and kind {c.kind!r} translates images")
    for key in ("pairs", "pairs-lpips"):
        if key in asked and not paired(c, game):
            raise JaxganError(
                f"metric {asked[key]} compares a translation with its target, and kind {c.kind!r} on {c.data!r} has "
                f"none; take {' '.join(protocol.USUAL)}"
            )
    if "codes-lpips" in asked and not (drawn(game) and not back):
        raise JaxganError(
            f"metric diversity is of translations by different z, and this run of kind {c.kind!r} makes one of each "
            "image; bicyclegan and pix2pix with --latent above 0 have more"
        )
    if {"psnr", "ssim"} & set(p.metrics) and len(shape) != 3:
        raise JaxganError(f"psnr and ssim are for images, and examples are {shape}; take l1")
    if asked.keys() & {"pairs-lpips", "codes-lpips"}:
        project.measure("lpips", shape, log.show)  # complains now of small images, and where its weights are not
    if back and "back" not in game.views:
        raise JaxganError(f"kind {c.kind!r} translates one way only; --back is for cyclegan")


def sets(
    run: Run, p: Protocol, source: Source, seed: int = 0, ema: bool = True, back: bool = False, say=log.show
) -> tuple[Set, Set]:
    """What p's metrics read of real examples, and of translations of p.n of source's; see protocol.

    "pairs" are targets, and their translations in the same order; "pairs-lpips" distances [n] of the two, and
    "codes-lpips" those between CODES translations [m, pairs] of each of m images, and between targets. stargan turns
    each example into another class than its own, by chance as these are in the data.
    """
    wanted, aim = protocol.reads(p), target(run.game, source, back)
    whole = p._replace(metrics=tuple(name for name in p.metrics if READS.get(name, "features") not in BESIDE))
    real = protocol.reference(whole, aim, say) if whole.metrics else {}
    far = _lpips(aim.shape) if wanted & {"pairs-lpips", "codes-lpips"} else None
    count, parts = protocol.of_source(source, p.n, seed)
    targets: list[np.ndarray] = []
    near: list[np.ndarray] = []

    def made() -> Iterator[tuple]:
        for x, asked, b in _translated(run, parts, count, real.get("labels"), seed, ema, back):
            targets.extend([to_uint8(b) if b.ndim == 4 else b] if "pairs" in wanted else [])
            near.extend([far(x, b)] if far and "pairs-lpips" in wanted else [])
            yield x, asked

    fake = protocol.measure(p, made(), count, "translations")
    real |= {"pairs": np.concatenate(targets)} if targets else {}
    fake |= {"pairs-lpips": np.concatenate(near)} if near else {}
    if far and "codes-lpips" in wanted:
        real["codes-lpips"], fake["codes-lpips"] = _varied(run, source, min(INPUTS, p.n), far, seed, ema)
    return real, fake


def _translated(run: Run, parts, count: int, labels, seed: int, ema: bool, back: bool) -> Iterator[tuple]:
    """Parts (translations, the classes that were asked for or None, targets) of parts (examples, labels or None)."""
    game, draw, at = run.game, np.random.default_rng(seed), 0
    z = latents(game, count, seed)
    for x, y in parts:
        asked = None
        if "turn" in game.views:
            asked = others(y, np.arange(game.classes) if labels is None else labels, game.classes, draw)
            yield run.translate(x, labels=asked, ema=ema, finished=True), asked, x
        elif "upscale" in game.views:
            yield run.translate(game.condition({"x": jnp.asarray(x)}), ema=ema, finished=True), asked, x
        else:
            a, b = halves(x)[::-1] if back else halves(x)
            yield run.translate(a, z[at : at + len(x)], back, ema=ema, finished=True), asked, b
        at += len(x)


def others(own: np.ndarray, labels: np.ndarray, classes: int, draw: np.random.Generator) -> np.ndarray:
    """For each of own a class that is another, drawn from labels, or from all where these hold no other."""
    asked = np.empty(len(own), np.int32)
    for c in np.unique(own):
        there = labels[labels != c]
        asked[own == c] = draw.choice(there if len(there) else np.delete(np.arange(classes), c), (own == c).sum())
    return asked


def _varied(run: Run, source: Source, n: int, far: Callable, seed: int, ema: bool) -> tuple[np.ndarray, np.ndarray]:
    """Distances of disjoint pairs of n targets [n / 2], and between CODES translations [n, pairs] of n images."""
    n, parts = protocol.of_source(source, n, seed)
    z = latents(run.game, n * CODES, seed).reshape(n, CODES, -1)
    a, b = (np.concatenate(side) for side in zip(*(halves(x) for x, _ in parts)))
    found = []
    with progress(n, f"of images by {CODES} codes") as bar:
        for i in range(0, n, PART):
            part = slice(i, i + PART)
            made = [run.translate(a[part], z[part, k], ema=ema, finished=True) for k in range(CODES)]
            found.append(apart(np.stack(made, 1), far))
            bar.update(len(found[-1]))
    order = np.random.default_rng(seed).permutation(n)[: n // 2 * 2]  # neighbours in the data may be alike
    return far(b[order[::2]], b[order[1::2]]), np.concatenate(found)


def _lpips(shape: tuple[int, ...]) -> Callable:
    """(a, b) -> LPIPS [n] of images [n, *shape] in [-1, 1], rounded to bytes as files of them would be."""
    _, distance, weights = project.measure("lpips", shape, log.show)
    of_part = jax.jit(partial(distance, weights))

    def far(a, b) -> np.ndarray:
        a, b = (to_uint8(np.asarray(x)).astype(np.float32) / 127.5 - 1 for x in (a, b))
        filled = [np.concatenate([x, np.zeros((-len(x) % PART, *x.shape[1:]), x.dtype)]) for x in (a, b)]
        found = [of_part(*(x[i : i + PART] for x in filled)) for i in range(0, len(filled[0]), PART)]
        return np.concatenate([np.asarray(d) for d in found])[: len(a)]

    return far
