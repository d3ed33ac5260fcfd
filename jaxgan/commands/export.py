"""`jaxgan export`: the sampler as files that need no jaxgan."""

from pathlib import Path
from typing import Annotated, Literal

import tyro

from jaxgan.commands.start import start_jax


def export(
    run: Annotated[str, tyro.conf.Positional],
    formats: tuple[Literal["jax", "onnx", "safetensors"], ...] = ("jax",),
    out: Path | None = None,
    ema: bool = True,
    step: str = "",
) -> None:
    """Write a run's sampler as files that need neither jaxgan nor the run: jaxgan/README.md shows how they are read.

    Each is read again and compared with the run's own samples. Needs pip install 'jaxgan[export]'.

    Args:
        run: Run folder.
        formats: jax is a jax.export artifact for CPU, CUDA and TPU with any number of samples; onnx runs in ONNX
            Runtime; safetensors are the weights by name.
        out: Folder; by default RUN/export.
        ema: Averaged generator weights; --no-ema takes the last ones.
        step: Of a checkpoint, or best; empty is the newest.
    """
    start_jax()
    from jaxgan.export import export

    for path in export(run, formats, out or "", ema, step or None):
        print(f"{path} ({path.stat().st_size:,} bytes)")
