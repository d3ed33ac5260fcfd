"""A network that takes noise has a key at every training call, its own for each example, on any number of devices."""

import jax
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from jaxgan import rng, step
from jaxgan.config import Config
from jaxgan.errors import JaxganError
from jaxgan.games.adversarial import adversarial
from jaxgan.games.terms import Term
from jaxgan.nets.virtual import virtual
from jaxgan.state import initial
from jaxgan.types import Net
from kinds import TABLE, batches, configured, losses, started

NETS = ("g", "f")  # generators


def noisy(net, calls, size=0.1):
    """net with Gaussian noise on what it makes, by the key of each training call; calls notes (train, key)."""

    def apply(params, vars, *inputs, train, key, **options):
        calls.append((train, key is not None))
        out, vars = net.apply(params, vars, *inputs, train=train, **options)
        noise = 0 if key is None else size * rng.normal(key, len(out), out.shape[1:])
        return out + noise, vars

    return net._replace(apply=apply, keyed=True)


def with_noise(name, size=0.1, **more):
    c, game, shape = configured(name, **more)
    calls = []
    nets = {n: noisy(net, calls, size) if n in NETS else net for n, net in game.nets.items()}
    return c, game._replace(nets=nets), shape, calls


@pytest.mark.parametrize("name", [n for n, c in TABLE.items() if c.get("d_norm") != "virtual"])
def test_every_kind_passes_a_key_in_training_and_none_in_sampling(name):
    _, game, shape, calls = with_noise(name)
    c, plain, _ = configured(name)
    state = jax.eval_shape(lambda: initial(plain, c, shape))
    batch = jax.tree.map(lambda b: b[0], batches(game, shape))
    jax.eval_shape(lambda s: losses(game, s, batch), state)  # an adversarial autoencoder's D sees no generator
    assert set(calls) == {(True, True)}
    if game.picture:
        return
    calls.clear()
    given = game.condition({"x": batch["x"][:4], "y": batch["y"][:4]})
    jax.eval_shape(lambda s: game.sample(step.runner(game, s.params), s.vars, game.latent(s.key, 4), given), state)
    assert set(calls) == {(False, False)}


def test_each_example_has_its_own_noise_and_an_update_one():
    """Micro-batches draw what the whole batch draws; another update draws other noise; size 0 is the plain game."""

    def gradients(game, c, shape):
        """Of G on one batch, for two updates."""
        state = started(c, configured("concat")[1], shape)
        batch = jax.tree.map(lambda b: b[0], batches(game, shape))
        found = jax.jit(lambda key: ravel_pytree(step.field(game, "g", state, batch, key)[0])[0])
        return [np.asarray(found(rng.root(i))) for i in (0, 1)]

    def noisily(size, count=1):
        c, game, shape, _ = with_noise("concat", size, accumulate=count)
        return gradients(game, c, shape)

    c, game, shape = configured("concat")
    whole, plain = noisily(0.1), gradients(game, c, shape)
    np.testing.assert_allclose(noisily(0.1, 4), whole, atol=1e-6)
    np.testing.assert_allclose(noisily(0.0), plain, atol=1e-7)
    moved = np.subtract(whole, plain)
    assert abs(moved).max() > 1e-4 and abs(moved[0] - moved[1]).max() > 1e-4


def test_each_network_has_noise_of_its_own():
    shows = Net(lambda key: ({}, {}), lambda params, vars, train, key: (jax.random.key_data(key), vars), keyed=True)
    game, empty = configured("concat")[1]._replace(nets=dict.fromkeys(NETS, shows)), {name: {} for name in NETS}
    run = step.runner(game, empty, rng.root(0))
    assert (run(empty, "g")[0] != run(empty, "f")[0]).any()
    np.testing.assert_array_equal(run(empty, "g")[0], run(empty, "g")[0])


def test_rows_of_a_virtual_batch_would_move_the_keys():
    _, game, _, _ = with_noise("concat")
    with pytest.raises(JaxganError, match="reference rows"):
        virtual(game.nets["g"], lambda key, *inputs: None)


def test_a_term_without_a_weight_is_an_error():
    """A misspelt one would weigh 1; what is meant to weigh 1 says so."""
    c = Config(net="mlp", width=4)
    nothing = lambda play, vars: (0 * play.fake.logits, vars)  # noqa: E731
    with pytest.raises(JaxganError, match=r"'lecam_deca'.*Did you mean 'lecam_decay'"):
        adversarial(c, (2,), 0, None, d_terms={"lecam_deca": Term(nothing)})
    adversarial(c, (2,), 0, None, d_terms={"lecam_deca": Term(nothing, weighed=False)})
