"""Scores of decisions: in closed form for measures of counts, else by the scorers themselves."""

from __future__ import annotations

import traceback
import warnings
from dataclasses import dataclass
from inspect import signature
from typing import Any

import numpy as np
from sklearn import metrics
from sklearn.utils.metadata_routing import process_routing

from .._data.targets import TargetCodec
from .._data.weights import LARGEST_SUM, check_weight
from .._sklearn import (
    _BaseScorer,
    _check_method_params,
    _MultimetricScorer,
    _PassthroughScorer,
    _routing_enabled,
    _safe_indexing,
)
from ..metrics import decisions
from ..model_selection.comparison import draw_bootstraps
from .defined import where_defined
from .response import Decided

__all__ = [
    "CountMeasure",
    "Metric",
    "Scoring",
    "count_measure",
    "draw_for",
    "of_scikit_learn",
    "plain_labels",
    "takes_weights",
]

# In closed form, and where each is two calls of a scorer for each candidate.
N_BOOTSTRAPS, N_SLOW_BOOTSTRAPS = 200, 50

# What is computed from counts, and its parameters: those of a scorer must be among them.
RATIOS_OF_CLASSES = {
    metrics.f1_score: "f1",
    metrics.precision_score: "precision",
    metrics.recall_score: "recall",
    metrics.jaccard_score: "jaccard",
}
RATIOS = {func: (name, "binary") for func, name in RATIOS_OF_CLASSES.items()} | {
    decisions.f_measure: ("f1", "micro"),
    decisions.jaccard: ("jaccard", "samples"),
}
MEANS = {
    metrics.accuracy_score: "subset",
    decisions.subset_accuracy: "subset",
    metrics.hamming_loss: "hamming",
    decisions.hamming_loss: "hamming",
}


