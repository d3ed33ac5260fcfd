"""`jaxgan plan`: compile for TPUs that are not there."""

import os
import sys
from typing import Annotated

import tyro

from jaxgan.commands.start import start_jax
from jaxgan.config import Config
from jaxgan.errors import JaxganError


def plan(
    config: Annotated[Config, tyro.conf.arg(name="")],
    topology: str = "v5e:2x4",
    search_batch: bool = False,
    shape: str = "",
    classes: int = 0,
    json: bool = False,
) -> None:
    """Compile an experiment's train step for TPUs that are not there: does it fit, and how fast could it be?

    Needs libtpu, XLA's TPU compiler (pip install -e '.[tpu]'), and no TPU.

    Args:
        config: The run.
        topology: TPU generation and shape, such as v5e:4x4, v5p:2x2x1 or v6e:2x4.
        search_batch: Find the largest batch that fits, to within 3 %.
        shape: HEIGHTxWIDTHxCHANNELS of the examples, such as 64x64x3, where the data are not here.
        classes: Their number of labels (with --shape).
        json: Print JSON, for machines.
    """
    os.environ["JAX_PLATFORMS"] = "cpu"  # with libtpu installed JAX would look for a TPU
    start_jax()
    import jax

    jax.config.update("jax_platforms", "cpu")
    from json import dumps

    from jaxgan.plan import plan, stand_in, table

    if classes and not shape:
        raise JaxganError("--classes goes with --shape, which describes data that are not here")
    source = stand_in(shape, classes, config.flip) if shape else None
    row = plan(config, topology, search_batch, source, say=lambda text: print(text, file=sys.stderr, flush=True))
    print(dumps(row) if json else table(row))
