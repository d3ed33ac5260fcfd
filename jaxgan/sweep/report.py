"""The report of a sweep: report.html, one page that needs nothing but itself, and report.md, a table for papers.

A setting is what members share besides the seed. Statistics of a setting are over its finished members.
"""

import base64
import io
import json
import math
import re
import shlex
from html import escape
from pathlib import Path

import numpy as np

from jaxgan import config, disk, log, plots, run_folder
from jaxgan.config import Config
from jaxgan.errors import JaxganError
from jaxgan.sweep import store, table

STATUSES = ("done", "unfinished", "non-finite", "waiting")
INTERNAL = {"step", "digest", "images_per_second"}  # columns of metrics.jsonl that measure no model
MOVING = ("d_real", "d_fake", "d_grad", "g_grad")  # these are drawn, but would crowd the tables
SHOWN = 16  # settings whose curves are visible at first
POINTS = 200_000  # numbers that all curves of a page may have together, about 2 MB
SHARED = {"STYLE": "page.css", "PARTS": "page.js"}  # of all pages
PICTURES = 7_000_000  # bytes that all pictures of a page may have together, before base64


def report(dir, objective: str = "") -> tuple[Path, Path]:
    """Write report.html and report.md into the sweep folder dir -> their paths.

    objective: "max METRIC" or "min METRIC", several with commas: all rank, the last colours; empty is the natural one.
    Raises JaxganError if dir holds no sweep, or no member has that metric.
    """
    dir = Path(dir).expanduser()
    javascript = plotly()
    found = summary(dir, objective)
    budget = PICTURES // max(1, len(found["members"]))
    for member in found["members"]:
        member["picture"] = picture(store.run_dir(dir, member["id"]) / "samples", budget)
    html, markdown = dir / "report.html", dir / "report.md"
    disk.write(html, page(Path(__file__).with_name("page.html"), found, javascript))
    disk.write(markdown, _markdown(found))
    return html, markdown


def plotly() -> str:
    """The library that pages draw with."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        raise JaxganError("the report needs plotly: pip install 'jaxgan[sweep]'") from None
    return get_plotlyjs()


def summary(dir: Path, objective: str = "") -> dict:
    """What the report says, as JSON values: parameters, settings with statistics and curves, members, objective."""
    members = store.members(dir)
    parameters = list(dict.fromkeys(name for values, _ in members.values() for name in values if name != "seed"))
    runs = [_member(dir, id, c, parameters) for id, (_, c) in members.items()]
    rows = {run["id"]: run.pop("rows") for run in runs}
    known = list(dict.fromkeys(name for run in runs for name in run["last"]))
    aims = table.objectives(objective, store.results(dir))
    goal = {"text": ", ".join(map(" ".join, aims)), "direction": aims[-1][0], "metric": aims[-1][1]} if aims else None
    metrics = [name for name in known if name not in MOVING]
    metrics.sort(key=lambda name: goal is None or name != goal["metric"])
    groups: dict[str, list[dict]] = {}
    for run in runs:
        groups.setdefault(run["label"], []).append(run)
    points = max(20, min(200, POINTS // (3 * max(1, len(groups) * len(known)))))
    settings = [_setting(group, known, rows, points) for group in groups.values()]
    settings.sort(key=lambda setting: _rank(setting, aims))
    drawn = sorted(known, key=lambda name: (goal is None or name != goal["metric"], name in MOVING))
    return {
        "title": f"Sweep {dir.absolute().name}",
        "experiment": store.read(dir)["experiment"],
        "command": _command(dir, members),
        "swept": _swept(runs, parameters),
        "objective": goal,
        "parameters": parameters,
        "metrics": metrics,
        "drawn": [name for name in drawn if any(name in s["curves"] for s in settings)],
        "shown": SHOWN,
        "statuses": [status for status in STATUSES if any(run["status"] == status for run in runs)],
        "settings": settings,
        "members": runs,
    }


def _member(dir: Path, id: str, c: Config, parameters: list[str]) -> dict:
    """One member: its values of all parameters, its state, the last value of each metric, and rows of metrics."""
    rows, state, flat = log.read(store.run_dir(dir, id) / "metrics.jsonl"), store.standing(dir, id), config.flat(c)
    step = max((row["step"] for row in rows), default=0)
    short = state["status"] == "done" and step < c.steps  # more steps were asked for since
    partly = state["status"] == "running" or short  # also what a search gave up
    return {
        "id": id,
        "values": {name: _plain(flat[name]) for name in parameters},
        "label": ", ".join(f"{name} {_text(flat[name])}" for name in parameters) or "as configured",
        "seed": c.seed,
        "status": "unfinished" if partly else state["status"],
        "reason": state["reason"],
        "step": step,
        "last": {name: value for row in rows for name, value in row.items() if measured(name, value)},
        "rows": rows,
    }


def measured(name: str, value) -> bool:
    """Whether a column of metrics.jsonl holds a finite number that says something of the model."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and name not in INTERNAL and math.isfinite(value)


