"""Rows that train no network: one part, or the folds of a cross-validation."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np

from ._data.folds import list_folds
from .model_selection import MultilabelStratifiedKFold, MultilabelStratifiedShuffleSplit
from .targets import TargetCodec
from .training import Rows

__all__ = ["make_folds", "split_rows"]


def split_rows(rows: Rows, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of the rows to train on and of those held out."""
    if len(rows) < 2:
        raise ValueError(
            "n_samples=1: rows must be held out for early stopping or the decision; give more "
            "rows, or early_stopping=False and a decoder that needs no fit"
        )
    splitter = MultilabelStratifiedShuffleSplit(1, test_size=share, random_state=seed)
    return next(splitter.split(rows.Y, rows.Y))


def make_folds(
    cv: Any, rows: Rows, kept: np.ndarray, codec: TargetCodec, seed: int, repeats: int = 1
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return folds in terms of the rows that are left.

    Parameters
    ----------
    cv : int, splitter or iterable of (train, test)
        What is given counts the rows as they were passed.
    rows : Rows
        Those that are left.
    kept : ndarray of bool, shape (n_samples,)
        Which of the rows that were passed are left.
    codec : TargetCodec
        Fitted: splitters of scikit-learn take several classes as a 1-D y only.
    seed : int
        Of the folds, if their number is given.
    repeats : int, default=1
        How often to split into that number of folds.
    """
    if isinstance(cv, Integral):
        splitters = [MultilabelStratifiedKFold(cv, random_state=seed + i) for i in range(repeats)]
        return [fold for splitter in splitters for fold in splitter.split(rows.Y, rows.Y)]
    place = np.cumsum(kept) - 1
    targets = np.zeros((len(kept), rows.Y.shape[1]), dtype=rows.Y.dtype)
    targets[kept] = rows.Y
    y = codec.inverse_transform(targets) if codec.kind == "multiclass" else targets
    folds = list_folds(cv, np.zeros(len(kept)), y, kept)
    return [(place[train], place[test]) for train, test in folds]
