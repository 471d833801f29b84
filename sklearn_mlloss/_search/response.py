"""Scores and decisions that are known already, in the form of a classifier."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from .._data.targets import TargetCodec
from .._decision.base import DecidingClassifier
from .._sklearn import _num_samples

__all__ = ["Decided", "dense_response"]


class Decided(DecidingClassifier):
    """Answers a scorer as the classifier would that scored and decided some rows.

    Any scorer of scikit-learn can be called with it: what counts are the rows it was made of, in
    their order, and not what is in the X that it is asked about.

    Parameters
    ----------
    targets : TargetCodec
        Fitted.
    scores : ndarray of shape (n_samples, n_labels)
        Calibrated.
    decisions : ndarray of bool, shape (n_samples, n_labels)
    """

    def __init__(self, targets: TargetCodec, scores: np.ndarray, decisions: np.ndarray):
        self.targets = targets
        self.scores = scores
        self.decisions = decisions
        self._set_targets(targets)

    def __repr__(self) -> str:
        """Not the arrays, which would fill messages of scorers."""
        return f"Decided({len(self.scores)} rows)"

    @property
    def kind(self) -> str:
        """Whether y is "multilabel", "binary" or "multiclass"."""
        return self.targets.kind

    def __getitem__(self, rows: np.ndarray) -> Decided:
        """Return the response to some of the rows."""
        return Decided(self.targets, self.scores[rows], self.decisions[rows])

    def dense(self) -> Decided:
        """Return the same response with labels that are not sparse."""
        return Decided(_dense(self.targets), self.scores, self.decisions)

    def fit(self, X: Any, y: Any = None) -> Decided:
        """Do nothing: without this method it would be no estimator to a scorer."""
        return self

    def predict(self, X: Any = None) -> Any:
        """Return the decisions in the form of y."""
        self._check_X(X)
        return self.targets.inverse_transform(self.decisions)

    def _scores(self, X: Any) -> tuple[np.ndarray, np.ndarray | None]:
        self._check_X(X)
        return self.scores, None

    def _check_X(self, X: Any) -> Any:
        if X is not None and _num_samples(X) != len(self.scores):
            raise ValueError(
                f"a scorer asked for {_num_samples(X)} rows, and {len(self.scores)} are scored: "
                "within a search it can ask for all rows of the test part only"
            )
        return X

    # Nothing is learned here.
    _raw_scores = _rows_to_decide = _make_decision = _auto_decoder = None


def dense_response(model: Any, X: Any, targets: TargetCodec) -> Decided:
    """Return what a classifier of sparse labels says of rows, with dense ones."""
    return Decided(_dense(targets), model.predict_proba(X), model.predict(X).toarray() == 1)


def _dense(targets: TargetCodec) -> TargetCodec:
    targets = copy.copy(targets)
    targets.sparse_type = None
    return targets
