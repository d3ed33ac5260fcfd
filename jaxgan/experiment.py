"""Experiments: Python files with config(), and perhaps sweep() or search()."""

import importlib.util
from pathlib import Path

from jaxgan.config import Config, check
from jaxgan.errors import JaxganError, nearest


def experiment(path: Path) -> tuple[Config, str]:
    """(configuration, docstring) of an experiment file, which is run for it."""
    config, doc = call(path, "config"), call(path, "__doc__")
    if not isinstance(config, Config):
        raise JaxganError(f"config() in {path} returns {type(config).__name__}; expected a jaxgan.Config")
    return check(config), doc or ""


def call(path: Path, name: str):
    """What the function `name` of an experiment file returns, which is run for it; what is no function, as it is."""
    if not path.is_file():
        names = known()
        raise JaxganError(
            f"there is no experiment {path}.{nearest(str(path), names)} Known: {', '.join(names) or 'none here'}"
        )
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise JaxganError(f"{path} is not a Python file; an experiment is one, with a function config()")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        if not callable(getattr(module, "config", None)):
            raise JaxganError(f"{path} has no function config(); an experiment has one that returns a jaxgan.Config")
        found = getattr(module, name, None)
        return found() if callable(found) else found
    except JaxganError:
        raise
    except Exception as e:
        raise JaxganError(f"the experiment {path} does not run{_line(path, e)}: {type(e).__name__}: {e}") from None


def _line(path: Path, error: Exception) -> str:
    """Where in path the error arose, if it did there."""
    from traceback import extract_tb

    lines = [frame.lineno for frame in extract_tb(error.__traceback__) if Path(frame.filename) == path.absolute()]
    return f", line {lines[-1]}" if lines else ""


def known() -> list[str]:
    """The experiments under the working folder."""
    files = sorted(Path("experiments").glob("*.py"))
    return [str(f) for f in files if "def config(" in f.read_text("utf-8", errors="replace")]
