"""Who sees what in every kind of GAN: each total against a formula written by hand.

test_totals.py has the plain one and its terms, test_totals_heads.py the class-conditional one, test_totals_images.py
those from images to images. D is shown noisy examples wherever a kind lets it, and augmented ones.
"""

import math
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import relu

import hand
from hand import (
    SINGLE,
    Row,
    answer,
    cast,
    cross_entropy,
    each,
    judged,
    latents,
    normals,
    ns,
    shown,
    slopes,
    sp,
)
from jaxgan import augment, rng
from jaxgan.config import Config
from jaxgan.nets import mlp
from jaxgan.types import Spec
from kinds import BATCH, SQUARE
from kinds import TABLE as KINDS

OF_REAL = {"w": hand.WEIGHTS["w"]}  # a pool shows generated examples that have no weight
ODD = np.arange(BATCH) % 2 == 1


# Codes, rotations, energies


def infogan(s):
    """Codes 3, 1, 2: Q, on the features of a generated example as D is shown it, is to read what it was made of."""
    keys = each(s.key, "z", BATCH)

    def code(i, draw):
        return jax.vmap(lambda key: draw(rng.stream(key, f"code {i}")))(keys)

    z = jax.vmap(lambda key: jax.random.normal(key, (4,)))(keys)
    first, third = (
        code(0, lambda k: jax.random.randint(k, (), 0, 3)),
        code(2, lambda k: jax.random.randint(k, (), 0, 2)),
    )
    number = code(1, lambda k: jax.random.uniform(k, (1,), minval=-1))
    z = jnp.concatenate([z, jax.nn.one_hot(first, 3), number, jax.nn.one_hot(third, 2)], 1)
    t = judged(s, s.batch["x"], None, s.net("g", z, None), None, features=True)
    q = s.net("q", t.h_f)
    read = cross_entropy(q[:, :3], first) + cross_entropy(q[:, 4:], third)
    read += 0.5 * math.log(2 * math.pi) + (q[:, 3] - number[:, 0]) ** 2 / 2
    return ns(t, g_terms={"info": read.mean()})


def infogan_labelled(s):
    """One code, a number; G and D know labels, Q does not."""
    keys = each(s.key, "z", BATCH)
    z = jax.vmap(lambda key: jax.random.normal(key, (4,)))(keys)
    number = jax.vmap(lambda key: jax.random.uniform(rng.stream(key, "code 0"), (1,), minval=-1))(keys)
    y = s.batch["y"]
    t = judged(s, s.batch["x"], y, s.net("g", jnp.concatenate([z, number], 1), y), y, features=True)
    q = s.net("q", t.h_f)
    return ns(t, g_terms={"info": (0.5 * math.log(2 * math.pi) + (q[:, 0] - number[:, 0]) ** 2 / 2).mean()})


def ssgan(s):
    """D learns how real images were turned, G how its own were; they are shown anew, and then turned."""
    t = cast(s)
    turns = jax.vmap(lambda key: jax.random.randint(key, (), 0, 4))(each(s.key, "rotation", BATCH))

    def guess(x):
        x = shown(s, x, "rotation")
        ways = jnp.stack([jnp.rot90(x, k, (1, 2)) for k in range(4)])
        return cross_entropy(
            s.net("rotation", s.net("d", ways[turns, np.arange(BATCH)], None, features=True)[1]), turns
        )

    return ns(t, {"d_rotation": guess(t.x).mean()}, {"g_rotation": guess(t.made).mean()})


def energy(s, x, y, error):
    """The mean error of an example that D's encoder and decoder make of it, and the code between."""
    e, g = (
        mlp.encoder(Config(width=8, depth=1), Spec((2,), s.game.classes, outputs=4)),
        mlp.generator(Config(width=8, depth=1), Spec((2,), s.game.classes)),
    )
    code = e.apply(s.params["d"]["e"], {}, x, y, train=True)[0]
    return error(x - g.apply(s.params["d"]["g"], {}, code, y, train=True)[0]).mean(1), code


def ebgan(s):
    """D lowers squared errors of real examples and raises those of generated ones up to the margin, one by one."""
    t = cast(s)
    (real, _), (fake, code) = energy(s, t.real, t.y, jnp.square), energy(s, t.fake, t.y_fake, jnp.square)
    unit = code / jnp.sqrt((code**2).sum(1, keepdims=True) + 1e-12)
    pairs = ((unit @ unit.T) ** 2).sum() - ((unit**2).sum(1) ** 2).sum()
    t.r, t.f = -real, -fake
    below = {"below_margin": relu(s.hp["margin"] - fake).mean()}
    return answer(t, real.mean(), fake.mean(), below, {"pull_away": pairs / (BATCH * (BATCH - 1))})


