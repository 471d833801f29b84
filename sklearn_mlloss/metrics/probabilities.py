"""Metrics of probabilities."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse as sp
from scipy.special import xlog1py, xlogy

from .._data.validation import check_integer
from ._checks import check_average, mean_defined, mean_of, mean_of_entries, sum_rows

__all__ = [
    "expected_calibration_error",
    "multilabel_brier_score",
    "multilabel_log_loss",
]

# So that the numbers of the bins of all labels fit into 64 bits.
MOST_BINS = 10**9
N_BINS = 15


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
    eps = np.finfo(dtype if dtype in (np.float16, np.float32) else np.float64).eps

    def loss(Y: np.ndarray, proba: np.ndarray) -> np.ndarray:
        return log_losses(Y, proba, eps)

    return mean_of_entries(loss, average, Y, proba, "proba", sample_weight)


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

    def loss(Y: np.ndarray, proba: np.ndarray) -> np.ndarray:
        return (Y - proba) ** 2

    return mean_of_entries(loss, average, Y, proba, "proba", sample_weight)


def expected_calibration_error(
    Y: ArrayLike,
    proba: ArrayLike,
    *,
    n_bins: int = N_BINS,
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
    check_integer(n_bins, "n_bins", low=1, high=MOST_BINS)
    check_average(average, "micro", "macro")

    def sums(Y: np.ndarray, proba: np.ndarray, weight: np.ndarray) -> tuple:
        return sums_of_bins(Y, proba, weight, n_bins, pooled=average == "micro")

    value = error_of_bins(sum_rows(sums, Y, proba, "proba", sample_weight), n_bins)
    return value if average is None else mean_defined(value)


def log_losses(
    Y: np.ndarray, proba: np.ndarray, eps: float = np.finfo(np.float64).eps
) -> np.ndarray:
    """Return the cross-entropy of each entry, NaN where it was not observed."""
    p = np.clip(proba, eps, 1 - eps)
    return -xlogy(Y, p) - xlog1py(1 - Y, -p)


def sums_of_bins(
    Y: np.ndarray, proba: np.ndarray, weight: np.ndarray, n_bins: int = N_BINS, pooled: bool = False
) -> tuple[sp.csr_array, sp.csr_array]:
    """Return the sums of ``y - p`` and of weights in each bin of each label, or of all pooled."""
    n_labels = 1 if pooled else Y.shape[1]
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
    gap, mass = (np.bincount(bins, values, len(kept)) for values in (gap, mass))
    shape, ends = (1, n_bins * n_labels), [0, len(kept)]
    return sp.csr_array((gap, kept, ends), shape), sp.csr_array((mass, kept, ends), shape)


def error_of_bins(sums: tuple, n_bins: int = N_BINS) -> np.ndarray:
    """Return the calibration error of each label from sums over rows of `sums_of_bins`."""
    by_label = (
        np.bincount(of_bins.indices // n_bins, np.abs(of_bins.data), of_bins.shape[1] // n_bins)
        for of_bins in sums
    )
    return mean_of(tuple(by_label))
