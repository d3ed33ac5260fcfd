"""Terms, views and weights of losses have the values that their papers give them, on networks in closed form."""

import dataclasses
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import games, rng, step
from jaxgan.augment import JITTER
from jaxgan.config import Config, Hp
from jaxgan.errors import JaxganError
from jaxgan.games.adversarial import best, packed
from jaxgan.games.sides import judge
from jaxgan.games.terms import D_TERMS, G_TERMS, Play, Side
from jaxgan.solvers import answers
from jaxgan.types import Net
from kinds import KEY, ROOM, batches, make, normal, played


def play(config=None, **fields) -> Play:
    """What a term sees, with these fields and no others; hp as in config."""
    config = config or Config()
    hp = {name: jnp.float32(value) for name, value in dataclasses.asdict(config.hp).items()}
    defaults = {"key": KEY, "hp": hp, "config": config, "see": lambda x, name: x, "vars": {}}
    return played(**defaults | fields)


def numbers(name, seen, vars=None):
    term = (D_TERMS | G_TERMS)[name]
    return term.loss(seen, vars or {})


def test_dragan_looks_on_both_sides_at_half_a_standard_deviation():
    """D = x^2 / 2 has |grad| = x, so that a target of 0 shows where it was taken; the spread of 10 and 14 is 2."""
    real = jnp.where(jnp.arange(ROOM) % 2 == 0, 10.0, 14.0)[:, None]
    config = Config(hp=Hp(gp_target=0.0))
    terms, _ = numbers("dragan", play(config, seen_real=real, score=lambda x, y: 0.5 * x[:, 0] ** 2))
    u = (np.sqrt(terms) - real[:, 0]) / (0.5 * 2.0)
    assert u.min() > -1 - 1e-5 and u.max() < 1 + 1e-5
    np.testing.assert_allclose(np.histogram(u, 10, (-1, 1))[0] / ROOM, 0.1, atol=5 * np.sqrt(0.09 / ROOM))
    linear = play(seen_real=real, score=lambda x, y: 3 * x[:, 0])
    np.testing.assert_allclose(numbers("dragan", linear)[0], np.full(ROOM, (3 - 1) ** 2), rtol=1e-5)


@pytest.mark.parametrize(("name", "side"), [("r1", "real"), ("r2", "fake")])
def test_r1_and_r2_are_taken_before_augmentation(name, side):
    """D(T x) = |3 x|^2 has the gradient 18 x in x, and 6 x in what D is shown: the published gammas mean the former."""
    images = {"real": normal((8, 3)), "fake": normal((8, 3), 1)}
    shown = {f"seen_{side}": 3 * x for side, x in images.items()}
    score, see = (lambda x, y: (x**2).sum(1)), (lambda x, name: 3 * x)
    for augment, slope in ((("jitter",), 18), ((), 6)):  # without, what D is shown differs by noise at most
        config = Config(augment=augment, hp=Hp(**{name: 1.0}))
        terms, _ = numbers(name, play(config, **images, **shown, score=score, see=see))
        np.testing.assert_allclose(terms, 0.5 * slope**2 * (images[side] ** 2).sum(1), rtol=1e-5)


def test_a_pack_has_one_point_between_real_and_generated():
    """D = ||pack||^2 / 2 has the squared slope sum a^2 between 0 and 1: it is 4 a^2, a uniform, where all share one."""
    fake = jnp.ones((ROOM, 1))
    score = lambda x, y: 0.5 * (x.reshape(-1, 4) ** 2).sum(1)  # noqa: E731
    seen = play(Config(pack=4, hp=Hp(gp0=1.0)), real=0 * fake, seen_real=0 * fake, seen_fake=fake, score=score)
    a = np.sqrt(numbers("gp0", seen)[0] / 4)
    assert len(a) == ROOM // 4
    np.testing.assert_allclose(np.histogram(a, 5, (0, 1))[0] / len(a), 0.2, atol=5 * 0.4 / len(a) ** 0.5)


