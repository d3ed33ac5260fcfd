"""A folder of image files as examples: any sizes, nested or in class folders, decoded once and cached."""

import hashlib
import math
import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from jaxgan.config import Size, sides, size_text
from jaxgan.data import cache, labels, levels
from jaxgan.data.files import Files, find, told
from jaxgan.data.images import Reading, reason, row
from jaxgan.data.labels import Labels
from jaxgan.data.rows import table
from jaxgan.types import JaxganError, Source

VERSION = 4  # of the decoding below: raise it when the same files give other pixels
DTYPES = {"bytes": np.uint8, "floats": np.float32}  # levels: what rows hold
CHANNELS = {1: "as grey", 3: "in colour", 4: "with opacity"}  # what is said of those that are asked for
QUIET = 2000  # files or images up to which no progress is shown


def folder(path: str | Path, size: Size = 32, *, flip: bool = False, **options) -> Source:
    """The images below path (a folder, an archive, a split; files.find) as uint8 [n, h, w, c], in order of names.

    Each image is turned upright (EXIF), composited on white where it is transparent, given the shape of size (crop, pad
    or stretch, by fit), and resized with Lanczos antialiasing; more than 8 bits are scaled to 8 (levels.ends), or kept
    as float32 in [-1, 1] by levels="floats"; of an animation the first frame counts. c is 1 if every pixel of every
    image is grey, else 3, or what is asked for by channels. Classes come from a file of labels, else from the immediate
    subfolders (labels.py). Decoded rows are cached in $XDG_CACHE_HOME/jaxgan/folder, by the contents of the files.
    options: other fields of Reading. Raises JaxganError for a missing or empty folder and, with the names, for
    unreadable files, unless skip_corrupt leaves these out.
    """
    files, how = find(path), Reading(size, **options)
    found = labels.find(files, how.label)
    images, facts = read(files, found, how)
    classes = found.classes
    source = table(images, facts["labels"], f"folder:{path}", facts["fingerprint"], len(classes), flip, classes)
    notes = told_of(files, found, how, facts)
    return source._replace(why=found.why, found="; ".join([source.found, *notes]))


def told_of(files: Files, found: Labels, how: Reading, facts: dict) -> list[str]:
    """How the images were read, and what was left out, in words."""
    others = Counter(files.others) - Counter([os.path.splitext(found.file)[1]] if found.file else [])
    skipped = len(facts["skipped"])
    return [
        *([f"labels of {found.file}"] if found.file else []),
        *([f"no classes, as {found.why}"] if found.why else []),
        *([f"the split {files.split} of {', '.join(files.splits)}"] if files.splits else []),
        _fitted([(w, h) for w, h in facts["shapes"]], how),
        *([CHANNELS.get(how.channels, f"the {how.channels} channels of arrays")] if how.channels else []),
        *(facts["levels"] or ["8 bits"]),
        *([f"left out: {told(others)}"] if others else []),
        *([f"skipped {skipped} of {len(files.names)} files that cannot be read"] if skipped else []),
    ]


def _fitted(shapes: list[tuple[int, int]], how: Reading) -> str:
    """What was done to images of these widths and heights."""
    w, h = min(shapes, key=math.prod)
    v, g = max(shapes, key=math.prod)
    wide = " (width x height)" if isinstance(how.size, tuple) else ""
    every = f"{w}x{h}{wide} in their files" if (w, h) == (v, g) else f"{w}x{h} to {v}x{g}{wide} in their files"
    blank = "transparency" if how.channels == 4 else "white"
    height, width = sides(how.size)
    part = "square" if height == width else f"part of {height} to {width} (height to width)"
    words = {"crop": f"cropped to the central {part}", "pad": f"padded with {blank}", "stretch": "stretched"}
    side = max if how.fit == "pad" else min
    alike = all(w * height == h * width for w, h in shapes)
    kept = all(side(w / width, h / height) == 1 for w, h in shapes)
    return every + ("" if alike else f", {words[how.fit]}") + ("" if kept else f", resized to {size_text(how.size)}")


def read(files: Files, found: Labels, how: Reading) -> tuple[np.ndarray, dict]:
    """The images of files.names [n, h, w, c], uint8 or float32 in [-1, 1], and facts about them.

    facts: "labels" [n] or None, "fingerprint", "shapes" [n] (width and height of each image in its file), "levels"
    (words on images of more than 8 bits), and "skipped", {name: reason} of files that are not among the n.
    """
    if min(sides(how.size)) < 1:
        raise JaxganError(f"folder: size must be at least 1 pixel; got {how.size}")
    directory = cache.writable(cache.user_cache() / "folder")
    key = content_key(files, found, how)
    with levels.any_size():
        images, facts = cache.cached(directory, key, lambda part: _build(files, found, how, part))
    if facts["skipped"] and not how.skip_corrupt:  # an earlier run skipped what this one must not
        raise unreadable(files, facts["skipped"])
    return images, facts


