"""Generative and discriminative models: p(y | x) from p(x | y) by Bayes' rule, against p(y | x) learned directly.

A conditional generator is a model of p(x | y) that can only be sampled; a kernel density makes its samples a density.
A classifier is a game of one player, trained by the same step.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.scipy.stats import gaussian_kde
from jaxtyping import Array, Float, Integer

from jaxgan import rng, step
from jaxgan.config import Config
from jaxgan.nets import encoder, mlp
from jaxgan.optim import OPTIMIZERS
from jaxgan.run import generate
from jaxgan.state import advance, initial
from jaxgan.types import AnyArray, Game, Player, Source, Spec, State

PerClass = Float[AnyArray, "n c"]


def posterior(log_p_x_given_y: PerClass, log_prior: Float[AnyArray, " c"]) -> Float[Array, "n c"]:
    """log p(y | x) by Bayes' rule, from log p(x | y) and log p(y)."""
    return jax.nn.log_softmax(log_p_x_given_y + log_prior[None], axis=-1)


def log_frequencies(y: Integer[AnyArray, " n"], classes: int) -> Float[Array, " {classes}"]:
    """log p(y) as the frequencies of labels y; -inf for a class that never occurs."""
    return jnp.log(jnp.bincount(jnp.asarray(y), length=classes) / len(y))


def accuracy(log_posterior: PerClass, y: Integer[AnyArray, " n"]) -> Float[Array, ""]:
    """The share of labels y that the most probable classes under log p(y | x) hit."""
    return (jnp.argmax(log_posterior, axis=-1) == y).mean()


def expected_accuracy(log_posterior: PerClass, log_joint: PerClass, w: Float[AnyArray, " n"]) -> Float[Array, ""]:
    """The accuracy of log p(y | x) over the true density log p(x, y), at nodes with weights w.

    The Bayes accuracy, which no classifier exceeds, is that of log_joint itself (Devroye, Gyorfi and Lugosi 1996, "A
    Probabilistic Theory of Pattern Recognition", theorem 2.1).
    """
    choice = jnp.argmax(log_posterior, axis=-1, keepdims=True)
    return (w * jnp.exp(jnp.take_along_axis(log_joint, choice, axis=-1)[:, 0])).sum()


def kernel_density(samples: Float[AnyArray, "m d"], x: Float[AnyArray, "n d"]) -> Float[Array, " n"]:
    """Log density at x of Gaussian kernels around samples.

    The kernels' covariance is the samples' own times m^(-2 / (d + 4)), Scott's rule (Scott 1992, "Multivariate Density
    Estimation", section 6.3).
    """
    density = gaussian_kde(jnp.asarray(samples).T, "scott")
    return jax.lax.map(lambda x: density.logpdf(x[:, None])[0], jnp.asarray(x), batch_size=256)  # bounds memory


def class_samples(game: Game, state: State, y: int, n: int, seed: int = 0):
    """n examples [n, *shape] of class y from the averaged generator of a conditional game."""
    z = game.latent(rng.stream(rng.stream(rng.root(seed), "eval"), str(y)), n)
    return jax.jit(lambda nets: generate(game, nets, z, jnp.full(n, y)))(state.ema)


def generative(game: Game, state: State, x, samples: int = 5000, seed: int = 0):
    """log p(x | y) [n, classes] at x [n, d] as a conditional game's generator has learned it, by kernel densities."""
    drawn = (class_samples(game, state, y, samples, seed) for y in range(game.classes))
    return jnp.stack([kernel_density(each, x) for each in drawn], axis=-1)


def classifier(config: Config, shape: tuple[int, ...], classes: int) -> Game:
    """The discriminative model: a game of one player, whose network of `config` learns p(y | x) by cross entropy.

    The network is of ReLU layers if config.net is mlp, else the layers of that discriminator. Its learning rate is
    hp.d_lr.
    """
    flat = config.net == "mlp"

    def seen(batch):
        return batch["x"].reshape(len(batch["x"]), -1) if flat else batch["x"]

    def loss(run, vars, batch, key, hp):
        logits, vars = run(vars, "c", seen(batch), None)
        return optax.softmax_cross_entropy_with_integer_labels(logits, batch["y"]).mean(), (vars, {})

    net = mlp.generator(config, Spec((classes,))) if flat else encoder(config, shape, 0, None, classes)
    player = Player(("c",), loss, lambda hp: OPTIMIZERS[config.optimizer](hp["d_lr"], hp))
    inputs = lambda batch, key: {"c": (seen(batch), None)}  # noqa: E731
    nothing = lambda *_: None  # noqa: E731  # it generates no examples
    return Game({"c": net}, {"c": player}, inputs, nothing, nothing, shown=("c",), classes=classes)


def discriminative(game: Game, state: State, x):
    """log p(y | x) [n, classes] at examples x of a `classifier` with averaged parameters."""
    nets = state.ema
    run = step.runner(game, {name: net["params"] for name, net in nets.items()})
    logits, _ = run({name: net["vars"] for name, net in nets.items()}, "c", jnp.asarray(x), None, train=False)
    return jax.nn.log_softmax(logits)


def train(game: Game, config: Config, source: Source) -> State:
    """The state after config.steps train steps from the start, in one compiled loop on one device."""

    @jax.jit
    def run(rows, state):
        return jax.lax.fori_loop(0, config.steps, lambda _, state: advance(game, config, source, rows, state), state)

    return run(source.rows(np.arange(source.size)), initial(game, config, source.shape))
