"""ADA's and APA's probabilities: they follow the mean sign of D's logits, in a resumed run and on any devices too."""

import dataclasses
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import runs
from jaxgan import config, games, log, program, rng, unused
from jaxgan.config import Hp
from jaxgan.errors import JaxganError
from jaxgan.games import control
from jaxgan.games.terms import Side, Sides
from kinds import played
from runs import Like, assert_same_bits

BASE = {"net": "mlp", "width": 8, "latent": 2, "batch": 8}
ADA = {**BASE, "augment": ("noise",)}
BOTH = config.from_dict({**ADA, "hp": {"ada_target": 0.6, "apa_target": 0.1, "ada_images": 100.0}})
FIRST = {"clock": {"updates": jnp.int32(0)}, **{name: {"p": 0.0, "signs": 0.0} for name in ("ada", "apa")}}
HP = {"ada_target": 0.6, "apa_target": 0.1, "ada_images": 100.0}


@jax.jit
def after(vars, logits):
    play = played(d_real=logits, d_fake=-logits, vars=vars, hp=HP, config=BOTH)
    return control.counted(play, vars)


def test_a_probability_follows_the_mean_sign():
    """Of four updates each, by 4 * 8 / 100, and never out of [0, 1]: up to 1, and down to 0."""
    r = np.random.default_rng(0)
    shares = np.repeat([1.0, 0.7, 0.0], [16, 16, 20])  # of real examples with a logit above 0: signs 1, 0.4, -1
    logits = np.where(r.random((52, 8)) < shares[:, None], 1, -1) * r.uniform(0.1, 3, (52, 8))
    vars, seen, expected = FIRST, [], []
    p = {"ada": 0.0, "apa": 0.0}
    for i, row in enumerate(logits.astype(np.float32)):
        if i and i % 4 == 0:
            mean = np.sign(logits[i - 4 : i]).mean()
            p = {name: np.clip(p[name] + 0.32 * np.sign(mean - HP[f"{name}_target"]), 0, 1) for name in p}
        vars, metrics = after(vars, row)
        seen.append([metrics[column] for column in ("augment_p", "pseudo_p", "d_sign")])
        expected.append([p["ada"], p["apa"], np.sign(row).mean()])
    np.testing.assert_allclose(seen, expected, atol=1e-6)
    highest = np.max(seen, 0)[:2]
    np.testing.assert_array_equal(highest, [1, 1])
    assert seen[-1][:2] == [0, 0] and vars["clock"]["updates"] == 52
    assert not np.allclose(*np.transpose(seen)[:2]), "each has a target of its own"


def sides(n=400):
    x = jnp.arange(n, dtype=jnp.float32)[:, None]
    return Sides(Side(x, jnp.zeros(n, int)), Side(-1 - x, jnp.ones(n, int)), None)


def shown(p, axis=None, real=None):
    vars = {**FIRST, "apa": {"p": p, "signs": 0.0}}
    found = control.deceived(BOTH, real or sides(), vars, rng.root(0), HP, axis).real
    return np.asarray(found.x[:, 0]) if axis is None else found.x[:, 0], found.y


def test_apa_exchanges_examples_of_a_row_with_their_labels():
    real, fake = np.arange(400), -1 - np.arange(400)
    np.testing.assert_array_equal(shown(0.0)[0], real)
    np.testing.assert_array_equal(shown(1.0)[0], fake)
    x, y = shown(0.3)
    np.testing.assert_array_equal(x, np.where(y, fake, real))
    assert abs(y.mean() - 0.3) < 5 * np.sqrt(0.3 * 0.7 / 400)


def test_devices_pool_their_signs_and_share_their_coins():
    """Four devices as one: an axis of vmap is to a program what one of pmap is."""
    split = lambda x: x.reshape(4, -1, *x.shape[1:])  # noqa: E731
    logits = jnp.asarray(np.random.default_rng(0).normal(size=8), jnp.float32)
    vars, _ = after(FIRST, logits)

    def one(logits):
        return control.counted(played(d_real=logits, d_fake=logits, vars=FIRST, hp=HP, config=BOTH, axis="d"), FIRST)[0]

    for value, each in zip(jax.tree.leaves(vars), jax.tree.leaves(jax.vmap(one, axis_name="d")(split(logits)))):
        np.testing.assert_allclose(np.broadcast_to(each, 4), value, rtol=1e-6)
    deceived = jax.vmap(lambda real: shown(0.3, axis="d", real=real)[0], axis_name="d")(jax.tree.map(split, sides()))
    np.testing.assert_array_equal(deceived.reshape(-1), shown(0.3)[0])


