"""One label of a fitted classifier as a binary classifier."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if

from .._data.partitions import by_partition

__all__ = ["LabelView"]


def _has(method: str) -> Any:
    return available_if(lambda view: hasattr(view.estimator, method))


class LabelView(ClassifierMixin, BaseEstimator):
    """A fitted binary classifier that predicts one label of another classifier.

    It keeps no copy of the model: a decoder that `fit_decoder` replaces later counts here, too.

    Parameters
    ----------
    estimator : classifier
        Fitted, for an indicator or a 1-D y.
    index : int
        Number of the label, or of the class of a 1-D y.
    name : object
        Name of the label, or the class.

    Attributes
    ----------
    classes_ : ndarray
        0 and 1: the row does not have, or has, the label.
    n_features_in_, feature_names_in_ : those of `estimator`, where it has them
    """

    def __init__(self, estimator: Any, index: int, name: Any):
        self.estimator = estimator
        self.index = index
        self.name = name

    def fit(self, X: Any, y: Any = None, **params: Any) -> NoReturn:
        """Raise an error: the model is trained on all labels at once.

        To return `self`, as a `FrozenEstimator` does, would let `cross_val_score` score training
        rows as if they were held-out ones.
        """
        raise TypeError(
            f"the label {self.name!r} is a view of a fitted {type(self.estimator).__name__}, which "
            "is trained on all labels at once: fit that one. To fit something on top of the view, "
            "such as a CalibratedClassifierCV, give it sklearn.frozen.FrozenEstimator(view) and "
            "held-out rows"
        )

    @property
    def classes_(self) -> np.ndarray:
        """The classes of a binary classifier."""
        return np.array([0, 1])

    @property
    def _targets(self) -> Any:
        return self.estimator._targets

    @property
    def n_features_in_(self) -> int:
        """Number of columns of X."""
        return self.estimator.n_features_in_

    @property
    def feature_names_in_(self) -> np.ndarray:
        """Names of the columns of X."""
        return self.estimator.feature_names_in_

    @by_partition(lambda view, scores: np.empty(0, dtype=np.int64))
    def predict(self, X: Any) -> np.ndarray:
        """Return 1 for rows for which the decoder of the model predicts the label, else 0."""
        predicted = self.estimator.predict(X)
        if predicted.ndim == 1:
            return (predicted == self.estimator.classes_[self.index]).astype(np.int64)
        column = predicted[:, [self.index]]
        return (column.toarray() if sp.issparse(column) else column).ravel().astype(np.int64)

    @_has("predict_proba")
    @by_partition(lambda view, scores: np.empty((0, 2)))
    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probabilities that rows do not have, and have, the label."""
        positive = self.estimator.predict_proba(X)[:, self.index]
        return np.column_stack([1 - positive, positive])

    @_has("decision_function")
    @by_partition(lambda view, scores: np.empty(0))
    def decision_function(self, X: Any) -> np.ndarray:
        """Return the log-odds of the label."""
        values = self.estimator.decision_function(X)
        if values.ndim == 2:
            return values[:, self.index]
        return values if self.index == 1 else -values  # of the second of two classes

    def __sklearn_is_fitted__(self) -> bool:
        """Return True."""
        return True

    def __sklearn_clone__(self) -> LabelView:
        """Return the view itself, which has nothing to fit."""
        return self

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's tags: those of a binary classifier for the same X."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        tags.input_tags = get_tags(self.estimator).input_tags
        return tags
