"""The game's Jacobian against closed forms, dense linear algebra and the trajectories of the solvers that train."""

import dataclasses
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from jaxgan import Config, Hp, JaxganError, games, rng, step
from jaxgan.losses import LOSSES
from jaxgan.solvers import SOLVERS
from jaxgan.theory import dirac, jacobian
from scalars import BILINEAR, EVERY, HP, KEEP, RATES, WEIGHT, H, batches, game, start

KEY = rng.root(0)
# root of the product of both players' slopes at D's equilibrium; 1/2 for the others
SLOPE = {
    **dict.fromkeys(("wasserstein", "hinge", "ragan", "f_kl", "f_reverse_kl", "f_pearson", "f_hellinger"), 1.0),
    "f_alpha": 1 - np.exp(-2.0),  # T'(v) where T(v) = f'(1), at alpha = 1/2; sigmoid(-v) with log(1 + e^-v) = 2
    **{"klgan": 0.5**0.5, "rahinge": 2.0, "ralsgan": 4.0, "mmd": 0.0},
}
NAMES = sorted(set(LOSSES) - {"own"})
# (r1, r2), away from critical damping r1 + r2 = 2 SLOPE, where growth is t rho^t and not a power
WEIGHTS = ((0.0, 0.0), (0.3, 0.0), (0.0, 0.6), (0.4, 0.4))


def dirac_at_rest(loss="ns", solver="simultaneous"):
    """The Dirac-GAN with both penalties in the program, and its states at (0, 0) for all WEIGHTS, stacked."""
    hp = Hp(g_lr=H, d_lr=H, r1=1.0, r2=1.0, ema_half_life=0.0)
    g, state = dirac.dirac(Config(loss=loss, solver=solver, optimizer="sgd", hp=hp))
    states = jax.tree.map(lambda x: jnp.stack([x] * len(WEIGHTS)), state)
    r1, r2 = jnp.asarray(WEIGHTS, jnp.float32).T
    return g, dataclasses.replace(states, hp={**states.hp, "r1": r1, "r2": r2})


@cache
def jacobians(loss):
    """J at (0, 0) for all WEIGHTS [4, 2, 2], and the owners of its rows."""
    g, states = dirac_at_rest(loss)
    made = jax.jit(jax.vmap(lambda state: jacobian.dense(jacobian.motion(g, state, dirac.REAL, KEY))))(states)
    return np.asarray(made, np.float64), jacobian.owners(g, dirac.dirac(Config(loss=loss))[1])


@pytest.mark.parametrize("loss", NAMES)
def test_eigenvalues_of_the_dirac_gan(loss):
    """-gamma/2 +- sqrt(gamma^2/4 - slope^2), Mescheder et al. 2018, lemmas 2.3 and 3.2 for either penalty."""
    for (r1, r2), j in zip(WEIGHTS, jacobians(loss)[0]):
        root = np.emath.sqrt((r1 + r2) ** 2 / 4 - SLOPE.get(loss, 0.5) ** 2)
        expected = np.array([-(r1 + r2) / 2 - root, -(r1 + r2) / 2 + root])
        found = np.sort_complex(np.linalg.eigvals(j))
        np.testing.assert_allclose(found, np.sort_complex(expected), atol=1e-6, err_msg=(r1, r2))


# losses differ in J alone and solvers in what they make of J: each of both in the gate, and all pairs as a long proof
WALKED = ("minimax", "ns", "lsgan", "wasserstein", "hinge", "rpgan", "ragan", "f_kl")
GATE = {(loss, "simultaneous") for loss in WALKED} | {(loss, s) for loss in ("ns", "wasserstein") for s in SOLVERS}
PAIRS = [
    pytest.param(loss, solver, marks=[] if (loss, solver) in GATE else pytest.mark.slow)
    for loss in NAMES
    for solver in sorted(SOLVERS)
]


@pytest.mark.parametrize(("loss", "solver"), PAIRS)
def test_trajectories_grow_as_the_jacobian_predicts(loss, solver):
    """With every penalty, within 1 % of log growth.

    3e-6 where it is 0: the distance swings by up to 18 % (klgan, an ellipse) about every 45 steps, which tilts a line
    through 2,000 of them by up to 6 x 0.18 x 45 / (2 pi 2000^2) = 2e-6.
    """
    g, states = dirac_at_rest(loss, solver)
    near = dataclasses.replace(states, params={**states.params, "g": {"theta": jnp.full(len(WEIGHTS), 1e-6)}})
    paths = jax.jit(jax.vmap(partial(dirac.trajectory, g, solver=solver, steps=4000)))(near)
    js, owner = jacobians(loss)
    weights = {name: float(value[0]) for name, value in states.hp.items()}
    for weight, j, path in zip(WEIGHTS, js, paths):
        predicted = np.log(jacobian.spectral_radius(*jacobian.step_matrix(j, owner, H, solver, weights)))
        measured = np.log(dirac.growth(path))
        assert abs(measured - predicted) < max(0.01 * abs(predicted), 3e-6), (weight, predicted, measured)


