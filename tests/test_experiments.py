"""The experiments do what their docstrings say, at their own settings."""

import dataclasses
from pathlib import Path

import pytest

from jaxgan import cli, log, train

EXPERIMENTS = Path(__file__).parent.parent / "experiments"


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_ring_finds_all_modes(tmp_path, seed):
    """8 of 8 modes and at least 90 % within 3 standard deviations; a narrowed ring would score above 98.9 %."""
    config, _ = cli.experiment(EXPERIMENTS / "ring.py")
    config = dataclasses.replace(config, seed=seed, sample_every=0)
    train.run(config, tmp_path / "run", quiet=True)
    found = [row for row in log.read(tmp_path / "run/metrics.jsonl") if "modes" in row]
    assert [row["step"] for row in found] == [config.steps]
    assert found[0]["modes"] == 8
    assert 0.9 <= found[0]["high_quality"] <= 0.99
