"""The command line. Every field of a configuration is a flag of train; imports come late."""

import importlib.util
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Literal

import tyro

from jaxgan.config import Config, check
from jaxgan.errors import JaxganError, nearest


def train(
    config: Annotated[Config, tyro.conf.arg(name="")],
    dir: Path,
    coordinator: str = "",
    processes: int = 0,
    process: int = -1,
) -> None:
    """Train an experiment, or resume it: the same command goes on from the newest checkpoint.

    Args:
        config: The run.
        dir: Run folder: config, metrics, sample pictures, checkpoints.
        coordinator: HOST:PORT of process 0, for a run of several processes that no launcher describes.
        processes: How many processes take part (with --coordinator).
        process: Which of them this is, from 0 (with --coordinator).
    """
    from jaxgan.signals import Stop

    with Stop() as stop:
        _start_jax(coordinator, processes, process)
        from jaxgan.train import run

        trained = run(config, dir, stop=stop)
    if stop.signal == signal.SIGINT and int(trained.state.step) < config.steps:
        sys.exit(INTERRUPTED)  # a scheduler's signal, after which everything is saved, is no failure


INTERRUPTED = 130  # what a shell expects after Ctrl-C


def sample(
    run: Annotated[str, tyro.conf.Positional],
    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 64,
    seed: int = 0,
    out: Path = Path("samples.png"),
    labels: tuple[int, ...] = (),
    truncation: float = 0.0,
    interpolate: bool = False,
    traverse: int = -1,
    code: tuple[str, ...] = (),
    reconstruct: bool = False,
    ema: bool = True,
) -> None:
    """Draw from a trained run into a picture (.png) or an array (.npz).

    Args:
        run: Run folder.
        n: How many; rounded up to whole rows with --interpolate, --traverse and --reconstruct.
        seed: Sample i depends on the seed and i alone.
        out: .png for a grid, .npz for the array "x" in [-1, 1] (and labels "y").
        labels: Classes to draw in turn (conditional runs; default all).
        truncation: Largest |z| per coordinate; smaller is less varied; 0 is off.
        interpolate: Walk from one latent to another along each row.
        traverse: Change only the code of this number along each row, over all of its values (infogan).
        code: NUMBER=VALUE of codes to hold, such as --code 0=3 1=-0.5 (infogan).
        reconstruct: Real examples, held-out ones if there are, and in the row below each what the encoder and G make
            of it.
        ema: Averaged generator weights; --no-ema takes the last ones.
    """
    if out.suffix not in (".png", ".npz"):
        raise JaxganError(f"--out is {out}; expected a name that ends in .png or .npz")
    if not out.parent.is_dir():
        raise JaxganError(f"--out is {out}, but there is no folder {out.parent}")
    _start_jax()
    import numpy as np

    from jaxgan import plots
    from jaxgan.run import load

    trained = load(run)
    if sum((interpolate, traverse >= 0, reconstruct)) > 1:
        raise JaxganError("choose one of --interpolate, --traverse and --reconstruct")
    if reconstruct:
        x, y, columns = _reconstructed(trained, -(-n // 8), seed, ema)
    else:
        x, y, columns = _drawn(trained, n, seed, labels, truncation, interpolate, traverse, _codes(code), ema)
    if out.suffix == ".npz":
        np.savez(out, x=x, **({} if y is None else {"y": y}))
    else:
        plots.save(plots.examples(x, columns), out)
    print(f"{len(x)} samples of step {int(trained.state.step)} in {out}")


def _drawn(trained, n, seed, labels, truncation, interpolate, traverse, codes, ema):
    """Generated examples, their labels or None, and the columns of their picture."""
    import numpy as np

    from jaxgan import plots
    from jaxgan.games.info import values

    game = trained.game
    columns = 8 if interpolate or labels else plots.columns(game.classes)
    if traverse >= 0:
        columns = len(values(game.codes, traverse))
    walks, rows = interpolate or traverse >= 0, -(-n // columns)
    turns = np.array(labels or range(game.classes), np.int32)  # a label for each sample, or for each row of a walk
    y = np.resize(turns, rows if walks else n) if len(turns) else None
    if interpolate:
        x = trained.interpolate(rows, columns, seed, y, truncation, ema)
    elif walks:
        x = trained.traverse(traverse, rows, seed, y, ema)
    else:
        x = trained.sample(n, seed, y, truncation, ema, codes)
    return x, y.repeat(columns) if walks and y is not None else y, columns


def _codes(pairs: tuple[str, ...]) -> dict[int, float]:
    """{0: 3.0} of ("0=3",)."""
    try:
        return {int(name): float(value) for name, value in (pair.split("=") for pair in pairs)}
    except ValueError:
        raise JaxganError(f"--code is {' '.join(pairs)}; expected NUMBER=VALUE, such as --code 0=3 1=-0.5") from None


def _reconstructed(trained, rows: int, seed: int, ema: bool):
    """Rows of 8 real examples, each above the row of their reconstructions; labels or None; 8."""
    import jax
    import numpy as np

    from jaxgan import rng
    from jaxgan.train import hold_out, open_source

    source, held = hold_out(trained.config, open_source(trained.config))
    source = held or source
    count = min(8 * rows, source.size or 8 * rows)
    index = np.random.default_rng(seed).permutation(source.size)[:count] if source.size else np.zeros(count, int)
    batch = source.finish(source.rows(index), rng.examples(rng.root(seed), count))
    x, y = jax.device_get(batch["x"]), jax.device_get(batch["y"]) if trained.game.classes else None
    again = trained.reconstruct(x, y, ema)
    rows = [part for at in range(0, count, 8) for part in (x[at : at + 8], again[at : at + 8])]
    return np.concatenate(rows), y, 8


def verify(run: Annotated[str, tyro.conf.Positional], steps: int = 0) -> None:
    """Replay a run from its seed and compare it with its recorded digests, bit for bit.

    Args:
        run: Run folder.
        steps: Replay no further than this step; 0 is all of it.
    """
    _start_jax()
    from jaxgan.verify import verify

    verify(run, steps=steps)


def diagnose(run: Annotated[str, tyro.conf.Positional], held_out: str = "") -> None:
    """Measure where a run's game is going, say what it means, and draw it into RUN/diagnosis.png.

    Eigenvalues of the game's Jacobian, rotation, what each player gains by a best response, D on held-out data, path
    angle, spectral norms, diversity of samples. During training: jaxgan train ... --diagnose-every 500.

    Args:
        run: Run folder.
        held_out: Data that training did not see, such as tfds:fashion_mnist:test; empty is what the run held out
            (--holdout), or the test split of a prepared data set.
    """
    _start_jax()
    from jaxgan.diagnose import diagnose

    diagnose(run, held_out=held_out)


def prepare(
    action: Annotated[Literal["prepare"], tyro.conf.Positional],
    name: Annotated[str, tyro.conf.Positional],
    source: Annotated[Path, tyro.conf.arg(name="from")],
    data_dir: str = "",
) -> None:
    """Write a TensorFlow data set (TFDS, array_record) from its original files, without TensorFlow.

    Args:
        action: prepare.
        name: mnist, fashion_mnist, cifar10 or cifar100.
        source: Folder with the original files.
        data_dir: Where prepared data sets live; empty is $TFDS_DATA_DIR, else ~/tensorflow_datasets.
    """
    from jaxgan.data.prepare import prepare

    prepare(name, source, data_dir)


COMMANDS = {"train": train, "sample": sample, "verify": verify, "diagnose": diagnose, "data": prepare}

USAGE = """usage: jaxgan COMMAND ...

  jaxgan train EXPERIMENT [--dir runs/NAME] [--FIELD VALUE ...]   train, or resume
  jaxgan sample RUN [-n 64] [--out grid.png]                      draw from a trained run
  jaxgan verify RUN                                               replay a run from its seed, compare bit for bit
  jaxgan diagnose RUN                                             eigenvalues, rotation, overfitting, collapse: a figure
  jaxgan data prepare NAME --from FOLDER                          mnist, fashion_mnist, cifar10, cifar100

EXPERIMENT is a Python file with config(), such as experiments/mnist_dcgan.py.
`jaxgan COMMAND --help` explains a command; every field of a configuration is a flag of train."""


def main(args: list[str] | None = None) -> None:
    """Run a command; what the user can mend ends in one message and exit code 2."""
    args = sys.argv[1:] if args is None else args
    if not args or args[0] in ("-h", "--help", "help"):
        print(USAGE)
        return
    try:
        if args[0] not in COMMANDS:
            raise JaxganError(
                f"there is no command {args[0]!r}.{nearest(args[0], COMMANDS)} Known: {', '.join(COMMANDS)}"
            )
        if args[0] == "train":
            _train(args[1:])
        else:
            tyro.cli(COMMANDS[args[0]], args=args[1:], prog=f"jaxgan {args[0]}")
    except JaxganError as e:
        print(f"jaxgan: {e}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # whoever read our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as e:
        remedy = "check the path, its permissions and the free space"
        print(f"jaxgan: cannot use {e.filename or 'a file'} ({e.strerror or e}); {remedy}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("jaxgan: interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)


def _train(args: list[str]) -> None:
    """`train`, with the experiment's configuration as the flags' defaults."""
    name = next(iter(args), "")
    if name.startswith("-") and name not in ("-h", "--help"):
        raise JaxganError(f"the experiment comes first: jaxgan train EXPERIMENT {' '.join(args)}")
    asked = not name.startswith("-") and bool(name)
    if not name:
        raise JaxganError(f"which experiment? Known: {', '.join(_experiments()) or 'a Python file with config()'}")
    config, doc = experiment(Path(name)) if asked else (Config(), train.__doc__)
    default = {"config": config, "dir": Path("runs") / Path(name).stem if asked else Path("runs/NAME")}
    tyro.cli(
        _with_defaults(default),
        args=args[1:] if asked else ["--help"],
        prog=f"jaxgan train {name if asked else 'EXPERIMENT'}",
        description=doc,
    )


def _with_defaults(default: dict):
    """`train` with other default values, which tyro shows in --help."""
    from functools import wraps
    from inspect import signature

    old = signature(train)
    new = [p.replace(default=default.get(n, p.default)) for n, p in old.parameters.items()]

    @wraps(train)
    def call(**values):
        c = values["config"]
        if c.data.startswith("folder:"):  # the run folder must find it from anywhere
            values["config"] = c.__class__(**{**vars(c), "data": f"folder:{Path(c.data[7:]).expanduser().absolute()}"})
        train(**values)

    call.__signature__ = old.replace(parameters=new)
    return call


def experiment(path: Path) -> tuple[Config, str]:
    """(configuration, docstring) of an experiment file, which is run for it."""
    if not path.is_file():
        known = _experiments()
        raise JaxganError(
            f"there is no experiment {path}.{nearest(str(path), known)} Known: {', '.join(known) or 'none here'}"
        )
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise JaxganError(f"{path} is not a Python file; an experiment is one, with a function config()")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        if not callable(getattr(module, "config", None)):
            raise JaxganError(f"{path} has no function config(); an experiment has one that returns a jaxgan.Config")
        config = module.config()
    except JaxganError:
        raise
    except Exception as e:
        raise JaxganError(f"the experiment {path} does not run{_line(path, e)}: {type(e).__name__}: {e}") from None
    if not isinstance(config, Config):
        raise JaxganError(f"config() in {path} returns {type(config).__name__}; expected a jaxgan.Config")
    return check(config), module.__doc__ or ""


def _line(path: Path, error: Exception) -> str:
    """Where in path the error arose, if it did there."""
    from traceback import extract_tb

    lines = [frame.lineno for frame in extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f", line {lines[-1]}" if lines else ""


def _experiments() -> list[str]:
    files = sorted(Path("experiments").glob("*.py"))
    return [str(f) for f in files if "def config(" in f.read_text(errors="replace")]


def _start_jax(coordinator: str = "", processes: int = 0, process: int = -1) -> None:
    """Compilation cache on, other processes joined."""
    import jax

    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "jaxgan" / "xla"
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        jax.config.update("jax_compilation_cache_dir", str(cache))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    from jaxgan import parallel

    parallel.start(coordinator, processes, process)


if __name__ == "__main__":
    main()
