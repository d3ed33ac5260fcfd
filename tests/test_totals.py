"""Who sees what in a GAN with any term: each total against a formula written by hand.

test_totals_penalties.py has penalties, test_totals_kinds.py the other kinds, test_totals_heads.py class heads, hand.py
what formulas are made of.

A formula that differs says that a loss compares other things than it did, or that its gradient takes another way.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import relu

import hand
from hand import (
    CLOCK,
    JITTER,
    LABELLED,
    NOISE,
    WEIGHTS,
    Row,
    answer,
    at_update,
    cast,
    each,
    judged,
    latents,
    normals,
    ns,
    shown,
    slopes,
    sp,
    uniforms,
)
from jaxgan import augment, rng
from jaxgan.games.terms import D_TERMS, G_TERMS
from kinds import SQUARE
from test_totals_penalties import TABLE as PENALTIES


def plain(s):
    """After its update D's clock, where there is one, is one further."""
    after = {"clock": {"updates": s.vars["clock"]["updates"] + 1}} if "clock" in s.vars else {}
    return ns(cast(s), vars={"d": after})


def projection(s):
    """8 real and 12 generated examples: each weighs the same, so that real ones weigh 8 / 20 of twice the mean."""
    t = cast(s)
    return answer(t, 0.8 * relu(1 - t.r).mean() + 1.2 * relu(1 + t.f).mean(), -1.2 * t.f.mean())


def weighted(s):
    """Row i of 12 generated examples has the weight of row 8 i / 12."""
    t = cast(s)
    d = 0.8 * (t.w * sp(-t.r)).mean() + 1.2 * (t.w_fake * sp(t.f)).mean()
    return answer(t, d, 1.2 * (t.w_fake * sp(-t.f)).mean())


def weighted_pairs(s):
    t = cast(s)
    w = t.w * t.w_fake
    return answer(t, (w * sp(t.f - t.r)).mean(), (w * sp(t.r - t.f)).mean())


def smoothed(s):
    """A target of 0.9, of 8 real examples only: 0.9 of the cross entropy of `real`, and 0.1 of that of `generated`."""
    t = cast(s)
    return answer(t, 0.8 * (0.9 * sp(-t.r) + 0.1 * sp(t.r)).mean() + 1.2 * sp(t.f).mean(), 1.2 * sp(-t.f).mean())


def squares(s):
    t = cast(s)
    return answer(t, ((t.r - 0.8) ** 2).mean() / 2 + ((t.f + 1) ** 2).mean() / 2, ((t.f - 0.6) ** 2).mean() / 2)


def averages(s):
    """Relativistic: each side less the other's mean; G plays the same with the sides exchanged."""
    t = cast(s)
    r, f = t.r - t.f.mean(), t.f - t.r.mean()
    return answer(t, sp(-r).mean() + sp(f).mean(), sp(-f).mean() + sp(r).mean())


def alpha(s):
    """Of alpha = 0.3, from f and its conjugate: T = 1 / 0.7 - sp(-v), f* = ((0.7 sp(-v))^(-3 / 7) - 1) / 0.3."""
    t = cast(s)
    bound = ((0.7 * sp(-t.f)) ** (-3 / 7) - 1) / 0.3
    return answer(t, (sp(-t.r) - 1 / 0.7).mean() + bound.mean(), -bound.mean())


def scaled(s):
    """hp.d_scale times the logits of D, in the loss and in what R1 takes the gradient of; features are D's own."""
    t = cast(s, features=True)
    c = s.hp["d_scale"]
    t.r, t.f = c * t.r, c * t.f
    r1 = slopes(lambda x: c * s.net("d", x, None), t.real).mean() / 2
    return ns(t, {"r1": r1}, {"feature_matching": ((t.h_r.mean(0) - t.h_f.mean(0)) ** 2).sum()})


def reused(s):
    """Both players see one batch and one z; what G's is shown beside is drawn by a stream of its own."""
    d, z = ns(cast(s)), latents(s)
    s = s._replace(key=rng.stream(s.key, "of g"))
    g = judged(s, s.batch["x"], s.batch["y"], s.net("g", z, s.batch["y"]), s.batch["y"])
    return {**d, "g": ns(g)["g"]}


# Other terms


def consistency(s):
    """D's answers to what it is shown, against those to a further augmentation of that, or to a neighbour in z."""
    t = cast(s)

    def again(x, side):
        return augment.apply(("jitter",), x, each(s.key, f"consistency {side}", len(x)))

    def near(s):
        return s.net("g", t.z + s.hp["zcr_radius"] * normals(s.key, "zcr", t.z.shape), t.y_fake)

    terms = {"cr": (t.r - s.net("d", again(t.real, "real"), t.y)) ** 2}
    terms |= {"cr_fake": (t.f - s.net("d", again(t.fake, "fake"), t.y_fake)) ** 2}
    terms |= {"zcr": (t.f - s.net("d", shown(s, near(s), "fake"), t.y_fake)) ** 2}
    return ns(t, {name: x.mean() for name, x in terms.items()}, {"zcr_g": -((t.made - near(s)) ** 2).mean()})


