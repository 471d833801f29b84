"""Binary cross-entropy and its focusing relatives: one logit a label."""

from __future__ import annotations

from numbers import Real

import numpy as np
import torch
from sklearn.utils import check_scalar
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from .base import MAX_WEIGHT, SeparableLoss, per_label

__all__ = ["AsymmetricLoss", "BinaryCrossEntropy", "FocalLoss"]


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
        cross-entropy with a shifted threshold; the link takes the shift back, so that
        `predict_proba` stays calibrated whatever the weight.
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

    proper = True

    def __init__(
        self,
        pos_weight=None,
        tau=0.0,
        *,
        class_weight=None,
        label_smoothing=0.0,
        label_reduction="mean",
    ):
        super().__init__(
            class_weight=class_weight,
            label_smoothing=label_smoothing,
            label_reduction=label_reduction,
        )
        self.pos_weight = pos_weight
        self.tau = tau

    def positive(self, s: Tensor) -> Tensor:
        """Return ``w * softplus(-z)``."""
        value = softplus(-self._adjusted(s))
        return value if self.pos_weight is None else value * self._tensor("pos_weight_", s)

    def negative(self, s: Tensor) -> Tensor:
        """Return ``softplus(z)``."""
        return softplus(self._adjusted(s))

    def mixture(self, s: Tensor, y: Tensor) -> Tensor:
        """Return both polarities in torch's one fused expression."""
        weight = None if self.pos_weight is None else self._tensor("pos_weight_", s)
        return binary_cross_entropy_with_logits(
            self._adjusted(s), y, pos_weight=weight, reduction="none"
        )

    def eta(self, s: Tensor) -> Tensor:
        """Return ``sigmoid(z - log w)``."""
        z = self._adjusted(s)
        return (z if self.pos_weight is None else z - self._tensor("log_pos_weight_", s)).sigmoid()

    def _adjusted(self, s: Tensor) -> Tensor:
        return s + self.tau * self._tensor("prior_logit_", s) if self.tau else s

    def _check_params(self):
        super()._check_params()
        check_scalar(self.tau, "tau", Real)

    def _update(self):
        super()._update()
        self.prior_logit_ = np.log(self.prior_) - np.log1p(-self.prior_)
        if self.pos_weight is None:
            return
        if isinstance(self.pos_weight, str) and self.pos_weight == "balanced":
            positives = np.where(self.positive_count_ > 0, self.positive_count_, 1.0)
            weight = (self.label_count_ - self.positive_count_) / positives
            # A label without negatives gives nothing to balance.
            weight = np.minimum(np.where(weight > 0, weight, 1.0), MAX_WEIGHT)
        else:
            weight = per_label(self.pos_weight, "pos_weight", self.n_labels_, "'balanced'")
            if (weight == 0).any():
                raise ValueError(f"pos_weight must be > 0, got {self.pos_weight!r}")
        self.pos_weight_ = weight
        self.log_pos_weight_ = np.log(weight)


class FocalLoss(SeparableLoss):
    r"""Focal loss: cross-entropy that turns down what is already right.

    .. math::
        \ell_1 = a_1\,(1-p)^\gamma\,(-\log p), \quad \ell_0 = a_0\,p^\gamma\,(-\log(1-p)), \quad
        p = \sigma(s)

    Gradients :math:`a_1 (1-p)^\gamma(\gamma p \log p - (1-p))` and
    :math:`a_0\,p^\gamma (p - \gamma (1-p) \log(1-p))`. The factor is written as
    ``exp(-gamma * softplus(s))``: a power of ``1 - p`` has NaN gradients at saturation.

    Not proper: :math:`\sigma(s)` is pulled towards 1/2 (for gamma = 2 a true probability of 0.9
    shows as 0.69). The link undoes this.

    Parameters
    ----------
    gamma : float >= 0, default=2
        Focusing parameter; 0 is binary cross-entropy.
    alpha : float in (0, 1) or None, default=None
        Balance: ``alpha`` for positives, ``1 - alpha`` for negatives. The paper's 0.25 suits
        dense object detection, where it pushes away from positives; None weighs both by 1.
    class_weight, label_smoothing, label_reduction
        See `SeparableLoss`.

    References
    ----------
    Lin, Goyal, Girshick, He, Dollar: Focal loss for dense object detection, ICCV 2017.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from sklearn_mlloss.losses import FocalLoss
    >>> loss = FocalLoss(gamma=2).fit(np.array([[1, 0], [0, 1]]))
    >>> loss.link(torch.tensor([[0.8186, 0.0]])).numpy().round(2)
    array([[0.9, 0.5]])
    """

    def __init__(
        self,
        gamma=2.0,
        alpha=None,
        *,
        class_weight=None,
        label_smoothing=0.0,
        label_reduction="mean",
    ):
        super().__init__(
            class_weight=class_weight,
            label_smoothing=label_smoothing,
            label_reduction=label_reduction,
        )
        self.gamma = gamma
        self.alpha = alpha

    def positive(self, s: Tensor) -> Tensor:
        """Return ``a1 * (1 - p) ** gamma * softplus(-s)``."""
        value = torch.exp(-self.gamma * softplus(s)) * softplus(-s)
        return value if self.alpha is None else self.alpha * value

    def negative(self, s: Tensor) -> Tensor:
        """Return ``a0 * p ** gamma * softplus(s)``."""
        value = torch.exp(-self.gamma * softplus(-s)) * softplus(s)
        return value if self.alpha is None else (1 - self.alpha) * value

    def _check_params(self):
        super()._check_params()
        check_scalar(self.gamma, "gamma", Real, min_val=0)
        if self.alpha is not None:
            check_scalar(
                self.alpha, "alpha", Real, min_val=0, max_val=1, include_boundaries="neither"
            )


