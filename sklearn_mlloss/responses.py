"""Scores of any scikit-learn classifier, in the one form that calibrators and decoders take."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator

from .calibration import _probability
from .targets import TargetCodec

__all__ = ["METHODS", "choose_method", "label_scores", "may_keep_scores", "out_of_fold_scores"]

METHODS = ("predict_proba", "decision_function")


# Sums of float32 probabilities may leave [0, 1] by as much.
ROUNDING = 1e-5


def choose_method(estimator: Any, response_method: str) -> str:
    """Return the method that scores come from: with "auto" the first that there is."""
    if not isinstance(response_method, str) or response_method not in ("auto", *METHODS):
        raise ValueError(
            "response_method must be 'auto', 'predict_proba' or 'decision_function', got "
            f"{response_method!r}"
        )
    wanted = METHODS if response_method == "auto" else (response_method,)
    methods = [name for name in wanted if hasattr(estimator, name)]
    if not methods or not hasattr(estimator, "fit"):
        raise TypeError(
            f"estimator must be a classifier with fit and {' or '.join(wanted)}, got {estimator!r}"
        )
    return methods[0]


def label_scores(estimator: Any, X: Any, method: str, targets: TargetCodec) -> np.ndarray:
    """Return the scores of a fitted classifier with one column a label.

    Parameters
    ----------
    estimator : classifier
        Fitted on some of the rows, among which a label may be constant or a class missing.
    X : {array-like, DataFrame, sparse matrix} of shape (n_samples, n_features)
    method : {"predict_proba", "decision_function"}
        Decisions are mapped to (0, 1) by a sigmoid that is kept strictly increasing.
    targets : TargetCodec
        Fitted on all rows.

    Returns
    -------
    ndarray of shape (n_samples, n_labels)
        Strictly inside (0, 1), as calibration and log-odds need it: 0 and 1 become the numbers
        next to them. A label that was constant in training has its constant; a class of a 1-D y
        that was not seen in training has 0.

    Raises
    ------
    ValueError
        If what the classifier returns has another shape, or probabilities are none.
    """
    values = getattr(estimator, method)(X)
    values = list(map(_floats, values)) if isinstance(values, list | tuple) else _floats(values)
    if method == "decision_function":
        is_list = isinstance(values, list)
        values = list(map(_probability, values)) if is_list else _probability(values)
    classes = getattr(estimator, "classes_", None)
    if targets.kind == "multilabel":
        scores = _of_labels(values, classes, targets.n_labels_)
    else:
        scores = _of_classes(values, classes, targets.classes_)[:, -targets.n_labels_ :]
    if scores.shape[1:] != (targets.n_labels_,):
        raise ValueError(
            f"{method} of {type(estimator).__name__} returned scores of shape {scores.shape} for "
            f"{targets.describe()}: one column a label is needed, or a list with one array a label"
        )
    if (scores < -ROUNDING).any() or (scores > 1 + ROUNDING).any():
        raise ValueError(
            f"{method} of {type(estimator).__name__} returned values from {scores.min():g} to "
            f"{scores.max():g}, which are no probabilities: use response_method='decision_function'"
        )
    return _inside(scores)


def may_keep_scores(estimator: Any) -> bool:
    """Return whether an unfitted classifier is told to keep what `out_of_fold_scores` looks for."""
    own = getattr(estimator, "_may_keep_scores", None)
    if own is not None:
        return own()
    return any(getattr(estimator, name, False) for name in ("store_cv_results", "oob_score"))


def out_of_fold_scores(estimator: Any, targets: TargetCodec, n_samples: int) -> np.ndarray | None:
    """Return what a fitted classifier says of the rows that it was fitted on, by other models.

    Parameters
    ----------
    estimator : classifier
        With `oof_scores_`, as those of this package have with folds and ``store_cv_results=True``,
        or with the `oob_decision_function_` that forests have with ``oob_score=True``.
    targets : TargetCodec
        Fitted on these rows.
    n_samples : int

    Returns
    -------
    ndarray of shape (n_samples, n_labels) or None
        Strictly inside (0, 1), as `predict_proba` would return them, and NaN for rows that have no
        such score; None if the classifier does not keep any.
    """
    # A frozen one was fitted on other rows.
    if isinstance(estimator, FrozenEstimator):
        return None
    scores = getattr(estimator, "oof_scores_", None)
    if scores is None:
        scores = _out_of_bag(estimator, targets)
    if np.shape(scores) != (n_samples, targets.n_labels_):
        return None
    known = ~np.isnan(scores).any(axis=1)
    found = np.full(scores.shape, np.nan)
    calibrator = getattr(estimator, "calibrator_", None)
    found[known] = scores[known] if calibrator is None else calibrator.transform(scores[known])
    if targets.kind == "multiclass":
        found[known] = targets.probabilities(found[known])
    return _inside(found)


def _out_of_bag(estimator: Any, targets: TargetCodec) -> np.ndarray | None:
    """Return the scores of each row by the trees that have not drawn it; NaN if all have."""
    values = getattr(estimator, "oob_decision_function_", None)
    if values is None:
        return None
    # Of an indicator (n, 2, L); a row that no tree has left out has 0 or NaN for all classes.
    left_out = values.sum(axis=1).reshape(len(values), -1).min(axis=1) > 0.5
    if targets.kind == "multilabel":
        stacked = values.transpose(0, 2, 1) if values.ndim == 3 else values
        scores = _of_labels(stacked, estimator.classes_, targets.n_labels_)
    else:
        scores = _of_classes(values, estimator.classes_, targets.classes_)[:, -targets.n_labels_ :]
    return np.where(left_out[:, None], scores, np.nan)


def _inside(scores: np.ndarray) -> np.ndarray:
    """Return scores with 0 and 1 replaced by the numbers next to them."""
    limits = np.finfo(np.float64)
    return np.clip(scores, limits.tiny, 1 - limits.epsneg)


def _floats(values: Any) -> np.ndarray:
    return np.asarray(values, dtype=np.float64)


def _of_labels(values: Any, classes: Any, n_labels: int) -> np.ndarray:
    """Return scores of an indicator from any of the forms that classifiers have for it."""
    if isinstance(values, list):
        own = [None] * len(values) if classes is None else classes
        if len(own) != len(values):
            own = [None] * len(values)
        return np.column_stack([_positive(v, c) for v, c in zip(values, own, strict=True)])
    if values.ndim == 3:
        return values[:, :, -1]
    if n_labels == 1:
        # An indicator with one column is a binary target for most classifiers, and classes_ 1-D.
        if values.ndim == 1:
            return values[:, None]
        flat = classes is not None and np.ndim(classes[0]) == 0
        if values.shape[1] == 2 or flat and len(classes) == 1:
            return _positive(values, classes if flat else None)[:, None]
    return values


def _positive(values: np.ndarray, classes: Any) -> np.ndarray:
    """Return the scores of class 1 of one label, whose `classes` may be 0 or 1 alone."""
    if classes is not None and len(classes) == 1:
        return np.full(len(values), float(classes[0]))
    if values.ndim == 1:
        return values
    if values.shape[1] == 1:
        raise ValueError(
            "predict_proba returned one column for a label, and there is no classes_ that tells "
            "whether it is that of 0 or 1: the label is constant in the rows of a fold; use fewer "
            "folds, or leave it out"
        )
    return values[:, -1]


def _of_classes(values: np.ndarray, seen: Any, classes: np.ndarray) -> np.ndarray:
    """Return scores of the classes of a 1-D y, of which the classifier may not have seen all."""
    if isinstance(values, list) or values.ndim > 2 or seen is None:
        raise ValueError("for a 1-D y the classifier must return one array, and have classes_")
    if len(seen) == 1:
        values = np.ones((len(values), 1))
    elif values.ndim == 1 or values.shape[1] == 1:
        values = np.column_stack([1 - values.ravel(), values.ravel()])
    if values.shape[1] != len(seen):
        raise ValueError(
            f"the classifier returned {values.shape[1]} columns for {len(seen)} classes: one a "
            "class is needed (decision_function_shape='ovr' for a support vector machine)"
        )
    scores = np.zeros((len(values), len(classes)))
    scores[:, np.searchsorted(classes, seen)] = values
    return scores
