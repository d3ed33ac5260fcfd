"""Class heads, codes, energies, the pool and rotations, each against its formula."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import draw, rng, step
from jaxgan.errors import JaxganError
from jaxgan.games import autoencoder, conditional, info, pool, rotation
from jaxgan.run import latents
from jaxgan.state import initial
from kinds import BATCH, batches, configured, played, untrained


def unit_rows(n, seed, k=5):
    x = np.random.default_rng(seed).normal(size=(n, k))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def play(y=None, **fields):
    return played(y_real=y, **fields)


def test_auxiliary_classifiers_against_cross_entropy():
    r = np.random.default_rng(0)
    real, fake = r.normal(size=(5, 6)).astype(np.float32), r.normal(size=(5, 6)).astype(np.float32)
    y, y_fake = r.integers(0, 3, 5), r.integers(0, 3, 5)
    seen = play(y=y, y_fake=y_fake)
    ce = lambda logits, y: -np.take_along_axis(logits - np.log(np.exp(logits).sum(1, keepdims=True)), y[:, None], 1)  # noqa: E731
    ac, adc = conditional.HEADS["ac"], conditional.HEADS["adc"]
    np.testing.assert_allclose(ac.d(seen, real, fake), ce(real, y).mean() + ce(fake, y_fake).mean(), rtol=1e-5)
    np.testing.assert_allclose(ac.g(seen, fake), ce(fake, y_fake)[:, 0], rtol=1e-5)
    # Hou et al.: D takes real y for class y of 2k and generated y for class y + k; G pays log C(y + k) - log C(y)
    np.testing.assert_allclose(adc.d(seen, real, fake), ce(real, y).mean() + ce(fake, y_fake + 3).mean(), rtol=1e-5)
    np.testing.assert_allclose(adc.g(seen, fake), (ce(fake, y_fake) - ce(fake, y_fake + 3))[:, 0], rtol=1e-4)
    # ac_real: D learns classes from real examples alone, and G as with ac
    cured = conditional.HEADS["ac_real"]
    np.testing.assert_allclose(cured.d(seen, real, fake), ce(real, y).mean(), rtol=1e-5)
    np.testing.assert_allclose(cured.g(seen, fake), ce(fake, y_fake)[:, 0], rtol=1e-5)


def test_generated_examples_teach_the_d_of_ac_real_nothing_about_classes():
    """The gradient of D's class term does not ask what G makes; that of ac does."""

    def change(head):
        c, game, shape = configured(head, hp={})
        batch = jax.tree.map(lambda b: b[0], batches(game, shape))

        @jax.jit
        def slopes():
            state = initial(game, c, shape)

            def term(params, shift):
                def run(vars, net, *inputs, **options):
                    out, vars = step.runner(game, params)(vars, net, *inputs, **options)
                    return (out + shift if net == "g" else out), vars

                return game.players["d"].loss(run, state.vars, batch, state.key, state.hp)[1][1]["d_class"]

            return jax.vmap(lambda shift: jax.grad(term)(state.params, shift))(jnp.array([0.0, 1.0]))

        found = jax.tree.leaves({net: slopes()[net] for net in ("d", "head")})
        return max(float(abs(x[0]).max()) for x in found), max(float(abs(x[1] - x[0]).max()) for x in found)

    (size, least), (_, most) = change("ac_real"), change("ac")
    assert size > 0.01 and most > 0.01
    assert least == 0


def test_multi_hinge_by_hand():
    """Classes 0, 1 and `generated`, whose score is less D's logit."""
    scores = jnp.array([[2.0, 0.5], [0.0, 0.4]])
    np.testing.assert_allclose(conditional.multi_hinge(scores, jnp.array([0, 0])), [0.0, 1.4], atol=1e-6)
    head = conditional.HEADS["multihinge"]
    seen = play(
        d_real=jnp.array([3.0, 1.0]), d_fake=jnp.array([-2.0, 0.0]), y=jnp.array([0, 1]), y_fake=jnp.array([0, 1])
    )
    # real: 1 + 0.5 - 2 < 0, and 1 + 0 - 0.4; generated as class 2: 1 + 2 - 2, and 1 + 0.4 - 0
    np.testing.assert_allclose(head.d(seen, scores, scores), (0 + 0.6) / 2 + (1 + 1.4) / 2, rtol=1e-6)
    np.testing.assert_allclose(head.g(seen, scores), [1 + 2 - 2, 1 + 0 - 0.4], rtol=1e-6)
    assert head.alone, "it is the whole loss: the hinge of the scalar logit is not added"


