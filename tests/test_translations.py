"""Evaluation of runs that translate: each image beside its target, translations as a set, and by several codes."""

import json
import shutil

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxgan import data, evaluate, log, looks, project, protocol, train, translations
from jaxgan.cli import main
from jaxgan.config import Config, Eval, Hp
from jaxgan.errors import JaxganError
from jaxgan.games import make
from jaxgan.games.upscale import smaller
from jaxgan.metrics import METRICS, fid, ssim
from jaxgan.metrics.diversity import between
from jaxgan.run import latents
from runs import untrained

DRAW = np.random.default_rng(0)
PAIRS = DRAW.integers(0, 256, (20, 6, 6, 2), np.uint8)
FLOAT = PAIRS / 127.5 - 1
pytestmark = pytest.mark.filterwarnings("ignore:FID of")
RAW = {"features": "raw", "say": lambda text: None, "interval": False}


def of_pixels(distance, shape, say):
    """A stand-in for LPIPS, whose weights are not here."""
    return "lpips", lambda weights, a, b: jnp.abs(a - b).mean((1, 2, 3)), None


@pytest.fixture
def near(monkeypatch):
    monkeypatch.setattr(project, "measure", of_pixels)


def rounded(x):
    return np.clip(np.asarray(x) * 127.5 + 128, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("part", [3, 512])
def test_a_translation_is_beside_its_own_target(near, monkeypatch, part):
    """Means over the rows of those formulas, whichever parts they are made in: row and code stay together."""
    monkeypatch.setattr(protocol, "PART", part)
    run, source = untrained((6, 6, 2), kind="bicyclegan"), data.from_arrays(PAIRS)
    made = run.translate(FLOAT[..., :1], latents(run.game, 20, 3), finished=True)
    a, b = rounded(made).astype(float), PAIRS[..., 1:].astype(float)
    found = evaluate.evaluate(run, ("l1", "psnr", "ssim", "lpips", "fid"), seed=3, source=source, **RAW)
    expected = {
        "l1/images/n20": abs(a - b).mean() / 127.5,
        "psnr/images/n20/most100": (20 * np.log10(255) - 10 * np.log10(((a - b) ** 2).mean((1, 2, 3)))).mean(),
        "ssim/images/n20": ssim(rounded(made), PAIRS[..., 1:]).mean(),
        "lpips/vgg16/n20": abs(a - b).mean() / 127.5,
        "fd/raw/n20/ddof1": fid(FLOAT[..., 1].reshape(20, -1), made.reshape(20, -1), features="raw").value,
    }
    assert list(found) == list(expected)
    np.testing.assert_allclose([score.value for score in found.values()], list(expected.values()), rtol=1e-4)


def test_diversity_is_that_between_codes_and_that_of_targets(near, monkeypatch):
    monkeypatch.setattr(translations, "INPUTS", 10)
    run, source = untrained((6, 6, 2), kind="pix2pix"), data.from_arrays(PAIRS)
    found = evaluate.evaluate(run, ("diversity",), source=source, **RAW)
    rows = protocol.rows_of(source, 10)
    z = latents(run.game, 40, 0).reshape(10, 4, -1)
    a, b = FLOAT[rows, ..., :1], FLOAT[rows, ..., 1:]
    made = np.stack([rounded(run.translate(a, z[:, k], finished=True)) / 127.5 for k in range(4)], 1)
    far = lambda x, y: abs(x - y).mean((1, 2, 3))  # noqa: E731
    order = np.random.default_rng(0).permutation(10)
    assert list(found) == ["diversity/lpips/n40/codes4", "diversity-data/lpips/n10/pairs5"]
    expected = between(made, far), np.mean([far(b[[i]], b[[j]]) for i, j in order.reshape(5, 2)])
    np.testing.assert_allclose([score.value for score in found.values()], expected, rtol=1e-5)


def test_equal_images_count_for_a_hundred_decibels():
    x = PAIRS[:2]
    off = x.copy()
    off[0] ^= 1  # by one everywhere
    assert METRICS["psnr"](off, x).value == pytest.approx((20 * np.log10(255) + 100) / 2)
    assert METRICS["l1"](FLOAT, FLOAT + 0.25).value == pytest.approx(0.25)


def test_both_ways_are_against_the_set_that_they_lead_to():
    run, source = untrained((6, 6, 2), kind="cyclegan"), data.from_arrays(PAIRS)
    for back in (False, True):
        made = run.translate(FLOAT[..., [int(back)]], back=back, finished=True).reshape(20, -1)
        real = FLOAT[..., 1 - back].reshape(20, -1)
        found = evaluate.evaluate(run, ("fid",), source=source, back=back, **RAW)
        assert found["fd/raw/n20/ddof1"].value == pytest.approx(fid(real, made, features="raw").value, rel=1e-4)
    sides = [translations.target(run.game, source, back) for back in (False, True)]
    assert len({source.fingerprint, *(side.fingerprint for side in sides)}) == 3, "features of each are kept apart"


def test_examples_are_turned_into_classes_of_others(monkeypatch):
    """By chance as the others are: of a class as often as it is among them."""
    own, labels = np.repeat([0, 1, 2], 3000), np.repeat([0, 1, 2], [10, 20, 70])
    asked = translations.others(own, labels, 3, np.random.default_rng(0))
    shares = np.stack([np.bincount(asked[own == c], minlength=3) / 3000 for c in range(3)])
    np.testing.assert_allclose(shares, [[0, 2 / 9, 7 / 9], [1 / 8, 0, 7 / 8], [1 / 3, 2 / 3, 0]], atol=0.04)
    assert set(translations.others(own[:9], labels[:9], 3, np.random.default_rng(0))) == {1, 2}
    y = np.arange(20) % 3
    run, source = untrained((6, 6, 1), classes=3, kind="stargan"), data.from_arrays(PAIRS[..., :1], y)
    p = evaluate.planned(run.config, run.game, Eval(("intra-fid",), "raw"), source)
    real, fake = evaluate.sets(run, p, source)
    assert (fake["labels"] != y).all() and (real["labels"] == y).all()
    turned = run.translate(FLOAT[..., :1], labels=fake["labels"], finished=True)
    np.testing.assert_allclose(fake["features"], turned.reshape(20, -1), atol=1e-6)


def test_upscalers_are_beside_what_they_had_to_find(near):
    small = {"net": "rrdb", "factor": 2, "rrdb": {"blocks": 1, "growth": 2}, "width": 4}
    run, x = untrained((8, 8, 3), kind="upscale", **small), DRAW.integers(0, 256, (5, 8, 8, 3), np.uint8)
    found = evaluate.evaluate(run, source=data.from_arrays(x), **RAW)
    low = smaller(x / np.float32(127.5) - 1, 2)
    error = abs(rounded(run.translate(low, finished=True)) / 127.5 - x / 127.5).mean()
    assert [name.split("/")[0] for name in found] == ["l1", "psnr", "ssim", "lpips"]
    assert found["l1/images/n5"].value == pytest.approx(error, rel=1e-4)


def usual(shape=(6, 6, 2), **settings):
    c = Config(net="mlp", width=8, **{"data": "pairs:x", **settings})
    game = make(c, shape, 0)
    return translations.usual(c, game, (*shape[:-1], shape[-1] // 2))


def test_what_is_left_out_suits_the_kind(near, monkeypatch):
    beside = ("l1", "psnr", "ssim", "lpips")
    assert usual(kind="bicyclegan") == usual(kind="pix2pix") == (*beside, "diversity")
    assert usual(kind="pix2pix", latent=0) == beside
    assert usual(kind="cyclegan") == usual(kind="cyclegan", data="unpaired:x") == protocol.USUAL
    assert usual(shape=(4,), kind="pix2pix") == ("l1",)
    monkeypatch.undo()
    assert usual(kind="pix2pix") == beside[:3], "images of 6 pixels are too small for LPIPS"


@pytest.mark.parametrize(
    "asked, settings, message",
    [
        (
            ("ssim",),
            {"kind": "cyclegan", "data": "mnist5k_outlines:unpaired"},
            "ssim compares a translation with its target",
        ),
        (("diversity",), {"kind": "cyclegan"}, "by different z, and this run of kind 'cyclegan'"),
        (("diversity",), {"kind": "pix2pix", "latent": 0}, "--latent above 0"),
        (("ppl-z",), {"kind": "pix2pix"}, "ppl-z follows paths between latents"),
        (("accuracy",), {"kind": "pix2pix"}, "reads logits"),
        (("lpips",), {"kind": "pix2pix"}, "lpips compares images of 16 pixels or more"),
        (("psnr",), {"kind": "plain"}, "psnr is of translations, and kind 'plain'"),
    ],
)
def test_what_a_kind_has_not_is_refused(asked, settings, message):
    c = Config(net="mlp", width=8, eval_every=1, eval=Eval(asked, "raw"), **{"data": "mnist5k_outlines", **settings})
    with pytest.raises(JaxganError, match=message):
        looks.looks(c, data.from_arrays(PAIRS))


def test_one_way_has_no_way_back_nor_two_folders_a_target(tmp_path):
    run, source = untrained((6, 6, 2), kind="pix2pix"), data.from_arrays(PAIRS)
    with pytest.raises(JaxganError, match="one way only"):
        evaluate.evaluate(run, ("fid",), source=source, back=True, **RAW)
    with pytest.raises(JaxganError, match="none that could be learned"):
        evaluate.neighbours(run, source=source)
    np.save(tmp_path / "x.npy", PAIRS[..., :1])
    with pytest.raises(JaxganError, match="l1 is of translations, so it is of a run"):
        evaluate.compare(str(tmp_path / "x.npy"), str(tmp_path / "x.npy"), ("l1",))


def columns(dir):
    return [row["l1/images/n20"] for row in log.read(dir / "metrics.jsonl") if "l1/images/n20" in row]


def test_on_the_command_line_and_in_training(tmp_path, capsys):
    """Held-out pairs, by the file and by the column; a look says what the command says."""
    c = Config(
        **{"kind": "pix2pix", "data": "mnist5k_outlines", "size": 8, "holdout": 30, "net": "mlp", "width": 8},
        **{"depth": 1, "latent": 0, "batch": 8, "steps": 2, "eval_every": 2, "eval": Eval(n=20)},
        **{"log_every": 1, "sample_every": 0, "hp": Hp(ema_half_life=0.0)},
    )
    run = train.run(c, tmp_path / "run", quiet=True)
    (looked,) = columns(run.dir)
    main(["eval", str(run.dir)])
    assert "20 translations, split holdout" in capsys.readouterr().out
    (path,) = (run.dir / "eval").glob("*.json")
    written = json.loads(path.read_text())
    assert written["split"] == "holdout" and list(written["scores"]) == ["l1/images/n20", *list(written["scores"])[1:]]
    column = written["scores"]["l1/images/n20"][0]
    assert set(columns(run.dir)) == {looked} == {column}
    held = evaluate.reference(run, "holdout")
    rows = held.rows(protocol.rows_of(held, 20))["x"]
    made = run.translate(rows[..., :1])
    assert column == pytest.approx(abs(rounded(made) / 127.5 - rows[..., 1:] / 127.5).mean(), rel=1e-4)


def test_the_test_split_comes_before_what_was_trained_on(tmp_path):
    for split, value in (("train", 50), ("test", 200)):
        for side in "AB":
            (folder := tmp_path / f"{split}{side}").mkdir()
            for i in range(3):
                Image.new("RGB", (8, 8), (value + i, 0, 0)).save(folder / f"{i}.png")
    run = untrained((8, 8, 6), kind="cyclegan", data=f"unpaired:{tmp_path}", size=8)
    source, split = evaluate.default(run)
    assert split == "test" and source.rows(np.arange(3))["x"].max() == 202
    (tmp_path / "testA" / "0.png").write_bytes(b"no image")
    with pytest.raises(JaxganError, match=r"testA: 1 of 3 files cannot be read"):  # and nothing else in its place
        evaluate.default(run)
    for side in "AB":
        shutil.rmtree(tmp_path / f"test{side}")
    assert evaluate.default(run)[1] == "train"
    gone = untrained((8, 8, 6), kind="cyclegan", data=f"unpaired:{tmp_path / 'no'}", size=8)
    with pytest.raises(JaxganError, match="does not exist"):
        evaluate.default(gone)
    assert evaluate.tested(Config(data="mnist5k_outlines")) is None
