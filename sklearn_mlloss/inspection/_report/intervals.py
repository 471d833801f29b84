"""Scores of predictions, with bootstrap intervals over the rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy.special import xlog1py, xlogy

from ..._data.counts import fbeta, ratio

__all__ = ["Interval", "METRICS", "Metric", "bootstrap"]

# Weights of rows that are held at a time.
_MOST_WEIGHTS = 2**22


class Metric(NamedTuple):
    """A metric in the table of scores.

    Attributes
    ----------
    name : str
    greater_is_better : bool
    note : str
        What it is.
    """

    name: str
    greater_is_better: bool
    note: str


METRICS = (
    Metric("macro F1", True, "mean over labels, 0 for one that neither occurs nor is predicted"),
    Metric("micro F1", True, "of all entries together"),
    Metric("samples F1", True, "mean over rows; 0 for a row without true and predicted labels"),
    Metric("subset accuracy", True, "share of rows whose labels are all predicted correctly"),
    Metric("Hamming loss", False, "share of entries that are wrong"),
    Metric("macro average precision", True, "mean area below the precision-recall curves"),
    Metric("log loss", False, "mean over entries, of the probabilities"),
    Metric("Brier score", False, "mean squared error of the probabilities"),
)


class Interval(NamedTuple):
    """A score with its bootstrap interval."""

    value: float
    low: float
    high: float


def bootstrap(
    Y: np.ndarray,
    predictions: Mapping[str, tuple[np.ndarray, np.ndarray]],
    n_bootstrap: int,
    confidence: float,
    seed: np.random.RandomState,
    reference: str,
) -> tuple[dict[str, list[Interval]], dict[str, list[Interval]]]:
    """Return the scores of all predictions, and the difference of the reference to each of them.

    Parameters
    ----------
    Y : ndarray of shape (n_samples, n_labels)
        True labels, NaN where not observed.
    predictions : dict of str to (scores, labels)
    n_bootstrap : int
        Number of samples of rows, the same ones for all predictions, so that differences are
        paired. 0 returns intervals of NaN.
    confidence : float
        Coverage of the percentile intervals.
    seed : RandomState
    reference : str
        One of the predictions.

    Returns
    -------
    scores, differences : dict of str to list of Interval, one per metric
    """
    n_rows = len(Y)
    tallies = {name: _Tally(Y, *each) for name, each in predictions.items()}
    values = {name: [tally.scores(np.ones((1, n_rows)))] for name, tally in tallies.items()}
    step = max(1, _MOST_WEIGHTS // n_rows)
    for start in range(0, n_bootstrap, step):
        draws = [
            np.bincount(seed.randint(n_rows, size=n_rows), minlength=n_rows)
            for _ in range(start, min(start + step, n_bootstrap))
        ]
        weights = np.array(draws, dtype=float)
        for name, tally in tallies.items():
            values[name].append(tally.scores(weights))
    all_values = {name: np.vstack(parts) for name, parts in values.items()}
    scores = {name: _intervals(each, confidence) for name, each in all_values.items()}
    differences = {
        name: _intervals(all_values[reference] - each, confidence)
        for name, each in all_values.items()
        if name != reference
    }
    return scores, differences


def _intervals(values: np.ndarray, confidence: float) -> list[Interval]:
    """Return the first row with percentiles of the others."""
    limits = [(1 - confidence) / 2, (1 + confidence) / 2]
    result = []
    for column in values.T:
        samples = column[1:][~np.isnan(column[1:])]
        low, high = np.quantile(samples, limits) if samples.size else (np.nan, np.nan)
        result.append(Interval(float(column[0]), float(low), float(high)))
    return result


class _Tally:
    """What the metrics need of each row, so that weights of rows give all scores at once."""

    def __init__(self, Y: np.ndarray, scores: np.ndarray, Y_hat: np.ndarray):
        self.observed = (~np.isnan(Y)).astype(float)
        truth = np.nan_to_num(Y)
        guess = Y_hat * self.observed
        self.counts = truth * guess, guess, truth
        self.has_any = self.observed.any(axis=1).astype(float)
        eps = np.finfo(float).eps
        p = np.clip(scores, eps, 1 - eps)
        self.rows = np.column_stack(
            [
                self.has_any * fbeta(*(part.sum(axis=1) for part in self.counts)),
                self.has_any * (truth == guess).all(axis=1),
                (truth != guess).sum(axis=1),
                ((-xlogy(truth, p) - xlog1py(1 - truth, -p)) * self.observed).sum(axis=1),
                ((truth - scores) ** 2 * self.observed).sum(axis=1),
            ]
        )
        self.curves = [
            _Curve(truth[seen, k], scores[seen, k], np.flatnonzero(seen))
            for k, seen in enumerate(self.observed.T > 0)
            if truth[:, k].any()
        ]

    def scores(self, weights: np.ndarray) -> np.ndarray:
        """Return the metrics for weights of shape (n_samples_of_rows, n_rows)."""
        tp, predicted, positives = (weights @ part for part in self.counts)
        observed = weights @ self.observed
        used = observed > 0
        per_label = fbeta(tp, predicted, positives) * used
        macro = ratio(per_label.sum(axis=1), used.sum(axis=1), np.nan)
        micro = fbeta(*(part.sum(axis=1) for part in (tp, predicted, positives)))
        rows = weights @ self.rows
        n_rows, n_entries = weights @ self.has_any, observed.sum(axis=1)
        areas = np.full((len(weights), max(1, len(self.curves))), np.nan)
        for k, curve in enumerate(self.curves):
            areas[:, k] = curve.average_precision(weights)
        known = ~np.isnan(areas)
        precision = ratio(np.nan_to_num(areas).sum(axis=1), known.sum(axis=1), np.nan)
        of_rows = [ratio(rows[:, k], n_rows, np.nan) for k in range(2)]
        of_entries = [ratio(rows[:, k], n_entries, np.nan) for k in range(2, 5)]
        return np.column_stack([macro, micro, *of_rows, of_entries[0], precision, *of_entries[1:]])


class _Curve:
    """The rows of a label in the order of their scores, for its average precision."""

    def __init__(self, y: np.ndarray, scores: np.ndarray, rows: np.ndarray):
        order = np.argsort(-scores, kind="stable")
        self.rows, self.y = rows[order], y[order]
        # The last row of each group with the same score.
        self.ends = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)

    def average_precision(self, weights: np.ndarray) -> np.ndarray:
        """Return one value per row of weights, NaN if no positive has any weight."""
        mass = weights[:, self.rows]
        predicted = np.cumsum(mass, axis=1)[:, self.ends]
        hits = np.cumsum(mass * self.y, axis=1)[:, self.ends]
        gains = np.diff(hits, axis=1, prepend=0)
        return ratio((gains * ratio(hits, predicted)).sum(axis=1), hits[:, -1], np.nan)
