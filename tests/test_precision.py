"""Networks in bfloat16, and networks whose blocks are computed again: what changes, by how much, and what must not.

What a program consists of is read from its jaxpr, which costs no compilation.
"""

import dataclasses
import functools
import json

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import runs
from jaxgan import config, kernels, step
from jaxgan.config import Config, Hp
from jaxgan.nets import NETS, build, discriminator, layers, norms, translator, upscaler
from jaxgan.options import Biggan, Cat, Gat, Patchgan, Progan, R3gan, R3gan2, Rrdb, Sngan, Stylegan2
from jaxgan.solvers import SOLVERS
from jaxgan.sweep.space import identity
from kinds import batches, make

BF16, F32 = jnp.dtype("bfloat16"), jnp.dtype("float32")
SMALL = {"width": 8, "latent": 9, "r3gan": R3gan(blocks=1, group=4), "stylegan2": Stylegan2(mapping=2, group=2)}
TRANSLATE = ("unet", "pix2pix", "cyclegan", "stargan")  # G alone
STEP = 3  # of ProGAN, when its second stage has half faded in
# name: shape of an example, options
CASES = {
    "mlp": ((2,), {"net": "mlp", "depth": 3, "width": 32, "g_norm": "batch"}),
    "dcgan": ((16, 16, 1), {"net": "dcgan"}),
    "virtual": ((16, 16, 1), {"net": "dcgan", "d_norm": "virtual", "g_norm": "virtual"}),
    "unet": ((16, 16, 1), {"net": "dcgan"}),
    "pix2pix": ((32, 32, 1), {"net": "patchgan"}),
    "cyclegan": ((32, 32, 1), {"net": "patchgan", "patchgan": Patchgan("resnet", 2, dropout=True), "width": 4}),
    "stargan": ((64, 64, 1), {"net": "stargan", "width": 2}),
    "conv1d": ((32, 2), {"net": "conv1d"}),
    "sngan": ((28, 28, 1), {"net": "sngan", "width": 2, "sngan": Sngan(attention=14)}),
    "biggan": ((28, 28, 1), {"net": "biggan", "width": 2, "biggan": Biggan(attention=14)}),
    "deep": ((32, 32, 1), {"net": "biggan", "width": 4, "biggan": Biggan(deep=True)}),
    "stylegan2": ((8, 8, 1), {"net": "stylegan2"}),
    "progan": ((8, 8, 1), {"net": "progan", "progan": Progan(phase=2 * Config.batch)}),
    "r3gan": ((8, 8, 1), {"net": "r3gan"}),
    "r3gan2": ((8, 8, 1), {"net": "r3gan2", "r3gan2": R3gan2(blocks=2, group=4)}),
    "rrdb": ((16, 16, 1), {"net": "rrdb", "factor": 2, "rrdb": Rrdb(blocks=2, growth=4)}),
    "cat": ((16, 16, 1), {"net": "cat", "cat": Cat(depth=4, patch=4, levels=2, features=8, d_depth=4)}),
    "gat": ((16, 16, 1), {"net": "gat", "gat": Gat(depth=4, patch=4, levels=2, features=8)}),
    "spatial": ((12, 12, 1), {"net": "spatial"}),
}
CLASSES = 3
slow = functools.partial(pytest.param, marks=pytest.mark.slow)
TRACED = [name if name != "deep" else slow(name) for name in CASES]
COMPILED = [name if name == "mlp" else slow(name) for name in CASES]


