"""The classes of a folder's images: from dataset.json, from a table (CSV), or from subfolders."""

import csv
import io
import json
import re
from collections import Counter
from pathlib import PurePosixPath
from typing import NamedTuple

from jaxgan.data.files import Files
from jaxgan.errors import JaxganError

JSON = "dataset.json"  # of StyleGAN2-ADA and its heirs: {"labels": [["00000/img00000000.png", 6], ...]}
TABLES = ("labels.csv", "labels.tsv", "metadata.csv", "metadata.tsv")  # else the only one in the folder
HEADS = {"label", "labels", "class", "classes", "class_name", "category", "target"}  # of a column that holds classes
SHOWN = 3  # names in a message


class Labels(NamedTuple):
    """classes: their names; of: {image: number of its class}; file: what they were read from, "" for subfolders.

    why: where there are no classes, what would have to be otherwise, or "" where nothing hints at any.
    """

    classes: list[str]
    of: dict[str, int]
    file: str = ""
    why: str = ""


def find(files: Files, column: str = "") -> Labels:
    """The classes of files.names. column: of a table, or the place from 0 in a list of dataset.json.

    Raises JaxganError for a damaged or incomplete file of labels, for several labels an image of which column chooses
    none, and for a column that is not there.
    """
    none = Labels([], {})
    for read in (_json, _table):
        found = read(files, column)
        if found.classes:
            return found
        none = none if none.why else found
    if column:
        raise JaxganError(
            f"folder {files.root}: label is {column!r}, a column of a table of labels, but "
            f"{none.why or f'there is no {JSON} and no CSV file that names its images'}"
        )
    found = _folders(files)
    return found if found.classes or found.why else none


def natural(name: str) -> tuple[str, str]:
    """A key that sorts 2 before 10, and otherwise as text is sorted."""
    return re.sub("[0-9]+", lambda digits: digits[0].zfill(20), name), name


def _json(files: Files, column: str) -> Labels:
    if JSON not in files.tables:
        return Labels([], {})
    where = f"folder {files.root}: {JSON}"
    try:
        content = json.loads(files.read(files.tables[JSON]))
    except ValueError as e:
        raise JaxganError(f"{where} is not readable JSON ({e}); mend or remove it") from None
    rows = content.get("labels") if isinstance(content, dict) else None
    if rows is None:
        return Labels([], {}, why=f"{JSON} holds no labels")
    pairs = rows.items() if isinstance(rows, dict) else rows
    try:
        found = {str(name): label for name, label in pairs}
    except (TypeError, ValueError):
        raise JaxganError(f'{where}: expected {{"labels": [["00000/img0.png", 0], ...]}}; mend or remove it') from None
    found = {name: _of_list(label, column, f"{where}: {name}") for name, label in found.items()}
    if bad := [name for name, label in found.items() if type(label) is not int or label < 0]:
        raise JaxganError(f"{where}: the label of {bad[0]} is {found[bad[0]]!r}; expected a whole number from 0")
    of = _complete(files, found, JSON)
    return Labels([str(i) for i in range(max(found.values()) + 1)], of, JSON)


def _of_list(label, column: str, where: str):
    """label, or the one of a list of them that column chooses."""
    if not isinstance(label, list):
        if column:
            raise JaxganError(f"{where} has one label, so there is nothing to choose; leave out --label {column}")
        return label
    if column.isdecimal() and int(column) < len(label):
        return label[int(column)]
    raise JaxganError(
        f"{where} has {len(label)} labels, and a class is one number; choose one by its place: --label 0"
        f"{f' to --label {len(label) - 1}' if len(label) > 1 else ''}"
    )


