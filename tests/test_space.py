"""Runs in the latent space of another run's autoencoder: what they train on, make, and hold on to."""

import dataclasses
import json
import shutil
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgan
from jaxgan import config, data, encoded, export, latent_space, rng, step, train
from jaxgan.config import Config, Hp
from jaxgan.errors import JaxganError
from jaxgan.evaluate import evaluate
from jaxgan.latents import latents
from jaxgan.metrics import METRICS
from jaxgan.nets import build
from jaxgan.sweep import group, store
from jaxgan.verify import verify
from processes import python
from runs import BASE, assert_same_bits, digests

SHAPE, LATENTS = (8, 8, 1), (2, 2, 4)
AE = Config(
    **{"kind": "vae", "net": "spatial", "width": 4, "latent": 16, "data": "arrays", "batch": 8, "steps": 4},
    **{"log_every": 4, "sample_every": 0, "checkpoint_every": 2},
    hp=Hp(sigma=1.0, kl=0.1, g_lr=0.01, ema_half_life=8.0),
)


def images(seed=0, n=50):
    r = np.random.default_rng(seed)
    return r.integers(0, 256, (n, *SHAPE), np.uint8), r.integers(0, 3, n)


def source(**options):
    return data.from_arrays(*images(), **options)


def autoencoder(dir, **changes):
    return train.run(dataclasses.replace(AE, **changes), dir, source(), quiet=True)


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def ae(tmp_path_factory):
    return autoencoder(tmp_path_factory.mktemp("ae") / "run")


@pytest.fixture(scope="module")
def c(ae):
    return dataclasses.replace(BASE, space=str(ae.dir))


@pytest.fixture(scope="module")
def run(c, tmp_path_factory):
    return train.run(c, tmp_path_factory.mktemp("latent") / "run", source(), quiet=True)


def test_a_resumed_run_has_the_bits_of_one_that_was_not(c, run, tmp_path, monkeypatch):
    """Though latents are drawn anew at each update; and a replay finds them without the autoencoder."""
    stopped = dataclasses.replace(c, steps=4)
    train.run(stopped, tmp_path / "run", source(), quiet=True)
    assert_same_bits(train.run(c, tmp_path / "run", source(), quiet=True), run)
    assert digests(tmp_path / "run") == digests(run.dir)
    monkeypatch.setattr(encoded, "load", None)
    assert verify(run.dir, source(), say=lambda text: None) == 3


@pytest.mark.slow
@pytest.mark.parametrize("flip", [False, True])
def test_streamed_latents_are_those_on_the_device(c, tmp_path, flip):
    mirrored = dataclasses.replace(c, flip=flip, steps=4)
    device, stream = (
        train.run(dataclasses.replace(mirrored, feed=feed), tmp_path / feed, source(flip=flip), quiet=True)
        for feed in ("device", "stream")
    )
    assert_same_bits(device, stream)
    assert verify(device.dir, source(flip=flip), say=lambda text: None) == 1