@functools.cache
def case(name, precision="float32", remat=False):
    """(params, vars, inputs) -> loss of G and D in training, its new vars; and shapes of these three."""
    shape, options = CASES[name]
    c = Config(**{**SMALL, **options, "precision": precision, "remat": remat})
    n = norms.REFERENCE + 2 if name == "virtual" else 8
    of = jax.ShapeDtypeStruct
    inputs = {"z": of((n, 9), F32), "x": of((n, *shape), F32), "y": of((n,), jnp.int32), "key": jax.random.key(1)}
    if name in TRANSLATE:
        nets = {"g": translator(c, shape, None)}
        made = {"g": jax.eval_shape(nets["g"].init, inputs["key"], inputs["z"], inputs["x"])}
    elif name == "rrdb":
        nets = {"g": upscaler(c, shape, None), "d": discriminator(c, shape, CLASSES)}
        given = {"g": (inputs["x"],), "d": (inputs["x"], inputs["y"])}
        made = {side: jax.eval_shape(nets[side].init, inputs["key"], *given[side]) for side in nets}
    else:
        nets = build(c, shape, CLASSES)
        made = {
            side: jax.eval_shape(nets[side].init, inputs["key"], inputs[x], inputs["y"]) for side, x in ("gz", "dx")
        }
    params, vars = ({side: both[i] for side, both in made.items()} for i in (0, 1))

    def loss(params, vars, z, x, y, key):
        grown = {"step": STEP} if nets["g"].timed else {}
        told = {"key": key} if nets["g"].keyed else grown
        if name == "rrdb":
            out, new = nets["g"].apply(params["g"], vars["g"], x, train=True)
            real, d_vars = nets["d"].apply(params["d"], vars["d"], x, y, train=True)
            return (out**2).mean() + jax.nn.softplus(-real).mean(), {"g": new, "d": d_vars, "out": out, "d(x)": real}
        out, new = nets["g"].apply(params["g"], vars["g"], z, x if name in TRANSLATE else y, train=True, **told)
        if name in TRANSLATE:
            return ((out - x) ** 2).mean(), {"g": new, "out": out}
        fake, d_vars = nets["d"].apply(params["d"], vars["d"], out, y, train=True, **grown)
        real, d_vars = nets["d"].apply(params["d"], d_vars, x, y, train=True, **grown)
        return (jax.nn.softplus(fake) + jax.nn.softplus(-real)).mean(), {
            "g": new,
            "d": d_vars,
            "out": out,
            "d(x)": real,
        }

    return loss, params, vars, inputs


@functools.cache
def gradient(name, precision="float32", remat=False):
    """The compiled gradient of a case."""
    return jax.jit(jax.value_and_grad(case(name, precision, remat)[0], has_aux=True))


@functools.cache
def numbers(name):
    """Parameters of which none is 0, vars, and inputs of a case."""
    _, params, vars, inputs = case(name)
    rng = np.random.default_rng(0)
    equalised = name in ("stylegan2", "progan")  # weights are scaled in use
    fan = lambda p: 10 if len(p.shape) < 2 else 1 if equalised else np.sqrt(np.prod(p.shape[:-1]))  # noqa: E731
    params = jax.tree.map(lambda p: jnp.asarray(rng.normal(size=p.shape) / fan(p), F32), params)
    params = jax.tree_util.tree_map_with_path(lambda keys, p: p + (kernels.path(keys)[-5:] == "scale"), params)
    x = jnp.asarray(np.tanh(rng.normal(size=inputs["x"].shape)), F32)
    z, y = jnp.asarray(rng.normal(size=inputs["z"].shape), F32), jnp.arange(len(x)) % CLASSES
    return params, jax.tree.map(lambda v: jnp.ones(v.shape, v.dtype), vars), {**inputs, "x": x, "y": y, "z": z}


def flat(tree):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


def apart(a, b):
    """How far a is from b, in lengths of b."""
    return np.linalg.norm(flat(a) - flat(b)) / np.linalg.norm(flat(b))


def equations(jaxpr):
    """All equations of a jaxpr, and of those inside."""
    for equation in jaxpr.eqns:
        yield equation
        for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda p: hasattr(p, "eqns")):
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                yield from equations(inner)


@functools.cache
def traced(name):
    """The equations of a case's gradient, in bfloat16 and with blocks computed again."""
    loss, params, vars, inputs = case(name, "bfloat16", True)
    made = jax.make_jaxpr(jax.grad(lambda *args: loss(*args)[0]))
    return list(equations(made(params, vars, *(inputs[k] for k in ("z", "x", "y", "key"))).jaxpr))


def test_every_network_is_here():
    assert {options["net"] for _, options in CASES.values()} == set(NETS)


@pytest.mark.parametrize("name", TRACED)
def test_the_work_is_done_in_bfloat16(name):
    """Products of examples: all but the first layers of G, last of D, mappings, and stages at 4 pixels."""
    work = {BF16: 0.0, F32: 0.0}
    for equation in traced(name):
        if equation.primitive.name in ("dot_general", "conv_general_dilated"):
            a, b, out = (v.aval for v in (*equation.invars[:2], *equation.outvars))
            assert a.dtype == b.dtype, "no product converts a kernel back"
            work[a.dtype] += np.sqrt(float(a.size) * b.size * out.size)  # multiplications
    least = 0.4 if CASES[name][0] == (8, 8, 1) else 0.8
    assert work[BF16] > least * sum(work.values()), work


