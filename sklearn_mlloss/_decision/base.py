"""What the classifiers share: predictions by a decision on scores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils import check_array, estimator_html_repr
from sklearn.utils.validation import check_is_fitted

from .._data.containers import to_float
from .._data.fitting import unchanged_on_error
from .._data.messages import without_rows
from .._data.partitions import (
    TooManyNumbers,
    by_partition,
    check_gathered,
    count_rows,
    gather_blocks,
    is_partitioned,
    map_partitions,
)
from .._data.persistence import FileEstimator
from .._data.reductions import RowBlocks, join_partitions, sum_partitions
from .._data.rows import Rows
from .._data.scored_rows import ScoredRows
from .._data.sources import RowSource, check_alone
from .._data.tables import as_frame, frame_like, match_index
from .._data.targets import TargetCodec
from .._data.validation import check_integer, check_nested, is_auto
from ..calibration import Calibrator, get_calibrator
from ..decoders import Decoder, get_decoder
from .decision import KEEP, Decision, HeldOut, try_metric
from .label import LabelView
from .summary import describe, with_details

__all__ = ["DecidingClassifier", "LabelClassifier", "ProbabilityClassifier"]


def _labels(model: Any, scores: np.ndarray) -> Any:
    return model._targets.inverse_transform(scores > 0.5)


def _label_tuples(model: Any, scores: np.ndarray) -> np.ndarray:
    return np.empty(0, dtype=object)


def _probabilities(model: Any, scores: np.ndarray) -> np.ndarray:
    return model._targets.probabilities(scores)


def _frame(model: Any, scores: np.ndarray, decisions: Any = None, X: Any = None) -> Any:
    decisions = scores > 0.5 if decisions is None else decisions
    names, chosen = model._targets.decisions_by_name(decisions, model.label_names_)
    parts = {"probability": model._targets.probabilities(scores), "decision": chosen}
    return frame_like(X, names, parts)


def _log_odds(model: Any, scores: np.ndarray) -> np.ndarray:
    return model._targets.log_odds(scores)


def _no_scores(X: Any) -> None:
    """Predict nothing, where labels and weights are read alone."""


def _compact(targets: TargetCodec, scores: Any, y: Any, sample_weight: Any) -> tuple[Any, ...]:
    """Return scores, labels and weights as arrays, labels in 8 bits where these suffice."""
    y = targets.transform(y) if targets.kind == "multilabel" else np.asarray(y)
    weight = None if sample_weight is None else to_float(sample_weight, "sample_weight")
    return scores, y, weight


class LabelClassifier(ClassifierMixin, FileEstimator, ABC):
    """Base class of everything with labels and `predict`: it knows the form of y.

    Attributes
    ----------
    classes_, n_labels_, label_names_ : see `TargetCodec`
    """

    _targets: TargetCodec

    @by_partition(_labels)
    def predict(self, X: Any) -> Any:
        """Return the predicted labels in the form of the y that was fitted.

        Parameters
        ----------
        X : {array-like, DataFrame, sparse matrix} of shape (n_samples, n_features)
            For a Dask array or DataFrame, the result is lazy. The rows of a `RowSource`, such as
            `sklearn_mlloss.streaming.ParquetRows`, are read block by block, and the result for all
            of them is in memory.

        Returns
        -------
        array or sparse matrix of shape (n_samples, n_labels) or (n_samples,)
        """
        check_is_fitted(self)
        return self._targets.inverse_transform(self._scores_and_decisions(X)[1])

    @by_partition(_label_tuples)
    def predict_labels(self, X: Any) -> list[tuple]:
        """Return the names of the predicted labels of each row.

        Parameters
        ----------
        X : see `predict`

        Returns
        -------
        list of tuples
            One tuple per row with the names of its labels, in the order of `label_names_`, as
            ``MultiLabelBinarizer.inverse_transform`` returns them. Labels without names are
            numbers from 0, unless you set `label_names_`; for a 1-D y each tuple holds the class.
        """
        check_is_fitted(self)
        decisions = self._scores_and_decisions(X)[1]
        names, decisions = self._targets.decisions_by_name(decisions, self.label_names_)
        return [tuple(names[j] for j in row.nonzero()[0].tolist()) for row in decisions]

    @by_partition(_frame)
    def predict_frame(self, X: Any) -> Any:
        """Return probabilities and predicted labels with their names, as a DataFrame.

        Parameters
        ----------
        X : see `predict`

        Returns
        -------
        pandas.DataFrame or polars.DataFrame
            One row per row of X. Of pandas, unless X is of polars: with the index of X, and with
            columns of two levels, so that ``frame["probability"]`` and ``frame["decision"]`` are
            DataFrames with one column per label. Of polars: with two columns of structs of these
            names, with one field per label: ``frame.unnest("decision")``. For a 1-D y there is one
            label per class. Probabilities are those of `predict_proba`, decisions are bool.
        """
        check_is_fitted(self)
        X = as_frame(X, "X")
        return _frame(self, *self._scores_and_decisions(X), X)

    def label(self, label: Any) -> LabelView:
        """Return one label as a fitted binary classifier, for scikit-learn's tools.

        Parameters
        ----------
        label : str or int
            A name of `label_names_`, or the number of a label from 0. An integer that is a name
            stands for this name, wherever its column is. For a 1-D y, a class or its number: the
            view then separates this class from all others.

        Returns
        -------
        LabelView
            With `predict`, `predict_proba` of shape (n_samples, 2), `decision_function` where this
            classifier has one, and ``classes_`` 0 and 1. `partial_dependence`,
            `permutation_importance`, `RocCurveDisplay`, `CalibrationDisplay` and other tools of
            scikit-learn take it with a 1-D y of 0 and 1. It shares the fitted model, and `fit`
            raises an error.

        Raises
        ------
        ValueError
            If there is no such label.

        Examples
        --------
        >>> from sklearn.datasets import make_multilabel_classification
        >>> from sklearn.inspection import partial_dependence
        >>> from sklearn.tree import DecisionTreeClassifier
        >>> from sklearn_mlloss import DecodedClassifierCV
        >>> X, Y = make_multilabel_classification(n_classes=3, random_state=0)
        >>> model = DecodedClassifierCV(DecisionTreeClassifier(max_depth=3), cv=2).fit(X, Y)
        >>> curve = partial_dependence(model.label(2), X, features=[0], grid_resolution=5)
        >>> curve["average"].shape
        (1, 5)
        """
        check_is_fitted(self)
        return LabelView(self, *self._targets.find(label, self.label_names_))

    @abstractmethod
    def _scores_and_decisions(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return the scores of rows, shape (n_samples, n_labels), and which labels they have."""

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Return the share of rows with all labels as in y, or with the class of a 1-D y.

        Parameters
        ----------
        X : see `predict`
        y : array-like, DataFrame or sparse matrix
            True labels, left out for a `RowSource`, which has them. Columns with names must be
            those of the y that was fitted, in that order, if that had names. Labels that are NaN
            do not count.
        sample_weight : array-like of shape (n_samples,), optional
            Weights >= 0.

        Returns
        -------
        float
        """
        if isinstance(X, RowSource):
            check_is_fitted(self)
            check_alone(X, y, sample_weight)
            parts: tuple[Any, ...] = (RowBlocks(self.predict, X),)
        else:
            match_index(X, y=y, sample_weight=sample_weight)
            parts = self.predict(X), y, sample_weight
            if not any(map(is_partitioned, parts)):
                return self._targets.score(y, parts[0], sample_weight)
        return self._targets.score_sums(*sum_partitions(self._targets.sum_right, *parts))

    def _set_targets(self, targets: TargetCodec, same: bool = False) -> None:
        """Set the kind of y, and what is public of it; if `same`, it must not have changed."""
        if same and not targets.is_like(self._targets):
            raise ValueError(
                f"y has other labels than in the last fit, from which training continues: "
                f"{self._targets.describe()} then, {targets.describe()} now"
            )
        self._targets = targets
        self.classes_ = targets.classes_
        self.n_labels_ = targets.n_labels_
        self.label_names_ = targets.label_names_

    def _take(self, models: Sequence[Any], *names: str) -> None:
        """Set each attribute to that of the first model that has it; without one, delete it."""
        for name in names:
            self.__dict__.pop(name, None)
            values = [getattr(model, name) for model in models if hasattr(model, name)]
            if values:
                setattr(self, name, values[0])


class ProbabilityClassifier(LabelClassifier):
    """Base class of the classifiers that predict the labels whose probability is above 1/2.

    Of the classes of a 1-D y they predict the most probable one.
    """

    @by_partition(_probabilities)
    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each label.

        Parameters
        ----------
        X : {array-like, DataFrame, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_labels) or (n_samples, n_classes)
            For an indicator y the probability of each label; for a 1-D y those of the classes,
            with rows that sum to 1.
        """
        check_is_fitted(self)
        return self._targets.probabilities(self._label_scores(X))

    def _scores_and_decisions(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        scores = self._label_scores(X)
        # Of exclusive classes the most probable one is decided.
        return scores, scores if self._targets.kind == "multiclass" else scores > 0.5

    @abstractmethod
    def _label_scores(self, X: Any) -> np.ndarray:
        """Return the probabilities of rows, of shape (n_samples, n_labels)."""


class DecidingClassifier(LabelClassifier):
    """Base class of the classifiers with a `Decision`: predictions from scores.

    A classifier has the parameters `decoder` and `calibration`, and implements the abstract
    methods at the end of this class. Its `fit` calls `_set_targets`, sets `_entropy` and
    `_decision`, trains, and calls `_fit_decision`.
    """

    _entropy: int
    _decision: Decision

    # Parameters that may be names of objects with parameters.
    _parts: tuple[str, ...] = ("decoder", "calibration")
    # What to do where a decoder found too few positives.
    _advice = "decoder='global_threshold', or more rows"

    # ------------------------------------------------------------------ predicting

    @by_partition(_probabilities)
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

    @by_partition(_probabilities)
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

    @by_partition(_log_odds)
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
        return self._targets.log_odds(scores)

    @by_partition(_labels)
    def decode(self, proba: Any, count: Any = None) -> Any:
        """Return the labels that the decoder predicts from probabilities, in the form of y.

        Parameters
        ----------
        proba : array-like of the shape of `predict_proba`
            The output of that method, the sigmoid of `decision_function`, or other scores.
        count : array-like of shape (n_samples,), optional
            Predicted number of labels of each row, for a decoder that was fitted with counts, or
            a custom one that uses them: what `predict_count` returns, if the loss has a count.

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
        scores = proba[:, -self.n_labels_ :]
        return self._targets.inverse_transform(self._decision.decide(scores, count))

    # ------------------------------------------------------------------ another decision

    def fit_decoder(
        self,
        X: Any,
        y: Any = None,
        decoder: Any = KEEP,
        calibration: Any = KEEP,
        sample_weight: Any = None,
    ) -> Self:
        """Refit or replace decoder and calibrator on new rows, without retraining.

        Models and constructor parameters stay as they are. The rows must not have been used for
        training: scores of training rows are pushed towards 0 and 1, and a threshold fitted to
        them suits new rows less. The calibrator, if there is one, is fitted first, and then the
        decoder; with a calibrator, conformal risk control gets a fifth of the rows to itself.

        Parameters
        ----------
        X, y : see `fit`
            A `RowSource` is given without y.
        decoder : str or Decoder, optional
            Replaces the present one; "auto" is what it stands for in the constructor. If it is
            not given, the present one is refitted.
        calibration : None, str or Calibrator, optional
            Replaces the present one. If it is not given, the present one is refitted.
        sample_weight : array-like of shape (n_samples,) or (n_samples, n_labels), optional
            Weights >= 0, which are scaled to mean 1 over the observed entries.

        Returns
        -------
        self
            The classifier. If anything fails, it is left as it was.
        """
        check_is_fitted(self)
        if isinstance(X, RowSource):
            check_alone(X, y, sample_weight)
        else:
            match_index(X, y=y, sample_weight=sample_weight)
        with unchanged_on_error(self):
            if isinstance(X, RowSource) or is_partitioned(X):
                self._replace_decision(decoder, calibration)
                if self._decision.requires_fit:
                    self._fit_decision_apart(X, y, sample_weight)
                return self
            X, Y, weight = self._rows_to_decide(self._check_X(X), y, sample_weight)
            self._replace_decision(decoder, calibration)
            if self._decision.requires_fit:
                scores, count = self._raw_scores(X)
                self._fit_decision(HeldOut(scores, Y, weight, count))
        return self

    @property
    def decoder_(self) -> Decoder:
        """The decoder in use, which may be another one than `decoder`, see `fit_decoder`."""
        return self._decision.decoder

    @decoder_.setter
    def decoder_(self, decoder: Decoder) -> None:
        self._decision = replace(self._decision, decoder=decoder)

    @property
    def calibrator_(self) -> Calibrator | None:
        """The calibrator in use, if there is one."""
        return self._decision.calibrator

    @calibrator_.setter
    def calibrator_(self, calibrator: Calibrator | None) -> None:
        self._decision = replace(self._decision, calibrator=calibrator)

    # ------------------------------------------------------------------ fitted parameters

    def summary(self, n_rows: int | None = 20) -> str:
        """Return the fitted parameters in a few lines: model, training and decision.

        Parameters
        ----------
        n_rows : int or None, default=20
            Number of labels that are shown if each has its own parameters, such as a threshold;
            None for all.

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
        """Return names and texts of the lines of `summary` before the decision."""
        return []

    def _html_repr(self) -> str:
        """Return scikit-learn's diagram, and the summary below it; for notebooks."""
        diagram = estimator_html_repr(self)
        return with_details(diagram, self.summary()) if hasattr(self, "_decision") else diagram

    def set_params(self, **params: Any) -> Self:
        """Set parameters; those of a decoder or loss given by name replace the name by an object.

        Parameters
        ----------
        **params : dict
            Such as ``decoder="per_label_threshold", decoder__beta=2``.

        Returns
        -------
        self
        """
        for name in {key.partition("__")[0] for key in params if "__" in key}:
            if name in self._parts:
                params[name] = self._part(name, params.get(name, getattr(self, name)), params)
        check_nested(self, params)
        return super().set_params(**params)

    # ------------------------------------------------------------------ parts of a fit

    def _replace_decision(self, decoder: Any = KEEP, calibration: Any = KEEP) -> None:
        """Set another decision, not yet fitted; KEEP stands for the present decoder or calibrator.

        With `_fit_decision` it does what `fit_decoder` does, for scores that are known already.
        """
        if self._targets.kind == "multiclass" and decoder is not KEEP:
            raise ValueError("a 1-D multi-class y is always decided by the largest score")
        self._decision = self._make_decision(
            self.decoder_ if decoder is KEEP else decoder,
            self.calibrator_ if calibration is KEEP else calibration,
        )

    def _fit_decision(
        self,
        held_out: HeldOut,
        reserved: HeldOut | None = None,
        all_targets: tuple[np.ndarray, np.ndarray | None] | None = None,
    ) -> None:
        """Fit the decision, see `Decision.fit`; warn if the decoder found too few positives."""
        self._decision.fit(held_out, reserved, all_targets).warn_of_fallback(self._advice)

    def _fit_decision_on(
        self, scores: np.ndarray, count: np.ndarray | None, held_out: Rows, train: Rows
    ) -> None:
        """Fit the decision on the scores of held-out rows."""
        scored = HeldOut(scores, held_out.Y, held_out.weight, count)
        self._fit_decision(scored, all_targets=(train.Y, train.weight))

    def _try_decoder(self, rows: Rows) -> None:
        """Raise if the decoder has a metric that fails for such rows."""
        try_metric(self.decoder_, rows.Y, rows.weight)

    # ------------------------------------------------------------------ parts of a prediction

    def _scores(self, X: Any) -> tuple[np.ndarray, np.ndarray | None]:
        """Return calibrated scores of rows as a user gives them, and counts if there are any."""
        scores, count = self._raw_scores(self._check_X(X))
        return self._decision.calibrate(scores), count

    def _fit_decision_apart(self, X: Any, y: Any, sample_weight: Any) -> None:
        """Fit the decision on rows that are not in memory; X is not gathered."""
        try:
            held_out = self._gather(X, y, sample_weight)
        except TooManyNumbers:
            if not self._decision.by_partition:
                raise
            held_out = None
        if held_out is not None:
            self._fit_decision(held_out)
            return
        parts, without_scores = self._scored_parts(X, y, sample_weight)
        rows = ScoredRows.of_partitions(parts, without_scores, self._targets)
        self._decision.fit_partitions(rows).warn_of_fallback(self._advice)

    def _gather(self, X: Any, y: Any, sample_weight: Any) -> HeldOut:
        """Return the scores and labels of rows that are not in memory."""
        if isinstance(X, RowSource):
            both, y, sample_weight = gather_blocks(self._scores_beside_count, X)
        else:
            check_gathered(count_rows(y), 2 * self._targets.n_labels_ + 1)
            parts, _ = self._scored_parts(X, y, sample_weight)
            both, y, sample_weight = join_partitions(partial(_compact, self._targets), *parts)
        numbers = np.arange(len(both))[:, None]
        rows, Y, weight = self._rows_to_decide(numbers, y, sample_weight)
        both = both[rows[:][:, 0]]
        count = None if np.isnan(both[:, -1]).any() else both[:, -1]
        return HeldOut(both[:, :-1], Y, weight, count)

    def _scored_parts(self, X: Any, y: Any, sample_weight: Any) -> tuple[tuple, tuple]:
        """Return what `sum_partitions` takes: scores, labels and weights, and None for scores."""
        if isinstance(X, RowSource):
            return (RowBlocks(self._scores_beside_count, X),), (RowBlocks(_no_scores, X),)
        nothing = np.empty((0, self._targets.n_labels_ + 1))
        scores = map_partitions(self, "_scores_beside_count", X, nothing)
        return (scores, y, sample_weight), (None, y, sample_weight)

    def _scores_beside_count(self, X: Any) -> np.ndarray:
        scores, count = self._raw_scores(self._check_X(X))
        return np.column_stack([scores, np.full(len(scores), np.nan) if count is None else count])

    def _scores_and_decisions(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        scores, count = self._scores(X)
        return scores, self._decision.decide(scores, count)

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
        """Return rows of X, which `_check_X` returned, the target matrix, and scaled weights."""

    @abstractmethod
    def _make_decision(self, decoder: Any, calibration: Any) -> Decision:
        """Return an unfitted decision, see `make_decision`."""

    @abstractmethod
    def _auto_decoder(self, params: dict[str, Any]) -> str:
        """Return the decoder that "auto" stands for if these parameters are set."""

    def _part(self, name: str, spec: Any, params: dict[str, Any]) -> Any:
        """Return the object that the name of one of `_parts` stands for; `params` are to be set."""
        if name == "calibration":
            return get_calibrator(spec)
        return get_decoder(self._auto_decoder(params) if is_auto(spec) else spec)
