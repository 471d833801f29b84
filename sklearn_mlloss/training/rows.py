"""Rows to learn from: X, targets and weights that stay together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch

from .batches import Table

__all__ = ["Rows"]


@dataclass(frozen=True)
class Rows:
    """Rows of X with their targets and weights.

    Attributes
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
    Y : ndarray of shape (n_samples, n_labels)
        uint8, or floating with NaN where nothing was observed.
    weight : ndarray of shape (n_samples,) or (n_samples, n_labels), or None
    """

    X: np.ndarray | sp.csr_matrix | sp.csr_array
    Y: np.ndarray
    weight: np.ndarray | None

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.Y)

    def __getitem__(self, rows: np.ndarray) -> Rows:
        """Return some of the rows."""
        weight = None if self.weight is None else self.weight[rows]
        return Rows(self.X[rows], self.Y[rows], weight)

    def informative(self) -> Rows:
        """Return the rows with an observed entry of positive weight, and weights of mean 1.

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
        chosen = chosen if rows.all() else chosen[rows]
        return Rows(chosen.X, chosen.Y, chosen._scaled_weight())

    def table(self, device: torch.device) -> Table:
        """Return the rows as tensors, with weights of mean 1."""
        weight = self._scaled_weight()
        weight = None if weight is None else weight.astype(self.X.dtype)
        return Table(self.X, self.Y, weight, device)

    def _scaled_weight(self) -> np.ndarray | None:
        """Return the weights scaled to mean 1 over what was observed."""
        if self.weight is None:
            return None
        over_labels = self.weight.ndim == 2 and self.Y.dtype.kind == "f"
        counted = self.weight[~np.isnan(self.Y)] if over_labels else self.weight
        return self.weight / counted.mean()

    def for_decoder(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Return targets, and the mean weight of each row."""
        weight = self.weight
        if weight is not None and weight.ndim == 2:
            weight = weight.mean(axis=1)
        return self.Y.astype(np.float64), weight
