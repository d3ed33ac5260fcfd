"""The report of one run or of several side by side: a page that needs nothing but itself (sweep/report.py's, for runs).

Curves, pictures over time, evaluations with their errors, settings that differ, environments and commands.
"""

import json
from pathlib import Path

import numpy as np

from jaxgan import config, disk, log, override, run_folder
from jaxgan.errors import JaxganError
from jaxgan.sweep import report as pages

FRAMES = 24  # pictures of a run that the slider shows, at most


def report(dirs, out=None) -> Path:
    """Write the page of the runs in folders dirs -> its path; out: default is a single run's folder, or here.

    Needs plotly. JaxganError for what is no run folder.
    """
    dirs = [run_folder.find(dir) for dir in dirs]
    if len({dir.resolve() for dir in dirs}) < len(dirs):
        raise JaxganError("a run is named twice; name each once")
    javascript = pages.plotly()
    out = Path(out).expanduser() if out else (dirs[0] if len(dirs) == 1 else Path()) / "report.html"
    if out.suffix != ".html" or not out.absolute().parent.is_dir():
        raise JaxganError(f"--out is {out}; expected a name that ends in .html, in a folder that there is")
    disk.check(out)
    disk.write(out, pages.page(Path(__file__).with_name("report.html"), summary(dirs), javascript))
    return out


def summary(dirs: list[Path]) -> dict:
    """What the page says, as JSON values."""
    labels = named(dirs)
    configs = [config.flat(run_folder.read_config(dir)) for dir in dirs]
    rows = [log.read(dir / "metrics.jsonl") for dir in dirs]
    scores = [evaluations(dir) for dir in dirs]
    metrics = list(dict.fromkeys(name for found in scores for one in found for name in one["scores"]))
    drawn = list(dict.fromkeys(n for run in rows for row in run for n, v in row.items() if pages.measured(n, v)))
    points = max(20, min(1000, pages.POINTS // (3 * max(1, len(dirs) * len(drawn)))))
    each = zip(labels, dirs, configs, rows, scores, strict=True)
    runs = [_run(label, dir, c, run, points, found, drawn) for label, dir, c, run, found in each]
    budget = pages.PICTURES // max(1, sum(min(FRAMES, len(_pictures(dir))) for dir in dirs))
    for run, dir in zip(runs, dirs, strict=True):
        run["pictures"] = pictures(dir, budget)
    return {
        "title": f"Run {labels[0]}" if len(dirs) == 1 else f"{len(dirs)} runs",
        "settings": runs,
        "shown": pages.SHOWN,
        "drawn": sorted(drawn, key=lambda n: (n not in metrics, not n.endswith("_loss"), n in pages.MOVING)),
        "metrics": metrics,
        "evaluations": [{"run": label, **one} for label, found in zip(labels, scores, strict=True) for one in found],
        "differing": differing(configs),
        "environment": environment(dirs),
    }


def named(dirs: list[Path]) -> list[str]:
    """A name for each folder: its last part, or as much of its path as tells it from the others."""
    parts = [dir.absolute().parts for dir in dirs]
    for k in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-k:]) for part in parts]
        if len(set(names)) == len(names):
            break
    return names


def _run(
    label: str, dir: Path, flat: dict, rows: list[dict], points: int, scores: list[dict], drawn: list[str]
) -> dict:
    """A run's name, how far it came, and its curves {metric: (steps, values, errors or None)}."""
    step = max((row["step"] for row in rows), default=0)
    curves = {name: with_errors(pages.band([rows], name, points), name, scores) for name in drawn}
    begun = run_folder.read_env(dir)["starts"]
    return {
        "label": label,
        "dir": str(dir.absolute()),
        "step": step,
        "steps": flat["steps"],
        "begun": begun[0].get("time", "") if begun else "",
        "starts": len(begun),
        "curves": {name: curve for name, curve in curves.items() if curve[0]},
    }


def with_errors(curve: tuple[list, list, list], name: str, scores: list[dict]) -> tuple[list, list, list]:
    """curve with the errors that evaluations of its steps say of a metric."""
    known = {one["step"]: one["scores"][name][1] for one in scores if name in one["scores"]}
    steps, values, _ = curve
    return steps, values, [known.get(step) for step in steps]


def evaluations(dir: Path) -> list[dict]:
    """What `jaxgan eval` wrote into eval/*.json, by step: {"step", "which", "generator", "split", "scores"}.

    scores: {name: [value, error or None]}.
    """
    found = []
    for path in sorted((dir / "eval").glob("*.json")):
        try:
            one = json.loads(path.read_text("utf-8"))
            found.append({name: one[name] for name in ("step", "which", "generator", "split", "scores")})
        except (OSError, ValueError, KeyError, TypeError) as e:
            raise JaxganError(
                f"{path} is no evaluation ({type(e).__name__}: {e}); remove it, or bring it back"
            ) from None
    return sorted(found, key=lambda one: one["step"])


def _pictures(dir: Path) -> list[Path]:
    return sorted((dir / "samples").glob("[0-9]*.png"))


def pictures(dir: Path, budget: int) -> list[tuple[int, str]]:
    """(step, data URI) of at most FRAMES pictures of a run, the first and the last among them, in order of steps."""
    paths = _pictures(dir)
    if len(paths) > FRAMES:
        paths = [paths[i] for i in np.linspace(0, len(paths) - 1, FRAMES).round().astype(int)]
    found = [(int(path.stem), pages.shrunk(path, budget)) for path in paths]
    return [(step, picture) for step, picture in found if picture]


def differing(configs: list[dict]) -> dict[str, list[str]]:
    """{field: its value in each run} of fields that differ; of a single run of those that are not at their defaults."""
    usual = config.flat(config.Config())
    others = configs if len(configs) > 1 else [usual, *configs]
    names = [name for name in usual if any(c[name] != others[0][name] for c in others)]
    return {name: [str(c[name]) for c in configs] for name in names}


def environment(dirs: list[Path]) -> dict[str, list[str]]:
    """{what: what each run says of it}: data, versions, devices, commits, overrides, commands of all starts."""
    said: dict[str, list[str]] = {}
    for dir in dirs:
        env = run_folder.read_env(dir)
        last = env["starts"][-1] if env["starts"] else {}
        rows = {
            "data": f"{env['fingerprint'][:12]}, examples {'x'.join(map(str, env['shape']))}, {env['classes']} classes",
            "begins with": " ".join(f"{k} {v}" for k, v in env.get("init", {}).items()) or "-",
            "versions": ", ".join(f"{k} {v}" for k, v in last.get("versions", {}).items()),
            "Python, machine": f"{last.get('python', '')}, {last.get('machine', '')}",
            "devices": f"{', '.join(last.get('devices', ()))}; processes {last.get('processes', 1)}",
            "flags": " ".join(f"{k}={v}" for k, v in last.get("flags", {}).items()) or "-",
            "commit": " ".join(f"{k} {v}" for k, v in (last.get("git") or {}).items()) or "-",
            "overrides": ", ".join(
                f"hp.{r['name']} {r['old']} -> {r['new']} at {r['step']}" for r in override.read(dir)
            ),
            "commands": "\n".join(pages.command(start["command"]) for start in env["starts"] if "command" in start),
        }
        for name, text in rows.items():
            said.setdefault(name, []).append(text or "-")
    return said
