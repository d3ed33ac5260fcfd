"""What a run is made of: one flat, frozen, typed record, whose every field is a command-line flag. No jax here.

`Hp` (hp.py) holds the traced numbers: they enter the compiled step as arrays, so that a sweep over them compiles once.
Everything else is static. A penalty whose weight is 0 is left out of the program.
"""

import dataclasses
import json
import typing
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from jaxgan import hp
from jaxgan.errors import JaxganError, nearest
from jaxgan.fields import brief, facts, option, outside, records
from jaxgan.hp import Hp
from jaxgan.options import Architecture


class Made(NamedTuple):
    """A kind of GAN: the file of games/ with the function of its name, and which words of fields.OFFERS it lacks."""

    file: str
    lacks: str = ""


TRANSLATOR = "counts made"  # what translators lack
KINDS = {
    "plain": Made("conditional"),
    "conditional": Made("conditional"),
    "infogan": Made("info", "search"),
    "ssgan": Made("rotation"),
    "lrgan": Made("encoder"),
    "bigan": Made("encoder", "again search latent alone g_loss layers"),
    "aae": Made("encoder", "again counts search latent views layers"),
    "vae": Made("encoder", "critic loss again counts search latent views alone"),
    "vaegan": Made("encoder", "again counts search"),
    "gat": Made("gat", "again search latent alike"),
    "cat": Made("cat", "again search latent alike whole"),
    "ebgan": Made("autoencoder", "loss counts layers"),
    "began": Made("autoencoder", "loss counts layers"),
    "pix2pix": Made("translate", f"{TRANSLATOR} labels views"),
    "cyclegan": Made("translate", f"{TRANSLATOR} labels search latent one layers"),
    "bicyclegan": Made("translate", f"{TRANSLATOR} labels views again search"),
    "stargan": Made("star", f"{TRANSLATOR} again search latent"),
    "upscale": Made("upscale", f"{TRANSLATOR} critic loss again labels norms search latent views alone"),
    "esrgan": Made("upscale", f"{TRANSLATOR} again labels norms search latent"),
}
Size = int | tuple[int, int]  # pixels of squares, or height and width
if TYPE_CHECKING:
    Kind = str
else:
    Kind = Literal[(*KINDS, "auto", "own")]
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
Head = Literal["projection", "concat", "embedding", "ac", "ac_real", "adc", "multihinge", "2c", "2c_proxy", "d2dce"]
DiffAugment = Literal["flip", "brightness", "saturation", "contrast", "translation", "cutout", "jitter"]
Augment = Literal[DiffAugment, "ada", "blit", "geometry", "color", "filter", "noise", "ada_cutout"]


@dataclasses.dataclass(frozen=True, repr=False)
class Eval:
    """How a run is evaluated: by jaxgan eval, and in training at every eval_every-th step."""

    __repr__ = brief

    metrics: tuple[str, ...] = option((), "run folder", neutral=True)
    """Metrics, see jaxgan/metrics/README.md; none is modes of toys that have some, else fid kid prdc."""
    features: str = option("", "run folder", neutral=True)
    """Network whose features they compare, see jaxgan/features/README.md, or raw, the examples themselves.

    Empty is digits-cnn of MNIST, fashion-cnn of Fashion-MNIST, inception-2015/clean of other images, else raw."""
    n: int = option(0, "run folder", neutral=True)
    """Generated examples; 0 is as many as there are real ones, at most 10,000."""
    best: str = option("", "eval_every", neutral=True)
    """Keep the checkpoint that is best by one of them, such as "min fid"; empty is the first of them."""


