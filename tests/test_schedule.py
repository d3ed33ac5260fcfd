"""Numbers that change over training: their notation, their values, and that constants keep their bits."""

import dataclasses
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgan import cli, config, hp, log, override, rng, step, train
from jaxgan.config import Hp
from jaxgan.errors import JaxganError
from jaxgan.hp import Piece
from jaxgan.solvers import SOLVERS
from jaxgan.sweep import space
from jaxgan.verify import verify
from runs import BASE, assert_same_bits, digests, source

COSINE = Piece(0.05, 0.005, 1e7)
WARM_UP = (Piece(0.0, 2e-4, 1e5, "linear"), Piece(2e-4, 0.0, 1e7, "linear"))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("0.05:0.005:1e7", (COSINE,)),
        ("0.05:0.005:1e7:cosine", (COSINE,)),
        ((0.05, 0.005, 1e7), (COSINE,)),
        ([[0.05, 0.005, 1e7, "cosine"]], (COSINE,)),
        ("0:2e-4:1e5:linear/2e-4:0:1e7:linear", WARM_UP),
        ([(0, 2e-4, 1e5, "linear"), (2e-4, 0, 1e7, "linear")], WARM_UP),
        (0.1, 0.1),
        (3, 3.0),
    ],
)
def test_notations(written, meant):
    """All of them mean the same, and what is printed is read back without loss."""
    assert hp.number("r1", written) == meant
    assert hp.number("r1", hp.plain(meant)) == meant
    third = (Piece(1 / 3, 2 / 3, 1e7 / 3),)
    assert hp.number("r1", hp.text(third)) == third
    c = config.from_dict({"hp": {"r1": written}})
    assert c.hp.r1 == meant and config.from_dict(json.loads(json.dumps(config.to_dict(c)))) == c
    assert hash(c) == hash(config.from_dict({"hp": {"r1": written}}))


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("0.1:0.2", "START:END:IMAGES"),
        ("0.1", "expected float"),
        ("0.1:x:3", "expected float"),
        ("0.1:0.2:0", "some images, more than 0"),
        ("0.1:0.2:-5", "some images, more than 0"),
        ("0.1:0.2:inf", "some images, more than 0"),
        ("0.1:0.2:9:lineer", "lineer.*Did you mean 'linear'"),
        ("0.1:-0.2:9", "0 or more"),
        ("nan:0.2:9", "finite"),
        ([0.1, 0.2], "START:END:IMAGES"),
        ([[0.1, 0.2, 5], 3], "START:END:IMAGES"),
        (None, "expected float"),
        ([], "expected float"),
        (True, "expected float"),
    ],
)
def test_wrong_notations(written, message):
    with pytest.raises(JaxganError, match=message) as e:
        config.from_dict({"hp": {"r1": written}})
    assert "hp.r1" in str(e.value)


def test_ranges_hold_at_both_ends():
    for name, wrong in (("b1", "0.5:1:9"), ("top_k", "1:0:9"), ("alpha", "0.5:1:9"), ("d_scale", "0:1:9")):
        with pytest.raises(JaxganError, match=f"hp.{name}"):
            config.from_dict({"hp": {name: wrong}})


def by_hand(pieces, images):
    """The value of a schedule after so many images, in plain Python."""
    for start, end, length, shape in pieces:
        if images < length:
            t = images / length
            way = {"cosine": (1 - math.cos(math.pi * t)) / 2, "linear": t, "step": 0.0}[shape]
            return start + (end - start) * way
        images -= length
    return pieces[-1].end


SCHEDULES = [
    (COSINE,),
    WARM_UP,
    (Piece(1.0, 0.1, 100, "step"), Piece(0.1, 0.01, 100, "step")),
    (Piece(0.0, 1.0, 10, "linear"), Piece(1.0, 1.0, 50), Piece(1.0, 0.0, 40)),
]


@pytest.mark.parametrize("pieces", SCHEDULES)
def test_values(pieces):
    """At ends, corners and between them; after the last piece its end stays, exactly."""
    array = jnp.asarray(hp.arrays(Hp(r1=pieces))["r1"], jnp.float32)
    value = jax.jit(step.scheduled)
    edges = np.cumsum([p.images for p in pieces])
    for images in (0, 1, *(edges * 0.37), *(edges - 1), *edges, *(edges * 1.01), 1e9):
        np.testing.assert_allclose(value(array, images), by_hand(pieces, images), rtol=2e-5, atol=1e-7)
    assert value(array, edges[-1]) == value(array, 1e12) == np.float32(pieces[-1].end)
    assert value(array, 0) == np.float32(pieces[0].start)


def steps(c, n=6):
    """{hp/*, g_grad, and how far G moved} of each of n steps, and the last state."""
    from jaxgan import games
    from jaxgan.state import initial

    game = games.make(c, (2,))
    state = jax.jit(lambda: initial(game, c, (2,)))()
    advance = jax.jit(lambda s, x: step.train_step(game, s, {"x": x}, SOLVERS[c.solver].step))
    seen = []
    for i in range(n):
        x = np.random.default_rng(i).normal(size=(game.updates, c.batch, 2)).astype(np.float32)
        before = state.params["g"]
        state, metrics = advance(state, x)
        moved = optax.tree.norm(jax.tree.map(jnp.subtract, state.params["g"], before))
        row = {name: float(value) for name, value in metrics.items() if name.startswith("hp/") or name == "g_grad"}
        seen.append({**row, "moved": float(moved)})
    return seen, state


