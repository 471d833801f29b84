"""Binary cross-entropy and its variants: one logit per label."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from .._data.fields import checked
from .._data.validation import check_number
from ._slopes import focal_slope
from .base import MAX_WEIGHT, SeparableLoss, per_label

__all__ = ["BinaryCrossEntropy", "LDAMLoss", "Poly1Loss"]


@dataclass(eq=False, repr=False)
class BinaryCrossEntropy(SeparableLoss):
    r"""Binary cross-entropy on logits: the logistic loss of each label.

    .. math::
        \ell_1 = w\,\mathrm{softplus}(-z), \quad \ell_0 = \mathrm{softplus}(z), \quad
        z = s + \tau\,\mathrm{logit}\,\pi, \quad \eta = \sigma(z - \log w)

    Gradient for w = 1: :math:`\sigma(z) - y`. Computed from logits, never from probabilities:
    ``-log(1 - sigmoid(s))`` is infinite in float32 from a logit of 16.6 on.

    Parameters
    ----------
    pos_weight : None, "balanced", float or array of shape (n_labels,), default=None
        Weight w > 0 of the positives. "balanced" is negatives / positives of each label, capped
        at 100; a label without positives counts as having one. With a free bias this is plain
        cross-entropy with a shifted threshold; the link undoes the shift, so that
        `predict_proba` stays calibrated for any weight.
    tau : float, default=0
        Logit adjustment (Menon et al., 2021): train on ``s + tau * logit(prior)``. With tau = 1,
        ``s > 0`` means that a label is more likely than its prior.
    class_weight, label_smoothing, label_reduction
        See `SeparableLoss`.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from sklearn_mlloss.losses import BinaryCrossEntropy
    >>> loss = BinaryCrossEntropy(label_reduction="sum").fit(np.array([[1, 0], [0, 1]]))
    >>> loss.objective(torch.tensor([[0.0, 2.0]]), torch.tensor([[1.0, 0.0]]))
    tensor([2.8201])
    """

    pos_weight: str | ArrayLike | None = None
    tau: float = checked(0.0, check_number)

    def positive(self, s: Tensor) -> Tensor:
        """Return ``w * softplus(-z)``."""
        value = softplus(-self._adjusted(s))
        return value if self.pos_weight is None else value * self._tensor("pos_weight_", s)

    def negative(self, s: Tensor) -> Tensor:
        """Return ``softplus(z)``."""
        return softplus(self._adjusted(s))

    def mixture(self, s: Tensor, y: Tensor) -> Tensor:
        """Return both polarities by torch's fused function."""
        weight = None if self.pos_weight is None else self._tensor("pos_weight_", s)
        return binary_cross_entropy_with_logits(
            self._adjusted(s), y, pos_weight=weight, reduction="none"
        )

    def slope(self, s: Tensor, y: Tensor) -> Tensor:
        """Return ``(sigmoid(z) - y) * (1 + (w - 1) * y)``."""
        value = self._adjusted(s).sigmoid().sub_(y)
        if self.pos_weight is None:
            return value
        return value.mul_(torch.lerp(torch.ones_like(y), self._tensor("pos_weight_", s), y))

    def eta(self, s: Tensor) -> Tensor:
        """Return ``sigmoid(z - log w)``."""
        z = self._adjusted(s)
        return (z if self.pos_weight is None else z - self._tensor("log_pos_weight_", s)).sigmoid()

    def _adjusted(self, s: Tensor) -> Tensor:
        return s + self.tau * self._tensor("prior_logit_", s) if self.tau else s

    def _update(self):
        super()._update()
        self.prior_logit_ = self._prior_logit
        if self.pos_weight is None:
            return
        if isinstance(self.pos_weight, str) and self.pos_weight == "balanced":
            positives = np.where(self.positive_count_ > 0, self.positive_count_, 1.0)
            weight = (self.label_count_ - self.positive_count_) / positives
            # Labels without negatives are not balanced.
            weight = np.minimum(np.where(weight > 0, weight, 1.0), MAX_WEIGHT)
        else:
            words = "'balanced'"
            weight = per_label(self.pos_weight, "pos_weight", self.n_labels_, words, "neither")
        self.pos_weight_ = weight
        self.log_pos_weight_ = np.log(weight)


