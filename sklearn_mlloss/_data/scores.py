"""Outputs of any classifier for labels or classes, in one form: one column per label or class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.special import expit

from .labels import to_dense
from .partitions import gathered

__all__ = ["Link", "class_matrix", "label_matrix", "predict_matrix", "to_probability"]

# Probabilities in float32 may differ from 1 by as much.
ROUNDING = 1e-6

# Weight of the part that keeps saturated probabilities apart.
SQUASH = 1e-8

Link = Callable[[np.ndarray], np.ndarray]


def to_probability(z: np.ndarray) -> np.ndarray:
    """Return sigma(z), kept strictly increasing where floats would saturate."""
    away = (1 - 2 * SQUASH) * expit(-np.abs(z)) + SQUASH / (1 + np.abs(z))
    return np.where(z < 0, away, 1 - away)


def label_matrix(
    values: Any, n_labels: int, classes: Any = None, source: str = "", link: Link | None = None
) -> np.ndarray:
    """Return scores of an indicator with one column per label.

    The shape says first which column is that of the positive class: of two it is the second,
    unless `classes` has them in another order. A single column holds the positive class, except
    where it is 1 in all rows and `classes` names the only class that was seen in training: such a
    label has its constant.

    Parameters
    ----------
    values : {array, DataFrame, sparse matrix} of shape (n,), (n, n_labels) or (n, n_labels, k), \
            or list or tuple with one of shape (n,) or (n, k) per label, or of rows
        What `predict_proba`, `decision_function` or `predict` returned; k is 1 or 2. For one label
        also of shape (n, k).
    n_labels : int
    classes : list of arrays, or array, optional
        ``classes_`` of the classifier. Those that are neither one array per label nor, for one
        label, its classes are the numbers of the labels, and are not used.
    source : str, default=""
        What returned them, for messages.
    link : callable, optional
        Maps each array of numbers before columns are picked.

    Returns
    -------
    ndarray of float64, shape (n, n_labels)

    Raises
    ------
    ValueError
        If the values are no numbers, or fit no number of columns.
    """
    parts = _read(values, n_labels, source)
    if link is not None:
        parts = [link(p) for p in parts] if isinstance(parts, list) else link(parts)
    label_classes = _classes_per_label(classes, n_labels, source)
    if isinstance(parts, list):
        if len(parts) != n_labels:
            raise ValueError(_other_shape(source, f"{len(parts)} arrays", n_labels))
        unknown = [c is None and _is_all_one(p) for p, c in zip(parts, label_classes, strict=True)]
        if any(unknown):
            raise ValueError(
                f"{source} returned one column for a label, which is 1 in all rows, and there is "
                "no classes_ to check whether it is that of 0 or 1: the label is constant in the "
                "rows of a fold; use fewer folds, or leave it out"
            )
    elif n_labels == 1 and parts.ndim in (1, 2):
        parts = [parts]
    elif parts.ndim == 3 and parts.shape[1] == n_labels:
        parts = list(parts.transpose(1, 0, 2))
    elif parts.ndim == 2 and parts.shape[1] == n_labels:
        return parts
    else:
        raise ValueError(_other_shape(source, f"scores of shape {parts.shape}", n_labels))
    shapes = {part.shape[1:] for part in parts}
    if not shapes <= {(), (1,), (2,)}:
        output = f"scores of shape {np.shape(parts[0])} for each of them"
        raise ValueError(_other_shape(source, output, n_labels))
    return np.column_stack([_positive(p, c) for p, c in zip(parts, label_classes, strict=True)])


def predict_matrix(estimator: Any, X: Any, method: str, n_labels: int) -> np.ndarray:
    """Return what a method of a fitted classifier predicts, with one column per label."""
    classes = getattr(estimator, "classes_", None)
    source = f"{method} of {type(estimator).__name__}"
    (values,) = gathered(getattr(estimator, method)(X))
    return label_matrix(values, n_labels, classes, source)


def class_matrix(
    values: Any, seen: Any, classes: np.ndarray, source: str = "", link: Link | None = None
) -> np.ndarray:
    """Return scores of the classes of a 1-D y, with one column per class.

    Parameters
    ----------
    values : {array, DataFrame, sparse matrix} of shape (n,), (n, 1) or (n, n_seen)
        A single column of two classes holds the second.
    seen : array
        ``classes_`` of the classifier, which may lack some.
    classes : ndarray
        All classes, sorted.
    source : str, default=""
        What returned them, for messages.
    link : callable, optional
        Maps the numbers before columns are picked.

    Returns
    -------
    ndarray of float64, shape (n, n_classes)
        0 for classes that were not seen.

    Raises
    ------
    ValueError
        If the columns are not those of classes.
    """
    values = _read(values, 1, source)
    if isinstance(values, list) and len(values) == 1:
        values = values[0]
    if isinstance(values, list) or values.ndim > 2 or seen is None or np.ndim(seen) != 1:
        raise ValueError(
            f"{source} must return one array for a 1-D y, with one column per class, and the "
            "classifier must have classes_"
        )
    values = values if link is None else link(values)
    if len(seen) == 1:
        values = np.ones((len(values), 1))
    elif values.ndim == 1 or values.shape[1] == 1:
        values = np.column_stack([1 - values.ravel(), values.ravel()])
    if values.shape[1] != len(seen):
        raise ValueError(
            f"{source} returned {values.shape[1]} columns for {len(seen)} classes: one column per "
            "class is needed (decision_function_shape='ovr' for a support vector machine)"
        )
    scores = np.zeros((len(values), len(classes)))
    scores[:, _places(seen, classes, source)] = values
    return scores


def _read(values: Any, n_labels: int, source: str) -> np.ndarray | list[np.ndarray]:
    """Return numbers: an array, or a list with one array per label."""
    if isinstance(values, np.ndarray) and values.dtype == object and values.ndim == 1:
        values = list(values)
    if not isinstance(values, list | tuple):
        return _floats(values, source)
    parts = [_floats(part, source) for part in values]
    # A list of rows: arrays per label have as many entries as there are rows.
    rows = parts and all(part.ndim < 2 for part in parts)
    plain = rows and all(np.isscalar(v) or isinstance(v, list | tuple) for v in values)
    return _floats(values, source) if plain or rows and len(parts) != n_labels else parts


def _floats(values: Any, source: str) -> np.ndarray:
    try:
        return to_dense(values, "it")
    except ValueError as error:
        raise ValueError(
            f"{source} returned {type(values).__name__} that does not convert to numbers: {error}"
        ) from error


def _classes_per_label(classes: Any, n_labels: int, source: str) -> list:
    if classes is not None and len(classes):
        if any(sp.issparse(value) for values in classes for value in np.atleast_1d(values)):
            raise ValueError(
                f"{source} is of a classifier that takes the columns of a sparse y for classes: "
                "give y.toarray()"
            )
        flat = np.ndim(classes[0]) == 0
        if flat and n_labels == 1:
            return [classes]
        if not flat and len(classes) == n_labels:
            return list(classes)
    return [None] * n_labels


def _positive(values: np.ndarray, classes: Any) -> np.ndarray:
    """Return the scores of class 1 of one label."""
    if values.ndim == 1:
        return values
    if values.shape[1] == 2:
        reverse = classes is not None and len(classes) == 2 and classes[0] > classes[1]
        return values[:, 0 if reverse else 1]
    if classes is not None and len(classes) == 1 and _is_all_one(values):
        (only,) = np.asarray(classes).tolist()
        if only in (0, 1):
            return np.full(len(values), float(only))
    return values[:, 0]


def _is_all_one(values: np.ndarray) -> bool:
    return values.ndim == 2 and values.shape[1] == 1 and bool((values > 1 - ROUNDING).all())


def _places(seen: Any, classes: np.ndarray, source: str) -> np.ndarray:
    """Return the numbers of the classes that a classifier has seen."""
    seen = np.asarray(seen)
    known = {value: place for place, value in enumerate(classes.tolist())}
    if all(value in known for value in seen.tolist()):
        return np.array([known[value] for value in seen.tolist()], dtype=np.intp)
    if len(seen) == len(classes):  # such as True, given back as "True"
        return np.arange(len(classes))
    raise ValueError(
        f"{source} is of the classes {seen.tolist()}, which are not among {classes.tolist()} of y"
    )


def _other_shape(source: str, output: str, n_labels: int) -> str:
    many = f"{n_labels} label{'s' if n_labels != 1 else ''}"
    return (
        f"{source} returned {output} for {many}: one column per label is needed, or a list with "
        "one array per label"
    )
