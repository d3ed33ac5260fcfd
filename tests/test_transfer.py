"""A run that begins with another's weights takes what fits, begins anew with all else, and is replayed bit for bit."""

import dataclasses
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgan
from jaxgan import cli, config, games, nets, train, transfer, unused
from jaxgan.config import Config, from_dict
from jaxgan.data import from_arrays
from jaxgan.errors import JaxganError
from jaxgan.run import Run
from jaxgan.state import advance, initial
from jaxgan.sweep import group, store
from jaxgan.verify import verify
from runs import BASE, assert_same_bits, digest, digests, source, trained

NEXT = dataclasses.replace(BASE, seed=7, steps=4)


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A run of 12 steps, with checkpoints of 4, 8 and 12."""
    return trained(tmp_path_factory.mktemp("first") / "run")


def begun(c, run, shape=(6, 6, 1), classes=3, say=lambda text: None):
    game = games.make(c, shape, classes)
    given = transfer.given(c, run)
    new = initial(game, c, shape)
    return new, transfer.first(game, c, shape, new, given, say)


def named(tree):
    return {jax.tree_util.keystr(path): np.asarray(x) for path, x in jax.tree.leaves_with_path(tree)}


def assert_equal(a, b):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


@pytest.mark.parametrize("solver", ["alternating", "lookahead"])
def test_weights_and_averages_are_the_others_and_all_else_is_new(first, solver):
    c = dataclasses.replace(NEXT, init="RUN", solver=solver)
    fresh, state = begun(c, first)
    assert_equal(named(state.params), named(first.state.params))
    assert_equal(named(state.ema), named(first.state.ema))
    assert any((named(first.state.ema["g"]["params"])[n] != x).any() for n, x in named(state.params["g"]).items())
    for part in ("step", "key", "hp", "opt"):
        assert_equal(named(jax.tree.map(raw, getattr(state, part))), named(jax.tree.map(raw, getattr(fresh, part))))
    if solver == "lookahead":  # whose slow weights are those that it begins with
        slow = [x for name, x in named(state.memory).items() if name.endswith("['kernel']")]
        assert {x.tobytes() for x in slow} <= {x.tobytes() for x in named(state.params).values()}


def raw(x):
    return jax.random.key_data(x) if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key) else x


@pytest.mark.parametrize(
    ("shape", "classes", "new"),
    [
        ((6, 6, 1), 5, {"g": {"Embed_0.table 5x32, there 3x32"}, "d": {"Head_0.Embed_0.table 5x16, there 3x16"}}),
        ((8, 8, 1), 3, {"g": {"Dense_2.kernel 16x64, there 16x36"}, "d": {"Dense_0.kernel 64x16, there 36x16"}}),
    ],
    ids=["classes", "size"],
)
def test_what_does_not_fit_is_new_and_said(first, shape, classes, new):
    lines = []
    fresh, state = begun(dataclasses.replace(NEXT, init="RUN"), first, shape, classes, lines.append)
    old, own = named(first.state.params), named(fresh.params)
    for name, x in named(state.params).items():
        fits = x.shape == old[name].shape
        np.testing.assert_array_equal(x, old[name] if fits else own[name], err_msg=name)
    said = dict(line.strip().split(": ", 1) for line in lines[1:])
    assert lines[0].startswith("weights of RUN, step 12 (digest ") and set(said) == {"g", "d"}
    for net, words in new.items():
        assert all(word in said[net] for word in words), said
        count = sum(x.shape == old[n].shape for n, x in named(state.params).items() if n.startswith(f"['{net}']"))
        total = sum(n.startswith(f"['{net}']") for n in own)
        assert 0 < count < total and said[net].startswith(f"{count} of {total} arrays taken, ")


def test_pools_controls_and_reference_batches_are_not_taken():
    """They hold the other run's data, or how far it was."""
    c = Config(kind="plain", net="mlp", width=4, latent=2, batch=4, d_norm="virtual", pool=4, init="RUN")
    shape = (2,)
    game = games.make(c, shape)
    other = initial(game, dataclasses.replace(c, seed=5), shape)
    other = dataclasses.replace(other, vars=jax.tree.map(lambda x: x + x.dtype.type(1), other.vars))
    fresh, state = begun(c, Run(c, other, {"shape": [2], "classes": 0}), shape, 0)
    assert_equal(named(state.vars), named(fresh.vars))
    assert_equal(named(state.params), named(other.params))


