"""Normalisation of networks: what it divides by, when its memory moves, what flows through it, on any device."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import games, kernels, step
from jaxgan.config import Config, Hp
from jaxgan.errors import JaxganError
from jaxgan.nets import NETS, build
from jaxgan.nets.norms import REFERENCE, VirtualNorm
from jaxgan.nets.spectral import divided, spectral
from jaxgan.run import generate, latents
from jaxgan.solvers import SOLVERS
from jaxgan.state import initial
from jaxgan.types import Net
from kinds import SQUARE, TABLE, batches, configured, losses, make
from processes import python

BOTH = {"d_norm": "spectral", "g_norm": "spectral"}


def normal(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def largest(kernel):
    """By numpy's singular value decomposition of (kh * kw * cin, cout)."""
    return np.linalg.svd(np.asarray(kernel, np.float64).reshape(-1, kernel.shape[-1]), compute_uv=False)[0]


def effective(state, net):
    """Largest singular value of each kernel as its network uses it."""
    used = jax.jit(divided)(state.params[net], state.vars[net]["u"])
    return np.array([largest(kernel) for kernel in kernels.named(used).values()])


def same(a, b):
    return all(jax.tree.leaves(jax.tree.map(lambda x, y: bool((x == y).all()), a, b)))


@pytest.fixture(scope="module", params=["mlp", "dcgan"])
def trained(request):
    """A conditional game whose players are both normalised; its state at first, and after 20 steps; and one step."""
    net = request.param
    _, game, start = make("conditional", net=net, loss="hinge", hp={"r1": 0.1}, **BOTH, d_steps=2)
    advance = jax.jit(lambda state, b: step.train_step(game, state, b, SOLVERS["alternating"].step)[0])
    state, shape = start, {"mlp": (2,), "dcgan": SQUARE}[net]
    for i in range(20):
        state = advance(state, batches(game, shape, i))
    return game, shape, start, state, advance


def test_the_largest_singular_value_of_every_kernel_is_1(trained):
    """Never below, as ||W u|| is never above it; near 1 while the kernels move, and 1 when they stand still."""
    game, shape, start, state, advance = trained
    raw = [largest(kernel) for kernel in kernels.named(state.params["d"]).values()]
    assert max(abs(np.array(raw) - 1)) > 0.3, "without the division they are far from 1"
    still = dataclasses.replace(state, hp={**state.hp, "g_lr": jnp.float32(0), "d_lr": jnp.float32(0)})
    for i in range(40):
        still = advance(still, batches(game, shape, i))
    for net in ("d", "g"):
        for at, room in ((start, 0.2), (state, 0.5), (still, 1e-3)):
            found = effective(at, net)
            assert (found > 1 - 1e-5).all() and (found < 1 + room).all(), found


def test_the_table_of_classes_is_normalised_where_it_meets_features(trained):
    _, _, _, state, _ = trained
    assert [name for name in state.vars["d"]["u"] if "table" in name] == ["Head_0.Embed_0.table"]
    assert not [name for name in state.vars["g"]["u"] if "table" in name], "G's labels are an input"


def test_vectors_move_once_in_an_update_of_their_own_player(trained):
    """By one power iteration on the weights before the update; never in the other's, nor when looked at."""
    game, shape, _, state, _ = trained
    b = jax.tree.map(lambda x: jnp.asarray(x[0]), batches(game, shape))
    moved = {name: jax.jit(lambda n=name: step.field(game, n, state, b, state.key)[1])() for name in game.players}
    for player, other in (("d", "g"), ("g", "d")):
        assert other not in moved[player]
        old, new = state.vars[player]["u"], moved[player][player]["u"]
        for name, kernel in kernels.named(state.params[player]).items():
            w = np.asarray(kernel, np.float64).reshape(-1, kernel.shape[-1])
            once = w.T @ (w @ np.asarray(old[name]))
            np.testing.assert_allclose(new[name], once / np.linalg.norm(once), atol=1e-5)
        assert not same(new, old)
    run, z, y = step.runner(game, state.params), latents(game, 4, 0), jnp.arange(4) % 3

    @partial(jax.jit, static_argnames="train")
    def looked(vars, train):
        x, vars = run(vars, "g", z, y, train=train)
        return run(vars, "d", x, y, train=train)[1]

    for train in (True, False):
        vars = looked(state.vars, train=train)
        assert same(vars["d"]["u"], state.vars["d"]["u"]) and same(vars["g"]["u"], state.vars["g"]["u"])


