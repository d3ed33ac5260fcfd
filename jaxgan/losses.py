"""Adversarial losses on logits: one number per example, reduced nowhere.

A loss is a pair of functions (real [m], fake [n]) -> (terms of the real examples [m], terms of the generated [n]), one
for the discriminator and one for the generator; both are minimised. Real and fake are D's logits.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax.nn import relu, softplus
from jaxtyping import Array, Float

from jaxgan.types import AnyArray, JaxganError

Real = Float[AnyArray, " *m"]
Fake = Float[AnyArray, " *n"]
Terms = tuple[Real, Fake]
zeros = jnp.zeros_like
LN2 = math.log(2)


class Loss(NamedTuple):
    """d and g as in the module's docstring.

    paired: real examples are compared with as many generated ones
    d_hp, g_hp: hyperparameters that d and g take by name
    gathers: both also take gather, which maps the logits [m] of one device to those of all
    """

    d: Callable
    g: Callable
    paired: bool = False
    d_hp: tuple[str, ...] = ()
    g_hp: tuple[str, ...] = ()
    gathers: bool = False


def _logistic_d(real: Real, fake: Fake, real_target=1.0) -> Terms:
    """Cross-entropy; one-sided label smoothing names the target of real examples, such as 0.9: Salimans et al. 2016.

    arXiv 1606.03498. TF-GAN's label_smoothing=0.25 is a target of 0.875: it smooths towards 1/2.
    """
    smoothing = jnp.where(real_target == 1, 0, (1 - real_target) * jnp.asarray(real))  # not 0 times an infinite logit
    return softplus(-real) + smoothing, softplus(fake)


minimax = Loss(_logistic_d, lambda real, fake: (zeros(real), -softplus(fake)), d_hp=("real_target",))
"""The value V(D, G) itself, Goodfellow et al. 2014, arXiv 1406.2661, equation 1. It is f-GAN's member "GAN"."""

ns = Loss(_logistic_d, lambda real, fake: (zeros(real), softplus(-fake)), d_hp=("real_target",))
"""Non-saturating, Goodfellow et al. 2014, arXiv 1406.2661, section 3."""

klgan = Loss(_logistic_d, lambda real, fake: (zeros(real), -fake), d_hp=("real_target",))
"""G minimises E log (1 - D) / D, at D's optimum the reverse KL(p_g || p_d): Sønderby et al. 2016, arXiv 1610.04490."""


def _squares_d(real: Real, fake: Fake, real_target=1.0, fake_target=0.0) -> Terms:
    return 0.5 * (real - real_target) ** 2, 0.5 * (fake - fake_target) ** 2


lsgan = Loss(
    _squares_d,
    lambda real, fake, g_target=1.0: (zeros(real), 0.5 * (fake - g_target) ** 2),
    d_hp=("real_target", "fake_target"),
    g_hp=("g_target",),
)
"""Least squares on raw logits with targets b = 1, a = 0 and c = 1, Mao et al. 2017, arXiv 1611.04076.

The paper's other choice, a = -1, b = 1 and c = 0, minimises Pearson's chi-square of p_d + p_g and 2 p_g.
"""

wasserstein = Loss(lambda real, fake: (-real, fake), lambda real, fake: (zeros(real), -fake))
"""Kantorovich dual, for a Lipschitz D (clip or wgan_gp), Arjovsky et al. 2017, arXiv 1701.07875."""


def _hinge_d(real: Real, fake: Fake) -> Terms:
    return relu(1 - real), relu(1 + fake)


hinge = Loss(_hinge_d, lambda real, fake: (zeros(real), -fake))
"""Hinge, Lim and Ye 2017, arXiv 1705.02894; Miyato et al. 2018, arXiv 1802.05957."""

rpgan = Loss(
    lambda real, fake: (softplus(fake - real), zeros(fake)),
    lambda real, fake: (zeros(real), softplus(real - fake)),
    paired=True,
)
"""Relativistic pairing, Jolicoeur-Martineau 2018, arXiv 1807.00734; Huang et al. 2024, arXiv 2501.05441."""


def relativistic_average(d: Callable) -> Loss:
    """The loss d of a discriminator on logits less the other side's mean; G plays it with the sides exchanged.

    Jolicoeur-Martineau 2018, arXiv 1807.00734. The means are over the batch of all devices.
    """

    def relative(real: Real, fake: Fake, gather=lambda x: x) -> Terms:
        return d(real - gather(fake).mean(), fake - gather(real).mean())

    def g(real: Real, fake: Fake, **options) -> Terms:
        of_fake, of_real = relative(fake, real, **options)
        return of_real, of_fake

    return Loss(relative, g, gathers=True)


ragan = relativistic_average(_logistic_d)
rahinge = relativistic_average(_hinge_d)
ralsgan = relativistic_average(lambda real, fake: ((real - 1) ** 2, (fake + 1) ** 2))


def _exp(x):
    """e^x, continued by its tangent above 20 so that it stays finite; density ratios up to e^19 do not notice."""
    low = jnp.minimum(x, 20)
    return jnp.exp(low) * (1 + x - low)


def _expm1(x):
    """e^x - 1, exact near 0, continued as `_exp`."""
    low = jnp.minimum(x, 20)
    return jnp.expm1(low) + jnp.exp(low) * (x - low)


