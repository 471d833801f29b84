"""Metrics of predicted labels."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._data.counts import Number, fbeta
from .._data.counts import jaccard as jaccard_of_counts
from .._data.validation import check_beta
from ._checks import (
    check_average,
    check_empty,
    mean_defined,
    mean_of,
    mean_of_entries,
    mean_of_rows,
    sum_rows,
    sums_defined,
)

__all__ = [
    "f_measure",
    "hamming_loss",
    "jaccard",
    "subset_accuracy",
]


def f_measure(
    Y: ArrayLike,
    Y_hat: ArrayLike,
    *,
    beta: float = 1.0,
    average: str | None = "micro",
    empty: float = 0.0,
    sample_weight: ArrayLike | None = None,
) -> float | np.ndarray:
    """F-measure ``(1 + beta^2) TP / (beta^2 (TP + FN) + TP + FP)``.

    `sklearn.metrics.fbeta_score` for missing and soft labels, and for a single label as well.

    Parameters
    ----------
    Y : array-like of shape (n_samples, n_labels)
        Labels, soft or hard.
    Y_hat : array-like of shape (n_samples, n_labels)
        Predicted labels, 0 or 1 (or bool).
    beta : float > 0, default=1.0
        Weight of recall; above 1 missed labels cost more than false ones.
    average : {"micro", "macro", "samples"} or None, default="micro"
        Counts over all entries, mean over labels, mean over rows, or one value per label.
    empty : float in [0, 1] or NaN, default=0.0
        Value of 0 / 0: a row, label or data set with neither positives nor predictions. 0 as in
        scikit-learn and `ExpectedFBeta`; 1 rewards a correctly predicted empty set, and NaN leaves
        the row or label out.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows.

    Returns
    -------
    float or ndarray of shape (n_labels,)
        In [0, 1], 1 at best.

    Examples
    --------
    >>> from sklearn_mlloss.metrics import f_measure
    >>> Y, Y_hat = [[1, 0], [0, 0]], [[1, 0], [0, 0]]
    >>> f_measure(Y, Y_hat), f_measure(Y, Y_hat, average="samples")
    (1.0, 0.5)
    >>> f_measure(Y, Y_hat, average="samples", empty=1)
    1.0
    """
    check_beta(beta)
    return _average_counts(partial(fbeta, beta=beta), Y, Y_hat, sample_weight, average, empty)


def jaccard(
    Y: ArrayLike,
    Y_hat: ArrayLike,
    *,
    average: str | None = "samples",
    empty: float = 0.0,
    sample_weight: ArrayLike | None = None,
) -> float | np.ndarray:
    """Jaccard index ``TP / (TP + FP + FN)``, intersection over union of the label sets.

    Parameters
    ----------
    Y, Y_hat, empty, sample_weight : see `f_measure`
    average : {"samples", "micro", "macro"} or None, default="samples"
        See `f_measure`. The mean over rows is known as the accuracy of multi-label papers.

    Returns
    -------
    float or ndarray of shape (n_labels,)
        In [0, 1], 1 at best.

    Examples
    --------
    >>> from sklearn_mlloss.metrics import jaccard
    >>> jaccard([[1, 1, 0], [0, 1, 0]], [[1, 0, 0], [0, 1, 0]])
    0.75
    """
    return _average_counts(jaccard_of_counts, Y, Y_hat, sample_weight, average, empty)


def hamming_loss(
    Y: ArrayLike,
    Y_hat: ArrayLike,
    *,
    average: str | None = "micro",
    sample_weight: ArrayLike | None = None,
) -> float | np.ndarray:
    """Share of wrongly predicted observed entries, ``|y - y_hat|``.

    Parameters
    ----------
    Y, Y_hat, sample_weight : see `f_measure`
    average : see `multilabel_log_loss`

    Returns
    -------
    float or ndarray of shape (n_labels,)
        In [0, 1], 0 at best.

    Examples
    --------
    >>> from sklearn_mlloss.metrics import hamming_loss
    >>> hamming_loss([[1, float("nan")], [0, 1]], [[1, 1], [0, 1]])
    0.0
    """

    def error(Y: np.ndarray, Y_hat: np.ndarray) -> np.ndarray:
        return np.abs(Y - Y_hat)

    return mean_of_entries(error, average, Y, Y_hat, "Y_hat", sample_weight)


def subset_accuracy(
    Y: ArrayLike, Y_hat: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> float:
    """Share of rows whose observed labels are all predicted correctly.

    Parameters
    ----------
    Y, Y_hat, sample_weight : see `f_measure`
        Hard labels only.

    Returns
    -------
    float
        In [0, 1], 1 at best.

    Examples
    --------
    >>> from sklearn_mlloss.metrics import subset_accuracy
    >>> subset_accuracy([[1, float("nan")], [0, 1]], [[1, 1], [1, 1]])
    0.5
    """

    def right(Y: np.ndarray, Y_hat: np.ndarray) -> np.ndarray:
        right = ((Y == Y_hat) | np.isnan(Y)).all(axis=1)
        return np.where(np.isnan(Y).all(axis=1), np.nan, right)

    return mean_of_rows(right, Y, Y_hat, "Y_hat", sample_weight, soft=False)


def _average_counts(
    metric: Callable[..., np.ndarray],
    Y: ArrayLike,
    Y_hat: ArrayLike,
    sample_weight: ArrayLike | None,
    average: str | None,
    empty: float,
) -> float | np.ndarray:
    """Average a metric of counts over entries, labels or rows."""
    check_average(average, "micro", "macro", "samples")
    check_empty(empty, 1)

    def value(tp: Number, predicted: Number, positives: Number, observed: Any) -> np.ndarray:
        return np.where(observed, metric(tp, predicted, positives, undefined=empty), np.nan)

    def sums(Y: np.ndarray, Y_hat: np.ndarray, weight: np.ndarray) -> tuple:
        axis = None if average == "micro" else 1 if average == "samples" else 0
        observed, labels = weight[:, None] * ~np.isnan(Y), np.nan_to_num(Y)
        counts = [(observed * part).sum(axis=axis) for part in (labels * Y_hat, Y_hat, labels)]
        counts.append(observed.any(axis=axis))
        return sums_defined(value(*counts), weight) if average == "samples" else tuple(counts)

    total = sum_rows(sums, Y, Y_hat, "Y_hat", sample_weight)
    if average == "samples":
        return float(mean_of(total))
    values = value(*total)
    if average is None:
        return values
    return float(values) if average == "micro" else mean_defined(values)
