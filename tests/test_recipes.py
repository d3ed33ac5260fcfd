"""Recipes of published settings: their networks have the published counts, and every setting in them acts."""

import re
import runpy
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from jaxgan import config, program, unused
from jaxgan.features import perceptual
from jaxgan.nets import build
from runs import Like
from test_counts import COUNTS
from test_upscale import vgg_like

RECIPES = Path(__file__).parent.parent / "experiments" / "recipes"
# recipe: pixels, classes of its data, its row of COUNTS, if it has one
PUBLISHED = {
    "cifar10_sngan": (32, 10, ("sngan", 32, 0, 64, 128)),
    "cifar10_biggan_diffaugment": (32, 10, ("sngan, CIFAR's BigGAN", 32, 10, 64, 128)),
    "cifar10_stylegan2_ada": (32, 10, ("stylegan2 cifar", 32, 10, 512, 512)),
    "cifar10_r3gan": (32, 10, ("r3gan", 32, 10, 768, 64)),
    "cifar10_r3gan2": (32, 10, ("r3gan2", 32, 10, 512, 64)),
    "stacked_mnist_r3gan": (32, 1000, ("r3gan", 32, 0, 768, 64)),
    "ffhq64_r3gan": (64, 0, None),
    "ffhq256_r3gan": (256, 0, None),
    "ffhq1024_stylegan2": (1024, 0, ("stylegan2", 1024, 0, 512, 512)),
    "imagenet64_r3gan": (64, 1000, ("r3gan", 64, 1000, 1536, 64)),
    "imagenet128_biggan": (128, 1000, None),
    "imagenet128_sagan": (128, 1000, ("sngan wide, SAGAN's attention", 128, 1000, 64, 128)),
    "celebahq1024_progan": (1024, 0, ("progan", 1024, 0, 512, 512)),
    "celeba64_dcgan": (64, 0, None),
    "facades_pix2pix": (256, 0, None),  # counted in test_counts, as the three after it
    "horse2zebra_cyclegan": (256, 0, None),
    "edges2shoes_bicyclegan": (256, 0, None),
    "celeba128_stargan": (128, 5, None),
    "df2k_esrgan_l1": (128, 0, None),  # both counted in test_counts
    "df2k_esrgan": (128, 0, None),
    "imagenet256_gat": (32, 1000, None),  # of latents; counted in test_gat
    "mnist_sngan": (28, 10, None),
    "mnist_r3gan": (32, 10, None),
    "fashion_stylegan2": (32, 10, None),
    "emoji_r3gan": (64, 9, None),
    "mnist_gat": (28, 10, None),  # counted in test_gat
    "mnist_cat": (28, 10, None),
    "grid25_pacgan": (0, 0, None),  # points; counted in test_pacgan
}


CHANNELS = {  # of examples that are not RGB
    **dict.fromkeys(("mnist_sngan", "mnist_r3gan", "mnist_gat", "mnist_cat", "fashion_stylegan2"), 1),
    **dict.fromkeys(("facades_pix2pix", "horse2zebra_cyclegan", "edges2shoes_bicyclegan"), 6),
    "imagenet256_gat": 4,
}


def recipe(name):
    return config.check(runpy.run_path(str(RECIPES / f"{name}.py"))["config"]())


def test_each_is_explained_and_stands_on_the_page():
    page = (RECIPES / "README.md").read_text()
    assert {file.stem for file in RECIPES.glob("*.py")} == set(PUBLISHED)
    for name in PUBLISHED:
        text = runpy.run_path(str(RECIPES / f"{name}.py"))["__doc__"]
        assert f"jaxgan train experiments/recipes/{name}.py" in text and f"{name}.py" in page
        assert re.search(r"arXiv \d{4}\.\d{5}", text)


@pytest.mark.parametrize("name", [name for name, (*_, row) in PUBLISHED.items() if row])
def test_its_networks_have_the_published_counts(name):
    size, classes, row = PUBLISHED[name]
    c, (_, *counts) = recipe(name), COUNTS[row]
    classes = classes if c.kind == "conditional" else 0
    assert (size, classes, c.width, c.latent) == row[1:] and (c.size or size) == size
    nets, y = build(c, (size, size, 3), classes), jnp.zeros(2, int) if classes else None
    inputs = {"g": jnp.zeros((2, c.latent)), "d": jax.ShapeDtypeStruct((2, size, size, 3), float)}
    for side, count in zip(("g", "d"), counts, strict=True):
        params, _ = jax.eval_shape(nets[side].init, jax.random.key(0), inputs[side], y)
        assert sum(leaf.size for leaf in jax.tree.leaves(params)) == count, side


def test_plans_are_of_the_published_settings_and_stand_on_the_page():
    plans = runpy.run_path(str(RECIPES.parent / "plans.py"))
    assert plans["BEGIN"] + plans["table"]() + plans["END"] in (RECIPES / "README.md").read_text()
    for name, (shape, classes) in plans["RECIPES"].items():
        file = name.partition(" ")[0]
        size, known, _ = PUBLISHED[file]
        c = plans["recipe"](name)
        assert shape == f"{size}x{size}x{CHANNELS.get(file, 3)}"
        assert classes == (known if c.conditional or c.kind in ("conditional", "stargan") else 0)
        mine = [row for row in plans["read"]() if row["recipe"] == name and "batch" not in row["changes"]]
        assert all(row["batch"] == plans["whole"](c.batch) for row in mine)


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_each_of_its_settings_acts(name, monkeypatch):
    """A whole step is traced, which also shows that shapes go together; VGG16's weights may not be here."""
    monkeypatch.setattr(perceptual, "weights", lambda name: vgg_like())
    size, classes, _ = PUBLISHED[name]
    c = recipe(name)
    shape = (size, size, CHANNELS.get(name, 3)) if size else (2,)
    unused.check(c, program.reads(c, Like(shape, classes)))
