"""Scores of out-of-fold predictions: in closed form if possible, else by the scorers themselves."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from inspect import signature
from typing import Any

import numpy as np
from sklearn.metrics import check_scoring, get_scorer_names
from sklearn.utils.metadata_routing import process_routing

from .._data.messages import describe, describe_error
from .._data.metric_names import find_metric, suggest_metric
from .._data.targets import TargetCodec
from .._data.weights import LARGEST_SUM, check_weight
from .._sklearn import (
    _BaseScorer,
    _check_method_params,
    _check_multimetric_scoring,
    _MultimetricScorer,
    _PassthroughScorer,
    _routing_enabled,
    _safe_indexing,
)
from ..metrics import multilabel_scorers
from ..model_selection.comparison import draw_bootstraps
from .count_metrics import CountMetric, count_metric
from .defined import where_defined
from .scored_rows import ScoredRows

__all__ = [
    "Metric",
    "Scoring",
    "draw_for",
    "make_scorer",
    "of_scikit_learn",
    "plain_labels",
    "scorers_by_name",
    "takes_weights",
]

# Scorers of scikit-learn with these names ignore false positives in an indicator.
OURS = ("neg_log_loss", "neg_brier_score")
# In closed form, and where each is two calls of a scorer for each candidate.
N_BOOTSTRAPS, N_SLOW_BOOTSTRAPS = 200, 50


def make_scorer(
    scoring: Any, refit: Any, error_score: Any, estimator: Any, multilabel: bool = True
) -> tuple[Any, str]:
    """Return the scorer, and the name of the metric that the choice is made by.

    Parameters
    ----------
    scoring, refit, error_score
        As of `LossDecoderSearchCV`.
    estimator : MultiLabelNetClassifier or Pipeline
    multilabel : bool, default=True
        Whether y is an indicator, for which names of log loss and Brier score mean those of this
        package: those of scikit-learn ignore false positives.
    """
    if callable(scoring):
        return scoring, refit if isinstance(refit, str) else "score"
    if scoring is None or isinstance(scoring, str):
        if isinstance(refit, str) and refit != scoring:
            raise ValueError(f"refit must be a bool or {scoring!r}, got {describe(refit)}")
        return check_scoring(estimator, _named_scorer(scoring, multilabel)), "score"
    several = isinstance(scoring, list | tuple | set | dict)
    scorers = scoring.values() if isinstance(scoring, dict) else ()
    if (
        not several
        or not all(isinstance(name, str) for name in scoring)
        or not all(isinstance(one, str) or callable(one) for one in scorers)
    ):
        raise ValueError(
            "scoring must be None, a name, a callable, a list of names or a dict with names, "
            f"got {describe(scoring)}"
        )
    if isinstance(scoring, dict) or len(set(scoring)) == len(scoring) > 0:
        pairs = scoring.items() if isinstance(scoring, dict) else zip(scoring, scoring, strict=True)
        scoring = {name: _named_scorer(one, multilabel) for name, one in pairs}
    scorers = _check_multimetric_scoring(estimator, scoring)
    if refit is not False and refit not in scorers:
        raise ValueError(
            "with several metrics refit must be False or the name of one of them, "
            f"{sorted(scorers)}, got {describe(refit)}"
        )
    metric = refit if isinstance(refit, str) else next(iter(scorers))
    return _MultimetricScorer(scorers=scorers, raise_exc=isinstance(error_score, str)), metric


def _named_scorer(scoring: Any, multilabel: bool) -> Any:
    """Return what a name stands for: a scorer of this package, or a name of scikit-learn's."""
    if not isinstance(scoring, str):
        return scoring
    number = re.search(r"\d+$", scoring)  # of "precision_at_3"
    ours = multilabel_scorers(k=max(1, int(number[0])) if number else 1) if multilabel else {}
    theirs = get_scorer_names()
    name = find_metric(scoring, [*theirs, *ours])
    if name is None:
        raise ValueError(
            "scoring must name scorers of sklearn.metrics.get_scorer_names() or, with several "
            "labels, of sklearn_mlloss.metrics.multilabel_scorers(), or be a callable or a dict, "
            f"got {scoring!r}{suggest_metric(scoring, [*theirs, *ours])}"
        )
    return ours[name] if name in ours and (name in OURS or name not in theirs) else name


