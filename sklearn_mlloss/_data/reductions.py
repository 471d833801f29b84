"""Sums over rows that are not in memory: of dask collections where each partition lies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import scipy.sparse as sp

from .._sklearn import _num_samples, _safe_indexing
from .partitions import check_gathered, frame_parts, is_partitioned, predict_blocks
from .sources import RowSource
from .sparse import as_csr

__all__ = ["RowBlocks", "join_partitions", "label_blocks", "sum_partitions"]

# Sums that are added in one task, so that no process holds those of all partitions at once.
ADDED_AT_ONCE = 16

Sums = tuple[Any, ...]


class RowBlocks:
    """Predictions, labels and weights of the rows of a source, which are read in each pass.

    Parameters
    ----------
    predict : callable (X) -> array
    source : RowSource
    """

    def __init__(self, predict: Callable[[Any], Any], source: RowSource):
        self.predict = predict
        self.source = source

    def results(self, function: Callable[..., Sums]) -> Iterator[Sums | None]:
        """Yield what a function of these returns for each block; None where no row counts."""
        name = None
        for name, *rows in predict_blocks(self.predict, self.source):
            yield _call(function, name, *rows)
        if name is None:
            raise ValueError(f"{type(self.source).__name__} has no row in its shards")


def sum_partitions(function: Callable[..., Sums], *values: Any) -> Sums:
    """Return sums over rows: those of all partitions, added, if any value is a dask collection.

    Parameters
    ----------
    function : callable (*values) -> tuple of numbers, arrays or sparse arrays
        It is called once if all values are in memory, else with the rows of each partition. It is
        sent once. Partitions without rows, or with weights of 0 only, are left out.
    *values : array-like, dask collection, or None
        They have the same rows. The last one has the weights. Or one `RowBlocks` instead.

    Returns
    -------
    tuple

    Raises
    ------
    ValueError
        If rows do not match, or no row counts. A note names the partition of other errors.
    """
    if isinstance(values[0], RowBlocks):
        return _of_rows([reduce(_add_two, values[0].results(function))])[0]
    if not any(map(is_partitioned, values)):
        return function(*values)
    import dask

    parts, together = _by_partition(function, values), dask.delayed(_add)
    while len(parts) > 1:
        steps = range(0, len(parts), ADDED_AT_ONCE)
        parts = [together(parts[start : start + ADDED_AT_ONCE]) for start in steps]
    (sums,) = _of_rows(dask.compute(*parts))
    return sums


def join_partitions(function: Callable[..., Sums], *values: Any) -> Sums:
    """Return arrays in memory: those that a function returns for each partition, joined.

    Parameters
    ----------
    function, *values : see `sum_partitions`
        Of the arrays that the function returns, some may be None, the same ones in each call.
    """
    if isinstance(values[0], RowBlocks):
        results = list(values[0].results(function))
    elif any(map(is_partitioned, values)):
        import dask

        results = dask.compute(*_by_partition(function, values))
    else:
        return function(*values)
    columns = zip(*_of_rows(results), strict=True)
    return tuple(None if column[0] is None else np.concatenate(column) for column in columns)


def label_blocks(
    checked: Callable[..., Sums],
    n_rows: int,
    n_labels: int,
    dtypes: Sequence[np.dtype],
    *values: Any,
) -> Iterator[tuple[Any, ...]]:
    """Yield arrays of all rows of dask collections, and of as many labels as are gathered at once.

    Each time is another pass over the partitions.

    Parameters
    ----------
    checked : callable (*values) -> tuple of arrays
        Labels, values of as many columns, and weights of rows; called with those of a partition.
    n_rows, n_labels : int
    dtypes : sequence of dtypes
        In which values are sent.
    *values : see `sum_partitions`

    Yields
    ------
    some : slice
        Numbers of labels.
    Y, *others, weight : ndarray
        Y has NaN where nothing was observed.

    Raises
    ------
    ValueError
        If there are too many rows for a single label.
    """
    at_once = check_gathered(n_rows, 1 + len(dtypes))
    for start in range(0, n_labels, at_once):
        some = slice(start, start + at_once)

        def columns(*parts: Any, some: slice = some) -> Sums:
            labels, *others, weight = checked(*parts)
            labels = np.nan_to_num(labels[:, some], nan=-1)
            if np.isin(labels, (-1, 0, 1)).all():
                labels = labels.astype(np.int8)
            pairs = zip(others, dtypes, strict=True)
            return labels, *(each[:, some].astype(dtype) for each, dtype in pairs), weight

        labels, *others, weight = join_partitions(columns, *values)
        yield some, np.where(labels < 0, np.nan, labels), *others, weight


def _by_partition(function: Callable[..., Sums], values: Sequence[Any]) -> list[Any]:
    """Return what the function returns for each partition, lazily; None where no row counts."""
    import dask

    sent, call = dask.delayed(function, traverse=False), dask.delayed(_call)
    rows_of_all = zip(*_align(values), strict=True)
    return [call(sent, f"partition {k}", *rows) for k, rows in enumerate(rows_of_all)]


def _call(function: Callable[..., Sums], where: str, *rows: Any) -> Sums | None:
    weight = rows[-1]
    sizes = [_num_samples(part) for part in rows if part is not None]
    if len(set(sizes)) > 1:
        raise ValueError(
            f"labels, predictions and sample_weight must have as many rows in each partition, got "
            f"{sizes} in {where}: give arrays of known chunks on both sides, or DataFrames that "
            "were partitioned together"
        )
    if not sizes[0] or weight is not None and not np.asarray(weight).any():
        return None
    try:
        return function(*rows)
    except Exception as error:  # each function fails in its own way
        error.add_note(f"This happened in {where}.")
        raise


def _add(parts: Sequence[Sums | None]) -> Sums | None:
    counting = [part for part in parts if part is not None]
    if not counting:
        return None
    return tuple(reduce(add, column) for column in zip(*counting, strict=True))


def _add_two(sums: Sums | None, more: Sums | None) -> Sums | None:
    return _add([sums, more])


def _of_rows(parts: Sequence[Sums | None]) -> list[Sums]:
    """Return the results of partitions with rows that count, or raise if there are none."""
    counting = [part for part in parts if part is not None]
    if not counting:
        raise ValueError(
            "no row counts: all partitions are empty, or sample_weight is 0 for every row"
        )
    return counting


def _align(values: Sequence[Any]) -> list[list[Any]]:
    """Return for each value its rows in each partition; collections are lazy.

    Arrays of known sizes are split as the collection of unknown ones, or else as the one with the
    most partitions. Sizes are counted, by a pass over its partitions, only where they are needed.
    """
    collections = [value for value in values if is_partitioned(value)]
    unknown = [value for value in collections if _sizes(value) is None]
    base = unknown[0] if unknown else max(collections, key=_n_partitions)
    n_partitions, sizes = _n_partitions(base), _sizes(base)
    same = all(_n_partitions(value) == n_partitions for value in collections)
    if sizes is None and not (same and len(collections) == sum(v is not None for v in values)):
        sizes = _count(base)
    return [_split(value, n_partitions, sizes) for value in values]


def _split(value: Any, n_partitions: int, sizes: tuple[int, ...] | None) -> list[Any]:
    if value is None:
        return [None] * n_partitions
    if not is_partitioned(value):
        assert sizes is not None
        _check_rows(_num_samples(value), sizes)
        value = as_csr(value, "rows") if sp.issparse(value) else value
        stops = np.cumsum(sizes)
        return [
            _safe_indexing(value, slice(stop - size, stop))
            for size, stop in zip(sizes, stops.tolist(), strict=True)
        ]
    if _sizes(value) is not None and sizes is not None:
        _check_rows(value.shape[0], sizes)
        value = value.rechunk({0: sizes})
    if _n_partitions(value) != n_partitions:
        raise ValueError(
            f"collections with {_n_partitions(value)} and {n_partitions} partitions of unknown "
            "sizes cannot be matched by rows: give both the same partitions, or call "
            "compute_chunk_sizes() of arrays"
        )
    return _parts(value)


def _check_rows(n_rows: int, sizes: tuple[int, ...]) -> None:
    if n_rows != sum(sizes):
        raise ValueError(
            "labels, predictions and sample_weight must have the same number of rows, got "
            f"{n_rows} and {sum(sizes)}"
        )


def _sizes(collection: Any) -> tuple[int, ...] | None:
    """Return the number of rows of each partition, if they are known."""
    if not hasattr(type(collection), "chunks") or np.isnan(collection.shape[0]):
        return None
    return collection.chunks[0]


def _count(collection: Any) -> tuple[int, ...]:
    import dask

    count = dask.delayed(_num_samples)
    return dask.compute(*[count(part) for part in _parts(collection)])


def _n_partitions(collection: Any) -> int:
    is_array = hasattr(type(collection), "chunks")
    return collection.numblocks[0] if is_array else collection.npartitions


def _parts(collection: Any) -> list[Any]:
    """Return one delayed object per partition."""
    if not hasattr(type(collection), "chunks"):
        return frame_parts(collection)
    if collection.ndim > 1:
        collection = collection.rechunk(dict.fromkeys(range(1, collection.ndim), -1))
    # Keys stay those of the graph, so that two arrays that depend on the same one compute it once.
    return list(np.ravel(collection.to_delayed(optimize_graph=False)))
