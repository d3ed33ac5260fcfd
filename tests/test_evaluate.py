"""Evaluation: scores are those of the metrics on what was drawn, references are kept, the best checkpoint stays."""

import contextlib
import dataclasses
import json

import jax
import numpy as np
import pytest
from PIL import Image

import jaxgan
from jaxgan import checkpoint, data, evaluate, log, looks, protocol, train
from jaxgan.cli import main
from jaxgan.config import Config, Eval
from jaxgan.data.stacked import stacked
from jaxgan.errors import JaxganError
from jaxgan.features import extract, to_uint8
from jaxgan.metrics import fid, intra_fid, jackknife, kid
from jaxgan.metrics.modes import modes
from runs import BASE, digests, source, trained

RAW = Eval(metrics=("fid",), features="raw", n=40)
EVERY = dataclasses.replace(BASE, eval=RAW, eval_every=3, keep=1)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run that was evaluated at steps 3, 6, 9 and 12."""
    return trained(tmp_path_factory.mktemp("evaluated") / "run", EVERY)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "jaxgan" / "features"


def columns(dir):
    return {row["step"]: row[name] for row in log.read(dir / "metrics.jsonl") for name in row if name.startswith("fd/")}


def test_a_look_changes_no_bits_and_says_what_evaluate_says(run, tmp_path):
    trained(tmp_path / "plain")
    shared = digests(tmp_path / "plain")
    assert {at: digest for at, digest in digests(run.dir).items() if at in (4, 8, 12)} == shared
    assert list(digests(run.dir)) == [3, 4, 6, 8, 9, 12], "each evaluated state is kept, so that it may be the best"
    found = evaluate.evaluate(run, source=source(), say=lambda text: None)
    assert columns(run.dir)[12] == found["fd/raw/n40/real50/ddof1"].value
    assert sorted(columns(run.dir)) == [3, 6, 9, 12]


@pytest.mark.filterwarnings("ignore:FID of")
def test_scores_are_the_metrics_of_samples_and_data(run):
    """By hand: samples of the seed, labels drawn from the data's, all real examples."""
    real = source()
    batch = real.rows(np.arange(50))
    y = np.random.default_rng(5).choice(batch["y"], 40)
    fake = run.sample(40, seed=5, labels=y).reshape(40, -1)
    x = np.asarray(real.finish(batch, jax.random.split(jax.random.key(0), 50))["x"]).reshape(50, -1)
    found = evaluate.evaluate(
        run, metrics=("fid", "kid", "intra-fid"), seed=5, source=real, say=lambda text: None, interval=False
    )
    expected = [
        fid(x, fake, features="raw"),
        kid(x, fake, features="raw"),
        intra_fid(x, fake, batch["y"], y, features="raw"),
    ]
    assert [s.name for s in found.values()] == [s.name for s in expected]
    np.testing.assert_allclose([s.value for s in found.values()], [s.value for s in expected], rtol=1e-6)


def test_an_interval_is_the_jackknifes():
    draw = np.random.default_rng(0)
    real, fake = draw.normal(size=(2, 200, 3))
    p = protocol.Protocol(("fid",), "raw", 200)
    for interval, error in ((False, np.nan), (True, jackknife(fid, real, fake).error)):
        found, _ = protocol.scores(p, {"features": real}, {"features": fake}, interval=interval)
        np.testing.assert_equal(found["fd/raw/n200/ddof1"].error, error)


def test_small_sets_have_an_extrapolated_fid():
    draw = np.random.default_rng(0)
    real, fake = draw.normal(size=(2, 400, 3))
    found, _ = protocol.scores(protocol.Protocol(("fid-infinity",), "raw", 400), {"features": real}, {"features": fake})
    assert list(found) == ["fd-infinity/raw/n400/ddof1/sizes15/least200"]


def test_what_is_left_out_suits_the_data():
    def of(name, **asked):
        return protocol.complete(Eval(**asked), data.open_source(name))

    assert of("ring8") == (("modes",), "raw", 2500, "")
    assert of("mnist5k") == (("fid", "kid", "prdc"), "digits-cnn", 5000, "")
    assert of("stacked:mnist5k")[:2] == (("stacked-mnist", "fid"), "digits-cnn/stacked")
    assert protocol.complete(Eval(), data.open_source("mnist5k")._replace(size=60_000)).n == 10_000
    assert of("sines")[:2] == (("fid", "kid", "prdc"), "raw")
    assert protocol.complete(Eval(), source()).features == "inception-2015/clean"


