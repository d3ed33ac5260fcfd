"""Spectral normalisation of any network: Miyato et al. 2018, arXiv 1802.05957."""

import jax

from jaxgan import kernels, rng
from jaxgan.types import Net


def spectral(net: Net) -> Net:
    """net whose kernels are divided by their largest singular values, biases and embeddings of inputs as they are.

    vars: {"net": those of net, "u": {kernel: its first right singular vector [units], nearly}}. A pass with inputs
    divides by the size that u finds and leaves u alone, however often it runs and whoever trains; a pass without
    inputs makes one power iteration, the update's (algorithm 1), and has no output.
    """

    def init(key, *inputs):
        params, vars = net.init(key, *inputs)
        own = rng.stream(key, "spectral")
        u = {name: kernels.start(rng.stream(own, name), kernel) for name, kernel in kernels.named(params).items()}
        return params, {"net": vars, "u": u}

    def apply(params, vars, *inputs, train, **options):
        if not inputs:
            found = kernels.named(params)
            u = {name: kernels.iterated(kernel, vars["u"][name]) for name, kernel in found.items()}
            return None, {**vars, "u": u}
        made = divided(params, vars["u"])
        out, inner = net.apply(made, vars["net"], *inputs, train=train, **options)
        return out, {**vars, "net": inner}

    return Net(init, apply, net.keyed)


def divided(params, u: dict):
    """params with each kernel that u {kernel: vector} names divided by its size."""

    def one(path, p):
        name = kernels.path(path)
        return p / kernels.size(p, u[name]) if name in u else p

    return jax.tree_util.tree_map_with_path(one, params)
