"""Rows that are not in memory: predictions by partition, and labels gathered in one process.

dask is not imported before there is such a collection.
"""

from __future__ import annotations

import copy
import uuid
from collections.abc import Callable, Iterator
from functools import partial, wraps
from typing import Any, TypeVar

import numpy as np
from sklearn.utils.validation import check_is_fitted, validate_data

from .._sklearn import _num_samples
from .containers import has_rows
from .messages import describe
from .sampling import join
from .sources import RowSource, blocks_of

__all__ = [
    "TooManyNumbers",
    "by_partition",
    "check_gathered",
    "count_rows",
    "fits",
    "frame_parts",
    "gather_blocks",
    "gathered",
    "is_partitioned",
    "is_streamed",
    "map_partitions",
    "predict_blocks",
]

# Numbers that are gathered in one process at the most: 4 GiB in float64.
MOST_GATHERED = 2**29

Method = TypeVar("Method", bound=Callable[..., Any])


class TooManyNumbers(ValueError):
    """What is asked for does not fit in one process."""


def is_partitioned(values: Any) -> bool:
    """Return whether an object is an array, a DataFrame or a Series of dask."""
    kind = type(values)
    if not kind.__module__.startswith("dask"):
        return False
    # A Series has no iloc, and a bag neither.
    of_rows = hasattr(kind, "iloc") or hasattr(kind, "to_frame")
    return hasattr(kind, "map_blocks") or hasattr(kind, "map_partitions") and of_rows


def is_streamed(X: Any, y: Any) -> bool:
    """Return whether `fit` reads X by shards, without being told to.

    Also without labels, unless X is an array: batches hold them, and files are refused there.
    """
    return isinstance(X, RowSource) or is_partitioned(X) or y is None and not has_rows(X)


def by_partition(empty: Callable[[Any, np.ndarray], Any]) -> Callable[[Method], Method]:
    """Let a method of predictions take a dask collection or a `RowSource`.

    It is mapped over the partitions; the rows of a source are predicted block by block.

    Parameters
    ----------
    empty : callable (model, scores) -> ndarray, sparse matrix or DataFrame
        What the method returns for no rows, whose scores have the shape (0, n_labels).

    Returns
    -------
    callable
        A decorator of methods ``(self, X, ...)``, where self has a `TargetCodec` in `_targets`.
    """

    def decorate(method: Method) -> Method:
        @wraps(method)
        def predict(self: Any, X: Any, *args: Any, **kwargs: Any) -> Any:
            # A source has rows of X, which `decode` does not take.
            by_block = isinstance(X, RowSource) and method.__name__ != "decode"
            if not by_block and not is_partitioned(X):
                return method(self, X, *args, **kwargs)
            check_is_fitted(self)
            nothing = empty(self, np.empty((0, self._targets.n_labels_)))
            if by_block:
                predicted = gather_blocks(partial(method, self), X, labels=False)[0]
                return nothing if predicted is None else predicted
            return map_partitions(self, method.__name__, X, nothing, *args, **kwargs)

        return predict  # type: ignore[return-value]

    return decorate


def map_partitions(model: Any, method: str, X: Any, empty: Any, count: Any = None) -> Any:
    """Return the predictions for a dask collection as another one, which is lazy.

    Parameters
    ----------
    model : object
        It is sent once, as it is now: replacing its decoder later has no effect.
    method : str
        Name of its method that is called with the rows of each partition.
    X : dask array or DataFrame of shape (n_samples, n_features)
    empty : ndarray, sparse matrix or DataFrame
        What the method returns for no rows, which is not asked of the model.
    count : dask array of shape (n_samples,), optional
        A second argument, with the chunks of X.

    Returns
    -------
    dask array or DataFrame
        With the number of rows of each partition, where X has it, or the divisions of X.
    """
    import dask

    is_array = hasattr(type(X), "map_blocks")
    if X.ndim != 2:
        raise ValueError(f"Expected 2D array, got a dask collection with {X.ndim} dimension(s)")
    if method != "decode" and hasattr(model, "n_features_in_"):
        columns = np.empty((0, X.shape[1])) if is_array else X._meta
        validate_data(model, columns, skip_check_array=True, reset=False)
    name = f"{type(model).__name__}-{uuid.uuid4().hex}"
    sent = dask.delayed(copy.copy(model), name=name, traverse=False)
    more = () if count is None else (_column(count, X),)
    if not is_array:
        return _of_frame(X, sent, method, empty)
    X = X.rechunk({1: -1})
    if hasattr(type(empty), "iloc"):
        return _frame(X, sent, method, empty)
    shape = {"chunks": (X.chunks[0], empty.shape[1:])} if empty.ndim == 2 else {"drop_axis": 1}
    return X.map_blocks(
        _predict_block, *more, model=sent, method=method, empty=empty,
        meta=empty, dtype=empty.dtype, **shape,
    )  # fmt: skip


