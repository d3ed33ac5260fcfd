"""The README's commands and programs run as they stand, with few steps."""

import contextlib
import re
import subprocess
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from PIL import Image

from jaxgan import cli
from jaxgan.games import KINDS
from jaxgan.losses import LOSSES
from jaxgan.penalties import PENALTIES

REPO = Path(__file__).parent.parent
README = (REPO / "README.md").read_text()
FASHION = Path("/usr/share/datasets/fashion-mnist")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.M | re.S)


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
    return any(word in command for word in ("sweep", "infogan", "bigan", "sines", "curves", "translation", "diagnose"))


@pytest.mark.parametrize("long", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_commands_run_in_order(here, long, capsys):
    ran = 0
    for command in filter(lambda c: long or not is_long(c), commands()):
        if "fashion" in command and not FASHION.is_dir():
            continue
        words = command.replace("/path/to/my/images", str(here / "images")).split()
        small = ["--steps", "4", "--sample-every", "2", "--width", "8", "--batch", "16"]
        if words[1] == "train":
            words += small
        if words[1] == "sweep" and words[2].endswith(".py"):
            words[3:] = [*words[words.index("--dir") :][:2]] if "--dir" in words else []
            words += ["--grid", "hp.g_lr=1e-4,2e-4", "--seeds", "1", *small]
        cli.main(words[1:])
        out = capsys.readouterr().out
        ran += 1
        if words[1] == "verify":
            assert "bit for bit" in out
    assert ran >= 7
    assert (here / "grid.png").stat().st_size > 1000
    assert (here / "runs/mine/samples/00000004.png").exists()


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


def test_every_experiment_is_explained_and_named_in_readme():
    for file in (REPO / "experiments").glob("*.py"):
        if "def config(" in file.read_text():
            command = rf"jaxgan (train|sweep) experiments/{file.name}"
            assert re.search(command, file.read_text())  # its docstring holds the command
            assert f"experiments/{file.name}" in README


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
