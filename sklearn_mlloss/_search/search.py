"""Choosing loss and decoder by cross-validation."""

from __future__ import annotations

import time
import warnings
from numbers import Integral
from typing import Any, Self

import numpy as np
from sklearn.base import MetaEstimatorMixin, clone
from sklearn.metrics import check_scoring, get_scorer_names
from sklearn.utils import check_consistent_length, get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from .._data.folds import Fold, check_groups
from .._data.parallel import call_in_parallel
from .._data.persistence import VersionedEstimator
from .._data.tables import as_rows
from .._data.targets import TargetCodec, plain_targets
from .._data.validation import (
    check_choice,
    check_flag,
    check_integer,
    check_n_jobs,
    check_number,
    describe,
    did_you_mean,
    draw_entropy,
    unchanged_on_error,
    warn_user,
)
from .._data.weights import check_weight, weigh
from .._decision.cross_fit import check_keywords
from .._decision.decision import KEEP
from .._sklearn import (
    CallbackSupportMixin,
    _check_method_params,
    _check_multimetric_scoring,
    _MultimetricScorer,
    _raise_for_params,
    _routing_enabled,
)
from .._training.progress import Task, begin_fit, callbacks_torn_down
from ..classifier import MultiLabelNetClassifier
from .candidates import last_step, make_pairs, make_settings, prefix_of
from .defined import check_defined
from .evaluate import corrected_score, evaluate, mean_scores, pool
from .inputs import check_folds, make_folds, seeded, weight_of_classifier
from .progress import Countdown, spell
from .report import (
    chooser,
    compare,
    describe_choice,
    metrics_of,
    nothing_scored,
    tabulate,
    tell_failures,
)
from .response import dense_response
from .scoring import Scoring, draw_for, of_scikit_learn, plain_labels, takes_weights
from .training import train, train_one

__all__ = ["LossDecoderSearchCV"]


def _refitted_has(name: str):
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


