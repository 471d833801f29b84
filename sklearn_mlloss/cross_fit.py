"""Fitting the models of a cross-validation, each row scored by one that has not seen it."""

from __future__ import annotations

import warnings
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.utils.metadata_routing import _routing_enabled, process_routing
from sklearn.utils.metaestimators import _safe_split
from sklearn.utils.validation import _check_method_params, check_is_fitted, has_fit_parameter

from ._data.folds import list_folds
from .model_selection import MultilabelStratifiedKFold
from .parallel import call_in_parallel
from .responses import label_scores
from .targets import TargetCodec

__all__ = ["fit_models", "is_prefit", "make_parts", "pool", "route"]

# Rows to train on and, unless the model is one of all rows, to score.
Part = tuple[np.ndarray, np.ndarray | None]


def is_prefit(estimator: Any, cv: Any) -> bool:
    """Return whether the estimator stays as it is; raise if it must be fitted and is not."""
    frozen = isinstance(estimator, FrozenEstimator)
    if not frozen and not (isinstance(cv, str) and cv == "prefit"):
        return False
    try:
        check_is_fitted(estimator)
    except NotFittedError as error:
        given = "a FrozenEstimator" if frozen else "cv='prefit'"
        raise NotFittedError(
            f"{given} needs an estimator that is fitted, got {estimator!r}: fit it first on other "
            "rows, or use cv=5"
        ) from error
    return True


def route(owner: Any, sample_weight: Any, params: dict) -> tuple[dict, dict]:
    """Return the arguments of the fit of `owner.estimator` and of the splitter."""
    if _routing_enabled():
        routed = process_routing(owner, "fit", sample_weight=sample_weight, **params)
        return routed.estimator.fit, routed.splitter.split
    fit_params = dict(params)
    # With "oof" the only splitter there may be is one of the estimator.
    of_splitter = not isinstance(owner.cv, str)
    groups = fit_params.pop("groups", None) if of_splitter else None
    if sample_weight is not None and has_fit_parameter(owner.estimator, "sample_weight"):
        fit_params["sample_weight"] = sample_weight
    elif sample_weight is not None:
        warnings.warn(
            f"{type(owner.estimator).__name__}.fit takes no sample_weight: the weights are used "
            "for calibration and decoder only",
            stacklevel=3,
        )
    return fit_params, {} if groups is None else {"groups": groups}


def make_parts(
    cv: Any, X: Any, y: Any, Y: np.ndarray, rows: np.ndarray, seed: int, split_params: dict
) -> list[Part]:
    """Return folds in numbers of the rows of X.

    Parameters
    ----------
    cv : None, int, splitter or iterable of (train, test)
    X, y : as they were given
        For a splitter.
    Y : ndarray of shape (n_samples, n_labels)
        Target matrix.
    rows : ndarray of int
        Those that may be used.
    seed : int
        Of the folds, if their number is given.
    split_params : dict
        For a splitter.
    """
    if cv is None or isinstance(cv, Integral):
        splitter = MultilabelStratifiedKFold(5 if cv is None else cv, random_state=seed)
        return [(rows[train], rows[test]) for train, test in splitter.split(Y[rows], Y[rows])]
    return list_folds(cv, X, y, np.isin(np.arange(len(Y)), rows), **split_params)


def fit_models(
    estimator: Any,
    X: Any,
    y: Any,
    parts: list[Part],
    fit_params: dict,
    method: str,
    targets: TargetCodec,
    n_jobs: int | None,
) -> list[tuple[Any, np.ndarray | None]]:
    """Return a model for each part with the scores of the rows that it is to score."""
    calls = ((clone(estimator), X, y, *part, fit_params, method, targets) for part in parts)
    return call_in_parallel(_fit_and_score, calls, n_jobs)


def pool(folds: list[Part], scores: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the scored rows of all folds, in order, with their scores."""
    rows = np.concatenate([test for _, test in folds])
    order = np.argsort(rows, kind="stable")
    return rows[order], np.concatenate(scores)[order]


def _fit_and_score(
    model: Any,
    X: Any,
    y: Any,
    train: np.ndarray,
    test: np.ndarray | None,
    fit_params: dict,
    method: str,
    targets: TargetCodec,
) -> tuple[Any, np.ndarray | None]:
    # `_safe_split` knows that a kernel matrix is cut along both axes.
    X_train, y_train = _safe_split(model, X, y, train)
    model.fit(X_train, y_train, **_check_method_params(X, fit_params, indices=train))
    if test is None:
        return model, None
    X_test, _ = _safe_split(model, X, y, test, train)
    return model, label_scores(model, X_test, method, targets)
