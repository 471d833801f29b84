"""Rows that train no network: one part, or the folds of a cross-validation."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
import scipy.sparse as sp

from .._data.folds import Fold, list_folds, warn_of_gaps
from .._data.rows import Rows
from .._data.targets import TargetCodec
from ..model_selection import MultilabelStratifiedShuffleSplit
from ..model_selection.split_groups import stratified_folds

__all__ = ["make_folds", "row_means", "split_rows"]


def row_means(tests: Sequence[np.ndarray], values: Sequence[np.ndarray], n_rows: int) -> np.ndarray:
    """Return the mean of what folds say of each row; NaN where none does.

    Parameters
    ----------
    tests : sequence of ndarray of int
        The test rows of each fold.
    values : sequence of ndarray of shape (n_test,) or (n_test, n_labels)
    n_rows : int
    """
    rows, stacked = np.concatenate(tests), np.concatenate(values)
    places = rows, np.arange(len(rows))
    total = sp.csr_array((np.ones(len(rows)), places), shape=(n_rows, len(rows))) @ stacked
    with np.errstate(invalid="ignore"):
        return (total.T / np.bincount(rows, minlength=n_rows)).T


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
