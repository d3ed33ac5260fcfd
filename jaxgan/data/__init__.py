"""Real examples by name: `open_source("ring8")`, `open_source("folder:photos")`, `open_source("tfds:cifar10")`."""

import difflib
from pathlib import Path

from jaxgan.config import Config, Size, sides, size_of, size_text
from jaxgan.data.balance import balanced
from jaxgan.data.catalogue import CATALOGUE
from jaxgan.data.holdout import split
from jaxgan.data.memory import from_arrays, mnist5k
from jaxgan.data.prepare import prepare
from jaxgan.data.sequences import SEQUENCES
from jaxgan.data.toy import TOYS
from jaxgan.types import JaxganError, Source

__all__ = ["SOURCES", "from_arrays", "of_config", "open_source", "prepare"]


def _drawn(make, what: str):
    def opened(argument, *, size, flip, **unused):
        source = make()
        if argument:
            raise JaxganError(f"{source.name} has no splits; write {source.name}, not {source.name}:{argument}")
        if size or flip:
            raise JaxganError(f"{source.name} has {what}, not images; leave size and flip unset")
        return source

    return opened


def _mnist5k(argument, *, size, flip, **unused):
    if argument:
        raise JaxganError(f"mnist5k has no splits; write mnist5k, not mnist5k:{argument}")
    return mnist5k(size, flip)


def _outlines(argument, *, size, flip, **unused):
    from jaxgan.data.pairs import mnist5k_outlines

    if argument not in ("", "unpaired"):
        raise JaxganError(
            f"mnist5k_outlines:{argument} is unknown; write mnist5k_outlines, or mnist5k_outlines:unpaired"
        )
    return mnist5k_outlines(size, flip, argument == "unpaired")


def _two_folders(name):
    def opened(argument, *, size, flip, data_dir, label, **how):
        from jaxgan.data import pairs

        if not argument:
            raise JaxganError(f"{name}: needs a path: {name}:PATH, a folder that holds A and B, see data/README.md")
        return getattr(pairs, name)(argument, size or 32, flip=flip, **how)

    return opened


def _folder(argument, *, size, flip, data_dir, patch=0, **how):
    from jaxgan.data.folder import folder
    from jaxgan.data.patches import patches

    if not argument:
        raise JaxganError("folder: needs a path: folder:PATH, or folder:PATH:train")
    if patch:
        return patches(argument, patch, flip=flip, **how)
    return folder(argument, size or 32, flip=flip, **how)


def _tfds(argument, *, data_dir, size, flip, **unused):
    from jaxgan.data.stream import tfds

    name, _, split = argument.partition(":")
    if not name:
        raise JaxganError("tfds: needs a data set: tfds:NAME or tfds:NAME:SPLIT, such as tfds:cifar10:train[:10%]")
    return tfds(name, split or "train", data_dir, size=size, flip=flip)


def _hub(argument, *, size, flip, data_dir, **how):
    from jaxgan.data.hub import hub

    name, _, split = argument.rpartition(":") if ":" in argument else (argument, "", "")
    if not name:
        raise JaxganError("hf: needs a data set: hf:NAME or hf:NAME:SPLIT, such as hf:cifar10:train")
    return hub(name, split or "train", size=size, flip=flip, **how)


def _stacked(argument, **options):
    from jaxgan.data.stacked import stacked

    if argument.partition(":")[0] not in ("mnist5k", "tfds"):
        raise JaxganError(f"stacked:{argument} is unknown; write stacked:mnist5k or stacked:tfds:mnist")
    return stacked(open_source(argument, **options))


# name, or prefix before ":" -> function of what follows it
SOURCES = {
    "mnist5k": _mnist5k,
    **{name: _drawn(make, "points") for name, make in TOYS.items()},
    **{name: _drawn(make, "sequences") for name, make in SEQUENCES.items()},
    "mnist5k_outlines": _outlines,
    "folder": _folder,
    "pairs": _two_folders("pairs"),
    "unpaired": _two_folders("unpaired"),
    "tfds": _tfds,
    "hf": _hub,
    "stacked": _stacked,
}
FILES = ("folder", "pairs", "unpaired", "hf")  # whose images are files, of any size and format
LEVELS, FITS = ("bytes", "floats"), ("crop", "pad", "stretch")  # of FILES; the first is the default, and others'
ENDS = {
    "stacked": "stacked:mnist5k",
    "pairs": "pairs:PATH",
    "unpaired": "unpaired:PATH",
    "folder": "folder:PATH[:SPLIT]",
    "tfds": "tfds:NAME[:SPLIT]",
    "hf": "hf:NAME[:SPLIT]",
}


