"""A generator against a discriminator, with any number of further terms in either loss: what most kinds are made of.

A kind gives `adversarial` its terms; a term is a function of `Play`, everything that one update sees (terms.py).
"""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxgan import augment, optim, rng
from jaxgan.config import Config, Hp
from jaxgan.errors import nearest
from jaxgan.games import alignment, control, pool
from jaxgan.games.norms import check_norms, normalised, refreshed
from jaxgan.games.sides import judged, observer, viewer
from jaxgan.games.terms import D_TERMS, G_TERMS, LAZY, Play, Term, active
from jaxgan.losses import LOSSES, Loss, value
from jaxgan.nets import build, first_layers, normalised_rows, part, real, restarts
from jaxgan.optim import OPTIMIZERS, RULES, frozen, hold, orthogonal, restarted, spectral, with_lazy_steps
from jaxgan.penalties import PAIRED
from jaxgan.solvers import SOLVERS
from jaxgan.step import everywhere
from jaxgan.types import Axis, Game, JaxganError, Net, Player, per_example


class Parts(NamedTuple):
    """What a kind may exchange in `adversarial`; `usual` gives what it has otherwise.

    loss:    of the logits
    nets:    {"g": Net, "d": Net}; further ones belong to G's player
    latent:  as in Game
    observe: (config, classes, axis, latent) -> (run, vars, batch, key, hp, pooled) -> Sides, vars; pooled says that D
             moves, and that a pool of generated examples may serve
    view:    (config, axis) -> (x, key, vars, hp) -> what D is shown of examples x
    """

    loss: Loss
    nets: dict
    latent: Callable
    observe: Callable
    view: Callable = viewer


def check(config: Config, shape, classes: int) -> None:
    """JaxganError if parts of the configuration do not go together."""
    check_pairs(config)
    check_norms(config)
    control.check(config)
    augment.check("augment", config.augment, shape)
    if config.hp.on("cr") or config.hp.on("cr_fake"):
        augment.check("cr_augment", config.cr_augment, shape)
    if config.pack > 1 and (classes or config.kind not in ("plain", "auto")):
        raise JaxganError(f"pack is {config.pack}, and D then answers for packs, not for examples; use --kind plain")
    for name in ("batch", "fake_batch"):
        if getattr(config, name) % (config.pack * config.accumulate):
            micro = f", {config.accumulate} micro-batches of them" if config.accumulate > 1 else ""
            raise JaxganError(
                f"{name} {getattr(config, name)} does not make packs of {config.pack}{micro}; use a multiple of "
                f"{config.pack * config.accumulate}"
            )
    if config.pool and config.hp.on("zcr"):
        raise JaxganError("hp.zcr compares an example with its neighbour in z, but pool shows old ones; leave one at 0")
    if config.minibatch and config.accumulate > 1:
        raise JaxganError(
            f"minibatch is {config.minibatch}, and compares all examples of a batch, but accumulate is "
            f"{config.accumulate}: D would see one micro-batch only; leave one of them out"
        )
    if config.unroll and config.accumulate > 1:
        raise JaxganError(f"unroll is {config.unroll}, and foresees whole batches; leave accumulate at 1")
    if config.unroll and config.solver not in ("alternating", "lookahead"):
        raise JaxganError(
            f"unroll is {config.unroll}, but with solver {config.solver!r} no player answers another; use alternating "
            "or lookahead, or leave unroll at 0"
        )
    if config.lazy_steps and not SOLVERS[config.solver].parted:
        raise JaxganError(
            f"lazy_steps makes steps between those of alternating or lookahead, and solver is {config.solver!r}; leave "
            "it off, or take one of these"
        )
    for name in ("lazy", "lazy_g"):
        if getattr(config, name) > 1 and SOLVERS[config.solver].together:
            raise JaxganError(
                f"{name} is {getattr(config, name)}, but solver {config.solver!r} may look twice a step; leave it at "
                "1, or use alternating, simultaneous or lookahead"
            )
    if config.hp.on("logan_dz") and not config.latent_steps:
        raise JaxganError("hp.logan_dz weighs how far latent steps go, but there are none; set latent_steps to 1")