SMALL = {"net": "mlp", "width": 4, "depth": 1, "latent": 2, "batch": 4}


def test_a_step_uses_the_value_of_its_images():
    """Column hp/g_lr has it; step i has seen i batches; and G moves by that rate: SGD's step is rate * gradient."""
    c = config.from_dict({**SMALL, "optimizer": "sgd", "hp": {"g_lr": "0.1:0.01:16", "r1": "0:1:8:step"}})
    seen, state = steps(c)
    for i, row in enumerate(seen):
        np.testing.assert_allclose(row["hp/g_lr"], by_hand(c.hp.g_lr, 4 * i), rtol=1e-5)
        np.testing.assert_allclose(row["moved"], row["hp/g_lr"] * row["g_grad"], rtol=1e-3)
        assert row["hp/r1"] == (0.0 if 4 * i < 8 else 1.0)
    assert state.hp["g_lr"].shape == (1, 4), "the state keeps the schedule, not its value"


def test_a_schedule_that_stays_is_the_constant():
    """To rounding: the program differs. Every number is taken from where the schedule is, averages included."""
    numbers = {"g_lr": 0.01, "d_lr": 0.02, "r1": 0.5, "ema_half_life": 30.0, "ema_ramp": 0.5, "b1": 0.3, "top_k": 0.5}
    _, constant = steps(config.from_dict({**SMALL, "hp": numbers}))
    moving = {name: (value, value, 100.0) for name, value in numbers.items()}
    _, scheduled = steps(config.from_dict({**SMALL, "hp": moving}))
    for part in ("params", "ema"):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
            getattr(constant, part),
            getattr(scheduled, part),
        )


def test_what_a_schedule_ever_needs_is_in_the_program():
    """R1 from 0 to 1 is on from the start, and a share of 1 that falls to a half is, too."""
    c = config.from_dict({"hp": {"r1": "0:1:9", "top_k": "1:0.5:9", "d_scale": "1:10:9", "gp0": "0:0:9"}})
    assert {"r1", "top_k", "d_scale"} <= hp.switched_on(c.hp) and "gp0" not in hp.switched_on(c.hp)


def test_members_of_a_sweep_share_a_program_where_their_schedules_have_as_many_pieces():
    values = [0.1, 0.2, "0.1:0.2:9", "0.3:0:5:linear", "0:1:5/1:0:9"]
    members = {str(v): space.member(config.from_dict(SMALL), {"hp.r1": v}) for v in values}
    assert [ids for _, ids in space.groups(members)] == [
        ["0.1", "0.2"],
        ["0.1:0.2:9", "0.3:0:5:linear"],
        ["0:1:5/1:0:9"],
    ]
    assert space.parse_grid(["r1=0.1:0.2:9,0.1"]) == [{"hp.r1": "0.1:0.2:9"}, {"hp.r1": 0.1}]
    assert "pieces" not in space.static(members["0.1"]), "groups of constants keep the keys that they had"


SCHEDULED = dataclasses.replace(BASE, hp=dataclasses.replace(BASE.hp, g_lr=(Piece(1e-3, 1e-4, 64),), r1=WARM_UP))


def trained(dir, c, **more):
    return train.run(c, dir, source(), quiet=True, **more)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    dir = tmp_path_factory.mktemp("scheduled") / "run"
    return dir, trained(dir, SCHEDULED)


def test_a_scheduled_run_resumes_and_verifies(whole, tmp_path):
    dir, run = whole
    trained(tmp_path / "run", dataclasses.replace(SCHEDULED, steps=8))
    assert_same_bits(trained(tmp_path / "run", SCHEDULED), run)
    assert verify(dir, source(), say=lambda text: None) == 3
    columns = [row["hp/g_lr"] for row in log.read(dir / "metrics.jsonl") if "hp/g_lr" in row]
    assert len(columns) == 3 and columns[0] > columns[1] > columns[2] == np.float32(1e-4)


def test_another_schedule_is_another_run(whole):
    other = dataclasses.replace(SCHEDULED, steps=20, hp=dataclasses.replace(SCHEDULED.hp, r1=0.1))
    with pytest.raises(JaxganError, match=r"hp.r1: '0:0.0002:100000:linear/.*-> 0.1\n.*--override"):
        trained(whole[0], other)


