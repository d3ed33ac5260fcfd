"""The one exception that is meant for the user."""

import difflib


class JaxganError(Exception):
    """An error whose message names the cause, what was expected, and the next step."""


class NonFiniteError(JaxganError):
    """A run whose numbers stopped being finite: its own matter, where several train together."""


def nearest(word: str, known) -> str:
    """' Did you mean X?' for the known word closest to word, else ''."""
    match = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" Did you mean {match[0]!r}?" if match else ""