def _log_softplus(x):
    """log log(1 + e^x), which is x - e^x / 2 where e^x is small."""
    low = jnp.minimum(x, -20)
    return jnp.where(x < -20, low - jnp.exp(low) / 2, jnp.log(softplus(jnp.maximum(x, -20))))


def f_gan(activation: Callable, conjugate: Callable) -> Loss:
    """The variational bound E_p T - E_q f*(T) of an f-divergence, which D raises and G lowers, with T = activation(v).

    v: logits; conjugate: v -> f*(T(v)). Nowozin et al. 2016, arXiv 1606.00709, equation 4 and tables 2 and 6; G moves
    by the bound itself, as in theorem 2, and not by the heuristic of section 3.2.
    """
    return Loss(
        lambda real, fake: (-activation(real), conjugate(fake)),
        lambda real, fake: (zeros(real), -conjugate(fake)),
    )


f_kl = f_gan(lambda v: v, lambda v: _exp(v - 1))
f_reverse_kl = f_gan(lambda v: -_exp(-v), lambda v: v - 1)
f_pearson = f_gan(lambda v: v, lambda v: v**2 / 4 + v)
f_hellinger = f_gan(lambda v: 1 - _exp(-v), lambda v: _exp(v) - 1)
"""Of the integral of (sqrt p - sqrt q)^2, without a factor 1/2."""
f_js = f_gan(lambda v: LN2 - softplus(-v), lambda v: softplus(v) - LN2)
"""Twice the Jensen-Shannon divergence: the paper's has no factor 1/2. Its gradients are those of minimax."""


def _alpha_t(v, alpha):
    return 1 / (1 - alpha) - softplus(-v)


def _alpha_star(v, alpha):
    """f*(T(v)) = (s^(alpha / (alpha - 1)) - 1) / alpha with s = (1 - alpha) log(1 + e^-v), from its logarithm."""
    return _expm1(-alpha / (1 - alpha) * (jnp.log1p(-alpha) + _log_softplus(-v))) / alpha


f_alpha = Loss(
    lambda real, fake, alpha=0.5: (-_alpha_t(real, alpha), _alpha_star(fake, alpha)),
    lambda real, fake, alpha=0.5: (zeros(real), -_alpha_star(fake, alpha)),
    d_hp=("alpha",),
    g_hp=("alpha",),
)
"""The alpha-divergence, f(u) = (u^alpha - 1 - alpha (u - 1)) / (alpha (alpha - 1)), of the same paper's table 2.

For alpha in (0, 1): towards 1 it is the KL divergence, towards 0 the reverse one, and at 1/2 twice f_hellinger's.
"""

BANDWIDTHS = (1.0, 2.0, 4.0, 8.0, 16.0)  # of MMD-GAN's mixture, in units of the logit


def _kernel(a: Float[AnyArray, " m"], b: Float[AnyArray, " n"]) -> Float[Array, "m n"]:
    """Mean of the Gaussian kernels; 1 on the diagonal."""
    squared = (a[:, None] - b[None]) ** 2
    return sum(jnp.exp(-squared / (2 * s**2)) for s in BANDWIDTHS) / len(BANDWIDTHS)  # type: ignore[return-value]


def _discrepancy(real: Real, fake: Fake, gather=lambda x: x) -> Terms:
    """Terms whose means add up to the unbiased squared maximum mean discrepancy of the logits."""
    all_real, all_fake = gather(real), gather(fake)

    def terms(own, same, other):
        others = (_kernel(own, same).sum(1) - 1) / max(len(same) - 1, 1)
        return others - _kernel(own, other).mean(1)

    return terms(real, all_real, all_fake), terms(fake, all_fake, all_real)


def _negative(terms):
    return tuple(-t for t in terms)


mmd = Loss(lambda *args, **o: _negative(_discrepancy(*args, **o)), _discrepancy, paired=True, gathers=True)
"""MMD-GAN with D's logit as the feature under a mixture of Gaussian kernels, Li et al. 2017, arXiv 1705.08584.

Gretton et al. 2012's unbiased estimate, over the batch of all devices. D may swap its sign: it tells apart, not ranks.
"""


def _unset(real, fake):
    raise JaxganError(
        "loss 'own' is yours to define: set jaxgan.losses.LOSSES['own'] = Loss(d, g) before training (see "
        "jaxgan/games/README.md)"
    )


LOSSES = {
    "minimax": minimax,
    "ns": ns,
    "klgan": klgan,
    "lsgan": lsgan,
    "wasserstein": wasserstein,
    "hinge": hinge,
    "rpgan": rpgan,
    "ragan": ragan,
    "rahinge": rahinge,
    "ralsgan": ralsgan,
    "f_kl": f_kl,
    "f_reverse_kl": f_reverse_kl,
    "f_pearson": f_pearson,
    "f_hellinger": f_hellinger,
    "f_js": f_js,
    "f_alpha": f_alpha,
    "mmd": mmd,
    "own": Loss(_unset, _unset),
}
"""By the names in Config.loss; `own` is a place for a loss of the user's, see games/README.md."""


def value(terms: Terms, m: int, n: int):
    """Scalar 2 alpha mean(real terms) + 2 (1 - alpha) mean(fake terms) with alpha = m / (m + n): usual if m = n.

    m real and n generated examples, each weighing the same whatever their numbers. At D's optimum
    D* = alpha p_d / (alpha p_d + (1 - alpha) p_g).
    """
    real, fake = terms
    alpha = m / (m + n)
    return 2 * alpha * real.mean() + 2 * (1 - alpha) * fake.mean()
