"""SIGTERM, SIGUSR1 and Ctrl-C as a wish to stop at the next dispatch, agreed between all processes of a run."""

import signal

import jax
import numpy as np


class Stop:
    """A context in which the signals are only noted; a second Ctrl-C interrupts at once."""

    NAMES = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)  # SIGUSR1: Slurm's --signal before the time limit

    def __init__(self):
        self.signal: int | None = None
        self.before: dict = {}

    def __enter__(self):
        try:
            self.before = {s: signal.signal(s, self._note) for s in self.NAMES}
        except ValueError:  # not the main thread: whoever owns it handles signals
            self.before = {}
        return self

    def __exit__(self, *error):
        for s, handler in self.before.items():
            signal.signal(s, handler)

    def _note(self, number, frame):
        if self.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number

    def agreed(self) -> bool:
        """True once any process was told to stop; every process must ask equally often."""
        if jax.process_count() == 1:
            return self.signal is not None
        from jax.experimental.multihost_utils import process_allgather

        return bool(process_allgather(np.array(self.signal is not None)).any())
