"""`jaxgan sample`: draw from a trained run."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from jaxgan.commands.start import start_jax
from jaxgan.errors import JaxganError


@dataclasses.dataclass(frozen=True)
class Way:
    """What else than samples is drawn; one of these at a time."""

    interpolate: bool = False
    """Walk from one latent to another along each row."""
    walk: tuple[str, ...] = ()
    """Animate a closed walk by so many latents along great circles, n frames: of each class, or those of --labels.

    Several words are seeds, whose first latents it passes, or .npz files of `jaxgan project`, with all of theirs."""
    traverse: int = -1
    """Change only the code of this number along each row, over all of its values (infogan)."""
    reconstruct: bool = False
    """Real examples, held-out ones if there are, and in the row below each what the encoder and G make of it."""
    translate: bool = False
    """Real images of set A, held-out ones if there are, and in the row below each its translation (pix2pix,
    cyclegan, bicyclegan); of any class, and below each a row for every class it is turned into (stargan); made
    smaller, and below each what is made of it, and what it was (upscale, esrgan)."""
    back: bool = False
    """With --translate, from set B to A (cyclegan)."""
    images: tuple[str, ...] = ()
    """Image files or folders of your own that --reconstruct or --translate takes, in place of the run's data.

    upscale, esrgan: of any size, as they are; each is made larger."""

    def check(self, out: Path, psi: float) -> None:
        """JaxganError for flags that do not go together."""
        if (self.interpolate, bool(self.walk), self.traverse >= 0, self.reconstruct, self.translate).count(True) > 1:
            raise JaxganError("choose one of --interpolate, --walk, --traverse, --reconstruct and --translate")
        if self.traverse < -1:
            raise JaxganError(f"--traverse is {self.traverse}; expected the number of a code")
        if wrong := [word for word in self.walk if not word.isdecimal() and not word.endswith(".npz")]:
            raise JaxganError(
                f"--walk {wrong[0]} is neither a number nor an .npz file; expected how many latents to pass, or seeds "
                "and files of jaxgan project"
            )
        if self.back and not self.translate:
            raise JaxganError("--back goes with --translate")
        if self.images and not (self.reconstruct or self.translate):
            raise JaxganError("--images goes with --reconstruct or --translate; to find their latents: jaxgan project")
        if psi != 1 and self != Way():
            raise JaxganError("--psi goes with plain samples, not with walks, reconstructions or translations")
        if bool(self.walk) != (out.suffix in (".gif", ".mp4")):
            raise JaxganError(f"--walk makes a .gif or .mp4, and nothing else does; --out is {out}")
        if (
            out.suffix not in (".png", ".npz", ".gif", ".mp4")
            and (self.reconstruct or self.translate)
            and not self.images
        ):
            raise JaxganError(f"--out is the folder {out}; with the run's own data take .png or .npz, or give --images")


def sample(
    run: Annotated[str, tyro.conf.Positional],
    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 64,
    seed: int = 0,
    out: Path = Path("samples.png"),
    labels: tuple[str, ...] = (),
    truncation: float = 0.0,
    psi: float = 1.0,
    standing: int = 0,
    code: tuple[str, ...] = (),
    way: Annotated[Way, tyro.conf.arg(name="")] = Way(),
    ema: bool = True,
    step: str = "",
    blend: str = "",
) -> None:
    """Draw from a trained run into a picture, arrays, an animation, or a file for each sample.

    Args:
        run: Run folder.
        n: How many; rounded up to whole rows with --interpolate, --traverse, --reconstruct and --translate.
        seed: Sample i depends on the seed and i alone.
        out: .png for a grid, or for one sample at its own size; .npz for the array "x" in [-1, 1] (and labels "y"); a
            new folder for files 00000.png, ..., those of conditional runs in folders of classes; .gif or .mp4 for
            --walk.
        labels: Classes, by name or number, to draw in turn (conditional runs; default all), or to turn examples into
            (stargan), or of --images.
        truncation: Largest |z| per coordinate; smaller is less varied; 0 is off.
        psi: How far from the mean style samples are (stylegan2); below 1 less varied, 0 is the mean.
        standing: Batches of this seed whose means are the statistics of G's batch norm; 0 takes those of training.
        code: NUMBER=VALUE of codes to hold, such as --code 0=3 1=-0.5 (infogan).
        ema: Averaged generator weights; --no-ema takes the last ones.
        step: Of a checkpoint, or best; empty is the newest.
        blend: OTHER:SHARE mixes in that share of another run's weights, such as runs/b:0.8 (ESRGAN's interpolation).
    """
    way.check(out, psi)
    start_jax()
    from jaxgan import draw, outputs
    from jaxgan.run import load

    outputs.check(out, *outputs.MOVES)
    trained = load(run, step)
    trained = trained.standing(standing, seed, truncation, ema) if standing else trained
    trained = draw.blended(trained, blend) if blend else trained
    names = trained.env.get("names", ())
    if way.images and "upscale" in trained.game.views:
        count = draw.save_upscaled(trained, way.images, out, labels, ema, way.back, way.reconstruct)
        what = f"{count} images of yours, {trained.config.factor} times as large, by"
    elif way.images:
        x, made, files = draw.own(trained, way.images, way.reconstruct, labels, seed, ema, way.back)
        draw.save_own(out, x, made, files, names)
        what = f"{len(x)} images of yours, {'reconstructed' if way.reconstruct else 'translated'} by"
    elif way.walk:
        outputs.animation(out, draw.walked(trained, way.walk, n, seed, labels, truncation, ema))
        what = f"{n} frames of"
    else:
        x, y, columns = draw.drawn_of(trained, way, n, seed, labels, truncation, draw.codes(code), ema, psi)
        outputs.save(out, x, y, columns, names)
        what = f"{len(x)} samples of"
    print(f"{what} step {int(trained.state.step)} in {out}")