@dataclasses.dataclass(frozen=True, repr=False)
class Config(Architecture):
    """One training run."""

    kind: Kind = option("plain", "parts")
    """Kind of GAN; auto is conditional where the data has labels, else plain; own: see games/README.md."""
    conditional: bool = option(False, "parts", never=("kind stargan",), needs="labels")
    """Give the networks of any kind the labels of the data too."""
    head: Head = option("projection", "kind conditional")
    """How D uses labels (kind conditional): beside its input or features, or as a classifier's loss.

    ac_real is ac whose D learns classes from real examples alone, 2c_proxy is 2c without same-label examples in its
    numerator."""
    two_d: bool = option(False, "kind bicyclegan", later=True)
    """Two discriminators (the paper's), one for translations by codes of E and one for those by random codes."""
    codes: tuple[int, ...] = option((10, 1, 1), "kind infogan")
    """Codes of infogan: n above 1 is a category out of n, 1 is a number in [-1, 1]."""
    pool: int = option(0, "discriminator", needs="critic again")
    """Generated examples that are kept to show D old ones too, one in two (Shrivastava et al. 2017); 0 is off."""
    loss: Loss = option("ns", "parts", never=("head multihinge",), needs="critic loss")
    """Adversarial loss, as described in jaxgan/losses.py; own is what a program puts there."""
    pack: int = option(1, "discriminator", needs="critic", least=1)
    """Examples that D sees side by side and judges together (PacGAN)."""
    gradient_norm: bool = option(False, "discriminator", needs="critic loss alone")
    """Divide D's logit by the norm of its gradient plus its size (gradient normalisation)."""
    augment: tuple[Augment, ...] = option((), "discriminator", needs="views")
    """Differentiable augmentations of all that D sees: DiffAugment, and from ada on groups of ADA's, see hp.augment_p.

    ada is blit, geometry and color."""
    cr_augment: tuple[DiffAugment, ...] = option(("flip", "translation"), "hp.cr", "hp.cr_fake")
    """Augmentations under which hp.cr and hp.cr_fake want D not to change."""
    unroll: int = option(0, "solver alternating lookahead", needs="critic")
    """Updates of D that G foresees and differentiates through (unrolled GAN); 0 is none."""
    reuse: bool = option(False, "solver alternating lookahead", needs="critic", later=True)
    """An update of G sees the real examples and the latents of D's last (GAT), in place of fresh ones.

    What is random beside these is its own: augmentations and noise."""
    lazy: int = option(1, "hp.r1", "hp.r2", needs="critic", least=1)
    """Apply r1 and r2 at every lazy-th update of D only, that many times as strong."""
    lazy_g: int = option(1, "hp.path_length", needs="critic", least=1)
    """Apply path_length at every lazy_g-th update of G only, that many times as strong (StyleGAN2 uses 4)."""
    lazy_steps: bool = option(
        False,
        *("hp.r1", "hp.r2", "hp.path_length"),
        never=("optimizer sgd rmsprop", "net progan"),
        needs="critic loss",
        later=True,
    )
    """Take r1 and r2, and path_length, as steps of their own after lazy-th and lazy_g-th updates (StyleGAN2's code).

    Adam's rate and betas are corrected for the additional steps, whose r1, r2 and path_length are not logged."""
    factor: int = option(4, "net rrdb", least=1, later=True)
    """How many times as high and as wide the images are that net rrdb makes of others: 2, 4 or 8."""
    perceptual_net: Literal["vgg16", "digits-cnn", "fashion-cnn", "random"] = option("vgg16", "kind esrgan", later=True)
    """Network whose last convolution, before its rectifier, hp.perceptual compares; see features/README.md."""
    alignment_net: Literal["vgg16", "digits-cnn", "fashion-cnn", "dinov2-vits14", "dinov2-vitb14", "random"] = option(
        "digits-cnn", "hp.alignment", later=True
    )
    """Network to whose tokens (dinov2), or last convolution before its rectifier, hp.alignment turns D's tokens."""
    latent_steps: int = option(0, "generator", needs="search")
    """Steps of latent optimisation before each update (LOGAN); 0 is none."""
    latent: int = option(64, "generator", never=("kind cyclegan stargan upscale esrgan",))
    """Size of the latent vector z; of pix2pix also 0, no z, as where dropout is its noise."""
    data: str = option("mnist5k", "data")
    """Real examples: mnist5k, a toy (ring8, ...), sequences (sines, curves1d), folder:PATH[:SPLIT], or
    tfds:NAME[:SPLIT], or hf:NAME[:SPLIT].

    Two sets to translate between: mnist5k_outlines[:unpaired], pairs:PATH, or unpaired:PATH, see data/README.md."""
    data_dir: str = option("", "data", neutral=True)
    """Where prepared data sets live; empty is $TFDS_DATA_DIR, else ~/tensorflow_datasets."""
    size: Size = option(0, "data")
    """Image size in pixels, of squares or HEIGHTxWIDTH such as 64x96; 0 keeps the data's own (folder: 32)."""
    patch: int = option(0, "data", later=True)
    """Random squares of so many pixels of the images of a folder, which keep their own size; 0 is all of each image."""
    flip: bool = option(False, "data")
    """Mirror each image with probability 1/2."""
    skip_corrupt: bool = option(False, "data", neutral=True)
    """Skip image files that cannot be read, and count them, in place of an error."""
    space: str = option("", "data", needs="made", later=True)
    """Train on latents of the data, in the space of another run's autoencoder: RUN or RUN:STEP or RUN:best.

    Or in that of published weights of Stable Diffusion's: sd-vae:PATH, a .safetensors file.
    What is made is decoded: samples, pictures and scores are of images."""
    posterior: Literal["sampled", "mean"] = option("sampled", "space", later=True)
    """Latents are drawn anew each time from the normal distribution that the encoder finds, or are its mean."""
    label: str = option("", "data", later=True)
    """Column of a folder's table of labels that holds the classes; empty is the one called label, if there is one."""
    max_pixels: int = option(178_956_970, "data", neutral=True, later=True, least=1)
    """Pixels of an image file above which it is not read: it may be damaged, and takes memory (Pillow's own bound)."""
    levels: Literal["bytes", "floats"] = option("bytes", "data", later=True)
    """What image files are kept as: bytes, 256 levels, or floats, for 16-bit and float images with all of theirs."""
    fit: Literal["crop", "pad", "stretch"] = option("crop", "data", later=True)
    """How images of files get the shape of size: their central part, all of it on white, or all of it stretched."""
    channels: int = option(0, "data", later=True)
    """Channels of images of files: 1 is grey, 3 colour on white, 4 colour and opacity, more those of .npy files.

    0 is grey where all images are, else colour."""
    balance: bool = option(False, "data", later=True)
    """Draw all classes equally often: an epoch has as many examples of each as of the largest."""
    holdout: int = option(0, "data")
    """Examples kept out of training, so that diagnosis can tell learning from memorising."""
    feed: Literal["auto", "device", "stream"] = option("auto", "devices", neutral=True)
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
    ] = option("alternating", "parts")
    """How the players move; extragradient looks twice at one batch, extragradient_two (ExtraAdam's) at two."""
    optimizer: Literal["adam", "sgd", "rmsprop"] = option("adam", "parts")
    """Optimizer of both players."""
    batch: int = option(64, "run", least=1)
    """Real examples per update, over all devices."""
    fake_batch: int = option(0, "run", needs="counts")
    """Generated examples per update; 0 is as many as real ones."""
    accumulate: int = option(1, "devices", neutral=True, least=1)
    """Micro-batches per update, one after the other: the same update in less memory."""
    d_steps: int = option(1, "solver alternating simultaneous lookahead", needs="critic", least=1)
    """Discriminator updates per train step, each on a fresh batch."""
    g_steps: int = option(1, "solver alternating simultaneous lookahead", least=1)
    """Generator updates per train step, each on a fresh batch."""
    steps: int = option(1000, "run", neutral=True, free=True, least=1)
    """Train steps; may be raised later to train on."""
    seed: int = option(0, "run", most=2**32 - 1)
    """A seed is a run."""
    parallel: Literal["auto", "pmap", "jit", "zero1"] = option("auto", "devices", neutral=True)
    """How to use several devices; auto is pmap where there is more than one, zero1 splits the optimizers' moments."""
    chunk: int = option(0, "devices", neutral=True, free=True)
    """Steps per dispatch; 0 adapts it to about a second of work. Never changes the result."""
    log_every: int = option(50, "run folder", neutral=True, free=True, least=1)
    """Steps between rows of metrics.jsonl."""
    sample_every: int = option(250, "run folder", neutral=True, free=True)
    """Steps between sample grids; 0 draws only the last."""
    checkpoint_every: int = option(500, "run folder", neutral=True, free=True, least=1)
    """Steps between checkpoints; the last step is always saved."""
    diagnose_every: int = option(0, "run folder", neutral=True)
    """Steps between diagnoses (columns diagnosis/* of metrics.jsonl, and alarms); 0 is none."""
    eval_every: int = option(0, "run folder", neutral=True, later=True)
    """Steps between evaluations (columns such as fd/digits-cnn/n5000/ddof1 of metrics.jsonl); 0 is none."""
    eval: Eval = Eval()
    profile: bool = option(False, "run folder", neutral=True)
    """Trace ten steps, once compiled and warm, into RUN/profile for TensorBoard and Perfetto."""
    keep: int = option(3, "run folder", neutral=True, free=True, least=1)
    """Newest checkpoints that stay on disk."""
    writers: tuple[Literal["tensorboard", "wandb"], ...] = option((), "run folder", neutral=True, free=True)
    """Where metrics go besides metrics.jsonl."""
    init: str = option("", "run", never=("net progan",), later=True)
    """Begin with another run's weights, RUN or RUN:STEP or RUN:best, as far as shapes agree; optimizers begin anew."""
    freeze: str = option("", "init", needs="critic layers", later=True)
    """d:N keeps the first N layers of D, counted from the image, as init gives them (FreezeD, Mo et al. 2020)."""
    hp: Hp = dataclasses.field(default_factory=Hp)