def test_batch_statistics_go_with_the_weights():
    c = Config(kind="plain", net="dcgan", width=4, latent=2, batch=4, d_norm="batch_spectral", init="RUN")
    shape = (8, 8, 1)
    other = initial(games.make(c, shape), dataclasses.replace(c, seed=5), shape)
    other = dataclasses.replace(other, vars=jax.tree.map(lambda x: x + 1, other.vars))
    _, state = begun(c, Run(c, other, {"shape": shape, "classes": 0}), shape, 0)
    assert len(named(state.vars)) == 4, "spectral vectors of D and batch statistics of G, two of each"
    assert_equal(named(state.vars), named(other.vars))


def test_a_run_is_replayed_and_needs_the_same_source(first, tmp_path, capsys):
    shutil.copytree(first.dir, tmp_path / "first")
    c = dataclasses.replace(NEXT, init=f"{tmp_path / 'first'}:8")
    run = trained(tmp_path / "run", c)
    assert json.loads((tmp_path / "run" / "env.json").read_text())["init"] == {
        "run": str(tmp_path / "first"),
        "step": 8,
        "digest": digests(first.dir)[8],
    }
    assert json.loads((tmp_path / "run" / "config.json").read_text())["init"] == c.init
    assert verify(run.dir, source(), say=lambda text: None) == 1
    rows = (tmp_path / "run" / "env.json").read_text()
    (tmp_path / "run" / "env.json").write_text(rows.replace(digests(first.dir)[8], "0" * 64))
    with pytest.raises(JaxganError, match=r"not what this run began with: step 8 .*was 000000000000"):
        verify(run.dir, source())
    (tmp_path / "run" / "env.json").write_text(rows)
    shutil.rmtree(tmp_path / "first")
    with pytest.raises(JaxganError, match="begins with, at step 8: there is no run folder"):
        verify(run.dir, source())
    with pytest.raises(JaxganError, match=r"init is .*there is no run folder"):
        trained(tmp_path / "another", c)
    assert not (tmp_path / "another").exists()
    assert int(trained(run.dir, c, steps=8).state.step) == 8, "what has a checkpoint goes on without the source"
    assert verify(run.dir, source(), init=jaxgan.load(first.dir, 8), say=lambda text: None) == 2


@pytest.mark.slow
def test_a_run_that_was_cut_short_begins_with_the_same_step(first, tmp_path):
    """Before its first checkpoint, and though the source has gone on since."""
    shutil.copytree(first.dir, tmp_path / "first")
    c = dataclasses.replace(NEXT, init=str(tmp_path / "first"))
    run = trained(tmp_path / "run", c)
    shutil.rmtree(run.dir / "checkpoints")
    (run.dir / "metrics.jsonl").unlink()
    trained(tmp_path / "first", steps=16)
    assert_same_bits(trained(run.dir, c), run)


def test_fit_begins_with_a_run_in_memory_or_a_folder(first, tmp_path):
    r = np.random.default_rng(1)
    x, y = r.integers(0, 256, (20, 6, 6, 1), np.uint8), r.integers(0, 3, 20)
    same = {"net": "mlp", "width": 16, "latent": 4, "batch": 8, "steps": 3, "quiet": True}
    lone = dataclasses.replace(first, dir=None)
    before = digest(first)
    kept = jaxgan.fit(x, y, init=lone, dir=tmp_path / "run", **same)
    assert_same_bits(jaxgan.fit(x, y, init=first.dir, **same), kept)
    assert digest(first) == before, "the run that was given keeps its arrays"
    assert transfer.name(first) == f"{first.dir}:12"
    with pytest.raises(JaxganError, match="had no folder; give it: init=RUN"):
        verify(kept.dir, from_arrays(x, y))
    assert verify(kept.dir, from_arrays(x, y), init=lone, say=lambda text: None) == 1


