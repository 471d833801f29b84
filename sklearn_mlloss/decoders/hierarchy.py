"""Decoder for hierarchies of labels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .._data.messages import describe
from .base import Decoder, WrappingDecoder

__all__ = ["HierarchyClosure"]

# Gains carry rounding errors; one that is not above this is none.
_TOLERANCE = 1e-12


@dataclass(eq=False, repr=False)
class HierarchyClosure(WrappingDecoder):
    r"""Predict the best label set that contains the parent of each of its labels.

    .. math:: \hat Y_i = \arg\max_{h} \sum_l \big(p_{il} - \tfrac12\big) h_l
              \quad \text{subject to } h_l \le h_{\mathrm{parent}(l)}

    Without a decoder this is the consistent set of the lowest expected Hamming loss, for
    calibrated probabilities. With a decoder, its predictions d replace p: the result is the
    consistent set that differs from d in the fewest labels.

    Parameters
    ----------
    parents : array-like of int, shape (n_labels,)
        Index of the parent of each label, −1 for a root. Required: the default, None, raises.
    decoder : Decoder, Decoder class or name, default=None
        Decoder whose predictions are made consistent; None uses the scores. Its parameters can be
        set as ``decoder__...`` if it is given as an object.

    Attributes
    ----------
    decoder_ : Decoder
        The fitted copy of `decoder`, if there is one.
    n_labels_ : int
        Number of labels, once fitted (optional if `decoder` need not be fitted).

    Raises
    ------
    TypeError, ValueError
        If `parents` is missing, has another length than there are labels, names labels that do
        not exist or has a cycle; if `decoder` is neither a decoder nor the name of one.

    Notes
    -----
    Exact, in one pass up the forest, :math:`g_v = p_v - \tfrac12 + \sum_c \max(0, g_c)` over the
    children c, and one down it: v is predicted if its parent is and :math:`g_v > 0`. Of equally
    good sets the one with the fewest labels is taken: a decoder's label without its parent is
    dropped, and two such labels with the same parent add it.

    Examples
    --------
    >>> from sklearn_mlloss.decoders import FixedThreshold, HierarchyClosure
    >>> scores = [[0.4, 0.9, 0.3], [0.4, 0.55, 0.3]]
    >>> HierarchyClosure(parents=[-1, 0, 1]).decode(scores)
    array([[ True,  True, False],
           [False, False, False]])
    >>> HierarchyClosure([-1, 0, 1], FixedThreshold(0.35)).decode(scores)
    array([[ True,  True, False],
           [ True,  True, False]])
    """

    parents: ArrayLike | None = None
    decoder: str | Decoder | None = None

    def _levels(self, n_labels: int) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return the checked parents, and the labels of each depth, roots first."""
        if self.parents is None:
            raise ValueError(
                "parents is None: HierarchyClosure needs the hierarchy; give the index of "
                "the parent of each label, -1 for a root."
            )
        try:
            parents = np.asarray(self.parents)
        except ValueError:  # lists of several lengths
            parents = np.empty(0)
        if parents.dtype.kind not in "iu" or parents.shape != (n_labels,):
            raise ValueError(
                f"parents must hold one integer for each of the {n_labels} labels, got "
                f"{describe(self.parents)}"
            )
        outside = (parents < -1) | (parents >= n_labels)
        if outside.any():
            raise ValueError(
                f"parents must hold indices of labels, 0 to {n_labels - 1}, or -1 for a root, got "
                f"{parents[outside][0]}"
            )
        levels = [np.flatnonzero(parents == -1)]
        while levels[-1].size:
            levels.append(np.flatnonzero(np.isin(parents, levels[-1])))
        if sum(level.size for level in levels) < n_labels:
            reached = np.isin(np.arange(n_labels), np.concatenate(levels))
            raise ValueError(
                f"parents has a cycle: label {np.flatnonzero(~reached)[0]} has no root above "
                "it; give every root the parent -1."
            )
        return parents, levels[:-1]

    def _check_params(self, n_labels: int) -> None:
        super()._check_params(n_labels)
        self._levels(n_labels)

    def _decode(self, scores: np.ndarray, count: np.ndarray | None) -> np.ndarray:
        parents, levels = self._levels(scores.shape[1])
        gain = self._decode_inner(scores, count).T - 0.5  # (n_labels, n_samples)
        for level in levels[:0:-1]:
            np.add.at(gain, parents[level], np.maximum(gain[level], 0))
        kept = gain > _TOLERANCE
        for level in levels[1:]:
            kept[level] &= kept[parents[level]]
        return kept.T
