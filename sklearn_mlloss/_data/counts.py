"""Metrics as functions of counts, and what 0/0 is.

The counts are sums of weights: `tp` true positives, `predicted` predicted entries, `positives` and
`total` observed ones. Soft labels count as fractions. 0/0 is 0 unless the caller asks for another
value, such as NaN.
"""

from __future__ import annotations

import numpy as np

__all__ = [
    "Number",
    "accuracy",
    "balanced_accuracy",
    "fbeta",
    "jaccard",
    "precision",
    "ratio",
    "recall",
]

Number = np.ndarray | float


def ratio(numerator: Number, denominator: Number, undefined: float = 0.0) -> np.ndarray:
    """Divide, with the value `undefined` where the denominator is 0."""
    numerator, denominator = np.broadcast_arrays(
        np.asarray(numerator, dtype=float), np.asarray(denominator, dtype=float)
    )
    out = np.full(denominator.shape, undefined, dtype=float)
    return np.divide(numerator, denominator, out=out, where=denominator > 0)


def fbeta(
    tp: Number,
    predicted: Number,
    positives: Number,
    total: Number = 0.0,
    *,
    beta: float = 1.0,
    undefined: float = 0.0,
) -> np.ndarray:
    """Return F-beta, F1 unless `beta` is given; `total` has no influence."""
    return ratio((1 + beta**2) * tp, beta**2 * positives + predicted, undefined)


def precision(tp: Number, predicted: Number, positives: Number, total: Number = 0.0) -> np.ndarray:
    """Return the share of predicted entries that are positives."""
    return ratio(tp, predicted)


def recall(tp: Number, predicted: Number, positives: Number, total: Number = 0.0) -> np.ndarray:
    """Return the share of positives that are predicted."""
    return ratio(tp, positives)


def jaccard(
    tp: Number,
    predicted: Number,
    positives: Number,
    total: Number = 0.0,
    *,
    undefined: float = 0.0,
) -> np.ndarray:
    """Return the Jaccard index; `total` has no influence."""
    return ratio(tp, positives + predicted - tp, undefined)


def accuracy(tp: Number, predicted: Number, positives: Number, total: Number) -> np.ndarray:
    """Return the share of entries that are right."""
    return ratio(total - positives - predicted + 2 * tp, total)


def balanced_accuracy(
    tp: Number, predicted: Number, positives: Number, total: Number
) -> np.ndarray:
    """Return the mean recall over the classes that are present."""
    negatives = total - positives
    recalls = ratio(tp, positives) + ratio(negatives - predicted + tp, negatives)
    return ratio(recalls, 1.0 * (positives > 0) + (negatives > 0))