def test_steps_of_a_player_are_its_iterations(trained):
    """D makes two updates a step and G one: D's vectors stand two iterations further when nothing else moves."""
    game, shape, start, _, advance = trained
    still = dataclasses.replace(start, hp={**start.hp, "g_lr": jnp.float32(0), "d_lr": jnp.float32(0)})
    after = advance(still, batches(game, shape))
    for net, count in (("d", 2), ("g", 1)):
        for name, kernel in kernels.named(start.params[net]).items():
            u = start.vars[net]["u"][name]
            for _ in range(count):
                u = jax.jit(kernels.iterated)(kernel, u)
            np.testing.assert_allclose(after.vars[net]["u"][name], u, atol=1e-5)


def test_both_passes_and_penalties_of_an_update_see_one_network():
    """A D that is spectrally normalised and linear has one slope everywhere, 1: R1 and R2 are both 1/2 on the dot."""
    line = Net(
        lambda key, x, y: ({"kernel": jnp.float32([[3.0], [4.0]])}, {}),
        lambda params, vars, x, y, train: ((x @ params["kernel"])[:, 0], vars),
    )
    _, game, _ = make(hp={"r1": 1.0, "r2": 1.0}, d_norm="spectral")
    game = game._replace(nets={**game.nets, "d": spectral(line)})
    b = {k: v[0] for k, v in batches(game, (2,)).items()}
    state = step.init(game, 0, dataclasses.asdict(Hp(r1=1.0, r2=1.0)), b)
    run = step.runner(game, state.params)
    _, (_, metrics) = game.players["d"].loss(run, state.vars, b, state.key, state.hp)
    np.testing.assert_allclose([metrics["r1"], metrics["r2"]], 0.5, rtol=1e-6)
    np.testing.assert_allclose(metrics["d_real"], (b["x"] @ np.float32([0.6, 0.8])).mean(), rtol=1e-5)


@pytest.mark.parametrize("shape", [(5, 3), (4, 4, 2, 3)])
def test_the_gradient_through_the_division(shape):
    """Against finite differences of W / ||W u|| at a fixed u; and Miyato's equation 12 where u is the singular vector.

    d/dW <A, W / s> = (A - <A, W/s> v u^T) / s.
    """
    with jax.enable_x64(True):
        w, a, u = (jnp.asarray(normal(s, i)) for i, s in enumerate((shape, shape, shape[-1:])))
        loss = jax.jit(lambda w, u: (a * divided({"kernel": w}, {"kernel": u})["kernel"]).sum())
        slopes, h = jax.jit(jax.grad(loss)), 1e-6
        slope = slopes(w, u)
        for i in range(3):
            way = normal(shape, 10 + i)
            numeric = (loss(w + h * way, u) - loss(w - h * way, u)) / (2 * h)
            np.testing.assert_allclose((slope * way).sum(), numeric, rtol=1e-7)
        m, flat = np.asarray(w).reshape(-1, shape[-1]), np.asarray(a).reshape(-1, shape[-1])
        v, s, ut = np.linalg.svd(m, full_matrices=False)
        expected = (flat - (flat * m).sum() / s[0] * np.outer(v[:, 0], ut[0])) / s[0]
        np.testing.assert_allclose(slopes(w, jnp.asarray(ut[0])).reshape(m.shape), expected, atol=1e-12)
        turn = jax.jit(jax.grad(lambda w: loss(w, kernels.iterated(w, u))))(w)
        np.testing.assert_array_equal(turn, slopes(w, jax.jit(kernels.iterated)(w, u)), "u and v are constants")