def began(s):
    """D's resistance is the k from before its update, which is no way for a gradient; k moves after it."""
    t, k, balance = cast(s), s.vars["k"]["k"], s.hp["balance"]
    real, fake = energy(s, t.real, None, abs)[0], energy(s, t.fake, None, abs)[0]
    t.r, t.f = -real, -fake
    new = jnp.clip(k + s.hp["k_rate"] * (balance * real.mean() - fake.mean()), 0, 1)
    found = real.mean() + abs(balance * real.mean() - fake.mean())
    more = {"shown": {"d": {"k": new, "convergence": found}}, "vars": {"d": {"k": {"k": new}}}}
    return answer(t, real.mean(), fake.mean(), {"resist": -k * fake.mean()}, **more)


# Encoders


def posterior(s, x, y):
    """Mean and log variance by E, and a draw."""
    mean, logvar = jnp.split(s.net("e", x, y), 2, 1)
    return mean, logvar, mean + jnp.exp(logvar / 2) * normals(s.key, "posterior", mean.shape)


def divergence(mean, logvar):
    return (mean**2 + jnp.exp(logvar) - 1 - logvar).sum(1) / 2


def lrgan(s):
    """E sees what G made as it is, not as D is shown it."""
    t = cast(s)
    error = ((t.z - s.net("e", t.made, t.y_fake)) ** 2).sum(1) / 2
    d, g = relu(1 - t.r).mean() + relu(1 + t.f).mean(), -t.f.mean()
    return answer(t, d, g, g_terms={"reconstruct": error.mean()})


def pairs(s):
    """D is shown x beside E's code of x as it is, and G(z) beside z."""
    n, labelled = s.c.fake_batch or BATCH, bool(s.game.classes)
    y, y_fake = (s.batch["y"], hand.of_rows(s, "y", n)) if labelled else (None, None)
    z, code = latents(s, n), s.net("e", s.batch["x"], y)
    return judged(s, s.batch["x"], (y, code), s.net("g", z, y_fake), (y_fake, z)), code


def bigan(s):
    """G and E want each side taken for the other; R1 is of x alone."""
    t, code = pairs(s)
    r1 = slopes(lambda x: s.net("d", x, (None, code)), t.real).mean() / 2
    return answer(t, sp(-t.r).mean() + sp(t.f).mean(), sp(t.r).mean() + sp(-t.f).mean(), {"r1": r1})


def bigan_labelled(s):
    """Least squares, for 8 real and 12 generated examples."""
    t, _ = pairs(s)
    d = 0.4 * (t.w * (t.r - 1) ** 2).mean() + 0.6 * (t.w_fake * t.f**2).mean()
    return answer(t, d, 0.4 * (t.w * t.r**2).mean() + 0.6 * (t.w_fake * (t.f - 1) ** 2).mean())


def aae(s):
    """To D draws of the prior are real and codes are not; it knows no labels, E and G do."""
    x, y = s.batch["x"], s.batch["y"]
    code = s.net("e", x, y)
    t = judged(s, latents(s), y, code, None)
    error = ((x - s.net("g", code, y)) ** 2).sum(1) / 2
    return answer(t, sp(t.f - t.r).mean(), sp(t.r - t.f).mean(), g_terms={"reconstruct": error.mean()})


def vae(s):
    """No D; images and points by as many normals as they have entries."""
    x, y, sigma = s.batch["x"], s.batch["y"] if s.game.classes else None, s.hp["sigma"]
    mean, logvar, code = posterior(s, x, y)
    off = ((x - s.net("g", code, y)) ** 2).reshape(BATCH, -1).sum(1)
    error = (off / (2 * sigma**2) + x[0].size * jnp.log(sigma * math.sqrt(2 * math.pi))).mean()
    kl = divergence(mean, logvar).mean()
    return {"g": {"reconstruct": error, "kl": kl}, "shown": {"g": {"elbo": -error - kl}}}


def vaegan(s):
    """Odd rows of what D judges are reconstructions, by which E is not moved; even ones are drawn from the prior.

    E is moved by the error in D's features, of x and its reconstruction as D is shown x, and by the divergence.
    """
    x, y = s.batch["x"], s.batch["y"]
    mean, logvar, code = posterior(s, x, y)
    z = jnp.where(ODD[:, None], posterior(s.still, x, y)[2], latents(s))
    t = judged(s, x, y, s.net("g", z, y), y, features=True)
    again = s.net("d", shown(s, s.net("g", code, y), "real"), y, features=True)[1]
    d, g = (t.w * sp(-t.r)).mean() + (t.w_fake * sp(t.f)).mean(), -(t.w_fake * sp(t.f)).mean()
    terms = {"reconstruct": ((t.h_r - again) ** 2).sum(1).mean() / 2, "kl": divergence(mean, logvar).mean()}
    return answer(t, d, g, g_terms=terms)