def frame_parts(frame: Any) -> list[Any]:
    """Return one delayed object per partition of a DataFrame or a Series of dask.

    Where dask optimises the graph, several partitions of Parquet files become one, and not as many
    in a collection of a few columns as in one of the others.
    """
    return list(frame.simplify().to_delayed(optimize_graph=False))


def gathered(*values: Any) -> tuple[Any, ...]:
    """Return the values in memory: dask collections are computed, together, and others stay.

    Raises
    ------
    ValueError
        If they are too large for that; all have as many rows as the first one.
    """
    collections = [value for value in values if is_partitioned(value)]
    if not collections:
        return values
    import dask

    n_columns = sum(each.shape[1] if each.ndim == 2 else 1 for each in collections)
    check_gathered(count_rows(collections[0]), n_columns)
    # Frames and arrays are graphs of two kinds, which dask does not optimise together.
    frames = [i for i, value in enumerate(values) if _is_frame(value)]
    arrays = [i for i, value in enumerate(values) if not _is_frame(value)]
    computed = list(values)
    for some in (frames, arrays):
        results = dask.compute(*[values[i] for i in some], traverse=False)
        for i, result in zip(some, results, strict=True):
            computed[i] = result
    return tuple(computed)


def gather_blocks(
    predict: Callable[[Any], Any], source: RowSource, labels: bool = True
) -> tuple[Any, Any, Any]:
    """Return predictions for all rows of a source, with their labels and weights.

    Parameters
    ----------
    predict : callable (X) -> list, ndarray, sparse matrix or DataFrame
        Called with the X of each block.
    source : RowSource
    labels : bool, default=True
        Whether labels and weights are returned; otherwise they are None, and the predictions, too,
        if there is no row.

    Raises
    ------
    ValueError
        If they are too large for one process, or labels of no row are asked for.
    """
    parts, n = [], 0
    for name, predicted, y, weight in predict_blocks(predict, source):
        parts.append((predicted, y, weight) if labels else (predicted, None, None))
        n += sum(_n_numbers(part) for part in parts[-1] if part is not None)
        if n > MOST_GATHERED:
            raise TooManyNumbers(
                f"results for X are more than {MOST_GATHERED:.2g} numbers, which one process "
                f"gathers at the most, already in {name}: give a part of the files, or a Dask "
                "DataFrame, whose predictions are lazy"
            )
    if labels and not parts:
        raise ValueError(f"{type(source).__name__} has no row in its shards")
    if not parts:
        return None, None, None
    return tuple(join(list(column)) for column in zip(*parts, strict=True))


def predict_blocks(
    predict: Callable[[Any], Any], source: RowSource
) -> Iterator[tuple[str, Any, Any, Any]]:
    """Yield the name of the shard, predictions, labels and weights of each block with rows."""
    for shard, name in enumerate(source.shards()):
        start = 0
        for X, y, weight in blocks_of(source, shard):
            stop = start + int(np.shape(X)[0])
            if start == stop:
                continue
            try:
                predicted = predict(X)
            except Exception as error:  # of any classifier
                error.add_note(f"This happened in {name}, rows {start} to {stop - 1}.")
                raise
            yield name, predicted, y, weight
            start = stop


def _n_numbers(part: Any) -> int:
    return len(part) if isinstance(part, list) else int(np.prod(np.shape(part)))