def test_known_kernels():
    """All entries c: |c| sqrt(n m), in one iteration. Diagonal: its largest entry. Zero: no division by zero."""
    key = jax.random.key(0)
    constant = jnp.full((2, 3, 4), -0.5)
    np.testing.assert_allclose(kernels.size(constant, kernels.start(key, constant, 1)), 0.5 * 24**0.5, rtol=1e-6)
    diagonal = jnp.diag(jnp.float32([1, 7, 3]))
    np.testing.assert_allclose(kernels.size(diagonal, kernels.start(key, diagonal)), 7, rtol=1e-5)
    zero = jnp.zeros((3, 2))
    made, pull = jax.vjp(lambda w: divided({"kernel": w}, {"kernel": kernels.start(key, zero)})["kernel"], zero)
    assert (made == 0).all() and np.isfinite(pull(jnp.ones_like(zero))[0]).all()
    scaled = [divided({"kernel": c * diagonal}, {"kernel": jnp.float32([1, 2, 3])})["kernel"] for c in (1, 100)]
    np.testing.assert_allclose(*scaled, rtol=1e-6)
    np.testing.assert_allclose(kernels.size(diagonal, jnp.float32([0, 0.1, 0])), 7, rtol=1e-6)  # u of any length


def test_evaluation_equals_training(trained):
    """Spectral normalisation has no statistics: the averaged generator is finite and normalised, and draws alike."""
    game, shape, _, state, _ = trained
    assert (
        np.array(
            [largest(k) for k in kernels.named(divided(state.ema["g"]["params"], state.ema["g"]["vars"]["u"])).values()]
        )
        < 1.3
    ).all()
    x = jax.jit(lambda z: generate(game, state.ema, z, jnp.arange(3)))(latents(game, 3, 0))
    assert x.shape == (3, *shape) and np.isfinite(x).all() and x.std() > 0


REFUSED = {
    **dict.fromkeys(("vae", "ebgan", "began"), "d_norm"),  # there is no D that judges
    # nothing serves that of translators
    **dict.fromkeys(("pix2pix", "cyclegan", "bicyclegan", "stargan", "esrgan"), "g_norm"),
}


# the networks of gat, cat and upscale have norms of their own alone
@pytest.mark.parametrize("name", [name for name in TABLE if name not in ("gat", "cat", "upscale")])
def test_every_kind_has_spectral_norm_in_its_networks(name):
    """Traced only: each player's loss returns its own vars, vectors included, as they were made."""
    refused = REFUSED.get(TABLE[name]["kind"])
    if refused:
        with pytest.raises(JaxganError, match=f"{refused} is .* no use for it"):
            configured(name, **{refused: "spectral"})
    c, game, shape = configured(name, **{norm: "spectral" for norm in ("g_norm", "d_norm") if norm != refused})
    state = jax.eval_shape(lambda: initial(game, c, shape))
    for side in ("g", "d"):
        assert f"{side}_norm" == refused or "u" in state.vars[side]
    batch = jax.tree.map(lambda b: b[0], batches(game, shape))
    found = jax.eval_shape(lambda s: losses(game, s, batch), state)
    for name, player in game.players.items():
        for net in player.nets:
            assert jax.tree.structure(found[name][1][net]) == jax.tree.structure(state.vars[net])


SETTINGS = ("none", "batch", "virtual", "spectral")


