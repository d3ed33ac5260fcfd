"""Trees of arrays out of pickled files, by a reader that runs nothing: PyTorch's, zip and legacy, and numpy's.

Python's own loader calls any function that a file names. This one walks the instructions (pickletools splits them),
builds containers and plain values, and keeps what the file calls as a record of name and arguments. Only the names in
CALLS are let through, and what they stand for is done here, after the walk.
"""

import math
import pickletools
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxgan.errors import JaxganError

STORAGES = {"Float": "f4", "Double": "f8", "Half": "f2", "Long": "i8", "Int": "i4", "Short": "i2", "Char": "i1"}
STORAGES |= {"Byte": "u1", "Bool": "?"}
DTYPES = {f"torch {name}Storage": np.dtype(code).newbyteorder("<") for name, code in STORAGES.items()}
ORDERED, TENSOR = "collections OrderedDict", "torch._utils _rebuild_tensor_v2"
PARAMETER = "torch._utils _rebuild_parameter"
ARRAYS = {f"numpy.{core}.multiarray _reconstruct" for core in ("core", "_core")}
CALLS = {ORDERED, TENSOR, PARAMETER, "numpy dtype", *ARRAYS}
NAMES = {*CALLS, *DTYPES, "numpy ndarray"}
MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # what PyTorch's legacy files begin with


class Name(NamedTuple):
    """Something that a file names, allowed but not looked up."""

    text: str


@dataclass
class Made:
    """A call that a file asks for, not made, and the state that it would set."""

    call: str
    args: tuple
    state: Any = None


class Persistent(NamedTuple):
    """What a file refers to as stored outside its pickle."""

    key: Any