def check_pairs(config: Config) -> None:
    """JaxganError if a term that compares real and fake row by row is asked for with unequal numbers of them."""
    fakes = config.fake_batch or config.batch
    paired = [f"loss {config.loss!r}"] * LOSSES[config.loss].paired
    paired += [f"penalty {name!r}" for name in active(config, D_TERMS) if name in PAIRED]
    if paired and fakes != config.batch:
        raise JaxganError(
            f"{' and '.join(paired)} compares each real example with a generated one, so it needs as many of each; got "
            f"batch={config.batch} and fake_batch={fakes}. Leave fake_batch at 0, or take an unpaired loss"
        )


def check_weights(terms: dict[str, Term]) -> None:
    """JaxganError for a term whose name is no hyperparameter, which then had no weight."""
    for name, term in terms.items():
        if term.weighed and name not in Hp.__dataclass_fields__:
            raise JaxganError(
                f"a term is called {name!r}, but no weight in Hp is.{nearest(name, Hp.__dataclass_fields__)} Name it "
                "after its weight, or make it Term(..., weighed=False)"
            )


def _brought(terms: dict[str, dict[str, Term]], config: Config, shape, classes: int, axis: Axis) -> dict[str, dict]:
    """Of each side {name: (Net, example inputs)} that its terms bring; and of D's the controls' and the pool's."""
    made = {side: [term.nets(config, shape, classes, axis) for term in terms[side].values()] for side in terms}
    brought = {side: {name: net for nets in made[side] for name, net in nets.items()} for side in terms}
    brought["d"] |= control.nets(config)
    if config.pool:
        example = jnp.zeros((2, *shape)), jnp.zeros(2, jnp.int32) if classes else None
        brought["d"]["pool"] = pool.net(config.pool, axis), example
    return brought


def packed(net: Net, p: int) -> Net:
    """D on packs of p examples side by side in their last axis, [b, ..., c] -> logits [b / p].

    PacGAN, Lin et al. 2018, arXiv 1712.04086.
    """

    def pack(x):
        if len(x) % p:
            raise JaxganError(f"{len(x)} examples on a device do not make packs of {p}; use another --batch or --pack")
        x = jnp.moveaxis(x.reshape(-1, p, *x.shape[1:]), 1, -2)
        return x.reshape(*x.shape[:-2], -1)

    return Net(
        lambda key, x, y: net.init(key, pack(x), y),
        lambda params, vars, x, y, **options: net.apply(params, vars, pack(x), y, **options),
    )


def networks(config: Config, shape, classes: int, axis: Axis) -> dict[str, Net]:
    """{"g": Net, "d": Net}, D for packs of config.pack examples."""
    if config.pack == 1:
        return build(config, shape, classes, axis)
    wide = build(config, (*shape[:-1], shape[-1] * config.pack), classes, axis)
    return {"g": build(config, shape, classes, axis)["g"], "d": packed(wide["d"], config.pack)}


def best(logits, fraction, gather: Callable):
    """Weights of mean 1: those of the given fraction with the highest logits weigh the same, the others 0.

    Top-k training of G, Sinha et al. 2020, arXiv 2002.06224; logits [n] compete with those of all devices.
    """
    everyone = gather(logits)
    k = jnp.clip(jnp.round(fraction * len(everyone)), 1, len(everyone)).astype(int)
    least = jnp.sort(everyone)[-k]
    return jax.lax.stop_gradient((logits >= least) / (everyone >= least).mean())


def weighted(loss: Loss, seen: Play, real, fake):
    """Terms times the weights of their examples: of a pack, their mean; of a pair that a loss compares, their product.

    An example of weight 0 then has no influence, but through means over the batch (relativistic averages, batch norm).
    """
    given = seen.real.weight, seen.fake.weight
    factors = [w if w is None else w.reshape(len(x), -1).mean(1) for w, x in zip(given, (real, fake))]
    both = [w for w in factors if w is not None]
    if both and loss.paired and not loss.gathers:
        factors = [math.prod(both)] * 2
    return [x if w is None else x * w for w, x in zip(factors, (real, fake))]


