"""The contract that every kind of GAN beyond the plain one meets; weights, batches, diagnosis and devices."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from kinds import CLASSES, TABLE, batches, configured
from matplotlib.figure import Figure
from processes import python

from jaxgan import checkpoint, games, plots, step
from jaxgan.games import heads
from jaxgan.run import generate, latents
from jaxgan.solvers import SOLVERS
from jaxgan.state import initial
from jaxgan.theory.diagnose import judge

# at least one of each family; the others share most of their code with one of these, or with test_games.py
GATE = ["d2dce", "infogan", "aae", "vaegan", "began", "pool", "cyclegan", "bicyclegan"]
ROWS = [(name, 3) for name in GATE] + [pytest.param(name, 300, marks=pytest.mark.slow) for name in TABLE]
# the last bias shifts all logits alike: nothing to a loss of differences, or of two that cancel
NO_SHIFT = {"aae": "d.Head_0.Dense_0.bias"}


LARGEST = optax.GradientTransformation(
    lambda params: jax.tree.map(lambda p: jnp.zeros(()), params),
    lambda g, state, params: (g, jax.tree.map(lambda g, s: jnp.maximum(abs(g).max(), s), g, state)),
)


def watched(game):
    """game with the largest |gradient| of each array kept in the optimizer's state."""

    def watch(player):
        return player._replace(tx=lambda hp: optax.chain(LARGEST, player.tx(hp)))

    return game._replace(players={name: watch(player) for name, player in game.players.items()})


def names(tree):
    return {jax.tree_util.keystr(path, simple=True, separator="."): x for path, x in jax.tree.leaves_with_path(tree)}


def test_the_table_covers_every_kind_and_head():
    settings = TABLE.values()
    assert {c["kind"] for c in settings} | {"plain"} == set(games.KINDS)
    assert {c.get("head", "projection") for c in settings} == {"projection", *heads.HEADS, *heads.MAPS}


@pytest.mark.parametrize(("name", "steps"), ROWS)
def test_contract(name, steps):
    """So many steps, traced once: finite; all learn; samples follow their latents; the state survives saving."""
    c, game, shape = configured(name)
    game, traces = watched(game), []

    def advance(state, batches):
        traces.append(1)
        return step.train_step(game, state, batches, SOLVERS[c.solver].step)

    advance = jax.jit(advance)
    start = young = state = jax.jit(lambda: initial(game, c, shape))()
    owners = [net for player in game.players.values() for net in player.nets]
    assert sorted(owners) == sorted(game.nets), "every network has one owner"
    for i in range(steps):
        state, metrics = advance(state, batches(game, shape, i))
        young = state if i < 3 else young  # small networks at these rates may collapse later
        assert all(map(np.isfinite, metrics.values())), metrics
    assert len(traces) == 1, "compiled again"
    largest = {n: s for p in game.players for n, s in names(state.opt[p][0]).items()}
    moved = names(jax.tree.map(lambda a, b: float(abs(a - b).max()), start.params, state.params))
    assert largest.keys() == moved.keys()
    for array, size in largest.items():
        if array == NO_SHIFT.get(name):
            assert size < 1e-6, f"{array} has a gradient, though the loss ignores a shift"
        else:
            assert size > 1e-9, f"{array} has no gradient"
            assert moved[array] > 0, f"{array} does not move"
    fields = checkpoint.to_host(state)
    again = checkpoint.to_host(checkpoint.from_host(fields))
    assert checkpoint.digest(again) == checkpoint.digest(fields)
    check_samples(game, young, shape)
    if game.encode:
        run = step.runner(game, state.params)
        y = jnp.arange(4) % CLASSES if game.classes else None
        assert game.encode(run, state.vars, batches(game, shape)["x"][0][:4], y).shape == (4, c.latent)


def check_samples(game, state, shape):
    """The z that is given is the z that is used, and so is the label."""
    z = latents(game, 6, seed=0)
    y = game.given({"x": batches(game, shape)["x"][0][:6], "y": jnp.arange(6) % CLASSES})
    draw = jax.jit(lambda z, y: generate(game, state.ema, z, y))
    x = np.asarray(draw(z, y))
    assert x.shape == (6, *shape)
    assert len(np.unique(x.reshape(6, -1), axis=0)) == 6
    mirrored = draw(z[::-1], None if y is None else y[::-1])
    np.testing.assert_allclose(x[::-1], mirrored, atol=1e-6)
    if game.classes:
        assert (abs(draw(z, (y + 1) % CLASSES) - x).reshape(6, -1).max(1) > 0).all()
    for i in range(z.shape[1]):
        assert abs(draw(z.at[:, i].add(1.0), y) - x).max() > 0, f"entry {i} of the latent is not used"


@pytest.mark.parametrize("name", [n for n in TABLE if n not in ("pool", "vae", "vae-y")])
def test_no_player_moves_what_it_does_not_own(name):
    """With a rate of 0 for the other, a player's whole step leaves the other's parameters as they were."""
    c, game, shape = configured(name)
    state = jax.eval_shape(lambda: initial(game, c, shape))
    batch = jax.tree.map(lambda b: b[0], batches(game, shape))
    for player in game.players:
        grads, vars, _ = jax.eval_shape(lambda s, p=player: step.field(game, p, s, batch, s.key), state)
        assert set(grads) == set(vars) == set(game.players[player].nets)
    assert not {"e", "q"} & set(game.players["d"].nets), "encoders and Q learn with G"


