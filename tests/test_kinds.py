"""The contract that every kind of GAN meets, with all losses, terms and solvers; weights, batches and devices."""

import operator

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from matplotlib.figure import Figure

from jaxgan import checkpoint, games, plots, step
from jaxgan.games import conditional
from jaxgan.games.terms import D_TERMS, G_TERMS
from jaxgan.losses import LOSSES
from jaxgan.run import generate, latents
from jaxgan.solvers import SOLVERS
from jaxgan.state import initial
from jaxgan.theory.diagnosis import judge
from kinds import CLASSES, PLAIN, TABLE, Counted, batches, configured, losses, started
from processes import python

TERMS = (D_TERMS | G_TERMS).keys() - {"own"}  # a place that the user fills, like the loss of this name
# at least one of each family, of each term, and of each solver with a gradient of its own; the others share most of
# their code with one of these, and test_golden.py has the first steps of every kind and solver
QUICK = ["d2dce", "infogan", "vaegan", "began", "cyclegan", "bicyclegan"]
QUICK += ["ns", "wasserstein-y", "ns-consensus-y", "hinge-lookahead", "hinge-y-dcgan", "klgan-dcgan"]
QUICK += ["f_js-simultaneous-y", "f_pearson", "f_alpha-y", "ralsgan-extragradient-y"]
ROWS = [(name, 3) for name in QUICK]
ROWS += [pytest.param(name, 300 if name in TABLE else 5, marks=pytest.mark.slow) for name in TABLE | PLAIN]
# D's loss does not change when all its logits move by one number, so the bias of its last layer has no gradient
SHIFT_FREE = {"wasserstein", "rpgan", "ragan", "rahinge", "ralsgan", "mmd"}
SLACK = {"hinge"}  # the same, as long as all logits are inside the margins


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


def test_the_tables_cover_everything():
    settings = TABLE.values()
    assert {c["kind"] for c in settings} | {"plain"} == set(games.KINDS)
    assert {c.get("head", "projection") for c in settings} == {"projection", *conditional.HEADS, *conditional.MAPS}
    plain = [configured(name)[0] for name in PLAIN]
    both = ("plain", "conditional")
    assert {(c.kind, c.net) for c in plain} == {(kind, net) for kind in both for net in ("mlp", "dcgan")}
    assert {(c.kind, c.solver) for c in plain} >= {(k, name) for k in both for name in ("alternating", "simultaneous")}
    assert {c.solver for c in plain} == set(SOLVERS)
    assert {c.loss for c in plain} == set(LOSSES) - {"own"}
    labelled = [c for c in plain if c.kind == "conditional"]  # labels go astray
    assert {name for c in labelled for name in TERMS if getattr(c.hp, name)} == TERMS


@pytest.mark.parametrize(("name", "steps"), ROWS)
def test_contract(name, steps):
    """So many steps, traced once: finite; all learn; samples follow their latents; the state survives saving."""
    c, game, shape = configured(name)
    game = watched(game)
    counted = Counted(c, game)
    start = young = state = started(c, game, shape)
    owners = [net for player in game.players.values() for net in player.nets]
    assert sorted(owners) == sorted(game.nets), "every network has one owner"
    for i in range(steps):
        state, metrics = counted.call(state, batches(game, shape, i))
        young = state if i < 3 else young  # small networks at these rates may collapse later
        assert all(map(np.isfinite, metrics.values())), metrics
    assert counted.traces == 1, "compiled again"
    always = {f"{player}_{what}" for player in game.players for what in ("loss", "grad")}
    assert metrics.keys() >= always | {name for name in TERMS if getattr(c.hp, name)}
    fields = checkpoint.to_host(state)
    again = checkpoint.to_host(checkpoint.from_host(fields))
    assert checkpoint.digest(again) == checkpoint.digest(fields)
    check_learning(c, game, jax.device_get(start.params), fields)
    check_samples(game, young, shape)
    if "encode" in game.views:
        run = step.runner(game, state.params)
        y = jnp.arange(4) % CLASSES if game.classes else None
        x = batches(game, shape)["x"][0][:4]
        assert jax.eval_shape(lambda: game.views["encode"](run, state.vars, x, y)).shape == (4, c.latent)


