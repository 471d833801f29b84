"""Metrics of the ranking of labels (or rows) by score."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from .._data.counts import ratio
from .._data.rows import row_blocks
from .._data.validation import check_integer
from ._checks import check_average, check_empty, label_blocks, mean_defined, mean_of_rows

__all__ = [
    "coverage_error",
    "label_ranking_average_precision",
    "macro_average_precision",
    "one_error",
    "precision_at_k",
    "ranking_loss",
]

# Entries of arrays for several labels at once.
BLOCK_ENTRIES = 2**20


def precision_at_k(
    Y: ArrayLike, scores: ArrayLike, k: int = 1, *, sample_weight: ArrayLike | None = None
) -> float:
    """Share of positives among the k labels of a row with the largest scores.

    Parameters
    ----------
    Y : array-like of shape (n_samples, n_labels)
        Labels, soft or hard.
    scores : array-like of shape (n_samples, n_labels)
        Any finite scores, larger for more likely labels.
    k : int, default=1
        Number of labels, at most n_labels. In a row with fewer observed labels it is their number.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows.

    Returns
    -------
    float
        Mean over rows, in [0, 1], 1 at best. Rows without positives count, with 0.

    Examples
    --------
    >>> from sklearn_mlloss.metrics import precision_at_k
    >>> precision_at_k([[1, 0, 1], [0, 0, 1]], [[0.9, 0.8, 0.1], [0.2, 0.1, 0.7]], k=2)
    0.5
    """

    def precision(Y: np.ndarray, scores: np.ndarray) -> np.ndarray:
        hits = _best(Y, scores, k).sum(axis=1)
        return ratio(hits, np.minimum((~np.isnan(Y)).sum(axis=1), k), np.nan)

    return mean_of_rows(precision, Y, scores, "scores", sample_weight)


def one_error(Y: ArrayLike, scores: ArrayLike, *, sample_weight: ArrayLike | None = None) -> float:
    """Share of rows whose best label is not a positive: ``1 - precision_at_k(Y, scores, 1)``.

    Parameters
    ----------
    Y, scores, sample_weight : see `precision_at_k`

    Returns
    -------
    float
        In [0, 1], 0 at best. A row without positives is an error, by definition.

    Examples
    --------
    >>> from sklearn_mlloss.metrics import one_error
    >>> one_error([[1, 0], [1, 0]], [[0.9, 0.1], [0.2, 0.3]])
    0.5
    """
    return 1 - precision_at_k(Y, scores, 1, sample_weight=sample_weight)


def coverage_error(
    Y: ArrayLike,
    scores: ArrayLike,
    *,
    empty: float = np.nan,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Depth of a row's ranking that covers all positives, `sklearn.metrics.coverage_error`.

    The number of observed labels with at least the lowest score of a positive.

    Parameters
    ----------
    Y : array-like of shape (n_samples, n_labels)
        Hard labels.
    scores, sample_weight : see `precision_at_k`
    empty : float >= 0, default=NaN
        Value of a row without positives. NaN leaves it out, since it has no information about the
        ranking and is frequent where labels are missing; scikit-learn's 0 is better than perfect.

    Returns
    -------
    float
        Mean over rows; at best the mean number of positives.

    Examples
    --------
    >>> from sklearn_mlloss.metrics import coverage_error
    >>> Y, scores = [[1, 0, 1], [0, 0, 0]], [[0.9, 0.8, 0.1], [0.2, 0.1, 0.7]]
    >>> coverage_error(Y, scores), coverage_error(Y, scores, empty=0)
    (3.0, 1.5)
    """
    check_empty(empty, np.inf)

    def depth(Y: np.ndarray, scores: np.ndarray) -> np.ndarray:
        rank, _ = _ranks(Y, scores)
        return _fill_rows(rank.max(axis=1), (Y == 1).any(axis=1), Y, empty)

    return mean_of_rows(depth, Y, scores, "scores", sample_weight, soft=False)


