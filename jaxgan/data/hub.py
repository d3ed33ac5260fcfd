"""Data sets of the Hugging Face hub, or saved by its library `datasets`, as examples: hf:NAME[:SPLIT]."""

import contextlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from jaxgan.config import Size
from jaxgan.data.files import Files
from jaxgan.data.folder import read, told_of
from jaxgan.data.images import Reading, upright_size
from jaxgan.data.labels import Labels
from jaxgan.data.rows import table
from jaxgan.errors import JaxganError, NoSplit
from jaxgan.types import Source


def hub(name: str, split: str = "train", *, size: Size = 0, flip: bool = False, label: str = "", **options) -> Source:
    """The images and labels of a split, read as `folder` reads files, once, and cached by the fingerprint of the data.

    name: of the hub, such as cifar10, or a folder that `Dataset.save_to_disk` wrote. size: pixels, or height and width;
    0 keeps the data's own, which must then be one. label: the column with the classes, by default the only one of type
    ClassLabel, or none. options: other fields of Reading. JaxganError for what the user can mend.
    """
    data = _opened(name, split)
    image, label = _columns(data, name, label)
    found = _labels(data, label)
    files = _files(data, image, f"hf:{name}:{split}")
    how = Reading(size or _own_size(files), **options)
    images, facts = read(files, found, how)
    shapes = {(w, h) for w, h in facts["shapes"]}
    if not size and len(shapes) > 1:
        some = " and ".join(f"{w}x{h}" for w, h in sorted(shapes)[:2])
        raise JaxganError(f"{files.root}: images differ in size, such as {some}; give a size in pixels")
    source = table(
        images, facts["labels"], str(files.root), facts["fingerprint"], len(found.classes), flip, found.classes
    )
    return source._replace(why=found.why, found="; ".join([source.found, *told_of(files, found, how, facts)]))


def _files(data, image: str, what: str) -> Files:
    """The rows of the column image as files, which are called row 0, row 1, ..."""
    import datasets

    undecoded = data.select_columns([image]).cast_column(image, datasets.Image(decode=False))
    names = [f"row {i}" for i in range(len(data))]
    return Files(
        Path(what), names, {}, {}, _reader(undecoded, image), kind="data", digest=f"{data._fingerprint} {image}"
    )


def _reader(data, image: str) -> Callable[[str], bytes]:
    """The bytes of a row's image, which lie in the set or in a file of their own."""
    import fsspec

    def read(name):
        found = data[int(name.removeprefix("row "))][image]
        if found is None:
            raise ValueError("is empty")
        if found["bytes"] is None:
            with fsspec.open(found["path"]) as file:
                return file.read()
        return found["bytes"]

    return read


def _own_size(files: Files) -> Size:
    """Height and width of the first image that can be read."""
    for name in files.names:
        with contextlib.suppress(Exception):  # decoders raise nearly anything on damaged files, which reading reports
            return upright_size(files.read(name))
    return 1


def _labels(data, label: str) -> Labels:
    """The classes by the column label, whose names are its values where it has none."""
    if not label:
        return Labels([], {})
    data = _encoded(data, label)
    numbers = np.asarray(data[label][:])
    if numbers.min() < 0:
        return Labels([], {}, why=f"some of its rows have no {label} (-1)")
    return Labels(list(data.features[label].names), {f"row {i}": int(y) for i, y in enumerate(numbers)})


def _opened(name: str, split: str):
    """The split as a datasets.Dataset."""
    try:
        import datasets
    except ImportError:
        raise JaxganError("hf: needs the library datasets: pip install 'jaxgan[hf]'") from None
    try:
        if not Path(name).expanduser().is_dir():
            return datasets.load_dataset(name, split=split)
        found = datasets.load_from_disk(str(Path(name).expanduser()))
    except Exception as e:  # whatever it makes of a name, a network or a damaged file
        reason = (str(e).strip() or type(e).__name__).splitlines()[0][:200]
        kind = NoSplit if "Unknown split" in reason else JaxganError  # as which it raises no exception of its own
        raise kind(f"hf:{name}: cannot be opened ({reason}); check the name, the split and the network") from None
    if isinstance(found, datasets.Dataset):
        return found
    if split not in found:
        raise NoSplit(f"hf:{name}: there is no split {split!r}; it has {', '.join(found)}")
    return found[split]


def _columns(data, name: str, label: str) -> tuple[str, str]:
    """The columns with images and with labels, "" without the latter."""
    import datasets

    images = [column for column, kind in data.features.items() if isinstance(kind, datasets.Image)]
    if not images or not len(data):
        raise JaxganError(f"hf:{name}: no images among its {len(data)} rows of {', '.join(data.features)}")
    if label and label not in data.features:
        raise JaxganError(f"hf:{name}: there is no column {label!r}; it has {', '.join(data.features)}")
    classes = [column for column, kind in data.features.items() if isinstance(kind, datasets.ClassLabel)]
    if not label and len(classes) > 1 and "label" not in classes:
        raise JaxganError(f"hf:{name}: {', '.join(classes)} may all be labels; choose one: --label {classes[0]}")
    chosen = label or ("label" if "label" in classes else next(iter(classes), ""))
    return ("image" if "image" in images else images[0]), chosen


def _encoded(data, label: str):
    """data with the column label as numbers of classes, whose names are its values where it has none."""
    import datasets

    return data if isinstance(data.features[label], datasets.ClassLabel) else data.class_encode_column(label)
