"""Checks of single parameters."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from .advice import advise
from .messages import describe, did_you_mean

__all__ = [
    "InvalidParameterError",
    "check_beta",
    "check_call",
    "check_choice",
    "check_flag",
    "check_integer",
    "check_n_jobs",
    "check_nested",
    "check_number",
    "check_numbers",
    "is_auto",
    "naming",
]

# The largest number in float32, in which networks compute.
LARGEST = float(np.finfo(np.float32).max)
# Within these bounds the square of beta keeps its digits beside 1, and counts times it are finite.
SMALLEST_BETA, LARGEST_BETA = 1e-6, 1e6


class InvalidParameterError(TypeError, ValueError):
    """A parameter has a wrong type: both errors, since users may catch either."""


# Errors of Python, numpy and torch on wrong values. An assertion or an error of a custom class is
# clear as it is, and is not replaced by one that names the parameter.
FOREIGN = ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError


@contextmanager
def naming(prefix: str) -> Iterator[None]:
    """Begin an error of Python, numpy or torch with the parameter that it is due to."""
    try:
        yield
    except FOREIGN as error:
        kind = InvalidParameterError if isinstance(error, TypeError) else ValueError
        reason = error if type(error) in (TypeError, ValueError) else repr(error)
        raise kind(f"{prefix}: {reason}") from error


def check_number(
    value: Any,
    name: str,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    closed: str = "both",
    infinite: bool = False,
    largest: float = LARGEST,
    other: str = "",
) -> None:
    """Raise unless a parameter is a finite number within bounds.

    Parameters
    ----------
    value : object
        Not allowed are bools, and numbers that formulas cannot take: integers of numpy with fewer
        than 32 bits or without sign, of which ``-x`` or ``x**2`` overflows; ints of more than 64
        bits; fractions.
    name : str
        Name of the parameter, for the message.
    low, high : float
        Bounds of the allowed values.
    closed : {"both", "left", "right", "neither"}, default="both"
        Which of the two bounds are allowed values.
    infinite : bool, default=False
        Whether infinity within the bounds is allowed. NaN is never.
    largest : float, default=the largest of float32
        Size beyond which a number counts as infinite: most networks compute in float32.
    other : str, default=""
        Other values that the caller allows, for the message, such as ``"None or "``.

    Raises
    ------
    InvalidParameterError
        If `value` is not such a number.
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
    bounded = low > -math.inf and high < math.inf
    kind = "a number" if bounded or infinite else "a finite number"
    wanted = f"{name} must be {other}{_describe_range(kind, low, high, closed)}"
    if not _is_number(value):
        raise InvalidParameterError(f"{wanted}, got {describe(value)}{_why_no_number(value)}")
    size = abs(float(value))
    allowed = not math.isnan(size) if infinite else size <= largest
    if not allowed or not _is_within(value, low, high, closed):
        why = ", which is infinite in float32" if not allowed and LARGEST < size < math.inf else ""
        raise ValueError(f"{wanted}, got {describe(value)}{why}")


def check_beta(value: Any, name: str = "beta") -> None:
    """Raise unless a number can be the weight of recall in F-beta."""
    check_number(value, name, low=0, closed="neither")
    if not SMALLEST_BETA <= value <= LARGEST_BETA:
        raise ValueError(
            f"{name} must be in [{SMALLEST_BETA:g}, {LARGEST_BETA:g}], beyond which F-beta is the "
            f"precision or the recall, got {describe(value)}"
        )


def check_numbers(
    value: Any,
    name: str,
    *,
    low: float = -math.inf,
    closed: str = "both",
    infinite: bool = False,
    other: str = "",
) -> np.ndarray:
    """Return a number, or a sequence of numbers, one per label, as float64, or raise.

    Parameters
    ----------
    value : object
        A number, or a sequence of numbers.
    name, low, closed, infinite, other : see `check_number`

    Returns
    -------
    ndarray of shape () or (n_values,)

    Raises
    ------
    ValueError
        If `value` is not such numbers, or one of them is not finite or out of bounds.
    """
    try:
        array = np.asarray(value)
        if array.dtype.kind == "O" and all(map(_is_number, array.ravel())):
            array = array.astype(np.float64)
    except (TypeError, ValueError, RuntimeError):  # of ragged lists, and of torch
        array = np.empty(0, dtype=object)
    numbers = array.astype(np.float64) if array.dtype.kind in "iuf" else np.array(np.nan)
    limit = math.inf if infinite else LARGEST
    within = _is_within(numbers, low, math.inf, closed) & (np.abs(numbers) <= limit)
    if array.ndim > 1 or not np.all(within):
        kind = _describe_range("a number" if infinite else "a finite number", low, math.inf, closed)
        raise ValueError(f"{name} must be {other}{kind} or one per label, got {describe(value)}")
    return numbers


def check_integer(
    value: Any,
    name: str,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    other: str = "",
) -> None:
    """Raise unless a parameter is an integer within bounds, both of which are allowed.

    Parameters
    ----------
    value : object
        Bools are not allowed.
    name, low, high, other : see `check_number`

    Raises
    ------
    InvalidParameterError
        If `value` is not an integer.
    ValueError
        If it is out of bounds.
    """
    wanted = f"{name} must be {other}{_describe_range('an integer', low, high, 'both')}"
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise InvalidParameterError(f"{wanted}, got {describe(value)}")
    if not _is_within(value, low, high, "both"):
        raise ValueError(f"{wanted}, got {describe(value)}")


