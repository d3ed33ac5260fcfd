"""Two sets of images to translate between: rows hold an image of set A and one of set B, stacked on the last axis."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np

from jaxgan.data.files import find
from jaxgan.data.folder import folder
from jaxgan.data.images import resize_all
from jaxgan.data.memory import load_mnist5k
from jaxgan.data.rows import fingerprint, mirror, table, to_float
from jaxgan.types import JaxganError, Source


def outlines(images: np.ndarray) -> np.ndarray:
    """The outlines of what is brighter than 127 in images uint8 [n, h, w, 1], as 0 and 255: dilation less erosion.

    Both by 3x3 pixels; beyond the border all is dark.
    """
    bright = np.pad(images > 127, ((0, 0), (1, 1), (1, 1), (0, 0)))
    h, w = images.shape[1:3]
    near = [bright[:, i : i + h, j : j + w] for i in range(3) for j in range(3)]
    return (np.any(near, 0) & ~np.all(near, 0)).astype(np.uint8) * 255


def mnist5k_outlines(size: int = 0, flip: bool = False, unpaired: bool = False) -> Source:
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


def pairs(path: str, size: int, *, flip: bool, skip_corrupt: bool) -> Source:
    """The images of PATH/A and of PATH/B, read as `folder` reads them, where the same name makes a pair.

    Raises JaxganError, with the names, where an image has no counterpart.
    """
    a, b = _folders(path, "pairs", size, skip_corrupt)
    names = [set(find(root).names) for root in _roots(path, "pairs")]
    for i, (here, there) in enumerate((("A", "B"), ("B", "A"))):
        alone = sorted(names[i] - names[1 - i])
        if alone:
            more = f" and {len(alone) - 3} more" if len(alone) > 3 else ""
            raise JaxganError(
                f"pairs {path}: {', '.join(alone[:3])}{more} of {here} have no image of the same name in {there}; add "
                f"or remove some, or use unpaired:{path}, which needs no counterparts"
            )
    if not a.size == b.size == len(names[0]):
        raise JaxganError(
            f"pairs {path}: {len(names[0]) - min(a.size, b.size)} files cannot be read, and would leave their "
            f"counterparts alone; remove both, or use unpaired:{path}"
        )
    index = np.arange(a.size)
    return _together(f"pairs:{path}", a, b, index, index, flip)


def unpaired(path: str, size: int, *, flip: bool, skip_corrupt: bool) -> Source:
    """The images of PATH/A and of PATH/B, read as `folder` reads them, as many rows as the larger set has.

    A row pairs two at random, always the same; images of the smaller set come more than once.
    """
    a, b = _folders(path, "unpaired", size, skip_corrupt)
    order = np.random.default_rng(0)
    n = max(a.size, b.size)
    of_a, of_b = (np.concatenate([order.permutation(s.size) for _ in range(-(-n // s.size))])[:n] for s in (a, b))
    return _together(f"unpaired:{path}", a, b, of_a, of_b, flip)


def _roots(path: str, what: str) -> list[Path]:
    root = Path(path).expanduser()
    missing = [side for side in "AB" if not (root / side).is_dir()]
    if missing:
        raise JaxganError(
            f"{what} {path}: there is no folder {' and no folder '.join(missing)}; expected {root / 'A'} and "
            f"{root / 'B'} with the images of the two sets"
        )
    return [root / "A", root / "B"]


def _folders(path: str, what: str, size: int, skip_corrupt: bool) -> tuple[Source, Source]:
    a, b = (folder(root, size, skip_corrupt=skip_corrupt) for root in _roots(path, what))
    return a, b


def _together(name: str, a: Source, b: Source, of_a: np.ndarray, of_b: np.ndarray, flip: bool) -> Source:
    """Rows i of image of_a[i] of a and image of_b[i] of b; grey ones get three channels where the others have them."""
    channels = max(a.shape[-1], b.shape[-1])

    def rows(index):
        index = np.asarray(index)
        sides = [source.rows(of[index])["x"] for source, of in ((a, of_a), (b, of_b))]
        sides = [x if x.shape[-1] == channels else x.repeat(channels, -1) for x in sides]
        return {"x": np.concatenate(sides, -1), "y": np.zeros(len(index), np.int32)}

    def finish(rows, keys):
        x = to_float(rows["x"])
        return {"x": mirror(x, keys) if flip else x, "y": rows["y"].astype(jnp.int32)}

    shape = (*a.shape[:-1], 2 * channels)
    size = len(of_a) * int(np.prod(shape))
    return Source(
        name, shape, 0, len(of_a), rows, finish, f"{name.split(':')[0]} {a.fingerprint} {b.fingerprint}", size
    )
