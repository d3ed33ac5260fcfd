"""Write TFDS data sets (array_record) from the original files, without TensorFlow and without a network."""

import difflib
import gzip
import json
import os
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from jaxgan.data.catalogue import CATALOGUE, FASHION, Recipe, data_root, quiet
from jaxgan.data.emoji import read_emoji
from jaxgan.types import JaxganError


def prepare(name: str, source_dir: str | Path, data_dir: str | Path = "") -> Path:
    """Write the data set `name` below data_dir from the original files in source_dir; returns its folder.

    name: mnist, fashion_mnist (IDX files, .gz or plain), cifar10, cifar100 (the binary version, .tar.gz or unpacked),
    emoji (the unpacked npm package emoji-datasource-google; see emoji.py). But for emoji, versions, features, splits
    and order are those of the TFDS catalogue, whose own code then reads the result too.
    If it was prepared before, says so and returns. Two processes may ask at once: the second waits for the first.
    Raises JaxganError for an unknown name, missing or damaged files, and a data_dir that cannot be written.
    """
    from filelock import FileLock

    if name not in CATALOGUE:
        near = difflib.get_close_matches(name, CATALOGUE, 1, 0.4)
        hint = f" did you mean {near[0]}?" if near else ""
        raise JaxganError(f"cannot prepare {name!r}:{hint} known: {', '.join(CATALOGUE)}")
    root, recipe = data_root(str(data_dir)), CATALOGUE[name]
    final = root / name / recipe.version
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f".{name}.lock"):
            return _prepare(name, recipe, Path(source_dir).expanduser(), root, final)
    except OSError as e:
        raise JaxganError(f"cannot prepare {name} in {root}: {e}; choose a writable data_dir") from e


def _prepare(name: str, recipe: Recipe, source_dir: Path, root: Path, final: Path) -> Path:
    """`prepare` under its lock."""
    if (final / "dataset_info.json").exists():
        found = json.loads((final / "dataset_info.json").read_text("utf-8")).get("fileFormat", "tfrecord")
        if found != "array_record":
            raise JaxganError(f"{final} holds {found} files, which need TensorFlow; choose another data_dir")
        print(f"{name} is already prepared in {final}")
        return final
    for leftover in (root / name).glob("incomplete.*"):  # of a preparation that was killed
        shutil.rmtree(leftover)
    if final.exists():
        if any(final.iterdir()):
            raise JaxganError(f"{final} is not a prepared data set (no dataset_info.json); remove it and try again")
        final.rmdir()
    if not source_dir.is_dir():
        raise JaxganError(f"{source_dir} is not a folder; pass the folder that holds {_expected(recipe)}")
    try:
        splits, names = READERS[recipe.read](recipe, source_dir)
    except OSError as e:
        raise JaxganError(f"cannot read {source_dir}: {e}") from e
    names = {"label": FASHION} if name == "fashion_mnist" else names
    write_tfds(name, recipe, splits, names, root)
    print(f"{name} is prepared in {final}: " + ", ".join(f"{k} {len(v[0]):,}" for k, v in splits.items()))
    return final


def write_tfds(name: str, recipe: Recipe, splits: dict, names: dict[str, list[str]], root: Path) -> None:
    """Write splits {split: (images uint8 [n, h, w, c], {label feature: [n]})} as root/name/version in array_record."""
    with quiet():
        import tensorflow_datasets as tfds
        from PIL import Image

        def classes(feature, count):
            feature_names = names.get(feature)
            return (
                tfds.features.ClassLabel(names=feature_names)
                if feature_names
                else tfds.features.ClassLabel(num_classes=count)
            )

        features = {"image": tfds.features.Image(shape=recipe.shape)}
        features |= {feature: classes(feature, count) for feature, count in recipe.labels.items()}
        if recipe.read == "bin":
            features["id"] = tfds.features.Text()

        def examples(split, images, labels) -> Iterator:
            for i, image in enumerate(images):  # keys as in the catalogue, since they decide the order
                record = {"image": Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image)}
                record |= {feature: int(label[i]) for feature, label in labels.items()}
                yield i, record | ({"id": f"{split}_{i:05d}"} if "id" in features else {})

        with tfds.core.registered.skip_registration():  # so that the catalogue's name may be used

            class Builder(tfds.core.GeneratorBasedBuilder):
                VERSION = tfds.core.Version(recipe.version)

                def _info(self):
                    return tfds.core.DatasetInfo(
                        builder=self,
                        features=tfds.features.FeaturesDict(features),
                        supervised_keys=("image", "label"),
                    )

                def _split_generators(self, dl_manager):
                    return {split: self._generate_examples(split, *data) for split, data in splits.items()}

                def _generate_examples(self, split, images, labels):
                    return examples(split, images, labels)

        Builder.name = name
        Builder(data_dir=root, file_format="array_record").download_and_prepare()


def _expected(recipe: Recipe) -> str:
    """The files of a recipe, for messages."""
    files = ", ".join(dict.fromkeys(file for split in recipe.splits.values() for file in split))
    if recipe.archive:
        return f"{recipe.archive}, or unpacked from it {files}"
    return f"{files} (each as it is, or with .gz)" if recipe.read == "idx" else files