def check_flag(value: Any, name: str, *, other: str = "") -> None:
    """Raise an InvalidParameterError unless a parameter is True or False."""
    if not isinstance(value, bool | np.bool_):
        raise InvalidParameterError(f"{name} must be {other}True or False, got {describe(value)}")


def check_choice(value: Any, name: str, choices: Iterable[str], other: str = "") -> None:
    """Raise a ValueError, with the nearest name, unless a parameter is one of some names."""
    choices = list(choices)
    if not isinstance(value, str) or value not in choices:
        raise ValueError(
            f"{name} must be {other}one of {', '.join(map(repr, choices))}, got "
            f"{describe(value)}{did_you_mean(value, choices)}"
        )


def check_verbose(value: Any, name: str = "verbose") -> None:
    """Raise unless a parameter is a bool or an integer >= 0."""
    if not isinstance(value, bool | np.bool_):
        check_integer(value, name, low=0, other="a bool or ")


def check_call(function: Callable[..., Any], name: str, *arguments: str) -> None:
    """Raise a TypeError unless a function can be called with these positional arguments."""
    wanted = f"{name} must be callable with ({', '.join(arguments)}), got {describe(function)}"
    if not callable(function):
        raise TypeError(wanted)
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some functions written in C have no signature
        return
    try:
        signature.bind(*arguments)
    except TypeError as error:
        raise TypeError(f"{wanted}: {error}") from None


def is_auto(value: Any) -> bool:
    """Return whether a parameter is "auto"."""
    return isinstance(value, str) and value == "auto"


def _is_number(value: Any) -> bool:
    if isinstance(value, np.integer):
        return isinstance(value, np.signedinteger) and value.itemsize >= 4
    if isinstance(value, np.floating):
        return True
    whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
    return whole or isinstance(value, float)


def _why_no_number(value: Any) -> str:
    if not isinstance(value, Real) or isinstance(value, bool):
        return ""
    return ", which formulas cannot take: give a float"


def _is_within(value: Any, low: float, high: float, closed: str) -> Any:
    above = value >= low if closed in ("both", "left") else value > low
    # Without an upper bound there is no limit: infinity may be allowed.
    below = value <= high if closed in ("both", "right") or high == math.inf else value < high
    return above & below


def _describe_range(kind: str, low: float, high: float, closed: str) -> str:
    left, right = closed in ("both", "left"), closed in ("both", "right")
    if low > -math.inf and high < math.inf:
        return f"{kind} in {'[' if left else '('}{low:g}, {high:g}{']' if right else ')'}"
    if low > -math.inf:
        return f"{kind} {'>=' if left else '>'} {low:g}"
    if high < math.inf:
        return f"{kind} {'<=' if right else '<'} {high:g}"
    return kind


def check_n_jobs(n_jobs: Any) -> None:
    """Raise for what joblib takes for no number of processes."""
    if n_jobs is not None and (not isinstance(n_jobs, Integral) or n_jobs == 0):
        raise ValueError(
            f"n_jobs must be None, an int >= 1, or -1 for all cores, got {describe(n_jobs)}"
        )


def check_nested(estimator: BaseEstimator, params: Mapping[str, Any]) -> None:
    """Raise a ValueError for a nested name, such as "loss__gamma", that does not exist.

    Of other names for those that there is advice on: scikit-learn itself raises for the rest.
    """
    for key in params:
        _check_depth(estimator, key)
        if "__" not in key:
            advice = "" if hasattr(estimator, key) else advise(key, estimator.get_params(False))
            if advice:
                name = type(estimator).__name__
                raise ValueError(f"Invalid parameter {key!r} for estimator {name}{advice}")
            continue
        part, *names = estimator, *key.split("__")
        for depth, name in enumerate(names):
            path = "__".join(names[:depth])
            if not hasattr(part, "get_params"):
                raise ValueError(
                    f"{key} needs an object as {path}, which has such a parameter, got "
                    f"{path}={describe(part)}: give it along"
                )
            if depth and type(part).set_params is not BaseEstimator.set_params:
                break  # it has custom names
            known = part.get_params(deep=True)
            if name not in known:
                if not depth:
                    break  # scikit-learn raises
                has = ", ".join(n for n in known if "__" not in n) or "none"
                raise ValueError(
                    f"{key} must name a parameter of {type(part).__name__}, which has {has}"
                    f"{did_you_mean(name, known)}"
                )
            part = params.get("__".join(names[: depth + 1]), known[name])


def _check_depth(estimator: BaseEstimator, key: str) -> None:
    """Raise for a name that only objects within the estimator have, with the whole name."""
    head = key.partition("__")[0]
    if head in estimator.get_params(deep=False) or hasattr(estimator, head):
        return
    whole = [name for name in estimator.get_params() if name.endswith(f"__{key}")]
    if whole:
        raise ValueError(
            f"Invalid parameter {key!r} for estimator {type(estimator).__name__}: use "
            f"{' or '.join(map(repr, whole))}"
        )