@pytest.mark.parametrize(("net", "shape"), [("mlp", (2,)), ("dcgan", (16, 16, 1)), ("conv1d", (8, 2))])
def test_settings_of_norms(net, shape):
    """`own` is what the architecture says; a kernel has a bias unless a batch norm follows; memory is what it needs."""

    def found(config):
        parts = build(config, shape)
        y, z, x = None, jnp.zeros((2, 3)), jnp.zeros((2, *shape))
        given = {"g": (z, y), "d": (x, y)}
        return {n: jax.eval_shape(parts[n].init, jax.random.key(0), *given[n]) for n in parts}

    def has(tree, name):
        return name in str(jax.tree.structure(tree))

    own = found(Config(net=net, width=4, depth=2))
    for norm in SETTINGS:
        made = found(Config(net=net, width=4, depth=2, d_norm=norm, g_norm=norm))
        for side, (params, vars) in made.items():
            assert has(vars, "batch_stats") == has(params, "BatchNorm") == (norm == "batch"), (side, norm)
            assert has(params, "VirtualNorm") == (norm == "virtual"), (side, norm)
            inner = [n for n in kernels.named(params) if "Head" not in n][:1]
            assert len(inner) == 1
            if NETS[net].NORM[side] == norm:
                assert jax.tree.structure(params) == jax.tree.structure(own[side][0])
    only = found(Config(net=net, width=4, depth=2, d_norm="none"))
    assert str(only["g"]) == str(own["g"]), "d_norm is D's alone"


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ({"kind": "ebgan", "d_norm": "spectral"}, ("ebgan", "d_norm")),
        ({"kind": "bigan", "d_norm": "virtual"}, ("bigan", "d_norm")),
        ({"d_norm": "virtual", "pack": 2}, ("pack 2", "d_norm")),
        ({"kind": "vae", "d_norm": "none"}, ("vae", "d_norm")),
    ],
)
def test_norms_that_a_kind_could_only_ignore_are_refused(settings, parts):
    with pytest.raises(JaxganError) as e:
        games.make(Config(net="mlp", width=4, batch=8, **settings), (2,), 3)
    assert all(part in str(e.value) for part in parts)


DEVICES = """
import sys, jax, numpy as np
from jaxgan import config, games, parallel, program, checkpoint
from jaxgan.state import initial
from jaxgan.data import of_config

found, modes = {}, ["pmap", "jit"] if jax.device_count() > 1 else ["pmap"]
for norm, mode in [(norm, mode) for norm in ("spectral", "virtual") for mode in modes]:
    c = config.from_dict({"net": "mlp", "data": "ring8", "latent": 2, "width": 8, "batch": 8, "optimizer": "sgd",
                          "steps": 4, "chunk": 4, "parallel": mode, "d_norm": norm, "g_norm": norm,
                          "hp": {"g_lr": 1e-2, "d_lr": 1e-2}})
    source, d = of_config(c)[0], parallel.devices(c.parallel)
    game = games.make(c, source.shape, source.classes, d.axis)
    state = d.replicate(initial(game, c, source.shape))
    state, metrics = program.build(game, source, c, d).advance(state, 0, 4)
    for leaf in jax.tree.leaves((state.vars, state.params)):
        copies = [np.asarray(shard.data) for shard in leaf.addressable_shards]
        assert len(copies) == jax.device_count() and all((copy == copies[0]).all() for copy in copies)
    fields = checkpoint.to_host(parallel.local(state))
    names = {jax.tree_util.keystr(p): np.asarray(a) for p, a in jax.tree.leaves_with_path(fields)}
    found |= {f"{mode} {norm} {name}": a for name, a in names.items()}
np.savez(sys.argv[1], **found)
"""


@pytest.mark.slow
def test_two_devices_have_one_network(tmp_path):
    """Vectors and references have the same bits on all devices, and follow those of one; under pmap and jit."""
    for devices in (1, 2):
        python(DEVICES, devices, tmp_path / f"{devices}.npz")
    one, two = (dict(np.load(tmp_path / f"{n}.npz")) for n in (1, 2))
    assert len(two) == 2 * len(one)
    for name in two:
        expected = one["pmap" + name[name.index(" ") :]]
        np.testing.assert_allclose(two[name], expected, atol=1e-5, err_msg=name)


VIRTUAL = {"d_norm": "virtual", "g_norm": "virtual"}


def literal(x, reference):
    """Virtual batch norm of one example x by the paper's words: with the reference, as one batch more of one."""
    both = np.concatenate([reference, x[None]]).astype(np.float64)
    axes = tuple(range(both.ndim - 1))
    return (x - both.mean(axes)) / np.sqrt(both.var(axes) + 1e-5)