@dataclass(eq=False, repr=False)
class Poly1Loss(SeparableLoss):
    r"""Poly-1 loss (PolyLoss): cross-entropy with its first polynomial coefficient changed.

    .. math::
        \ell_1 = -\log p + \epsilon\,(1-p), \quad \ell_0 = -\log(1-p) + \epsilon\,p, \quad
        p = \sigma(s)

    With gamma > 0, the focal loss plus :math:`\epsilon (1-p_t)^{\gamma+1}`, :math:`p_t` being the
    probability of the true value. Gradients (gamma = 0) :math:`-(1-p)(1+\epsilon p)` and
    :math:`p(1+\epsilon(1-p))`. With epsilon = 1 a true probability of 0.9 becomes a
    sigmoid of 0.94. The link undoes this.

    Parameters
    ----------
    epsilon : float >= -1, default=1
        Change of the coefficient; below -1 the loss would not be monotone.
    gamma : float >= 0, default=0
        Focusing parameter.
    class_weight, label_smoothing, label_reduction
        See `SeparableLoss`.

    References
    ----------
    Leng, Tan, Liu, Cubuk, Shi, Cheng, Anguelov: PolyLoss: a polynomial expansion perspective of
    classification loss functions, ICLR 2022.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from sklearn_mlloss.losses import Poly1Loss
    >>> loss = Poly1Loss().fit(np.array([[1, 0], [0, 1]]))
    >>> loss.objective(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]))
    tensor([1.1931])
    """

    epsilon: float = checked(1.0, check_number, low=-1)
    gamma: float = checked(0.0, check_number, low=0)

    def positive(self, s: Tensor) -> Tensor:
        """Return ``(1 - p) ** gamma * (-log p + epsilon * (1 - p))``."""
        value = softplus(-s) + self.epsilon * (-s).sigmoid()
        # A power of 1 - p would have NaN gradients at saturation.
        return torch.exp(-self.gamma * softplus(s)) * value if self.gamma else value

    def negative(self, s: Tensor) -> Tensor:
        """Return ``p ** gamma * (-log(1 - p) + epsilon * p)``, which is ``positive(-s)``."""
        return self.positive(-s)

    def slope(self, s: Tensor, y: Tensor) -> Tensor:
        """Return `focal_slope` with the additional coefficient."""
        return focal_slope(s.sigmoid().sub_(y), self.gamma, self.epsilon)


@dataclass(eq=False, repr=False)
class LDAMLoss(SeparableLoss):
    r"""LDAM loss: cross-entropy with a larger margin for rarer labels.

    .. math::
        \ell_1 = \mathrm{softplus}(-\kappa (s - \Delta_l)), \quad
        \ell_0 = \mathrm{softplus}(\kappa s), \quad
        \Delta_l = \Delta_{\max}\,(n_l / \min n)^{-1/4}

    with :math:`n_l` positives of label l; a label without positives counts as having one.

    Parameters
    ----------
    max_margin : float >= 0, default=0.5
        Margin of the rarest label.
    scale : float > 0, default=1
        The factor kappa. The paper's 30 assumes that logits are cosines.
    class_weight, label_smoothing, label_reduction
        See `SeparableLoss`.

    References
    ----------
    Cao, Wei, Gaidon, Arechiga, Ma: Learning imbalanced datasets with label-distribution-aware
    margin loss, NeurIPS 2019; here in the binary form.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_mlloss.losses import LDAMLoss
    >>> LDAMLoss().fit(np.array([[1, 0]] * 15 + [[1, 1]])).margin_
    array([0.25, 0.5 ])
    """

    max_margin: float = checked(0.5, check_number, low=0)
    scale: float = checked(1.0, check_number, low=0, closed="neither")

    def positive(self, s: Tensor) -> Tensor:
        """Return ``softplus(-scale * (s - margin))``."""
        return softplus(-self.scale * (s - self._tensor("margin_", s)))

    def negative(self, s: Tensor) -> Tensor:
        """Return ``softplus(scale * s)``."""
        return softplus(self.scale * s)

    def slope(self, s: Tensor, y: Tensor) -> Tensor:
        """Return ``scale * (sigmoid(scale * (s - y * margin)) - y)``."""
        z = torch.addcmul(s, y, self._tensor("margin_", s), value=-1)
        return z.mul_(self.scale).sigmoid_().sub_(y).mul_(self.scale)

    def _update(self):
        super()._update()
        positives = np.where(self.positive_count_ > 0, self.positive_count_, 1.0)
        self.margin_ = self.max_margin * (positives / positives.min()) ** -0.25
