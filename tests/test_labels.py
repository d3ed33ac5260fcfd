"""The classes of a folder's images, from files of labels and subfolders; and archives of folders."""

import json
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from jaxgan import Config, load, plots, train
from jaxgan.commands.sample import sample
from jaxgan.data import of_config, open_source
from jaxgan.data.folder import folder
from jaxgan.data.labels import natural
from jaxgan.inputs import class_number
from jaxgan.types import JaxganError


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def root(tmp_path):
    """Two shards of four grey images, whose levels are 0, 50, 100, 150 in the order of their names."""
    for i in range(4):
        name = tmp_path / "images" / f"{i // 2:05}" / f"img{i}.png"
        name.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), 50 * i).save(name)
    return tmp_path / "images"


NAMES = [f"{i // 2:05}/img{i}.png" for i in range(4)]


def labelled(path, **options):
    """Labels in the order of the images, and the number of classes."""
    source = folder(path, 8, **options)
    found = source.rows(np.arange(source.size))
    assert found["x"][:, 0, 0, 0].tolist() == [0, 50, 100, 150]
    return found["y"].tolist(), source.classes


def write(root, labels):
    (root / "dataset.json").write_text(json.dumps({"labels": labels}))


def test_dataset_json_says_the_classes_where_folders_are_shards(root):
    assert labelled(root) == ([0, 0, 1, 1], 2)
    write(root, list(zip(NAMES, [0, 1, 0, 4])))
    assert labelled(root) == ([0, 1, 0, 4], 5)
    write(root, dict(zip(NAMES, [1, 0, 1, 0])))
    assert labelled(root) == ([1, 0, 1, 0], 2)
    write(root, None)
    assert labelled(root) == ([0, 0, 1, 1], 2)


def test_of_several_labels_one_is_chosen(root):
    write(root, list(zip(NAMES, [[0, 1], [1, 1], [2, 0], [0, 0]])))
    with pytest.raises(JaxganError, match=r"img0.png has 2 labels.*--label 0 to --label 1"):
        folder(root, 8)
    assert labelled(root, label="0") == ([0, 1, 2, 0], 3)
    assert labelled(root, label="1") == ([1, 1, 0, 0], 2)


