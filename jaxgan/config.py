"""What a run is made of: one flat, frozen, typed record, whose every field is a command-line flag. No jax here.

`Hp` holds the traced numbers: they enter the compiled step as arrays, so that a sweep over them compiles once.
Everything else is static. A penalty whose weight is 0 is left out of the program.
"""

import dataclasses
import json
import math
import typing
from pathlib import Path
from typing import Any, Literal

from jaxgan.errors import JaxganError, nearest

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
Augment = Literal["flip", "brightness", "saturation", "contrast", "translation", "cutout", "jitter"]


@dataclasses.dataclass(frozen=True)
class Hp:
    """Numbers that are traced: changing one does not recompile the step."""

    g_lr: float = 2e-4
    """Learning rate of the generator."""
    d_lr: float = 2e-4
    """Learning rate of the discriminator."""
    b1: float = 0.5
    """Adam's beta1, of both players."""
    b2: float = 0.999
    """Adam's beta2, of both players."""
    clip: float = 0.0
    """Largest absolute weight of the discriminator (WGAN uses 0.01); 0 is off."""
    max_norm: float = 0.0
    """Largest L2 norm of the weights into one unit of the discriminator; 0 is off."""
    d_scale: float = 1.0
    """What D's logits are multiplied by. Under spectral norm D's slope is at most this: 1 is little on narrow modes."""
    orthogonal: float = 0.0
    """Weight of ||W^T W * (1 - I)||^2 of both players' kernels (BigGAN uses 1e-4); 0 is off."""
    spectral: float = 0.0
    """Weight of half the squared spectral norms of D's kernels, added up (Yoshida uses 0.01); 0 is off."""
    real_target: float = 1.0
    """What D aims at for real examples: 0.9 is one-sided label smoothing (minimax, ns, klgan); b of lsgan."""
    fake_target: float = 0.0
    """What lsgan's D aims at for generated examples, its a."""
    g_target: float = 1.0
    """What lsgan's G aims at, its c."""
    alpha: float = 0.5
    """Alpha of the loss f_alpha, between 0 (reverse KL) and 1 (KL)."""
    r1: float = 0.0
    """Gamma of R1, the squared gradient norm of D on real examples; 0 is off."""
    r2: float = 0.0
    """Gamma of R2, the squared gradient norm of D on generated examples; 0 is off."""
    wgan_gp: float = 0.0
    """Lambda of the gradient penalty towards norm gp_target between real and generated (WGAN-GP uses 10); 0 is off."""
    wgan_lp: float = 0.0
    """Lambda of its one-sided form, for gradients above gp_target; 0 is off."""
    gp0: float = 0.0
    """Lambda of the gradient penalty towards norm 0 between real and generated; 0 is off."""
    dragan: float = 0.0
    """Lambda of the gradient penalty towards norm gp_target near real examples (DRAGAN uses 10); 0 is off."""
    gp_target: float = 1.0
    """Norm that wgan_gp, wgan_lp and dragan aim at."""
    cr: float = 0.0
    """Lambda of D's consistency under cr_augment on real examples (CR uses 10); 0 is off."""
    cr_fake: float = 0.0
    """The same on generated examples; with cr it is bCR; 0 is off."""
    zcr: float = 0.0
    """Lambda of D's consistency under noise in z (zCR uses 20); 0 is off."""
    zcr_g: float = 0.0
    """Weight of G's reward for changing under noise in z (zCR uses 0.5); 0 is off."""
    zcr_radius: float = 0.05
    """Standard deviation of the noise of zcr and zcr_g."""
    lecam: float = 0.0
    """Lambda of LeCam regularisation (the paper uses 0.3); 0 is off."""
    lecam_decay: float = 0.99
    """How much of LeCam's averages stays after an update."""
    path_length: float = 0.0
    """Weight of the path length regularisation of G (StyleGAN2 uses 2); 0 is off."""
    feature_matching: float = 0.0
    """Weight of the distance between means of D's features in G's loss; 0 is off."""
    own: float = 0.0
    """Weight of the penalty that a program puts at jaxgan.penalties.PENALTIES["own"]; 0 is off."""
    top_k: float = 1.0
    """Share of generated examples, those that D ranks highest, that G learns from."""
    noise: float = 0.0
    """Standard deviation of Gaussian noise on all that D sees; 0 is off."""
    noise_updates: float = 0.0
    """Updates of D until that noise has fallen to 0; 0 lets it stay."""
    logan_alpha: float = 0.9
    """Step size of the latent optimisation that latent_steps asks for."""
    logan_beta: float = 5.0
    """Damping of the latent optimisation."""
    logan_dz: float = 0.0
    """Weight of the squared distance that it moves latents, in both losses (LOGAN uses 300); 0 is off."""
    d_class: float = 1.0
    """Weight of a class head in D's loss (2c and d2dce: their papers use 1 and 0.5)."""
    g_class: float = 1.0
    """Weight of a class head in G's loss."""
    info: float = 1.0
    """Weight of the codes' negative log-likelihood (infogan)."""
    reconstruct: float = 1.0
    """Weight of the reconstruction: of examples (aae), of D's features (vaegan), of latents (lrgan, bicyclegan)."""
    kl: float = 1.0
    """Weight of the divergence of codes from the prior (vae, vaegan, bicyclegan); beta of a beta-VAE."""
    sigma: float = 0.3
    """Standard deviation of an example around the decoder's output (vae)."""
    margin: float = 0.1
    """Reconstruction error that D wants generated examples to exceed (ebgan)."""
    pull_away: float = 0.1
    """Weight of the pull-away term that keeps generated examples apart (ebgan)."""
    balance: float = 0.75
    """Wanted error of generated over that of real examples, gamma, in [0, 1] (began)."""
    k_rate: float = 1e-3
    """Rate of the control k that keeps the balance, lambda (began)."""
    d_rotation: float = 1.0
    """Weight of D's guess how a real example was rotated (ssgan)."""
    g_rotation: float = 0.2
    """Weight of D's guess how a generated example was rotated, in G's loss (ssgan)."""
    l1: float = 100.0
    """Weight of the absolute error of translations (pix2pix; bicyclegan's paper uses 10)."""
    cycle: float = 10.0
    """Weight of the absolute error of images translated there and back (cyclegan: of each side; stargan)."""
    identity: float = 5.0
    """Weight of what a translator changes in images that are of its target's kind already (cyclegan); 0 is off."""
    consensus: float = 0.1
    """Weight of the gradient of 1/2 ||v||^2 in the consensus solver."""
    lookahead: float = 0.5
    """Fraction of the way that the lookahead solver keeps."""
    lookahead_every: float = 5.0
    """Steps between two looks of the lookahead solver."""
    ema_half_life: float = 10_000.0
    """Half-life of the averaged generator, in images (batch a step, whatever d_steps); 0 is no averaging."""
    ema_ramp: float = 0.05
    """The half-life is at most this fraction of the images seen."""


