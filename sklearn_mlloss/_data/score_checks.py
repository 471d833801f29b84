"""Scores, targets and weights as decoders and calibrators take them: checked, read-only arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .containers import to_float
from .labels import check_label_values
from .weights import check_row_weight

__all__ = [
    "check_per_row",
    "check_scores",
    "rows_that_count",
]


def check_scores(scores: ArrayLike) -> np.ndarray:
    """Return finite scores of shape (n_samples, n_labels), or raise."""
    scores = _to_float("scores", scores, "(n_samples, n_labels)")
    if scores.ndim != 2 or scores.shape[1] == 0:
        raise ValueError(
            "scores must be 2-D, (n_samples, n_labels) with at least one label, got shape "
            f"{scores.shape}; use scores.reshape(-1, 1) for a single label."
        )
    if not np.isfinite(scores).all():
        raise ValueError(
            f"scores must be finite, got {np.count_nonzero(~np.isfinite(scores))} NaN or infinite "
            "values; check the model that made them."
        )
    return _read_only(scores)


def check_per_row(name: str, values: ArrayLike | None, n_samples: int) -> np.ndarray | None:
    """Return one finite number per row, or None, or raise."""
    if values is None:
        return None
    values = _to_float(name, values, "(n_samples,)")
    if values.shape != (n_samples,):
        raise ValueError(
            f"{name} must have one value per row, shape ({n_samples},), got shape {values.shape}."
        )
    if not np.isfinite(values).all():
        raise ValueError(f"{name} must be finite, got NaN or infinite values.")
    return _read_only(values)


def rows_that_count(
    scores: np.ndarray,
    Y: ArrayLike,
    sample_weight: ArrayLike | None,
    count: ArrayLike | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
    """Return checked scores, targets, weights and counts without the rows of weight 0.

    Rows of weight 0 must not lend their scores as places for a threshold either.
    """
    n_samples = len(scores)
    if n_samples == 0:
        raise ValueError("scores has 0 rows; give fit at least one held-out row.")
    Y = _check_targets(Y, scores.shape)
    weight = _read_only(check_row_weight(sample_weight, Y))
    count = check_per_row("count", count, n_samples)
    used = weight > 0
    if used.all():
        return scores, Y, weight, count
    return scores[used], Y[used], weight[used], None if count is None else count[used]


def _check_targets(Y: ArrayLike, shape: tuple[int, ...]) -> np.ndarray:
    """Return targets in [0, 1], or NaN, of the shape of the scores, or raise."""
    Y = _to_float("Y", Y, "(n_samples, n_labels)")
    if Y.shape != shape:
        raise ValueError(
            f"Y has shape {Y.shape} but scores has shape {shape}; they must be the same, one row "
            "per sample and one column per label."
        )
    check_label_values(Y, "Y")
    return _read_only(Y)


def _to_float(name: str, values: ArrayLike, shape: str) -> np.ndarray:
    return to_float(values, name, f"a dense numeric array of shape {shape}")


def _read_only(array: np.ndarray) -> np.ndarray:
    """Return a view that raises when a decoder writes into the caller's array."""
    view = array.view()
    view.flags.writeable = False
    return view