def test_an_override_is_recorded_goes_on_and_is_replayed(tmp_path):
    """From the step where it was given; a later resume keeps it, unless named again; verify agrees at every digest."""
    dir, quiet = tmp_path / "run", lambda text: None
    c = dataclasses.replace(BASE, steps=4)
    trained(dir, c)
    plain = trained(tmp_path / "plain", BASE)
    trained(dir, dataclasses.replace(c, steps=8), new={"g_lr": 1e-5, "d_lr": BASE.hp.d_lr})
    changed = trained(dir, BASE)
    rows = json.loads((dir / override.FILE).read_text())
    assert rows == [{"step": 4, "name": "g_lr", "old": BASE.hp.g_lr, "new": 1e-5}], "d_lr was what it was"
    assert float(changed.state.hp["g_lr"]) == np.float32(1e-5)
    assert digests(dir)[4] == digests(tmp_path / "plain")[4] and digests(dir)[8] != digests(tmp_path / "plain")[8]
    assert verify(dir, source(), say=quiet) == 3
    rows[0]["new"] = 2e-5
    (dir / override.FILE).write_text(json.dumps(rows))
    with pytest.raises(JaxganError, match="first difference at step 8"):
        verify(dir, source(), say=quiet)
    assert digests(tmp_path / "plain") != digests(dir) and plain.config == changed.config


def test_steps_that_are_lost_take_their_overrides_with_them(tmp_path):
    """Back at a checkpoint before an override, the run is what it was there; at the very step, the override holds."""
    import shutil

    dir = tmp_path / "run"
    trained(dir, dataclasses.replace(BASE, steps=8))
    trained(dir, BASE, new={"g_lr": 1e-5})
    first = digests(dir)[12]
    shutil.rmtree(dir / "checkpoints" / "00000012")  # as if killed before it was there
    trained(dir, BASE)
    assert digests(dir)[12] == first
    for at in ("00000012", "00000008"):
        shutil.rmtree(dir / "checkpoints" / at)
    again = trained(dir, BASE)
    assert json.loads((dir / override.FILE).read_text()) == []
    assert float(again.state.hp["g_lr"]) == np.float32(BASE.hp.g_lr)


@pytest.mark.parametrize(
    ("new", "message"),
    [
        ({"r1": 0.0}, "hp.r1: 0.1 -> 0 makes another program"),
        ({"r2": 1.0}, "hp.r2: 0 -> 1 makes another program"),
        ({"g_lr": (Piece(1.0, 0.0, 9.0),)}, "exchanges a constant and a schedule"),
        ({"g_lr": -1.0}, "hp.g_lr is -1.0"),
    ],
)
def test_overrides_that_are_refused_change_nothing(tmp_path, new, message):
    trained(tmp_path / "run", dataclasses.replace(BASE, steps=4))
    before = {p.name: p.read_bytes() for p in (tmp_path / "run").glob("*.json*")} | {"env.json": b""}
    with pytest.raises(JaxganError, match=message):
        trained(tmp_path / "run", BASE, new=new)
    after = {p.name: p.read_bytes() for p in (tmp_path / "run").glob("*.json*")} | {"env.json": b""}
    after["config.json"] = before["config.json"]  # more steps were asked for
    assert before == after


def test_a_run_that_begins_takes_no_override(tmp_path):
    with pytest.raises(JaxganError, match=r"use --hp\.NAME"):
        trained(tmp_path / "run", BASE, new={"g_lr": 1e-5})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("g_lr", "NAME=VALUE"),
        ("hp.g_lrr=1", "Did you mean 'g_lr'"),
        ("hp.g_lr=x", "'x' is no number"),
        ("loss=ns", "hp"),
    ],
)
def test_words_that_are_no_override(words, message):
    with pytest.raises(JaxganError, match=message):
        override.parse((words,))


def test_the_command_line_takes_schedules_and_overrides(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.py").write_text(
        "from jaxgan import Config\ndef config(): return Config(net='mlp', width=4, data='ring8', latent=2, batch=8, "
        "steps=4, sample_every=0, log_every=2)"
    )
    cli.main(["train", "tiny.py", "--hp.g-lr", "1e-3:1e-4:100/1e-4:0:9:step", "--hp.r1", "0.5"])
    assert (
        json.loads((tmp_path / "runs/tiny/config.json").read_text())["hp"]["g_lr"] == "0.001:0.0001:100/0.0001:0:9:step"
    )
    same = ["train", "tiny.py", "--hp.g-lr", "1e-3:1e-4:100/1e-4:0:9:step", "--hp.r1", "0.5", "--steps", "6"]
    cli.main([*same, "--override", "hp.r1=0.25", "hp.d-lr=1e-5"])
    assert "since step 4: hp.r1 0.5 -> 0.25" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        cli.main(["train", "tiny.py", "--hp.r1", "1:2:3:lineer"])
    assert "Did you mean 'linear'" in (text := capsys.readouterr().err + capsys.readouterr().out) and "--hp.r1" in text
    with pytest.raises(SystemExit):
        cli.main(["train", "tiny.py", "--help-all"])
    assert "--hp.r1 NUMBER" in capsys.readouterr().out


def test_the_root_key_of_a_scheduled_run_is_that_of_its_seed():
    """A schedule draws nothing: initial parameters are those of the constant run."""
    _, state = steps(config.from_dict({**SMALL, "hp": {"g_lr": "1:0:9"}}), 0)
    _, plain = steps(config.from_dict(SMALL), 0)
    jax.tree.map(np.testing.assert_array_equal, state.params, plain.params)
    np.testing.assert_array_equal(jax.random.key_data(state.key), jax.random.key_data(rng.root(0)))
