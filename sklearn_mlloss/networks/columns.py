"""What encodings learn of the columns of a table, without a copy of the table."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from sklearn.utils import check_array, gen_batches
from sklearn.utils.sparsefuncs import min_max_axis

__all__ = ["CSR", "Columns", "quantiles", "sample"]

CSR = sp.csr_matrix | sp.csr_array

# Rows that quantiles are taken from: with 100 000 of them the share of rows below a quantile is
# off by 0.3% at the most (two standard errors, at the median).
SAMPLE_ROWS = 100_000
# Numbers that are copied at once.
BLOCK = 2**20


class Columns:
    """The columns of a table of numbers.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        NaN means missing and is left out everywhere; a sparse X must have none.

    Attributes
    ----------
    low, high : ndarray of float64, shape (n_features,)
        Range of each column; inf and -inf if all is missing.
    missing, constant : ndarray of bool, shape (n_features,)
        Whether a column has NaN, and whether it has less than two values.
    """

    def __init__(self, X: np.ndarray | CSR):
        dtypes = (np.float64, np.float32)
        X = check_array(X, accept_sparse="csr", dtype=dtypes, ensure_all_finite=False)
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

    def distinct(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield for each column its values, in order and in float64, and how often each occurs.

        Where the rows are many, those of a sample and the extremes of all.
        """
        for j, (column, zeros) in enumerate(self._sampled()):
            values, counts = np.unique(column[~np.isnan(column)], return_counts=True)
            if zeros:
                counts[values == 0] += zeros - 1
            values = values.astype(np.float64)
            if len(values) and values[0] > self.low[j]:
                values, counts = np.append(self.low[j], values), np.append(1, counts)
            if len(values) and values[-1] < self.high[j]:
                values, counts = np.append(values, self.high[j]), np.append(counts, 1)
            yield values, counts

    def _ranges(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        missing = np.zeros(self.n_features, dtype=bool)
        if self.sparse:
            low, high = min_max_axis(self.X, axis=0)
        else:
            low, high = np.full((2, self.n_features), [[np.inf], [-np.inf]])
            for block in self._blocks():
                low = np.fmin(low, np.fmin.reduce(block, axis=0))
                high = np.fmax(high, np.fmax.reduce(block, axis=0))
                missing |= np.isnan(block).any(axis=0)
        return low.astype(np.float64), high.astype(np.float64), missing

    def _dense_moments(self) -> tuple[np.ndarray, np.ndarray]:
        count = sum((~np.isnan(block)).sum(axis=0) for block in self._blocks())
        count = np.maximum(count, 1)
        mean = sum(np.nansum(block, axis=0, dtype=np.float64) for block in self._blocks()) / count
        # A second pass: the mean of squares would lose the variance of columns far from 0.
        square = sum(np.nansum((block - mean) ** 2, axis=0) for block in self._blocks())
        return mean, square / count

    def _sparse_moments(self) -> tuple[np.ndarray, np.ndarray]:
        # Not sklearn's mean_variance_axis: it returns float32 for float32, where a variance
        # vanishes or overflows long before its root does.
        total, square, stored = np.zeros((3, self.n_features))
        blocks = list(gen_batches(max(1, self.X.nnz), BLOCK))
        for some in blocks:
            j = self.X.indices[some]
            stored += np.bincount(j, minlength=self.n_features)
            total += np.bincount(j, self.X.data[some], self.n_features)
        mean = total / self.n_samples
        for some in blocks:
            j = self.X.indices[some]
            square += np.bincount(j, (self.X.data[some] - mean[j]) ** 2, self.n_features)
        return mean, (square + (self.n_samples - stored) * mean**2) / self.n_samples

    def _blocks(self) -> Iterator[np.ndarray]:
        for rows in gen_batches(self.n_samples, max(1, BLOCK // self.n_features)):
            yield self.X[rows]

    def _sampled(self) -> Iterator[tuple[np.ndarray, int]]:
        """Yield each column, and how many zeros a single one in it stands for."""
        rows = sample(self.n_samples, SAMPLE_ROWS)
        if self.sparse:
            X = self.X[rows].tocsc()
            for start, stop in zip(X.indptr[:-1], X.indptr[1:], strict=True):
                zeros = X.shape[0] - (stop - start)
                yield np.append(X.data[start:stop], [0.0] if zeros else []), zeros
            return
        for some in gen_batches(self.n_features, max(1, BLOCK // min(self.n_samples, SAMPLE_ROWS))):
            for column in np.ascontiguousarray(self.X[rows, some].T):
                yield column, 0


def sample(n_samples: int, size: int) -> np.ndarray | slice:
    """Return all rows or, if they are more than `size`, a choice of them that is always the same.

    Not every k-th: tables have periods.
    """
    if n_samples <= size:
        return slice(None)
    return np.sort(np.random.default_rng(0).choice(n_samples, size, replace=False))


def quantiles(values: np.ndarray, counts: np.ndarray, fractions: np.ndarray) -> np.ndarray:
    """Return ``numpy.quantile`` of sorted values, each repeated as often as `counts` says."""
    last = counts.cumsum() - 1
    position = fractions * last[-1]
    below = np.floor(position)
    lower = values[np.searchsorted(last, below)]
    upper = values[np.searchsorted(last, np.ceil(position))]
    return lower + (upper - lower) * (position - below)
