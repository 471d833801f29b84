"""Links from network outputs to scores: inside (0, 1), strictly increasing, in float64."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["log_odds", "sigmoid_scores", "softmax_scores", "strictly_increasing"]

# Large enough to keep ties apart in float64 up to logits of 1e4 and beyond, small enough that no
# probability moves by more than twice as much.
DELTA = 1e-5
EDGE = 1e-15


def strictly_increasing(eta: Tensor, margin: Tensor) -> Tensor:
    r"""Keep probabilities off 0 and 1 and break the ties of flat regions by the margin.

    .. math:: (1 - 2\delta)\,\eta + \delta\,(1 + m / (1 + |m|)), \qquad \delta = 10^{-5}

    Parameters
    ----------
    eta : Tensor of float64
        Non-decreasing function of the margin with values in [0, 1].
    margin : Tensor of float64, same shape
        Any finite real numbers.

    Returns
    -------
    Tensor
        Strictly inside (0, 1) and strictly increasing in the margin, also where `eta` is
        constant: ranking metrics do not suffer from ties.
    """
    scores = torch.addcdiv((1 - 2 * DELTA) * eta + DELTA, margin, 1 + margin.abs(), value=DELTA)
    # Margins beyond 1e10 leave no digits.
    return scores.clamp(EDGE, 1 - EDGE)


def sigmoid_scores(logits: Tensor) -> Tensor:
    """Return the sigmoid of each logit, made strict by `strictly_increasing`."""
    logits = logits.double()
    return strictly_increasing(logits.sigmoid(), logits)


def softmax_scores(logits: Tensor) -> Tensor:
    """Return the softmax over the last axis, made strict by `strictly_increasing`."""
    logits = logits.double()
    margin = log_odds(logits) if logits.shape[-1] > 1 else logits
    return strictly_increasing(logits.softmax(-1), margin)


def log_odds(logits: Tensor) -> Tensor:
    """Return ``s_l - logsumexp(s without s_l)``, for at least two labels in the last axis.

    The log-odds of each label against all the others keep growing where the softmax has rounded
    to 1.
    """
    log_p = logits.log_softmax(-1)
    top = log_p.argmax(-1, keepdim=True)
    log_rest = torch.log1p(-log_p.exp())
    # log(1 - p) has no digits left for a label that takes nearly all the mass.
    log_rest_of_top = logits.scatter(-1, top, -torch.inf).logsumexp(-1, keepdim=True)
    log_rest = log_rest.scatter(-1, top, log_rest_of_top - logits.logsumexp(-1, keepdim=True))
    return log_p - log_rest
