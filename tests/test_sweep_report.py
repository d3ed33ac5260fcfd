"""The report of a sweep: its statistics against numpy, what it says of unfinished and broken members, and the page
itself in a real browser.
"""

import json
import math
import re

import numpy as np
import pytest
from PIL import Image

from browser import CHROME, looked
from jaxgan import config
from jaxgan.errors import JaxganError
from jaxgan.sweep import report as module
from jaxgan.sweep.report import band, picture, report, summary

pytest.importorskip("plotly")

WEIRD = 'folder:/a|b/<b id="evil">&amp;`*_\\ü</b></script><script>@DATA@'
MEMBERS = [  # values, status, {step: row}
    ({"loss": "ns", "seed": 0}, "done", {10: {"fid": 9.0}, 20: {"fid": 5.0, "d_loss": 1.0}}),
    ({"loss": "ns", "seed": 1}, "done", {10: {"fid": 7.0}, 20: {"fid": 6.0, "d_loss": 2.0}}),
    ({"loss": "ns", "seed": 2}, "done", {10: {"fid": 8.0}, 20: {"fid": 10.0, "d_loss": 6.0}}),
    ({"loss": "hinge", "seed": 0}, "done", {10: {"fid": 4.0}, 20: {"fid": 3.0, "d_loss": 0.5}}),
    ({"loss": "hinge", "seed": 1}, "non-finite", {10: {"fid": 2.0, "d_loss": math.nan}}),
    ({"loss": "lsgan", "seed": 0}, "running", {10: {"fid": 1.0}}),
    ({"loss": "lsgan", "seed": 1}, "waiting", {}),
    ({"loss": "lsgan", "seed": 2}, "done", {10: {"fid": 0.5}}),  # of 20 steps: more were asked for since
    ({"data": WEIRD, "seed": 0}, "done", {20: {"d_loss": 4.0}}),  # has no FID
]


def member(dir, number, status, rows):
    run = dir / "runs" / f"{number:010x}"
    (run / "samples").mkdir(parents=True)
    lines = [json.dumps({"step": step, "images_per_second": 1e6, **row}) for step, row in rows.items()]
    (run / "metrics.jsonl").write_text("".join(f"{line}\n" for line in lines))
    reason = "d_loss became non-finite at step 13" if status == "non-finite" else ""
    (run / "member.json").write_text(json.dumps({"status": status, "step": max(rows), "reason": reason}))
    Image.new("RGB", (32, 32), (200, 9 * number, 50)).save(run / "samples" / "00000020.png")


@pytest.fixture(scope="module")
def dir(tmp_path_factory):
    dir = tmp_path_factory.mktemp("sweeps") / "losses"
    for number, (_, status, rows) in enumerate(MEMBERS):
        if status != "waiting":
            member(dir, number, status, rows)
    members = [{"id": f"{number:010x}", "values": values} for number, (values, _, _) in enumerate(MEMBERS)]
    sweep = {"format": 1, "experiment": "experiments/ring.py", "members": members, "groups": []}
    (dir / "sweep.json").write_text(
        json.dumps({**sweep, "config": config.to_dict(config.Config(loss="minimax", steps=20))})
    )
    return dir


def setting(found, **values):
    (one,) = [s for s in found["settings"] if values.items() <= s["values"].items()]
    return one


def test_statistics_are_numpys_over_finished_members(dir):
    found = summary(dir, "min fid")
    ns = setting(found, loss="ns")["statistics"]
    for name, values in {"fid": [5.0, 6.0, 10.0], "d_loss": [1.0, 2.0, 6.0]}.items():
        assert ns[name]["mean"] == pytest.approx(np.mean(values), rel=1e-12)
        assert ns[name]["spread"] == pytest.approx(np.std(values, ddof=1), rel=1e-12)
        assert ns[name]["n"] == 3
    assert ns["fid"]["text"] == "7.0 ± 2.6"
    one = setting(found, loss="hinge")
    assert one["statistics"]["fid"] == {"mean": 3.0, "spread": None, "n": 1, "text": "3"}  # not the one that broke
    assert one["counts"] == {"done": 1, "unfinished": 0, "non-finite": 1, "waiting": 0}
    none = setting(found, loss="lsgan")
    assert none["statistics"] == {}
    assert [none["counts"][name] for name in ("unfinished", "waiting")] == [2, 1]
    assert set(setting(found, loss="minimax", data=WEIRD)["statistics"]) == {"d_loss"}  # what it does not set is base's
    assert [s["values"]["loss"] for s in found["settings"]] == ["hinge", "ns", "lsgan", "minimax"]  # unmeasured last


