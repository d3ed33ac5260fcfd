"""The experiments do what their docstrings say, at their own settings."""

import dataclasses
import runpy
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxgan import cli, log, program, train, unused
from jaxgan.config import check, flat
from jaxgan.nets import upscaler
from jaxgan.sweep.space import member
from runs import Like

EXPERIMENTS = Path(__file__).parent.parent / "experiments"


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_ring_finds_all_modes(optimised, tmp_path, seed):
    """8 of 8 modes and at least 90 % within 3 standard deviations; a narrowed ring would score above 98.9 %."""
    config, _ = cli.experiment(EXPERIMENTS / "ring.py")
    config = dataclasses.replace(config, seed=seed, sample_every=0)
    train.run(config, tmp_path / "run", quiet=True)
    found = [row for row in log.read(tmp_path / "run/metrics.jsonl") if "modes" in row]
    assert [row["step"] for row in found] == [config.steps]
    assert found[0]["modes"] == 8
    assert 0.9 <= found[0]["high_quality"] <= 0.99


@pytest.fixture(scope="module")
def collapse():
    return runpy.run_path(str(EXPERIMENTS / "theory/mode_collapse.py"))


def test_collapse_and_cures_differ_by_what_is_named(collapse):
    plain, paired, solver = (collapse["config"](case) for case in collapse["CASES"])
    changed = {"loss": "rpgan", "hp": dataclasses.replace(plain.hp, r1=0.01, r2=0.01)}
    assert paired == dataclasses.replace(plain, **changed)
    assert solver == dataclasses.replace(plain, solver="lookahead")


@pytest.mark.slow
def test_the_cures_keep_all_modes(optimised, collapse):
    """At step 6,000, over two seeds: (nearly) all, and no fewer than without a cure.

    Whether the plain GAN collapses is up to the rounding of a processor, as these runs are chaotic: on one it ended
    with 6 and 3 modes, on another with all. So it is not held to lose any. Nor are cures held to be sharp at one step,
    only to draw more than half near modes: 0.76 and more was seen.
    """

    plain = next(iter(collapse["CASES"]))

    def covered(case):
        found = [collapse["shares"](collapse["watch"](case, times=(6000,), seed=seed)[0]) for seed in (0, 1)]
        assert case == plain or min(shares.sum() for shares in found) > 0.5
        return np.mean([(shares > 1 / 32).sum() for shares in found])

    uncured, *cured = map(covered, collapse["CASES"])
    assert min(cured) >= max(7.5, uncured)


def test_shares_of_the_data_are_those_of_the_ball(collapse):
    """1/8 of 98.889 % each: 1 - exp(-9/2) of a Gaussian in the plane lies within 3 standard deviations."""
    n = 40_000
    draw = jax.vmap(collapse["SOURCE"].density.sample)
    found = collapse["shares"](np.asarray(draw(jax.random.split(jax.random.key(0), n))))
    expected = (1 - np.exp(-4.5)) / 8
    np.testing.assert_allclose(found, expected, atol=5 * np.sqrt(expected / n))


@pytest.fixture(scope="module")
def coverage():
    return runpy.run_path(str(EXPERIMENTS / "modes.py"))


def test_modes_of_the_data_itself_and_of_a_point(coverage):
    """98.889 % of high quality and no divergence but that of counting, (k - 1) / 2n; a point has log k."""
    density = coverage["TOYS"]["ring8"]().density
    x = np.asarray(jax.vmap(density.sample)(jax.random.split(jax.random.key(0), 2500)))
    found = coverage["scores"](x, density)
    assert found["modes"] == 8
    np.testing.assert_allclose(found["high_quality"], 98.889, atol=5 * 100 * np.sqrt(0.989 * 0.011 / 2500))
    assert found["reverse_kl"] < 5 * 7 / 5000
    point = coverage["scores"](np.repeat(density.modes[:1], 2500, 0), density)
    assert point == {"modes": 1, "high_quality": 100.0, "reverse_kl": pytest.approx(np.log(8))}


