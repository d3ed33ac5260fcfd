"""A configuration survives JSON, and a wrong one is refused with the field, the value and the remedy."""

import dataclasses
import json
import math
import subprocess
import sys

import pytest

from fields import CHOICES, FIELDS, HP, KINDS, OTHER
from jaxgan import config
from jaxgan.config import Config, Hp
from jaxgan.errors import JaxganError, nearest
from jaxgan.fields import records
from jaxgan.options import Architecture

AT_LEAST_1 = [
    "width",
    "depth",
    "batch",
    "accumulate",
    "steps",
    "d_steps",
    "g_steps",
    "log_every",
    "checkpoint_every",
    "keep",
    "pack",
    "lazy",
    "lazy_g",
    "max_pixels",
    "factor",
]
AT_LEAST_0 = [
    "channels",
    "latent",
    "patch",
    "holdout",
    "fake_batch",
    "pool",
    "chunk",
    "sample_every",
    "diagnose_every",
    "eval_every",
    "latent_steps",
    "unroll",
    "minibatch",
]
# what a run may be resumed with: none of these reaches the compiled mathematics
NEUTRAL = {
    *(
        "steps",
        "data_dir",
        "feed",
        "parallel",
        "chunk",
        "log_every",
        "sample_every",
        "checkpoint_every",
        "keep",
        "diagnose_every",
    ),
    *("writers", "skip_corrupt", "max_pixels", "accumulate", "remat", "profile"),
    *("eval_every", "eval.metrics", "eval.features", "eval.n", "eval.best"),
}


def refused(values, *parts):
    with pytest.raises(JaxganError) as e:
        config.from_dict(values)
    for part in parts:
        assert part in str(e.value)
    return str(e.value)


def test_every_field_survives_json(tmp_path):
    hp = Hp(**{name: (i + 1) / 64 for i, name in enumerate(HP)})
    c = Config(**{**OTHER, "hp": hp})
    assert all(getattr(c, name) != getattr(Config(), name) for name in FIELDS)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config.to_dict(c)))
    assert config.load(path) == c
    assert hash(config.load(path)) == hash(c), "a static argument of jit has to be hashable"


def test_what_is_left_out_keeps_its_default():
    assert config.from_dict({}) == Config()
    assert config.from_dict({"width": 8, "hp": {"r1": 2.0}}) == Config(width=8, hp=Hp(r1=2.0))


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ({"widht": 3}, ("'widht'", "Did you mean 'width'?")),
        ({"learning": 3}, ("unknown field 'learning'", "of Config")),
        ({"hp": {"g_rl": 1.0}}, ("'g_rl'", "of Hp", "Did you mean 'g_lr'?")),
        ({"g_lr": 1.0}, ("unknown field 'g_lr'",)),
        ({"loss": "hings"}, ("loss is 'hings'", "Did you mean 'hinge'?")),
        ({"writers": "wandb"}, ("writers is 'wandb'", "a list")),
        ({"writers": 3}, ("writers is 3", "a list")),
        ({"writers": ["wandb", "tensorbord"]}, ("writers is 'tensorbord'", "Did you mean 'tensorboard'?")),
        ({"hp": None}, ("hp is None", "Hp")),
        ({"hp": 3}, ("hp is 3", "Hp")),
        ({"hp": {"r1": "1"}}, ("hp.r1 is '1'", "float")),
        ({"hp": {"r1": True}}, ("hp.r1 is True", "float")),
        ({"hp": {"r1": None}}, ("hp.r1 is None", "float")),
        ({"hp": {"r1": 10**400}}, ("hp.r1 is", "finite")),
        ({"hp": {"b1": 1.0}}, ("hp.b1 is 1.0", "below 1")),
        ({"hp": {"b2": 1}}, ("hp.b2 is 1.0", "below 1")),
        ({"hp": {"lecam_decay": 1}}, ("hp.lecam_decay is 1.0", "below 1")),
        ({"hp": {"top_k": 0}}, ("hp.top_k is 0.0", "above 0")),
        ({"hp": {"top_k": 2}}, ("hp.top_k is 2.0", "at most 1")),
        ({"hp": {"alpha": 1}}, ("hp.alpha is 1.0", "below 1")),
        ({"hp": {"alpha": 0}}, ("hp.alpha is 0.0", "above 0")),
        ({"augment": ["flip", "cutot"]}, ("augment is 'cutot'", "Did you mean 'cutout'?")),
        ({"seed": -1}, ("seed is -1", "4294967295")),
        ({"seed": 2**32}, ("seed is 4294967296", "4294967295")),
        ({"data": 3}, ("data is 3", "str")),
        ({"flip": 1}, ("flip is 1", "bool")),
        ({"steps": "100"}, ("steps is '100'", "int")),
    ],
)
def test_wrong_values(values, parts):
    refused(values, *parts)


@pytest.mark.parametrize("name", sorted(CHOICES))
def test_choices(name):
    message = refused({name: "nonsense-of-no-kind"}, f"{name} is ")
    assert all(choice in message for choice in CHOICES[name])
    refused({name: None}, f"{name} is None")
    refused({name: ["plain"]}, f"{name} is ")
    for choice in CHOICES[name]:
        assert getattr(config.from_dict({name: choice}), name) == choice


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind is int])
def test_integers(name):
    for wrong in (1.5, 2.0, True, "2", None):
        refused({name: wrong}, f"{name} is {wrong!r}", "int")
    least = 1 if name in AT_LEAST_1 else 0
    assert name in (*AT_LEAST_1, *AT_LEAST_0, "seed")
    assert getattr(config.from_dict({name: least}), name) == least
    refused({name: least - 1}, f"{name} is {least - 1}")


