"""Losses on the sets of present and absent labels of a row."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .base import Loss
from .links import sigmoid_scores

__all__ = ["ZLPRLoss"]


class ZLPRLoss(Loss):
    r"""Zero-bounded log-sum-exp and pairwise rank-based loss.

    .. math::
        \ell = \log\Big(1 + \sum_{l \in Neg} e^{s_l}\Big) +
        \log\Big(1 + \sum_{l \in Pos} e^{-s_l}\Big)

    Present labels are pushed above, absent ones below, each other and the anchor 0, in O(L).
    For one label it is binary cross-entropy. Soft targets weigh the exponentials,
    ``sum (1 - y) e^s`` and ``sum y e^-s``. Unobserved labels leave both sums.

    The scores are ``sigmoid(s)``: 1/2 at the natural threshold ``s = 0``, which is a fair rather
    than an exact cut at probability 1/2 (near 0.5 for independent labels, near 0.35 for exclusive
    ones), and no calibrated probability elsewhere.

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

    def objective(self, outputs, targets, mask=None, sample_weight=None):
        """Return the loss of each row; see `Loss.objective`."""
        positive, negative = targets, 1 - targets
        if mask is not None:
            positive, negative = positive * mask, negative * mask
        return _log1p_sum_exp(outputs + negative.log()) + _log1p_sum_exp(positive.log() - outputs)

    def link(self, outputs):
        """Return ``sigmoid(s)``; see `Loss.link`."""
        return sigmoid_scores(outputs)

    def initial_bias(self):
        """Return the logit of the label priors, exact for a single label."""
        return np.log(self.prior_) - np.log1p(-self.prior_)


def _log1p_sum_exp(x: Tensor) -> Tensor:
    """Return ``log(1 + sum(exp(x)))`` over the last axis; entries may be minus infinity."""
    return torch.cat([x, torch.zeros_like(x[..., :1])], -1).logsumexp(-1)
