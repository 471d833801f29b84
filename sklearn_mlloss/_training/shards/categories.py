"""How many rows have each category: counted in the pass over all rows, for the encoding."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..._data.features import category_key
from ..._data.rows import Rows
from ...networks import OneHotEncoding

__all__ = ["CategoryCounts", "fit_one_hot"]

# Categories of a column that are counted at the most: about 20 MB.
MOST_CATEGORIES = 2**16


class CategoryCounts:
    """The categories of columns, and how many rows have each.

    Parameters
    ----------
    n_columns : int

    Attributes
    ----------
    columns : list of dict or None
        For each column, from the key of a category to the category, the number of its rows, and
        the sum of their weights. None if there are more than `MOST_CATEGORIES`.
    missing : list of int
        Rows without a value in each column.
    """

    def __init__(self, n_columns: int):
        self.columns: list[dict[Any, tuple[Any, float, float]] | None] = [
            {} for _ in range(n_columns)
        ]
        self.missing = [0] * n_columns

    def add(self, column: int, levels: list, places: np.ndarray, weight: np.ndarray | None) -> None:
        """Add rows: their place among the levels, -1 where a value is missing, and weights."""
        self.missing[column] += int((places < 0).sum())
        counts = _count(places, weight, len(levels))
        for k in np.flatnonzero(counts[:, 0]).tolist():
            self._add(column, levels[k], *counts[k].tolist())

    def merge(self, other: CategoryCounts) -> None:
        """Add the rows that were counted elsewhere."""
        for column, counted in enumerate(other.columns):
            self.missing[column] += other.missing[column]
            if counted is None:
                self.columns[column] = None
                continue
            for level, n, weight in counted.values():
                self._add(column, level, n, weight)

    def levels(self) -> list[list | None]:
        """Return the categories of each column, or None if there are too many."""
        return [
            None if counted is None else [level for level, _, _ in counted.values()]
            for counted in self.columns
        ]

    def _add(self, column: int, level: Any, n: float, weight: float) -> None:
        counted = self.columns[column]
        if counted is None:
            return
        key = category_key(level)
        first, n_before, weight_before = counted.get(key, (level, 0.0, 0.0))
        counted[key] = first, n_before + n, weight_before + weight
        if len(counted) > MOST_CATEGORIES:
            self.columns[column] = None


def fit_one_hot(
    counts: CategoryCounts,
    categories: list[np.ndarray],
    is_categorical: np.ndarray,
    sample: Rows,
    train: np.ndarray,
    held_out: np.ndarray,
    scale: float,
) -> OneHotEncoding:
    """Return the encoding of the categories of all training rows, also those not in the sample.

    Parameters
    ----------
    counts : CategoryCounts
        Of all rows, with unscaled weights.
    categories : list of ndarray
        The categories of each column, in the order of their codes.
    is_categorical : ndarray of bool, shape (n_features,)
    sample : Rows
        With codes, and scaled weights.
    train, held_out : ndarray of int
        Rows of the sample that are trained on, and that are held out.
    scale : float
        Factor that scales weights.
    """
    codes = np.nan_to_num(sample.X[:][:, is_categorical], nan=-1).astype(np.int64)
    weight = sample.row_weight()
    of_codes, missing = [], []
    for column, (known, counted) in enumerate(zip(categories, counts.columns, strict=True)):
        rows = train if counted is None else held_out
        places = codes[rows, column]
        both = _count(places, None if weight is None else weight[rows], len(known))
        n_missing = int((places < 0).sum())
        if counted is not None:
            of_all = [counted[category_key(level)][1:] for level in known]
            both = np.reshape(of_all, (-1, 2)) * [1, scale] - both
            n_missing = counts.missing[column] - n_missing
        # Rounding may leave some weight of rows that are all held out, or none of others.
        of_codes.append(np.where(both[:, 0] > 0, both[:, 1].clip(min=np.finfo(float).tiny), 0))
        missing.append(n_missing > 0)
    return OneHotEncoding().fit_counts(of_codes, np.array(missing))


def _count(places: np.ndarray, weight: np.ndarray | None, n: int) -> np.ndarray:
    """Return the rows with each place, and their weights, as two columns."""
    there = places >= 0
    rows = np.bincount(places[there], minlength=n)
    weights = rows if weight is None else np.bincount(places[there], weight[there], n)
    return np.column_stack([rows, weights]).astype(np.float64)
