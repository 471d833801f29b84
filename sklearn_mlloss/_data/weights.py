"""Weights of rows and entries: their checks, their scale, and one weight per row."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .containers import to_float

__all__ = [
    "LARGEST_SUM",
    "check_row_weight",
    "check_weight",
    "counting_rows",
    "drop_unweighted",
    "row_weight",
    "scale_weight",
    "training_rows",
    "weigh",
]

# Of weights that are used as they are: products with it, or its inverse, keep their digits.
LARGEST_SUM = 1e100
# In float32, too.
FINITE = 1e30


def check_weight(
    sample_weight: Any,
    Y: np.ndarray,
    per_label: bool = True,
    largest_sum: float = math.inf,
) -> np.ndarray | None:
    """Return the weights as (n_samples,) or (n_samples, n_labels) finite numbers >= 0, or None.

    Parameters
    ----------
    sample_weight : array-like, optional
        As the user passed them.
    Y : ndarray of shape (n_samples, n_labels)
        Target matrix, or any array of that shape.
    per_label : bool, default=True
        Whether there may be one weight per row and label, as for an indicator.
    largest_sum : float, default=inf
        Largest sum of weights that are used unscaled, usually `LARGEST_SUM`, and the inverse of
        the smallest. Scaled weights need no limit: see `scale_weight`.

    Raises
    ------
    ValueError
        If the weights are invalid, or all 0.
    """
    if sample_weight is None:
        return None
    weight = to_float(sample_weight, "sample_weight")
    rows = Y.shape[:1]
    if weight.shape == (*rows, 1):
        weight = weight.ravel()
    if weight.shape != rows and not (per_label and weight.shape == Y.shape):
        other = f", or one per row and label, {Y.shape}" if per_label else ""
        raise ValueError(f"sample_weight must have shape {rows}{other}, got {weight.shape}")
    if not np.isfinite(weight).all():
        raise ValueError("sample_weight must be finite: Input sample_weight contains NaN or inf")
    if (weight < 0).any():
        raise ValueError(
            f"sample_weight must be non-negative, got a minimum of {weight.min():g}: give rows "
            "that should not count a weight of 0"
        )
    if weight.size and not weight.any():
        raise ValueError(
            "sample_weight is 0 for every row: with weights of zero no row is left to learn from"
        )
    with np.errstate(over="ignore"):
        total = weight.sum()
    if weight.size and not 1 / largest_sum <= total <= largest_sum:
        raise ValueError(
            f"sample_weight is used as it is, and must have a sum in [{1 / largest_sum:g}, "
            f"{largest_sum:g}], got values up to {weight.max():g}: divide it by its mean"
        )
    return weight


def check_row_weight(sample_weight: Any, Y: np.ndarray) -> np.ndarray:
    """Return one weight per row of Y, unscaled; 1 if there are no weights."""
    weight = check_weight(sample_weight, Y, per_label=False, largest_sum=LARGEST_SUM)
    return np.ones(len(Y)) if weight is None else weight


def drop_unweighted(Y: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
    """Return targets in which an entry of weight 0 is NaN: it counts as not observed."""
    if weight is None or weight.ndim == 1 or weight.all():
        return Y
    return np.where(weight > 0, Y, np.nan).astype(np.float32)


def counting_rows(Y: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
    """Return which rows count: those with an observed entry of positive weight.

    Parameters
    ----------
    Y : ndarray of shape (n_samples, n_labels)
        Without entries of weight 0, see `drop_unweighted`.
    weight : ndarray of shape (n_samples,) or (n_samples, n_labels), optional
    """
    rows = np.ones(len(Y), dtype=bool)
    if weight is not None:
        rows &= weight.reshape(len(Y), -1).any(axis=1)
    if Y.dtype.kind == "f":
        rows &= ~np.isnan(Y).all(axis=1)
    return rows


def training_rows(Y: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
    """Return which rows count, or raise a ValueError if none does."""
    rows = counting_rows(Y, weight)
    if not rows.any():
        raise ValueError(
            "no row is left to learn from: y is NaN or sample_weight is zero in all of them"
        )
    return rows


def scale_weight(weight: np.ndarray | None, Y: np.ndarray) -> np.ndarray | None:
    """Return weights of mean 1 over the rows, or the entries, that count.

    Losses, calibrators and decoders use weights as counts, such as the number of positives of a
    label. After scaling, a weight of 1 means one row, independent of the unit of the weights.
    """
    if weight is None:
        return None
    counts = weight > 0
    if Y.dtype.kind == "f":
        observed = ~np.isnan(Y)
        counts &= observed if weight.ndim == 2 else observed.any(axis=1)
    # Sums of the largest overflow, and the mean of the smallest may be 0. Weights that do not count
    # may be even larger, and are kept finite.
    with np.errstate(over="ignore"):
        weight = np.minimum(weight / weight[counts].max(), FINITE)
    return weight / weight[counts].mean()


def row_weight(weight: np.ndarray | None, Y: np.ndarray) -> np.ndarray | None:
    """Return one weight per row, the mean over what was observed in it; 0 where nothing was."""
    if weight is None or weight.ndim == 1:
        return weight
    observed = Y >= 0  # NaN is not
    total = np.where(observed, weight, 0).sum(axis=1)
    return total / np.maximum(observed.sum(axis=1), 1)


def weigh(Y: np.ndarray, weight: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Return targets and one weight per row, for calibrators and decoders.

    Parameters
    ----------
    Y : ndarray of shape (n_samples, n_labels)
        Target matrix, NaN where nothing was observed.
    weight : ndarray of shape (n_samples,) or (n_samples, n_labels), optional
        As `check_weight` returns them.

    Returns
    -------
    Y : ndarray of shape (n_samples, n_labels)
        With NaN for entries of weight 0.
    weight : ndarray of shape (n_samples,), or None
        Scaled to mean 1 over what counts. That of a row is the mean over its observed entries.

    Raises
    ------
    ValueError
        If no row counts.
    """
    Y = drop_unweighted(Y, weight)
    training_rows(Y, weight)
    return Y, row_weight(scale_weight(weight, Y), Y)
