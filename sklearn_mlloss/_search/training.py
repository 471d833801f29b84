"""Training each setting once per fold, and the scores of the held-out rows."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import Pipeline

from .._data.messages import describe_error, held_back
from .._data.parallel import call_in_parallel
from .._data.progress import Task, fitting_part
from .._data.responses import inside, score_matrix
from .._data.targets import TargetCodec
from .._sklearn import _check_method_params, _safe_split
from .candidates import Setting, last_step, prefix_of
from .data import SearchData

__all__ = ["FoldScores", "fit_setting", "train"]


@dataclass(frozen=True)
class FoldScores:
    """Scores of the test rows of one fold by the model of one setting.

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
    doubts : tuple of str
        What training warned of: that it did not converge.
    """

    scores: np.ndarray | None
    count: np.ndarray | None
    fit_time: float
    predict_time: float = 0.0
    error: str = ""
    history: dict | list | None = None
    doubts: tuple[str, ...] = ()


def train(
    data: SearchData,
    settings: Sequence[Setting],
    names: Sequence[str],
    n_jobs: int | None,
    task: Task | None,
    on_result: Callable[[int, FoldScores], None] | None,
) -> list[list[FoldScores]]:
    """Train each setting on each fold, and score the test rows of the fold.

    Parameters
    ----------
    data : SearchData
    settings : sequence of Setting
    names : sequence of str
        Of the trainings of each setting on each fold, for callbacks.
    n_jobs : int or None
        Trainings at a time.
    task : Task or None
        Notified of each training.
    on_result : callable or None
        Called with number and result of each training, as it ends.

    Returns
    -------
    list of lists of FoldScores
        For each setting, those of each fold.
    """
    shared = data.estimator, data.X, data.y, data.targets, data.raises, task
    trainings = [(setting.params, *fold) for setting in settings for fold in data.folds]
    calls = (
        (*shared, *training, name, number)
        for number, (training, name) in enumerate(zip(trainings, names, strict=True))
    )
    parts = call_in_parallel(
        _train_fold, calls, n_jobs, common=data.fit_params, on_result=on_result
    )
    n_folds = len(data.folds)
    return [parts[start : start + n_folds] for start in range(0, len(parts), n_folds)]


def fit_setting(
    estimator: Any,
    params: dict,
    X: Any,
    y: Any,
    fit_params: dict,
    task: Task | None,
    name: str,
    number: int,
) -> Any:
    """Return the estimator fitted with the parameters of a setting.

    Callbacks see it as a part of the task, with a name and a number. Its decision is a fixed one,
    which needs no held-out rows and is to be replaced.
    """
    prefix = prefix_of(estimator)
    model = clone(estimator).set_params(**clone(params, safe=False))
    # The rows of a fold may have two of several classes.
    fixed = "argmax" if TargetCodec().fit(y).kind == "multiclass" else "threshold"
    model.set_params(**{prefix + "decoder": fixed, prefix + "calibration": None})
    with warnings.catch_warnings(), fitting_part(task, model, name, number, X=X, y=y):
        # The search itself has warned, once, with the names of the folds.
        warnings.filterwarnings("ignore", r"\d+ label\(s\) have only positives or no positive")
        warnings.filterwarnings("ignore", ".* takes scores for probabilities")
        return model.fit(X, y, **fit_params)


def _train_fold(
    estimator: Any,
    X: Any,
    y: Any,
    targets: TargetCodec,
    raises: bool,
    task: Task | None,
    params: dict,
    train: np.ndarray,
    test: np.ndarray,
    name: str,
    number: int,
    /,
    **fit_params: Any,
) -> FoldScores:
    start = time.perf_counter()
    try:
        X_train, y_train = _safe_split(estimator, X, y, train)
        fit_params = _check_method_params(X, fit_params, indices=train)
        with held_back(ConvergenceWarning) as doubts:
            model = fit_setting(estimator, params, X_train, y_train, fit_params, task, name, number)
        fit_time = time.perf_counter() - start
        X_test, _ = _safe_split(estimator, X, y, test, train)
        scores, count = _raw_scores(model, X_test, targets)
        if not np.isfinite(scores).all():
            raise ValueError("the scores are not finite: training has diverged")
        predict_time = time.perf_counter() - start - fit_time
        history = last_step(model).history_
        return FoldScores(
            scores, count, fit_time, predict_time, history=history, doubts=tuple(doubts)
        )
    except Exception as error:
        if raises:
            raise
        return FoldScores(None, None, time.perf_counter() - start, error=describe_error(error))


def _raw_scores(model: Any, X: Any, targets: TargetCodec) -> tuple[np.ndarray, np.ndarray | None]:
    """Return scores before calibration, and counts, of a fitted classifier or pipeline.

    The columns are those of `targets`, whatever classes there were in training.
    """
    while isinstance(model, Pipeline):
        for _, step in model.steps[:-1]:
            X = X if step is None or isinstance(step, str) else step.transform(X)
        model = model.steps[-1][1]
    scores, count = model._raw_scores(model._check_X(X))
    return inside(score_matrix(model, scores, targets, "the network")), count