@pytest.mark.parametrize("tau", [1.0, 0.3])
@pytest.mark.parametrize("proxy_alone", [False, True])
def test_contrastive_loss_against_a_loop(tau, proxy_alone):
    """ContraGAN's equation 8, written example by example; with the proxy alone, less a sum in the numerator."""
    y = np.array([0, 0, 1, 2, 0, 1])
    f, proxy = unit_rows(6, 0), unit_rows(3, 1)[y]
    expected = []
    for i in range(6):
        own = math.exp(f[i] @ proxy[i] / tau)
        same = sum(math.exp(f[i] @ f[k] / tau) for k in range(6) if k != i and y[k] == y[i] and not proxy_alone)
        everyone = sum(math.exp(f[i] @ f[k] / tau) for k in range(6) if k != i)
        expected.append(-math.log((own + same) / (own + everyone)))
    found = conditional.contrastive(
        jnp.asarray(f), jnp.asarray(proxy), jnp.asarray(y), tau=tau, proxy_alone=proxy_alone
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_permuted_classes_cost_2c_little_and_2c_proxy_much():
    """Ten classes of six equal examples, orthogonal to the others, at their own proxy or at the next class's."""
    y = jnp.repeat(jnp.arange(10), 6)
    rows = jnp.eye(10)

    def loss(head, proxies):
        return float(conditional.HEADS[head].d(play(y=y), (rows[y], proxies[y]), None).mean())

    e, shifted = math.e, jnp.roll(rows, 1, 0)
    # the other five of the class attract with e each, the 54 of other classes and a wrong proxy with 1 each
    by_hand = math.log((6 * e + 54) / (6 * e)), math.log((5 * e + 55) / (5 * e + 1))
    np.testing.assert_allclose([loss("2c", rows), loss("2c", shifted)], by_hand, rtol=1e-5)
    alone = math.log((6 * e + 54) / e), math.log((5 * e + 55) / 1)
    np.testing.assert_allclose([loss("2c_proxy", rows), loss("2c_proxy", shifted)], alone, rtol=1e-5)
    assert by_hand[1] - by_hand[0] < 0.1 < 0.9 < alone[1] - alone[0]


def test_data_to_data_cross_entropy_against_a_loop():
    """ReACGAN's equation 7: easy positives and easy negatives are cut off at the margins."""
    y, tau, m_p = np.array([0, 0, 1, 2, 0, 1]), 0.5, 0.7
    f, proxy = unit_rows(6, 0), unit_rows(3, 1)[y]
    f[0] = proxy[0]  # beyond m_p
    expected = []
    for i in range(6):
        pull = math.exp(min(f[i] @ proxy[i] - m_p, 0) / tau)
        push = sum(math.exp(max(f[i] @ f[j] - (1 - m_p), 0) / tau) for j in range(6) if y[j] != y[i])
        expected.append(-math.log(pull / (pull + push)))
    found = conditional.data_to_data(jnp.asarray(f), jnp.asarray(proxy), jnp.asarray(y), tau=tau, m_p=m_p)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    one_class = conditional.data_to_data(jnp.asarray(f), jnp.asarray(proxy), jnp.zeros(6, int))
    np.testing.assert_allclose(one_class, 0, atol=1e-6)  # without negatives there is nothing to tell apart


# InfoGAN


def test_codes_have_their_prior_and_likelihood():
    codes = (4, 1)
    c = jax.vmap(lambda key: info.draw(codes, key))(rng.examples(rng.root(0), 4000))
    share = c[:, :4].mean(0)
    np.testing.assert_allclose(share, 0.25, atol=5 * math.sqrt(0.25 * 0.75 / 4000))  # 5 standard errors
    assert set(np.unique(c[:, :4])) == {0, 1} and (c[:, :4].sum(1) == 1).all()
    assert abs(c[:, 4]).max() <= 1
    np.testing.assert_allclose([c[:, 4].mean(), c[:, 4].var()], [0, 1 / 3], atol=5 / math.sqrt(3 * 4000))
    assert abs(np.corrcoef(c[:, 4], c[:, 0])[0, 1]) < 5 / math.sqrt(4000), "codes are independent"
    q = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)
    log_q = np.log(np.exp(q[:, :4]) / np.exp(q[:, :4]).sum(1, keepdims=True))
    normal = np.exp(-((c[:7, 4] - q[:, 4]) ** 2) / 2) / math.sqrt(2 * math.pi)
    expected = -(log_q * c[:7, :4]).sum(1) - np.log(normal)
    np.testing.assert_allclose(info.negative_log_likelihood(codes, q, c[:7]), expected, rtol=1e-5)
    # a Q that knows the codes still pays 1/2 log 2 pi for each number
    sure = c.at[:, :4].multiply(1e3)
    np.testing.assert_allclose(info.negative_log_likelihood(codes, sure, c), 0.5 * math.log(2 * math.pi), rtol=1e-6)


