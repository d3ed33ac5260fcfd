"""A D that judges patches: losses are means over patches, and all else sees the mean of an example's logits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import rng
from jaxgan.games.adversarial import terms_of
from jaxgan.games.sides import answered
from jaxgan.games.terms import D_TERMS
from jaxgan.losses import LOSSES
from jaxgan.penalties import PENALTIES
from jaxgan.types import per_example
from kinds import configured, played

R, F = (np.random.default_rng(i).normal(size=(6, 2, 3)).astype(np.float32) for i in (0, 1))
POINTWISE = sorted(name for name, loss in LOSSES.items() if not loss.gathers and name not in ("own", "mmd"))


def found(side, name, real=R, fake=F, **sides):
    c, *_ = configured("pix2pix", loss=name)
    play = played(config=c, hp={n: jnp.float32(v) for n, v in vars(c.hp).items()})
    play = play._replace(real=answered(play.real, jnp.asarray(real)), fake=answered(play.fake, jnp.asarray(fake)))
    return [np.asarray(x) for x in terms_of(side, LOSSES[name], play)]


@pytest.mark.parametrize("name", POINTWISE)
@pytest.mark.parametrize("side", ["d", "g"])
def test_the_loss_of_a_map_is_the_mean_of_its_patches(side, name):
    """As if each place had a D of its own; of a loss that pairs, a place is paired with the same place."""
    places = [found(side, name, R[:, i, j], F[:, i, j]) for i in range(2) for j in range(3)]
    for whole, parts in zip(found(side, name), zip(*places)):
        np.testing.assert_allclose(whole, np.mean(parts, 0), rtol=1e-5, atol=1e-6)


def test_relativistic_averages_are_over_all_patches():
    softplus = lambda x: np.log1p(np.exp(x))  # noqa: E731
    real, fake = found("d", "ragan")
    np.testing.assert_allclose(real, softplus(-(R - F.mean())).mean((1, 2)), rtol=1e-5)
    np.testing.assert_allclose(fake, softplus(F - R.mean()).mean((1, 2)), rtol=1e-5)


W = 3 * np.random.default_rng(2).normal(size=(2, 3, 2)).astype(np.float32)


def losses(d, player="d", **fields):
    """The metrics of pix2pix on points [8, 2] for a D of (b, a), with G(z, a) = 3 a."""
    c, game, _ = configured("pix2pix", **{"pool": 0, "loss": "ns", **fields})
    x = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    nets = {"g": lambda z, a: 3 * a, "d": d}
    memory = {"clock": {"updates": jnp.int32(0)}, "lecam": {"real": 0.1, "fake": -0.2, "mass": 0.5}}

    def run(vars, net, *inputs, features=False, **options):
        out = nets[net](*inputs)
        return ((out, inputs[0]) if features else out), vars

    numbers = {name: jnp.float32(value) for name, value in vars(c.hp).items()}
    total, (_, metrics) = jax.jit(lambda x: game.players[player].loss(run, memory, {"x": x}, rng.root(0), numbers))(x)
    return {name: float(value) for name, value in metrics.items()}, float(total)


def patches(b, a):
    return jnp.sin(jnp.einsum("hwc,nc->nhw", W, b + 0.1 * a))


TERMS = sorted((D_TERMS.keys() | PENALTIES.keys()) - {"own", "cr", "cr_fake", "zcr"})


@pytest.mark.parametrize("name", TERMS)
def test_terms_and_penalties_see_the_mean_of_an_example_s_logits(name):
    fields = {"hp": {"r1": 0.0, name: 1.0}, **({"latent_steps": 1} if name == "logan_dz" else {})}
    by_patch, _ = losses(patches, **fields)
    by_example, _ = losses(lambda b, a: per_example(patches(b, a)), **fields)
    np.testing.assert_allclose(by_patch[name], by_example[name], rtol=1e-5)
    assert by_patch["d_real"] == pytest.approx(by_example["d_real"], rel=1e-5)
    assert name == "logan_dz" or by_patch[name] > 1e-6


def test_the_gradient_penalty_of_a_linear_d_of_patches():
    """(||mean of the patches' weights|| - 1)^2."""
    metrics, _ = losses(lambda b, a: jnp.einsum("hwc,nc->nhw", W, b), hp={"r1": 0.0, "wgan_gp": 1.0})
    np.testing.assert_allclose(metrics["wgan_gp"], (np.linalg.norm(W.mean((0, 1))) - 1) ** 2, rtol=1e-5)


@pytest.mark.parametrize("fields", [{"gradient_norm": True}, {"hp": {"r1": 0.0, "top_k": 0.5}}], ids=str)
def test_what_ranks_or_divides_logits(fields):
    """Gradient normalisation makes one number an example; top-k ranks by the mean, and keeps losses of patches."""
    _, total = losses(patches, "g", **fields)
    _, mean = losses(lambda b, a: per_example(patches(b, a)), "g", **fields)
    if "gradient_norm" in fields:
        np.testing.assert_allclose(total, mean, rtol=1e-5)
        return
    x = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    a, b = x[:, :2], x[:, 2:]
    logits = np.asarray(patches(3 * a, a)).reshape(8, -1)
    kept = np.argsort(-logits.mean(1))[:4]
    want = np.log1p(np.exp(-logits[kept])).mean() + 100 * abs(b - 3 * a).mean()
    np.testing.assert_allclose(total, want, rtol=1e-5)