def test_d_scale_multiplies_all_that_losses_and_penalties_see():
    """The losses of both players are those of a D whose output is d_scale times as large, R1 included."""
    _, scaled, state = make(hp={"d_scale": 5.0, "r1": 0.1})
    _, game, _ = make(hp={"r1": 0.1})
    b, net = {k: v[0] for k, v in batches(game, (2,)).items()}, game.nets["d"]

    def larger(*args, **options):
        out, vars = net.apply(*args, **options)
        return 5 * out, vars

    game = game._replace(nets={**game.nets, "d": net._replace(apply=larger)})
    for name in ("d", "g"):
        of = [g.players[name].loss(step.runner(g, state.params), state.vars, b, KEY, state.hp) for g in (scaled, game)]
        np.testing.assert_allclose(of[0][0], of[1][0], rtol=1e-5)


def test_d_scale_stands_outside_gradient_normalisation():
    """Which makes D blind to its own size, but not to d_scale."""
    found = []
    for hp in ({"d_scale": 5.0}, {}):
        _, game, state = make(hp=hp, gradient_norm=True)
        b = {k: v[0] for k, v in batches(game, (2,)).items()}
        _, (_, metrics) = game.players["d"].loss(step.runner(game, state.params), state.vars, b, KEY, state.hp)
        found.append(metrics["d_real"])
    np.testing.assert_allclose(found[0], 5 * found[1], rtol=1e-5)


@pytest.mark.parametrize(("name", "side"), [("cr", "real"), ("cr_fake", "fake")])
def test_consistency(name, side):
    """0 for a D that the augmentation does not change; the noise's own size for a linear one, on its side alone."""
    images = {"real": normal((8, 4, 4, 1)), "fake": normal((8, 4, 4, 1), 1)}

    def seen(score, x, config):
        given = {f"seen_{side}": x[side], f"d_{side}": score(x[side], None), "score": score}
        return play(config, **given)

    still = seen(lambda x, y: (x**2).sum((1, 2, 3)), images, Config(cr_augment=("flip",)))
    np.testing.assert_allclose(numbers(name, still)[0], np.zeros(8), atol=1e-9)
    points, w = {s: normal((ROOM, 2)) for s in images}, np.float32([3, 4])
    moved = seen(lambda x, y: x @ w, points, Config(cr_augment=("jitter",)))
    terms, _ = numbers(name, moved)
    np.testing.assert_allclose(terms.mean(), (5 * JITTER) ** 2, rtol=5 * np.sqrt(2 / ROOM))


def linear_generator(a):
    return lambda vars, net, z, y: (z @ a, vars)


def test_latent_consistency_of_linear_networks():
    """D o G has slope w A: D pays for the change in its logit, G earns the change in its examples."""
    a, w, z = normal((3, 2)), np.float32([1, -2]), normal((ROOM, 3), 1)
    noise = rng.normal(rng.stream(KEY, "zcr"), ROOM, (3,))
    given = {"run": linear_generator(a), "z": z, "fake": z @ a, "d_fake": z @ a @ w, "score": lambda x, y: x @ w}
    seen = play(Config(hp=Hp(zcr_radius=0.25)), **given)
    np.testing.assert_allclose(numbers("zcr", seen)[0], (0.25 * noise @ a @ w) ** 2, rtol=1e-3, atol=1e-5)
    change = ((0.25 * noise @ a) ** 2).mean(1)
    np.testing.assert_allclose(numbers("zcr_g", seen)[0], -change, rtol=1e-3, atol=1e-5)


def test_lecam_averages_and_pulls():
    """Averages are those of all steps, each weighing decay as much as the next one; D is drawn to them, not away."""
    config, decay = Config(hp=Hp(lecam_decay=0.8)), 0.8
    memory = {name: jnp.float32(0) for name in ("real", "fake", "mass")}
    reals, fakes = normal((5, 6)) + 1, normal((5, 4), 1) - 1
    for real, fake in zip(reals, fakes):
        seen = play(config, d_real=jnp.asarray(real), d_fake=jnp.asarray(fake), vars={"lecam": memory})
        found, vars = numbers("lecam", seen, {"lecam": memory, "d": 1})
        memory = vars["lecam"]
        assert vars["d"] == 1
    weights = decay ** np.arange(5)[::-1]
    a_real, a_fake = ((weights @ x.mean(1)) / weights.sum() for x in (reals, fakes))
    np.testing.assert_allclose(memory["real"] / memory["mass"], a_real, rtol=1e-5)
    relu = lambda x: np.maximum(x, 0)  # noqa: E731
    expected = (relu(real - a_fake) ** 2).mean() + (relu(a_real - fake) ** 2).mean()
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    slope = jax.grad(lambda r: numbers("lecam", seen._replace(real=Side(None, logits=r)))[0])(seen.real.logits)
    np.testing.assert_allclose(slope, 2 * relu(real - a_fake) / 6, rtol=1e-4, atol=1e-6)  # no slope of the averages


