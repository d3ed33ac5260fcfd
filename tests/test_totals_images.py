"""Who sees what in kinds that make images of images: each total against a formula written by hand.

test_totals_kinds.py has the others. D is shown noisy examples wherever a kind lets it, and augmented ones.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import relu

import hand
from hand import SINGLE, Row, answer, cross_entropy, each, judged, latents, ns, shown, slopes, sp
from jaxgan import games
from jaxgan.config import Config
from jaxgan.convolution import LAYOUT
from jaxgan.features import small
from jaxgan.nets import mlp
from jaxgan.types import Spec
from kinds import BATCH, CLASSES
from kinds import TABLE as KINDS
from test_totals_kinds import TABLE as OTHERS
from test_totals_kinds import divergence, posterior

OF_REAL = {"w": hand.WEIGHTS["w"]}  # a pool shows generated examples that have no weight
ODD = np.arange(BATCH) % 2 == 1


# Translators: rows of x are a, and then b


def absolute(a, b):
    return abs(a - b).mean()


def pix2pix(s):
    """D sees b beside a, and translations beside the a that they are of; older ones too, which G does not meet."""
    a, b = jnp.split(s.batch["x"], 2, 1)
    made, d = s.net("g", latents(s), a), mlp.discriminator(Config(width=8, depth=1), Spec((4,)))

    def score(b, a):
        return d.apply(s.params["d"], {}, jnp.concatenate([a, b], 1), None, train=True)[0]

    (old, a_old), kept = hand.pooled(s, (made, a))
    t = judged(s, b, a, old, a_old)
    t.r, t.f, f = score(t.real, a), score(t.fake, a_old), score(shown(s, made, "fake"), a)
    r1 = slopes(lambda b: score(b, a), t.real).mean() / 2
    d, g = (t.w * sp(-t.r)).mean() + sp(t.f).mean(), sp(-f).mean()
    return answer(t, d, g, {"r1": r1}, {"l1": absolute(b, made)}, vars={"d": {"pool": kept}})


def cyclegan(s):
    """The losses of (a, F(b)) to D_A and of (b, G(a)) to D_B add up; penalties are means over both.

    What D is shown stands in one batch, a, b, a, b, ..., and draws in that order.
    """
    a, b = jnp.split(s.batch["x"], 2, 1)
    nothing = jnp.zeros((BATCH, 0))

    def f(x):
        return s.net("f", nothing, x)

    def g(x):
        return s.net("g", nothing, x)

    def stacked(a, b):
        return jnp.stack([a, b], 1).reshape(2 * BATCH, -1)

    real, new = stacked(a, b), jnp.concatenate([f(b), g(a)], 1)
    (old, _), kept = hand.pooled(s, (new, None))
    d_a, d_b = (mlp.discriminator(Config(width=8, depth=1), Spec((2,))) for _ in "ab")

    def score(x):
        of_a, of_b = d_a.apply(s.params["d"]["a"], {}, x[::2], None, train=True)[0], x[1::2]
        return jnp.stack([of_a, d_b.apply(s.params["d"]["b"], {}, of_b, None, train=True)[0]], 1).reshape(-1)

    t = judged(s, real, None, stacked(*jnp.split(old, 2, 1)), None)
    fake = score(shown(s, stacked(*jnp.split(new, 2, 1)), "fake"))
    t.r, t.f = score(t.real), score(t.fake)
    u = hand.uniforms(s.key, "wgan_gp", (2 * BATCH, 1))
    size = jnp.sqrt(slopes(score, (1 - u) * t.real + u * t.fake) + 1e-12)
    d = (t.w * (t.r - 1) ** 2).mean() + (t.f**2).mean()  # half of a square, twice: two means over half the rows
    terms = {"cycle": absolute(f(g(a)), a) + absolute(g(f(b)), b), "identity": absolute(f(a), a) + absolute(g(b), b)}
    penalty = {"wgan_gp": ((size - 1) ** 2).mean()}
    return answer(t, d, ((fake - 1) ** 2).mean(), penalty, terms, vars={"d": {"pool": kept}})


def bicyclegan(s):
    """Odd rows have their code from E(b) and are to give b back; in even ones E is to find z, by which it is not moved.

    D's verdict moves E through the codes.
    """
    a, b = jnp.split(s.batch["x"], 2, 1)
    mean, logvar, code = posterior(s, b, None)
    z = jnp.where(ODD[:, None], code, latents(s))
    made = s.net("g", z, a)
    t = judged(s, b, a, made, a)
    found = s.still.net("e", made, None)[::2, :4]
    terms = {"l1": absolute(b[1::2], made[1::2]), "kl": divergence(mean, logvar)[1::2].mean()}
    return ns(t, g_terms=terms | {"reconstruct": absolute(latents(s)[::2], found)})


def stargan(s):
    """D's head learns classes of real examples, and finds those that G was asked for; the way back is to the own."""
    x, y = s.batch["x"], s.batch["y"]
    asked = jax.vmap(lambda key: jax.random.randint(key, (), 0, CLASSES))(each(s.key, "z", BATCH))
    made = s.net("g", jax.nn.one_hot(asked, CLASSES), x)
    t = judged(s, x, None, made, None, features=True)
    u = hand.uniforms(s.key, "wgan_gp", (BATCH, 1))
    size = jnp.sqrt(slopes(lambda x: s.net("d", x, None), (1 - u) * t.real + u * t.fake) + 1e-12)
    d_terms = {"wgan_gp": ((size - 1) ** 2).mean(), "d_class": cross_entropy(s.net("head", t.h_r), y).mean()}
    back = s.net("g", jax.nn.one_hot(y, CLASSES), made)
    g_terms = {"g_class": cross_entropy(s.net("head", t.h_f), asked).mean(), "cycle": absolute(back, x)}
    d = (t.w * (t.r - 1) ** 2).mean() / 2 + (t.w_fake * t.f**2).mean() / 2
    g = (t.w_fake * (t.f - 1) ** 2).mean() / 2
    return answer(t, d, g, d_terms, g_terms)


