"""Parts of messages: short values, near misses, errors; and warnings at the user's line."""

from __future__ import annotations

import inspect
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from difflib import get_close_matches
from functools import partial
from types import FrameType
from typing import Any

__all__ = [
    "LONGEST",
    "describe",
    "describe_error",
    "did_you_mean",
    "held_back",
    "once_each",
    "warn_user",
    "warned",
    "without_rows",
]

# Characters of a value that a message shows; containers that it shows, and their items.
LONGEST = 200
SHOWN, MOST_ITEMS = (list, tuple, set, frozenset, dict), 10
# For both of these, the frame that has set them: an interrupt may keep it from resetting them, and
# then they count no longer.
# The category of warnings that are held back, and their messages.
_HELD: ContextVar[tuple[FrameType, type[Warning], list[str]] | None] = ContextVar(
    "held", default=None
)
# Messages of warnings that the outermost fit has given.
_WARNED: ContextVar[tuple[FrameType, set[str]] | None] = ContextVar("warned", default=None)
PACKAGE = os.path.join(os.path.dirname(os.path.dirname(__file__)), "")


def _plain(name: str) -> str:
    return name.lower().replace("-", "_").replace(" ", "_")


def did_you_mean(name: Any, names: Iterable[str], form: Callable[[str], str] = _plain) -> str:
    """Return the end of an error message: the name that was probably meant, or nothing.

    Parameters
    ----------
    name : object
        A mistyped name; a value that is not a string is like none of the names.
    names : iterable of str
        The names that exist.
    form : callable, optional
        Returns a name in the form in which names are compared.

    Returns
    -------
    str

    Examples
    --------
    >>> from sklearn_mlloss._data.messages import did_you_mean
    >>> "unknown loss 'Focl'" + did_you_mean("Focl", ["bce", "focal"])
    "unknown loss 'Focl'; did you mean 'focal'?"
    """
    if not isinstance(name, str):
        return ""
    known = {form(other): other for other in names}
    close = get_close_matches(form(name), known, n=1)
    return f"; did you mean {known[close[0]]!r}?" if close else ""


def describe(value: Any) -> str:
    """Return a value in short for a message, without rows of data.

    Arrays and tables, and lists that are long or nested, may hold rows: only their type and size
    are shown.
    """
    if isinstance(value, partial):
        return f"partial of {describe(value.func)}"
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and shape:
        return f"{type(value).__name__} of shape {shape}"
    if isinstance(value, int) and abs(value) >= 10**20:
        return f"an integer of {value.bit_length()} bits"
    if not _is_container(value):
        return _short(value)
    kind, items = type(value).__name__, list(value.values() if isinstance(value, dict) else value)
    if isinstance(value, SHOWN) and len(items) <= MOST_ITEMS and not any(map(_is_container, items)):
        return _short(value)
    return f"{kind} of {len(items)} item{'s' * (len(items) != 1)}"


def describe_error(error: Exception) -> str:
    """Return class and message of an error."""
    return "".join(traceback.format_exception_only(error)).strip()


@contextmanager
def without_rows(name: str) -> Iterator[None]:
    """Raise scikit-learn's errors that show rows, for complex or not 2-D data, without them."""
    try:
        yield
    except ValueError as error:
        if str(error).startswith("Complex data not supported\n"):
            raise ValueError(f"Complex data not supported: {name} must hold real numbers") from None
        head, shown, _ = str(error).partition(" instead:\narray=")
        if not shown:
            raise
        raise ValueError(
            f"{head} instead. Reshape your data: {name}.reshape(-1, 1) has a single column, "
            f"{name}.reshape(1, -1) a single row"
        ) from None


def warn_user(message: str | Warning, category: type[Warning] = UserWarning) -> None:
    """Warn at the line outside this package that called it, however deep the call is.

    Frames of other libraries between those of this package, such as joblib's, are passed over.
    Within `once_each`, a message that was given is not given again.

    Parameters
    ----------
    message : str or Warning
        A Warning has its own category.
    category : type, default=UserWarning
    """
    held = _HELD.get()
    if held is not None and issubclass(category, held[1]) and _is_running(held[0]):
        held[2].append(str(message))
        return
    seen = _seen()
    if seen is not None:
        if str(message) in seen:
            return
        seen.add(str(message))
    frame, level, of_user = inspect.currentframe(), 1, 1
    while frame is not None:
        if frame.f_code.co_filename.startswith(PACKAGE):
            of_user = level + 1
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=of_user)


class held_back:
    """Collect the messages of `warn_user` of a category, in this thread, instead of warning.

    Python's own `catch_warnings` would catch those of other threads as well.
    """

    def __init__(self, category: type[Warning]):
        self.category = category

    def __enter__(self) -> list[str]:
        """Return the list of messages."""
        self.before, messages = _HELD.get(), list[str]()
        _HELD.set((sys._getframe(1), self.category, messages))
        return messages

    def __exit__(self, *error: object) -> None:
        """Warn again."""
        _HELD.set(self.before)


class once_each:
    """Let `warn_user` give each message once, however many fits there are within a fit.

    Parameters
    ----------
    before : iterable of str
        What the process that called this one has warned of, see `warned`.
    depth : int, default=1
        How many calls above `__enter__` the function is that must be running.
    """

    def __init__(self, before: Iterable[str] = (), depth: int = 1):
        self.before, self.depth = before, depth

    def __enter__(self) -> None:
        """Begin, unless there is a fit around this one."""
        self.is_outermost = _seen() is None
        if self.is_outermost:
            _WARNED.set((sys._getframe(self.depth), set(self.before)))

    def __exit__(self, *error: object) -> None:
        """End."""
        if self.is_outermost:
            _WARNED.set(None)


def warned() -> list[str]:
    """Return what the outermost fit has warned of, for `once_each` in other processes."""
    return list(_seen() or ())


def _seen() -> set[str] | None:
    held = _WARNED.get()
    return held[1] if held is not None and _is_running(held[0]) else None


def _is_running(frame: FrameType) -> bool:
    """Return whether a function has not ended: whether it is below this one on the stack."""
    here: FrameType | None = sys._getframe()
    while here is not None and here is not frame:
        here = here.f_back
    return here is frame


def _is_container(value: Any) -> bool:
    """Return whether a value may hold rows: arrays without dimensions, text and types do not."""
    return (
        isinstance(value, Collection)
        and not isinstance(value, str | bytes | type)
        and getattr(value, "shape", None) != ()
    )


def _short(value: Any) -> str:
    try:
        shown = " ".join(repr(value).split())
    except ValueError:  # of too many digits
        return type(value).__name__
    if len(shown) <= LONGEST:
        return shown
    # Not its beginning, which may hold data.
    length = f" of length {len(value)}" if hasattr(value, "__len__") else ""
    return f"{type(value).__name__}{length}"
