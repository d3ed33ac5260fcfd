"""Best responses, gains and duality gaps against closed forms, and a Gaussian GAN's equilibrium by quadrature."""

import dataclasses
import runpy
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgan import Config, Hp, games, parallel, program, rng, step
from jaxgan.data import feed, toy
from jaxgan.optim import clip_weights
from jaxgan.state import initial
from jaxgan.theory import divergence, nash, value
from jaxgan.types import Game, Player
from scalars import BILINEAR, MEANS, H, at, game, scalar, start

A, B, C = 0.8, 1.5, 0.5
QUADRATIC = {
    "x": lambda x, y, b: A / 2 * x**2 + B * x * y - C / 2 * y**2,
    "y": lambda x, y, b: -A / 2 * x**2 - B * x * y + C / 2 * y**2,
}
POINTS = [(0.0, 0.0), (1.0, 0.5), (-0.7, 0.4), (0.0, -0.6)]
KEY = rng.root(3)


def with_tx(g, tx):
    return g._replace(players={name: player._replace(tx=tx) for name, player in g.players.items()})


def rows(k, mean=0.0):
    return {"x": jnp.full((k, 1), mean)}


def ask(g, point, k, held=0.0):
    """Gains at a point by k moves, as plain numbers."""
    found = jax.jit(lambda s: nash.gains(g, s, rows(k), rows(1, held), KEY))(start(g))
    return {name: float(gain) for name, gain in found.items()}


@pytest.mark.parametrize("point", POINTS)
def test_quadratic_game(point):
    """f = a/2 x^2 + b x y - c/2 y^2 has the best responses x = -b y / a and y = b x / c.

    400 moves contract by at most (1 - 0.1 * 0.5)^400 < 2e-9, so that float32's rounding is all that is left.
    """
    x, y = point
    g = game(QUADRATIC, {"x": x, "y": y})
    best = {"x": -B * y / A, "y": B * x / C}
    for name, wanted in best.items():
        found = jax.jit(lambda s, n=name: nash.best_response(g, n, s, rows(400), KEY))(start(g))
        assert float(found.params[name]["w"]) == pytest.approx(wanted, abs=1e-5)
    gap = (A + B**2 / C) * x**2 / 2 + (C + B**2 / A) * y**2 / 2
    found = ask(g, point, 400)
    assert found["x"] == pytest.approx(A / 2 * (x - best["x"]) ** 2, abs=1e-5)
    assert found["y"] == pytest.approx(C / 2 * (y - best["y"]) ** 2, abs=1e-5)
    total = jax.jit(lambda s: nash.exploitability(g, s, rows(400), rows(1), KEY))(start(g))
    assert float(total) == pytest.approx(gap, abs=1e-5)
    with jax.enable_x64(True):
        line = np.linspace(-3, 3, 121)
        xs, ys = (np.append(line, best[name]) for name in "xy")
        exact = nash.duality_gap(lambda x, y: QUADRATIC["x"](x, y, None), x, y, xs, ys)
    assert float(exact) == pytest.approx(gap, abs=1e-12)


@pytest.mark.parametrize("k", [0, 1, 3])
def test_a_best_response_makes_as_many_moves_as_there_are_batches(k):
    """After k gradient steps the distance to the best response is (1 - h a)^k of what it was."""
    x, y = 1.0, 0.5
    gain = A / 2 * (x + B * y / A) ** 2 * (1 - (1 - H * A) ** (2 * k))
    assert ask(game(QUADRATIC, {"x": x, "y": y}), (x, y), k)["x"] == pytest.approx(gain, abs=1e-6)


@pytest.mark.parametrize("point", [(0.0, 0.0), (0.5, -0.8), (0.0, 0.7), (-1.0, 1.0)])
def test_bilinear_game_on_a_box(point):
    """min_x max_y xy in [-1, 1]^2: the best responses are corners, and the gap is |x| + |y|."""
    x, y = point
    g = game(BILINEAR, {"x": x, "y": y})
    g = with_tx(g, lambda hp: optax.chain(optax.sgd(hp["lr"]), clip_weights(1.0)))
    found = ask(g, point, 100)  # a slope of 0.5 at rate 0.1 crosses the box in 40 moves
    assert found == pytest.approx({"x": abs(y) + x * y, "y": abs(x) - x * y}, abs=1e-6)
    ends = np.linspace(-1, 1, 3)
    assert float(nash.duality_gap(lambda x, y: x * y, x, y, ends, ends)) == pytest.approx(abs(x) + abs(y), abs=1e-6)


