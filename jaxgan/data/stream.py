"""Prepared TFDS data sets as examples, read without TensorFlow; and host batches made ahead of their step."""

import contextlib
import difflib
import hashlib
import json
import re
from pathlib import Path

import numpy as np

from jaxgan import disk
from jaxgan.config import Size, sides
from jaxgan.data import cache
from jaxgan.data.catalogue import CATALOGUE, data_root, quiet
from jaxgan.data.folder import QUIET
from jaxgan.data.images import fit_array
from jaxgan.data.rows import resized, table
from jaxgan.errors import JaxganError, NoSplit
from jaxgan.types import Source

VERSION = 1  # of the decoding below: raise it when the same data set gives other pixels
READ = 256  # records asked of TFDS at a time


def tfds(name: str, split: str = "train", data_dir: str = "", *, size: Size = 0, flip: bool = False) -> Source:
    """The images and labels of a prepared TFDS data set as uint8 [n, h, w, c], in the order of its files.

    name: as in the catalogue, NAME or NAME/CONFIG; the newest prepared version is read. split: a TFDS split such as
    train or train[:10%]. size: pixels, or height and width, by central crop and antialiased resize as in `folder`; 0
    keeps the data's own, which must then be one. The data are decoded once to a .npy beside the data set. Raises
    JaxganError at once, with the command to run, if the data set is not prepared; and for a wrong split, format, or
    feature.
    """
    version_dir = find_prepared(name, data_root(data_dir))
    builder = open_builder(version_dir)
    image, label, names = image_and_label(builder, name)
    data = open_split(builder, split, name)
    directory = cache.writable(version_dir / "jaxgan", cache.user_cache() / "tfds")
    definition = f"{VERSION} {files_digest(version_dir, directory)} {split} {size} {image} {label}"
    key = hashlib.sha256(definition.encode()).hexdigest()
    what = f"tfds:{name}:{split}"
    images, facts = cache.cached(directory, key, lambda part: build(data, image, label, size, what, part))
    source = table(images, facts["labels"], what, facts["fingerprint"], len(names), flip, names)
    return resized(source, size) if size else source


def find_prepared(name: str, root: Path) -> Path:
    """The folder of the newest prepared version of name, or a JaxganError with the command that prepares it."""
    infos = sorted((root / name).glob("*/dataset_info.json"), key=lambda p: _version(p.parent.name))
    if not infos:
        raise JaxganError(_not_prepared(name, root))
    try:
        found = json.loads(infos[-1].read_text("utf-8")).get("fileFormat", "tfrecord")
    except (OSError, ValueError) as e:
        raise JaxganError(
            f"tfds:{name}: {infos[-1]} is damaged ({e}); remove {infos[-1].parent} and prepare again"
        ) from e
    if found != "array_record":
        raise JaxganError(
            f"tfds:{name}: {infos[-1].parent} holds {found} files, which only TensorFlow reads; prepare it as "
            f"array_record in another data_dir: {_command(name, '<DIR>')}"
        )
    return infos[-1].parent


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text))


def _command(name: str, root) -> str:
    if name in CATALOGUE:
        return f"jaxgan data prepare {name} --from DIR (a folder with the original files)"
    return f"tfds build {name} --file_format=array_record --data_dir={root} (once, in an environment with TensorFlow)"


def _not_prepared(name: str, root: Path) -> str:
    """What to do about a data set that is not there."""
    ready = sorted({p.parent.parent.relative_to(root).as_posix() for p in root.glob("*/*/dataset_info.json")})
    near = difflib.get_close_matches(name, [*ready, *CATALOGUE], 1, 0.6)
    hint = f" Did you mean tfds:{near[0]}?" if near and near[0] != name else ""
    state = f"prepared there: {', '.join(ready)}" if ready else "nothing is prepared there"
    if (root / name).is_dir():
        state = "its folder holds no dataset_info.json, so a preparation was interrupted"
    return f"tfds:{name} is not prepared in {root} ({state}).{hint} To prepare it: {_command(name, root)}"


