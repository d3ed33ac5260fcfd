"""Weights are read from pickled files, written here byte by byte, and nothing in a file is ever run."""

import io
import os
import pickle
import struct
import zipfile
from collections import OrderedDict

import numpy as np
import pytest

from jaxgan.features.unpickle import numpy_tree, state_dict
from jaxgan.types import JaxganError

# name -> (storage's key, offset, size, strides), as views of two storages
FLAT = {"0": np.arange(24, dtype=np.float32) / 7, "1": np.array([3, -5, 2**40])}
TENSORS = {
    **{"whole": ("0", 0, (4, 6), (6, 1)), "turned": ("0", 0, (6, 4), (1, 6)), "part": ("0", 8, (2, 3), (6, 1))},
    **{"scalar": ("1", 2, (), ()), "long": ("1", 0, (3,), (1,)), "empty": ("0", 0, (0, 3), (3, 1))},
}
EXPECTED = {"whole": FLAT["0"].reshape(4, 6), "turned": FLAT["0"].reshape(4, 6).T, "long": FLAT["1"]}
EXPECTED |= {"part": FLAT["0"].reshape(4, 6)[1:3, 2:5], "scalar": np.array(2**40), "empty": np.zeros((0, 3), "f4")}
BEGIN = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", b"\x80\x02M\xe9\x03.", b"\x80\x02}."


def text(s: str) -> bytes:
    return b"X" + struct.pack("<i", len(s)) + s.encode()


def numbers(values) -> bytes:
    return b"(" + b"".join(b"J" + struct.pack("<i", v) for v in values) + b"t"


def tensor(key: str, offset: int, size, stride, legacy: bool) -> bytes:
    """The instructions by which torch.save asks for a tensor."""
    kind = {"f": b"FloatStorage", "i": b"LongStorage"}[FLAT[key].dtype.kind]
    storage = b"(" + text("storage") + b"ctorch\n" + kind + b"\n" + text(key) + text("cpu")
    storage += b"J" + struct.pack("<i", len(FLAT[key])) + b"N" * legacy + b"tQ"
    parts = storage + b"J" + struct.pack("<i", offset) + numbers(size) + numbers(stride)
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + parts + b"\x89ccollections\nOrderedDict\n)RtR"


def tree(tensors=TENSORS, legacy: bool = False) -> bytes:
    items = b"".join(text(name) + tensor(*view, legacy) for name, view in tensors.items())
    notes = b"}" + text("_metadata") + b"}sb"  # which torch sets on a module's OrderedDict
    return b"\x80\x02ccollections\nOrderedDict\n)R(" + items + b"u" + notes + b"."


def write_zip(path, data: bytes, storages=FLAT):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", data)
        for key, values in storages.items():
            archive.writestr(f"model/data/{key}", values.tobytes())


def write_legacy(path, data: bytes, first: tuple = BEGIN):
    used = [key for key in ("1", "0") if text(key) in data]
    keys = b"\x80\x02](" + b"".join(map(text, used)) + b"e."
    storages = b"".join(struct.pack("<q", len(FLAT[key])) + FLAT[key].tobytes() for key in used)
    path.write_bytes(b"".join(first) + data + keys + storages)


WRITE = {"zip": write_zip, "legacy": write_legacy}


@pytest.fixture(params=WRITE)
def kind(request):
    return request.param


def test_tensors_are_read(tmp_path, kind):
    WRITE[kind](tmp_path / "file.pth", tree(legacy=kind == "legacy"))
    found = state_dict(tmp_path / "file.pth")
    assert found.keys() == EXPECTED.keys()
    for name, values in EXPECTED.items():
        np.testing.assert_array_equal(found[name], values, strict=True)


class Armed:
    """A value whose unpickling runs a command."""

    def __init__(self, command: str):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_file_that_would_run_a_command_is_refused(tmp_path, kind, protocol):
    marker = tmp_path / "harm"
    armed = pickle.dumps({"weight": Armed(f"touch {marker}")}, protocol)
    pickle.loads(armed)  # it is no dummy
    assert marker.exists()
    marker.unlink()
    WRITE[kind](tmp_path / "file.pth", armed)
    (tmp_path / "file.pkl").write_bytes(armed)
    for read, name in ((state_dict, "file.pth"), (numpy_tree, "file.pkl")):
        with pytest.raises(JaxganError, match=r"file\..*refused .*system"):
            read(tmp_path / name)
    write_legacy(tmp_path / "early.pth", tree(legacy=True), (armed, *BEGIN[1:]))
    with pytest.raises(JaxganError, match="refused"):
        state_dict(tmp_path / "early.pth")
    assert not marker.exists()


