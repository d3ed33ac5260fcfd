"""SIGTERM, SIGUSR1 and Ctrl-C as a wish to stop at the next dispatch, agreed between all processes of a run."""

import os
import signal


class Stop:
    """A context, which may be entered again inside itself, in which the signals are only noted.

    While `training` is False there is nothing to save yet, and Ctrl-C interrupts at once; so does a second Ctrl-C.
    """

    NAMES = ("SIGTERM", "SIGINT", "SIGUSR1")  # SIGUSR1: Slurm's --signal before the time limit; Windows has none

    def __init__(self):
        self.signal: int | None = None
        self.training = False
        self.before: list[dict] = []

    def __enter__(self):
        try:
            known = [getattr(signal, name) for name in self.NAMES if hasattr(signal, name)]
            self.before.append({s: signal.signal(s, self._note) for s in known})
        except ValueError:  # not the main thread: whoever owns it handles signals
            self.before.append({})
        return self

    def __exit__(self, *error):
        for s, handler in self.before.pop().items():
            signal.signal(s, handler or signal.SIG_DFL)  # None: a handler that Python did not set

    def _note(self, number, frame):
        if number == signal.SIGINT:
            if not self.training or self.signal is not None:
                raise KeyboardInterrupt
            # print may not be entered from here
            os.write(2, b"\nstopping after this dispatch, then saving; Ctrl-C again interrupts at once\n")
        self.signal = number

    def agreed(self) -> bool:
        """True once any process was told to stop; every process must ask equally often."""
        import jax
        import numpy as np

        if jax.process_count() == 1:
            return self.signal is not None
        from jax.experimental.multihost_utils import process_allgather

        return bool(process_allgather(np.array(self.signal is not None)).any())