def _plain(value):
    return value if isinstance(value, int | float) and not isinstance(value, bool) else _text(value)


def _text(value) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _setting(runs: list[dict], metrics: list[str], rows: dict, points: int) -> dict:
    """Statistics of members that differ in the seed alone."""
    done = [run for run in runs if run["status"] == "done"]
    lasts = {name: [run["last"][name] for run in done if name in run["last"]] for name in metrics}
    curves = {name: band([rows[run["id"]] for run in runs], name, points) for name in metrics}
    return {
        "values": runs[0]["values"],
        "label": runs[0]["label"],
        "counts": {status: sum(run["status"] == status for run in runs) for status in STATUSES},
        "statistics": {name: _described(statistic(values)) for name, values in lasts.items() if values},
        "curves": {name: curve for name, curve in curves.items() if curve[0]},
    }


def statistic(values: list[float]) -> tuple[float, float | None, int]:
    """(mean, sample standard deviation or None for one value, number) of finite values."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None, len(values)


def band(runs: list[list[dict]], metric: str, points: int) -> tuple[list, list, list]:
    """(steps, means, sample standard deviations or None) of a metric over runs, at no more than `points` steps.

    At each step over the runs that recorded a finite value there.
    """
    values: dict[int, dict[int, float]] = {}
    for index, rows in enumerate(runs):
        for row in rows:
            if metric in row and measured(metric, row[metric]):
                values.setdefault(row["step"], {})[index] = row[metric]
    steps = sorted(values)
    if len(steps) > points:
        steps = [steps[i] for i in np.unique(np.linspace(0, len(steps) - 1, points).round().astype(int))]
    found = [statistic([*values[step].values()]) for step in steps]
    return steps, [_short(mean) for mean, _, _ in found], [_short(spread) for _, spread, _ in found]


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.5g}")


def _rank(setting: dict, aims: list[tuple[str, str]]) -> list[float]:
    """What settings are sorted by, in turn: what has no value comes last."""
    means = [(direction, setting["statistics"].get(metric)) for direction, metric in aims]
    return [math.inf if x is None else -x["mean"] if direction == "max" else x["mean"] for direction, x in means]


def _swept(runs: list[dict], parameters: list[str]) -> dict[str, str]:
    """{parameter: its values, or how many there are and their range}, seeds at the end."""
    swept = {}
    for name in [*parameters, "seed"]:
        values = list(dict.fromkeys(run["seed"] if name == "seed" else run["values"][name] for run in runs))
        if len(values) <= 12:
            swept[name] = ", ".join(map(_text, values))
        elif all(isinstance(value, int | float) for value in values):
            swept[name] = f"{len(values)} values from {_text(min(values))} to {_text(max(values))}"
        else:
            swept[name] = f"{len(values)} values, such as {', '.join(map(_text, values[:5]))}"
    return swept


def _command(dir: Path, ids) -> str:
    """The command that first started a member, or that which reports again."""
    for id in ids:
        if (store.run_dir(dir, id) / "env.json").exists():
            return command(run_folder.read_env(store.run_dir(dir, id))["starts"][0]["command"])
    return f"jaxgan sweep report {shlex.quote(str(dir))}"


def command(words: list[str]) -> str:
    """A start's command, as one types it."""
    path = Path(words[0])
    return shlex.join(["jaxgan" if "jaxgan" in (path.stem, path.parent.name) else words[0], *words[1:]])


