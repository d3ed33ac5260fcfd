"""Settings, members, ids and groups: what a sweep is, before anything trains."""

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxgan.config import NEUTRAL, Config, Hp
from jaxgan.errors import JaxganError
from jaxgan.fields import facts
from jaxgan.games.terms import D_TERMS, G_TERMS, active
from jaxgan.sweep import choice, grid, log_uniform, product, sampled, seeds, space, uniform, zipped

BASE = Config(net="mlp", data="ring8")
numbers = st.floats(0, 0.9).map(lambda x: round(x, 6))
SETTING = st.fixed_dictionaries(
    {},
    optional={
        "loss": st.sampled_from(["ns", "hinge", "lsgan"]),
        "width": st.integers(1, 4),
        "seed": st.integers(0, 3),
        "hp.g_lr": numbers,
        "hp.r1": st.sampled_from([0.0, 0.1, 1.0]),
        "hp.clip": st.sampled_from([0.0, 0.01]),
    },
)


def test_grid_zip_and_product_by_hand():
    assert grid({"hp.g_lr": [1, 2]}, loss=["ns", "hinge"]) == [
        {"hp.g_lr": 1, "loss": "ns"},
        {"hp.g_lr": 1, "loss": "hinge"},
        {"hp.g_lr": 2, "loss": "ns"},
        {"hp.g_lr": 2, "loss": "hinge"},
    ]
    assert zipped(width=[8, 16], depth=[1, 2]) == [{"width": 8, "depth": 1}, {"width": 16, "depth": 2}]
    assert product(grid(width=[8]), seeds(2)) == [{"width": 8, "seed": 0}, {"width": 8, "seed": 1}]
    assert grid() == product() == [{}]
    assert grid(width=[]) == seeds(0) == []


@given(st.lists(SETTING, max_size=4), st.lists(st.integers(0, 9), max_size=3))
def test_a_product_has_every_pair_once(settings, depths):
    found = product(settings, grid(depth=depths))
    assert len(found) == len(settings) * len(depths)
    assert found == [{**one, "depth": d} for one in settings for d in depths]


def test_samples_depend_on_seed_number_and_name_alone():
    d = log_uniform(1e-5, 1e-2)
    many = sampled(20, 7, g_lr=d, loss=choice("ns", "hinge"))
    assert [one["g_lr"] for one in many[:5]] == [one["g_lr"] for one in sampled(5, 7, {"g_lr": d})]
    assert many != sampled(20, 8, g_lr=d, loss=choice("ns", "hinge"))
    assert {one["loss"] for one in many} == {"ns", "hinge"}


def test_names_are_sampled_apart():
    """Two names with one distribution draw other numbers, not the same ones."""
    both = sampled(8, 0, g_lr=uniform(0, 1), d_lr=uniform(0, 1))
    assert all(row["g_lr"] != row["d_lr"] for row in both)


def test_samples_follow_their_distributions():
    """Kolmogorov's bound at 1e-6: sup |F_n - F| < sqrt(log(2e6) / 2n); seeds are fixed, so this holds or does not."""
    n = 2000
    found = sampled(n, 0, a=uniform(-1, 3), b=log_uniform(1e-4, 1))
    for name, cdf in (("a", lambda x: (x + 1) / 4), ("b", lambda x: 1 + math.log10(x) / 4)):
        u = np.sort([cdf(one[name]) for one in found])
        assert np.abs(u - (np.arange(n) + 0.5) / n).max() < math.sqrt(math.log(2e6) / (2 * n))


@given(SETTING, SETTING)
def test_ids_tell_members_apart_and_nothing_else(a, b):
    x, y = space.member(BASE, a), space.member(BASE, b)
    assert (space.identity(x) == space.identity(y)) == (x == y)
    neutral = dataclasses.replace(x, steps=7, log_every=3, keep=9, feed="device", chunk=2)
    assert space.identity(neutral) == space.identity(x)


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(Hp)])
def test_every_number_is_part_of_an_id(name):
    value = getattr(BASE.hp, name) * 0.5 + 0.13
    assert space.identity(dataclasses.replace(BASE, hp=Hp(**{name: value}))) != space.identity(BASE)


def test_ids_survive_new_fields_and_spelling():
    """An id is a promise to folders on disk: it changes with none of a field's spellings, and with no version."""
    assert space.identity(Config()) == "44136fa355"  # SHA-256 of {}
    spellings = [{"hp.g_lr": 1e-3}, {"g_lr": 0.001}, {"hp.g-lr": 1e-3}]
    assert len(space.expand(BASE, spellings)) == 1
    assert space.expand(BASE, [{"hp.r1": 1}]).keys() == space.expand(BASE, [{"hp.r1": 1.0}]).keys()


def test_members_have_the_values_and_the_rest_of_the_base():
    (one,) = space.expand(BASE, [{"g_lr": 1e-3, "loss": "hinge", "seed": 5}] * 2).values()
    assert one[0] == {"hp.g_lr": 1e-3, "loss": "hinge", "seed": 5}
    assert one[1] == dataclasses.replace(BASE, loss="hinge", seed=5, hp=Hp(g_lr=1e-3))