def scorers_by_name(scorer: Any) -> dict[str, Any]:
    """Return each of several scorers by its name; "score" is that of a single one."""
    return scorer._scorers if isinstance(scorer, _MultimetricScorer) else {"score": scorer}


def of_scikit_learn(scorer: Any) -> bool:
    """Return whether scikit-learn calls a metric, or the classifier's own `score`."""
    return isinstance(scorer, _BaseScorer | _PassthroughScorer)


def plain_labels(Y: np.ndarray) -> np.ndarray:
    """Return targets as metrics take them, who refuse many containers and subtract integers."""
    return Y.astype(np.float64 if Y.dtype.kind == "f" else np.int64)


def takes_weights(scorer: Any) -> bool:
    """Return whether a scorer has the argument `sample_weight`."""
    takes = getattr(scorer, "_accept_sample_weight", None)
    return takes() if takes else "sample_weight" in signature(scorer).parameters


def draw_for(scorer: Any, metric: str, targets: TargetCodec, n_rows: int, seed: int) -> np.ndarray:
    """Return how often each bootstrap draws each row.

    There are fewer bootstraps where they cost much, and where there are many rows.
    """
    chosen = scorers_by_name(scorer).get(metric, scorer)
    is_fast = count_metric(chosen, targets.kind, targets.n_labels_) is not None
    number = N_BOOTSTRAPS if is_fast else N_SLOW_BOOTSTRAPS
    return draw_bootstraps(n_rows, int(np.clip(2e7 / n_rows, min(20, number), number)), seed)


@dataclass(frozen=True)
class Metric:
    """One of the metrics, with its metadata and closed form.

    Attributes
    ----------
    scorer : callable
        As in `scoring`.
    defined : callable
        The same, with a value for rows that lack labels or classes, where it can have one.
    params : dict
        Metadata for the scorer.
    counts : CountMetric or None
        Its closed form, if it has one for y as it is.
    """

    scorer: Any
    defined: Any
    params: dict
    counts: CountMetric | None

    @property
    def needs_decisions(self) -> bool:
        """Whether it may depend on more than probabilities."""
        if not isinstance(self.scorer, _BaseScorer):
            return True
        method = self.scorer._response_method
        return "predict" in ((method,) if isinstance(method, str) else tuple(method))

    @property
    def weight(self) -> np.ndarray | None:
        """The weights of all rows."""
        return self.params.get("sample_weight")