NEUTRAL = frozenset(name for name, found in facts(Config).items() if found.neutral)
"""Fields that cannot change the trajectory: a run may be resumed with other values of these."""
NESTED = records(Config) | {"hp": Hp}

SD_VAE = "sd-vae:"  # before the path of published weights, in Config.space


def size_of(value: Any, name: str = "size") -> Size:
    """A size as a user may write it, 64, (64, 96) or "64x96"; JaxganError for what is none."""
    words = value.lower().split("x") if isinstance(value, str) else value
    numbers = list(words) if isinstance(words, list | tuple) else [words]
    numbers = [int(n) if isinstance(n, str) and n.isdecimal() else n for n in numbers]
    least = len(numbers) - 1  # 0 stands for the data's own
    if len(numbers) not in (1, 2) or any(type(n) is not int or n < least for n in numbers):
        raise JaxganError(
            f"{name} must be a number of pixels, 0 for the data's own, or a height and a width such as 64x96; got "
            f"{value!r}"
        )
    return numbers[0] if len(set(numbers)) == 1 else (numbers[0], numbers[1])


def sides(size: Size) -> tuple[int, int]:
    """Height and width of images of a size."""
    return size if isinstance(size, tuple) else (size, size)


def placed(name) -> str:
    """Config.init or Config.space of a path that a user gave, from wherever it is read."""
    prefix = SD_VAE if str(name).startswith(SD_VAE) else ""
    return f"{prefix}{Path(str(name).removeprefix(prefix)).expanduser().absolute()}"


