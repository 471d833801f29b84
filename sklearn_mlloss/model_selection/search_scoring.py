"""Scores of decisions: in closed form for measures of counts, else by the scorers themselves."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn import metrics
from sklearn.metrics._scorer import _BaseScorer, _MultimetricScorer
from sklearn.utils import _safe_indexing
from sklearn.utils.metadata_routing import _routing_enabled
from sklearn.utils.validation import _check_method_params

from ..metrics import decisions
from ..targets import TargetCodec
from .comparison import draw_bootstraps
from .search_response import Decided

__all__ = ["CountMeasure", "Scoring", "count_measure", "draw_for"]

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
    present : bool, default=False
        Whether "macro" is the mean over columns with something in them, as scikit-learn has it for
        classes, and not for labels.
    """

    def __init__(self, name: str, average: str | None, sign: int, present: bool = False):
        self.name = name
        self.average = average
        self.sign = sign
        self.present = present

    def __call__(self, Y: np.ndarray, Y_hat: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Return the measure under each row of weights, of shape (n_bootstraps, n_samples)."""
        return self.sign * self._value(Y, Y_hat, weights)

    def _value(self, Y: np.ndarray, Y_hat: np.ndarray, weights: np.ndarray) -> np.ndarray:
        if self.average == "samples" or self.average is None:
            if self.name == "subset":
                values = (Y == Y_hat).all(axis=1)
            elif self.name == "hamming":
                values = (Y != Y_hat).mean(axis=1)
            else:
                values = self._ratio((Y & Y_hat).sum(1), Y_hat.sum(1), Y.sum(1))
            return _divide(weights @ values, weights.sum(axis=1))
        hits, marked, there = (
            (weights @ part.astype(weights.dtype)).astype(np.float64)
            for part in (Y & Y_hat, Y_hat, Y)
        )
        if self.average == "micro":
            return self._ratio(hits.sum(1), marked.sum(1), there.sum(1))
        values = self._ratio(hits, marked, there)
        if self.average == "macro":
            counted = (marked + there > 0) if self.present else np.ones(values.shape, bool)
            return _divide((values * counted).sum(axis=1), counted.sum(axis=1))
        return _divide((values * there).sum(axis=1), there.sum(axis=1))

    def _ratio(self, hits: np.ndarray, marked: np.ndarray, there: np.ndarray) -> np.ndarray:
        if self.name == "f1":
            return _divide(2 * hits, marked + there)
        if self.name == "jaccard":
            return _divide(hits, marked + there - hits)
        return _divide(hits, marked if self.name == "precision" else there)


def count_measure(scorer: Any, kind: str = "multilabel") -> CountMeasure | None:
    """Return the closed form of a scorer for y of some kind without NaN, if it has one."""
    if not isinstance(scorer, _BaseScorer) or scorer._response_method != "predict":
        return None
    func, kwargs, sign = scorer._score_func, dict(scorer._kwargs), scorer._sign
    if func in RATIOS_OF_CLASSES and kwargs.get("zero_division") in (0, "warn"):
        del kwargs["zero_division"]  # what we do anyway
    if kind != "multilabel":  # as columns of classes
        if func is metrics.accuracy_score and not kwargs:
            return CountMeasure("subset", None, sign)
        known = RATIOS_OF_CLASSES if set(kwargs) <= {"average", "pos_label"} else {}
        if func in known and kwargs.get("average") in ("micro", "macro", "weighted"):
            return CountMeasure(known[func], kwargs["average"], sign, present=True)
        return None
    if func in MEANS and not kwargs:
        return CountMeasure(MEANS[func], None, sign)
    if func in RATIOS and set(kwargs) <= {"average", "pos_label"}:
        name, default = RATIOS[func]
        average = kwargs.get("average", default)
        if average in ("micro", "macro", "weighted", "samples"):
            return CountMeasure(name, average, sign)
    return None


def draw_for(scorer: Any, metric: str, kind: str, n_rows: int, seed: int) -> np.ndarray:
    """Return how often each bootstrap draws each row.

    There are fewer bootstraps where they cost much, and where there are many rows.
    """
    own = scorer._scorers[metric] if isinstance(scorer, _MultimetricScorer) else scorer
    number = N_BOOTSTRAPS if count_measure(own, kind) is not None else N_SLOW_BOOTSTRAPS
    return draw_bootstraps(n_rows, int(np.clip(2e7 / n_rows, min(20, number), number)), seed)


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
    """

    def __init__(
        self, scorer: Any, metric: str, X: Any, y: Any, targets: TargetCodec, params: dict
    ):
        self.scorer = scorer
        self.X = X
        self.y = y
        self.params = params
        self.single, self.single_params = _single(scorer, metric, params)
        self.metric = metric
        several = scorer._scorers if isinstance(scorer, _MultimetricScorer) else {"score": scorer}
        self.kind = targets.kind
        self.hard = None
        # With metadata routing each of several scorers may ask for other weights.
        routed = params and _routing_enabled() and isinstance(scorer, _MultimetricScorer)
        if set(params) <= {"sample_weight"} and not routed:
            Y = targets.transform(y)
            if Y.dtype.kind != "f":  # neither soft nor missing labels
                self.hard = self._columns(Y == 1)
        # In closed form; by scorers that do not look at decisions; and by the others.
        measures = {name: count_measure(one, self.kind) for name, one in several.items()}
        self.measures = {
            name: one for name, one in measures.items() if one and self.hard is not None
        }
        left = {name: one for name, one in several.items() if name not in self.measures}
        same = {name: one for name, one in left.items() if not _looks_at_decisions(one)}
        if routed or not isinstance(scorer, _MultimetricScorer):
            whole = scorer if left else None
            self.of_decisions, self.of_scores = (whole, None) if same != left else (None, whole)
        else:
            others = {name: one for name, one in left.items() if name not in same}
            self.of_decisions, self.of_scores = (
                _MultimetricScorer(scorers=part, raise_exc=scorer._raise_exc) if part else None
                for part in (others, same)
            )
        weight = params.get("sample_weight")
        self.weight = None if weight is None else np.asarray(weight, dtype=np.float64)

    @property
    def needs_decisions(self) -> bool:
        """Whether the metric of the bootstraps looks at more than probabilities."""
        return _looks_at_decisions(self.single)

    def fold(
        self, response: Decided, rows: np.ndarray, known: dict[Any, Any], key: Any
    ) -> tuple[dict[str, float], list[str]]:
        """Return a score a metric for the response to some rows, and what went wrong.

        Scores of probabilities are kept in `known` under `key`: they are those of all decoders.
        """
        scores: dict[str, float] = {}
        failed: list[str] = []
        if self.measures:
            weights = (np.ones(len(rows)) if self.weight is None else self.weight[rows])[None]
            marked = self._columns(response.decisions)
            for name, measure in self.measures.items():
                scores[name] = float(measure(self.hard[rows], marked, weights)[0])
        parts = []
        if self.of_decisions is not None:
            parts.append(self._call(self.of_decisions, response, rows))
        if self.of_scores is not None:
            if key not in known:
                known[key] = self._call(self.of_scores, response, rows)
            parts.append(known[key])
        for found, errors in parts:
            scores |= found
            failed += errors
        return scores, failed

    def _call(
        self, scorer: Any, response: Decided, rows: np.ndarray
    ) -> tuple[dict[str, float], list[str]]:
        X, y = _safe_indexing(self.X, rows), _safe_indexing(self.y, rows)
        params = _check_method_params(self.X, self.params, indices=rows)
        found = scorer(response, X, y, **params)
        found = found if isinstance(found, dict) else {"score": found}
        scores, failed = {}, []
        for name, value in found.items():
            if isinstance(value, str):  # the traceback of one of several scorers
                failed.append(value.strip().splitlines()[-1])
            else:
                scores[name] = float(value)
        return scores, failed

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
        measure = count_measure(self.single, self.kind)
        if self.hard is not None and measure is not None:
            # Counts are exact in float32, too.
            own = np.ones(1, np.float32) if self.weight is None else self.weight[rows]
            weights = np.concatenate([drawn, drawn == 0]).astype(own.dtype) * own
            found = measure(self.hard[rows], self._columns(response.decisions), weights)
            return found.reshape(2, -1)
        found = np.full((2, len(drawn)), np.nan)
        every = np.arange(len(rows))
        for b, times in enumerate(drawn):
            for side, part in enumerate((np.repeat(every, times), every[times == 0])):
                try:
                    found[side, b] = self._one(response[part], rows[part])
                except Exception:  # such as a class that was not drawn
                    continue
        return found

    def _columns(self, labels: np.ndarray) -> np.ndarray:
        """Return one column a label, or a class."""
        return np.hstack([~labels, labels]) if self.kind == "binary" else labels

    def _one(self, response: Decided, rows: np.ndarray) -> float:
        # A scorer made of a metric hands X to the response, which knows its rows itself.
        X = None if isinstance(self.single, _BaseScorer) else _safe_indexing(self.X, rows)
        params = _check_method_params(self.X, self.single_params, indices=rows)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = self.single(response, X, _safe_indexing(self.y, rows), **params)
        return value[self.metric] if isinstance(value, dict) else value


def _single(scorer: Any, metric: str, params: dict) -> tuple[Any, dict]:
    """Return the scorer of one metric with its metadata, if they can be told apart."""
    if not isinstance(scorer, _MultimetricScorer) or (params and _routing_enabled()):
        return scorer, params
    own = scorer._scorers[metric]
    if not own._accept_sample_weight():
        params = {name: value for name, value in params.items() if name != "sample_weight"}
    return own, params


def _looks_at_decisions(scorer: Any) -> bool:
    """Return whether a scorer may look at more than probabilities."""
    if not isinstance(scorer, _BaseScorer):
        return True
    method = scorer._response_method
    return "predict" in ((method,) if isinstance(method, str) else tuple(method))


def _divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Divide, with 0 for 0 / 0 as scikit-learn has it."""
    denominator = np.asarray(denominator, dtype=np.float64)
    return np.divide(numerator, denominator, out=np.zeros(denominator.shape), where=denominator > 0)
