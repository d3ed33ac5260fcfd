"""A setting changes what is trained, or is refused, or cannot matter: none is ignored in silence."""

import dataclasses
import typing

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fields import CHOICES as CHOICES_OF
from fields import LISTED, OTHER
from jaxgan import checkpoint, config, games, program, step, train, unused
from jaxgan.config import Config, Hp
from jaxgan.data import from_arrays, open_source
from jaxgan.data.holdout import split
from jaxgan.errors import JaxganError
from jaxgan.fields import GROUPS, facts
from jaxgan.losses import LOSSES
from jaxgan.optim import OPTIMIZERS
from jaxgan.options import Patchgan
from jaxgan.solvers import SOLVERS
from kinds import CLASSES, TABLE, configured, started
from runs import Like

# fields that say what the data or the first weights are: they act where these are opened
DATA = {"data", "size", "flip", "holdout", "label", "levels", "balance", "fit", "init", "patch", "channels"}
SHAPE = (2,)
SMALL = {"net": "mlp", "width": 4, "depth": 1, "latent": 2, "batch": 4}
# values that are valid beside SMALL, where OTHER's is not
VALUES = {"augment": ("jitter",), "cr_augment": ("jitter",), "codes": (3,), "pack": 2, "fake_batch": 8}
VALUES |= {"net": "conv1d", "kind": "lrgan", "d_norm": "batch", "g_norm": "batch", "unroll": 1, "pool": 4}


def trained(c, steps=3, classes=0):
    """The digest of three steps from the seed; JaxganError where the configuration is refused."""
    shape = (8, 1) if c.net == "conv1d" else SHAPE
    game, read = games.make(c, shape, classes), set()
    solver = step.watched(SOLVERS[c.solver].step, read.add)
    advance = jax.jit(lambda state, b: step.train_step(game, state, b, solver)[0])
    state = started(c, game, shape)
    for i in range(steps):
        r = np.random.default_rng(i)
        x = r.normal(size=(game.updates, c.batch, *shape)).astype(np.float32)
        y = r.integers(0, max(classes, 1), (game.updates, c.batch)).astype(np.int32)
        given = (state, {"x": jnp.asarray(x), "y": jnp.asarray(y)})
        if not i:  # one trace for both: what is read, and the program
            traced = advance.trace(*given)
            unused.check(c, read)
            advance = traced.lower().compile()
        state = advance(*given)
    fields = checkpoint.to_host(state)
    # the numbers themselves, and the key, are part of a state: only what they make of it counts
    return checkpoint.digest({**fields, "hp": {}, "key": fields["key"] * 0})


@pytest.fixture(scope="module")
def usual():
    return trained(config.from_dict(SMALL))


STATIC = sorted(set(OTHER) - config.NEUTRAL - DATA - {"hp", "seed", "eval"})  # eval's own options are neutral


@pytest.mark.parametrize("name", [*(name for name in STATIC if name != "space"), "seed"])  # test_space.py
def test_a_field_acts_or_is_refused(usual, name):
    value = VALUES.get(name, OTHER[name])
    try:
        assert trained(config.from_dict({**SMALL, name: value})) != usual, f"{name} was ignored in silence"
    except JaxganError as e:
        assert name in str(e)


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(Hp)])
def test_a_number_acts_or_is_refused(usual, name):
    value = {"top_k": 0.5, "alpha": 0.3, "own": 0.0}.get(name, getattr(Hp(), name) + 0.25)
    value = {"b1": 0.25, "b2": 0.5, "lecam_decay": 0.5, "ema_half_life": 0.1}.get(name, value)
    if name == "own":
        return  # a place for a user's penalty: an error says so, whatever else is set
    hp = {name: value, **({"ema_half_life": 2.0} if name == "ema_ramp" else {})}
    base = trained(config.from_dict({**SMALL, "hp": {"ema_half_life": 2.0}})) if name == "ema_ramp" else usual
    more = {"cr_augment": ("jitter",)} if name in ("cr", "cr_fake") else {}
    try:
        assert trained(config.from_dict({**SMALL, **more, "hp": hp})) != base, f"hp.{name} was ignored in silence"
    except JaxganError as e:
        assert name in str(e)