def memories(s):
    """LeCam's averages are no way for a gradient; the 1 % of a path length's average that is new is one."""
    t, fixed, old, keep = cast(s, features=True), cast(s.still), s.vars["lecam"], s.hp["lecam_decay"]
    now = {"real": fixed.r.mean(), "fake": fixed.f.mean(), "mass": 1.0}
    new = {name: keep * old[name] + (1 - keep) * now[name] for name in now}
    lecam = (relu(t.r - new["fake"] / new["mass"]) ** 2).mean() + (relu(new["real"] / new["mass"] - t.f) ** 2).mean()
    y = normals(s.key, "path length", t.made.shape)  # points are one pixel
    pull = jax.grad(lambda z: (s.net("g", z, t.y_fake) * y).sum())(t.z)
    lengths = jnp.sqrt((pull**2).sum(1) + 1e-12)
    mean = 0.99 * s.vars["path_length"]["mean"] + 0.01 * lengths.mean()
    matching = ((t.h_r.mean(0) - t.h_f.mean(0)) ** 2).sum()
    g_terms = {"path_length": ((lengths - mean) ** 2).mean(), "feature_matching": matching}
    return ns(t, {"lecam": lecam}, g_terms, vars={"d": {"lecam": new}, "g": {"path_length": {"mean": mean}}})


def lazy_path(s):
    """Every third update of G, three times as strong; in between neither term nor average moves."""
    found, old = memories(s), s.vars["path_length"]
    due = old["updates"] % 3 == 0
    new = jnp.where(due, found["vars"]["g"]["path_length"]["mean"], old["mean"])
    return {
        "d": {name: found["d"][name] for name in ("", "lecam")},
        "g": {**found["g"], "path_length": 3.0 * due * found["g"]["path_length"]},
        "logits": found["logits"],
        "vars": {"g": {"path_length": {"mean": new, "updates": old["updates"] + 1}}},
    }


def climbing(s):
    """Two steps of z up the gradient of D's answer to what it is shown of G(z); gradients flow through them."""
    start = z = hand.latents(s)

    def rank(z):
        return s.net("d", shown(s, s.net("g", z, s.batch["y"]), "fake"), s.batch["y"]).sum()

    for _ in range(2):
        g = jax.grad(rank)(z)
        z = z + s.hp["logan_alpha"] * g / ((g**2).sum(1, keepdims=True) + s.hp["logan_beta"])
    t = hand.judged(s, s.batch["x"], s.batch["y"], s.net("g", z, s.batch["y"]), s.batch["y"])
    way = {"logan_dz": ((z - start) ** 2).sum(1).mean()}
    return ns(t, way, way)


def top_half(s):
    """G learns from the 4 of 8 that D ranks highest."""
    t = cast(s)
    return answer(t, sp(-t.r).mean() + sp(t.f).mean(), sp(-jnp.sort(t.f)[4:]).mean())


def history(s):
    """One by one, with probability 1/2, an example and its label change places with kept ones; only D sees those."""
    t = cast(s)
    (made, y_fake), kept = hand.pooled(s, (t.made, t.y_fake))
    old = hand.judged(s, t.x, t.y, made, y_fake)
    d = sp(-old.r).mean() + sp(old.f).mean()
    return answer(old, d, sp(-t.f).mean(), vars={"d": {"pool": kept}})


# Probabilities that move


def controlled(s):
    """D meets generated examples as real ones where APA's coins fall, all augmented with ADA's p.

    Each p is, after every fourth update, 4 * 8 / ada_images further up or down, as the mean of 4 mean signs says.
    """
    done, p, vars = s.vars["clock"]["updates"], {}, {"clock": {"updates": s.vars["clock"]["updates"] + 1}}
    for name in ("ada", "apa"):
        way = jnp.sign(s.vars[name]["signs"] / 4 - s.hp[f"{name}_target"])
        moved = jnp.clip(s.vars[name]["p"] + 32 / s.hp["ada_images"] * way, 0, 1)
        p[name] = jnp.where(done % 4 == 0, moved, s.vars[name]["p"])
        vars[name] = {"p": p[name], "signs": s.vars[name]["signs"] * (done % 4 > 0)}
    s = s._replace(vars={**s.vars, "ada": vars["ada"]})
    t = cast(s)
    x = jnp.where(uniforms(s.key, "apa", (8,))[:, None, None, None] < p["apa"], jax.lax.stop_gradient(t.made), t.x)
    t = hand.judged(s, x, None, t.made, None)
    r1 = slopes(lambda x: s.net("d", shown(s, x, "real"), None), x).mean() / 2
    sign = jnp.sign(t.r).mean()
    for name in p:
        vars[name]["signs"] += sign
    columns = {"d_sign": sign, "augment_p": p["ada"], "pseudo_p": p["apa"]}
    return ns(t, {"r1": r1}, vars={"d": vars}, shown={"d": columns})


# Norms that move in an update


