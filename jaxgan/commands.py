"""What each command does. Its arguments are its flags, its docstring their help; imports come late."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import tyro

from jaxgan.config import Config
from jaxgan.errors import JaxganError
from jaxgan.experiment import call
from jaxgan.sweep.options import Engine, Look

INTERRUPTED = 130  # what a shell expects after Ctrl-C


def train(
    config: Annotated[Config, tyro.conf.arg(name="")],
    dir: Path,
    coordinator: str = "",
    processes: int = 0,
    process: int = -1,
    override: tuple[str, ...] = (),
) -> None:
    """Train an experiment, or resume it: the same command goes on from the newest checkpoint.

    Args:
        config: The run.
        dir: Run folder: config, metrics, sample pictures, checkpoints.
        coordinator: HOST:PORT of process 0, for a run of several processes that no launcher describes.
        processes: How many processes take part (with --coordinator).
        process: Which of them this is, from 0 (with --coordinator).
        override: NAME=VALUE of numbers to change from here on in a run that is resumed, such as hp.g_lr=1e-5.
    """
    from jaxgan.signals import Stop

    with Stop() as stop:
        _start_jax(coordinator, processes, process)
        from jaxgan.override import parse
        from jaxgan.train import run

        trained = run(config, dir, stop=stop, new=parse(override))
    if stop.signal == signal.SIGINT and int(trained.state.step) < config.steps:
        sys.exit(INTERRUPTED)  # a scheduler's signal, after which everything is saved, is no failure


def sweep(
    config: Annotated[Config, tyro.conf.arg(name="")],
    look: Annotated[Look, tyro.conf.arg(name="")],
    where: Annotated[Engine, tyro.conf.arg(name="")],
    dir: Path,
    grid: tuple[str, ...] = (),
    seeds: int = 0,
    mode: Literal["auto", "map", "vmap"] = "auto",
    at_once: int = 0,
    workers: int = 1,
    objective: str = "",
    experiment: Path = Path(),
) -> None:
    """Train many runs as few compiled programs, or go on: the same command trains what is left.

    Args:
        config: What all members have in common.
        dir: Sweep folder; runs/ID in it is a run folder as train makes it.
        grid: NAME=VALUE,VALUE,... for each field, all combinations; in place of the experiment's sweep().
        seeds: Train each setting with seeds 0 to N-1.
        mode: map trains members one after the other, with the bits of train; vmap all at once; auto is map on a CPU.
        at_once: Members at a time; 0 is as many as memory holds (vmap), or one on each device (map).
        workers: Processes; GPUs are shared out among them. On TPUs leave 1.
        objective: What to rank settings by, such as "max high_quality" or "min fid"; empty takes the natural one.
        experiment: The experiment's file.
    """
    from jaxgan.sweep import engines, search, space, store

    original = call(experiment, "config")
    if look.search != "none":
        if grid or workers != 1 or where.engine != "local":
            raise JaxganError("--search goes with --space, and with this command once more for each further worker")
        found = search.parse_space(look.space) if look.space else call(experiment, "search") or {}
        more = objective, seeds, mode, at_once, original
        return _sweeping(lambda stop: search.run(dir, experiment, config, found, look, *more, stop))
    chosen = space.parse_grid(grid) if grid else call(experiment, "sweep")
    if seeds:
        chosen = space.product(space.without(chosen or [{}], "seed"), space.seeds(seeds))
    if chosen is None:
        raise JaxganError(
            f"{experiment} has no function sweep(), so say what to vary: --grid hp.g_lr=1e-4,1e-3 loss=ns,hinge, or "
            "--seeds 5"
        )
    begin = lambda: store.add(dir, str(experiment), config, chosen)  # noqa: E731
    _sweeping(lambda stop: engines.sweep(dir, where, mode, at_once, workers, objective, begin, original, stop))


def sweep_on(
    dir: Annotated[Path, tyro.conf.Positional],
    where: Annotated[Engine, tyro.conf.arg(name="")],
    mode: Literal["auto", "map", "vmap"] = "auto",
    at_once: int = 0,
    workers: int = 1,
    objective: str = "",
) -> None:
    """Go on with a sweep from its folder alone; on several machines that share it, each takes what no other has.

    Args:
        dir: Sweep folder.
        mode: Of members that have not begun: map, vmap, or auto, which is map on a CPU.
        at_once: Of members that have not begun: how many train at a time.
        workers: Processes; GPUs are shared out among them. On TPUs leave 1.
        objective: What to rank settings by, such as "max high_quality" or "min fid".
    """
    from jaxgan.sweep import engines

    _sweeping(lambda stop: engines.sweep(dir, where, mode, at_once, workers, objective, stop=stop))


def _sweeping(work) -> None:
    """Print what work(stop) returns."""
    from jaxgan.signals import Stop

    with Stop() as stop:
        _start_jax(join=False)
        print(work(stop))
    if stop.signal == signal.SIGINT:
        sys.exit(INTERRUPTED)


def sweep_report(dir: Annotated[Path, tyro.conf.Positional], objective: str = "") -> None:
    """Write report.html, one page that needs no network, and report.md, a table for papers, into a sweep folder."""
    from jaxgan.sweep.report import report

    print("\n".join(map(str, report(dir, objective))))


def sample(
    run: Annotated[str, tyro.conf.Positional],
    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 64,
    seed: int = 0,
    out: Path = Path("samples.png"),
    labels: tuple[str, ...] = (),
    truncation: float = 0.0,
    psi: float = 1.0,
    interpolate: bool = False,
    traverse: int = -1,
    code: tuple[str, ...] = (),
    reconstruct: bool = False,
    translate: bool = False,
    back: bool = False,
    ema: bool = True,
    step: str = "",
) -> None:
    """Draw from a trained run into a picture (.png) or an array (.npz).

    Args:
        run: Run folder.
        n: How many; rounded up to whole rows with --interpolate, --traverse, --reconstruct and --translate.
        seed: Sample i depends on the seed and i alone.
        out: .png for a grid, .npz for the array "x" in [-1, 1] (and labels "y").
        labels: Classes, by name or number, to draw in turn (conditional runs; default all), or to turn examples into
            (stargan).
        truncation: Largest |z| per coordinate; smaller is less varied; 0 is off.
        psi: How far from the mean style samples are (stylegan2); below 1 less varied, 0 is the mean.
        interpolate: Walk from one latent to another along each row.
        traverse: Change only the code of this number along each row, over all of its values (infogan).
        code: NUMBER=VALUE of codes to hold, such as --code 0=3 1=-0.5 (infogan).
        reconstruct: Real examples, held-out ones if there are, and in the row below each what the encoder and G make
            of it.
        translate: Real images of set A, held-out ones if there are, and in the row below each its translation (pix2pix,
            cyclegan, bicyclegan); of any class, and below each a row for every class it is turned into (stargan).
        back: With --translate, from set B to A (cyclegan).
        ema: Averaged generator weights; --no-ema takes the last ones.
        step: Of a checkpoint, or best; empty is the newest.
    """
    _check_out(out)
    _start_jax()
    from jaxgan import draw
    from jaxgan.run import load

    trained = load(run, step)
    if sum((interpolate, traverse >= 0, reconstruct, translate)) > 1:
        raise JaxganError("choose one of --interpolate, --traverse, --reconstruct and --translate")
    if back and not translate:
        raise JaxganError("--back goes with --translate")
    if psi != 1 and (interpolate or traverse >= 0 or reconstruct or translate):
        raise JaxganError("--psi goes with plain samples, not with walks, reconstructions or translations")
    if translate:
        (x, columns), y = draw.translated(trained, n, seed, labels, back, ema), None
    elif reconstruct:
        x, y, columns = draw.reconstructed(trained, -(-n // 8), seed, ema)
    else:
        held = draw.codes(code)
        x, y, columns = draw.drawn(trained, n, seed, labels, truncation, interpolate, traverse, held, ema, psi)
    draw.save(out, x, y, columns, trained.env.get("names", ()))
    print(f"{len(x)} samples of step {int(trained.state.step)} in {out}")


def _check_out(out: Path) -> None:
    """JaxganError where no picture or array can be written to out."""
    if out.suffix not in (".png", ".npz"):
        raise JaxganError(f"--out is {out}; expected a name that ends in .png or .npz")
    if not out.parent.is_dir():
        raise JaxganError(f"--out is {out}, but there is no folder {out.parent}")


def evaluate(
    run: Annotated[str, tyro.conf.Positional] = "",
    metrics: tuple[str, ...] = (),
    features: str = "",
    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 0,
    split: str = "train",
    step: str = "",
    images: str = "",
    reference: str = "",
    size: int = 0,
    weights: str = "",
    seed: int = 0,
    ema: bool = True,
    interval: bool = True,
    neighbours: int = 0,
) -> None:
    """Compare a run's samples with real examples: FID, KID, precision, recall, ... each under a name with its protocol.

    jaxgan eval RUN writes RUN/eval/*.json and a row of metrics.jsonl. jaxgan eval --images A --reference B compares any
    images: a folder, an .npz or .npy, or data by name such as tfds:fashion_mnist:test. Nothing but what the run and the
    data have not said already is asked for. In training: jaxgan train ... --eval-every 500.

    Args:
        run: Run folder.
        metrics: Such as fid kid is prdc, see jaxgan/metrics/README.md; empty is what the run's --eval.metrics say.
        features: Network that they compare by, see jaxgan/features/README.md, or raw; empty is what suits the data.
        n: Generated examples; 0 is as many as there are real ones, at most 10,000.
        split: Real examples: train, holdout, or a split of a prepared data set, such as test.
        step: Of a checkpoint, or best; empty is the newest.
        images: Images to compare, in place of a run's.
        reference: What they are compared with.
        size: Pixels to which folders of images are resized; 0 leaves them.
        weights: File of the features' weights, where they are not where they usually lie.
        seed: Of the samples.
        ema: Averaged generator weights; --no-ema takes the last ones.
        interval: Errors by a jackknife for metrics that say none, which takes ten times as long.
        neighbours: Draw so many samples, each before the three training examples nearest to it, in place of metrics:
            has the run learned them by heart?
    """
    if bool(run) == bool(images) or bool(images) != bool(reference):
        raise JaxganError("give a run folder, jaxgan eval RUN; or jaxgan eval --images DIR --reference DIR")
    _start_jax()
    from jaxgan import evaluate

    if run and neighbours:
        evaluate.picture(run, neighbours, features, seed)
    elif run:
        evaluate.evaluate(run, metrics, features, n, split, step or None, weights, seed, ema, interval)
    else:
        evaluate.compare(images, reference, metrics, features, n, size, weights, interval)


def stats(
    name: Annotated[str, tyro.conf.Positional],
    features: str = "",
    size: int = 0,
    weights: str = "",
) -> None:
    """Make the features of real examples once, and keep them in the user's cache, where jaxgan eval finds them.

    Args:
        name: Data, such as fashion_mnist, tfds:fashion_mnist:test or folder:PATH.
        features: Network, see jaxgan/features/README.md; empty is what suits the data.
        size: Pixels to which images are resized; 0 leaves them.
        weights: File of the network's weights, where they are not where they usually lie.
    """
    _start_jax()
    from jaxgan import data, protocol
    from jaxgan.config import Eval
    from jaxgan.data.catalogue import CATALOGUE

    source = data.open_source(f"tfds:{name}" if name in CATALOGUE else name, size=size)
    p = protocol.complete(Eval(("fid",), features), source, weights)
    if p.features == protocol.RAW:
        raise JaxganError(
            f"{source.name} is compared as it is, and there is nothing to make; for images, see --features"
        )
    found = protocol.reference(p, source)["features"]
    print(f"{len(found):,} x {found.shape[1]} features of {source.name} by {p.features} in {protocol.kept(p, source)}")


def verify(run: Annotated[str, tyro.conf.Positional], steps: int = 0, step: str = "") -> None:
    """Replay a run from its seed and compare it with its recorded digests, bit for bit.

    Args:
        run: Run folder.
        steps: Replay no further than this step; 0 is all of it.
        step: The same by a checkpoint: its number, or best.
    """
    _start_jax()
    from jaxgan.run import load
    from jaxgan.sweep import replay
    from jaxgan.verify import verify

    if step:
        steps = int(load(run, step).state.step)
    (replay.verify if replay.is_member(run) else verify)(run, steps=steps)


def diagnose(run: Annotated[str, tyro.conf.Positional], held_out: str = "") -> None:
    """Measure where a run's game is going, say what it means, and draw it into RUN/diagnosis.png.

    Eigenvalues of the game's Jacobian, rotation, what each player gains by a best response, D on held-out data, path
    angle, spectral norms, diversity of samples. During training: jaxgan train ... --diagnose-every 500.

    Args:
        run: Run folder.
        held_out: Data that training did not see, such as tfds:fashion_mnist:test; empty is what the run held out
            (--holdout), or the test split of a prepared data set or a folder.
    """
    _start_jax()
    from jaxgan.diagnose import diagnose

    diagnose(run, held_out=held_out)


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
    _start_jax()
    import jax

    jax.config.update("jax_platforms", "cpu")
    from json import dumps

    from jaxgan.plan import plan, stand_in, table

    if classes and not shape:
        raise JaxganError("--classes goes with --shape, which describes data that are not here")
    source = stand_in(shape, classes, config.flip) if shape else None
    row = plan(config, topology, search_batch, source, say=lambda text: print(text, file=sys.stderr, flush=True))
    print(dumps(row) if json else table(row))


def prepare(
    action: Annotated[Literal["prepare"], tyro.conf.Positional],
    name: Annotated[str, tyro.conf.Positional],
    source: Annotated[Path, tyro.conf.arg(name="from")],
    data_dir: str = "",
) -> None:
    """Write a TensorFlow data set (TFDS, array_record) from its original files, without TensorFlow.

    Args:
        action: prepare.
        name: mnist, fashion_mnist, cifar10, cifar100 or emoji.
        source: Folder with the original files; of emoji, the unpacked npm package emoji-datasource-google.
        data_dir: Where prepared data sets live; empty is $TFDS_DATA_DIR, else ~/tensorflow_datasets.
    """
    from jaxgan.data.prepare import prepare

    prepare(name, source, data_dir)


def _start_jax(coordinator: str = "", processes: int = 0, process: int = -1, join: bool = True) -> None:
    """Compilation cache on; other processes joined, unless each is to work for itself."""
    import jax

    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "jaxgan" / "xla"
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        jax.config.update("jax_compilation_cache_dir", str(cache))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    if join:
        from jaxgan import parallel

        parallel.start(coordinator, processes, process)


COMMANDS: dict[str, Callable] = {"train": train, "sweep": sweep, "sample": sample, "verify": verify}
COMMANDS |= {"eval": evaluate, "diagnose": diagnose, "plan": plan, "data": prepare}