@pytest.mark.parametrize(
    "name, asked, message",
    [
        ("mnist5k", {"metrics": ("fdi",)}, "no metric 'fdi'. Did you mean 'fid'"),
        ("mnist5k", {"features": "digit-cnn"}, "unknown features 'digit-cnn'. Did you mean 'digits-cnn'"),
        ("mnist5k", {"metrics": ("is",), "features": "raw"}, "metric is reads logits, and features raw have none"),
        ("mnist5k", {"metrics": ("modes",)}, "modes needs a toy"),
        ("mnist5k", {"metrics": ("stacked-mnist",)}, "digits-cnn/stacked"),
        ("ring8", {"metrics": ("swd",)}, r"swd is for images, and examples of ring8 are \(2,\)"),
        ("ring8", {"features": "vgg16"}, "vgg16 is for images"),
        ("gauss1d", {"metrics": ("intra-fid",)}, "intra-fid needs labels, and gauss1d has none"),
    ],
)
def test_what_cannot_be_measured_is_refused(name, asked, message):
    with pytest.raises(JaxganError, match=message):
        protocol.complete(Eval(**asked), data.open_source(name))


def test_runs_and_splits_that_have_nothing_to_compare(run):
    plain = dataclasses.replace(BASE, kind="plain", eval_every=1, eval=dataclasses.replace(RAW, metrics=("intra-fid",)))
    with pytest.raises(JaxganError, match="intra-fid is of conditional samples"):
        looks.looks(plain, source())
    for split, message in {"holdout": "held nothing out", "test": "arrays has no splits"}.items():
        with pytest.raises(JaxganError, match=message):
            evaluate.evaluate(run, split=split, source=source())
    with pytest.raises(JaxganError, match="source="):
        evaluate.evaluate(run)
    with pytest.raises(JaxganError, match="not what the run"):
        evaluate.evaluate(run, source=source(seed=1))


def test_held_out_examples_and_unmirrored_ones(tmp_path):
    c = dataclasses.replace(BASE, data="mnist5k", holdout=100, flip=True)
    run = jaxgan.run.Run(c, None, {"shape": [28, 28, 1], "classes": 10})
    held, whole = evaluate.reference(run, "holdout"), evaluate.reference(run)
    assert (held.size, whole.size) == (100, 4900)
    flipped, _ = data.of_config(c)
    for one in (whole, evaluate.unmirrored(c, flipped)):
        _, parts = protocol.of_source(one, 64)
        x, y = next(parts)
        index = np.sort(np.random.default_rng(0).permutation(4900)[:64])
        np.testing.assert_array_equal(to_uint8(x), one.rows(index)["x"])
        np.testing.assert_array_equal(y, one.rows(index)["y"])


def test_a_reference_is_made_once_and_anew_where_something_changed(cache, monkeypatch):
    p = protocol.Protocol(("fid",), "random", 10)
    said = []
    first = protocol.reference(p, source(), said.append)
    (path,) = cache.iterdir()
    monkeypatch.setattr(protocol, "measure", None)  # not asked again
    again = protocol.reference(p, source(), said.append)
    assert first.keys() == again.keys() == {"features", "labels"} and not said
    np.testing.assert_array_equal(first["features"], extract("random", source().rows(np.arange(50))["x"])["features"])
    np.testing.assert_array_equal(first["features"], again["features"])
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache.parents[1]))
    other = protocol.reference(p, source(seed=1), said.append)
    assert "data changed since" in said[0] and not np.array_equal(other["features"], first["features"])
    path.write_bytes(path.read_bytes()[:300])
    assert protocol.reference(p, source(seed=1), said.append)["features"].shape == (50, 128)
    assert "damaged" in said[1] and len(list(cache.iterdir())) == 1
    monkeypatch.setattr(protocol.extractor, "checksum", lambda *_: "of other weights")
    protocol.reference(p, source(seed=1), said.append)
    assert "weights changed since" in said[2]