def spectral(s):
    """Each player's own vectors move by one power iteration before its update; the other's stand as they were left."""
    found = {}
    for side in ("d", "g"):
        moved = s.game.nets[side].apply(s.params[side], s.vars[side], train=True)[1]
        after = s._replace(vars={**s.vars, side: moved})
        t = cast(after)
        r1 = slopes(lambda x: after.net("d", x, None), t.real).mean() / 2  # noqa: B023
        found[side] = ns(t, {"r1": r1}, vars={side: {side: moved}})
    return {**found["d"], "g": found["g"]["g"], "vars": found["d"]["vars"] | found["g"]["vars"]}


def virtual(s):
    """The first batch, real and with its labels, is what D compares everything with; 8 rows, over and over."""
    x, y = (jnp.concatenate([s.batch[name]] * 8) for name in ("x", "y"))
    filled = {**s.vars["d"], "reference": (x, y), "filled": jnp.asarray(True)}
    return ns(cast(s._replace(vars={**s.vars, "d": filled})), vars={"d": {"d": filled}})


AVERAGED = {"lecam": 0.7, "lecam_decay": 0.8, "path_length": 0.6, "feature_matching": 0.4}
AVERAGES = Row(memories, {**LABELLED, **JITTER, "hp": {**NOISE, **AVERAGED}}, ("lecam", "clock"), CLOCK)
LAZY_PATH = AVERAGES._replace(formula=lazy_path, settings={**AVERAGES.settings, "lazy_g": 3})
OLD = np.random.default_rng(1)
POOL = {"kept": (OLD.normal(size=(20, 2)), OLD.integers(0, 3, 20)), "filled": np.int32(20)}
KEPT = {"p": np.float64(0.4), "signs": np.float64(1.2)}  # a mean sign of 0.3
CONTROLLED = {"r1": 0.7, "ada_target": 0.2, "apa_target": 0.6, "ada_images": 100.0, "augment_color": 0.5}
CONTROL = Row(
    controlled,
    {"shape": SQUARE, "augment": ("color",), "hp": CONTROLLED},
    ("ada", "apa", "clock"),
    {"ada": KEPT, "apa": KEPT},
)


TABLE = {
    "plain": Row(plain, {}),
    "augment-noise": Row(plain, {**JITTER, "hp": NOISE}, ("clock",), CLOCK),
    "projection": Row(projection, {**LABELLED, **JITTER, "loss": "hinge", "fake_batch": 12}),
    "weights": Row(weighted, {"fake_batch": 12}, batch=WEIGHTS),
    "weights-paired": Row(weighted_pairs, {"loss": "rpgan"}, batch=WEIGHTS),
    "label-smoothing": Row(smoothed, {"fake_batch": 12, "hp": {"real_target": 0.9}}),
    "lsgan-targets": Row(squares, {"loss": "lsgan", "hp": {"real_target": 0.8, "fake_target": -1, "g_target": 0.6}}),
    "relativistic-averages": Row(averages, {**LABELLED, "loss": "ragan"}),
    "f-alpha": Row(alpha, {"loss": "f_alpha", "hp": {"alpha": 0.3}}),
    "d-scale": Row(scaled, {"hp": {"d_scale": 1.7, "r1": 0.3, "feature_matching": 0.5}}),
    "reuse": Row(reused, {**LABELLED, **JITTER, "reuse": True}),
    "consistency": Row(
        consistency,
        {**LABELLED, **JITTER, "cr_augment": ("jitter",)}
        | {"hp": {**NOISE, "cr": 0.7, "cr_fake": 0.4, "zcr": 0.6, "zcr_g": 0.3, "zcr_radius": 0.5}},
        ("clock",),
        CLOCK,
    ),
    "memories": AVERAGES,
    "lazy-path-due": at_update(LAZY_PATH, "path_length", 3, mean=np.float64(0.6)),
    "lazy-path-not-due": at_update(LAZY_PATH, "path_length", 4, mean=np.float64(0.6)),
    "logan": Row(
        climbing, {**LABELLED, **JITTER, "latent_steps": 2, "hp": {**NOISE, "logan_dz": 3.0}}, ("clock",), CLOCK
    ),
    "control-due": at_update(CONTROL, "clock", 8),
    "control-not-due": at_update(CONTROL, "clock", 9),
    "top-k": Row(top_half, {"hp": {"top_k": 0.5}}),
    "pool": Row(history, {**LABELLED, **JITTER, "pool": 20}, ("pool",), {"pool": POOL}),
    "spectral": Row(spectral, {"d_norm": "spectral", "g_norm": "spectral", "hp": {"r1": 0.7}}),
    "virtual": Row(virtual, {**LABELLED, **JITTER, "d_norm": "virtual"}),
}


test_total = hand.totals(TABLE)


def test_every_term_has_a_formula():
    table = TABLE | PENALTIES
    weighed = {name for row in table.values() for name in row.settings.get("hp", {})}
    assert weighed >= (D_TERMS | G_TERMS).keys() - {"own"}