class LossDecoderSearchCV(CallbackSupportMixin, MetaEstimatorMixin, VersionedEstimator):
    """Cross-validated choice of loss and decoder, for the metric that you name.

    What `GridSearchCV` over ``loss`` and ``decoder`` does, with one training a loss and fold
    whatever the number of decoders: each row gets a score from a network that has not seen it, and
    every calibration and decoder is fitted and scored on these scores.

    Parameters
    ----------
    estimator : MultiLabelNetClassifier or Pipeline, optional
        What to train; a pipeline must end with the classifier, and is fitted as a whole in each
        fold. None is ``MultiLabelNetClassifier()``.
    losses : "default", "all", list or dict, default="default"
        Names of `sklearn_mlloss.losses.LOSSES` and losses, or a dict that gives names to losses.
        "default" is `DEFAULT_LOSSES` of `search_candidates`, a few of different kinds.
    decoders : "default", "all", list or dict, default="default"
        Names of `sklearn_mlloss.decoders.DECODERS`, "auto" and decoders, or a dict that gives
        names to decoders. "default" is `DEFAULT_DECODERS`, one for each of the usual metrics; with
        one label the two that differ there. A 1-D multi-class y is always decided by the largest
        score, and this parameter not used.
    calibrations : list or dict, default=(None,)
        Names of `sklearn_mlloss.calibration.CALIBRATORS`, calibrators and None.
    param_grid : dict or list of dicts, optional
        Hyperparameters of `estimator`, as for `GridSearchCV`; each combination is trained with
        each loss. A parameter of losses, such as ``loss__gamma``, is for those that have it.
    scoring : str, callable, list, dict or None, default="f1_macro"
        As for `GridSearchCV`, several metrics included. With NaN in y use
        `sklearn_mlloss.metrics.multilabel_scorers`. Metrics of scikit-learn and of this package
        are tried on y before training; see the notes.
    cv : int, splitter or iterable of (train, test), default=5
        An int (None is 5) is the number of folds, stratified by label; with `groups`, those stay
        together.
    repeats : int, default=1
        How often an int `cv` is repeated with other folds.
    refit : bool or str, default=True
        Whether to train the chosen pair on all rows. With several metrics the name of the one to
        choose by, or False.
    rule : {"best", "one_std_error"}, default="best"
        What to choose: the best mean score, or the simplest pair whose paired difference to the
        best is at most one (corrected) standard error. Simpler are losses with their default
        hyperparameters, then decoders that learn nothing, then no calibration, then what is listed
        first.
    n_jobs : int, optional
        Number of tasks at a time, as in joblib: trainings, and then decisions.
    random_state : int, RandomState or None, default=None
        Steers the folds that a number of folds asks for, the bootstraps of
        `best_score_corrected_`, and the network where its own random state is None. All settings
        then start from the same one.
    error_score : "raise" or number, default=nan
        Score of a fold where training, decision or scoring fails; what went wrong is in
        ``cv_results_["error"]``.
    store_cv_results : bool, default=False
        Whether to keep the out-of-fold scores in `oof_scores_`.
    verbose : int, default=0
        1 prints every few seconds what has been trained, how many of how many, and an estimate of
        the time left; 2 after each training.

    Attributes
    ----------
    cv_results_ : dict of arrays
        A row a pair, in the layout of `GridSearchCV`, ready for ``pandas.DataFrame``. The columns
        param_loss, param_decoder and param_calibration have names; "params" are for
        ``estimator.set_params``, with the prefix of a pipeline. "setting" numbers what was
        trained, and "error" is empty where nothing went wrong.
    best_index_ : int
        Row of the chosen pair.
    best_params_ : dict
        Its parameters, for ``estimator.set_params``.
    best_loss_, best_decoder_, best_calibration_ : str or None
        Their names.
    best_score_ : float
        Its mean score over the folds, which is too high since it was chosen by it.
    best_score_corrected_ : float
        What is to be expected on new rows, without the advantage of having been chosen, by the
        bootstrap bias-corrected cross-validation of Tsamardinos et al.; see the notes.
    best_estimator_ : estimator
        Trained on all rows with the chosen loss; its calibration and decoder are fitted on the
        out-of-fold scores of all rows.
    refit_time_ : float
        Seconds it took.
    scorer_ : callable or dict of callables
        What scored.
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
        NaN for rows never tested.

    See Also
    --------
    sklearn.model_selection.GridSearchCV : Any parameters, one training for each combination.
    DecodedClassifierCV : The decoders on any classifier.
    sklearn_mlloss.inspection.LossComparisonDisplay : The scores in pictures.
    sklearn_mlloss.inspection.TrainingCurveDisplay : The losses over the epochs in pictures.

    Notes
    -----
    What picks a threshold never scores it: the calibration and the decoder that decide fold k are
    fitted on the out-of-fold scores of the other folds. Early stopping uses rows held out of the
    training part. A splitter with a single split therefore allows decoders only that learn
    nothing. Label sets are learned from the training part of the fold.

    A scorer is called with an object that answers `predict`, `predict_proba` and
    `decision_function` for the rows of the fold, and with the X and y of the fold.

    Where the test rows of a fold lack a class of a label, ROC AUC is the mean over the other
    labels, with a warning, and scikit-learn's average precision counts the label as 0. Where they
    lack a class of a 1-D y, both leave it out; log loss, Brier score and top-k accuracy know all
    classes. A metric that a fold leaves undefined altogether raises before training.

    `sample_weight` and other metadata of `fit` are passed on as by `GridSearchCV`; the weights
    that reach ``fit`` of the classifier weight calibrations and decoders, too, scaled to mean 1.

    The score of the best of many is optimistic. For `best_score_corrected_` the choice is repeated,
    by the same rule, on bootstraps of the out-of-fold rows, and each pair that is chosen is scored
    on the rows left out; see `sklearn_mlloss.model_selection.bootstrap_corrected_score`. It is
    about what the metric will be on new rows, for a model trained on as many rows as a fold has.
    (With ``rule="one_std_error"`` the standard errors are those of the folds.)

    With scikit-learn 1.9, ``set_callbacks(ProgressBar())`` and other callbacks of
    `sklearn.callback` are told of each training and of the epochs of its network.

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

    # ------------------------------------------------------------------ searching

    def fit(self, X: Any, y: Any, **params: Any) -> Self:
        """Train every setting on every fold, score every pair, and refit the chosen one.

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
        with unchanged_on_error(self), callbacks_torn_down(self):
            for name in [name for name in vars(self) if name.endswith("_")]:
                delattr(self, name)  # such as best_score_, which the next fit may have none of
            vars(self).pop("_best_metric", None)
            self._check_params()
            prefix = prefix_of(self._base())
            scorer, metric = self._scorers()
            targets = TargetCodec().fit(y)
            X, y = as_rows(X), plain_targets(y)
            check_consistent_length(X, y)
            Y = targets.transform(y)
            seeds = np.random.SeedSequence(draw_entropy(self.random_state)).generate_state(4)
            estimator = seeded(self._base(), int(seeds[0]))
            settings = make_settings(estimator, self.losses, self.param_grid)
            pairs = make_pairs(
                settings, self.decoders, self.calibrations, targets.kind, targets.n_labels_
            )
            fit_params, score_params, split_params = self._route(X, params)
            groups = split_params.get("groups")
            if groups is not None:
                groups = split_params["groups"] = check_groups(groups, len(Y), estimator)
            weight = weight_of_classifier(estimator, fit_params)
            Y, weight = weigh(Y, check_weight(weight, Y, targets.kind == "multilabel"))
            folds = make_folds(self.cv, self.repeats, X, y, Y, split_params, int(seeds[1]))
            check_folds(folds, Y, weight, targets)
            self._check_scores(Scoring(scorer, metric, X, y, targets, score_params), folds, targets)
            self.n_splits_ = len(folds)
            self.classes_ = targets.classes_
            self._tell(
                f"Training {len(settings)} settings on {len(folds)} folds, "
                f"{len(settings) * len(folds)} fits, to compare {len(pairs)} pairs"
            )
            names = [
                f"{setting.title}, fold {k}/{len(folds)}"
                for setting in settings
                for k in range(1, len(folds) + 1)
            ]
            n_more = int(bool(self.refit))
            told = Countdown(names, n_more, self.n_jobs, self.verbose > 1) if self.verbose else None
            weights = params.get("sample_weight")
            task = begin_fit(self, X, y, weights, len(names) + n_more, ordered=False)
            raises = isinstance(self.error_score, str)
            found = train(
                estimator,
                [setting.params for setting in settings],
                names,
                folds,
                X,
                y,
                fit_params,
                targets,
                n_jobs=self.n_jobs,
                raises=raises,
                task=task,
                told=told,
            )
            tell_failures([part.error for parts in found for part in parts])
            drawn = None
            if self.refit is not False or not isinstance(scorer, _MultimetricScorer):
                drawn = draw_for(scorer, metric, targets, len(Y), int(seeds[2]))
            self._tell(f"Fitting and scoring the decisions of {len(pairs)} pairs")
            of_setting = [[pair for pair in pairs if pair.setting == s] for s in range(len(found))]
            decisions = (
                (own, parts, folds, X, y, Y, weight, groups, targets, scorer, score_params, drawn,
                 metric, int(seeds[3]), raises)
                for own, parts in zip(of_setting, found, strict=True)
            )  # fmt: skip
            outcomes = call_in_parallel(evaluate, decisions, self.n_jobs)
            outcomes = [outcome for own in outcomes for outcome in own]
            metrics = metrics_of(scorer, outcomes)
            error_score = np.nan if raises else self.error_score
            self.multimetric_ = metrics != ["score"]
            self.scorer_ = scorer._scorers if isinstance(scorer, _MultimetricScorer) else scorer
            self.cv_results_ = tabulate(
                settings, pairs, outcomes, found, prefix, metrics, error_score
            )
            self.histories_ = [[part.history for part in parts] for parts in found]
            self._sizes = tuple(np.mean([[len(part) for part in fold] for fold in folds], axis=0))
            if self.store_cv_results:
                self.oof_scores_ = np.stack([mean_scores(parts, folds, Y) for parts in found])
            if self.refit is not False or not self.multimetric_:
                if metric not in metrics:
                    raise ValueError(f"refit must be False or one of {metrics}, got {self.refit!r}")
                self._choose(metric, settings, pairs, outcomes)
            if self.refit:
                rows = pool(found[pairs[self.best_index_].setting], folds, Y, weight, groups)
                self._refit(estimator, settings, pairs, X, y, fit_params, targets.kind, rows, task)
                last_step(self.best_estimator_)._targets.sparse_type = targets.sparse_type
            if task is not None:
                task.end({})
            self._tell(f"Done in {spell(time.perf_counter() - start)}")
        return self

    # ------------------------------------------------------------------ telling

    def compare(self, metric: str | None = None, rope: float = 0.01) -> Any:
        """Compare every pair with the best, on the same folds.

        Parameters
        ----------
        metric : str, optional
            One of several metrics. None is that of `refit`.
        rope : float, default=0.01
            The largest difference that does not matter in practice.

        Returns
        -------
        pandas.DataFrame, or dict of arrays where pandas is not installed
            A row a pair, the best first: what it is; its mean "score"; "difference" to the best,
            its "std_error" and "p_value" by `corrected_t_test`; the probabilities "better",
            "equivalent" and "worse" that it is so in practice, by `practical_difference`;
            "verdict", which is "best", "equivalent" (with a probability of 95%), "worse" (p <
            0.05), "not significantly different" or "failed", and empty after a single split;
            "error"; and "index", its row in `cv_results_`. The best was chosen for its score, and
            p-values are not corrected for the number of pairs: they are somewhat too small.
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
        """Return a table of the best pairs, and what can be told from it, in words.

        Parameters
        ----------
        metric, rope : see `compare`
        n_rows : int or None, default=10
            Number of pairs that are shown; None shows all.

        Returns
        -------
        str
        """
        check_is_fitted(self)
        if n_rows is not None:
            check_integer(n_rows, "n_rows", low=0, other="None or ")
        metric = self._metric(metric)
        table = compare(self.cv_results_, metric, self._sizes, rope)
        own = metric == getattr(self, "_best_metric", None)
        name = metric
        if metric == "score":
            name = self.scoring if isinstance(self.scoring, str) else "score"
        return describe_choice(
            table,
            name,
            self.n_splits_,
            self.best_index_ if own else None,
            self.best_score_corrected_ if own else None,
            rope,
            n_rows,
        )

    # ------------------------------------------------------------------ predicting

    @available_if(_refitted_has("predict"))
    def predict(self, X: Any) -> Any:
        """Return the labels that the refitted estimator decides on.

        Parameters
        ----------
        X : {array-like, DataFrame, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        array or sparse matrix of shape (n_samples, n_labels) or (n_samples,)
        """
        check_is_fitted(self)
        return self.best_estimator_.predict(as_rows(X))

    @available_if(_refitted_has("predict_proba"))
    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the calibrated scores of the refitted estimator, for X as in `predict`."""
        check_is_fitted(self)
        return self.best_estimator_.predict_proba(as_rows(X))

    @available_if(_refitted_has("predict_log_proba"))
    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Return the logarithm of `predict_proba`, for X as in `predict`."""
        check_is_fitted(self)
        return self.best_estimator_.predict_log_proba(as_rows(X))

    @available_if(_refitted_has("decision_function"))
    def decision_function(self, X: Any) -> np.ndarray:
        """Return the log-odds of the refitted estimator, for X as in `predict`."""
        check_is_fitted(self)
        return self.best_estimator_.decision_function(as_rows(X))

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
        own = {}
        if _routing_enabled():
            own = process_routing(self, "score", **params).scorer["score"]
        scorer = self.scorer_
        if isinstance(scorer, dict):
            scorer = scorer[self.refit]
        X, y = as_rows(X), plain_targets(y)
        model, targets = self.best_estimator_, last_step(self.best_estimator_)._targets
        targets.check_names(y)
        if targets.kind == "multilabel" and of_scikit_learn(scorer):
            y = plain_labels(targets.transform(y))
            if targets.sparse_type is not None:
                model = dense_response(model, X, targets)
        value = scorer(model, X, y, **own)
        return value[self.refit] if isinstance(value, dict) else value

    # ------------------------------------------------------------------ parameters and tags

    def get_metadata_routing(self) -> Any:
        """Return who gets which metadata in `fit` and `score`: estimator, scorer, splitter."""
        router = MetadataRouter(owner=self).add(
            estimator=self._base(), method_mapping=MethodMapping().add(caller="fit", callee="fit")
        )
        scored = MethodMapping().add(caller="score", callee="score")
        router.add(
            scorer=self._scorers()[0], method_mapping=scored.add(caller="fit", callee="score")
        )
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

    # ------------------------------------------------------------------ parts of a fit

    def _base(self) -> Any:
        return MultiLabelNetClassifier() if self.estimator is None else self.estimator

    def _check_params(self) -> None:
        check_integer(self.repeats, "repeats", low=1)
        check_integer(self.verbose, "verbose", low=0)
        check_flag(self.store_cv_results, "store_cv_results")
        check_choice(self.rule, "rule", ("best", "one_std_error"))
        if not isinstance(self.refit, bool | np.bool_ | str):
            raise ValueError(
                f"refit must be a bool or the name of a metric, got {describe(self.refit)}"
            )
        score, number = self.error_score, isinstance(self.error_score, float)
        if not (isinstance(score, str) and score == "raise") and not (number and np.isnan(score)):
            check_number(score, "error_score", infinite=True, other="'raise', NaN or ")
        check_n_jobs(self.n_jobs)
        if isinstance(self.cv, Integral) and self.cv < 2:
            raise ValueError(f"cv must be at least 2, a splitter or splits, got {self.cv!r}")
        if self.repeats > 1 and not (self.cv is None or isinstance(self.cv, Integral)):
            raise ValueError(f"repeats works with an int cv only, got cv={describe(self.cv)}")

    def _scorers(self) -> tuple[Any, str]:
        """Return what scores, and the name of the metric that is chosen by."""
        scoring = self.scoring
        names = [scoring] if isinstance(scoring, str) else scoring
        for name in names if isinstance(names, list | tuple | set) else ():
            if isinstance(name, str) and name not in get_scorer_names():
                raise ValueError(
                    "scoring must name scorers of sklearn.metrics.get_scorer_names(), or be a "
                    "callable or a dict such as sklearn_mlloss.metrics.multilabel_scorers(), got "
                    f"{name!r}{did_you_mean(name, get_scorer_names())}"
                )
        if callable(scoring):
            return scoring, self.refit if isinstance(self.refit, str) else "score"
        if scoring is None or isinstance(scoring, str):
            if isinstance(self.refit, str) and self.refit != scoring:
                raise ValueError(f"refit must be a bool or {scoring!r}, got {describe(self.refit)}")
            return check_scoring(self._base(), scoring), "score"
        several = isinstance(scoring, list | tuple | set | dict)
        named = several and all(isinstance(name, str) for name in scoring)
        scorers = scoring.values() if isinstance(scoring, dict) else ()
        if not named or not all(isinstance(one, str) or callable(one) for one in scorers):
            raise ValueError(
                "scoring must be None, a name, a callable, a list of names or a dict with names, "
                f"got {describe(scoring)}"
            )
        scorers = _check_multimetric_scoring(self._base(), scoring)
        if self.refit is not False and self.refit not in scorers:
            raise ValueError(
                "with several metrics refit must be False or the name of one of them, "
                f"{sorted(scorers)}, got {describe(self.refit)}"
            )
        raises = isinstance(self.error_score, str)
        metric = self.refit if isinstance(self.refit, str) else next(iter(scorers))
        return _MultimetricScorer(scorers=scorers, raise_exc=raises), metric

    def _metric(self, metric: str | None) -> str:
        """Return the name of a metric in the results."""
        names = [name[10:] for name in self.cv_results_ if name.startswith("mean_test_")]
        if metric is None:
            metric = getattr(self, "_best_metric", names[0])
        if metric not in names:
            raise ValueError(f"metric must be one of {names}, got {describe(metric)}")
        return metric

    def _route(self, X: Any, params: dict) -> tuple[dict, dict, dict]:
        """Return the metadata for estimator, scorer and splitter."""
        params = _check_method_params(X, params)
        if _routing_enabled():
            routed = process_routing(self, "fit", **params)
            return routed.estimator.fit, routed.scorer.score, routed.splitter.split
        groups = params.pop("groups", None)
        check_keywords(self, self._base(), params)
        score_params = {}
        weight = params.get("sample_weight")
        if weight is not None and self._scorers_take_weights():
            score_params["sample_weight"] = weight
        return params, score_params, {} if groups is None else {"groups": groups}

    def _scorers_take_weights(self) -> bool:
        scorer, _ = self._scorers()
        found = []
        for one in getattr(scorer, "_scorers", {"": scorer}).values():
            found.append(takes_weights(one))
            if not found[-1]:
                warn_user(f"{one} takes no sample_weight, so that its scores are not weighted")
        return any(found)

    def _check_scores(self, scoring: Scoring, folds: list[Fold], targets: TargetCodec) -> None:
        """Raise before training if there will be nothing to choose by."""
        several = isinstance(self.scoring, list | tuple | set | dict)
        given = f"scoring={self.scoring!r}"
        titles = {name: f"{name!r} of scoring" if several else given for name in scoring.metrics}
        chosen = scoring.metric if self.refit is not False or not several else None
        check_defined(scoring, folds, targets, titles, chosen, self.error_score)

    def _tell(self, line: str) -> None:
        if self.verbose:
            print(line, flush=True)

    def _choose(self, metric: str, settings: list, pairs: list, outcomes: list) -> None:
        """Choose a pair, and tell how good it is."""
        results = self.cv_results_
        mean = results[f"mean_test_{metric}"]
        if not np.isfinite(mean).any():
            errors = [outcome.errors[0] for outcome in outcomes if outcome.errors]
            if errors:
                raise nothing_scored(errors)
            # A scorer of the user's own; as by GridSearchCV, what was trained is not lost.
            warn_user(
                f"scoring={self.scoring!r} is not finite for any pair, in one fold at least, so "
                "that there is nothing to choose by: the first pair is taken"
            )
        choose = chooser(results, metric, self.rule, self._sizes, settings, pairs)
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
        self, estimator: Any, settings: list, pairs: list, X: Any, y: Any, fit_params: dict,
        kind: str, rows: Any, task: Task | None,
    ) -> None:  # fmt: skip
        """Train the chosen setting on all rows; its decision learns on out-of-fold scores."""
        start = time.perf_counter()
        pair = pairs[self.best_index_]
        setting = settings[pair.setting]
        name = f"{setting.title}, all rows"
        self._tell(f"Training {name}")
        if task is not None:
            task = task.part(name, len(settings) * self.n_splits_, X=X, y=y)
        model = train_one(estimator, setting.params, X, y, fit_params, task)
        net = last_step(model)
        decoder = KEEP if kind == "multiclass" else pair.decoder_spec
        with warnings.catch_warnings():
            # Whether the decision suits has been measured.
            warnings.simplefilter("ignore", UserWarning)
            net._replace_decision(decoder, pair.calibration_spec)
            net._fit_decision(rows)
        model.set_params(
            **clone({key: self.best_params_[key] for key in self.best_params_
                     if key.endswith(("decoder", "calibration"))}, safe=False)
        )  # fmt: skip
        self.best_estimator_ = model
        self.refit_time_ = time.perf_counter() - start
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(model, name):
                setattr(self, name, getattr(model, name))