@pytest.mark.parametrize(("shape", "pixels"), [((2,), 1), ((2, 3, 1), 6)])
def test_path_length_of_a_linear_generator(shape, pixels):
    """||J^T y|| is ||A y||, with y ~ N(0, I / pixels); the memory takes up 1 % of the mean length."""
    a, z = normal((3, int(np.prod(shape)))), normal((ROOM, 3), 1)
    run = lambda vars, net, z, y: ((z @ a).reshape(-1, *shape), vars)  # noqa: E731
    fake = run({}, "g", z, None)[0]
    seen = play(run=run, z=z, fake=fake, vars={"path_length": {"mean": jnp.float32(2)}})
    terms, vars = numbers("path_length", seen)
    y = rng.normal(rng.stream(KEY, "path length"), ROOM, shape).reshape(ROOM, -1)
    lengths = np.linalg.norm(y @ a.T, axis=1) / np.sqrt(pixels)
    mean = 2 + 0.01 * (lengths.mean() - 2)
    np.testing.assert_allclose(vars["path_length"]["mean"], mean, rtol=1e-5)
    np.testing.assert_allclose(terms, (lengths - mean) ** 2, rtol=1e-3, atol=1e-5)

    def scaled(s):
        run = lambda vars, net, z, y: (s * (z @ a).reshape(-1, *shape), vars)  # noqa: E731
        return numbers("path_length", seen._replace(run=run))[0].mean()

    # the mean moves with the lengths, as in the authors' code; what is remembered has no slope
    expected = (2 * (lengths - mean) * (lengths - 0.01 * lengths.mean())).mean()
    np.testing.assert_allclose(jax.grad(scaled)(1.0), expected, rtol=1e-3)
    memory = jax.grad(lambda s: numbers("path_length", seen._replace(z=s * z))[1]["path_length"]["mean"])
    assert memory(1.0) == 0


def test_feature_matching_compares_means():
    """Not examples: batches that differ in all but their means match."""
    h = normal((6, 4))
    assert numbers("feature_matching", play(h_real=h, h_fake=h[::-1]))[0] < 1e-10
    np.testing.assert_allclose(numbers("feature_matching", play(h_real=h, h_fake=h + 0.5))[0], 4 * 0.25, rtol=1e-5)


def test_top_k_picks_the_best():
    logits = jnp.float32([0.3, -1.0, 2.0, 0.5, 0.1, -3.0, 0.2, 0.4])
    everyone = lambda x: x  # noqa: E731
    for fraction, chosen in ((1.0, range(8)), (0.5, (0, 2, 3, 7)), (0.25, (2, 3)), (1e-6, (2,))):
        weights = np.zeros(8)
        weights[list(chosen)] = 8 / len(chosen)
        np.testing.assert_allclose(best(logits, fraction, everyone), weights)
    np.testing.assert_allclose(best(jnp.ones(4), 0.5, everyone), np.ones(4))  # ties share
    halves = [best(logits[i : i + 4], 0.5, lambda x: logits) for i in (0, 4)]
    np.testing.assert_allclose(np.concatenate(halves), best(logits, 0.5, everyone))  # the best of all devices


def test_only_the_best_move_g():
    _, game, state = make(hp={"top_k": 0.25})
    b = {k: v[0] for k, v in batches(game, (2,)).items()}
    run = step.runner(game, state.params)
    total, _ = game.players["g"].loss(run, state.vars, b, state.key, state.hp)
    fake = run(state.vars, "g", rng.normal(rng.stream(state.key, "z"), 8, (4,)), None)[0]
    logits = np.sort(run(state.vars, "d", fake, None)[0])[-2:]
    np.testing.assert_allclose(total, np.log1p(np.exp(-logits)).mean(), rtol=1e-5)


