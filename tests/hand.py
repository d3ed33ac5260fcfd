"""Losses written by hand: what their formulas are given, pieces that these share, and the comparison with a game's.

A formula is a function of `Seen`, which has nothing but networks, a batch, a key and numbers, -> {player: {name of a
term: its mean}}, under "" what no weight in hp multiplies. It knows the names of the streams of random numbers, and
nothing of jaxgan.games. "logits" are D's of real and generated examples, "vars" {player: {net: what it remembers}}.
"""

import dataclasses
from collections.abc import Callable
from functools import cache, partial
from types import MappingProxyType, SimpleNamespace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.nn import softplus as sp

from jaxgan import augment, rng, step
from jaxgan.state import initial
from kinds import BATCH, CLASSES, TABLE, made

SINGLE = 1e-5  # relative error of what rounds to float32 on its way


class Row(NamedTuple):
    """settings: as in kinds.TABLE. of_d: what D's player owns beside D; all other networks are of G's player.

    vars: {net: what it remembers} in place of random numbers. batch: arrays beside x and y, such as weights.
    rtol: SINGLE where encoders answer in float32, as they always do. x64: False where nothing else would be traced.
    """

    formula: Callable
    settings: dict
    of_d: tuple[str, ...] = ()
    vars: dict = MappingProxyType({})
    batch: dict = MappingProxyType({})
    rtol: float = 1e-9
    x64: bool = True


WEIGHTS = {"w": np.array([2, 0, 1, 1, 0.5, 1.5, 0, 2]), "w_fake": np.array([0, 1, 3, 1, 1, 0.5, 0.5, 1])}
LABELLED = {"kind": "conditional"}
JITTER = {"augment": ("jitter",)}
CLOCK = {"clock": {"updates": np.int32(4)}}
NOISE = {"noise": 0.3, "noise_updates": 10.0}
UNMOVED = ("aae", "pix2pix", "bicyclegan")  # these refuse augmentations


def row(name, formula, *of_d, vars=MappingProxyType({}), batch=MappingProxyType({}), rtol=1e-9, **hp):
    """kinds.TABLE[name] on points, with noise, augmentation, and weights other than 1."""
    settings = {**TABLE[name], "net": "mlp", "augment": () if name in UNMOVED else ("jitter",), "hp": {**NOISE, **hp}}
    return Row(formula, settings, ("clock", *of_d), {**CLOCK, **vars}, batch, rtol)


def at_update(row, net, updates, **more):
    """row after so many updates that a net remembers, and more."""
    return row._replace(vars={**row.vars, net: {**more, "updates": np.int32(updates)}})


class Seen(NamedTuple):
    """One update, as a formula sees it; fixed: params as a constant, through which no gradient passes."""

    game: Any
    c: Any
    params: dict
    fixed: dict
    vars: dict
    batch: dict
    key: Any
    hp: dict

    def net(self, name, *inputs, **options):
        """The output of a network in training."""
        return self.game.nets[name].apply(self.params[name], self.vars[name], *inputs, train=True, **options)[0]

    @property
    def still(self):
        """The same update, with networks that are not to be moved."""
        return self._replace(params=self.fixed)


# Randomness: one key per example, by the name of what it is for


def each(key, name, n):
    return jax.vmap(jax.random.fold_in, (None, 0))(rng.stream(key, name), jnp.arange(n))


def normals(key, name, shape):
    return jax.vmap(lambda k: jax.random.normal(k, shape[1:]))(each(key, name, shape[0]))


def uniforms(key, name, shape, **ends):
    return jax.vmap(lambda k: jax.random.uniform(k, shape[1:], **ends))(each(key, name, shape[0]))


def latents(s, n=BATCH):
    return normals(s.key, "z", (n, s.c.latent))


# What D is shown, and what it says