MARK = object()
# what reading damaged bytes may raise
BROKEN: tuple[type[Exception], ...] = (OSError, LookupError, ValueError, TypeError, AttributeError, EOFError)
BROKEN += (OverflowError, StopIteration, MemoryError, RecursionError, NotImplementedError)
BROKEN += (zipfile.BadZipFile, zlib.error)
# opcodes whose argument is the value itself
PLAIN = {"BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "UNICODE"}
PLAIN |= {"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8"}
PLAIN |= {"SHORT_BINSTRING", "BINSTRING", "STRING"}
FIXED: dict[str, Callable[[], Any]] = {"NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False}
FIXED |= {"EMPTY_TUPLE": tuple, "EMPTY_LIST": list, "EMPTY_DICT": dict, "MARK": lambda: MARK}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def loads(file) -> Any:
    """The next pickle of an open binary file as containers, values and records; JaxganError for one that asks more.

    One of BROKEN for a damaged file.
    """
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    for opcode, arg, _ in pickletools.genops(file):
        _step(opcode.name, arg, stack, memo)
    (value,) = stack
    return value


def _step(op: str, arg, stack: list, memo: dict) -> None:
    """One instruction on the stack and the memo."""
    if op in PLAIN:
        stack.append(arg)
    elif op in FIXED:
        stack.append(FIXED[op]())
    elif op in TUPLES:
        stack[-TUPLES[op] :] = [tuple(stack[-TUPLES[op] :])]
    elif op in ("TUPLE", "LIST", "DICT"):
        items = _marked(stack)
        stack.append(dict(_pairs(items)) if op == "DICT" else (tuple if op == "TUPLE" else list)(items))
    elif op in ("APPEND", "APPENDS"):
        items = _marked(stack) if op == "APPENDS" else [stack.pop()]
        stack[-1].extend(items)
    elif op in ("SETITEM", "SETITEMS"):
        items = _marked(stack) if op == "SETITEMS" else [stack.pop(-2), stack.pop()]
        stack[-1].update(_pairs(items))
    elif op in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
        memo[len(memo) if op == "MEMOIZE" else int(arg)] = stack[-1]
    elif op in ("GET", "BINGET", "LONG_BINGET"):
        stack.append(memo[int(arg)])
    elif op in ("GLOBAL", "STACK_GLOBAL"):
        stack.append(_name(arg if op == "GLOBAL" else "{} {}".format(*_popped(stack, 2))))
    elif op == "REDUCE":
        stack.append(_call(*_popped(stack, 2)))
    elif op == "BINPERSID":
        stack.append(Persistent(stack.pop()))
    elif op == "BUILD":
        state = stack.pop()
        if isinstance(stack[-1], Made):  # of an OrderedDict it is PyTorch's notes on versions
            stack[-1].state = state
    elif op not in ("PROTO", "FRAME", "STOP"):
        raise JaxganError(f"refused to read a pickle with the instruction {op}: weights need none of the kind")


def _popped(stack: list, n: int) -> list:
    items = stack[-n:]
    del stack[-n:]
    return items


def _marked(stack: list) -> list:
    """What lies above the last mark, taken off with it."""
    at = len(stack) - 1 - next(i for i, x in enumerate(reversed(stack)) if x is MARK)
    items = stack[at + 1 :]
    del stack[at:]
    return items


def _pairs(items: list):
    return zip(items[::2], items[1::2], strict=True)


def _name(text: str) -> Name:
    if text not in NAMES:
        raise JaxganError(
            f"refused to read a pickle that names {text.replace(' ', '.')}: weights are tensors and nothing else, and "
            "a file that calls other functions may do harm"
        )
    return Name(text)


def _call(function, args):
    if not isinstance(function, Name) or function.text not in CALLS or not isinstance(args, tuple):
        raise JaxganError("refused to read a pickle that calls something that is no function of tensors")
    if function.text == ORDERED:
        return dict(*args)
    return args[0] if function.text == PARAMETER else Made(function.text, args)


def _arrays(tree, storage: Callable[[str, np.dtype, int], np.ndarray] | None = None):
    """tree with arrays where it has records; storage: (key, dtype, count) -> numbers that lie beside the pickle."""
    if isinstance(tree, dict):
        return {key: _arrays(value, storage) for key, value in tree.items()}
    if not isinstance(tree, Made):
        raise ValueError(f"it holds a {type(tree).__name__} beside its arrays")
    return _numpy(tree) if tree.call in ARRAYS else _tensor(tree, storage)


def _tensor(made: Made, storage) -> np.ndarray:
    (_, kind, key, _, count, *_), offset, size, stride = made.args[0].key, *made.args[1:4]
    flat = storage(key, DTYPES[kind.text], count)
    last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    if math.prod(size) == 0:
        return np.zeros(size, flat.dtype)
    if offset < 0 or min(stride, default=0) < 0 or max(last + 1, math.prod(size)) > len(flat):
        raise ValueError(f"a tensor of shape {size} reaches outside its storage of {len(flat)} numbers")
    view = np.lib.stride_tricks.as_strided(flat[offset:], size, [s * flat.itemsize for s in stride], writeable=False)
    return np.ascontiguousarray(view).reshape(size)


def _numpy(made: Made) -> np.ndarray:
    _, shape, kind, fortran, data = made.state
    dtype = np.dtype(kind.args[0]).newbyteorder(kind.state[1])
    if dtype.kind not in "fiub":
        raise ValueError(f"an array of {dtype}, which holds no numbers")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")


def _checked(read: Callable, path: Path):
    """read(path), with the file named in its errors."""
    try:
        return read(path)
    except JaxganError as e:
        raise JaxganError(f"{path}: {e}") from e
    except BROKEN as e:
        raise JaxganError(f"{path} is no file of tensors that can be read ({e}); fetch it again") from e


def numpy_tree(path: str | Path) -> Any:
    """The nested dict of arrays in a pickle; JaxganError for a file that holds, or calls, anything else."""

    def read(path):
        with path.open("rb") as file:
            return _arrays(loads(file))

    return _checked(read, Path(path))


def state_dict(path: str | Path) -> Any:
    """The tensors that torch.save wrote, by name, as arrays; both formats. JaxganError for anything else."""
    return _checked(lambda path: (_zip if zipfile.is_zipfile(path) else _legacy)(path), Path(path))


def _zip(path: Path):
    """An archive with the pickle data.pkl and a member data/KEY for each storage."""
    with zipfile.ZipFile(path) as archive:
        folder = next(name for name in archive.namelist() if name.endswith("/data.pkl")).removesuffix("data.pkl")
        if f"{folder}byteorder" in archive.namelist() and archive.read(f"{folder}byteorder") != b"little":
            raise ValueError("its numbers are big-endian")

        def storage(key, dtype, count):
            member = archive.getinfo(f"{folder}data/{key}")
            if member.file_size != count * dtype.itemsize:
                raise ValueError(f"storage {key} has {member.file_size} bytes; expected {count * dtype.itemsize}")
            return np.frombuffer(archive.read(member), dtype)

        with archive.open(f"{folder}data.pkl") as file:
            return _arrays(loads(file), storage)


def _legacy(path: Path):
    """Five pickles, of which the fourth is the data and the last the keys; then each storage: count, bytes."""
    with path.open("rb") as file:
        if (loads(file), loads(file)) != (MAGIC, PROTOCOL):
            raise ValueError("it does not begin as torch.save begins")
        loads(file)  # about the machine
        tree, keys = loads(file), loads(file)
        kinds = dict(_storages(tree))
        held = {}
        for key in keys:
            dtype, count = kinds[key]
            if int.from_bytes(file.read(8), "little") != count:
                raise ValueError(f"storage {key} has another size than its tensors say")
            held[key] = np.frombuffer(file.read(count * dtype.itemsize), dtype, count)
    return _arrays(tree, lambda key, dtype, count: held[key])


def _storages(tree):
    """(key, (dtype, count)) of all tensors."""
    if isinstance(tree, dict):
        for value in tree.values():
            yield from _storages(value)
    elif isinstance(tree, Made) and tree.call == TENSOR:
        _, kind, key, _, count, *_ = tree.args[0].key
        yield key, (DTYPES[kind.text], count)