@given(st.lists(SETTING, min_size=1, max_size=12))
def test_a_group_is_one_program(settings):
    """Each member is in one group; within it only seed and numbers differ, and the same penalties are on."""
    configs = {id: c for id, (_, c) in space.expand(BASE, settings).items()}
    groups = space.groups(configs)
    assert sorted(id for _, ids in groups for id in ids) == sorted(configs)
    assert len({json.dumps(key) for key, _ in groups}) == len(groups)
    for key, ids in groups:
        first = configs[ids[0]]
        for c in map(configs.get, ids):
            assert space.static(c) == key
            assert dataclasses.replace(c, seed=first.seed, hp=first.hp) == first
            assert [*active(c, D_TERMS | G_TERMS)] == [*active(first, D_TERMS | G_TERMS)]
            assert (c.hp.clip > 0) == (first.hp.clip > 0)


def test_numbers_that_are_on_by_default_make_groups_where_they_are_off():
    """A weight of ESRGAN's, which version 0.1.0 had not: a group's key names it only where it is 0."""
    one, other, off = (space.static(space.member(BASE, v)) for v in ({}, {"hp.pixel": 3.0}, {"hp.pixel": 0.0}))
    assert one == other and "off" not in one
    assert off == {**one, "off": ["pixel"]}


def test_learning_rates_betas_and_seeds_share_a_program_and_a_penalty_does_not():
    settings = [{"g_lr": 0.0}, {"g_lr": 1.0}, {"b1": 0.0}, {"seed": 3}, {"hp.r1": 0.5}, {"hp.r1": 2.0}, {"clip": 0.1}]
    configs = {id: c for id, (_, c) in space.expand(BASE, settings).items()}
    assert [len(ids) for _, ids in space.groups(configs)] == [4, 2, 1]
    shares = {id: c for id, (_, c) in space.expand(BASE, [{"top_k": k} for k in (1.0, 0.9, 0.5)]).items()}
    assert [len(ids) for _, ids in space.groups(shares)] == [1, 2], "all of them is another program than some"


def test_words_of_the_command_line():
    found = space.parse_grid(["hp.g_lr=1e-4,2e-4", "loss=ns", "flip=True,false", "width=8"])
    assert found == grid({"hp.g_lr": [1e-4, 2e-4], "loss": ["ns"], "flip": [True, False], "width": [8]})


BAD = [  # what is wrong, and what the message must name
    (lambda: space.expand(BASE, [{"los": "ns"}]), "'los'. Did you mean 'loss'"),
    (lambda: space.expand(BASE, [{"hp.g_lrr": 1}]), "'hp.g_lrr'. Did you mean 'g_lr'"),
    (lambda: space.expand(BASE, [{"hp": {}}]), "no field 'hp'"),
    (lambda: space.expand(BASE, [{"steps": 100}]), "steps cannot be swept.*--steps"),
    (lambda: space.expand(BASE, [{"log_every": 100}]), "log_every cannot be swept.*--log-every"),
    (lambda: space.expand(BASE, [{"loss": "hing"}]), "{'loss': 'hing'}.*Did you mean 'hinge'"),
    (lambda: space.expand(BASE, [{"g_lr": -1.0}]), "hp.g_lr is -1.0"),
    (lambda: space.expand(BASE, [{"g_lr": 1.0, "hp.g_lr": 2.0}]), "names a field twice"),
    (lambda: space.expand(BASE, ["ns"]), "it holds 'ns'"),
    (lambda: grid(loss="ns"), r"loss is 'ns'; expected a list of values: \['ns'\]"),
    (lambda: grid(width=8), "width is 8; expected a list"),
    (lambda: zipped(width=[1, 2], depth=[1]), "width: 2, depth: 1"),
    (lambda: product(grid(width=[1]), grid(width=[2])), "width is set by two"),
    (lambda: sampled(2, 0, g_lr=[1, 2]), "g_lr is .1, 2.; expected uniform"),
    (lambda: log_uniform(0, 1), "above 0; use uniform"),
    (lambda: uniform(2, 1), "lower bound comes first"),
    (lambda: choice(), "nothing to choose from"),
    (lambda: space.parse_grid(["loss"]), "--grid loss: expected NAME=VALUE"),
    (lambda: space.parse_grid(["loss=ns,,hinge"]), "expected NAME=VALUE"),
    (lambda: space.parse_grid(["g_lr=1", "hp.g_lr=2"]), "names hp.g_lr twice"),
]


@pytest.mark.parametrize("wrong, message", BAD, ids=[message[:20] for _, message in BAD])
def test_bad_settings_name_what_to_mend(wrong, message):
    with pytest.raises(JaxganError, match=message):
        wrong()


def test_every_neutral_field_is_a_field():
    assert set(facts(Config)) >= NEUTRAL