def terms_of(side: str, loss: Loss, seen: Play):
    """The loss's numbers for real and generated examples, where D judges patches the means of their patches'."""

    def gather(x):
        return everywhere(x, seen.axis)

    options = {name: seen.hp[name] for name in getattr(loss, f"{side}_hp")}
    options |= {"gather": gather} if loss.gathers else {}
    sides = seen.real, seen.fake
    given = [s.logits if s.patches is None else s.patches.ravel() for s in sides]
    made = getattr(loss, side)(*given, **options)
    real, fake = (x if s.patches is None else per_example(x.reshape(s.patches.shape)) for x, s in zip(made, sides))
    real, fake = weighted(loss, seen, real, fake)
    if side == "g" and seen.config.hp.on("top_k"):
        fake *= best(seen.fake.logits, seen.hp["top_k"], gather)
    return real, fake


def optimizer(config: Config, side: str, shape, lazy: int = 0) -> tuple[Callable, Callable]:
    """The player's field tx, which ends with its rules on weights, and hold, which is these alone.

    lazy: updates for each step of a regulariser's own, 0 where it has none.
    """
    again = tuple(n * getattr(config, f"{side}_steps") for n in restarts(config, shape))
    own, lr = config.hp, f"{side}_lr"
    on = [name for name in RULES if side == "d" and own.on(name)]

    def make(hp):
        hp = with_lazy_steps(hp, lr, lazy) if lazy else hp
        # the wider, the slower: Hyun et al. 2025, arXiv 2509.24935
        rate = hp[lr] * hp["base_width"] / config.width if own.on("base_width") else hp[lr]
        return OPTIMIZERS[config.optimizer](rate, hp)

    kept, rows = first_layers(config, shape) if side == "d" else (), [optim.normalised_rows()] * normalised_rows(config)

    def rules(hp):
        last = [frozen(lambda path: path[0].key == "d" and part(path[1:]) in kept)] if kept else []
        return [*(RULES[name](hp[name]) for name in on), *rows, *last]

    def tx(hp):
        parts = [orthogonal(hp["orthogonal"])] if own.on("orthogonal") else []
        parts += [spectral(hp["spectral"])] if side == "d" and own.on("spectral") else []
        parts += [optax.clip_by_global_norm(hp["clip_gradient"])] if own.on("clip_gradient") else []
        return optax.chain(*parts, restarted(make(hp), again), *rules(hp))

    return tx, lambda hp, params: hold(optax.chain(*rules(hp)), params) if on or rows else params


def player_of(
    config: Config, side: str, shape, nets: tuple[str, ...], terms: dict[str, Term], loss, lazy_loss
) -> Player:
    """The player of a side whose loss is loss(terms): in two parts where config.lazy_steps takes some of them apart.

    lazy_loss: (terms, times) -> the loss of these alone, so many times. Regularisers of weights alone are the first's.
    """
    every = config.lazy if side == "d" else config.lazy_g
    lazy = {name: term for name, term in terms.items() if config.lazy_steps and name in LAZY}
    tx, hold = optimizer(config, side, shape, every if lazy else 0)
    player = Player(nets, loss(terms), tx, getattr(config, f"{side}_steps"), hold)
    if not lazy:
        return player
    main = loss({name: term for name, term in terms.items() if name not in lazy})
    alone = lambda hp: tx({**hp, "orthogonal": 0.0, "spectral": 0.0})  # noqa: E731
    second = player._replace(loss=lazy_loss(lazy, every), tx=alone, every=every)
    return player._replace(parts=(player._replace(loss=main), second))


def summed(terms: dict[str, Term], seen: Play, vars, total, metrics: dict):
    """total plus the weighed means of terms, vars after them, and metrics with each mean."""
    for name, term in terms.items():
        numbers, vars = term.loss(seen, vars)
        metrics[name] = numbers.mean()
        total += (seen.hp[name] if term.weighed else 1.0) * metrics[name]
    return total, (vars, metrics)


