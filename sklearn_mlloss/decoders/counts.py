"""Top-k, cardinality and other decoders that look at one row at a time.

Within a row, labels are taken in the order of their scores, and labels with the same score in the
order of their index.
"""

from dataclasses import dataclass
from numbers import Integral
from typing import ClassVar

import numpy as np

from .._data.fields import checked
from .._data.messages import describe
from .._data.validation import check_number
from .base import Decoder, WrappingDecoder
from .thresholds import FixedThreshold

__all__ = ["Argmax", "AtLeastOne", "CardinalityCut", "CumulativeCut", "OneOverN", "TopK"]

# Sums of scores carry rounding errors; a boundary met up to this much counts as met.
_TOLERANCE = 1e-9
# Row sums of float32 probabilities differ by this much (relative) without meaning anything.
_CONSTANT = 1e-6


@dataclass(eq=False, repr=False)
class TopK(Decoder):
    r"""Predict the k labels with the highest scores of each row.

    .. math:: \hat y_{il} = [\mathrm{rank}_i(l) \le k]

    Parameters
    ----------
    k : int, default=None
        Number of labels of every row, from 1 to n_labels. None learns it: the mean number of
        labels of the rows passed to `fit`, rounded half up, and at least 1. Labels that were not
        observed enter that mean by their frequency among the rows where they were.

    Attributes
    ----------
    k_ : int
        The number of labels used.
    n_labels_ : int
        Number of labels, once fitted.

    Raises
    ------
    ValueError
        If `k` is not an integer from 1 to n_labels.

    References
    ----------
    Yang, "A study of thresholding strategies for text categorization", 2001 (RCut).

    Examples
    --------
    >>> from sklearn_mlloss.decoders import TopK
    >>> TopK(2).decode([[0.7, 0.1, 0.2]])
    array([[ True, False,  True]])
    >>> TopK().fit([[0.7, 0.1, 0.2], [0.2, 0.3, 0.6]], [[1, 0, 1], [0, 1, 1]]).k_
    2
    """

    k: int | None = None

    learned: ClassVar[tuple[str, ...]] = ("k_",)

    @property
    def requires_fit(self) -> bool:  # type: ignore[override]
        """True if `k` is fitted."""
        return self.k is None

    def _fit(
        self, scores: np.ndarray, Y: np.ndarray, sample_weight: np.ndarray, count: np.ndarray | None
    ) -> None:
        if self.k is None:
            weight = sample_weight @ ~np.isnan(Y)
            positives = sample_weight @ np.nan_to_num(Y)
            frequency = positives[weight > 0] / weight[weight > 0]
            self.k_ = max(1, int(_round_half_up(frequency.sum())))
        else:
            self.k_ = int(self.k)

    def _check_params(self, n_labels: int) -> None:
        super()._check_params(n_labels)
        if self.k is None:
            return
        valid = isinstance(self.k, Integral) and not isinstance(self.k, bool)
        if not valid or not 1 <= self.k <= n_labels:
            raise ValueError(
                f"k must be an integer from 1 to the number of labels ({n_labels}), or None to "
                f"learn it in fit, got {describe(self.k)}"
            )

    def _decode(self, scores: np.ndarray, count: np.ndarray | None) -> np.ndarray:
        k = self.k_ if self.k is None else int(self.k)
        if k == 1:
            return np.arange(scores.shape[1]) == scores.argmax(axis=1)[:, None]
        return _first_in_rank(_ranking(scores), np.full(len(scores), k))


class Argmax(TopK):
    r"""Predict the one label with the highest score, the first of them in a tie.

    .. math:: \hat y_{il} = [l = \arg\max_j p_{ij}]

    Right for rows that have exactly one label.

    Attributes
    ----------
    n_labels_ : int
        Number of labels, once fitted (fitting is optional).

    Examples
    --------
    >>> from sklearn_mlloss.decoders import Argmax
    >>> Argmax().decode([[0.3, 0.4, 0.4]])
    array([[False,  True, False]])
    """

    learned = ()
    k = 1

    def __init__(self) -> None:
        pass


