"""Propensity-scored precision, which corrects for missing rare labels."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from .._data.labels import check_labels, to_dense
from .._data.reductions import sum_partitions
from .._data.validation import check_number
from .._data.weights import check_row_weight
from ._checks import mean_of, sum_rows, sums_defined
from .rankings import _best

__all__ = [
    "label_propensities",
    "propensity_scored_precision_at_k",
]


def label_propensities(
    Y: ArrayLike, *, A: float = 0.55, B: float = 1.5, sample_weight: ArrayLike | None = None
) -> np.ndarray:
    """Estimate how likely a positive label is to be recorded, from its frequency [1]_.

    ``p_l = 1 / (1 + C (N_l + B) ** -A)`` with ``C = (log N - 1) (B + 1) ** A``, where N_l is the
    number of positives and N of observed entries of the label. C is kept at 0 or above: with less
    than three rows all propensities are 1.

    Parameters
    ----------
    Y : array-like of shape (n_samples, n_labels)
        Labels, soft or hard, best those of the training rows.
    A, B : float, default=0.55, 1.5
        Shape of the curve, positive. The defaults are those of [1]_ for most data sets; it uses
        0.5 and 0.4 for Wikipedia, 0.6 and 2.6 for Amazon.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows.

    Returns
    -------
    ndarray of shape (n_labels,)
        In (0, 1], larger for frequent labels.

    References
    ----------
    .. [1] H. Jain, Y. Prabhu and M. Varma, "Extreme multi-label loss functions for recommendation,
       tagging, ranking and other missing label applications", KDD 2016.

    Examples
    --------
    >>> from sklearn_mlloss.metrics import label_propensities
    >>> label_propensities([[1, 0]] * 90 + [[0, 1]] * 10).round(2)
    array([0.67, 0.39])
    """
    check_number(A, "A", low=0, closed="neither")
    check_number(B, "B", low=0, closed="neither")

    def counts(Y: ArrayLike, sample_weight: ArrayLike | None) -> tuple:
        labels = check_labels(Y, "Y")
        return sums_defined(labels, check_row_weight(sample_weight, labels))

    n_positive, n_observed = sum_partitions(counts, Y, sample_weight)
    C = np.maximum(np.log(np.maximum(n_observed, math.e)) - 1, 0) * (B + 1) ** A
    return 1 / (1 + C * (n_positive + B) ** -A)


def propensity_scored_precision_at_k(
    Y: ArrayLike,
    scores: ArrayLike,
    k: int = 1,
    propensities: ArrayLike | None = None,
    *,
    A: float = 0.55,
    B: float = 1.5,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Precision at k where a hit on a label counts ``1 / p_l``, divided by the best possible [1]_.

    Rare positives are often missing in the data, and a ranking that ignores rare labels costs
    little. Weighting by the inverse propensity corrects for both. As in [1]_ the sum over rows is
    divided by the sum for the best ranking, so that rows without positives add nothing.

    Parameters
    ----------
    Y, scores, k, sample_weight : see `precision_at_k`
    propensities : array-like of shape (n_labels,), default=None
        In (0, 1]. None estimates them from Y by `label_propensities`; to compare figures, pass
        those of the training labels.
    A, B : float, default=0.55, 1.5
        See `label_propensities`; not used where propensities are given.

    Returns
    -------
    float
        In [0, 1], 1 at best; NaN without positives.

    References
    ----------
    .. [1] H. Jain, Y. Prabhu and M. Varma, "Extreme multi-label loss functions for recommendation,
       tagging, ranking and other missing label applications", KDD 2016.

    Examples
    --------
    >>> from sklearn_mlloss.metrics import propensity_scored_precision_at_k
    >>> Y, scores = [[1, 0], [0, 1]], [[0.9, 0.1], [0.9, 0.1]]
    >>> propensity_scored_precision_at_k(Y, scores, 1, [1, 0.25])  # 1 of 1 + 4
    0.2
    """
    if propensities is None:
        propensities = label_propensities(Y, A=A, B=B, sample_weight=sample_weight)
    p = to_dense(propensities, "propensities")
    outside = p[~((p > 0) & (p <= 1))]

    def gains(Y: np.ndarray, scores: np.ndarray, weight: np.ndarray) -> tuple:
        if p.shape != Y.shape[1:]:
            raise ValueError(
                f"propensities must have one value per label, shape {Y.shape[1:]}, got shape "
                f"{p.shape}"
            )
        if outside.size:
            raise ValueError(f"propensities must be in (0, 1], got {outside[0]:g}")
        gain = Y / p
        best = _best(gain, np.nan_to_num(gain), k)
        return weight @ _best(gain, scores, k).sum(axis=1), weight @ best.sum(axis=1)

    return float(mean_of(sum_rows(gains, Y, scores, "scores", sample_weight)))
