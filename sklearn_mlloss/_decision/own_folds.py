"""Out-of-fold scores that an estimator keeps itself: ``cv="oof"`` of `DecodedClassifierCV`."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator

from .._data.messages import describe
from .._data.responses import may_keep_scores, out_of_fold_scores
from .._data.targets import TargetCodec
from ..decoders import Decoder
from .members import Composition

__all__ = ["check_may_keep_scores", "check_no_numbers", "check_own_folds", "own_scores"]

NO_SCORES = (
    "cv='oof' needs an estimator that keeps out-of-fold scores of the rows that it is fitted on, "
    "and {} keeps none: set store_cv_results=True of a classifier with its own folds, "
    "oob_score=True and bootstrap=True of a forest, or use cv=5 here"
)


def check_own_folds(estimator: Any, ensemble: bool | str) -> None:
    """Raise if parameters of `DecodedClassifierCV` do not go with the folds of its estimator."""
    if not isinstance(ensemble, str) and ensemble:
        raise ValueError(
            "ensemble=True asks for the models of folds, and with cv='oof' there are none: "
            "use ensemble='auto'"
        )
    if isinstance(estimator, FrozenEstimator):
        raise ValueError(
            "cv='oof' needs the rows that the estimator is fitted on, which for a "
            "FrozenEstimator are others: give the estimator itself, or other rows with "
            "cv='prefit'"
        )


def check_may_keep_scores(model: Any) -> None:
    """Raise before training if an estimator is not set to keep such scores."""
    if isinstance(model, Composition) and isinstance(getattr(model, model._members_of), list):
        model._check_members()  # what is no classifier keeps none
    if not may_keep_scores(model):
        raise ValueError(NO_SCORES.format(type(model).__name__))


def check_no_numbers(model: Any, decoder: Decoder) -> None:
    """Raise if folds are numbers of rows, some of which a decoder keeps for itself."""
    for name, value in model.get_params().items():
        is_cv = name.split("__")[-1] == "cv"
        if is_cv and np.iterable(value) and not isinstance(value, str):
            raise ValueError(
                f"{name} of estimator lists rows by number, and decoder={type(decoder).__name__} "
                "keeps some of the rows for itself: give a splitter"
            )


def own_scores(
    model: Any, method: str, targets: TargetCodec, rest: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows that a fitted estimator has out-of-fold scores of, and these.

    Parameters
    ----------
    model : classifier
    method : {"predict_proba", "decision_function"}
        Where scores of other rows come from.
    targets : TargetCodec
    rest : ndarray of int
        Numbers of the rows that it was fitted on.
    """
    scores = out_of_fold_scores(model, targets, len(rest))
    if scores is None or np.isnan(scores).any(axis=1).all():
        raise ValueError(NO_SCORES.format(type(model).__name__))
    if method == "decision_function" and not hasattr(model, "oof_scores_"):
        raise ValueError(
            "out-of-bag scores are those of predict_proba: use response_method='auto' with "
            f"cv='oof', got {describe(method)}"
        )
    known = ~np.isnan(scores).any(axis=1)
    return rest[known], scores[known]
