"""The one exception that is meant for the user."""

import difflib


class JaxganError(Exception):
    """An error whose message names the cause, what was expected, and the next step."""


class NonFiniteError(JaxganError):
    """A run whose numbers stopped being finite: its own matter, where several train together."""


class LostProcess(JaxganError):
    """Another process of the run is gone; the same commands, all started again, resume from the newest checkpoint."""


class NoSplit(JaxganError):
    """Data that have no split of the name that was asked for; others are damaged or gone."""


def nearest(word: str, known) -> str:
    """' Did you mean X?' for the known word closest to word, else ''."""
    match = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" Did you mean {match[0]!r}?" if match else ""
