"""What a search is given: targets, weights, folds, and where random numbers start."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import process_routing

from .._data.folds import Fold, find_gaps, list_folds, warn_of_gaps
from .._data.targets import TargetCodec
from .._data.validation import draw_entropy
from .._data.weights import counting_rows
from .._sklearn import _routing_enabled
from ..model_selection.split import RepeatedMultilabelStratifiedKFold
from ..model_selection.split_groups import stratified_folds
from .candidates import last_step

__all__ = [
    "check_folds",
    "make_folds",
    "seeded",
    "weight_of_classifier",
]


def weight_of_classifier(estimator: Any, fit_params: dict) -> Any:
    """Return the weights that reach the classifier itself, through pipelines."""
    while isinstance(estimator, Pipeline):
        name, last = estimator.steps[-1]
        if _routing_enabled():
            fit_params = process_routing(estimator, "fit", **fit_params)[name].fit
        else:
            start = f"{name}__"
            fit_params = {
                key.removeprefix(start): value
                for key, value in fit_params.items()
                if key.startswith(start)
            }
        estimator = last
    return fit_params.get("sample_weight")


def make_folds(
    cv: Any, repeats: int, X: Any, y: Any, Y: np.ndarray, split_params: dict, seed: int
) -> list[Fold]:
    """Return the rows to train on, and those to test, of each split."""
    if cv is None or isinstance(cv, Integral):
        n_splits = 5 if cv is None else cv
        if "groups" in split_params and repeats > 1:
            raise ValueError("repeats does not work with groups: pass a splitter as cv")
        if repeats > 1:
            splitter = RepeatedMultilabelStratifiedKFold(
                n_splits, n_repeats=repeats, random_state=seed
            )
            return list(splitter.split(Y, Y))
        return stratified_folds(n_splits, Y, seed, split_params.get("groups"))
    return list_folds(cv, X, y, **split_params)


def check_folds(
    folds: list[Fold], Y: np.ndarray, weight: np.ndarray | None, targets: TargetCodec
) -> None:
    """Raise if a fold has nothing to train on, or one class only; warn of what rows lack.

    Parameters
    ----------
    folds : list of (train, test)
    Y : ndarray of shape (n_samples, n_labels)
        Target matrix.
    weight : ndarray of shape (n_samples,), or None
    targets : TargetCodec
        Fitted on all rows.
    """
    counts = counting_rows(Y, weight)
    for k, (train, _) in enumerate(folds):
        if not counts[train].any():
            raise ValueError(
                f"the training rows of fold {k} of cv have sample_weight 0, or NaN in y: nothing "
                "is left to learn from"
            )
    if targets.kind != "multilabel":
        there = ~find_gaps(folds, Y, targets)
        for k in np.flatnonzero(there.sum(axis=1) < 2):
            (only,) = targets.classes_[there[k]].tolist()
            raise ValueError(
                f"the training rows of fold {k} of cv have only 1 class, {only!r}: use fewer folds "
                "or a stratified cv"
            )
    targets.warn_of_constant_labels(np.nansum(Y, axis=0), np.sum(Y >= 0, axis=0))
    warn_of_gaps(folds, Y, targets)


def seeded(estimator: Any, seed: int) -> Any:
    """Return a copy of the estimator whose network has a random state."""
    estimator = clone(estimator)
    net = last_step(estimator)
    if net.random_state is None or not isinstance(net.random_state, Integral):
        # A RandomState would give every setting another start.
        own = seed if net.random_state is None else draw_entropy(net.random_state)
        net.set_params(random_state=own)
    return estimator
