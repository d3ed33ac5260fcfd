"""Translation between two sets of images: what each term compares, who knows what, and that a known map is found."""

import dataclasses
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import data, draw, games, looks, rng, step, train
from jaxgan.config import from_dict
from jaxgan.games import translate
from jaxgan.nets import build, heads
from jaxgan.run import Run
from jaxgan.theory import bayes
from jaxgan.types import JaxganError, halves
from kinds import batches, configured, started, untrained

untrained = cache(untrained)


def losses(name, nets, player="g", x=None, **hp):
    """The metrics of a player's loss where `nets` {name: function of the inputs} stand in for the networks."""
    c, game, _ = configured(name, pool=0, hp=hp)
    x = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32) if x is None else x
    numbers = {name: jnp.float32(value) for name, value in vars(c.hp).items()}
    run = lambda vars, net, *inputs, **options: (nets[net](*inputs), vars)  # noqa: E731
    total, (_, metrics) = game.players[player].loss(run, {}, {"x": x}, rng.root(0), numbers)
    return total, metrics, halves(x)


def no_d(x, y):
    return jnp.zeros(len(x))


def test_what_cyclegan_s_terms_compare():
    """Inverse translators have no cycle error, whatever they do; identities have no identity error."""
    twice, halved = (lambda z, x: 2 * x + 1), (lambda z, x: (x - 1) / 2)
    _, found, (a, b) = losses("cyclegan", {"g": twice, "f": halved, "d": no_d})
    np.testing.assert_allclose(found["cycle"], 0, atol=1e-6)
    np.testing.assert_allclose(found["identity"], abs(b + 1).mean() + abs((a + 1) / 2).mean(), rtol=1e-5)
    _, found, (a, b) = losses("cyclegan", {"g": lambda z, x: x, "f": lambda z, x: 3 * x, "d": no_d})
    np.testing.assert_allclose(found["cycle"], 2 * abs(a).mean() + 2 * abs(b).mean(), rtol=1e-5)
    np.testing.assert_allclose(found["identity"], 2 * abs(a).mean(), rtol=1e-5)


def test_no_term_of_cyclegan_compares_the_two_images_of_a_row():
    """Another order of B changes nothing: the losses of an unpaired game."""
    rows = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    other = np.concatenate([rows[:, :2], np.roll(rows, 3, 0)[:, 2:]], 1)
    nets = {"g": lambda z, x: x**2, "f": lambda z, x: x - 1, "d": lambda x, y: x.sum(1)}
    for player in ("d", "g"):
        one, two = (losses("cyclegan", nets, player, x, wgan_gp=0.0)[0] for x in (rows, other))
        np.testing.assert_allclose(one, two, rtol=1e-5)
    nets["e"] = lambda x, y: jnp.concatenate([x, x, x, x], 1)
    one, two = (losses("pix2pix", nets, "g", x, r1=0.0)[0] for x in (rows, other))
    assert abs(one - two) > 1


def test_each_discriminator_of_cyclegan_sees_its_own_set():
    """The losses are D_A's of (a, F(b)) plus D_B's of (b, G(a)), each of them as a GAN of its own has it."""
    c, game, shape = configured("cyclegan", pool=0, hp={"cycle": 0.0, "identity": 0.0, "wgan_gp": 0.0}, loss="ns")
    state = started(c, game, shape)
    x = batches(game, shape)["x"][0]
    run, (a, b) = step.runner(game, state.params), halves(x)
    found = {name: game.players[name].loss(run, state.vars, {"x": x}, state.key, state.hp)[0] for name in ("d", "g")}
    net, z = build(c, (2,))["d"], jnp.zeros((8, 0))
    expected = {"d": 0.0, "g": 0.0}
    for side, real, translator, other in (("a", a, "f", b), ("b", b, "g", a)):
        score = lambda x, s=side: net.apply(state.params["d"][s], {}, x, None, train=True)[0]  # noqa: E731
        fake = run(state.vars, translator, z, other)[0]
        expected["d"] += jax.nn.softplus(-score(real)).mean() + jax.nn.softplus(score(fake)).mean()
        expected["g"] += jax.nn.softplus(-score(fake)).mean()
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5)
    score_b = net.apply(state.params["d"]["b"], {}, b, None, train=True)[0]
    np.testing.assert_allclose(game.views["score"](run, state.vars, x, None), score_b, rtol=1e-5)


