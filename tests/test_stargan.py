"""One translator for all classes: what each term compares, that the class asked for is the one given, and pictures."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import data, draw, games, looks, rng, step
from jaxgan.config import from_dict
from jaxgan.data.holdout import split
from jaxgan.run import Run
from jaxgan.state import initial
from jaxgan.theory import bayes
from jaxgan.types import JaxganError
from kinds import BATCH, CLASSES, batches, configured, started, untrained

untrained = cache(untrained)
NO_PENALTY = {"wgan_gp": 0.0}


def losses(nets, player="g", x=None, y=None, seed=0, **hp):
    """The metrics of a player's loss where `nets` {name: function of the inputs} stand in for the networks; x, y."""
    c, game, _ = configured("stargan", hp=NO_PENALTY | hp)
    r = np.random.default_rng(0)
    x = r.normal(size=(BATCH, 2)).astype(np.float32) if x is None else x
    y = np.arange(BATCH) % CLASSES if y is None else y
    numbers = {name: jnp.float32(value) for name, value in vars(c.hp).items()}

    def run(vars, net, *inputs, features=False, **options):
        out = nets[net](*inputs)
        return ((out, inputs[0]) if features else out), vars  # D's features are what it is shown

    total, (_, metrics) = game.players[player].loss(run, {}, {"x": x, "y": y}, rng.root(seed), numbers)
    return total, metrics, x, y


def no_d(x, y):
    return jnp.zeros(len(x))


def shift(z, x):
    """x moved by 5 a class on both axes."""
    return x + 5 * z.argmax(1)[:, None]


def cross_entropy(scores, y):
    return -(scores - np.log(np.exp(scores).sum(1, keepdims=True)))[np.arange(len(y)), y]


def test_the_cycle_goes_back_to_the_class_that_the_example_has():
    """A G that inverts itself has no cycle error; one that forgets x has |label - x|, of the example's own label."""
    flat = {"head": lambda h: jnp.zeros((len(h), CLASSES)), "d": no_d}
    labels = np.arange(BATCH) % CLASSES
    x = np.random.default_rng(0).uniform(-1, 1, (BATCH, 2)) + 5 * labels[:, None]  # a point shows its class
    exact = lambda z, x: x + 5 * (z.argmax(1) - jnp.round(x.mean(1) / 5))[:, None]  # noqa: E731
    _, found, *_ = losses({**flat, "g": exact}, x=x.astype(np.float32), y=labels)
    np.testing.assert_allclose(found["cycle"], 0, atol=1e-5)
    forgets = lambda z, x: jnp.stack([z.argmax(1), z.argmax(1)], 1).astype(jnp.float32)  # noqa: E731
    _, found, x, y = losses({**flat, "g": forgets})
    np.testing.assert_allclose(found["cycle"], abs(y[:, None] - x).mean(), rtol=1e-5)


def test_class_terms_are_cross_entropies_of_the_right_labels():
    """D's is of real examples and their labels alone; G's of its translations and the classes it was given."""
    given = []

    def g(z, x):
        given.append(np.asarray(z))
        return shift(z, x)

    scores = lambda h: np.asarray(h) @ np.array([[1.0, -0.5, 0.3], [0.2, 0.4, -1.0]])  # noqa: E731
    nets = {"g": g, "head": lambda h: jnp.asarray(h) @ jnp.array([[1.0, -0.5, 0.3], [0.2, 0.4, -1.0]]), "d": no_d}
    _, found, x, y = losses(nets, "d")
    np.testing.assert_allclose(found["d_class"], cross_entropy(scores(x), y).mean(), rtol=1e-5)
    given.clear()
    _, found, x, y = losses(nets, "g")
    z = given[0]
    assert (np.sort(z, 1) == [0, 0, 1]).all() and (z.argmax(1) != y).any()
    np.testing.assert_allclose(found["g_class"], cross_entropy(scores(shift(z, x)), z.argmax(1)).mean(), rtol=1e-5)
    np.testing.assert_array_equal(given[1], np.eye(CLASSES)[y], "the way back leads to the example's own class")


