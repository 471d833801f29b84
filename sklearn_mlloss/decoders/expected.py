"""Decoders that maximise the expected value of a metric of the row, for independent labels.

For these metrics the best set is always a prefix of the row's ranking, so that only its length
has to be found. Labels with the same score are taken in the order of their index; of equally good
lengths the shortest is taken.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .._data.fields import checked
from .._data.rows import row_blocks
from .._data.validation import check_beta, check_number
from .base import Decoder
from .counts import _first_in_rank, _ranking

__all__ = ["ExpectedFBeta", "ExpectedJaccard"]

# Above this number of labels ExpectedFBeta takes the ratio of expectations.
_EXACT_LABELS = 500
# Rows are worked on in blocks of this many entries, which fit into a processor's cache.
_BLOCK_ENTRIES = 2**16
# Expected values that differ by less than this (relative) are equal.
_TIE = 1e-12
# Probabilities from float32 may leave [0, 1] by this much.
_OUTSIDE = 1e-6


@dataclass(eq=False, repr=False)
class ExpectedFBeta(Decoder):
    r"""Predict the label set with the highest expected F-beta, for independent labels.

    .. math:: \hat Y_i = \arg\max_h \; E_{y \sim p_i}
              \frac{(1+\beta^2)\, |y \cap h|}{\beta^2 |y| + |h|}

    Optimal for the samples-averaged F-beta if the scores are calibrated probabilities and labels
    are independent given the row. It has no fitted parameters, and each row its own threshold.

    Parameters
    ----------
    beta : float, default=1.0
        Weight of recall against precision, > 0.
    empty : float, default=0.0
        The F-beta of the empty set for a row without labels, in [0, 1]. With 0, which is
        scikit-learn's default for 0/0, the empty set is predicted only where every probability
        is 0. With 1, as in theory, it is often the best answer for rows of small probabilities.

    Attributes
    ----------
    n_labels_ : int
        Number of labels, once fitted (fitting is optional).

    Raises
    ------
    ValueError
        If a parameter is out of its range, or scores are not in [0, 1].

    Notes
    -----
    Exact in :math:`O(L^2)` per row, for any real beta. The best set of size k holds the k labels of
    highest probability (Lewis 1995), and by linearity over its labels

    .. math:: E F(k) = (1+\beta^2) \sum_s \frac{1}{\beta^2 s + k} \sum_{l \le k}
              p_l \, P\Big(\sum_{j \ne l} y_j = s - 1\Big)

    The distributions of the sums that leave one label out all come from that of the whole sum,
    by dividing one factor out of it, in the direction that does not amplify rounding errors.

    With more than 500 labels the ratio of expectations is used instead,
    :math:`(1+\beta^2) \sum_{l \le k} p_l / (k + \beta^2 \sum_l p_l)`, still compared with
    `empty` times the probability that the row has no label.

    References
    ----------
    Lewis, "Evaluating and optimizing autonomous text classification systems", 1995.
    Ye, Chai, Lee and Chieu, "Optimizing F-measures: a tale of two approaches", 2012.
    Dembczynski, Waegeman, Cheng and Hüllermeier, "An exact algorithm for F-measure
    maximization", 2011.

    Examples
    --------
    >>> from sklearn_mlloss.decoders import ExpectedFBeta
    >>> ExpectedFBeta().decode([[0.9, 0.4, 0.1], [0.2, 0.1, 0.05]])
    array([[ True, False, False],
           [ True,  True, False]])
    >>> ExpectedFBeta(empty=1.0).decode([[0.2, 0.1, 0.05]])
    array([[False, False, False]])
    """

    beta: float = checked(1.0, check_beta)
    empty: float = checked(0.0, check_number, low=0, high=1)

    needs_probabilities = True

    def _decode(self, scores: np.ndarray, count: np.ndarray | None) -> np.ndarray:
        return best_fbeta_sets(_probabilities(scores, "ExpectedFBeta"), self.beta, self.empty)


@dataclass(eq=False, repr=False)
class ExpectedJaccard(Decoder):
    r"""Predict the label set with the highest expected Jaccard index, for independent labels.

    .. math:: \hat Y_i = \arg\max_h \; E_{y \sim p_i} \frac{|y \cap h|}{|y \cup h|}

    Optimal for the samples-averaged Jaccard index if the scores are calibrated probabilities and
    labels are independent given the row. It has no fitted parameters.

    Parameters
    ----------
    empty : float, default=0.0
        The Jaccard index of the empty set for a row without labels, in [0, 1]. With 0, which is
        scikit-learn's default for 0/0, the empty set is predicted only where every probability
        is 0.

    Attributes
    ----------
    n_labels_ : int
        Number of labels, once fitted (fitting is optional).

    Raises
    ------
    ValueError
        If `empty` is out of its range, or scores are not in [0, 1].

    Notes
    -----
    Exact in :math:`O(L^2)` per row: with independent labels the best set of size k holds the k
    labels of highest probability, and the number B of true labels among the others is independent
    of those inside, so that

    .. math:: E J(k) = \Big(\sum_{l \le k} p_l\Big) \, E \frac{1}{k + B_k}

    Examples
    --------
    >>> from sklearn_mlloss.decoders import ExpectedJaccard
    >>> ExpectedJaccard().decode([[0.9, 0.6, 0.1], [0.2, 0.1, 0.05]])
    array([[ True,  True, False],
           [ True, False, False]])
    >>> ExpectedJaccard(empty=1.0).decode([[0.2, 0.1, 0.05]])
    array([[False, False, False]])
    """

    empty: float = checked(0.0, check_number, low=0, high=1)

    needs_probabilities = True

    def _decode(self, scores: np.ndarray, count: np.ndarray | None) -> np.ndarray:
        p = _probabilities(scores, "ExpectedJaccard")
        Y_hat = np.empty(p.shape, dtype=bool)
        for block in _blocks(p):
            ranking = _ranking(p[block])
            ranked = np.take_along_axis(p[block], ranking, axis=1)
            values = _jaccard_values(ranked, self.empty)
            Y_hat[block] = _first_in_rank(ranking, best_length(values))
        return Y_hat


def best_fbeta_sets(p: np.ndarray, beta: float, empty: float) -> np.ndarray:
    """Return each row's set of highest expected F-beta under independence."""
    Y_hat = np.empty(p.shape, dtype=bool)
    values_of = _fbeta_values if p.shape[1] <= _EXACT_LABELS else _fbeta_ratios
    for block in _blocks(p):
        ranking = _ranking(p[block])
        ranked = np.take_along_axis(p[block], ranking, axis=1)
        Y_hat[block] = _first_in_rank(ranking, best_length(values_of(ranked, beta, empty)))
    return Y_hat


