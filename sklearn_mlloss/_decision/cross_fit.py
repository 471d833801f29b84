"""Cross-validation: folds, a model per fold, and a score of each row that its model did not see."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from .._data.folds import Fold, list_folds, warn_of_gaps
from .._data.interrupts import Interrupt, call_until_interrupted, describe_folds
from .._data.messages import describe
from .._data.progress import Task, fitting_part
from .._data.responses import explaining, label_scores
from .._data.rows import Rows
from .._data.targets import TargetCodec
from .._sklearn import _check_method_params, _safe_split
from ..model_selection import MultilabelStratifiedShuffleSplit
from ..model_selection.split_groups import stratified_folds

__all__ = [
    "CrossFit",
    "Part",
    "cross_fit",
    "fit_and_score",
    "fit_on",
    "hold_out",
    "is_prefit",
    "make_folds",
    "make_folds_of_kept",
    "row_means",
]

# Rows to train on and, unless no row is held out, to score.
Part = tuple[np.ndarray, np.ndarray | None]


def make_folds(
    cv: Any,
    X: Any,
    y: Any,
    Y: np.ndarray,
    seed: int,
    *,
    kept: np.ndarray | None = None,
    repeats: int = 1,
    **split_params: Any,
) -> list[Fold]:
    """Return the folds of a cross-validation in numbers of the rows of X.

    Parameters
    ----------
    cv : None, int, splitter or iterable of (train, test)
        A number of stratified folds (None is 5), or what `list_folds` takes.
    X, y : as a splitter takes them
    Y : ndarray of shape (n_samples, n_labels)
        Target matrix.
    seed : int
        Of the folds, if `cv` is their number.
    kept : ndarray of bool, shape (n_samples,), optional
        Which rows may be used; the others are left out of every part.
    repeats : int, default=1
        How often to split, if `cv` is a number of folds.
    **split_params : dict
        For a splitter; `groups` are kept together by a number of folds, too.
    """
    if cv is not None and not isinstance(cv, Integral):
        return list_folds(cv, X, y, kept, **split_params)
    rows = np.arange(len(Y)) if kept is None else np.flatnonzero(kept)
    if cv is not None and int(cv) > len(rows):
        raise ValueError(f"cv must be at most {len(rows)}, the number of rows, got {cv!r}")
    groups = split_params.get("groups")
    groups = None if groups is None else groups[rows]
    return [
        (rows[train], rows[test])
        for repeat in range(repeats)
        for train, test in stratified_folds(
            5 if cv is None else int(cv), Y[rows], seed + repeat, groups
        )
    ]


def make_folds_of_kept(
    cv: Any,
    rows: Rows,
    kept: np.ndarray,
    targets: TargetCodec,
    seed: int,
    *,
    repeats: int = 1,
    groups: np.ndarray | None = None,
) -> list[Fold]:
    """Return folds in numbers of the rows that are left; warn of labels that folds lack.

    Parameters
    ----------
    cv, seed, repeats : see `make_folds`
        Row numbers in `cv` are those of the rows as they were passed.
    rows : Rows
        Those that are left.
    kept : ndarray of bool, shape (n_samples,)
        Which of the rows that were passed are left.
    targets : TargetCodec
        Fitted on all rows: splitters of scikit-learn take several classes as a 1-D y only.
    groups : ndarray of shape (n_samples,), optional
        Group of each row that was passed, to be kept together.
    """
    Y = np.zeros((len(kept), rows.Y.shape[1]), dtype=rows.Y.dtype)
    Y[kept] = rows.Y
    y = targets.inverse_transform(Y) if targets.kind == "multiclass" else Y
    split = {} if groups is None else {"groups": groups}
    folds = make_folds(cv, np.zeros(len(Y)), y, Y, seed, kept=kept, repeats=repeats, **split)
    place = np.cumsum(kept) - 1
    folds = [(place[train], place[test]) for train, test in folds]
    warn_of_gaps(folds, rows.Y, targets)
    return folds


def hold_out(
    Y: np.ndarray, share: float, seed: int, groups: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of the rows to train on, and of a stratified share of the rows."""
    if groups is not None:
        n_groups = len(np.unique(groups))
        if n_groups < 2:
            raise ValueError(
                "groups has only 1 group, and the rows that are held out for early stopping or the "
                "decision must be of other groups than the rest: give at least 2 groups, or fit "
                "without groups"
            )
        return stratified_folds(min(max(2, round(1 / share)), n_groups), Y, seed, groups)[0]
    if len(Y) < 2:
        raise ValueError(
            "n_samples=1: rows must be held out for early stopping or the decision; give more "
            "rows, or early_stopping=False and a decoder that needs no fit"
        )
    splitter = MultilabelStratifiedShuffleSplit(1, test_size=share, random_state=seed)
    return next(splitter.split(Y, Y))


