"""Pairwise ranking losses: the order of labels, without a threshold."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import softplus

from .._data.fields import checked
from .._data.validation import check_flag, check_number
from ._slopes import HIDE, ONE, log_sum
from .links import log_odds, strictly_increasing
from .sets import SetLoss

__all__ = [
    "BPMLLLoss",
    "LSEPLoss",
    "MultilabelMarginLoss",
    "PairwiseLogisticLoss",
    "TwoWayLoss",
]

# From here on the exponential continues as its tangent: finite in float32 for any output.
MAX_EXPONENT = 30.0


class RankingLoss(SetLoss):
    """Base of losses that do not change when a constant is added to the logits of a row.

    Since absolute logits have no meaning, the reference of a row is the log of the mean exponential
    of its logits: the margin is ``s - log mean exp(s)``, the score its sigmoid, and the default
    decoder tunes a threshold. Soft targets raise, because each label is on one side of a pair or on
    the other. A row without present or without absent labels has loss 0.

    A single label is compared with a fixed logit 0.
    """

    default_decoder = "global_threshold"

    _derivatives: ClassVar[dict[str, tuple[str, ...]]] = {
        "gradient": ("objective", "_value", "_pairs")
    }

    @abstractmethod
    def _pairs(
        self, s: Tensor, positive: Tensor, negative: Tensor, sample_weight: Tensor | None
    ) -> Tensor:
        """Return the loss for logits and indicators of both polarities, shape (..., n, L)."""

    def _value(
        self, s: Tensor, positive: Tensor, negative: Tensor, sample_weight: Tensor | None
    ) -> Tensor:
        if self.n_labels_ == 1:
            s = torch.cat([s, torch.zeros_like(s)], -1)
            positive, negative = (
                torch.cat([positive, negative], -1),
                torch.cat([negative, positive], -1),
            )
        return self._pairs(s, positive > 0, negative > 0, sample_weight)

    def link(self, outputs: Tensor) -> Tensor:
        """Return ``sigmoid(s - log mean exp(s))``; see `Loss.link`."""
        if self.n_labels_ == 1:
            return super().link(outputs)
        outputs = outputs.double()
        # The margin itself levels off if one label is far above the others.
        return strictly_increasing(self.decision(outputs).sigmoid(), log_odds(outputs))

    def decision(self, outputs: Tensor) -> Tensor:
        """Return ``s - log mean exp(s)`` of the row, or a single `s` itself."""
        if self.n_labels_ == 1:
            return outputs
        return outputs - outputs.logsumexp(-1, keepdim=True) + math.log(self.n_labels_)


class LSEPLoss(RankingLoss):
    r"""Log-sum-exp pairwise loss (LSEP).

    .. math:: \ell = \log\Big(1 + \sum_{u \in Pos} \sum_{v \in Neg} e^{s_v - s_u}\Big)

    The double sum is a product of two sums, so that the cost is linear in the number of labels.

    References
    ----------
    Li, Song, Luo: Improving pairwise ranking for multi-label image classification, CVPR 2017.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from sklearn_mlloss.losses import LSEPLoss
    >>> loss = LSEPLoss().fit(np.array([[1, 0, 0], [0, 1, 1]]))
    >>> loss.objective(torch.zeros(1, 3), torch.tensor([[1.0, 0.0, 0.0]]))
    tensor([1.0986])
    """

    def gradient(self, outputs: Tensor, targets: Tensor) -> Tensor | None:
        """Return the softmax of absent, minus that of present labels, times the share of pairs.

        See `Loss.gradient`. A single label is left to autograd.
        """
        if self.n_labels_ == 1:
            return None
        difference, log_pairs = _soft_pairs(outputs, targets)
        return difference.mul_(log_pairs.sigmoid_())

    def _pairs(self, s, positive, negative, sample_weight):
        value = softplus(_log_sum_exp(s, negative, -1) + _log_sum_exp(-s, positive, -1))
        return torch.where(_has_pairs(positive, negative, -1), value, 0.0)


@dataclass(eq=False, repr=False)
class TwoWayLoss(RankingLoss):
    r"""Two-way loss: positives above negatives within each row, and within each label.

    .. math::
        \ell_i = \mathrm{softplus}\Big(T_n \log \sum_{v \in Neg} e^{s_v / T_n} +
        T_p \log \sum_{u \in Pos} e^{-s_u / T_p}\Big)

    averaged over rows with a present label, plus the same down the columns of the batch, averaged
    over labels with a positive. With both temperatures 1 the row term is the log-sum-exp pairwise
    loss. Batches should be large. Weights of rows count in the row term only.

    Parameters
    ----------
    positive_temperature, negative_temperature : float > 0, default=4 and 1
        The temperatures :math:`T_p` and :math:`T_n`.

    References
    ----------
    Kobayashi: Two-way multi-label loss, CVPR 2023.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from sklearn_mlloss.losses import TwoWayLoss
    >>> Y = np.array([[1, 0], [0, 1]])
    >>> loss = TwoWayLoss(1, 1).fit(Y)
    >>> loss.objective(torch.zeros(2, 2), torch.tensor(Y, dtype=torch.float32))
    tensor(1.3863)
    """

    positive_temperature: float = checked(4.0, check_number, low=0, closed="neither")
    negative_temperature: float = checked(1.0, check_number, low=0, closed="neither")

    row_wise = False

    def _pairs(self, s, positive, negative, sample_weight):
        rows, row_counts = self._one_way(s, positive, negative, -1)
        columns, column_counts = self._one_way(s, positive, negative, -2)
        weight = row_counts if sample_weight is None else row_counts * sample_weight
        # The weights have mean 1 over the training rows, not over those of a batch.
        row_term = (rows * weight).sum(-1) / row_counts.sum(-1).clamp(min=1)
        return row_term + columns.sum(-1) / column_counts.sum(-1).clamp(min=1)

    def _one_way(
        self, s: Tensor, positive: Tensor, negative: Tensor, dim: int
    ) -> tuple[Tensor, Tensor]:
        t_p, t_n = self.positive_temperature, self.negative_temperature
        value = softplus(
            t_n * _log_sum_exp(s / t_n, negative, dim) + t_p * _log_sum_exp(-s / t_p, positive, dim)
        )
        value = torch.where(_has_pairs(positive, negative, dim), value, 0.0)
        return value, positive.any(dim).to(s.dtype)


@dataclass(eq=False, repr=False)
class BPMLLLoss(RankingLoss):
    r"""BP-MLL loss: exponential in the difference of bounded outputs.

    .. math::
        \ell = \frac{1}{|Pos|\,|Neg|} \sum_{u \in Pos} \sum_{v \in Neg} e^{-(c_u - c_v)}, \quad
        c = \tanh(s)

    The sums factorise, so that the cost is linear in the number of labels.

    Parameters
    ----------
    bounded : bool, default=True
        Whether c is ``tanh(s)``, as in the paper. With c = s the gradients may explode; from an
        exponent of 30 on, the loss then continues as its tangent.

    References
    ----------
    Zhang, Zhou: Multilabel neural networks with applications to functional genomics and text
    categorization, TKDE 2006.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from sklearn_mlloss.losses import BPMLLLoss
    >>> loss = BPMLLLoss().fit(np.array([[1, 0, 0], [0, 1, 1]]))
    >>> loss.objective(torch.zeros(1, 3), torch.tensor([[1.0, 0.0, 0.0]]))
    tensor([1.])
    """

    bounded: bool = checked(True, check_flag)

    def gradient(self, outputs: Tensor, targets: Tensor) -> Tensor | None:
        """Return the softmax of absent, minus that of present labels, times the loss.

        Times ``1 - c ** 2`` if bounded; see `Loss.gradient`. A single label is left to autograd.
        """
        if self.n_labels_ == 1:
            return None
        # The hyperbolic tangent, at a quarter of what torch takes for it on a CPU.
        c = outputs.mul(2).sigmoid_().mul_(2).sub_(ONE) if self.bounded else outputs
        difference, log_pairs = _soft_pairs(c, targets)
        n_present = targets.sum(-1, keepdim=True)
        n_pairs = n_present.mul(self.n_labels_ - n_present).clamp_(min=1)
        difference.mul_(log_pairs.sub_(n_pairs.log_()).clamp_(max=MAX_EXPONENT).exp_())
        return (
            difference.addcmul_(difference, c.square_(), value=-1) if self.bounded else difference
        )

    def _pairs(self, s, positive, negative, sample_weight):
        c = s.tanh() if self.bounded else s
        pairs = positive.sum(-1) * negative.sum(-1)
        log_mean = _log_sum_exp(c, negative, -1) + _log_sum_exp(-c, positive, -1)
        log_mean = log_mean - pairs.clamp(min=1).to(s.dtype).log()
        beyond = (log_mean - MAX_EXPONENT).clamp(min=0)
        return torch.where(pairs > 0, (log_mean - beyond).exp() * (1 + beyond), 0.0)


class MultilabelMarginLoss(RankingLoss):
    r"""Multi-label margin loss: the hinge loss over pairs.

    .. math:: \ell = \frac{1}{L} \sum_{u \in Pos} \sum_{v \in Neg} \max(0, 1 - (s_u - s_v))

    Divided by the number of labels L, as in torch. For exclusive labels, it is the multi-class
    margin loss. By sorting the absent labels, the cost is O(L log L) per row.

    References
    ----------
    Elisseeff, Weston: A kernel method for multi-labelled classification, NIPS 2001.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from sklearn_mlloss.losses import MultilabelMarginLoss
    >>> loss = MultilabelMarginLoss().fit(np.array([[1, 0, 0], [0, 1, 1]]))
    >>> loss.objective(torch.zeros(1, 3), torch.tensor([[1.0, 0.0, 0.0]]))
    tensor([0.6667])
    """

    def gradient(self, outputs: Tensor, targets: Tensor) -> Tensor | None:
        """Return the number of pairs in which a label violates the margin, over L.

        See `Loss.gradient`. A single label is left to autograd.
        """
        if self.n_labels_ == 1:
            return None
        falling, order = torch.add(outputs.neg(), targets, alpha=HIDE).sort(-1)
        # Not looked up for absent labels: a search that ends at once costs a third.
        level = torch.add(ONE - outputs, ONE - targets, alpha=-HIDE)
        n_absent = torch.searchsorted(falling, level)
        # The absent label of rank r is among the first n of those present for which n > r.
        among = outputs.new_zeros((*outputs.shape[:-1], self.n_labels_ + 1))
        among.scatter_add_(-1, n_absent, targets)
        n_present = targets.sum(-1, keepdim=True) - among.cumsum(-1)[..., :-1]
        value = torch.empty_like(n_present).scatter_(-1, order, n_present)
        return value.sub_(n_absent).div_(self.n_labels_)

    def _pairs(self, s, positive, negative, sample_weight):
        # Absent labels from the highest down, and where 1 - s_u falls among them: those before it
        # violate the margin of u.
        falling, order = (-s).masked_fill(~negative, torch.inf).sort(-1)
        level = (1 - s).contiguous()
        n_violating = torch.searchsorted(falling.detach(), level.detach())
        total = (s * negative).gather(-1, order).cumsum(-1)
        total = torch.cat([torch.zeros_like(total[..., :1]), total], -1).gather(-1, n_violating)
        return (positive * (n_violating * level + total)).sum(-1) / self.n_labels_


class PairwiseLogisticLoss(RankingLoss):
    r"""Pairwise logistic loss: the mean logistic loss over pairs, as in RankNet.

    The sum does not factorise, so the cost is linear in the number of pairs per row. `LSEPLoss` is
    a similar loss with a cost linear in the number of labels.

    .. math::
        \ell = \frac{1}{|Pos|\,|Neg|} \sum_{u \in Pos} \sum_{v \in Neg}
        \mathrm{softplus}(-(s_u - s_v))

    References
    ----------
    Burges et al.: Learning to rank using gradient descent, ICML 2005.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from sklearn_mlloss.losses import PairwiseLogisticLoss
    >>> loss = PairwiseLogisticLoss().fit(np.array([[1, 0, 0], [0, 1, 1]]))
    >>> loss.objective(torch.zeros(1, 3), torch.tensor([[1.0, 0.0, 0.0]]))
    tensor([0.6931])
    """

    def _pairs(self, s, positive, negative, sample_weight):
        difference, pairs = _pair_differences(s, positive, negative)
        total = (softplus(-difference) * pairs).sum((-1, -2))
        return total / pairs.sum((-1, -2)).clamp(min=1)


def _has_pairs(positive: Tensor, negative: Tensor, dim: int) -> Tensor:
    return positive.any(dim) & negative.any(dim)


def _log_sum_exp(x: Tensor, chosen: Tensor, dim: int) -> Tensor:
    """Return the log-sum-exp of the chosen entries, and a finite number where none is chosen."""
    # Lower than any real entry, yet not minus infinity, whose gradient would be NaN; twice of it
    # must not overflow.
    return x.masked_fill(~chosen, torch.finfo(x.dtype).min / 8).logsumexp(dim)


def _soft_pairs(s: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return the derivative of the log of the sum over pairs by each logit, and the log itself.

    The sum over pairs is 0, and its logarithm very low, where there is no pair.
    """
    absent = torch.add(s, targets, alpha=-HIDE)
    present = torch.add(s, ONE - targets, alpha=HIDE).neg_()
    p_absent, p_present = absent.softmax(-1), present.softmax(-1)
    log_pairs = log_sum(absent, p_absent).add_(log_sum(present, p_present))
    return p_absent.sub_(p_present), log_pairs


def _pair_differences(s: Tensor, positive: Tensor, negative: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``s_u - s_v`` for present u and absent v, and 1 where such a pair exists.

    The polarity with fewer labels in a row is gathered to the front first: with M labels on the
    smaller side the size is (..., n, M, L), not (..., n, L, L).
    """
    exists = _has_pairs(positive, negative, -1).unsqueeze(-1)
    swapped = (positive.sum(-1) > negative.sum(-1)).unsqueeze(-1)
    few = torch.where(swapped, negative, positive) & exists
    many = torch.where(swapped, positive, negative) & exists
    width = max(1, int(few.sum(-1).max()))
    chosen, index = few.to(s.dtype).topk(width, dim=-1)
    difference = s.gather(-1, index).unsqueeze(-1) - s.unsqueeze(-2)
    pairs = chosen.unsqueeze(-1) * many.to(s.dtype).unsqueeze(-2)
    return torch.where(swapped.unsqueeze(-1), -difference, difference), pairs
