"""Baselines that a model has to beat: label priors, and a logistic regression per label."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, OneHotEncoder, StandardScaler

from ..._data.counts import ratio
from ..._data.responses import inside
from ...decoders import FixedThreshold
from ...model_selection import MultilabelStratifiedKFold
from .evidence import Columns, Evidence

__all__ = ["PRIORS", "REGRESSION", "Baselines", "fit_baselines"]

PRIORS, REGRESSION = "label priors", "logistic regression"
_N_FOLDS = 5


class Baselines(NamedTuple):
    """Predictions of the baselines.

    Attributes
    ----------
    predictions : dict of str to (scores, labels)
    how : str
        How they were fitted.
    errors : list of str
        Which of them are missing, and why.
    """

    predictions: dict[str, tuple[np.ndarray, np.ndarray]]
    how: str
    errors: list[str]


def fit_baselines(evidence: Evidence, seed: np.random.RandomState) -> Baselines:
    """Return predictions of the baselines for the held-out rows.

    With training rows they are fitted on these, otherwise on folds of the held-out rows. The
    decoder is that of the model, fitted on out-of-fold scores of the same baseline.
    """
    Y, Y_train, columns = evidence.Y, evidence.Y_train, evidence.columns
    n_folds = min(_N_FOLDS, len(Y if Y_train is None else Y_train))
    rule = "predicts a label from a probability of 0.5 on"
    if evidence.targets.kind == "multiclass":
        rule = "predicts the class with the largest probability"
    elif evidence.decoder is not None:
        rule = (
            f"uses the decoder of the model, {type(evidence.decoder).__name__}, fitted on the "
            "baseline's own out-of-fold scores"
        )
    where = (
        f"on each {n_folds - 1} of {n_folds} folds of these rows, and predicts the rows of the "
        "other. The model may have seen more rows than that: give X_train and y_train for a "
        "comparison on the same training rows"
        if Y_train is None
        else "on the training rows"
    )
    how = f"Each baseline is fitted {where}. It {rule}."
    if n_folds < 2:
        return Baselines({}, "", ["There are too few rows to fit a baseline."])
    predictions, errors = {}, []
    for name in (PRIORS, REGRESSION):
        if name == REGRESSION and columns.values is None:
            errors.append(f"Without a {name}, which takes columns of numbers: {columns.error}")
            continue
        try:
            predictions[name] = _predict(name, evidence, n_folds, seed)
        except ValueError as error:  # such as of a decoder that needs more positives
            errors.append(f"Without {name}: {error}")
    return Baselines(predictions, how, errors)


def _predict(
    name: str, evidence: Evidence, n_folds: int, seed: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray]:
    """Return scores and labels of a baseline for the held-out rows."""
    Y, Y_train, columns = evidence.Y, evidence.Y_train, evidence.columns
    fitted_on = Y if Y_train is None else Y_train
    splitter = MultilabelStratifiedKFold(n_folds, random_state=seed.randint(2**31))
    folds = list(splitter.split(np.zeros((len(fitted_on), 1)), fitted_on))
    values = columns.values if Y_train is None else columns.train_values
    out_of_fold = np.empty(fitted_on.shape)
    for train, test in folds:
        out_of_fold[test] = _scores(name, values, fitted_on, train, values, test, columns)
    out_of_fold = _normalize(out_of_fold, evidence)
    if Y_train is not None:
        train, test = np.arange(len(Y_train)), np.arange(len(Y))
        scores = _scores(name, values, Y_train, train, columns.values, test, columns)
        scores = _normalize(scores, evidence)
        return scores, _decide(evidence, out_of_fold, Y_train, scores)
    labels = np.empty(Y.shape)
    for train, test in folds:
        labels[test] = _decide(evidence, out_of_fold[train], Y[train], out_of_fold[test])
    return out_of_fold, labels


def _scores(
    name: str,
    X: Any,
    Y: np.ndarray,
    train: np.ndarray,
    X_test: Any,
    test: np.ndarray,
    columns: Columns,
) -> np.ndarray:
    """Fit a baseline on some rows, and return its scores of others."""
    labels = Y[train]
    observed = ~np.isnan(labels)
    priors = ratio(np.nansum(labels, axis=0), observed.sum(axis=0), 0.0)
    scores = np.tile(priors, (len(test), 1))
    if name == PRIORS:
        return scores
    scaler = _scaler(X, columns)
    inputs, test_inputs = scaler.fit_transform(X[train]), scaler.transform(X_test[test])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for label in np.flatnonzero((0 < priors) & (priors < 1)):
            seen = observed[:, label]
            regression = LogisticRegression(max_iter=500)
            regression.fit(inputs[seen], labels[seen, label])
            scores[:, label] = regression.predict_proba(test_inputs)[:, 1]
    return scores


def _scaler(X: Any, columns: Columns) -> Any:
    """Return a transformer that scales numbers, fills gaps, and encodes categories one-hot."""
    if sp.issparse(X):
        return MaxAbsScaler()
    numbers = make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler())
    return ColumnTransformer(
        [
            ("numbers", numbers, np.flatnonzero(~columns.is_categorical)),
            ("categories", OneHotEncoder(handle_unknown="ignore"),
             np.flatnonzero(columns.is_categorical)),
        ]
    )  # fmt: skip


def _normalize(scores: np.ndarray, evidence: Evidence) -> np.ndarray:
    if evidence.targets.kind == "multiclass":
        scores = scores / scores.sum(axis=1, keepdims=True)
    return inside(scores)


def _decide(
    evidence: Evidence, fitted_on: np.ndarray, Y: np.ndarray, scores: np.ndarray
) -> np.ndarray:
    """Return the labels that the decoder of the model predicts for scores."""
    if evidence.targets.kind == "multiclass":
        return np.eye(scores.shape[1])[scores.argmax(axis=1)]
    decoder = FixedThreshold(0.5) if evidence.decoder is None else clone(evidence.decoder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on rare labels: the report has them
        return decoder.fit(fitted_on, Y).decode(scores).astype(float)