def test_codes_are_set_where_they_lie():
    codes = (3, 1, 2)
    z = jnp.arange(20.0).reshape(2, 10)
    np.testing.assert_array_equal(info.with_code(codes, z, 0, [2, 0])[:, 4:7], [[0, 0, 1], [1, 0, 0]])
    np.testing.assert_array_equal(info.with_code(codes, z, 1, [0.5, -1])[:, 7], [0.5, -1])
    new = info.with_code(codes, z, 2, [1, 1])
    np.testing.assert_array_equal(new[:, :8], z[:, :8])
    np.testing.assert_array_equal(new[:, 8:], [[0, 1], [0, 1]])
    for i, value, words in (
        (3, 0, "no code 3"),
        (-1, 0, "no code -1"),
        (0, 3, "0 to 2"),
        (0, 0.5, "whole"),
        (1, 2, "-1 to 1"),
    ):
        with pytest.raises(JaxganError, match=words):
            info.with_code(codes, z, i, [value, value])


def test_truncation_and_walks_leave_codes_alone():
    _, game, _ = configured("infogan")
    z, cut = latents(game, 50, 0), latents(game, 50, 0, truncation=0.1)
    np.testing.assert_array_equal(z[:, 4:], cut[:, 4:])
    assert abs(cut[:, :4]).max() <= 0.1 < abs(z[:, :4]).max()
    plain = configured("lrgan")[1]
    np.testing.assert_array_equal(z[:, :4], latents(plain, 50, 0))  # codes move no other draw


def test_a_run_holds_codes_and_walks_over_them():
    run = untrained("infogan")  # codes 3, 1, 2
    walk = run.traverse(0, rows=2, seed=5)
    z = latents(run.game, 2, seed=5)
    for row in range(2):
        for value in range(3):
            one = run.generate(info.with_code((3, 1, 2), z[row : row + 1], 0, [value]))
            np.testing.assert_allclose(walk[3 * row + value], one[0], atol=1e-6)
    assert len(run.traverse(1, rows=2)) == 20 and len(run.traverse(2, rows=2)) == 4
    held = run.sample(4, seed=5, codes={0: 2, 1: [0, 0.5, -0.5, 1]})
    z = latents(run.game, 4, seed=5)
    expected = info.with_code((3, 1, 2), info.with_code((3, 1, 2), z, 0, [2] * 4), 1, [0, 0.5, -0.5, 1])
    np.testing.assert_array_equal(held, run.generate(expected))
    x, _, columns = draw.drawn(run, 5, 0, (), 0.0, False, 0, {}, True)
    assert len(x) == 6 and columns == 3, "whole rows"


# Autoencoding discriminators


def test_pull_away_is_0_for_orthogonal_rows_and_1_for_parallel_ones():
    np.testing.assert_allclose(autoencoder.pull_away(3 * jnp.eye(4)), 0, atol=1e-7)
    np.testing.assert_allclose(autoencoder.pull_away(jnp.outer(jnp.array([1.0, -2.0, 5.0]), jnp.ones(3))), 1, rtol=1e-6)
    angle = jnp.array([[1.0, 0.0], [math.cos(1), math.sin(1)]])
    np.testing.assert_allclose(autoencoder.pull_away(angle), math.cos(1) ** 2, rtol=1e-6)


