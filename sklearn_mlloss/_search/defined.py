"""Metrics where test rows lack labels or classes: averages over the others, and early errors."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial, wraps
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn import metrics

from .._data.folds import describe_gaps
from .._data.messages import describe_error, warn_user
from .._data.metric_names import suggest_average
from .._data.targets import TargetCodec
from .._sklearn import _BaseScorer, _MultimetricScorer, _PassthroughScorer
from .scored_rows import ScoredRows

if TYPE_CHECKING:
    from .data import SearchData
    from .search import LossDecoderSearchCV

__all__ = ["check_defined", "explaining_targets", "where_defined"]

AVERAGES = (metrics.roc_auc_score, metrics.average_precision_score)
# Defined for rows that lack a class, if they get all classes as an argument.
TAKE_CLASSES = (metrics.log_loss, metrics.brier_score_loss, metrics.top_k_accuracy_score)

RARE_LABELS = (
    "use fewer folds, a stratified cv, or another metric, such as label_ranking_average_precision "
    "or macro_average_precision of sklearn_mlloss.metrics.multilabel_scorers()"
)
RARE_CLASSES = (
    "use fewer folds, a stratified cv, or another metric, such as neg_log_loss or f1_macro"
)
NOT_PLAIN = (
    "y has NaN or soft labels, which most scorers of scikit-learn refuse: use one of "
    "sklearn_mlloss.metrics.multilabel_scorers()"
)


def where_defined(scorer: Any, targets: TargetCodec) -> Any:
    """Return a scorer that has a value for rows that lack a label or a class, where it can.

    ROC AUC, and average precision of a 1-D y, are then averages over the labels, classes or pairs
    that the rows have, where scikit-learn returns NaN or raises. Log loss, Brier score and top-k
    accuracy get all classes.

    Parameters
    ----------
    scorer : callable
    targets : TargetCodec
        Fitted on all rows.
    """
    func = scorer._score_func if isinstance(scorer, _BaseScorer) else None
    if func in AVERAGES:
        func = _average(func, targets)
    elif func in TAKE_CLASSES and (targets.kind != "multilabel" or targets.n_labels_ == 1):
        func = _with_classes(func, targets)
    else:
        return scorer
    scorer = copy.copy(scorer)
    scorer._score_func = func
    return scorer


def check_defined(search: LossDecoderSearchCV, data: SearchData) -> None:
    """Raise before training if there will be no score to choose by; warn of what is left out.

    Metrics of scikit-learn and of this package are tried on the targets themselves. Custom metrics
    are not: they may cost much, or count how often they are called.
    """
    scoring, targets, tests = data.make_scoring(), data.targets, [test for _, test in data.folds]
    Y = scoring.Y
    ideal = ScoredRows(targets, 0.1 + 0.8 * np.nan_to_num(Y.astype(np.float64)), Y >= 0.5)
    several = isinstance(data.scorer, _MultimetricScorer)
    for name, metric in scoring.metrics.items():
        title = f"{name!r} of scoring" if several else f"scoring={search.scoring!r}"
        weight = np.ones(len(Y)) if metric.weight is None else metric.weight
        for k, test in enumerate(tests):
            if not weight[test].any():
                raise ValueError(
                    f"the test rows of fold {k} of cv have sample_weight 0, so that {title} is not "
                    "defined: give a row of each fold a positive weight"
                )
        if metric.counts is not None or not _is_known(metric.scorer):
            continue
        values, errors = np.full(len(tests), np.nan), [""] * len(tests)
        for k, test in enumerate(tests):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    values[k] = scoring.score(metric, ideal[test], test)
            except Exception as error:
                errors[k] = describe_error(error)
        func = getattr(metric.scorer, "_score_func", None)
        gaps = np.array([_gaps(Y[test], weight[test], targets, func) for test in tests])
        failed, undefined = np.array(errors) != "", ~np.isfinite(values)
        if not undefined.any():
            options = getattr(metric.scorer, "_kwargs", {})
            _warn_of_gaps(title, func, options, gaps, targets)
            continue
        text = _explain(title, undefined, errors, gaps, targets, func)
        if failed.all():
            text = text.rstrip(".") + suggest_average(
                _spec(search.scoring, name), metrics.get_scorer_names()
            )
        if not scoring.has_hard_labels and failed.any():
            text = f"{text.rstrip('.')}. {NOT_PLAIN}"
        ends = failed.any() and data.raises
        if name == data.metric and (search.refit is not False or not several) and not ends:
            ends = (undefined & ~failed).any() or failed.all() or np.isnan(search.error_score)
        if ends:
            raise ValueError(text)
        warn_user(text)


@contextmanager
def explaining_targets(y: Any) -> Iterator[None]:
    """Add to an error of a scorer that y has missing or soft labels."""
    of_floats = isinstance(y, np.ndarray) and y.ndim == 2 and y.dtype.kind == "f"
    is_plain = not of_floats or np.isin(y, (0, 1)).all()
    try:
        with warnings.catch_warnings():
            if not is_plain:  # scikit-learn casts NaN before it refuses it
                warnings.simplefilter("ignore", RuntimeWarning)
            yield
    except ValueError as error:
        if is_plain:
            raise
        raise ValueError(f"{str(error).rstrip('.')}. {NOT_PLAIN}") from error


def _spec(scoring: Any, name: str) -> Any:
    """Return what one of the metrics was given as."""
    if isinstance(scoring, dict):
        return scoring[name]
    return scoring if name == "score" else name


def _is_known(scorer: Any) -> bool:
    if isinstance(scorer, _BaseScorer):
        func = scorer._score_func
        home = getattr(func.func if isinstance(func, partial) else func, "__module__", None) or ""
        return home.startswith(("sklearn.", "sklearn_mlloss."))
    return isinstance(scorer, _PassthroughScorer)


def _with_classes(func: Callable, targets: TargetCodec) -> Callable:
    classes = [0, 1] if targets.kind == "multilabel" else targets.classes_

    @wraps(func)
    def metric(y_true, y_score, **options):
        return func(y_true, y_score, **{"labels": classes, **options})

    return metric


def _average(func: Callable, targets: TargetCodec) -> Callable:
    """Return an average over labels that leaves out those for which there is no value."""

    @wraps(func)
    def metric(y_true, y_score, *, sample_weight=None, **options):
        Y = targets.transform(y_true)
        gaps = _gaps(Y, sample_weight, targets, func)
        whole = {**options, "sample_weight": sample_weight}
        if not gaps.any() or Y.dtype.kind == "f":
            return func(y_true, y_score, **whole)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # `check_defined` has warned
            if gaps.all() or not _leaves_out(func, options, targets):
                return func(y_true, y_score, **whole)
            if options.get("multi_class") == "ovo":  # over pairs of classes that the rows have
                return func(y_true, y_score, **{"labels": targets.classes_, **whole})
            try:
                value = func(y_true, y_score, **whole)
            except ValueError:  # of a class that no row has
                value = np.nan
            if not np.isnan(value):
                return value
            for name in ("multi_class", "labels"):
                whole.pop(name, None)
            return func(Y[:, ~gaps], np.asarray(y_score)[:, ~gaps], **whole)

    return metric


def _leaves_out(func: Any, options: dict, targets: TargetCodec) -> bool:
    """Return whether labels or classes are left out where there is no value for them."""
    if func not in AVERAGES or options.get("average", "macro") not in ("macro", "weighted"):
        return False
    if func is metrics.average_precision_score:
        return targets.kind == "multiclass"  # for an indicator scikit-learn has 0
    if targets.kind == "multiclass":
        return options.get("multi_class") in ("ovr", "ovo")
    return targets.n_labels_ > 1


def _gaps(Y: np.ndarray, weight: Any, targets: TargetCodec, func: Any) -> np.ndarray:
    """Return which labels have one class only in the rows, or which classes of a 1-D y are in none.

    Average precision needs positives only.
    """
    if weight is not None:
        Y = Y[np.asarray(weight) > 0]
    only_positives = func is metrics.average_precision_score
    positive, negative = (Y == 1).any(axis=0), (Y == 0).any(axis=0) | only_positives
    if targets.kind == "binary":
        return ~np.concatenate([negative, positive])
    if targets.kind == "multiclass":
        return ~positive
    return ~(positive & negative)


def _explain(
    title: str,
    undefined: np.ndarray,
    errors: list[str],
    gaps: np.ndarray,
    targets: TargetCodec,
    func: Any,
) -> str:
    """Return why there is no score, and what to do."""
    reason = next(filter(None, errors), "")
    if all(errors) or not gaps[undefined].any(axis=1).all():
        folds = ", ".join(map(str, np.flatnonzero(undefined)))
        where = "" if undefined.all() else f" in the test rows of fold {folds}"
        return f"{title} cannot score y{where}: {reason or 'its value is not finite'}"
    what, where, instead = _describe(gaps & undefined[:, None], targets, func)
    because = f" ({reason})" if reason else ""
    return f"{title} is not defined for {what} ({where}){because}: {instead}"


def _warn_of_gaps(
    title: str, func: Any, options: dict, gaps: np.ndarray, targets: TargetCodec
) -> None:
    """Warn of what an average leaves out, or counts as 0."""
    if func not in AVERAGES or not gaps.any():
        return
    what, where, instead = _describe(gaps, targets, func)
    if _leaves_out(func, options, targets):
        warn_user(f"{title} leaves out {what} ({where}): {instead}")
    elif func is metrics.average_precision_score:
        warn_user(f"{title} counts {what} as 0, as scikit-learn does ({where}): {instead}")


def _describe(gaps: np.ndarray, targets: TargetCodec, func: Any) -> tuple[str, str, str]:
    """Return what is missing, in which folds, and what to do."""
    if targets.kind != "multilabel":
        where = describe_gaps(gaps, targets.classes_, "class", "classes")
        return "classes without test rows in a fold", where, RARE_CLASSES
    where = describe_gaps(gaps, targets.label_names_, "label", "labels")
    instead = RARE_LABELS if targets.n_labels_ > 1 else RARE_CLASSES
    if func is metrics.average_precision_score:
        return "labels without positives in the test rows of a fold", where, instead
    return "labels with one class only in the test rows of a fold", where, instead