@pytest.mark.parametrize(
    "code",
    [
        b"(S'echo'\nios\nsystem\n.",  # INST
        b"(cos\nsystem\nS'echo'\no.",  # OBJ
        b"\x80\x02cbuiltins\neval\n(S'1'\ntR.",
        b"\x80\x02cnumpy\nload\n(S'x'\ntR.",
        b"\x80\x02X\x02\x00\x00\x00osX\x06\x00\x00\x00system\x93(S'x'\ntR.",  # STACK_GLOBAL
        b"\x80\x02ctorch\nFloatStorage\n)R.",  # a name that is allowed, and is no function
        b"\x80\x02X\x01\x00\x00\x00a)R.",  # a call of a string
        b"\x80\x02ccollections\nOrderedDict\n)\x81.",  # NEWOBJ
        b"\x80\x02\x82\x01.",  # EXT1
    ],
)
def test_no_way_of_calling_is_open(tmp_path, code):
    write_zip(tmp_path / "file.pth", code)
    with pytest.raises(JaxganError, match="refused"):
        state_dict(tmp_path / "file.pth")


@pytest.mark.parametrize(
    ("view", "message"),
    [
        (("0", 20, (3, 3), (3, 1)), "outside its storage"),
        (("0", -1, (3,), (1,)), "outside its storage"),
        (("0", 23, (3,), (-1,)), "outside its storage"),
        (("0", 0, (2**30, 2**30), (0, 0)), "outside its storage"),
        (("1", 0, (3,), ()), "no file of tensors"),
    ],
)
def test_tensors_stay_inside_their_storage(tmp_path, kind, view, message):
    WRITE[kind](tmp_path / "file.pth", tree({"x": view}, kind == "legacy"))
    with pytest.raises(JaxganError, match=message):
        state_dict(tmp_path / "file.pth")


def test_storages_have_the_size_that_their_tensors_say(tmp_path):
    write_zip(tmp_path / "file.pth", tree(), {**FLAT, "0": FLAT["0"][:-1]})
    with pytest.raises(JaxganError, match="storage 0 has 92 bytes; expected 96"):
        state_dict(tmp_path / "file.pth")


def test_damage_is_one_kind_of_error(tmp_path, kind):
    """Cut anywhere, or with any byte changed, a file is read, or refused with its name."""
    path = tmp_path / "file.pth"
    WRITE[kind](path, tree(legacy=kind == "legacy"))
    whole, draw, refused = path.read_bytes(), np.random.default_rng(0), 0
    cut = [whole[: draw.integers(len(whole))] for _ in range(60)]
    turned = [bytearray(whole) for _ in range(300)]
    for data in turned:
        data[draw.integers(len(data))] = draw.integers(256)
    for i, data in enumerate([*cut, *turned]):
        path.write_bytes(data)
        try:
            found = state_dict(path)
        except JaxganError as e:
            refused += 1
            assert str(path) in str(e)
        else:
            assert i >= len(cut) and all(isinstance(x, np.ndarray) for x in found.values())
    assert refused > len(cut)


@pytest.mark.parametrize("protocol", [3, 4])
def test_numpy_arrays_are_read(tmp_path, protocol):
    path = tmp_path / "file.pkl"
    made = {"a": {"b": np.arange(6.0).reshape(2, 3), "c": np.asfortranarray(np.arange(6).reshape(2, 3))}}
    made["d"] = np.array([1, 2], ">f4")
    path.write_bytes(pickle.dumps(made, protocol))
    old = path.read_bytes().replace(b"numpy._core", b"numpy.core")  # as numpy 1 wrote it
    for data in (path.read_bytes(), old) if protocol == 3 else (path.read_bytes(),):
        path.write_bytes(data)
        found = numpy_tree(path)
        np.testing.assert_array_equal(found["a"]["b"], made["a"]["b"])
        np.testing.assert_array_equal(found["a"]["c"], made["a"]["c"])
        np.testing.assert_array_equal(found["d"], [1, 2])


@pytest.mark.parametrize("made", [{"a": np.array([{}, 1], object)}, {"a": np.array(["x"])}, {"a": 3}, [np.ones(2)]])
def test_numpy_files_of_other_things_are_refused(tmp_path, made):
    (tmp_path / "file.pkl").write_bytes(pickle.dumps(made, 4))
    with pytest.raises(JaxganError, match=r"file\.pkl"):
        numpy_tree(tmp_path / "file.pkl")


def test_the_writer_of_this_file_agrees_with_pickle():
    """The bytes above are what Python itself takes for the same calls."""
    calls = []

    class Reader(pickle.Unpickler):
        def find_class(self, module, name):
            calls.append(f"{module}.{name}")
            return OrderedDict if name == "OrderedDict" else (lambda *args: args) if "rebuild" in name else name

        def persistent_load(self, pid):
            return pid

    found = Reader(io.BytesIO(tree())).load()
    assert found._metadata == {}
    assert found["part"] == (("storage", "FloatStorage", "0", "cpu", 24), 8, (2, 3), (6, 1), False, {})
    assert set(calls) == {"collections.OrderedDict", "torch._utils._rebuild_tensor_v2"} | {
        f"torch.{name}Storage" for name in ("Float", "Long")
    }
