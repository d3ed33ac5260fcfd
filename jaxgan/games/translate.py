"""Games that translate images of a set A into a set B; an example holds one image of each on its last axis."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxgan import rng
from jaxgan.config import Config
from jaxgan.games.adversarial import Parts, adversarial, gaussian
from jaxgan.games.encoder import kl, posterior
from jaxgan.games.norms import SPECTRAL
from jaxgan.games.sides import observer, shown
from jaxgan.games.terms import Play, Term, active
from jaxgan.losses import LOSSES, Loss
from jaxgan.nets import discriminator, encoder, heads, translator
from jaxgan.types import Axis, Game, JaxganError, halves, per_example

MIXING = ("lecam", "feature_matching", "top_k")  # means or ranks of all examples' answers
UNPAIRED = "unpaired"  # of a name of data: its rows pair images at random


def half(config: Config, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of one image of a pair; JaxganError where examples are no pairs, or norms are not for them."""
    check_source(config, shape)
    if config.d_norm == "virtual":
        raise JaxganError(f"d_norm is 'virtual', which kind {config.kind!r} does not serve; take another d_norm")
    if shape[-1] % 2:
        raise JaxganError(
            f"kind {config.kind!r} translates between two sets, so an example has to hold an image of each on its last "
            f"axis, and data {config.data!r} have shape {tuple(shape)}; use mnist5k_outlines, pairs:PATH or "
            "unpaired:PATH. Labels are no such set: kind conditional makes images of them"
        )
    return (*shape[:-1], shape[-1] // 2)


def check_source(config: Config, shape: tuple[int, ...]) -> None:
    """JaxganError for sequences, which nets for images do not take, and for norms of G that nothing serves here."""
    if len(shape) == 2 and config.net != "mlp":
        raise JaxganError(
            f"kind {config.kind!r} makes images of images by net {config.net!r}, and data {config.data!r} are "
            f"sequences of shape {tuple(shape)}; only --net mlp makes sequences of sequences, as if they were points"
        )
    if config.g_norm in (*SPECTRAL, "virtual"):
        raise JaxganError(
            f"g_norm is {config.g_norm!r}, and kind {config.kind!r} has no use for it: its G makes images of images; "
            "take own, none, batch, instance, group, layer or pixel"
        )


def absolute(a, b):
    """Mean |a - b| over the entries of each row of a and b [n, ...] -> [n]."""
    return abs(a - b).reshape(len(a), -1).mean(1)


def _paired(config: Config, shape, axis: Axis, g_terms: dict[str, Term], more: dict, observe: Callable) -> Game:
    """G(z, a) against D(b, a): the conditional GAN whose label is an image, of which rows know the right answer.

    more: {name: Net} of further networks of G's player, which see an image of B.
    """
    if UNPAIRED in config.data.split(":"):
        raise JaxganError(
            f"kind {config.kind!r} learns from pairs, and data {config.data!r} pair images at random; use cyclegan"
        )
    one = half(config, shape)
    d, loss = heads.on_pairs(discriminator(config, shape, 0, axis)), LOSSES[config.loss]
    d, loss = (heads.alternating(d), _summed(config)) if config.two_d else (d, loss)
    nets = {"g": translator(config, one, axis), "d": d, **more}
    parts = Parts(loss, nets, gaussian(config), observe)
    game = adversarial(config, one, 1, axis, g_terms=active(config, g_terms), parts=parts)

    def conditioned(batch):
        a, b = halves(batch["x"])
        return {**batch, "x": b, "y": a}

    def inputs(batch, key):
        seen = conditioned(batch)
        example = {"pool": (seen["x"], seen["y"])} if config.pool else {}
        return game.inputs(seen, key) | dict.fromkeys(more, (seen["x"], None)) | example

    def knowing(player):
        def loss(run, vars, batch, key, hp):
            return player.loss(run, vars, conditioned(batch), key, hp)

        return player._replace(loss=loss, parts=tuple(map(knowing, player.parts)))

    def score(run, vars, x, y):
        times = 2 if config.two_d else 1  # each D answers, and their mean counts
        a, b = (jnp.repeat(side, times, 0) for side in halves(x))
        return per_example(run(vars, "d", b, a)[0]).reshape(-1, times).mean(1)

    players = {name: knowing(player) for name, player in game.players.items()}
    return _translating(game._replace(players=players, inputs=inputs, classes=0), score, translate="g")


def _translating(game: Game, score: Callable, **nets: str) -> Game:
    """game whose samples are pairs of an image of A and its translation; nets: the network of each direction."""

    def by(net):
        return lambda run, vars, z, x: run(vars, net, z, x, train=False)[0]

    views = {"score": score} | {way: by(net) for way, net in nets.items()}

    def sample(run, vars, z, a):
        return jnp.concatenate([a, views["translate"](run, vars, z, a)], -1)

    def picture(draw, z, a):
        a, b = halves(draw(z, a))
        return stacked(8, a, b) if a.ndim > 2 else b

    return game._replace(sample=sample, views=views, condition=lambda batch: halves(batch["x"])[0], picture=picture)


def stacked(columns: int, *sets):
    """Rows of `columns` of the first of m sets [n, ...], each over the others' -> [mn, ...]; columns divide n."""
    rows = [x.reshape(-1, columns, *x.shape[1:]) for x in sets]
    return jnp.stack(rows, 1).reshape(-1, *sets[0].shape[1:])


def pix2pix(config: Config, shape, classes: int, axis: Axis) -> Game:
    """D tells (a, b) from (a, G(z, a)), and G also pays hp.l1 times |b - G(z, a)|: Isola et al. 2017, arXiv 1611.07004.

    Penalties act on b alone. z is Gaussian; the paper has none (latent 0), and dropout in G (of net patchgan) for it.
    """
    term = Term(lambda play, vars: (absolute(play.real.x, play.fake.x), vars))
    return _paired(config, shape, axis, {"l1": term}, {}, observer)


def bicyclegan(config: Config, shape, classes: int, axis: Axis) -> Game:
    """Many translations of one image, by codes z: Zhu et al. 2017, arXiv 1711.11586.

    Every other row has its code from E(b), is to give b back (hp.l1), and pays the code's divergence from the prior
    (hp.kl, a sum over its entries); the rest draw z, and E is to find it again (hp.reconstruct, a mean of |z - E|, by
    which only G moves). The paper's weights are 10, 0.01 and 0.5. One D judges both; with two_d each has its own, as
    the paper's, and their losses are added.
    """
    for name in MIXING if config.two_d else ():
        if config.hp.on(name):
            raise JaxganError(
                f"hp.{name} compares all that D says, and with two_d there are two; leave two_d off, or hp.{name} out"
            )
    net = encoder(config, half(config, shape), 0, axis, 2 * config.latent)

    def observe(config, classes, axis, latent):
        def sides(run, vars, batch, key, hp, pooled):
            b, a = batch["x"], batch["y"]
            mean, logvar, code, vars = posterior(run, vars, b, None, key, axis)
            odd = (jnp.arange(len(b)) if config.two_d else rng.places(key, len(b), axis)) % 2  # as D's rows alternate
            z = jnp.where(odd[:, None] == 1, code, latent(rng.stream(key, "z"), len(b), axis))
            fake, vars = run(vars, "g", z, a)
            return shown(batch, (b, a), (fake, a), z, more=(2 * odd, mean, logvar)), vars

        return sides

    def again(play: Play, vars):
        return play.more[0] * absolute(play.real.x, play.fake.x), vars

    def divergence(play: Play, vars):
        return play.more[0] * kl(*play.more[1:]), vars

    def found(play: Play, vars):
        def distance(x):
            code = play.run(play.vars, "e", x, None)[0][:, : config.latent]
            return (2 - play.more[0]) * absolute(jax.lax.stop_gradient(play.z), code)

        return _through(distance, play.fake.x), vars

    g_terms = {"l1": Term(again), "kl": Term(divergence), "reconstruct": Term(found)}
    game = _paired(config, shape, axis, g_terms, {"e": net}, observe)

    def encode(run, vars, x, y):
        return run(vars, "e", halves(x)[1], None, train=False)[0][:, : config.latent]

    return game._replace(views={**game.views, "encode": encode}, shown=("g", "e"))


def _through(f: Callable, x):
    """f(x) [n], whose gradient moves x only, and not the parameters that f uses: it acts as a fixed function."""
    y, pull = jax.vjp(f, x)
    slope, y = jax.lax.stop_gradient((pull(jnp.ones_like(y))[0], y))
    along = (slope * (x - jax.lax.stop_gradient(x))).reshape(len(x), -1).sum(1)  # 0, with the right gradient
    return y + along


def _summed(config: Config) -> Loss:
    """The loss for two discriminators whose logits lie in one batch: twice their mean is the sum of the two."""
    loss = LOSSES[config.loss]
    if loss.gathers:
        raise JaxganError(
            f"loss {config.loss!r} compares all logits, and kind {config.kind!r} has those of two discriminators; use "
            "lsgan"
        )

    def twice(side):
        return lambda real, fake, **numbers: tuple(2 * terms for terms in side(real, fake, **numbers))

    return loss._replace(d=twice(loss.d), g=twice(loss.g))


def no_latent(key, n, axis=None):
    """Latents [n, 0]."""
    return jnp.zeros((n, 0))


def both_ways(config: Config, classes: int, axis: Axis, latent: Callable) -> Callable:
    """`observer` of an update in which G translates A into B, and F the other way; rows of the sets alternate."""

    def sides(run, vars, batch, key, hp, pooled):
        (a, b), z = halves(batch["x"]), latent(key, len(batch["x"]))
        fake_b, vars = run(vars, "g", z, a)
        fake_a, vars = run(vars, "f", z, b)
        fakes = jnp.concatenate([fake_a, fake_b], -1)
        if pooled and config.pool:
            (fakes, _), vars = run(vars, "pool", fakes, None, rng.stream(key, "pool"))
        real, fake = heads.alternated(a, b), heads.alternated(*halves(fakes))
        each = {name: jnp.repeat(batch[name], 2, 0) for name in ("w", "w_fake") if name in batch}
        return shown(each, (real, None), (fake, None), z, more=(a, b, fake_a, fake_b)), vars

    return sides


def cyclegan(config: Config, shape, classes: int, axis: Axis) -> Game:
    """G: A -> B and F: B -> A, each against a D of its own, inverses of each other: Zhu et al. 2017, arXiv 1703.10593.

    G's player, which owns both, also pays hp.cycle (|F(G(a)) - a| + |G(F(b)) - b|) and hp.identity (|G(b) - b| +
    |F(a) - a|). No term compares an a with the b of its row. There is no z. The losses of both sides are added;
    lsgan's has a factor 1/2 that the paper's has not. A pool keeps fakes of both sides, those of one row together, and
    shows each to its own D.
    """
    one = half(config, shape)
    nets = {"g": translator(config, one, axis), "d": heads.alternating(discriminator(config, one, 0, axis))}
    nets["f"] = nets["g"]  # the same architecture: parameters belong to the name

    def changed(play: Play, to_a, to_b):  # at these inputs batch norm's statistics are not those of a translation
        a, b, *_ = play.more
        again = play.run(play.vars, "f", play.z, to_a)[0], play.run(play.vars, "g", play.z, to_b)[0]
        return absolute(again[0], a) + absolute(again[1], b)

    def cycle(play: Play, vars):
        return changed(play, play.more[3], play.more[2]), vars

    def identity(play: Play, vars):
        return changed(play, *play.more[:2]), vars

    g_terms = active(config, {"cycle": Term(cycle), "identity": Term(identity)})
    parts = Parts(_summed(config), nets, no_latent, both_ways)
    game = adversarial(config, one, 0, axis, g_terms=g_terms, parts=parts)

    def inputs(batch, key):
        (a, b), z = halves(batch["x"]), no_latent(key, len(batch["x"]))
        example = {"pool": (batch["x"], None)} if config.pool else {}
        own = {"g": (z, a), "f": (z, b), "d": (heads.alternated(a, b), None)}
        return game.inputs({"x": a}, key) | own | example

    def score(run, vars, x, y):
        return per_example(run(vars, "d", heads.alternated(*halves(x)), None)[0])[1::2]

    return _translating(game._replace(inputs=inputs, shown=("g", "f")), score, translate="g", back="f")
