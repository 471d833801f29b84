"""One pass over all rows: counts of the labels, and a uniform sample of the rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp

from ..._data.messages import held_back
from ..._data.rows import Inputs, Rows
from ..._data.sampling import RowSample, take
from ..._data.sources import RowSource, blocks_of
from ..._data.tables import match_index
from ..._data.targets import TargetCodec
from ..._data.weights import check_weight, counting_rows, drop_unweighted, row_weight
from .categories import CategoryCounts

__all__ = ["Survey", "convert", "count", "finish"]


@dataclass
class Survey:
    """What one pass over the rows found.

    Attributes
    ----------
    counts : dict of int to int
        Rows of each shard with an observed label of positive weight.
    observed, positive : ndarray of shape (n_labels,)
        Total weight of the observed and of the positive entries of each label, unscaled.
    soft : bool
        Whether some entries are missing or between 0 and 1.
    weighted : bool
        Whether rows have weights.
    weight, n_weights : float, int
        Sum and number of the weights that count.
    targets : TargetCodec or None
        None if there was no row.
    first : tuple
        X and y of the first row, its shard, and its number there.
    is_categorical : ndarray of bool or None
        Which columns of X are categories, by the first rows.
    sample : Rows
        With scaled weights.
    places : ndarray of int, shape (n_sample, 2)
        Shard, and row within it, of each row of the sample, in ascending order.
    categories : CategoryCounts or None
        With unscaled weights.
    """

    counts: dict[int, int] = field(default_factory=dict)
    observed: Any = 0.0
    positive: Any = 0.0
    soft: bool = False
    weighted: bool = False
    weight: float = 0.0
    n_weights: int = 0
    targets: TargetCodec | None = None
    first: Any = None
    is_categorical: Any = None
    sample: Any = None
    places: Any = None
    categories: Any = None

    @property
    def n_rows(self) -> int:
        """Number of rows of all shards."""
        return sum(self.counts.values())

    @property
    def scale(self) -> float:
        """Factor that gives weights the mean 1."""
        return self.n_weights / self.weight if self.weight else 1.0


def count(estimator: Any, source: RowSource, size: int, shards: Iterable[int]) -> Survey:
    """Pass over the rows of some shards.

    Parameters
    ----------
    estimator : MultiLabelNetClassifier
        Gets the kind of y and the columns of X of the first rows.
    source : RowSource
    size : int
        Rows of the sample.
    shards : iterable of int

    Returns
    -------
    Survey
        For `finish`.
    """
    found, names = Survey(sample=RowSample(size)), source.shards()
    for shard in shards:
        draw, name = np.random.default_rng([estimator._entropy, shard]), names[shard]
        start = kept = 0
        for X, y, weight in blocks_of(source, shard):
            n = int(np.shape(X)[0])
            if not n:
                continue
            if found.targets is None:
                match_index(X, y=y, sample_weight=weight)
                found.targets = _begin(estimator, X, y, f"{name}, rows {start} to {start + n - 1}")
                found.weighted = weight is not None
                found.first = take(X, slice(1)), take(y, slice(1)), name, start
                found.is_categorical = estimator.is_categorical_
                found.categories = CategoryCounts(len(estimator.categories_))
            if found.weighted != (weight is not None):
                raise ValueError(
                    f"{name}, rows {start} to {start + n - 1}: sample_weight must be given for "
                    "all rows or for none: give 1 where there is none"
                )
            _, Y, w, rows = convert(estimator, found.targets, X, y, weight, name, start)
            found.soft |= Y.dtype.kind == "f"
            if w is not None:
                counts = w > 0 if w.ndim == 1 else (w > 0) & (Y >= 0)
                found.weight += float(w[counts].sum())
                found.n_weights += int(counts.sum())
            one = np.ones(len(Y)) if w is None else w
            mass = (one if one.ndim == 2 else one[:, None]) * (Y >= 0)  # NaN is not
            found.observed = found.observed + mass.sum(axis=0)
            found.positive = found.positive + (mass * np.nan_to_num(Y)).sum(axis=0)
            kept += len(rows)
            each = row_weight(w, Y)
            for column, counted in enumerate(found.categories.columns):
                if counted is not None:
                    levels, of_rows = estimator._inputs.levels(X, column)
                    found.categories.add(column, levels, of_rows[rows], each)
            numbers = draw.random(n)[rows]
            places = np.column_stack([np.full(len(rows), shard), start + rows])
            found.sample.add(numbers, places, take(X, rows), Y, w)
            start += n
        found.counts[shard] = kept
    return found


def finish(estimator: Any, parts: Sequence[Survey]) -> Survey:
    """Return what the passes over all shards have found; set what y and X are like.

    Parameters
    ----------
    estimator : MultiLabelNetClassifier
    parts : sequence of Survey
        As `count` returned them.
    """
    found, *others = [part for part in parts if part.targets is not None] or parts
    if not any(part.n_rows for part in parts):
        raise ValueError(
            f"X has no row to learn from in its {sum(len(p.counts) for p in parts)} shard(s): they "
            "are empty, or y is missing or the weight 0 in all rows"
        )
    if found.targets is not None and others:
        _check_same(estimator, found, found.targets, others)
    for part in others:
        found.soft |= part.soft
        found.observed, found.positive = (
            found.observed + part.observed,
            found.positive + part.positive,
        )
        found.weight, found.n_weights = (
            found.weight + part.weight,
            found.n_weights + part.n_weights,
        )
        found.sample.parts += part.sample.parts
        found.categories.merge(part.categories)
    found.counts = {shard: n for part in parts for shard, n in part.counts.items()}
    found.places, X, Y, w = found.sample.joined()
    estimator._set_targets(found.targets)
    # Again, with the categories of all shards.
    inputs = estimator._check_X(X, reset=True)
    if estimator._inputs.extend_categories(found.categories.levels()):
        inputs = estimator._check_X(X)
    found.sample = Rows(inputs, Y, None if w is None else w * found.scale)
    return found


def _begin(estimator: Any, X: Any, y: Any, where: str) -> TargetCodec:
    try:
        targets = TargetCodec().fit(y)
        if targets.kind == "multilabel":
            with held_back(UserWarning):  # the sample shows more
                estimator._check_X(X, reset=True)
    except (ValueError, TypeError) as error:
        raise _located(error, where) from error
    if targets.kind != "multilabel":
        raise ValueError(
            "training by shards takes an indicator with one column per label as y, got a 1-D y "
            f"of {targets.describe()}: give one column of 0 and 1 per class"
        )
    return targets


def _check_same(
    estimator: Any, found: Survey, targets: TargetCodec, others: Sequence[Survey]
) -> None:
    """Raise if the rows of several ranks have other columns or labels, or weights in part."""
    with held_back(UserWarning):
        estimator._check_X(found.first[0], reset=True)
    for part in others:
        X, y, name, start = part.first
        convert(estimator, targets, X, y, None, name, start)
        of_first = f"in {name} than in {found.first[2]}"
        if not np.array_equal(part.is_categorical, found.is_categorical):
            raise ValueError(
                f"other columns of X are categories {of_first}: name them in categorical_features"
            )
        if part.weighted != found.weighted:
            raise ValueError(
                f"{name}, row {start}: sample_weight must be given for all rows or for none: give "
                "1 where there is none"
            )


def convert(
    estimator: Any, targets: TargetCodec, X: Any, y: Any, weight: Any, name: str, start: int
) -> tuple[Inputs, np.ndarray, np.ndarray | None, np.ndarray]:
    """Return the rows of a block that count, and which these are; an error names the place.

    Parameters
    ----------
    estimator : MultiLabelNetClassifier
    targets : TargetCodec
    X, y, weight : the block
    name : str
        Of its shard.
    start : int
        Number of its first row in the shard.

    Returns
    -------
    X, Y, weight : as those of `Rows`
    rows : ndarray of int
        Which rows of the block.
    """
    try:
        # A block may lack all categories of a column.
        with held_back(UserWarning):
            inputs = estimator._check_X(X)
            Y = targets.transform(y)
            if len(Y) != inputs.shape[0]:
                raise ValueError(f"X has {inputs.shape[0]} rows and y {len(Y)}")
            w = None if weight is None or not np.any(weight) else check_weight(weight, Y)
    except (ValueError, TypeError) as error:
        raise _find(estimator, targets, X, y, name, start, error) from error
    if weight is not None and w is None:
        nothing = np.empty(0, dtype=np.int64)
        return inputs[:0], Y[:0], np.empty(0), nothing
    Y = drop_unweighted(Y, w)
    rows = np.flatnonzero(counting_rows(Y, w))
    if len(rows) == len(Y):
        return inputs, Y, w, rows
    return inputs[rows], Y[rows], None if w is None else w[rows], rows


def _find(
    estimator: Any, targets: TargetCodec, X: Any, y: Any, name: str, start: int, error: Exception
) -> Exception:
    """Return the error of a block with the first row, and the column, that it is due to."""

    def fails(rows: slice, *parts: str) -> bool:
        try:
            with held_back(UserWarning):
                if "X" in parts:
                    estimator._check_X(take(X, rows))
                if "y" in parts:
                    targets.transform(take(y, rows))
        except (ValueError, TypeError):
            return True
        return False

    low, high = 0, np.shape(X)[0]
    while high - low > 1:
        middle = (low + high) // 2
        if fails(slice(low, middle), "X", "y"):
            high = middle
        elif fails(slice(middle, high), "X", "y"):
            low = middle
        else:
            return _located(error, f"{name}, rows {start} to {start + np.shape(X)[0] - 1}")
    row = slice(low, low + 1)
    part, values = ("X", X) if fails(row, "X") else ("y", y)
    categories = np.flatnonzero(estimator.is_categorical_ if part == "X" else ())
    columns = [
        f"{part} column {column!r}"
        for number, (column, value) in enumerate(_cells(take(values, row)))
        if number not in categories and _is_bad(value, part)
    ]
    at = f", {columns[0]}" if columns else ""
    return _located(error, f"{name}, row {start + low}{at}")


def _located(error: Exception, where: str) -> Exception:
    kind = type(error) if type(error) in (ValueError, TypeError) else ValueError
    return kind(f"{where}: {error}")


def _cells(row: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the columns of a single row, and their values."""
    if hasattr(row, "iloc"):
        yield from zip(row.columns, row.iloc[0].tolist(), strict=True)
    elif not sp.issparse(row):
        yield from enumerate(np.asarray(row)[0].tolist())


def _is_bad(value: Any, part: str) -> bool:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return value is not None
    return bool(np.isinf(number) or part == "y" and not (0 <= number <= 1 or np.isnan(number)))
