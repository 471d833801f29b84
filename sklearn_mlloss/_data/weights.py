"""Weights of rows and entries: their form, and what they mean to whatever learns with them."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = [
    "check_weight",
    "counting_rows",
    "drop_unweighted",
    "row_weight",
    "scale_weight",
    "weigh",
]


def check_weight(sample_weight: Any, Y: np.ndarray, per_label: bool = True) -> np.ndarray | None:
    """Return the weights as (n_samples,) or (n_samples, n_labels) finite numbers >= 0, or None.

    Parameters
    ----------
    sample_weight : array-like, optional
        As a user gave them.
    Y : ndarray of shape (n_samples, n_labels)
        Target matrix.
    per_label : bool, default=True
        Whether there may be one weight per row and label, as for an indicator.
    """
    if sample_weight is None:
        return None
    try:
        weight = np.asarray(sample_weight, dtype=np.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"sample_weight must be an array of numbers, got {sample_weight!r}, which does not "
            f"convert to float64: {error}"
        ) from error
    if not np.isfinite(weight).all():
        raise ValueError("sample_weight must be finite: Input sample_weight contains NaN or inf")
    if weight.shape == (len(Y), 1):
        weight = weight.ravel()
    if weight.shape not in (Y.shape[:1], Y.shape):
        raise ValueError(
            f"sample_weight must have shape {Y.shape[:1]}, or for an indicator y {Y.shape}; got "
            f"{weight.shape}"
        )
    if weight.ndim == 2 and not per_label:
        raise ValueError(
            f"sample_weight must have shape {Y.shape[:1]} for a 1-D y, got {weight.shape}"
        )
    if (weight < 0).any():
        raise ValueError("sample_weight must be >= 0, got negative weights")
    return weight


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
        rows = weight.reshape(len(Y), -1).any(axis=1)
    if Y.dtype.kind == "f":
        rows &= ~np.isnan(Y).all(axis=1)
    return rows


def scale_weight(weight: np.ndarray | None, Y: np.ndarray) -> np.ndarray | None:
    """Return weights of mean 1 over the rows, or the entries, that count.

    Everything that learns takes a weight for a count, such as the number of positives that a
    label has. So a weight of 1 means one row, whatever the unit of the weights that were given.
    """
    if weight is None:
        return None
    counts = weight > 0
    if Y.dtype.kind == "f":
        observed = ~np.isnan(Y)
        counts &= observed if weight.ndim == 2 else observed.any(axis=1)
    return weight / weight[counts].mean()


def row_weight(weight: np.ndarray | None, Y: np.ndarray) -> np.ndarray | None:
    """Return one weight per row, the mean over what was observed in it; 0 where nothing was."""
    if weight is None or weight.ndim == 1:
        return weight
    observed = Y >= 0  # NaN is not
    total = np.where(observed, weight, 0).sum(axis=1)
    return total / np.maximum(observed.sum(axis=1), 1)


def weigh(Y: np.ndarray, weight: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Return targets and one weight per row, as calibrators and decoders learn with them.

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
    if not counting_rows(Y, weight).any():
        raise ValueError(
            "no row is left to learn from: y is NaN or sample_weight is zero in all of them"
        )
    return Y, row_weight(scale_weight(weight, Y), Y)
