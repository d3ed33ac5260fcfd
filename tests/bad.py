"""A folder of experiments, images, arrays and runs of which most are bad in some way, for tests of messages."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxgan import cli

EXPERIMENT = """
from jaxgan import Config, Hp
def config():
    return Config(net="mlp", data="ring8", latent=2, width=8, batch=16, steps=4, sample_every=0, log_every=2)
"""


def make(home: Path) -> None:
    """Fill the folder home: experiments good and bad, images good and bad, runs/ok, and runs of which parts are bad."""
    (home / "experiments").mkdir()
    experiments = {
        "ring": EXPERIMENT,
        "syntax": "def config(:\n",
        "nothing": "x = 1\n",
        "wrong_type": "def config():\n    return {'steps': 3}\n",
        "raises": "def config():\n    return 1 / 0\n",
        "misspelt": "from jaxgan import Config\ndef config():\n    return Config(step=3)\n",
        "bad_value": "from jaxgan import Config\ndef config():\n    return Config(loss='hinges')\n",
    }
    for name, text in experiments.items():
        (home / "experiments" / f"{name}.py").write_text(text)
    for name in ("empty", "notes", "corrupt", "images", "others"):
        (home / name).mkdir()
    (home / "notes/readme.txt").write_text("no pictures here")
    (home / "others/thesis.tex").write_text("precious")
    (home / "a_file").write_text("precious")
    (home / "corrupt/torn.png").write_bytes(b"\x89PNG\r\n\x1a\n then nothing")
    for i in range(20):
        Image.fromarray(np.full((16, 16), i * 10, np.uint8)).save(home / "images" / f"{i}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        cli.main(["train", "experiments/ring.py", "--dir", "runs/ok"])
        for name in ("no_env", "torn", "misspelt", "foreign", "list", "no_digest", "log", "no_config"):
            shutil.copytree("runs/ok", f"runs/{name}")
        images = ["--data", "folder:images", "--size", "8", "--batch", "16", "--net", "mlp"]
        cli.main(["train", "experiments/ring.py", "--dir", "runs/images", *images])
        cli.main(["train", "experiments/ring.py", "--dir", "runs/vae", *images, "--kind", "vae"])
    Image.fromarray(np.full((16, 16), 255, np.uint8)).save(home / "images" / "later.png")
    _damaged(home)
    runs = home / "runs"
    (runs / "no_env/env.json").unlink()
    (runs / "no_config/config.json").unlink()
    (runs / "torn/config.json").write_text('{"steps": 4, "lo')
    values = json.loads((runs / "ok/config.json").read_text())
    (runs / "misspelt/config.json").write_text(json.dumps({**values, "witdh": 8}))
    (runs / "foreign/config.json").write_text(json.dumps({**values, "width": 9}))
    (runs / "list/config.json").write_text("[1, 2]")
    (runs / "no_digest/metrics.jsonl").write_text("")
    lines = (runs / "log/metrics.jsonl").read_text().splitlines()
    (runs / "log/metrics.jsonl").write_text("\n".join([lines[0], "{torn", *lines[1:]]) + "\n")
    (runs / "early").mkdir()
    for name in ("config.json", "env.json"):
        (runs / "early" / name).write_text((runs / "ok" / name).read_text())


def _damaged(home: Path) -> None:
    """Images and arrays of which the half is there, or which are none; and runs with such files."""
    for name in ("cut", "npy", "wide"):
        (home / name).mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (32, 32), np.uint8)
    Image.fromarray(noise).save(home / "cut/7.png")
    image = (home / "cut/7.png").read_bytes()
    (home / "cut/7.png").write_bytes(image[: len(image) // 2])
    np.save(home / "npy/whole.npy", np.zeros((4, 4), np.uint8))
    (home / "npy/cut.npy").write_bytes((home / "npy/whole.npy").read_bytes()[:50])
    Image.new("L", (20, 10)).save(home / "wide/one.png")
    Image.new("L", (10, 20)).save(home / "wide/two.png")
    np.savez(home / "whole.npz", x=np.arange(4 * 64, dtype=np.uint8).reshape(4, 8, 8, 1))
    (home / "cut.npz").write_bytes((home / "whole.npz").read_bytes()[:200])
    (home / "words.npz").write_text("no numbers here")
    np.savez(home / "objects.npz", x=np.array([{}]))
    np.savez(home / "other.npz", z=np.zeros(3))
    for name in ("eval", "picture", "checkpoint", "overrides", *ENV):
        shutil.copytree(home / "runs/ok", home / f"runs/bad_{name}")
    bad = home / "runs"
    (bad / "bad_eval/eval").mkdir()
    (bad / "bad_eval/eval/4.json").write_text('{"step": 4, "sco')
    (bad / "bad_overrides/overrides.json").write_text('[{"step": 4, "na')
    (bad / "bad_picture/samples/00000002.png").write_bytes(image[: len(image) // 2])
    for path in (bad / "bad_checkpoint/checkpoints").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    env = json.loads((bad / "ok/env.json").read_text())
    for name, value in ENV.items():
        (bad / f"bad_{name}/env.json").write_text(json.dumps({**env, name: value}))
    (bad / "bad_starts/env.json").write_text((bad / "bad_starts/env.json").read_text()[:-9])


ENV = {"shape": ["8"], "classes": -1, "names": 5, "starts": []}  # in env.json, of what cannot be; the last is cut short