class CountMeasure:
    """A measure of decisions that follows from weighted counts.

    With it, hundreds of bootstraps are two matrix products instead of as many calls, each of which
    would look at its arguments for milliseconds.

    Parameters
    ----------
    name : {"f1", "precision", "recall", "jaccard", "subset", "hamming"}
    average : {"micro", "macro", "weighted", "samples"} or None
        None for "subset" and "hamming".
    sign : int
        -1 where less is better.
    of_classes : bool, default=False
        Whether columns are classes, of which "macro" takes those that have a row, as scikit-learn
        does it, and both count where there is a single column.
    """

    def __init__(self, name: str, average: str | None, sign: int, of_classes: bool = False):
        self.name = name
        self.average = average
        self.sign = sign
        self.of_classes = of_classes

    def __call__(
        self,
        Y: np.ndarray,
        Y_hat: np.ndarray,
        times: np.ndarray,
        sample_weight: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return the measure on each of several samples of the rows.

        Parameters
        ----------
        Y, Y_hat : ndarray of bool, shape (n_samples, n_labels)
        times : ndarray of float, shape (n_bootstraps, n_samples)
            How often each sample has each row.
        sample_weight : ndarray of shape (n_samples,), optional

        Returns
        -------
        ndarray of shape (n_bootstraps,)
        """
        if self.of_classes and Y.shape[1] == 1:
            Y, Y_hat = np.hstack([~Y, Y]), np.hstack([~Y_hat, Y_hat])
        weights = times if sample_weight is None else times * sample_weight
        present = None
        if self.of_classes and self.average == "macro":  # whatever the weights are
            present = times @ (Y | Y_hat).astype(times.dtype) > 0
        return self.sign * self._value(Y, Y_hat, weights, present)

    def _value(
        self, Y: np.ndarray, Y_hat: np.ndarray, weights: np.ndarray, present: np.ndarray | None
    ) -> np.ndarray:
        if self.average == "samples" or self.average is None:
            if self.name == "subset":
                values = (Y == Y_hat).all(axis=1)
            elif self.name == "hamming":
                values = (Y != Y_hat).mean(axis=1)
            else:
                values = self._ratio((Y & Y_hat).sum(1), Y_hat.sum(1), Y.sum(1))
            return _divide(weights @ values, weights.sum(axis=1), np.nan)
        hits, marked, there = (
            (weights @ part.astype(weights.dtype)).astype(np.float64)
            for part in (Y & Y_hat, Y_hat, Y)
        )
        if self.average == "micro":
            return self._ratio(hits.sum(1), marked.sum(1), there.sum(1))
        values = self._ratio(hits, marked, there)
        if self.average == "macro":
            counted = np.ones(values.shape, bool) if present is None else present
            return _divide((values * counted).sum(axis=1), counted.sum(axis=1))
        return _divide((values * there).sum(axis=1), there.sum(axis=1))

    def _ratio(self, hits: np.ndarray, marked: np.ndarray, there: np.ndarray) -> np.ndarray:
        if self.name == "f1":
            return _divide(2 * hits, marked + there)
        if self.name == "jaccard":
            return _divide(hits, marked + there - hits)
        return _divide(hits, marked if self.name == "precision" else there)


def count_measure(scorer: Any, kind: str = "multilabel", n_labels: int = 2) -> CountMeasure | None:
    """Return the closed form of a scorer for y of some kind without NaN, if it has one."""
    if not isinstance(scorer, _BaseScorer) or scorer._response_method != "predict":
        return None
    func, kwargs, sign = scorer._score_func, dict(scorer._kwargs), scorer._sign
    if func in RATIOS_OF_CLASSES and kwargs.get("zero_division") in (0, "warn"):
        del kwargs["zero_division"]  # what we do anyway
    # scikit-learn takes a single column of labels for classes.
    if kind != "multilabel" or (n_labels == 1 and func in RATIOS_OF_CLASSES):
        if func is metrics.accuracy_score and not kwargs:
            return CountMeasure("subset", None, sign)
        known = RATIOS_OF_CLASSES if set(kwargs) <= {"average", "pos_label"} else {}
        if func in known and kwargs.get("average") in ("micro", "macro", "weighted"):
            return CountMeasure(known[func], kwargs["average"], sign, of_classes=True)
        return None
    if func in MEANS and not kwargs:
        return CountMeasure(MEANS[func], None, sign)
    if func in RATIOS and set(kwargs) <= {"average", "pos_label"}:
        name, default = RATIOS[func]
        average = kwargs.get("average", default)
        if average in ("micro", "macro", "weighted", "samples"):
            return CountMeasure(name, average, sign)
    return None


def draw_for(scorer: Any, metric: str, targets: TargetCodec, n_rows: int, seed: int) -> np.ndarray:
    """Return how often each bootstrap draws each row.

    There are fewer bootstraps where they cost much, and where there are many rows.
    """
    own = scorer._scorers[metric] if isinstance(scorer, _MultimetricScorer) else scorer
    fast = count_measure(own, targets.kind, targets.n_labels_) is not None
    number = N_BOOTSTRAPS if fast else N_SLOW_BOOTSTRAPS
    return draw_bootstraps(n_rows, int(np.clip(2e7 / n_rows, min(20, number), number)), seed)


@dataclass(frozen=True)
class Metric:
    """One of the metrics, and what is needed to compute it.

    Attributes
    ----------
    scorer : callable
        As it was given.
    defined : callable
        The same, where it can be for labels and classes that some rows lack.
    params : dict
        Metadata for the scorer.
    counts : CountMeasure or None
        Its closed form, if it has one for y as it is.
    """

    scorer: Any
    defined: Any
    params: dict
    counts: CountMeasure | None

    @property
    def looks_at_decisions(self) -> bool:
        """Whether it may look at more than probabilities."""
        if not isinstance(self.scorer, _BaseScorer):
            return True
        method = self.scorer._response_method
        return "predict" in ((method,) if isinstance(method, str) else tuple(method))

    @property
    def weight(self) -> np.ndarray | None:
        """The weights of all rows."""
        return self.params.get("sample_weight")


class Scoring:
    """What scores responses to the rows of a table.

    Parameters
    ----------
    scorer : callable
        One, or scikit-learn's for several metrics.
    metric : str
        Which of them is scored on bootstraps.
    X, y : as they were given to `fit`
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
        # Neither soft nor missing labels.
        self.hard = Y == 1 if Y.dtype.kind != "f" else None
        self.metrics = {}
        for name, (one, own) in _each(scorer, params).items():
            own = own | _weight_of_rows(own.get("sample_weight"), Y, targets)
            counts = None
            if self.hard is not None and set(own) <= {"sample_weight"}:
                counts = count_measure(one, targets.kind, targets.n_labels_)
            self.metrics[name] = Metric(one, where_defined(one, targets), own, counts)
        several = isinstance(scorer, _MultimetricScorer)
        self.chosen = self.metrics[metric if several else "score"]

    def fold(
        self, response: Decided, rows: np.ndarray, known: dict[Any, Any], key: Any
    ) -> tuple[dict[str, float], list[str]]:
        """Return a score per metric for the response to some rows, and what went wrong.

        Scores of probabilities are kept in `known` under `key`: they are those of all decoders.
        """
        scores: dict[str, float] = {}
        failed: list[str] = []
        for name, metric in self.metrics.items():
            try:
                if metric.looks_at_decisions:
                    found = self.score(metric, response, rows)
                elif (name, key) in known:
                    found = known[name, key]
                else:
                    found = known[name, key] = self.score(metric, response, rows)
                found = found if isinstance(found, dict) else {name: found}
                scores |= {one: float(value) for one, value in found.items()}
            except Exception as error:
                if self.raises:
                    raise
                failed.append("".join(traceback.format_exception_only(error)).strip())
        return scores, failed

    def score(self, metric: Metric, response: Decided, rows: np.ndarray) -> Any:
        """Return the score of the response to some rows."""
        if metric.counts is not None:
            once = np.ones((1, len(rows)))
            own = None if metric.weight is None else metric.weight[rows]
            return metric.counts(self.hard[rows], response.decisions, once, own)[0]
        # A metric gets X for the response only, which knows its rows itself.
        X = None if isinstance(metric.scorer, _BaseScorer) else _safe_indexing(self.X, rows)
        if self.kind == "multilabel" and of_scikit_learn(metric.scorer):
            y, response = plain_labels(self.Y[rows]), response.dense()
        else:
            y = _safe_indexing(self.y, rows)
        return metric.defined(response, X, y, **_check_method_params(self.X, metric.params, rows))

    def bootstraps(self, response: Decided, rows: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        """Return the scores on the rows of each bootstrap, and on those left out.

        Parameters
        ----------
        response : Decided
            To `rows`, which may have a row several times.
        rows : ndarray of int, shape (n_responses,)
        drawn : ndarray of int, shape (n_bootstraps, n_samples)
            How often each row of the table is drawn.

        Returns
        -------
        ndarray of shape (2, n_bootstraps)
            NaN where a score is not defined, or fails.
        """
        drawn = drawn[:, rows]
        if self.chosen.counts is not None:
            own = None if self.chosen.weight is None else self.chosen.weight[rows]
            # Counts are exact in float32, too.
            dtype = np.float32 if own is None else own.dtype
            times = np.concatenate([drawn, drawn == 0]).astype(dtype)
            found = self.chosen.counts(self.hard[rows], response.decisions, times, own)
            return found.reshape(2, -1)
        found = np.full((2, len(drawn)), np.nan)
        every = np.arange(len(rows))
        for b, times in enumerate(drawn):
            for side, part in enumerate((np.repeat(every, times), every[times == 0])):
                try:
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")
                        value = self.score(self.chosen, response[part], rows[part])
                    found[side, b] = value[self.metric] if isinstance(value, dict) else value
                except Exception:  # such as a class that was not drawn
                    continue
        return found


def _each(scorer: Any, params: dict) -> dict[str, tuple[Any, dict]]:
    """Return each scorer by name, with the metadata that it asks for."""
    if not isinstance(scorer, _MultimetricScorer):
        return {"score": (scorer, params)}
    if _routing_enabled():
        routed = process_routing(scorer, "score", **params)
        return {name: (one, routed[name].score) for name, one in scorer._scorers.items()}
    return {
        name: (one, params if takes_weights(one) else {}) for name, one in scorer._scorers.items()
    }


def _weight_of_rows(weight: Any, Y: np.ndarray, targets: TargetCodec) -> dict[str, np.ndarray]:
    """Return one weight per row, the mean over its labels, if there are weights."""
    weight = check_weight(weight, Y, targets.kind == "multilabel", LARGEST_SUM)
    if weight is None:
        return {}
    return {"sample_weight": weight if weight.ndim == 1 else weight.mean(axis=1)}


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


def _divide(numerator: np.ndarray, denominator: np.ndarray, undefined: float = 0.0) -> np.ndarray:
    """Divide; 0 / 0 is 0 as scikit-learn has it for a label."""
    denominator = np.asarray(denominator, dtype=np.float64)
    out = np.full(denominator.shape, undefined)
    return np.divide(numerator, denominator, out=out, where=denominator > 0)
