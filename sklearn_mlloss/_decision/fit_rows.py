"""The rows that a fit works on, and how they are divided."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .._data.folds import Fold
from .._data.rows import Rows
from .._data.targets import TargetCodec
from .cross_fit import hold_out, make_folds_of_kept
from .decision import reserve

__all__ = ["FitRows"]


@dataclass(frozen=True)
class FitRows:
    """The rows that a fit works on.

    Attributes
    ----------
    rows : Rows
        To learn from, with weights of mean 1.
    kept : ndarray of bool, shape (n_samples,)
        Which rows of X these are.
    groups : ndarray of shape (n_samples,), optional
        Of all rows of X.
    reserved : Rows, optional
        For the decoder alone.
    """

    rows: Rows
    kept: np.ndarray
    groups: np.ndarray | None = None
    reserved: Rows | None = None

    def reserving(self, seed: int) -> FitRows:
        """Return these rows without some that are reserved for the decoder."""
        rest, reserved = reserve(self.rows.Y, seed, groups=self._groups_of_kept())
        kept = self.kept.copy()
        kept[np.flatnonzero(kept)[reserved]] = False
        return FitRows(self.rows[rest], kept, self.groups, self.rows[reserved])

    def hold_out(self, share: float, seed: int) -> tuple[Rows, Rows]:
        """Return the rows to train on, and a stratified share that is held out."""
        train, held_out = hold_out(self.rows.Y, share, seed, self._groups_of_kept())
        return self.rows[train].scaled(), self.rows[held_out].scaled()

    def folds(self, cv: Any, targets: TargetCodec, seed: int, repeats: int) -> list[Fold]:
        """Return the folds of a cross-validation, see `make_folds_of_kept`."""
        args = cv, self.rows, self.kept, targets, seed
        return make_folds_of_kept(*args, repeats=repeats, groups=self.groups)

    def _groups_of_kept(self) -> np.ndarray | None:
        return None if self.groups is None else self.groups[self.kept]
