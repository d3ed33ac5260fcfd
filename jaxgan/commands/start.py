"""What commands have in common: how JAX is started."""

import os
from pathlib import Path

INTERRUPTED = 130  # what a shell expects after Ctrl-C


def start_jax(coordinator: str = "", processes: int = 0, process: int = -1, join: bool = True) -> None:
    """Compilation cache on; other processes joined, unless each is to work for itself."""
    import jax

    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "jaxgan" / "xla"
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        jax.config.update("jax_compilation_cache_dir", str(cache))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    if join:
        from jaxgan import parallel

        parallel.start(coordinator, processes, process)


def moved(run: str, name: str):
    """The source called name, read as the run reads its own; None where it has no other name."""
    from jaxgan import data, run_folder

    c = run_folder.read_config(run_folder.find(run))
    return data.open_source(name, flip=c.flip, **data.reading(c)) if name else None