def test_weights_of_rows_weigh_both_images():
    """cyclegan's D with logits sum(x) and a Wasserstein loss: minus the weighted sums of both real images."""
    c, game, _ = configured("cyclegan", pool=0, loss="wasserstein", hp={"wgan_gp": 0.0})
    x, w = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32), np.arange(8, dtype=np.float32) / 3.5
    run = lambda vars, net, *inputs, **options: ((inputs[0].sum(1) if net == "d" else 0 * inputs[1]), vars)  # noqa: E731
    numbers = {name: jnp.float32(value) for name, value in vars(c.hp).items()}
    found, _ = game.players["d"].loss(run, {}, {"x": x, "w": w}, rng.root(0), numbers)
    np.testing.assert_allclose(found, -(w * x.sum(1)).mean(), rtol=1e-5)


def test_the_pool_never_shows_an_image_of_one_set_as_the_other_s():
    """After many updates D_A has met old F(b) and D_B old G(a): here all of one sign each."""
    _, game, _ = configured("cyclegan", pool=20)
    vars = {"pool": game.nets["pool"].init(None, jnp.zeros((8, 4)), None)[1]}
    seen = []

    def run(vars, net, *inputs, **options):
        if net == "pool":
            out, new = game.nets["pool"].apply({}, vars["pool"], *inputs, train=True)
            return out, {**vars, "pool": new}
        if net == "d" and not isinstance(inputs[0], jax.core.Tracer):
            seen.append(np.asarray(inputs[0]))
        if net == "d":
            return jnp.zeros(len(inputs[0])) * inputs[0].sum(), vars
        return (1 if net == "g" else -1) * (1 + abs(inputs[1])), vars

    hp = {name: jnp.float32(v) for name, v in vars_of_hp("cyclegan").items()}
    for i in range(6):
        x = jnp.asarray(np.random.default_rng(i).normal(size=(8, 4)), jnp.float32)
        _, (vars, _) = game.players["d"].loss(run, vars, {"x": x}, jax.random.fold_in(rng.root(0), i), hp)
        fakes = seen[1]
        seen.clear()
        assert (fakes[0::2] < 0).all() and (fakes[1::2] > 0).all()
        fresh = np.asarray(-(1 + abs(x[:, 2:])))
        old = (fakes[0::2] != fresh).any(1)
    assert 0 < old.mean() < 1, "the pool is not used"


def vars_of_hp(name):
    return vars(configured(name)[0].hp)


def test_the_discriminator_of_pairs_sees_the_source():
    """D's logits of the same b differ with a, and sample gives what D takes: the source and its translation."""
    trained = untrained("pix2pix")
    game, state = trained.game, trained.state
    run, x = step.runner(game, state.params), batches(game, (4,))["x"][0]
    moved = x.at[:, :2].add(1.0)
    score = lambda x: game.views["score"](run, state.vars, x, None)  # noqa: E731
    assert (abs(score(x) - score(moved)) > 1e-4).all()
    z = game.latent(rng.root(0), 8)
    made = game.sample(run, state.vars, z, halves(x)[0])
    np.testing.assert_array_equal(made[:, :2], x[:, :2])
    np.testing.assert_allclose(made[:, 2:], game.views["translate"](run, state.vars, z, x[:, :2]), rtol=1e-6)


def test_bicyclegan_gives_half_of_the_rows_their_codes_and_asks_for_the_others():
    """l1 and kl are means over the rows with codes, the recovered latents' error over those that drew z."""
    mean = np.random.default_rng(1).normal(size=(8, 4)).astype(np.float32)
    given = []

    def g(z, a):
        given.append(z)
        return jnp.zeros_like(a)

    def e(x, y):  # log variance -40: codes are the means; asked about G's zeros it answers 5
        code = jnp.where((x == 0).all(), 5.0, mean)
        return jnp.concatenate([code, jnp.full((8, 4), -40.0)], 1)

    _, found, (_, b) = losses("bicyclegan", {"g": g, "e": e, "d": no_d})
    z, rows = np.asarray(given[0]), np.arange(8) % 2 == 1
    np.testing.assert_allclose(z[rows], mean[rows], atol=1e-6)
    assert (abs(z[~rows] - mean[~rows]) > 1e-3).any(1).all()
    np.testing.assert_allclose(found["l1"], abs(b[rows]).mean(), rtol=1e-5)
    expected = 0.5 * (mean[rows] ** 2 + np.exp(-40.0) - 1 + 40).sum(1).mean()
    np.testing.assert_allclose(found["kl"], expected, rtol=1e-5)
    np.testing.assert_allclose(found["reconstruct"], abs(z[~rows] - 5).mean(), rtol=1e-5)


