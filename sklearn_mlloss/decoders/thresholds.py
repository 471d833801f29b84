"""Threshold decoders: they compare each score with a threshold.

All of them predict ``score >= t`` and cut only between *distinct* scores, so that rows with the
same score get the same prediction. A cut between two scores becomes the threshold halfway between
them; predicting nothing is the threshold ``+inf``, predicting everything is the lowest score.
Where several cuts are equally good, the larger threshold (fewer predicted labels) is taken.
"""

import inspect
from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._data.counts import accuracy, balanced_accuracy, fbeta, jaccard
from .._data.fields import checked
from .._data.scored_rows import ScoredRows
from .._data.validation import check_beta, check_call, check_choice, check_number, check_numbers
from ._cuts import Cuts, best_pooled_cut, cuts, dinkelbach, first_best, grid, mean_metric
from .base import Decoder

__all__ = ["FixedThreshold", "GlobalThreshold", "PerLabelThreshold"]

# Without any observed positive, F-measures do not determine a threshold.
_UNDEFINED_THRESHOLD = 0.5
# Names of what `GlobalThreshold` maximises.
_METRICS: dict[str, Callable[..., np.ndarray]] = {
    "f1": fbeta,
    "jaccard": jaccard,
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "hamming": accuracy,
    "fbeta": fbeta,
}
# Keeps the logits of thresholds finite.
_SMALLEST = 1e-12


class GivenThresholds(Decoder):
    """Base of rules whose thresholds follow from parameters alone."""

    needs_probabilities = True

    @abstractmethod
    def _thresholds(self, n_labels: int) -> np.ndarray:
        """Return one threshold, or one per label, or raise if a parameter is out of range."""

    def _check_params(self, n_labels: int) -> None:
        super()._check_params(n_labels)
        self._thresholds(n_labels)

    def _decode(self, scores: np.ndarray, count: np.ndarray | None) -> np.ndarray:
        return scores >= self._thresholds(scores.shape[1])


@dataclass(eq=False, repr=False)
class FixedThreshold(GivenThresholds):
    r"""Predict every label whose score reaches a fixed threshold.

    .. math:: \hat y_l = [p_l \ge t_l]

    With calibrated probabilities, ``t = 0.5`` minimises the Hamming loss.

    Parameters
    ----------
    threshold : float or array-like of shape (n_labels,), default=0.5
        One threshold for all labels, or one per label. The default is right for the Hamming loss;
        infinite values mean always or never.

    Examples
    --------
    >>> from sklearn_mlloss.decoders import FixedThreshold
    >>> FixedThreshold().decode([[0.7, 0.5, 0.2]])
    array([[ True,  True, False]])
    >>> FixedThreshold([0.8, 0.5, 0.1]).decode([[0.7, 0.5, 0.2]])
    array([[False,  True,  True]])
    """

    threshold: ArrayLike = 0.5

    def _thresholds(self, n_labels: int) -> np.ndarray:
        return _one_or_per_label("threshold", self.threshold, n_labels, infinite=True)


