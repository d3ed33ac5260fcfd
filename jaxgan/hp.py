"""The numbers of a run that are traced: constants, or schedules over the images seen. No jax here.

A schedule is written START:END:IMAGES, half a cosine from one to the other, which then stays; with :linear it is a
straight line, and with :step START stays until it jumps. Pieces follow each other with /: a warm-up and a decay are
0:2e-4:1e5:linear/2e-4:0:1e7:linear. In Python (start, end, images) or (start, end, images, shape), or several of these.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

from jaxgan.errors import JaxganError, nearest

SHAPES = ("cosine", "linear", "step")


class Piece(NamedTuple):
    """From start to end over so many images; shape is one of SHAPES."""

    start: float
    end: float
    images: float
    shape: str = "cosine"


Schedule = tuple[Piece, ...]
Number = float | Schedule


def number(where: str, value: Any) -> Number:
    """value, as a user may write it, as a constant or a schedule; JaxganError names where it stands."""
    if isinstance(value, str):
        pieces = [part.split(":") for part in value.split("/")]
        if len(pieces) == 1 and len(pieces[0]) == 1:
            raise JaxganError(f"{where} is {value!r}; expected float, or a schedule START:END:IMAGES")
        return tuple(_piece(where, value, part) for part in pieces)
    if isinstance(value, list | tuple) and value:
        several = isinstance(value[0], list | tuple)
        return tuple(_piece(where, value, part) for part in (value if several else [value]))
    return _float(where, value, value)


def _piece(where: str, value, parts) -> Piece:
    if not isinstance(parts, list | tuple) or len(parts) not in (3, 4):
        raise JaxganError(
            f"{where} is {value!r}; a schedule is START:END:IMAGES, perhaps with :linear or :step, pieces joined by /"
        )
    start, end, images = (_float(where, value, part) for part in parts[:3])
    shape = parts[3] if len(parts) == 4 else SHAPES[0]
    if shape not in SHAPES:
        raise JaxganError(
            f"{where} has the shape {shape!r}; choose from {', '.join(SHAPES)}.{nearest(str(shape), SHAPES)}"
        )
    if not 0 < images < math.inf:
        raise JaxganError(f"{where} is {value!r}; a piece lasts some images, more than 0")
    return Piece(start, end, images, shape)


def _float(where: str, value, part) -> float:
    if isinstance(part, bool) or not isinstance(part, int | float | str):
        raise JaxganError(f"{where} is {value!r}; expected float, or a schedule START:END:IMAGES")
    try:
        return float(part)
    except OverflowError:  # of a whole number
        return -math.inf if isinstance(part, int) and part < 0 else math.inf
    except ValueError:
        raise JaxganError(f"{where} is {value!r}; expected float, or a schedule START:END:IMAGES") from None


def text(value: Number) -> str:
    """value as a user may write it, without loss."""
    if not isinstance(value, tuple):
        return repr(value).removesuffix(".0")
    return "/".join(":".join([*map(text, p[:3]), *([p.shape] if p.shape != SHAPES[0] else [])]) for p in value)


def plain(value: Number) -> float | str:
    """value as JSON has it."""
    return text(value) if isinstance(value, tuple) else value


def values(value: Number) -> tuple[float, ...]:
    """The constant, or all starts and ends of a schedule, between which it stays."""
    return tuple(x for piece in value for x in piece[:2]) if isinstance(value, tuple) else (value,)


OFF = {"top_k": 1.0, "d_scale": 1.0}
"""What leaves a number out of the program, where that is not 0."""


@dataclasses.dataclass(frozen=True)
class Hp:
    """Numbers that are traced: changing one does not recompile the step."""

    g_lr: Number = 2e-4
    """Learning rate of the generator."""
    d_lr: Number = 2e-4
    """Learning rate of the discriminator."""
    b1: Number = 0.5
    """Adam's beta1, of both players."""
    b2: Number = 0.999
    """Adam's beta2, of both players."""
    clip: Number = 0.0
    """Largest absolute weight of the discriminator (WGAN uses 0.01); 0 is off."""
    max_norm: Number = 0.0
    """Largest L2 norm of the weights into one unit of the discriminator; 0 is off."""
    d_scale: Number = 1.0
    """What D's logits are multiplied by. Under spectral norm D's slope is at most this: 1 is little on narrow modes."""
    orthogonal: Number = 0.0
    """Weight of ||W^T W * (1 - I)||^2 of both players' kernels (BigGAN uses 1e-4); 0 is off."""
    spectral: Number = 0.0
    """Weight of half the squared spectral norms of D's kernels, added up (Yoshida uses 0.01); 0 is off."""
    real_target: Number = 1.0
    """What D aims at for real examples: 0.9 is one-sided label smoothing (minimax, ns, klgan); b of lsgan."""
    fake_target: Number = 0.0
    """What lsgan's D aims at for generated examples, its a."""
    g_target: Number = 1.0
    """What lsgan's G aims at, its c."""
    alpha: Number = 0.5
    """Alpha of the loss f_alpha, between 0 (reverse KL) and 1 (KL)."""
    r1: Number = 0.0
    """Gamma of R1, the squared gradient norm of D on real examples; 0 is off."""
    r2: Number = 0.0
    """Gamma of R2, the squared gradient norm of D on generated examples; 0 is off."""
    wgan_gp: Number = 0.0
    """Lambda of the gradient penalty towards norm gp_target between real and generated (WGAN-GP uses 10); 0 is off."""
    wgan_lp: Number = 0.0
    """Lambda of its one-sided form, for gradients above gp_target; 0 is off."""
    gp0: Number = 0.0
    """Lambda of the gradient penalty towards norm 0 between real and generated; 0 is off."""
    dragan: Number = 0.0
    """Lambda of the gradient penalty towards norm gp_target near real examples (DRAGAN uses 10); 0 is off."""
    gp_target: Number = 1.0
    """Norm that wgan_gp, wgan_lp and dragan aim at."""
    cr: Number = 0.0
    """Lambda of D's consistency under cr_augment on real examples (CR uses 10); 0 is off."""
    cr_fake: Number = 0.0
    """The same on generated examples; with cr it is bCR; 0 is off."""
    zcr: Number = 0.0
    """Lambda of D's consistency under noise in z (zCR uses 20); 0 is off."""
    zcr_g: Number = 0.0
    """Weight of G's reward for changing under noise in z (zCR uses 0.5); 0 is off."""
    zcr_radius: Number = 0.05
    """Standard deviation of the noise of zcr and zcr_g."""
    lecam: Number = 0.0
    """Lambda of LeCam regularisation (the paper uses 0.3); 0 is off."""
    lecam_decay: Number = 0.99
    """How much of LeCam's averages stays after an update."""
    path_length: Number = 0.0
    """Weight of the path length regularisation of G (StyleGAN2 uses 2); 0 is off."""
    feature_matching: Number = 0.0
    """Weight of the distance between means of D's features in G's loss; 0 is off."""
    own: Number = 0.0
    """Weight of the penalty that a program puts at jaxgan.penalties.PENALTIES["own"]; 0 is off."""
    top_k: Number = 1.0
    """Share of generated examples, those that D ranks highest, that G learns from."""
    noise: Number = 0.0
    """Standard deviation of Gaussian noise on all that D sees; 0 is off."""
    noise_updates: Number = 0.0
    """Updates of D until that noise has fallen to 0; 0 lets it stay."""
    logan_alpha: Number = 0.9
    """Step size of the latent optimisation that latent_steps asks for."""
    logan_beta: Number = 5.0
    """Damping of the latent optimisation."""
    logan_dz: Number = 0.0
    """Weight of the squared distance that it moves latents, in both losses (LOGAN uses 300); 0 is off."""
    d_class: Number = 1.0
    """Weight of a class head in D's loss (2c and d2dce: their papers use 1 and 0.5)."""
    g_class: Number = 1.0
    """Weight of a class head in G's loss."""
    info: Number = 1.0
    """Weight of the codes' negative log-likelihood (infogan)."""
    reconstruct: Number = 1.0
    """Weight of the reconstruction: of examples (aae), of D's features (vaegan), of latents (lrgan, bicyclegan)."""
    kl: Number = 1.0
    """Weight of the divergence of codes from the prior (vae, vaegan, bicyclegan); beta of a beta-VAE."""
    sigma: Number = 0.3
    """Standard deviation of an example around the decoder's output (vae)."""
    margin: Number = 0.1
    """Reconstruction error that D wants generated examples to exceed (ebgan)."""
    pull_away: Number = 0.1
    """Weight of the pull-away term that keeps generated examples apart (ebgan)."""
    balance: Number = 0.75
    """Wanted error of generated over that of real examples, gamma, in [0, 1] (began)."""
    k_rate: Number = 1e-3
    """Rate of the control k that keeps the balance, lambda (began)."""
    d_rotation: Number = 1.0
    """Weight of D's guess how a real example was rotated (ssgan)."""
    g_rotation: Number = 0.2
    """Weight of D's guess how a generated example was rotated, in G's loss (ssgan)."""
    l1: Number = 100.0
    """Weight of the absolute error of translations (pix2pix; bicyclegan's paper uses 10)."""
    cycle: Number = 10.0
    """Weight of the absolute error of images translated there and back (cyclegan: of each side; stargan)."""
    identity: Number = 5.0
    """Weight of what a translator changes in images that are of its target's kind already (cyclegan); 0 is off."""
    consensus: Number = 0.1
    """Weight of the gradient of 1/2 ||v||^2 in the consensus solver."""
    lookahead: Number = 0.5
    """Fraction of the way that the lookahead solver keeps."""
    lookahead_every: Number = 5.0
    """Steps between two looks of the lookahead solver."""
    ema_half_life: Number = 10_000.0
    """Half-life of the averaged generator, in images (batch a step, whatever d_steps); 0 is no averaging."""
    ema_ramp: Number = 0.05
    """The half-life is at most this fraction of the images seen."""

    def on(self, name: str) -> bool:
        """Whether the number is in the program: above 0 at some time, or other than what leaves it out (OFF)."""
        off, value = OFF.get(name, 0.0), getattr(self, name)
        return any(x > 0 and x != off for x in values(value))