def open_source(
    name: str,
    *,
    data_dir: str = "",
    size: Size = 0,
    flip: bool = False,
    skip_corrupt: bool = False,
    label: str = "",
    levels: str = "bytes",
    max_pixels: int = Config.max_pixels,
    fit: str = "crop",
    channels: int = 0,
    patch: int = 0,
) -> Source:
    """The source called name: mnist5k, a toy, a sequence, folder:PATH, tfds:NAME[:SPLIT], or one of pairs (pairs.py).

    data_dir: where prepared data sets live, "" is $TFDS_DATA_DIR or ~/tensorflow_datasets. size: pixels, or height
    and width, 0 keeps the data's own (folder: 32). skip_corrupt, label, levels, max_pixels, fit, channels, patch:
    as in Config, for image files. Raises JaxganError for an unknown name or unusable data.
    """
    size = size_of(size)
    prefix, _, argument = name.partition(":")
    of_files = ", ".join(f"{kind}:" for kind in FILES)
    if label and prefix not in ("folder", "hf"):
        raise JaxganError(
            f"label is {label!r}, but the data {name!r} have no table of labels: a folder may; leave it out"
        )
    for option, value, choices in (("levels", levels, LEVELS), ("fit", fit, FITS)):
        if value not in choices:
            raise JaxganError(f"{option} is {value!r}; choose from {', '.join(choices)}")
        if value != choices[0] and prefix not in FILES:
            raise JaxganError(
                f"{option} is {value!r}, but only image files ({of_files}) are read so, not {name}; leave it at "
                f"{choices[0]!r}"
            )
    if channels == 2:
        raise JaxganError(
            "channels is 2; take 1 for grey, 3 for colour, 4 for colour and opacity, or more of .npy files"
        )
    if channels and prefix not in FILES:
        raise JaxganError(
            f"channels is {channels}, but only image files ({of_files}) are read so, not {name}; leave it at 0"
        )
    own = {"size": (size, 0), "levels": (levels, "bytes"), "fit": (fit, "crop"), "channels": (channels, 0)}
    _check_patch(patch, prefix, name, own)
    if prefix in SOURCES:
        how = {"skip_corrupt": skip_corrupt, "label": label, "levels": levels, "max_pixels": max_pixels, "fit": fit}
        how |= {"channels": channels, **({"patch": patch} if patch else {})}
        return SOURCES[prefix](argument, data_dir=data_dir, size=size, flip=flip, **how)
    plain = [prefix for prefix in SOURCES if prefix not in ENDS]
    known = [*plain, *ENDS.values()]
    raise JaxganError(f"unknown data {name!r}{_hint(name, plain)}; known: {', '.join(known)}")


def _check_patch(patch: int, prefix: str, name: str, others: dict[str, tuple]) -> None:
    """JaxganError where data have no patches, or an option (value, default) says otherwise what becomes of images."""
    if patch and prefix != "folder":
        raise JaxganError(
            f"patch is {patch}, but only images of folder:PATH have sizes of their own, not {name}; 0 is none"
        )
    for option, (value, usual) in others.items():
        if patch and value != usual:
            raise JaxganError(
                f"{option} is {value!r}, but patch is {patch}: images keep their own size, in bytes; leave {option} at "
                f"{usual!r}, or patch at 0"
            )


def of_config(c: Config, source: Source | None = None) -> tuple[Source, Source | None]:
    """What training sees of c's data, and the c.holdout examples that it does not (None if there are none).

    source: real examples in place of those that c names. JaxganError where c wants classes and the data say why they
    have none.
    """
    if source is not None and c.size and source.shape[:2] != sides(c.size):
        raise JaxganError(
            f"size is {size_text(c.size)}, but the examples of {source.name} have shape {source.shape}; leave it at 0"
        )
    if source is None:
        source = open_source(c.data, flip=c.flip, **reading(c))
    if c.patch and c.holdout:
        raise JaxganError(
            f"holdout is {c.holdout}, but patches of one image overlap, and held-out ones would not be new; put images "
            "into folders train and test of the data, and leave holdout at 0"
        )
    if source.why and (c.kind in ("conditional", "stargan") or c.conditional):
        raise JaxganError(f"{c.data} has no classes: {source.why}")
    seen, held = split(source, c.holdout) if c.holdout else (source, None)
    return (balanced(seen) if c.balance else seen), held


def reading(c: Config) -> dict:
    """How c reads its data: arguments of `open_source`."""
    names = ("data_dir", "size", "skip_corrupt", "label", "levels", "max_pixels", "fit", "channels", "patch")
    return {name: getattr(c, name) for name in names}


def _hint(name: str, plain: list[str]) -> str:
    """A question with the nearest right name, or nothing."""
    if name.partition(":")[0] in CATALOGUE:
        return f": did you mean tfds:{name}?"
    if Path(name).expanduser().is_dir():
        return f": did you mean folder:{name}?"
    choices = [*plain, *(f"tfds:{n}" for n in CATALOGUE), *CATALOGUE, *ENDS]
    near = difflib.get_close_matches(name.lower(), choices, 1, 0.5)
    if not near:
        return ""
    return f": did you mean {'tfds:' + near[0] if near[0] in CATALOGUE else near[0]}?"
