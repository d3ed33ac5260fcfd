"""The sweep folder: sweep.json says who its members are, runs/ID is a run folder each, runs/ID/member.json its part.

sweep.json: {"format": 1, "experiment", "config": {the base}, "members": [{"id", "values"}], "groups": [{"key": {static
values}, "mode", "width", "members": [ids]}]}. The members of a group train `width` at a time, in the order in which
they stand there: chunk k is members k * width to (k + 1) * width - 1. It only ever grows, under a lock, by rename.

member.json: {"mode", "width", "index", "group", "devices", "status", "step", "reason"}; index is the place inside the
chunk; status is "running" (or stopped on the way), "done" or "non-finite", and reason says which number, and when.
"""

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from jaxgan import config, disk, log
from jaxgan.config import Config
from jaxgan.errors import JaxganError
from jaxgan.metrics import HIGHER
from jaxgan.sweep import space

FORMAT = 1
KINDS = {"experiment": str, "config": dict, "members": list, "groups": list}
OWN = {".lock", "sweep.json", "runs", "claims", "logs"}


def read(dir) -> dict:
    """sweep.json's contents; JaxganError says what is missing."""
    path = Path(dir) / "sweep.json"
    try:
        found = json.loads(path.read_text("utf-8"))
        wrong = [name for name, kind in KINDS.items() if not isinstance(found.get(name), kind)]
        if not wrong and found.get("format") == FORMAT:
            return found
        reason = f"{wrong[0]} is missing or of another type" if wrong else f"its format is {found.get('format')}"
    except FileNotFoundError:
        raise JaxganError(
            f"{dir} is no sweep folder: it has no sweep.json; make one: jaxgan sweep EXPERIMENT --dir {dir}"
        ) from None
    except (OSError, ValueError, AttributeError) as e:
        reason = str(e)
    raise JaxganError(f"{path} cannot be used ({reason}); bring it back, or choose another --dir")


def members(dir) -> dict[str, tuple[dict, Config]]:
    """{id: (values, configuration)} of a sweep's members, in order."""
    found = read(dir)
    try:
        base = config.from_dict(found["config"])
        return {one["id"]: (one["values"], space.member(base, one["values"])) for one in found["members"]}
    except (JaxganError, KeyError, TypeError) as e:
        raise JaxganError(f"{Path(dir) / 'sweep.json'} does not describe a sweep: {e}") from None


def add(dir, experiment: str, base: Config, settings: list[dict]) -> list[str]:
    """Make the sweep folder dir, or extend it -> ids of the members that settings describe, in order.

    Members that are there already stay as they are. base must be the folder's own but for neutral fields: these are
    taken over, so that more steps train all members on. JaxganError, and an untouched folder, for anything else.
    """
    dir = Path(dir).expanduser()
    asked = space.expand(config.check(base), settings)
    if not asked:
        raise JaxganError("the sweep has no members; its list of settings is empty")
    inspect(dir)
    with locked(dir):
        old = read(dir) if (dir / "sweep.json").exists() else {"members": [], "groups": []}
        if "config" in old:
            changed = config.differences(config.from_dict(old["config"]), base)
            if changed:
                fields = "\n  ".join(changed)
                raise JaxganError(
                    f"{dir} holds a sweep whose base configuration differs:\n  {fields}\nSweep over these fields "
                    "(--grid), give the same values, or choose another --dir"
                )
        known = {one["id"] for one in old["members"]}
        new = [{"id": id, "values": values} for id, (values, _) in asked.items() if id not in known]
        changes = {"experiment": str(experiment), "config": config.to_dict(base), "members": old["members"] + new}
        write(dir, {"format": FORMAT, **old, **changes})
    return list(asked)


def write(dir: Path, contents: dict) -> None:
    """Write sweep.json, by rename; the caller holds the lock."""
    disk.write(dir / "sweep.json", json.dumps(contents, indent=1))


