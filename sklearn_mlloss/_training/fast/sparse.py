"""Products of sparse rows with a dense matrix, for the first layer of a network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn
from torch.nn.functional import embedding_bag

from ...networks import MLP
from ...networks.layers import Flipped
from ...networks.linear import LinearPart
from .tiles import apply, tiles

__all__ = ["SparseRows", "is_thin", "sparse_deviations", "sparse_outputs", "takes_sparse"]

# Where fewer entries than this share are not zero, sparse products are the faster ones.
SPARSE_SHARE = 0.25


def is_thin(X: Any) -> bool:
    """Return whether X is so sparse that sparse products are faster."""
    return sp.issparse(X) and X.nnz < SPARSE_SHARE * X.shape[0] * X.shape[1]


def takes_sparse(encoding: nn.Module | None) -> bool:
    """Return whether an encoding leaves rows sparse."""
    return encoding is None or type(encoding) is Flipped


class SparseRows:
    """Rows of a sparse matrix in CSR form, as tensors on the CPU.

    A product with a dense matrix is a weighted sum of the rows of the latter, which is what
    torch's embedding bags are: several times as fast as its sparse matrices.

    Parameters
    ----------
    columns, values : Tensor of shape (n_values,)
    starts : Tensor of shape (n + 1,)
        Where the values of each row begin, and the last ones end; of the dtype of `columns`.
    n_features : int
    """

    def __init__(self, columns: Tensor, values: Tensor, starts: Tensor, n_features: int):
        self.columns, self.values, self.starts = columns, values, starts
        self.n_features = n_features

    @classmethod
    def of(cls, X: sp.csr_matrix | sp.csr_array) -> SparseRows:
        """Return the rows of a matrix, which share its memory."""
        columns, values, starts = map(torch.from_numpy, (X.indices, X.data, X.indptr))
        return cls(columns, values, starts, X.shape[1])

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.starts) - 1

    def split(self, sizes: list[int]) -> Iterator[SparseRows]:
        """Yield groups of so many rows."""
        first = 0
        for size in sizes:
            starts = self.starts[first : first + size + 1]
            begin, end = int(starts[0]), int(starts[-1])
            yield SparseRows(
                self.columns[begin:end], self.values[begin:end], starts - begin, self.n_features
            )
            first += size

    def mixed(self, partners: Tensor, shares: Tensor) -> SparseRows:
        """Return ``shares * rows + (1 - shares) * rows[partners]``, shares of shape (n,)."""
        n = len(self)
        weights = torch.stack((shares, 1 - shares), dim=1).flatten().numpy()
        places = torch.stack((torch.arange(n), partners), dim=1).flatten().numpy()
        mix = sp.csr_matrix((weights, places, np.arange(0, 2 * n + 1, 2)), shape=(n, n))
        return SparseRows.of(mix @ self.matrix())

    def encoded(self, encoding: nn.Module | None) -> SparseRows:
        """Return the rows behind an encoding that `takes_sparse`."""
        if isinstance(encoding, Flipped):
            return SparseRows.of(encoding.sparse(self.matrix()))
        return self

    def scaled(self, factors: Tensor) -> SparseRows:
        """Return the rows with each value multiplied by a factor."""
        return SparseRows(self.columns, self.values * factors, self.starts, self.n_features)

    def matrix(self) -> sp.csr_matrix:
        parts = (part.numpy() for part in (self.values, self.columns, self.starts))
        return sp.csr_matrix(tuple(parts), shape=(len(self), self.n_features), copy=False)

    def times(self, matrix: Tensor) -> Tensor:
        """Return the product with a contiguous matrix of shape (n_features, k)."""
        return _weighted_sums(matrix, self.columns, self.values, self.starts)

    def times_columns_of(self, weight: Tensor) -> Tensor:
        """Return the product with the transpose of a matrix of shape (k, n_features)."""
        used = weight.index_select(1, self.columns).t().contiguous()
        places = torch.arange(len(used), dtype=self.columns.dtype)
        return _weighted_sums(used, places, self.values, self.starts)

    def transposed_times(self, matrix: Tensor, out: Tensor) -> None:
        """Write the product of the transpose with a contiguous matrix of shape (n, k)."""
        by_column = self.matrix().tocsc()
        starts = by_column.indptr
        # Most features do not occur in a batch; their rows cost nothing but zeros.
        present = np.flatnonzero(np.diff(starts))
        rows, values, starts = (
            torch.from_numpy(part)
            for part in (by_column.indices, by_column.data, np.append(starts[present], starts[-1:]))
        )
        out.zero_()
        out.index_copy_(0, torch.from_numpy(present), _weighted_sums(matrix, rows, values, starts))


def sparse_outputs(
    network: MLP, X: sp.csr_matrix | sp.csr_array, sizes: Sequence[int]
) -> Iterator[tuple[Tensor, int]]:
    """Yield the outputs for blocks of rows of these sizes, and how many rows are real.

    The last block is filled up with empty rows, see `tiles`.
    """
    first: Any = network.layers[0]
    linear, encoding = network.linear, network.encoding
    others, whole = network.layers[1:], None
    for part, size in tiles(X.shape[0], sizes):
        rows: Any = X[part]
        if linear is not None and not rows.has_canonical_format:
            # Limits are those of the sums.
            rows = rows.copy()
            rows.sum_duplicates()
        encoded = encoding.sparse(rows) if isinstance(encoding, Flipped) else rows
        inputs = _filled_up(encoded, size)
        if encoded.nnz < encoded.shape[1]:  # of few rows most weights have no use
            product = inputs.times_columns_of(first.weight)
        else:
            whole = first.weight.t().contiguous() if whole is None else whole
            product = inputs.times(whole)
        outputs = apply(others, product + first.bias)
        if linear is not None:
            known = linear.known
            if known is None:
                known = sparse_deviations(linear, _filled_up(rows, size))
            outputs = linear.added(outputs, known)
        yield outputs, rows.shape[0]


def sparse_deviations(linear: LinearPart, rows: SparseRows) -> Tensor:
    """Return the deviations of rows by a linear part that takes sparse ones."""
    unit: Any = linear.encoding
    values = unit.stored(rows.columns, rows.values)
    inputs = SparseRows(rows.columns, values, rows.starts, rows.n_features)
    return inputs.times(linear.weight) + (linear.bias + unit.zeros() @ linear.weight)


def _filled_up(rows: Any, size: int) -> SparseRows:
    """Return rows and, after them, empty ones."""
    ends = np.pad(rows.indptr, (0, size - rows.shape[0]), mode="edge")
    columns, values, starts = map(torch.from_numpy, (rows.indices, rows.data, ends))
    return SparseRows(columns, values, starts, rows.shape[1])


def _weighted_sums(matrix: Tensor, rows: Tensor, weights: Tensor, starts: Tensor) -> Tensor:
    return embedding_bag(
        rows, matrix, starts, per_sample_weights=weights, mode="sum", include_last_offset=True
    )
