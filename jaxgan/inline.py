"""A run shown where Python shows values: samples as a picture, and in a notebook a table of what it is above them."""

import base64
import io
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from jaxgan import plots
from jaxgan.data.toy import TOYS
from jaxgan.errors import JaxganError
from jaxgan.inputs import check_labels

ROWS = 4  # of a grid
POINTS = 2500  # of a toy, as in the pictures of training


def picture(run: Any, n: int, columns: int, labels, **options):
    """`Run.show`: a PIL image of n samples, 0 for ROWS rows of them or POINTS; columns: 0 is what suits the classes."""
    from PIL import Image

    if n < 0 or columns < 0:
        raise JaxganError(f"n is {n} and columns is {columns}; expected 0, for what suits the run, or more")
    shape, classes = run.shape, run.game.classes
    columns = columns or plots.columns(classes if labels is None else 0)
    n = n or (POINTS if len(shape) == 1 else ROWS * columns)
    y = np.arange(n) % classes if labels is None and classes else labels
    y = None if y is None else check_labels(y, n, classes, run.env.get("names", ()))
    x = run.sample(n, labels=y, **options)
    heads = plots.heads(y, columns, run.env.get("names", ()))
    density = TOYS[run.config.data]().density if run.config.data in TOYS else None
    return Image.fromarray(plots.examples(x, min(columns, n), density, f"step {int(run.state.step)}", heads))


def line(run: Any) -> str:
    """The run in one line."""
    where = f", {run.dir}" if run.dir else ""
    return f"Run({', '.join(f'{name} {value}' for name, value in facts(run).items() if name != 'folder')}{where})"


def facts(run: Any) -> dict[str, str]:
    """{what: what a reader has to know of it}."""
    c, shape = run.config, "x".join(map(str, run.shape))
    classes = f", {run.env['classes']} classes" if run.env["classes"] else ""
    found = {"kind": c.kind, "net": c.net, "data": f"{c.data} ({shape}{classes})"}
    if c.space:
        found["space"] = f"{c.space} ({'x'.join(map(str, run.env['shape']))})"
    found["step"] = f"{int(run.state.step):,} of {c.steps:,}"
    return found | ({"folder": str(run.dir)} if run.dir else {})


def html(run: Any) -> str:
    """The facts as a table; samples below them, or of a kind that makes none from latents its newest picture."""
    rows = "".join(f"<tr><th>{name}</th><td>{escape(value)}</td></tr>" for name, value in facts(run).items())
    data = _newest(run.dir) if run.game.picture else _png(picture(run, 0, 0, None))
    image = f'<img alt="samples" src="data:image/png;base64,{base64.b64encode(data).decode()}">' if data else ""
    return f"<table>{rows}</table>{image}"


def _png(image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def _newest(dir: Path | None) -> bytes:
    """The newest picture in a run folder, empty without one."""
    newest = max((dir / "samples").glob("[0-9]*.png"), default=None) if dir else None
    return newest.read_bytes() if newest else b""
