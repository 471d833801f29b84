"""Loss functions for multi-label training, with links from network outputs to scores.

`LOSSES` maps names to classes; `get_loss` turns a name, a class, a torch loss or a callable into
an instance.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from .._data.messages import describe, did_you_mean
from .._data.metric_names import advise_metric
from .._data.registry import Registry
from .balanced import DistributionBalancedLoss
from .base import Criterion, Loss, SeparableLoss
from .counts import FactorizedLoss, PoissonSoftmaxLoss
from .cross_entropy import BinaryCrossEntropy, LDAMLoss, Poly1Loss
from .distance import AbsKLLoss, BrierLoss, SquaredErrorLoss
from .focal import AsymmetricLoss, AsymmetricPolynomialLoss, FocalLoss, HillLoss, SPLCLoss
from .function import FunctionLoss
from .heads import WithCount
from .margins import CLogLogLoss, ExponentialLoss, HingeLoss, SquaredHingeLoss
from .measures import SigmoidF1Loss, SoftFBetaLoss, TverskyLoss
from .ranking import BPMLLLoss, LSEPLoss, MultilabelMarginLoss, PairwiseLogisticLoss, TwoWayLoss
from .sets import AdaptiveThresholdLoss, BalancedBCELoss, ZLPRLoss
from .softmax import SoftmaxCrossEntropy

__all__ = [
    "LOSSES",
    "AbsKLLoss",
    "AdaptiveThresholdLoss",
    "AsymmetricLoss",
    "AsymmetricPolynomialLoss",
    "BPMLLLoss",
    "BalancedBCELoss",
    "BinaryCrossEntropy",
    "BrierLoss",
    "CLogLogLoss",
    "Criterion",
    "DistributionBalancedLoss",
    "ExponentialLoss",
    "FactorizedLoss",
    "FocalLoss",
    "FunctionLoss",
    "HillLoss",
    "HingeLoss",
    "LDAMLoss",
    "LSEPLoss",
    "Loss",
    "MultilabelMarginLoss",
    "PairwiseLogisticLoss",
    "PoissonSoftmaxLoss",
    "Poly1Loss",
    "SPLCLoss",
    "SeparableLoss",
    "SigmoidF1Loss",
    "SoftFBetaLoss",
    "SoftmaxCrossEntropy",
    "SquaredErrorLoss",
    "SquaredHingeLoss",
    "TverskyLoss",
    "TwoWayLoss",
    "WithCount",
    "ZLPRLoss",
    "get_loss",
]

LOSSES: Registry[Loss] = Registry(
    "loss",
    Loss,
    {
        "abs_kl": AbsKLLoss,
        "asymmetric": AsymmetricLoss,
        "asymmetric_polynomial": AsymmetricPolynomialLoss,
        "atlop": AdaptiveThresholdLoss,
        "balanced_bce": BalancedBCELoss,
        "bce": BinaryCrossEntropy,
        "bp_mll": BPMLLLoss,
        "brier": BrierLoss,
        "cloglog": CLogLogLoss,
        "distribution_balanced": DistributionBalancedLoss,
        "exponential": ExponentialLoss,
        "factorized": FactorizedLoss,
        "focal": FocalLoss,
        "hill": HillLoss,
        "hinge": HingeLoss,
        "ldam": LDAMLoss,
        "lsep": LSEPLoss,
        "mse": SquaredErrorLoss,
        "multilabel_margin": MultilabelMarginLoss,
        "pairwise_logistic": PairwiseLogisticLoss,
        "poisson_softmax": PoissonSoftmaxLoss,
        "poly1": Poly1Loss,
        "sigmoid_f1": SigmoidF1Loss,
        "soft_fbeta": SoftFBetaLoss,
        "softmax_ce": SoftmaxCrossEntropy,
        "splc": SPLCLoss,
        "squared_hinge": SquaredHingeLoss,
        "tversky": TverskyLoss,
        "two_way": TwoWayLoss,
        "zlpr": ZLPRLoss,
    },
)


def get_loss(spec: Any) -> Loss:
    """Return a loss from a name, a class, a torch loss or a callable.

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
    is_class = isinstance(spec, type)
    if isinstance(spec, str) and spec not in LOSSES:
        raise ValueError(
            f"loss must be one of {', '.join(LOSSES)}, got {describe(spec)}"
            f"{did_you_mean(spec, LOSSES) or advise_metric(spec)}"
        )
    if isinstance(spec, Loss | str) or (is_class and issubclass(spec, Loss)):
        return LOSSES.resolve(spec)
    if callable(spec) and (not is_class or issubclass(spec, nn.Module)):
        return FunctionLoss(spec)
    raise TypeError(
        "loss must be a name, a Loss, a torch loss or a callable (outputs, targets), got "
        f"{describe(spec)}"
    )
