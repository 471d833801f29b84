"""Scorers by name, for any multi-label classifier."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import get_scorer_names

from .._data.labels import to_dense
from .._data.messages import describe
from .._data.metric_names import find_metric, suggest_average, suggest_metric
from .._data.partitions import is_partitioned, map_partitions
from .._data.scores import predict_matrix
from .._data.tables import check_labels_of
from .._data.validation import check_integer
from .._sklearn import _Scorer
from .decisions import f_measure, hamming_loss, jaccard, subset_accuracy
from .probabilities import expected_calibration_error, multilabel_brier_score, multilabel_log_loss
from .propensities import propensity_scored_precision_at_k
from .rankings import (
    coverage_error,
    label_ranking_average_precision,
    macro_average_precision,
    one_error,
    precision_at_k,
    ranking_loss,
)

__all__ = [
    "multilabel_scorers",
]


def multilabel_scorers(k: int = 1, propensities: ArrayLike | None = None) -> dict[str, _Scorer]:
    """Return scorers by name, for ``scoring=`` of scikit-learn's searches.

    Greater is better for all: losses are negated, and their names begin with ``"neg_"``. They take
    the same y as the metrics, with NaN, and any classifier whose predictions are arrays (n, L) or
    (n, L, 2), sparse matrices, DataFrames, lists of arrays (a label without positives in training
    has probability 0), or for one label those of a binary classifier. scikit-learn's scorers raise
    if a label is constant in training, and for two labels with classifiers such as MLPClassifier.
    Scorers in one dict share the predictions; `sample_weight` is passed on as by
    `sklearn.metrics.make_scorer`.

    Parameters
    ----------
    k : int, default=1
        For the scorers "precision_at_{k}" and "propensity_scored_precision_at_{k}".
    propensities : array-like of shape (n_labels,), default=None
        For the latter. None estimates them from the labels of each test fold.

    Returns
    -------
    dict of str to scorer
        From probabilities: "neg_log_loss", "neg_brier_score", "neg_calibration_error". From
        probabilities, or the decision function where there are none: "precision_at_{k}",
        "propensity_scored_precision_at_{k}", "neg_one_error", "neg_coverage_error",
        "neg_ranking_loss", "label_ranking_average_precision", "macro_average_precision". From
        predicted labels: "f1_micro", "f1_macro", "f1_samples", "jaccard_samples",
        "neg_hamming_loss", "subset_accuracy". Other spellings find them as well: "hamming_loss",
        "macro_f1".

    Notes
    -----
    With NaN in y, pass a splitter such as `MultilabelStratifiedKFold`, because ``cv=5`` checks y
    and raises.

    Examples
    --------
    >>> from sklearn.datasets import make_multilabel_classification
    >>> from sklearn.model_selection import cross_validate
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from sklearn_mlloss.metrics import multilabel_scorers
    >>> from sklearn_mlloss.model_selection import MultilabelStratifiedKFold
    >>> X, Y = make_multilabel_classification(random_state=0)
    >>> result = cross_validate(
    ...     DecisionTreeClassifier(max_depth=3, random_state=0), X, Y,
    ...     scoring=multilabel_scorers(k=3), cv=MultilabelStratifiedKFold(3, random_state=0),
    ... )
    >>> result["test_f1_micro"].shape, result["test_precision_at_3"].shape
    ((3,), (3,))
    """
    check_integer(k, "k", low=1)
    proba, ranking = "predict_proba", ("predict_proba", "decision_function")
    table: list[tuple[str, Callable, Any, dict]] = [
        ("neg_log_loss", multilabel_log_loss, proba, {}),
        ("neg_brier_score", multilabel_brier_score, proba, {}),
        ("neg_calibration_error", expected_calibration_error, proba, {}),
        (f"precision_at_{k}", precision_at_k, ranking, {"k": k}),
        (
            f"propensity_scored_precision_at_{k}",
            propensity_scored_precision_at_k,
            ranking,
            {"k": k, "propensities": propensities},
        ),
        ("neg_one_error", one_error, ranking, {}),
        ("neg_coverage_error", coverage_error, ranking, {}),
        ("neg_ranking_loss", ranking_loss, ranking, {}),
        ("label_ranking_average_precision", label_ranking_average_precision, ranking, {}),
        ("macro_average_precision", macro_average_precision, ranking, {}),
        ("f1_micro", f_measure, "predict", {"average": "micro"}),
        ("f1_macro", f_measure, "predict", {"average": "macro"}),
        ("f1_samples", f_measure, "predict", {"average": "samples"}),
        ("jaccard_samples", jaccard, "predict", {"average": "samples"}),
        ("neg_hamming_loss", hamming_loss, "predict", {}),
        ("subset_accuracy", subset_accuracy, "predict", {}),
    ]
    return _Scorers(
        (name, _MatrixScorer(metric, -1 if name.startswith("neg_") else 1, kwargs, method))
        for name, metric, method, kwargs in table
    )


class _Scorers(dict):
    """A dict of scorers that finds "hamming_loss" and "macro_f1" as well."""

    def __missing__(self, name: Any) -> Any:
        found = find_metric(name, self)
        if found is None:
            theirs = get_scorer_names()
            hint = suggest_average(name, [*self, *theirs])
            other = find_metric(name, theirs)
            if other and not hint:
                hint = f"; scoring={other!r} is a scorer of scikit-learn"
            raise KeyError(
                f"{describe(name)}; the scorers are {', '.join(self)}"
                f"{hint or suggest_metric(name, self)}"
            )
        return self[found]


class _MatrixScorer(_Scorer):
    """A scorer of scikit-learn that passes arrays of shape (n_samples, n_labels) to the metric."""

    def _score(
        self, method_caller: Callable, estimator: Any, X: Any, y_true: Any, **kwargs: Any
    ) -> float:
        check_labels_of(estimator, y_true)
        if not is_partitioned(y_true):
            y_true = to_dense(y_true, "y")
        if y_true.ndim == 1:
            y_true = y_true.to_frame() if hasattr(y_true, "to_frame") else y_true[:, None]

        def matrix(_: Any, method: str, X: Any, **__: Any) -> np.ndarray:
            # As a tuple the name is a separate key in the cache that scorers of a dict share.
            return method_caller(_AsMatrix(estimator, method, y_true.shape[1]), (method,), X)

        return super()._score(matrix, estimator, X, y_true, **kwargs)


class _AsMatrix(ClassifierMixin, BaseEstimator):
    """A classifier whose responses are arrays of shape (n_samples, n_labels).

    Its `classes_` are those of an indicator, so that scikit-learn leaves the responses as they are.
    """

    def __init__(self, estimator: Any, method: str, n_labels: int):
        self.estimator = estimator
        self.method = method
        self.n_labels = n_labels

    @property
    def classes_(self) -> np.ndarray:
        return np.tile([0, 1], (self.n_labels, 1))

    def predict(self, X: Any) -> Any:
        if is_partitioned(X):
            return map_partitions(self, "predict", X, np.empty((0, self.n_labels)))
        return predict_matrix(self.estimator, X, self.method, self.n_labels)

    predict_proba = decision_function = predict