@dataclass(eq=False, repr=False)
class GlobalThreshold(Decoder):
    r"""One threshold for all labels, tuned for a metric on held-out rows.

    .. math:: \hat y_{il} = [p_{il} \ge t], \qquad
              t = \arg\max_t \mathrm{metric}(Y, [p \ge t])

    It has a single degree of freedom and hardly overfits, which makes it the choice for micro and
    samples averages; for macro averages see `PerLabelThreshold`.

    Parameters
    ----------
    metric : str or callable, default="f1"
        What to maximise: "f1", "fbeta", "jaccard", "accuracy", "balanced_accuracy", "hamming", or
        a function. "accuracy" counts single labels, which is 1 − Hamming loss, so that
        "hamming" is another name for it. A ratio 0/0 counts as 0, as in scikit-learn; balanced
        accuracy averages over the classes that are present.
        A callable ``metric(Y, Y_hat) -> float``, greater is better, gets integer arrays (`Y` as
        float if it holds soft labels) without the rows that have an unobserved label, and
        ``sample_weight=...`` if the weights differ.
    average : {"micro", "macro", "samples"}, default="micro"
        Pool all entries, or take the mean over labels or over rows. Labels or rows without any
        observed entry are left out of the mean. Not used with a callable.
    beta : float, default=1.0
        Weight of recall against precision, > 0. Only used with "fbeta".

    Attributes
    ----------
    threshold_ : float
        The threshold; ``inf`` if predicting nothing is best, and 0.5 if no positive was observed
        and the metric is 0 everywhere.
    best_score_ : float
        The metric at `threshold_` on the rows of `fit`.
    n_labels_ : int
        Number of labels.

    Raises
    ------
    ValueError
        In `fit`, if a parameter is not one of the above, `average` is changed for a callable, no
        complete row is left for it, or it does not accept weights.

    Notes
    -----
    "micro" is exact over all distinct cuts: sums over bins of the pooled scores bracket the
    optimum, and the scores within the bracket are sorted. The others are evaluated at all distinct
    cuts up to 400 of them; beyond that at 200 cuts that are evenly spaced in rank among all
    distinct scores, and 200 among those just below a positive, where the optimum of these metrics
    lies: with rare labels the former would hardly reach it.

    References
    ----------
    Fan and Lin, "A study on threshold selection for multi-label classification", 2007.

    Examples
    --------
    >>> from sklearn_mlloss.decoders import GlobalThreshold
    >>> scores = [[0.4, 0.1], [0.3, 0.2], [0.1, 0.35]]
    >>> decoder = GlobalThreshold().fit(scores, [[1, 0], [1, 0], [0, 1]])
    >>> round(decoder.threshold_, 3), decoder.best_score_
    (0.25, 1.0)
    >>> decoder.decode([[0.26, 0.24]])
    array([[ True, False]])
    """

    metric: str | Callable[..., float] = "f1"
    average: str = checked("micro", check_choice, choices=("micro", "macro", "samples"))
    beta: float = 1.0

    learned = ("threshold_", "best_score_")
    requires_fit = True

    @property
    def _by_partition(self) -> bool:  # type: ignore[override]
        return isinstance(self.metric, str) and self.average == "micro"

    def _check_params(self, n_labels: int) -> None:
        super()._check_params(n_labels)
        if callable(self.metric):
            check_call(self.metric, "metric", "Y", "Y_hat")
            if self.average != "micro":
                raise ValueError(
                    "average must be left at 'micro' when metric is a callable, which ignores it, "
                    f"got average={self.average!r}; set the average inside the callable."
                )
        else:
            check_choice(self.metric, "metric", _METRICS)
            check_beta(self.beta)

    def _fit(
        self, scores: np.ndarray, Y: np.ndarray, sample_weight: np.ndarray, count: np.ndarray | None
    ) -> None:
        if self._by_partition:
            super()._fit(scores, Y, sample_weight, count)
            return
        if callable(self.metric):
            thresholds, values = _callable_values(self.metric, scores, Y, sample_weight)
        else:
            thresholds, values = self._named_values(scores, Y, sample_weight)
        best = first_best(values)
        undefined = not values.any() and not (Y > 0).any()
        self._set(thresholds[best], values[best], undefined)

    def _fit_rows(self, rows: ScoredRows) -> None:
        threshold, value = best_pooled_cut(self._metric_of_counts(), rows)
        # No named metric is negative.
        self._set(threshold, value, not value and not rows.sums(_has_positive)[0])

    def _set(self, threshold: float, value: float, undefined: bool) -> None:
        self.best_score_ = float(value)
        self.threshold_ = _UNDEFINED_THRESHOLD if undefined else float(threshold)

    def _metric_of_counts(self) -> Callable[..., np.ndarray]:
        assert isinstance(self.metric, str)
        return partial(fbeta, beta=self.beta) if self.metric == "fbeta" else _METRICS[self.metric]

    def _named_values(
        self, scores: np.ndarray, Y: np.ndarray, sample_weight: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return thresholds and the mean over labels or rows of the metric at each."""
        thresholds, metric = grid(scores, Y), self._metric_of_counts()
        if self.average == "macro":
            weights = np.broadcast_to(sample_weight, Y.T.shape)
            return thresholds, mean_metric(metric, thresholds, scores.T, Y.T, weights)
        weights = np.ones_like(Y)
        return thresholds, mean_metric(metric, thresholds, scores, Y, weights, sample_weight)

    def _decode(self, scores: np.ndarray, count: np.ndarray | None) -> np.ndarray:
        return scores >= self.threshold_


@dataclass(eq=False, repr=False)
class PerLabelThreshold(Decoder):
    r"""One threshold per label, tuned for macro- or micro-F-beta on held-out rows.

    .. math:: \hat y_{il} = [p_{il} \ge t_l], \qquad
              F_\beta = \frac{(1+\beta^2)\, TP}{\beta^2 P + K}

    with P the positives and K the predicted entries. ``average="macro"`` maximises the F-beta of
    each label separately; ``average="micro"`` maximises that of all entries pooled, jointly over
    the thresholds of all labels.

    Parameters
    ----------
    beta : float, default=1.0
        Weight of recall against precision, > 0.
    average : {"macro", "micro"}, default="macro"
        Which average to maximise. Thresholds tuned for one often cost the other.
    min_positives : float, default=10
        A label with fewer positives (summed weights, soft labels as fractions) uses the one
        threshold that is best for the micro-F-beta of all labels: an optimum over a handful of
        positives does not generalise to new rows. With infinity, all labels use it.
    shrinkage : float, default=0.0
        Pulls the thresholds of the other labels towards that common one, the more the fewer
        positives they have: the number of positives at which a label's own threshold and the
        common one have equal weight, >= 0. 0 means no shrinkage. It suits scores that mean the same
        for all labels, such as calibrated probabilities, and does harm if labels are miscalibrated
        in different ways, which separate thresholds correct.

    Attributes
    ----------
    thresholds_ : ndarray of shape (n_labels,)
        The thresholds; ``inf`` for a label that is best never predicted.
    fallback_labels_ : ndarray of int
        Indices of the labels with the common threshold: those with too few positives, and those
        with none or only positives among the observed entries, where F is flat or degenerate.
        If no label has any positive, that threshold is 0.5.
    n_labels_ : int
        Number of labels.

    Raises
    ------
    ValueError
        In `fit`, if a parameter is out of its range.

    Notes
    -----
    Both are exact: "macro" by one sort per label, "micro" by Dinkelbach's method over the same
    cuts, where each label maximises ``(1 + beta²) TP_l − F K_l`` for the current F, and F is
    updated until it converges. Labels that fall back enter the micro-F-beta with their threshold.

    With `shrinkage` c > 0 the threshold of a label with :math:`P_l` positives becomes

    .. math:: g(t_l') = \frac{P_l\, g(t_l) + c\, g(t_\mathrm{common})}{P_l + c}

    which weighs the two as if c of the positives had been those of a label with the common
    threshold: the noise of a threshold falls with the number of positives it was tuned on. If all
    scores are within [0, 1], g is the logit, since a threshold of 0.02 is as far from 0.2 as 0.98
    is from 0.8, and a mean of rare labels' small thresholds with a large one would be all the large
    one's; other scores, such as margins, are averaged as they are. A threshold of infinity counts
    as the label's highest score. The result is no longer the optimum on the rows of `fit`.

    References
    ----------
    Yang, "A study of thresholding strategies for text categorization", 2001 (SCut).
    Pillai, Fumera and Roli, "Threshold optimisation for multi-label classifiers", 2013.
    Dinkelbach, "On nonlinear fractional programming", 1967.

    Examples
    --------
    >>> from sklearn_mlloss.decoders import PerLabelThreshold
    >>> scores = [[0.9, 0.2], [0.8, 0.1], [0.6, 0.3], [0.5, 0.0]]
    >>> Y = [[1, 1], [1, 0], [0, 1], [0, 0]]
    >>> decoder = PerLabelThreshold(min_positives=2).fit(scores, Y)
    >>> decoder.thresholds_.round(3)
    array([0.7 , 0.15])
    >>> decoder.decode([[0.65, 0.16]])
    array([[False,  True]])
    """

    beta: float = checked(1.0, check_beta)
    average: str = checked("macro", check_choice, choices=("macro", "micro"))
    min_positives: float = checked(10, check_number, low=0, infinite=True)
    shrinkage: float = checked(0.0, check_number, low=0)

    learned = ("thresholds_",)
    requires_fit = True
    _by_partition = True

    def _fit_rows(self, rows: ScoredRows) -> None:
        positives, has_negative = rows.sums(_count_labels)
        fallback = (positives == 0) | ~has_negative | (positives < self.min_positives)
        tuned = np.flatnonzero(~fallback)

        self.thresholds_ = np.empty(rows.n_labels)
        if fallback.any() or self.shrinkage > 0:
            common = self._common_threshold(rows)
            self.thresholds_[fallback] = common
        if self.average == "macro":
            # One label after the other: those of all may not fit in memory.
            for label, (thresholds, tp, predicted) in _cuts_of_labels(rows, tuned):
                best = first_best(fbeta(tp, predicted, positives[label], beta=self.beta))
                self.thresholds_[label] = thresholds[best]
        else:
            label_cuts = [some for _, some in _cuts_of_labels(rows, tuned)]
            decided = partial(_count_decided, fallback, self.thresholds_[fallback])
            fixed_tp, fixed_predicted = rows.sums(decided)
            chosen = dinkelbach(label_cuts, fixed_tp, fixed_predicted, positives.sum(), self.beta)
            pairs = zip(label_cuts, chosen, strict=True)
            self.thresholds_[tuned] = [thresholds[best] for (thresholds, _, _), best in pairs]
        if self.shrinkage > 0:
            self._shrink(tuned, positives[tuned], common, rows)
        self.fallback_labels_ = np.flatnonzero(fallback)

    def _shrink(
        self, labels: np.ndarray, positives: np.ndarray, common: float, rows: ScoredRows
    ) -> None:
        """Move the thresholds of some labels towards the common one; see the notes."""
        lowest, highest = rows.joined(_ranges_of_labels)
        tuned = self.thresholds_[labels]
        tuned = np.where(np.isinf(tuned), highest.max(axis=0)[labels], tuned)
        share = positives / (positives + self.shrinkage)
        if lowest.min() >= 0 and highest.max() <= 1:
            tuned, common = (np.clip(t, _SMALLEST, 1 - _SMALLEST) for t in (tuned, common))
            tuned, common = (np.log(t) - np.log1p(-t) for t in (tuned, common))
            shrunk = 1 / (1 + np.exp(-(share * tuned + (1 - share) * common)))
        else:
            shrunk = share * tuned + (1 - share) * common
        self.thresholds_[labels] = shrunk

    def _common_threshold(self, rows: ScoredRows) -> float:
        threshold, value = best_pooled_cut(partial(fbeta, beta=self.beta), rows)
        return threshold if value > 0 else _UNDEFINED_THRESHOLD

    def _decode(self, scores: np.ndarray, count: np.ndarray | None) -> np.ndarray:
        return scores >= self.thresholds_


def _has_positive(scores: np.ndarray, Y: np.ndarray, sample_weight: np.ndarray) -> tuple:
    return ((Y > 0).any(),)


def _count_labels(scores: np.ndarray, Y: np.ndarray, sample_weight: np.ndarray) -> tuple:
    """Return the weight of the positives of each label, and whether it has other entries."""
    return sample_weight @ np.nan_to_num(Y), (Y < 1).any(axis=0)


def _ranges_of_labels(scores: np.ndarray, Y: np.ndarray, sample_weight: np.ndarray) -> tuple:
    """Return the lowest and the highest score of each label, in one row each."""
    lowest, highest = scores.min(axis=0, initial=np.inf), scores.max(axis=0, initial=-np.inf)
    return lowest[None], highest[None]


def _count_decided(
    some: np.ndarray,
    thresholds: np.ndarray,
    scores: np.ndarray,
    Y: np.ndarray,
    sample_weight: np.ndarray,
) -> tuple:
    """Return true positives and predicted entries of some labels with given thresholds."""
    decided, Y = scores[:, some] >= thresholds, Y[:, some]
    tp = (sample_weight @ (decided * np.nan_to_num(Y))).sum()
    return tp, (sample_weight @ (decided & ~np.isnan(Y))).sum()


def _cuts_of_labels(rows: ScoredRows, labels: np.ndarray) -> Iterator[tuple[int, Cuts]]:
    """Yield labels and their cuts; a few labels are gathered at a time."""
    if not labels.size:  # no pass over the rows
        return
    for some, (scores, Y, sample_weight) in rows.by_labels():
        for label in labels[(labels >= some.start) & (labels < some.stop)] - some.start:
            s, y, weight = np.ascontiguousarray(scores[:, label]), Y[:, label], sample_weight
            observed = ~np.isnan(y)
            if not observed.all():
                s, y, weight = s[observed], y[observed], weight[observed]
            yield some.start + label, cuts(s, y, weight)


def _callable_values(
    metric: Callable[..., float], scores: np.ndarray, Y: np.ndarray, sample_weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return candidate thresholds and the metric at each."""
    complete = ~np.isnan(Y).any(axis=1)
    if not complete.any():
        raise ValueError(
            "metric is a callable and every row of Y has a label that was not observed (NaN); "
            "use one of the named metrics, which skip single entries."
        )
    scores, Y, sample_weight = scores[complete], Y[complete], sample_weight[complete]
    options = {}
    if sample_weight.min() != sample_weight.max():
        if not _takes_sample_weight(metric):
            raise ValueError(
                f"metric {metric!r} takes no sample_weight, but sample_weight differs "
                "between rows; let the callable accept sample_weight, or fit without weights."
            )
        options["sample_weight"] = sample_weight
    thresholds = grid(scores, Y)
    Y_true = Y.astype(int) if np.isin(Y, (0, 1)).all() else Y
    returned = [metric(Y_true, (scores >= t).astype(int), **options) for t in thresholds]
    try:
        values = np.array([float(value) for value in returned])
    except (TypeError, ValueError):
        raise TypeError(
            f"metric {metric!r} must return a number, got {type(returned[0]).__name__}"
        ) from None
    if not np.isfinite(values).all():
        t = thresholds[~np.isfinite(values)][0]
        raise ValueError(
            f"metric {metric!r} must return finite numbers, but is not finite when all "
            f"scores >= {t:g} are predicted; choose its value for undefined cases."
        )
    return thresholds, values


def _one_or_per_label(name: str, value: ArrayLike, n_labels: int, **bounds: Any) -> np.ndarray:
    """Return a number, or one per label, or raise."""
    numbers = check_numbers(value, name, **bounds)
    if numbers.shape not in ((), (n_labels,)):
        raise ValueError(
            f"{name} has shape {numbers.shape} but scores has {n_labels} labels; give one number "
            "for all labels or one per label."
        )
    return numbers


def _takes_sample_weight(metric: Callable[..., float]) -> bool:
    parameters = inspect.signature(metric).parameters.values()
    return any(p.name == "sample_weight" or p.kind is p.VAR_KEYWORD for p in parameters)
