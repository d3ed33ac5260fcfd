"""The README's commands and programs run as they stand, with few steps."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

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


def run(home: Path, *command: str) -> str:
    env = {
        **os.environ,
        "TFDS_DATA_DIR": str(home / "tfds"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    done = subprocess.run(command, cwd=home, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def is_long(command: str) -> bool:
    """Whether a command compiles much, and no short one needs what it makes; other tests compile the same."""
    return any(word in command for word in ("sweep", "infogan", "bigan", "sines", "curves", "translation", "diagnose"))


@pytest.mark.parametrize("long", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_commands_run_in_order(home, long):
    ran = 0
    for command in filter(lambda c: long or not is_long(c), commands()):
        if "fashion" in command and not FASHION.is_dir():
            continue
        words = command.replace("/path/to/my/images", str(home / "images")).split()
        if words[1] == "train":
            words += ["--steps", "4", "--sample-every", "2"]
        if words[1] == "sweep" and words[2].endswith(".py"):
            words[3:] = [*words[words.index("--dir") :][:2]] if "--dir" in words else []
            words += ["--grid", "hp.g_lr=1e-4,2e-4", "--seeds", "1", "--steps", "4", "--sample-every", "2"]
        out = run(home, *words)
        ran += 1
        if words[1] == "verify":
            assert "bit for bit" in out
    assert ran >= 7
    assert (home / "grid.png").stat().st_size > 1000
    assert (home / "runs/mine/samples/00000004.png").exists()


@pytest.mark.parametrize("program", blocks("python"), ids=lambda p: p.splitlines()[0][:30])
def test_programs_run(home, program):
    if "def config" in program:
        program += "\nassert config().hp.d_lr == 4e-4\n"
    run(home, sys.executable, "-c", program)


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