class CardinalityCut(Decoder):
    r"""Predict, for each row, as many labels as the row is expected to have.

    .. math:: k_i = \lfloor a Z_i + b + 1/2 \rfloor

    Z is the predicted number of labels where a model gives one (`count`), else the sum of the
    row's scores, which is the expected number of labels for calibrated probabilities. a ≥ 0 and b
    are fitted by weighted least squares of the true number of labels on Z, which corrects scores
    that are too high or too low overall. If Z is the same for every row (softmax scores), a = 0
    and b is the mean number of labels.

    A label that was not observed counts as its score.

    Attributes
    ----------
    slope_, intercept_ : float
        a and b.
    uses_count_ : bool
        Whether Z is `count`; if so `decode` needs it too.
    n_labels_ : int
        Number of labels.

    Raises
    ------
    ValueError
        In `decode`, if `count` is given but was not in `fit`, or vice versa.

    References
    ----------
    Li, Song and Luo, "Improving pairwise ranking for multi-label image classification", 2017
    (a predicted label count as the decision).

    Examples
    --------
    >>> from sklearn_mlloss.decoders import CardinalityCut
    >>> scores = [[0.9, 0.2, 0.1], [0.9, 0.7, 0.2], [0.8, 0.9, 0.7]]
    >>> decoder = CardinalityCut().fit(scores, [[1, 0, 0], [1, 1, 0], [1, 1, 1]])
    >>> decoder.decode([[0.8, 0.6, 0.3]])
    array([[ True,  True, False]])
    """

    learned = ("slope_", "intercept_")
    requires_fit = True

    def _fit(
        self, scores: np.ndarray, Y: np.ndarray, sample_weight: np.ndarray, count: np.ndarray | None
    ) -> None:
        self.uses_count_ = count is not None
        z = scores.sum(axis=1) if count is None else count
        n_true = np.where(np.isnan(Y), scores, Y).sum(axis=1)
        z_mean = np.average(z, weights=sample_weight)
        n_mean = np.average(n_true, weights=sample_weight)
        self.slope_ = 0.0
        if np.ptp(z) > _CONSTANT * np.abs(z).max():
            weighted = sample_weight * (z - z_mean)
            self.slope_ = max(0.0, float(weighted @ (n_true - n_mean) / (weighted @ (z - z_mean))))
        self.intercept_ = float(n_mean - self.slope_ * z_mean)

    def _decode(self, scores: np.ndarray, count: np.ndarray | None) -> np.ndarray:
        if self.uses_count_ and count is None:
            raise ValueError(
                "count is missing: this CardinalityCut was fitted with a predicted count for each "
                "row; pass count to decode as well, or fit without it."
            )
        if not self.uses_count_ and count is not None:
            raise ValueError(
                "count was given, but this CardinalityCut was fitted without it, on the sums of "
                "the scores; leave count out, or pass it to fit as well."
            )
        z = scores.sum(axis=1) if count is None else count
        return _first_in_rank(_ranking(scores), _round_half_up(self.slope_ * z + self.intercept_))


@dataclass(eq=False, repr=False)
class CumulativeCut(Decoder):
    r"""Predict the smallest set of top labels with a given share of the row's scores.

    .. math:: \hat Y_i = \text{smallest prefix of the sorted } q_i \text{ with } \sum q \ge
              \mathrm{mass}, \qquad q_{il} = p_{il} / \sum_j p_{ij}

    A heuristic for softmax-like scores. It never predicts the empty set; a row of zeros counts
    as uniform.

    Parameters
    ----------
    mass : float, default=0.95
        The share, in (0, 1]. Scores that are spread evenly over M labels select
        ⌈mass · M⌉ of them: with 0.95, all of them up to M = 19 and 95 of 100.

    Attributes
    ----------
    n_labels_ : int
        Number of labels, once fitted (fitting is optional).

    Raises
    ------
    ValueError
        If `mass` is outside its range or a score is negative.

    Notes
    -----
    The share counts as reached when it is met up to 1e-9, so that rounding in the sum does not add
    a label.

    References
    ----------
    Holtzman et al., "The curious case of neural text degeneration", 2020 (nucleus sampling uses
    the same set).

    Examples
    --------
    >>> from sklearn_mlloss.decoders import CumulativeCut
    >>> CumulativeCut().decode([[0.7, 0.1, 0.2]])
    array([[ True,  True,  True]])
    >>> CumulativeCut(mass=0.9).decode([[0.7, 0.1, 0.2]])
    array([[ True, False,  True]])
    """

    mass: float = checked(0.95, check_number, low=0, high=1, closed="right")

    def _decode(self, scores: np.ndarray, count: np.ndarray | None) -> np.ndarray:
        shares = _row_shares(scores, "CumulativeCut")
        ranking = _ranking(scores)
        reached = np.cumsum(np.take_along_axis(shares, ranking, axis=1), axis=1)
        # A label is needed as long as those before it do not reach the mass.
        needed = 1 + np.count_nonzero(reached[:, :-1] < self.mass - _TOLERANCE, axis=1)
        return _first_in_rank(ranking, needed)


