"""Losses on the sets of present and absent labels of a row, with a natural threshold."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

from ._slopes import HIDE, ONE
from .base import Loss
from .links import sigmoid_scores

__all__ = ["AdaptiveThresholdLoss", "BalancedBCELoss", "ZLPRLoss"]


class SetLoss(Loss):
    """Base of losses on the sets of present and absent labels of a row: one score per label.

    A subclass writes `_value`. The scores are the sigmoid of `decision`.
    """

    _derivatives: ClassVar[dict[str, tuple[str, ...]]] = {"gradient": ("objective", "_value")}

    @abstractmethod
    def _value(
        self, s: Tensor, positive: Tensor, negative: Tensor, sample_weight: Tensor | None
    ) -> Tensor:
        """Return the loss for outputs and the weights of each label as present and as absent."""

    def objective(
        self,
        outputs: Tensor,
        targets: Tensor,
        mask: Tensor | None = None,
        sample_weight: Tensor | None = None,
    ) -> Tensor:
        """Return the loss; see `Loss.objective`."""
        positive, negative = targets, 1 - targets
        if mask is not None:
            positive, negative = positive * mask, negative * mask
        return self._value(outputs, positive, negative, sample_weight)

    def link(self, outputs: Tensor) -> Tensor:
        """Return the sigmoid of `decision`; see `Loss.link`."""
        return sigmoid_scores(self.decision(outputs.double()))

    def initial_bias(self) -> np.ndarray:
        """Return the logits of the label priors."""
        return self._prior_logit


class ZLPRLoss(SetLoss):
    r"""ZLPR: zero-bounded log-sum-exp and pairwise rank-based loss.

    .. math::
        \ell = \log\Big(1 + \sum_{l \in Neg} e^{s_l}\Big) +
        \log\Big(1 + \sum_{l \in Pos} e^{-s_l}\Big)

    Present labels are pushed above, absent ones below, each other and the anchor 0, in O(L).
    For one label it is binary cross-entropy. Soft targets weigh the exponentials,
    ``sum (1 - y) e^s`` and ``sum y e^-s``. Unobserved labels are left out of both sums.

    The scores are ``sigmoid(s)``: 1/2 at the natural threshold ``s = 0``, which is only roughly a
    probability of 1/2 (near 0.5 for independent labels, near 0.35 for exclusive ones). Other scores
    are not calibrated probabilities.

    References
    ----------
    Su, Zhu, Li, Zhang: ZLPR: a novel loss for multi-label classification, 2022.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from sklearn_mlloss.losses import ZLPRLoss
    >>> loss = ZLPRLoss().fit(np.array([[1, 0, 0], [0, 1, 1]]))
    >>> loss.objective(torch.zeros(1, 3), torch.tensor([[1.0, 0.0, 0.0]]))
    tensor([1.7918])
    """

    accepts_soft_targets = True

    def _value(self, s, positive, negative, sample_weight):
        return _log1p_sum_exp(s + negative.log()) + _log1p_sum_exp(positive.log() - s)

    def gradient(self, outputs: Tensor, targets: Tensor) -> Tensor | None:
        """Return the softmax of absent, minus that of present labels; see `Loss.gradient`."""
        anchor = torch.zeros_like(outputs[..., :1])
        absent = torch.add(outputs, targets, alpha=-HIDE)
        present = torch.add(outputs, ONE - targets, alpha=HIDE).neg_()
        absent, present = (
            torch.cat([x, anchor], -1).softmax(-1)[..., :-1] for x in (absent, present)
        )
        return absent - present


class BalancedBCELoss(SetLoss):
    r"""Balanced BCE: logistic losses of present and of absent labels, averaged separately.

    .. math::
        \ell = \mathrm{mean}_{l \in Pos}\, \mathrm{softplus}(-s_l) +
        \mathrm{mean}_{l \in Neg}\, \mathrm{softplus}(s_l)

    A cheap surrogate of the ranking loss with a threshold: few present labels weigh as much as
    many absent ones. A row without present (or absent) labels has the other term only. Soft
    targets are weights in both means.

    The scores are ``sigmoid(s)``. Since each row balances its labels, a logit of 0 is not a
    probability of 1/2, and the default decoder tunes a threshold.

    References
    ----------
    Wu, Li, Xu, Zhu: Rethinking the univariate loss for multi-label ranking, NeurIPS 2021.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from sklearn_mlloss.losses import BalancedBCELoss
    >>> loss = BalancedBCELoss().fit(np.array([[1, 0, 0], [0, 1, 1]]))
    >>> loss.objective(torch.zeros(1, 3), torch.tensor([[1.0, 0.0, 0.0]]))
    tensor([1.3863])
    """

    default_decoder = "global_threshold"
    accepts_soft_targets = True

    def _value(self, s, positive, negative, sample_weight):
        return _mean(softplus(-s), positive) + _mean(softplus(s), negative)

    def gradient(self, outputs: Tensor, targets: Tensor) -> Tensor | None:
        """Return ``sigmoid(s) - y``, divided by the size of its set; see `Loss.gradient`."""
        n_present = targets.sum(-1, keepdim=True)
        for_absent = (self.n_labels_ - n_present).clamp_(min=1).reciprocal_()
        for_present = n_present.clamp_(min=1).reciprocal_()
        weight = targets.mul(for_present.sub_(for_absent)).add_(for_absent)
        return outputs.sigmoid().sub_(targets).mul_(weight)

    def initial_bias(self) -> np.ndarray:
        """Return zeros: each row balances its labels, so that priors matter little."""
        return np.zeros(self.n_labels_)


class AdaptiveThresholdLoss(SetLoss):
    r"""Adaptive threshold loss (ATLOP): an extra output separates present from absent labels.

    With the threshold output TH,

    .. math::
        \ell = -\sum_{l \in Pos} \log \frac{e^{s_l}}{\sum_{j \in Pos \cup TH} e^{s_j}} -
        \log \frac{e^{s_{TH}}}{\sum_{j \in Neg \cup TH} e^{s_j}}

    Present labels are pushed above the threshold of the row, absent ones below it. A row without
    labels has the second term only. The scores are ``sigmoid(s - s_TH)``: 1/2 at the threshold,
    uncalibrated elsewhere.

    References
    ----------
    Zhou, Huang, Ma, Huang: Document-level relation extraction with adaptive thresholding and
    localized context pooling, AAAI 2021.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from sklearn_mlloss.losses import AdaptiveThresholdLoss
    >>> loss = AdaptiveThresholdLoss().fit(np.array([[1, 0], [0, 1]]))
    >>> loss.objective(torch.zeros(1, 3), torch.tensor([[1.0, 0.0]]))
    tensor([1.3863])
    """

    def _count_outputs(self) -> int:
        return self.n_labels_ + 1

    def _value(self, s, positive, negative, sample_weight):
        # Relative to the threshold, whose own logit is then 0.
        s = self.decision(s)
        among_positive = _log1p_sum_exp(s + positive.log())
        first = positive.sum(-1) * among_positive - (positive * s).sum(-1)
        return first + _log1p_sum_exp(s + negative.log())

    def gradient(self, outputs: Tensor, targets: Tensor) -> Tensor | None:
        """Return ``M`` times the softmax of present, plus that of absent labels, minus targets.

        The threshold is one of each, with target 1; see `Loss.gradient`.
        """
        n_present = targets.sum(-1, keepdim=True)
        anchor = torch.zeros_like(n_present)
        hidden = torch.cat([targets, anchor], -1)
        absent = torch.add(outputs, hidden, alpha=-HIDE).softmax(-1)
        hidden = torch.cat([ONE - targets, anchor], -1)
        present = torch.add(outputs, hidden, alpha=-HIDE).softmax(-1)
        return absent.add_(present.mul_(n_present)).add_(hidden).sub_(ONE)

    def decision(self, outputs: Tensor) -> Tensor:
        """Return ``s - s_TH``."""
        return outputs[..., :-1] - outputs[..., -1:]

    def initial_bias(self) -> np.ndarray:
        """Return the logits of the label priors, and a threshold of 0."""
        return np.append(self._prior_logit, 0.0)


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    """Return the weighted mean over the last axis, 0 if all weights are 0."""
    total = weight.sum(-1)
    return (values * weight).sum(-1) / torch.where(total > 0, total, 1.0)


def _log1p_sum_exp(x: Tensor) -> Tensor:
    """Return ``log(1 + sum(exp(x)))`` over the last axis; entries may be minus infinity."""
    return torch.cat([x, torch.zeros_like(x[..., :1])], -1).logsumexp(-1)
