"""Statistics of columns for encodings, without a copy of the data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.utils import check_array, check_consistent_length, gen_batches
from sklearn.utils.sparsefuncs import min_max_axis

__all__ = ["CSR", "Columns", "quantiles", "sample"]

CSR = sp.csr_matrix | sp.csr_array

# Rows that quantiles are taken from: with 100 000 of them the share of rows below a quantile is
# off by 0.3% at most (two standard errors, at the median).
SAMPLE_ROWS = 100_000
# Numbers that are copied at once.
BLOCK = 2**17
# Shares of rows that differ by less count as equal: weights and repeated rows round differently.
SLACK = 1e-9


class Columns:
    """The columns of a numeric table, with their statistics.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        NaN means missing and is left out everywhere; a sparse X must have none. Or a view of some
        of its rows, with the attributes `matrix` and `index`, that copies the rows it is indexed
        with.
    sample_weight : array-like of shape (n_samples,), optional
        Weights >= 0, of which only the proportions matter. Rows of weight 0 are left out.

    Attributes
    ----------
    weight : ndarray of shape (n_samples,) or None
        With mean 1.
    low, high : ndarray of float64, shape (n_features,)
        Range of each column; inf and -inf if all is missing.
    missing, constant : ndarray of bool, shape (n_features,)
        Whether a column has NaN, and whether it has less than two values.
    """

    def __init__(self, X: Any, sample_weight: Any = None):
        if not hasattr(X, "matrix"):
            dtypes = (np.float64, np.float32)
            X = check_array(X, accept_sparse="csr", dtype=dtypes, ensure_all_finite=False)
        elif sp.issparse(X.matrix):
            X = X[:]
        X, self.weight = _weighted(X, sample_weight)
        self.sparse = sp.issparse(X)
        if self.sparse:
            nan = np.isnan(X.data)
            if nan.any():
                raise ValueError(
                    f"column {X.indices[nan.argmax()]} of the sparse X has NaN: encodings take "
                    "missing values in dense arrays only"
                )
            if not X.has_canonical_format:
                X = X.copy()
                X.sum_duplicates()
        self.X = X
        self.n_samples, self.n_features = X.shape
        self.low, self.high, self.missing = self._ranges()
        infinite = (self.low == -np.inf) | (self.high == np.inf)
        if infinite.any():
            raise ValueError(f"column {infinite.argmax()} of X has infinite values")
        self.constant = ~(self.low < self.high)

    @cached_property
    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of each column, in float64."""
        moments = self._sparse_moments if self.sparse else self._dense_moments
        with np.errstate(over="ignore"):
            return moments()

    @cached_property
    def binary(self) -> np.ndarray:
        """Whether all values of a column are 0, 1 or missing."""
        binary = np.ones(self.n_features, dtype=bool)
        if self.sparse:
            binary[self.X.indices[(self.X.data != 0) & (self.X.data != 1)]] = False
            return binary
        for _, block in self.blocks():
            binary &= ((block == 0) | (block == 1) | np.isnan(block)).all(axis=0)
        return binary

    def distinct(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield for each column its values, in order and in float64, and how often each occurs.

        With weights, their sums. Of many rows, the values of a sample and the extremes of all.
        """
        for j, (column, weight) in enumerate(self._sampled()):
            observed = ~np.isnan(column)
            if weight is None:
                values, counts = np.unique(column[observed], return_counts=True)
            else:
                values, place = np.unique(column[observed], return_inverse=True)
                counts = np.bincount(place, weight[observed])
            values = values.astype(np.float64)
            if len(values) and values[0] > self.low[j]:
                values, counts = np.append(self.low[j], values), np.append(1, counts)
            if len(values) and values[-1] < self.high[j]:
                values, counts = np.append(values, self.high[j]), np.append(counts, 1)
            yield values, counts

    def blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield blocks of rows, with their positions."""
        for rows in gen_batches(self.n_samples, max(1, BLOCK // self.n_features)):
            yield rows, self.X[rows]

    def _ranges(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        missing = np.zeros(self.n_features, dtype=bool)
        if self.sparse:
            low, high = min_max_axis(self.X, axis=0)
        else:
            low, high = np.full((2, self.n_features), [[np.inf], [-np.inf]])
            for _, block in self.blocks():
                low = np.fmin(low, np.fmin.reduce(block, axis=0))
                high = np.fmax(high, np.fmax.reduce(block, axis=0))
                missing |= np.isnan(block).any(axis=0)
        return low.astype(np.float64), high.astype(np.float64), missing

    def _dense_moments(self) -> tuple[np.ndarray, np.ndarray]:
        count = self._sum(np.isfinite)
        count = np.where(count > 0, count, 1)
        mean = self._sum(lambda block: block.astype(np.float64)) / count
        # A second pass: the mean of squares would lose the variance of columns far from 0.
        return mean, self._sum(lambda block: (block - mean) ** 2) / count

    def _sum(self, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Return the weighted sums over rows of a function of them, NaN left out."""
        total = np.zeros(self.n_features)
        for rows, block in self.blocks():
            values = function(block)
            if self.weight is not None:
                values = values * self.weight[rows, None]
            total += np.nansum(values, axis=0)
        return total

    def _sparse_moments(self) -> tuple[np.ndarray, np.ndarray]:
        # Not sklearn's mean_variance_axis: it returns float32 for float32, where a variance
        # vanishes or overflows long before its root does.
        total, square, stored = np.zeros((3, self.n_features))
        blocks = list(gen_batches(max(1, self.X.nnz), BLOCK))
        weight = np.broadcast_to(1.0, self.X.nnz)
        if self.weight is not None:
            weight = np.repeat(self.weight, np.diff(self.X.indptr))
        for entries in blocks:
            j, w = self.X.indices[entries], weight[entries]
            stored += np.bincount(j, w, self.n_features)
            total += np.bincount(j, self.X.data[entries] * w, self.n_features)
        # Weights add up to the number of rows.
        mean = total / self.n_samples
        for entries in blocks:
            j, w = self.X.indices[entries], weight[entries]
            square += np.bincount(j, (self.X.data[entries] - mean[j]) ** 2 * w, self.n_features)
        # A difference of sums of weights is not quite 0 where no entry is left out.
        left_out = np.bincount(self.X.indices, minlength=self.n_features) < self.n_samples
        rest = np.where(left_out, self.n_samples - stored, 0).clip(min=0)
        return mean, (square + rest * mean**2) / self.n_samples

    def _sampled(self) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """Yield each column, and weights; of a sparse one a single zero stands for all."""
        rows = sample(self.n_samples, SAMPLE_ROWS)
        weight = None if self.weight is None else self.weight[rows]
        if self.sparse:
            X = self.X[rows].tocsc()
            weight = np.ones(X.shape[0]) if weight is None else weight
            for start, stop in zip(X.indptr[:-1], X.indptr[1:], strict=True):
                stored, zeros = weight[X.indices[start:stop]], X.shape[0] - (stop - start)
                rest = [weight.sum() - stored.sum()] if zeros else []
                yield np.append(X.data[start:stop], np.zeros(len(rest))), np.append(stored, rest)
            return
        matrix = self.X
        if not isinstance(matrix, np.ndarray):
            matrix, rows = matrix.matrix, matrix.index[rows]
        n_rows = min(self.n_samples, SAMPLE_ROWS)
        for features in gen_batches(self.n_features, max(1, BLOCK // n_rows)):
            for column in np.ascontiguousarray(matrix[rows, features].T):
                yield column, weight


def sample(n_samples: int, size: int) -> np.ndarray | slice:
    """Return all rows or, if there are more than `size`, a fixed random sample of them.

    Not every k-th row, because data may be periodic.
    """
    if n_samples <= size:
        return slice(None)
    return np.sort(np.random.default_rng(0).choice(n_samples, size, replace=False))


def quantiles(values: np.ndarray, counts: np.ndarray, fractions: np.ndarray) -> np.ndarray:
    """Return quantiles of sorted values, each repeated `counts` times.

    Those of `numpy.quantile` with ``method="averaged_inverted_cdf"``: the first value that this
    share of the rows does not exceed, or the mean with the next if the share is met exactly. Unlike
    numpy's default it stays the same when all rows are repeated, which a weight must not change.
    """
    share = counts.cumsum() / counts.sum()
    last = len(values) - 1
    lower = np.searchsorted(share, fractions - SLACK).clip(0, last)
    upper = np.searchsorted(share, fractions + SLACK).clip(0, last)
    return values[lower] / 2 + values[upper] / 2


def _weighted(X: Any, sample_weight: Any) -> tuple[Any, np.ndarray | None]:
    """Return the rows of positive weight, and their weights with mean 1."""
    if sample_weight is None:
        return X, None
    weight = check_array(
        sample_weight, dtype=np.float64, ensure_2d=False, input_name="sample_weight"
    )
    check_consistent_length(X, weight)
    if weight.ndim != 1 or (weight < 0).any() or not weight.any():
        raise ValueError(
            "sample_weight must be one weight per row, >= 0 and positive for at least one of them"
        )
    if not weight.all():
        rows = np.flatnonzero(weight)
        X, weight = X[rows], weight[rows]
    return X, weight / weight.mean()