@pytest.mark.parametrize("posterior", ["sampled", "mean"])
def test_latents_have_mean_0_and_deviation_1(ae, c, posterior):
    found, held = encoded.of_config(dataclasses.replace(c, posterior=posterior, holdout=10), source())
    assert found.shape == held.shape == LATENTS and (found.size, held.size) == (40, 10)
    rows, keys = found.rows(np.arange(40)), partial(rng.examples, n=40)
    first, other = (np.asarray(found.finish(rows, keys(rng.root(i)))["x"], np.float64) for i in (0, 1))
    assert (first == other).all() == (posterior == "mean")
    shift, scale = (np.asarray(numbers) for numbers in (found.space.mean, found.space.deviation))
    middle = (rows["x"] - shift) / scale
    spread = rows["s"] / scale if posterior == "sampled" else np.zeros(LATENTS)
    np.testing.assert_allclose(middle.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose((middle**2 + spread**2).mean((0, 1, 2)), 1, rtol=1e-5)
    if posterior == "sampled":  # a draw is its mean and a normal number of its own times its deviation
        normal = (first - middle) / spread
        assert abs(normal.mean()) < 0.1 and abs(normal.std() - 1) < 0.1
        assert len(np.unique(normal.round(6))) == normal.size
    np.testing.assert_array_equal(found.rows(np.array([[3, 4]]))["x"][0], rows["x"][3:5])
    np.testing.assert_array_equal(rows["y"], found.images.rows(np.arange(40))["y"])


@pytest.mark.parametrize("posterior", ["sampled", "mean"])
def test_a_mirrored_example_is_the_latent_of_its_mirror_image(c, posterior):
    """When it is one is a matter of its key, as of pixels; mean and deviation are over both."""
    mirrored = dataclasses.replace(c, flip=True, posterior=posterior)
    pixels = source(flip=True)
    (plain, _), (found, _) = encoded.of_config(c, source()), encoded.of_config(mirrored, pixels)
    index, keys, space = np.arange(50), rng.examples(rng.root(3), 50), found.space
    seen = [one.finish(one.rows(index), keys)["x"] for one in (pixels, source())]
    turned = (seen[0] != seen[1]).any((1, 2, 3))
    assert 10 < turned.sum() < 40
    middle, other = (latent_space.encode(space, space.nets, x) for x in seen)
    rows, z = found.rows(index), np.asarray(found.finish(found.rows(index), keys)["x"])
    if posterior == "sampled":
        spread = np.where(turned[:, None, None, None], rows["s mirrored"], rows["s"]) / np.asarray(space.deviation)
        noise = jax.vmap(lambda key: jax.random.normal(rng.stream(key, "posterior"), LATENTS))(keys)
        middle += spread * noise
    np.testing.assert_allclose(z, middle, atol=1e-5)
    assert abs(other[turned] - other[turned][:, :, ::-1]).max() > 0.1, "which is no mirrored latent"
    np.testing.assert_allclose(np.concatenate([rows["x"], rows["x mirrored"]]).mean((0, 1, 2)), space.mean, atol=1e-5)
    np.testing.assert_array_equal(plain.rows(index)["x"], rows["x"])


def test_posteriors_are_those_of_the_encoder(ae, c):
    """Rows are the split outputs of E, mean and exp(log variance / 2), place by place, in order and by all parts."""
    found, _ = encoded.of_config(c, data.from_arrays(*images(n=300)))  # of which the last part is not whole
    rows, x = found.rows(np.arange(300)), images(n=300)[0].astype(np.float32) / 127.5 - 1
    out = step.applied(ae.game, lambda run, vars, x: run(vars, "e", x, None, train=False)[0], ae.state.ema, x)
    np.testing.assert_allclose(rows["x"].reshape(300, -1), out[:, :16], atol=1e-5)
    np.testing.assert_allclose(rows["s"].reshape(300, -1), np.exp(out[:, 16:] / 2), rtol=1e-5)


def test_what_is_encoded_and_decoded_is_what_the_autoencoder_reconstructs(ae, run):
    x = images(1)[0]
    space, seen = run.space, jnp.asarray(x.astype(np.float32) / 127.5 - 1)
    z = latent_space.encode(space, space.nets, seen)
    assert z.shape == (50, *LATENTS)
    np.testing.assert_allclose(latent_space.decode(space, space.nets, z), ae.reconstruct(x), atol=1e-5)


def test_samples_are_decoded_latents(ae, run):
    z, x = run.sample(9, seed=3, decode=False), run.sample(9, seed=3)
    assert z.shape == (9, *LATENTS) and x.shape == (9, *SHAPE) == (9, *run.shape)
    numbers = z * np.asarray(run.space.deviation) + np.asarray(run.space.mean)
    np.testing.assert_allclose(x, ae.generate(numbers.reshape(9, -1)), atol=1e-5)
    assert run.walk(2, 4).shape == (4, 3, *SHAPE) and run.interpolate(1, 3).shape == (3, *SHAPE)
    loaded = jaxgan.load(run.dir)
    np.testing.assert_array_equal(loaded.sample(9, seed=3), x)
    assert loaded.space.digest == run.space.digest == json.loads((run.dir / "env.json").read_text())["space"]["digest"]


def test_images_that_a_run_is_given_are_encoded(ae, c, run):
    x = images(1)[0]
    seen = (x.astype(np.float32) / 127.5 - 1, np.arange(50) % 3)
    z = latent_space.encode(run.space, run.space.nets, jnp.asarray(seen[0]))
    nets = {n: {"params": run.state.params[n], "vars": run.state.vars[n]} for n in ("g", "d")}
    judged = step.applied(run.game, run.game.views["score"], nets | latent_space.weights(run.space), *seen)
    inner = step.applied(run._trained, run._trained.views["score"], nets, z, seen[1])
    np.testing.assert_allclose(judged, inner, atol=1e-5)


@pytest.mark.slow
def test_encoders_and_projections_are_of_images(c, run, tmp_path):
    x, space = images(1)[0], run.space
    z = latent_space.encode(space, space.nets, jnp.asarray(x.astype(np.float32) / 127.5 - 1))
    encoding = train.run(dataclasses.replace(c, kind="lrgan", d_steps=1, steps=1), tmp_path / "run", source(), True)
    expected = step.applied(encoding._trained, encoding._trained.views["encode"], encoding.state.ema, z, None)
    np.testing.assert_allclose(encoding.encode(x), expected, atol=1e-5)
    found = run.project(x[:2], [0, 1], steps=2, starts=1, distance="pixel")
    assert found.images.shape == (2, *SHAPE)
    np.testing.assert_allclose(found.images, run.generate(found.latents, [0, 1]), atol=1e-5)


def test_latents_are_kept_by_the_weights_that_made_them(c, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    count = lambda: len(list((tmp_path / "jaxgan/latents").glob("*.npy")))  # noqa: E731
    old, _ = encoded.of_config(c, source())
    made = count()
    with monkeypatch.context() as patch:
        patch.setattr(data.latents.cache, "reserve", None)  # which would make them anew
        same, _ = encoded.of_config(c, source())
    assert (made, count()) == (1, 1) and same.fingerprint == old.fingerprint
    other = autoencoder(tmp_path / "other", seed=1)
    new, _ = encoded.of_config(dataclasses.replace(c, space=str(other.dir)), source())
    assert count() == 2 and new.fingerprint != old.fingerprint
    assert not np.allclose(new.rows(np.arange(9))["x"], old.rows(np.arange(9))["x"], atol=1e-2)


def test_a_run_keeps_its_space_as_it_was(run, tmp_path):
    """And says so where its copy is another, or damaged."""
    there = shutil.copytree(run.dir, tmp_path / "run")
    path = there / latent_space.FILE
    arrays = dict(np.load(path))
    name = next(name for name in arrays if name.endswith("kernel"))
    np.savez(path, **{**arrays, name: arrays[name] + 1})
    for act in (jaxgan.load, partial(verify, source=source())):
        with pytest.raises(JaxganError, match=r"space.npz is not the space in which .* \(digest .*bring it back"):
            act(there)
    path.write_bytes(path.read_bytes()[:99])
    with pytest.raises(JaxganError, match=r"is not there as it was .*bring it back"):
        jaxgan.load(there)
    path.unlink()
    assert train.run(run.config, there, source(), quiet=True).space.digest == run.space.digest
    assert jaxgan.load(there).space.digest == run.space.digest, "it is written again"


def test_another_space_is_refused(ae, run, tmp_path):
    """What is in the autoencoder's place is looked at before anything is trained."""
    c, there = dataclasses.replace(run.config, steps=16), shutil.copytree(run.dir, tmp_path / "run")
    moved = dataclasses.replace(ae.state, ema=jax.tree.map(lambda x: x + 1, ae.state.ema))
    with pytest.raises(JaxganError, match=r"not what the run in .* was trained in .*weights now.*keeps a copy"):
        train.run(c, there, source(), quiet=True, space=ae.at(moved))
    with pytest.raises(JaxganError, match=r"space: .* -> ''"):
        train.run(dataclasses.replace(c, space=""), there, source(), quiet=True)


@pytest.mark.slow
def test_a_space_may_move_or_go(ae, c, tmp_path):
    shutil.copytree(ae.dir, tmp_path / "ae")
    there = dataclasses.replace(c, space=str(tmp_path / "ae"), steps=4)
    train.run(there, tmp_path / "run", source(), quiet=True)
    shutil.rmtree(tmp_path / "ae")
    train.run(dataclasses.replace(there, steps=8), tmp_path / "run", source(), quiet=True)
    moved = dataclasses.replace(there, space=str(ae.dir), steps=12)
    assert train.run(moved, tmp_path / "run", source(), quiet=True).config.space == str(ae.dir)


@pytest.mark.slow
def test_runs_need_no_folders(ae):
    trained = jaxgan.fit(*images(), space=ae, net="mlp", width=8, steps=2, batch=8, quiet=True)
    assert trained.sample(3).shape == (3, *SHAPE) and trained.config.space == f"{ae.dir}:4"
    lone = dataclasses.replace(ae, dir=None)
    trained = jaxgan.fit(*images(), space=lone, net="mlp", width=8, steps=2, batch=8, quiet=True)
    assert trained.space.digest == latent_space.digest_of(ae.state.ema)
    with pytest.raises(JaxganError, match="had no folder; give it: space=RUN"):
        encoded.opened(trained.config)


def test_scores_are_of_images(run):
    said = []
    found = evaluate(run, ("fid",), "raw", source=source(), say=said.append)
    (score,) = found.values()
    x, labels = images()
    fake = run.generate(latents(run.game, 50, 0), np.random.default_rng(0).choice(labels, 50))
    with pytest.warns(UserWarning, match="50 generated"):
        expected = METRICS["fid"]((x / 127.5 - 1).reshape(50, -1), fake.reshape(50, -1), features="raw")
    np.testing.assert_allclose(score.value, expected.value, rtol=1e-4)


def test_looks_draw_and_score_images(c, tmp_path):
    asked = dataclasses.replace(c, steps=2, sample_every=2, eval_every=2, eval=config.Eval(("fid",), "raw"))
    said = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jaxgan.log.show", said.append)
        train.run(asked, tmp_path / "run", source())
    assert not [text for text in said if "failed" in text]
    from PIL import Image

    with Image.open(tmp_path / "run/samples/00000002.png") as picture:
        assert picture.size[0] >= 3 * 64 and len(np.unique(np.asarray(picture))) > 20
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert any(name.startswith("fd/raw/n50") for row in rows for name in row)


def test_an_exported_sampler_decodes(run):
    nets = jax.tree.map(np.asarray, run.nets())
    sampler, inputs = export.signature(run, nets)
    z, y = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32), np.arange(3)
    np.testing.assert_allclose(jax.jit(sampler)(z, y), run.generate(z, y), atol=1e-5)
    assert {name: x.shape[1:] for name, x in inputs.items()} == {"z": (4,), "y": ()}
    any_number = jax.export.export(jax.jit(sampler))(*inputs.values())  # of samples
    assert any_number.out_avals[0].shape[1:] == SHAPE


@pytest.mark.slow
def test_members_of_a_sweep_train_in_a_space(c, tmp_path):
    """With the bits of runs alone, and each with what its posterior says."""
    small = dataclasses.replace(c, kind="plain", data="mnist5k", size=8, steps=2, d_steps=1, checkpoint_every=2)
    other = train.run(dataclasses.replace(AE, data="mnist5k", size=8, seed=1, steps=2), tmp_path / "other", quiet=True)
    small = dataclasses.replace(small, space=str(other.dir))
    ids = store.add(tmp_path / "sweep", "", small, [{"seed": 1}, {"seed": 2}, {"seed": 1, "posterior": "mean"}])
    group.train(tmp_path / "sweep", mode="map", say=lambda text: None)
    members = [jaxgan.load(store.run_dir(tmp_path / "sweep", id)) for id in ids]
    assert {member.space.digest for member in members} == {latent_space.digest_of(other.state.ema)}
    alone = train.run(dataclasses.replace(small, seed=1), tmp_path / "alone", quiet=True)
    assert_same_bits(members[0], alone)
    assert digests(members[2].dir) != digests(members[0].dir)


DEVICES = """
import sys, dataclasses, jax, numpy as np
from jaxgan import checkpoint, config, data, encoded, games, parallel, program
from jaxgan.state import initial
c = config.load(__import__("pathlib").Path(sys.argv[1]))
x = np.load(sys.argv[2])
c = dataclasses.replace(c, optimizer="sgd", hp=dataclasses.replace(c.hp, g_lr=0.01, d_lr=0.01), steps=4, chunk=4)
source, _ = encoded.of_config(c, data.from_arrays(x["x"], x["y"]))
d = parallel.devices(c.parallel)
game = games.make(c, source.shape, source.classes, d.axis)
state, _ = program.build(game, source, c, d).advance(d.replicate(initial(game, c, source.shape)), 0, 4)
fields = checkpoint.to_host(parallel.local(state))
np.savez(sys.argv[3], **{jax.tree_util.keystr(p): np.asarray(a) for p, a in jax.tree.leaves_with_path(fields)})
"""


@pytest.mark.slow
def test_one_and_eight_devices_follow_the_same_trajectory(run, tmp_path):
    np.savez(tmp_path / "x.npz", x=images()[0], y=images()[1])
    for devices in (1, 8):
        python(DEVICES, devices, run.dir / "config.json", tmp_path / "x.npz", tmp_path / f"{devices}.npz")
    one, eight = (np.load(tmp_path / f"{n}.npz") for n in (1, 8))
    moved = [name for name in one if "params" in name and name.endswith("['kernel']")]
    assert len(moved) > 3 and one.files == eight.files
    for name in one:
        np.testing.assert_allclose(eight[name], one[name], atol=1e-5, err_msg=name)


@pytest.mark.parametrize(
    "net", ["mlp", "dcgan", *(pytest.param(n, marks=pytest.mark.slow) for n in ("sngan", "biggan"))]
)
def test_generators_are_bounded_on_images_alone(net):
    shape = (8, 8, 4) if net in ("mlp", "dcgan") else (28, 28, 4)
    z = 1000 * jnp.asarray(np.random.default_rng(0).normal(size=(4, 6)), jnp.float32)
    on_images, in_space = (build(Config(net=net, width=4, space=space), shape)["g"] for space in ("", "RUN"))
    params, vars = jax.jit(on_images.init)(jax.random.key(0), z, None)
    draw = lambda g: jax.jit(partial(g.apply, train=False))(params, vars, z, None)[0]  # noqa: E731
    x, latents = draw(on_images), draw(in_space)
    assert abs(latents).max() > 1.1
    np.testing.assert_allclose(x, jnp.tanh(latents), atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"net": "gat", "gat": {"patch": 3}},
            r"gat.patch is 3, which does not divide latents of 2x2; take another gat.patch, or an .*3 for it"
            ".*In the space of .*latents 2x2x4",
        ),
        (
            {"net": "cat", "cat": {"patch": 1, "levels": 3, "depth": 3}},
            "cat shows D latents of 2x2 halved 2 times, .*or an autoencoder whose latents have multiples of 4 for it",
        ),
        ({"net": "dcgan"}, "In the space of .*latents 2x2x4: another autoencoder has others"),
        ({"data": "folder:x", "patch": 4}, "patch is 4, but space is .*encoded once, as they are.*--augment trans"),
        ({"kind": "pix2pix"}, "space is .*, but kind pix2pix has no use for it: it has no examples that are made of"),
        ({"posterior": "meen"}, "posterior is 'meen'; choose from sampled, mean"),
        ({"space": "BASE"}, "a run that itself trains in the space of"),
        ({"space": "nowhere"}, "space is 'nowhere': there is no run folder nowhere"),
        ({"space": "AE:3"}, "space is .*:3': .*checkpoint"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, dict) else "",
)
def test_what_does_not_go_is_said(ae, run, c, changes, message, tmp_path):
    names = {"BASE": str(run.dir), "AE:3": f"{ae.dir}:3"}
    changes = {name: names.get(value, value) if isinstance(value, str) else value for name, value in changes.items()}
    with pytest.raises(JaxganError, match=message):
        there = config.from_dict(config.to_dict(c) | {"width": 8} | changes)
        train.run(there, tmp_path / "run", source(), quiet=True)
    assert not (tmp_path / "run/config.json").exists()


