"""How two sets are compared: which rows are drawn, how many of both, and what is said of a file of features."""

import numpy as np
import pytest

from jaxgan import disk, protocol
from jaxgan.config import Eval
from jaxgan.data import from_arrays, open_source
from jaxgan.metrics import fid, prdc

DRAW = np.random.default_rng(0)
POINTS = from_arrays(DRAW.normal(size=(50, 3)).astype(np.float32))


def test_rows_are_drawn_once_and_read_in_order():
    """Which a source that streams from a disk asks for."""
    drawn = protocol.rows_of(POINTS, 20)
    assert len(set(drawn.tolist())) == 20 and (np.diff(drawn) > 0).all() and drawn.max() < 50
    assert drawn.tolist() == protocol.rows_of(POINTS, 20).tolist() != protocol.rows_of(POINTS, 20, seed=1).tolist()
    for n in (0, 50, 51):
        np.testing.assert_array_equal(protocol.rows_of(POINTS, n), np.arange(50))
    assert len(protocol.rows_of(open_source("ring8"), 7)) == 7  # a density has as many as are asked for
    assert len(protocol.rows_of(open_source("ring8"), 0)) == protocol.MOST


@pytest.mark.filterwarnings("ignore:FID of")
def test_neighbours_are_counted_among_as_many_of_both():
    """Balls of more points are smaller, and precision and recall would not be of one density; FID takes all."""
    p = protocol.complete(Eval(("prdc", "fid"), "raw", 20), POINTS)
    real = protocol.reference(p, POINTS)
    fake = {"features": DRAW.normal(size=(20, 3)).astype(np.float32)}
    found, _ = protocol.scores(p, real, fake)
    x = real["features"]
    assert len(x) == 50
    some = x[np.sort(np.random.default_rng(0).permutation(50)[:20])]
    expected = {s.name: s.value for s in prdc(some, fake["features"], features="raw").values()}
    whole = fid(x, fake["features"], features="raw")
    assert {name: score.value for name, score in found.items()} == {**expected, whole.name: whole.value}


def test_samples_of_a_toy_are_as_many_as_in_its_papers():
    toy = open_source("ring8")
    assert protocol.complete(Eval(), toy).n == 2500  # PacGAN's
    assert protocol.complete(Eval(n=300), toy).n == 300
    assert protocol.complete(Eval(), POINTS).n == 50


def test_a_kept_file_is_of_what_it_says(tmp_path):
    """Another data set, number, network or version is made anew, and each is named."""
    about = {"data": "a", "n": 3, "features": "raw", "weights": "w", "version": 1}
    path = tmp_path / "x.npz"
    assert protocol._read(path, about) == (None, "")
    disk.write_arrays(path, about=protocol.json.dumps(about), features=np.arange(3))
    found, trouble = protocol._read(path, about)
    assert found.keys() == {"features"} and trouble == ""
    for name in about:
        assert protocol._read(path, {**about, name: "other"}) == (None, f"{name} changed since")
    assert protocol._read(path, {**about, "n": 4, "version": 2}) == (None, "n and version changed since")
    path.write_bytes(path.read_bytes()[:40])
    assert protocol._read(path, about) == (None, "damaged")
    np.savez(path, features=np.arange(3))
    assert protocol._read(path, about) == (None, "damaged")
