"""Two sets of images to translate between: rows hold an image of set A and one of set B, stacked on the last axis."""

from pathlib import PurePosixPath

import jax.numpy as jnp
import numpy as np

from jaxgan.config import Size
from jaxgan.data.files import SPLITS, Files, find, images_of, listed, parted, within
from jaxgan.data.folder import read, told_of
from jaxgan.data.images import Reading, resize_all
from jaxgan.data.labels import SHOWN, Labels
from jaxgan.data.memory import load_mnist5k
from jaxgan.data.rows import counted, fingerprint, mirror, table, to_float
from jaxgan.errors import JaxganError, NoSplit
from jaxgan.types import Source


def outlines(images: np.ndarray) -> np.ndarray:
    """The outlines of what is brighter than 127 in images uint8 [n, h, w, 1], as 0 and 255: dilation less erosion.

    Both by 3x3 pixels; beyond the border all is dark.
    """
    bright = np.pad(images > 127, ((0, 0), (1, 1), (1, 1), (0, 0)))
    h, w = images.shape[1:3]
    near = [bright[:, i : i + h, j : j + w] for i in range(3) for j in range(3)]
    return (np.any(near, 0) & ~np.all(near, 0)).astype(np.uint8) * 255


def mnist5k_outlines(size: Size = 0, flip: bool = False, unpaired: bool = False) -> Source:
    """A: outlines of the 5,000 MNIST digits; B: the digits; labels are classes.

    unpaired: A of the even rows' digits and B of the odd ones', in a fixed random order, so that no digit is in both
    sets; labels are those of A.
    """
    images, labels = load_mnist5k()
    if size and size != 28:
        images = resize_all(images, size)
    drawn = outlines(images)
    if unpaired:
        drawn, labels, images = drawn[::2], labels[::2], images[1::2]
        images = images[np.random.default_rng(0).permutation(len(images))]
    x = np.concatenate([drawn, images], -1)
    name = "mnist5k_outlines:unpaired" if unpaired else "mnist5k_outlines"
    return table(x, labels, name, fingerprint(x, labels), 10, flip)


def pairs(path: str, size: Size, *, flip: bool, **options) -> Source:
    """The images of two folders (`_sides`), read as `folder` reads them, where the same name makes a pair.

    Where there are no such folders, the images below path are halved: A's is on the left, B's on the right. options:
    other fields of Reading. Raises JaxganError, with the names, where an image has no counterpart, and where the two of
    a pair differ in the ratio of their sides, so that a crop would show two places.
    """
    how = Reading(size, **options)
    sides = _sides(path, "pairs")
    if sides:
        a, b = _matched(path, *sides)
        read_as = how, how
    else:
        a = b = find(path)
        read_as = how._replace(half="left"), how._replace(half="right")
    try:
        (x, of_a), (y, of_b) = (read(files, Labels([], {}), how) for files, how in zip((a, b), read_as))
    except JaxganError as e:
        if sides:
            raise
        raise JaxganError(f"{_expected(path, 'pairs')}, or images that hold both side by side. {e}") from e
    if sides and not len(x) == len(y) == len(a.names):
        raise JaxganError(
            f"pairs {path}: {len(a.names) - min(len(x), len(y))} files cannot be read, and would leave their "
            f"counterparts alone; remove both, or use unpaired:{path}"
        )
    if how.fit != "stretch":  # which shows all of both, whatever their shapes
        _check_shapes(path, a.names, of_a["shapes"], of_b["shapes"])
    index = np.arange(len(x))
    return _together(f"pairs:{path}", (x, index, of_a), (y, index, of_b), _told([a, b], how, of_a, of_b), flip)


def _told(sides: list[Files], how: Reading, *facts: dict) -> str:
    """What the two sets are, in words."""
    return "; ".join(
        f"{side}: {len(found['shapes']):,} images, {', '.join(told_of(files, Labels([], {}), how, found))}"
        for side, files, found in zip("AB", sides, facts)
    )


def _matched(path: str, a: Files, b: Files) -> tuple[Files, Files]:
    """a, and b in a's order: by the same name, else by the same but for the suffix."""
    if a.names == b.names:
        return a, b
    of_a, of_b = (_stems(path, files) for files in (a, b))
    for here, there, names, others in (("A", "B", of_a, of_b), ("B", "A", of_b, of_a)):
        if alone := [name for stem, name in names.items() if stem not in others]:
            raise JaxganError(
                f"pairs {path}: {_listed(alone)} of {here} have no image of the same name in {there}; add or remove "
                f"some, or use unpaired:{path}, which needs no counterparts"
            )
    return a, b._replace(names=[of_b[stem] for stem in of_a])