# Upscalers: G sees what cubic interpolation leaves of every second row and column


def halved(x):
    """The taps of Keys' kernel (a = -1/2) at half its rate, in a row of 8 pixels; those outside are left out."""

    def keys(t):
        t = abs(t)
        return np.where(t < 1, 1.5 * t**3 - 2.5 * t**2 + 1, np.where(t < 2, -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2, 0))

    taps = keys((np.arange(8)[None] + 0.5 - 2 * (np.arange(4)[:, None] + 0.5)) / 2)
    taps /= taps.sum(1, keepdims=True)
    return jnp.einsum("ij,kl,njlc->nikc", taps, taps, x).clip(-1, 1)


def upscale(s):
    """One player, which moves G by the error of each pixel."""
    return {"g": {"": absolute(s.batch["x"], s.net("g", halved(s.batch["x"])))}, "shown": {"g": {}}}


def esrgan(s):
    """Averages of D on both sides stand against each other; features are of images as they are, not as D is shown them.

    Of the mean of both sides G pays the share hp.adversarial.
    """
    x = s.batch["x"]
    t = judged(s, x, None, s.net("g", halved(x)), None)
    real, fake = t.r - t.f.mean(), t.f - t.r.mean()
    d = ((t.w * sp(-real)).mean() + (t.w_fake * sp(fake)).mean()) / 2
    g = s.hp["adversarial"] * ((t.w * sp(real)).mean() + (t.w_fake * sp(-fake)).mean()) / 2
    p = small.drawn()

    def maps(x):
        x = jnp.repeat(x, 3, 3)
        for i in (1, 2, 3):
            kernel = jnp.moveaxis(p[f"conv{i}.weight"], (0, 1), (3, 2)).astype(x.dtype)
            pad = [(kernel.shape[0] // 2,) * 2] * 2
            x = jax.lax.conv_general_dilated(relu(x) if i > 1 else x, kernel, (2, 2), pad, dimension_numbers=LAYOUT)
        return x

    terms = {"pixel": absolute(x, t.made), "perceptual": absolute(maps(x), maps(t.made))}
    return answer(t, d, g, g_terms=terms)


def pool(*shapes):
    """A full one of 20."""
    r = np.random.default_rng(1)
    return {"pool": {"kept": tuple(shape and r.normal(size=(20, *shape)) for shape in shapes), "filled": np.int32(20)}}


TABLE = {
    "pix2pix": hand.row("pix2pix", pix2pix, "pool", vars=pool((2,), (2,)), batch=OF_REAL, r1=0.7, l1=3.0),
    "cyclegan": hand.row(
        "cyclegan", cyclegan, "pool", vars=pool((4,), None), batch=OF_REAL, wgan_gp=0.7, cycle=3.0, identity=2.0
    ),
    "bicyclegan": hand.row("bicyclegan", bicyclegan, batch=hand.WEIGHTS, l1=3.0, kl=0.7, reconstruct=0.4, rtol=SINGLE),
    "upscale": Row(upscale, KINDS["upscale"]),
    "esrgan": Row(
        esrgan,
        {
            **KINDS["esrgan"],
            "augment": ("jitter",),
            "hp": {**hand.NOISE, "pixel": 3.0, "perceptual": 0.7, "adversarial": 1e3},
        },
        ("clock",),
        hand.CLOCK,
        hand.WEIGHTS,
        SINGLE,
    ),
    "stargan": hand.row(
        "stargan", stargan, "head", batch=hand.WEIGHTS, wgan_gp=0.7, cycle=3.0, d_class=0.5, g_class=0.4
    ),
}


test_total = hand.totals(TABLE, alone=[("upscale", "d")])  # there is no D


def test_every_kind_has_a_formula():
    """And every term of a kind has: `check` compares their names."""
    known = {row.settings["kind"] for row in (TABLE | OTHERS).values()}
    assert known | {"plain", "conditional"} == set(games.KINDS)