def _table(files: Files, column: str) -> Labels:
    tables = [name for name in files.tables if not name.endswith(".json")]
    usual = [*TABLES, f"{files.split}.csv", f"{files.split}.tsv"]
    name = next((name for name in usual if name in tables), tables[0] if len(tables) == 1 else "")
    if not name:
        why = f"there are several tables, {', '.join(tables[:SHOWN])}; call the one with the labels labels.csv"
        return Labels([], {}, why=why if tables else "")
    try:
        text = files.read(files.tables[name]).decode("utf-8-sig")
    except UnicodeDecodeError as e:
        raise JaxganError(f"folder {files.root}: {name} is no text in UTF-8 ({e}); save it as one, or remove it") from e
    rows = [row for row in csv.reader(io.StringIO(text), delimiter="\t" if name.endswith(".tsv") else ",") if row]
    key, named = _image_column(rows, _known(files))
    if key < 0:
        return Labels([], {}, why=f"no column of {name} names images")
    head = rows.pop(0) if named else [str(i) for i in range(len(rows[0]))]
    chosen = _class_column(head, key, column, named)
    if chosen < 0:
        others = ", ".join(word for i, word in enumerate(head) if i != key)
        return Labels([], {}, why=f"of the columns of {name} ({others}) none is called label; choose one with --label")
    if short := [row for row in rows if len(row) <= max(key, chosen)]:
        raise JaxganError(f"folder {files.root}: {name} has a row without the column {head[chosen]}: {short[0]}")
    return _named(files, name, [(row[key], row[chosen]) for row in rows])


def _image_column(rows: list[list[str]], known: dict[str, str]) -> tuple[int, bool]:
    """The column that names most images, -1 if none does, and whether the first row is the columns' names."""
    width = len(rows[0]) if rows else 0
    counts = [sum(len(row) > i and row[i] in known for row in rows) for i in range(width)]
    for i in range(width):
        if rows[0][i].strip().lower() in HEADS:
            counts[i] = 0
    if not any(counts):
        return -1, False
    key = counts.index(max(counts))
    return key, rows[0][key] not in known


def _class_column(head: list[str], key: int, column: str, named: bool) -> int:
    """The column that is asked for, else the one called label or the like, or the other of two; -1 if there is none."""
    beside = [i for i in range(len(head)) if i != key]
    if column:
        return next((i for i in beside if head[i] == column), -1)
    called = beside if not named else [i for i in beside if head[i].strip().lower() in HEADS]
    return called[0] if len(called) == 1 else -1


def _named(files: Files, table: str, rows: list[tuple[str, str]]) -> Labels:
    """Labels of rows (image, class name)."""
    found = dict(rows)
    if many := [name for name, label in rows if found[name] != label]:
        both = " and ".join(sorted({label for name, label in rows if name == many[0]}))
        raise JaxganError(
            f"folder {files.root}: {table} gives {many[0]} several labels, {both}; leave one row for each image, or "
            "give each kind of label a column and choose one with --label"
        )
    classes = sorted(set(found.values()), key=natural)
    return Labels(classes, _complete(files, {n: classes.index(label) for n, label in found.items()}, table), table)


def _complete(files: Files, found: dict[str, int], table: str) -> dict[str, int]:
    """{image: class} of all files.names; JaxganError where one has none."""
    known = _known(files)
    of = {known[name]: label for name, label in found.items() if name in known}
    if missing := [name for name in files.names if name not in of]:
        more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
        raise JaxganError(
            f"folder {files.root}: {table} has no label for {', '.join(missing[:SHOWN])}{more}, of "
            f"{len(files.names)} images; complete it, or move these images away"
        )
    return of


def _known(files: Files) -> dict[str, str]:
    """{how a table may call an image: its name}: by path, and by file name or stem where only one has that."""
    names = files.names
    paths = {name: PurePosixPath(name) for name in names}
    short = [(part, name) for name, path in paths.items() for part in {path.name, path.stem, str(path.with_suffix(""))}]
    often = Counter(part for part, _ in short)
    known = {part: name for part, name in short if often[part] == 1} | {name: name for name in names}
    known |= {f"{files.split}/{name}": name for name in names if files.split}
    return {part.replace("/", "\\"): name for part, name in known.items()} | known


def _folders(files: Files) -> Labels:
    """The immediate subfolders, in natural order, if every image of all splits lies in one of two or more."""
    loose = [name for name in files.every if "/" not in name]
    classes = sorted({name.split("/")[0] for name in files.every if "/" in name}, key=natural)
    if classes and loose:
        more = f" and {len(loose) - SHOWN} more" if len(loose) > SHOWN else ""
        folders = ", ".join(classes[:SHOWN]) + (", ..." if len(classes) > SHOWN else "")
        beside = f"{', '.join(loose[:SHOWN])}{more} in no folder, beside the folders {folders}"
        return Labels([], {}, why=f"{beside}; for classes, move or remove it")
    if len(classes) < 2:
        return Labels([], {})
    return Labels(classes, {name: classes.index(name.split("/")[0]) for name in files.names})
