"""Minibatch discrimination: Salimans et al. 2016, arXiv 1606.03498, section 3.2."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.types import Axis

PARTS = 5  # numbers of each kernel, as in the authors' code


class Minibatch(nn.Module):
    """phi [b, n] -> [b, n + kernels]: phi, and how near each example is to those of the batch, as each kernel sees it.

    For example i and kernel k the sum over all examples j, i among them, of exp(-|M_ik - M_jk|_1), with M = phi T, of
    which each kernel has PARTS numbers. axis: a pmap axis whose devices share the batch; otherwise phi is all of it.
    """

    kernels: int
    axis: Axis = None

    @nn.compact
    def __call__(self, phi: jax.Array) -> jax.Array:
        m = phi @ self.param("kernel", nn.initializers.lecun_normal(), (phi.shape[-1], self.kernels * PARTS))
        m = m.reshape(len(phi), self.kernels, PARTS)
        everyone = jax.lax.all_gather(m, self.axis, tiled=True) if isinstance(self.axis, str) else m
        near = jnp.exp(-abs(m[:, None] - everyone[None]).sum(-1)).sum(1)
        return jnp.concatenate([phi, near], -1)