TABLES = {
    "labels.csv": "file,label\n" + "".join(f"{n},{c}\n" for n, c in zip(NAMES, "bcba")),
    "any.csv": "".join(f"{n},{c}\n" for n, c in zip(NAMES, "bcba")),
    "labels.tsv": "".join(f"{c}\t{n}\n" for n, c in zip(NAMES, "bcba")),
    "stems.csv": "\ufeffclass,id\n" + "".join(f"{c},img{i}\n" for i, c in enumerate("bcba")),
    "metadata.csv": "file_name,text,category\n" + "".join(f'img{i}.png,"x, {i}",{c}\n' for i, c in enumerate("bcba")),
    "windows.csv": "file,label\n" + "".join(f"{n},{c}\n".replace("/", "\\") for n, c in zip(NAMES, "bcba")),
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_name_classes(root, name):
    (root / name).write_text(TABLES[name])
    assert labelled(root) == ([1, 2, 1, 0], 3)


def test_of_several_columns_one_is_chosen(root):
    rows = "".join(f"{n},{i % 2},{'xyxx'[i]}\n" for i, n in enumerate(NAMES))
    (root / "attributes.csv").write_text("image,smile,hat\n" + rows)
    assert labelled(root) == ([0, 0, 1, 1], 2)  # none is called label, so the subfolders it is
    assert labelled(root, label="smile") == ([0, 1, 0, 1], 2)
    assert labelled(root, label="hat") == ([0, 1, 0, 0], 2)
    with pytest.raises(JaxganError, match=r"label is 'eyes'.*smile, hat.*--label"):
        folder(root, 8, label="eyes")
    with pytest.raises(JaxganError, match="no table of labels"):
        open_source("mnist5k", label="smile")


def test_tables_of_something_else_change_nothing(root):
    (root / "prices.csv").write_text("fruit,price\napple,3\n")
    assert labelled(root) == ([0, 0, 1, 1], 2)
    (root / "labels.csv").write_text("")
    assert labelled(root) == ([0, 0, 1, 1], 2)
    with pytest.raises(JaxganError, match=r"no column of labels\.csv names images"):
        folder(root, 8, label="price")


WRONG = {
    "json": ("dataset.json", "{", "dataset.json is not readable JSON"),
    "shape": ("dataset.json", '{"labels": [3, 4]}', "expected {"),
    "text": (
        "dataset.json",
        json.dumps({"labels": dict.fromkeys(NAMES, "cat")}),
        "is 'cat'; expected a whole",
    ),
    "missing": ("dataset.json", json.dumps({"labels": {NAMES[0]: 1}}), r"no label for 00000/img1.png, .*, of 4 images"),
    "incomplete": ("labels.csv", f"file,label\n{NAMES[0]},a\n", r"no label for 00000/img1.png, .*of 4 images"),
    "twice": ("labels.csv", "".join(f"{n},a\n{n},b\n" for n in NAMES), "img0.png several labels, a and b"),
    "short": ("labels.csv", "".join(f"{n},a\n" for n in NAMES) + f"{NAMES[0]}\n", "without the column 1"),
    "latin": ("labels.csv", "café", "no text in UTF-8"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_files_of_labels_are_refused(root, case):
    name, text, message = WRONG[case]
    (root / name).write_bytes(text.encode("latin-1"))
    with pytest.raises(JaxganError, match=message):
        folder(root, 8)


def test_an_image_beside_class_folders_is_named(root):
    Image.new("L", (8, 8)).save(root / "cover.png")
    assert folder(root, 8).classes == 0
    expected = r"cover.png in no folder, beside the folders 00000, 00001; for classes, move or remove it"
    assert expected in folder(root, 8).found
    for settings in ({"kind": "conditional"}, {"kind": "bigan", "conditional": True}, {"kind": "stargan"}):
        with pytest.raises(JaxganError, match=f"has no classes: {expected}"):
            of_config(Config(data=f"folder:{root}", size=8, **settings))
    assert of_config(Config(data=f"folder:{root}", size=8, kind="auto"))[0].size == 5
    (root / "prices.csv").write_text("fruit,price\napple,3\n")
    with pytest.raises(JaxganError, match="cover"):  # the nearest reason
        of_config(Config(data=f"folder:{root}", size=8, kind="conditional"))
    (root / "cover.png").unlink()
    assert of_config(Config(data=f"folder:{root}", size=8, kind="conditional"))[0].classes == 2


def test_a_table_whose_column_is_not_clear_is_named(root):
    for i in range(4):
        (root / NAMES[i]).rename(root / f"{i}.png")
    (root / "hats.csv").write_text("file,hat,smile\n" + "".join(f"{i}.png,a,b\n" for i in range(4)))
    with pytest.raises(
        JaxganError, match=r"no classes: of the columns of hats.csv \(hat, smile\) none is called label"
    ):
        of_config(Config(data=f"folder:{root}", size=8, kind="conditional"))
    assert of_config(Config(data=f"folder:{root}", size=8, kind="conditional", label="hat"))[0].classes == 1


@pytest.fixture
def halves(tmp_path):
    """train/ with one image in each of cat, dog and eel; Test/ with one in cat and one in eel."""
    for name, level in {
        "train/cat/0": 0,
        "train/dog/1": 50,
        "train/eel/2": 100,
        "Test/cat/3": 150,
        "Test/eel/4": 200,
    }.items():
        path = tmp_path / "halves" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), level).save(path)
    return tmp_path / "halves"


def content(name):
    """[(level, label)] of folder:NAME, and the number of classes."""
    source = open_source(f"folder:{name}", size=8)
    found = source.rows(np.arange(source.size))
    return list(zip(found["x"][:, 0, 0, 0].tolist(), found["y"].tolist())), source.classes


def test_splits_are_no_classes(halves):
    train, test = [(0, 0), (50, 1), (100, 2)], [(150, 0), (200, 2)]
    assert content(halves) == content(f"{halves}:train") == (train, 3)
    assert content(f"{halves}:test") == content(f"{halves}:Test") == (test, 3)
    archive = packed(halves, "zip", True)
    assert content(archive) == (train, 3) and content(f"{archive}:test") == (test, 3)
    with pytest.raises(JaxganError, match=rf"no split 'val', only Test, train; write folder:{halves}:Test"):
        content(f"{halves}:val")
    with pytest.raises(JaxganError, match="no split 'test'; folders called train and test would be"):
        content(f"{halves}/train:test")
    (halves / "train").rename(halves / "valid")
    with pytest.raises(JaxganError, match="no split 'train', only Test, valid"):
        content(halves)
    (halves / "Test").rename(halves.parent / "away")
    assert content(halves)[0] == content(f"{halves}:val")[0] == train  # the only one


def test_folders_are_splits_only_if_all_of_them_are(halves):
    (halves / "Test").rename(halves / "tests")
    assert content(halves) == ([(150, 0), (200, 0), (0, 1), (50, 1), (100, 1)], 2)
    (halves / "tests").rename(halves / "training")
    assert content(halves)[1] == 2  # train and training can only be classes


def test_a_folder_may_have_a_colon(halves):
    halves.rename(halves.parent / "a:train")
    assert content(halves.parent / "a:train")[1] == content(f"{halves.parent}/a:train:test")[1] == 3


@pytest.mark.parametrize("table", ["train.csv", "labels.csv", "train/labels.csv"])
def test_a_split_has_labels_of_a_table_in_it_or_beside_it(halves, table):
    rows = {"train/cat/0.png": "b", "train/dog/1.png": "a", "train/eel/2.png": "b", "Test/cat/3.png": "c"}
    (halves / table).write_text("file,label\n" + "".join(f"{name},{label}\n" for name, label in rows.items()))
    (halves / "Test" / "cat" / "test.csv").write_text("file,label\n")
    assert content(halves) == ([(0, 1), (50, 0), (100, 1)], 3)


def test_classes_are_in_natural_order(root):
    for i in range(12):
        Image.new("L", (8, 8), i).save(root / "00000" / f"{i:02}.png")
    levels = [*range(12), 0, 50, 100, 150]  # in the order of the names
    rows = [f"00000/{i:02}.png,{i}" for i in range(12)] + [f"{name},11" for name in NAMES]
    (root / "labels.csv").write_text("\n".join(rows))
    source = folder(root, 8)
    assert source.rows(np.arange(16))["x"][:, 0, 0, 0].tolist() == levels
    assert source.rows(np.arange(16))["y"].tolist() == [*range(12), 11, 11, 11, 11]
    assert source.names == tuple(map(str, range(12)))


def test_natural_order_is_that_of_text_but_for_numbers():
    words = ["Zoo", "a", "a b", "a1b", "a2", "a10", "b", "n01440764", "n02102040"]
    assert sorted(["b", *words[:-3], "n02102040", "n01440764"], key=natural) == words
    assert sorted(["10", "9", "09", "1.10", "1.9"], key=natural) == ["1.9", "1.10", "09", "9", "10"]


@pytest.fixture(scope="module")
def twelve(tmp_path_factory):
    """The folder of a run on twelve classes called 0 to 11, but for 3, which is called Sneaker."""
    root = tmp_path_factory.mktemp("twelve")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(root / "cache"))
        for i in range(12):
            name = "4 Sneaker" if i == 4 else str(i)
            (root / "images" / name).mkdir(parents=True)
            Image.new("L", (4, 4), 20 * i).save(root / "images" / name / "0.png")
        c = Config(data=f"folder:{root / 'images'}", size=4, kind="auto", net="mlp", width=4, batch=12, steps=1)
        train.run(c, root / "run", quiet=True)
    return root / "run"


