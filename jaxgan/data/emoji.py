"""Google's emoji (Noto), 64x64, from the npm package emoji-datasource-google: pictures with classes and skin tones."""

import json
import zlib
from pathlib import Path

import numpy as np

from jaxgan.data.catalogue import EMOJI, Recipe
from jaxgan.data.images import decode
from jaxgan.types import JaxganError

PACKAGE = "emoji-datasource-google"
PLACES = ("", "package", PACKAGE, f"node_modules/{PACKAGE}")  # below the folder that is given
AGAIN = f"get the package again: npm pack {PACKAGE}"
TENTH = 10  # one emoji in so many, nearly, is a test example
SHOWN = 5  # files that a message names


def read_emoji(recipe: Recipe, source_dir: Path) -> tuple[dict, dict]:
    """The splits and class names of the unpacked package: images on white, the category as the label.

    train and test hold each emoji once, without a chosen skin tone; train_toned and test_toned hold those of them that
    come in tones, once for each tone or pair of tones. An emoji's code alone decides whether it is for testing, so that
    its tones lie on its own side, and it stays there in other versions of the package. The five swatches of tones
    (category Component) are left out. In order of file names.
    """
    root = next((source_dir / place for place in PLACES if (source_dir / place / "emoji.json").is_file()), None)
    if root is None:
        raise JaxganError(
            f"{source_dir} lacks emoji.json; pass the folder of the unpacked npm package {PACKAGE}, or the one above it"
        )
    rows = listed(root / "emoji.json")
    if empty := [split for split in recipe.splits if not any(where == split for where, _, _ in rows)]:
        raise JaxganError(f"{root / 'emoji.json'} has no emoji for {' and '.join(empty)}; {AGAIN}")
    images = pictures(root / "img" / "google" / "64", sorted(name for _, name, _ in rows), recipe.shape)
    splits = {}
    for split in recipe.splits:
        labels = {name: label for where, name, label in sorted(rows) if where == split}
        splits[split] = np.stack([images[name] for name in labels]), {"label": np.array(list(labels.values()))}
    return splits, {"label": EMOJI}


def listed(path: Path) -> list[tuple[str, str, int]]:
    """(split, file, label) of every picture that emoji.json lists, but for the swatches."""
    rows = []
    try:
        for one in json.loads(path.read_text("utf-8")):
            if one["category"] == "Component" or not one["has_img_google"]:
                continue
            if one["category"] not in EMOJI:
                raise JaxganError(
                    f"{path}: {one['image']} has the category {one['category']!r}; expected one of {EMOJI}"
                )
            side = "train" if zlib.crc32(one["unified"].encode()) % TENTH else "test"
            label = EMOJI.index(one["category"])
            rows.append((side, str(one["image"]), label))
            tones = one.get("skin_variations", {}).values()
            rows += [(f"{side}_toned", str(tone["image"]), label) for tone in tones if tone["has_img_google"]]
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        raise JaxganError(f"{path} is damaged ({type(e).__name__}: {e}); {AGAIN}") from e
    return rows


def pictures(folder: Path, names: list[str], shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """{file: uint8 image of this shape} of files in folder; JaxganError names those that are missing or damaged."""
    images, bad = {}, []
    for name in names:
        try:
            images[name] = np.asarray(decode((folder / name).read_bytes()))
            if images[name].shape != shape:
                bad.append(f"{name} (is {images[name].shape}, expected {shape})")
        except Exception as e:  # decoders raise nearly anything on damaged files
            bad.append(f"{name} ({type(e).__name__}: {e})")
    if bad:
        more = f" and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
        raise JaxganError(
            f"{folder}: {len(bad)} of {len(names)} pictures cannot be used: {', '.join(bad[:SHOWN])}{more}; {AGAIN}"
        )
    return images