def test_the_recovered_latents_move_g_and_not_e():
    trained = untrained("bicyclegan")
    game, state = trained.game, trained.state
    batch = {"x": batches(game, (4,))["x"][0]}

    @jax.jit
    def gradient(weight):
        def loss(own):
            run = step.runner(game, {**state.params, **own})
            return game.players["g"].loss(run, state.vars, batch, state.key, {**state.hp, "reconstruct": weight})[0]

        return jax.grad(loss)({"g": state.params["g"], "e": state.params["e"]})

    pull = jax.tree.map(lambda a, b: np.asarray(a - b), gradient(1.0), gradient(0.0))
    assert max(abs(x).max() for x in jax.tree.leaves(pull["e"])) < 1e-5
    assert max(abs(x).max() for x in jax.tree.leaves(pull["g"])) > 1e-3


def test_a_fixed_function_passes_its_gradient_to_its_input_only():
    """d/dx of w x^2 is 2 w x, and d/dw is 0; the value is that of the function."""
    f = lambda w, x: translate._through(lambda x: w * (x**2).sum(1), x).sum()  # noqa: E731
    x = jnp.array([[1.0, 2.0], [3.0, -1.0]])
    assert f(3.0, x) == 45
    of_w, of_x = jax.grad(f, (0, 1))(3.0, x)
    assert of_w == 0
    np.testing.assert_allclose(of_x, 6 * x)


def test_rows_alternate():
    a, b = jnp.arange(3)[:, None], 10 + jnp.arange(3)[:, None]
    assert heads.alternated(a, b)[:, 0].tolist() == [0, 10, 1, 11, 2, 12]


ROTATION = np.array([[0.6, -0.8], [0.8, 0.6]], np.float32)


def rotated(n=512):
    a = np.random.default_rng(0).normal(size=(n, 2)).astype(np.float32)
    return a, a @ ROTATION.T


def test_pix2pix_finds_a_known_map():
    """Points and their rotation: far below the error of the best constant, of points that it did not see."""
    a, b = rotated(768)
    settings = {"kind": "pix2pix", "net": "mlp", "width": 32, "latent": 2, "steps": 300, "batch": 64}
    c = from_dict({**settings, "hp": {"g_lr": 3e-3, "ema_half_life": 0}})
    state = bayes.train(games.make(c, (4,)), c, data.from_arrays(np.concatenate([a, b], 1)[:512]))
    run = Run(c, state, {"shape": [4], "classes": 0})
    error = ((run.translate(a[512:]) - b[512:]) ** 2).mean()
    assert error < 0.02 < b.var()


def test_translate_asks_for_the_right_images():
    run, one = untrained("cyclegan"), untrained("pix2pix")
    a = np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32)
    there, back = run.translate(a), run.translate(a, back=True)
    assert there.shape == back.shape == (3, 2) and abs(there - back).max() > 1e-3
    net, saved = run.game.nets["f"], run.state.ema["f"]
    expected, _ = net.apply(saved["params"], saved["vars"], jnp.zeros((3, 0)), a, train=False)
    np.testing.assert_allclose(back, expected, atol=1e-6)
    z = np.ones((3, 4), np.float32)
    assert abs(one.translate(a, z) - one.translate(a, -z)).max() > 1e-4
    np.testing.assert_array_equal(one.translate(a, seed=1), one.translate(a, seed=1))
    assert abs(one.translate(a, seed=1) - one.translate(a, seed=2)).max() > 1e-4
    for call, words in {
        "pair": (lambda: run.translate(np.zeros((3, 4))), r"\(3, 4\); expected \[n, 2\]"),
        "latents": (lambda: one.translate(a, z[:, :1]), r"\(3, 1\); expected \(3, 4\)"),
        "back": (lambda: one.translate(a, back=True), "cyclegan goes back"),
        "sample": (lambda: run.sample(3), "--translate"),
        "other": (lambda: untrained("concat").translate(a), "translates nothing"),
    }.values():
        with pytest.raises(JaxganError, match=words):
            call()


def test_bicyclegan_reconstructs_b_from_a_and_its_code():
    run, x = untrained("bicyclegan"), np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    z = run.encode(x)
    saved = run.state.ema["e"]
    expected, _ = run.game.nets["e"].apply(saved["params"], saved["vars"], x[:, 2:], None, train=False)
    np.testing.assert_allclose(z, expected[:, :4], atol=1e-6)
    np.testing.assert_allclose(run.reconstruct(x), run.translate(x[:, :2], z), atol=1e-6)


