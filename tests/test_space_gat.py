"""Transformers in the latent space of another run's autoencoder: what they make there, and the bits they keep."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgan
from jaxgan import config, encoded, rng, run_folder, step, train
from jaxgan.latents import latents
from jaxgan.run import Run
from jaxgan.state import initial
from jaxgan.sweep import group, store
from jaxgan.types import State
from runs import BASE, assert_same_bits, digests
from test_space import AE, LATENTS, SHAPE, autoencoder, source

OPTIONS = {"depth": 2, "levels": 2, "patch": 1, "features": 8}
HP = {"ar1": 0.1, "ar2": 0.1, "ar_step": 0.01, "clip_gradient": 1.0, "ema_half_life": 50.0}
PUBLISHED = {"loss": "rpgan", "reuse": True, "augment": ("translation", "cutout"), "hp": HP}
NETS = {"gat": OPTIONS, "cat": {**OPTIONS, "d_depth": 1}}


@pytest.fixture(scope="module")
def ae(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield autoencoder(tmp_path_factory.mktemp("ae") / "run")


def configured(net, space, **changes):
    """A run of a transformer and its kind, as published but small."""
    settings = {"kind": net, "net": net, "conditional": True, "width": 8, "d_steps": 1, "steps": 4, "space": space}
    settings |= {"checkpoint_every": 2, net: NETS[net]}
    return config.from_dict(config.to_dict(BASE) | settings | PUBLISHED | changes)


def filled(game, c, shape):
    """A state of a game whose arrays are normal numbers, made without its program."""
    r = np.random.default_rng(0)
    like = jax.eval_shape(lambda: initial(game, c, shape)).ema
    ema = jax.tree.map(lambda x: jnp.asarray(0.3 * r.normal(size=x.shape), x.dtype), like)
    return State(jnp.int32(0), *[{}] * 5, ema, {})


def test_the_last_level_is_decoded(ae):
    """Whoever draws gets G's last sum alone; psi acts on its styles, before the decoder."""
    c = configured("gat", str(ae.dir))
    seen, _ = encoded.of_config(c, source())
    game = encoded.game(c, seen)
    run = Run(c, filled(game, c, seen.shape), run_folder._described(seen), space=seen.space)
    z, y, psi = latents(game, 6, 0), np.arange(6, dtype=np.int32) % 3, jnp.full(6, 0.5)

    def levels(run, vars, z, y):
        return run(vars, "g", z, y, train=False, levels=True, psi=psi)[0]

    sums = jax.jit(partial(step.applied, game, levels))(run.state.ema, z, y)
    assert sums.shape == (6, *LATENTS[:2], 2 * LATENTS[2])
    last = np.asarray(sums[..., LATENTS[2] :])
    numbers = last * np.asarray(seen.space.deviation) + np.asarray(seen.space.mean)
    found = run.sample(6, labels=y, psi=0.5)
    np.testing.assert_allclose(found, ae.generate(numbers.reshape(6, -1)), atol=1e-4)
    assert abs(found - run.sample(6, labels=y)).max() > 0.01
    batch = seen.finish(seen.rows(np.arange(5)), rng.examples(rng.root(0), 5))
    x, told = game.inputs(batch, rng.root(0))["d"]
    np.testing.assert_array_equal(x, np.concatenate([batch["x"]] * 2, -1))
    np.testing.assert_array_equal(told, batch["y"])


@pytest.mark.slow
@pytest.mark.parametrize("net", NETS)
def test_transformers_train_in_a_space_and_resume_with_their_bits(ae, tmp_path, net):
    c = configured(net, str(ae.dir))
    whole = train.run(c, tmp_path / "whole", source(), quiet=True)
    train.run(dataclasses.replace(c, steps=2), tmp_path / "parts", source(), quiet=True)
    assert_same_bits(train.run(c, tmp_path / "parts", source(), quiet=True), whole)
    assert digests(tmp_path / "whole") == digests(tmp_path / "parts")
    loaded = jaxgan.load(whole.dir)
    assert loaded.sample(3).shape == (3, *SHAPE) and not np.allclose(loaded.sample(3, psi=0.2), loaded.sample(3))


@pytest.mark.slow
@pytest.mark.parametrize("net", NETS)
def test_a_member_of_a_sweep_has_the_bits_of_a_run_alone(tmp_path, net):
    there = dataclasses.replace(AE, data="mnist5k", size=8, steps=2)
    other = train.run(there, tmp_path / "other", quiet=True)
    c = configured(net, str(other.dir), data="mnist5k", size=8, steps=2)
    ids = store.add(tmp_path / "sweep", "", c, [{"seed": 1}, {"seed": 2, "hp.ar1": 0.2}])
    group.train(tmp_path / "sweep", mode="map", say=lambda text: None)
    members = [jaxgan.load(store.run_dir(tmp_path / "sweep", id)) for id in ids]
    assert_same_bits(members[0], train.run(dataclasses.replace(c, seed=1), tmp_path / "alone", quiet=True))
    assert digests(members[1].dir) != digests(members[0].dir)