def open_builder(version_dir: Path):
    """The TFDS builder of a prepared folder; no builder code is needed, and no TensorFlow."""
    with quiet():
        import tensorflow_datasets

        try:
            return tensorflow_datasets.builder_from_directory(version_dir)
        except Exception as e:  # whatever a damaged features.json or dataset_info.json sets off
            raise JaxganError(f"{version_dir} cannot be opened ({type(e).__name__}: {e}); prepare it again") from e


def open_split(builder, split: str, name: str):
    """The random-access data source of a split."""
    with quiet():
        try:
            data = builder.as_data_source(split)
            if len(data):
                return data
        except Exception as e:  # ValueError, KeyError or AssertionError, by the kind of mistake
            known = ", ".join(f"{k} ({v.num_examples:,})" for k, v in builder.info.splits.items())
            raise NoSplit(f"tfds:{name}: no split {split!r} ({type(e).__name__}: {e}); it has {known}") from e
    raise JaxganError(f"tfds:{name}: split {split!r} is empty")


def image_and_label(builder, name: str) -> tuple[str, str | None, list[str]]:
    """Names of the image and label features and of the classes: "image" and "label" before others."""
    import tensorflow_datasets

    kinds, features = tensorflow_datasets.features, builder.info.features

    def of(kind, first):
        return sorted((k for k, v in features.items() if type(v) is kind), key=lambda k: (k != first, k))

    images = [k for k in of(kinds.Image, "image") if np.dtype(features[k].np_dtype) == np.uint8]
    if not images:
        raise JaxganError(f"tfds:{name}: no 8-bit image among its features {', '.join(features)}")
    labels = of(kinds.ClassLabel, "label")
    return (images[0], labels[0], features[labels[0]].names) if labels else (images[0], None, [])


def files_digest(version_dir: Path, directory: Path) -> str:
    """SHA-256 of the array_record files, kept in `directory` for as long as their sizes and times stay the same."""
    files = sorted(version_dir.glob("*.array_record*"))
    if not files:
        raise JaxganError(f"{version_dir} has no array_record files; remove it and prepare it again")
    state = [[f.name, f.stat().st_size, f.stat().st_mtime_ns] for f in files]
    memo = directory / f"files-{hashlib.sha256(str(version_dir.resolve()).encode()).hexdigest()[:16]}.json"
    with contextlib.suppress(OSError, ValueError, KeyError):
        known = json.loads(memo.read_text("utf-8"))
        if known["state"] == state:
            return known["digest"]
    total = hashlib.sha256()
    for f in files:
        with f.open("rb") as stream:
            total.update(f.name.encode() + b"\0" + hashlib.file_digest(stream, "sha256").digest())
    disk.write(memo, json.dumps({"state": state, "digest": total.hexdigest()}))
    return total.hexdigest()


def build(data, image: str, label: str | None, size: Size, what: str, part: Path) -> dict:
    """Decode a split to the .npy `part`; returns its labels."""
    from tqdm import tqdm

    n, labels, out = len(data), [], None
    with quiet(), tqdm(total=n, desc=f"decoding {what}", disable=n <= QUIET or None) as progress:
        for start in range(0, n, READ):
            for i, record in enumerate(data.__getitems__(range(start, min(start + READ, n))), start):
                x = record[image]
                x = fit_array(x, size) if size and x.shape[:2] != sides(size) else x
                out = cache.reserve(part, (n, *x.shape)) if out is None else out
                if x.shape != out.shape[1:]:
                    raise JaxganError(
                        f"{what}: images differ in size, {out.shape[1:]} and {x.shape}; give a size in pixels"
                    )
                out[i] = x
                if label is not None:
                    labels.append(int(record[label]))
            progress.update(min(READ, n - start))
    out.flush()  # type: ignore[union-attr]  # `open_split` lets no empty split through
    if labels and min(labels) < 0:
        print(f"{what}: some examples have no label (-1), so labels are left out")
        labels = []
    return {"labels": labels or None}


def stream(source: Source, index, starts, *, ahead: int = 4, threads: int = 2):
    """Iterates over source.rows(index(start)) for each of starts, in order, made up to `ahead` batches early by grain.

    index: start -> int [...], which gives {"x": [..., h, w, c], "y": [...]}; starts: a sequence.
    """
    import grain

    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=ahead)
    batches = grain.MapDataset.source(starts).map(lambda start: source.rows(index(start)))
    return iter(batches.to_iter_dataset(options))
