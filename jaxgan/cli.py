"""The command line. Every field of a configuration is a flag of train; imports come late."""

import dataclasses
import os
import sys
from functools import partial, reduce
from pathlib import Path

import tyro

from jaxgan import hp
from jaxgan.commands import COMMANDS, INTERRUPTED, SECOND, sweep_on
from jaxgan.config import Config, Size, placed, placed_data, size_of, size_text
from jaxgan.errors import JaxganError, LostProcess, nearest
from jaxgan.experiment import experiment, known
from jaxgan.sweep.options import Engine, Look, gathered

LOST = 75  # EX_TEMPFAIL of sysexits.h: start it again

USAGE = """usage: jaxgan COMMAND ...

  jaxgan train EXPERIMENT [--dir runs/NAME] [--FIELD VALUE ...]   train, or resume
  jaxgan sweep EXPERIMENT [--grid hp.g_lr=1e-4,1e-3 ...] [--seeds 5]  many runs as few compiled programs
  jaxgan sweep report DIR                                         report.html and report.md of a sweep
  jaxgan sample RUN [-n 64] [--out grid.png|DIR/|x.npz]           draw from a trained run; --walk 4 --out walk.gif
  jaxgan project RUN photo.png [more ...]                         latents of your own images
  jaxgan verify RUN                                               replay a run from its seed, compare bit for bit
  jaxgan eval RUN [--metrics fid kid prdc] [--step best]          FID, KID, precision, recall, ... of samples
  jaxgan eval --images DIR --reference DIR                        the same of any images
  jaxgan diagnose RUN                                             eigenvalues, rotation, overfitting, collapse: a figure
  jaxgan report RUN [RUN ...]                                     report.html: curves, pictures over time, scores
  jaxgan export RUN [--formats jax onnx safetensors]              the sampler as files that need no jaxgan
  jaxgan plan EXPERIMENT [--topology v5e:2x4] [--FIELD VALUE ...] compile for TPUs that are not there: fit and speed
  jaxgan data prepare NAME --from FOLDER                          mnist, fashion_mnist, cifar10, cifar100, emoji
  jaxgan data stats DATA [--features NAME]                        features of real images, made once for eval

EXPERIMENT is a Python file with config(), such as experiments/mnist_dcgan.py.
`jaxgan COMMAND --help` explains a command; `jaxgan train EXPERIMENT --help` what acts in an experiment."""


def main(args: list[str] | None = None) -> None:
    """Run a command; what the user can mend ends in one message and exit code 2."""
    args = sys.argv[1:] if args is None else args
    try:
        if not args or args[0] in ("-h", "--help", "help"):
            print(USAGE, flush=True)
            return
        if args[0] not in COMMANDS:
            raise JaxganError(
                f"there is no command {args[0]!r}.{nearest(args[0], COMMANDS)} Known: {', '.join(COMMANDS)}"
            )
        if two := SECOND.get((args[0], args[1] if args[1:] else "")):
            with _registry():
                tyro.cli(two, args=args[2:], prog=f"jaxgan {args[0]} {args[1]}")
        elif args[0] == "sweep" and args[1:] and Path(args[1], "sweep.json").is_file():
            tyro.cli(sweep_on, args=args[1:], prog="jaxgan sweep DIR")
        elif args[0] in ("train", "sweep", "plan"):
            _with_experiment(args[0], args[1:])
        else:
            with _registry():
                tyro.cli(COMMANDS[args[0]], args=args[1:], prog=f"jaxgan {args[0]}")
    except LostProcess as e:
        print(f"jaxgan: {e}", file=sys.stderr, flush=True)
        sys.stdout.flush()
        os._exit(LOST)  # JAX would wait for the lost process before it ends
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


