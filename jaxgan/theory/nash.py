"""Nash equilibria: best responses by the players' own moves, what each player gains by one, and the sum of the gains.

The sum is NashConv, 0 at a Nash equilibrium and positive elsewhere (Lanctot et al. 2017, arXiv 1711.00832); in a
zero-sum game it is the duality gap. It works on any game and state, a real run's too. `location` is a GAN so small that
its duality gap can be computed exactly.
"""

import dataclasses

import jax
import jax.numpy as jnp
import optax

from jaxgan import games, rng
from jaxgan.config import Config
from jaxgan.data import toy
from jaxgan.optim import clip_weights
from jaxgan.state import advance, initial
from jaxgan.step import field, mean_over, move, runner
from jaxgan.theory.divergence import gauss_legendre
from jaxgan.theory.value import value
from jaxgan.types import Game, Net, Source, State


def best_response(game: Game, name: str, state: State, batches, key) -> State:
    """state after player `name` alone has made k of its own moves, with a fresh optimizer; the others stand still.

    batches: {"x": [k, b, ...], ...}, one for each move. An approximation from below: k steps, from where the player is.
    """
    player = game.players[name]
    opt = player.tx(state.hp).init({net: state.params[net] for net in player.nets})

    def turn(state, drawn):
        u, batch = drawn
        grads, vars, _ = field(game, name, state, batch, jax.random.fold_in(key, u))
        return move(game, name, state, grads, vars), None

    steps = len(jax.tree.leaves(batches)[0])
    fresh = dataclasses.replace(state, opt={**state.opt, name: opt})
    return jax.lax.scan(turn, fresh, (jnp.arange(steps), batches))[0]


def loss(game: Game, name: str, state: State, batch, key):
    """Player `name`'s own loss at state on one batch, penalties included -> scalar; nothing moves."""
    found, _ = game.players[name].loss(runner(game, state.params, key), state.vars, batch, key, state.hp)
    return mean_over(found, game.axis)


def gains(game: Game, state: State, batches, held, key) -> dict:
    """{player: its loss less its loss after its best response to the others, at least 0, since staying is allowed}.

    batches: {"x": [k, b, ...], ...} for the k moves of each response; held: {"x": [n, ...], ...}, on which both losses
    are taken with the same key. Held-out data keep a D that learns the batches by heart from looking strong
    (Grnarova et al. 2019, arXiv 1811.05512).
    """
    found = {}
    for name in game.players:
        response = best_response(game, name, state, batches, rng.stream(key, "response"))
        before, after = (loss(game, name, s, held, rng.stream(key, "held")) for s in (state, response))
        found[name] = jnp.maximum(before - after, 0.0)
    return found


def exploitability(game: Game, state: State, batches, held, key):
    """Sum of `gains` -> scalar: NashConv, and the duality gap where the losses sum to zero."""
    return sum(gains(game, state, batches, held, key).values())


def duality_gap(v, x, y, xs, ys):
    """max over ys of v(x, .) less min over xs of v(., y), where x minimises v and y maximises it.

    xs [n, ...], ys [m, ...]: the strategies allowed. If x and y are among them it is never negative, and 0 at a saddle
    point only.
    """
    return jax.vmap(lambda y: v(x, y))(ys).max() - jax.vmap(lambda x: v(x, y))(xs).min()


def location(config: Config, start: dict[str, float], std: float, box: float) -> Game:
    """The GAN of `config` whose G is x = theta + std z and whose D is the logit w x + c, for data N(0, std^2).

    start: {"theta": ..., "w": ...}, and "c" unless D is to have no bias; all stay within [-box, box]. With the minimax
    loss the only equilibrium is theta = 0 with D = 1/2.
    """
    names = {"g": ("theta",), "d": tuple(n for n in ("w", "c") if n in start)}

    def net(owner, apply):
        return Net(lambda key, *inputs: ({n: jnp.asarray(start[n], float) for n in names[owner]}, {}), apply)

    def boxed(player):
        return player._replace(tx=lambda hp: optax.chain(player.tx(hp), clip_weights(box)))

    game = games.make(dataclasses.replace(config, kind="plain", net="mlp", latent=1), (1,))
    nets = {
        "g": net("g", lambda params, vars, z, y, train: (params["theta"] + std * z, vars)),
        "d": net("d", lambda params, vars, x, y, train: (params["w"] * x[:, 0] + params.get("c", 0.0), vars)),
    }
    return game._replace(nets=nets, players={name: boxed(player) for name, player in game.players.items()})


def location_value(theta, w, c=0.0, *, std: float, box: float):
    """V(D, G) of `location` at theta, w and c, by quadrature, to rounding."""
    x, weights = gauss_legendre(-box - 8 * std, box + 8 * std, 40)
    log_pdf = jax.vmap(toy.gaussian_mixture([[0.0]], std).exact.log_pdf)
    return value(w * x + c, log_pdf(x[:, None]), log_pdf((x - theta)[:, None]), weights)


def trajectory(game: Game, config: Config, source: Source) -> State:
    """The states of all config.steps train steps, each leaf [steps, ...], the first before any move.

    source: an exact density. For tiny games: every state is kept.
    """

    def keep(state, _):
        return advance(game, config, source, {}, state), state

    return jax.lax.scan(keep, initial(game, config, source.shape), length=config.steps)[1]