@pytest.mark.parametrize("solver", sorted(SOLVERS))
def test_step_matrices_have_the_rates_of_the_bilinear_game(solver):
    """RATES come from scalar algebra with the eigenvalues +-i."""
    g = game(BILINEAR, {"x": 1.0, "y": 0.5})
    state = start(g)
    m = jacobian.motion(g, state, batches(g), KEY)
    np.testing.assert_array_equal(jacobian.dense(m), [[0, -1], [1, 0]])
    weights = {"consensus": WEIGHT, "lookahead": KEEP, "lookahead_every": EVERY}
    matrix = jacobian.step_matrix(jacobian.dense(m), jacobian.owners(g, state), H, solver, weights)
    assert jacobian.spectral_radius(*matrix) == pytest.approx(RATES[solver], abs=1e-9)


def test_step_matrix_of_players_with_their_own_step_sizes():
    """The derivative of a real alternating step at the equilibrium, with D faster than G."""
    hp = Hp(g_lr=0.05, d_lr=0.2, r1=0.3, ema_half_life=0.0)
    g, state = dirac.dirac(Config(optimizer="sgd", hp=hp))
    m = jacobian.motion(g, state, dirac.REAL, KEY)

    def advance(vector):
        s, _ = step.train_step(
            g, dataclasses.replace(state, params=m.tree(vector)), dirac.REAL, SOLVERS["alternating"].step
        )
        return jax.flatten_util.ravel_pytree({net: s.params[net] for net in m.tree(vector)})[0]

    owner = jacobian.owners(g, state)
    matrix, steps = jacobian.step_matrix(jacobian.dense(m), owner, np.array([0.2, 0.05])[owner], "alternating")
    np.testing.assert_allclose(matrix, jax.jacobian(advance)(m.at), atol=1e-7)
    assert steps == 1


BATCHES = {"x": rng.normal(rng.stream(KEY, "x"), 2 * 64, (2,)).reshape(2, 64, 2)}


@pytest.fixture(scope="module")
def small():
    """A GAN of 2-layer perceptrons on points, small enough for dense linear algebra: motion and J."""
    c = Config(net="mlp", width=5, depth=1, latent=2, data="ring8", hp=Hp(r1=0.1))
    g = games.make(c, (2,))
    state = step.init(g, 1, dataclasses.asdict(c.hp), {"x": BATCHES["x"][0]})
    m = jacobian.motion(g, state, BATCHES, KEY)
    m = m._replace(velocity=jax.jit(m.velocity))
    return g, state, m, np.asarray(jax.jit(lambda: jacobian.dense(m))(), np.float64)


def test_velocity_is_what_simultaneous_descent_does(small):
    _, state, m, _ = small
    c = Config(net="mlp", width=5, depth=1, latent=2, optimizer="sgd", hp=Hp(r1=0.1, g_lr=1e-2, d_lr=1e-2))
    sgd = games.make(c, (2,))
    new = step.init(sgd, 1, dataclasses.asdict(c.hp), {"x": BATCHES["x"][0]})
    np.testing.assert_array_equal(ravel_pytree(new.params)[0], ravel_pytree(state.params)[0])
    new, _ = jax.jit(partial(SOLVERS["simultaneous"].step, sgd))(new, BATCHES, KEY)
    moved = ravel_pytree({net: new.params[net] for net in m.tree(m.at)})[0] - m.at
    np.testing.assert_allclose(moved, 1e-2 * m.velocity(m.at), atol=2e-7)  # one rounding of parameters of order 1


def test_products_are_those_of_the_dense_jacobian(small):
    _, _, m, j = small
    t = np.random.default_rng(0).normal(size=len(j)).astype(np.float32)
    np.testing.assert_allclose(jacobian.jvp(m, t), j @ t, atol=1e-5)
    np.testing.assert_allclose(jacobian.vjp(m, t), j.T @ t, atol=1e-5)
    h = 1e-3  # and of central differences, to h^2 and rounding / h
    difference = (m.velocity(m.at + h * t) - m.velocity(m.at - h * t)) / (2 * h)
    assert np.median(abs(difference - j @ t)) < 1e-3


def test_arnoldi_finds_the_outermost_eigenvalues(small):
    """Every Ritz value that calls itself converged is an eigenvalue, and the largest ones are among them."""
    _, _, m, j = small
    exact = np.linalg.eigvals(j)
    start = jax.random.normal(KEY, m.at.shape)
    values, residuals = jacobian.ritz(jax.jit(lambda s: jacobian.arnoldi(m, s, 24))(start))
    size = np.linalg.norm(j, 2)
    good = residuals < 1e-3 * size
    assert good[:3].all(), residuals
    for value in values[good]:
        assert abs(exact - value).min() < 0.01 * size
    largest = exact[np.argsort(-abs(exact))][:3]
    np.testing.assert_allclose(abs(values[:3]), abs(largest), rtol=1e-3)


