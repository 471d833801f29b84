"""Decoders that use the label sets of known rows, for dependent labels.

The label sets of known rows are a simple model of the dependence of labels: those of the rows
passed to `fit`, or of more rows passed to `learn_sets`, which needs no scores. Rows with a label
that was not observed are left out; soft labels are rounded, 0.5 to 1. Without a single complete
row, labels are treated as independent.

Scores are probabilities, so they contain the frequency of each label. A set adds its lift: the
factor by which it is more frequent than it would be for independent labels. Scores contain a part
of that, too, because they differ between rows, so only a share of it counts (`dependence`).
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.exceptions import NotFittedError

from .._data.containers import to_float
from .._data.fields import checked
from .._data.labels import check_label_values
from .._data.rows import row_blocks
from .._data.validation import check_beta, check_number
from .._data.weights import check_row_weight
from .base import Decoder
from .counts import _first_in_rank, _ranking
from .expected import _probabilities, best_fbeta_sets, best_length

__all__ = ["GFMDecoder", "LabelSetDecoder"]

# Bounds the logits, so that a wrong probability of 0 or 1 for one label does not exclude a set.
_SMALLEST_PROBABILITY = 1e-12
# Bounds the memory of a block of rows.
_BLOCK_ENTRIES = 2**21
# Log posteriors that differ by less than this are equal, and Δ rounded to so many digits.
_TIE = 1e-9
_DIGITS = 12


class _SeenSets(Decoder):
    """Base of the rules below: the label sets seen, and their posterior."""

    dependence: float
    learned = ("label_sets_",)
    requires_fit = True
    needs_probabilities = True

    def _fit(
        self, scores: np.ndarray, Y: np.ndarray, sample_weight: np.ndarray, count: np.ndarray | None
    ) -> None:
        self._learn(Y, sample_weight)

    def learn_sets(self, Y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Replace the label sets of `fit` and their shares by those of `Y`.

        Label sets need no scores, so training rows can be used: more rows contain more of the
        possible sets, and give better estimates of their frequencies.

        Parameters
        ----------
        Y : array-like of shape (n_samples, n_labels)
            True labels: 0 or 1, soft labels or NaN, treated as in `fit`.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights, which act as counts; a row of weight 0 is left out.

        Returns
        -------
        self : Decoder
            The decoder.

        Raises
        ------
        NotFittedError
            If the decoder was not fitted: `fit` would replace these sets.
        ValueError
            If an argument has the wrong shape or values, or all weights are 0.
        """
        if not hasattr(self, "n_labels_"):
            raise NotFittedError(
                f"{type(self).__name__} is not fitted yet; call fit(scores, Y) first, which sets "
                "the number of labels and would replace the label sets."
            )
        Y = to_float(Y, "Y", f"a dense numeric array of shape (n_samples, {self.n_labels_})")
        if Y.ndim != 2 or Y.shape[1] != self.n_labels_ or not len(Y):
            raise ValueError(
                f"Y must have at least one row, and one column for each of the {self.n_labels_} "
                f"labels that {type(self).__name__} was fitted with, got shape {Y.shape}"
            )
        check_label_values(Y, "Y")
        weight = check_row_weight(sample_weight, Y)
        used = weight > 0
        self._learn(Y[used], weight[used])
        return self

    def _learn(self, Y: np.ndarray, sample_weight: np.ndarray) -> None:
        complete = ~np.isnan(Y).any(axis=1)
        rows = Y[complete] >= 0.5
        # As bytes, which sort alike: np.unique(rows, axis=0) is far slower.
        packed = np.packbits(rows, axis=1)
        packed = packed.view(f"V{packed.shape[1]}").ravel()
        _, first, inverse = np.unique(packed, return_index=True, return_inverse=True)
        sets = rows[first]
        weight = np.bincount(inverse, sample_weight[complete], len(sets))
        # Of equally probable sets the one with the fewest labels comes first.
        order = np.argsort(sets.sum(axis=1), kind="stable")
        self.label_sets_ = sets[order]
        share = weight[order] / weight.sum() if len(sets) else np.empty(0)
        self.log_prior_ = np.log(share)
        # A label that is in no set, or in all of them, adds nothing: log 1 in the place of log 0.
        rate = (share @ self.label_sets_).clip(0, 1) if len(sets) else np.zeros(Y.shape[1])
        inside, outside = (np.log(np.where(r > 0, r, 1)) for r in (rate, 1 - rate))
        independent = self.label_sets_ @ inside + ~self.label_sets_ @ outside
        self.log_lift_ = self.log_prior_ - independent

    def _log_posterior(self, p: np.ndarray) -> np.ndarray:
        """Return the (n, n_sets) log posteriors, up to a constant of each row."""
        p = np.clip(p, _SMALLEST_PROBABILITY, 1 - _SMALLEST_PROBABILITY)
        log_odds = np.log(p) - np.log1p(-p)
        return log_odds @ self.label_sets_.T.astype(float) + self.dependence * self.log_lift_