def placed_data(name: str) -> str:
    """Config.data of a path that a user gave, from wherever it is read; hf: is one where there is such a folder."""
    prefix, colon, path = name.partition(":")
    there = prefix == "hf" and Path(path.rpartition(":")[0] or path).expanduser().is_dir()
    if colon and (there or prefix in ("folder", "pairs", "unpaired")):
        return f"{prefix}:{Path(path).expanduser().absolute()}"
    return name


def size_text(size: Size) -> str:
    """A size as the command line has it."""
    return "x".join(map(str, size)) if isinstance(size, tuple) else str(size)


def _check_type(name: str, kind: Any, value: Any) -> Any:
    """value as the field's type; JSON lists become tuples."""
    if kind == Size:
        return size_of(value, name)
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


def _build(cls: type, values: dict[str, Any], prefix: str = ""):
    kinds = typing.get_type_hints(cls)
    for name in values:
        if name not in kinds:
            raise JaxganError(f"unknown field {name!r} of {cls.__name__}.{nearest(name, kinds)}")
    if cls is Hp:
        return hp.check(Hp(**values))
    nested = {n: _build(kinds[n], v, f"{n}.") if n in NESTED and isinstance(v, dict) else v for n, v in values.items()}
    return cls(**{n: _check_type(prefix + n, kinds[n], v) for n, v in nested.items()})


def check(config: Config) -> Config:
    """config itself, with every value of the right type and range; JaxganError names the first that is not."""
    values = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
    inner = {n: vars(values[n]) for n, kind in NESTED.items() if isinstance(values[n], kind)}
    config = _build(Config, values | inner)
    for name, found in facts(Config).items():
        value = attrgetter(name)(config)
        if type(value) is int and (words := outside(found, value)):
            raise JaxganError(f"{name} is {value}; expected {words}")
    for code in config.codes:
        if code < 1:
            raise JaxganError(f"codes holds {code}; expected 1 for a number or n for a category out of n")
    return config


def from_dict(values: dict[str, Any]) -> Config:
    """The Config that values describe; a field that is left out keeps its default, an unknown one is an error."""
    return check(_build(Config, values))


def to_dict(config: Config) -> dict[str, Any]:
    """config as plain JSON values, without records and later fields at their defaults; a schedule is its text."""
    later = {name: getattr(Config, name) for name, found in facts(Config).items() if found.later}
    values = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
    values = {name: value for name, value in values.items() if name not in later or value != later[name]}
    for name, record in records(Config).items():
        inner = vars(values.pop(name))
        values |= {name: inner} if inner != vars(record()) else {}
    return values | {"hp": {name: hp.plain(value) for name, value in vars(config.hp).items()}}


def load(path: Path) -> Config:
    """The Config in a JSON file; reading it never runs code."""
    try:
        values = json.loads(path.read_text("utf-8"))
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
    """{field: value} with "hp." before the names of Hp, and "sngan." and the like before those of a record."""
    numbers = {f"hp.{name}": hp.plain(value) for name, value in vars(config.hp).items()}
    return numbers | {name: attrgetter(name)(config) for name in facts(Config)}
