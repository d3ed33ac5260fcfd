"""Where examples go: a grid in a picture, arrays, a file for each, or an animation."""

import re
from fractions import Fraction
from pathlib import Path

import numpy as np

from jaxgan import disk, plots
from jaxgan.errors import JaxganError

MOVES = (".gif", ".mp4")  # what an animation's name ends in


def is_folder(out: Path) -> bool:
    """Whether out is to hold a file for each example: it is a folder, or a name without a suffix."""
    return out.is_dir() or not out.suffix


def check(out: Path, *others: str) -> None:
    """JaxganError where nothing can be written to out: a picture (.png), arrays (.npz), a folder, or others."""
    known = (".png", ".npz", *others)
    if not is_folder(out) and out.suffix not in known:
        raise JaxganError(f"--out is {out}; expected a name that ends in {' or '.join(known)}, or in / for a folder")
    if not out.absolute().parent.is_dir():
        raise JaxganError(f"--out is {out}, but there is no folder {out.parent}")
    if is_folder(out) and out.exists() and not out.is_dir():
        raise JaxganError(f"--out is {out}, which is a file; choose a new folder, or a name that ends in {known[0]}")
    if out.suffix == ".mp4":
        _av()
    if out.is_dir() and any(out.iterdir()):
        raise JaxganError(f"--out is {out}, which holds files already; choose a new or an empty folder")
    disk.check(out / "00000.png" if out.is_dir() else out)


def save(out: Path, x, y, columns: int, names=()) -> None:
    """Examples x [n, *shape] as a grid (.png), as arrays "x" and, where there are labels, "y" (.npz), or as `files`.

    names: of the classes. A single image has its own size.
    """
    if is_folder(out):
        files(out, x, [numbered(i, len(x), None if y is None else y[i], names) for i in range(len(x))])
    elif out.suffix == ".npz":
        disk.write_arrays(out, x=x, **({} if y is None else {"y": y}))
    elif len(x) == 1 and x.ndim == 4:
        plots.save(plots.of_file(x[0]), out)
    else:
        plots.save(plots.examples(x, columns, heads=plots.heads(y, columns, names)), out)


def numbered(i: int, n: int, label=None, names=()) -> str:
    """The file of the i-th of n examples, in a folder of its class where it has one."""
    file = f"{i:0{max(5, len(str(n - 1)))}d}.png"
    return file if label is None else f"{folder_name(int(label), names)}/{file}"


def folder_name(label: int, names=()) -> str:
    """What the folder of a class is called: its name as far as file systems take it, else its number."""
    plain = [re.sub(r"[^\w .()+-]", "_", name).strip(" .") for name in names]
    alone = label < len(names) and bool(plain[label]) and plain.count(plain[label]) == 1
    return plain[label] if alone else str(label)


def pngs(names: list[str]) -> list[str]:
    """Names of image files with .png in place of their suffixes, or after them where two would become one."""
    made = [str(Path(name).with_suffix(".png")) for name in names]
    return [one if made.count(one) == 1 else f"{name}.png" for one, name in zip(made, names)]


def files(out: Path, x, names: list[str]) -> None:
    """Images x [n, h, w, c] in [-1, 1] as PNG files of their own size, at names below the folder out."""
    if np.ndim(x) != 4:
        raise JaxganError(f"--out is the folder {out}, but examples of shape {x.shape[1:]} are no images; use .npz")
    for image, name in zip(x, names, strict=True):
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        plots.save(plots.of_file(image), path)


def animation(out: Path, x, milliseconds: int = 60) -> None:
    """Frames x [frames, n, *shape], each a grid, as a looping GIF, or as a film where out ends in .mp4."""
    columns = x.shape[1] if x.shape[1] <= 16 else 8
    write = film if out.suffix == ".mp4" else plots.gif
    write([plots.examples(frame, columns) for frame in x], out, milliseconds)


def film(pictures, out: Path, milliseconds: int) -> None:
    """An .mp4 (H.264, of even sides, which every player reads) of pictures [h, w, 3] uint8 of one size.

    A white line is added where a side is odd.
    """
    av = _av()
    options = {"movflags": "faststart"}  # which FFmpeg does by opening the file again, so it wants a name
    with disk.replacing(out) as place, av.open(place.name, mode="w", format="mp4", options=options) as file:
        stream = file.add_stream("libx264", rate=Fraction(1000, milliseconds), options={"crf": "18"})
        stream.height, stream.width = (side + side % 2 for side in pictures[0].shape[:2])
        stream.pix_fmt = "yuv420p"
        for picture in pictures:
            edges = [(0, side % 2) for side in picture.shape[:2]]
            even = np.pad(picture, [*edges, (0, 0)], constant_values=255)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
        file.mux(stream.encode())


def _av():
    """The library that writes films; JaxganError where it is not here."""
    try:
        import av
    except ImportError:
        raise JaxganError("an .mp4 needs the library av: pip install 'jaxgan[mp4]'; or let --out end in .gif") from None
    return av