def gat(s):
    """Two levels: of a real image copies, of a generated one the sums up to each; all with one cutout and one noise.

    t of 1 - 1/8 + 0.01 and 0.01; the first level's noise is the last's times 0.125 / 0.99, and so much new that it has
    that deviation.
    """
    y, z = s.batch["y"], latents(s)
    made = s.net("g", z, y, levels=True)

    def levels(x, side):
        key = rng.stream(s.key, f"view {side}")
        x = augment.apply(("cutout",), x, each(key, "augment", BATCH))  # draws do not know how many channels there are
        e = normals(key, "levels", (BATCH, 2, 8, 8, 1))
        last, left = 0.01 * e[:, 1], 0.115 / 0.99
        first = left * last + math.sqrt(0.885**2 - (left * 0.01) ** 2) * e[:, 0]
        return jnp.concatenate([0.115 * x[..., :1] + first, 0.99 * x[..., 1:] + last], -1)

    def both(x):
        return jnp.concatenate([x, x], -1)

    def judge(x, side):
        return s.net("d", levels(x, side), y)

    x = s.batch["x"]
    t = SimpleNamespace(r=judge(both(x), "real"), f=judge(made, "fake"), w=1.0, w_fake=1.0)
    u, v = normals(s.key, "ar1", x.shape), normals(s.key, "ar2", made.shape)
    terms = {"ar1": ((judge(both(x + 0.01 * u), "real") - t.r) / 0.01) ** 2}
    terms |= {"ar2": ((judge(made + 0.01 * v, "fake") - t.f) / 0.01) ** 2}
    return ns(t, {name: x.mean() / 2 for name, x in terms.items()})


def cat(s):
    """Two levels, the first at half the size: D has a logit of each, RpGAN's loss is the mean of both, penalties are of
    the sum, where D is shown something else than it was. All of an example has one cutout."""
    y, x = s.batch["y"], s.batch["x"]
    made = s.net("g", latents(s), y, levels=True)

    def scales(first, last, side):
        keys = each(rng.stream(s.key, f"view {side}"), "augment", BATCH)
        first, last = (augment.apply(("cutout",), x, keys) for x in (first, last))
        return jnp.concatenate(
            [first.reshape(BATCH, 4, 2, 4, 2).mean((2, 4)).reshape(BATCH, 16), last.reshape(BATCH, 64)], 1
        )

    def judge(x):
        return s.net("d", x, y)

    real, fake = scales(x, x, "real"), scales(made[..., :1], made[..., 1:], "fake")
    r, f = judge(real), judge(fake)
    terms = {}
    for name, seen, logits in (("ar1", real, r), ("ar2", fake, f)):
        u = normals(s.key, name, seen.shape)
        terms[name] = ((judge(seen + 0.01 * u).sum(1) - logits.sum(1)) / 0.01) ** 2
    terms = {name: x.mean() / 2 for name, x in terms.items()}
    off = ((made[..., 0] - made[..., 1]) ** 2).mean()
    t = SimpleNamespace(r=r.mean(1), f=f.mean(1))
    return answer(t, sp(f - r).mean(), sp(r - f).mean(), terms, {"consistency": off})


TABLE = {
    "infogan": hand.row("infogan", infogan, info=0.7),
    "infogan-y": hand.row("infogan-y", infogan_labelled, info=0.7),
    "ssgan": hand.row("ssgan", ssgan, "rotation", d_rotation=0.7, g_rotation=0.4),
    "lrgan": hand.row("lrgan", lrgan, reconstruct=0.7, rtol=SINGLE),
    "bigan": hand.row("bigan", bigan, r1=0.7, rtol=SINGLE),
    "bigan-y": hand.row("bigan-y", bigan_labelled, batch=hand.WEIGHTS, rtol=SINGLE),
    "aae": hand.row("aae", aae, reconstruct=0.7, rtol=SINGLE),
    "vae": Row(vae, {"kind": "vae", "shape": SQUARE, "hp": {"kl": 0.7, "sigma": 0.5}}, rtol=SINGLE),
    "vae-y": Row(vae, {**KINDS["vae-y"], "hp": {"kl": 0.7}}, rtol=SINGLE),
    "vaegan": hand.row("vaegan", vaegan, batch=hand.WEIGHTS, kl=0.7, reconstruct=0.4, rtol=SINGLE),
    "gat": Row(gat, KINDS["gat"], rtol=1e-6),
    "cat": Row(cat, {**KINDS["cat"], "loss": "rpgan"}, rtol=1e-6),
    "ebgan": hand.row("ebgan", ebgan, margin=2.0, pull_away=0.4, rtol=SINGLE),
    "began": hand.row("began", began, "k", vars={"k": {"k": np.float64(0.3)}}, k_rate=0.1, rtol=SINGLE),
}


ALONE = [("vae", "d"), ("vae-y", "d")]  # there is no D
# gat's and cat's take ten seconds to compile; their golden steps are for every day
test_total = hand.totals(TABLE, ALONE, slow=["gat", "cat"])
