"""Commands and programs of all README files run as they stand, with few steps, and their links lead somewhere."""

import contextlib
import re
import subprocess
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from PIL import Image

from jaxgan import cli, config, data, program, train, unused
from jaxgan.games import KINDS
from jaxgan.losses import LOSSES
from jaxgan.penalties import PENALTIES

REPO = Path(__file__).parent.parent
# in the order in which their commands run: the first page makes a run that the others use
PATHS = [
    REPO / "README.md",
    *(path for room in ("jaxgan", "experiments") for path in sorted((REPO / room).rglob("README.md"))),
]
README, *_ = READMES = [path.read_text() for path in PATHS]
FASHION = Path("/usr/share/datasets/fashion-mnist")


def blocks(language: str) -> list[str]:
    return [block for text in READMES for block in re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)]


def commands() -> list[str]:
    """All `jaxgan ...` lines of the bash blocks after the first, which is the continuous integration's."""
    lines = "".join(blocks("bash")[1:]).splitlines()
    return [line.split("  #")[0].strip() for line in lines if line.startswith("jaxgan ")]


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A folder as a user would have it: the experiments, and some images."""
    home = tmp_path_factory.mktemp("home")
    (home / "experiments").symlink_to(REPO / "experiments")
    (home / "images").mkdir()
    rng = np.random.default_rng(0)
    for i in range(64):
        Image.fromarray(rng.integers(0, 256, (40, 48, 3), np.uint8)).save(home / "images" / f"{i}.png")
    return home


@pytest.fixture
def here(home, monkeypatch) -> Path:
    """home, with this process inside: commands and programs share its imports and what it has compiled."""
    monkeypatch.chdir(home)
    monkeypatch.setenv("TFDS_DATA_DIR", str(home / "tfds"))
    return home


def is_long(command: str) -> bool:
    """Whether a command compiles much, and no short one needs what it makes; other tests compile the same."""
    long = ("sweep", "infogan", "bigan", "sines", "curves", "translation", "diagnose", "ada", "apa", "gat.py", "cat.py")
    return any(word in command for word in long)


SMALL = ["--steps", "4", "--sample-every", "2", "--width", "8", "--batch", "16"]


@pytest.mark.parametrize("long", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_commands_run_in_order(here, long, capsys):
    ran = 0
    for command in filter(lambda c: long or not is_long(c), commands()):
        if "fashion" in command and not FASHION.is_dir():
            continue
        words = command.replace("/path/to/my/images", str(here / "images")).split()
        if words[1] == "train":
            words += SMALL
        if words[1] == "sweep" and words[2].endswith(".py"):
            words[3:] = [*words[words.index("--dir") :][:2]] if "--dir" in words else []
            words += ["--grid", "hp.g_lr=1e-4,2e-4", "--seeds", "1", *SMALL]
        if words[1] == "eval" and "--images" not in words:
            words += ["-n", "100"]
        cli.main(words[1:])
        out = capsys.readouterr().out
        ran += 1
        if words[1] == "verify":
            assert "bit for bit" in out
    assert ran >= 7
    assert (here / "grid.png").stat().st_size > 1000
    assert (here / "runs/mine/samples/00000004.png").exists()


@pytest.mark.parametrize("command", [c for c in commands() if is_long(c) and c.startswith("jaxgan train")])
def test_long_commands_name_runs_that_can_be(here, monkeypatch, command):
    """Their step is traced, and reads all that they set."""
    asked = []

    def traced(c, dir, **rest):
        source, _ = data.of_config(config.check(c))
        unused.check(c, program.reads(c, source))
        asked.append(c)

    monkeypatch.setattr(train, "run", traced)
    cli.main([*command.split()[1:], *SMALL])
    assert len(asked) == 1


def test_the_command_is_installed(home):
    command = Path(sys.executable).parent / "jaxgan"
    done = subprocess.run([command, "train", "experiments/ring.py", "--help"], cwd=home, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("usage: jaxgan train experiments/ring.py"), done.stderr


@pytest.mark.parametrize("program", blocks("python"), ids=lambda p: p.splitlines()[0][:30])
def test_programs_run(here, program):
    names = {"__name__": "__main__"}
    with contextlib.ExitStack() as stack:
        for table in (LOSSES, PENALTIES, KINDS):
            stack.enter_context(mock.patch.dict(table))
        exec(program, names)
    if "config" in names:
        assert names["config"]().hp.d_lr == 4e-4


def test_the_first_block_is_two_commands():
    install, test = blocks("bash")[0].splitlines()
    assert install.startswith("pip install -e . && jaxgan train experiments/mnist_dcgan.py")
    assert test.endswith("&& pytest")


def test_every_experiment_is_explained_and_named_in_a_readme():
    text = "".join(READMES)
    for file in (REPO / "experiments").glob("*.py"):
        if "def config(" in file.read_text():
            command = rf"jaxgan (train|sweep) experiments/{file.name}"
            assert re.search(command, file.read_text())  # its docstring holds the command
            assert f"experiments/{file.name}" in text
    for file in (REPO / "experiments/theory").glob("*.py"):
        assert f"\npython experiments/theory/{file.name}\n" in text
    named = re.findall(r"python (experiments/[a-z_0-9/]+\.py)", text)
    assert len(set(named)) > 10 and not [name for name in named if not (REPO / name).is_file()]


def prose(path: Path) -> str:
    return re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.M | re.S)


def anchors(path: Path) -> set[str]:
    """What a hosting site calls the headings: small letters, digits and hyphens for spaces."""
    titles = re.findall(r"^#+ (.+)$", prose(path), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", PATHS, ids=lambda path: str(path.relative_to(REPO)))
def test_links_lead_to_files_and_headings(path):
    found = [link for link in re.findall(r"\]\(([^)\s]+)\)", prose(path)) if "://" not in link]
    assert found
    for link in found:
        name, _, heading = link.partition("#")
        target = path.parent / name if name else path
        assert target.exists(), link
        assert target.resolve().is_relative_to(REPO), f"{link} leaves the repository"
        assert not heading or heading in anchors(target), link


def test_tables_to_extend_are_where_the_readme_says():
    found = re.findall(r"((?:`\w+` or )?`\w+`) in \[`([\w/.]+)`\]", README)
    assert len(found) >= 10
    for names, file in found:
        for name in re.findall(r"\w+", names.replace(" or ", " ")):
            pattern = rf"^(class |def )?{name}\b"
            assert re.search(pattern, (REPO / file).read_text(), re.M), f"{name} is not in {file}"


def test_lock_covers_every_dependency_and_names_no_address():
    import tomllib

    project = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    lock = (REPO / "requirements.lock").read_text()
    assert "://" not in lock
    pinned = dict.fromkeys(re.findall(r"^([a-z0-9-]+)==", lock, re.M))
    for requirement in project["dependencies"] + project["optional-dependencies"]["test"]:
        name = re.match(r"[A-Za-z0-9_-]+", requirement).group().lower().replace("_", "-")
        assert name in pinned, f"{requirement} is not in requirements.lock"
    assert lock.count("--hash=sha256:") >= len(pinned)