def test_packing_shows_d_several_examples_at_once():
    """Neighbours side by side in the last axis; a logit depends on its own pack and on all of it."""
    shown = []
    net = packed(Net(None, lambda params, vars, x, y, train: (shown.append(x), vars)), 2)
    x = np.arange(4 * 3 * 2).reshape(4, 3, 2)
    net.apply({}, {}, x, None, train=True)
    np.testing.assert_array_equal(shown[0], [np.concatenate([x[0], x[1]], -1), np.concatenate([x[2], x[3]], -1)])
    _, game, state = make(pack=4)
    score = lambda x: step.runner(game, state.params)(state.vars, "d", x, None)[0]  # noqa: E731
    slopes = jax.jacobian(score)(jnp.asarray(normal((8, 2))))
    assert slopes.shape == (2, 8, 2)
    depends = (abs(slopes) > 0).any(-1)
    np.testing.assert_array_equal(depends, [[True] * 4 + [False] * 4, [False] * 4 + [True] * 4])
    with pytest.raises(JaxganError, match="packs of 4"):
        score(jnp.zeros((6, 2)))


def test_normalised_gradients_ignore_the_scale_of_d():
    """f / (||grad f|| + |f|): in [-1, 1], and the same for 100 f; for a linear f its closed form."""
    w, x = np.float32([3, 4]), jnp.asarray(normal((6, 2)))
    d = judge(Config(gradient_norm=True), False)
    scaled = [d(lambda vars, net, x, y, c=c: (c * x @ w, vars), {}, x, None, {})[0] for c in (1.0, 100.0)]
    np.testing.assert_allclose(scaled[0], (x @ w) / (5 + abs(x @ w)), rtol=1e-5)
    np.testing.assert_allclose(*scaled, rtol=1e-5)


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ({"augment": ("flip",)}, ("augment has flip", "jitter")),
        ({"hp": Hp(cr=1.0)}, ("cr_augment has flip, translation",)),
        ({"pack": 3}, ("batch 8", "packs of 3")),
        ({"pack": 2, "fake_batch": 5}, ("fake_batch 5", "packs of 2")),
        ({"pack": 2, "kind": "conditional"}, ("pack is 2", "--kind plain")),
        ({"lazy": 2, "solver": "extragradient"}, ("lazy is 2", "extragradient")),
        ({"lazy_g": 2, "solver": "consensus"}, ("lazy_g is 2", "consensus")),
        ({"hp": Hp(logan_dz=1.0)}, ("hp.logan_dz", "latent_steps")),
        ({"unroll": 2, "solver": "simultaneous"}, ("unroll is 2", "simultaneous")),
    ],
)
def test_what_does_not_go_together_is_refused(settings, parts):
    with pytest.raises(JaxganError) as e:
        games.make(Config(**{"net": "mlp", "width": 4, "batch": 8, **settings}), (2,), 3)
    assert all(part in str(e.value) for part in parts)


DEVICES = """
import dataclasses, sys
import jax, jax.numpy as jnp, numpy as np
from jaxgan import config, games, step
from jaxgan.state import initial
from jaxgan.solvers import SOLVERS

CASES = [
    {"loss": "ragan", "augment": ["jitter"], "d_steps": 2, "lazy_g": 2, "cr_augment": ["jitter"], "hp": {
        "dragan": 1.0, "lecam": 0.3, "cr": 1.0, "cr_fake": 1.0, "top_k": 0.5, "noise": 0.1, "path_length": 1.0,
        "feature_matching": 1.0, "zcr": 1.0, "zcr_g": 0.1, "orthogonal": 0.01, "max_norm": 2.0}},
    {"loss": "mmd", "pack": 2, "latent_steps": 1, "lazy": 2, "unroll": 1, "d_norm": "spectral", "g_norm": "spectral",
     "hp": {"r1": 1.0, "gp0": 1.0, "logan_dz": 1.0, "spectral": 0.1}},
]
for case in CASES:
    hp = {"g_lr": 0.05, "d_lr": 0.05, **case["hp"]}
    c = config.from_dict({"net": "mlp", "width": 8, "latent": 3, "batch": 16, "optimizer": "sgd", **case, "hp": hp})
    found = []
    for axis in (None, "devices"):
        game = games.make(c, (2,), 0, axis)
        one = lambda state, x: step.train_step(game, state, {"x": x}, SOLVERS["alternating"].step)[0]
        state = initial(game, c, (2,))
        advance = jax.jit(one) if axis is None else jax.pmap(one, axis, in_axes=(None, 0), out_axes=None)
        for i in range(3):
            x = np.random.default_rng(i).normal(size=(game.updates, 16, 2)).astype(np.float32)
            if axis:
                x = np.moveaxis(x.reshape(game.updates, 2, 8, 2), 1, 0)
            state = jax.block_until_ready(advance(state, x))
        found.append(np.concatenate([np.ravel(a) for a in jax.tree.leaves((state.params, state.vars))]))
    start = np.concatenate([np.ravel(a) for a in jax.tree.leaves(initial(game, c, (2,)).params)])
    print(abs(found[0] - found[1]).max(), abs(found[0][: len(start)] - start).max())
"""


