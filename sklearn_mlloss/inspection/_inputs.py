"""Inputs of the displays: true labels, the labels to show, and probabilities of estimators."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._data.labels import check_labels, find_label, find_names
from .._data.messages import describe
from .._data.scores import predict_matrix
from .._data.tables import check_labels_of, columns_of
from .._data.targets import TargetCodec

# A page of panels is still readable.
MAX_PANELS = 12


def check_true(y_true: Any, estimator: Any = None) -> np.ndarray:
    """Return hard labels with NaN where not observed; those of an estimator, if it is not None."""
    check_labels_of(estimator, y_true)
    return check_labels(y_true, "y_true", soft=False)


def names_of_labels(
    estimator: Any, y: Any, label_names: Sequence[Any] | None, n_labels: int
) -> list[Any]:
    """Return the given names, those of y, those of a fitted estimator that has some, or numbers."""
    if label_names is None and columns_of(y) is None:
        own = np.asarray(getattr(estimator, "label_names_", ())).tolist()
        label_names = own if len(own) == n_labels else None
    return find_names(y, label_names, n_labels)


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


def predicted_labels(estimator: Any, X: Any, n_labels: int) -> np.ndarray:
    """Return the labels that an estimator predicts in one array of 0 and 1."""
    if not hasattr(estimator, "predict"):
        raise ValueError(
            f"estimator must have predict, and {type(estimator).__name__} has none; give its "
            "labels to from_predictions."
        )
    return predict_matrix(estimator, X, "predict", n_labels)


def read_targets(estimator: Any, y: Any) -> tuple[TargetCodec, list[Any]]:
    """Return the kind of y and the names of its labels, of a fitted estimator where it has some."""
    classes = getattr(estimator, "classes_", None)
    of_classes = isinstance(classes, np.ndarray) and classes.ndim == 1
    one_column = len(getattr(y, "shape", None) or np.shape(y)) == 1
    # Some rows may lack classes.
    targets = TargetCodec().fit(y, classes if of_classes and one_column else None)
    check_labels_of(estimator, y)
    names = np.asarray(getattr(estimator, "label_names_", targets.label_names_)).tolist()
    if targets.kind != "multilabel" or len(names) != targets.n_labels_:
        names = targets.label_names_.tolist()
    return targets, names


def feature_names(estimator: Any, X: Any) -> list[Any]:
    """Return the names of the columns of X, or those that the estimator has seen, or numbers."""
    names = columns_of(X)
    if names is None:
        names = getattr(estimator, "feature_names_in_", np.arange(X.shape[1]))
    return np.asarray(names).tolist()


def import_pandas(name: str) -> Any:
    """Return pandas; if it is not installed, raise an error for the function of this name."""
    try:
        import pandas
    except ImportError as error:
        raise ImportError(
            f"{name} returns a DataFrame, and pandas is not installed: "
            "pip install 'sklearn_mlloss[examples]'"
        ) from error
    return pandas
