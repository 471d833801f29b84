"""Calibration and decision for any scikit-learn classifier, learned on out-of-fold scores."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin
from sklearn.utils import (
    _safe_indexing,
    check_array,
    check_scalar,
    get_tags,
    indexable,
)
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
)
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import (
    _check_sample_weight,
    check_is_fitted,
)

from .calibration import get_calibrator
from .cross_fit import fit_models, is_prefit, make_parts, pool, route
from .decision import KEEP, is_auto, make_calibrator, make_plain_decoder, warn_of_fallback
from .decoders import Decoder, get_decoder
from .model_selection import MultilabelStratifiedShuffleSplit
from .parameters import draw_entropy, unchanged_on_error
from .responses import choose_method, label_scores
from .targets import TargetCodec

__all__ = ["DecodedClassifierCV"]

AUTO = "per_label_threshold"
# Share of the rows kept for a decoder whose rows may serve nothing else: a fold of the default cv.
RESERVED = 0.2


def _has_proba(self: DecodedClassifierCV) -> bool:
    """Return whether scores are probabilities; those of decision_function become so if calibrated.

    The fitted decision may differ from the parameters, see `fit_decoder`.
    """
    if getattr(self, "calibrator_", self.calibration) is not None:
        return True
    return getattr(self, "_method", None) == "predict_proba" or (
        not hasattr(self, "_method")
        and self.response_method != "decision_function"
        and hasattr(self.estimator, "predict_proba")
    )


class DecodedClassifierCV(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """Any scikit-learn classifier with a calibration and a decision of your choice.

    What `TunedThresholdClassifierCV` and `CalibratedClassifierCV` do for binary targets and refuse
    for multi-label ones. Cross-validation gives each row a score from a model that has not seen
    it; one calibration and one decoder are fitted on all of these scores together.

    Parameters
    ----------
    estimator : classifier
        With `predict_proba` or `decision_function`. Multi-label scores may come as an array of
        shape (n, n_labels), (n, n_labels, 2), or a list with an array of shape (n, n_classes) a
        label.
    decoder : str or Decoder, default="auto"
        How scores become labels: a name of `sklearn_mlloss.decoders.DECODERS`, a decoder, or
        "auto" for "per_label_threshold". A 1-D multi-class y is always decided by the largest
        score. Parameters of a named decoder can be set as ``decoder__beta``.
    calibration : None, str or Calibrator, default=None
        Corrects the scores before the decoder sees them: a name of
        `sklearn_mlloss.calibration.CALIBRATORS`, such as "sigmoid" or "isotonic".
    cv : int, splitter, iterable of (train, test), or "prefit", default=5
        An int (None is 5) is the number of folds, stratified by label. With "prefit", as with a
        `FrozenEstimator`, `estimator` is fitted already and is not trained; calibration and
        decoder are fitted on all rows, which must not be those that it was trained on.
        Without anything to learn (a decoder that needs no fit, no calibration,
        ``store_cv_results=False``) there is no cross-validation: `estimator` is fitted once.
    ensemble : bool or "auto", default="auto"
        Whether to keep the models of all folds and average their scores, or to fit one more on
        all rows, which predicts as fast as the plain estimator. "auto" is True except for kernel
        and distance matrices, of which each model would need other columns; see the notes.
    response_method : {"auto", "predict_proba", "decision_function"}, default="auto"
        Where scores come from. "auto" is `predict_proba` where the estimator has it. Scores of
        `decision_function` are mapped to (0, 1) by the sigmoid, which keeps their order but does
        not make probabilities of them: decoders that take scores for probabilities want a
        `calibration` then.
    store_cv_results : bool, default=False
        Whether to keep the out-of-fold scores in `oof_scores_`.
    n_jobs : int, optional
        Number of folds that are fitted at a time, as in joblib.
    random_state : int, RandomState or None, default=None
        Steers the folds that a number of folds asks for, and nothing in `estimator`.

    Attributes
    ----------
    classes_ : ndarray
        Classes of a 1-D y. For an indicator the array with a row [0, 1] a label.
    n_labels_ : int
        Number of labels (classes of a multi-class y; 1 for a binary y).
    label_names_ : ndarray of shape (n_labels,)
        Columns of a DataFrame y, else numbers; classes of a 1-D y.
    n_features_in_ : int
        Number of columns of X, if `estimator` tells it.
    feature_names_in_ : ndarray of shape (n_features,)
        Columns of X, if `estimator` tells them.
    estimators_ : list of classifiers
        The fitted models, one unless it is an ensemble.
    estimator_ : classifier
        The first of them.
    decoder_ : Decoder
        The decision in use.
    calibrator_ : Calibrator or None
        The calibration in use.
    oof_scores_ : ndarray of shape (n_samples, n_labels)
        With `store_cv_results`, the uncalibrated score of each row by the model that has not seen
        it (the last, if `cv` tests it several times); NaN for rows that were never tested.

    See Also
    --------
    MultiLabelNetClassifier : A network with the same decisions.
    sklearn.model_selection.TunedThresholdClassifierCV : One threshold for a binary classifier.
    sklearn.calibration.CalibratedClassifierCV : Calibration of one label.

    Notes
    -----
    The decision is learned on scores of single models, and an average is less extreme, but as a
    rule also more accurate. Take ``ensemble=False`` where prediction must be fast or models are
    large.

    y goes to `estimator` as it was given: with NaN (not observed), sparse or soft targets it must
    take them. The decision leaves entries that are NaN out.

    Decoders with `untouched_rows`, such as "risk_control", need rows that served nothing else: a
    fifth of the rows, stratified by label, is kept from training and calibration for them.

    `sample_weight` weights calibration and decoder, and `estimator` if it takes weights. With
    metadata routing it reaches the estimator only if that requests it, `groups` reach the splitter
    if that requests them; without routing, `groups` reach the splitter, and other keywords of
    `fit` the estimator.

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
    """

    def __init__(
        self,
        estimator,
        decoder="auto",
        *,
        calibration=None,
        cv=5,
        ensemble="auto",
        response_method="auto",
        store_cv_results=False,
        n_jobs=None,
        random_state=None,
    ):
        self.estimator = estimator
        self.decoder = decoder
        self.calibration = calibration
        self.cv = cv
        self.ensemble = ensemble
        self.response_method = response_method
        self.store_cv_results = store_cv_results
        self.n_jobs = n_jobs
        self.random_state = random_state

    # ------------------------------------------------------------------ learning

    def fit(self, X, y, sample_weight=None, **params):
        """Fit the models, the calibration and the decoder.

        Parameters
        ----------
        X : {array-like, DataFrame, sparse matrix} of shape (n_samples, n_features)
            What `estimator` takes.
        y : {array-like, DataFrame, sparse matrix} of shape (n_samples, n_labels) or (n_samples,)
            An indicator matrix, or a vector of classes.
        sample_weight : array-like of shape (n_samples,), optional
            Weights >= 0.
        **params : dict
            `groups` for the splitter, and arguments for ``estimator.fit``; see the notes of the
            class.

        Returns
        -------
        DecodedClassifierCV
            The fitted estimator. If anything fails, it is left as it was.
        """
        with unchanged_on_error(self):
            vars(self).pop("oof_scores_", None)
            self._check_params()
            self._method = choose_method(self.estimator, self.response_method)
            prefit = is_prefit(self.estimator, self.cv)
            self._set_targets(y, prefit)
            X, y, sample_weight = indexable(X, y, sample_weight)
            Y = self._targets.transform(y)
            weight = _check_sample_weight(sample_weight, Y)
            routed = route(self, sample_weight, params)
            self.calibrator_ = make_calibrator(self.calibration)
            self.decoder_ = self._make_decoder(self.decoder)
            seed, own_seed = _seeds(self.random_state)
            rest, own = self._reserve(Y, own_seed, trains=not prefit)
            if prefit:
                self.estimators_ = [self.estimator]
                rows = rest
                wanted = self._scores_rows(trains=False)
                scores = self._raw_scores(_safe_indexing(X, rest)) if wanted else None
            else:
                rows, scores = self._train(X, y, Y, rest, seed, routed)
            self._set_features()
            if self.store_cv_results:
                self.oof_scores_ = np.full(Y.shape, np.nan)
                self.oof_scores_[rows] = scores
            self._fit_decision((X, Y, weight), rows, scores, own)
        return self

    def fit_decoder(self, X, y, decoder=KEEP, calibration=KEEP, sample_weight=None):
        """Fit the decision on new rows, without touching models or constructor parameters.

        The rows must not have been used for training: scores of training rows are pushed towards
        0 and 1, and a threshold fitted to them suits new rows less. They serve the calibration, if
        there is one, and then the decoder; one with `untouched_rows` gets a fifth of them to
        itself if there is a calibration.

        Parameters
        ----------
        X, y : see `fit`
        decoder : str or Decoder, optional
        calibration : None, str or Calibrator, optional
            Takes the place of the present one, which otherwise is fitted again.
        sample_weight : array-like of shape (n_samples,), optional
            Weights >= 0.

        Returns
        -------
        DecodedClassifierCV
        """
        check_is_fitted(self)
        with unchanged_on_error(self):
            if self._targets.kind == "multiclass" and decoder is not KEEP:
                raise ValueError("a 1-D multi-class y is always decided by the largest score")
            X, y = indexable(X, y)
            Y = self._targets.transform(y)
            weight = _check_sample_weight(sample_weight, Y)
            self.calibrator_ = make_calibrator(
                self.calibrator_ if calibration is KEEP else calibration
            )
            self.decoder_ = self._make_decoder(self.decoder_ if decoder is KEEP else decoder)
            rows, own = self._reserve(Y, _seeds(self.random_state)[1], trains=False)
            if self._learns_decision():
                scores = self._raw_scores(_safe_indexing(X, rows))
                self._fit_decision((X, Y, weight), rows, scores, own)
        return self

    # ------------------------------------------------------------------ predicting

    def predict(self, X):
        """Return the decided labels in the form of the y that was fitted.

        Parameters
        ----------
        X : {array-like, DataFrame, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        array or sparse matrix of shape (n_samples, n_labels) or (n_samples,)
        """
        check_is_fitted(self)
        return self._decide(self._scores(X))

    @available_if(_has_proba)
    def predict_proba(self, X):
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
        check_is_fitted(self)
        scores = self._scores(X)
        if self._targets.kind == "binary":
            return np.hstack([1 - scores, scores])
        if self._targets.kind == "multiclass":
            return scores / scores.sum(axis=1, keepdims=True)
        return scores

    @available_if(_has_proba)
    def predict_log_proba(self, X):
        """Return the logarithm of `predict_proba`, for the same X and of the same shape."""
        return np.log(self.predict_proba(X))

    def decision_function(self, X):
        """Return the log-odds of the scores that are decided on.

        Parameters
        ----------
        X : see `predict_proba`

        Returns
        -------
        ndarray of shape (n_samples, n_labels), (n_samples, n_classes), or (n_samples,) if binary
        """
        check_is_fitted(self)
        scores = self._scores(X)
        odds = np.log(scores) - np.log1p(-scores)
        return odds[:, 0] if self._targets.kind == "binary" else odds

    def decode(self, proba):
        """Return the labels decided from probabilities, in the form of the y that was fitted.

        Parameters
        ----------
        proba : array-like of the shape of `predict_proba`
            Where there is none, the sigmoid of `decision_function`.

        Returns
        -------
        array or sparse matrix of shape (n_samples, n_labels) or (n_samples,)
        """
        check_is_fitted(self)
        proba = check_array(proba, dtype=np.float64, input_name="proba")
        width = 2 if self._targets.kind == "binary" else self.n_labels_
        if proba.shape[1] != width:
            raise ValueError(f"proba must have {width} columns, got {proba.shape[1]}")
        return self._decide(proba[:, -self.n_labels_ :])

    # ------------------------------------------------------------------ parameters and tags

    def set_params(self, **params):
        """Set parameters; one of a decoder or calibration given by name makes it an object.

        Such as ``decoder="per_label_threshold", decoder__beta=2``.
        """
        nested = {key.partition("__")[0] for key in params if "__" in key}
        if "decoder" in nested:
            decoder = params.get("decoder", self.decoder)
            params["decoder"] = get_decoder(AUTO if is_auto(decoder) else decoder)
        if "calibration" in nested:
            params["calibration"] = get_calibrator(params.get("calibration", self.calibration))
        return super().set_params(**params)

    def get_metadata_routing(self):
        """Return who gets which metadata in `fit`: this object, the estimator, the splitter."""
        mapping = MethodMapping().add(caller="fit", callee="fit")
        split = MethodMapping().add(caller="fit", callee="split")
        router = MetadataRouter(owner=self).add_self_request(self)
        return router.add(estimator=self.estimator, method_mapping=mapping).add(
            splitter=self.cv, method_mapping=split
        )

    def __sklearn_tags__(self):
        """Return scikit-learn's tags: targets and input are what the estimator takes."""
        tags = super().__sklearn_tags__()
        inner = get_tags(self.estimator)
        tags.input_tags = inner.input_tags
        if inner.classifier_tags is not None:
            tags.classifier_tags = inner.classifier_tags
        return tags

    # ------------------------------------------------------------------ parts of a fit

    def _check_params(self) -> None:
        if not isinstance(self.ensemble, bool | np.bool_) and self.ensemble != "auto":
            raise ValueError(f"ensemble must be True, False or 'auto', got {self.ensemble!r}")
        check_scalar(self.store_cv_results, "store_cv_results", (bool, np.bool_))
        if isinstance(self.cv, str) and self.cv != "prefit":
            raise ValueError(f"cv must be an int, a splitter, splits or 'prefit', got {self.cv!r}")
        if isinstance(self.cv, Integral) and self.cv < 2:
            raise ValueError(f"cv must be at least 2, a splitter or splits, got {self.cv!r}")
        pairwise = get_tags(self.estimator).input_tags.pairwise
        if pairwise and self._ensembles():
            raise ValueError(
                "ensemble=True does not work with a kernel or distance matrix, of which each model "
                "needs other columns: use ensemble=False"
            )

    def _ensembles(self) -> bool:
        if self.ensemble == "auto":
            return not get_tags(self.estimator).input_tags.pairwise
        return bool(self.ensemble)

    def _set_targets(self, y: Any, prefit: bool) -> None:
        codec = TargetCodec().fit(y)
        if prefit and codec.kind != "multilabel":
            codec.fit(y, self.estimator.classes_)
        self._targets = codec
        self.classes_ = codec.classes_
        self.n_labels_ = codec.n_labels_
        self.label_names_ = codec.label_names_

    def _set_features(self) -> None:
        self.estimator_ = self.estimators_[0]
        for name in ("n_features_in_", "feature_names_in_"):
            vars(self).pop(name, None)
            if hasattr(self.estimator_, name):
                setattr(self, name, getattr(self.estimator_, name))

    def _make_decoder(self, spec: Any) -> Decoder:
        calibrated = self.calibrator_ is not None
        return make_plain_decoder(spec, AUTO, self._method, self._targets, calibrated)

    def _learns_decision(self) -> bool:
        return self.decoder_.requires_fit or self.calibrator_ is not None

    def _scores_rows(self, trains: bool) -> bool:
        """Return whether rows must be scored besides reserved ones."""
        learns = self.decoder_.requires_fit and not (trains and self.decoder_.untouched_rows)
        return learns or self.calibrator_ is not None or self.store_cv_results

    def _reserve(self, Y: np.ndarray, seed: int, trains: bool) -> tuple[np.ndarray, Any]:
        """Return the rows to work on, and those that the decoder alone may see, or None."""
        if not self.decoder_.untouched_rows or not (trains or self.calibrator_ is not None):
            return np.arange(len(Y)), None
        splitter = MultilabelStratifiedShuffleSplit(1, test_size=RESERVED, random_state=seed)
        return next(splitter.split(Y, Y))

    def _train(
        self, X: Any, y: Any, Y: np.ndarray, rest: np.ndarray, seed: int, routed: tuple[dict, dict]
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Fit the models; return rows that the decision can learn on, and their scores."""
        fit_params, split_params = routed
        folds = []
        if self._scores_rows(trains=True):
            folds = make_parts(self.cv, X, y, Y, rest, seed, split_params)
        parts = folds if folds and self._ensembles() else [*folds, (rest, None)]
        found = fit_models(
            self.estimator, X, y, parts, fit_params, self._method, self._targets, self.n_jobs
        )
        models, scores = zip(*found, strict=True)
        self.estimators_ = list(models) if parts is folds else [models[-1]]
        return pool(folds, scores[: len(folds)]) if folds else (rest, None)

    def _fit_decision(self, data: tuple, rows: np.ndarray, scores: Any, own: Any) -> None:
        """Fit the calibration on scores of some rows, and the decoder on them or on its own."""
        X, Y, weight = data
        if self.calibrator_ is not None:
            self.calibrator_.fit(scores, Y[rows].astype(float), weight[rows])
            scores = self.calibrator_.transform(scores)
        if not self.decoder_.requires_fit:
            return
        if own is not None:
            rows, scores = own, self._scores(_safe_indexing(X, own))
        self.decoder_.fit(scores, Y[rows].astype(float), weight[rows])
        self.decoder_.learn_sets(Y, weight)  # which need no scores
        warn_of_fallback(self.decoder_, len(rows), "decoder='global_threshold', or more rows")

    # ------------------------------------------------------------------ parts of a prediction

    def _raw_scores(self, X: Any) -> np.ndarray:
        """Return scores averaged over the models, before calibration."""
        found = [label_scores(model, X, self._method, self._targets) for model in self.estimators_]
        return found[0] if len(found) == 1 else np.mean(found, axis=0)

    def _scores(self, X: Any) -> np.ndarray:
        scores = self._raw_scores(X)
        return scores if self.calibrator_ is None else self.calibrator_.transform(scores)

    def _decide(self, scores: np.ndarray) -> Any:
        return self._targets.inverse_transform(self.decoder_.decode(scores))


def _seeds(random_state: Any) -> np.ndarray:
    """Return seeds of the folds and of the rows that are reserved."""
    return np.random.SeedSequence(draw_entropy(random_state)).generate_state(2)
