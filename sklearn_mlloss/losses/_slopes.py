"""Shared parts of the closed-form derivatives.

Targets are 0 or 1 here, so that arithmetic on them takes the place of boolean masks, which cost
several times as much on a CPU. Logarithms of available probabilities replace `softplus`: their
rounding errors are multiplied by a probability close to 0.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["HIDE", "ONE", "focal_slope", "log_sum", "polarity"]

# Beyond any logit, also in float32, and finite.
HIDE = 1e30
# Independent of torch's default dtype and device at import.
ONE = torch.tensor(1.0, dtype=torch.float32, device="cpu")


def polarity(y: Tensor) -> Tensor:
    """Return 1 for an absent and -1 for a present label: the direction of increasing loss."""
    return torch.sub(ONE, y, alpha=2)


def focal_slope(d: Tensor, gamma: float, epsilon: float = 0.0) -> Tensor:
    r"""Return the slope of the focal loss, with the sign of the signed probability `d`.

    With `p = |d|` the probability of the wrong value, the derivative of
    :math:`p^\gamma\,[-\log(1-p) + \epsilon p]` by the logit of p is
    :math:`p^\gamma\,[p - \gamma (1-p) \log(1-p) + (\gamma + 1)\,\epsilon\,p\,(1-p)]`. Without
    focus and coefficient that is `d` itself.
    """
    if gamma == 0 and epsilon == 0:
        return d
    p = d.abs()
    minus_q = p.sub(ONE)
    if gamma == 0:
        return minus_q.mul_(-epsilon).add_(ONE).mul_(d)
    # Its logarithm stays finite, times a q of 0.
    log_q = p.neg().clamp_(min=torch.finfo(p.dtype).eps - 1).log1p_()
    slope = torch.addcmul(p, minus_q, log_q, value=gamma)
    if epsilon:
        slope.addcmul_(minus_q, p, value=-(gamma + 1) * epsilon)
    return slope.mul_(p.pow_(gamma)).copysign_(d)


def log_sum(x: Tensor, softmax: Tensor) -> Tensor:
    """Return the log-sum-exp of each row, kept as an axis, given the softmax."""
    return x.amax(-1, keepdim=True).sub_(softmax.amax(-1, keepdim=True).log_())
