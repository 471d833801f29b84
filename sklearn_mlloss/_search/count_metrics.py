"""Metrics of decisions in closed form, as functions of weighted counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn import metrics

from .._data import counts
from .._sklearn import _BaseScorer
from ..metrics import decisions

__all__ = ["CountMetric", "count_metric"]


def _subset_accuracy(
    tp: np.ndarray, predicted: np.ndarray, positives: np.ndarray, total: float
) -> np.ndarray:
    return (predicted == tp) & (positives == tp)


def _hamming_loss(
    tp: np.ndarray, predicted: np.ndarray, positives: np.ndarray, total: float
) -> np.ndarray:
    return counts.ratio(predicted + positives - 2 * tp, total)


# What is computed from counts, with the default of `average`.
RATIOS_OF_CLASSES: dict[Callable, tuple[Callable, str]] = {
    metrics.f1_score: (counts.fbeta, "binary"),
    metrics.precision_score: (counts.precision, "binary"),
    metrics.recall_score: (counts.recall, "binary"),
    metrics.jaccard_score: (counts.jaccard, "binary"),
}
RATIOS = RATIOS_OF_CLASSES | {
    decisions.f_measure: (counts.fbeta, "micro"),
    decisions.jaccard: (counts.jaccard, "samples"),
}
MEANS: dict[Callable, Callable] = {
    metrics.accuracy_score: _subset_accuracy,
    decisions.subset_accuracy: _subset_accuracy,
    metrics.hamming_loss: _hamming_loss,
    decisions.hamming_loss: _hamming_loss,
}


@dataclass(frozen=True)
class CountMetric:
    """A metric of decisions that follows from weighted counts.

    With it, hundreds of bootstraps are two matrix products instead of as many calls, each of which
    would check its arguments for milliseconds.

    Attributes
    ----------
    function : callable ``(tp, predicted, positives, total) -> values``
    average : {"micro", "macro", "weighted", "samples"}
    sign : int
        -1 where less is better.
    of_classes : bool, default=False
        Whether columns are classes, of which "macro" takes those that have a row, as scikit-learn
        does it, and both count where there is a single column.
    """

    function: Callable[..., np.ndarray]
    average: str
    sign: int
    of_classes: bool = False

    def __call__(
        self,
        Y: np.ndarray,
        Y_hat: np.ndarray,
        times: np.ndarray,
        sample_weight: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return the metric on each of several samples of the rows.

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
        if self.average == "samples":
            rows = (part.sum(axis=1) for part in (Y & Y_hat, Y_hat, Y))
            values = self.function(*rows, Y.shape[1])
            return self.sign * counts.ratio(weights @ values, weights.sum(axis=1), np.nan)
        tp, predicted, positives = (
            (weights @ part.astype(weights.dtype)).astype(np.float64)
            for part in (Y & Y_hat, Y_hat, Y)
        )
        if self.average == "micro":
            return self.sign * self.function(tp.sum(1), predicted.sum(1), positives.sum(1))
        shares = positives
        if self.average == "macro":
            shares = np.ones_like(positives)
            if self.of_classes:  # whatever the weights are
                shares = (times @ (Y | Y_hat).astype(times.dtype) > 0).astype(np.float64)
        values = self.function(tp, predicted, positives)
        return self.sign * counts.ratio((values * shares).sum(axis=1), shares.sum(axis=1))


def count_metric(scorer: Any, kind: str = "multilabel", n_labels: int = 2) -> CountMetric | None:
    """Return the closed form of a scorer for a y of some kind without NaN, if it has one."""
    if not isinstance(scorer, _BaseScorer) or scorer._response_method != "predict":
        return None
    func, options = scorer._score_func, dict(scorer._kwargs)
    if func in RATIOS_OF_CLASSES and options.get("zero_division") in (0, "warn"):
        del options["zero_division"]  # the same here
    # scikit-learn takes a single column of labels for classes.
    of_classes = kind != "multilabel" or (n_labels == 1 and func in RATIOS_OF_CLASSES)
    if func in MEANS and not options and (not of_classes or func is metrics.accuracy_score):
        return CountMetric(MEANS[func], "samples", scorer._sign)
    ratios = RATIOS_OF_CLASSES if of_classes else RATIOS
    if func in ratios and set(options) <= {"average", "pos_label"}:
        function, default = ratios[func]
        average = options.get("average", default)
        if average in ("micro", "macro", "weighted") or (average == "samples" and not of_classes):
            return CountMetric(function, average, scorer._sign, of_classes)
    return None
