"""Training each setting once a fold, and the scores of the rows that it has not seen."""

from __future__ import annotations

import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from .._data.folds import Fold
from .._data.parallel import call_in_parallel
from .._data.responses import inside, score_matrix
from .._data.targets import TargetCodec
from .._sklearn import _check_method_params, _safe_split
from .._training.progress import Task
from ..decoders import Argmax, Decoder
from .candidates import last_step, prefix_of

__all__ = ["FoldScores", "Undecided", "raw_scores", "train", "train_one"]


class Undecided(Decoder):
    """Stands for a decision that is made later: nothing to learn, nothing to warn of."""

    def _decode(self, scores, count):
        return scores >= 0.5


@dataclass(frozen=True)
class FoldScores:
    """What the model of one setting says of the test rows of one fold.

    Attributes
    ----------
    scores : ndarray of shape (n_test, n_labels), or None
        Before calibration; None if training failed.
    count : ndarray of shape (n_test,), or None
        The predicted number of labels, where the loss has one.
    fit_time, predict_time : float
        In seconds.
    error : str
        What went wrong, else empty.
    history : dict of lists, list of such dicts, or None
        ``history_`` of the classifier; None if training failed.
    """

    scores: np.ndarray | None
    count: np.ndarray | None
    fit_time: float
    predict_time: float = 0.0
    error: str = ""
    history: dict | list | None = None


def train(
    estimator: Any,
    settings: list[dict],
    names: list[str],
    folds: list[Fold],
    X: Any,
    y: Any,
    fit_params: dict,
    targets: TargetCodec,
    *,
    n_jobs: int | None = None,
    raises: bool = False,
    task: Task | None = None,
    told: Callable[[int, FoldScores], None] | None = None,
) -> list[list[FoldScores]]:
    """Train each setting on each fold, and score the rows of the fold.

    Parameters
    ----------
    estimator : MultiLabelNetClassifier or Pipeline
        With a random state that is an int, so that all settings start from the same one.
    settings : list of dict
        Parameters for ``estimator.set_params``.
    names : list of str
        What each training is: of each setting, each fold.
    folds : list of (train, test)
        Numbers of rows.
    X, y : as they were given to `fit`
    fit_params : dict
        For ``estimator.fit``; what has a value a row is cut to the rows of the fold.
    targets : TargetCodec
        Fitted on all rows.
    n_jobs : int, optional
        Tasks at a time, one for each setting and fold.
    raises : bool, default=False
        Whether an error ends the search.
    task : Task, optional
        Told of each training.
    told : callable, optional
        Called with number and result of each training, as it ends.

    Returns
    -------
    list of lists of FoldScores
        For each setting, those of each fold.
    """
    trainings = ((params, fold) for params in settings for fold in folds)
    calls = (
        (estimator, params, X, y, *fold, targets, raises, task, names[number], number)
        for number, (params, fold) in enumerate(trainings)
    )
    found = call_in_parallel(_train_task, calls, n_jobs, common=fit_params, on_result=told)
    return [found[start : start + len(folds)] for start in range(0, len(found), len(folds))]


def train_one(
    estimator: Any, params: dict, X: Any, y: Any, fit_params: dict, task: Task | None
) -> Any:
    """Return the estimator fitted with the parameters of a setting, and no decision."""
    prefix = prefix_of(estimator)
    # The rows of a fold may have two of several classes.
    undecided = Argmax() if TargetCodec().fit(y).kind == "multiclass" else Undecided()
    model = clone(estimator).set_params(**clone(params, safe=False))
    model.set_params(**{prefix + "decoder": undecided, prefix + "calibration": None})
    with warnings.catch_warnings(), nullcontext() if task is None else task.fitting(model):
        # The search itself has warned, once, with the names of the folds.
        warnings.filterwarnings("ignore", r"\d+ label\(s\) have only positives or no positive")
        return model.fit(X, y, **fit_params)


def raw_scores(model: Any, X: Any, targets: TargetCodec) -> tuple[np.ndarray, np.ndarray | None]:
    """Return scores before calibration, and counts, of a fitted classifier or pipeline.

    The columns are those of `targets`, whatever classes training has seen.
    """
    while isinstance(model, Pipeline):
        for _, step in model.steps[:-1]:
            X = X if step is None or isinstance(step, str) else step.transform(X)
        model = model.steps[-1][1]
    scores, count = model._raw_scores(model._check_X(X))
    return inside(score_matrix(model, scores, targets, "the network")), count


def _train_task(
    estimator: Any,
    params: dict,
    X: Any,
    y: Any,
    train: np.ndarray,
    test: np.ndarray,
    targets: TargetCodec,
    raises: bool,
    task: Task | None,
    name: str,
    number: int,
    /,
    **fit_params: Any,
) -> FoldScores:
    start = time.perf_counter()
    try:
        X_train, y_train = _safe_split(estimator, X, y, train)
        own = _check_method_params(X, fit_params, indices=train)
        if task is not None:
            task = task.part(name, number, X=X_train, y=y_train)
        model = train_one(estimator, params, X_train, y_train, own, task)
        fitted = time.perf_counter()
        X_test, _ = _safe_split(estimator, X, y, test, train)
        scores, count = raw_scores(model, X_test, targets)
        if not np.isfinite(scores).all():
            raise ValueError("the scores are not finite: training has diverged")
        found = FoldScores(
            scores,
            count,
            fitted - start,
            time.perf_counter() - fitted,
            history=last_step(model).history_,
        )
    except Exception as error:
        if raises:
            raise
        message = "".join(traceback.format_exception_only(error)).strip()
        found = FoldScores(None, None, time.perf_counter() - start, error=message)
    return found