WEIGHTS = {
    ("ac", "d"): ("d_class",),
    ("ac", "g"): ("g_class",),
    ("infogan", "g"): ("info",),
    ("lrgan", "g"): ("reconstruct",),
    ("vaegan", "g"): ("kl", "reconstruct"),
    ("ebgan", "g"): ("pull_away",),
    ("ssgan", "d"): ("d_rotation",),
    ("ssgan", "g"): ("g_rotation",),
    ("pix2pix", "g"): ("l1",),
    ("cyclegan", "g"): ("cycle", "identity"),
    ("bicyclegan", "g"): ("l1", "kl", "reconstruct"),
    ("stargan", "d"): ("d_class",),
    ("stargan", "g"): ("cycle", "g_class"),
}


@pytest.mark.parametrize(("name", "player"), WEIGHTS)
def test_a_weight_multiplies_its_term(name, player):
    c, game, shape = configured(name)
    state = jax.jit(lambda: initial(game, c, shape))()
    batch = jax.tree.map(lambda b: b[0], batches(game, shape))
    loss = game.players[player].loss

    @jax.jit
    def total(hp):
        found, (_, metrics) = loss(step.runner(game, state.params), state.vars, batch, state.key, {**state.hp, **hp})
        return found, metrics

    for weight in WEIGHTS[name, player]:
        (none, metrics), (three, _) = total({weight: 0.0}), total({weight: 3.0})
        assert abs(metrics[weight]) > 1e-6
        np.testing.assert_allclose(three - none, 3 * metrics[weight], rtol=1e-3)


def test_diagnosis_asks_the_game_for_scores():
    """BiGAN's D scores (x, E(x)); where no D judges examples there are no scores, and the picture says so."""
    batch = jax.tree.map(lambda b: b[0], batches(configured("vae-y")[1], (2,)))
    for name in ("bigan-y", "vae-y", "aae"):
        c, game, shape = configured(name)
        state = initial(game, c, shape)
        logits, diversity = judge(game, state, batch, state.key)
        assert np.isfinite(diversity)
        assert set(logits) == ({"training", "generated"} if name == "bigan-y" else set())
        if logits:
            run = step.runner(game, state.params)
            code = game.encode(run, state.vars, batch["x"], batch["y"])
            expected, _ = run(state.vars, "d", batch["x"], (batch["y"], code))
            np.testing.assert_allclose(logits["training"], expected, atol=1e-6)
    axes = Figure().subplots()
    plots._scores(axes, {})
    assert "no D" in axes.get_title()


def test_each_sub_step_has_its_own_batch():
    """Every batch is seen by one update, in order of play."""
    c, game, shape = configured("lrgan", d_steps=2)
    state = initial(game, c, shape)

    def watch(name, player):
        def loss(run, vars, batch, key, hp):
            total, (vars, metrics) = player.loss(run, vars, batch, key, hp)
            return total, (vars, {**metrics, f"seen_{name}": batch["x"].sum()})

        return player._replace(loss=loss)

    players = {name: watch(name, player) for name, player in game.players.items()}
    assert [p.steps for p in players.values()] == [2, 1] and game.updates == 3
    data = batches(game, shape)
    _, metrics = jax.jit(lambda s, b: step.train_step(game._replace(players=players), s, b, SOLVERS[c.solver].step))(
        state, data
    )
    each = data["x"].sum((1, 2))
    np.testing.assert_allclose(metrics["seen_d"], each[:2].mean(), rtol=1e-5)  # a mean over its steps
    np.testing.assert_allclose(metrics["seen_g"], each[2], rtol=1e-5)


DEVICES = """
import sys, json, jax, numpy as np, dataclasses
from jaxgan import config, games, parallel, program, checkpoint
from jaxgan.state import initial
from jaxgan.data import of_config
cases = {
  "2c and pool": dict(kind="conditional", head="2c", pool=12), "began": dict(kind="began", hp={"k_rate": 0.1}),
  "cyclegan": dict(kind="cyclegan", pool=12, hp={"wgan_gp": 1.0, "noise": 0.1}), "bicyclegan": dict(kind="bicyclegan"),
  "stargan": dict(kind="stargan"),
}
found = {}
for name, values in cases.items():
    rates = {"g_lr": 1e-2, "d_lr": 1e-2, **values.pop("hp", {})}
    c = config.from_dict({"net": "mlp", "data": "ring8", "latent": 2, "width": 8, "batch": 8, "optimizer": "sgd",
                          "steps": 4, "chunk": 4, "parallel": "pmap", "hp": rates, **values})
    source, d = of_config(c)[0], parallel.devices(c.parallel)
    game = games.make(c, source.shape, source.classes, d.axis)
    state = d.replicate(initial(game, c, source.shape))
    state, metrics = program.build(game, source, c, d).advance(state, 0, 4)
    fields = checkpoint.to_host(parallel.local(state))
    found |= {f"{name} {jax.tree_util.keystr(p)}": np.asarray(a) for p, a in jax.tree.leaves_with_path(fields)}
np.savez(sys.argv[1], **found)
"""


@pytest.mark.slow
def test_two_devices_agree_with_one_where_the_batch_is_compared_with_itself(tmp_path):
    """Contrasts, pools and BEGAN's control are those of the global batch, targets those of the example.

    SGD: no rounding is amplified.
    """
    for devices in (1, 2):
        python(DEVICES, devices, tmp_path / f"{devices}.npz")
    one, two = (dict(np.load(tmp_path / f"{n}.npz")) for n in (1, 2))
    assert one.keys() == two.keys()
    for name in one:
        np.testing.assert_allclose(two[name], one[name], atol=1e-5, err_msg=name)
