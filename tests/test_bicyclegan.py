"""Two discriminators, for codes of E and for random ones; pix2pix without z; how varied translations are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import config, games, program, rng, step, unused
from jaxgan.metrics.diversity import between
from jaxgan.nets import build
from jaxgan.run import Run
from jaxgan.state import initial
from jaxgan.types import JaxganError, halves
from kinds import batches, configured
from runs import Like

NO_TERMS = {"l1": 0.0, "kl": 0.0, "reconstruct": 0.0}


def game_of_two(**more):
    c, game, shape = configured("bicyclegan", two_d=True, **more)
    return c, game, initial(game, c, shape), {"x": batches(game, shape)["x"][0]}


def test_each_d_judges_the_translations_of_its_codes():
    """The losses are those of two GANs: of even rows and their random codes, and of odd rows and E's codes."""
    c, game, state, batch = game_of_two(loss="ns", hp=NO_TERMS)
    run, (a, b) = step.runner(game, state.params), halves(batch["x"])
    given = {}

    def watching(vars, net, *inputs, **options):
        if net == "g":
            given["z"] = inputs[0]
        return run(vars, net, *inputs, **options)

    found = {n: game.players[n].loss(watching, state.vars, batch, state.key, state.hp)[0] for n in ("d", "g")}
    z, net = given["z"], build(c, (4,))["d"]
    fake, _ = run(state.vars, "g", z, a)
    expected = {"d": 0.0, "g": 0.0}
    for side, rows in (("a", slice(0, None, 2)), ("b", slice(1, None, 2))):
        score = lambda x, s=side, r=rows: net.apply(  # noqa: E731
            state.params["d"][s], {}, jnp.concatenate([a[r], x[r]], -1), None, train=True
        )[0]
        expected["d"] += jax.nn.softplus(-score(b)).mean() + jax.nn.softplus(score(fake)).mean()
        expected["g"] += jax.nn.softplus(-score(fake)).mean()
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5)
    both = [net.apply(state.params["d"][s], {}, batch["x"], None, train=True)[0] for s in "ab"]
    np.testing.assert_allclose(game.views["score"](run, state.vars, batch["x"][:5], None), sum(both)[:5] / 2, rtol=1e-5)


def test_odd_rows_have_the_codes_that_the_second_d_judges():
    """With log variances of -40 the codes of odd rows are E's means."""
    c, game, _ = configured("bicyclegan", two_d=True)
    mean, given = np.random.default_rng(1).normal(size=(8, 4)).astype(np.float32), []
    nets = {
        "g": lambda z, a: (given.append(z), jnp.zeros_like(a))[1],
        "e": lambda x, y: jnp.concatenate([mean, jnp.full((8, 4), -40.0)], 1),
        "d": lambda x, y: jnp.zeros(len(x)),
    }
    run = lambda vars, net, *inputs, **options: (nets[net](*inputs), vars)  # noqa: E731
    hp = {name: jnp.float32(value) for name, value in vars(c.hp).items()}
    x = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    game.players["g"].loss(run, {}, {"x": x}, rng.root(0), hp)
    np.testing.assert_allclose(given[0][1::2], mean[1::2], atol=1e-6)
    assert (abs(given[0][::2] - mean[::2]).max(1) > 1e-3).all()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"loss": "ragan"}, "two discriminators"),
        ({"hp": {"lecam": 0.3}}, "hp.lecam compares all that D says, and with two_d there are two"),
        ({"hp": {"top_k": 0.5}}, "hp.top_k compares all"),
        ({"kind": "pix2pix"}, "two_d is True, but it belongs to kind bicyclegan"),
        ({"batch": 5}, "5 examples on a device are not shared by two discriminators"),
    ],
)
def test_what_two_discriminators_cannot_have(settings, words):
    c = config.from_dict({"kind": "bicyclegan", "net": "mlp", "width": 4, "batch": 4, "two_d": True, **settings})
    with pytest.raises(JaxganError, match=words):
        unused.check(c, program.reads(c, Like((4,), 0)))


def test_pix2pix_without_z():
    """Its translations do not depend on a seed; kinds that make examples of latents need some."""
    c, game, shape = configured("pix2pix", latent=0)
    run, a = Run(c, initial(game, c, shape), {"shape": list(shape), "classes": 0}), np.float32([[1, 2], [3, -1]])
    np.testing.assert_array_equal(run.translate(a, seed=0), run.translate(a, seed=1))
    assert game.latent(rng.root(0), 3).shape == (3, 0)
    for kind in ("plain", "bicyclegan", "vae"):
        with pytest.raises(JaxganError, match=f"latent is 0, and kind '{kind}' makes examples of latents"):
            games.make(config.from_dict({"kind": kind, "net": "mlp", "latent": 0}), (4,))


def test_distances_between_outputs_of_one_input():
    """Three outputs of two inputs, on a line: 1, 2 and 3 apart, and all alike."""
    x = np.array([[[0.0], [1.0], [3.0]], [[5.0], [5.0], [5.0]]])
    assert between(x, lambda a, b: abs(a - b)[:, 0]) == pytest.approx((1 + 2 + 3) / 3 / 2)
    with pytest.raises(JaxganError, match="two or more"):
        between(x[:, :1], lambda a, b: abs(a - b)[:, 0])