@pytest.mark.slow
def test_two_devices_make_the_statistics_of_one():
    """Averages, memories, ranks and kernels are global: parameters and memories agree to rounding after 3 steps."""
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    command = ["timeout", "-k", "5", "500", sys.executable, "-c", DEVICES]
    done = subprocess.run(command, env={**os.environ, **flags}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    lines = [list(map(float, line.split())) for line in done.stdout.splitlines()]
    assert len(lines) == 2
    for difference, movement in lines:
        assert difference < 2e-6 * max(1, movement) and movement > 1e-2, done.stdout  # rounding is relative


def smooth(shape, squeeze):
    """A network tanh(x a) b in double precision."""

    def init(key, x, y):
        return {name: jnp.asarray(normal(size, i), jnp.float64) for i, (name, size) in enumerate(shape.items())}, {}

    def apply(params, vars, x, y, train):
        out = jnp.tanh(x @ params["a"]) @ params["b"]
        return out[:, 0] if squeeze else out, vars

    return Net(init, apply)


def test_unrolled_gradient_by_finite_differences():
    """G's gradient is the slope of its loss as D answers twice, here against plain descent of D written out."""
    with jax.enable_x64(True):
        c = Config(net="mlp", latent=2, batch=4, unroll=2, optimizer="sgd", hp=Hp(d_lr=0.5))
        nets = {"g": smooth({"a": (2, 3), "b": (3, 2)}, False), "d": smooth({"a": (2, 3), "b": (3, 1)}, True)}
        game = games.make(c, (2,))._replace(nets=nets)
        state = step.init(game, 0, dataclasses.asdict(c.hp), {"x": jnp.zeros((2, 2))})
        batch = {"x": jnp.asarray(normal((4, 2)), jnp.float64)}
        flat, back = jax.flatten_util.ravel_pytree(state.params["g"])

        def loss(name, params, key):
            return game.players[name].loss(step.runner(game, params), state.vars, batch, key, state.hp)[0]

        @jax.jit
        def answered(flat):
            params = {**state.params, "g": back(flat)}
            for u in range(2):
                key = jax.random.fold_in(rng.stream(KEY, "unroll"), u)
                slope = jax.grad(lambda d, p=params, k=key: loss("d", {**p, "d": d}, k))(params["d"])
                params = {**params, "d": jax.tree.map(lambda p, g: p - 0.5 * g, params["d"], slope)}
            return loss("g", params, KEY)

        foresee = answers(game, "g", batch, KEY)
        found = jax.jit(lambda: step.field(game, "g", state, batch, KEY, foresee)[0]["g"])()
        plain = jax.flatten_util.ravel_pytree(step.field(game, "g", state, batch, KEY)[0]["g"])[0]
        found, h = jax.flatten_util.ravel_pytree(found)[0], 1e-6
        assert abs(found - plain).max() > 1e-3
        for direction in np.random.default_rng(0).normal(size=(3, len(flat))):
            numeric = (answered(flat + h * direction) - answered(flat - h * direction)) / (2 * h)
            np.testing.assert_allclose(found @ direction, numeric, rtol=1e-5, atol=1e-8)
