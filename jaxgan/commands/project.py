"""`jaxgan project`: the latents of images."""

from pathlib import Path
from typing import Annotated, Literal

import tyro

from jaxgan.commands.start import start_jax
from jaxgan.errors import JaxganError


def project(
    run: Annotated[str, tyro.conf.Positional],
    images: Annotated[tuple[str, ...], tyro.conf.Positional],
    out: Path = Path("projection.png"),
    steps: int = 500,
    starts: int = 4,
    distance: Literal["auto", "pixel", "lpips"] = "auto",
    labels: tuple[str, ...] = (),
    seed: int = 0,
    ema: bool = True,
    step: str = "",
) -> None:
    """Find the latents from which a run's generator makes images that are as near as possible to yours.

    Writes a picture, images in the rows above what was found for them, and beside it an .npz with "latents" ("z", or
    the style "w" of stylegan2, as "space" says), "images", "errors", "rms" and "names". In Python: Run.project.

    Args:
        run: Run folder.
        images: Image files, or folders of them; made square as the run's data were (--fit).
        out: The picture, .png; or .npz for the arrays alone.
        steps: Steps of Adam.
        starts: Points from which each image's latent sets out: the mean, and draws; the nearest end is taken.
        distance: pixel, lpips, or auto, which is lpips where its weights are here.
        labels: Classes of the images, by name or number, one for all or one each (conditional runs).
        seed: Of the draws.
        ema: Averaged generator weights; --no-ema takes the last ones.
        step: Of a checkpoint, or best; empty is the newest.
    """
    if out.suffix not in (".png", ".npz"):
        raise JaxganError(f"--out is {out}; expected a name that ends in .png or .npz")
    start_jax()
    from jaxgan import draw, log, outputs
    from jaxgan.run import load

    outputs.check(out)
    options = {"steps": steps, "starts": starts, "distance": distance}
    draw.projected(load(run, step), images, out, labels, seed, ema, log.show, **options)
