"""For which backend a program is traced, where its form depends on that."""

from collections.abc import Callable
from contextvars import ContextVar

import jax

PLATFORM = ContextVar("platform", default="")  # set while a program is made for another backend than this machine's


def on_cpu() -> bool:
    """Whether the program that is being traced will run on a CPU."""
    return (PLATFORM.get() or jax.default_backend()) == "cpu"


def portable(work: Callable):
    """work(), with convolutions in the form that every backend and format has, and that takes least memory."""
    token = PLATFORM.set("any")
    try:
        return work()
    finally:
        PLATFORM.reset(token)
