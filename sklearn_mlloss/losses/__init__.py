"""Losses: what the network is trained with, and the link from its outputs to scores.

`LOSSES` maps names to classes; `get_loss` turns a name, a class, a torch loss or a callable into
an instance.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from .base import Criterion, Loss, SeparableLoss
from .counts import FactorizedLoss, PoissonSoftmaxLoss
from .cross_entropy import AsymmetricLoss, BinaryCrossEntropy, FocalLoss
from .distance import AbsKLLoss, BrierLoss, SquaredErrorLoss
from .function import FunctionLoss
from .sets import ZLPRLoss
from .softmax import SoftmaxCrossEntropy

__all__ = [
    "LOSSES",
    "AbsKLLoss",
    "AsymmetricLoss",
    "BinaryCrossEntropy",
    "BrierLoss",
    "Criterion",
    "FactorizedLoss",
    "FocalLoss",
    "FunctionLoss",
    "Loss",
    "PoissonSoftmaxLoss",
    "SeparableLoss",
    "SoftmaxCrossEntropy",
    "SquaredErrorLoss",
    "ZLPRLoss",
    "get_loss",
]

LOSSES: dict[str, type[Loss]] = {
    "abs_kl": AbsKLLoss,
    "asymmetric": AsymmetricLoss,
    "bce": BinaryCrossEntropy,
    "brier": BrierLoss,
    "factorized": FactorizedLoss,
    "focal": FocalLoss,
    "mse": SquaredErrorLoss,
    "poisson_softmax": PoissonSoftmaxLoss,
    "softmax_ce": SoftmaxCrossEntropy,
    "zlpr": ZLPRLoss,
}


def get_loss(spec: Any) -> Loss:
    """Return the loss that `spec` means.

    Parameters
    ----------
    spec : str, Loss, Loss class, nn.Module, nn.Module class or callable
        A name of `LOSSES` or a class gives an instance with default parameters; a loss is
        returned as it is; a torch loss or a callable becomes a `FunctionLoss`.

    Returns
    -------
    Loss

    Raises
    ------
    ValueError
        For a name that is not registered.
    TypeError
        For anything else.

    Examples
    --------
    >>> from sklearn_mlloss.losses import get_loss
    >>> get_loss("focal")
    FocalLoss()
    """
    if isinstance(spec, str):
        if spec not in LOSSES:
            raise ValueError(f"loss must be one of {', '.join(sorted(LOSSES))}, got {spec!r}")
        return LOSSES[spec]()
    if isinstance(spec, Loss):
        return spec
    if isinstance(spec, type) and issubclass(spec, Loss):
        return spec()
    if isinstance(spec, nn.Module) or callable(spec):
        return FunctionLoss(spec)
    raise TypeError(
        f"loss must be a name, a Loss, a torch loss or a callable (outputs, targets), got {spec!r}"
    )