def _fbeta_values(p: np.ndarray, beta: float, empty: float) -> np.ndarray:
    """Return the expected F-beta of the first k = 0..L labels; p falls along each row."""
    n_labels = p.shape[1]
    pmf = _poisson_binomial(p)
    k = np.arange(1, n_labels + 1)
    weight = (1 + beta**2) / (beta**2 * k[:, None] + k)  # [s - 1, k - 1]
    # With q = min(p, 1 - p) ≤ 1/2 an error is multiplied by q / (1 - q) ≤ 1 from term to term.
    likely = p > 0.5
    q = np.where(likely, 1 - p, p)
    rest = np.zeros_like(p)
    values = np.zeros((len(p), n_labels + 1))
    values[:, 0] = empty * pmf[:, 0]
    for term in range(n_labels):
        # P(sum of the others = term), or = L - 1 - term for the likely labels.
        whole = np.where(likely, pmf[:, [n_labels - term]], pmf[:, [term]])
        rest = (whole - q * rest) / (1 - q)
        joint = p * rest
        upwards = np.cumsum(np.where(likely, 0.0, joint), axis=1)
        downwards = np.cumsum(np.where(likely, joint, 0.0), axis=1)
        values[:, 1:] += upwards * weight[term] + downwards * weight[n_labels - 1 - term]
    return values


def _fbeta_ratios(p: np.ndarray, beta: float, empty: float) -> np.ndarray:
    """Return ratios of expectations in place of the expected F-beta."""
    k = np.arange(1, p.shape[1] + 1)
    inside = np.cumsum(p, axis=1)
    values = (1 + beta**2) * inside / (k + beta**2 * inside[:, -1:])
    return np.column_stack([empty * np.prod(1 - p, axis=1), values])


def _jaccard_values(p: np.ndarray, empty: float) -> np.ndarray:
    """Return the expected Jaccard index of the first k = 0..L labels; p falls along each row."""
    n_labels = p.shape[1]
    inside = np.cumsum(p, axis=1)
    outside = np.ones((len(p), 1))  # distribution of the true labels after the first k
    values = np.empty((len(p), n_labels + 1))
    for k in range(n_labels, 0, -1):
        values[:, k] = inside[:, k - 1] * (outside / (k + np.arange(outside.shape[1]))).sum(axis=1)
        outside = _one_more(outside, p[:, k - 1])
    values[:, 0] = empty * outside[:, 0]
    return values


def _poisson_binomial(p: np.ndarray) -> np.ndarray:
    """Return the (n, L + 1) distributions of the number of true labels."""
    pmf = np.ones((len(p), 1))
    for label in range(p.shape[1]):
        pmf = _one_more(pmf, p[:, label])
    return pmf


def _one_more(pmf: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Add an independent label to a sum of labels."""
    longer = np.zeros((len(pmf), pmf.shape[1] + 1))
    longer[:, :-1] = (1 - p)[:, None] * pmf
    longer[:, 1:] += p[:, None] * pmf
    return longer


def best_length(values: np.ndarray) -> np.ndarray:
    """Return each row's first index of the maximum, up to rounding."""
    best = values.max(axis=1, keepdims=True)
    return np.argmax(values >= best - _TIE * best, axis=1)


def _blocks(p: np.ndarray) -> Iterator[slice]:
    return row_blocks(len(p), p.shape[1], _BLOCK_ENTRIES)


def _probabilities(scores: np.ndarray, rule: str) -> np.ndarray:
    outside = (scores < -_OUTSIDE) | (scores > 1 + _OUTSIDE)
    if outside.any():
        raise ValueError(
            f"scores must be probabilities, in [0, 1], for {rule}, got {scores[outside][0]:g}; "
            "give the output of predict_proba, not logits."
        )
    return np.clip(scores, 0.0, 1.0)