@dataclass(eq=False, repr=False)
class LabelSetDecoder(_SeenSets):
    r"""Predict the most probable of the label sets that were seen in `fit` or `learn_sets`.

    .. math:: \hat Y_i = \arg\max_{S \text{ seen}} \; \delta \log \frac{\pi_S}{\pi^0_S}
              + \sum_{l \in S} \log \frac{p_{il}}{1 - p_{il}}

    with :math:`\pi_S` the share of rows that have the set S, and :math:`\pi^0_S` the share expected
    for independent labels. For subset accuracy: only combinations that occur are predicted.

    Parameters
    ----------
    dependence : float, default=0.5
        Weight of the dependence of labels, :math:`\delta` in [0, 1]: how much the lift of a set
        counts. With 0, the labels of a row are independent given its scores; with 1, scores contain
        nothing of the dependence. 1/2 had the best subset accuracy on the training parts of four
        real data sets.

    Attributes
    ----------
    label_sets_ : ndarray of bool, shape (n_sets, n_labels)
        The sets seen in complete rows, those with few labels first. If there is no complete row,
        it is empty, and `decode` predicts ``p >= 0.5``.
    log_prior_ : ndarray of shape (n_sets,)
        Logarithm of the share of each.
    log_lift_ : ndarray of shape (n_sets,)
        Logarithm of the lift: of the ratio of this share to that expected for independent labels.
    n_labels_ : int
        Number of labels.

    Raises
    ------
    ValueError
        If a parameter is out of its range, or in `decode` scores are not in [0, 1].

    Notes
    -----
    One matrix product of the logits with the sets. Probabilities are clipped to
    [1e-12, 1 − 1e-12]. Of equally probable sets the one with the fewest labels is taken.

    Examples
    --------
    >>> from sklearn_mlloss.decoders import LabelSetDecoder
    >>> scores = [[0.8, 0.7, 0.1], [0.1, 0.2, 0.9], [0.7, 0.8, 0.2]]
    >>> decoder = LabelSetDecoder().fit(scores, [[1, 1, 0], [0, 0, 1], [1, 1, 0]])
    >>> decoder.decode([[0.9, 0.4, 0.3]])
    array([[ True,  True, False]])
    """

    dependence: float = checked(0.5, check_number, low=0, high=1)

    def _decode(self, scores: np.ndarray, count: np.ndarray | None) -> np.ndarray:
        p = _probabilities(scores, "LabelSetDecoder")
        if not len(self.label_sets_):
            return p >= 0.5
        best = np.empty(len(p), dtype=int)
        for block in row_blocks(len(p), len(self.label_sets_), _BLOCK_ENTRIES):
            log_posterior = self._log_posterior(p[block])
            top = log_posterior.max(axis=1, keepdims=True)
            best[block] = np.argmax(log_posterior >= top - _TIE, axis=1)
        return self.label_sets_[best]


