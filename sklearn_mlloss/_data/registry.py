"""Names that are mistyped."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

__all__ = ["did_you_mean"]


def did_you_mean(given: Any, names: Iterable[str]) -> str:
    """Return the end of an error message: the name that was probably meant, or nothing.

    Parameters
    ----------
    given : object
        What is no name; anything but a string is like none of them.
    names : iterable of str
        Those there are.

    Returns
    -------
    str

    Examples
    --------
    >>> from sklearn_mlloss._data.registry import did_you_mean
    >>> "unknown loss 'Focl'" + did_you_mean("Focl", ["bce", "focal"])
    "unknown loss 'Focl'; did you mean 'focal'?"
    """
    if not isinstance(given, str):
        return ""
    known = {_plain(name): name for name in names}
    close = get_close_matches(_plain(given), known, n=1)
    return f"; did you mean {known[close[0]]!r}?" if close else ""


def _plain(name: str) -> str:
    return name.lower().replace("-", "_").replace(" ", "_")
