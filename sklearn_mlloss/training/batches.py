"""A table in memory as tensors on one device, and batches of its rows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor
from torch.utils.data import Dataset

__all__ = ["Batches", "Table", "blocks"]

Batch = tuple[Tensor, tuple[Tensor, Tensor | None]]


class Table(Dataset):
    """Rows of X, Y and weights as tensors that are put on the device once.

    Contiguous arrays are not copied on the CPU. Sparse X stays sparse: only the rows of a batch
    become dense.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
    Y : ndarray of shape (n_samples, n_labels)
        uint8, or floating with NaN where nothing was observed.
    sample_weight : ndarray of shape (n_samples,) or (n_samples, n_labels), optional
        Of the dtype of X.
    device : torch.device or str
    """

    def __init__(
        self,
        X: np.ndarray | sp.csr_matrix | sp.csr_array,
        Y: np.ndarray,
        sample_weight: np.ndarray | None = None,
        device: torch.device | str = "cpu",
    ):
        self.n_features = X.shape[1]
        self.Y = _tensor(Y).to(device)
        self.sample_weight = None if sample_weight is None else _tensor(sample_weight).to(device)
        self.sparse = sp.issparse(X)
        if self.sparse:
            self.values = _tensor(X.data).to(device)
            self.columns = _tensor(X.indices).to(device)
            self.starts = _tensor(X.indptr).to(device, torch.int64)
        else:
            self.X = _tensor(X).to(device)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.Y)

    def batch(self, rows: Tensor) -> Batch:
        """Return ``X, (Y, sample_weight)`` of the rows with these indices."""
        weight = self.sample_weight
        X = self._dense(rows) if self.sparse else self.X.index_select(0, rows)
        return X, (self.Y.index_select(0, rows), None if weight is None else weight[rows])

    def _dense(self, rows: Tensor) -> Tensor:
        start, stop = self.starts[rows], self.starts[rows + 1]
        length = stop - start
        row = torch.repeat_interleave(torch.arange(len(rows), device=rows.device), length)
        # Position of each stored value: its rank within the batch, moved to where its row starts.
        offset = start - (length.cumsum(0) - length)
        entry = torch.arange(len(row), device=rows.device) + offset[row]
        X = self.values.new_zeros(len(rows), self.n_features)
        index = (row, self.columns[entry].long())
        return X.index_put_(index, self.values[entry], accumulate=True)


class Batches:
    """Batches of a `Table`, as equal in size as its number of rows allows.

    A last batch of a few rows would weigh each of them more than the others, and batch
    normalisation cannot take a single one.

    Parameters
    ----------
    table : Table
    batch_size : int
        Largest number of rows of a batch.
    shuffle : bool, default=False
        Whether each pass has an order of its own.
    generator : torch.Generator, optional
        Source of the orders.
    """

    def __init__(
        self,
        table: Table,
        batch_size: int,
        shuffle: bool = False,
        generator: torch.Generator | None = None,
    ):
        self.table = table
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.generator = generator

    def __len__(self) -> int:
        """Return the number of batches of a pass."""
        n = len(self.table)
        # Three rows in batches of two would leave one alone.
        most = max(1, n // 2) if self.batch_size > 1 else n
        return min(-(-n // self.batch_size), most)

    def __iter__(self) -> Iterator[Batch]:
        """Pass over the rows once."""
        n, device = len(self.table), self.table.Y.device
        if self.shuffle:
            order = torch.randperm(n, generator=self.generator).to(device)
        else:
            order = torch.arange(n, device=device)
        for rows in order.tensor_split(len(self)):
            yield self.table.batch(rows)


def blocks(
    X: np.ndarray | sp.csr_matrix | sp.csr_array, size: int, device: torch.device | str
) -> Iterator[tuple[Tensor, int]]:
    """Yield the rows of X in blocks of exactly `size` rows, with the number that are real.

    The last block is filled up with zeros: kernels for other shapes add up in another order, and
    a row's result would depend on its neighbours.
    """
    n = X.shape[0]
    for start in range(0, n, size):
        rows = X[start : start + size]
        if sp.issparse(rows):
            rows = rows.toarray()
        real = rows.shape[0]
        if real < size:
            padded = np.zeros((size, X.shape[1]), dtype=rows.dtype)
            padded[:real] = rows
            rows = padded
        yield _tensor(rows).to(device), real


def _tensor(array: np.ndarray) -> Tensor:
    """Return a tensor over the memory of an array, or over a copy if it is not contiguous."""
    array = np.ascontiguousarray(array)
    if not array.flags.writeable:
        # joblib hands out read-only memory maps; torch warns of them and copying would undo the
        # sharing. Nothing here writes into a table.
        array = np.asarray(_Writeable(array))
    return torch.from_numpy(array)


class _Writeable:
    """A view of a read-only array that claims to be writeable."""

    def __init__(self, array: np.ndarray):
        self.array = array
        interface = dict(array.__array_interface__)
        interface["data"] = (interface["data"][0], False)
        self.__array_interface__ = interface
