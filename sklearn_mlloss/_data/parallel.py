"""Parallel calls by joblib, with recovery of killed workers and of objects of scripts."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError
from contextlib import contextmanager
from pickle import PicklingError
from types import CodeType, FunctionType
from typing import Any

import numpy as np
from joblib.parallel import get_active_backend
from sklearn.utils.parallel import Parallel, delayed

try:
    import cloudpickle
except ImportError:  # joblib before 1.6 has it within
    from joblib.externals import cloudpickle

from .messages import once_each, warned

__all__ = ["ByValue", "call_in_parallel"]

# A call that kills its workers must not be repeated for ever.
N_TRIES = 3


def call_in_parallel(
    function: Callable,
    arguments: Iterable[tuple],
    n_jobs: int | None = None,
    *,
    common: dict[str, Any] | None = None,
    on_result: Callable[[int, Any], None] | None = None,
) -> list[Any]:
    """Return what a function returns for each tuple of arguments, computed in parallel by joblib.

    Parameters
    ----------
    function : callable
    arguments : iterable of tuple
        Positional arguments of each call. A large table that several calls share should be one of
        them, not hidden in a list or a dict: a worker of a cluster then gets it once.
    n_jobs : int, optional
        Calls at a time, as in joblib.
    common : dict, optional
        Keyword arguments of all calls.
    on_result : callable, optional
        Called with the number and the result of each call: as soon as it is over if the backend
        returns results one by one, and otherwise at the end.

    Raises
    ------
    concurrent.futures.BrokenExecutor, concurrent.futures.CancelledError
        If workers died, and results or tables with them, in each of `N_TRIES` tries. From one try
        to the next the results so far are kept, if the backend returns them one by one.
    """
    calls, common = list(arguments), common or {}
    tables = [value for values in (*calls, common.values()) for value in values if _is_table(value)]
    results: dict[int, Any] = {}
    backend, _ = get_active_backend()
    return_as = "generator_unordered" if backend.supports_return_generator else "list"
    for attempt in range(1, N_TRIES + 1):
        missing = [number for number in range(len(calls)) if number not in results]
        tasks = (
            delayed(_call)(number, function, warned(), *calls[number], **common)
            for number in missing
        )
        try:
            with _scattered(tables, backend, again=attempt > 1):
                for number, result in Parallel(n_jobs=n_jobs, return_as=return_as)(tasks):
                    results[number] = result.value
                    if on_result is not None:
                        on_result(number, result.value)
            break
        except (BrokenExecutor, CancelledError):
            if attempt == N_TRIES:
                raise
        except PicklingError as error:
            error.add_note(
                "This was raised by n_jobs, which pickles arguments for other processes: define "
                "functions and classes in a module, or use joblib's backend 'loky', which takes "
                "those of a script"
            )
            raise
    return [results[number] for number in range(len(calls))]


def _is_table(value: Any) -> bool:
    """Return whether a value is an array, a sparse matrix or a DataFrame."""
    return len(getattr(value, "shape", ())) > 0


@contextmanager
def _scattered(tables: list[Any], backend: Any, again: bool) -> Iterator[None]:
    """Send the tables to every worker of a dask cluster; other backends need nothing.

    Left alone, joblib sends a table to one worker, where others fetch it: if that worker dies, the
    table is lost, and joblib may wait for ever.
    """
    if not hasattr(backend, "data_futures"):
        yield
        return
    before = dict(backend.data_futures)
    # What the user had scattered is there, but may have been lost by the second attempt.
    wanted = {id(table): table for table in tables if again or id(table) not in before}
    if wanted:
        backend.effective_n_jobs(-1)  # waits for a worker
        futures = backend.client.scatter(list(wanted.values()), broadcast=True, hash=False)
        backend.data_futures.update(zip(wanted, futures, strict=True))
    try:
        yield
    finally:
        backend.data_futures.clear()
        backend.data_futures.update(before)


class ByValue:
    """A value that goes to another process with functions and classes of the script by value.

    pickle would look for them by name in a worker that has never run the script.
    """

    def __init__(self, value: Any):
        self.value = value

    def __reduce__(self) -> tuple:
        stream = io.BytesIO()
        _Pickler(stream).dump(self.value)
        return _load, (stream.getvalue(),)


class _Pickler(cloudpickle.Pickler):
    """Pickles functions and classes of the script by value; they become the same objects again.

    A copy of a function or class could not be pickled by name, and the model not be saved.
    """

    def reducer_override(self, obj: Any) -> Any:
        """Reduce objects of the script, and arrays that only the worker has mapped into memory."""
        is_of_script = isinstance(obj, FunctionType | type) and obj.__module__ == "__main__"
        if is_of_script and obj.__qualname__.isidentifier():
            return _find, (obj.__qualname__, _code(obj), cloudpickle.dumps(obj))
        if isinstance(obj, np.memmap):
            return np.array, (np.asarray(obj),)
        return super().reducer_override(obj)


def _call(
    number: int, function: Callable, before: list[str], /, *arguments: Any, **common: Any
) -> tuple[int, ByValue]:
    with once_each(before):
        return number, ByValue(function(*arguments, **common))


def _load(pickled: bytes) -> ByValue:
    return ByValue(cloudpickle.loads(pickled))


def _find(name: str, code: CodeType | None, pickled: bytes) -> Any:
    """Return the function with this name and code, or the class; else the pickled one."""
    present = getattr(sys.modules["__main__"], name, None)
    is_same = isinstance(present, FunctionType | type) and _code(present) == code
    return present if is_same else cloudpickle.loads(pickled)


def _code(value: FunctionType | type) -> CodeType | None:
    return getattr(value, "__code__", None)
