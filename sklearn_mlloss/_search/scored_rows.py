"""Scores and decisions that are known already, in the form of a fitted classifier."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from .._data.targets import TargetCodec
from .._decision.base import LabelClassifier
from .._sklearn import _num_samples

__all__ = ["ScoredRows"]


class ScoredRows(LabelClassifier):
    """Answers a scorer as the classifier would that scored and decided some rows.

    Any scorer of scikit-learn can be called with it. It predicts its own rows in their order, and
    uses only the number of rows of X.

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
        """Return no arrays, which would fill messages of scorers."""
        return f"ScoredRows({len(self.scores)} rows)"

    def __getitem__(self, rows: np.ndarray) -> ScoredRows:
        """Return some of the rows."""
        return ScoredRows(self.targets, self.scores[rows], self.decisions[rows])

    @classmethod
    def concatenate(cls, parts: Sequence[ScoredRows]) -> ScoredRows:
        """Return the rows of several parts, one after the other."""
        scores = np.concatenate([part.scores for part in parts])
        return cls(parts[0].targets, scores, np.concatenate([part.decisions for part in parts]))

    def dense(self) -> ScoredRows:
        """Return the same rows with labels that are not sparse."""
        targets = copy.copy(self.targets)
        targets.sparse_type = None
        return ScoredRows(targets, self.scores, self.decisions)

    def fit(self, X: Any, y: Any = None) -> Self:
        """Do nothing: without this method, scorers would not take it for an estimator."""
        return self

    def predict(self, X: Any = None) -> Any:
        """Return the decisions in the form of y."""
        return super().predict(X)

    def predict_proba(self, X: Any = None) -> np.ndarray:
        """Return the scores in the form of `predict_proba` of the classifier."""
        self._check_n_rows(X)
        return self.targets.probabilities(self.scores)

    def predict_log_proba(self, X: Any = None) -> np.ndarray:
        """Return the logarithm of `predict_proba`."""
        return np.log(self.predict_proba(X))

    def decision_function(self, X: Any = None) -> np.ndarray:
        """Return the log-odds of the scores."""
        self._check_n_rows(X)
        return self.targets.log_odds(self.scores)

    def _scores_and_decisions(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        self._check_n_rows(X)
        return self.scores, self.decisions

    def _check_n_rows(self, X: Any) -> None:
        if X is not None and _num_samples(X) != len(self.scores):
            raise ValueError(
                f"a scorer asked for {_num_samples(X)} rows, and {len(self.scores)} are scored: "
                "within a search it can ask for all rows of the test part only"
            )
