"""The numbers of a run that are traced: constants, or schedules over the images seen. No jax here.

A schedule is written START:END:IMAGES, half a cosine from one to the other, which then stays; with :linear it is a
straight line, and with :step START stays until it jumps. Pieces follow each other with /: a warm-up and a decay are
0:2e-4:1e5:linear/2e-4:0:1e7:linear. In Python (start, end, images) or (start, end, images, shape), or several of these.
"""

import dataclasses
import math
from typing import Any, NamedTuple

from jaxgan.errors import JaxganError, nearest
from jaxgan.fields import brief, facts, option, outside

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


ADA = "augment ada blit geometry color filter noise ada_cutout"
CLASSIFIERS = "head ac ac_real adc multihinge 2c 2c_proxy d2dce"


@dataclasses.dataclass(frozen=True, repr=False)
class Hp:
    """Numbers that are traced: changing one does not recompile the step."""

    __repr__ = brief

    g_lr: Number = option(2e-4, "generator", always=True)
    """Learning rate of the generator."""
    d_lr: Number = option(2e-4, "discriminator", needs="critic", always=True)
    """Learning rate of the discriminator."""
    b1: Number = option(0.5, "optimizer adam", below=1, always=True)
    """Adam's beta1, of both players."""
    b2: Number = option(0.999, "optimizer adam", below=1, always=True)
    """Adam's beta2, of both players."""
    clip: Number = option(0.0, "hp.clip", never=("net r3gan2",), needs="critic")
    """Largest absolute weight of the discriminator (WGAN uses 0.01); 0 is off."""
    max_norm: Number = option(0.0, "hp.max_norm", never=("net r3gan2 gat cat",), needs="critic")
    """Largest L2 norm of the weights into one unit of the discriminator; 0 is off."""
    d_scale: Number = option(1.0, "hp.d_scale", needs="critic loss", off=1.0, least=None, above=0, later=True)
    """What D's logits are multiplied by. Under spectral norm D's slope is at most this: 1 is little on narrow modes."""
    orthogonal: Number = option(0.0, "hp.orthogonal", never=("net r3gan2 gat cat",), needs="critic")
    """Weight of ||W^T W * (1 - I)||^2 of both players' kernels (BigGAN uses 1e-4); 0 is off."""
    spectral: Number = option(0.0, "hp.spectral", never=("net r3gan2 gat cat",), needs="critic")
    """Weight of half the squared spectral norms of D's kernels, added up (Yoshida uses 0.01); 0 is off."""
    clip_gradient: Number = option(0.0, "hp.clip_gradient", needs="critic", later=True)
    """Largest L2 norm of a player's gradient, to which longer ones are scaled (GAT: 1); 0 is off."""
    base_width: Number = option(0.0, "hp.base_width", needs="critic", later=True)
    """Width of networks to which g_lr and d_lr belong: rates are these times base_width / width (GAT: 768); 0 is off.
    """
    real_target: Number = option(1.0, "loss minimax ns klgan lsgan", least=None)
    """What D aims at for real examples: 0.9 is one-sided label smoothing (minimax, ns, klgan); b of lsgan."""
    fake_target: Number = option(0.0, "loss lsgan", least=None)
    """What lsgan's D aims at for generated examples, its a."""
    g_target: Number = option(1.0, "loss lsgan", needs="g_loss", least=None)
    """What lsgan's G aims at, its c."""
    alpha: Number = option(0.5, "loss f_alpha", least=None, above=0, below=1)
    """Alpha of the loss f_alpha, between 0 (reverse KL) and 1 (KL)."""
    r1: Number = option(0.0, "hp.r1", needs="critic")
    """Gamma of R1, the squared gradient norm of D on real examples; 0 is off."""
    r2: Number = option(0.0, "hp.r2", needs="critic")
    """Gamma of R2, the squared gradient norm of D on generated examples; 0 is off."""
    ar1: Number = option(0.0, "hp.ar1", needs="critic", later=True)
    """Gamma of approximate R1, D's squared slope along one random direction at real examples (GAT: 0.1); 0 is off."""
    ar2: Number = option(0.0, "hp.ar2", needs="critic", later=True)
    """Gamma of approximate R2, the same at generated examples (GAT: 0.1); 0 is off."""
    ar_step: Number = option(0.0, "hp.ar1", "hp.ar2", later=True)
    """How far ar1 and ar2 look, in units of the examples (GAT: 0.01); 0 is their limit, by a derivative."""
    wgan_gp: Number = option(0.0, "hp.wgan_gp", needs="critic alone")
    """Lambda of the gradient penalty towards norm gp_target between real and generated (WGAN-GP uses 10); 0 is off."""
    wgan_lp: Number = option(0.0, "hp.wgan_lp", needs="critic alone")
    """Lambda of its one-sided form, for gradients above gp_target; 0 is off."""
    gp0: Number = option(0.0, "hp.gp0", needs="critic alone")
    """Lambda of the gradient penalty towards norm 0 between real and generated; 0 is off."""
    drift: Number = option(0.0, "hp.drift", needs="critic loss", later=True)
    """Weight of the mean square of D's logits of real examples (ProGAN uses 0.001); 0 is off."""
    dragan: Number = option(0.0, "hp.dragan", needs="critic alone")
    """Lambda of the gradient penalty towards norm gp_target near real examples (DRAGAN uses 10); 0 is off."""
    gp_target: Number = option(1.0, "hp.wgan_gp", "hp.wgan_lp", "hp.dragan")
    """Norm that wgan_gp, wgan_lp and dragan aim at."""
    cr: Number = option(0.0, "hp.cr", needs="critic views whole")
    """Lambda of D's consistency under cr_augment on real examples (CR uses 10); 0 is off."""
    cr_fake: Number = option(0.0, "hp.cr_fake", needs="critic views whole")
    """The same on generated examples; with cr it is bCR; 0 is off."""
    zcr: Number = option(0.0, "hp.zcr", needs="latent")
    """Lambda of D's consistency under noise in z (zCR uses 20); 0 is off."""
    zcr_g: Number = option(0.0, "hp.zcr_g", needs="latent")
    """Weight of G's reward for changing under noise in z (zCR uses 0.5); 0 is off."""
    zcr_radius: Number = option(0.05, "hp.zcr", "hp.zcr_g")
    """Standard deviation of the noise of zcr and zcr_g."""
    lecam: Number = option(0.0, "hp.lecam", needs="critic one")
    """Lambda of LeCam regularisation (the paper uses 0.3); 0 is off."""
    lecam_decay: Number = option(0.99, "hp.lecam", below=1)
    """How much of LeCam's averages stays after an update."""
    path_length: Number = option(0.0, "hp.path_length", needs="latent")
    """Weight of the path length regularisation of G (StyleGAN2 uses 2); 0 is off."""
    feature_matching: Number = option(0.0, "hp.feature_matching", needs="critic one")
    """Weight of the distance between means of D's features in G's loss; 0 is off."""
    alignment: Number = option(0.0, "hp.alignment", needs="critic loss alone views", later=True)
    """Weight of the angles between D's tokens of real examples and features of alignment_net (GAT: 1); 0 is off."""
    own: Number = option(0.0, "hp.own", needs="critic")
    """Weight of the penalty that a program puts at jaxgan.penalties.PENALTIES["own"]; 0 is off."""
    top_k: Number = option(1.0, "hp.top_k", needs="critic one", off=1.0, least=None, above=0, most=1)
    """Share of generated examples, those that D ranks highest, that G learns from."""
    noise: Number = option(0.0, "hp.noise", needs="critic")
    """Standard deviation of Gaussian noise on all that D sees; 0 is off."""
    noise_updates: Number = option(0.0, "hp.noise")
    """Updates of D until that noise has fallen to 0; 0 lets it stay."""
    flip_p: Number = option(0.5, "augment flip", off=0.5, most=1, later=True)
    """Probability with which augment's flip exchanges left and right (GAT: 0.4)."""
    color_p: Number = option(1.0, "augment brightness saturation contrast", off=1.0, most=1, later=True)
    """Share of examples on which augment's brightness, saturation and contrast act, all or none (GAT: 0.5)."""
    augment_p: Number = option(0.0, ADA, never=("hp.ada_target",), most=1, later=True)
    """Probability of each operation of ADA's groups in augment, for each example."""
    augment_color: Number = option(1.0, "augment ada color", always=True, later=True)
    """What that probability is multiplied by for the group color (R3GAN uses 0.5)."""
    ada_target: Number = option(0.0, ADA, needs="critic loss views", below=1, later=True)
    """Mean sign of D's logits of real examples above which that probability rises, from 0 (ADA uses 0.6); 0 is off."""
    apa_target: Number = option(0.0, "hp.apa_target", needs="critic loss views alike", below=1, later=True)
    """The same of the probability that D meets a generated example as a real one (APA uses 0.6); 0 is off."""
    ada_images: Number = option(
        500_000.0, "hp.ada_target", "hp.apa_target", least=None, above=0, always=True, later=True
    )
    """Real examples of D's in which such a probability goes from 0 to 1, if it always rises."""
    logan_alpha: Number = option(0.9, "latent_steps")
    """Step size of the latent optimisation that latent_steps asks for."""
    logan_beta: Number = option(5.0, "latent_steps")
    """Damping of the latent optimisation."""
    logan_dz: Number = option(0.0, "hp.logan_dz", needs="critic")
    """Weight of the squared distance that it moves latents, in both losses (LOGAN uses 300); 0 is off."""
    d_class: Number = option(1.0, CLASSIFIERS, "kind stargan")
    """Weight of a class head in D's loss (2c and d2dce: their papers use 1 and 0.5)."""
    g_class: Number = option(1.0, CLASSIFIERS, "kind stargan")
    """Weight of a class head in G's loss."""
    info: Number = option(1.0, "kind infogan")
    """Weight of the codes' negative log-likelihood (infogan)."""
    reconstruct: Number = option(1.0, "kind aae vaegan lrgan bicyclegan")
    """Weight of the reconstruction: of examples (aae), of D's features (vaegan), of latents (lrgan, bicyclegan)."""
    kl: Number = option(1.0, "kind vae vaegan bicyclegan")
    """Weight of the divergence of codes from the prior (vae, vaegan, bicyclegan); beta of a beta-VAE."""
    sigma: Number = option(0.3, "kind vae")
    """Standard deviation of an example around the decoder's output (vae)."""
    margin: Number = option(0.1, "kind ebgan")
    """Reconstruction error that D wants generated examples to exceed (ebgan)."""
    pull_away: Number = option(0.1, "kind ebgan")
    """Weight of the pull-away term that keeps generated examples apart (ebgan)."""
    balance: Number = option(0.75, "kind began")
    """Wanted error of generated over that of real examples, gamma, in [0, 1] (began)."""
    k_rate: Number = option(1e-3, "kind began")
    """Rate of the control k that keeps the balance, lambda (began)."""
    d_rotation: Number = option(1.0, "kind ssgan")
    """Weight of D's guess how a real example was rotated (ssgan)."""
    g_rotation: Number = option(0.2, "kind ssgan")
    """Weight of D's guess how a generated example was rotated, in G's loss (ssgan)."""
    level_signal: Number = option(0.125, "kind gat", least=None, above=0, most=1, always=True, later=True)
    """Share of the first level's image under its noise (gat); it rises to 0.99 at the last, and 1 is 0.99 at all."""
    consistency: Number = option(0.1, "kind cat", later=True)
    """Weight of the squared error of earlier levels against the last in G's loss (cat); 0 is off."""
    l1: Number = option(100.0, "kind pix2pix bicyclegan")
    """Weight of the absolute error of translations (pix2pix; bicyclegan's paper uses 10)."""
    cycle: Number = option(10.0, "kind cyclegan stargan")
    """Weight of the absolute error of images translated there and back (cyclegan: of each side; stargan)."""
    identity: Number = option(5.0, "kind cyclegan")
    """Weight of what a translator changes in images that are of its target's kind already (cyclegan); 0 is off."""
    pixel: Number = option(0.005, "kind esrgan", later=True)
    """Weight of the absolute error of upscaled images in [-1, 1] (esrgan; the paper's 0.01 is of [0, 1]); 0 is off."""
    perceptual: Number = option(1.0, "kind esrgan", later=True)
    """Weight of the absolute error of their features by perceptual_net (esrgan); 0 is off."""
    adversarial: Number = option(0.005, "kind esrgan", always=True, later=True)
    """Weight of G's adversarial loss (esrgan)."""
    consensus: Number = option(0.1, "solver consensus")
    """Weight of the gradient of 1/2 ||v||^2 in the consensus solver."""
    lookahead: Number = option(0.5, "solver lookahead")
    """Fraction of the way that the lookahead solver keeps."""
    lookahead_every: Number = option(5.0, "solver lookahead")
    """Steps between two looks of the lookahead solver."""
    ema_half_life: Number = option(10_000.0, "generator", always=True)
    """Half-life of the averaged generator, in images (batch a step, whatever d_steps); 0 is no averaging."""
    ema_ramp: Number = option(0.05, "generator", always=True)
    """The half-life is at most this fraction of the images seen."""

    def on(self, name: str) -> bool:
        """Whether the number is in the program: above 0 at some time, and other than what leaves it out."""
        return any(x > 0 and x != facts(Hp)[name].off for x in values(getattr(self, name)))


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


def check(hp: Hp) -> Hp:
    """hp with every value a Number in its range; JaxganError names the first that is not."""
    made = Hp(**{name: number(f"hp.{name}", value) for name, value in vars(hp).items()})
    for name, value in vars(made).items():
        for x in values(value):
            words = outside(facts(Hp)[name], x)
            if words or not math.isfinite(x):
                raise JaxganError(f"hp.{name} is {plain(value)}; expected a finite number{words and f', {words}'}")
    return made
