"""Golden numbers of the first two steps of every kind of GAN, of every solver and of every optimizer; and of batches.

What moves, and not where it stands: a changed bit of wiring is a large part of a first step, and a small one of
parameters. By plain gradient descent where an optimizer is not the question: it passes rounding on as small as it is.
`python tests/test_golden.py` writes golden.json anew.
"""

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import data, rng, step
from jaxgan.data import feed
from jaxgan.optim import OPTIMIZERS
from jaxgan.solvers import SOLVERS
from kinds import TABLE, batches, made

FILE = Path(__file__).with_name("golden.json")
SAME = ("pix2pix-image", "cyclegan-image")  # wired as on points; stargan-image has their networks
ROWS = {
    "plain": {},
    **{name: settings for name, settings in TABLE.items() if name not in SAME},
    **{name: {"solver": name} for name in SOLVERS if name != "alternating"},
    **{name: {"optimizer": name} for name in OPTIMIZERS if name != "sgd"},
}
HP = {"ema_ramp": 10.0, "lookahead_every": 2.0}  # so that averages and lookahead's way back show at once
ROOM = 1e-4  # for the rounding of any processor and version of JAX
CHANGED = (
    "the numbers of the first steps of {name} changed: either a bug, or on purpose; then say so in the commit and "
    "regenerate with `python tests/test_golden.py`"
)


def numbers(settings) -> dict:
    """Metrics of a small game's second step; [length, sum] of what two steps moved, for each network and memory."""
    c, game, shape = made({"optimizer": "sgd", **settings, "hp": {**HP, **settings.get("hp", {})}})
    example = {"x": jnp.zeros((2, *shape)), "y": jnp.zeros(2, jnp.int32)}
    start = jax.jit(lambda: step.init(game, c.seed, dataclasses.asdict(c.hp), example))()
    state = start = dataclasses.replace(start, memory=SOLVERS[c.solver].init(game, start.params))
    advance = jax.jit(lambda state, batch: step.train_step(game, state, batch, SOLVERS[c.solver].step))
    for i in range(2):
        state, metrics = advance(state, batches(game, shape, i))
    found = {name: float(value) for name, value in metrics.items()}
    for field in ("params", "vars", "opt", "ema", "memory"):
        for name, new in vars(state)[field].items():
            moved = jax.tree.map(lambda b, a: np.ravel(np.float64(b) - np.float64(a)), new, vars(start)[field][name])
            if moved := jax.tree.leaves(moved):
                moved = np.concatenate(moved)
                found[f"{field}.{name}"] = [float(np.linalg.norm(moved)), float(moved.sum())]
    return found


# long to compile, or heads and labels that share their wiring with others here; their totals are held by hand
RARE = ("gat", "esrgan", "bigan-y", "infogan-y", "stargan-image", "adc", "ac_real", "embedding", "2c")


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in RARE else n for n in ROWS])
def test_the_first_steps(name):
    found, golden = numbers(ROWS[name]), json.loads(FILE.read_text())[name]
    assert found.keys() == golden.keys(), CHANGED.format(name=name)
    for what, value in golden.items():
        size = value[0] if isinstance(value, list) else abs(value)
        np.testing.assert_allclose(
            found[what], value, 0, ROOM * size + 1e-6, err_msg=f"{CHANGED.format(name=name)}: {what}"
        )


def test_every_row_is_golden():
    assert json.loads(FILE.read_text()).keys() == ROWS.keys()


def test_the_batches_of_a_seed():
    """Which rows the two updates of a step see, and what they draw from a density."""
    rows = feed.indices(data.from_arrays(np.zeros((100, 2), np.float32)), 3, 2, 4)(5, 1)
    assert rows.tolist() == [[[62, 94, 6, 45], [43, 59, 8, 7]]], CHANGED.format(name="rows")
    x = feed.from_device(data.open_source("ring8"), {}, rng.root(3), 5, 2, 1, 1)["x"][:, 0]
    golden = [[-0.7098588, 0.7034895], [0.7065024, 0.6960865]]
    np.testing.assert_allclose(x, golden, rtol=1e-5, err_msg=CHANGED.format(name="points"))


def rounded(value):
    return float(f"{value:.7g}") if isinstance(value, float) else [rounded(x) for x in value]


if __name__ == "__main__":
    rows = {name: {what: rounded(x) for what, x in numbers(settings).items()} for name, settings in ROWS.items()}
    FILE.write_text(
        "{\n" + ",\n".join(f"{json.dumps(name)}: {json.dumps(row)}" for name, row in rows.items()) + "\n}\n"
    )
