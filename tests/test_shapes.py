"""The annotated shapes of the tables of pure functions are checked in tests, see conftest.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import TypeCheckError

from jaxgan import penalties, rng
from jaxgan.theory import divergence


def test_what_would_broadcast_without_a_word_is_refused():
    lp = np.log([0.2, 0.3, 0.5])
    with pytest.raises(TypeCheckError, match="lq"):
        divergence.kl(lp, lp[:1], 1.0)
    assert float(divergence.kl(lp, lp, 1.0)) == 0


def test_inside_a_trace_too():
    keys, between = rng.examples(rng.root(0), 3), jax.jit(penalties.between)
    with pytest.raises(TypeCheckError, match="fake"):
        between(jnp.ones((3, 2)), jnp.ones((1, 2)), keys)
    np.testing.assert_array_equal(between(jnp.ones((3, 2)), jnp.ones((3, 2)), keys), np.ones((3, 2)))