def test_stacked_digits_are_told_apart(cache):
    three = stacked(data.open_source("mnist5k"))
    index = np.arange(0, three.size, three.size // 40)
    x = np.asarray(three.finish(three.rows(index), jax.random.split(jax.random.key(1), len(index)))["x"])
    found = extract("digits-cnn/stacked", x)
    for channel in range(3):
        one = extract("digits-cnn", x[..., [channel]])
        np.testing.assert_allclose(found["features"].reshape(-1, 3, 64)[:, channel], one["features"], atol=1e-4)
        np.testing.assert_allclose(found["logits"].reshape(-1, 3, 10)[:, channel], one["logits"], atol=1e-4)


def test_modes_of_a_toy():
    density = data.open_source("ring8").exact
    fake = np.array([[1, 0], [1, 0.001], [0, 1], [0.5, 0.5]], np.float32)
    found, _ = protocol.scores(
        protocol.Protocol(("modes",), "raw", 4), {"features": fake}, {"features": fake}, density=density
    )
    by_name = {name.split("/")[0]: score.value for name, score in found.items()}
    assert {n: by_name[n] for n in ("modes", "high-quality")} == {"modes": 2, "high-quality": 0.75}
    assert modes(fake, density) == {"modes": 2, "high_quality": 0.75}
    assert by_name["mode-kl"] == pytest.approx(np.log(8) - 1.5 * np.log(2)), "shares of 2, 1 and 1 in 4"


STATE = {"hp": {}, "x": np.zeros(3)}


def saved(dir, scores, keep=1, best=""):
    """Checkpoints of steps and their scores -> steps that are there, and the best."""
    with contextlib.closing(checkpoint.Checkpoints(dir, keep, best=best)) as kept:
        for step, row in scores.items():
            kept.save(step, STATE, "", row)
        kept.wait()
        return sorted(kept.manager.all_steps()), kept.best_step()


def test_the_best_stays_beside_the_newest(tmp_path):
    scores = {1: {"fd/x/n5": 3.0}, 2: {"fd/x/n5": 1.0}, 3: {"fd/x/n5": 2.0}, 4: None}
    assert saved(tmp_path / "a", scores) == ([2, 4], 2)
    assert saved(tmp_path / "a", {5: {"fd/x/n5": 1.5}}) == ([2, 5], 2), "in a resumed run too"
    assert saved(tmp_path / "a", {6: {"fd/x/n5": 0.5}}) == ([6], 6)
    assert saved(tmp_path / "b", {at: row and {"is/x/n5": row["fd/x/n5"]} for at, row in scores.items()}) == ([1, 4], 1)
    both = {at: {"fd/x/n5": -at, "kid/x/n5": (at - 2) ** 2} for at in (1, 2, 3, 4)}
    assert saved(tmp_path / "c", both, best="min kid") == ([2, 4], 2)
    assert saved(tmp_path / "c", {5: both[3]}, best="max fd")[1] == 5, "another objective: what it has ranked itself"
    with contextlib.closing(checkpoint.Checkpoints(tmp_path / "b", 1, read_only=True)) as kept:
        assert kept.best_step() == 1, "of the objective that stands in the folder"
    assert saved(tmp_path / "d", {1: None, 2: None, 3: None}, keep=2) == ([2, 3], None)


def test_a_misspelt_objective_is_said_and_loses_nothing(tmp_path, monkeypatch):
    for best in ("fid", "least fid", "min"):
        with pytest.raises(JaxganError, match='expected "min METRIC" or "max METRIC"'):
            looks.looks(dataclasses.replace(EVERY, eval=dataclasses.replace(RAW, best=best)), source())
    said = []
    monkeypatch.setattr(train.log, "show", said.append)
    c = dataclasses.replace(EVERY, eval=dataclasses.replace(RAW, best="min fdi"), steps=3)
    train.run(c, tmp_path / "run", source())
    assert any("no checkpoint is kept as the best by 'min fdi'" in text and "fd/raw/n40" in text for text in said)
    assert list(columns(tmp_path / "run")) == [3] and int(jaxgan.load(tmp_path / "run").state.step) == 3
    with pytest.raises(JaxganError, match=r"eval\.best is 'min fid', but it belongs to eval_every"):
        trained(tmp_path / "off", dataclasses.replace(BASE, eval=dataclasses.replace(RAW, best="min fid")))


def test_best_is_found_by_its_name(run, tmp_path):
    values = columns(run.dir)
    at = min(values, key=values.get)
    best = jaxgan.load(run.dir, "best")
    assert int(best.state.step) == at and checkpoint.digest(checkpoint.to_host(best.state)) == digests(run.dir)[at]
    assert int(jaxgan.load(run.dir).state.step) == 12 == int(jaxgan.load(run.dir, 12).state.step)
    with pytest.raises(JaxganError, match=r"no checkpoint of step 7; there are those of: "):
        jaxgan.load(run.dir, 7)
    with pytest.raises(JaxganError, match="expected a number of a checkpoint, or best"):
        jaxgan.load(run.dir, "first")
    trained(tmp_path / "plain", steps=4)
    with pytest.raises(JaxganError, match="--eval-every"):
        jaxgan.load(tmp_path / "plain", "best")


def test_samples_are_the_same_whichever_metrics_read_them(run):
    """Labels are drawn from the real ones', though no metric reads them."""
    found = [
        evaluate.evaluate(run, metrics=metrics, source=source(), say=lambda text: None, interval=False)
        for metrics in (("fid",), ("fid", "intra-fid"))
    ]
    assert found[0]["fd/raw/n40/real50/ddof1"] == found[1]["fd/raw/n40/real50/ddof1"]


def test_metrics_of_images_and_of_features_share_what_is_kept(cache):
    both = protocol.Protocol(("fid", "ms-ssim"), "random", 10)
    real = protocol.reference(both, source())
    assert real.keys() == {"features", "labels", "images"} and len(list(cache.iterdir())) == 1
    np.testing.assert_array_equal(real["images"], source().rows(np.arange(50))["x"])
    alone = protocol.Protocol(("ms-ssim",), "inception-2015/clean", 10)  # whose weights nobody asks for
    assert protocol.network(alone) is None and protocol.reference(alone, source()).keys() == {"images", "labels"}


def test_a_balanced_run_is_compared_with_each_example_once(tmp_path):
    r = np.random.default_rng(0)
    uneven = data.from_arrays(r.integers(0, 256, (30, 6, 6, 1), np.uint8), np.arange(30) // 25)
    c = dataclasses.replace(BASE, balance=True, steps=1)
    run = train.run(c, tmp_path / "run", uneven, quiet=True)
    whole = evaluate.reference(run, source=uneven)
    assert whole.size == 30 and data.of_config(c, uneven)[0].size == 50
    digits = dataclasses.replace(BASE, data="mnist5k", balance=True)
    assert evaluate.unmirrored(digits, data.of_config(digits)[0]).fingerprint == data.open_source("mnist5k").fingerprint


@pytest.fixture(scope="module")
def ring(tmp_path_factory):
    dir = tmp_path_factory.mktemp("ring") / "run"
    c = Config(net="mlp", width=8, latent=2, data="ring8", batch=16, steps=4, keep=2, checkpoint_every=2)
    train.run(c, dir, quiet=True)
    return dir


def test_the_command_writes_what_it_found(ring, capsys):
    main(["eval", str(ring)])
    main(["eval", str(ring), "--metrics", "fid", "-n", "300", "--step", "2"])
    main(["eval", str(ring), "--metrics", "fid", "-n", "300", "--no-ema"])
    out = capsys.readouterr().out
    assert "step 4 (final), averaged generator, against ring8" in out and "step 2 (step 2 of 4)" in out
    files = {path.name: json.loads(path.read_text()) for path in (ring / "eval").iterdir()}
    assert files.keys() == {
        "00000004_raw_train_n2500_seed0.json",
        "00000002_raw_train_n300_seed0.json",
        "00000004_raw_train_n300_last_seed0.json",
    }
    found = files["00000002_raw_train_n300_seed0.json"]
    (name,) = found["scores"]
    value, error = found["scores"][name]
    assert f"{name}  {value:.5g} ± {error:.2g}" in out and found["which"] == "step 2 of 4"
    rows = log.read(ring / "metrics.jsonl")
    assert [row["step"] for row in rows] == sorted(row["step"] for row in rows), "rows stay in order"
    assert [row[name] for row in rows if name in row] == [value], "of the averaged generator alone"
    main(["eval", str(ring), "--metrics", "kid", "-n", "300", "--step", "2", "--seed", "1"])
    assert log.read(ring / "metrics.jsonl") == rows, "nor of another seed"
    main(["eval", str(ring), "--metrics", "kid", "-n", "300", "--step", "2"])
    again = json.loads((ring / "eval" / "00000002_raw_train_n300_seed0.json").read_text())["scores"]
    assert len(again) == 2 and again[name] == [value, error], "beside what was there"
    now = log.read(ring / "metrics.jsonl")
    main(["eval", str(ring), "--metrics", "kid", "-n", "300", "--step", "2"])
    assert log.read(ring / "metrics.jsonl") == now, "once"


def test_any_images_may_be_compared(tmp_path, cache, capsys):
    images = data.open_source("mnist5k").rows(np.arange(0, 5000, 50))["x"]
    (tmp_path / "real").mkdir()
    for i, image in enumerate(images):
        Image.fromarray(image[..., 0]).save(tmp_path / "real" / f"{i:02}.png")
    np.savez(tmp_path / "fake.npz", x=images[:80] / np.float32(127.5) - 1)
    np.save(tmp_path / "fake.npy", images[:80])
    kept = {}
    for name in ("fake.npz", "fake.npy"):
        arguments = ["--metrics", "fid", "prdc", "--features", "digits-cnn"]
        main(["eval", "--images", str(tmp_path / name), "--reference", str(tmp_path / "real"), *arguments])
        kept[name] = capsys.readouterr().out.splitlines()[1:6]
    assert kept["fake.npz"] == kept["fake.npy"], "floats are rounded to what they were"
    expected = fid(extract("digits-cnn", images)["features"], extract("digits-cnn", images[:80])["features"])
    assert f"fd/digits-cnn/n80/real100/ddof1  {expected.value:.5g}" in " ".join(kept["fake.npy"])
    Image.fromarray(np.zeros((30, 20), np.uint8)).save(tmp_path / "real" / "odd.png")
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04cut")
    for words, message in {
        f"eval --images {tmp_path}/fake.npy --reference {tmp_path}/real": "expected one size. Give it: --size",
        f"eval --images {tmp_path}/fake.npy": "give a run folder",
        f"eval --images {tmp_path}/none.npy --reference mnist5k": "cannot read arrays from",
        f"eval --images {tmp_path}/cut.npz --reference mnist5k": "cannot read arrays from",
        "eval --images mnist5k --reference ring8": "(28, 28, 1) and of ring8 (2,); expected one shape",
    }.items():
        with pytest.raises(SystemExit):
            main(words.split(" "))
        assert message in capsys.readouterr().err


def test_neighbours_tell_copies_from_new_examples(monkeypatch, cache):
    """Of a generator that copies examples, the copies themselves, at 100 %; of held-out digits 50 % or so."""
    digits = data.open_source("mnist5k")
    c = dataclasses.replace(BASE, kind="plain", data="mnist5k", holdout=1000)
    train, held = data.of_config(c)
    run = jaxgan.run.Run(c, None, {"shape": [28, 28, 1], "classes": 10})
    assert digits.size == train.size + held.size
    for real, expected in ((train, (100, 100)), (held, (35, 65))):
        index = np.arange(0, real.size, real.size // 100)[:100]
        drawn = real.finish(real.rows(index), jax.random.split(jax.random.key(0), 100))["x"]
        monkeypatch.setattr(evaluate, "draws", lambda *_, x=drawn: iter([(np.asarray(x), None)]))
        x, percentile = evaluate.neighbours(run, 100, k=2)
        x = x.reshape(100, 3, 28, 28, 1)
        np.testing.assert_array_equal(x[:, 0], drawn)
        low, high = expected
        assert low <= np.median(percentile) <= high
        copies = np.array([np.array_equal(one, near) for one, near in x[:, :2]])
        assert copies.all() if low == 100 else not copies.any()


def test_a_folder_of_splits_is_compared_with_its_test_images(tmp_path):
    images = data.open_source("mnist5k").rows(np.arange(40))["x"]
    for name, some in (("train", images[:30]), ("test", images[30:])):
        (tmp_path / "set" / name).mkdir(parents=True)
        for i, image in enumerate(some):
            Image.fromarray(image[..., 0]).save(tmp_path / "set" / name / f"{i:02}.png")
    for asked in (f"folder:{tmp_path}/set", f"folder:{tmp_path}/set:train"):
        run = jaxgan.run.Run(dataclasses.replace(BASE, data=asked, size=28), None, {"shape": [28, 28, 1], "classes": 0})
        assert (evaluate.reference(run).size, evaluate.reference(run, "test").size) == (30, 10)
        np.testing.assert_array_equal(evaluate.reference(run, "test").rows(np.arange(10))["x"], images[30:])


@pytest.mark.parametrize("asked", ["hf:x", "hf:x:train", "tfds:x", "tfds:x:train"])
def test_other_splits_have_their_names(asked, monkeypatch):
    monkeypatch.setattr(data, "open_source", lambda name, **how: name)
    assert evaluate.of_split(dataclasses.replace(BASE, data=asked), "test") == f"{asked.split(':')[0]}:x:test"
