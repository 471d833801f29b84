"""Fitting the models of a cross-validation, each row scored by one that has not seen it."""

from __future__ import annotations

from collections.abc import Iterable
from inspect import signature
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import process_routing
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from .._data.folds import check_groups, list_folds
from .._data.messages import describe, did_you_mean, warn_user
from .._data.parallel import call_in_parallel
from .._data.responses import explaining_labels, label_scores
from .._data.targets import TargetCodec
from .._sklearn import _check_method_params, _routing_enabled, _safe_split
from ..model_selection.split_groups import stratified_folds

__all__ = [
    "Routed",
    "check_keywords",
    "fit_models",
    "is_prefit",
    "make_parts",
    "pool",
    "route",
    "takes_keyword",
]

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
            f"{given} needs an estimator that is fitted, got {describe(estimator)}: fit it first "
            "on other rows, or use cv=5"
        ) from error
    return True


class Routed(NamedTuple):
    """Who gets what of the arguments of `fit`.

    Attributes
    ----------
    fit, split : dict
        For `fit` of the estimator, and for the splitter.
    groups : ndarray of shape (n_samples,), or None
        For rows that are kept from both.
    """

    fit: dict
    split: dict
    groups: np.ndarray | None


def route(owner: Any, sample_weight: Any, params: dict, n_rows: int, prefit: bool) -> Routed:
    """Return who gets what; raise for what nobody takes.

    Parameters
    ----------
    owner : DecodedClassifierCV
    sample_weight : array-like or None
    params : dict
        Other arguments of its `fit`.
    n_rows : int
    prefit : bool
        Whether the estimator is not to be fitted.
    """
    if _routing_enabled():
        routed = process_routing(owner, "fit", sample_weight=sample_weight, **params)
        fit, split = dict(routed.estimator.fit), dict(routed.splitter.split)
        groups = split.get("groups", params.get("groups"))
    else:
        fit, split = dict(params), {}
        groups = fit.pop("groups", None)
        check_keywords(owner, None if prefit else owner.estimator, fit)
        if sample_weight is not None and not prefit:
            if has_fit_parameter(owner.estimator, "sample_weight"):
                fit["sample_weight"] = sample_weight
            else:
                warn_user(
                    f"{type(owner.estimator).__name__}.fit takes no sample_weight: the weights are "
                    "used for calibration and decoder only"
                )
    if groups is None:
        return Routed(fit, split, None)
    own_folds = isinstance(owner.cv, str)
    groups = check_groups(groups, n_rows, None if own_folds else owner.estimator)
    if not isinstance(owner.cv, str):
        split["groups"] = groups
    elif owner.cv == "oof" and not _routing_enabled():
        # The only folds there may be are those of the estimator.
        if not takes_keyword(owner.estimator, "groups"):
            name = type(owner.estimator).__name__
            raise TypeError(
                f"{name}.fit takes no groups, and with cv='oof' the folds are its own: give it the "
                "splits, cv=list(GroupKFold().split(X, y, groups)), or use cv=5 here"
            )
        fit["groups"] = groups
    return Routed(fit, split, groups)


def check_keywords(owner: Any, estimator: Any, names: Iterable[str]) -> None:
    """Raise a TypeError for the first keyword that `fit` of an estimator does not take.

    Parameters
    ----------
    owner : object
        Whose `fit` was called, and passes keywords on.
    estimator : object
        Whose `fit` is to get them; None if there is none.
    names : iterable of str
        The keywords.
    """
    for name in names:
        if estimator is not None and takes_keyword(estimator, name):
            continue
        other = "" if estimator is None else f", and {type(estimator).__name__}.fit takes none such"
        raise TypeError(
            f"{type(owner).__name__}.fit() got an unexpected keyword argument {name!r}{other}"
            f"{did_you_mean(name, ('sample_weight', 'groups'))}"
        )


def takes_keyword(estimator: Any, name: str) -> bool:
    """Return whether `fit` has a keyword, or passes on whatever it is given, as a search does."""
    if isinstance(estimator, Pipeline):
        step, _, rest = name.partition("__")
        inner = estimator.named_steps.get(step)
        return bool(rest) and hasattr(inner, "fit") and takes_keyword(inner, rest)
    found = signature(estimator.fit).parameters
    return name in found or any(p.kind is p.VAR_KEYWORD for p in found.values())


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
        groups = split_params.get("groups")
        groups = None if groups is None else groups[rows]
        folds = stratified_folds(5 if cv is None else cv, Y[rows], seed, groups)
        return [(rows[train], rows[test]) for train, test in folds]
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
    calls = (
        (clone(estimator), X, y, k, *part, fit_params, method, targets)
        for k, part in enumerate(parts)
    )
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
    number: int,
    train: np.ndarray,
    test: np.ndarray | None,
    fit_params: dict,
    method: str,
    targets: TargetCodec,
) -> tuple[Any, np.ndarray | None]:
    # `_safe_split` knows that a kernel matrix is cut along both axes.
    X_train, y_train = _safe_split(model, X, y, train)
    where = "the rows" if test is None else f"the training rows of fold {number} of cv"
    with explaining_labels(model, y_train, targets, where):
        model.fit(X_train, y_train, **_check_method_params(X, fit_params, indices=train))
    if test is None:
        return model, None
    X_test, _ = _safe_split(model, X, y, test, train)
    return model, label_scores(model, X_test, method, targets)