def read_idx(recipe: Recipe, source_dir: Path) -> tuple[dict, dict]:
    """The splits of IDX files, and no class names."""
    files = [f for split in recipe.splits.values() for f in split]
    paths = {f: path for f in files if (path := _first(source_dir / f"{f}.gz", source_dir / f))}
    missing = [f for f in files if f not in paths]
    if missing:
        raise JaxganError(f"{source_dir} lacks {', '.join(f'{f}[.gz]' for f in missing)}; expected {_expected(recipe)}")
    splits = {}
    for split, (image_file, label_file) in recipe.splits.items():
        images, labels = idx_array(paths[image_file], 3), idx_array(paths[label_file], 1)
        if images.shape[1:] != recipe.shape[:2]:
            raise JaxganError(f"{paths[image_file]}: images are {images.shape[1:]}; expected {recipe.shape[:2]}")
        if len(images) != len(labels):
            raise JaxganError(f"{split}: {len(images)} images in {image_file} but {len(labels)} labels in {label_file}")
        splits[split] = images[..., None], _checked({"label": labels}, recipe, paths[label_file])
    return splits, {}


def idx_array(path: Path, rank: int) -> np.ndarray:
    """One IDX file of unsigned bytes (plain or .gz) -> uint8 array; JaxganError if it is anything else."""
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (gzip.BadGzipFile, EOFError, zlib.error) as e:
        raise JaxganError(f"{path}: damaged gzip file ({e}); get it again") from e
    magic = bytes([0, 0, 8, rank])
    if data[:4] != magic:
        raise JaxganError(f"{path}: starts with {data[:4].hex()}, not with {magic.hex()} as an IDX file of {rank} axes")
    start = 4 + 4 * rank
    if len(data) < start:
        raise JaxganError(f"{path}: damaged IDX file, {len(data)} bytes end inside the header")
    shape = tuple(np.frombuffer(data, ">u4", rank, 4).tolist())
    if len(data) - start != np.prod(shape, dtype=np.int64):
        raise JaxganError(f"{path}: damaged IDX file, {len(data) - start} bytes of data for shape {shape}")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def read_bin(recipe: Recipe, source_dir: Path) -> tuple[dict, dict]:
    """The splits and class names of CIFAR's binary version, from its archive or unpacked."""
    wanted = [f for split in recipe.splits.values() for f in split] + list(recipe.names.values())
    files = _bin_files(recipe, source_dir, wanted)
    record = len(recipe.labels) + int(np.prod(recipe.shape))
    height, width, channels = recipe.shape
    splits = {}
    for split, parts in recipe.splits.items():
        for file in parts:
            if not files[file] or len(files[file]) % record:
                raise JaxganError(f"{file}: {len(files[file])} bytes are not a number of {record}-byte records")
        rows = np.concatenate([np.frombuffer(files[file], np.uint8).reshape(-1, record) for file in parts])
        labels = {feature: rows[:, i] for i, feature in enumerate(recipe.labels)}
        images = rows[:, len(recipe.labels) :].reshape(-1, channels, height, width).transpose(0, 2, 3, 1)
        splits[split] = np.ascontiguousarray(images), _checked(labels, recipe, ", ".join(parts))
    names = {feature: files[file].decode().split() for feature, file in recipe.names.items()}
    for feature, count in recipe.labels.items():
        if len(names[feature]) != count:
            raise JaxganError(f"{recipe.names[feature]}: {len(names[feature])} class names; expected {count}")
    return splits, names


def _bin_files(recipe: Recipe, source_dir: Path, wanted: list[str]) -> dict[str, bytes]:
    """Contents of the wanted files, from source_dir, a folder in it, or the archive in it."""
    folders = [source_dir, *(p for p in source_dir.iterdir() if p.is_dir())]
    for folder in folders:
        if all((folder / file).is_file() for file in wanted):
            return {file: (folder / file).read_bytes() for file in wanted}
    archive = source_dir / recipe.archive
    if not archive.exists():
        raise JaxganError(_missing_bin(recipe, source_dir, folders, wanted))
    found = {}
    try:
        with tarfile.open(archive) as tar:  # read, never unpacked: names in it are not trusted with paths
            for member in tar:
                name = os.path.basename(member.name)
                if name in wanted and member.isfile() and (file := tar.extractfile(member)):
                    found[name] = file.read()
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as e:
        raise JaxganError(f"{archive}: damaged archive ({e}); get it again") from e
    if missing := [file for file in wanted if file not in found]:
        raise JaxganError(f"{archive} lacks {', '.join(missing)}; is it the binary version?")
    return found


def _missing_bin(recipe: Recipe, source_dir: Path, folders: list[Path], wanted: list[str]) -> str:
    python = ("cifar-10-python.tar.gz", "cifar-100-python.tar.gz", "cifar-10-batches-py", "cifar-100-python")
    if pickled := [p.name for p in source_dir.iterdir() if p.name in python]:
        return (
            f"{source_dir} holds the Python version ({', '.join(pickled)}), whose pickles can run code when read; "
            f"get the binary version, {recipe.archive}"
        )
    most = max(folders, key=lambda folder: sum((folder / file).is_file() for file in wanted))
    missing = [file for file in wanted if not (most / file).is_file()]
    return f"{most} lacks {', '.join(missing)}, and {source_dir} lacks {recipe.archive}; expected one of the two"


def _checked(labels: dict, recipe: Recipe, path) -> dict:
    """The labels if they are classes, else a JaxganError."""
    for feature, values in labels.items():
        if not len(values):
            raise JaxganError(f"{path}: no examples")
        if values.max() >= recipe.labels[feature]:
            row = int(np.argmax(values >= recipe.labels[feature]))
            raise JaxganError(
                f"{path}: {feature} of row {row} is {values[row]}; expected 0..{recipe.labels[feature] - 1}"
            )
    return labels


def _first(*paths: Path) -> Path | None:
    return next((path for path in paths if path.is_file()), None)


READERS = {"idx": read_idx, "bin": read_bin, "emoji": read_emoji}
