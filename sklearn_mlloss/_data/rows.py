"""Training rows: X, targets and weights that stay together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import scipy.sparse as sp

from .weights import drop_unweighted, row_weight, scale_weight, training_rows

__all__ = ["Inputs", "Matrix", "RowView", "Rows", "row_blocks", "select"]

Inputs: TypeAlias = np.ndarray | sp.csr_matrix | sp.csr_array


class RowView:
    """A view of some rows of a matrix by their numbers, for the splits of a large table.

    Indexing copies the requested rows only.

    Parameters
    ----------
    matrix : ndarray or CSR matrix of shape (n_all, n_features)
    index : ndarray of int, shape (n_samples,)
        Numbers of rows of `matrix`.
    """

    def __init__(self, matrix: Inputs, index: np.ndarray):
        self.matrix = matrix
        self.index = index
        self.shape = (len(index), matrix.shape[1])
        self.dtype = matrix.dtype

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.index)

    def __getitem__(self, rows: slice | np.ndarray) -> Inputs:
        """Return a copy of some of the rows."""
        return self.matrix[self.index[rows]]


Matrix: TypeAlias = Inputs | RowView


def select(X: Matrix, rows: np.ndarray) -> RowView:
    """Return a view of the rows with these numbers."""
    if isinstance(X, RowView):
        return RowView(X.matrix, X.index[rows])
    return RowView(X, rows)


@dataclass(frozen=True, repr=False)
class Rows:
    """Rows of X with their targets and weights.

    Indexing returns a view of X, and copies of the targets and weights, which are small.

    Attributes
    ----------
    X : ndarray, CSR matrix or RowView of shape (n_samples, n_features)
    Y : ndarray of shape (n_samples, n_labels)
        uint8, or floating with NaN where nothing was observed.
    weight : ndarray of shape (n_samples,) or (n_samples, n_labels), or None
    """

    X: Matrix
    Y: np.ndarray
    weight: np.ndarray | None

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.Y)

    def __repr__(self) -> str:
        """Return sizes only, since joblib writes it into the folder of `memory`."""
        return f"Rows(X of shape {self.X.shape}, Y of shape {self.Y.shape})"

    def __getitem__(self, rows: np.ndarray) -> Rows:
        """Return some of the rows, by numbers or by a mask."""
        if rows.dtype == bool:
            rows = np.flatnonzero(rows)
        weight = None if self.weight is None else self.weight[rows]
        return Rows(select(self.X, rows), self.Y[rows], weight)

    def with_more(self, more: Rows) -> Rows:
        """Return these rows and, after them, those of another selection of the same table."""
        X: Matrix
        if isinstance(self.X, RowView) and isinstance(more.X, RowView):
            X = RowView(self.X.matrix, np.concatenate([self.X.index, more.X.index]))
        else:
            X = np.concatenate([self.X, more.X])
        weights = [part.weight for part in (self, more) if part.weight is not None]
        weight = np.concatenate(weights) if weights else None
        return Rows(X, np.concatenate([self.Y, more.Y]), weight)

    def informative(self) -> tuple[Rows, np.ndarray]:
        """Return the rows with an observed entry of positive weight, and which they are.

        An entry of weight 0 becomes one that was not observed.
        """
        observed = replace(self, Y=drop_unweighted(self.Y, self.weight))
        rows = training_rows(observed.Y, self.weight)
        if rows.all():
            return observed, rows
        chosen = observed[rows]
        if ((chosen.Y == 0) | (chosen.Y == 1)).all():
            # All missing targets were in the rows left out.
            chosen = replace(chosen, Y=chosen.Y.astype(np.uint8))
        return chosen, rows

    def scaled(self) -> Rows:
        """Return the rows with weights of mean 1 over what was observed."""
        return replace(self, weight=scale_weight(self.weight, self.Y))

    def row_weight(self) -> np.ndarray | None:
        """Return one weight per row, the mean over its observed entries."""
        return row_weight(self.weight, self.Y)


def row_blocks(n_rows: int, entries_per_row: int, entries: int) -> Iterator[slice]:
    """Yield slices of at least one row each, with up to so many entries where that is more.

    scikit-learn's `gen_batches` refuses to go through no rows.
    """
    step = max(1, entries // max(1, entries_per_row))
    for start in range(0, n_rows, step):
        yield slice(start, start + step)