SIGNED = {"real_target", "fake_target", "g_target"}


def switched_on(hp: Hp) -> set[str]:
    """Names of the numbers that are in the program."""
    return {name for name in vars(hp) if hp.on(name)}


def pieces(hp: Hp) -> dict[str, int]:
    """How many pieces each schedule of hp has, by name."""
    return {name: len(value) for name, value in vars(hp).items() if isinstance(value, tuple)}


def arrays(hp: Hp) -> dict[str, Any]:
    """hp as State.hp has it: numbers, or for each piece of a schedule (start, end, images, index of its shape)."""

    def one(value):
        return tuple((*p[:3], float(SHAPES.index(p.shape))) for p in value) if isinstance(value, tuple) else value

    return {name: one(value) for name, value in vars(hp).items()}


# name -> (what each value has to be, in words)
RANGES: dict[str, tuple[Callable[[float], bool], str]] = {
    "alpha": (lambda x: 0 < x < 1, "a number above 0 and below 1"),
    "top_k": (lambda x: 0 < x <= 1, "a share above 0, at most 1"),
    "d_scale": (lambda x: x > 0, "a number above 0"),
    **dict.fromkeys(("b1", "b2", "lecam_decay"), (lambda x: x < 1, "less than 1")),
}


def check(hp: Hp) -> Hp:
    """hp with every value a Number in its range; JaxganError names the first that is not."""
    made = Hp(**{name: number(f"hp.{name}", value) for name, value in vars(hp).items()})
    for name, value in vars(made).items():
        right, words = RANGES.get(name, (lambda x: True, ""))
        for x in values(value):
            if not math.isfinite(x) or (x < 0 and name not in SIGNED):  # NaN is not finite either
                raise JaxganError(f"hp.{name} is {plain(value)}; expected a finite number, 0 or more")
            if not right(x):
                raise JaxganError(f"hp.{name} is {plain(value)}; expected {words}")
    return made
