"""One-hot encoding of categories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import nn

from .._data.fields import check_fields, checked
from .._data.validation import check_integer
from .columns import SLACK, Columns
from .encoding import Encoding
from .layers import OneHot

__all__ = ["OneHotEncoding"]

# Whole numbers below this are distinct in float32.
MOST_CODES = 2**24


@dataclass(eq=False, repr=False)
class OneHotEncoding(Encoding):
    """One-hot encoding of columns of codes, with one output per category.

    A code is the index of a category in a list: 0, 1, and so on. The weights of the first layer for
    these outputs are an embedding as wide as the layer. In a column with more than `max_categories`
    categories, the most frequent ones have one output each, and the others share one. NaN has a
    separate output if it occurs in the training rows. An unknown code, or NaN if it did not occur,
    is encoded like the categories that share an output or, if there is none, as zeros. A column
    that is constant in the training rows has no output.

    Parameters
    ----------
    max_categories : int, default=256
        Maximum number of outputs per column, without that of NaN, at least 2.

    Attributes
    ----------
    slots_ : list of ndarray of int
        For each column, the outputs of its codes 0, 1, and so on, of any other number, and of NaN;
        -1 if all outputs are 0.

    See Also
    --------
    sklearn.preprocessing.OneHotEncoder : With ``handle_unknown="infrequent_if_exist"``.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from sklearn_mlloss.networks import OneHotEncoding
    >>> module = OneHotEncoding().fit(np.array([[0.0], [2.0], [np.nan]])).module()
    >>> module(torch.tensor([[0.0], [1.0], [2.0], [torch.nan]]))
    tensor([[1., 0., 0.],
            [0., 0., 0.],
            [0., 1., 0.],
            [0., 0., 1.]])
    """

    max_categories: int = checked(256, check_integer, low=2)

    def fit_counts(self, counts: Sequence[np.ndarray], missing: np.ndarray) -> Self:
        """Fit the encoding by how often each code occurs, in rows that are not in memory.

        Parameters
        ----------
        counts : sequence of ndarray
            For each column, the number of rows, or the sum of their weights, with the codes 0, 1,
            and so on.
        missing : ndarray of bool, shape (n_features,)
            Whether a column has NaN.

        Returns
        -------
        self : OneHotEncoding
        """
        check_fields(self)
        n_codes = np.array([np.count_nonzero(column) for column in counts])
        self.constant_ = n_codes < 2
        self.missing_features_ = np.flatnonzero(missing & (n_codes > 0))
        self.n_features_in_ = len(counts)
        self.n_outputs_ = self._choose([np.trim_zeros(column, "b") for column in counts], missing)
        return self

    def _fit(self, columns: Columns) -> int:
        return self._choose(_counts(columns), columns.missing)

    def _choose(self, counts_of_columns: Sequence[np.ndarray], has_missing: np.ndarray) -> int:
        """Set the outputs of each code; return how many there are."""
        self.slots_, n_outputs = [], 0
        for counts, missing in zip(counts_of_columns, has_missing, strict=True):
            slots = np.full(len(counts) + 2, -1)
            kept = np.flatnonzero(counts)
            width = min(len(kept), self.max_categories)
            if len(kept) > width:
                kept = np.sort(_by_frequency(counts)[1 - width :])
                slots[:] = width - 1
            slots[kept] = np.arange(len(kept))
            if missing:
                slots[-1] = width
                width += 1
            if width < 2:
                slots[:], width = -1, 0
            slots[slots >= 0] += n_outputs
            self.slots_.append(slots)
            n_outputs += width
        return max(1, n_outputs)  # a layer needs an input

    def _module(self, dtype: torch.dtype) -> nn.Module:
        return OneHot(self.slots_, self.n_outputs_, dtype)


def _by_frequency(counts: np.ndarray) -> np.ndarray:
    """Return the codes by ascending counts, ties by ascending codes."""
    share = counts / counts.sum()
    order = np.argsort(share, kind="stable")
    # Weights and repeated rows round differently.
    rank = (np.diff(share[order], prepend=0) > SLACK).cumsum()
    return order[np.lexsort((order, rank))]


def _counts(columns: Columns) -> list[np.ndarray]:
    """Return for each column how often each code occurs, weights counted."""
    if columns.sparse:
        raise ValueError("OneHotEncoding takes dense arrays of codes, got a sparse matrix")
    has_values = columns.low <= columns.high
    if (columns.low[has_values] < 0).any() or (columns.high[has_values] >= MOST_CODES).any():
        raise ValueError(f"codes of categories must be whole numbers from 0 to {MOST_CODES - 1}")
    n_codes = np.where(has_values, columns.high, -1).astype(np.int64) + 1
    ends = n_codes.cumsum()
    counts = np.zeros(ends[-1])
    for rows, block in columns.blocks():
        observed = ~np.isnan(block)
        codes = np.where(observed, block, 0).astype(np.int64)
        if (codes != block)[observed].any():
            raise ValueError("codes of categories must be whole numbers, got fractions")
        weight = 1.0 if columns.weight is None else columns.weight[rows, None]
        weight = np.broadcast_to(weight, block.shape)
        np.add.at(counts, (codes + ends - n_codes)[observed], weight[observed])
    return np.split(counts, ends[:-1])
