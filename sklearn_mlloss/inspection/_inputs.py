"""Inputs of the displays: true labels, the labels to show, and probabilities of estimators."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._data.labels import check_labels, find_label
from .._data.messages import describe
from .._data.scores import predict_matrix
from .._data.tables import check_labels_of

# A page of panels is still readable.
MAX_PANELS = 12


def check_true(y_true: Any, estimator: Any = None) -> np.ndarray:
    """Return hard labels with NaN where not observed; those of an estimator, if it is not None."""
    check_labels_of(estimator, y_true)
    return check_labels(y_true, "y_true", soft=False)


def select_labels(
    labels: Sequence[Any] | None, names: list[Any], positives: np.ndarray
) -> list[int]:
    """Return the indices of the labels to show."""
    if labels is None:
        return np.argsort(-positives, kind="stable")[:MAX_PANELS].tolist()
    if isinstance(labels, str) or not np.iterable(labels):
        raise ValueError(
            f"labels must be a sequence of names or indices, got {describe(labels)}; write "
            f"[{describe(labels)}]."
        )
    picked = [
        find_label(label, names, f"labels has {describe(label)}, which is") for label in labels
    ]
    if not picked:
        raise ValueError("labels is empty; name at least one label, or give None.")
    return picked


def label_probabilities(estimator: Any, X: Any, n_labels: int) -> np.ndarray:
    """Return an estimator's probabilities of the labels in one array."""
    if not hasattr(estimator, "predict_proba"):
        raise ValueError(
            f"estimator must have predict_proba, and {type(estimator).__name__} has none; give "
            "its scores to from_predictions."
        )
    return predict_matrix(estimator, X, "predict_proba", n_labels)
