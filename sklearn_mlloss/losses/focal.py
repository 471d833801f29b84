"""Focal and asymmetric losses: they down-weight easy examples, or suspected label errors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus

from .._data.fields import checked
from .._data.validation import check_flag, check_integer, check_number
from ._slopes import ONE, focal_slope
from .base import MAX_LOGIT, SeparableLoss, probability_of_slopes

__all__ = [
    "AsymmetricLoss",
    "AsymmetricPolynomialLoss",
    "FocalLoss",
    "HillLoss",
    "SPLCLoss",
]


# Stands for a base of 0: its powers vanish, its quotients stay finite in float32.
SMALL_BASE = 1e-30


@dataclass(eq=False, repr=False)
class FocalLoss(SeparableLoss):
    r"""Focal loss: cross-entropy that down-weights well-classified examples.

    .. math::
        \ell_1 = a_1\,(1-p)^\gamma\,(-\log p), \quad \ell_0 = a_0\,p^\gamma\,(-\log(1-p)), \quad
        p = \sigma(s)

    Gradients :math:`a_1 (1-p)^\gamma(\gamma p \log p - (1-p))` and
    :math:`a_0\,p^\gamma (p - \gamma (1-p) \log(1-p))`. The factor is written as
    ``exp(-gamma * softplus(s))``: a power of ``1 - p`` has NaN gradients at saturation.

    The sigmoid of the logit is not a probability: it is pulled towards 1/2 (for gamma = 2 a true
    probability of 0.9 becomes 0.69). The link undoes this.

    Parameters
    ----------
    gamma : float >= 0, default=2
        Focusing parameter; 0 is binary cross-entropy.
    alpha : float in (0, 1) or None, default=None
        Balance: ``alpha`` for positives, ``1 - alpha`` for negatives. The paper's 0.25 suits
        dense object detection, where it down-weights positives; None gives both the weight 1.
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

    gamma: float = checked(2.0, check_number, low=0)
    alpha: float | None = checked(
        None, check_number, optional=True, low=0, high=1, closed="neither"
    )

    def positive(self, s: Tensor) -> Tensor:
        """Return ``a1 * (1 - p) ** gamma * softplus(-s)``."""
        value = torch.exp(-self.gamma * softplus(s)) * softplus(-s)
        return value if self.alpha is None else self.alpha * value

    def negative(self, s: Tensor) -> Tensor:
        """Return ``a0 * p ** gamma * softplus(s)``."""
        value = torch.exp(-self.gamma * softplus(-s)) * softplus(s)
        return value if self.alpha is None else (1 - self.alpha) * value

    def slope(self, s: Tensor, y: Tensor) -> Tensor:
        """Return `focal_slope`, balanced."""
        value = focal_slope(s.sigmoid().sub_(y), self.gamma)
        if self.alpha is None:
            return value
        return value.mul_(y.mul(2 * self.alpha - 1).add_(1 - self.alpha))


