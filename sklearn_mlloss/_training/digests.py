"""What code a fit runs, so that what was kept of other code is not taken for its result."""

from __future__ import annotations

import functools
import hashlib
import platform
import sys
import types
from importlib.metadata import version
from typing import Any

import joblib
import numpy as np
import torch

from .._versions import __version__

__all__ = ["code_digest"]

# Of these and of the standard library, versions say all.
PACKAGES = ("sklearn_mlloss", "torch", "skorch", "sklearn", "numpy", "scipy")
DISTRIBUTIONS = ("torch", "skorch", "scikit-learn", "numpy", "scipy")

ATOMS = (str, bytes, int, float, complex, type(None), type(...))
# The attributes that say all of a value.
ATTRIBUTES: dict[type, tuple[str, ...]] = {
    # Neither file nor lines, so that code may move.
    types.CodeType: (
        "co_code", "co_consts", "co_names", "co_varnames", "co_freevars", "co_cellvars",
        "co_argcount", "co_posonlyargcount", "co_kwonlyargcount", "co_flags", "co_exceptiontable",
    ),
    types.CellType: ("cell_contents",),
    types.MethodType: ("__func__", "__self__"),
    types.BuiltinMethodType: ("__name__", "__self__"),
    types.ModuleType: ("__name__",),
    types.SimpleNamespace: ("__dict__",),
    staticmethod: ("__func__",),
    classmethod: ("__func__",),
    property: ("fget", "fset", "fdel"),
    functools.cached_property: ("func",),
    functools.partial: ("func", "args", "keywords"),
    functools.partialmethod: ("func", "args", "keywords"),
    type(functools.cache(len)): ("__wrapped__",),
}  # fmt: skip
# Beginnings of the names of what a class has beside its code. Some of it comes with use, such as
# the names of slots with the first pickle.
NOT_CODE = (
    "__module__", "__doc__", "__dict__", "__weakref__", "__annot", "__firstlineno__",
    "__static_attributes__", "__slotnames__",
)  # fmt: skip


def code_digest(values: list[Any]) -> str:
    """Return a digest of the versions of packages, and of functions and classes that they lack.

    Names alone would not do: a function may be written anew under its name. Equal code has equal
    digests in all processes.
    """
    versions = [version(name) for name in DISTRIBUTIONS]
    return _digest([__version__, platform.python_version(), *versions, *values], {})


def _digest(value: Any, seen: dict[int, tuple[str, Any]]) -> str:
    if isinstance(value, ATOMS):
        return f"{type(value).__name__} {value!r}"
    if id(value) not in seen:
        # A value may hold itself. It is kept, or another would be given its id.
        seen[id(value)] = "", value
        try:
            parts = [_digest(part, seen) for part in (type(value), *_parts(value))]
        except Exception:
            # Such as an empty cell, or a lock, which cannot be pickled.
            parts = [str(type(value))]
        if isinstance(value, set | frozenset):
            parts.sort()
        seen[id(value)] = hashlib.sha256(repr(parts).encode()).hexdigest(), value
    return seen[id(value)][0]


def _parts(value: Any) -> list[Any]:
    """Return what says all of a value, beside its type."""
    if isinstance(value, list | tuple | set | frozenset):
        return list(value)
    if isinstance(value, dict | types.MappingProxyType):
        return list(value.items())
    if isinstance(value, np.ndarray):
        return [joblib.hash(value)]
    if isinstance(value, torch.Tensor):
        # Its pickle tells where it lies in memory.
        return [str(value.dtype), repr(value.tolist())]
    if isinstance(value, types.FunctionType):
        code = _name(value) if _is_known(value) else value.__code__
        return [code, value.__defaults__, value.__kwdefaults__, value.__closure__, vars(value)]
    if isinstance(value, type):
        if _is_known(value):
            return [_name(value)]
        names = sorted(name for name in vars(value) if not name.startswith(NOT_CODE))
        return [*value.__bases__, *((name, vars(value)[name]) for name in names)]
    for kind, names in ATTRIBUTES.items():
        if isinstance(value, kind):
            return [getattr(value, name) for name in names]
    # The state of a logger, for one, is that of all loggers: its pickle is its name.
    state = None if _package(type(value)) in sys.stdlib_module_names else value.__getstate__()
    return [joblib.hash(value) if state is None else state]


def _package(value: Any) -> str:
    return str(value.__module__).partition(".")[0]


def _is_known(value: Any) -> bool:
    return _package(value) in PACKAGES or _package(value) in sys.stdlib_module_names


def _name(value: Any) -> str:
    return f"{value.__module__}.{value.__qualname__}"