def test_classes_are_asked_for_by_name(twelve, tmp_path):
    names = [*map(str, range(4)), "4 Sneaker", *map(str, range(5, 12))]
    assert json.loads((twelve / "env.json").read_text())["names"] == names
    run = load(twelve)
    by_number = run.sample(3, labels=[2, 4, 10])
    np.testing.assert_array_equal(run.sample(3, labels=["2", "4 sneaker", "10"]), by_number)
    assert np.abs(run.sample(3, labels=[2, 4, 3]) - by_number).max() > 0
    with pytest.raises(JaxganError, match=r"no class 'sneaker'.*Did you mean '4 Sneaker'"):
        run.sample(1, labels=["sneaker"])
    with pytest.raises(JaxganError, match=r"no class '12'.*numbers 0 to 11"):
        run.sample(1, labels=["12"])
    sample(str(twelve), 4, out=tmp_path / "x.npz", labels=("4 SNEAKER", "2"))
    with np.load(tmp_path / "x.npz") as found:
        assert found["y"].tolist() == [4, 2, 4, 2]


def test_a_name_comes_before_a_number():
    assert class_number("3", 2, ["7", "3"]) == 1
    assert class_number("1", 2, ["a", "A"]) == 1
    with pytest.raises(JaxganError, match="Known: a, A; or numbers"):
        class_number("b", 2, ["a", "A"])