def test_no_term_compares_an_example_with_another_row():
    """What another first row does to a loss of the batch does not depend on the rows that stand below it."""
    head = lambda h: jnp.stack([h[:, 0], h[:, 1], h.sum(1)], 1)  # noqa: E731
    nets = {"g": lambda z, x: jnp.sin(x + z[:, :2]), "head": head, "d": lambda x, y: (x**2).sum(1)}
    first, *below = np.random.default_rng(0).normal(size=(4, BATCH, 2)).astype(np.float32)
    for player in ("d", "g"):
        found = [[losses(nets, player, np.concatenate([first[[i]], x[1:]]))[0] for i in (0, 1)] for x in below]
        changes = np.diff(found)[:, 0]
        np.testing.assert_allclose(changes, changes[0], rtol=1e-4)
        assert abs(changes[0]) > 1e-2


def test_every_example_draws_its_own_class_evenly():
    """Uniform over classes, another draw for every key, and row i of a batch the same whatever the batch's size."""
    game = configured("stargan")[1]
    z = np.asarray(game.latent(rng.root(0), 6000))
    assert set(z.ravel()) == {0.0, 1.0} and (z.sum(1) == 1).all()
    np.testing.assert_allclose(z.mean(0), 1 / CLASSES, atol=0.03)
    np.testing.assert_array_equal(game.latent(rng.root(0), 50), z[:50])
    assert (np.asarray(game.latent(rng.root(1), 6000)) != z).any()


def test_the_head_is_d_s_and_0_leaves_terms_out():
    c, game, _ = configured("stargan")
    assert game.players["d"].nets == ("d", "head") and game.players["g"].nets == ("g",)
    _, game, _ = configured("stargan", hp={"d_class": 0.0, "g_class": 0.0, "cycle": 0.0})
    assert "head" not in game.nets
    state = jax.eval_shape(lambda: initial(game, c, (2,)))
    batch = jax.tree.map(lambda b: b[0], batches(game, (2,)))
    _, _, metrics = jax.eval_shape(lambda s: step.field(game, "g", s, batch, s.key), state)
    assert not {"cycle", "g_class"} & set(metrics)


def test_translate_takes_classes():
    run, other = untrained("stargan"), untrained("pix2pix")
    x = np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32)
    made, net, saved = run.translate(x, labels=[2, 0, 1, 2]), run.game.nets["g"], run.state.ema["g"]
    z = jnp.eye(CLASSES)[jnp.array([2, 0, 1, 2])]
    np.testing.assert_allclose(made, net.apply(saved["params"], saved["vars"], z, x, train=False)[0], atol=1e-6)
    assert (abs(run.translate(x, labels=[1, 1, 2, 0]) - made).max(1) > 1e-3).all()
    for call, words in {
        "none": (lambda: run.translate(x), "give labels"),
        "z": (lambda: run.translate(x, z, labels=[0] * 4), "neither z nor back"),
        "back": (lambda: run.translate(x, back=True, labels=[0] * 4), "neither z nor back"),
        "range": (lambda: run.translate(x, labels=[0, 1, 2, 3]), "knows 0 to 2"),
        "number": (lambda: run.translate(x, labels=[0, 1]), "expected 4 whole numbers"),
        "shape": (lambda: run.translate(x[:, :1], labels=[0] * 4), r"expected \[n, 2\]"),
        "sample": (lambda: run.sample(3), "--translate"),
        "pairs": (lambda: other.translate(x, labels=[0] * 4), "no use for labels"),
        "sample --labels": (lambda: draw.translated(other, 8, 0, (1,), False, True), "is for stargan"),
        "sample --back": (lambda: draw.translated(run, 8, 0, (), True, True), "--back is for cyclegan"),
    }.values():
        with pytest.raises(JaxganError, match=words):
            call()


