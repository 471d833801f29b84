"""Metrics of predicted labels."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from .._data.counts import fbeta
from .._data.counts import jaccard as jaccard_of_counts
from .._data.validation import check_beta
from ._checks import average_entries, check_average, check_empty, check_inputs, mean_defined

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
    Y, Y_hat, weight = check_inputs(Y, Y_hat, "Y_hat", sample_weight)
    return _average_counts(partial(fbeta, beta=beta), Y, Y_hat, weight, average, empty)


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
    Y, Y_hat, weight = check_inputs(Y, Y_hat, "Y_hat", sample_weight)
    return _average_counts(jaccard_of_counts, Y, Y_hat, weight, average, empty)


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
    Y, Y_hat, weight = check_inputs(Y, Y_hat, "Y_hat", sample_weight)
    return average_entries(np.abs(Y - Y_hat), weight, average)


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
    Y, Y_hat, weight = check_inputs(Y, Y_hat, "Y_hat", sample_weight, soft=False)
    right = ((Y == Y_hat) | np.isnan(Y)).all(axis=1)
    return mean_defined(np.where(np.isnan(Y).all(axis=1), np.nan, right), weight)


def _average_counts(
    metric: Callable[..., np.ndarray],
    Y: np.ndarray,
    Y_hat: np.ndarray,
    weight: np.ndarray,
    average: str | None,
    empty: float,
) -> float | np.ndarray:
    """Average a metric of counts over entries, labels or rows."""
    check_average(average, "micro", "macro", "samples")
    check_empty(empty, 1)
    axis = None if average == "micro" else 1 if average == "samples" else 0
    observed, labels = weight[:, None] * ~np.isnan(Y), np.nan_to_num(Y)
    tp, predicted, positives = (
        (observed * part).sum(axis=axis) for part in (labels * Y_hat, Y_hat, labels)
    )
    value = metric(tp, predicted, positives, undefined=empty)
    value = np.where(observed.any(axis=axis), value, np.nan)
    if average is None:
        return value
    if average == "micro":
        return float(value)
    return mean_defined(value, weight if average == "samples" else None)
