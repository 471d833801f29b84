"""Checks of input, and means that leave out what was not observed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .._data.counts import ratio
from .._data.labels import check_labels, check_predictions
from .._data.partitions import gathered
from .._data.validation import check_choice, check_number
from .._data.weights import check_row_weight

# Kinds of values that are compared with labels, by the name of the argument.
KIND_OF = {"scores": "scores", "proba": "probabilities", "Y_hat": "labels"}


def check_inputs(
    Y: Any, values: Any, name: str, sample_weight: Any, soft: bool = True
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return Y with NaN, the values and the weights; rows of weight 0 are dropped."""
    Y, values, sample_weight = gathered(Y, values, sample_weight)
    labels = check_labels(Y, "Y", soft)
    scores = check_predictions(values, name, Y, labels.shape, "Y", KIND_OF[name])
    weight = check_row_weight(sample_weight, labels)
    used = weight > 0
    return labels[used], scores[used], weight[used]


def check_average(average: Any, *names: str) -> None:
    if average is not None:
        check_choice(average, "average", names, other="None or ")


def check_empty(empty: Any, highest: float) -> None:
    if not isinstance(empty, float) or not np.isnan(empty):
        check_number(empty, "empty", low=0, high=highest, other="NaN or ")


def mean_defined(values: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Return the mean over values that are not NaN."""
    weight = np.ones(len(values)) if weight is None else weight
    return float(ratio(weight @ np.nan_to_num(values), weight @ ~np.isnan(values), np.nan))


def average_entries(
    values: np.ndarray, weight: np.ndarray, average: str | None
) -> float | np.ndarray:
    """Average values of entries, with NaN where not observed."""
    check_average(average, "micro", "macro", "samples")
    if average == "micro":
        return mean_defined(values.ravel(), np.repeat(weight, values.shape[1]))
    observed, values = ~np.isnan(values), np.nan_to_num(values)
    if average == "samples":
        return mean_defined(ratio(values.sum(axis=1), observed.sum(axis=1), np.nan), weight)
    by_label = ratio(weight @ values, weight @ observed, np.nan)
    return by_label if average is None else mean_defined(by_label)


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
