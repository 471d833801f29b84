"""Calibration and decoder for any scikit-learn classifier, fitted on out-of-fold scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, fields
from numbers import Integral
from typing import Any, Self

import numpy as np
from sklearn.base import clone
from sklearn.utils import check_consistent_length, get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping
from sklearn.utils.metaestimators import available_if

from ._data.advice import advising
from ._data.fitting import draw_entropy, unchanged_on_error
from ._data.folds import warn_of_gaps
from ._data.interrupts import Interrupt
from ._data.messages import describe
from ._data.metric_names import advise_metric
from ._data.progress import Task, begin_fit, callbacks_torn_down, fitting_part
from ._data.responses import (
    check_takes_labels,
    choose_method,
    inside,
    label_scores,
)
from ._data.tables import as_rows, check_labels_of, match_index
from ._data.targets import TargetCodec, plain_targets
from ._data.validation import check_flag, check_n_jobs, is_auto
from ._data.weights import LARGEST_SUM, check_weight, weigh
from ._decision.base import DecidingClassifier
from ._decision.cross_fit import (
    Part,
    cross_fit,
    fit_and_score,
    fit_on,
    is_prefit,
    make_folds,
    row_means,
)
from ._decision.decision import Decision, HeldOut, make_decision, reserve, try_metric
from ._decision.members import Composition, least_log_loss
from ._decision.own_folds import (
    check_may_keep_scores,
    check_no_numbers,
    check_own_folds,
    own_scores,
)
from ._decision.presets import preset_for
from ._decision.routing import Routed, request_metadata, route
from ._decision.summary import count, shown
from ._sklearn import CallbackSupportMixin, _routing_enabled, _safe_indexing
from .calibration import Calibrator
from .decoders import Decoder
from .voting import SoftVotingClassifier

__all__ = ["DecodedClassifierCV"]

AUTO = "per_label_threshold"


def _has_proba(self: DecodedClassifierCV) -> bool:
    """Return whether scores are probabilities; those of decision_function become so if calibrated.

    The fitted decision may differ from the parameters, see `fit_decoder`.
    """
    if getattr(self, "calibrator_", self.calibration) is not None:
        return True
    if hasattr(self, "_method"):
        return self._method == "predict_proba"
    return self.response_method != "decision_function" and hasattr(self._model(), "predict_proba")


@dataclass(frozen=True)
class _Data:
    """What `fit` works on.

    Attributes
    ----------
    X, y : as the estimator takes them
    Y : ndarray of shape (n_samples, n_labels)
        Target matrix, NaN where nothing was observed.
    weight : ndarray of shape (n_samples,), or None
        For calibration and decoder, scaled.
    routed : Routed
    """

    X: Any
    y: Any
    Y: np.ndarray
    weight: np.ndarray | None
    routed: Routed

    def held_out(self, rows: np.ndarray, scores: np.ndarray) -> HeldOut:
        """Return rows that trained no model, with the scores that models gave them."""
        weight, groups = (
            None if values is None else values[rows] for values in (self.weight, self.routed.groups)
        )
        return HeldOut(scores, self.Y[rows], weight, groups=groups)


@advising
@dataclass(eq=False, repr=False)
class DecodedClassifierCV(CallbackSupportMixin, Composition, DecidingClassifier):
    """Any scikit-learn classifier, or several, with a calibration and a decoder of your choice.

    What `TunedThresholdClassifierCV` and `CalibratedClassifierCV` do for binary targets and refuse
    for multi-label ones. Cross-validation gives each row a score from a model that was not trained
    on it; one calibrator and one decoder are fitted on all of these out-of-fold scores together.

    Parameters
    ----------
    estimator : classifier, or list of (str, classifier)
        With `predict_proba` or `decision_function`. Multi-label scores may come as an array of
        shape (n, n_labels) or (n, n_labels, 2), a sparse matrix, a DataFrame, or a list or tuple
        with an array of shape (n, n_classes) per label. Of a list with names the probabilities are
        averaged, as by `SoftVotingClassifier`: each member is fitted on the same folds. Parameters
        of members are set as ``trees__max_depth=3``, and a member is replaced as ``trees="drop"``.
    decoder : str or Decoder, default="auto"
        How scores become labels: a name of `sklearn_mlloss.decoders.DECODERS`, a decoder, or
        "auto" for "per_label_threshold". A 1-D multi-class y is always decided by the largest
        score. Parameters of a named decoder are set as ``decoder__beta``.
    weights : array-like of shape (n_estimators,) or "learned", optional
        For an `estimator` that is a list, as for `SoftVotingClassifier`: a number >= 0 for each
        member, dropped ones as well; equal weights by default; "learned" minimises the log loss of
        the mean of out-of-fold scores.
    calibration : None, str or Calibrator, default=None
        Corrects the scores before the decoder sees them: a name of
        `sklearn_mlloss.calibration.CALIBRATORS`, such as "sigmoid" or "isotonic".
    cv : int, splitter, iterable of (train, test), "oof" or "prefit", default=5
        An int (None is 5) is the number of folds, stratified by label; those of
        `MultilabelStratifiedGroupKFold` where `fit` gets `groups`. With "oof", `estimator` is
        fitted once, on all rows, and its own out-of-fold scores replace those of folds:
        `MultiLabelNetClassifier` with `cv` and this class keep them (``store_cv_results=True``),
        a `SoftVotingClassifier` of such members, and forests (``oob_score=True, bootstrap=True``).
        With "prefit", as with a `FrozenEstimator`, `estimator` is fitted already and is not
        trained; calibrator and decoder are fitted on all rows, which must not be those that it was
        trained on. Without anything to fit (a decoder that needs no fit, no calibration, no learned
        weights, ``store_cv_results=False``) there is no cross-validation, and `estimator` is fitted
        once, unless ``ensemble=True`` asks for the models of the folds.
    ensemble : bool or "auto", default="auto"
        Whether to keep the models of all folds and average their scores, or to fit one more on
        all rows, which predicts as fast as the plain estimator. "auto" keeps the models that the
        decision needs anyway, except for kernel and distance matrices, of which each model would
        need other columns; True asks for them also where there is nothing to fit. With ``cv="oof"``
        there is one model. See the notes.
    response_method : {"auto", "predict_proba", "decision_function"}, default="auto"
        Where scores come from. "auto" is `predict_proba` where the estimator has it. Scores of
        `decision_function` are mapped to (0, 1) by the sigmoid, which keeps their order but does
        not make probabilities of them: decoders that take scores for probabilities need a
        `calibration` then.
    store_cv_results : bool, default=False
        Whether to keep the out-of-fold scores in `oof_scores_`.
    n_jobs : int, optional
        Number of folds that are fitted at a time, as in joblib.
    random_state : int, RandomState or None, default=None
        Controls the randomness of the folds that an int `cv` asks for, and nothing in `estimator`.

    Attributes
    ----------
    classes_ : ndarray
        Classes of a 1-D y. For an indicator the array with one row [0, 1] per label.
    n_labels_ : int
        Number of labels (classes of a multi-class y; 1 for a binary y).
    label_names_ : ndarray of shape (n_labels,)
        Columns of a DataFrame y, else numbers; classes of a 1-D y.
    n_features_in_ : int
        Number of columns of X, if `estimator` has this attribute.
    feature_names_in_ : ndarray of shape (n_features,)
        Columns of X, if `estimator` has this attribute.
    estimators_ : list of classifiers
        The fitted models, one unless it is an ensemble. For a list, `SoftVotingClassifier` objects
        with the fitted members.
    estimator_ : classifier
        The first of them.
    weights_ : ndarray of shape (n_fitted,)
        For a list, the share of each member in the mean, without dropped ones; they sum to 1.
    decoder_ : Decoder
        The decoder in use.
    calibrator_ : Calibrator or None
        The calibrator in use.
    oof_scores_ : ndarray of shape (n_samples, n_labels)
        With `store_cv_results`, the uncalibrated out-of-fold score of each row (their mean, if `cv`
        tests it several times); NaN for rows that were never tested.

    See Also
    --------
    MultiLabelNetClassifier : A network with the same decoders.
    SoftVotingClassifier : A mean of classifiers without a decoder.
    sklearn.model_selection.TunedThresholdClassifierCV : One threshold for a binary classifier.
    sklearn.calibration.CalibratedClassifierCV : Calibration of one label.

    Notes
    -----
    The decision is fitted on scores of single models, and an average is less extreme, but as a
    rule also more accurate. Use ``ensemble=False`` where prediction must be fast or models are
    large.

    y goes to `estimator` as it was given: with NaN (not observed), sparse or soft targets it must
    take them. The decision leaves entries that are NaN out.

    Decoders with `untouched_rows`, such as "risk_control", need rows that served nothing else: a
    fifth of the rows, stratified by label, is kept from training, weights and calibration for them.

    `sample_weight` weights calibration and decoder, for which it is scaled to mean 1, learned
    weights, and `estimator` if it takes weights. With metadata routing it reaches the estimator
    only if that requests it, and `groups` reach a splitter that requests them, or the folds of an
    int `cv` after ``set_fit_request(groups=True)``; `for_metric` sets these requests for its
    members. Without routing, rows of one of the `groups` are kept together, in folds (with
    ``cv="oof"`` those of the estimator) and in rows that are kept for a decoder; where there are
    neither, or a fold has a group in both parts, an error says so. Other keywords of `fit` reach
    the estimator.

    With scikit-learn 1.9, ``set_callbacks`` takes `ProgressBar` and other callbacks, for each fold;
    ``ProgressBar(max_propagation_depth=None)`` also shows members, their folds and epochs.

    A member of a list that is a network with ``cv=None`` stops early on a part of the training rows
    of each fold. Networks with their own folds, each stopped on its test rows, are members of a
    `SoftVotingClassifier` with ``cv="oof"``: `for_metric` makes one.

    Examples
    --------
    >>> from sklearn.datasets import make_multilabel_classification
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from sklearn_mlloss import DecodedClassifierCV
    >>> X, Y = make_multilabel_classification(n_samples=300, n_classes=4, random_state=0)
    >>> forest = RandomForestClassifier(20, random_state=0)
    >>> clf = DecodedClassifierCV(forest, "global_threshold", random_state=0).fit(X, Y)
    >>> clf.predict(X[:2]).shape
    (2, 4)
    >>> round(clf.decoder_.threshold_, 2) < 0.5
    True

    The mean of two classifiers, with weights that are learned on the same folds:

    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> members = [("forest", forest), ("neighbors", KNeighborsClassifier(9))]
    >>> both = DecodedClassifierCV(members, weights="learned", random_state=0).fit(X, Y)
    >>> both.weights_.shape
    (2,)
    >>> both.set_params(forest__n_estimators=30, neighbors="drop", weights=None).fit(X, Y).weights_
    array([1.])
    """

    _members_of = "estimator"

    # With metadata routing, groups are for splitters; on request, for the folds of an int.
    __metadata_request__fit = {"groups": False}

    estimator: Any
    decoder: str | Decoder = "auto"
    _: KW_ONLY
    weights: Any = None
    calibration: str | Calibrator | None = None
    cv: Any = 5
    ensemble: bool | str = "auto"
    response_method: str = "auto"
    store_cv_results: bool = False
    n_jobs: int | None = None
    random_state: int | np.random.RandomState | None = None

    @classmethod
    def for_metric(
        cls, metric: str | Callable, estimator: Any = None, *, linear: bool = True, **params: Any
    ) -> Self:
        """Return a classifier whose decision suits a metric, averaged over ten folds.

        Parameters
        ----------
        metric : str or callable
            As for `MultiLabelNetClassifier.for_metric`: "f1_macro", a scorer or a function.
        estimator : classifier or list of (str, classifier), optional
            None is a `SoftVotingClassifier` of the networks that suit the metric, "net", of a
            `MultiLabelExtraTreesClassifier` per fold, "trees", and of a
            `MultiLabelLogisticRegressionCV`, "linear", with weights that are learned on out-of-fold
            scores. For "average_precision" and "roc_auc" networks and trees have equal weights,
            which are better there, and the linear model is left out, whose share would be too
            large. Networks and trees are the strongest in benchmarks on real tables with up to 53
            labels, and as good as networks alone with hundreds; the linear model helps where rows
            are few and labels depend on single columns. The trees of all folds take up to 4 MB per
            label. X and y are those of `MultiLabelNetClassifier`, with categories and missing
            values. torch is imported.
        linear : bool, default=True
            Whether the linear model is a member where weights are learned.
        **params : dict
            Parameters of this class, which take precedence. Without an `estimator`, `cv`,
            `ensemble`, `n_jobs`, `random_state`, `categorical_features` and `verbose` are those of
            the members that have them, and other parameters of `MultiLabelNetClassifier`, such as
            ``max_epochs=50``, are those of the networks.

        Returns
        -------
        DecodedClassifierCV
            It keeps the models of all folds, whatever the decoder, as ``ensemble=True`` does.

        Examples
        --------
        >>> from sklearn.ensemble import RandomForestClassifier
        >>> from sklearn_mlloss import DecodedClassifierCV
        >>> DecodedClassifierCV.for_metric("f1_macro", RandomForestClassifier(), random_state=0)
        DecodedClassifierCV(cv=10, decoder='per_label_threshold', ensemble=True,
                            estimator=RandomForestClassifier(), random_state=0)
        """
        check_flag(linear, "linear")
        preset = preset_for(metric)
        names = ("decoder", "calibration")
        decision: dict[str, Any] = {name: preset[name] for name in names if name in preset}
        folds: dict[str, Any] = {"cv": preset["cv"], "ensemble": True}
        if estimator is None:
            own = {field.name for field in fields(cls)} - {"cv", "ensemble", "n_jobs"}
            of_members = {name: params.pop(name) for name in params.keys() - own}
            seed = params.get("random_state")
            # Only this needs torch, and a tenth of a second for forests.
            from .members.preset import make_members

            estimator = make_members(metric, linear, folds | of_members, seed, DecodedClassifierCV)
            folds = {"cv": "oof"}
        elif isinstance(params.get("cv"), str):
            folds = {}
        return request_metadata(cls(estimator, **(decision | folds | params)), "groups")

    # ------------------------------------------------------------------ learning

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None, **params: Any) -> Self:
        """Fit the models, the calibrator and the decoder.

        Parameters
        ----------
        X : {array-like, DataFrame, sparse matrix} of shape (n_samples, n_features)
            What `estimator` takes.
        y : {array-like, DataFrame, sparse matrix} of shape (n_samples, n_labels) or (n_samples,)
            An indicator matrix, or a vector of classes.
        sample_weight : array-like of shape (n_samples,) or (n_samples, n_labels), optional
            Weights >= 0; one per row and label if `estimator` takes these.
        **params : dict
            `groups` of rows to keep together, of shape (n_samples,), and arguments for
            ``estimator.fit``; see the notes of the class.

        Returns
        -------
        DecodedClassifierCV
            The fitted estimator. If anything fails, it is left as it was. After Ctrl-C it has the
            models of at least two finished folds or, without folds of its own, what `estimator`
            keeps then, with a fitted decision; a warning reports this, and KeyboardInterrupt is
            raised. A second Ctrl-C, or one before there is anything to keep, leaves it as it was.
        """
        with Interrupt(self) as interrupt, unchanged_on_error(self), callbacks_torn_down(self):
            self.__dict__.pop("oof_scores_", None)
            self._check_params()
            model = self._model()
            self._method = choose_method(model, self.response_method)
            prefit = is_prefit(model, self.cv)
            data = self._read(model, X, y, sample_weight, params, prefit)
            self._entropy = draw_entropy(self.random_state)
            fold_seed, reserve_seed = np.random.SeedSequence(self._entropy).generate_state(2)
            self._decision = self._make_decision(self.decoder, self.calibration)
            try_metric(self.decoder_, data.Y, data.weight)
            rest, reserved = np.arange(len(data.Y)), None
            # All rows are new to an estimator that is fitted already: the decision reserves some.
            if self.decoder_.untouched_rows and not prefit:
                rest, reserved = reserve(data.Y, reserve_seed, data.weight, data.routed.groups)
            needs_scores = (
                self.calibrator_ is not None
                or self.store_cv_results
                or self._learns_on_folds()
                or (self.decoder_.requires_fit and reserved is None)
            )
            self._check_sources(model, data.routed, prefit, needs_scores, reserved is not None)
            parts: list[Part] = [] if prefit else self._split(data, rest, fold_seed, needs_scores)
            task = begin_fit(self, X, y, sample_weight, len(parts), ordered=False)
            if prefit:
                self.estimators_ = [model]
                scored = (rest, self._raw_scores(data.X)[0]) if needs_scores else None
            else:
                scored = self._fit_models(model, data, parts, needs_scores, interrupt, task)
            self.estimator_ = self.estimators_[0]
            self._take([self.estimator_], "n_features_in_", "feature_names_in_")
            self._take([self.estimator_] if isinstance(self.estimator, list) else [], "weights_")
            if self.store_cv_results and scored is not None:
                self.oof_scores_ = row_means(*scored, len(data.Y))
            if self._decision.requires_fit:
                held_out = None if scored is None else data.held_out(*scored)
                self._learn_decision(data, held_out, reserved)
            if task is not None:
                task.end({})
        return self

    # ------------------------------------------------------------------ predicting

    @available_if(_has_proba)
    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each label, averaged over the models and calibrated.

        Only where scores come from `predict_proba` of the estimator, or there is a calibration.

        Parameters
        ----------
        X : {array-like, DataFrame, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_labels) or (n_samples, n_classes)
            For an indicator y the probability of each label, strictly between 0 and 1; for a 1-D
            y those of the classes, with rows that sum to 1.
        """
        return super().predict_proba(X)

    @available_if(_has_proba)
    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Return the logarithm of `predict_proba`, for the same X and of the same shape."""
        return super().predict_log_proba(X)

    @available_if(_has_proba)
    def predict_frame(self, X: Any) -> Any:
        """Return probabilities and predicted labels with their names, as a DataFrame.

        Only where there is `predict_proba`; `predict_labels` is always there.

        Parameters
        ----------
        X : {array-like, DataFrame, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        pandas.DataFrame or polars.DataFrame
            As `MultiLabelNetClassifier.predict_frame` returns it.
        """
        return super().predict_frame(X)

    # ------------------------------------------------------------------ parameters and tags

    def get_metadata_routing(self) -> MetadataRouter:
        """Return who gets which metadata in `fit`: this object, the estimator, the splitter."""
        mapping = MethodMapping().add(caller="fit", callee="fit")
        split = MethodMapping().add(caller="fit", callee="split")
        router = MetadataRouter(owner=self).add_self_request(self)
        return router.add(estimator=self._model(), method_mapping=mapping).add(
            splitter=self.cv, method_mapping=split
        )

    def __sklearn_tags__(self):
        """Return scikit-learn's tags: targets and input are what the estimator takes."""
        tags = super().__sklearn_tags__()
        inner = get_tags(self._model())
        tags.input_tags = inner.input_tags
        if inner.classifier_tags is not None:
            tags.classifier_tags = inner.classifier_tags
        return tags

    @available_if(lambda self: isinstance(self.estimator, list))
    def _sk_visual_block_(self) -> Any:
        """Return the diagram of notebooks for several classifiers."""
        return self._model()._sk_visual_block_()

    # ------------------------------------------------------------------ checks

    def _check_params(self) -> None:
        if not isinstance(self.ensemble, bool | np.bool_) and not is_auto(self.ensemble):
            raise ValueError(
                f"ensemble must be True, False or 'auto', got {describe(self.ensemble)}"
            )
        check_flag(self.store_cv_results, "store_cv_results")
        if isinstance(self.cv, str) and self.cv not in ("oof", "prefit"):
            raise ValueError(
                f"cv must be an int, a splitter, splits, 'oof' or 'prefit', got {describe(self.cv)}"
            )
        if self._has_own_folds():
            check_own_folds(self.estimator, self.ensemble)
        if isinstance(self.cv, Integral) and self.cv < 2:
            raise ValueError(f"cv must be at least 2, a splitter or splits, got {self.cv!r}")
        check_n_jobs(self.n_jobs)
        self._check_estimator()
        if get_tags(self._model()).input_tags.pairwise and self._ensembles():
            raise ValueError(
                "ensemble=True does not work with a kernel or distance matrix, of which each model "
                "needs other columns: use ensemble=False"
            )

    def _check_estimator(self) -> None:
        if isinstance(self.estimator, list):
            self._check_members()
            if not self._learns_weights():
                self._shares()
            if isinstance(self.cv, str) and self.cv == "prefit":
                raise ValueError(
                    "cv='prefit' needs one fitted classifier, got estimator="
                    f"{describe(self.estimator)}: give a fitted SoftVotingClassifier of them"
                )
            return
        if isinstance(self.estimator, type) or not hasattr(self.estimator, "__sklearn_tags__"):
            raise TypeError(
                "estimator must be a classifier of scikit-learn, such as RandomForestClassifier(), "
                f"or a list of pairs (name, classifier), got {describe(self.estimator)}"
                f"{advise_metric(self.estimator)}"
            )
        if self.weights is not None:
            raise ValueError(
                "weights is for an estimator that is a list of pairs (name, classifier), got "
                f"weights={describe(self.weights)} and estimator={describe(self.estimator)}"
            )

    def _has_own_folds(self) -> bool:
        return isinstance(self.cv, str) and self.cv == "oof"

    def _check_sources(
        self, model: Any, routed: Routed, prefit: bool, needs_scores: bool, reserves: bool
    ) -> None:
        """Raise before training if there will be no scores, or nothing keeps groups together."""
        if self._has_own_folds():
            if needs_scores:
                check_may_keep_scores(model)
            if reserves:
                check_no_numbers(model, self.decoder_)
            return
        if routed.groups is None or _routing_enabled() or reserves:
            return  # with metadata routing they are for whoever asks for them
        if prefit and not (self.decoder_.untouched_rows and self.calibrator_ is not None):
            raise TypeError(
                "groups are kept together in folds, and with an estimator that is fitted already "
                "there are none: call fit without groups"
            )
        if not prefit and not self._wants_folds(needs_scores):
            raise TypeError(
                "groups are kept together in folds, and there are none, since neither "
                f"decoder={describe(self.decoder)} nor calibration={describe(self.calibration)} "
                "needs to be fitted: call fit without groups, or set ensemble=True"
            )

    def _wants_folds(self, needs_scores: bool) -> bool:
        asked = not isinstance(self.ensemble, str) and bool(self.ensemble)
        return (needs_scores or asked) and not self._has_own_folds()

    def _ensembles(self) -> bool:
        if self.ensemble == "auto":
            return not get_tags(self._model()).input_tags.pairwise
        return bool(self.ensemble)

    def _check_weight(self, sample_weight: Any, Y: np.ndarray) -> np.ndarray | None:
        return check_weight(sample_weight, Y, self._targets.kind == "multilabel", LARGEST_SUM)

    # ------------------------------------------------------------------ stages of a fit

    def _model(self) -> Any:
        """Return what is fitted on each part: the estimator, or the mean of its members."""
        if not isinstance(self.estimator, list):
            return self.estimator
        weights = None if self._learns_on_folds() else self.weights
        return SoftVotingClassifier(self.estimator, weights=weights)

    def _learns_on_folds(self) -> bool:
        """Return whether weights are learned on the folds of this object, not of the members."""
        return self._learns_weights() and not self._has_own_folds()

    def _read(
        self, model: Any, X: Any, y: Any, sample_weight: Any, params: dict, prefit: bool
    ) -> _Data:
        """Set the kind of y; return what `fit` works on."""
        params = match_index(X, y=y, sample_weight=sample_weight, **params)
        y, sample_weight = params.pop("y"), params.pop("sample_weight")
        codec = TargetCodec().fit(y)
        if prefit:
            # It may know classes that y lacks.
            if codec.kind != "multilabel":
                codec.fit(y, model.classes_)
            check_labels_of(model, y)
        self._set_targets(codec)
        X, y = as_rows(X), plain_targets(y)
        check_consistent_length(X, y)
        Y = codec.transform(y)
        if not prefit:
            check_takes_labels(model, codec)
        sample_weight = self._check_weight(sample_weight, Y)
        Y, weight = weigh(Y, sample_weight)
        return _Data(X, y, Y, weight, route(self, model, sample_weight, params, len(Y), prefit))

    def _split(self, data: _Data, rest: np.ndarray, seed: int, needs_scores: bool) -> list[Part]:
        """Return the rows to fit each model on, and those to score; without folds all rows."""
        if not self._wants_folds(needs_scores):
            return [(rest, None)]
        kept = np.isin(np.arange(len(data.Y)), rest)
        folds = make_folds(self.cv, data.X, data.y, data.Y, seed, kept=kept, **data.routed.split)
        warn_of_gaps(folds, data.Y, self._targets)
        return [*folds] if self._ensembles() else [*folds, (rest, None)]

    def _fit_models(
        self,
        model: Any,
        data: _Data,
        parts: list[Part],
        needs_scores: bool,
        interrupt: Interrupt,
        task: Task | None,
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """Fit the models; return the held-out rows and their scores, if they are needed."""
        learns_weights = self._learns_on_folds()
        common = dict(X=data.X, y=data.y, fit_params=data.routed.fit, targets=self._targets)
        if len(parts) == 1 and parts[0][1] is None:
            rest, model = parts[0][0], clone(model)
            try:
                with fitting_part(task, model, "all rows", 0):
                    fit_on(model, rest, "the rows", **common)
            except KeyboardInterrupt as error:
                usable = getattr(error, "kept", None) is model
                interrupt.take(error, usable, getattr(error, "what", ""))
            interrupt.holds = True
            self.estimators_ = [model]
            return own_scores(model, self._method, self._targets, rest) if needs_scores else None
        interrupt.drops = True
        fitted = cross_fit(
            fit_and_score, parts, self.n_jobs, interrupt, model=model, method=self._method,
            by_member=learns_weights, task=task, n_folds=len(parts) - (not self._ensembles()),
            **common,
        )  # fmt: skip
        # After an interrupt there are folds only.
        ensembles = self._ensembles() or len(fitted.models) < len(parts)
        self.estimators_ = fitted.models if ensembles else fitted.models[-1:]
        if not learns_weights:
            return fitted.rows, fitted.scores
        held_out = data.held_out(fitted.rows, fitted.scores)
        scores_of_members = list(fitted.scores.swapaxes(0, 1))
        shares = least_log_loss(scores_of_members, held_out.Y, held_out.weight)
        for vote in self.estimators_:
            vote.weights_ = shares
        return fitted.rows, inside(np.average(fitted.scores, axis=1, weights=shares))

    def _learn_decision(
        self, data: _Data, held_out: HeldOut | None, reserved: np.ndarray | None
    ) -> None:
        """Fit the decision on scored rows that trained no model, and on reserved rows."""
        kept = None
        if reserved is not None:
            kept = data.held_out(reserved, self._raw_scores(_safe_indexing(data.X, reserved))[0])
        if held_out is None:  # without a calibration, a decoder with reserved rows needs no others
            held_out = kept
        if held_out is not None:
            self._fit_decision(held_out, kept, all_targets=(data.Y, data.weight))

    # ------------------------------------------------------------------ parts of a decision

    def _make_decision(self, decoder: Any, calibration: Any) -> Decision:
        source = "" if self._method == "predict_proba" else self._method
        # A score of 0.5 is where decision_function changes its sign.
        args, seed = (decoder, calibration, self._targets), self._entropy
        return make_decision(*args, default=AUTO, natural="threshold", source=source, seed=seed)

    def _auto_decoder(self, params: dict[str, Any]) -> str:
        return AUTO

    def _rows_to_decide(
        self, X: Any, y: Any, sample_weight: Any
    ) -> tuple[Any, np.ndarray, np.ndarray | None]:
        Y = self._targets.transform(y)
        check_consistent_length(X, Y)
        return X, *weigh(Y, self._check_weight(sample_weight, Y))

    def _model_lines(self) -> list[tuple[str, str]]:
        models = count(len(self.estimators_), "model")
        lines = [("estimator", shown(self.estimator_)), ("scores", f"{self._method} of {models}")]
        if hasattr(self, "weights_"):  # `estimator` may have changed since
            names = [name for name, _ in self.estimator_._fitted_members()]
            shares = [f"{name} {w:.3g}" for name, w in zip(names, self.weights_, strict=True)]
            lines.append(("weights", ", ".join(shares)))
        return lines

    # ------------------------------------------------------------------ parts of a prediction

    def _check_X(self, X: Any) -> Any:
        return as_rows(X)  # of which `estimator` makes what it does

    def _raw_scores(self, X: Any) -> tuple[np.ndarray, None]:
        scores = [label_scores(model, X, self._method, self._targets) for model in self.estimators_]
        return scores[0] if len(scores) == 1 else np.mean(scores, axis=0), None
