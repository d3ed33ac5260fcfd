"""Generative adversarial networks as pure functions in JAX. `fit` trains on arrays, `load` opens a run folder."""

__version__ = "0.2.0"
__all__ = ["Config", "Eval", "Hp", "JaxganError", "evaluate", "fit", "load"]

_HOME = {  # public name: module; imported when first asked for, so that `import jaxgan` and --help stay fast
    "Config": "jaxgan.config",
    "Eval": "jaxgan.config",
    "Hp": "jaxgan.config",
    "JaxganError": "jaxgan.errors",
    "evaluate": "jaxgan.evaluate",
    "fit": "jaxgan.train",
    "load": "jaxgan.run",
}


def __getattr__(name: str):
    from importlib import import_module

    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'jaxgan' has no attribute {name!r}")