IGNORED = [
    (
        {"loss": "hinge", "hp": {"real_target": 0.9}},
        "belongs to loss minimax, ns, klgan or lsgan, .*loss is hinge; .* 1",
    ),
    ({"loss": "ragan", "hp": {"real_target": 0.9}}, "hp.real_target is 0.9"),
    ({"loss": "rpgan", "hp": {"real_target": 0.9}}, "hp.real_target is 0.9"),
    ({"hp": {"fake_target": 0.1}}, "hp.fake_target is 0.1, .*loss lsgan, and this run's loss is ns"),
    ({"hp": {"g_target": 0.9}}, "hp.g_target"),
    (
        {"loss": "lsgan", "kind": "bigan", "hp": {"g_target": 0.9}},
        "hp.g_target is 0.9, but kind bigan has no use for it",
    ),
    ({"kind": "ebgan", "hp": {"real_target": 0.9}}, "hp.real_target is 0.9, but kind ebgan has no use for it"),
    ({"hp": {"lecam_decay": 0.9}}, "hp.lecam_decay is 0.9, but it belongs to hp.lecam, and this run's hp.lecam is 0;"),
    (
        {"hp": {"margin": 1.0}},
        "hp.margin is 1, but it belongs to kind ebgan, and this run's kind is plain; leave it at 0.1",
    ),
    ({"hp": {"kl": 2.0}}, "hp.kl is 2, but it belongs to kind vae, vaegan or bicyclegan"),
    ({"hp": {"gp_target": 2.0}}, "belongs to hp.wgan_gp or hp.wgan_lp or hp.dragan, .*hp.dragan is 0"),
    ({"hp": {"logan_beta": 2.0}}, "belongs to latent_steps, and this run's latent_steps is 0"),
    ({"kind": "auto", "hp": {"g_class": 2.0}}, "d2dce or kind stargan, .*head is projection and kind is auto"),
    ({"optimizer": "sgd", "hp": {"b1": 0.0}}, "hp.b1 is 0, but it belongs to optimizer adam, .*optimizer is sgd"),
    ({"kind": "vae", "hp": {"d_lr": 0.1}}, "hp.d_lr is 0.1, but kind vae has no use for it"),
    ({"hp": {"consensus": 1.0}}, "hp.consensus.*solver is alternating"),
    ({"lazy": 2}, "lazy is 2, but it belongs to hp.r1 or hp.r2, .* hp.r1 is 0 and hp.r2 is 0; leave it at 1"),
    ({"lazy_g": 2}, "lazy_g is 2.*hp.path_length"),
    ({"codes": (3,)}, "codes is .3,.*infogan"),
    ({"net": "dcgan", "depth": 3}, "depth is 3.*net mlp"),
    ({"cr_augment": ("jitter",)}, "cr_augment.*hp.cr"),
    ({"hp": {"ada_target": 0.6}}, "hp.ada_target is 0.6.*augment ada, blit, .* or ada_cutout.* augment is empty"),
    ({"augment": ("jitter",), "hp": {"augment_p": 0.6}}, "hp.augment_p is 0.6.*augment is jitter; leave it at 0"),
    ({"augment": ("jitter",), "hp": {"color_p": 0.5}}, "hp.color_p is 0.5, but it belongs to augment brightness, "),
    ({"hp": {"ada_images": 1e5}}, "hp.ada_images is 100000.*hp.ada_target is 0 and hp.apa_target is 0"),
    ({"kind": "conditional", "head": "multihinge", "loss": "hinge"}, "loss is 'hinge'.*multihinge"),
    ({"kind": "cyclegan", "latent": 3}, "latent is 3"),
]


@pytest.mark.parametrize(("settings", "message"), IGNORED)
def test_what_cannot_act_is_refused(settings, message):
    shape = (8, 8, 2) if settings.get("net") == "dcgan" else (4,)
    c = config.from_dict({"net": "mlp", "width": 4, "batch": 4, **settings})
    with pytest.raises(JaxganError, match=message):
        unused.check(c, program.reads(c, Like(shape, CLASSES)))


