"""What becomes of a row before the first layer, learned from the rows that train a network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.base import clone
from sklearn.utils import gen_batches
from sklearn.utils.validation import has_fit_parameter
from torch import Tensor, nn

from ..networks import Encoding, IdentityEncoding, choose_encoding, get_encoding
from .batches import BLOCK_ENTRIES, Matrix
from .rows import Rows

__all__ = ["Encoder", "fit_encoder"]

# Below this number of rows in the first call of `partial_fit`, their range says too little of
# those to come.
AUTO_FIRST_ROWS = 50


@dataclass(frozen=True)
class Encoder:
    """A fitted encoding in one of two roles: a part of the network, or a step before it.

    Attributes
    ----------
    fitted : Encoding, transformer or None
        An `Encoding` becomes a `module` of the network, which gets the rows of X. A transformer of
        scikit-learn turns the rows of X into others, by `transform` or `blocks`.
    reason : str
        Why it is this one.
    n_inputs, n_outputs : int
        Columns of the rows that the network gets, and of those that its layers get.
    """

    fitted: Any
    reason: str
    n_inputs: int
    n_outputs: int

    @property
    def transforms(self) -> bool:
        """Whether rows must be transformed before the network gets them."""
        return self.fitted is not None and not isinstance(self.fitted, Encoding)

    def module(self, dtype: torch.dtype) -> nn.Module | None:
        """Return the part of the network, if there is one."""
        if self.transforms or self.fitted is None or isinstance(self.fitted, IdentityEncoding):
            return None
        return self.fitted.module(dtype)

    def transform(self, rows: Rows) -> Rows:
        """Return rows for the network to train on, as a table in memory."""
        if not self.transforms:
            return rows
        X = np.empty((len(rows), self.n_inputs), dtype=rows.X.dtype)
        for some in gen_batches(len(rows), max(1, BLOCK_ENTRIES // max(X.shape[1], 1))):
            X[some] = _transform(self.fitted, rows.X[some], self.n_inputs)
        return Rows(X, rows.Y, rows.weight)

    def blocks(
        self, X: Matrix, size: int, device: torch.device | str
    ) -> Iterator[tuple[Tensor, int]]:
        """Yield rows for the network in blocks of exactly `size`, and how many rows are real.

        As `batches.blocks` for a transformer, but filled up with the last row: a transformer may
        not take zeros.
        """
        for start in range(0, X.shape[0], size):
            places = np.arange(start, start + size).clip(max=X.shape[0] - 1)
            rows = _transform(self.fitted, X[places], self.n_inputs).astype(X.dtype)
            yield torch.from_numpy(rows).to(device), min(size, X.shape[0] - start)


def fit_encoder(spec: Any, rows: Rows, seed: int, more_to_come: bool = False) -> Encoder:
    """Learn an encoding from the rows that train a network.

    Parameters
    ----------
    spec : object
        The checked parameter `encoding` of an estimator; it is cloned.
    rows : Rows
    seed : int
        Of a transformer that draws random numbers and has no random state of its own.
    more_to_come : bool, default=False
        Whether these are the first rows of many: "auto" then wants some of them.

    Returns
    -------
    Encoder
    """
    reason = "as given"
    if isinstance(spec, str) and spec == "auto":
        if more_to_come and len(rows) < AUTO_FIRST_ROWS:
            spec = None
            reason = f"the first {len(rows)} rows of partial_fit are too few to learn from"
        else:
            spec, reason = choose_encoding(rows.X)
    n_features = rows.X.shape[1]
    if spec is None:
        return Encoder(None, reason, n_features, n_features)
    if hasattr(spec, "transform"):
        return _fit_transformer(clone(spec), rows, seed)
    encoding = clone(get_encoding(spec)).fit(rows.X, sample_weight=rows.row_weight())
    return Encoder(encoding, reason, n_features, encoding.n_outputs_)


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
    transformer.fit(rows.X[:], rows.Y, **weight)
    width = _transform(transformer, rows.X[:1], None).shape[1]
    return Encoder(transformer, "as given", width, width)


def _transform(transformer: Any, X: Any, width: int | None) -> np.ndarray:
    """Return what a transformer makes of some rows, which must be as many numbers a row."""
    found, name = transformer.transform(X), f"encoding={transformer!r}"
    if sp.issparse(found):
        raise ValueError(
            f"{name} returned a sparse matrix: let it return a dense one (sparse_output=False), or "
            "transform X in a Pipeline before this classifier"
        )
    found = np.asarray(found)
    expected = (X.shape[0], found.shape[-1] if width is None else width)
    if found.ndim != 2 or found.shape != expected or not expected[1]:
        raise ValueError(
            f"{name} must return a row for each row, and columns of a fixed number, got shape "
            f"{found.shape} for {X.shape[0]} rows"
        )
    if found.dtype.kind not in "fiub" or not np.isfinite(found).all():
        raise ValueError(
            f"{name} must return finite numbers, got NaN, infinite or other values: add a step "
            "that fills them in"
        )
    return found