def test_objective(dir):
    assert summary(dir)["objective"]["text"] == "min fid"  # the natural one of these metrics
    two = summary(dir, "max d_loss, min fid")  # all rank, the last colours
    assert [s["values"]["loss"] for s in two["settings"]] == ["minimax", "ns", "hinge", "lsgan"]
    assert two["objective"] == {"text": "max d_loss, min fid", "direction": "min", "metric": "fid"}
    tie = [{"statistics": {"a": {"mean": 1.0}, "b": {"mean": b}}} for b in (2.0, 1.0)]
    assert module._rank(tie[1], [("max", "a"), ("min", "b")]) < module._rank(tie[0], [("max", "a"), ("min", "b")])
    high, low = (summary(dir, f"{direction} d_loss")["settings"] for direction in ("max", "min"))
    ranked = [s["statistics"]["d_loss"]["mean"] for s in low[:3]]
    assert ranked == sorted(ranked) == [s["statistics"]["d_loss"]["mean"] for s in high[:3]][::-1]


@pytest.mark.parametrize(
    ("objective", "named"),
    [("fid", '"max METRIC"'), ("most fid", '"max METRIC"'), ("min", '"max METRIC"'), ("min fdi", "Did you mean 'fid'")],
)
def test_an_objective_that_is_none(dir, objective, named):
    with pytest.raises(JaxganError, match=named):
        report(dir, objective)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (None, "no sweep.json; make one: jaxgan sweep EXPERIMENT"),
        ("{", "sweep.json cannot be used"),
        ('{"members": [], "config": {}}', "sweep.json cannot be used"),
    ],
)
def test_a_folder_without_a_sweep(tmp_path, text, named):
    if text is not None:
        (tmp_path / "sweep.json").write_text(text)
    with pytest.raises(JaxganError, match=named):
        report(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_bands_are_numpys_over_the_seeds_that_got_there():
    r = np.random.default_rng(0)
    runs = [[{"step": step, "loss": float(r.normal())} for step in range(10, 10 * n, 10)] for n in (9, 9, 6, 3)]
    runs[0][1]["loss"] = math.inf  # at step 20
    steps, means, spreads = band(runs, "loss", 100)
    assert steps == list(range(10, 90, 10))
    for step, mean, spread in zip(steps, means, spreads):
        values = [row["loss"] for rows in runs for row in rows if row["step"] == step and math.isfinite(row["loss"])]
        assert mean == pytest.approx(np.mean(values), rel=1e-4)  # five digits are kept
        assert spread == pytest.approx(np.std(values, ddof=1), rel=1e-4)
    assert band(runs[:1], "loss", 100)[2] == [None] * 7
    thin = band(runs, "loss", 3)
    assert thin[0] == [10, 50, 80] and thin[1] == [means[steps.index(step)] for step in thin[0]]  # the ends stay


def test_texts_round_to_two_digits_of_the_spread():
    cases = {
        (0.9641, 0.00232): "0.9641 ± 0.0023",
        (1234.5, 67.8): "1234 ± 68",
        (3.0, None): "3",
        (3.0, 0.0): "3 ± 0",
        (5e7, 1e6): "5e+07 ± 1e+06",
        (0.0, 3e-12): "0 ± 3e-12",
    }
    assert {case: module._described((*case, 2))["text"] for case in cases} == cases


def test_pictures_fit_their_budget(tmp_path):
    """A page of 64 members: plotly is 5 MB, and base64 makes 3 bytes 4."""
    noise = np.random.default_rng(0).integers(0, 256, (600, 600, 3), np.uint8)  # the worst case: incompressible
    Image.fromarray(noise).save(tmp_path / "00000100.png")
    budget = module.PICTURES // 64
    small = picture(tmp_path, budget)
    assert budget / 4 < len(small) * 3 / 4 < budget + 50  # as large as it may be, up to the next step of sizes
    assert 64 * len(small) + 5_000_000 < 15_000_000
    assert picture(tmp_path, 1000) is None
    assert picture(tmp_path / "none", budget) is None


def test_markdown_is_a_table_of_the_settings(dir):
    text = report(dir, "min fid")[1].read_text()
    rows = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[c.strip() for c in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]
    counts = ["finished", "unfinished", "non-finite", "waiting"]
    assert cells[0] == ["loss", "data", "fid", r"d\_loss", *counts]
    assert len({len(row) for row in cells}) == 1 and len(cells) == 6  # a pipe in a value adds no column
    assert cells[2][:1] + cells[2][2:] == ["hinge", "3", "0.5", "1", "0", "1", "0"]
    assert cells[3][:1] + cells[3][2:] == ["ns", "7.0 ± 2.6", "3.0 ± 2.6", "3", "0", "0", "0"]
    assert re.sub(r"\\(.)", r"\1", cells[5][1]) == WEIRD and "±" in text.splitlines()[-1]


PROBE = """
  const column = (table, n) => texts(`#${table} tbody tr td:nth-child(${n})`);
  const heading = (table, name) => [...document.querySelectorAll(`#${table} th`)].find(e => e.textContent === name);
  const click = (table, name) => heading(table, name).click();
  found.heads = texts("#settings th");
  found.best = texts("#settings .best td");
  found.unsorted = column("settings", 1);
  click("settings", "fid"); found.up = column("settings", 3);
  click("settings", "fid"); found.down = column("settings", 3);
  click("members", "status"); found.statuses = column("members", 5);
  found.links = [...document.querySelectorAll("#members a")].map(e => e.getAttribute("href")).sort();
  found.plots = Object.fromEntries(["parallel", "parameters", "curves"].map(id => {
    const box = document.getElementById(id).getBoundingClientRect();
    return [id, [document.querySelectorAll(`#${id} svg.main-svg`).length > 0, box.width, box.height]];
  }));
  found.lines = document.querySelectorAll("#curves .scatterlayer .trace .js-line").length;
  found.dots = document.querySelectorAll("#parameters .scatterlayer .point").length;
  const title = () => texts("#curves .ytitle")[0];
  const choice = document.getElementById("metric");
  found.first = title();
  choice.value = "d_loss"; choice.dispatchEvent(new Event("change"));
  found.second = title();
  found.axis = texts("#parameters .xtick");
  found.pictures = [...document.querySelectorAll("figure img")].filter(i => i.complete && i.naturalWidth === 32).length;
  found.captions = texts("figcaption");
  found.evil = document.querySelectorAll("#evil").length;
  found.data = column("members", 3);
  found.fetched = performance.getEntriesByType("resource").map(e => e.name).filter(n => !/^(data|blob):/.test(n));
"""


@pytest.fixture(scope="module")
def browsed(dir, tmp_path_factory):
    """(what a script in the page found, the browser's console) of a page as a user opens it."""
    if CHROME is None:
        pytest.skip("no chromium or chrome here: the page is not looked at in a browser")
    page = report(dir, "min fid")[0].read_text()
    return looked(page, PROBE, tmp_path_factory.mktemp("browser"))


def test_the_page_stands_alone(dir, browsed):
    found, console = browsed
    assert [line for line in console if "GL Driver Message" not in line] == []
    assert found["fetched"] == []
    page = (dir / "report.html").read_text()
    own = page.replace(module.plotly(), "")
    assert len(own) < 100_000 and not re.search(r"https?://|//[a-z]+\.[a-z]", own)
    assert "default-src 'none'" in own  # a browser refuses whatever the page might ask for


def test_the_page_shows_everything(browsed):
    found, _ = browsed
    heads = ["loss", "data", "fid", "d_loss", "finished", "unfinished", "non-finite", "waiting"]
    assert found["heads"] == heads
    assert found["best"][0] == "hinge" and found["unsorted"] == ["hinge", "ns", "lsgan", "minimax"]
    assert found["links"] == [f"runs/{number:010x}/" for number in range(len(MEMBERS))]
    for name, (drawn, width, height) in found["plots"].items():
        assert drawn and width > 600 and height > 200, name
    assert found["lines"] >= 3  # settings with FIDs
    assert found["dots"] == 4 + 2  # finished members with a FID, and the medians of the two losses
    assert found["axis"] == ["hinge", "ns"]
    assert found["pictures"] == 8
    assert found["captions"][0].startswith("fid 3. loss hinge") and "(non-finite)" in "".join(found["captions"])
    assert found["evil"] == 0 and found["data"].count(WEIRD) == 1  # a value is text, whatever it holds


def test_the_page_sorts_and_chooses(browsed):
    found, _ = browsed
    assert found["up"] == ["3", "7.0 ± 2.6", "-", "-"]
    assert found["down"] == ["7.0 ± 2.6", "3", "-", "-"]  # what is missing stays last
    assert found["statuses"] == ["done"] * 5 + ["non-finite", "unfinished", "unfinished", "waiting"]
    assert (found["first"], found["second"]) == ("fid", "d_loss")