def _stems(path: str, files: Files) -> dict[str, str]:
    """{name without its suffix: name}."""
    found: dict[str, str] = {}
    for name in files.names:
        stem = str(PurePosixPath(name).with_suffix(""))
        if stem in found:
            raise JaxganError(f"pairs {path}: {found[stem]} and {name} of one set could both be {stem}; keep one")
        found[stem] = name
    return found


def _check_shapes(path: str, names: list[str], a: list, b: list) -> None:
    """JaxganError where images (width, height) of a pair are not scaled versions of each other, but for rounding."""
    different = [
        f"{name} ({w}x{h} in A, {v}x{g} in B)"
        for name, (w, h), (v, g) in zip(names, a, b)
        if abs(w * g - v * h) > max(w, h, v, g)
    ]
    if different:
        raise JaxganError(
            f"pairs {path}: the two images of {_listed(different)} differ in the ratio of width to height, and cropped "
            "to one shape they would show different places; resize or crop them to one shape, or pass --fit stretch if "
            "one is the other stretched"
        )


def _listed(words: list[str]) -> str:
    return ", ".join(words[:SHOWN]) + (f" and {len(words) - SHOWN} more" if len(words) > SHOWN else "")


def unpaired(path: str, size: Size, *, flip: bool, **options) -> Source:
    """The images of PATH/A and of PATH/B, read as `folder` reads them, as many rows as the larger set has.

    A row pairs two at random, always the same; images of the smaller set come more than once.
    """
    sides = _sides(path, "unpaired")
    if not sides:
        raise (NoSplit if parted(path)[1] else JaxganError)(_expected(path, "unpaired"))
    how = Reading(size, **options)
    (a, of_a), (b, of_b) = (read(files, Labels([], {}), how) for files in sides)
    order, n = np.random.default_rng(0), max(len(a), len(b))
    i, j = (np.concatenate([order.permutation(len(x)) for _ in range(-(-n // len(x)))])[:n] for x in (a, b))
    return _together(f"unpaired:{path}", (a, i, of_a), (b, j, of_b), _told(sides, how, of_a, of_b), flip)


def _sides(path: str, what: str) -> list[Files]:
    """The files of sets A and B; none of them where path has no folders for both; JaxganError where it has one.

    They are A and B, or trainA and trainB, or train/A and train/B; of another split than train with path PATH:SPLIT.
    """
    root, split = parted(path)
    whole = listed(root)
    words = next((words for words in SPLITS.values() if (split or "train") in words), {split})
    inside = [f"{word}{between}" for word in sorted(words) for between in ("", "/")]
    for start in [*([] if split else [""]), *inside]:
        a, b = (within(whole, f"{start}{side}") for side in "AB")
        if a and b:
            return [images_of(a), images_of(b)]
        if a or b:
            raise JaxganError(_expected(path, what, start, "B" if a else "A"))
    a, b = (within(whole, side) for side in "AB")
    return [images_of(a, split), images_of(b, split)] if split and a and b else []


def _expected(path: str, what: str, start: str = "", side: str = "") -> str:
    """That the folders of both sets are missing, or the one of this side, whose names begin so."""
    missing = f"no folder {side} beside the other" if side else "no folder A and no folder B"
    a, b = (parted(path)[0] / f"{start}{side}" for side in "AB")
    return (
        f"{what} {path}: there is {missing}; expected {a} and {b} with the images of the two sets, or trainA and trainB"
    )


def _together(name: str, a: tuple, b: tuple, told: str, flip: bool) -> Source:
    """Rows of two sets (images, which of them are in the rows, facts), side by side on the last axis.

    Grey images get three channels where the others have them.
    """
    channels = max(a[0].shape[-1], b[0].shape[-1])

    def rows(index):
        index = np.asarray(index)
        sides = [np.asarray(images[of[index]]) for images, of, _ in (a, b)]
        sides = [x if x.shape[-1] == channels else x.repeat(channels, -1) for x in sides]
        return {"x": np.concatenate(sides, -1), "y": np.zeros(len(index), np.int32)}

    def finish(rows, keys):
        x = to_float(rows["x"])
        return {"x": mirror(x, keys) if flip else x, "y": rows["y"].astype(jnp.int32)}

    n, shape = len(a[1]), (*a[0].shape[1:-1], 2 * channels)
    digest = f"{name.split(':')[0]} {a[2]['fingerprint']} {b[2]['fingerprint']}"
    size = n * int(np.prod(shape)) * a[0].dtype.itemsize
    return Source(name, shape, 0, n, rows, finish, digest, size, found=f"{counted(n, shape, 'pairs')}; {told}")
