"""Generative adversarial networks as pure functions in JAX. `fit` trains on arrays, `load` opens a run folder."""

import os

__version__ = "0.2.0"
__all__ = ["Config", "Hp", "JaxganError", "fit", "load"]

_HOME = {  # public name: module; imported when first asked for, so that `import jaxgan` and --help stay fast
    "Config": "jaxgan.config",
    "Hp": "jaxgan.config",
    "JaxganError": "jaxgan.errors",
    "fit": "jaxgan.train",
    "load": "jaxgan.run",
}

# A seed is a run, on a GPU too: no sums in the order of arrival, and no kernels that a race of kernels chooses. XLA
# reads this when the first device is asked for; who names the flag in XLA_FLAGS decides otherwise.
if "xla_gpu_deterministic_ops" not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_gpu_deterministic_ops=true".strip()


def __getattr__(name: str):
    from importlib import import_module

    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'jaxgan' has no attribute {name!r}")
