"""Before JAX starts: the CPU unless told otherwise, and compiled programs kept from one test run to the next."""

import contextlib
import gc
import os
import platform
from importlib.metadata import version
from pathlib import Path

import pytest
from beartype import BeartypeConf, beartype
from hypothesis import HealthCheck, settings
from jaxtyping import install_import_hook

from processes import Server

# In the environment rather than in jax.config: tests that start processes pass it on.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "Agg")
cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "jaxgan" / "xla"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
# Most of the time of most tests is XLA's; what they prove does not depend on how well it optimises.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
# Shapes [n] and [n, 1] that meet by accident make [n, n], whose mean is a wrong number: say which axis is meant.
os.environ.setdefault("JAX_NUMPY_RANK_PROMOTION", "raise")

# Tables of pure functions, whose arguments and results are held to their annotated shapes in every call and trace of
# this process; not of others, where an import hook would have to be in each. Elsewhere annotations name no shapes.
SHAPED = ["augment", "features", "kernels", "losses", "metrics", "optim", "penalties", "rng"]
SHAPED += ["theory.bayes", "theory.divergence", "theory.value"]
checked = beartype(conf=BeartypeConf(is_pep484_tower=True))  # a float may be an int
install_import_hook([f"jaxgan.{name}" for name in SHAPED], "conftest.checked")


# XLA's former code generator of fused operations, which it still has in JAX 0.10, compiles in three quarters of the
# time. Without fused multiply-adds, as sums in different programs would be rounded differently. In one piece: by
# default a program is split into up to 32, which costs small ones a fifth of their compiling.
FORMER = "--xla_cpu_use_fusion_emitters=false --xla_cpu_max_isa=AVX --xla_cpu_parallel_codegen_split_count=1"


def pytest_configure(config):
    """Choose it for quick tests; long proofs are of programs as users get them."""
    quick = config.option.markexpr == "not slow"
    if quick and version("jaxlib").startswith("0.10.") and platform.machine() == "x86_64":
        os.environ.setdefault("XLA_FLAGS", FORMER)


def pytest_collection_finish():
    """What stands now stays to the end, and traces make few cycles: look for garbage seldom."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 10)


def pytest_collection_modifyitems(items):
    """Begin with the longest file of the end of the alphabet, for which one process would wait else."""
    items.sort(key=lambda item: item.path.name != "test_unused.py")


# The same examples every time; compiling is slow, and a busy machine is no failure.
settings.register_profile("jaxgan", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("jaxgan")


# No key may be drawn from twice in these, which trace the programs of every kind; fold_in may derive many from one.
# Other tests give one key to two calls on purpose, to compare what they make of the same numbers.
DRAWN_ONCE = {"test_games", "test_kinds", "test_rng"}


@pytest.fixture(scope="module", autouse=True)
def drawn_once(request):
    import jax

    with jax.debug_key_reuse(request.module.__name__ in DRAWN_ONCE or jax.config.jax_debug_key_reuse):
        yield


@contextlib.contextmanager
def optimising():
    """Programs as users get them."""
    import jax

    before = os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "0")
        jax.config.update("jax_disable_most_optimizations", False)
        yield
    jax.config.update("jax_disable_most_optimizations", before == "1")


@pytest.fixture(scope="module")
def optimised():
    """For files that train long or look at what XLA made."""
    with optimising():
        yield


@pytest.fixture
def optimised_once():
    """For one test that trains long, in a file of short ones."""
    with optimising():
        yield


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Starts commands in processes of their own, which a test may kill."""
    server = Server(tmp_path_factory.mktemp("server"))
    yield server
    server.close()


@pytest.fixture
def float64():
    import jax

    with jax.enable_x64(True):
        yield
