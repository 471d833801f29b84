"""Fields of dataclasses with checks of their values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field, fields, is_dataclass
from functools import partial
from typing import Any

__all__ = ["check_fields", "checked"]


def checked(
    default: Any, check: Callable[..., object], *, optional: bool = False, **options: Any
) -> Any:
    """Return a field of a dataclass whose values must pass a check.

    Parameters
    ----------
    default : object
        Default of the parameter.
    check : callable ``(value, name, **options)``
        Raises if a value is not accepted, as those of `sklearn_mlloss._data.validation` do.
    optional : bool, default=False
        Whether None is accepted, too.
    **options : dict
        Passed to the check, such as the bounds of a number.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> from sklearn_mlloss._data.fields import check_fields, checked
    >>> from sklearn_mlloss._data.validation import check_number
    >>> @dataclass
    ... class Focus:
    ...     gamma: float = checked(2.0, check_number, low=0)
    >>> check_fields(Focus(gamma=-1))
    Traceback (most recent call last):
        ...
    ValueError: gamma must be a finite number >= 0, got -1
    """
    metadata = {"check": partial(check, **options), "optional": optional}
    return field(default=default, metadata=metadata)


def check_fields(instance: object) -> None:
    """Raise unless the values of all fields of a dataclass pass their checks."""
    for each in fields(instance) if is_dataclass(instance) else ():
        value, check = getattr(instance, each.name), each.metadata.get("check")
        if check is not None and not (value is None and each.metadata["optional"]):
            check(value, each.name)
