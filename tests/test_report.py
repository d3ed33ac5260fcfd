"""The report of runs: what its page says, from the files of run folders; and the page itself in a real browser."""

import io
import json
import re
from base64 import b64decode

import numpy as np
import pytest
from PIL import Image

from browser import CHROME, looked
from jaxgan import cli, config, report
from jaxgan.config import Config, Hp
from jaxgan.sweep import report as pages

pytest.importorskip("plotly")

FID = "fd/digits-cnn/n500/ddof1"
WEIRD = '</script><b id="evil">@DATA@'


def made(dir, c, rows, scores=(), pictures=(), **start):
    """A run folder by hand; scores: {step: [FID, error]}, pictures: {step: shade of grey}."""
    for name in ("samples", "eval"):
        (dir / name).mkdir(parents=True)
    (dir / "config.json").write_text(json.dumps(config.to_dict(c)))
    started = {
        "time": "2026-01-02T03:04:05",
        "command": ["/x/bin/jaxgan", "train", "a b.py"],
        "devices": ["cpu"],
        **start,
    }
    env = {"shape": [8, 8, 1], "classes": 0, "fingerprint": "f" * 64, "starts": [started]}
    (dir / "env.json").write_text(json.dumps(env))
    (dir / "metrics.jsonl").write_text("".join(json.dumps({"step": step, **row}) + "\n" for step, row in rows.items()))
    about = {"which": "final", "generator": "ema", "split": "train"}
    for step, value in dict(scores).items():
        (dir / "eval" / f"{step:08d}_x.json").write_text(json.dumps({"step": step, **about, "scores": {FID: value}}))
    for step, shade in dict(pictures).items():
        Image.new("L", (16, 16), shade).save(dir / "samples" / f"{step:08d}.png")
    return dir


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    home = tmp_path_factory.mktemp("runs")
    base = Config(steps=20, batch=8)
    curve = {10: {"d_loss": 1.0, "images_per_second": 9.0}, 20: {"d_loss": 0.5, FID: 3.0, "digest": "0" * 64}}
    a = made(home / "a", base, curve, {20: [3.0, 0.25], 10: [7.0, None]}, {10: 50, 20: 100}, versions={"jax": "0.10"})
    changed = Config(steps=40, batch=8, loss="hinge", data=WEIRD, hp=Hp(g_lr=0.5))
    b = made(home / "deep" / "a", changed, {20: {"d_loss": float("nan")}, 30: {"d_loss": 2.0}}, (), {5: 10, 15: 200})
    return a, b


def test_curves_carry_the_errors_of_evaluations(runs):
    found = report.summary(list(runs))
    a, b = found["settings"]
    assert a["curves"][FID] == ([20], [3.0], [0.25])
    assert a["curves"]["d_loss"] == ([10, 20], [1.0, 0.5], [None, None])
    assert b["curves"] == {"d_loss": ([30], [2.0], [None])}, "what is not finite has no place in a curve"
    assert found["drawn"] == [FID, "d_loss"] and found["metrics"] == [FID]
    assert [(e["run"], e["step"], e["scores"][FID]) for e in found["evaluations"]] == [
        (a["label"], 10, [7.0, None]),
        (a["label"], 20, [3.0, 0.25]),
    ]
    assert [(run["step"], run["steps"]) for run in (a, b)] == [(20, 20), (30, 40)]


def test_settings_that_differ(runs):
    differing = report.summary(list(runs))["differing"]
    assert differing == {
        "hp.g_lr": ["0.0002", "0.5"],
        "loss": ["ns", "hinge"],
        "data": ["mnist5k", WEIRD],
        "steps": ["20", "40"],
    }
    assert report.summary([runs[0]])["differing"] == {"batch": ["8"], "steps": ["20"]}, "one run: against the defaults"


def test_names_are_as_long_as_tells_them_apart(runs, tmp_path):
    assert report.named([*runs]) == [f"{runs[0].parent.name}/a", "deep/a"]
    assert report.named([runs[0]]) == ["a"]


def test_environment_and_commands(runs):
    said = report.environment([*runs])
    assert said["commands"] == ["jaxgan train 'a b.py'"] * 2 and said["versions"] == ["jax 0.10", "-"]
    assert said["data"][0] == "ffffffffffff, examples 8x8x1, 0 classes"