def test_every_setting_of_modes_is_a_configuration(coverage):
    from jaxgan import config, games

    for settings in coverage["SETTINGS"].values():
        c = coverage["config"](**settings)
        assert config.check(c) == c
        assert games.make(c, (2,)).updates == 2


def test_image_losses_differ_in_the_loss_alone():
    """Eight of them, each with three seeds, the same penalty and the same protocol."""
    file = runpy.run_path(str(EXPERIMENTS / "image_losses.py"))
    members = [flat(check(member(file["config"](), values))) for values in file["sweep"]()]
    assert len({(m.pop("loss"), m.pop("seed")) for m in members}) == len(members) == 24
    assert all(m == members[0] for m in members) and members[0]["hp.r1"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["image_losses", "stacked_modes"])
def test_each_setting_of_a_swept_member_acts(name):
    """A whole step of each of them is traced, seeds apart."""
    file = runpy.run_path(str(EXPERIMENTS / f"{name}.py"))
    for values in file["sweep"]():
        if values.pop("seed") == 0:
            c = member(file["config"](), values)
            unused.check(c, program.reads(c, Like((28, 28, 3 if c.data.startswith("stacked") else 1), 0)))


@pytest.fixture(scope="module")
def equal():
    return runpy.run_path(str(EXPERIMENTS / "equal_compute.py"))


def test_networks_of_equal_compute_are_their_recipes_with_longer_schedules(equal):
    """Numbers stay; what changes over a recipe's images changes as far over so many times as many."""
    for net, (_, others) in equal["NETS"].items():
        recipe, c = equal["chosen"](net)
        assert (c.net, c.loss, c.hp) == (recipe.net, recipe.loss, recipe.hp)
        assert (c.kind, c.conditional) == (others.get("kind", "plain"), False)
        assert all(getattr(c, name) == value for name, value in others.items())
        for key, value in vars(equal["stretched"](c.hp, 3.0)).items():
            before = getattr(c.hp, key)
            scheduled = isinstance(before, tuple)
            assert value == (tuple(p._replace(images=3 * p.images) for p in before) if scheduled else before)


@pytest.mark.slow
def test_networks_get_equal_compute(equal):
    """The budget, within half a step an evaluation; the last look is at the end, and so do schedules end."""
    for net in equal["NETS"]:
        c, (recipe, plain) = equal["equal"](net), equal["chosen"](net)
        cost = equal["flops"](c)
        assert cost == pytest.approx(equal["flops"](plain))
        assert abs(c.steps * cost - equal["BUDGET"]) <= equal["LOOKS"] * cost / 2
        assert c.steps == equal["LOOKS"] * c.eval_every
        for key, value in vars(c.hp).items():
            for a, b in zip(
                *(v if isinstance(v, tuple) else () for v in (value, getattr(recipe.hp, key))), strict=True
            ):
                assert a.images / (c.steps * c.batch) == pytest.approx(b.images / (recipe.steps * recipe.batch))


def test_a_step_of_its_own_counts_by_how_often_it_comes(equal):
    """R1 at every fourth update: the mean of three steps without and one with it."""
    hp = dataclasses.replace(equal["chosen"]("StyleGAN2")[1].hp, ema_half_life=0.0)
    c = dataclasses.replace(equal["chosen"]("StyleGAN2")[1], net="mlp", width=8, depth=1, latent=4, batch=8, hp=hp)
    plain = dataclasses.replace(c, lazy=1, lazy_steps=False, hp=dataclasses.replace(hp, r1=0.0))
    with_r1, without = equal["flops"](dataclasses.replace(c, lazy=1, lazy_steps=False)), equal["flops"](plain)
    assert without < equal["flops"](c) < (3 * without + with_r1) / 4 * 1.5
    assert equal["flops"](c) == pytest.approx((3 * equal["count"](plain) + equal["count"](c)) / 4)