class _AsymmetricPolynomial(SeparableLoss):
    """Base of the asymmetric losses: the polynomial one, with coefficients 0 unless it has them."""

    gamma_pos: float
    gamma_neg: float
    clip: float
    e1: float = 0.0
    e2: float = 0.0
    en: float = 0.0
    detach_focus: bool

    def positive(self, s: Tensor) -> Tensor:
        """Return the polynomial of ``1 - p`` times its focus."""
        if self.e1 or self.e2:
            q = (-s).sigmoid()
            value = softplus(-s) - self.e1 * q - self.e2 / 2 * q.square()
        else:
            value = softplus(-s)
        return self._focus(torch.exp(-self.gamma_pos * softplus(s))) * value

    def negative(self, s: Tensor) -> Tensor:
        """Return the polynomial of ``1 - p_m`` times its focus; 0 where ``p <= clip``."""
        # From 1 - p, which keeps its digits (and its slope) where p has rounded to 1.
        q = (-s).sigmoid()
        if self.clip == 0:
            focus = torch.exp(-self.gamma_neg * softplus(-s))
            value = softplus(s) - self.en * q if self.en else softplus(s)
            return self._focus(focus) * value
        p_m = (1 - self.clip) - q
        inside = p_m > 0
        # A base of 0 would have an infinite slope for an exponent below 1.
        focus = torch.where(inside, p_m, 1.0) ** self.gamma_neg
        value = -torch.log(q + self.clip)
        if self.en:
            value = value - self.en * (q + self.clip)
        return torch.where(inside, self._focus(focus) * value, 0.0)

    def slope(self, s: Tensor, y: Tensor) -> Tensor:
        """Return the derivative of both polarities, each where it belongs.

        With q = 1 - p, k = 1 - p_m and the values V of the square brackets, those of a present and
        an absent label are, without the terms in gamma if the focus is detached,

        ``-q ** gamma_pos * (gamma_pos * p * V1 + q * (1 - e1 * p - e2 * p * q))`` and
        ``p_m ** gamma_neg * p * q * (gamma_neg * V0 / p_m + 1 / k + en)``.
        """
        e1, e2, en = self.e1, self.e2, self.en
        tiny = torch.finfo(s.dtype).tiny
        q = s.neg().sigmoid_()
        if not self.clip:
            q.clamp_(min=tiny)
        p = torch.sub(ONE, q)
        # Of a present label.
        present = q.neg()
        if e1 or e2:
            present.mul_(q.mul(-e2).sub_(e1).mul_(p).add_(ONE))
        if self.gamma_pos:
            if not self.detach_focus:
                value = p.clamp(min=tiny).log_()
                if e1 or e2:
                    value.add_(q.mul(e2 / 2).add_(e1).mul_(q))
                present.addcmul_(value, p, value=self.gamma_pos)
            present.mul_(q.pow(self.gamma_pos))
        # Of an absent label.
        k = q.add(self.clip)
        base = torch.sub(ONE, k).clamp_(min=SMALL_BASE)
        absent = k.reciprocal()
        if en:
            absent.add_(en)
        if self.gamma_neg and not self.detach_focus:
            value = k.log()
            if en:
                value.add_(k, alpha=en)
            absent.addcdiv_(value, base, value=-self.gamma_neg)
        absent.mul_(p).mul_(q)
        if self.gamma_neg:
            absent.mul_(
                base.square().square_() if self.gamma_neg == 4 else base.pow(self.gamma_neg)
            )
        if self.clip and self.gamma_neg <= 1:
            absent.mul_(base.gt_(SMALL_BASE))
        return absent.lerp_(present, y)

    def _focus(self, factor: Tensor) -> Tensor:
        return factor.detach() if self.detach_focus else factor


