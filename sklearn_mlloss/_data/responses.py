"""Scores of any scikit-learn classifier, in the one form that calibrators and decoders take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags

from .._sklearn import BaseSearchCV, _num_samples, _safe_indexing
from .messages import describe
from .scores import Link, class_matrix, label_matrix, to_probability
from .tables import is_frame
from .targets import TargetCodec

__all__ = [
    "METHODS",
    "check_takes_labels",
    "choose_method",
    "explaining",
    "inside",
    "label_scores",
    "may_keep_scores",
    "out_of_fold_scores",
    "score_matrix",
    "takes_many_labels",
]

METHODS = ("predict_proba", "decision_function")
# How many columns a note names.
N_SHOWN = 5
WITHOUT_ESTIMATOR = "DecodedClassifierCV.for_metric(metric), without an estimator, takes them"


# Sums of float32 probabilities may leave [0, 1] by as much.
ROUNDING = 1e-5


def choose_method(estimator: Any, response_method: str, parameter: str = "estimator") -> str:
    """Return the method that scores come from: with "auto" the first that there is."""
    if not isinstance(response_method, str) or response_method not in ("auto", *METHODS):
        raise ValueError(
            "response_method must be 'auto', 'predict_proba' or 'decision_function', got "
            f"{describe(response_method)}"
        )
    wanted = METHODS if response_method == "auto" else (response_method,)
    methods = [name for name in wanted if hasattr(estimator, name)]
    if not methods or not hasattr(estimator, "fit"):
        raise TypeError(
            f"{parameter} must be a classifier with fit and {' or '.join(wanted)}, got "
            f"{describe(estimator)}"
        )
    return methods[0]


def takes_many_labels(estimator: Any) -> bool | None:
    """Return whether `fit` takes an indicator with several labels; None where tags do not say.

    Those that combine labels say so by `multi_output`, and not by `multi_label`. A no counts where
    scikit-learn has written `fit`, since other packages leave tags at their defaults, and where no
    estimator within has its own tag, which a search does not hand on.
    """
    tags = get_tags(estimator)
    of_labels = tags.classifier_tags is not None and tags.classifier_tags.multi_label
    if of_labels or tags.target_tags.multi_output:
        return True
    if isinstance(estimator, Pipeline):
        return takes_many_labels(estimator.steps[-1][1])
    if isinstance(estimator, BaseSearchCV):
        return takes_many_labels(estimator.estimator)
    within = any(hasattr(value, "fit") for value in estimator.get_params().values())
    known = type(estimator).fit.__module__.startswith("sklearn.")
    return False if known and not within else None


def check_takes_labels(estimator: Any, targets: TargetCodec, parameter: str = "estimator=") -> None:
    """Raise before anything is trained if `fit` takes one label only, and there are several."""
    many = targets.kind == "multilabel" and targets.n_labels_ > 1
    if many and takes_many_labels(estimator) is False:
        name = type(estimator).__name__
        raise ValueError(
            f"{name} takes one label only, and y has {targets.n_labels_}: give "
            f"{parameter}OneVsRestClassifier({name}(...)) of sklearn.multiclass, which gives it "
            "each label as a 1d array"
        )


@contextmanager
def explaining(
    estimator: Any, X: Any, y: Any, targets: TargetCodec, where: str, params: Mapping[str, Any]
) -> Iterator[None]:
    """Add to an error of `fit` what it may have to do with: labels, targets, columns and weights.

    Parameters
    ----------
    estimator : classifier
    X, y : array-like or sparse matrix
        What it is fitted on.
    targets : TargetCodec
        Fitted on all rows.
    where : str
        Which rows these are.
    params : mapping
        Other arguments of `fit`.
    """
    try:
        yield
    except Exception as error:  # raised again as it is, whatever a classifier raises
        Y = targets.transform(y)
        constant = ~((Y > 0).any(axis=0) & (Y < 1).any(axis=0))
        if constant.any() and targets.kind == "multilabel":
            names = targets.label_names_[constant].tolist()
            error.add_note(
                f"Label(s) {', '.join(map(repr, names[:10]))} are constant in {where}, which not "
                "every classifier takes: use fewer folds, or leave them out."
            )
        name = type(estimator).__name__
        is_meta = any(hasattr(value, "fit") for value in estimator.get_params().values())
        if np.ndim(y) == 2 and not is_meta and not takes_many_labels(estimator):
            error.add_note(
                f"If it takes one label only, give OneVsRestClassifier({name}(...)) of "
                "sklearn.multiclass."
            )
        # Those of this package take them, or have errors of their own.
        if not type(estimator).__module__.startswith("sklearn_mlloss."):
            for note in _special_inputs(X, Y, params.get("sample_weight")):
                error.add_note(note.replace("{}", name))
        raise


def _special_inputs(X: Any, Y: np.ndarray, sample_weight: Any) -> Iterator[str]:
    """Yield notes on inputs that only some classifiers take, with a place for its name."""
    columns = _columns_without_numbers(X)
    if columns:
        names = ", ".join(map(repr, columns[:N_SHOWN]))
        yield (
            f"Column(s) {names} of X hold no numbers, which {{}} may not take: encode them in a "
            "Pipeline, such as make_pipeline(make_column_transformer((OneHotEncoder("
            f"handle_unknown='ignore'), [{names}]), remainder='passthrough'), classifier), or give "
            f"them the dtype category: {WITHOUT_ESTIMATOR}."
        )
    if np.ndim(sample_weight) == 2:
        yield (
            "sample_weight has one weight per row and label, which {} may not take: give one per "
            f"row. {WITHOUT_ESTIMATOR}."
        )
    if Y.dtype.kind == "f":
        what = "NaN, labels that were not observed" if np.isnan(Y).any() else "soft labels"
        yield f"y has {what}, which {{}} may not take. {WITHOUT_ESTIMATOR}."


def _columns_without_numbers(X: Any) -> list[Any]:
    """Return the names, or numbers, of columns of a table that cannot be read as numbers."""
    if not is_frame(X) and getattr(getattr(X, "dtype", None), "kind", "") not in ("O", "U"):
        return []
    names = X.columns if is_frame(X) else range(X.shape[1])
    return [name for j, name in enumerate(names) if not _is_numeric(_safe_indexing(X, j, axis=1))]


def _is_numeric(column: Any) -> bool:
    try:
        np.asarray(column, dtype=np.float64)
    except (TypeError, ValueError):
        return False
    return True


def label_scores(estimator: Any, X: Any, method: str, targets: TargetCodec) -> np.ndarray:
    """Return the scores of a fitted classifier with one column per label.

    Parameters
    ----------
    estimator : classifier
        Fitted on some of the rows, among which a label may be constant or a class missing.
    X : {array-like, DataFrame, sparse matrix} of shape (n_samples, n_features)
    method : {"predict_proba", "decision_function"}
        What it returns may have any of the forms of `label_matrix` and `class_matrix`. Decisions
        are mapped to (0, 1) by a sigmoid that is kept strictly increasing.
    targets : TargetCodec
        Fitted on all rows.

    Returns
    -------
    ndarray of shape (n_samples, n_labels)
        Strictly inside (0, 1), as calibration and log-odds need it: 0 and 1 become the numbers
        next to them. A label that was constant in training has its constant; a class of a 1-D y
        that was not in the training rows has 0.

    Raises
    ------
    ValueError
        If the output has another shape, or is not a matrix of probabilities.
    """
    source = f"{method} of {type(estimator).__name__}"
    values = getattr(estimator, method)(X)
    link = to_probability if method == "decision_function" else None
    scores = score_matrix(estimator, values, targets, source, link)
    n_rows, lost = _num_samples(X), np.isnan(scores).any(axis=1)
    if len(scores) != n_rows:
        raise ValueError(f"{source} returned {len(scores)} rows for {n_rows} rows of X")
    if lost.any():
        raise ValueError(
            f"{source} returned NaN for {lost.sum()} of {n_rows} rows: check the classifier, and X "
            "for columns without variance or with huge values"
        )
    if (scores < -ROUNDING).any() or (scores > 1 + ROUNDING).any():
        raise ValueError(
            f"{source} returned values from {scores.min():g} to "
            f"{scores.max():g}, which are no probabilities: use response_method='decision_function'"
        )
    return inside(scores)


def score_matrix(
    estimator: Any, values: Any, targets: TargetCodec, source: str, link: Link | None = None
) -> np.ndarray:
    """Return the output of a fitted classifier with one column per label of `targets`.

    Parameters
    ----------
    estimator : classifier
        Its ``classes_`` are those of the columns: training may have lacked classes.
    values : object
        The output, in any of the forms of `label_matrix` and `class_matrix`.
    targets : TargetCodec
        Fitted on all rows.
    source, link : see `label_matrix`

    Returns
    -------
    ndarray of shape (n_samples, n_labels)
        0 for a class of a 1-D y that was not in the training rows.
    """
    classes = getattr(estimator, "classes_", None)
    if targets.kind == "multilabel":
        return label_matrix(values, targets.n_labels_, classes, source, link)
    scores = class_matrix(values, classes, targets.classes_, source, link)
    return scores[:, -targets.n_labels_ :]


def inside(scores: np.ndarray) -> np.ndarray:
    """Return scores with 0 and 1 replaced by the numbers next to them."""
    limits = np.finfo(np.float64)
    return np.clip(scores, limits.tiny, 1 - limits.epsneg)


def may_keep_scores(estimator: Any) -> bool:
    """Return whether an unfitted classifier, or each of its members, is set to keep such scores."""
    if any(getattr(estimator, name, False) for name in ("store_cv_results", "oob_score")):
        return True
    members = getattr(estimator, "estimators", None)
    if not isinstance(members, list):
        return False
    return all(may_keep_scores(m) for _, m in members if not (isinstance(m, str) and m == "drop"))


def out_of_fold_scores(estimator: Any, targets: TargetCodec, n_samples: int) -> np.ndarray | None:
    """Return the out-of-fold or out-of-bag scores that a fitted classifier keeps.

    Parameters
    ----------
    estimator : classifier
        With `oof_scores_`, as those of this package with folds and ``store_cv_results=True``, or
        with the `oob_decision_function_` of forests with ``oob_score=True``.
    targets : TargetCodec
        Fitted on these rows.
    n_samples : int

    Returns
    -------
    ndarray of shape (n_samples, n_labels) or None
        Strictly inside (0, 1), as `predict_proba` would return them, and NaN for rows that have no
        such score; None if the classifier does not keep any.
    """
    # A frozen one was fitted on other rows.
    if isinstance(estimator, FrozenEstimator):
        return None
    kept = getattr(estimator, "oof_scores_", None)
    scores = _out_of_bag(estimator, targets) if kept is None else np.asarray(kept)
    if scores is None or scores.shape != (n_samples, targets.n_labels_):
        return None
    known = ~np.isnan(scores).any(axis=1)
    probabilities = np.full(scores.shape, np.nan)
    calibrator = getattr(estimator, "calibrator_", None)
    calibrated = scores[known] if calibrator is None else calibrator.transform(scores[known])
    if targets.kind == "multiclass":
        calibrated = targets.probabilities(calibrated)
    probabilities[known] = calibrated
    return inside(probabilities)


def _out_of_bag(estimator: Any, targets: TargetCodec) -> np.ndarray | None:
    """Return the scores of each row by the trees that did not draw it; NaN if all did."""
    values = getattr(estimator, "oob_decision_function_", None)
    if values is None:
        return None
    # Of an indicator (n, 2, L); a row that no tree has left out has 0 or NaN for all classes.
    left_out = values.sum(axis=1).reshape(len(values), -1).min(axis=1) > 0.5
    if values.ndim == 3:
        values = values.transpose(0, 2, 1)
    source = f"oob_decision_function_ of {type(estimator).__name__}"
    scores = score_matrix(estimator, values, targets, source)
    return np.where(left_out[:, None], scores, np.nan)