@pytest.fixture(scope="module")
def emoji():
    return runpy.run_path(str(EXPERIMENTS / "emoji_translation.py"))


def test_edges_of_emoji_are_steps_of_brightness_in_the_image_itself(emoji):
    """A step from black to white between columns 3 and 4 is a line on both; another image beside it changes nothing."""
    edges = emoji["edges"]
    step = np.zeros((8, 8, 3), np.uint8)
    step[:, 4:] = 255
    noise = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    found = edges(np.stack([step, noise, np.full_like(step, 90)]))
    assert found.shape == (3, 8, 8, 3) and set(np.unique(found)) == {0, 255}
    assert (found[0] == np.where(np.isin(np.arange(8), (3, 4)), 0, 255)[None, :, None]).all()
    assert (found[2] == 255).all()


def test_emoji_are_turned_among_the_categories_that_are_named(emoji, monkeypatch):
    """Four of nine, numbered as in the list; all of theirs, and no others."""
    y = np.arange(27) % 9
    images = y.astype(np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 3), np.uint8)
    monkeypatch.setitem(emoji["labelled"].__globals__, "emoji", lambda split, size: (images, y))
    source = emoji["labelled"]("train", 8)
    rows = source.rows(np.arange(source.size))
    assert (source.size, source.classes) == (12, 4)
    assert [emoji["CATEGORIES"][label] for label in rows["y"]] == rows["x"][:, 0, 0, 0].tolist()


@pytest.mark.slow
@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.parametrize("kind", ["pix2pix", "bicyclegan", "cyclegan", "stargan"])
def test_each_setting_of_emoji_translations_acts(emoji, kind, size):
    c = emoji["settings"](kind, size)
    turns = kind == "stargan"
    unused.check(c, program.reads(c, Like((size, size, 3 if turns else 6), 4 if turns else 0)))


def test_both_stages_of_upscaling_have_the_network_whose_size_the_page_says():
    file = runpy.run_path(str(EXPERIMENTS / "upscaling.py"))
    stages = [check(file["config"]()), check(file["second"](Path("l1"), 0))]
    for c in stages:
        g = upscaler(c, (32, 32, 3), None)
        params, _ = jax.eval_shape(g.init, jax.random.key(0), jax.ShapeDtypeStruct((2, 8, 8, 3), float))
        assert f"{sum(leaf.size for leaf in jax.tree.leaves(params)):,} parameters" in " ".join(file["__doc__"].split())
    assert [c.kind for c in stages] == ["upscale", "esrgan"]


@pytest.fixture(scope="module")
def ladder():
    return runpy.run_path(str(EXPERIMENTS / "ladder.py"))


def test_rungs_differ_by_what_they_are_called_alone(ladder):
    """On all data images are 4x4 patches; with the rule the rate times the width is the same, without it the rate."""
    for images in ladder["DATA"].values():
        made = ladder["rungs"](images)
        assert all(images.shape[0] == 4 * getattr(c, c.net).patch for c in made.values())
        assert made["width 32"] == made["noise levels"]
        for width in (16, 64):
            rule, one_rate = made[f"width {width}, rule"], made[f"width {width}, one rate"]
            assert dataclasses.replace(rule, hp=one_rate.hp) == one_rate and rule.width == width
            assert (rule.hp.base_width, one_rate.hp.base_width) == (32.0, 0.0)
            assert dataclasses.replace(rule, width=32) == made["width 32"]


@pytest.mark.slow
@pytest.mark.parametrize("name, paid", [("CAT", "CAT"), ("width 16, rule", "width 64, rule")])
def test_rungs_get_equal_compute_and_widths_equal_steps(ladder, name, paid):
    """The budget, within half a step a look."""
    images = ladder["DATA"]["emoji"]
    c, cost = ladder["equal"](name, images, 5e12), ladder["flops"](ladder["rungs"](images)[paid], images)
    assert abs(c.steps * cost - 5e12) <= images.looks * cost / 2
    assert c.steps == images.looks * c.eval_every