@pytest.mark.slow
def test_autoencoders_of_labels_and_other_shapes_are_refused(c, ae, tmp_path):
    told = autoencoder(tmp_path / "told", conditional=True, steps=1)
    with pytest.raises(JaxganError, match="an autoencoder that is told labels"):
        encoded.of_config(dataclasses.replace(c, space=str(told.dir)), source())
    large = data.from_arrays(np.zeros((9, 16, 16, 1), np.uint8))
    with pytest.raises(
        JaxganError, match=r"of examples \(8, 8, 1\), and those of arrays are \(16, 16, 1\); take --size 8"
    ):
        encoded.of_config(c, large)
    with pytest.raises(JaxganError, match="ring8 is a density"):
        encoded.of_config(dataclasses.replace(c, data="ring8"))


@pytest.mark.slow
def test_an_encoder_without_draws_has_a_space_of_points(tmp_path):
    """Of net mlp, whose latents have no places; what it finds is one latent."""
    flat = dataclasses.replace(AE, kind="aae", net="mlp", latent=3, steps=1, hp=Hp())
    run = train.run(flat, tmp_path / "aae", source(), quiet=True)
    c = dataclasses.replace(BASE, space=str(run.dir), steps=1)
    found, _ = encoded.of_config(c, source())
    assert found.shape == (3,) and (found.rows(np.arange(50))["s"] == 0).all()
    assert train.run(c, tmp_path / "run", source(), quiet=True).sample(2).shape == (2, *SHAPE)


def test_old_configurations_keep_their_json():
    assert not {"space", "posterior"} & config.to_dict(Config()).keys()