@pytest.mark.slow
def test_a_member_of_a_sweep_begins_as_a_run_alone(first, tmp_path):
    ring = Config(data="ring8", net="mlp", width=4, latent=2, batch=4, steps=2, sample_every=0, chunk=1)
    train.run(ring, tmp_path / "first", quiet=True)
    c = dataclasses.replace(ring, init=str(tmp_path / "first"), steps=3)
    ids = store.add(tmp_path / "sweep", "", c, [{"seed": 1}, {"seed": 2}])
    group.train(tmp_path / "sweep", mode="map", say=lambda text: None)
    alone = train.run(dataclasses.replace(c, seed=2), tmp_path / "alone", quiet=True)
    assert_same_bits(jaxgan.load(store.run_dir(tmp_path / "sweep", ids[1])), alone)
    assert jaxgan.load(store.run_dir(tmp_path / "sweep", ids[0])).env["init"] == alone.env["init"]


@pytest.mark.parametrize(
    ("settings", "count", "kept"),
    [
        ({"net": "mlp", "depth": 2, "hp": {"clip": 0.01}}, 1, {"Dense_0"}),
        pytest.param(
            *({"net": "dcgan", "kind": "conditional"}, 2, {"Down_0", "Down_1", "BatchNorm_0"}), marks=pytest.mark.slow
        ),
        ({"net": "dcgan", "kind": "conditional", "head": "concat", "solver": "extragradient"}, 1, {"Down_0"}),
        ({"net": "mlp", "depth": 2, "solver": "lookahead", "hp": {"max_norm": 0.1}}, 2, {"Dense_0", "Dense_1"}),
    ],
    ids=lambda value: str(sorted(value) if isinstance(value, set) else value)[:40],  # alike in every process
)
def test_frozen_layers_stand_still_and_the_others_move(settings, count, kept):
    c = from_dict({"width": 4, "latent": 2, "batch": 4, "steps": 3, "init": "RUN", "freeze": f"d:{count}", **settings})
    images = from_arrays(np.random.default_rng(0).integers(0, 256, (8, 16, 16, 1), np.uint8), np.arange(8) % 2)
    free = dataclasses.replace(c, freeze="", seed=5)
    other = initial(games.make(free, images.shape, 2), free, images.shape)
    lines = []
    _, state = begun(c, Run(c, other, {}), images.shape, 2, lines.append)
    assert lines[-1] == f"  frozen in d: {', '.join(sorted(kept, key=lines[-1].index))}"
    game, rows = games.make(c, images.shape, 2), jax.tree.map(jnp.asarray, images.rows(np.arange(8)))
    step = jax.jit(lambda state: advance(game, c, images, rows, state))
    for _ in range(2):
        state = step(state)
    paths = jax.tree.leaves_with_path(state.params["d"])
    for (path, now), then in zip(paths, jax.tree.leaves(other.params["d"]), strict=True):
        still = bool(kept & {str(key.key) for key in path[: 1 + (c.head == "concat")]})
        assert still == bool(np.array_equal(now, then)), path


