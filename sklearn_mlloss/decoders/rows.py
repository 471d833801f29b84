"""Decoders with one threshold per row."""

from dataclasses import dataclass

import numpy as np

from .._data.fields import checked
from .._data.validation import check_number
from .base import Decoder
from .expected import _blocks
from .thresholds import _UNDEFINED_THRESHOLD

__all__ = ["MaxGapCut", "ThresholdFunction"]

# Gaps that differ by less than this times the largest score are equal.
_TIE = 1e-12
# How far beyond the scores a threshold lies that predicts nothing or everything.
_MARGIN = 0.1


class MaxGapCut(Decoder):
    r"""Cut each row at the largest gap between neighbouring sorted scores.

    .. math:: \hat Y_i = \{\text{the first } k_i\}, \qquad
              k_i = \arg\max_{1 \le k < L} \; p_{i(k)} - p_{i(k+1)}

    A heuristic without parameters that needs no held-out rows and is invariant to shifting or
    scaling the scores of a row. It never predicts the empty set, and all labels only in a row
    without a gap: with equal scores, or with one label.

    Attributes
    ----------
    n_labels_ : int
        Number of labels, once fitted (fitting is optional).

    Notes
    -----
    Of equally large gaps the first is taken, which gives the fewest labels.

    References
    ----------
    Largeron, Moulin and Géry, "MCut: a thresholding strategy for multi-label classification",
    2012.

    Examples
    --------
    >>> from sklearn_mlloss.decoders import MaxGapCut
    >>> MaxGapCut().decode([[0.9, 0.8, 0.3, 0.2], [0.1, 0.1, 0.4, 0.2]])
    array([[ True,  True, False, False],
           [False, False,  True, False]])
    """

    def _decode(self, scores: np.ndarray, count: np.ndarray | None) -> np.ndarray:
        if scores.shape[1] == 1:
            return np.ones(scores.shape, dtype=bool)
        # The difference of two large scores may overflow, that of their halves does not.
        ranked = -np.sort(-scores, axis=1) / 2
        gaps = ranked[:, :-1] - ranked[:, 1:]
        largest = gaps.max(axis=1, keepdims=True)
        tie = np.minimum(_TIE * np.abs(ranked).max(axis=1, keepdims=True), largest / 2)
        first = np.argmax(gaps >= largest - tie, axis=1)
        rank = np.argsort(np.argsort(-scores, axis=1, kind="stable"), axis=1)
        return (rank <= first[:, None]) | (largest == 0)


