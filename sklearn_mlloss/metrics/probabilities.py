"""Metrics of probabilities."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import xlog1py, xlogy

from .._data.counts import ratio
from .._data.validation import check_integer
from ._checks import average_entries, check_average, check_inputs, mean_defined

__all__ = [
    "expected_calibration_error",
    "multilabel_brier_score",
    "multilabel_log_loss",
]

# So that the numbers of the bins of all labels fit into 64 bits.
MOST_BINS = 10**9


def multilabel_log_loss(
    Y: ArrayLike,
    proba: ArrayLike,
    *,
    average: str | None = "micro",
    sample_weight: ArrayLike | None = None,
) -> float | np.ndarray:
    """Mean binary cross-entropy over the observed entries.

    ``-y log p - (1 - y) log(1 - p)``. `sklearn.metrics.log_loss` treats the columns of an indicator
    as exclusive classes and sums ``-y log p`` only, so that false positives cost nothing.

    Parameters
    ----------
    Y : array-like of shape (n_samples, n_labels)
        Labels, soft or hard.
    proba : array-like of shape (n_samples, n_labels)
        Probabilities; clipped to ``[eps, 1 - eps]`` with the eps of their dtype, as scikit-learn
        does, so that a certain error costs 36 in float64 rather than infinity.
    average : {"micro", "macro", "samples"} or None, default="micro"
        Mean over entries, over the means of labels, over the means of rows, or one value per label.
        "micro", because it is the negative log-likelihood per entry.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows.

    Returns
    -------
    float or ndarray of shape (n_labels,)
        In nats, 0 at best.

    Examples
    --------
    >>> from sklearn_mlloss.metrics import multilabel_log_loss
    >>> round(multilabel_log_loss([[1, 0], [0, 1]], [[0.5, 0.5], [0.5, 0.5]]), 4)
    0.6931
    """
    dtype = getattr(proba, "dtype", None)
    Y, proba, weight = check_inputs(Y, proba, "proba", sample_weight)
    eps = np.finfo(dtype if dtype in (np.float16, np.float32) else np.float64).eps
    p = np.clip(proba, eps, 1 - eps)
    return average_entries(-xlogy(Y, p) - xlog1py(1 - Y, -p), weight, average)


def multilabel_brier_score(
    Y: ArrayLike,
    proba: ArrayLike,
    *,
    average: str | None = "micro",
    sample_weight: ArrayLike | None = None,
) -> float | np.ndarray:
    """Mean squared error of the probabilities, ``(y - p) ** 2``, over the observed entries.

    Parameters
    ----------
    Y, proba, average, sample_weight : see `multilabel_log_loss`
        A soft label is the target itself, not a coin with that probability.

    Returns
    -------
    float or ndarray of shape (n_labels,)
        In [0, 1], 0 at best.

    Examples
    --------
    >>> from sklearn_mlloss.metrics import multilabel_brier_score
    >>> multilabel_brier_score([[1, 0], [0, float("nan")]], [[0.5, 0.0], [0.5, 0.9]], average=None)
    array([0.25, 0.  ])
    """
    Y, proba, weight = check_inputs(Y, proba, "proba", sample_weight)
    return average_entries((Y - proba) ** 2, weight, average)


def expected_calibration_error(
    Y: ArrayLike,
    proba: ArrayLike,
    *,
    n_bins: int = 15,
    average: str | None = "micro",
    sample_weight: ArrayLike | None = None,
) -> float | np.ndarray:
    """Mean distance of probabilities from frequencies, over bins of the probability [1]_.

    ``sum_b W_b / W |mean_b(y) - mean_b(p)|`` with bins ``[b / n_bins, (b + 1) / n_bins)``, the
    last one closed, and W the weight of the entries within.

    Parameters
    ----------
    Y, proba, sample_weight : see `multilabel_log_loss`
    n_bins : int, default=15
        Bins of equal width; 15 as in [1]_. More bins detect finer deviations, with more noise: the
        estimate is biased upwards where bins hold few entries.
    average : {"micro", "macro"} or None, default="micro"
        All entries pooled (errors of labels in opposite directions cancel), the mean over labels,
        or one value per label.

    Returns
    -------
    float or ndarray of shape (n_labels,)
        In [0, 1], 0 at best.

    References
    ----------
    .. [1] C. Guo, G. Pleiss, Y. Sun and K. Weinberger, "On calibration of modern neural networks",
       ICML 2017.

    Examples
    --------
    >>> from sklearn_mlloss.metrics import expected_calibration_error
    >>> round(expected_calibration_error([[1], [0], [1], [1]], [[0.7], [0.7], [0.7], [0.7]]), 4)
    0.05
    """
    Y, proba, weight = check_inputs(Y, proba, "proba", sample_weight)
    check_integer(n_bins, "n_bins", low=1, high=MOST_BINS)
    check_average(average, "micro", "macro")
    n_labels = 1 if average == "micro" else Y.shape[1]
    # One histogram for all labels: those of label l are the bins from l * n_bins on.
    row, label = np.nonzero(~np.isnan(Y))
    bins = np.minimum((proba[row, label] * n_bins).astype(np.intp), n_bins - 1)
    bins += n_bins * (label % n_labels)
    gap, mass = weight[row] * (Y - proba)[row, label], weight[row]
    # Only bins with entries need memory, if they are few.
    if n_bins * n_labels > len(bins):
        kept, bins = np.unique(bins, return_inverse=True)
    else:
        kept = np.arange(n_bins * n_labels)
    of_label, size = kept // n_bins, len(kept)
    gap = np.bincount(of_label, np.abs(np.bincount(bins, gap, size)), n_labels)
    value = ratio(gap, np.bincount(of_label, np.bincount(bins, mass, size), n_labels), np.nan)
    return value if average is None else mean_defined(value)
