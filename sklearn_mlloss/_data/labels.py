"""Labels and scores of shape (n_samples, n_labels), as metrics and displays take them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any

import numpy as np
import scipy.sparse as sp

from .containers import to_float
from .messages import did_you_mean
from .sparse import as_csr
from .tables import check_same_columns, columns_of

__all__ = [
    "check_label_values",
    "check_labels",
    "check_predictions",
    "find_label",
    "find_names",
    "to_dense",
]

# How many names a message shows.
N_SHOWN = 20

# Which predictions of each kind are valid, what they must be, and what to do about others.
KINDS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], str, str]] = {
    "scores": (np.isfinite, "be finite", "check the model that made them"),
    "probabilities": (
        lambda values: (values >= 0) & (values <= 1),
        "hold probabilities in [0, 1]",
        "give predict_proba, not decision_function",
    ),
    "labels": (
        lambda values: (values == 0) | (values == 1),
        "hold 0 or 1",
        "give predicted labels, not probabilities",
    ),
}


def to_dense(values: Any, name: str) -> np.ndarray:
    """Return an array-like or a sparse matrix of numbers as a float64 array."""
    return to_float(as_csr(values, name).toarray() if sp.issparse(values) else values, name)


def check_labels(Y: Any, name: str, soft: bool = True) -> np.ndarray:
    """Return true labels as float64, with NaN where they were not observed, or raise.

    Parameters
    ----------
    Y : array-like or sparse matrix of shape (n_samples, n_labels)
        0, 1 or NaN.
    name : str
        Name of the argument, for messages.
    soft : bool, default=True
        Whether there may be soft labels, fractions between 0 and 1.
    """
    Y = to_dense(Y, name)
    if Y.ndim != 2 or 0 in Y.shape:
        raise ValueError(
            f"{name} must be 2-D, (n_samples, n_labels) with at least one row and one label, got "
            f"shape {Y.shape}; use {name}.reshape(-1, 1) for a single label"
        )
    check_label_values(Y, name, soft)
    return Y


def check_label_values(Y: np.ndarray, name: str, soft: bool = True) -> None:
    """Raise unless labels are 0, 1, or NaN where not observed, or fractions if `soft`."""
    invalid = (Y < 0) | (Y > 1) if soft else (Y != 0) & (Y != 1) & ~np.isnan(Y)
    if not invalid.any():
        return
    value = Y[invalid][0]
    wanted = "values in [0, 1]" if soft else "0, 1"
    remedy = "encode the labels as a 0/1 indicator matrix"
    if 0 < value < 1:
        remedy = "cut soft labels first, such as (y >= 0.5)"
    raise ValueError(
        f"{name} must hold {wanted}, or NaN where not observed, got {value:g}; {remedy}"
    )


def check_predictions(
    values: Any, name: str, Y: Any, shape: tuple[int, ...], name_of_Y: str, kind: str = "scores"
) -> np.ndarray:
    """Return scores, probabilities or predicted labels of the same labels as Y, or raise.

    Parameters
    ----------
    values : array-like or sparse matrix
    name : str
        Name of the argument, for messages.
    Y : array-like, DataFrame or sparse matrix of that shape
        True labels, whose columns `values` must have if both have names.
    shape : tuple
    name_of_Y : str
        For messages.
    kind : {"scores", "probabilities", "labels"}, default="scores"
    """
    check_same_columns(values, columns_of(Y), name, name_of_Y)
    scores = to_dense(values, name)
    if scores.shape != shape:
        raise ValueError(f"{name} must have the shape {shape} of {name_of_Y}, got {scores.shape}")
    is_valid, wanted, remedy = KINDS[kind]
    valid = is_valid(scores)
    if not valid.all():
        raise ValueError(f"{name} must {wanted}, got {scores[~valid][0]:g}; {remedy}")
    return scores


def find_names(Y: Any, label_names: Sequence[Any] | None, n_labels: int) -> list[Any]:
    """Return the given names of labels, else the columns of a table, else numbers."""
    columns = columns_of(Y) if label_names is None else label_names
    names = list(range(n_labels) if columns is None else columns)
    if len(names) != n_labels:
        raise ValueError(
            f"label_names must have one name for each of the {n_labels} labels, got {len(names)}"
        )
    return names


def find_label(label: Any, names: list[Any], start: str, kind: str = "label") -> int:
    """Return the number of a label by its name or number; a number that is a name is the name.

    Parameters
    ----------
    label : object
        A number counts from 0. A negative one is refused: it is a mistake more often than the end.
    names : list
    start : str
        Beginning of the message.
    kind : str, default="label"
        What the names are of, for messages.

    Raises
    ------
    ValueError
        If there is no such label.
    """
    try:
        known = label in names
    except ValueError:  # an array has no truth value
        known = False
    if known:
        return names.index(label)
    n = len(names)
    if isinstance(label, Integral) and not isinstance(label, bool) and 0 <= int(label) < n:
        return int(label)
    shown = ", ".join(map(repr, names[:N_SHOWN])) + (", ..." if n > N_SHOWN else "")
    many = f"the {n} {'classes' if kind == 'class' else 'labels'}, 0 to {n - 1}"
    near = did_you_mean(label, [name for name in names if isinstance(name, str)])
    raise ValueError(f"{start} neither a name nor an index of {many}; the names are: {shown}{near}")
