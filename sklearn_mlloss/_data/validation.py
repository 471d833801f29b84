"""Checks of single parameters, and warnings that show the user's line."""

from __future__ import annotations

import inspect
import math
import os
import warnings
from numbers import Integral, Real
from typing import Any

__all__ = ["check_integer", "check_number", "warn_user"]

PACKAGE = os.path.join(os.path.dirname(os.path.dirname(__file__)), "")


def check_number(
    value: Any,
    name: str,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    closed: str = "both",
) -> None:
    """Raise unless a parameter is a finite number within bounds.

    Parameters
    ----------
    value : object
        What was given. A bool is no number.
    name : str
        Name of the parameter, for the message.
    low, high : float
        Bounds of the values that are allowed.
    closed : {"both", "left", "right", "neither"}, default="both"
        Which of the two bounds are allowed themselves. NaN and infinity never are.

    Raises
    ------
    TypeError
        If `value` is not a real number.
    ValueError
        If it is not finite or out of bounds.

    Examples
    --------
    >>> from sklearn_mlloss._data.validation import check_number
    >>> check_number(float("nan"), "gamma", low=0)
    Traceback (most recent call last):
        ...
    ValueError: gamma must be a finite number >= 0, got nan
    """
    wanted = _describe_range("a finite number", low, high, closed)
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be {wanted}, got {value!r}")
    if not _is_finite(value) or not _is_within(value, low, high, closed):
        raise ValueError(f"{name} must be {wanted}, got {value!r}")


def check_integer(value: Any, name: str, *, low: float = -math.inf, high: float = math.inf) -> None:
    """Raise unless a parameter is an integer within bounds, both of which are allowed.

    Parameters
    ----------
    value : object
        What was given. A bool is no integer.
    name : str
        Name of the parameter, for the message.
    low, high : float
        Bounds of the values that are allowed.

    Raises
    ------
    TypeError
        If `value` is not an integer.
    ValueError
        If it is out of bounds.
    """
    wanted = _describe_range("an integer", low, high, "both")
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be {wanted}, got {value!r}")
    if not _is_within(value, low, high, "both"):
        raise ValueError(f"{name} must be {wanted}, got {value!r}")


def warn_user(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the line outside this package that called it, however deep the call is.

    Frames of other libraries between those of this package, such as joblib's, are passed over.

    Parameters
    ----------
    message : str
    category : type, default=UserWarning
    """
    frame, level, of_user = inspect.currentframe(), 1, 1
    while frame is not None:
        if frame.f_code.co_filename.startswith(PACKAGE):
            of_user = level + 1
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=of_user)


def _is_finite(value: Real) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an int beyond the range of float
        return False


def _is_within(value: Real, low: float, high: float, closed: str) -> bool:
    above = value >= low if closed in ("both", "left") else value > low
    below = value <= high if closed in ("both", "right") else value < high
    return above and below


def _describe_range(kind: str, low: float, high: float, closed: str) -> str:
    left, right = closed in ("both", "left"), closed in ("both", "right")
    if low > -math.inf and high < math.inf:
        return f"{kind} in {'[' if left else '('}{low:g}, {high:g}{']' if right else ')'}"
    if low > -math.inf:
        return f"{kind} {'>=' if left else '>'} {low:g}"
    if high < math.inf:
        return f"{kind} {'<=' if right else '<'} {high:g}"
    return kind