def content_key(files: Files, found: Labels, how: Reading) -> str:
    """SHA-256 of names, contents, labels, options and VERSION: what the decoded rows are a function of."""

    def one(name):
        try:
            return hashlib.sha256(files.read(name)).digest()
        except Exception:  # of a file or an archive
            return b"unreadable"  # decoding will report it

    definition = f"{VERSION} {how.size} {how.levels} {how.max_pixels} {how.fit} {how.half} {len(files.names)}"
    definition += f" {how.channels}" if how.channels else ""
    total = hashlib.sha256(definition.encode())
    if files.digest:
        total.update(files.digest.encode() + np.array([*found.of.values()], np.int64).tobytes())
        return total.hexdigest()
    for name, digest in zip(files.names, parallel(one, files.names, "reading files")):
        total.update(os.fsencode(name) + b"\0" + digest + b"%d" % found.of.get(name, -1))
    return total.hexdigest()


def parallel(function, items, what: str):
    """function of each item, in order, by a pool of threads; with a progress bar for more than QUIET items."""
    from tqdm import tqdm

    with ThreadPoolExecutor(min(os.cpu_count() or 1, 16)) as pool:
        yield from tqdm(pool.map(function, items), what, len(items), disable=len(items) <= QUIET or None)


def _build(files: Files, found: Labels, how: Reading, part: Path) -> dict:
    """Decode all files to the .npy `part`; returns facts as in `read`."""
    names = files.names
    ends, words = levels.ends([one for one in parallel(partial(span, files, how), names, "looking at files") if one])
    full_path = part.with_suffix(".full.npy")
    full, shapes = (
        cache.reserve(full_path, (len(names), *sides(how.size), how.channels or 3), DTYPES[how.levels]),
        np.zeros((len(names), 2), int),
    )

    def one(i):
        try:
            data = files.read(names[i])
            levels.check_size(data, how.max_pixels)
            full[i], shapes[i] = row(data, how, ends)
        except Exception as e:  # decoders raise nearly anything on damaged files
            return reason(e)
        return None

    try:
        reasons = list(parallel(one, range(len(names)), f"decoding {files.root.name}"))
        skipped = {name: reason for name, reason in zip(names, reasons) if reason}
        if skipped and (not how.skip_corrupt or len(skipped) == len(names)):
            raise unreadable(files, skipped)
        keep = np.array([i for i, reason in enumerate(reasons) if not reason])
        cache.copy_rows(full, keep, how.channels or (1 if _is_grey(full, keep) else 3), part)
    finally:
        full_path.unlink(missing_ok=True)
    numbers = [found.of[names[i]] for i in keep] if found.classes else None
    return {"labels": numbers, "shapes": shapes[keep].tolist(), "levels": words, "skipped": skipped}


def span(files: Files, how: Reading, name: str) -> tuple[str, float, float] | None:
    """levels.span of a file of more than 8 bits, None of others and of those that decoding will find unreadable."""
    try:
        data = files.read(name)
        levels.check_size(data, how.max_pixels)
        most = max(how.channels, 4)
        found = levels.span(levels.read(data, most)) if levels.is_deep(data, most) else None
    except Exception:
        return None
    return found if found and np.isfinite(found[1:]).all() else None


def _is_grey(images, keep) -> bool:
    """Whether red, green and blue are equal in all rows keep of images [n, h, w, 3]."""
    chunks = (images[keep[start : start + cache.CHUNK]] for start in range(0, len(keep), cache.CHUNK))
    return all((rows == rows[..., :1]).all() for rows in chunks)


def unreadable(files: Files, skipped: dict[str, str]) -> JaxganError:
    lines = [f"  {name}: {reason}" for name, reason in list(skipped.items())[:20]]
    more = f"\n  and {len(skipped) - 20} more" if len(skipped) > 20 else ""
    total = len(files.names)
    remedy = "Repair or remove them, or pass skip_corrupt to leave them out."
    if len(skipped) == total:
        remedy = "None is left."
    return JaxganError(
        f"{files.kind} {files.root}: {len(skipped)} of {total} files cannot be read:\n"
        + "\n".join(lines)
        + more
        + f"\n{remedy}"
    )
