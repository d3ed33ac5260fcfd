"""What a run is made of: one flat, frozen, typed record, whose every field is a command-line flag. No jax here.

`Hp` (hp.py) holds the traced numbers: they enter the compiled step as arrays, so that a sweep over them compiles once.
Everything else is static. A penalty whose weight is 0 is left out of the program.
"""

import dataclasses
import json
import typing
from pathlib import Path
from typing import Any, Literal

from jaxgan import hp
from jaxgan.errors import JaxganError, nearest
from jaxgan.hp import Hp

Kind = Literal[
    "plain",
    "conditional",
    "auto",
    "infogan",
    "ssgan",
    "lrgan",
    "bigan",
    "aae",
    "vae",
    "vaegan",
    "ebgan",
    "began",
    "pix2pix",
    "cyclegan",
    "bicyclegan",
    "stargan",
    "own",
]
Loss = Literal[
    "minimax",
    "ns",
    "klgan",
    "lsgan",
    "wasserstein",
    "hinge",
    "rpgan",
    "ragan",
    "rahinge",
    "ralsgan",
    "f_kl",
    "f_reverse_kl",
    "f_pearson",
    "f_hellinger",
    "f_js",
    "f_alpha",
    "mmd",
    "own",
]
Norm = Literal["own", "none", "batch", "virtual", "spectral"]
Head = Literal["projection", "concat", "embedding", "ac", "ac_real", "adc", "multihinge", "2c", "2c_proxy", "d2dce"]
Augment = Literal["flip", "brightness", "saturation", "contrast", "translation", "cutout", "jitter"]


@dataclasses.dataclass(frozen=True)
class Config:
    """One training run."""

    kind: Kind = "plain"
    """Kind of GAN; auto is conditional where the data has labels, else plain; own is a program's, see the README."""
    conditional: bool = False
    """Give the networks of any kind the labels of the data too."""
    head: Head = "projection"
    """How D uses labels (kind conditional): beside its input or features, or as a classifier's loss.

    ac_real is ac whose D learns classes from real examples alone, 2c_proxy is 2c without same-label examples in its
    numerator."""
    codes: tuple[int, ...] = (10, 1, 1)
    """Codes of infogan: n above 1 is a category out of n, 1 is a number in [-1, 1]."""
    pool: int = 0
    """Generated examples that are kept to show D old ones too, one in two (Shrivastava et al. 2017); 0 is off."""
    loss: Loss = "ns"
    """Adversarial loss, as described in jaxgan/losses.py; own is what a program puts there."""
    net: Literal["mlp", "dcgan", "conv1d"] = "dcgan"
    """Architecture of generator and discriminator."""
    d_norm: Norm = "own"
    """Normalisation in D; own is the architecture's (batch in dcgan, else none), spectral is SNGAN's."""
    g_norm: Norm = "own"
    """Normalisation in G; own is the architecture's (batch in dcgan and conv1d, none in mlp)."""
    width: int = 64
    """Hidden units (mlp), or channels at the highest resolution (dcgan, conv1d)."""
    depth: int = 2
    """Hidden layers (mlp)."""
    pack: int = 1
    """Examples that D sees side by side and judges together (PacGAN)."""
    gradient_norm: bool = False
    """Divide D's logit by the norm of its gradient plus its size (gradient normalisation)."""
    augment: tuple[Augment, ...] = ()
    """Differentiable augmentations of all that D sees (DiffAugment)."""
    cr_augment: tuple[Augment, ...] = ("flip", "translation")
    """Augmentations under which hp.cr and hp.cr_fake want D not to change."""
    unroll: int = 0
    """Updates of D that G foresees and differentiates through (unrolled GAN); 0 is none."""
    lazy: int = 1
    """Apply r1 and r2 at every lazy-th update of D only, that many times as strong."""
    lazy_g: int = 1
    """Apply path_length at every lazy_g-th update of G only, that many times as strong (StyleGAN2 uses 4)."""
    latent_steps: int = 0
    """Steps of latent optimisation before each update (LOGAN); 0 is none."""
    latent: int = 64
    """Size of the latent vector z."""
    data: str = "mnist5k"
    """Real examples: mnist5k, a toy (ring8, ...), sequences (sines, curves1d), folder:PATH, or tfds:NAME[:SPLIT].

    Two sets to translate between: mnist5k_outlines[:unpaired], pairs:PATH, or unpaired:PATH, see the README."""
    data_dir: str = ""
    """Where prepared data sets live; empty is $TFDS_DATA_DIR, else ~/tensorflow_datasets."""
    size: int = 0
    """Image size in pixels; 0 keeps the data's own (folder: 32)."""
    flip: bool = False
    """Mirror each image with probability 1/2."""
    skip_corrupt: bool = False
    """Skip image files that cannot be read, and count them, in place of an error."""
    holdout: int = 0
    """Examples kept out of training, so that diagnosis can tell learning from memorising."""
    feed: Literal["auto", "device", "stream"] = "auto"
    """Keep all data on the device, or stream batches from the host; auto streams above 2 GB."""
    solver: Literal[
        "alternating",
        "simultaneous",
        "extragradient",
        "extragradient_two",
        "past_extragradient",
        "optimistic",
        "consensus",
        "lookahead",
    ] = "alternating"
    """How the players move; extragradient looks twice at one batch, extragradient_two (ExtraAdam's) at two."""
    optimizer: Literal["adam", "sgd", "rmsprop"] = "adam"
    """Optimizer of both players."""
    batch: int = 64
    """Real examples per update, over all devices."""
    fake_batch: int = 0
    """Generated examples per update; 0 is as many as real ones."""
    accumulate: int = 1
    """Micro-batches per update, one after the other: the same update in less memory."""
    d_steps: int = 1
    """Discriminator updates per train step, each on a fresh batch."""
    g_steps: int = 1
    """Generator updates per train step, each on a fresh batch."""
    steps: int = 1000
    """Train steps; may be raised later to train on."""
    seed: int = 0
    """A seed is a run."""
    parallel: Literal["auto", "pmap", "jit"] = "auto"
    """How to use several devices; auto is pmap where there is more than one."""
    chunk: int = 0
    """Steps per dispatch; 0 adapts it to about a second of work. Never changes the result."""
    log_every: int = 50
    """Steps between rows of metrics.jsonl."""
    sample_every: int = 250
    """Steps between sample grids; 0 draws only the last."""
    checkpoint_every: int = 500
    """Steps between checkpoints; the last step is always saved."""
    diagnose_every: int = 0
    """Steps between diagnoses (columns diagnosis/* of metrics.jsonl, and alarms); 0 is none."""
    profile: bool = False
    """Trace ten steps, once compiled and warm, into RUN/profile for TensorBoard and Perfetto."""
    keep: int = 3
    """Newest checkpoints that stay on disk."""
    writers: tuple[Literal["tensorboard", "wandb"], ...] = ()
    """Where metrics go besides metrics.jsonl."""
    hp: Hp = dataclasses.field(default_factory=Hp)


