"""A metric of one label at each threshold, with a bootstrap of its variability."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from .._data.counts import accuracy, balanced_accuracy, fbeta, jaccard, precision, recall
from .._data.validation import check_beta, check_choice
from ..decoders._cuts import first_best, midpoints

# More points than pixels are not visible; a callable is called at each of them.
_MAX_DRAWN = 400
_MAX_CALLED = 50


class ThresholdCurve(NamedTuple):
    """A metric of one label against the threshold.

    Attributes
    ----------
    thresholds : ndarray of shape (n_cuts,)
        Scores at which predictions change, ascending, and finally ``inf``, which predicts no
        positives. Of many scores, about 400 evenly spaced ones (50 for a callable).
    values : ndarray of shape (n_cuts,)
        The metric if ``score >= threshold`` is predicted. It is constant from the previous
        threshold (exclusive) up to this one.
    lower, upper : ndarray of shape (n_cuts,) or None
        Pointwise bootstrap limits; None without a bootstrap.
    best : float
        The threshold with the best value, halfway between two scores; the largest of several, and
        ``inf`` if predicting no positives is best.
    best_value : float
        The metric at `best`.
    best_interval : tuple of float or None
        Bootstrap limits of `best`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_mlloss.inspection import ThresholdDisplay
    >>> Y, scores = np.array([[0], [1], [1]]), np.array([[0.2], [0.6], [0.9]])
    >>> display = ThresholdDisplay.from_predictions(Y, scores, n_bootstrap=0)
    >>> curve = display.curves[0]
    >>> print(curve.best, curve.best_value, round(curve.value_at(0.7), 2))
    0.4 1.0 0.67
    """

    thresholds: np.ndarray
    values: np.ndarray
    lower: np.ndarray | None
    upper: np.ndarray | None
    best: float
    best_value: float
    best_interval: tuple[float, float] | None

    def value_at(self, threshold: float) -> float:
        """Return the value of the curve at `threshold`."""
        return float(self.values[np.searchsorted(self.thresholds, threshold)])


CURVES = {
    "f1": fbeta,
    "precision": precision,
    "recall": recall,
    "jaccard": jaccard,
    "balanced_accuracy": balanced_accuracy,
    "accuracy": accuracy,
}


def resolve_metric(metric: Any, beta: float) -> tuple[Callable, str]:
    """Return the function of a metric, and its name in the plot."""
    if callable(metric):
        return metric, getattr(metric, "__name__", type(metric).__name__).replace("_", " ")
    if metric == "fbeta":
        check_beta(beta)
        return partial(fbeta, beta=beta), f"F{beta:g}"
    check_choice(
        metric, "metric", [*CURVES, "fbeta"], other="a callable metric(y_true, y_pred) or "
    )
    return CURVES[metric], metric.replace("_", " ").capitalize()


def threshold_curve(
    y: np.ndarray,
    scores: np.ndarray,
    metric: Callable,
    on_counts: bool,
    marked: float,
    n_bootstrap: int,
    confidence: float,
    random: np.random.RandomState,
) -> ThresholdCurve:
    """Return the curve of one label, exact at the threshold that will be marked.

    With `on_counts`, the metric is a function of counts, which one pass computes for all
    thresholds; otherwise it is called with true and predicted labels at each of them.
    """
    distinct, level = np.unique(scores, return_inverse=True)
    cuts = np.append(midpoints(distinct[::-1])[::-1], np.inf)
    thresholds = np.append(distinct, np.inf)
    drawn = _thin(distinct, _MAX_DRAWN if on_counts else _MAX_CALLED, marked)
    if not on_counts:
        cuts, thresholds, drawn = cuts[drawn], thresholds[drawn], np.arange(drawn.size)

    def evaluate(times: np.ndarray) -> np.ndarray:
        """Return the metric at each threshold for a sample that has each row `times` times."""
        if on_counts:
            tp, predicted = (
                np.append(np.cumsum(np.bincount(level, part, distinct.size)[::-1])[::-1], 0.0)
                for part in (times * y, times)
            )
            return metric(tp, predicted, tp[0], predicted[0])
        rows = np.repeat(np.arange(y.size), times)
        true, sample = y[rows].astype(int), scores[rows]
        values = np.array([float(metric(true, (sample >= t).astype(int))) for t in thresholds])
        if not np.isfinite(values).all():
            raise ValueError(
                f"metric {metric!r} must return finite numbers, but is not finite where scores >= "
                f"{thresholds[~np.isfinite(values)][0]:g} are predicted; choose its value for "
                "undefined cases."
            )
        return values

    values = evaluate(np.ones(y.size, dtype=int))
    # The largest of several best thresholds, like decoders.
    best = values.size - 1 - first_best(values[::-1])
    drawn = np.union1d(drawn, best)
    lower = upper = interval = None
    if n_bootstrap:
        curves, bests = np.empty((n_bootstrap, drawn.size)), np.empty(n_bootstrap)
        for i in range(n_bootstrap):
            sample = evaluate(np.bincount(random.randint(y.size, size=y.size), minlength=y.size))
            curves[i] = sample[drawn]
            bests[i] = cuts[sample.size - 1 - first_best(sample[::-1])]
        limits = [(1 - confidence) / 2, (1 + confidence) / 2]
        lower, upper = np.quantile(curves, limits, axis=0)
        # Without interpolation, which is not defined between a number and infinity.
        start, end = np.quantile(bests, limits, method="inverted_cdf")
        interval = float(start), float(end)
    return ThresholdCurve(
        thresholds[drawn],
        values[drawn],
        lower,
        upper,
        float(cuts[best]),
        float(values[best]),
        interval,
    )


def _thin(distinct: np.ndarray, limit: int, marked: float) -> np.ndarray:
    """Return indices of thresholds, evenly spaced along the axis, with the marked one and inf."""
    places = np.linspace(distinct[0], distinct[-1], limit)
    picked = np.arange(distinct.size)
    if distinct.size > limit:
        picked = np.searchsorted(distinct, places)
    return np.union1d(picked, [np.searchsorted(distinct, marked), distinct.size])