def test_a_best_response_moves_one_player_with_a_fresh_optimizer():
    g = with_tx(game(QUADRATIC, {"x": 1.0, "y": 0.5}), lambda hp: optax.adam(hp["lr"]))
    state = start(g)
    stale = dataclasses.replace(state, opt=jax.tree.map(lambda leaf: leaf + 7, state.opt))
    found = nash.best_response(g, "x", stale, rows(5), KEY)
    hand, opt = np.float32(1.0), optax.adam(H).init(np.float32(1.0))
    for _ in range(5):
        update, opt = optax.adam(H).update(A * hand + B * np.float32(0.5), opt)
        hand = hand + update
    np.testing.assert_allclose(at(found), [hand, 0.5], rtol=1e-6)
    assert (int(found.vars["x"]["ran"]), int(found.vars["y"]["ran"])) == (5, 0)
    assert found.step == 0
    jax.tree.map(np.testing.assert_array_equal, found.opt["y"], stale.opt["y"])


def test_gains_are_of_held_out_data_and_never_negative():
    """x moves by -h times the batches' mean of 1, three times: a gain of 3 h m where the held-out mean is m."""
    g = game(MEANS, {"x": 0.0, "y": 0.0})
    for mean, gain in ((1.0, 3 * H), (2.0, 6 * H), (-1.0, 0.0)):
        found = nash.gains(g, start(g), rows(3, 1.0), rows(1, mean), KEY)
        assert float(found["x"]) == pytest.approx(gain, abs=1e-6)
    uphill = with_tx(game(QUADRATIC, {"x": 1.0, "y": 0.5}), lambda hp: optax.sgd(-hp["lr"]))
    assert ask(uphill, None, 5) == {"x": 0.0, "y": 0.0}, "staying is a response too"


def noisy(name):
    def loss(run, vars, batch, key, hp):
        x, vars = run(vars, name, jnp.ones(()))
        return (x - 1) ** 2 + 100 * jax.random.normal(key), (vars, {})

    return loss


def test_both_losses_of_a_gain_see_the_same_noise():
    g = game(MEANS, {"x": 0.0, "y": 0.0})
    g = g._replace(players={n: p._replace(loss=noisy(n)) for n, p in g.players.items()})
    # 1 - (1 - 2 h)^(2 * 2); two noises would be apart by 140, and the sum of 100 and 1 costs 1e-5 of rounding
    assert ask(g, None, 2) == pytest.approx(dict.fromkeys("xy", 1 - (1 - 2 * H) ** 4), abs=1e-4)


def test_any_number_of_players_and_of_nets():
    """p owns x and z with loss (x - 1)^2 + (z + 2)^2 + y^2, q owns y with (y - x)^2, r nothing that could gain."""

    def player(nets, of):
        def loss(run, vars, batch, key, hp):
            x, y, z = (run(vars, name, jnp.ones(()))[0] for name in "xyz")
            return of(x, y, z), (vars, {})

        return Player(nets, loss, lambda hp: optax.sgd(hp["lr"]))

    nets = {"x": scalar(0.0), "y": scalar(3.0), "z": scalar(0.0), "u": scalar(0.0)}
    players = {
        "p": player(("x", "z"), lambda x, y, z: (x - 1) ** 2 + (z + 2) ** 2 + y**2),
        "q": player(("y",), lambda x, y, z: (y - x) ** 2),
        "r": player(("u",), lambda x, y, z: x * y),
    }
    g = Game(nets, players, lambda batch, key: dict.fromkeys(nets, (jnp.ones(()),)), None, None, shown=("x",))
    assert ask(g, None, 100) == pytest.approx({"p": 5.0, "q": 9.0, "r": 0.0}, abs=1e-5)


