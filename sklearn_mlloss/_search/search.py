"""Choosing loss, decoder and calibration by cross-validation."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any, Self

import numpy as np
from sklearn.base import MetaEstimatorMixin, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from .._data.advice import advising
from .._data.fitting import unchanged_on_error
from .._data.interrupts import Interrupt
from .._data.messages import describe, held_back, warn_user
from .._data.partitions import is_partitioned
from .._data.persistence import VersionedEstimator
from .._data.progress import Task, begin_fit, callbacks_torn_down
from .._data.sources import RowSource
from .._data.tables import as_rows, match_index
from .._data.targets import plain_targets
from .._data.validation import (
    check_choice,
    check_flag,
    check_integer,
    check_n_jobs,
    check_number,
    check_verbose,
)
from .._decision.base import LabelClassifier
from .._decision.decision import KEEP, try_metric
from .._decision.label import LabelView
from .._sklearn import (
    CallbackSupportMixin,
    _MultimetricScorer,
    _raise_for_params,
    _routing_enabled,
)
from ..classifier import MultiLabelNetClassifier
from .candidates import (
    Candidate,
    Setting,
    last_step,
    make_candidates,
    make_settings,
    prefix_of,
)
from .data import SearchData, read_data
from .defined import check_defined, explaining_targets
from .evaluate import Outcome, corrected_score, evaluate, held_out_rows, mean_scores, pool
from .report import (
    Countdown,
    chooser,
    compare,
    describe_results,
    describe_seconds,
    metrics_of,
    nothing_scored,
    tabulate,
    warn_of_doubts,
    warn_of_failures,
)
from .scored_rows import ScoredRows
from .scoring import make_scorer, of_scikit_learn, plain_labels
from .training import FoldScores, fit_setting, train

__all__ = ["LossDecoderSearchCV"]


def _refitted_has(name: str) -> Callable[[LossDecoderSearchCV], bool]:
    """Return a check whether the refitted estimator has a method, as GridSearchCV does."""

    def check(self: LossDecoderSearchCV) -> bool:
        if not self.refit:
            raise AttributeError(
                f"{name} needs an estimator fitted on all rows, and refit is False: fit one with "
                "best_params_, or use refit=True"
            )
        getattr(getattr(self, "best_estimator_", self._base()), name)
        return True

    return check


@advising
class LossDecoderSearchCV(CallbackSupportMixin, MetaEstimatorMixin, VersionedEstimator):
    """Cross-validated choice of loss, decoder and calibration for a metric of your choice.

    It does what `GridSearchCV` over ``loss`` and ``decoder`` does, with one training per loss and
    fold whatever the number of decoders: each row gets an out-of-fold score, and each calibration
    and decoder is fitted and scored on these scores.

    Parameters
    ----------
    estimator : MultiLabelNetClassifier or Pipeline, optional
        The model to train; a pipeline must end with the classifier, and is fitted as a whole in
        each fold. None is ``MultiLabelNetClassifier()``.
    losses : "default", "all", list or dict, default="default"
        Names of `sklearn_mlloss.losses.LOSSES` and losses, or a dict that gives names to losses.
        "default" is a few of different kinds: "bce", "brier", "abs_kl", "zlpr", "softmax_ce" and
        "tversky".
    decoders : "default", "all", list or dict, default="default"
        Names of `sklearn_mlloss.decoders.DECODERS`, "auto" and decoders, or a dict that gives
        names to decoders. "default" is one for each of the usual metrics: "threshold",
        "global_threshold", "per_label_threshold", "cardinality", "expected_fbeta" and "label_set";
        with one label the first two. A 1-D multi-class y is always decided by the largest score,
        and this parameter is not used.
    calibrations : list or dict, default=(None,)
        Names of `sklearn_mlloss.calibration.CALIBRATORS`, calibrators and None.
    param_grid : dict or list of dicts, optional
        Hyperparameters of `estimator`, as for `GridSearchCV`; each combination is trained with
        each loss. A parameter of losses, such as ``loss__gamma``, is for those that have it.
    scoring : str, callable, list, dict or None, default="f1_macro"
        As for `GridSearchCV`, several metrics included, and for an indicator also names of
        `sklearn_mlloss.metrics.multilabel_scorers`, whose scorers take NaN in y: "hamming_loss",
        "lrap". The order of words, ``"neg_"`` and ``"_score"`` do not matter. "neg_log_loss" and
        "neg_brier_score" count all entries of an indicator, for which those of scikit-learn ignore
        false positives. Metrics of scikit-learn and of this package are tried on y before training;
        see the notes.
    cv : int, splitter or iterable of (train, test), default=5
        An int (None is 5) is the number of folds, stratified by label; with `groups`, those stay
        together.
    repeats : int, default=1
        How often an int `cv` is repeated with other folds.
    refit : bool or str, default=True
        Whether to train the chosen candidate on all rows. With several metrics the name of the one
        to choose by, or False.
    rule : {"best", "one_std_error"}, default="best"
        Which candidate to choose: the one with the best mean score, or the simplest one whose
        paired difference to the best is at most one (corrected) standard error. Simpler are losses
        with their default hyperparameters, then decoders without a fit, then no calibration, then
        what is listed first.
    n_jobs : int, optional
        Number of tasks at a time, as in joblib: trainings, and then decisions.
    random_state : int, RandomState or None, default=None
        Controls the randomness of the folds if `cv` is an int, of the bootstraps of
        `best_score_corrected_`, and of the network where its own random state is None. All
        settings then start from the same one.
    error_score : "raise" or number, default=nan
        Score of a fold where training, decision or scoring fails; the errors are in
        ``cv_results_["error"]``.
    store_cv_results : bool, default=False
        Whether to keep the out-of-fold scores in `oof_scores_`.
    verbose : bool or int, default=0
        1 prints every few seconds what has been trained, how many of how many, and an estimate of
        the time left; 2 after each training.

    Attributes
    ----------
    cv_results_ : dict of arrays
        One row per candidate, in the layout of `GridSearchCV`, ready for ``pandas.DataFrame``. The
        columns param_loss, param_decoder and param_calibration have names; "params" are for
        ``estimator.set_params``, with the prefix of a pipeline. "setting" is the number of the
        loss and hyperparameters that were trained, and "error" is empty where nothing went wrong.
    best_index_ : int
        Row of the chosen candidate.
    best_params_ : dict
        Its parameters, for ``estimator.set_params``.
    best_loss_, best_decoder_, best_calibration_ : str or None
        Their names.
    best_score_ : float
        Its mean score over the folds, which has a selection bias: it is the best of many.
    best_score_corrected_ : float
        The score to expect on new rows, without selection bias, by the bootstrap bias-corrected
        cross-validation of Tsamardinos et al.; see the notes.
    best_estimator_ : estimator
        Trained on all rows with the chosen loss; its calibration and decoder are fitted on the
        out-of-fold scores of all rows.
    refit_time_ : float
        Seconds that the refit took.
    scorer_ : callable or dict of callables
        The scorer or scorers.
    multimetric_ : bool
        Whether there are several metrics.
    n_splits_ : int
        Number of splits, of all repeats together.
    histories_ : list of lists
        Losses over the epochs: ``histories_[setting][fold]`` is ``history_`` of the classifier
        that was trained, None where training failed. Settings have the numbers of
        ``cv_results_["setting"]``.
    classes_ : ndarray
        See `MultiLabelNetClassifier`.
    n_features_in_, feature_names_in_ : int, ndarray
        Of the refitted estimator, where it has them.
    oof_scores_ : ndarray of shape (n_settings, n_samples, n_labels)
        With `store_cv_results`, the uncalibrated scores of each setting (the mean over repeats);
        NaN for rows that are in no test part.

    See Also
    --------
    sklearn.model_selection.GridSearchCV : Any parameters, one training per combination.
    DecodedClassifierCV : The decoders on any classifier.
    sklearn_mlloss.inspection.LossComparisonDisplay : The scores in pictures.
    sklearn_mlloss.inspection.TrainingCurveDisplay : The losses over the epochs in pictures.

    Notes
    -----
    Decisions are never scored on rows that they were fitted on: the calibration and the decoder
    for fold k are fitted on the out-of-fold scores of the other folds. Early stopping uses rows
    held out of the training part. With a single split, only decoders without a fit work. Label
    sets come from the training part of the fold.

    A scorer is called with an object that answers `predict`, `predict_proba` and
    `decision_function` for the rows of the fold, and with the X and y of the fold.

    Where the test rows of a fold lack a class of a label, ROC AUC is the mean over the other
    labels, with a warning, and scikit-learn's average precision counts the label as 0. Where they
    lack a class of a 1-D y, both leave it out; log loss, Brier score and top-k accuracy know all
    classes. A metric that is undefined in a fold altogether raises before training.

    `sample_weight` and other metadata of `fit` are passed on as by `GridSearchCV`; the weights
    that reach ``fit`` of the classifier also weight calibrations and decoders, scaled to mean 1.

    The score of the best of many candidates is optimistic. For `best_score_corrected_` the choice
    is repeated, by the same rule, on bootstraps of the out-of-fold rows, and each chosen candidate
    is scored on the rows left out; see `sklearn_mlloss.model_selection.bootstrap_corrected_score`.
    It estimates the metric on new rows, for a model trained on as many rows as in a fold. (With
    ``rule="one_std_error"`` the standard errors are those of the folds.)

    With scikit-learn 1.9, ``set_callbacks(ProgressBar())`` and other callbacks of
    `sklearn.callback` are notified of each training and of the epochs of its network.

    Decoders with a guarantee, such as "risk_control", keep it for the networks of the folds; that
    for the refitted one is approximate.

    Examples
    --------
    >>> from sklearn.datasets import make_multilabel_classification
    >>> from sklearn_mlloss import LossDecoderSearchCV, MultiLabelNetClassifier
    >>> X, Y = make_multilabel_classification(n_samples=200, n_classes=4, random_state=0)
    >>> net = MultiLabelNetClassifier(hidden_layer_sizes=(16,), learning_rate=0.01)
    >>> search = LossDecoderSearchCV(
    ...     net, ["bce", "zlpr"], ["threshold", "global_threshold"], cv=3, random_state=0
    ... ).fit(X, Y)
    >>> len(search.cv_results_["params"])
    4
    >>> search.best_params_["loss"] in ("bce", "zlpr")
    True
    >>> search.predict(X[:2]).shape
    (2, 4)
    """

    def __init__(
        self,
        estimator: Any = None,
        losses: Any = "default",
        decoders: Any = "default",
        *,
        calibrations: Any = (None,),
        param_grid: dict[str, Any] | list[dict[str, Any]] | None = None,
        scoring: Any = "f1_macro",
        cv: Any = 5,
        repeats: int = 1,
        refit: bool | str = True,
        rule: str = "best",
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        error_score: float | str = np.nan,
        store_cv_results: bool = False,
        verbose: int = 0,
    ):
        self.estimator = estimator
        self.losses = losses
        self.decoders = decoders
        self.calibrations = calibrations
        self.param_grid = param_grid
        self.scoring = scoring
        self.cv = cv
        self.repeats = repeats
        self.refit = refit
        self.rule = rule
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.error_score = error_score
        self.store_cv_results = store_cv_results
        self.verbose = verbose

    # ------------------------------------------------------------------ fit

    def fit(self, X: Any, y: Any = None, **params: Any) -> Self:
        """Train each setting on each fold, score each candidate, and refit the chosen one.

        Parameters
        ----------
        X : {array-like, DataFrame, sparse matrix} of shape (n_samples, n_features)
            What `estimator` takes.
        y : {array-like, DataFrame, sparse matrix} of shape (n_samples, n_labels) or (n_samples,)
            An indicator matrix, or a vector of classes.
        **params : dict
            `groups` for the splitter, `sample_weight` for estimator and scorers, and other
            arguments of ``estimator.fit``, as for `GridSearchCV`.

        Returns
        -------
        LossDecoderSearchCV
            The fitted search. If anything fails, it is left as it was.
        """
        start = time.perf_counter()
        with Interrupt(self) as interrupt, unchanged_on_error(self), callbacks_torn_down(self):
            interrupt.drops = True  # no candidate is of use unless it is complete
            for name in [*vars(self)]:
                if name.endswith("_") or name == "_best_metric":
                    delattr(self, name)  # such as best_score_, which the next fit may lack
            self._check_params()
            data = read_data(self, X, y, params)
            settings = make_settings(data.estimator, self.losses, self.param_grid)
            candidates = make_candidates(
                data.estimator, settings, self.calibrations, self.decoders, data.targets
            )
            check_defined(self, data)
            for decoder in {id(one.decoder): one.decoder for one in candidates}.values():
                try_metric(decoder, data.Y, data.weight)
            n_trainings = len(settings) * len(data.folds)
            task = begin_fit(
                self, data.X, data.y, params.get("sample_weight"), n_trainings + bool(self.refit),
                ordered=False,
            )  # fmt: skip
            fold_scores = self._train(data, settings, len(candidates), task)
            self._print(f"Fitting and scoring the decisions of {len(candidates)} candidates")
            outcomes = evaluate(data, candidates, fold_scores, n_jobs=self.n_jobs)
            self._set_results(data, candidates, fold_scores, outcomes)
            if self.refit is not False or not self.multimetric_:
                self._choose(data.metric, candidates, outcomes)
            doubts: list[str] = []
            if self.refit:
                chosen = candidates[self.best_index_]
                with held_back(ConvergenceWarning) as doubts:
                    self._refit(data, chosen, fold_scores[chosen.setting.number], n_trainings, task)
            warn_of_doubts(settings, fold_scores, doubts)
            if task is not None:
                task.end({})
            self._print(f"Done in {describe_seconds(time.perf_counter() - start)}")
        return self

    # ------------------------------------------------------------------ results in words

    def compare(self, metric: str | None = None, rope: float = 0.01) -> Any:
        """Compare each candidate with the best, on the same folds.

        Parameters
        ----------
        metric : str, optional
            One of several metrics. None is that of `refit`.
        rope : float, default=0.01
            The largest difference that does not matter in practice.

        Returns
        -------
        pandas.DataFrame, or dict of arrays where pandas is not installed
            One row per candidate, the best first: its loss, hyperparameters, decoder and
            calibration; its mean "score"; "difference" to the best, its "std_error" and "p_value"
            by `corrected_t_test`; the probabilities "better", "equivalent" and "worse" that it is
            so in practice, by `practical_difference`; "verdict", which is "best", "equivalent"
            (with a probability of 95%), "worse" (p < 0.05), "not significantly different" (with
            two folds "too few folds to judge") or "failed", and empty after a single split;
            "error"; and "index", its row in `cv_results_`. The best was chosen for its score, and
            p-values are not corrected for the number of candidates: they are somewhat too small.
        """
        check_is_fitted(self)
        table = compare(self.cv_results_, self._metric(metric), self._sizes, rope)
        try:
            import pandas as pd
        except ImportError:
            return table
        return pd.DataFrame(table)

    def summary(
        self, metric: str | None = None, rope: float = 0.01, n_rows: int | None = 10
    ) -> str:
        """Return a table of the best candidates, and conclusions in words.

        Parameters
        ----------
        metric, rope : see `compare`
        n_rows : int or None, default=10
            Number of candidates that are shown; None shows all.

        Returns
        -------
        str
        """
        check_is_fitted(self)
        if n_rows is not None:
            check_integer(n_rows, "n_rows", low=0, other="None or ")
        return describe_results(self, self._metric(metric), rope, n_rows)

    # ------------------------------------------------------------------ predicting

    @available_if(_refitted_has("predict"))
    def predict(self, X: Any) -> Any:
        """Return the labels that the refitted estimator predicts.

        Parameters
        ----------
        X : {array-like, DataFrame, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        array or sparse matrix of shape (n_samples, n_labels) or (n_samples,)
        """
        check_is_fitted(self)
        return self.best_estimator_.predict(self._rows(X))

    @available_if(_refitted_has("predict_labels"))
    def predict_labels(self, X: Any) -> list[tuple]:
        """Return the names of the labels of the refitted estimator, for X as in `predict`.

        One tuple per row, as ``MultiLabelBinarizer.inverse_transform`` returns them. Not if the
        estimator is a pipeline.
        """
        check_is_fitted(self)
        return self.best_estimator_.predict_labels(self._rows(X))

    @available_if(_refitted_has("predict_frame"))
    def predict_frame(self, X: Any) -> Any:
        """Return probabilities and labels by name as a DataFrame, for X as in `predict`.

        See `MultiLabelNetClassifier.predict_frame`. Not if the estimator is a pipeline.
        """
        check_is_fitted(self)
        return self.best_estimator_.predict_frame(self._rows(X))

    @available_if(_refitted_has("predict"))
    def label(self, label: Any) -> LabelView:
        """Return one label of the refitted estimator as a binary classifier.

        See `MultiLabelNetClassifier.label`.

        Parameters
        ----------
        label : str or int
            A name or the number of a label, or a class of a 1-D y.

        Returns
        -------
        LabelView
        """
        check_is_fitted(self)
        model = last_step(self.best_estimator_)
        return LabelView(self, *model._targets.find(label, model.label_names_))

    @available_if(_refitted_has("predict_proba"))
    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the calibrated scores of the refitted estimator, for X as in `predict`."""
        check_is_fitted(self)
        return self.best_estimator_.predict_proba(self._rows(X))

    @available_if(_refitted_has("predict_log_proba"))
    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Return the logarithm of `predict_proba`, for X as in `predict`."""
        check_is_fitted(self)
        return self.best_estimator_.predict_log_proba(self._rows(X))

    @available_if(_refitted_has("decision_function"))
    def decision_function(self, X: Any) -> np.ndarray:
        """Return the log-odds of the refitted estimator, for X as in `predict`."""
        check_is_fitted(self)
        return self.best_estimator_.decision_function(self._rows(X))

    @available_if(_refitted_has("score"))
    def score(self, X: Any, y: Any = None, **params: Any) -> float:
        """Return the score of the refitted estimator on other rows, by the metric of `refit`.

        Parameters
        ----------
        X, y : see `fit`
        **params : dict
            Metadata for the scorer, with metadata routing.

        Returns
        -------
        float
        """
        check_is_fitted(self)
        _raise_for_params(params, self, "score")
        if _routing_enabled():
            params = process_routing(self, "score", **params).scorer["score"]
        scorer = self.scorer_[self.refit] if isinstance(self.scorer_, dict) else self.scorer_
        if is_partitioned(X) or isinstance(X, RowSource):
            raise ValueError(
                f"score of a {type(self).__name__} needs X in memory, got {type(X).__name__}: "
                "best_estimator_.score computes the accuracy of rows that are not"
            )
        match_index(X, y=y, **params)
        X, y = as_rows(X), plain_targets(y)
        model, targets = self.best_estimator_, last_step(self.best_estimator_)._targets
        targets.check_names(y)
        if targets.kind == "multilabel" and of_scikit_learn(scorer):
            y = plain_labels(targets.transform(y))
            if targets.sparse_type is not None:
                decisions = model.predict(X).toarray() == 1
                model = ScoredRows(targets, model.predict_proba(X), decisions).dense()
        with explaining_targets(y):
            value = scorer(model, X, y, **params)
        return value[self.refit] if isinstance(value, dict) else value

    def _rows(self, X: Any) -> Any:
        # A pipeline of scikit-learn would read a dask collection into one process.
        lazy = is_partitioned(X) or isinstance(X, RowSource)
        return X if lazy and isinstance(self.best_estimator_, LabelClassifier) else as_rows(X)

    # ------------------------------------------------------------------ parameters and tags

    def get_metadata_routing(self) -> Any:
        """Return who gets which metadata in `fit` and `score`: estimator, scorer, splitter."""
        score = (
            MethodMapping().add(caller="score", callee="score").add(caller="fit", callee="score")
        )
        router = MetadataRouter(owner=self)
        router.add(
            estimator=self._base(), method_mapping=MethodMapping().add(caller="fit", callee="fit")
        )
        router.add(scorer=self._scorer()[0], method_mapping=score)
        return router.add(
            splitter=self.cv, method_mapping=MethodMapping().add(caller="fit", callee="split")
        )

    def __sklearn_tags__(self):
        """Return scikit-learn's tags: those of the estimator."""
        tags = super().__sklearn_tags__()
        inner = get_tags(self._base())
        tags.estimator_type = inner.estimator_type
        tags.classifier_tags = inner.classifier_tags
        tags.input_tags.sparse = inner.input_tags.sparse
        tags.input_tags.allow_nan = inner.input_tags.allow_nan
        return tags

    def _base(self) -> Any:
        return MultiLabelNetClassifier() if self.estimator is None else self.estimator

    def _scorer(self, multilabel: bool = True) -> tuple[Any, str]:
        args = self.scoring, self.refit, self.error_score, self._base()
        return make_scorer(*args, multilabel)

    def _metric(self, metric: str | None) -> str:
        """Return the name of a metric in the results."""
        start = "mean_test_"
        names = [key.removeprefix(start) for key in self.cv_results_ if key.startswith(start)]
        if metric is None:
            metric = getattr(self, "_best_metric", names[0])
        if metric not in names:
            raise ValueError(f"metric must be one of {names}, got {describe(metric)}")
        return metric

    # ------------------------------------------------------------------ stages of a fit

    def _check_params(self) -> None:
        check_integer(self.repeats, "repeats", low=1)
        check_verbose(self.verbose)
        check_flag(self.store_cv_results, "store_cv_results")
        check_choice(self.rule, "rule", ("best", "one_std_error"))
        if not isinstance(self.refit, bool | np.bool_ | str):
            raise ValueError(
                f"refit must be a bool or the name of a metric, got {describe(self.refit)}"
            )
        score = self.error_score
        raises = isinstance(score, str) and score == "raise"
        if not raises and not (isinstance(score, float) and np.isnan(score)):
            check_number(score, "error_score", infinite=True, other="'raise', NaN or ")
        check_n_jobs(self.n_jobs)
        if isinstance(self.cv, Integral) and self.cv < 2:
            raise ValueError(f"cv must be at least 2, a splitter or splits, got {self.cv!r}")
        if self.repeats > 1 and not (self.cv is None or isinstance(self.cv, Integral)):
            raise ValueError(f"repeats works with an int cv only, got cv={describe(self.cv)}")
        prefix_of(self._base())

    def _train(
        self, data: SearchData, settings: Sequence[Setting], n_candidates: int, task: Task | None
    ) -> list[list[FoldScores]]:
        """Train each setting on each fold, and report progress and failures."""
        names = [
            f"{setting.title}, fold {k}/{len(data.folds)}"
            for setting in settings
            for k in range(1, len(data.folds) + 1)
        ]
        self._print(
            f"Training {len(settings)} settings on {len(data.folds)} folds, {len(names)} fits, to "
            f"compare {n_candidates} candidates"
        )
        countdown = None
        if self.verbose:
            countdown = Countdown(names, int(bool(self.refit)), self.n_jobs, self.verbose > 1)
        fold_scores = train(data, settings, names, self.n_jobs, task, countdown)
        warn_of_failures([part.error for parts in fold_scores for part in parts])
        return fold_scores

    def _set_results(
        self,
        data: SearchData,
        candidates: Sequence[Candidate],
        fold_scores: Sequence[Sequence[FoldScores]],
        outcomes: Sequence[Outcome],
    ) -> None:
        self.n_splits_ = len(data.folds)
        self.classes_ = data.targets.classes_
        metrics = metrics_of(data.scorer, outcomes)
        error_score = np.nan if isinstance(self.error_score, str) else self.error_score
        self.cv_results_ = tabulate(candidates, outcomes, fold_scores, metrics, error_score)
        self.multimetric_ = metrics != ["score"]
        several = isinstance(data.scorer, _MultimetricScorer)
        self.scorer_ = data.scorer._scorers if several else data.scorer
        self.histories_ = [[part.history for part in parts] for parts in fold_scores]
        if self.store_cv_results:
            self.oof_scores_ = np.stack([mean_scores(data, parts) for parts in fold_scores])
        n_train, n_test = np.mean([[len(part) for part in fold] for fold in data.folds], axis=0)
        self._sizes = float(n_train), float(n_test)

    def _choose(
        self, metric: str, candidates: Sequence[Candidate], outcomes: Sequence[Outcome]
    ) -> None:
        """Choose a candidate, and estimate its score without selection bias."""
        results = self.cv_results_
        if f"mean_test_{metric}" not in results:
            names = metrics_of(None, outcomes)
            raise ValueError(f"refit must be False or one of {names}, got {self.refit!r}")
        mean = results[f"mean_test_{metric}"]
        if not np.isfinite(mean).any():
            if any(outcome.errors for outcome in outcomes):
                raise nothing_scored(outcomes)
            # A custom scorer; as in GridSearchCV, what was trained is not lost.
            warn_user(
                f"scoring={self.scoring!r} is not finite for any candidate, in one fold at least, "
                "so that there is nothing to choose by: the first candidate is taken"
            )
        choose = chooser(results, metric, self.rule, self._sizes, candidates)
        number = choose(mean)
        self._best_metric = metric
        self.best_index_ = number
        self.best_params_ = results["params"][number]
        self.best_score_ = float(mean[number])
        self.best_loss_, self.best_decoder_, self.best_calibration_ = (
            results[f"param_{name}"][number] for name in ("loss", "decoder", "calibration")
        )
        self.best_score_corrected_ = corrected_score(outcomes, choose)

    def _refit(
        self,
        data: SearchData,
        chosen: Candidate,
        fold_scores: Sequence[FoldScores],
        n_trainings: int,
        task: Task | None,
    ) -> None:
        """Train the chosen setting on all rows; fit its decision on the out-of-fold scores."""
        start = time.perf_counter()
        name = f"{chosen.setting.title}, all rows"
        self._print(f"Training {name}")
        model = fit_setting(
            data.estimator, chosen.setting.params, data.X, data.y, data.fit_params, task, name,
            n_trainings,
        )  # fmt: skip
        net, held_out = last_step(model), held_out_rows(data, pool(data, fold_scores))
        decoder = KEEP if data.targets.kind == "multiclass" else chosen.decoder
        with warnings.catch_warnings():
            # Whether the decision suits has been measured.
            warnings.simplefilter("ignore", UserWarning)
            net._replace_decision(decoder, chosen.calibrator)
            if held_out is not None:
                net._fit_decision(held_out)
        model.set_params(**clone(chosen.decision_params, safe=False))
        net._targets.sparse_type = data.targets.sparse_type
        self.best_estimator_ = model
        self.refit_time_ = time.perf_counter() - start
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(model, name):
                setattr(self, name, getattr(model, name))

    def _print(self, line: str) -> None:
        if self.verbose:
            print(line, flush=True)