@pytest.mark.parametrize("shape", [(3,), (4, 4, 3)])
def test_virtual_norm_is_that_of_the_reference_and_oneself(shape):
    x = normal((REFERENCE + 5, *shape)).astype(np.float32) + 2
    found = VirtualNorm().apply({"params": {"scale": jnp.ones(3), "bias": jnp.zeros(3)}}, x)
    for i in range(REFERENCE, len(x)):
        np.testing.assert_allclose(found[i], literal(x[i], x[:REFERENCE]), atol=1e-4)
    axes = tuple(range(len(shape)))
    np.testing.assert_allclose(np.mean(found[:REFERENCE], axes), 0, atol=1e-5)
    np.testing.assert_allclose(np.std(found[:REFERENCE], axes), 1, atol=1e-4)


@pytest.fixture(scope="module", params=["plain", "conditional"])
def virtually(request):
    """A game of convolutions with both players virtually normalised, its first state, and the one after 3 steps."""
    c = {"kind": request.param, "net": "dcgan", "width": 4, "latent": 3, "batch": 8, "loss": "hinge", **VIRTUAL}
    game = games.make(Config(**c, hp=Hp(r1=0.1)), (16, 16, 1), 3)
    start = state = initial(game, Config(**c), (16, 16, 1))
    advance = jax.jit(lambda state, b: step.train_step(game, state, b, SOLVERS["alternating"].step)[0])
    for i in range(3):
        state = advance(state, batches(game, (16, 16, 1), i))
    return game, start, state


def test_references_are_fixed_at_the_start(virtually):
    """D's are the first real examples, over and over to REFERENCE of them; G's are latents of the seed. Both stay."""
    game, start, state = virtually
    first = batches(game, (16, 16, 1), 0)
    x, y = state.vars["d"]["reference"]
    np.testing.assert_array_equal(x, np.tile(first["x"][0], (REFERENCE // 8, 1, 1, 1)))
    assert not start.vars["d"]["filled"] and state.vars["d"]["filled"] and start.vars["g"]["filled"]
    assert same(state.vars["g"]["reference"], start.vars["g"]["reference"])
    assert same(state.ema["g"]["vars"]["reference"], start.vars["g"]["reference"])
    z, labels = state.vars["g"]["reference"]
    assert z.shape == (REFERENCE, 3) and len(np.unique(z, axis=0)) == REFERENCE and abs(z.mean()) < 0.3
    if game.classes:
        np.testing.assert_array_equal(y, np.tile(first["y"][0], REFERENCE // 8))
        np.testing.assert_array_equal(labels, np.arange(REFERENCE) % 3)


def test_examples_do_not_see_each_other(virtually):
    """Each output depends on its own input and the reference, in training as in evaluation: what batch norm cannot."""
    game, _, state = virtually
    run = step.runner(game, state.params)
    x, y = normal((6, 16, 16, 1)).astype(np.float32), jnp.arange(6) % 3 if game.classes else None
    judge = jax.jit(lambda vars, x, y: run(vars, "d", x, y)[0])
    score = partial(judge, state.vars)
    draw = jax.jit(lambda z, y: generate(game, state.ema, z, y))
    z = latents(game, 6, 0)
    for f, inputs in ((score, x), (draw, z)):
        whole, part = f(inputs, y), f(inputs[2:4], None if y is None else y[2:4])
        np.testing.assert_allclose(part, whole[2:4], atol=1e-5)
        assert len(np.unique(np.asarray(whole).reshape(6, -1), axis=0)) == 6
    kept = state.vars["d"]["reference"]
    other = {**state.vars, "d": {**state.vars["d"], "reference": (5 * kept[0], kept[1])}}
    assert abs(judge(other, x, y) - score(x, y)).max() > 1e-3, "the reference matters"
    evaluated, kept = jax.jit(lambda vars: run(vars, "d", x, y, train=False))(state.vars)
    np.testing.assert_allclose(evaluated, score(x, y), atol=1e-6)
    assert same(kept, state.vars)