def fits(n_rows: int, n_columns: int) -> bool:
    """Return whether so many columns of so many rows fit in one process."""
    return n_rows * n_columns <= MOST_GATHERED


def check_gathered(n_rows: int, n_columns: int) -> int:
    """Return how often so many columns of so many rows fit in one process, or raise if never."""
    n_numbers = n_rows * n_columns
    if not fits(n_rows, n_columns):
        raise TooManyNumbers(
            f"labels and predictions of {n_rows} rows are {n_numbers:.2g} numbers, of "
            f"which one process gathers {MOST_GATHERED:.2g} at the most: give a part of the "
            "partitions, such as X.partitions[:10] and y.partitions[:10]"
        )
    return MOST_GATHERED // max(1, n_numbers)


def _is_frame(values: Any) -> bool:
    return is_partitioned(values) and hasattr(type(values), "map_partitions")


def count_rows(collection: Any) -> int:
    """Return the number of rows, by a pass over the partitions if it is not known."""
    if not is_partitioned(collection):
        return _num_samples(collection)
    import dask

    if hasattr(type(collection), "chunks") and not np.isnan(collection.shape[0]):
        return int(collection.shape[0])
    parts = np.ravel(collection.to_delayed())
    return sum(shape[0] for shape in dask.compute(*[dask.delayed(np.shape)(p) for p in parts]))


def _column(count: Any, X: Any) -> Any:
    """Return the counts as blocks that go with those of X."""
    if not all(hasattr(type(values), "map_blocks") for values in (count, X)) or (
        str(count.chunks[0]) != str(X.chunks[0])
    ):
        raise ValueError(
            f"count must be a dask array with the chunks of proba, got {describe(count)}"
        )
    return count[:, None]


def _predict(rows: Any, model: Any, method: str, empty: Any, *more: Any) -> Any:
    """Return what a method of the model predicts for the rows of one partition."""
    if not rows.shape[0]:
        return empty
    predicted = getattr(model, method)(rows, *more)
    if isinstance(predicted, list):  # of tuples
        return np.fromiter(predicted, dtype=object, count=len(predicted))
    return predicted


def _predict_block(rows: Any, *counts: np.ndarray, model: Any, method: str, empty: Any) -> Any:
    return _predict(rows, model, method, empty, *(count[:, 0] for count in counts))


def _of_frame(X: Any, model: Any, method: str, empty: Any) -> Any:
    """Return predictions for a DataFrame, with its partitions."""
    import dask
    import dask.array as da
    import dask.dataframe as dd

    is_frame = hasattr(type(empty), "iloc")
    empty = empty.set_axis(X._meta.index[:0], axis=0) if is_frame else empty
    call = dask.delayed(_predict)
    parts = [call(rows, model, method, empty) for rows in frame_parts(X)]
    if is_frame:
        return dd.from_delayed(parts, meta=empty, divisions=X.divisions, verify_meta=False)
    shape = (np.nan, *empty.shape[1:])
    arrays = [da.from_delayed(part, shape, meta=empty) for part in parts]
    return da.concatenate(arrays, allow_unknown_chunksizes=True)


def _frame(X: Any, model: Any, method: str, empty: Any) -> Any:
    """Return predictions that are DataFrames for the blocks of an array, numbered throughout."""
    import dask
    import dask.dataframe as dd

    sizes = np.asarray(X.chunks[0], dtype=float)
    known = not np.isnan(sizes).any()
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(int) if known else [0] * len(sizes)
    call = dask.delayed(_predict_frame)
    parts = [
        call(block, model, method, empty, int(start))
        for block, start in zip(X.to_delayed().ravel(), starts, strict=False)
    ]
    divisions = None
    if known and sizes.all():
        divisions = (*(int(start) for start in starts[:-1]), int(starts[-1]) - 1)
    return dd.from_delayed(parts, meta=empty, divisions=divisions, verify_meta=False)


def _predict_frame(rows: Any, model: Any, method: str, empty: Any, start: int) -> Any:
    frame = _predict(rows, model, method, empty)
    return frame.set_axis(range(start, start + len(frame)), axis=0)
