"""The data of a search: rows, targets, weights, folds, and who gets which metadata."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils import check_consistent_length
from sklearn.utils.metadata_routing import process_routing

from .._data.fitting import draw_entropy
from .._data.folds import Fold, check_groups, find_gaps, warn_of_gaps
from .._data.messages import warn_user
from .._data.tables import as_rows, match_index
from .._data.targets import TargetCodec, plain_targets
from .._data.weights import check_weight, counting_rows, weigh
from .._decision.cross_fit import make_folds
from .._decision.routing import check_keywords
from .._sklearn import _check_method_params, _MultimetricScorer, _routing_enabled
from ..model_selection.split import RepeatedMultilabelStratifiedKFold
from .candidates import last_step
from .scoring import Scoring, draw_for, scorers_by_name, takes_weights

if TYPE_CHECKING:
    from .search import LossDecoderSearchCV

__all__ = ["SearchData", "read_data"]


@dataclass(frozen=True)
class SearchData:
    """The data that a search is fitted on, in the forms that its stages take.

    Attributes
    ----------
    estimator : MultiLabelNetClassifier or Pipeline
        With a random state that is an int, so that all settings start from the same one.
    X, y
        As estimators, splitters and scorers take them.
    targets : TargetCodec
        Fitted on all rows.
    Y : ndarray of shape (n_samples, n_labels)
        Target matrix, NaN where nothing was observed or the weight is 0.
    weight : ndarray of shape (n_samples,), or None
        For calibrators and decoders, scaled to mean 1.
    groups : ndarray of shape (n_samples,), or None
        Rows of one group are reserved together.
    folds : list of (train, test)
        Row numbers.
    fit_params : dict
        For ``estimator.fit``; what has one value per row is cut to the rows of each fold.
    scorer : callable
        One, or scikit-learn's for several metrics.
    metric : str
        Which of several metrics the choice is made by.
    score_params : dict
        Metadata for the scorer.
    drawn : ndarray of shape (n_bootstraps, n_samples)
        How often each bootstrap draws each row; none where nothing is chosen.
    seed : int
        Of the rows that are reserved for decoders whose rows may serve nothing else.
    raises : bool
        Whether an error ends the search.
    """

    estimator: Any
    X: Any
    y: Any
    targets: TargetCodec
    Y: np.ndarray
    weight: np.ndarray | None
    groups: np.ndarray | None
    folds: list[Fold]
    fit_params: dict[str, Any]
    scorer: Any
    metric: str
    score_params: dict[str, Any]
    drawn: np.ndarray
    seed: int
    raises: bool

    def make_scoring(self) -> Scoring:
        """Return the metrics, ready to score predictions of the rows."""
        return Scoring(self.scorer, self.metric, self.X, self.y, self.targets, self.score_params)


def read_data(search: LossDecoderSearchCV, X: Any, y: Any, params: dict) -> SearchData:
    """Return the data of a search; raise for data that it cannot be trained on.

    Parameters
    ----------
    search : LossDecoderSearchCV
    X, y, params
        As they were given to `fit`.
    """
    params = match_index(X, y=y, **params)
    y = params.pop("y")
    entropy = np.random.SeedSequence(draw_entropy(search.random_state))
    seeds = [int(seed) for seed in entropy.generate_state(4)]
    estimator, targets = _seeded(search._base(), seeds[0]), TargetCodec().fit(y)
    scorer, metric = search._scorer(targets.kind == "multilabel")
    X, y = as_rows(X), plain_targets(y)
    check_consistent_length(X, y)
    Y = targets.transform(y)
    fit_params, score_params, split_params = _route(search, estimator, scorer, X, params)
    groups = split_params.get("groups")
    if groups is not None:
        groups = split_params["groups"] = check_groups(groups, len(Y), estimator)
    weight = _weight_of_classifier(estimator, fit_params)
    Y, weight = weigh(Y, check_weight(weight, Y, targets.kind == "multilabel"))
    folds = _make_folds(search.cv, search.repeats, X, y, Y, split_params, seeds[1])
    _check_folds(folds, Y, weight, targets)
    drawn = draw_for(scorer, metric, targets, len(Y), seeds[2])
    if search.refit is False and isinstance(scorer, _MultimetricScorer):
        drawn = drawn[:0]
    return SearchData(
        estimator, X, y, targets, Y, weight, groups, folds, fit_params, scorer, metric,
        score_params, drawn, seeds[3], raises=isinstance(search.error_score, str),
    )  # fmt: skip


def _seeded(estimator: Any, seed: int) -> Any:
    """Return a copy of the estimator whose network has an int as its random state."""
    estimator = clone(estimator)
    net = last_step(estimator)
    if net.random_state is None:
        net.set_params(random_state=seed)
    elif not isinstance(net.random_state, Integral):
        # A RandomState would give each setting another start.
        net.set_params(random_state=draw_entropy(net.random_state))
    return estimator


def _route(
    search: LossDecoderSearchCV, estimator: Any, scorer: Any, X: Any, params: dict
) -> tuple[dict, dict, dict]:
    """Return the metadata for estimator, scorer and splitter."""
    params = dict(_check_method_params(X, params))
    if _routing_enabled():
        routed = process_routing(search, "fit", **params)
        return routed.estimator.fit, routed.scorer.score, routed.splitter.split
    groups = params.pop("groups", None)
    check_keywords(search, estimator, params)
    score_params = {}
    if params.get("sample_weight") is not None:
        scorers = scorers_by_name(scorer).values()
        unweighted = [one for one in scorers if not takes_weights(one)]
        for one in unweighted:
            warn_user(f"{one} takes no sample_weight, so that its scores are not weighted")
        if len(unweighted) < len(scorers):
            score_params["sample_weight"] = params["sample_weight"]
    return params, score_params, {} if groups is None else {"groups": groups}


def _weight_of_classifier(estimator: Any, fit_params: dict) -> Any:
    """Return the weights that reach the classifier itself, through pipelines."""
    while isinstance(estimator, Pipeline):
        name, last = estimator.steps[-1]
        if _routing_enabled():
            fit_params = process_routing(estimator, "fit", **fit_params)[name].fit
        else:
            start = f"{name}__"
            fit_params = {
                key.removeprefix(start): value
                for key, value in fit_params.items()
                if key.startswith(start)
            }
        estimator = last
    return fit_params.get("sample_weight")


def _make_folds(
    cv: Any, repeats: int, X: Any, y: Any, Y: np.ndarray, split_params: dict, seed: int
) -> list[Fold]:
    if repeats > 1:
        if "groups" in split_params:
            raise ValueError("repeats does not work with groups: pass a splitter as cv")
        n_splits = 5 if cv is None else cv
        splitter = RepeatedMultilabelStratifiedKFold(n_splits, n_repeats=repeats, random_state=seed)
        cv = list(splitter.split(Y, Y))
    return make_folds(cv, X, y, Y, seed, **split_params)


def _check_folds(
    folds: list[Fold], Y: np.ndarray, weight: np.ndarray | None, targets: TargetCodec
) -> None:
    """Raise if a fold has nothing to train on, or one class only; warn of labels that it lacks."""
    counts = counting_rows(Y, weight)
    for k, (train, _) in enumerate(folds):
        if not counts[train].any():
            raise ValueError(
                f"the training rows of fold {k} of cv have sample_weight 0, or NaN in y: nothing "
                "is left to learn from"
            )
    if targets.kind != "multilabel":
        for k, lacking in enumerate(find_gaps(folds, Y, targets)):
            present = targets.classes_[~lacking].tolist()
            if len(present) < 2:
                raise ValueError(
                    f"the training rows of fold {k} of cv have only 1 class, {present[0]!r}: use "
                    "fewer folds or a stratified cv"
                )
    targets.warn_of_constant_labels(np.nansum(Y, axis=0), np.sum(Y >= 0, axis=0))
    warn_of_gaps(folds, Y, targets)