def _registry() -> tyro.constructors.ConstructorRegistry:
    """How a flag reads a number that may be a schedule, and a size that may be two numbers."""
    registry = tyro.constructors.ConstructorRegistry()

    def read(word: str) -> hp.Number:
        try:
            return hp.number("the value", word) if ":" in word else float(word)
        except JaxganError as e:  # tyro names the flag
            raise ValueError(str(e)) from None

    def pixels(word: str) -> Size:
        try:
            return size_of(word, "the value")
        except JaxganError as e:
            raise ValueError(str(e)) from None

    @registry.primitive_rule
    def numbers(info):
        if info.type != hp.Number:
            return None
        return tyro.constructors.PrimitiveConstructorSpec(
            nargs=1,
            metavar="NUMBER",
            instance_from_str=lambda words: read(words[0]),
            is_instance=lambda value: isinstance(value, float | int | tuple),
            str_from_instance=lambda value: [hp.text(value) if isinstance(value, tuple) else str(value)],
        )

    @registry.primitive_rule
    def sizes(info):
        if info.type != Size:
            return None
        return tyro.constructors.PrimitiveConstructorSpec(
            nargs=1,
            metavar="PIXELS|HEIGHTxWIDTH",
            instance_from_str=lambda words: pixels(words[0]),
            is_instance=lambda value: isinstance(value, int | tuple),
            str_from_instance=lambda value: [size_text(value)],
        )

    return registry


def _with_experiment(command: str, args: list[str]) -> None:
    """`train`, `sweep` or `plan`, with the experiment's configuration as the flags' defaults."""
    name = next(iter(args), "")
    helps = {"-h", "--help", "--help-all"} & set(args)
    if name.startswith("-") and name not in helps:
        raise JaxganError(f"the experiment comes first: jaxgan {command} EXPERIMENT {' '.join(args)}")
    asked = not name.startswith("-") and bool(name)
    if not name:
        raise JaxganError(f"which experiment? Known: {', '.join(known()) or 'a Python file with config()'}")
    about = str(COMMANDS[command].__doc__).partition("    Args:")[0]
    config, doc = experiment(Path(name)) if asked else (Config(), about)
    home = Path({"train": "runs", "sweep": "sweeps", "plan": ""}[command])
    default = {
        "config": config,
        "dir": home / (Path(name).stem if asked else "NAME"),
        "look": Look(),
        "where": Engine(),
    }
    extra = {"experiment": Path(name)} if command == "sweep" else {}
    prog = f"jaxgan {command} {name if asked else 'EXPERIMENT'}"
    words = [word for word in args[asked:] if word not in helps] + ["--help"] * ("--help-all" in helps)
    words = ranges(words) if command == "sweep" else words
    act = partial(COMMANDS[command], **extra)
    if helps:
        from jaxgan import help

        act = partial(help.show, COMMANDS[command], prog, doc)
    with _registry():
        tyro.cli(
            _with_defaults(COMMANDS[command], act, default, tuple(extra)),
            args=reduce(gathered, ("--grid", "--ranges", "--slurm", "--override"), words),
            prog=prog,
            description=doc,
        )


def ranges(args: list[str]) -> list[str]:
    """args of a sweep with --ranges in place of --space where NAME=VALUES follow, as a search's were once called."""
    after = [*args[1:], ""]
    old = [word.startswith("--space") and "=" in word[8:] + then for word, then in zip(args, after)]
    return [word.replace("--space", "--ranges", 1) if is_old else word for word, is_old in zip(args, old)]


def _with_defaults(command, act, default: dict, extra: tuple[str, ...]):
    """act as tyro sees command, with other default values, which --help shows; extra arguments are no flags."""
    from functools import wraps
    from inspect import signature

    old = signature(command)
    new = [p.replace(default=default.get(n, p.default)) for n, p in old.parameters.items() if n not in extra]

    @wraps(command)
    def filled(**values):
        c = values["config"]
        places = {n: placed(at) for n in ("init", "space") if (at := getattr(c, n))}
        values["config"] = dataclasses.replace(c, data=placed_data(c.data), **places)
        act(**values)

    filled.__signature__ = old.replace(parameters=new)  # type: ignore[attr-defined]
    return filled


if __name__ == "__main__":
    main()
