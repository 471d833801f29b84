"""What code a fit runs, so that what was kept of other code is not taken for its result."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from importlib.metadata import version
from types import FunctionType
from typing import Any

import joblib
from sklearn.base import BaseEstimator

from . import __version__

__all__ = ["code_digest"]

# Of these, versions say all.
PACKAGES = ("sklearn_mlloss", "torch", "skorch", "sklearn", "numpy", "scipy")
DISTRIBUTIONS = ("torch", "skorch", "scikit-learn", "numpy")


def code_digest(values: list[Any]) -> str:
    """Return a digest of the versions of packages, and of functions and classes that they lack.

    Names alone would not do: a function may be written anew under its name.
    """
    versions = [__version__, *(version(name) for name in DISTRIBUTIONS)]
    return joblib.hash([versions, list(_sources(values))])


def _sources(value: Any) -> Iterator[str]:
    if isinstance(value, list | tuple):
        for part in value:
            yield from _sources(part)
    elif isinstance(value, functools.partial):
        yield from _sources([value.func, *value.args, *value.keywords.values()])
    elif isinstance(value, type | FunctionType):
        if value.__module__.partition(".")[0] not in PACKAGES:
            yield _source(value)
    elif hasattr(value, "__dict__"):
        yield from _sources(type(value))
        if isinstance(value, BaseEstimator):
            yield from _sources(list(value.get_params(deep=False).values()))


def _source(value: type | FunctionType) -> str:
    if isinstance(value, FunctionType):
        # Also where there is no file, as in a notebook.
        code = value.__code__
        return f"{code.co_code!r} {code.co_consts!r} {code.co_names!r}"
    methods = [f"{name} {_source(f)}" for name, f in vars(value).items() if inspect.isfunction(f)]
    return "\n".join([value.__qualname__, *methods])
