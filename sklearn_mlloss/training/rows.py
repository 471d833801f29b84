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
        """Return the rows with an observed entry of positive weight, and weights of mean 1."""
        counts = None
        if self.Y.dtype.kind == "f":
            counts = ~np.isnan(self.Y)
        if self.weight is not None:
            weighted = np.broadcast_to(self.weight.reshape(len(self), -1) > 0, self.Y.shape)
            counts = weighted if counts is None else counts & weighted
        if counts is None:
            return self
        rows = counts.any(axis=1)
        if not rows.any():
            raise ValueError(
                "no row is left to learn from: y is NaN or sample_weight is zero in all of them"
            )
        chosen = self if rows.all() else self[rows]
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
        """Return targets and row weights; an entry of weight 0 counts as not observed."""
        Y, weight = self.Y.astype(np.float64), self.weight
        if weight is not None and weight.ndim == 2:
            Y[weight == 0] = np.nan
            weight = weight.mean(axis=1)
        return Y, weight