@dataclass(eq=False, repr=False)
class AsymmetricLoss(_AsymmetricPolynomial):
    r"""Asymmetric loss (ASL): focal loss with one gamma per polarity and a margin for negatives.

    .. math::
        \ell_1 = (1-p)^{\gamma_+}(-\log p), \quad \ell_0 = p_m^{\gamma_-}(-\log(1-p_m)), \quad
        p_m = \max(p - m, 0)

    A negative with :math:`p \le m` has neither loss nor gradient. With the
    defaults a true probability of 1/2 becomes :math:`\sigma(s) = 0.68` (0.80 with
    ``detach_focus=True``, which explains the usual threshold of 0.8 for this loss). The link
    undoes this; probabilities below the one at ``p = clip`` are tied.

    Parameters
    ----------
    gamma_pos, gamma_neg : float >= 0, default=0 and 4
        Focus on hard positives and hard negatives. The defaults are for strong imbalance; 1 and
        2 with ``clip=0`` are a milder choice. Equal values with ``clip=0`` are the focal loss.
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

    gamma_pos: float = checked(0.0, check_number, low=0)
    gamma_neg: float = checked(4.0, check_number, low=0)
    clip: float = checked(0.05, check_number, low=0, high=1, closed="left")
    detach_focus: bool = checked(False, check_flag)


@dataclass(eq=False, repr=False)
class AsymmetricPolynomialLoss(_AsymmetricPolynomial):
    r"""Asymmetric polynomial loss (APL): asymmetric loss with other polynomial coefficients.

    .. math::
        \ell_1 &= -(1-p)^{\gamma_+}\,[\log p + e_1 (1-p) + \tfrac12 e_2 (1-p)^2] \\
        \ell_0 &= -p_m^{\gamma_-}\,[\log(1-p_m) + e_n (1-p_m)], \qquad p_m = \max(p - m, 0)

    ``e1 = 1`` removes the linear term of the expansion of ``-log p``. With the
    defaults a true probability of 1/2 becomes :math:`\sigma(s) = 0.67` (0.76 with
    ``detach_focus=True``). The link undoes this.

    Parameters
    ----------
    gamma_pos, gamma_neg : float >= 0, default=0 and 4
        Focus on hard positives and hard negatives.
    clip : float in [0, 1), default=0.05
        The margin m.
    e1, e2, en : float, default=1, -2.5 and 0
        The coefficients.
    detach_focus : bool, default=False
        Whether the focusing factor is a constant for the gradient, as in the authors' code. The
        link follows the gradient that is used.
    class_weight, label_smoothing, label_reduction
        See `SeparableLoss`.

    References
    ----------
    Huang, Qi, Wang, Lin: Asymmetric polynomial loss for multi-label classification, ICASSP 2023.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from sklearn_mlloss.losses import AsymmetricPolynomialLoss
    >>> loss = AsymmetricPolynomialLoss().fit(np.array([[1, 0], [0, 1]]))
    >>> loss.link(torch.tensor([[0.0, 0.71]])).numpy().round(2)
    array([[0.12, 0.5 ]])
    """

    gamma_pos: float = checked(0.0, check_number, low=0)
    gamma_neg: float = checked(4.0, check_number, low=0)
    clip: float = checked(0.05, check_number, low=0, high=1, closed="left")
    e1: float = checked(1.0, check_number)
    e2: float = checked(-2.5, check_number)
    en: float = checked(0.0, check_number)
    detach_focus: bool = checked(False, check_flag)


@dataclass(eq=False, repr=False)
class HillLoss(SeparableLoss):
    r"""Hill loss for missing positive labels: confident "negatives" are ignored.

    .. math::
        \ell_1 = (1-p')^\gamma\,\mathrm{softplus}(-(s-\mu)),\; p' = \sigma(s - \mu), \qquad
        \ell_0 = (\lambda - p)\,p^2

    The gradient of a negative, :math:`p^2(1-p)(2\lambda-3p)`, decreases again towards p = 1: an
    absent label with a high predicted probability is probably missing in the data. A true
    probability of 1/2 becomes :math:`\sigma(s) = 0.94`. The link undoes this.

    Parameters
    ----------
    lam : float >= 1.5, default=1.5
        Height of the hill; below 1.5 the loss would not be monotone.
    margin : float, default=1
        The shift mu of the positives.
    gamma : float >= 0, default=2
        Focusing parameter of the positives.
    class_weight, label_smoothing, label_reduction
        See `SeparableLoss`.

    References
    ----------
    Zhang, Cheng, Huang, Wen, Feng, Li, Guo: Simple and robust loss design for multi-label
    learning with missing labels, 2021.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from sklearn_mlloss.losses import HillLoss
    >>> loss = HillLoss().fit(np.array([[1, 0], [0, 1]]))
    >>> loss.link(torch.tensor([[0.0, 2.6991]])).numpy().round(2)
    array([[0.2, 0.5]])
    """

    lam: float = checked(1.5, check_number, low=1.5)
    margin: float = checked(1.0, check_number)
    gamma: float = checked(2.0, check_number, low=0)

    def positive(self, s: Tensor) -> Tensor:
        """Return the focal loss of a positive at ``s - margin``."""
        z = s - self.margin
        return torch.exp(-self.gamma * softplus(z)) * softplus(-z)

    def negative(self, s: Tensor) -> Tensor:
        """Return ``(lam - p) * p ** 2``."""
        p = s.sigmoid()
        return (self.lam - p) * p.square()

    def slope(self, s: Tensor, y: Tensor) -> Tensor:
        """Return `focal_slope` at ``s - margin``, and ``p ** 2 * (1 - p) * (2 * lam - 3 * p)``."""
        present = focal_slope(s.sub(self.margin).sigmoid_().sub_(1), self.gamma)
        p = s.sigmoid()
        absent = p.mul(-3).add_(2 * self.lam).mul_(torch.addcmul(p, p, p, value=-1)).mul_(p)
        return absent.lerp_(present, y)

    def _check_params(self):
        super()._check_params()
        if (
            self.eta(torch.linspace(-12, 12, 481, dtype=torch.float64, device="cpu")).diff().min()
            < -1e-9
        ):
            raise ValueError(
                f"lam={self.lam!r}, margin={self.margin!r}, gamma={self.gamma!r}: a higher score "
                "would mean a lower probability; raise gamma or lam, or lower margin"
            )


@dataclass(eq=False, repr=False)
class SPLCLoss(SeparableLoss):
    r"""Self-paced loss correction (SPLC) of missing labels, with focal loss and margin.

    .. math::
        \ell_1 = (1-p')^\gamma\,\mathrm{softplus}(-(s-\mu)),\; p' = \sigma(s - \mu), \qquad
        \ell_0 = p^\gamma\,\mathrm{softplus}(s)

    From epoch `start_epoch` on, an absent label with :math:`\sigma(s) > \tau` is treated as
    present, without margin: :math:`\ell_0 = (1-p)^\gamma\,\mathrm{softplus}(-s)`. The link is that
    of the uncorrected loss.

    Parameters
    ----------
    tau : float in (0, 1), default=0.6
        Predicted probability above which an absent label is treated as missing.
    margin : float, default=1
        The shift mu of the positives.
    gamma : float >= 0, default=2
        Focusing parameter.
    start_epoch : int >= 0, default=1
        First epoch, from 0, with corrections.
    class_weight, label_smoothing, label_reduction
        See `SeparableLoss`.

    References
    ----------
    Zhang, Cheng, Huang, Wen, Feng, Li, Guo: Simple and robust loss design for multi-label
    learning with missing labels, 2021.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from sklearn_mlloss.losses import SPLCLoss
    >>> loss = SPLCLoss().fit(np.array([[1, 0], [0, 1]]))
    >>> outputs, targets = torch.full((1, 2), 2.0), torch.zeros(1, 2)
    >>> loss.objective(outputs, targets)
    tensor([1.6501])
    >>> loss.set_epoch(1)
    >>> loss.objective(outputs, targets)
    tensor([0.0018])
    """

    tau: float = checked(0.6, check_number, low=0, high=1, closed="neither")
    margin: float = checked(1.0, check_number)
    gamma: float = checked(2.0, check_number, low=0)
    start_epoch: int = checked(1, check_integer, low=0)

    # The corrections raise the scores of labels that are treated as missing.
    proper = False

    def set_epoch(self, epoch: int) -> None:
        """Set the index of the current epoch, from 0."""
        self.epoch_ = epoch

    def positive(self, s: Tensor) -> Tensor:
        """Return the focal loss of a positive at ``s - margin``."""
        return self._focal(s - self.margin)

    def negative(self, s: Tensor) -> Tensor:
        """Return the focal loss of a negative, or of a positive where it is corrected."""
        value = self._focal(-s)
        if getattr(self, "epoch_", 0) < self.start_epoch:
            return value
        return torch.where(s.sigmoid() > self.tau, self._focal(s), value)

    def slope(self, s: Tensor, y: Tensor) -> Tensor:
        """Return `focal_slope` at ``s - margin`` or `s`, with corrected targets as present."""
        d = torch.sub(s, y, alpha=self.margin).sigmoid_()
        if getattr(self, "epoch_", 0) < self.start_epoch:
            return focal_slope(d.sub_(y), self.gamma)
        return focal_slope(d.sub_(s.sigmoid().gt_(self.tau).maximum(y)), self.gamma)

    def eta(self, s: Tensor) -> Tensor:
        """Return the link of the uncorrected loss."""
        logits = s.clamp(-MAX_LOGIT, MAX_LOGIT)
        present = focal_slope((logits - self.margin).sigmoid().sub_(1), self.gamma)
        return probability_of_slopes(present, focal_slope(logits.sigmoid(), self.gamma))

    def _focal(self, s: Tensor) -> Tensor:
        return torch.exp(-self.gamma * softplus(s)) * softplus(-s)