class Scoring:
    """Scores predictions for the rows of a table by one or several metrics.

    Parameters
    ----------
    scorer : callable
        One, or scikit-learn's for several metrics.
    metric : str
        Which of them is scored on bootstraps.
    X, y
        For the scorer.
    targets : TargetCodec
        Fitted.
    params : dict
        Metadata for the scorer.

    Attributes
    ----------
    metrics : dict of Metric
        By name; "score" is that of a scorer which is not one of several.
    chosen : Metric
        The one that is scored on bootstraps.
    has_hard_labels : bool
        Whether no label is soft or missing.
    """

    def __init__(
        self, scorer: Any, metric: str, X: Any, y: Any, targets: TargetCodec, params: dict
    ):
        self.X = X
        self.y = y
        self.metric = metric
        self.raises = not isinstance(scorer, _MultimetricScorer) or scorer._raise_exc
        self.kind = targets.kind
        self.Y = Y = targets.transform(y)
        self.has_hard_labels = Y.dtype.kind != "f"
        self.metrics: dict[str, Metric] = {}
        for name, own_params in _params_by_name(scorer, params).items():
            one = scorers_by_name(scorer)[name]
            own_params = own_params | _weight_of_rows(own_params.get("sample_weight"), Y, targets)
            counts = None
            if self.has_hard_labels and set(own_params) <= {"sample_weight"}:
                counts = count_metric(one, targets.kind, targets.n_labels_)
            self.metrics[name] = Metric(one, where_defined(one, targets), own_params, counts)
        self.chosen = self.metrics.get(metric) or self.metrics["score"]

    def score_fold(
        self, predicted: ScoredRows, rows: np.ndarray, known: dict[str, Any]
    ) -> tuple[dict[str, float], list[str]]:
        """Return a score per metric for the predictions of some rows, and the errors.

        Scores of probabilities are kept in `known`: they are the same for all decoders.
        """
        scores: dict[str, float] = {}
        errors: list[str] = []
        for name, metric in self.metrics.items():
            try:
                value = known.get(name)
                if value is None:
                    value = self.score(metric, predicted, rows)
                    if not metric.needs_decisions:
                        known[name] = value
                values = value if isinstance(value, dict) else {name: value}
                scores |= {key: float(value) for key, value in values.items()}
            except Exception as error:
                if self.raises:
                    raise
                errors.append(describe_error(error))
        return scores, errors

    def score(self, metric: Metric, predicted: ScoredRows, rows: np.ndarray) -> Any:
        """Return the score of the predictions for some rows."""
        if metric.counts is not None:
            once = np.ones((1, len(rows)))
            return self._from_counts(metric, metric.counts, predicted, rows, once)[0]
        # A metric gets X for the predictions only, which are known.
        X = None if isinstance(metric.scorer, _BaseScorer) else _safe_indexing(self.X, rows)
        if self.kind == "multilabel" and of_scikit_learn(metric.scorer):
            y, predicted = plain_labels(self.Y[rows]), predicted.dense()
        else:
            y = _safe_indexing(self.y, rows)
        return metric.defined(predicted, X, y, **_check_method_params(self.X, metric.params, rows))

    def bootstraps(self, predicted: ScoredRows, rows: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        """Return the scores on the rows of each bootstrap, and on those left out.

        Parameters
        ----------
        predicted : ScoredRows
            Of `rows`, which may have a row several times.
        rows : ndarray of int, shape (n_predictions,)
        drawn : ndarray of int, shape (n_bootstraps, n_samples)
            How often each row of the table is drawn.

        Returns
        -------
        ndarray of shape (2, n_bootstraps)
            NaN where a score is not defined, or fails.
        """
        drawn = drawn[:, rows]
        if self.chosen.counts is not None:
            # Counts are exact in float32, too.
            dtype = np.float32 if self.chosen.weight is None else self.chosen.weight.dtype
            times = np.concatenate([drawn, drawn == 0]).astype(dtype)
            scores = self._from_counts(self.chosen, self.chosen.counts, predicted, rows, times)
            return scores.reshape(2, -1)
        scores = np.full((2, len(drawn)), np.nan)
        numbers = np.arange(len(rows))
        for b, times in enumerate(drawn):
            for side, part in enumerate((np.repeat(numbers, times), numbers[times == 0])):
                try:
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")
                        value = self.score(self.chosen, predicted[part], rows[part])
                    scores[side, b] = value[self.metric] if isinstance(value, dict) else value
                except Exception:  # such as a class that was not drawn
                    continue
        return scores

    def _from_counts(
        self,
        metric: Metric,
        counts: CountMetric,
        predicted: ScoredRows,
        rows: np.ndarray,
        times: np.ndarray,
    ) -> np.ndarray:
        weight = None if metric.weight is None else metric.weight[rows]
        return counts(self.Y[rows] == 1, predicted.decisions, times, weight)


def _params_by_name(scorer: Any, params: dict) -> dict[str, dict]:
    """Return the metadata that each scorer asks for."""
    scorers = scorers_by_name(scorer)
    if not isinstance(scorer, _MultimetricScorer):
        return dict.fromkeys(scorers, params)
    if _routing_enabled():
        routed = process_routing(scorer, "score", **params)
        return {name: routed[name].score for name in scorers}
    return {name: params if takes_weights(one) else {} for name, one in scorers.items()}


def _weight_of_rows(weight: Any, Y: np.ndarray, targets: TargetCodec) -> dict[str, np.ndarray]:
    """Return one weight per row, the mean over its labels, if there are weights."""
    weight = check_weight(weight, Y, targets.kind == "multilabel", LARGEST_SUM)
    if weight is None:
        return {}
    return {"sample_weight": weight if weight.ndim == 1 else weight.mean(axis=1)}
