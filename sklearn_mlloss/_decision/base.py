"""What the classifiers share: scores become a prediction by a calibration and a decoder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from sklearn.base import ClassifierMixin
from sklearn.exceptions import NotFittedError
from sklearn.utils import check_array, estimator_html_repr
from sklearn.utils.validation import check_is_fitted

from .._data.containers import to_float
from .._data.persistence import VersionedEstimator
from .._data.targets import TargetCodec
from .._data.validation import (
    check_integer,
    check_nested,
    is_auto,
    unchanged_on_error,
    without_rows,
)
from .._data.weights import counting_rows, drop_unweighted, row_weight
from ..calibration import get_calibrator
from ..decoders import Decoder, get_decoder
from ..model_selection import MultilabelStratifiedShuffleSplit
from ..model_selection.split_groups import stratified_folds
from .decision import KEEP, make_calibrator, warn_of_fallback
from .summary import describe, with_details

__all__ = ["DecidingClassifier", "Scored", "reserve", "row_means"]

# Share of the rows kept for a decoder whose rows may serve nothing else: a fold of a usual cv. A
# bound on a risk leaves 1 / n of n such rows unused, so that 0.1 needs nine at the least.
RESERVED = 0.2


@dataclass(frozen=True)
class Scored:
    """Rows that trained no model, with the scores that models gave them.

    Attributes
    ----------
    scores : ndarray of shape (n_samples, n_labels)
        Before calibration.
    Y : ndarray of shape (n_samples, n_labels)
        Targets, NaN where nothing was observed.
    weight : ndarray of shape (n_samples,) or (n_samples, n_labels), optional
        In units of a row, see `scale_weight`.
    count : ndarray of shape (n_samples,), optional
        Predicted numbers of labels, of models that have them.
    groups : ndarray of shape (n_samples,), optional
        Rows of one group serve one purpose only, see `reserve`.
    """

    scores: np.ndarray
    Y: np.ndarray
    weight: np.ndarray | None = None
    count: np.ndarray | None = None
    groups: np.ndarray | None = None

    def __getitem__(self, rows: np.ndarray) -> Scored:
        """Return some of the rows."""
        parts = (self.scores, self.Y, self.weight, self.count, self.groups)
        return Scored(*(None if part is None else part[rows] for part in parts))

    def counting(self) -> Scored:
        """Return the rows that something can be learned from, with one weight each."""
        Y = drop_unweighted(self.Y, self.weight)
        rows = counting_rows(Y, self.weight)
        chosen = replace(self, Y=Y, weight=row_weight(self.weight, Y))
        return chosen if rows.all() else chosen[rows]


def row_means(tests: Sequence[np.ndarray], values: Sequence[np.ndarray], n_rows: int) -> np.ndarray:
    """Return the mean of what the folds say of each row; NaN where none does.

    Parameters
    ----------
    tests : sequence of ndarray of int
        The rows that each fold says something of.
    values : sequence of ndarray of shape (n_test,) or (n_test, n_labels)
    n_rows : int
    """
    rows, found = np.concatenate(tests), np.concatenate(values)
    places = rows, np.arange(len(rows))
    total = sp.csr_array((np.ones(len(rows)), places), shape=(n_rows, len(rows))) @ found
    with np.errstate(invalid="ignore"):
        return (total.T / np.bincount(rows, minlength=n_rows)).T


class DecidingClassifier(ClassifierMixin, VersionedEstimator, ABC):
    """Base class of the classifiers: all that comes after the scores.

    A classifier has the parameters `decoder` and `calibration`, and implements the abstract
    methods at the end of this class; it overrides others for a docstring or an argument of its
    own only. Its `fit` calls `_set_targets`, sets `_entropy`, `calibrator_` and `decoder_`,
    trains, and calls `_fit_decision`.

    Attributes
    ----------
    classes_, n_labels_, label_names_ : see `TargetCodec`
    decoder_ : Decoder
        The decision in use, which may be another one than `decoder`, see `fit_decoder`.
    calibrator_ : Calibrator or None
        The calibration in use.
    """

    # What to do where a decoder found too few positives.
    _advice = "decoder='global_threshold', or more rows"

    # ------------------------------------------------------------------ predicting

    def predict(self, X: Any) -> Any:
        """Return the decided labels in the form of the y that was fitted.

        Parameters
        ----------
        X : {array-like, DataFrame, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        array or sparse matrix of shape (n_samples, n_labels) or (n_samples,)
        """
        check_is_fitted(self)
        return self._decide(*self._scores(X))

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the score of each label, a probability where the loss gives one.

        Parameters
        ----------
        X : {array-like, DataFrame, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_labels) or (n_samples, n_classes)
            For an indicator y the score of each label, strictly between 0 and 1. For a 1-D y
            probabilities of the classes, with rows that sum to 1.
        """
        check_is_fitted(self)
        scores, _ = self._scores(X)
        return self._targets.probabilities(scores)

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Return the logarithm of `predict_proba`.

        Parameters
        ----------
        X : see `predict_proba`

        Returns
        -------
        ndarray of the shape of `predict_proba`
        """
        return np.log(self.predict_proba(X))

    def decision_function(self, X: Any) -> np.ndarray:
        """Return the log-odds of the scores: of `predict_proba`, where there is one.

        Parameters
        ----------
        X : {array-like, DataFrame, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_labels), (n_samples, n_classes), or (n_samples,) if binary
        """
        check_is_fitted(self)
        scores, _ = self._scores(X)
        if self._targets.kind == "multiclass":
            # Not their sum less one's own, which is 0 where one class has nearly all.
            others = scores @ (1 - np.eye(self.n_labels_))
            return np.log(scores) - np.log(others)
        odds = np.log(scores) - np.log1p(-scores)
        return odds[:, 0] if self._targets.kind == "binary" else odds

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the share of rows with all labels as in y, or with the class of a 1-D y.

        Parameters
        ----------
        X : see `predict`
        y : array-like, DataFrame or sparse matrix
            True labels. Columns with names must be those of the y that was fitted, in that order,
            if that had names.
        sample_weight : array-like of shape (n_samples,), optional
            Weights >= 0.

        Returns
        -------
        float
        """
        return self._targets.score(y, self.predict(X), sample_weight)

    def decode(self, proba: Any, count: Any = None) -> Any:
        """Return the labels decided from probabilities, in the form of the y that was fitted.

        Parameters
        ----------
        proba : array-like of the shape of `predict_proba`
            What that returns, where there is none the sigmoid of `decision_function`, or scores
            from elsewhere.
        count : array-like of shape (n_samples,), optional
            Predicted number of labels of each row, for a decoder that was fitted with counts, or
            one of your own that goes by them: what `predict_count` returns, where the loss has a
            count.

        Returns
        -------
        array or sparse matrix of shape (n_samples, n_labels) or (n_samples,)
        """
        check_is_fitted(self)
        with without_rows("proba"):
            proba = check_array(to_float(proba, "proba"), input_name="proba")
        width = 2 if self._targets.kind == "binary" else self.n_labels_
        if proba.shape[1] != width:
            raise ValueError(f"proba must have {width} columns, got {proba.shape[1]}")
        return self._decide(proba[:, -self.n_labels_ :], count)

    # ------------------------------------------------------------------ another decision

    def fit_decoder(
        self,
        X: Any,
        y: Any,
        decoder: Any = KEEP,
        calibration: Any = KEEP,
        sample_weight: Any = None,
    ) -> Self:
        """Fit the decision on new rows, without touching models or constructor parameters.

        The rows must not have been used for training: scores of training rows are pushed towards
        0 and 1, and a threshold fitted to them suits new rows less. They serve the calibration, if
        there is one, and then the decoder; a decoder with a guarantee gets a fifth of them to
        itself if there is a calibration.

        Parameters
        ----------
        X, y : see `fit`
        decoder : str or Decoder, optional
            Takes the place of the present one; "auto" is what it stands for in the constructor.
            If it is not given, the present one is fitted again.
        calibration : None, str or Calibrator, optional
            Takes the place of the present one. If it is not given, the present one is fitted
            again.
        sample_weight : array-like of shape (n_samples,) or (n_samples, n_labels), optional
            Weights >= 0, which are scaled to mean 1 over what counts.

        Returns
        -------
        self
            The classifier. If anything fails, it is left as it was.
        """
        check_is_fitted(self)
        with unchanged_on_error(self):
            X, Y, weight = self._rows_to_decide(X, y, sample_weight)
            self._set_decision(decoder, calibration)
            if self._learns_decision():
                scores, count = self._raw_scores(X)
                self._fit_decision(Scored(scores, Y, weight, count))
        return self

    # ------------------------------------------------------------------ what was learned

    def summary(self, n_rows: int | None = 20) -> str:
        """Return in a few lines what was fitted: the model, its training and the decision.

        Parameters
        ----------
        n_rows : int or None, default=20
            Number of labels that are shown where each has something of its own, such as a
            threshold; None for all.

        Returns
        -------
        str
            `print` it. Notebooks show it below the diagram of a fitted classifier.
        """
        check_is_fitted(self)
        if n_rows is not None:
            check_integer(n_rows, "n_rows", low=0, other="None or ")
        return describe(self, self._model_lines(), n_rows)

    def _model_lines(self) -> list[tuple[str, str]]:
        """Return name and text of what `summary` says before the decision."""
        return []

    def _html_repr(self) -> str:
        """Return scikit-learn's diagram, and what was learned below it; for notebooks."""
        diagram = estimator_html_repr(self)
        return with_details(diagram, self.summary()) if hasattr(self, "decoder_") else diagram

    def set_params(self, **params: Any) -> Self:
        """Set parameters; one of a part that is given by name turns the name into its object.

        Parameters
        ----------
        **params : dict
            Such as ``decoder="per_label_threshold", decoder__beta=2``.

        Returns
        -------
        self
        """
        nested = {key.partition("__")[0] for key in params if "__" in key}
        if "decoder" in nested:
            decoder = params.get("decoder", self.decoder)
            params["decoder"] = get_decoder(
                self._auto_decoder(params) if is_auto(decoder) else decoder
            )
        if "calibration" in nested:
            params["calibration"] = get_calibrator(params.get("calibration", self.calibration))
        check_nested(self, params)
        return super().set_params(**params)

    # ------------------------------------------------------------------ parts of a fit

    def _set_targets(self, codec: TargetCodec, same: bool = False) -> None:
        """Take over the kind of y; with `same` it must be that of the last fit."""
        if same and not codec.is_like(self._targets):
            raise ValueError(
                f"y has other labels than in the last fit, which training goes on from: "
                f"{self._targets.describe()} then, {codec.describe()} now"
            )
        self._targets = codec
        self.classes_ = codec.classes_
        self.n_labels_ = codec.n_labels_
        self.label_names_ = codec.label_names_

    def _set_decision(self, decoder: Any, calibration: Any) -> None:
        """Take another calibration and decoder, not yet fitted; KEEP stands for the present."""
        if self._targets.kind == "multiclass" and decoder is not KEEP:
            raise ValueError("a 1-D multi-class y is always decided by the largest score")
        self._decided_on = {}
        self.calibrator_ = make_calibrator(self.calibrator_ if calibration is KEEP else calibration)
        self.decoder_ = self._make_decoder(self.decoder_ if decoder is KEEP else decoder)

    def _learns_decision(self) -> bool:
        return self.decoder_.requires_fit or self.calibrator_ is not None

    def _fit_decision(
        self,
        rows: Scored | None,
        own: Scored | None = None,
        every: tuple[np.ndarray, np.ndarray | None] | None = None,
    ) -> None:
        """Fit `calibrator_`, if there is one, and then `decoder_`, if it has something to learn.

        Parameters
        ----------
        rows : Scored or None
            What both learn on; None if `own` are all that is needed, or nothing is.
        own : Scored, optional
            What the decoder learns on instead. Where it is not given, a decoder with
            `untouched_rows` gets a part of `rows` that the calibration does not see.
        every : (Y, weight), optional
            All rows there are, those that trained the models as well: what they can tell of label
            sets needs no scores. `rows` if it is not given.
        """
        rows, own = (None if part is None else part.counting() for part in (rows, own))
        Y, weight = (rows.Y, rows.weight) if every is None else every
        # For `summary`: the number of rows that each has learned on.
        self._decided_on = {}
        if self.calibrator_ is not None:
            if own is None and self.decoder_.untouched_rows:
                rest, reserved = reserve(rows.Y, self._entropy, groups=rows.groups)
                rows, own = rows[rest], rows[reserved]
            self.calibrator_.fit(rows.scores, rows.Y, rows.weight)
            self._decided_on["calibration"] = len(rows.Y)
        if not self.decoder_.requires_fit:
            return
        rows = rows if own is None else own
        scores = self._calibrate(rows.scores)
        self.decoder_.fit(scores, rows.Y, rows.weight, rows.count)
        self._decided_on["decoder"] = len(scores)
        self.decoder_.learn_sets(Y, row_weight(weight, Y))
        warn_of_fallback(self.decoder_, len(scores), self._advice)

    def _fit_decision_on(
        self,
        scores: np.ndarray,
        Y: np.ndarray,
        weight: np.ndarray | None = None,
        count: np.ndarray | None = None,
        decoder: Any = KEEP,
        calibration: Any = KEEP,
        groups: np.ndarray | None = None,
    ) -> None:
        """Do what `fit_decoder` does, with scores that are known already.

        For a search: the scores that the folds gave, for a model fitted on all rows.

        Parameters
        ----------
        scores : ndarray of shape (n_samples, n_labels)
            Before calibration, of rows that the models behind them had not seen; no NaN.
        Y : ndarray of shape (n_samples, n_labels)
            Target matrix, as ``_targets.transform(y)`` returns it.
        weight : ndarray of shape (n_samples,) or (n_samples, n_labels), optional
            Weights >= 0.
        count : ndarray of shape (n_samples,), optional
            Predicted numbers of labels, of a loss that has them.
        decoder, calibration : see `fit_decoder`
        groups : ndarray of shape (n_samples,), optional
            See `Scored`.
        """
        self._set_decision(decoder, calibration)
        self._fit_decision(Scored(scores, Y, weight, count, groups))

    # ------------------------------------------------------------------ parts of a prediction

    def _scores(self, X: Any) -> tuple[np.ndarray, np.ndarray | None]:
        """Return calibrated scores of rows as a user gives them, and counts if there are any."""
        scores, count = self._raw_scores(self._check_X(X))
        return self._calibrate(scores), count

    def _calibrate(self, scores: np.ndarray) -> np.ndarray:
        if self.calibrator_ is None:
            return scores
        _check_learned(self.calibrator_)
        return self.calibrator_.transform(scores)

    def _decide(self, scores: np.ndarray, count: np.ndarray | None) -> Any:
        if self.decoder_.requires_fit:
            _check_learned(self.decoder_)
        return self._targets.inverse_transform(self.decoder_.decode(scores, count))

    # ------------------------------------------------------------------ what a classifier adds

    @abstractmethod
    def _check_X(self, X: Any) -> Any:
        """Return X in the form that `_raw_scores` takes."""

    @abstractmethod
    def _raw_scores(self, X: Any) -> tuple[np.ndarray, np.ndarray | None]:
        """Return scores averaged over the models, before calibration, and counts or None."""

    @abstractmethod
    def _rows_to_decide(
        self, X: Any, y: Any, sample_weight: Any
    ) -> tuple[Any, np.ndarray, np.ndarray | None]:
        """Return X as `_check_X` does, the target matrix, and weights: rows with something in."""

    @abstractmethod
    def _make_decoder(self, spec: Any) -> Decoder:
        """Return an unfitted decoder, with a warning where it does not suit the scores."""

    @abstractmethod
    def _auto_decoder(self, params: dict[str, Any]) -> str:
        """Return what "auto" stands for once these parameters are set."""


def reserve(
    Y: np.ndarray,
    seed: int,
    weight: np.ndarray | None = None,
    groups: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of the rows to work on, and of those kept for the decoder alone.

    Parameters
    ----------
    Y : ndarray of shape (n_samples, n_labels)
        Target matrix.
    seed : int
    weight : ndarray of shape (n_samples,), optional
        Rows of weight 0 are not kept, since the decoder could not learn from them.
    groups : ndarray of shape (n_samples,), optional
        Rows of one group come to the same side.
    """
    counting = np.flatnonzero(counting_rows(Y, weight))
    if groups is None:
        splitter = MultilabelStratifiedShuffleSplit(1, test_size=RESERVED, random_state=seed)
        own = counting[next(splitter.split(Y[counting], Y[counting]))[1]]
        return np.setdiff1d(np.arange(len(Y)), own), own
    n_groups = len(np.unique(groups[counting]))
    if n_groups < 2:
        raise ValueError(
            "groups has only 1 group, and the decoder keeps rows for itself, of groups of their "
            "own: give at least 2 groups, or fit without groups"
        )
    n_folds = min(round(1 / RESERVED), n_groups)
    _, own = stratified_folds(n_folds, Y[counting], seed, groups[counting])[0]
    own = counting[own]
    return np.flatnonzero(~np.isin(groups, groups[own])), own


def _check_learned(part: Any) -> None:
    if not hasattr(part, "n_labels_"):
        raise NotFittedError(
            f"{type(part).__name__} has not been fitted, since partial_fit holds no rows out: call "
            "fit_decoder(X, y) with rows that were not trained on"
        )