def test_micro_batches_pool_their_signs():
    """What is left after an update is the mean over its micro-batches, as step.accumulated takes it."""
    logits = np.random.default_rng(0).normal(size=16).astype(np.float32)
    vars = {**FIRST, "clock": {"updates": jnp.int32(6)}, "ada": {"p": 0.3, "signs": 0.7}}
    whole, *parts = (after(vars, x)[0] for x in (logits, logits[:8], logits[8:]))
    for value, *each in zip(*map(jax.tree.leaves, (whole, *parts)), strict=True):
        np.testing.assert_allclose(value, np.mean(each), rtol=1e-6)


def test_a_resumed_run_goes_on_with_its_probabilities(tmp_path):
    """The same bits after 12 steps, stopped at 8 or not; and probabilities that its signs explain."""
    hp = Hp(d_lr=0.02, ada_target=0.4, apa_target=0.2, ada_images=200.0)
    c = dataclasses.replace(runs.BASE, kind="plain", augment=("blit",), d_steps=1, log_every=1, hp=hp)
    straight = runs.trained(tmp_path / "straight", c)
    shutil.copytree(tmp_path / "straight", tmp_path / "resumed")
    (last,) = (tmp_path / "resumed/checkpoints").glob("*12")
    shutil.rmtree(last)
    assert_same_bits(straight, runs.trained(tmp_path / "resumed", c))
    column = {row["step"]: row for row in log.read(tmp_path / "resumed/metrics.jsonl") if "augment_p" in row}
    p = {"augment_p": 0.0, "pseudo_p": 0.0}
    for step in range(1, 13):
        if step in (5, 9):
            mean = np.mean([column[i]["d_sign"] for i in range(step - 4, step)])
            targets = {"augment_p": 0.4, "pseudo_p": 0.2}
            p = {name: np.clip(p[name] + 0.16 * np.sign(mean - targets[name]), 0, 1) for name in p}
        np.testing.assert_allclose([column[step][name] for name in p], [*p.values()], atol=1e-6)
    assert max(p.values()) > 0, "one of them has moved, or this shows little"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "augment has noise, which act with probability hp.augment_p, and that is 0; set it.*or hp.ada_target"),
        ({"loss": "rpgan", "hp": {"ada_target": 0.6}}, "hp.ada_target is a mean sign.*under loss 'rpgan'.*ns or hinge"),
        ({"loss": "ragan", "augment": (), "hp": {"apa_target": 0.6}}, "hp.apa_target is a mean sign.*'ragan'"),
        ({"fake_batch": 4, "augment": (), "hp": {"apa_target": 0.6}}, "as many of each; got batch=8 and fake_batch=4"),
    ],
)
def test_a_probability_without_a_value_or_a_sign_is_refused(settings, message):
    with pytest.raises(JaxganError, match=message):
        games.make(config.from_dict({**ADA, **settings}), (8, 8, 1))


def test_numbers_are_read_where_they_act():
    """R3GAN's pipe: a probability that falls, half of it for colours; a target in its place reads no probability."""
    pipe = {**BASE, "loss": "rpgan", "augment": ("ada", "ada_cutout")}
    for settings, read in (
        ({**pipe, "hp": {"augment_p": "0.3:0:1e6", "augment_color": 0.5}}, {"augment_p", "augment_color"}),
        ({**pipe, "loss": "ns", "hp": {"ada_target": 0.6}}, {"ada_target", "ada_images", "augment_color"}),
        ({**BASE, "hp": {"apa_target": 0.6}}, {"apa_target", "ada_images"}),
        ({**BASE, "augment": ("flip", "contrast"), "hp": {"flip_p": 0.4, "color_p": 0.5}}, {"flip_p", "color_p"}),
    ):
        c = config.from_dict(settings)
        found = program.reads(c, Like((8, 8, 3), 0))
        assert {name for name in found if name.startswith(("augment", "ada", "apa", "flip", "color"))} == read
        unused.check(c, found)
    both = config.from_dict({**ADA, "hp": {"augment_p": 0.2, "ada_target": 0.6}})
    with pytest.raises(JaxganError, match=r"hp.augment_p is 0.2, but hp.ada_target 0.6 has no use for it"):
        unused.check(both, program.reads(both, Like((8, 8, 3), 0)))