@pytest.mark.parametrize("name", HP)
def test_numbers(name):
    signed = name in ("real_target", "fake_target", "g_target")
    for wrong in (math.nan, math.inf, -math.inf, *([] if signed else [-1.0, -1e-30])):
        refused({"hp": {name: wrong}}, f"hp.{name} is {wrong}")
    if name == "alpha":
        return  # no whole number is allowed
    whole = 1 if name in ("top_k", "d_scale", "ada_images", "level_signal") else 0
    c = config.from_dict({"hp": {name: whole}})
    assert getattr(c.hp, name) == whole and type(getattr(c.hp, name)) is float, "a whole number is taken as a float"
    if signed:
        assert getattr(config.from_dict({"hp": {name: -1}}).hp, name) == -1.0


def test_check_judges_configs_that_were_made_directly():
    assert config.check(Config(hp=Hp(r1=1))).hp.r1 == 1.0
    assert type(config.check(Config(hp=Hp(r1=1))).hp.r1) is float
    for c, part in (
        (Config(batch=0), "batch is 0"),
        (Config(hp={"r1": -1.0}), "hp.r1"),
        (Config(hp=None), "hp is None"),
    ):
        with pytest.raises(JaxganError, match=part):
            config.check(c)


def test_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().width = 3
    with pytest.raises(dataclasses.FrozenInstanceError):
        Hp().r1 = 3.0


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_differences_are_what_moves_the_trajectory(name):
    c = dataclasses.replace(Config(), **{name: OTHER[name]})
    told = config.differences(Config(), c)
    if name in NEUTRAL or name == "eval":  # whose options all are
        assert told == []
    elif name == "hp":
        assert told == ["hp.g_lr: 0.0002 -> 0.125"]
    elif name in records(Config):
        assert (
            told
            == {
                "mlp": ["mlp.pieces: 1 -> 3"],
                "sngan": ["sngan.wide: False -> True"],
                "r3gan": ["r3gan.blocks: 2 -> 3"],
                "r3gan2": ["r3gan2.blocks: 4 -> 3"],
                "rrdb": ["rrdb.blocks: 23 -> 3"],
                "biggan": ["biggan.deep: False -> True"],
                "progan": ["progan.base: 16384 -> 64"],
                "stylegan2": ["stylegan2.mapping: 8 -> 2"],
                "patchgan": ["patchgan.layers: 3 -> 2"],
                "gat": ["gat.depth: 12 -> 24"],
                "cat": ["cat.depth: 24 -> 32"],
                "spatial": ["spatial.halvings: 2 -> 3"],
            }[name]
        )
    else:
        assert told == [f"{name}: {getattr(Config(), name)!r} -> {OTHER[name]!r}"]


def test_neutral_fields_are_these():
    assert config.NEUTRAL == NEUTRAL, (
        "a field became neutral, or ceased to be: may a run be resumed with another value?"
    )


@pytest.mark.parametrize("text", ["{", "", "\x00", "[1, 2]", "3", "null", '{"width": }'])
def test_a_file_that_is_no_config(tmp_path, text):
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(JaxganError, match=r"config\.json"):
        config.load(path)


def test_a_file_that_is_no_text(tmp_path):
    path = tmp_path / "config.json"
    path.write_bytes(b"\xff\xfe{}")
    with pytest.raises(JaxganError, match="not readable JSON"):
        config.load(path)


def test_nearest():
    assert nearest("widht", ["depth", "width"]) == " Did you mean 'width'?"
    assert nearest("zzz", ["depth", "width"]) == ""


def test_every_field_has_a_docstring_for_help():
    import ast
    import inspect

    nested = {*records(Config), "hp"}
    for cls, inherited in (
        (Config, len(dataclasses.fields(Architecture))),
        (Architecture, 0),
        (Hp, 0),
        *((record, 0) for record in records(Config).values()),
    ):
        body = ast.parse(inspect.getsource(cls)).body[0].body
        fields = [node for node in body if isinstance(node, ast.AnnAssign)]
        assert len(fields) == len(dataclasses.fields(cls)) - inherited
        for node in fields:
            after = body[body.index(node) + 1 :]
            assert node.target.id in nested or (isinstance(after[0], ast.Expr) and len(after[0].value.value) > 10)


def test_config_needs_no_jax():
    code = "import sys, jaxgan.config, jaxgan.errors; jaxgan.config.from_dict({}); print('jax' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "False", result.stderr


def test_a_configuration_prints_as_the_call_that_makes_it():
    from jaxgan.options import Sngan

    c = Config(net="sngan", width=3, sngan=Sngan(wide=True), hp=Hp(r1=0.5))
    assert repr(c) == "Config(net='sngan', sngan=Sngan(wide=True), width=3, hp=Hp(r1=0.5))"
    assert eval(repr(c)) == c and repr(Config()) == "Config()"


def test_data_are_found_from_anywhere(tmp_path, monkeypatch):
    """A set that datasets saved lies in a folder, and others have the names of the hub."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "set").mkdir()
    for name, found in {
        "folder:x": f"folder:{tmp_path}/x",
        "pairs:x:test": f"pairs:{tmp_path}/x:test",
        "hf:set": f"hf:{tmp_path}/set",
        "hf:set:train": f"hf:{tmp_path}/set:train",
        "hf:cifar10:train": "hf:cifar10:train",
        "tfds:set": "tfds:set",
        "ring8": "ring8",
    }.items():
        assert config.placed_data(name) == found
