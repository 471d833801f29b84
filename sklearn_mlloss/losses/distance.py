"""Distances between target and score: squared errors and the symmetric KL divergence."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus

from .._data.fields import checked
from .._data.validation import check_number
from .base import SeparableLoss

__all__ = ["AbsKLLoss", "BrierLoss", "SquaredErrorLoss"]


class BrierLoss(SeparableLoss):
    r"""Brier score: the squared error of the sigmoid.

    .. math:: \ell_1 = \sigma(-s)^2, \quad \ell_0 = \sigma(s)^2, \quad \eta = \sigma(s)

    Proper and bounded, so robust to mislabelled rows; the gradient :math:`2(p - y)p(1 - p)`
    vanishes for confident mistakes, which is why the output bias starts at the label priors.

    Parameters
    ----------
    class_weight, label_smoothing, label_reduction
        See `SeparableLoss`.

    References
    ----------
    Brier: Verification of forecasts expressed in terms of probability, Monthly Weather Review
    1950.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from sklearn_mlloss.losses import BrierLoss
    >>> loss = BrierLoss().fit(np.array([[1, 0], [0, 1]]))
    >>> loss.objective(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]))
    tensor([0.2500])
    """

    def positive(self, s: Tensor) -> Tensor:
        """Return ``sigmoid(-s) ** 2``."""
        return (-s).sigmoid().square()

    def negative(self, s: Tensor) -> Tensor:
        """Return ``sigmoid(s) ** 2``."""
        return s.sigmoid().square()

    def slope(self, s: Tensor, y: Tensor) -> Tensor:
        """Return ``2 * (p - y) * p * (1 - p)``."""
        p = s.sigmoid()
        return p.sub(y).mul_(torch.addcmul(p, p, p, value=-1)).mul_(2)

    def eta(self, s: Tensor) -> Tensor:
        """Return ``sigmoid(s)``."""
        return s.sigmoid()


class SquaredErrorLoss(SeparableLoss):
    r"""Squared error (MSE) of a linear output.

    .. math:: \ell_1 = (s - 1)^2, \quad \ell_0 = s^2, \quad \eta = \min(\max(s, 0), 1)

    Least squares on the indicator matrix: the output estimates the probability itself, and may
    leave [0, 1].

    Parameters
    ----------
    class_weight, label_smoothing, label_reduction
        See `SeparableLoss`.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from sklearn_mlloss.losses import SquaredErrorLoss
    >>> loss = SquaredErrorLoss().fit(np.array([[1, 0], [0, 1]]))
    >>> loss.link(torch.tensor([[0.25, 1.5]])).numpy().round(4)
    array([[0.25, 1.  ]])
    """

    def positive(self, s: Tensor) -> Tensor:
        """Return ``(s - 1) ** 2``."""
        return (s - 1).square()

    def negative(self, s: Tensor) -> Tensor:
        """Return ``s ** 2``."""
        return s.square()

    def slope(self, s: Tensor, y: Tensor) -> Tensor:
        """Return ``2 * (s - y)``."""
        return s.sub(y).mul_(2)

    def eta(self, s: Tensor) -> Tensor:
        """Return `s` clipped to [0, 1]."""
        return s.clamp(0, 1)


@dataclass(eq=False, repr=False)
class AbsKLLoss(SeparableLoss):
    r"""Symmetric KL divergence (Jeffreys) of target and sigmoid, as unnormalised distributions.

    .. math:: \ell = |P - Q|\,|\log (P/Q)| = (P - Q) \log (P/Q), \qquad
        P = \max(y, \epsilon),\; Q = \max(\sigma(s), \epsilon)

    Both factors have the same sign, so the absolute values are redundant: this is the Jeffreys
    divergence. An absent label is pulled down with a slope near ``log(Q / epsilon)``, which makes
    this the most precision-biased loss here: with epsilon = 1e-7, a true probability of 1/2 leads
    to :math:`\sigma(s) = 0.077`. The link undoes this.

    Parameters
    ----------
    eps : float in (0, 1), default=0.01
        Floor of both arguments. It bounds the loss of absent labels only: a floor under Q for a
        present label would leave a confidently missed one without gradient.
    class_weight, label_smoothing, label_reduction
        See `SeparableLoss`.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from sklearn_mlloss.losses import AbsKLLoss
    >>> loss = AbsKLLoss(eps=1e-7).fit(np.array([[1, 0], [0, 1]]))
    >>> loss.link(torch.tensor([[0.0, -2.4835]])).numpy().round(2)
    array([[0.91, 0.5 ]])
    """

    eps: float = checked(0.01, check_number, low=0, high=1, closed="neither")

    def positive(self, s: Tensor) -> Tensor:
        """Return ``(1 - q) * -log q``."""
        return (-s).sigmoid() * softplus(-s)

    def negative(self, s: Tensor) -> Tensor:
        """Return ``(q - eps) * log(q / eps)`` above eps, else 0."""
        q = s.sigmoid()
        value = (q - self.eps) * (-softplus(-s) - math.log(self.eps))
        return torch.where(q > self.eps, value, 0.0)

    def mixture(self, s: Tensor, y: Tensor) -> Tensor:
        """Return the formula itself for targets `y`, which is not linear in them."""
        q = s.sigmoid()
        p = y.clamp(min=self.eps)
        value = (p - q) * (p.log() + softplus(-s))
        return torch.where((y > self.eps) | (q > self.eps), value, 0.0)

    def slope(self, s: Tensor, y: Tensor) -> Tensor:
        """Return ``(1 - q) * (q * (1 - log(P / q)) - P)`` above the floor, else 0."""
        q, log_eps = s.sigmoid(), math.log(self.eps)
        # For a probability of 0, the product with it is 0 for any logarithm.
        log_q = q.clamp(min=torch.finfo(q.dtype).tiny).log_()
        value = log_q.add_(y, alpha=log_eps).add_(1 - log_eps).mul_(q).sub_(y.clamp(min=self.eps))
        return value.addcmul_(value, q, value=-1).mul_(q.maximum(y).gt_(self.eps))