def test_columns_of_pictures_say_their_class(twelve, tmp_path):
    """The words of a strip above them; the grid below is the same picture."""
    run = load(twelve)
    sample(str(twelve), 24, out=tmp_path / "x.png")
    picture, plain = np.asarray(Image.open(tmp_path / "x.png")), plots.grid(run.sample(24), 12)
    trained = np.asarray(Image.open(next((twelve / "samples").glob("0*.png"))))
    np.testing.assert_array_equal(picture[16:], plain)
    np.testing.assert_array_equal(trained[:16], picture[:16])
    pitch = (4 + 1) * 16
    words = [picture[:16, i * pitch : (i + 1) * pitch] for i in range(11)]
    assert all(word.min() < 128 and (word[:, -1] == 255).all() for word in words)
    assert all((words[i] != words[j]).any() for i in range(11) for j in range(i))
    assert (words[4][:, 20:] < 128).any() and not (words[3][:, 20:] < 128).any()  # a long name, and a short one
    assert plots.heads(np.arange(24) % 12, 8, run.env["names"]) == []  # columns of several classes
    assert plots.heads(np.tile([2, 4], 8), 8, run.env["names"]) == ["2", "4 Sneaker"] * 4
    assert plots.heads(None, 8, run.env["names"]) == plots.heads(np.zeros(8, int), 8, []) == []


def packed(root, kind, whole):
    """root as an archive: of what it holds, or of itself."""
    path = root.parent / f"packed.{kind}"
    files = [p for p in sorted(root.rglob("*")) if p.is_file()]
    names = [str(p.relative_to(root.parent if whole else root)) for p in files]
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for file, name in zip(files, names):
                archive.write(file, name)
            archive.writestr("__MACOSX/._img0.png", b"")
        return path
    with tarfile.open(path, {"tar": "w", "tar.gz": "w:gz"}[kind]) as archive:
        for file, name in zip(files, names):
            archive.add(file, f"./{name}")
    return path


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_an_archive_is_read_as_its_folder(root, kind, whole):
    plain = folder(root, 8).fingerprint
    assert folder(packed(root, kind, whole), 8).fingerprint == plain
    write(root, list(zip(NAMES, [0, 1, 0, 1])))
    archive = packed(root, kind, whole)
    assert labelled(archive) == ([0, 1, 0, 1], 2)
    assert folder(archive, 8).fingerprint == folder(root, 8).fingerprint != plain


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_damaged_archive_is_an_error(root, kind):
    path = packed(root, kind, True)
    whole = path.read_bytes()
    path.write_bytes(whole[:3000] if kind == "tar" else whole[:-100] + bytes(78) + whole[-22:])
    with pytest.raises(JaxganError, match="packed"):
        folder(path, 8)