@pytest.mark.parametrize("name", TRACED)
def test_sums_over_examples_and_places_are_wide(name):
    """Which of bfloat16 numbers would stop at 256 times the first; those over 2x2 pixels are short."""
    for equation in traced(name):
        if equation.primitive.name in ("reduce_sum", "cumsum", "reduce_window_sum"):
            given, out = equation.invars[0].aval, equation.outvars[0].aval
            assert given.dtype != BF16 or given.size <= 4 * out.size, equation


@pytest.mark.parametrize("name", TRACED)
def test_parameters_statistics_logits_and_images_stay_float32(name):
    loss, params, vars, inputs = case(name, "bfloat16")
    value, new = jax.eval_shape(loss, params, vars, **inputs)
    assert {leaf.dtype for leaf in jax.tree.leaves((params, vars, value, new))} - {jnp.dtype("int32")} == {F32}
    assert jax.tree.structure({**vars, **new}) == jax.tree.structure(new)


def nearby(function, *trees):
    """Results of function at 4 points that are as far from trees as rounding them to bfloat16 moves them."""
    rng = np.random.default_rng(1)
    noisy = lambda leaf: leaf * (1 + 2**-8 * rng.uniform(-1, 1, leaf.shape).astype(np.float32))  # noqa: E731
    return [function(*jax.tree.map(noisy, trees)) for _ in range(4)]


def follows(found, exact, near):
    """Whether found is about as far from exact as near ones are.

    Near ones saw one rounding of inputs and parameters; a network in bfloat16 makes some six of them in each layer, as
    independent of each other: kernel, product, bias or norm, forwards and backwards. So their root mean square distance
    times sqrt(6) is to be expected, and twice sqrt(6) is allowed. An absolute bound would have to know the condition of
    each network; this one measures it.
    """
    distance = np.sqrt(np.mean([apart(one, exact) ** 2 for one in near]))
    assert apart(found, exact) <= 5 * distance, (apart(found, exact), distance)


@pytest.mark.parametrize("name", COMPILED)
def test_bfloat16_follows_float32(name):
    params, vars, inputs = numbers(name)
    x, z, *rest = (inputs[k] for k in ("x", "z", "y", "key"))

    def run(params, x, z, precision="float32"):
        (loss, aux), grads = gradient(name, precision)(params, vars, z, x, *rest)
        return {"loss": loss, **aux, "gradient": grads}

    found, exact, near = run(params, x, z, "bfloat16"), run(params, x, z), nearby(run, params, x, z)
    for part in exact.keys() - {"loss"}:
        if jax.tree.leaves(exact[part]):
            follows(found[part], exact[part], [one[part] for one in near])
    assert min(apart(found[part], exact[part]) for part in ("out", "gradient")) > 2**-11, "it is bfloat16"
    assert abs(found["loss"] - exact["loss"]) < 2**-6 * exact["loss"]


@pytest.mark.parametrize("name", COMPILED)
def test_computing_again_gives_the_same_gradient(name):
    params, vars, inputs = numbers(name)
    (value, aux), grads = gradient(name)(params, vars, **inputs)
    (again, aux_again), grads_again = gradient(name, remat=True)(params, vars, **inputs)
    assert abs(again - value) < 1e-6 * abs(value)
    assert apart(aux_again, aux) < 1e-6 and apart(grads_again, grads) < 1e-6


@pytest.mark.parametrize("name", TRACED)
def test_computing_again_keeps_less(name):
    """Bytes that the forward pass leaves to the backward pass, beside parameters: at most half.

    Of mlp, whose layers have inputs as large as what they make, at most four fifths.
    """

    def kept(remat):
        loss, params, vars, inputs = case(name, remat=remat)
        pull = jax.eval_shape(
            lambda params, **rest: jax.vjp(lambda p: loss(p, **rest)[0], params)[1], params, vars=vars, **inputs
        )
        total = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(pull))
        return total - sum(leaf.size * 4 for leaf in jax.tree.leaves(params))

    assert kept(True) < (0.8 if name == "mlp" else 0.5) * kept(False)