# numbers on whose being above 0 others depend, one at a time; and the rest, but that of tokens, together
HEAVY = ["wgan_gp", "wgan_lp", "dragan", "zcr", "zcr_g", "lecam", "noise"]
LIGHT = [
    name for name, found in facts(Hp).items() if f"hp.{name}" in found.of and name not in [*HEAVY, "own", "alignment"]
]
ON = {"latent_steps": 1, "cr_augment": ("jitter",)}
CHOICES = [
    *({"loss": name} for name in LOSSES if name != "own"),
    *({"solver": name} for name in SOLVERS),
    *({"optimizer": name} for name in OPTIMIZERS),
    *({**ON, "hp": dict.fromkeys(names, 0.5)} for names in [*([name] for name in HEAVY), LIGHT]),
]


def owned(c):
    """Numbers of Hp whose owners, as their fields have them, are in c."""
    return {name for name in facts(Hp) if not unused.reason(c, f"hp.{name}")}


@pytest.mark.parametrize("name", [name for name in TABLE if not name.endswith("-image")])
def test_a_kind_reads_the_numbers_that_belong_to_it(name):
    c, _, shape = configured(name)
    assert program.reads(c, Like(shape, CLASSES)) & set(facts(Hp)) == owned(c)


@pytest.mark.parametrize("settings", CHOICES, ids=lambda s: ",".join(map(str, s.get("hp", s.values()))))
def test_a_number_is_read_exactly_where_an_owner_is_chosen(settings):
    c = config.from_dict({**SMALL, **settings})
    assert program.reads(c, Like(SHAPE, 0)) & set(facts(Hp)) == owned(c)


def test_owners_are_parts_that_there_are():
    names = set(facts(Config)) | {f"hp.{name}" for name in facts(Hp)}
    choices = CHOICES_OF | LISTED | {"patchgan.g": typing.get_args(typing.get_type_hints(Patchgan)["g"])}
    for found in [*facts(Config).values(), *facts(Hp).values()]:
        for owner in {*found.of, *found.never} - set(GROUPS):
            field, *values = owner.split(" ")
            assert field in names and set(values) <= set(choices.get(field, ())), owner


# what a kind has nothing for, by its mathematics, and says so however it is built
REFUSED = {
    "vae": """augment d_norm d_steps fake_batch freeze gradient_norm latent_steps lazy lazy_g lazy_steps loss minibatch
        mlp pack patchgan pool unroll
        clip cr cr_fake d_scale dragan drift feature_matching gp0 lecam logan_dz max_norm noise orthogonal path_length
        r1 r2 spectral top_k wgan_gp wgan_lp zcr zcr_g apa_target
        alignment ar1 ar2 base_width clip_gradient reuse""",  # it has no discriminator
    "infogan": "latent_steps",
    "bigan": "alignment dragan freeze gp0 gradient_norm latent_steps path_length pool wgan_gp wgan_lp zcr zcr_g",
    "aae": "alignment apa_target augment cr cr_fake fake_batch freeze latent_steps path_length pool zcr zcr_g",
    "vaegan": "fake_batch latent_steps pool",
    "gat": "apa_target latent_steps path_length pool zcr zcr_g",
    "cat": "apa_target cr cr_fake latent_steps path_length pool zcr zcr_g",
    **dict.fromkeys(
        ("ebgan", "began"),
        """alignment apa_target d_norm d_scale drift fake_batch freeze gradient_norm lazy_steps loss minibatch mlp
        patchgan""",
    ),
    "pix2pix": "alignment apa_target augment conditional cr cr_fake fake_batch space",
    "cyclegan": "conditional fake_batch freeze feature_matching latent_steps lecam path_length top_k zcr zcr_g space",
    "bicyclegan": "alignment apa_target augment conditional cr cr_fake fake_batch latent_steps pool space",
    "upscale": """apa_target augment conditional d_norm d_steps fake_batch freeze g_norm gradient_norm latent_steps lazy
        lazy_g lazy_steps loss minibatch mlp pack pool unroll
        clip cr cr_fake d_scale dragan drift feature_matching gp0 lecam logan_dz max_norm noise orthogonal path_length
        r1 r2 spectral top_k wgan_gp wgan_lp zcr zcr_g
        alignment ar1 ar2 base_width clip_gradient patchgan reuse space""",  # it has no discriminator
    "esrgan": "conditional fake_batch g_norm latent_steps path_length pool zcr zcr_g space",
    "stargan": "fake_batch latent_steps path_length pool zcr zcr_g space",
}


