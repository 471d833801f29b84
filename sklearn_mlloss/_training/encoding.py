"""How rows are encoded before the first layer, fitted on the rows that train a network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.base import clone
from sklearn.utils import gen_batches
from sklearn.utils.validation import has_fit_parameter
from torch import Tensor, nn

from .._data.messages import describe
from .._data.rows import Matrix, Rows, RowView
from .._data.validation import naming
from ..networks import Encoding, IdentityEncoding, OneHotEncoding, choose_encoding, get_encoding
from ..networks.layers import Mixed
from .batches import BLOCK_ENTRIES
from .fast.tiles import tiles

__all__ = ["Encoder", "fit_encoder"]

# Number of rows in the first call of `partial_fit` from which their range is taken as that of
# later rows.
AUTO_FIRST_ROWS = 50


@dataclass(frozen=True)
class Encoder:
    """A fitted encoding in one of two roles: a part of the network, or a step before it.

    Attributes
    ----------
    fitted : Encoding, transformer or None
        An `Encoding` becomes a `module` of the network, whose input are the rows of X. A
        transformer of scikit-learn is applied to the rows of X first, by `transform` or `blocks`.
    reason : str
        Why it is this one.
    n_inputs, n_outputs : int
        Columns of the inputs of the network, and of the inputs of its layers.
    is_categorical : ndarray of bool, shape (n_inputs,), optional
        Columns of codes, which `fitted` does not see.
    categories : OneHotEncoding, optional
        The encoding of these columns.
    """

    fitted: Any
    reason: str
    n_inputs: int
    n_outputs: int
    is_categorical: np.ndarray | None = None
    categories: OneHotEncoding | None = None

    @property
    def transforms(self) -> bool:
        """Whether rows must be transformed before they enter the network."""
        return self.fitted is not None and not isinstance(self.fitted, Encoding)

    def module(self, dtype: torch.dtype) -> nn.Module | None:
        """Return the part of the network, if there is one."""
        unchanged = self.transforms or self.fitted is None
        numbers = nn.Identity() if unchanged else self.fitted.module(dtype)
        if self.categories is not None and self.is_categorical is not None:
            categories = self.categories.module(dtype)
            if self.is_categorical.all():
                return categories
            return Mixed(numbers, categories, self.is_categorical)
        return None if type(numbers) is nn.Identity else numbers

    def transform(self, rows: Rows) -> Rows:
        """Return rows for the network to train on, as a table in memory."""
        if not self.transforms:
            return rows
        X = np.empty((len(rows), self.n_inputs), dtype=rows.X.dtype)
        for some in gen_batches(len(rows), max(1, BLOCK_ENTRIES // max(X.shape[1], 1))):
            X[some] = _transform(self.fitted, rows.X[some], self.n_inputs)
        return Rows(X, rows.Y, rows.weight)

    def blocks(
        self, X: Matrix, sizes: Sequence[int], device: torch.device | str
    ) -> Iterator[tuple[Tensor, int]]:
        """Yield rows for the network in blocks of these sizes, and how many rows are real.

        As `batches.blocks` for a transformer, but filled up with the last row: a transformer may
        not take zeros.
        """
        for part, size in tiles(X.shape[0], sizes):
            places = np.arange(part.start, part.start + size).clip(max=part.stop - 1)
            rows = _transform(self.fitted, X[places], self.n_inputs).astype(X.dtype)
            yield torch.from_numpy(rows).to(device), part.stop - part.start


class _SomeColumns:
    """Some columns of an array, copied when rows of them are asked for."""

    def __init__(self, matrix: np.ndarray, columns: np.ndarray):
        self.matrix, self.columns = matrix, columns
        self.shape, self.dtype = (len(matrix), len(columns)), matrix.dtype

    def __getitem__(self, key: np.ndarray | tuple[np.ndarray, slice]) -> np.ndarray:
        rows, some = key if isinstance(key, tuple) else (key, slice(None))
        return self.matrix[np.ix_(rows, self.columns[some])]


def fit_encoder(
    spec: Any,
    rows: Rows,
    seed: int,
    is_categorical: np.ndarray | None = None,
    more_to_come: bool = False,
    categories: OneHotEncoding | None = None,
) -> Encoder:
    """Fit an encoding on the rows that train a network.

    Parameters
    ----------
    spec : object
        The checked parameter `encoding` of an estimator; it is cloned.
    rows : Rows
    seed : int
        The random state of a transformer that has random_state=None.
    is_categorical : ndarray of bool, shape (n_features,), optional
        Columns of rows that hold codes of categories.
    more_to_come : bool, default=False
        Whether these are the first rows of many: "auto" then needs a minimum of rows.
    categories : OneHotEncoding, optional
        Fitted on more rows, of which these are a sample.

    Returns
    -------
    Encoder
    """
    if is_categorical is None:
        return _fit_numbers(spec, rows, seed, more_to_come)
    numbers = Encoder(None, "all columns are categories", 0, 0)
    if not is_categorical.all():
        numbers = _fit_numbers(spec, _part(rows, ~is_categorical), seed, more_to_come)
    if categories is None:
        part = _part(rows, is_categorical)
        categories = OneHotEncoding().fit(part.X, sample_weight=part.row_weight())
    width = numbers.n_outputs + categories.n_outputs_
    n_inputs = len(is_categorical)
    return Encoder(numbers.fitted, numbers.reason, n_inputs, width, is_categorical, categories)


def _part(rows: Rows, columns: np.ndarray) -> Rows:
    """Return the rows with some of their columns."""
    view = rows.X if isinstance(rows.X, RowView) else RowView(rows.X, np.arange(len(rows)))
    some = _SomeColumns(view.matrix, np.flatnonzero(columns))
    return Rows(RowView(some, view.index), rows.Y, rows.weight)


def _fit_numbers(spec: Any, rows: Rows, seed: int, more_to_come: bool) -> Encoder:
    n_features, is_auto, few = rows.X.shape[1], isinstance(spec, str) and spec == "auto", False
    reason = "as given"
    if is_auto:
        few = more_to_come and len(rows) < AUTO_FIRST_ROWS
        if few:
            spec = None
            reason = f"the first {len(rows)} rows of partial_fit are too few to learn from"
        else:
            spec, reason = choose_encoding(rows.X)
        if spec is None:
            # Values may be missing, now or later. Of few rows the range is no limit.
            spec = IdentityEncoding(clip=not few, binary=not few)
    if spec is None:
        return Encoder(None, reason, n_features, n_features)
    if hasattr(spec, "transform"):
        with naming(f"encoding={describe(spec)} fails"):
            transformer = clone(spec)
        return _fit_transformer(transformer, rows, seed)
    encoding = clone(get_encoding(spec)).fit(rows.X, sample_weight=rows.row_weight())
    if is_auto:
        flipped = getattr(encoding, "flipped_", np.zeros(n_features, dtype=bool))
        if type(encoding.module()) is nn.Identity:
            return Encoder(None, reason, n_features, n_features)
        reason += _describe_columns(flipped, encoding.constant_)
    return Encoder(encoding, reason, n_features, encoding.n_outputs_)


def _describe_columns(flipped: np.ndarray, constant: np.ndarray) -> str:
    """Return how many columns are flipped and how many are constant, to be appended."""
    n_flipped, n_constant = np.count_nonzero(flipped & ~constant), np.count_nonzero(constant)
    text = f", {n_flipped} of {len(flipped)} columns are coded as 1 - x" if n_flipped else ""
    return f"{text}, {n_constant} of {len(flipped)} are constant" if n_constant else text


def _fit_transformer(transformer: Any, rows: Rows, seed: int) -> Encoder:
    if hasattr(transformer, "get_params"):
        undecided = [
            name
            for name, value in transformer.get_params(deep=True).items()
            if value is None and (name == "random_state" or name.endswith("__random_state"))
        ]
        transformer.set_params(**dict.fromkeys(undecided, seed))
    weight = {}
    if rows.weight is not None and has_fit_parameter(transformer, "sample_weight"):
        weight = {"sample_weight": rows.row_weight()}
    with naming(f"encoding={describe(transformer)} fails"):
        transformer.fit(rows.X[:], rows.Y, **weight)
    width = _transform(transformer, rows.X[:1], None).shape[1]
    return Encoder(transformer, "as given", width, width)


def _transform(transformer: Any, X: Any, width: int | None) -> np.ndarray:
    """Return transformed rows; raise unless they are finite, and as many per row as expected."""
    name = f"encoding={describe(transformer)}"
    with naming(f"{name} fails"):
        transformed = transformer.transform(X)
    if sp.issparse(transformed):
        raise ValueError(
            f"{name} returned a sparse matrix: let it return a dense one (sparse_output=False), or "
            "transform X in a Pipeline before this classifier"
        )
    array = np.asarray(transformed)
    n_rows, n_columns = array.shape if array.ndim == 2 else (0, 0)
    if n_rows != X.shape[0] or n_columns != (width or n_columns) or not n_columns:
        raise ValueError(
            f"{name} must return one row per row of X, and always the same number of columns, "
            f"got shape {array.shape} for {X.shape[0]} rows"
        )
    if array.dtype.kind not in "fiub" or not np.isfinite(array).all():
        raise ValueError(
            f"{name} must return finite numbers, got NaN, infinite or other values: add a step "
            "that fills them in"
        )
    return array