def inspect(dir: Path) -> None:
    """JaxganError if dir is anything but new, empty or a sweep folder."""
    if dir.exists() and not dir.is_dir():
        raise JaxganError(f"{dir} is a file, not a folder; choose another --dir")
    if (dir / "config.json").is_file():
        raise JaxganError(f"{dir} is the folder of one run; choose another --dir for the sweep")
    names = [p.name for p in dir.iterdir()] if dir.is_dir() else []
    strangers = sorted(
        name for name in names if name not in OWN and not name.startswith("study.log") and not name.endswith(".tmp")
    )
    if strangers and not (dir / "sweep.json").exists():
        raise JaxganError(
            f"{dir} holds other files ({', '.join(strangers[:3])}) and no sweep; choose an empty or new folder as --dir"
        )


@contextlib.contextmanager
def locked(dir: Path, name: str = ".lock", wait: bool = True) -> Iterator[bool]:
    """Hold a file lock of the sweep folder -> True; False if another process has it and wait is False."""
    from filelock import FileLock, Timeout

    path = dir / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        lock.acquire(timeout=-1 if wait else 0)
    except Timeout:
        yield False
        return
    except OSError as e:
        raise JaxganError(f"cannot write to {dir} ({e.strerror}); choose another --dir") from None
    try:
        yield True
    finally:
        lock.release()


def assign(dir: Path, configs: dict[str, Config], plan: Callable) -> list[dict]:
    """Put members without a group into new groups -> sweep.json's groups. plan: (configs of a group) -> mode, width."""
    with locked(dir):
        found = read(dir)
        placed = {id for group in found["groups"] for id in group["members"]}
        new = {id: c for id, c in configs.items() if id not in placed}
        for key, ids in space.groups(new):
            mode, width = plan({id: new[id] for id in ids})
            found["groups"].append({"key": key, "mode": mode, "width": width, "members": ids})
        if new:
            write(dir, found)
    return found["groups"]


def run_dir(dir, id: str) -> Path:
    """The run folder of a member."""
    return Path(dir) / "runs" / id


def standing(dir, id: str) -> dict:
    """member.json's contents; {"status": "waiting", "step": 0} of a member that has not begun."""
    path = run_dir(dir, id) / "member.json"
    try:
        found = json.loads(path.read_text("utf-8"))
        if isinstance(found["status"], str) and isinstance(found["step"], int):
            return found
        reason = "a field has another type"
    except FileNotFoundError:
        return {"status": "waiting", "step": 0, "reason": ""}
    except (OSError, ValueError, KeyError, TypeError) as e:
        reason = str(e)
    raise JaxganError(f"{path} cannot be used ({reason}); remove it, and the member goes on from its checkpoint")


def stand(dir, id: str, **fields) -> None:
    """Write member.json."""
    disk.write(run_dir(dir, id) / "member.json", json.dumps(fields, indent=1))


def finished(dir, id: str, steps: int) -> bool:
    """Whether there is nothing left to train up to `steps`."""
    found = standing(dir, id)
    return found["status"] == "non-finite" or found["step"] >= steps


def results(dir) -> list[dict]:
    """For each member {"id", its values, "status", "step", and the last value of each metric}, in order.

    step is that of the last logged row; values have full names ("hp.g_lr"). Of a score whose name has its protocol
    "best NAME" is the best there was.
    """
    found = []
    for id, (values, _) in members(dir).items():
        merged = {"step": 0}
        rows = log.read(run_dir(dir, id) / "metrics.jsonl")
        for row in rows:
            merged |= row
        for name in [name for name in merged if "/n" in name]:
            best = max if name.split("/")[0] in HIGHER else min
            merged[f"best {name}"] = best(row[name] for row in rows if name in row)
        metrics = {name: value for name, value in merged.items() if name not in ("step", "digest")}
        found.append({"id": id, **values, "status": standing(dir, id)["status"], "step": merged["step"], **metrics})
    return found