class OneOverN(Decoder):
    r"""Predict the labels with at least an equal share, 1/n, of the row's scores.

    .. math:: \hat y_{il} = [q_{il} \ge 1/n], \qquad q_{il} = p_{il} / \sum_j p_{ij}

    with n labels; the same as "not below the row's mean score". It finds the labels exactly if
    the scores are spread evenly over them, and it never predicts the empty set; a row of equal
    scores, zeros included, selects all. A heuristic for softmax-like scores.

    Attributes
    ----------
    n_labels_ : int
        Number of labels, once fitted (fitting is optional).

    Raises
    ------
    ValueError
        If a score is negative.

    Examples
    --------
    >>> from sklearn_mlloss.decoders import OneOverN
    >>> OneOverN().decode([[0.7, 0.1, 0.2], [0.5, 0.5, 0.0]])
    array([[ True, False, False],
           [ True,  True, False]])
    """

    def _decode(self, scores: np.ndarray, count: np.ndarray | None) -> np.ndarray:
        shares = _row_shares(scores, "OneOverN")
        return shares * scores.shape[1] >= 1 - _TOLERANCE


@dataclass(eq=False, repr=False)
class AtLeastOne(WrappingDecoder):
    r"""Apply another decoder, and predict the top label for rows without any predicted label.

    .. math:: \hat Y_i = D(p_i) \text{ if it is not empty, else } \{\arg\max_j p_{ij}\}

    Use it only if every row has at least one label: otherwise it adds wrong ones.

    Parameters
    ----------
    decoder : Decoder, Decoder class or name, default=None
        The decoder to apply; None means ``FixedThreshold()``. Its parameters can be reached as
        ``decoder__...`` if it is given as an object.

    Attributes
    ----------
    decoder_ : Decoder
        The fitted copy of `decoder`.
    n_labels_ : int
        Number of labels, once fitted (optional if `decoder` need not be fitted).

    Raises
    ------
    TypeError, ValueError
        If `decoder` is neither a decoder nor the name of one.

    Examples
    --------
    >>> from sklearn_mlloss.decoders import AtLeastOne
    >>> AtLeastOne().decode([[0.3, 0.4], [0.6, 0.7]])
    array([[False,  True],
           [ True,  True]])
    """

    decoder: str | Decoder | None = None

    def _unfitted(self) -> Decoder:
        return super()._unfitted() or FixedThreshold()

    def _decode(self, scores: np.ndarray, count: np.ndarray | None) -> np.ndarray:
        Y_hat = self._decode_inner(scores, count)
        empty = ~Y_hat.any(axis=1, keepdims=True)
        return Y_hat | (empty & Argmax().decode(scores))


def _ranking(scores: np.ndarray) -> np.ndarray:
    """Return each row's labels by descending score, ties by index."""
    return np.argsort(-scores, axis=1, kind="stable")


def _first_in_rank(ranking: np.ndarray, k: np.ndarray) -> np.ndarray:
    """Mark the first k[i] labels of each row's ranking."""
    Y_hat = np.empty(ranking.shape, dtype=bool)
    np.put_along_axis(Y_hat, ranking, np.arange(ranking.shape[1]) < k[:, None], axis=1)
    return Y_hat


def _row_shares(scores: np.ndarray, rule: str) -> np.ndarray:
    """Divide each row by its sum; a row of zeros becomes uniform."""
    if (scores < 0).any():
        raise ValueError(
            f"scores must be non-negative for {rule}, which takes shares of the row sum, got "
            f"{scores.min():g}; give probabilities, not logits."
        )
    total = scores.sum(axis=1, keepdims=True)
    uniform = np.full(scores.shape, 1 / scores.shape[1])
    return np.divide(scores, total, out=uniform, where=total > 0)


def _round_half_up(values: np.ndarray) -> np.ndarray:
    # Exact halves are common (means of counts) and must not depend on the order of a sum.
    return np.floor(values + 0.5 + _TOLERANCE)