# Fields that cannot change the trajectory: a run may be resumed with other values of these.
NEUTRAL = frozenset(
    {"steps", "data_dir", "feed", "parallel", "chunk", "log_every", "sample_every", "checkpoint_every", "keep"}
    | {"diagnose_every", "writers", "skip_corrupt", "accumulate", "profile"}
)


def _check_type(name: str, kind: Any, value: Any) -> Any:
    """value as the field's type; JSON lists become tuples."""
    if typing.get_origin(kind) is Literal:
        known = typing.get_args(kind)
        if value not in known:
            raise JaxganError(f"{name} is {value!r}; choose from {', '.join(known)}.{nearest(str(value), known)}")
        return value
    if typing.get_origin(kind) is tuple:
        if isinstance(value, str) or not hasattr(value, "__iter__"):
            raise JaxganError(f"{name} is {value!r}; expected a list")
        return tuple(_check_type(name, typing.get_args(kind)[0], v) for v in value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise JaxganError(f"{name} is {value!r}; expected {kind.__name__}")
    return value


def _build(cls: type, values: dict[str, Any]):
    kinds = typing.get_type_hints(cls)
    for name in values:
        if name not in kinds:
            raise JaxganError(f"unknown field {name!r} of {cls.__name__}.{nearest(name, kinds)}")
    if cls is Hp:
        return hp.check(Hp(**values))
    nested = {n: _build(Hp, v) if n == "hp" and isinstance(v, dict) else v for n, v in values.items()}
    return cls(**{n: _check_type(n, kinds[n], v) for n, v in nested.items()})


POSITIVE = ["width", "depth", "latent", "pack", "lazy", "lazy_g", "batch", "accumulate", "steps", "d_steps", "g_steps"]
POSITIVE += ["log_every", "checkpoint_every", "keep"]
NATURAL = ["size", "holdout", "fake_batch", "pool", "chunk", "sample_every", "diagnose_every", "latent_steps", "unroll"]


def check(config: Config) -> Config:
    """config itself, with every value of the right type and range; JaxganError names the first that is not."""
    values = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
    config = _build(Config, {**values, "hp": vars(config.hp) if isinstance(config.hp, Hp) else config.hp})
    for name in POSITIVE:
        if getattr(config, name) < 1:
            raise JaxganError(f"{name} is {getattr(config, name)}; expected at least 1")
    for name in NATURAL:
        if getattr(config, name) < 0:
            raise JaxganError(f"{name} is {getattr(config, name)}; expected 0 or more")
    for code in config.codes:
        if code < 1:
            raise JaxganError(f"codes holds {code}; expected 1 for a number or n for a category out of n")
    if not 0 <= config.seed < 2**32:
        raise JaxganError(f"seed is {config.seed}; expected 0 to 4294967295")
    return config


def from_dict(values: dict[str, Any]) -> Config:
    """The Config that values describe; a field that is left out keeps its default, an unknown one is an error."""
    return check(_build(Config, values))


def to_dict(config: Config) -> dict[str, Any]:
    """config as plain JSON values; a schedule is its text."""
    numbers = {name: hp.plain(value) for name, value in vars(config.hp).items()}
    return {**{f.name: getattr(config, f.name) for f in dataclasses.fields(config)}, "hp": numbers}


def load(path: Path) -> Config:
    """The Config in a JSON file; reading it never runs code."""
    try:
        values = json.loads(path.read_text())
    except (ValueError, UnicodeDecodeError) as e:
        raise JaxganError(f"{path} is not readable JSON ({e}); restore it, or start the run in a new folder") from None
    if not isinstance(values, dict):
        raise JaxganError(f"{path} holds {type(values).__name__}, expected an object of config fields")
    return from_dict(values)


def differences(old: Config, new: Config) -> list[str]:
    """'field: old -> new' for each field that changes the trajectory and differs."""
    a, b = flat(old), flat(new)
    return [f"{k}: {a[k]!r} -> {b[k]!r}" for k in a if a[k] != b[k] and k not in NEUTRAL]


def flat(config: Config) -> dict[str, Any]:
    """{field: value} with "hp." before the names of Hp."""
    values = to_dict(config)
    return {**{f"hp.{k}": v for k, v in values.pop("hp").items()}, **values}
