"""Sweeps: many runs as few compiled programs. Lists of settings are made here, without jax.

An experiment's `sweep()` returns a list of dicts {field: value}, one for each member. `+` joins such lists.

    from jaxgan.sweep import grid, log_uniform, product, sampled, seeds

    def sweep():
        return product(grid(loss=["ns", "hinge"]) + sampled(8, 0, g_lr=log_uniform(1e-5, 1e-2)), seeds(3))
"""

from jaxgan.sweep.space import choice, grid, log_uniform, product, sampled, seeds, uniform, zipped

__all__ = ["choice", "grid", "log_uniform", "product", "sampled", "seeds", "uniform", "zipped"]