@dataclass(frozen=True)
class CrossFit:
    """The models of a cross-validation, and the scores of their held-out rows.

    Attributes
    ----------
    models : list
        One per part.
    rows : ndarray of int, shape (n_scored,)
        Numbers of the scored rows, ascending. A row that several folds test is there several times.
    scores : ndarray of shape (n_scored, ...)
    count : ndarray of shape (n_scored,), or None
        Predicted numbers of labels, of models that have them.
    """

    models: list[Any]
    rows: np.ndarray
    scores: np.ndarray
    count: np.ndarray | None

    @classmethod
    def pool(
        cls,
        parts: Sequence[Part],
        results: Sequence[tuple[Any, np.ndarray | None, np.ndarray | None]],
    ) -> CrossFit:
        """Pool a model, scores and counts (or None) per part; a part without test rows has none."""
        scored = [
            (test, scores, count)
            for (_, test), (_, scores, count) in zip(parts, results, strict=True)
            if test is not None
        ]
        tests, scores, counts = zip(*scored, strict=True)
        rows = np.concatenate(tests)
        order = np.argsort(rows, kind="stable")
        count = None if counts[0] is None else np.concatenate(counts)[order]
        models = [model for model, _, _ in results]
        return cls(models, rows[order], np.concatenate(scores)[order], count)

    def means(self, n_rows: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the mean scores and counts of each of `n_rows` rows; NaN for a row without any."""
        count = None if self.count is None else row_means(self.rows, self.count, n_rows)
        return row_means(self.rows, self.scores, n_rows), count


def cross_fit(
    fit_one: Callable[..., tuple[Any, np.ndarray | None, np.ndarray | None]],
    parts: Sequence[Part],
    n_jobs: int | None = None,
    interrupt: Interrupt | None = None,
    **common: Any,
) -> CrossFit:
    """Fit a model per part, score its test rows, and pool the scores.

    Parameters
    ----------
    fit_one : callable ``(number, train, test, **common) -> (model, scores, count)``
        Fits on the rows `train` and scores the rows `test`, unless these are None.
    parts : sequence of (train, test)
    n_jobs : int, optional
        Parts at a time, as in joblib.
    interrupt : Interrupt, optional
        After an interrupt the parts with test rows that are finished are pooled, if there are two.
    **common : dict
        Arguments of all calls, such as tables.
    """
    calls = [(number, train, test) for number, (train, test) in enumerate(parts)]
    folds = {number for number, (_, test) in enumerate(parts) if test is not None}

    def keep(done: dict[int, str]) -> str:
        what = describe_folds(len(folds & done.keys()), len(folds))
        return what and what + " instead of one model of all rows" * (len(folds) < len(parts))

    interrupt = Interrupt() if interrupt is None else interrupt
    done = call_until_interrupted(interrupt, fit_one, calls, n_jobs, keep=keep, common=common)
    kept = list(done) if len(done) == len(parts) else sorted(folds & done.keys())
    return CrossFit.pool([parts[number] for number in kept], [done[number] for number in kept])


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


def fit_and_score(
    number: int,
    train: np.ndarray,
    test: np.ndarray | None,
    *,
    model: Any,
    X: Any,
    y: Any,
    fit_params: dict[str, Any],
    method: str,
    targets: TargetCodec,
    by_member: bool,
    task: Task | None = None,
    n_folds: int = 0,
) -> tuple[Any, np.ndarray | None, None]:
    """Return a copy of a model fitted on some rows, and its scores of others, or its members'."""
    model = clone(model)
    where = "the rows" if test is None else f"the training rows of fold {number} of cv"
    name = "all rows" if test is None else f"fold {number + 1}/{n_folds}"
    with fitting_part(task, model, name, number):
        fit_on(model, train, where, X, y, fit_params, targets)
    if test is None:
        return model, None, None
    X_test, _ = _safe_split(model, X, y, test, train)
    if not by_member:
        return model, label_scores(model, X_test, method, targets), None
    scores = [label_scores(member, X_test, method, targets) for member in model.estimators_]
    return model, np.stack(scores, axis=1), None


def fit_on(
    model: Any,
    train: np.ndarray,
    where: str,
    X: Any,
    y: Any,
    fit_params: dict[str, Any],
    targets: TargetCodec,
) -> None:
    """Fit a model on some rows; `where` describes them in errors."""
    # `_safe_split` splits a kernel matrix along both axes.
    X_train, y_train = _safe_split(model, X, y, train)
    fit_params = _check_method_params(X, fit_params, indices=train)
    with explaining(model, X_train, y_train, targets, where, fit_params):
        model.fit(X_train, y_train, **fit_params)


def row_means(rows: np.ndarray, values: np.ndarray, n_rows: int) -> np.ndarray:
    """Return the mean value of each row; NaN for a row without any.

    Parameters
    ----------
    rows : ndarray of int, shape (n_values,)
        Which row each value is of.
    values : ndarray of shape (n_values,) or (n_values, n_labels)
    n_rows : int
    """
    places = rows, np.arange(len(rows))
    total = sp.csr_array((np.ones(len(rows)), places), shape=(n_rows, len(rows))) @ values
    with np.errstate(invalid="ignore"):
        return (total.T / np.bincount(rows, minlength=n_rows)).T