def check_learning(c, game, start, fields):
    """Every array has a gradient and moves, inside its bounds; but the bias of D's last layer where it shifts D."""
    assert all(np.isfinite(x).all() for name in ("params", "vars", "opt", "ema") for x in jax.tree.leaves(fields[name]))
    largest = {n: s for p in game.players for n, s in names(fields["opt"][p][0]).items()}
    new, old = names(fields["params"]), names(start)
    assert largest.keys() == new.keys()
    for array, size in largest.items():
        last_bias = array.startswith("d.Head") and array.endswith("bias")
        if last_bias and c.loss in SHIFT_FREE:
            assert size < 1e-6, f"{array} has a gradient, though {c.loss} ignores a shift"
        elif not (last_bias and c.loss in SLACK):
            assert size > 1e-9, f"{array} has no gradient"
            assert (new[array] != old[array]).any(), f"{array} does not move"
    d = [p for name, p in new.items() if name.startswith("d.")]
    assert not c.hp.clip or max(abs(p).max() for p in d) <= c.hp.clip * (1 + 1e-5)
    if c.hp.max_norm:
        assert max(np.linalg.norm(p, axis=0).max() for p in d if p.ndim > 1) <= c.hp.max_norm * (1 + 1e-5)


def check_samples(game, state, shape):
    """The z that is given is the z that is used, and so is the label."""
    z = latents(game, 6, seed=0)
    y = game.condition({"x": batches(game, shape)["x"][0][:6], "y": jnp.arange(6) % CLASSES})
    draw = jax.jit(lambda z, y: generate(game, state.ema, z, y))
    x = np.asarray(draw(z, y))
    assert x.shape == (6, *shape)
    assert len(np.unique(x.reshape(6, -1), axis=0)) == 6
    mirrored = draw(z[::-1], None if y is None else y[::-1])
    np.testing.assert_allclose(x[::-1], mirrored, atol=1e-6)
    if game.classes:
        assert (abs(draw(z, (y + 1) % CLASSES) - x).reshape(6, -1).max(1) > 0).all()
    for i in range(z.shape[1]):
        moved = np.array(z)
        moved[:, i] += 1
        assert abs(draw(moved, y) - x).max() > 0, f"entry {i} of the latent is not used"


@pytest.mark.parametrize("name", [n for n in TABLE if n not in ("pool", "vae", "vae-y", "upscale")])
def test_no_player_moves_what_it_does_not_own(name):
    """Its loss has new vars for each of its networks, and what others own it may show, but not replace."""
    c, game, shape = configured(name)
    state = jax.eval_shape(lambda: initial(game, c, shape))
    batch = jax.tree.map(lambda b: b[0], batches(game, shape))
    for player, (_, vars, _) in jax.eval_shape(lambda s: losses(game, s, batch), state).items():
        assert set(game.players[player].nets) <= set(vars)
    assert not {"e", "q"} & set(game.players["d"].nets), "encoders and Q learn with G"


@pytest.mark.parametrize("name", ["infogan", "vaegan", "cyclegan"])
def test_an_update_leaves_the_networks_of_others_as_they_were(name):
    """Not one array of theirs is another one after it, and no gradient was taken in them."""
    c, game, shape = configured(name)
    batch = jax.tree.map(lambda b: b[0], batches(game, shape))

    def update(state, player):
        grads, vars, _ = step.field(game, player, state, batch, state.key)
        own = set(game.players[player].nets)
        assert set(grads) == set(vars) == own
        new = step.move(game, player, state, grads, vars)
        for net in game.nets.keys() - own:
            for field in ("params", "vars"):
                before, after = (jax.tree.leaves(getattr(s, field)[net]) for s in (state, new))
                assert len(before) == len(after) and all(map(operator.is_, before, after))
        for other in game.players.keys() - {player}:
            assert new.opt[other] is state.opt[other]
        return new

    for player in game.players:
        jax.eval_shape(lambda s, p=player: update(s, p), jax.eval_shape(lambda: initial(game, c, shape)))


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
    ("esrgan", "g"): ("pixel", "perceptual"),
    ("stargan", "d"): ("d_class",),
    ("stargan", "g"): ("cycle", "g_class"),
}


@pytest.mark.parametrize(("name", "player"), WEIGHTS)
def test_a_weight_multiplies_its_term(name, player):
    c, game, shape = configured(name)
    state = started(c, game, shape)
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
        state = started(c, game, shape)
        logits, diversity = jax.jit(lambda s, game=game: judge(game, s, batch, s.key))(state)
        assert np.isfinite(diversity)
        assert set(logits) == ({"training", "generated"} if name == "bigan-y" else set())
        if logits:

            @jax.jit
            def expected(state, game=game):
                run = step.runner(game, state.params)
                code = game.views["encode"](run, state.vars, batch["x"], batch["y"])
                return run(state.vars, "d", batch["x"], (batch["y"], code))[0]

            np.testing.assert_allclose(logits["training"], expected(state), atol=1e-6)
    axes = Figure().subplots()
    plots._scores(axes, {})
    assert "no D" in axes.get_title()


def test_each_sub_step_has_its_own_batch():
    """Every batch is seen by one update, in order of play."""
    c, game, shape = configured("lrgan", d_steps=2)
    state = started(c, game, shape)

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