def picture(samples: Path, budget: int) -> str | None:
    """The last picture in a folder as a data URI of at most `budget` bytes before base64, or None."""
    paths = sorted(samples.glob("[0-9]*.png"))
    return shrunk(paths[-1], budget) if paths else None


def shrunk(path: Path, budget: int) -> str | None:
    """A picture as a data URI of at most `budget` bytes before base64, smaller where it has to be, or None."""
    from PIL import Image

    image = plots.read(path).convert("RGB")
    for side in (512, 384, 256, 192, 128, 96, 64, 48):
        small, file = image.copy(), io.BytesIO()
        small.thumbnail((side, side), Image.Resampling.LANCZOS)
        small.save(file, "PNG", optimize=True)
        if file.tell() <= budget:
            return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
    return None


def page(template: Path, found: dict, javascript: str) -> str:
    """The page: the frame of all pages around a template's own style, main and script, plotly, and data.

    Data cannot end their script element.
    """
    text, here = template.read_text("utf-8"), Path(__file__)
    own = {part: "".join(re.findall(f"<{part}>\n(.*?)</{part}>", text, re.S)) for part in ("style", "main", "script")}
    data = json.dumps(found, allow_nan=False).replace("<", "\\u003c")
    parts = {"TITLE": escape(found["title"]), "PLOTLY": javascript, "DATA": data}
    parts |= {name: here.with_name(file).read_text("utf-8") for name, file in SHARED.items()}
    parts |= {f"OWN_{part.upper()}": words for part, words in own.items()}
    return re.sub(
        f"@({'|'.join(parts)})@", lambda match: parts[match[1]], here.with_name("frame.html").read_text("utf-8")
    )


def _markdown(found: dict) -> str:
    """A table of settings, best first, with the objective's column first."""
    counts = [status for status in found["statuses"] if status != "done"]
    heads = [*found["parameters"], *found["metrics"], "finished", *counts]
    lines = [heads, ["---"] * len(found["parameters"]) + ["---:"] * (len(heads) - len(found["parameters"]))]
    for setting in found["settings"]:
        numbers = [setting["statistics"].get(name, {"text": "-"})["text"] for name in found["metrics"]]
        numbers += [str(setting["counts"][status]) for status in ["done", *counts]]
        lines.append([_text(setting["values"][name]) for name in found["parameters"]] + numbers)
    cells = "\n".join(f"| {' | '.join(map(_escaped, line))} |" for line in lines)
    note = "Mean ± sample standard deviation over the seeds of finished members, at the last step, not the best one."
    return f"# {_escaped(found['title'])}\n\n`{found['command']}`\n\n{cells}\n\n{note}"


def _described(found: tuple[float, float | None, int]) -> dict:
    """A statistic as JSON values, with its text: 'mean ± spread' with two digits of the spread."""
    mean, spread, n = found
    text = f"{mean:.4g}"
    if spread:
        digits = 1 - math.floor(math.log10(spread))
        decimal = 0 <= digits <= 8 and abs(mean) < 1e6
        text = f"{mean:.{digits}f} ± {spread:.{digits}f}" if decimal else f"{mean:.4g} ± {spread:.2g}"
    elif spread == 0:
        text += " ± 0"
    return {"mean": mean, "spread": spread, "n": n, "text": text}


def _escaped(text: str) -> str:
    return re.sub(r"([|`<>*_\\])", r"\\\1", str(text)).replace("\n", " ")