@dataclass(eq=False, repr=False)
class GFMDecoder(_SeenSets):
    r"""Predict the label set with the highest expected F-beta, for dependent labels.

    .. math:: \hat Y_i = \arg\max_h \sum_{S \text{ seen}} P_i(S) \,
              \frac{(1+\beta^2)\, |S \cap h|}{\beta^2 |S| + |h|}, \qquad
              P_i(S) \propto \Bigl(\frac{\pi_S}{\pi^0_S}\Bigr)^{\delta}
              \prod_{l \in S} \frac{p_{il}}{1 - p_{il}}

    `ExpectedFBeta` assumes independent labels; here their joint distribution is that of the label
    sets seen in `fit` or `learn_sets`, weighted by their posterior given the scores, with
    :math:`\pi_S` the share of rows that have the set S, and :math:`\pi^0_S` the share expected for
    independent labels. Any set may be predicted.

    Parameters
    ----------
    beta : float, default=1.0
        Weight of recall against precision, > 0.
    empty : float, default=0.0
        The F-beta of the empty set for a row without labels, in [0, 1]; see `ExpectedFBeta`.
    dependence : float, default=0.5
        :math:`\delta` in [0, 1]; see `LabelSetDecoder`.

    Attributes
    ----------
    label_sets_ : ndarray of bool, shape (n_sets, n_labels)
        The sets seen in complete rows, those with few labels first. If there is no complete row,
        it is empty, and `decode` predicts like `ExpectedFBeta`.
    log_prior_, log_lift_ : ndarray of shape (n_sets,)
        As of `LabelSetDecoder`.
    n_labels_ : int
        Number of labels.

    Raises
    ------
    ValueError
        If a parameter is out of its range, or scores are not in [0, 1].

    Notes
    -----
    Exact for that joint distribution: with :math:`P_{ls} = P(y_l = 1, |y| = s)` and
    :math:`\Delta_{lk} = \sum_s P_{ls} (1+\beta^2) / (\beta^2 s + k)`, the best set of size k holds
    the k labels of largest :math:`\Delta_{lk}`, and its expected F-beta is their sum. At most
    :math:`O(L^3)` per row. Probabilities are clipped to [1e-12, 1 − 1e-12]; of equally good sizes
    the smallest is taken, and of equal labels the first.

    References
    ----------
    Dembczynski, Waegeman, Cheng and Hüllermeier, "An exact algorithm for F-measure
    maximization", 2011.

    Examples
    --------
    >>> from sklearn_mlloss.decoders import ExpectedFBeta, GFMDecoder
    >>> scores = [[0.8, 0.7, 0.1], [0.1, 0.2, 0.9], [0.7, 0.8, 0.2]]
    >>> decoder = GFMDecoder().fit(scores, [[1, 1, 0], [0, 0, 1], [1, 1, 0]])
    >>> decoder.decode([[0.9, 0.1, 0.1]])
    array([[ True,  True, False]])
    >>> ExpectedFBeta().decode([[0.9, 0.1, 0.1]])
    array([[ True, False, False]])
    """

    beta: float = checked(1.0, check_beta)
    empty: float = checked(0.0, check_number, low=0, high=1)
    dependence: float = checked(0.5, check_number, low=0, high=1)

    def _decode(self, scores: np.ndarray, count: np.ndarray | None) -> np.ndarray:
        p = _probabilities(scores, "GFMDecoder")
        if not len(self.label_sets_):
            return best_fbeta_sets(p, self.beta, self.empty)
        Y_hat = np.empty(p.shape, dtype=bool)
        entries = len(self.label_sets_) + p.shape[1] ** 2
        for block in row_blocks(len(p), entries, _BLOCK_ENTRIES):
            log_posterior = self._log_posterior(p[block])
            posterior = np.exp(log_posterior - log_posterior.max(axis=1, keepdims=True))
            Y_hat[block] = self._best(posterior / posterior.sum(axis=1, keepdims=True))
        return Y_hat

    def _best(self, posterior: np.ndarray) -> np.ndarray:
        """Return the best set of each row, given the probabilities of the seen sets."""
        n_labels = self.label_sets_.shape[1]
        size = self.label_sets_.sum(axis=1)
        sizes = np.unique(size[size > 0])
        joint = np.zeros((len(posterior), n_labels, sizes.size))  # P(y_l = 1, |y| = s)
        for column, s in enumerate(sizes):
            of_size = size == s
            joint[:, :, column] = posterior[:, of_size] @ self.label_sets_[of_size].astype(float)
        k = np.arange(1, n_labels + 1)
        delta = joint @ ((1 + self.beta**2) / (self.beta**2 * sizes[:, None] + k))
        ranked = -np.sort(-delta, axis=1)
        inside = np.tri(n_labels).T  # the first k of column k
        values = np.empty((len(posterior), n_labels + 1))
        values[:, 0] = self.empty * posterior[:, size == 0].sum(axis=1)
        values[:, 1:] = (ranked * inside).sum(axis=1)
        best = best_length(values)
        chosen = np.take_along_axis(delta, np.maximum(best - 1, 0)[:, None, None], axis=2)[..., 0]
        return _first_in_rank(_ranking(np.round(chosen, _DIGITS)), best)