def test_ebgan_s_margin_is_per_example():
    """One example above the margin does not pay for another below it."""
    c, game, shape = configured("ebgan", hp={"margin": 1.0, "pull_away": 0.0})
    state = initial(game, c, shape)

    def run(vars, net, x, y, features=False):
        if net == "g":
            return jnp.zeros((len(x), 2)), vars
        errors = jnp.arange(len(x)) * 0.5 if (x == 0).all() else jnp.full(len(x), 0.3)
        return ((-errors, jnp.ones((len(x), 4))) if features else -errors), vars

    batch = jax.tree.map(lambda b: b[0], batches(game, shape))
    loss, _ = game.players["d"].loss(run, state.vars, batch, state.key, state.hp)
    np.testing.assert_allclose(loss, 0.3 + (1 + 0.5) / BATCH, rtol=1e-6)  # errors 0, 0.5, 1, ...: max(0, 1 - error)
    loss, _ = game.players["g"].loss(run, state.vars, batch, state.key, state.hp)
    np.testing.assert_allclose(loss, 0.5 * 3.5, rtol=1e-6)


def test_began_s_control_by_hand():
    """k += rate (gamma L(x) - L(G(z))), kept in [0, 1], after D's update; M = L(x) + |gamma L(x) - L(G(z))|."""
    c, game, shape = configured("began", hp={"k_rate": 0.5, "balance": 0.75})
    state = initial(game, c, shape)

    def updated(k, real, fake):
        def run(vars, net, x, *y):
            if net == "k":
                return x, {**vars, "k": {"k": x}}
            errors = fake if (x == 0).all() else real
            return (jnp.zeros((len(x), 2)) if net == "g" else jnp.full(len(x), -errors)), vars

        batch = jax.tree.map(lambda b: b[0], batches(game, shape))
        loss, (vars, metrics) = game.players["d"].loss(run, {"k": {"k": k}}, batch, state.key, state.hp)
        return float(loss), float(vars["k"]["k"]), float(metrics["convergence"])

    np.testing.assert_allclose(updated(0.2, 0.8, 0.4), (0.8 - 0.2 * 0.4, 0.2 + 0.5 * 0.2, 0.8 + 0.2), rtol=1e-6)
    np.testing.assert_allclose(updated(0.2, 0.8, 0.7), (0.8 - 0.2 * 0.7, 0.2 - 0.5 * 0.1, 0.8 + 0.1), rtol=1e-6)
    assert updated(0.99, 4.0, 0.0)[1] == 1 and updated(0.01, 0.0, 4.0)[1] == 0


# Pool and rotation


def test_a_pool_is_a_history():
    """Filled first; then each example either passes, or takes a kept one's place, which passes in its stead."""
    net = pool.net(6, None)
    _, vars = net.init(None, jnp.zeros((2, 1)), jnp.zeros(2, jnp.int32))
    seen, swaps = [], 0
    apply = jax.jit(lambda vars, x, y, key: net.apply({}, vars, x, y, key, train=True))
    for i in range(50):
        new = 4.0 * i + jnp.arange(4.0)
        before = np.asarray(vars["kept"][0])[: int(vars["filled"]), 0]
        (x, y), vars = apply(vars, new[:, None], new.astype(jnp.int32), jax.random.fold_in(rng.root(0), i))
        x, kept = np.asarray(x)[:, 0], np.asarray(vars["kept"][0])[: int(vars["filled"]), 0]
        np.testing.assert_array_equal(x, y)  # the label stays with its example
        if i == 0:
            np.testing.assert_array_equal(x, new)
        # nothing is lost and nothing doubled: what came in or was kept is now shown or kept
        if i > 1:
            assert sorted([*x, *kept]) == sorted([*before, *np.asarray(new)])
            swaps += (x != np.asarray(new)).sum()
        seen += list(x)
    assert int(vars["filled"]) == 6
    total = 48 * 4
    assert abs(swaps / total - 0.5) < 5 * math.sqrt(0.25 / total)
    assert np.corrcoef(np.arange(200), seen)[0, 1] > 0.9


def test_the_pool_serves_d_alone():
    c, game, shape = configured("pool")
    state = jax.jit(lambda: initial(game, c, shape))()
    batch = jax.tree.map(lambda b: b[0], batches(game, shape))
    filled = {n: jax.jit(lambda s, n=n: step.field(game, n, s, batch, s.key))(state)[1] for n in ("d", "g")}
    assert int(filled["d"]["pool"]["filled"]) == BATCH and "pool" not in filled["g"]


def test_rotations_are_quarters_of_a_circle():
    x = np.random.default_rng(0).normal(size=(4, 3, 3, 1))
    found = rotation.rotated(jnp.asarray(x), jnp.arange(4))
    for k in range(4):
        np.testing.assert_allclose(found[k], np.rot90(x[k], k), rtol=1e-6)
