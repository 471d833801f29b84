"""A table in memory as tensors on one device, and batches of its rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor
from torch.utils.data import Dataset

from .._data.rows import Matrix, Rows, RowView
from .fast.sparse import SparseRows, is_thin
from .fast.tiles import tiles

__all__ = [
    "Batch",
    "Batches",
    "Targets",
    "Table",
    "block_size",
    "blocks",
    "checked_rows",
    "to_tensors",
]

# Targets and weights.
Targets = tuple[Tensor, Tensor | None]
Batch = tuple[Tensor, Targets]

# Entries of a block of rows that goes through the network at once, at the most.
BLOCK_ENTRIES = 2**24

# Entries of X that are copied at a time where some of its rows go to another device.
MOVED_ENTRIES = 2**22
# Rows that are checked; of wide ones, as many as have this many numbers, and at least so many.
CHECKED_ROWS, NUMBERS, FEWEST = 2048, 2**26, 64


class Table(Dataset):
    """Rows of X, Y and weights as tensors, put on the device once where they fit.

    On the CPU, contiguous arrays are not copied, and of a `RowView` neither: batches are gathered
    from the whole matrix. Another device gets the rows of the table; if they would fill more than
    half of its free memory they stay on the CPU, and each batch is sent. Sparse X stays sparse:
    only the rows of a batch become dense.

    Parameters
    ----------
    X : ndarray, CSR matrix or RowView of shape (n_samples, n_features)
    Y : ndarray of shape (n_samples, n_labels)
        uint8, or floating with NaN where nothing was observed.
    sample_weight : ndarray of shape (n_samples,) or (n_samples, n_labels), optional
        Of the dtype of X.
    device : torch.device or str
    deviations : Tensor of shape (n_samples, n_labels), optional
        Those of the `LinearPart` of the network for these rows.

    Attributes
    ----------
    device : torch.device
        Where batches come out.
    index_device : torch.device
        Where the tensors are, and where the numbers of rows should be.
    n_features : int
    stays_sparse : bool
        Whether X is so sparse that `sparse_batch` is faster, on the CPU.
    """

    def __init__(
        self,
        X: Matrix,
        Y: np.ndarray,
        sample_weight: np.ndarray | None = None,
        device: torch.device | str = "cpu",
        deviations: Tensor | None = None,
    ):
        # With its number, which "cuda" leaves out.
        self.device = torch.empty(0, device=device).device
        self.resident = _fits(_nbytes(X, Y, sample_weight), self.device)
        self.index_device = self.device if self.resident else torch.device("cpu")
        self.n_features = X.shape[1]
        self.Y = _tensor(Y).to(self.index_device)
        self.sample_weight = (
            None if sample_weight is None else _tensor(sample_weight).to(self.index_device)
        )
        on_cpu = self.index_device.type == "cpu"
        # The numbers of the rows of the table within the whole X, or None for all of them.
        self.index = None
        if isinstance(X, RowView) and on_cpu:
            self.index = _tensor(X.index)
            X = X.matrix
        self.sparse = sp.issparse(X.matrix if isinstance(X, RowView) else X)
        # A tensor, or a CSR matrix on the CPU.
        self.X: Any = None
        if not self.sparse:
            self.X = _dense_tensor(X, self.index_device)
        elif on_cpu:
            self.X = X
        else:
            self.values, self.columns, self.starts = _sparse_tensors(X, self.index_device)
        self.stays_sparse = self.device.type == "cpu" and is_thin(X)
        self.deviations = None if deviations is None else deviations.to(self.index_device)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.Y)

    def rows(self) -> np.ndarray | sp.csr_matrix | sp.csr_array:
        """Return the rows of X on the CPU, without a copy if they are the whole matrix."""
        if self.sparse and self.index_device.type != "cpu":
            parts = tuple(p.cpu().numpy() for p in (self.values, self.columns, self.starts))
            return sp.csr_array(parts, shape=(len(self), self.n_features))
        X = self.X if self.sparse else self.X.cpu().numpy()
        return X if self.index is None else X[self.index.numpy()]

    def batch(self, rows: Tensor) -> Batch:
        """Return ``X, (Y, sample_weight)`` of the rows with these numbers, on `device`."""
        rows = rows.to(self.index_device)
        if not self.sparse:
            X = self._gather(self.X, self._places(rows))
        elif self.index_device.type == "cpu":
            X = self._send(_tensor(self.X[self._places(rows).numpy()].toarray()))
        else:
            X = self._dense(rows)
        return X, self.targets(rows)

    def sparse_batch(self, rows: Tensor) -> tuple[SparseRows, Targets]:
        """Return a batch whose X is sparse, where the table `stays_sparse`."""
        X = self.X[self._places(rows).numpy()]
        return SparseRows.of(X), self.targets(rows)

    def _places(self, rows: Tensor) -> Tensor:
        return rows if self.index is None else self.index.index_select(0, rows)

    def targets(self, rows: Tensor) -> Targets:
        """Return targets and weights of the rows with these numbers, on `device`."""
        weight, rows = self.sample_weight, rows.to(self.index_device)
        return self._gather(self.Y, rows), None if weight is None else self._gather(weight, rows)

    def known(self, rows: Tensor) -> Tensor | None:
        """Return the deviations of the rows with these numbers, on `device`, if they are known."""
        rows = rows.to(self.index_device)
        return None if self.deviations is None else self._gather(self.deviations, rows)

    def _gather(self, tensor: Tensor, rows: Tensor) -> Tensor:
        gathered = tensor.index_select(0, rows)
        return gathered if self.resident else self._send(gathered)

    def _send(self, tensor: Tensor) -> Tensor:
        if self.resident:
            return tensor
        # A copy from pinned memory continues while the next batch is gathered. torch reuses the
        # memory only after the copy.
        if self.device.type == "cuda":
            tensor = tensor.pin_memory()
        return tensor.to(self.device, non_blocking=True)

    def _dense(self, rows: Tensor) -> Tensor:
        start = self.starts[rows]
        length = self.starts[rows + 1] - start
        row = torch.repeat_interleave(torch.arange(len(rows), device=rows.device), length)
        # Position of each stored value: its rank within the batch, moved to where its row starts.
        offset = start - (length.cumsum(0) - length)
        entry = torch.arange(len(row), device=rows.device) + offset[row]
        X = self.values.new_zeros(len(rows), self.n_features)
        index = (row, self.columns[entry].long())
        return X.index_put_(index, self.values[entry], accumulate=True)


def to_tensors(rows: Rows, device: torch.device, deviations: Tensor | None = None) -> Table:
    """Return the rows as tensors."""
    weight = None if rows.weight is None else rows.weight.astype(rows.X.dtype)
    return Table(rows.X, rows.Y, weight, device, deviations)


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
        Whether each pass has a new order.
    generator : torch.Generator, optional
        Source of the orders.

    Attributes
    ----------
    ranks : Ranks or None
        The processes that train together, each on its own batches.
    """

    ranks: Any = None

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

    def sizes(self) -> list[int]:
        """Return the number of rows of each batch."""
        size, larger = divmod(len(self.table), len(self))
        return [size + 1] * larger + [size] * (len(self) - larger)

    def order(self) -> Tensor:
        """Return the numbers of all rows in the order of a pass; each call begins another."""
        n = len(self.table)
        order = torch.randperm(n, generator=self.generator) if self.shuffle else torch.arange(n)
        return order.to(self.table.index_device)

    def __iter__(self) -> Iterator[Batch]:
        """Pass over the rows once; `rows` are the numbers of those of the present batch."""
        for rows in self.order().split(self.sizes()):
            self.rows = rows
            yield self.table.batch(rows)


