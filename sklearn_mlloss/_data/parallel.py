"""Parallel calls whose results may hold functions and classes of a script or notebook."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable
from pickle import PicklingError
from types import CodeType, FunctionType
from typing import Any

import numpy as np
from sklearn.utils.parallel import Parallel, delayed

try:
    import cloudpickle
except ImportError:  # joblib before 1.6 has it within
    from joblib.externals import cloudpickle

__all__ = ["call_in_parallel"]


def call_in_parallel(
    function: Callable, arguments: Iterable[tuple], n_jobs: int | None = None
) -> list[Any]:
    """Return what a function returns for each tuple of arguments, computed in parallel by joblib.

    Parameters
    ----------
    function : callable
    arguments : iterable of tuple
        Positional arguments of each call. A large array should be one of them: joblib maps it into
        memory once for all processes.
    n_jobs : int, optional
        Calls at a time, as in joblib.
    """
    calls = (delayed(_call)(function, *values) for values in arguments)
    try:
        return [result.value for result in Parallel(n_jobs=n_jobs)(calls)]
    except PicklingError as error:
        error.add_note(
            "This was raised by n_jobs, which pickles what other processes get: define functions "
            "and classes in a module, or use joblib's backend 'loky', which takes those of a script"
        )
        raise


class _Result:
    """A result that another process returns with functions and classes of the script by value.

    pickle would look for them by name in a worker that has never run the script.
    """

    def __init__(self, value: Any):
        self.value = value

    def __reduce__(self) -> tuple:
        stream = io.BytesIO()
        _Pickler(stream).dump(self.value)
        return _load, (stream.getvalue(),)


class _Pickler(cloudpickle.Pickler):
    """Pickles by value what becomes itself again where the script has it under its name.

    A copy of a function or class could not be pickled by name, and the model not be saved.
    """

    def reducer_override(self, obj: Any) -> Any:
        """Reduce what the script defines, and arrays in memory that only a worker has mapped."""
        is_of_script = isinstance(obj, FunctionType | type) and obj.__module__ == "__main__"
        if is_of_script and obj.__qualname__.isidentifier():
            return _find, (obj.__qualname__, _code(obj), cloudpickle.dumps(obj))
        if isinstance(obj, np.memmap):
            return np.array, (np.asarray(obj),)
        return super().reducer_override(obj)


def _call(function: Callable, /, *arguments: Any) -> _Result:
    return _Result(function(*arguments))


def _load(pickled: bytes) -> _Result:
    return _Result(cloudpickle.loads(pickled))


def _find(name: str, code: CodeType | None, pickled: bytes) -> Any:
    """Return the function with this name and code, or the class; else what was pickled."""
    found = getattr(sys.modules["__main__"], name, None)
    is_same = isinstance(found, FunctionType | type) and _code(found) == code
    return found if is_same else cloudpickle.loads(pickled)


def _code(value: FunctionType | type) -> CodeType | None:
    return getattr(value, "__code__", None)