def test_gains_over_a_named_axis_are_those_of_the_whole_batch():
    whole = game(MEANS, {"x": 0.0, "y": 0.0})
    data = np.random.default_rng(0).normal(1, 1, (4, 8)).astype(np.float32)
    one = nash.gains(whole, start(whole), {"x": data[:3]}, {"x": data[3]}, KEY)
    split = whole._replace(axis="devices")
    shares = [{"x": np.stack(np.split(d, 4, axis=-1))} for d in (data[:3], data[3])]
    many = jax.vmap(lambda b, h: nash.gains(split, start(whole), b, h, KEY), axis_name="devices")(*shares)
    assert float(one["x"]) > 0.01
    for name in one:  # sums of 8 numbers in another order
        np.testing.assert_allclose(many[name], np.full(4, one[name]), atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "net", "shape", "loss", "hp"),
    [
        ("plain", "mlp", (2,), "rpgan", {"r1": 0.1}),
        ("conditional", "mlp", (2,), "lsgan", {}),
        ("plain", "dcgan", (8, 8, 1), "wasserstein", {"clip": 0.5}),
    ],
)
def test_gans_of_every_kind_have_gains(kind, net, shape, loss, hp):
    """Each player of an untrained GAN learns something of data that it has not seen, and none does at rate 0."""
    config = Config(kind=kind, net=net, loss=loss, width=8, latent=4, batch=32, hp=Hp(g_lr=1e-2, d_lr=1e-2, **hp))
    g = games.make(config, shape, 3)
    state = initial(g, config, shape)
    draw = np.random.default_rng(0)
    x = np.clip(0.5 + 0.1 * draw.normal(size=(16, 32, *shape)), -1, 1).astype(np.float32)
    data = {"x": x, "y": draw.integers(0, 3, (16, 32)).astype(np.int32)}
    batches, held = jax.tree.map(lambda d: d[:-1], data), jax.tree.map(lambda d: jnp.asarray(d[-1]), data)
    find = jax.jit(lambda state: nash.gains(g, state, batches, held, KEY))
    assert min(float(gain) for gain in find(state).values()) > 1e-3
    frozen = dataclasses.replace(state, hp=state.hp | {"g_lr": jnp.float32(0), "d_lr": jnp.float32(0)})
    if not hp.get("clip"):  # the first move clips, whatever the rate
        assert max(map(float, find(frozen).values())) < 1e-6, "both losses are the same, but for float32's rounding"


def test_loss_is_the_one_that_trains():
    config = Config(kind="conditional", net="mlp", loss="ns", width=8, latent=4, batch=32, hp=Hp(r1=0.5))
    g = games.make(config, (2,), 3)
    batch = {"x": jnp.linspace(-1, 1, 64).reshape(32, 2), "y": jnp.arange(32) % 3}

    @jax.jit
    def both(state):
        trained = {n: step.field(g, n, state, batch, KEY)[2][f"{n}_loss"] for n in g.players}
        return trained, {n: nash.loss(g, n, state, batch, KEY) for n in g.players}

    trained, found = both(initial(g, config, (2,)))
    for name in g.players:  # the same sums, which XLA may order otherwise
        assert float(found[name]) == pytest.approx(float(trained[name]), rel=1e-5)


def v(theta, w, c=0.0, std=1.0):
    return nash.location_value(theta, w, c, std=std, box=3.0)


def test_no_deviation_from_the_equilibrium_gains():
    """At theta = 0 and D = 1/2, V is -log 4 whatever G does, and below it for any other D; float64, by quadrature."""
    line = np.linspace(-3, 3, 25)
    with jax.enable_x64(True):
        generators = jax.jit(jax.vmap(lambda theta: v(theta, 0.0)))(line)
        logits = np.stack(np.meshgrid(line, line)).reshape(2, -1)
        discriminators = np.asarray(jax.jit(jax.vmap(lambda w, c: v(0.0, w, c)))(*logits))
        x, weights = divergence.gauss_legendre(-12, 12, 100)
        lp = jax.vmap(toy.gaussian_mixture([[0.0]], 1.0).density.log_pdf)(x[:, None])
        free = [float(value.value(np.sin(k * x) * k / 5 + x**2 / 9, lp, lp, weights)) for k in range(6)]
    np.testing.assert_allclose(generators, -np.log(4), atol=1e-12)
    moved = (logits != 0).any(0)
    assert moved.sum() == 624
    # log 4 - 2 E softplus(+-logit) is about -E logit^2 / 4, so at least a quarter of (1/4)^2
    assert (discriminators[moved] < -np.log(4) - 0.01).all()
    assert max(free) < -np.log(4) - 0.001, "nor a discriminator that no w and c describe"


