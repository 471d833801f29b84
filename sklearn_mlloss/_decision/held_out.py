"""Rows that train no network: one part, or the folds of a cross-validation."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np

from .._data.folds import Fold, list_folds, warn_of_gaps
from .._data.rows import Rows
from .._data.targets import TargetCodec
from ..model_selection import MultilabelStratifiedShuffleSplit
from ..model_selection.split_groups import stratified_folds

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
    cv: Any, rows: Rows, kept: np.ndarray, targets: TargetCodec, seed: int, repeats: int = 1
) -> list[Fold]:
    """Return folds in terms of the rows that are left; warn of labels that they do not train on.

    Parameters
    ----------
    cv : int, splitter or iterable of (train, test)
        What is given counts the rows as they were passed.
    rows : Rows
        Those that are left.
    kept : ndarray of bool, shape (n_samples,)
        Which of the rows that were passed are left.
    targets : TargetCodec
        Fitted on all rows: splitters of scikit-learn take several classes as a 1-D y only.
    seed : int
        Of the folds, if their number is given.
    repeats : int, default=1
        How often to split into that number of folds.
    """
    if isinstance(cv, Integral):
        seeds = range(seed, seed + repeats)
        folds = [fold for own in seeds for fold in stratified_folds(cv, rows.Y, own)]
    else:
        place = np.cumsum(kept) - 1
        Y = np.zeros((len(kept), rows.Y.shape[1]), dtype=rows.Y.dtype)
        Y[kept] = rows.Y
        y = targets.inverse_transform(Y) if targets.kind == "multiclass" else Y
        given = list_folds(cv, np.zeros(len(kept)), y, kept)
        folds = [(place[train], place[test]) for train, test in given]
    warn_of_gaps(folds, rows.Y, targets)
    return folds
