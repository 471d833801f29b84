"""Checks of input, and means that leave out what was not observed, from sums over rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .._data import reductions
from .._data.counts import ratio
from .._data.labels import check_labels, check_predictions
from .._data.partitions import count_rows, is_partitioned
from .._data.reductions import sum_partitions
from .._data.validation import check_choice, check_number
from .._data.weights import check_row_weight

# Kinds of values that are compared with labels, by the name of the argument.
KIND_OF = {"scores": "scores", "proba": "probabilities", "Y_hat": "labels"}

# What a metric is computed from: checked labels, values and weights of rows.
Checked = tuple[np.ndarray, np.ndarray, np.ndarray]


def check_inputs(Y: Any, values: Any, name: str, sample_weight: Any, soft: bool = True) -> Checked:
    """Return Y with NaN, the values and the weights; rows of weight 0 are dropped."""
    labels = check_labels(Y, "Y", soft)
    scores = check_predictions(values, name, Y, labels.shape, "Y", KIND_OF[name])
    weight = check_row_weight(sample_weight, labels)
    used = weight > 0
    return labels[used], scores[used], weight[used]


def sum_rows(
    sums: Callable[..., tuple],
    Y: Any,
    values: Any,
    name: str,
    sample_weight: Any,
    soft: bool = True,
) -> tuple:
    """Return the sums that a function of checked labels, values and weights returns.

    Those of dask collections are sums over partitions.
    """

    def of_rows(Y: Any, values: Any, sample_weight: Any) -> tuple:
        return sums(*check_inputs(Y, values, name, sample_weight, soft))

    return sum_partitions(of_rows, Y, values, sample_weight)


def mean_of_rows(
    metric: Callable[[np.ndarray, np.ndarray], np.ndarray],
    Y: Any,
    values: Any,
    name: str,
    sample_weight: Any,
    soft: bool = True,
) -> float:
    """Return the weighted mean over rows of a metric of each row, NaN where it is not defined."""

    def sums(Y: np.ndarray, values: np.ndarray, weight: np.ndarray) -> tuple:
        return sums_defined(metric(Y, values), weight)

    return float(mean_of(sum_rows(sums, Y, values, name, sample_weight, soft)))


def mean_of_entries(
    metric: Callable[[np.ndarray, np.ndarray], np.ndarray],
    average: str | None,
    Y: Any,
    values: Any,
    name: str,
    sample_weight: Any,
) -> float | np.ndarray:
    """Return the mean of a metric of each entry, over entries, labels or rows, or one per label."""
    check_average(average, "micro", "macro", "samples")

    def sums(Y: np.ndarray, values: np.ndarray, weight: np.ndarray) -> tuple:
        return sums_of_entries(metric(Y, values), weight, average)

    means = mean_of(sum_rows(sums, Y, values, name, sample_weight))
    if average is None:
        return means
    return mean_defined(means) if average == "macro" else float(means)


def label_blocks(Y: Any, sample_weight: Any, **values: Any) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield checked labels, the values by their names, and weights, of all rows and some labels.

    Those in memory come at once. Of dask collections, a few labels are gathered at a time.

    Raises
    ------
    ValueError
        If there are too many rows for a single label.
    """

    def checked(Y: Any, *values_and_weight: Any) -> tuple[np.ndarray, ...]:
        *some, sample_weight = values_and_weight
        pairs = zip(some, values, strict=True)
        parts = [check_inputs(Y, each, name, sample_weight) for each, name in pairs]
        labels, _, weight = parts[0]
        return labels, *(part[1] for part in parts), weight

    all_values = Y, *values.values(), sample_weight
    if not any(map(is_partitioned, all_values)):
        yield checked(*all_values)
        return
    dtypes = [_exact_dtype(each, KIND_OF[name]) for name, each in values.items()]
    n_labels = np.shape(Y)[1] if len(np.shape(Y)) == 2 else 1
    blocks = reductions.label_blocks(checked, count_rows(Y), n_labels, dtypes, *all_values)
    for _, *block in blocks:
        yield tuple(block)


def _exact_dtype(values: Any, kind: str) -> np.dtype:
    """Return the smallest type that holds all values of a collection without rounding."""
    if kind == "labels":
        return np.dtype(np.int8)
    dtype = getattr(values, "dtype", None)
    return dtype if dtype in (np.float16, np.float32) else np.dtype(np.float64)


def check_average(average: Any, *names: str) -> None:
    if average is not None:
        check_choice(average, "average", names, other="None or ")


def check_empty(empty: Any, highest: float) -> None:
    if not isinstance(empty, float) or not np.isnan(empty):
        check_number(empty, "empty", low=0, high=highest, other="NaN or ")


def mean_defined(values: np.ndarray) -> float:
    """Return the mean over values that are not NaN."""
    return float(mean_of(sums_defined(values, np.ones(len(values)))))


def sums_defined(values: np.ndarray, weight: np.ndarray) -> tuple:
    """Return numerator and denominator of the mean over values that are not NaN."""
    return weight @ np.nan_to_num(values), weight @ ~np.isnan(values)


def mean_of(sums: tuple) -> np.ndarray:
    """Return a mean from its numerator and denominator."""
    total, mass = sums
    return ratio(total, mass, np.nan)


def sums_of_entries(values: np.ndarray, weight: np.ndarray, average: str | None) -> tuple:
    """Return numerator and denominator of means of entries, with NaN where not observed."""
    if average == "micro":
        return sums_defined(values.ravel(), np.repeat(weight, values.shape[1]))
    if average == "samples":
        observed, values = ~np.isnan(values), np.nan_to_num(values)
        return sums_defined(ratio(values.sum(axis=1), observed.sum(axis=1), np.nan), weight)
    return sums_defined(values, weight)


def per_label(
    metric: Callable, Y: np.ndarray, scores: np.ndarray, weight: np.ndarray, both: bool = False
) -> np.ndarray:
    """Apply a binary metric to each label; NaN without positives, or one of `both` classes."""
    values = np.full(Y.shape[1], np.nan)
    for label, (y, score) in enumerate(zip(Y.T, scores.T, strict=True)):
        # A soft label is a positive and a negative; parts without weight are dropped.
        part = np.concatenate([np.nan_to_num(y), np.nan_to_num(1 - y)]) * np.tile(weight, 2)
        target, used = np.repeat([1, 0], len(y)), part > 0
        if used[: len(y)].any() and (used[len(y) :].any() or not both):
            values[label] = metric(target[used], np.tile(score, 2)[used], sample_weight=part[used])
    return values
