"""Parameters of G and D in published settings, exactly; of shapes alone, so that no memory is needed."""

from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from jaxgan import config
from jaxgan.nets import build, discriminator, translator, upscaler

CIFAR = {"mapping": 2, "mixing": 0.0, "group": 32, "d_layout": "plain"}
WIDE, IMAGENET = {"wide": True}, {"group": 32}
# net, size, classes, width, latent, its options: parameters of G, of D. Where they are from: papers' tables, the
# printouts of their code, logs of StudioGAN, and layer tables that give all of these
COUNTS = {
    ("sngan", 32, 0, 64, 128): ({}, 4_276_739, 1_053_825),
    ("sngan", 32, 10, 64, 128): ({}, 4_304_387, 1_055_105),
    ("sngan, CIFAR's BigGAN", 32, 10, 64, 128): ({"d_width": 128, "init": "normal"}, 4_304_387, 4_207_361),
    ("sngan", 64, 0, 64, 128): ({}, 12_220_675, 10_141_441),
    ("sngan wide", 64, 0, 64, 128): (WIDE, 12_220_675, 19_542_721),
    ("sngan wide", 64, 200, 64, 128): (WIDE, 13_366_915, 19_747_521),
    ("sngan", 128, 0, 64, 128): ({}, 32_150_787, 29_017_857),
    ("sngan wide", 128, 1000, 64, 128): (WIDE, 41_996_931, 39_443_137),
    ("sngan wide, StudioGAN's attention", 128, 1000, 64, 128): (WIDE | {"attention": 64}, 42_017_412, 39_448_258),
    ("sngan wide, SAGAN's attention", 128, 1000, 64, 128): (WIDE | {"attention": 32}, 42_078_852, 39_463_618),
    ("biggan", 32, 10, 96, 80): ({"attention": 16}, 9_416_196, 2_415_170),
    ("biggan", 64, 200, 80, 100): ({"attention": 32}, 17_335_204, 30_796_722),
    ("biggan", 256, 1000, 96, 140): ({"attention": 64}, 82_235_844, 99_225_890),
    ("biggan deep", 128, 1000, 128, 128): ({"attention": 64, "deep": True}, 50_244_484, 34_590_210),
    ("progan", 1024, 0, 512, 512): ({}, 23_079_115, 23_087_249),
    ("stylegan2", 64, 0, 512, 512): ({}, 27_032_600, 26_488_833),
    ("stylegan2", 128, 0, 512, 512): ({}, 29_328_669, 28_389_121),
    ("stylegan2", 1024, 0, 512, 512): ({}, 30_370_060, 29_012_513),
    ("stylegan2 paper256", 256, 0, 512, 512): ({"base": 16384, "group": 8}, 24_767_458, 24_001_089),
    ("stylegan2 cifar", 32, 0, 512, 512): (CIFAR, 19_947_539, 20_720_641),
    ("stylegan2 cifar", 32, 10, 512, 512): (CIFAR, 20_215_315, 23_089_664),
    ("r3gan", 32, 0, 768, 64): ({}, 20_732_160, 20_683_776),
    ("r3gan", 32, 10, 768, 64): ({}, 20_781_952, 21_280_512),
    ("r3gan", 32, 1000, 1536, 64): (IMAGENET, 82_914_304, 86_548_992),
    ("r3gan", 64, 1000, 1536, 64): (IMAGENET | {"wide": 64}, 103_570_432, 107_205_120),
    ("r3gan2", 32, 10, 512, 64): ({}, 17_335_425, 17_720_832),
    ("r3gan2", 32, 1000, 1024, 64): ({}, 60_947_969, 63_718_400),
}
# factor, pixels: parameters of ESRGAN's G, of D; those for 4 are also what its code makes
UPSCALERS = {(4, 128): (16_697_987, 14_499_401), (2, 128): (16_661_059, 14_499_401)}


BATCH = {"g_norm": "batch", "d_norm": "batch"}
RESNET = {"g": "resnet"}
# net, size, latents, channels that D sees: other fields, parameters of G, of D. From layer tables; those of 256 pixels
# are what pytorch-CycleGAN-and-pix2pix prints
TRANSLATORS = {
    ("patchgan, pix2pix", 256, 0, 6): (BATCH, 54_413_955, 2_768_705),
    ("patchgan, pix2pix", 128, 0, 6): (BATCH, 41_828_995, 2_768_705),
    ("patchgan, CycleGAN", 256, 0, 3): ({"patchgan": RESNET}, 11_378_179, 2_764_737),
    ("patchgan, CycleGAN", 128, 0, 3): ({"patchgan": RESNET | {"blocks": 6}}, 7_837_699, 2_764_737),
    ("patchgan, one halving", 256, 0, 3): ({"patchgan": RESNET | {"layers": 1}}, 11_378_179, 136_385),
    ("patchgan, pixels", 256, 0, 6): (BATCH | {"patchgan": {"layers": 0}}, 54_413_955, 9_024),
    ("stargan, 5 classes", 128, 5, 3): ({}, 8_430_528, 44_721_088),
    ("stargan, 8 classes", 128, 8, 3): ({}, 8_439_936, 44_721_088),
}


@pytest.mark.parametrize("setting", COUNTS, ids=str)
def test_counts(setting):
    (name, size, classes, width, latent), (options, *want) = setting, COUNTS[setting]
    net = name.replace(",", " ").split(" ")[0]
    nets = build(
        config.from_dict({"net": net, "width": width, "latent": latent, net: options}), (size, size, 3), classes
    )
    y, found = jnp.zeros(2, int) if classes else None, []
    for side, x in (("g", jnp.zeros((2, latent))), ("d", jax.ShapeDtypeStruct((2, size, size, 3), float))):
        params, _ = jax.eval_shape(nets[side].init, jax.random.key(0), x, y)
        found.append(sum(leaf.size for leaf in jax.tree.leaves(params)))
    assert found == want


@pytest.mark.parametrize("setting", TRANSLATORS, ids=str)
def test_counts_of_translators(setting):
    (name, size, latent, channels), (options, *want) = setting, TRANSLATORS[setting]
    c = config.from_dict({"net": name.split(",")[0], "width": 64, **options})
    image, seen = (jax.ShapeDtypeStruct((2, size, size, n), float) for n in (3, channels))
    nets = translator(c, (size, size, 3), None), discriminator(c, (size, size, channels))
    for net, inputs, count in zip(nets, ((jnp.zeros((2, latent)), image), (seen, None)), want):
        params, _ = jax.eval_shape(net.init, jax.random.key(0), *inputs)
        assert sum(leaf.size for leaf in jax.tree.leaves(params)) == count


@pytest.mark.parametrize(("factor", "size"), UPSCALERS)
def test_counts_of_upscalers(factor, size):
    c, shape = config.from_dict({"net": "rrdb", "width": 64, "factor": factor}), (size, size, 3)
    of = lambda n: jax.ShapeDtypeStruct((2, n, n, 3), float)  # noqa: E731
    made = [(upscaler(c, shape, None), of(size // factor)), (discriminator(c, shape), of(size), None)]
    params = [jax.eval_shape(net.init, jax.random.key(0), *inputs)[0] for net, *inputs in made]
    assert tuple(sum(leaf.size for leaf in jax.tree.leaves(p)) for p in params) == UPSCALERS[factor, size]


def test_the_page_of_networks_has_these_counts():
    page = (Path(__file__).parent.parent / "jaxgan" / "nets" / "README.md").read_text()
    for setting, (*_, g, d) in (COUNTS | TRANSLATORS | UPSCALERS).items():
        assert all(f"{count:,}" in page for count in (g, d)), setting