def gaussian(config: Config) -> Callable:
    """(key, n, axis) -> latents [n, config.latent] from N(0, I)."""
    return lambda key, n, axis=None: rng.normal(key, n, (config.latent,), axis)


def usual(config: Config, shape, classes: int, axis: Axis) -> Parts:
    """The configured loss and networks, Gaussian latents, and an update that sees real and generated examples."""
    return Parts(LOSSES[config.loss], networks(config, shape, classes, axis), gaussian(config), observer)


def growth(config: Config, shape, nets: dict[str, Net]) -> Callable | None:
    """`nets.real`; JaxganError where a network that grows is inside of one that does not."""
    grown = real(config, shape)
    if grown and not all(nets[side].timed for side in ("g", "d")):
        raise JaxganError(
            f"net {config.net!r} grows, which kind {config.kind!r} with these settings does not let it do"
        )
    return grown


def adversarial(
    config: Config,
    shape,
    classes: int,
    axis: Axis,
    d_terms: dict[str, Term] | None = None,
    g_terms: dict[str, Term] | None = None,
    parts: Parts | None = None,
) -> Game:
    """The two-player game; classes = 0 is unconditional. d_terms and g_terms stand beside D_TERMS and G_TERMS."""
    check(config, shape, classes)
    loss, nets, latent, observe, view = parts or usual(config, shape, classes, axis)
    nets = normalised(config, nets, latent, classes)
    real_n, fake_n = config.batch, config.fake_batch or config.batch
    aligned = alignment.terms(config, shape)
    terms = {"d": active(config, D_TERMS) | aligned | (d_terms or {}), "g": active(config, G_TERMS) | (g_terms or {})}
    check_weights(terms["d"] | terms["g"])
    brought = _brought(terms, config, shape, classes, axis)
    features = any(term.features for side in terms.values() for term in side.values())
    grown = growth(config, shape, nets)
    observed, answer = observe(config, classes, axis, latent), judged(config, axis, features, view, bool(aligned))

    def met(side, pooled, run, vars, batch, key, hp):  # -> Play, vars
        batch = {**batch, "x": grown(vars["d"], batch["x"])} if grown else batch
        before = refreshed(config, classes, axis, side, run, vars, batch)
        sides, vars = observed(run, before, batch, key, hp, pooled)
        if side == "d":
            sides = control.deceived(config, sides, before, key, hp, axis)
        # with one key for both players, as reuse has it, what G's update draws beside latents is its own
        return answer(run, vars, before, rng.stream(key, "of g") if config.reuse and side == "g" else key, hp, sides)

    def player_loss(side, terms, *inputs):
        seen, vars = met(side, side == "d", *inputs)
        vars, metrics = control.counted(seen, vars) if side == "d" else (vars, {})
        return summed(terms, seen, vars, value(terms_of(side, loss, seen), real_n, fake_n), metrics)

    def lazy_loss(side, terms, every, *inputs):
        seen, vars = met(side, False, *inputs)
        total, rest = summed(terms, seen, vars, 0.0, {})
        return every * total, rest

    heads = brought["d"] | brought["g"]

    def inputs(batch, key):
        y = batch["y"] if classes else None
        own = {"g": (latent(key, len(batch["x"])), y), "d": (jnp.repeat(batch["x"], config.pack, 0), y)}
        return own | {name: example for name, (_, example) in heads.items()}

    def sample(run, vars, z, y):
        return run(vars, "g", z, y, train=False)[0]

    def player(side, *owned):
        losses = partial(partial, player_loss, side), partial(partial, lazy_loss, side)
        return player_of(config, side, shape, (side, *owned), terms[side], *losses)

    more = [name for name in nets if name not in ("g", "d")]
    players = {"d": player("d", *brought["d"]), "g": player("g", *more, *brought["g"])}
    nets = nets | {name: net for name, (net, _) in heads.items()}
    condition = lambda batch: batch["y"] if classes else None  # noqa: E731
    return Game(nets, players, inputs, sample, latent, condition, classes=classes, axis=axis, unroll=config.unroll)
