"""Calling a function many times, in parallel by joblib; what is lost with a worker is repeated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError
from contextlib import contextmanager
from typing import Any

from joblib.parallel import get_active_backend
from sklearn.utils.parallel import Parallel, delayed

__all__ = ["call_all"]

# A call that kills its workers must not be repeated for ever.
N_TRIES = 3


def call_all(
    function: Callable,
    arguments: Iterable[tuple],
    common: dict[str, Any] | None = None,
    *,
    n_jobs: int | None = None,
    told: Callable[[int, Any], None] | None = None,
) -> list:
    """Return what a function gives for each tuple of arguments, in their order.

    Parameters
    ----------
    function : callable
    arguments : iterable of tuple
        Positional arguments of each call. A table that several calls share should be one of them,
        not hidden in a list or a dict: a worker then gets it once, and not with each call.
    common : dict, optional
        Keyword arguments of all calls.
    n_jobs : int, optional
        Calls at a time, as in joblib.
    told : callable, optional
        Called with the number and the result of each call: as soon as it is over, if the backend
        gives results one by one, and else in the end.

    Returns
    -------
    list

    Raises
    ------
    concurrent.futures.BrokenExecutor, concurrent.futures.CancelledError
        If workers died, and results or tables with them, in each of `N_TRIES` tries. From one to
        the next the results that are there are kept, if the backend gives them one by one.
    """
    arguments, common = list(arguments), common or {}
    tables = [value for own in (*arguments, common.values()) for value in own if _is_table(value)]
    results: dict[int, Any] = {}
    backend, _ = get_active_backend()
    return_as = "generator_unordered" if backend.supports_return_generator else "list"
    for attempt in range(1, N_TRIES + 1):
        missing = [number for number in range(len(arguments)) if number not in results]
        calls = (
            delayed(_numbered)(number, function, *arguments[number], **common) for number in missing
        )
        try:
            with _everywhere(backend, tables, again=attempt > 1):
                for number, result in Parallel(n_jobs=n_jobs, return_as=return_as)(calls):
                    results[number] = result
                    if told is not None:
                        told(number, result)
            break
        except (BrokenExecutor, CancelledError):
            if attempt == N_TRIES:
                raise
    return [results[number] for number in range(len(arguments))]


def _is_table(value: Any) -> bool:
    """Tell whether a value is an array, a sparse matrix or a DataFrame."""
    return len(getattr(value, "shape", ())) > 0


@contextmanager
def _everywhere(backend: Any, tables: list, again: bool) -> Iterator[None]:
    """Let every worker of a dask cluster have the tables; other backends need nothing.

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


def _numbered(number: int, function: Callable, /, *args: Any, **kwargs: Any) -> tuple[int, Any]:
    return number, function(*args, **kwargs)