@pytest.mark.parametrize("kind", sorted(games.KINDS))
def test_a_kind_refuses_what_it_has_nothing_for(kind):
    """And nothing else: `KINDS[kind].lacks` and the fields' `needs` against a list that was written before either."""
    usual, found = {"net": "mlp", "width": 4, "kind": kind, "batch": 4}, set()
    other = {name: VALUES.get(name, OTHER[name]) for name in STATIC if name != "kind"}
    for name, value in [*other.items(), *(("hp", {n: 0.5}) for n in facts(Hp) if n not in ("own", "b1"))]:
        try:
            games.make(config.from_dict({**usual, name: value}), (4, 4, 2), CLASSES)
        except JaxganError as e:
            if "no use for" in str(e):
                found |= set(value) if name == "hp" else {name}
    assert found == set(REFUSED.get(kind, "").split())


def test_a_weight_of_0_switches_off_and_is_not_refused():
    c, _, shape = configured("cyclegan", latent=64, hp={"identity": 0.0})
    assert "identity" not in program.reads(c, Like(shape, CLASSES))
    unused.check(c, program.reads(c, Like(shape, CLASSES)))


def test_an_old_run_goes_on_with_what_it_ignored(tmp_path):
    """A version that did not look has trained it: it resumes, and samples, as it was."""
    from jaxgan import run_folder, train

    source = from_arrays(np.random.default_rng(0).normal(size=(32, 2)).astype(np.float32))
    c = config.from_dict({**SMALL, "loss": "hinge", "data": "arrays", "steps": 2, "hp": {"real_target": 0.9}})
    with pytest.raises(JaxganError, match=r"hp.real_target is 0\.9"):
        train.run(c, tmp_path / "new", source, quiet=True)
    assert not (tmp_path / "new").exists()
    with run_folder.entered(tmp_path / "old", c, source):
        pass
    assert int(train.run(c, tmp_path / "old", source, quiet=True).state.step) == 2


def test_fields_of_the_data_act_where_it_is_opened():
    """size and flip change what is drawn, and densities refuse them; holdout leaves less to train on."""

    def seen(**fields):
        source = open_source("mnist5k", **fields)
        return np.asarray(source.finish(source.rows(np.arange(8)), jax.random.split(jax.random.key(0), 8))["x"])

    assert seen().shape != seen(size=16).shape
    assert (seen() != seen(flip=True)).any()
    for fields in ({"size": 16}, {"flip": True}):
        with pytest.raises(JaxganError, match="leave size and flip unset"):
            open_source("ring8", **fields)
    source = from_arrays(np.zeros((20, 2), np.float32))
    assert [part.size for part in split(source, 5)] == [15, 5]


def test_what_a_new_run_reads_is_noted_while_its_program_is_made(tmp_path, monkeypatch):
    """One trace serves the check of its numbers and the run; a second one would cost a tenth of the start."""
    traces, traced = [], step.train_step
    monkeypatch.setattr(step, "train_step", lambda *given: traces.append(1) or traced(*given))
    small = {"data": "ring8", "net": "mlp", "width": 4, "depth": 1, "latent": 2, "batch": 8, "sample_every": 0}
    train.run(config.from_dict({**small, "steps": 2}), tmp_path / "run", quiet=True)
    assert len(traces) == 1
    with pytest.raises(JaxganError, match=r"hp\.lookahead_every is 3"):  # and is what refuses a number that is not read
        vain = config.from_dict({**small, "hp": {"lookahead_every": 3.0}})
        train.run(vain, tmp_path / "no", quiet=True)
    assert len(traces) == 2 and not (tmp_path / "no").exists()