def ranking_loss(
    Y: ArrayLike,
    scores: ArrayLike,
    *,
    empty: float = np.nan,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Share of wrongly ordered pairs of a positive and a negative of a row; ties are wrong.

    Parameters
    ----------
    Y, scores, sample_weight : see `coverage_error`
    empty : float in [0, 1], default=NaN
        Value of a row without a pair. NaN leaves it out (see `coverage_error`); scikit-learn's
        `label_ranking_loss` has 0.

    Returns
    -------
    float
        Mean over rows, in [0, 1], 0 at best.

    Examples
    --------
    >>> from sklearn_mlloss.metrics import ranking_loss
    >>> ranking_loss([[1, 0, 0], [0, 0, 0]], [[0.6, 0.8, 0.1], [0.2, 0.1, 0.7]])
    0.5
    """
    check_empty(empty, 1)

    def wrong_pairs(Y: np.ndarray, scores: np.ndarray) -> np.ndarray:
        rank, rank_of_positives = _ranks(Y, scores)
        n_pairs = (Y == 1).sum(axis=1) * (Y == 0).sum(axis=1)
        n_wrong = (rank - rank_of_positives).sum(axis=1)
        return _fill_rows(ratio(n_wrong, n_pairs), n_pairs > 0, Y, empty)

    return mean_of_rows(wrong_pairs, Y, scores, "scores", sample_weight, soft=False)


def label_ranking_average_precision(
    Y: ArrayLike,
    scores: ArrayLike,
    *,
    empty: float = np.nan,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Mean over a row's positives of the share of positives among labels ranked no lower.

    Parameters
    ----------
    Y, scores, sample_weight : see `coverage_error`
    empty : float in [0, 1], default=NaN
        Value of a row without positives. NaN leaves it out (see `coverage_error`); scikit-learn's
        `label_ranking_average_precision_score` has 1.

    Returns
    -------
    float
        Mean over rows, in (0, 1], 1 at best.

    Examples
    --------
    >>> from sklearn_mlloss.metrics import label_ranking_average_precision
    >>> label_ranking_average_precision([[1, 0, 0]], [[0.75, 0.5, 1]])
    0.5
    """
    check_empty(empty, 1)

    def precision(Y: np.ndarray, scores: np.ndarray) -> np.ndarray:
        rank, rank_of_positives = _ranks(Y, scores)
        n_positive = (Y == 1).sum(axis=1)
        value = ratio(ratio(rank_of_positives, rank).sum(axis=1), n_positive)
        return _fill_rows(value, n_positive > 0, Y, empty)

    return mean_of_rows(precision, Y, scores, "scores", sample_weight, soft=False)


def macro_average_precision(
    Y: ArrayLike,
    scores: ArrayLike,
    *,
    average: str | None = "macro",
    sample_weight: ArrayLike | None = None,
) -> float | np.ndarray:
    """Mean over labels of the average precision of the ranking of rows.

    `sklearn.metrics.average_precision_score` per label, but a label without positives is left out.
    scikit-learn warns and counts it as 0, so that the result depends on which labels a split has.

    Parameters
    ----------
    Y : array-like of shape (n_samples, n_labels)
        Labels; a soft label y is a positive of weight y and a negative of weight 1 - y.
    scores, sample_weight : see `precision_at_k`
    average : {"macro"} or None, default="macro"
        None returns one value per label, NaN without positives.

    Returns
    -------
    float or ndarray of shape (n_labels,)
        In (0, 1], 1 at best.

    Examples
    --------
    >>> from sklearn_mlloss.metrics import macro_average_precision
    >>> macro_average_precision([[1, 0], [0, 0]], [[0.2, 0.1], [0.8, 0.4]])
    0.5
    """
    check_average(average, "macro")
    blocks = label_blocks(Y, sample_weight, scores=scores)
    value = np.concatenate([average_precision(*block) for block in blocks])
    return value if average is None else mean_defined(value)


def average_precision(Y: np.ndarray, scores: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the average precision of each label, from checked arrays."""
    blocks = row_blocks(Y.shape[1], len(Y), BLOCK_ENTRIES)
    parts = [_average_precision(Y[:, some], scores[:, some], weight) for some in blocks]
    return np.concatenate(parts)


def _average_precision(Y: np.ndarray, scores: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the average precision of each label, for all labels at once.

    Calls of scikit-learn per label take longer than many a prediction.
    """
    order = np.argsort(-scores, axis=0, kind="stable")
    kept = weight[:, None] * ~np.isnan(Y)
    scores, positive, kept = (
        np.take_along_axis(values, order, axis=0)
        for values in (scores, kept * np.nan_to_num(Y), kept)
    )
    precision = ratio(positive.cumsum(axis=0), kept.cumsum(axis=0))
    # Rows of the same score have the precision at the last of them.
    n = len(Y)
    is_last = np.vstack([scores[1:] != scores[:-1], np.ones((1, Y.shape[1]), dtype=bool)])
    last = np.where(is_last, np.arange(n)[:, None], n)
    last = np.minimum.accumulate(last[::-1], axis=0)[::-1]
    at_last = np.take_along_axis(precision, last, axis=0)
    return ratio((positive * at_last).sum(axis=0), positive.sum(axis=0), np.nan)


def _best(values: np.ndarray, scores: np.ndarray, k: int) -> np.ndarray:
    """Return the values, NaN where not observed, of the k best observed labels of each row."""
    check_integer(k, "k", low=1, high=values.shape[1])
    order = np.argsort(np.where(np.isnan(values), np.inf, -scores), axis=1, kind="stable")
    return np.take_along_axis(np.nan_to_num(values), order[:, :k], axis=1)


def _ranks(Y: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how many observed labels, and how many positives, score as high as each positive.

    Both are 0 for labels that are not positive.
    """
    positive, kept = Y == 1, np.where(np.isnan(Y), -np.inf, scores)
    rank, rank_of_positives = (
        positive * rankdata(-values, method="max", axis=1)
        for values in (kept, np.where(positive, scores, -np.inf))
    )
    return rank, rank_of_positives


def _fill_rows(values: np.ndarray, defined: np.ndarray, Y: np.ndarray, empty: float) -> np.ndarray:
    """Return values of rows: `empty` where they are not defined, NaN if nothing is observed."""
    observed = (~np.isnan(Y)).any(axis=1)
    return np.where(defined, values, np.where(observed, empty, np.nan))
