"""Thresholds by label frequencies, by costs of errors, and by conformal risk control."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .._data.fields import checked
from .._data.scored_rows import ScoredRows
from .._data.validation import check_number
from ._cuts import entries, midpoints
from .base import Decoder
from .thresholds import _UNDEFINED_THRESHOLD, GivenThresholds, _one_or_per_label

__all__ = ["CostSensitiveThreshold", "ProportionCut", "RiskControl"]

# Sums of weights carry rounding errors; a boundary met up to this much (relative) counts as met.
_TOLERANCE = 1e-12


class ProportionCut(Decoder):
    r"""Predict each label as often as it occurs, by one threshold per label at that quantile.

    .. math:: \hat y_{il} = [p_{il} \ge t_l], \qquad \#\{i: p_{il} \ge t_l\} \approx \sum_i y_{il}

    The thresholds are fitted on held-out rows and then fixed: new rows are predicted independently,
    and a batch with more positives gets more of them. Only ranks matter, so scores need not be
    calibrated.

    Attributes
    ----------
    thresholds_ : ndarray of shape (n_labels,)
        The thresholds; ``inf`` for a label without positives.
    fallback_labels_ : ndarray of int
        Indices of the labels that were not observed at all. They use the threshold of all labels
        pooled, or 0.5 if nothing was observed.
    n_labels_ : int
        Number of labels.

    Notes
    -----
    Thresholds lie halfway between distinct scores, so that rows with the same score get the same
    prediction; where the number of positives falls inside a group of them, the nearer end is taken,
    and the smaller number in a tie. NaN entries are left out of both numbers.

    References
    ----------
    Yang, "A study of thresholding strategies for text categorization", 2001 (PCut).

    Examples
    --------
    >>> from sklearn_mlloss.decoders import ProportionCut
    >>> scores = [[0.4, 0.3], [0.3, 0.2], [0.2, 0.6], [0.1, 0.5]]
    >>> decoder = ProportionCut().fit(scores, [[1, 0], [0, 1], [0, 1], [0, 1]])
    >>> decoder.thresholds_.round(2)
    array([0.35, 0.25])
    >>> decoder.decode([[0.3, 0.3]])
    array([[False,  True]])
    """

    learned = ("thresholds_",)
    requires_fit = True
    _by_partition = True

    def _fit_rows(self, rows: ScoredRows) -> None:
        (observed,) = rows.sums(_observed_labels)
        self.fallback_labels_ = np.flatnonzero(~observed)
        self.thresholds_ = np.full(rows.n_labels, _UNDEFINED_THRESHOLD)
        if self.fallback_labels_.size and observed.any():
            rows.check_entries(rows.n_rows * rows.n_labels)
            self.thresholds_[self.fallback_labels_] = _quantile_cut(*rows.joined(entries))
        for some, (scores, Y, sample_weight) in rows.by_labels():
            for label in np.flatnonzero(observed[some]):
                kept = ~np.isnan(Y[:, label])
                self.thresholds_[some.start + label] = _quantile_cut(
                    scores[kept, label], Y[kept, label], sample_weight[kept]
                )

    def _decode(self, scores: np.ndarray, count: np.ndarray | None) -> np.ndarray:
        return scores >= self.thresholds_


@dataclass(eq=False, repr=False)
class CostSensitiveThreshold(GivenThresholds):
    r"""Cost-sensitive thresholds: predict a label if that has the lower expected cost.

    .. math:: \hat y_{il} = [p_{il} \ge t_l], \qquad t_l = \frac{c_l^{fp}}{c_l^{fp} + c_l^{fn}}

    Minimises the expected cost if the scores are calibrated probabilities. Equal costs give 0.5
    and the Hamming loss.

    Parameters
    ----------
    fp_cost, fn_cost : float or array-like of shape (n_labels,), default=1.0
        Cost of a false positive and of a false negative, common or per label; >= 0, and not both 0
        for the same label. Only their ratio matters.

    Attributes
    ----------
    n_labels_ : int
        Number of labels, once fitted (fitting is optional).

    Raises
    ------
    ValueError
        If the costs are not as above.

    References
    ----------
    Elkan, "The foundations of cost-sensitive learning", 2001.

    Examples
    --------
    >>> from sklearn_mlloss.decoders import CostSensitiveThreshold
    >>> CostSensitiveThreshold(fn_cost=4).decode([[0.3, 0.2, 0.1]])
    array([[ True,  True, False]])
    >>> CostSensitiveThreshold(fn_cost=[1, 1, 19]).decode([[0.3, 0.2, 0.1]])
    array([[False, False,  True]])
    """

    fp_cost: ArrayLike = 1.0
    fn_cost: ArrayLike = 1.0

    def _thresholds(self, n_labels: int) -> np.ndarray:
        fp_cost = _one_or_per_label("fp_cost", self.fp_cost, n_labels, low=0)
        fn_cost = _one_or_per_label("fn_cost", self.fn_cost, n_labels, low=0)
        total = fp_cost + fn_cost
        if (total == 0).any():
            raise ValueError(
                "fp_cost and fn_cost are both 0 for the same label, which defines no threshold; "
                "give at least one of them a positive cost."
            )
        return fp_cost / total


@dataclass(eq=False, repr=False)
class RiskControl(Decoder):
    r"""Conformal risk control: one threshold that bounds the expected share of missed labels.

    .. math:: \hat y_{il} = [p_{il} \ge \hat t], \qquad \hat t = \max\Big\{t:
              \frac{n}{n+1}\, \frac1n \sum_{i=1}^n \ell_i(t) + \frac{1}{n+1} \le \alpha\Big\},
              \qquad \ell_i(t) = 1 - \frac{|Y_i \cap \{l: p_{il} \ge t\}|}{|Y_i|}

    For a new row that is exchangeable with those of `fit` (the calibration set), the expected share
    of its labels that are missed is at most alpha, and not far below, for any model and any scores.
    The calibration set must not have been used for training, early stopping, probability
    calibration or any other choice.

    Parameters
    ----------
    alpha : float, default=0.1
        The bound on the expected false-negative rate, 1 − recall of a row, in (0, 1).

    Attributes
    ----------
    threshold_ : float
        The threshold, one of the scores; ``inf`` if predicting nothing meets the bound, and
        ``-inf`` (predict all) if `alpha` is below 1 / (n + 1), which no threshold can guarantee.
    n_labels_ : int
        Number of labels.

    Raises
    ------
    ValueError
        In `fit`, if `alpha` is not in (0, 1).

    Notes
    -----
    About 1 / n of `alpha` stays unused. Estimators reserve a fifth of their rows, so that they need
    45 rows or more for the default `alpha` to predict anything but all labels, and some hundreds to
    come close to it. A row without positives has loss 0. Only observed labels count, and rows
    without any do not count for n, which is the sum of the weights. The bound holds on average over
    the draw of the rows of `fit` and of the new row: neither for each of these samples nor for each
    label.
    Soft labels count as fractions.

    References
    ----------
    Angelopoulos, Bates, Fisch, Lei and Schuster, "Conformal risk control", 2022.

    Examples
    --------
    >>> from sklearn_mlloss.decoders import RiskControl
    >>> scores = [[0.9, 0.1], [0.8, 0.4], [0.3, 0.7], [0.2, 0.6]]
    >>> Y = [[1, 0], [1, 1], [0, 1], [0, 1]]
    >>> decoder = RiskControl(alpha=0.4).fit(scores, Y)
    >>> decoder.threshold_  # the 0.4 may be missed: (0.5 + 1) / (4 + 1) <= 0.4
    0.6
    >>> RiskControl(alpha=0.1).fit(scores, Y).threshold_  # 4 rows are not enough
    -inf
    """

    alpha: float = checked(0.1, check_number, low=0, high=1, closed="neither")

    learned = ("threshold_",)
    requires_fit = True
    untouched_rows = True
    _by_partition = True

    def _fit_rows(self, rows: ScoredRows) -> None:
        n, n_positives = rows.sums(_count_rows)
        # The bound, solved for the sum of the losses.
        allowed = self.alpha * (n + 1) - 1 + _TOLERANCE * (n + 1)
        self.threshold_ = -np.inf
        if allowed >= 0:
            rows.check_entries(n_positives)
            scores, share = rows.joined(_shares_of_positives)
            values, inverse = np.unique(scores, return_inverse=True)
            # missed[j] is the sum of the losses at values[j], and at inf in the end.
            missed = np.concatenate([[0.0], np.cumsum(np.bincount(inverse, share, len(values)))])
            thresholds = np.append(values, np.inf)
            self.threshold_ = float(thresholds[np.flatnonzero(missed <= allowed)[-1]])

    def _decode(self, scores: np.ndarray, count: np.ndarray | None) -> np.ndarray:
        return scores >= self.threshold_


def _observed_labels(scores: np.ndarray, Y: np.ndarray, sample_weight: np.ndarray) -> tuple:
    return ((~np.isnan(Y)).any(axis=0),)


def _count_rows(scores: np.ndarray, Y: np.ndarray, sample_weight: np.ndarray) -> tuple:
    """Return the weight of rows with an observed label, and the number of positives."""
    return sample_weight[~np.isnan(Y).all(axis=1)].sum(), (Y > 0).sum()


def _shares_of_positives(scores: np.ndarray, Y: np.ndarray, sample_weight: np.ndarray) -> tuple:
    """Return the scores of the positives, and what missing each adds to the loss."""
    positives = np.nan_to_num(Y)
    size = positives.sum(axis=1, keepdims=True)
    share = sample_weight[:, None] * np.divide(
        positives, size, out=np.zeros_like(positives), where=size > 0
    )
    return scores[share > 0], share[share > 0]


def _quantile_cut(scores: np.ndarray, y: np.ndarray, weight: np.ndarray) -> float:
    """Return the threshold at which about as many entries are predicted as are positive."""
    distinct, inverse = np.unique(scores, return_inverse=True)
    predicted = np.cumsum(np.bincount(inverse, weight, len(distinct))[::-1])
    thresholds = np.append(np.inf, midpoints(distinct[::-1]))
    distance = np.abs(np.append(0.0, predicted) - weight @ y)
    return thresholds[np.argmax(distance <= distance.min() + _TOLERANCE * predicted[-1])]
