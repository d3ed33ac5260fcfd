"""A run whose images lie elsewhere now: it goes on, since it knows them by their contents."""

import dataclasses
import shutil

import numpy as np
import pytest
from PIL import Image

from jaxgan import Config, run_folder, train
from jaxgan.commands.runs import verify
from jaxgan.errors import JaxganError
from runs import assert_same_bits, digests

BASE = Config(size=4, net="mlp", width=4, latent=2, batch=4, steps=2, checkpoint_every=2, sample_every=0)


@pytest.fixture
def images(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for i in range(8):
        path = tmp_path / "before" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (4, 4), np.uint8)).save(path)
    return tmp_path / "before"


def test_a_run_goes_on_with_its_images_under_another_path(images, tmp_path, capsys):
    """The bits are those of a run that was never stopped; config.json says where the images are now."""
    before = dataclasses.replace(BASE, data=f"folder:{images}")
    train.run(before, tmp_path / "moved", quiet=True)
    whole = train.run(dataclasses.replace(before, steps=4), tmp_path / "whole", quiet=True)
    images.rename(tmp_path / "after")
    with pytest.raises(JaxganError, match="does not exist"):
        verify(str(tmp_path / "moved"))
    verify(str(tmp_path / "moved"), data=f"folder:{tmp_path / 'after'}")
    after = dataclasses.replace(before, data=f"folder:{tmp_path / 'after'}", steps=4)
    assert_same_bits(train.run(after, tmp_path / "moved", quiet=True), whole)
    assert digests(tmp_path / "moved") == digests(tmp_path / "whole")
    assert run_folder.read_config(tmp_path / "moved").data == after.data
    verify(str(tmp_path / "moved"))
    assert "2 digests up to step 4 agree" in capsys.readouterr().out
    shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "after")
    verify(str(tmp_path / "moved"), data=f"folder:{tmp_path / 'packed.zip'}")


def test_other_images_are_refused_under_any_path(images, tmp_path):
    before = dataclasses.replace(BASE, data=f"folder:{images}")
    train.run(before, tmp_path / "run", quiet=True)
    shutil.copytree(images, tmp_path / "other")
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "other" / "a" / "0.png")
    other = dataclasses.replace(before, data=f"folder:{tmp_path / 'other'}", steps=4)
    with pytest.raises(JaxganError, match=r"data: 'folder:.*before' -> 'folder:.*other'"):
        train.run(other, tmp_path / "run", quiet=True)
    with pytest.raises(JaxganError, match=r"are not what the run .* was trained on"):
        verify(str(tmp_path / "run"), data=other.data)
    with pytest.raises(JaxganError, match="batch: 4 -> 2"):  # nor does a move excuse anything else
        images.rename(tmp_path / "after")
        moved = dataclasses.replace(before, data=f"folder:{tmp_path / 'after'}", batch=2)
        train.run(moved, tmp_path / "run", quiet=True)