def test_the_gap_of_the_gaussian_game_is_zero_at_its_equilibrium_only():
    experiment = runpy.run_path(str(Path(__file__).parent.parent / "experiments/theory/nash.py"))
    line, gap = experiment["gap_map"]()
    middle = len(line) // 2
    assert line[middle] == 0 and gap[middle, middle] == pytest.approx(0, abs=1e-12)
    others = np.delete(gap.ravel(), gap.size // 2)
    # nearest are (0.05, 0), where D gains about (theta / 2)^2 / (std^2 + theta^2 / 2) / 2, and (0, 0.05), where G does
    assert others.min() > 1e-3
    np.testing.assert_allclose(gap, gap[::-1, ::-1], atol=1e-12)  # x -> -x changes the names only


@pytest.fixture(scope="module")
def gaussian():
    """The location game with a bias, N(0, 1) against N(1, 1), from a D that is wrong: game, state, batches, held."""
    config = Config(net="mlp", loss="minimax", batch=2048, hp=Hp(g_lr=0.1, d_lr=0.02, b1=0.9))
    g = nash.location(config, {"theta": 1.0, "w": 0.5, "c": -0.3}, 1.0, 3.0)
    source = toy.gaussian_mixture([[0.0]], 1.0)
    batches = jax.jit(lambda: feed.from_device(source, {}, KEY, 0, 300, config.batch, config.batch))()
    held = jax.jit(lambda: feed.finish(source, {}, rng.stream(KEY, "held"), 0, 2**18))()
    return g, initial(g, config, (1,)), batches, held


def test_discriminators_best_response_is_the_optimal_one(gaussian):
    """D* = p / (p + q), with value -log 4 + 2 JSD (Goodfellow et al. 2014, theorem 1), is the logit -x + 1/2 here."""
    g, state, batches, held = gaussian
    found = jax.jit(lambda s: nash.best_response(g, "d", s, batches, KEY))(state).params["d"]
    gain = jax.jit(lambda s: nash.gains(g, s, batches, held, KEY))(state)["d"]
    with jax.enable_x64(True):
        x, weights = divergence.gauss_legendre(-12, 12, 200)
        log_pdf = jax.vmap(toy.gaussian_mixture([[0.0]], 1.0).density.log_pdf)
        lp, lq = log_pdf(x[:, None]), log_pdf(x[:, None] - 1)
        best = float(-np.log(4) + 2 * divergence.jsd(lp, lq, weights))
        assert float(v(1.0, -1.0, 0.5)) == pytest.approx(best, abs=1e-6), "toy densities are made in float32"
        reached, current = float(v(1.0, *map(float, (found["w"], found["c"])))), float(v(1.0, 0.5, -0.3))
    # 300 batches of 2,048: an excess of some 1e-4, of which Adam at rate 0.02 adds most
    assert best - 1e-3 < reached <= best + 1e-6
    # terms have slopes of at most |w| + |w'| = 1.5 in x, so a spread of at most 1.5 (Gaussian Poincare inequality)
    error = 1.5 * np.sqrt(2 / 2**18)
    assert float(gain) == pytest.approx(best - current, abs=4 * error + 1e-3)
    assert best - current > 0.5


def test_generators_best_response_is_the_wall_where_d_believes_it(gaussian):
    g, state, batches, held = gaussian
    found = jax.jit(lambda s: nash.best_response(g, "g", s, batches, KEY))(state)
    assert float(found.params["g"]["theta"]) == 3.0, "w > 0: more of x looks more real"
    gain = jax.jit(lambda s: nash.gains(g, s, batches, held, KEY))(state)["g"]
    with jax.enable_x64(True):
        wanted = float(v(1.0, 0.5, -0.3) - v(3.0, 0.5, -0.3))
    # difference of one sample's terms: a slope of at most w = 0.5
    assert float(gain) == pytest.approx(wanted, abs=4 * 0.5 / 2**9 + 1e-6)


def test_a_trajectory_is_what_training_does():
    config = Config(net="mlp", loss="minimax", optimizer="sgd", solver="optimistic", batch=64, steps=9)
    source = toy.gaussian_mixture([[0.0]], 0.3)
    g = nash.location(config, {"theta": 1.0, "w": 0.3}, 0.3, 2.0)
    states = jax.jit(lambda: nash.trajectory(g, config, source))()
    assert states.step.tolist() == list(range(9))
    devices = parallel.devices()
    compiled = program.build(g, source, config, devices)
    trained, _ = compiled.advance(devices.replicate(initial(g, config, (1,))), 0, 8)
    for net, name in (("g", "theta"), ("d", "w")):
        moved = states.params[net][name]
        assert len(set(moved.tolist())) == 9
        np.testing.assert_allclose(moved[8], trained.params[net][name], rtol=1e-6)


def test_experiment_sees_who_converges():
    """The exact gap and its estimate along two runs, to four standard errors of the estimate's sample."""
    experiment = runpy.run_path(str(Path(__file__).parent.parent / "experiments/theory/nash.py"))
    found = {name: experiment["measure"](name) for name in ("simultaneous", "extragradient")}
    for values in found.values():
        few = values["exact"][:: experiment["EVERY"]]
        # slopes as above, with |w| <= 2 and std 0.3: 1.2 for each term of D and 0.6 for G
        error = 4 * (1.2 * np.sqrt(2) + 0.6) / np.sqrt(experiment["HELD"])
        assert (abs(values["estimated"] - few) < error).all()
        assert (values["exact"] >= 0).all()
    away, near = found["simultaneous"], found["extragradient"]
    assert away["distance"][-100:].min() > 1.5 and away["exact"][-100:].min() > 0.5
    assert near["distance"][-100:].max() < 0.1 and near["exact"][-100:].max() < 0.05
