"""Cached training: the parameter `memory`."""

from __future__ import annotations

import hashlib
import platform
import sys
import types
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from typing import Any

import joblib
import numpy as np
import torch
from sklearn.utils.validation import check_memory

from .._data.messages import LONGEST, describe
from .._versions import __version__
from .build import Plan
from .fit import CutShort, warn_of_early_end

__all__ = ["hash_code", "train_cached"]

# Parameters that do not change the networks.
NOT_IN_KEY = ("verbose", "n_jobs", "memory", "warm_start")
# The code of these packages, and of the standard library, is known by their versions.
PACKAGES = ("sklearn_mlloss", "torch", "skorch", "sklearn", "numpy", "scipy")
DISTRIBUTIONS = ("torch", "skorch", "scikit-learn", "numpy", "scipy")

ATOMS = (str, bytes, int, float, complex, type(None), type(...))
# The attributes that define values without a pickle.
ATTRIBUTES: dict[type, tuple[str, ...]] = {
    # Neither file nor lines, so that code may move.
    types.CodeType: (
        "co_code", "co_consts", "co_names", "co_varnames", "co_freevars", "co_cellvars",
        "co_argcount", "co_posonlyargcount", "co_kwonlyargcount", "co_flags", "co_exceptiontable",
    ),
    types.CellType: ("cell_contents",),
    types.ModuleType: ("__name__",),
    staticmethod: ("__func__",),
    classmethod: ("__func__",),
    property: ("fget", "fset", "fdel"),
    type(cache(len)): ("__wrapped__",),
}  # fmt: skip
# Prefixes of attributes of a class that are no code. Some appear with use, such as the names of
# slots, with the first pickle.
NOT_CODE = (
    "__module__", "__doc__", "__dict__", "__weakref__", "__annot", "__firstlineno__",
    "__static_attributes__", "__slotnames__",
)  # fmt: skip


def train_cached(train: Callable[..., Any], plan: Plan, *args: Any) -> Any:
    """Return ``train(plan, *args)``, from the cache if it has been called with equal arguments.

    Warns if training diverged, or ended while it still improved. After an interrupt the result is
    returned, but not cached.
    """
    params = plan.params
    # What continues from the weights of the last fit is not a function of its arguments alone.
    try:
        if params.memory is None or params.warm_start:
            result = train(plan, *args)
        else:
            cached = check_memory(params.memory).cache(_call, ignore=["train", "plan"])
            result = cached(train, train.__name__, _key(plan), plan, *args)
    except CutShort as cut:
        return cut.result
    warn_of_early_end(result, params.max_epochs)
    return result


def _call(train: Callable[..., Any], name: str, key: dict[str, str], plan: Plan, *args: Any) -> Any:
    """Train; the cache compares all arguments except `train` and `plan`."""
    return train(plan, *args)


def _key(plan: Plan) -> dict[str, str]:
    """Return hashes of all that training reads of a plan, and of the code that it runs."""
    values = {name: value for name, value in vars(plan.params).items() if name not in NOT_IN_KEY}
    values["loss"] = plan.loss
    key = {"code": hash_code(list(values.values()))}
    values |= {
        "device": str(plan.device),
        "is_categorical": plan.is_categorical,
        "exclusive": plan.exclusive,
    }
    for name, value in values.items():
        try:
            key[name] = joblib.hash(value)
        except Exception as error:  # each class fails in its own way
            reason = str(error.args[0]) if error.args else type(error).__name__
            raise ValueError(
                f"memory={describe(plan.params.memory)} caches networks by their parameters, and "
                f"{name}={describe(value)} cannot be pickled: {reason[:LONGEST]}. Define functions "
                "and classes in a module, or set memory=None"
            ) from None
    return key


def hash_code(values: list[Any]) -> str:
    """Return a hash of values with the code of their functions and classes, and of versions.

    A pickle has only the name of a function, which may be redefined. Equal code has equal hashes
    in all processes.
    """
    versions = [version(name) for name in DISTRIBUTIONS]
    return _hash([__version__, platform.python_version(), *versions, *values], {})


def _hash(value: Any, seen: dict[int, tuple[str, Any]]) -> str:
    if isinstance(value, ATOMS):
        return f"{type(value).__name__} {value!r}"
    if id(value) not in seen:
        # A value may contain itself. It is stored, so that no other object gets its id.
        seen[id(value)] = "", value
        try:
            parts = [_hash(part, seen) for part in (type(value), *_parts_of(value))]
        except Exception:
            # Such as an empty cell, or a lock, which cannot be pickled.
            parts = [str(type(value))]
        if isinstance(value, set | frozenset):
            parts.sort()
        seen[id(value)] = hashlib.sha256(repr(parts).encode()).hexdigest(), value
    return seen[id(value)][0]


def _parts_of(value: Any) -> list[Any]:
    """Return what defines a value of its type."""
    if isinstance(value, list | tuple | set | frozenset):
        return list(value)
    if isinstance(value, dict | types.MappingProxyType):
        return list(value.items())
    if isinstance(value, np.ndarray):
        return [joblib.hash(value)]
    if isinstance(value, torch.Tensor):
        # Its pickle contains its place in memory.
        return [str(value.dtype), repr(value.tolist())]
    if isinstance(value, types.FunctionType):
        code = _known_name(value) or value.__code__
        return [code, value.__defaults__, value.__kwdefaults__, value.__closure__, vars(value)]
    if isinstance(value, type):
        known = _known_name(value)
        names = sorted(name for name in vars(value) if not name.startswith(NOT_CODE))
        return [known] if known else [*value.__bases__, *((n, vars(value)[n]) for n in names)]
    for kind, attributes in ATTRIBUTES.items():
        if isinstance(value, kind):
            return [getattr(value, name) for name in attributes]
    reduced = value.__reduce_ex__(4)
    # A string is the name of a global object in its module.
    return [joblib.hash(value) if isinstance(reduced, str) else reduced]


def _known_name(value: Any) -> str | None:
    """Return the full name of a function or class if the version of its package defines it."""
    package = str(value.__module__).partition(".")[0]
    is_known = package in PACKAGES or package in sys.stdlib_module_names
    return f"{value.__module__}.{value.__qualname__}" if is_known else None
