"""Margin losses and losses with other links than the logistic one: one score per label."""

from __future__ import annotations

import torch
from torch import Tensor

from ._slopes import ONE, polarity
from .base import SeparableLoss

__all__ = ["CLogLogLoss", "ExponentialLoss", "HingeLoss", "SquaredHingeLoss"]

# Exponentials continue as their tangents from here: finite in float32 for any output, and never
# without gradient.
MAX_EXPONENT = 30.0
MAX_LOG_RATE = 10.0


class HingeLoss(SeparableLoss):
    r"""Hinge loss: a margin of 1 on the right side of 0.

    .. math:: \ell_1 = \max(0, 1 - s), \quad \ell_0 = \max(0, 1 + s)

    It finds the sign of ``probability - 1/2`` and nothing more: the scores are 0, 1/2 and 1 below,
    within and above the margins, except for the small slope that keeps the order. Calibrate them
    if probabilities are needed.

    Parameters
    ----------
    class_weight, label_smoothing, label_reduction
        See `SeparableLoss`.

    References
    ----------
    Cortes, Vapnik: Support-vector networks, Machine Learning 1995.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from sklearn_mlloss.losses import HingeLoss
    >>> loss = HingeLoss().fit(np.array([[1, 0], [0, 1]]))
    >>> loss.objective(torch.tensor([[0.5, 2.0]]), torch.tensor([[1.0, 0.0]]))
    tensor([1.7500])
    """

    proper = False

    def positive(self, s: Tensor) -> Tensor:
        """Return ``max(0, 1 - s)``."""
        return (1 - s).relu()

    def negative(self, s: Tensor) -> Tensor:
        """Return ``max(0, 1 + s)``."""
        return (1 + s).relu()

    def slope(self, s: Tensor, y: Tensor) -> Tensor:
        """Return the polarity, and 0 beyond the margin."""
        sign = polarity(y)
        return s.mul(sign).gt_(-1).mul_(sign)


class SquaredHingeLoss(SeparableLoss):
    r"""Squared hinge loss.

    .. math:: \ell_1 = \max(0, 1 - s)^2, \quad \ell_0 = \max(0, 1 + s)^2, \quad
        \eta = \min(\max((s + 1)/2, 0), 1)

    Parameters
    ----------
    class_weight, label_smoothing, label_reduction
        See `SeparableLoss`.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from sklearn_mlloss.losses import SquaredHingeLoss
    >>> loss = SquaredHingeLoss().fit(np.array([[1, 0], [0, 1]]))
    >>> loss.link(torch.tensor([[0.5, -2.0]])).numpy().round(3)
    array([[0.75, 0.  ]])
    """

    def positive(self, s: Tensor) -> Tensor:
        """Return ``max(0, 1 - s) ** 2``."""
        return (1 - s).relu().square()

    def negative(self, s: Tensor) -> Tensor:
        """Return ``max(0, 1 + s) ** 2``."""
        return (1 + s).relu().square()

    def slope(self, s: Tensor, y: Tensor) -> Tensor:
        """Return ``2 * (s + 1)`` or ``2 * (s - 1)``, and 0 beyond the margin."""
        sign = polarity(y)
        return s.mul(sign).add_(ONE).relu_().mul_(sign.mul_(2))

    def eta(self, s: Tensor) -> Tensor:
        """Return ``(s + 1) / 2`` clipped to [0, 1]."""
        return ((s + 1) / 2).clamp(0, 1)


class ExponentialLoss(SeparableLoss):
    r"""Exponential loss, that of AdaBoost.

    .. math:: \ell_1 = e^{-s}, \quad \ell_0 = e^{s}, \quad \eta = \sigma(2s)

    Consistent for the ranking loss, like the logistic one; sensitive to outliers. From an
    exponent of 30 on, the loss continues as its tangent.

    Parameters
    ----------
    class_weight, label_smoothing, label_reduction
        See `SeparableLoss`.

    References
    ----------
    Dembczynski, Kotlowski, Huellermeier: Consistent multilabel ranking through univariate losses,
    ICML 2012.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from sklearn_mlloss.losses import ExponentialLoss
    >>> loss = ExponentialLoss().fit(np.array([[1, 0], [0, 1]]))
    >>> loss.link(torch.tensor([[0.0, 1.0]])).numpy().round(3)
    array([[0.5  , 0.881]])
    """

    def positive(self, s: Tensor) -> Tensor:
        """Return ``exp(-s)``."""
        return _exp(-s, MAX_EXPONENT)

    def negative(self, s: Tensor) -> Tensor:
        """Return ``exp(s)``."""
        return _exp(s, MAX_EXPONENT)

    def slope(self, s: Tensor, y: Tensor) -> Tensor:
        """Return ``-exp(-s)`` or ``exp(s)``."""
        sign = polarity(y)
        return s.mul(sign).clamp_(max=MAX_EXPONENT).exp_().mul_(sign)

    def eta(self, s: Tensor) -> Tensor:
        """Return ``sigmoid(2 * s)``."""
        return (2 * s).sigmoid()


class CLogLogLoss(SeparableLoss):
    r"""Complementary log-log: cross-entropy of the probability that a Poisson count is not 0.

    .. math:: \ell_1 = -\log(1 - e^{-r}), \quad \ell_0 = r, \quad r = e^s, \quad
        \eta = 1 - e^{-r}

    An asymmetric link (Gumbel): it approaches 1 faster than 0, and for rare labels is close to the
    logistic one. From ``s = 10`` on, the rate continues as its tangent.

    Parameters
    ----------
    class_weight, label_smoothing, label_reduction
        See `SeparableLoss`.

    References
    ----------
    McCullagh, Nelder: Generalized linear models, 1989.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from sklearn_mlloss.losses import CLogLogLoss
    >>> loss = CLogLogLoss().fit(np.array([[1, 0], [0, 1]]))
    >>> loss.link(torch.tensor([[-0.3665, 2.0]])).numpy().round(3)
    array([[0.5  , 0.999]])
    """

    def positive(self, s: Tensor) -> Tensor:
        """Return ``-log(1 - exp(-r))``."""
        # For small rates this is -s + r / 2, down to where the rate itself underflows.
        small = s < -20
        rate = _exp(s, MAX_LOG_RATE)
        value = -torch.log(-torch.expm1(-torch.where(small, 1.0, rate)))
        return torch.where(small, rate / 2 - s, value)

    def negative(self, s: Tensor) -> Tensor:
        """Return the rate ``r``."""
        return _exp(s, MAX_LOG_RATE)

    def slope(self, s: Tensor, y: Tensor) -> Tensor:
        """Return ``-r / (exp(r) - 1)`` or `r`."""
        # Below the lower end the former is -1, the latter 0 to the last digit.
        rate = s.clamp(-40.0, MAX_LOG_RATE).exp_()
        return rate.lerp(rate.div(rate.expm1()).neg_(), y)

    def eta(self, s: Tensor) -> Tensor:
        """Return ``1 - exp(-r)``."""
        return -torch.expm1(-_exp(s, MAX_LOG_RATE))


def _exp(x: Tensor, limit: float) -> Tensor:
    """Return the exponential, continued as its tangent above the limit."""
    beyond = (x - limit).clamp(min=0)
    return (x - beyond).exp() * (1 + beyond)