@pytest.mark.parametrize("name", ["mlp", slow("dcgan"), slow("stylegan2")])
def test_the_gradient_of_r1_is_finite_and_near(name):
    params, vars, inputs = numbers(name)
    shape, options = CASES[name]

    def penalty(d, x, precision):
        net = build(Config(**{**SMALL, **options, "precision": precision}), shape, CLASSES)["d"]
        slope = jax.grad(lambda x: net.apply(d, vars["d"], x, inputs["y"], train=True)[0].sum())(x)
        return (slope**2).sum() / len(x)

    run = jax.jit(jax.value_and_grad(penalty), static_argnums=2)
    d, x = params["d"], inputs["x"]
    found, exact, near = run(d, x, "bfloat16"), run(d, x, "float32"), nearby(lambda d, x: run(d, x, "float32"), d, x)
    assert np.isfinite(flat(found)).all()
    follows(found[1], exact[1], [one[1] for one in near])
    assert abs(found[0] - exact[0]) < 2**-4 * exact[0]


class Standard(layers.Network):
    @nn.compact
    def __call__(self, x, train):
        return norms.batch_norm(train)(self.narrow(x))


def test_batch_statistics_are_those_of_the_numbers_that_are_there():
    """A mean 100 times the deviation: squares in bfloat16 would have lost the variance."""
    x = jnp.asarray(np.random.default_rng(0).normal(100, 1, (512, 4)), F32)
    net = layers.linen(Standard(), Config(precision="bfloat16"))
    out, new = net.apply(*net.init(jax.random.key(0), x), x, train=True)
    there = np.asarray(x.astype(BF16), np.float64)
    found = new["batch_stats"]["BatchNorm_0"]
    np.testing.assert_allclose(found["mean"], 0.1 * there.mean(0), rtol=1e-5)
    np.testing.assert_allclose(found["var"], 0.9 + 0.1 * there.var(0), rtol=1e-3)
    np.testing.assert_allclose(out, (there - there.mean(0)) / there.std(0), rtol=2**-8, atol=1e-3)


@pytest.mark.parametrize(
    "settings",
    [
        {"net": "dcgan", "d_norm": "spectral", "g_norm": "virtual", "hp": {"r1": 1.0, "lecam": 0.3}},
        {"kind": "infogan", "codes": (3, 1), "solver": "lookahead", "hp": {"lookahead_every": 2.0}},
    ],
    ids=str,
)
def test_the_state_has_the_types_of_float32(settings):
    """Parameters, averages, optimizers, spectral vectors and reference batches, memory; and metrics."""
    found = []
    for precision in ("float32", "bfloat16"):
        shape = settings.get("shape", (8, 8, 1) if settings.get("net") == "dcgan" else (2,))
        c, game, state = make(**settings, precision=precision)
        advance = functools.partial(step.train_step, game, solver=SOLVERS[c.solver].step)
        found.append(
            jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), jax.eval_shape(advance, state, batches(game, shape)))
        )
    assert found[0] == found[1]


def test_a_run_in_bfloat16_resumes_bit_for_bit(tmp_path):
    c = dataclasses.replace(runs.BASE, precision="bfloat16", d_steps=1, checkpoint_every=8, hp=Hp())
    alone = runs.trained(tmp_path / "alone", c)
    runs.trained(tmp_path / "two", c, steps=8)
    resumed = runs.trained(tmp_path / "two", c)
    runs.assert_same_bits(alone, resumed)
    assert runs.digests(tmp_path / "alone") == runs.digests(tmp_path / "two")
    assert json.loads((tmp_path / "two" / "config.json").read_text())["precision"] == "bfloat16"


def test_what_a_run_has_recorded_stays_as_it_was():
    c = Config()
    assert not {"precision", "remat"} & config.to_dict(c).keys()
    assert identity(dataclasses.replace(c, remat=True)) == identity(c) != identity(Config(precision="bfloat16"))
    for other in (Config(precision="bfloat16"), Config(remat=True)):
        assert config.from_dict(json.loads(json.dumps(config.to_dict(other)))) == other
        assert config.differences(c, other) == ([] if other.remat else ["precision: 'float32' -> 'bfloat16'"])