def checked_rows(table: Table, n_outputs: int) -> Tensor:
    """Return the numbers of some rows on which a trained network can be checked.

    Parameters
    ----------
    table : Table
    n_outputs : int
        Columns of its rows after encoding.
    """
    size = max(FEWEST, NUMBERS // max(table.n_features, n_outputs))
    size = min(len(table), CHECKED_ROWS, size)
    return torch.from_numpy(np.linspace(0, len(table) - 1, size).astype(np.int64))


def block_size(rows: int, n_features: int) -> int:
    """Return the number of rows of a block: fewer where they are wide, which sparse ones can be."""
    return max(1, min(rows, BLOCK_ENTRIES // n_features))


def blocks(
    X: Matrix, sizes: Sequence[int], device: torch.device | str
) -> Iterator[tuple[Tensor, int]]:
    """Yield the rows of X in blocks of these sizes, with the number that are real.

    The last block is filled up with zeros, see `tiles`.
    """
    for part, size in tiles(X.shape[0], sizes):
        rows: Any = X[part]
        if sp.issparse(rows):
            rows = rows.toarray()
        real = rows.shape[0]
        if real < size:
            padded = np.zeros((size, X.shape[1]), dtype=rows.dtype)
            padded[:real] = rows
            rows = padded
        yield _tensor(rows).to(device), real


def _fits(nbytes: int, device: torch.device) -> bool:
    """Return whether a table of this size is to be put on the device."""
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    # The other half is for the network, its activations, and the held-out rows.
    return 2 * nbytes <= free


def _nbytes(X: Matrix, Y: np.ndarray, sample_weight: np.ndarray | None) -> int:
    """Return the size of the rows of a table as tensors."""
    rest = Y.nbytes + (0 if sample_weight is None else sample_weight.nbytes)
    matrix: Any = X.matrix if isinstance(X, RowView) else X
    if not sp.issparse(matrix):
        return rest + X.shape[0] * X.shape[1] * X.dtype.itemsize
    n_values = _starts(X)[-1]
    starts = 8 * (X.shape[0] + 1)
    return rest + starts + n_values * (X.dtype.itemsize + matrix.indices.dtype.itemsize)


def _starts(X: Any) -> np.ndarray:
    """Return where the values of each row of a CSR matrix start, and where the last ones end."""
    if not isinstance(X, RowView):
        return X.indptr.astype(np.int64, copy=False)
    matrix: Any = X.matrix
    lengths = np.diff(matrix.indptr)[X.index]
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def _row_blocks(X: RowView) -> list[slice]:
    step = max(1, MOVED_ENTRIES // max(1, X.shape[1]))
    return [slice(start, min(start + step, len(X))) for start in range(0, len(X), step)]


def _dense_tensor(X: np.ndarray | RowView, device: torch.device) -> Tensor:
    """Return X on the device; a selection block by block, so that the CPU gets no copy of it."""
    if not isinstance(X, RowView):
        return _tensor(X).to(device)
    tensor = torch.empty(X.shape, dtype=_tensor(X[:0]).dtype, device=device)
    for rows in _row_blocks(X):
        tensor[rows] = _tensor(X[rows])
    return tensor


def _sparse_tensors(X: Any, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return values, columns and row starts on the device; a selection block by block."""
    starts = _tensor(_starts(X))
    if not isinstance(X, RowView):
        return _tensor(X.data).to(device), _tensor(X.indices).to(device), starts.to(device)
    empty: Any = X[:0]
    n_values = int(starts[-1])
    values, columns = (
        torch.empty(n_values, dtype=_tensor(part).dtype, device=device)
        for part in (empty.data, empty.indices)
    )
    for rows in _row_blocks(X):
        block: Any = X[rows]
        place = slice(int(starts[rows.start]), int(starts[rows.stop]))
        values[place], columns[place] = _tensor(block.data), _tensor(block.indices)
    return values, columns, starts.to(device)


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
