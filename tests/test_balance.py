"""Classes of 3, 30 and 300 examples, drawn equally often."""

import dataclasses

import numpy as np
import pytest

from jaxgan import Config, train
from jaxgan.data import balance, feed, from_arrays, of_config, open_source
from jaxgan.errors import JaxganError
from jaxgan.verify import verify
from runs import assert_same_bits

COUNTS = (3, 30, 0, 300)
Y = np.repeat(np.arange(4), COUNTS)
X = np.stack([Y, np.arange(len(Y))], 1).astype(np.float32)  # label and number of each example
C = Config(data="arrays", balance=True, kind="conditional", net="mlp", width=4, latent=2, batch=9, steps=4)


def epoch(seed, **changes):
    """Examples of the first epoch, in order [updates, batch, 2], and the source."""
    source, _ = of_config(dataclasses.replace(C, **changes), from_arrays(X, Y))
    updates = source.size // C.batch
    index = feed.indices(source, seed, 1, C.batch)(0, updates)[:, 0]
    return source.rows(index.ravel())["x"].reshape(updates, C.batch, 2), source


def test_an_epoch_has_as_many_of_each_class_and_every_example():
    seen, source = epoch(0)
    assert source.size == 900 and "balanced: 300 draws of each class in an epoch" in source.found
    assert np.bincount(seen[..., 0].ravel().astype(int)).tolist() == [300, 300, 0, 300]
    times = np.bincount(seen[..., 1].ravel().astype(int))
    assert times.tolist() == [100] * 3 + [10] * 30 + [1] * 300
    shares = [(seen[..., 0] == label).mean(1) for label in (0, 1, 3)]  # of updates: no class comes in a run
    assert all(abs(share.mean() - 1 / 3) < 1e-6 and share.std() < 0.2 for share in shares)


def test_what_is_drawn_depends_on_the_seed_and_the_step_alone():
    np.testing.assert_array_equal(epoch(0)[0], epoch(0)[0])
    assert (epoch(0)[0] != epoch(1)[0]).any()
    source = epoch(0)[1]
    whole = feed.indices(source, 5, 1, C.batch)(0, 20)
    np.testing.assert_array_equal(feed.indices(source, 5, 1, C.batch)(7, 3), whole[7:10])


def test_held_out_examples_stay_as_they_are():
    source, held = of_config(dataclasses.replace(C, holdout=33), from_arrays(X, Y))
    out = held.rows(np.arange(33))["x"][:, 1]
    assert held.size == 33 and not set(out) & set(source.rows(np.arange(source.size))["x"][:, 1])


def test_balance_is_part_of_the_run(tmp_path):
    source = from_arrays(X, Y)
    trained = train.run(C, tmp_path / "run", source, quiet=True)
    assert trained.env["fingerprint"] == f"{source.fingerprint} balanced"
    verify(tmp_path / "run", source, say=lambda text: None)
    streamed = dataclasses.replace(C, feed="stream")
    assert_same_bits(train.run(streamed, tmp_path / "streamed", source, quiet=True), trained)
    with pytest.raises(JaxganError, match="balance: True -> False"):
        train.run(dataclasses.replace(C, balance=False, steps=5), tmp_path / "run", source, quiet=True)


def test_data_without_classes_have_nothing_to_balance():
    for source in (from_arrays(X), open_source("swiss_roll")):
        with pytest.raises(JaxganError, match=r"balance is True.*no classes"):
            of_config(C, source)


def test_rows_by_hand(monkeypatch):
    """Classes one after the other, each in its own order, as often as the largest; labels are read in parts."""
    monkeypatch.setattr(balance, "CHUNK", 83)  # 4 * 83 + 1 = 333: the last part is one row
    whole = from_arrays(X, Y)
    source = balance.balanced(whole)
    expected = np.concatenate([np.resize(np.arange(*ends), 300) for ends in ((0, 3), (3, 33), (33, 333))])
    np.testing.assert_array_equal(source.rows(np.arange(900))["x"][:, 1], expected)
    np.testing.assert_array_equal(source.rows([899, 0])["x"][:, 1], [332, 0])
    assert source.bytes == whole.bytes * 900 // 333, "as it lies on a device"
