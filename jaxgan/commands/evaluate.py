"""`jaxgan eval`: compare a run's samples, or any images, with real ones."""

from typing import Annotated

import tyro

from jaxgan.commands.start import moved, start_jax
from jaxgan.config import Size
from jaxgan.errors import JaxganError


def evaluate(
    run: Annotated[str, tyro.conf.Positional] = "",
    metrics: tuple[str, ...] = (),
    features: str = "",
    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 0,
    split: str = "",
    step: str = "",
    images: str = "",
    reference: str = "",
    size: Size = 0,
    weights: str = "",
    seed: int = 0,
    ema: bool = True,
    interval: bool = True,
    neighbours: int = 0,
    data: str = "",
    back: bool = False,
) -> None:
    """Compare a run's samples with real examples: FID, KID, precision, recall, ... each under a name with its protocol.

    jaxgan eval RUN writes RUN/eval/*.json and a row of metrics.jsonl. jaxgan eval --images A --reference B compares any
    images: a folder, an .npz or .npy, or data by name such as tfds:fashion_mnist:test. Runs that
    translate have their targets compared with, by l1 psnr ssim lpips diversity. Nothing but what the run and the
    data have not said already is asked for. In training: jaxgan train ... --eval-every 500.

    Args:
        run: Run folder.
        metrics: Such as fid kid is prdc, see jaxgan/metrics/README.md; empty is what the run's --eval.metrics say.
        features: Network that they compare by, see jaxgan/features/README.md, or raw; empty is what suits the data.
        n: Generated examples; 0 is as many as there are real ones, at most 10,000.
        split: Real examples: train, holdout, or a split of the data, such as test; empty is train, and of kinds that
            translate what they have not seen: holdout or test, where there is one.
        step: Of a checkpoint, or best; empty is the newest.
        images: Images to compare, in place of a run's.
        reference: What they are compared with.
        size: Pixels to which folders of images are resized, or HEIGHTxWIDTH; 0 leaves them.
        weights: File of the features' weights, where they are not where they usually lie.
        seed: Of the samples.
        ema: Averaged generator weights; --no-ema takes the last ones.
        interval: Errors by a jackknife for metrics that say none, which takes ten times as long.
        neighbours: Draw so many samples, each before the three training examples nearest to it, in place of metrics:
            has the run learned them by heart?
        data: The run's data under another name, such as folder:PATH after a move; empty is the run's own.
        back: Translations from set B to set A (cyclegan).
    """
    if bool(run) == bool(images) or bool(images) != bool(reference):
        raise JaxganError("give a run folder, jaxgan eval RUN; or jaxgan eval --images DIR --reference DIR")
    start_jax()
    from jaxgan import evaluate

    if run and neighbours:
        evaluate.picture(run, neighbours, features, seed, moved(run, data))
    elif run:
        evaluate.evaluate(
            run, metrics, features, n, split, step or None, weights, seed, ema, interval, moved(run, data), back
        )
    else:
        evaluate.compare(images, reference, metrics, features, n, size, weights, interval)