REFUSED = {
    "no labels": ({}, 0, "no labels"),
    "one class": ({}, 1, "one class"),
    "fakes": ({"fake_batch": 4}, 3, "fake_batch"),
    "pool": ({"pool": 4}, 3, "pool"),
    "latents": ({"latent_steps": 1}, 3, "latent_steps"),
    "paths": ({"hp": {"path_length": 1.0}}, 3, "hp.path_length"),
    "generator's norm": ({"g_norm": "spectral"}, 3, "g_norm"),
    "head": ({"head": "ac"}, 3, "no class head"),
    "sequences": ({"net": "dcgan", "data": "curves1d"}, 3, "data 'curves1d' are sequences"),
    "untaught": ({"hp": {"d_class": 0.0}}, 3, "never taught"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_stargan_could_only_ignore_is_refused(case):
    fields, classes, words = REFUSED[case]
    with pytest.raises(JaxganError, match=words):
        shape = (8, 1) if case == "sequences" else (2,)
        games.make(from_dict({"kind": "stargan", "net": "mlp", **fields}), shape, classes)


def test_pictures_show_examples_above_all_their_classes(monkeypatch):
    """In `jaxgan sample --translate` and in training: held-out examples, below each a row for every class in turn."""
    c, game, shape = configured("stargan-image", holdout=16, d_norm="none")
    run = Run(c, started(c, game, shape), {"shape": list(shape), "classes": CLASSES})
    r = np.random.default_rng(0)
    source = data.from_arrays(r.uniform(-1, 1, (40, *shape)).astype(np.float32), r.permutation(np.arange(40) % CLASSES))
    monkeypatch.setattr(data, "open_source", lambda name, **fields: source)
    kept, held = split(source, c.holdout)
    unseen = {x.tobytes() for x in held.rows(np.arange(16))["x"]}

    def look(x, classes, blocks):
        x = np.asarray(x).reshape(blocks, 1 + len(classes), 8, *shape)
        assert {row.tobytes() for row in x[:, 0].reshape(-1, *shape)} <= unseen
        for i, label in enumerate(classes):
            above = x[:, 0].reshape(-1, *shape)
            expected = run.translate(above, labels=np.full(len(above), label))
            np.testing.assert_allclose(x[:, 1 + i].reshape(-1, *shape), expected, atol=1e-5)

    shown, columns = draw.translated(run, 48, 0, (), False, True)
    assert columns == 8
    look(shown, range(CLASSES), 2)
    look(draw.translated(run, 9, 0, (2, 0), False, True)[0], (2, 0), 1)
    samples, columns = looks.samples(run.game, kept, held)
    assert columns == 8
    look(samples(run.state.ema), range(CLASSES), 2)


CENTRES = np.array([[0, 0], [4, 0], [0, 4]], np.float32)


def blobs(n, seed):
    """Points [n, 2] of three classes, their classes, and where each lies in its class."""
    r = np.random.default_rng(seed)
    y, offset = r.integers(0, 3, n).astype(np.int32), 0.7 * r.normal(size=(n, 2)).astype(np.float32)
    return CENTRES[y] + offset, y, offset


@cache
def trained(cycle):
    """A run on blobs, and of 600 new points turned into the next class: which class they are near, how far back is."""
    x, y, _ = blobs(2048, 0)
    settings = {"kind": "stargan", "net": "mlp", "width": 32, "steps": 600, "batch": 64}
    c = from_dict({**settings, "hp": {"g_lr": 5e-3, "d_lr": 5e-3, "r1": 0.1, "cycle": cycle, "ema_half_life": 0}})
    state = bayes.train(games.make(c, (2,), 3), c, data.from_arrays(x, y))
    run = Run(c, state, {"shape": [2], "classes": 3})
    x, y, _ = blobs(600, 1)
    made = run.translate(x, labels=(y + 1) % 3)
    near = ((made[:, None] - CENTRES) ** 2).sum(-1).argmin(1)
    return (near == (y + 1) % 3).mean(), abs(run.translate(made, labels=y) - x).mean()


@pytest.mark.slow
def test_points_reach_the_class_asked_for_and_find_their_way_back():
    """Without the cycle term a point forgets where it lay in its class: going back misses more than a guess."""
    (reached, back), (free, lost) = trained(3.0), trained(0.0)
    guess = abs(blobs(600, 1)[2]).mean()
    assert reached > 0.95 and free > 0.95
    assert back < 0.6 * guess < guess < lost