@pytest.mark.parametrize(
    ("settings", "first_ones"),
    [
        ({"net": "dcgan"}, [("Down_0",), ("Down_1", "BatchNorm_0"), ("Head_0",)]),
        ({"net": "conv1d"}, [("Conv_0",), ("Conv_1",), ("Conv_2",), ("Head_0",)]),
        ({"net": "stylegan2"}, [("Conv_0",), ("Conv_2",), ("Conv_1",), ("Point_0",)]),
        ({"net": "r3gan", "width": 16}, [("Conv_0",), ("Block_0",), ("Block_1",)]),
        ({"net": "r3gan2", "width": 16}, [("image",), ("Block_0",), ("Block_1",)]),
        ({"net": "gat"}, [("patches", "token"), ("blocks", "norm"), ("logit",)]),
        ({"net": "cat"}, [("patches",), ("tokens",), ("scales",), ("blocks", "norm"), ("logit",)]),
    ],
    ids=lambda value: str(value)[:20],
)
def test_layers_of_d_are_counted_from_the_image(settings, first_ones):
    """As its forward pass meets them: in StyleGAN2 a residual block is two convolutions and the way around them."""
    c = from_dict({"width": 8, "latent": 4, **settings})
    shape = (32, 1) if c.net == "conv1d" else (16, 16, 1)
    assert nets.d_layers(c, shape)[: len(first_ones)] == first_ones


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"init": "RUN", "net": "dcgan"}, "init is 'RUN', whose net is 'mlp', and this run's is 'dcgan'"),
        (
            {"init": "RUN", "width": 8, "kind": "plain", "latent": 5},
            "no kernel of this run's networks has the name and",
        ),
        ({"init": "RUN", "freeze": "d:9"}, "expected d:1 to d:2, as D has 3 layers, .*: Dense_0, Dense_1, Head_0"),
        ({"init": "RUN", "freeze": "g:1"}, "freeze is 'g:1'; expected d:1"),
        ({"init": "RUN", "freeze": "d:0"}, "freeze is 'd:0'; expected d:1"),
        ({"init": "RUN", "freeze": "d:1"}, "Dense_0.bias 16 of D is none in|Dense_0.kernel 64x16 of D is 36x16 in RUN"),
    ],
    ids=lambda value: " ".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_what_cannot_be_begun(first, changes, named):
    with pytest.raises(JaxganError, match=named):
        begun(dataclasses.replace(NEXT, **changes), first, (8, 8, 1))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"freeze": "d:1"}, "freeze is 'd:1', but it belongs to init, and this run's init is empty; leave it at ''"),
        ({"net": "progan", "init": "RUN"}, "init is 'RUN', but net progan has no use for it"),
        ({"init": "RUN", "kind": "vae", "freeze": "d:1"}, "freeze is 'd:1', but kind vae has no use for it"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_what_does_not_go_together(changes, named):
    with pytest.raises(JaxganError, match=named):
        unused.check(from_dict({"net": "mlp", **changes}), frozenset())


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("runs/a", ("runs/a", "")),
        ("runs/a:500", ("runs/a", "500")),
        ("runs/a:best", ("runs/a", "best")),
        ("C:\\runs\\a:4", ("C:\\runs\\a", "4")),
        ("C:\\runs", ("C:\\runs", "")),
    ],
)
def test_parts(text, found):
    assert transfer.parts(text) == found


def test_the_command_finds_the_source_from_anywhere(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.py").write_text(
        '"Tiny."\nfrom jaxgan import Config\n'
        'def config(): return Config(data="ring8", net="mlp", width=4, latent=2, batch=4, steps=2, sample_every=0)\n'
    )
    cli.main(["train", "tiny.py", "--dir", "a"])
    cli.main(["train", "tiny.py", "--dir", "b", "--init", "a:2", "--freeze", "d:1"])
    text = capsys.readouterr().out
    assert f"weights of {tmp_path / 'a'}, step 2 (digest {digests(tmp_path / 'a')[2][:12]}):" in text
    assert "  d: 6 of 6 arrays taken, 100% of the weights\n" in text and "  frozen in d: Dense_0\n" in text
    assert jaxgan.load(tmp_path / "b").config.init == f"{tmp_path / 'a'}:2"


def test_old_configurations_keep_their_json():
    assert not {"init", "freeze"} & config.to_dict(Config()).keys()


def test_a_run_begins_again_with_the_step_that_is_noted(first, monkeypatch):
    """Though the source has gone on since, and the configuration names no step."""
    asked = []
    monkeypatch.setattr(transfer, "load", lambda dir, step: asked.append((dir, step)) or first)
    c = dataclasses.replace(NEXT, init="runs/a")
    noted = transfer.given(c).noted
    assert noted == {"run": "runs/a", "step": 12, "digest": digest(first)}
    transfer.given(c, noted={**noted, "step": 8})
    transfer.given(dataclasses.replace(c, init="runs/a:4"))
    assert asked == [("runs/a", ""), ("runs/a", 8), ("runs/a", "4")]


def test_the_state_that_is_taken_stays_as_it_is(first):
    """A dispatch donates the buffers of the new run, which must not be those of the old one."""
    before = digest(first)
    _, state = begun(dataclasses.replace(NEXT, init="RUN"), first)
    assert_equal(named(state.params), named(first.state.params))
    old, new = (
        {x.unsafe_buffer_pointer() for x in jax.tree.leaves((s.params, s.ema, s.vars))} for s in (first.state, state)
    )
    assert not old & new and digest(first) == before