@dataclasses.dataclass(frozen=True)
class Config:
    """One training run."""

    kind: Kind = "plain"
    """Kind of GAN; auto is conditional where the data has labels, else plain; own is a program's, see the README."""
    conditional: bool = False
    """Give the networks of any kind the labels of the data too."""
    head: Literal["projection", "concat", "embedding", "ac", "adc", "multihinge", "2c", "d2dce"] = "projection"
    """How D uses labels (kind conditional): beside its input or features, or as a classifier's loss."""
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


OFF = {"top_k": 1.0, "d_scale": 1.0}
"""What leaves a number out of the program, where that is not 0."""


def switched_on(hp: Hp) -> set[str]:
    """Names of the numbers that are in the program: those above 0, and those of OFF that have another value."""
    return {n for n, v in vars(hp).items() if v > 0 and v != OFF.get(n)}


def _check_type(owner: type, name: str, kind: Any, value: Any) -> Any:
    """value as the field's type; JSON lists become tuples and whole numbers floats where the field wants them."""
    where = f"{owner.__name__.lower()}.{name}" if owner is Hp else name
    if typing.get_origin(kind) is Literal:
        known = typing.get_args(kind)
        if value not in known:
            raise JaxganError(f"{where} is {value!r}; choose from {', '.join(known)}.{nearest(str(value), known)}")
        return value
    if typing.get_origin(kind) is tuple:
        if isinstance(value, str) or not hasattr(value, "__iter__"):
            raise JaxganError(f"{where} is {value!r}; expected a list")
        return tuple(_check_type(owner, name, typing.get_args(kind)[0], v) for v in value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value) if abs(value) < 2**1000 else (math.inf if value > 0 else -math.inf)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise JaxganError(f"{where} is {value!r}; expected {kind.__name__}")
    return value


def _build(cls: type, values: dict[str, Any]):
    kinds = typing.get_type_hints(cls)
    for name in values:
        if name not in kinds:
            raise JaxganError(f"unknown field {name!r} of {cls.__name__}.{nearest(name, kinds)}")
    nested = {n: _build(Hp, v) if n == "hp" and isinstance(v, dict) else v for n, v in values.items()}
    return cls(**{n: _check_type(cls, n, kinds[n], v) for n, v in nested.items()})


POSITIVE = ["width", "depth", "latent", "pack", "lazy", "lazy_g", "batch", "accumulate", "steps", "d_steps", "g_steps"]
POSITIVE += ["log_every", "checkpoint_every", "keep"]
NATURAL = ["size", "holdout", "fake_batch", "pool", "chunk", "sample_every", "diagnose_every", "latent_steps", "unroll"]
SIGNED = {"real_target", "fake_target", "g_target"}


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
    for name, value in dataclasses.asdict(config.hp).items():
        if name in SIGNED and math.isfinite(value):
            continue
        if not 0 <= value < math.inf:  # also catches NaN
            raise JaxganError(f"hp.{name} is {value}; expected a finite number, 0 or more")
    if not 0 < config.hp.alpha < 1:
        raise JaxganError(f"hp.alpha is {config.hp.alpha}; expected a number above 0 and below 1")
    if not config.hp.d_scale > 0:
        raise JaxganError(f"hp.d_scale is {config.hp.d_scale}; expected a number above 0")
    if not 0 < config.hp.top_k <= 1:
        raise JaxganError(f"hp.top_k is {config.hp.top_k}; expected a share above 0, at most 1")
    for name in ("b1", "b2", "lecam_decay"):
        if getattr(config.hp, name) >= 1:
            raise JaxganError(f"hp.{name} is {getattr(config.hp, name)}; expected less than 1")
    return config


def from_dict(values: dict[str, Any]) -> Config:
    """The Config that values describe; a field that is left out keeps its default, an unknown one is an error."""
    return check(_build(Config, values))


def to_dict(config: Config) -> dict[str, Any]:
    """config as plain JSON values."""
    return dataclasses.asdict(config)


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
    values = dataclasses.asdict(config)
    return {**{f"hp.{k}": v for k, v in values.pop("hp").items()}, **values}