def shown(s, x, side):
    """x augmented and noisy, each example by keys of its own and of its side; the noise left at the clock's time."""
    key = rng.stream(s.key, f"view {side}")
    p = s.vars["ada"]["p"] if "ada" in s.vars else s.hp["augment_p"]
    x = augment.apply(s.c.augment, x, each(key, "augment", len(x)), p, s.hp["augment_color"])
    if s.c.hp.noise:
        left = 1 - s.vars["clock"]["updates"] / s.hp["noise_updates"]
        x = x + s.hp["noise"] * left * normals(key, "noise", x.shape)
    return x


def of_rows(s, name, n):
    """What the batch has under this name for each of n examples, its rows repeated or thinned out; weights may be 1."""
    return s.batch[name][np.arange(n) * BATCH // n] if name in s.batch else jnp.ones(n)


def cast(s, features=False):
    """Real x, y and generated made, y_fake from z; what D is shown of them, its logits r, f and features h_r, h_f.

    w and w_fake are their weights in the loss, 1 unless the batch has some.
    """
    n = s.c.fake_batch or BATCH
    labelled = bool(s.game.classes)
    x, y, y_fake = s.batch["x"], s.batch["y"] if labelled else None, of_rows(s, "y", n) if labelled else None
    z = latents(s, n)
    return judged(s, x, y, s.net("g", z, y_fake), y_fake, features, z=z)


def judged(s, x, y, made, y_fake, features=False, **more):
    real, fake = shown(s, x, "real"), shown(s, made, "fake")
    given = {"x": x, "y": y, "made": made, "y_fake": y_fake, "real": real, "fake": fake, **more}
    given |= {"w": of_rows(s, "w", len(x)), "w_fake": of_rows(s, "w_fake", len(made))}
    if features:
        (r, h_r), (f, h_f) = s.net("d", real, y, features=True), s.net("d", fake, y_fake, features=True)
        given |= {"h_r": h_r, "h_f": h_f}
    else:
        r, f = s.net("d", real, y), s.net("d", fake, y_fake)
    return SimpleNamespace(**given, r=r, f=f)


def pooled(s, new):
    """What a full pool of 20 passes on in place of new (arrays [n, ...], or None), and what it holds then.

    One by one, with probability 1/2, an example changes places with a random kept one.
    """

    def visit(kept, incoming):
        x, key = incoming
        swap, slot = jax.random.bernoulli(key), jax.random.randint(jax.random.fold_in(key, 1), (), 0, 20)
        passed = jax.tree.map(lambda x, kept: jnp.where(swap, kept[slot], x), x, kept)
        return jax.tree.map(lambda x, kept: kept.at[slot].set(jnp.where(swap, x, kept[slot])), x, kept), passed

    kept, passed = jax.lax.scan(visit, s.vars["pool"]["kept"], (new, each(s.key, "pool", len(new[0]))))
    return passed, {"kept": kept, "filled": np.int32(20)}


def answer(t, d, g, d_terms=(), g_terms=(), **more):
    return {"d": {"": d, **dict(d_terms)}, "g": {"": g, **dict(g_terms)}, "logits": (t.r, t.f), **more}


def ns(t, d_terms=(), g_terms=(), **more):
    """The non-saturating losses of as many real as generated examples, and further terms."""
    d = (t.w * sp(-t.r)).mean() + (t.w_fake * sp(t.f)).mean()
    return answer(t, d, (t.w_fake * sp(-t.f)).mean(), d_terms, g_terms, **more)


def slopes(score, x):
    """Squared norms of the gradients of logits [n], each of its own x [n, ...]."""
    g = jax.grad(lambda x: score(x).sum())(x)
    return (g**2).reshape(len(x), -1).sum(1)


def cross_entropy(scores, y):
    return -jnp.take_along_axis(jax.nn.log_softmax(scores), y[:, None], 1)[:, 0]


# The comparison


def prepared(row):
    """The game of a row, and everything that its losses take: random parameters and memories, and one batch."""
    c, game, shape = made(row.settings)
    r = np.random.default_rng(0)
    like = jax.eval_shape(lambda: initial(game, c, shape))

    def memory(x):
        return r.uniform(0.2, 0.8, x.shape) if jnp.issubdtype(x.dtype, jnp.floating) else np.zeros(x.shape, x.dtype)

    params = jax.tree.map(lambda p: r.normal(size=p.shape) / 2, like.params)
    vars = {**jax.tree.map(memory, like.vars), **row.vars}
    batch = {"x": r.normal(size=(BATCH, *shape)), "y": r.integers(0, CLASSES, BATCH), **row.batch}
    return c, game, *jax.tree.map(jnp.asarray, (params, vars, batch, dataclasses.asdict(c.hp)))


def both(row):
    """The game; then of the game and by hand {player: ((total, (its terms, what is remembered)), gradient)}."""
    with jax.enable_x64(row.x64):
        return _both(row)


def _both(row):
    c, game, params, memories, batch, hp = prepared(row)
    key = rng.root(3)

    def ours(params, player):
        run = step.runner(game, params)
        total, (new, metrics) = game.players[player].loss(run, memories, batch, key, hp)
        return total, (metrics, new)

    def by_hand(moving, params):
        found, totals, more = row.formula(Seen(game, c, moving, params, memories, batch, key, hp)), {}, {}
        for player in game.players:
            terms = dict(found[player])
            totals[player] = terms.pop("", 0.0) + sum(hp.get(name, 1.0) * value for name, value in terms.items())
            terms |= found.get("shown", {}).get(player, {})
            if player == "d":
                terms |= {"d_real": found["logits"][0].mean(), "d_fake": found["logits"][1].mean()}
            more[player] = terms, found.get("vars", {}).get(player, {})
        return totals, more

    @jax.jit
    def compiled(params):
        theirs = {player: jax.value_and_grad(ours, has_aux=True)(params, player) for player in game.players}
        totals, pull, more = jax.vjp(lambda moving: by_hand(moving, params), params, has_aux=True)
        one = {player: {other: jnp.ones(()) * (other == player) for other in totals} for player in totals}
        return theirs, {player: ((totals[player], more[player]), *pull(one[player])) for player in totals}

    return game, *jax.device_get(compiled(params))


def check(row, found, player):
    """A player's loss and each of its terms, their gradient in all networks, and what is remembered, are the formula's.

    Its networks are those that the row names, and each of them has a gradient. found: as of `both`.
    """
    game, ours, hand = found
    ((total, (terms, vars)), grads), ((expected, (by_hand, remembered)), slopes) = ours[player], hand[player]
    close = partial(np.testing.assert_allclose, rtol=row.rtol)
    owned = {"d", *row.of_d} if player == "d" else game.nets.keys() - {"d", *row.of_d}
    assert set(game.players[player].nets) == owned
    close(total, expected)
    assert terms.keys() == by_hand.keys(), "a term without a formula, or a formula without a term"
    for name, value in by_hand.items():
        close(terms[name], value, atol=row.rtol / 10, err_msg=name)
    for net, memory in remembered.items():
        jax.tree.map(close, vars[net], memory)
    size = max(float(abs(g).max()) for g in jax.tree.leaves(slopes))
    for (path, found), slope in zip(jax.tree.leaves_with_path(grads), jax.tree.leaves(slopes), strict=True):
        close(found, slope, atol=row.rtol * size, err_msg=jax.tree_util.keystr(path, simple=True, separator="."))
    for net in owned:
        moves = [float(abs(g).max()) for g in jax.tree.leaves(grads[net])]
        assert not moves or max(moves) > 1e-3 * size, f"nothing moves {net}"


def totals(table: dict[str, Row], alone=(), slow=()):
    """`check` as a test of each row of a table and each player; alone: (name, player) that there are not.

    slow: names of rows that are long proofs.
    """
    found = cache(lambda name: both(table[name]))
    named = [(name, player) for name in table for player in ("d", "g") if (name, player) not in alone]
    cases = [pytest.param(*case, marks=pytest.mark.slow if case[0] in slow else ()) for case in named]

    @pytest.mark.parametrize(("name", "player"), cases)
    def test_total(name, player):
        check(table[name], found(name), player)

    return test_total