def test_residuals_are_those_of_the_ritz_vectors(small):
    """||J x - lambda x|| in float64, x from the orthonormal basis of start, J start, ..., J^5 start."""
    _, _, m, j = small
    start = jax.random.normal(KEY, m.at.shape)
    values, residuals = jacobian.ritz(jax.jit(lambda s: jacobian.arnoldi(m, s, 6))(start))
    powers = [np.asarray(start, np.float64)]
    for _ in range(5):
        powers.append(j @ powers[-1] / np.linalg.norm(j @ powers[-1]))
    q, _ = np.linalg.qr(np.stack(powers, 1))
    exact, vectors = np.linalg.eig(q.T @ j @ q)
    x = q @ vectors
    expected = np.linalg.norm(j @ x - x * exact, axis=0)
    assert expected.max() > 0.01 * abs(exact).max()  # six steps are not enough
    for value, residual in zip(values, residuals):
        i = abs(exact - value).argmin()
        assert abs(exact[i] - value) < 1e-3 * abs(exact).max()
        assert residual == pytest.approx(expected[i], abs=1e-3 * abs(exact).max())


def test_arnoldi_stops_at_an_invariant_subspace():
    """Two parameters, twelve steps asked: the two eigenvalues and no others."""
    g, state = dirac.dirac(Config(hp=Hp(r1=0.3)))
    m = jacobian.motion(g, state, dirac.REAL, KEY)
    values, residuals = jacobian.ritz(jacobian.arnoldi(m, jnp.array([1.0, 0.4]), 12))
    root = np.sqrt(0.25 - 0.15**2)
    np.testing.assert_allclose(np.sort_complex(values), [-0.15 - 1j * root, -0.15 + 1j * root], atol=1e-6)
    np.testing.assert_array_equal(residuals, 0)


def test_parts_are_the_symmetric_and_the_antisymmetric_one(small):
    _, _, m, j = small
    exact = (((j + j.T) / 2) ** 2).sum(), (((j - j.T) / 2) ** 2).sum()
    n = len(j)
    found = jax.jit(lambda probes: jacobian.parts(m, probes))(np.sqrt(n) * jnp.eye(n))
    np.testing.assert_allclose(found, exact, rtol=1e-4)
    # Rademacher probes: unbiased, with variance at most 2 ||A^T A||_F^2 each (Hutchinson 1990)
    probes = jax.random.rademacher(KEY, (400, n), jnp.float32)
    for estimate, part, value in zip(jax.jit(lambda p: jacobian.parts(m, p))(probes), (j + j.T, j - j.T), exact):
        deviation = np.sqrt(2 * ((part.T @ part / 4) ** 2).sum() / 400)
        assert abs(float(estimate) - value) < 5 * deviation
    g = game(BILINEAR, {"x": 1.0, "y": 0.5})
    pure = jacobian.parts(jacobian.motion(g, start(g, HP), batches(g), KEY), np.sqrt(2) * jnp.eye(2))
    np.testing.assert_allclose(pure, (0, 2), atol=1e-6)  # nothing but rotation


TARGETS = [("lsgan", -1.0, 1.0, 0.0), ("lsgan", 0.2, 0.8, 0.8), ("ns", 0.0, 0.9, 1.0), ("minimax", 0.0, 0.7, 1.0)]
TARGETS += [("klgan", 0.0, 0.9, 1.0)] + [(loss, 0.0, 1.0, 1.0) for loss in sorted(set(LOSSES) - {"own", "mmd"})]


@pytest.mark.parametrize(("loss", "fake", "real", "g"), TARGETS)
def test_the_dirac_gan_rests_where_d_cannot_tell(loss, fake, real, g):
    """Where real and generated are the same, a constant D gains nothing: d/dv of D's loss at (v, v) is 0."""
    c = Config(loss=loss, hp=Hp(fake_target=fake, real_target=real, g_target=g, d_scale=2.0))
    game, _ = dirac.dirac(c)
    v = game.nets["d"].apply({"psi": jnp.float32(0)}, {}, jnp.zeros((1, 1)), None, train=True)[0][0] * c.hp.d_scale
    options = {name: getattr(c.hp, name) for name in LOSSES[loss].d_hp}
    total = lambda v: sum(term.sum() for term in LOSSES[loss].d(v[None], v[None], **options))  # noqa: E731
    assert abs(jax.grad(total)(v)) < 1e-6


def test_pearsons_targets_have_no_saddle():
    """lsgan with targets -1, 1, 0: at D = 0 generated examples feel no slope, so all eigenvalues are 0."""
    c = Config(loss="lsgan", solver="simultaneous", optimizer="sgd", hp=Hp(fake_target=-1, real_target=1, g_target=0))
    game, state = dirac.dirac(c)
    j = jacobian.dense(jacobian.motion(game, state, dirac.REAL, KEY))
    np.testing.assert_allclose(np.linalg.eigvals(np.asarray(j)), 0, atol=1e-6)


def test_a_target_without_equilibrium_is_an_error():
    with pytest.raises(JaxganError, match="real_target is 2"):
        dirac.dirac(Config(hp=Hp(real_target=2.0)))
