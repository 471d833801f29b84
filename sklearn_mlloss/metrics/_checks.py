"""Checks of input, and means that leave out what was not observed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike

from .._data.containers import to_float
from .._data.sparse import as_csr
from .._data.tables import check_same_columns, columns_of
from .._data.validation import check_number, describe
from .._data.weights import LARGEST_SUM, check_weight


def _inputs(
    Y: Any, values: Any, name: str, sample_weight: Any, soft: bool = True
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return Y with NaN, what is compared with it, and weights; rows of weight 0 are dropped."""
    names, Y = columns_of(Y), _to_float("Y", Y)
    if Y.ndim != 2 or 0 in Y.shape:
        raise ValueError(
            "Y must be 2-D, (n_samples, n_labels) with at least one row and one label, got shape "
            f"{Y.shape}; use reshape(-1, 1) for a single label"
        )
    outside = ~((Y >= 0) & (Y <= 1) | np.isnan(Y))
    if outside.any():
        raise ValueError(f"Y must be in [0, 1], or NaN where not observed, got {Y[outside][0]:g}")
    fractional = (Y > 0) & (Y < 1)
    if not soft and fractional.any():
        raise ValueError(
            f"Y must be 0, 1 or NaN: this metric has no soft labels, got {Y[fractional][0]:g}"
        )
    check_same_columns(values, names, name, "Y")
    values = np.zeros(Y.shape) if values is None else _to_float(name, values)
    if values.shape != Y.shape:
        raise ValueError(f"{name} must have the shape {Y.shape} of Y, got {values.shape}")
    if name == "scores":
        outside, wanted = ~np.isfinite(values), "finite"
    elif name == "proba":
        outside, wanted = ~((values >= 0) & (values <= 1)), "in [0, 1]"
    else:
        outside, wanted = (values != 0) & (values != 1), "0 or 1"
    if outside.any():
        raise ValueError(f"{name} must be {wanted}, got {values[outside][0]:g}")
    if sample_weight is None:
        return Y, values, np.ones(len(Y))
    weight = check_weight(sample_weight, Y, per_label=False, largest_sum=LARGEST_SUM)
    used = weight > 0
    return Y[used], values[used], weight[used]


def _to_float(name: str, values: Any) -> np.ndarray:
    return to_float(as_csr(values, name).toarray() if sp.issparse(values) else values, name)


def _check_average(average: Any, allowed: tuple) -> None:
    if average not in allowed:
        raise ValueError(f"average must be one of {allowed}, got {describe(average)}")


def _check_empty(empty: Any, highest: float) -> None:
    if not isinstance(empty, float) or not np.isnan(empty):
        check_number(empty, "empty", low=0, high=highest, other="NaN or ")


def _ratio(numerator: ArrayLike, denominator: ArrayLike) -> np.ndarray:
    """Divide, with NaN for what is divided by 0."""
    out = np.full(np.shape(denominator), np.nan)
    return np.divide(numerator, denominator, out=out, where=np.asarray(denominator) > 0)


def _mean(values: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Mean over what is not NaN."""
    weight = np.ones(len(values)) if weight is None else weight
    return float(_ratio(weight @ np.nan_to_num(values), weight @ ~np.isnan(values)))


def _average(values: np.ndarray, weight: np.ndarray, average: str | None) -> float | np.ndarray:
    """Average values of entries, with NaN where not observed."""
    _check_average(average, ("micro", "macro", "samples", None))
    if average == "micro":
        return _mean(values.ravel(), np.repeat(weight, values.shape[1]))
    seen, values = ~np.isnan(values), np.nan_to_num(values)
    if average == "samples":
        return _mean(_ratio(values.sum(axis=1), seen.sum(axis=1)), weight)
    by_label = _ratio(weight @ values, weight @ seen)
    return by_label if average is None else _mean(by_label)


def _per_label(
    measure: Callable, Y: np.ndarray, scores: np.ndarray, weight: np.ndarray, both: bool = False
) -> np.ndarray:
    """Apply a binary metric to each label; NaN without positives, or one of `both` classes."""
    values = np.full(Y.shape[1], np.nan)
    for label, (y, score) in enumerate(zip(Y.T, scores.T, strict=True)):
        # A soft label is a positive and a negative; parts without weight fall away.
        part = np.concatenate([np.nan_to_num(y), np.nan_to_num(1 - y)]) * np.tile(weight, 2)
        target, used = np.repeat([1, 0], len(y)), part > 0
        if used[: len(y)].any() and (used[len(y) :].any() or not both):
            values[label] = measure(target[used], np.tile(score, 2)[used], sample_weight=part[used])
    return values
