"""Rows to learn from: X, targets and weights that stay together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from .batches import Matrix, Table, select

__all__ = ["Rows", "check_weight"]


@dataclass(frozen=True)
class Rows:
    """Rows of X with their targets and weights.

    Some of the rows are a view of the X of all of them, and copies of the rest, which is small.

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

    def __getitem__(self, rows: np.ndarray) -> Rows:
        """Return some of the rows, by numbers or by a mask."""
        if rows.dtype == bool:
            rows = np.flatnonzero(rows)
        weight = None if self.weight is None else self.weight[rows]
        return Rows(select(self.X, rows), self.Y[rows], weight)

    def informative(self) -> tuple[Rows, np.ndarray]:
        """Return the rows with an observed entry of positive weight, and which they are.

        An entry of weight 0 becomes one that was not observed.
        """
        Y, weight = self.Y, self.weight
        rows = np.ones(len(Y), dtype=bool) if weight is None else weight.reshape(len(Y), -1).any(1)
        if weight is not None and weight.ndim == 2 and not weight.all():
            Y = np.where(weight > 0, Y, np.nan).astype(np.float32)
        if Y.dtype.kind == "f":
            rows &= ~np.isnan(Y).all(axis=1)
        if not rows.any():
            raise ValueError(
                "no row is left to learn from: y is NaN or sample_weight is zero in all of them"
            )
        chosen = Rows(self.X, Y, weight)
        if rows.all():
            return chosen, rows
        chosen = chosen[rows]
        if ((chosen.Y == 0) | (chosen.Y == 1)).all():
            # What was missing is gone with its rows.
            chosen = Rows(chosen.X, chosen.Y.astype(np.uint8), chosen.weight)
        return chosen, rows

    def scaled(self) -> Rows:
        """Return the rows with weights of mean 1 over what was observed."""
        if self.weight is None:
            return self
        over_labels = self.weight.ndim == 2 and self.Y.dtype.kind == "f"
        counted = self.weight[~np.isnan(self.Y)] if over_labels else self.weight
        return Rows(self.X, self.Y, self.weight / counted.mean())

    def row_weight(self) -> np.ndarray | None:
        """Return one weight a row, the mean over what was observed in it."""
        weight = self.weight
        if weight is None or weight.ndim == 1:
            return weight
        return weight.mean(axis=1, where=self.Y >= 0)

    def table(self, device: torch.device) -> Table:
        """Return the rows as tensors."""
        weight = None if self.weight is None else self.weight.astype(self.X.dtype)
        return Table(self.X, self.Y, weight, device)


def check_weight(sample_weight: Any, Y: np.ndarray) -> np.ndarray | None:
    """Return the weights as (n_samples,) or (n_samples, n_labels) finite numbers >= 0, or None."""
    if sample_weight is None:
        return None
    try:
        weight = np.asarray(sample_weight, dtype=np.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"sample_weight must be an array of numbers, got {sample_weight!r}, which does not "
            f"convert to float64: {error}"
        ) from error
    if not np.isfinite(weight).all():
        raise ValueError("sample_weight must be finite: Input sample_weight contains NaN or inf")
    if weight.shape == (len(Y), 1):
        weight = weight.ravel()
    if weight.shape not in (Y.shape[:1], Y.shape):
        raise ValueError(
            f"sample_weight must have shape {Y.shape[:1]}, or for an indicator y {Y.shape}; got "
            f"{weight.shape}"
        )
    if (weight < 0).any():
        raise ValueError("sample_weight must be >= 0, got negative weights")
    return weight
