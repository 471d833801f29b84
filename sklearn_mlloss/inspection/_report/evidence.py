"""What a report is about: a fitted classifier, and what it predicts for held-out rows."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from ..._data.features import InputCodec
from ..._data.labels import check_label_values, find_names
from ..._data.responses import choose_method, label_scores
from ..._data.scores import predict_matrix
from ..._data.tables import check_same_columns, columns_of, is_frame
from ..._data.targets import TargetCodec
from ..._sklearn import _num_samples
from .._inputs import feature_names, read_targets
from ..thresholds import thresholds_of

__all__ = ["Columns", "Evidence", "collect"]


class _Reader(BaseEstimator):
    """What `InputCodec` asks of an estimator."""

    encoding = "auto"
    _dtype = np.float64


@dataclass(frozen=True)
class Columns:
    """Columns of X as numbers, or the reason why they are none.

    Attributes
    ----------
    values : ndarray or CSR matrix of shape (n_samples, n_features), or None
        Numbers, NaN where missing, and codes of categories.
    train_values : ndarray or CSR matrix, or None
        Those of the training rows, if the user gave some.
    names : list
    is_categorical : ndarray of bool, shape (n_features,)
    left_out : list
        Names of the columns that are neither numbers nor categories.
    error : str
        Why there are no numbers, if there are none.
    """

    values: Any
    train_values: Any
    names: list[Any]
    is_categorical: np.ndarray
    left_out: list[Any]
    error: str


@dataclass(frozen=True)
class Evidence:
    """A fitted classifier, held-out rows, and its predictions for them.

    Attributes
    ----------
    model, X, y : object
        As the user passed them.
    targets : TargetCodec
        The kind of y.
    Y : ndarray of shape (n_samples, n_labels)
        True labels, NaN where not observed.
    Y_train : ndarray of shape (n_train, n_labels) or None
    scores : ndarray of shape (n_samples, n_labels)
        Inside (0, 1).
    Y_hat : ndarray of shape (n_samples, n_labels)
        Predicted labels, 0 or 1.
    names : list
        Names of the labels.
    index : ndarray of shape (n_samples,)
        Names of the rows, or their numbers.
    method : {"predict_proba", "decision_function"}
        Where the scores come from.
    decoder : Decoder or None
        That of the model, if it has one.
    thresholds : ndarray of shape (n_labels,) or None
        Its thresholds, if its rule has any.
    columns : Columns
    """

    model: Any
    X: Any
    y: Any
    targets: TargetCodec
    Y: np.ndarray
    Y_train: np.ndarray | None
    scores: np.ndarray
    Y_hat: np.ndarray
    names: list[Any]
    index: np.ndarray
    method: str
    decoder: Any
    thresholds: np.ndarray | None
    columns: Columns

    @property
    def positives(self) -> np.ndarray:
        """Number of positives of each label."""
        return np.nansum(self.Y, axis=0).astype(int)

    @property
    def order(self) -> np.ndarray:
        """The labels, those with the most positives first."""
        return np.argsort(-self.positives, kind="stable")


def collect(model: Any, X: Any, y: Any, X_train: Any, y_train: Any, label_names: Any) -> Evidence:
    """Return the predictions of a fitted classifier for held-out rows, and all that was given."""
    method = choose_method(model, "auto", "model")
    if not hasattr(model, "predict"):
        raise TypeError(f"model must be a classifier with predict, got {type(model).__name__}")
    targets, names = read_targets(model, y)
    if label_names is not None:
        names = find_names(y, label_names, targets.n_labels_)
    Y = _labels(targets, y, X, "y", "X")
    if (X_train is None) != (y_train is None):
        given, lacking = ("X_train", "y_train") if y_train is None else ("y_train", "X_train")
        raise ValueError(f"{given} is given without {lacking}: give both, or none of them")
    check_same_columns(y_train, columns_of(y), "y_train", "y")
    Y_train = None if y_train is None else _labels(targets, y_train, X_train, "y_train", "X_train")
    scores = label_scores(model, X, method, targets)
    if targets.kind == "multilabel":
        Y_hat = predict_matrix(model, X, "predict", targets.n_labels_)
    else:
        Y_hat = targets.transform(model.predict(X)).astype(float)
    decoder = getattr(_last(model), "decoder_", None)
    thresholds = None
    if decoder is not None and targets.kind != "multiclass":
        thresholds = thresholds_of(decoder, targets.n_labels_)
    return Evidence(
        model=model,
        X=X,
        y=y,
        targets=targets,
        Y=Y,
        Y_train=Y_train,
        scores=scores,
        Y_hat=Y_hat,
        names=names,
        index=np.asarray(X.index) if hasattr(type(X), "iloc") else np.arange(len(Y)),
        method=method,
        decoder=decoder,
        thresholds=None if thresholds is None else np.broadcast_to(thresholds, len(names)),
        columns=_read_columns(model, X, X_train),
    )


def _labels(targets: TargetCodec, y: Any, X: Any, name: str, of: str) -> np.ndarray:
    """Return hard labels as float64, with NaN where not observed."""
    Y = targets.transform(y).astype(float)
    check_label_values(Y, name, soft=False)
    n_rows = _num_samples(X)
    if len(Y) != n_rows:
        raise ValueError(f"{of} and {name} must have as many rows, got {n_rows} and {len(Y)}")
    return Y


def _last(model: Any) -> Any:
    """Return the classifier at the end of pipelines and searches."""
    while True:
        if hasattr(model, "steps"):
            model = model.steps[-1][1]
        elif hasattr(model, "best_estimator_") and not hasattr(model, "decoder_"):
            model = model.best_estimator_
        else:
            return model


def _read_columns(model: Any, X: Any, X_train: Any) -> Columns:
    """Return X as numbers; the categories are those of the training rows if there are some.

    Columns of a table that are neither numbers nor categories, such as dates, are left out.
    """
    first, left_out = X if X_train is None else X_train, []
    codec, reader = InputCodec("auto", "from_dtype"), _Reader()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on digits that float32 loses: these are not used
        error = _try_reading(first)
        if error and is_frame(first):
            left_out = [name for name in first.columns if _try_reading(first[[name]])]
            kept = [name for name in first.columns if name not in left_out]
            if kept and is_frame(X):
                first, X, error = first[kept], X[kept], ""
        if error:
            return Columns(None, None, [], np.zeros(0, dtype=bool), left_out, error)
        fitted = codec.fit_transform(reader, first)
        values = fitted if X_train is None else codec.transform(reader, X)
    is_categorical = codec.is_categorical_
    if is_categorical is None:
        is_categorical = np.zeros(values.shape[1], dtype=bool)
    names = feature_names(model, X if hasattr(X, "shape") else values)
    train_values = None if X_train is None else fitted
    return Columns(values, train_values, names, is_categorical, left_out, "")


def _try_reading(X: Any) -> str:
    """Return why columns are neither numbers nor categories, or nothing."""
    try:
        InputCodec("auto", "from_dtype").fit_transform(_Reader(), X)
    except (TypeError, ValueError) as error:
        return str(error)
    return ""