def test_pictures_show_sources_above_their_translations(monkeypatch):
    """In `jaxgan sample --translate`, with held-out rows, and in training, of the same sources every time."""
    c, game, shape = configured("cyclegan-image", shape=(8, 8, 2), holdout=16)
    run = Run(c, started(c, game, shape), {"shape": list(shape), "classes": 0})
    rows = np.random.default_rng(0).uniform(-1, 1, (40, *shape)).astype(np.float32)
    source = data.from_arrays(rows)
    monkeypatch.setattr(data, "open_source", lambda name, **fields: source)
    kept, held = data.of_config(c, source)
    unseen = held.rows(np.arange(16))["x"]
    for back in (False, True):
        shown, columns = draw.translated(run, 16, 0, (), back, True)
        shown = shown.reshape(2, 2, 8, 8, 8, 1)
        above = shown[:, 0].reshape(16, 8, 8, 1)
        assert columns == 8 and {x.tobytes() for x in above} == {x.tobytes() for x in halves(unseen)[back]}
        np.testing.assert_allclose(shown[:, 1].reshape(16, 8, 8, 1), run.translate(above, back=back), atol=1e-5)
    samples, columns = looks.samples(run.game, kept, held)
    x = np.asarray(samples(run.state.ema)).reshape(-1, 2, columns, 8, 8, 1)
    above = x[:, 0].reshape(-1, 8, 8, 1)
    assert {x.tobytes() for x in above} <= {x.tobytes() for x in halves(unseen)[0]}
    np.testing.assert_allclose(x[:, 1].reshape(-1, 8, 8, 1), run.translate(above), atol=1e-5)


REFUSED = {
    "odd": ("pix2pix", {}, (3,), "image of each"),
    "augmented pairs": ("pix2pix", {"augment": ("jitter",)}, (4,), "augment"),
    "no pairs": ("pix2pix", {"data": "unpaired:here"}, (4,), "pair images at random"),
    "mixed logits": ("cyclegan", {"loss": "ragan"}, (4,), "two discriminators"),
    "fakes": ("cyclegan", {"fake_batch": 4}, (4,), "fake_batch"),
    "labels": ("cyclegan", {"conditional": True}, (4,), "conditional"),
    "pool": ("bicyclegan", {"pool": 4}, (4,), "pool"),
    "generator's norm": ("bicyclegan", {"g_norm": "spectral"}, (4,), "g_norm"),
    "virtual batch": ("pix2pix", {"d_norm": "virtual"}, (4,), "virtual"),
    "net": ("cyclegan", {"net": "conv1d"}, (8, 2), "by net 'conv1d', and data 'mnist5k' are sequences of shape"),
    "sequences": ("pix2pix", {"net": "dcgan", "data": "sines"}, (8, 4), "data 'sines' are sequences.*--net mlp"),
    "images of labels": ("pix2pix", {"net": "dcgan"}, (8, 8, 1), "Labels are no such set: kind conditional makes"),
    "no net": ("cyclegan", {"net": "sngan"}, (32, 32, 2), "net 'sngan' translates nothing"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_translated_is_refused(case):
    kind, fields, shape, words = REFUSED[case]
    with pytest.raises(JaxganError, match=words):
        games.make(from_dict({"kind": kind, "net": "mlp", **fields}), shape, 3)


MORE = {"pix2pix": {"pool": 12}, "cyclegan": {"pool": 12}, "bicyclegan": {}, "stargan": {"data": "mnist5k"}}


@pytest.mark.slow
@pytest.mark.parametrize("kind", MORE)
def test_a_stopped_run_goes_on_with_the_same_bits(kind, tmp_path):
    sizes = {"width": 4, "batch": 8, "size": 8, "steps": 4, "checkpoint_every": 2, "holdout": 50}
    c = from_dict({"kind": kind, "data": "mnist5k_outlines", "net": "dcgan", **sizes, **MORE[kind]})
    whole = train.run(c, tmp_path / "whole", quiet=True)
    train.run(dataclasses.replace(c, steps=2), tmp_path / "parts", quiet=True)
    parts = train.run(c, tmp_path / "parts", quiet=True)
    same = partial(jax.tree.map, lambda a, b: np.testing.assert_array_equal(np.asarray(a), np.asarray(b)))
    same((whole.state.params, whole.state.vars), (parts.state.params, parts.state.vars))
    assert len(list((tmp_path / "whole" / "samples").glob("*.png"))) == 1