@dataclass(eq=False, repr=False)
class ThresholdFunction(Decoder):
    r"""Threshold of each row by a linear function of its scores, fitted by ridge regression.

    .. math:: \hat y_{il} = [p_{il} \ge t(p_i)], \qquad t(p) = w \cdot p + b

    where the ridge regression (w, b) is fitted to the best threshold of each held-out row. Meant
    for scores that order the labels within a row but are not comparable between rows, such as
    those of ranking losses.

    Parameters
    ----------
    ridge : float, default=1.0
        Penalty on the squares of w, >= 0. Scores are often collinear (softmax scores sum to 1),
        and without it w would be arbitrary; with 0 the smallest w of those that fit best is taken.

    Attributes
    ----------
    coef_ : ndarray of shape (n_labels,)
        w.
    intercept_ : float
        b.
    n_labels_ : int
        Number of labels.

    Raises
    ------
    ValueError
        In `fit`, if `ridge` is not a finite number >= 0.

    Notes
    -----
    The best threshold of a row has the fewest misclassified labels; it lies halfway between two
    distinct scores, or 0.1 above the highest if predicting nothing is best, or 0.1 below the lowest
    if predicting everything is. Of equally good ones the highest is taken. Labels that were not
    observed are left out, soft labels count as fractions. If nothing was observed, t is 0.5.

    References
    ----------
    Elisseeff and Weston, "A kernel method for multi-labelled classification", 2001.

    Examples
    --------
    >>> from sklearn_mlloss.decoders import ThresholdFunction
    >>> scores = [[0.9, 0.5, 0.1], [0.5, 0.3, 0.1], [0.9, 0.7, 0.5]]
    >>> Y = [[1, 0, 0], [1, 0, 0], [1, 0, 0]]
    >>> decoder = ThresholdFunction(ridge=0.01).fit(scores, Y)
    >>> decoder.decode([[0.7, 0.4, 0.1], [0.4, 0.2, 0.1]])
    array([[ True, False, False],
           [ True, False, False]])
    """

    ridge: float = checked(1.0, check_number, low=0)

    learned = ("coef_", "intercept_")
    requires_fit = True

    def _fit(
        self, scores: np.ndarray, Y: np.ndarray, sample_weight: np.ndarray, count: np.ndarray | None
    ) -> None:
        labelled = ~np.isnan(Y).all(axis=1)
        self.coef_: np.ndarray = np.zeros(Y.shape[1])
        self.intercept_ = _UNDEFINED_THRESHOLD
        if not labelled.any():
            return
        if not labelled.all():
            scores, Y, sample_weight = scores[labelled], Y[labelled], sample_weight[labelled]
        best = np.empty(len(scores))
        for rows in _blocks(scores):
            best[rows] = _row_thresholds(scores[rows], Y[rows])
        share = sample_weight / sample_weight.sum()
        mean, best_mean = share @ scores, share @ best
        gram, right = self.ridge * np.eye(Y.shape[1]), np.zeros(Y.shape[1])
        for rows in _blocks(scores):
            centred = scores[rows] - mean
            weighted = sample_weight[rows] * centred.T
            gram += weighted @ centred
            right += weighted @ (best[rows] - best_mean)
        self.coef_ = np.linalg.lstsq(gram, right, rcond=None)[0]
        self.intercept_ = float(best_mean - self.coef_ @ mean)

    def _decode(self, scores: np.ndarray, count: np.ndarray | None) -> np.ndarray:
        # A matrix product may round a row differently in another batch.
        thresholds = (scores * self.coef_).sum(axis=1, keepdims=True) + self.intercept_
        return scores >= thresholds


def _row_thresholds(scores: np.ndarray, Y: np.ndarray) -> np.ndarray:
    """Return the threshold with the fewest misclassified labels of each row."""
    n_labels = scores.shape[1]
    observed = ~np.isnan(Y)
    n_observed = observed.sum(axis=1)
    # Labels that were not observed come last.
    order = np.argsort(np.where(observed, -scores, np.inf), axis=1, kind="stable")
    ranked = np.take_along_axis(scores, order, axis=1)
    ranked_observed = np.take_along_axis(observed, order, axis=1)
    y = np.take_along_axis(np.nan_to_num(Y), order, axis=1)

    errors = np.empty((len(scores), n_labels + 1))
    errors[:, 0] = y.sum(axis=1)
    errors[:, 1:] = errors[:, :1] + np.cumsum(np.where(ranked_observed, 1 - 2 * y, 0.0), axis=1)
    splits_tie = np.zeros(errors.shape, dtype=bool)
    splits_tie[:, 1:-1] = ranked[:, :-1] == ranked[:, 1:]
    k = np.arange(n_labels + 1)
    allowed = (k < n_observed[:, None]) & ~splits_tie | (k == n_observed[:, None])
    errors[~allowed] = np.inf
    fewest = errors.min(axis=1, keepdims=True)
    best = np.argmax(errors <= fewest + _TIE * n_labels, axis=1)[:, None]

    above = np.take_along_axis(ranked, np.maximum(best - 1, 0), axis=1)
    below = np.take_along_axis(ranked, np.minimum(best, n_labels - 1), axis=1)
    lowest = np.take_along_axis(ranked, n_observed[:, None] - 1, axis=1)
    thresholds = np.where(
        best == 0,
        ranked[:, :1] + _MARGIN,
        np.where(best == n_observed[:, None], lowest - _MARGIN, above / 2 + below / 2),
    )
    return thresholds[:, 0]