def test_pictures_over_time_keep_both_ends(tmp_path):
    dir = made(tmp_path / "run", Config(), {}, (), {step: step for step in range(1, 101)})
    found = report.pictures(dir, 10_000)
    steps = [step for step, _ in found]
    assert len(steps) == report.FRAMES and steps[0] == 1 and steps[-1] == 100
    assert np.ptp(np.diff(steps)) <= 1
    for step, uri in found:
        image = Image.open(io.BytesIO(b64decode(uri.partition("base64,")[2])))
        assert image.getpixel((3, 3)) == (step,) * 3


def test_the_command_writes_where_it_is_asked_to(runs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    cli.main(["report", str(runs[0])])
    cli.main(["report", *map(str, runs)])
    cli.main(["report", *map(str, runs), "--out", "x.html"])
    assert capsys.readouterr().out.split() == [str(runs[0] / "report.html"), "report.html", "x.html"]
    page = (tmp_path / "x.html").read_text("utf-8")
    own = page.replace(pages.plotly(), "")
    assert len(own) < 100_000 and not re.search(r"https?://|//[a-z]+\.[a-z]", own) and "default-src 'none'" in own
    assert "@STYLE@" not in own and "@PARTS@" not in own and WEIRD not in page


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ([], "which runs? jaxgan report RUN"),
        (["none"], "there is no run folder none"),
        (["run", "run/../run"], "a run is named twice"),
        (["run", "--out", "x.pdf"], "--out is x.pdf; expected a name that ends in .html"),
        (["run", "--out", "none/x.html"], "--out is none/x.html; expected a name that ends in .html, in a folder"),
        (["bad"], "is no evaluation (JSONDecodeError"),
    ],
    ids=" ".join,
)
def test_refusals(words, named, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    made(tmp_path / "run", Config(), {})
    made(tmp_path / "bad", Config(), {})
    (tmp_path / "bad" / "eval" / "x.json").write_text("{")
    with pytest.raises(SystemExit):
        cli.main(["report", *words])
    assert named in capsys.readouterr().err and not [*tmp_path.glob("*.html")]


PROBE = """
  const cells = id => texts(`#${id} tbody td`), slider = document.getElementById("time");
  found.runs = cells("runs"); found.evaluations = cells("evaluations"); found.differing = cells("differing");
  [...document.querySelectorAll("#evaluations th")].find(e => e.textContent.startsWith("fd")).click();
  found.sorted = cells("evaluations");
  found.title = texts("#curves .ytitle")[0]; found.captions = texts("figcaption"); found.now = texts("#now")[0];
  slider.value = 0; slider.dispatchEvent(new Event("input"));
  found.first = texts("figcaption");
  found.pictures = [...document.querySelectorAll("figure img")].filter(i => i.naturalWidth === 16).length;
  found.evil = document.querySelectorAll("#evil").length;
"""


@pytest.mark.slow
def test_the_page_in_a_browser(runs, tmp_path):
    if CHROME is None:
        pytest.skip("no chromium or chrome here: the page is not looked at in a browser")
    page = report.report(runs, tmp_path / "x.html").read_text("utf-8")
    found, console = looked(page, PROBE, tmp_path)
    assert [line for line in console if "GL Driver Message" not in line] == []
    one, two = f"{runs[0].parent.name}/a", "deep/a"
    assert found["runs"][:4] == [one, "finished", "20", "20"] and found["runs"][7:11] == [two, "unfinished", "30", "40"]
    assert found["evaluations"] == [
        one,
        "10",
        "final",
        "ema",
        "train",
        "7",
        one,
        "20",
        "final",
        "ema",
        "train",
        "3 ± 0.25",
    ]
    assert found["sorted"] == found["evaluations"][6:] + found["evaluations"][:6]
    assert found["differing"][:3] == ["hp.g_lr", "0.0002", "0.5"] and WEIRD in found["differing"]
    assert found["title"] == FID and found["now"] == "20" and found["pictures"] == 2 and found["evil"] == 0
    assert found["captions"] == [f"{one}, step 20", f"{two}, step 15"]
    assert found["first"] == [f"{one}, step 10", f"{two}, step 5"]
