"""What the displays accept: true labels, scores, estimators, and which labels to show."""

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np

from .._data.scores import label_matrix
from .._data.tables import check_labels_of, check_same_columns, columns_of
from .._data.validation import describe
from ..metrics._checks import _to_float

# Small multiples stay readable up to a page of them.
MAX_PANELS = 12


def check_true(y_true: Any, estimator: Any = None) -> np.ndarray:
    """Return the labels as floats with NaN where not observed; those of an estimator, if given."""
    check_labels_of(estimator, y_true)
    Y = _to_float("y_true", y_true)
    if Y.ndim != 2 or 0 in Y.shape:
        raise ValueError(
            "y_true must be 2-D, (n_samples, n_labels) with at least one row and one label, got "
            f"shape {Y.shape}; use reshape(-1, 1) for a single label."
        )
    outside = ~((Y == 0) | (Y == 1) | np.isnan(Y))
    if outside.any():
        raise ValueError(
            f"y_true must hold 0, 1, or NaN where not observed, got {Y[outside][0]:g}; cut soft "
            "labels first, such as (y >= 0.5)."
        )
    return Y


def check_scores(
    name: str, values: Any, y_true: Any, shape: tuple[int, ...], probabilities: bool = False
) -> np.ndarray:
    """Return finite scores of the shape of the labels, and with the columns of `y_true`."""
    check_same_columns(values, columns_of(y_true), name, "y_true")
    scores = _to_float(name, values)
    if scores.shape != shape:
        raise ValueError(
            f"{name} must have the shape {shape} of y_true, one column a label, got {scores.shape}."
        )
    if not np.isfinite(scores).all():
        raise ValueError(f"{name} must be finite, got {scores[~np.isfinite(scores)][0]:g}.")
    outside = (scores < 0) | (scores > 1)
    if probabilities and outside.any():
        raise ValueError(
            f"{name} must hold probabilities in [0, 1], got {scores[outside][0]:g}; give "
            "predict_proba, not decision_function."
        )
    return scores


def find_names(y_true: Any, label_names: Sequence[Any] | None, n_labels: int) -> list[Any]:
    """Return the names that were given, else the columns of a DataFrame, else numbers."""
    if label_names is None:
        label_names = columns_of(y_true)
    names = list(range(n_labels) if label_names is None else label_names)
    if len(names) != n_labels:
        raise ValueError(
            f"label_names must have one name for each of the {n_labels} labels, got {len(names)}."
        )
    return names


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
    picked = []
    for label in labels:
        if label in names:
            picked.append(names.index(label))
        elif isinstance(label, Integral) and -len(names) <= label < len(names):
            picked.append(int(label) % len(names))
        else:
            shown = ", ".join(map(repr, names[:20])) + (", ..." if len(names) > 20 else "")
            raise ValueError(
                f"labels has {describe(label)}, which is neither a name nor an index of the "
                f"{len(names)} labels; the names are: {shown}."
            )
    if not picked:
        raise ValueError("labels is empty; name at least one label, or give None.")
    return picked


def label_probabilities(estimator: Any, X: Any, n_labels: int) -> np.ndarray:
    """Return an estimator's probabilities of the labels in one array, whatever their form."""
    if not hasattr(estimator, "predict_proba"):
        raise ValueError(
            f"estimator must have predict_proba, and {type(estimator).__name__} has none; give "
            "its scores to from_predictions."
        )
    proba = estimator.predict_proba(X)
    if isinstance(proba, list | tuple) and np.ndim(proba[0]) == 2 and len(proba) != n_labels:
        raise ValueError(
            f"y has {n_labels} labels, but estimator gives probabilities of {len(proba)}; "
            "give the y of the labels that it was fitted on."
        )
    classes = getattr(estimator, "classes_", None)
    return label_matrix(proba, n_labels, classes, f"predict_proba of {type(estimator).__name__}")