class AsymmetricLoss(SeparableLoss):
    r"""Asymmetric loss: focal with a focus for each polarity and a margin for easy negatives.

    .. math::
        \ell_1 = (1-p)^{\gamma_+}(-\log p), \quad \ell_0 = p_m^{\gamma_-}(-\log(1-p_m)), \quad
        p_m = \max(p - m, 0)

    A negative with :math:`p \le m` costs nothing and has no gradient. Not proper: with the
    defaults a true probability of 1/2 shows as :math:`\sigma(s) = 0.68` (0.80 with
    ``detach_focus=True``, the reason why a threshold of 0.8 is seen with this loss). The link
    undoes this; probabilities below the one at ``p = clip`` cannot be told apart.

    Parameters
    ----------
    gamma_pos, gamma_neg : float >= 0, default=0 and 4
        Focus on hard positives and hard negatives. The defaults are for strong imbalance; 1 and
        2 with ``clip=0`` are a gentle choice. Equal values with ``clip=0`` are the focal loss.
    clip : float in [0, 1), default=0.05
        The margin m.
    detach_focus : bool, default=False
        Whether the focusing factor is a constant for the gradient. The link follows the
        gradient that is used.
    class_weight, label_smoothing, label_reduction
        See `SeparableLoss`.

    References
    ----------
    Ridnik, Ben-Baruch, Zamir, Noy, Friedman, Protter, Zelnik-Manor: Asymmetric loss for
    multi-label classification, ICCV 2021.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from sklearn_mlloss.losses import AsymmetricLoss
    >>> loss = AsymmetricLoss().fit(np.array([[1, 0], [0, 1]]))
    >>> loss.link(torch.tensor([[0.0, 0.7722]])).numpy().round(2)
    array([[0.13, 0.5 ]])
    """

    def __init__(
        self,
        gamma_pos=0.0,
        gamma_neg=4.0,
        clip=0.05,
        detach_focus=False,
        *,
        class_weight=None,
        label_smoothing=0.0,
        label_reduction="mean",
    ):
        super().__init__(
            class_weight=class_weight,
            label_smoothing=label_smoothing,
            label_reduction=label_reduction,
        )
        self.gamma_pos = gamma_pos
        self.gamma_neg = gamma_neg
        self.clip = clip
        self.detach_focus = detach_focus

    def positive(self, s: Tensor) -> Tensor:
        """Return ``(1 - p) ** gamma_pos * softplus(-s)``."""
        focus = torch.exp(-self.gamma_pos * softplus(s))
        return self._focus(focus) * softplus(-s)

    def negative(self, s: Tensor) -> Tensor:
        """Return ``-p_m ** gamma_neg * log(1 - p_m)``."""
        if self.clip == 0:
            focus = torch.exp(-self.gamma_neg * softplus(-s))
            return self._focus(focus) * softplus(s)
        # From 1 - p, which keeps its digits (and its slope) where p has rounded to 1.
        q = (-s).sigmoid()
        p_m = (1 - self.clip) - q
        inside = p_m > 0
        # A base of 0 would have an infinite slope for an exponent below 1.
        focus = torch.where(inside, p_m, 1.0) ** self.gamma_neg
        return torch.where(inside, self._focus(focus) * -torch.log(q + self.clip), 0.0)

    def _focus(self, factor: Tensor) -> Tensor:
        return factor.detach() if self.detach_focus else factor

    def _check_params(self):
        super()._check_params()
        check_scalar(self.gamma_pos, "gamma_pos", Real, min_val=0)
        check_scalar(self.gamma_neg, "gamma_neg", Real, min_val=0)
        check_scalar(self.clip, "clip", Real, min_val=0, max_val=1, include_boundaries="left")
        check_scalar(self.detach_focus, "detach_focus", (bool, np.bool_))
