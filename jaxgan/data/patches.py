"""A folder of photographs of any sizes as patches: their pixels lie on disk once, and an example is a random crop."""

from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan import rng
from jaxgan.data import cache, folder, labels, levels
from jaxgan.data.files import find
from jaxgan.data.folder import unreadable
from jaxgan.data.images import Reading, decode, reason
from jaxgan.data.labels import SHOWN
from jaxgan.data.rows import class_counts, counted, mirror, to_float
from jaxgan.types import JaxganError, Source

AT_ONCE = 32  # files that are decoded together


class Windows(NamedTuple):
    """Parts of photographs in which a patch lies: [m] each. A patch starts at top .. top + down, left .. left + right.

    photo: number of the photograph; the numbers of starts differ by one at most within a photograph.
    """

    photo: np.ndarray
    top: np.ndarray
    left: np.ndarray
    down: np.ndarray
    right: np.ndarray


def patches(path: str | Path, patch: int, *, flip: bool = False, **options) -> Source:
    """Squares of `patch` pixels of the images below path, which stay at their own size: a random one each time.

    A row is a window in which up to patch x patch crops begin, so that all crops of an image are about as likely and
    large images have more rows; the crop is drawn by the key of the example. Files, colours and classes are as in
    `folder`; options: label, skip_corrupt and max_pixels. JaxganError where an image is smaller than a patch.
    """
    files, how = find(path), Reading(patch, **options)
    found = labels.find(files, how.label)
    directory = cache.writable(cache.user_cache() / "folder")
    key = f"photos-{folder.content_key(files, found, how._replace(size=0))}"
    with levels.any_size():
        pixels, facts = cache.cached(directory, key, lambda part: _build(files, found, how, part))
    if facts["skipped"] and not how.skip_corrupt:
        raise unreadable(files, facts["skipped"])
    shapes = np.array(facts["shapes"])
    _check_sizes(path, patch, shapes, facts["names"])
    windows = cut(shapes, patch)
    y = np.zeros(len(shapes), np.int32) if facts["labels"] is None else np.array(facts["labels"], np.int32)
    source = _source(path, patch, flip, pixels, shapes, windows, y[windows.photo])
    told = [
        f"{counted(len(windows.photo), source.shape, 'windows for random patches')}, "
        f"{class_counts(y[windows.photo], len(found.classes), found.classes)}",
        f"of {len(shapes):,} images of {_size(shapes, np.argmin)} to {_size(shapes, np.argmax)}",
        *(facts["levels"] or ["8 bits"]),
    ]
    digest = f"{facts['fingerprint']} patch {patch}"
    names = tuple(found.classes)
    return source._replace(fingerprint=digest, classes=len(names), names=names, why=found.why, found="; ".join(told))


def _size(shapes, of) -> str:
    """Width and height of the image with the least or the most pixels."""
    h, w = shapes[of(shapes.prod(1))]
    return f"{w}x{h}"


def _check_sizes(path, patch: int, shapes: np.ndarray, names: list[str]) -> None:
    small = [f"{names[i]} ({w}x{h})" for i, (h, w) in enumerate(shapes) if min(h, w) < patch]
    if small:
        more = f" and {len(small) - SHOWN} more" if len(small) > SHOWN else ""
        raise JaxganError(
            f"folder {path}: patch is {patch}, and {len(small)} of {len(shapes)} images are smaller: "
            f"{', '.join(small[:SHOWN])}{more}; take a smaller patch, or these out of the folder"
        )


def _build(files, found: labels.Labels, how: Reading, part: Path) -> dict:
    """Write the pixels of all files one after the other to the .npy `part` [pixels, 1 or 3]; facts as `folder.read`."""
    spans = folder.parallel(lambda name: folder.span(files, how, name), files.names, "looking at files")
    ends, words = levels.ends([span for span in spans if span])

    def one(name):
        try:
            data = files.read(name)
            levels.check_size(data, how.max_pixels)
            return np.asarray(decode(data, ends))
        except Exception as e:  # decoders raise nearly anything on damaged files
            return reason(e)

    raw, shapes, names, skipped, grey = part.with_suffix(".raw"), [], [], {}, True
    try:
        with raw.open("wb") as out:
            for start in range(0, len(files.names), AT_ONCE):
                some = files.names[start : start + AT_ONCE]
                for name, image in zip(some, folder.parallel(one, some, f"decoding {files.root.name}")):
                    if isinstance(image, str):
                        skipped[name] = image
                        continue
                    grey = grey and bool((image == image[..., :1]).all())
                    out.write(image.tobytes())
                    shapes.append(image.shape[:2])
                    names.append(name)
        if skipped and (not how.skip_corrupt or not names):
            raise unreadable(files, skipped)
        flat = np.memmap(raw, np.uint8, "r").reshape(-1, 3)
        kept = cache.reserve(part, (len(flat), 1 if grey else 3))
        for start in range(0, len(flat), 1 << 24):
            kept[start : start + (1 << 24)] = flat[start : start + (1 << 24), : kept.shape[1]]
        kept.flush()
    finally:
        raw.unlink(missing_ok=True)
    of = [found.of[name] for name in names] if found.classes else None
    return {"labels": of, "shapes": shapes, "names": names, "levels": words, "skipped": skipped}


def starts(length: int, patch: int) -> list[tuple[int, int]]:
    """(first, further ones) of runs of starts of patches along a side: all of them once, as many in each but for one.

    No run has more than `patch`.
    """
    n = length - patch + 1
    runs = -(-n // patch)
    edges = [n * i // runs for i in range(runs + 1)]
    return [(a, b - a - 1) for a, b in pairwise(edges)]


def cut(shapes: np.ndarray, patch: int) -> Windows:
    """The windows of photographs of these heights and widths [n, 2]."""
    made = [
        (i, top, left, down, right)
        for i, (h, w) in enumerate(shapes.tolist())
        for top, down in starts(h, patch)
        for left, right in starts(w, patch)
    ]
    return Windows(*np.array(made, np.int64).T)


def _source(path, patch: int, flip: bool, pixels, shapes: np.ndarray, windows: Windows, y: np.ndarray) -> Source:
    side, channels = 2 * patch - 1, pixels.shape[1]
    begins = np.concatenate([[0], np.cumsum(shapes.prod(1))])

    def window(i: int) -> np.ndarray:
        """All of the window, the rest 0."""
        photo, top, left, down, right = (column[i] for column in windows)
        h, w = shapes[photo]
        image = pixels[begins[photo] : begins[photo + 1]].reshape(h, w, channels)
        found = np.zeros((side, side, channels), np.uint8)
        found[: down + patch, : right + patch] = image[top : top + down + patch, left : left + right + patch]
        return found

    def rows(index):
        index = np.asarray(index)
        flat = [window(i) for i in index.ravel()]
        room = np.stack([windows.down[index], windows.right[index]], -1).astype(np.int32)
        return {"x": np.reshape(flat, (*index.shape, side, side, channels)), "room": room, "y": y[index]}

    def crop(x, room, key):
        at = jax.random.randint(rng.stream(key, "patch"), (2,), 0, room + 1)
        return jax.lax.dynamic_slice(x, (*at, 0), (patch, patch, channels))

    def finish(rows, keys):
        x = to_float(jax.vmap(crop)(jnp.asarray(rows["x"]), jnp.asarray(rows["room"]), keys))
        return {"x": mirror(x, keys) if flip else x, "y": jnp.asarray(rows["y"]).astype(jnp.int32)}

    n = len(y)
    size = n * (side * side * channels + 12)
    return Source(f"folder:{path}", (patch, patch, channels), 0, n, rows, finish, "", size)
