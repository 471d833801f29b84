"""The distribution-balanced loss for long-tailed labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

from .._data.fields import checked
from .._data.validation import check_number
from ._slopes import focal_slope
from .base import SeparableLoss

__all__ = ["DistributionBalancedLoss"]


@dataclass(eq=False, repr=False)
class DistributionBalancedLoss(SeparableLoss):
    r"""Distribution-balanced focal loss for long-tailed labels.

    .. math::
        \ell_1 = 2\,w\,(1-e^{-u})^\gamma\,u,\; u = \mathrm{softplus}(-z), \qquad
        \ell_0 = \tfrac{2}{\lambda}\,w\,(1-e^{-u})^\gamma\,u,\; u = \mathrm{softplus}(\lambda z)

    with logits shifted by the prior, :math:`z = s + (\kappa/\lambda)\,\mathrm{logit}\,\pi_l`, and
    weights that correct the effect of class-balanced sampling on co-occurring labels,

    .. math::
        w_{il} = \alpha + \sigma(\beta (r_{il} - \mu)), \qquad
        r_{il} = \frac{1/n_l}{\sum_{j \in Pos_i} 1/n_j}

    A row without labels has :math:`w = \alpha + 1`. The link ignores the weights w, which depend on
    the other labels of a row: the scores are probabilities only up to these weights.

    Parameters
    ----------
    alpha, beta, mu : float, default=0.1, 10 and 0.2
        Floor, slope and centre of the weights.
    lam : float > 0, default=2
        Factor by which negatives are steeper, and weigh less.
    kappa : float, default=0.05
        Size of the shift by the prior.
    gamma : float >= 0, default=2
        Focusing parameter.
    class_weight, label_smoothing, label_reduction
        See `SeparableLoss`.

    References
    ----------
    Wu, Huang, Liu, Wang, Lin: Distribution-balanced loss for multi-label classification in
    long-tailed datasets, ECCV 2020.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from sklearn_mlloss.losses import DistributionBalancedLoss
    >>> loss = DistributionBalancedLoss().fit(np.array([[1, 0], [0, 1]]))
    >>> loss.objective(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]])).numpy().round(3)
    array([0.286], dtype=float32)
    """

    alpha: float = checked(0.1, check_number)
    beta: float = checked(10.0, check_number, low=0)
    mu: float = checked(0.2, check_number)
    lam: float = checked(2.0, check_number, low=0, closed="neither")
    kappa: float = checked(0.05, check_number)
    gamma: float = checked(2.0, check_number, low=0)

    proper = False

    def positive(self, s: Tensor) -> Tensor:
        """Return the focal loss of the shifted logit."""
        return self._focal(-self._shifted(s))

    def negative(self, s: Tensor) -> Tensor:
        """Return the focal loss of the shifted and steeper logit, divided by its steepness."""
        return self._focal(self.lam * self._shifted(s)) / self.lam

    def slope(self, s: Tensor, y: Tensor) -> Tensor:
        """Return twice `focal_slope` at the shifted logit, which is steeper for absent labels."""
        z = self._shifted(s).mul_(y.mul(1 - self.lam).add_(self.lam))
        return focal_slope(z.sigmoid_().sub_(y), self.gamma).mul_(2)

    def entry_weight(self, targets: Tensor, mask: Tensor | None) -> Tensor:
        """Return the weights w, of the shape of the targets."""
        inverse = self._tensor("inverse_count_", targets)
        present = targets if mask is None else targets * (mask > 0)
        total = (present * inverse).sum(-1, keepdim=True)
        r = inverse / torch.where(total > 0, total, 1.0)
        return self.alpha + torch.where(total > 0, (self.beta * (r - self.mu)).sigmoid(), 1.0)

    def _shifted(self, s: Tensor) -> Tensor:
        return s + self._tensor("shift_", s)

    def _focal(self, x: Tensor) -> Tensor:
        # 1 - exp(-softplus(x)) is sigmoid(x)
        return 2 * torch.exp(-self.gamma * softplus(-x)) * softplus(x)

    def _update(self):
        super()._update()
        self.inverse_count_ = 1 / np.where(self.positive_count_ > 0, self.positive_count_, 1.0)
        self.shift_ = self.kappa / self.lam * self._prior_logit
