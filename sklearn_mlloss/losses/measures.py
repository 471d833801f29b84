"""Soft F-measures: smooth versions of metrics, computed over the batch."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from .._data.fields import checked
from .._data.validation import check_choice, check_number
from .base import Loss
from .links import sigmoid_scores

__all__ = ["SigmoidF1Loss", "SoftFBetaLoss", "TverskyLoss"]

AVERAGES = ("macro", "micro", "samples")


class _SoftCounts(Loss):
    """Base of losses of soft counts of true positives, false positives and false negatives.

    The scores are the probabilities that enter the counts. The loss pushes them towards 0 and 1:
    use a threshold of 1/2, and do not use them as calibrated probabilities.
    """

    average: str
    accepts_soft_targets = True
    _derivatives: ClassVar[dict[str, tuple[str, ...]]] = {
        "gradient": ("objective", "_loss", "_logits"),
    }

    @property
    def row_wise(self) -> bool:  # type: ignore[override]
        """Whether the counts are computed per row."""
        return self.average == "samples"

    def _logits(self, s: Tensor) -> Tensor:
        """Return the logits of the probabilities that enter the counts."""
        return s

    @abstractmethod
    def _loss(self, tp: Tensor, fp: Tensor, fn: Tensor) -> Tensor:
        """Return the loss for soft counts."""

    def objective(
        self,
        outputs: Tensor,
        targets: Tensor,
        mask: Tensor | None = None,
        sample_weight: Tensor | None = None,
    ) -> Tensor:
        """Return the loss of the batch, or of each row for samples; see `Loss.objective`."""
        weight = torch.ones_like(targets) if mask is None else mask
        if self.average != "samples" and sample_weight is not None:
            weight = weight * sample_weight.unsqueeze(-1)
        p = self._logits(outputs).sigmoid()
        over = {"macro": [-2], "micro": [-1, -2], "samples": [-1]}[self.average]
        tp = (weight * p * targets).sum(over)
        fp = (weight * p * (1 - targets)).sum(over)
        fn = (weight * (1 - p) * targets).sum(over)
        observed = weight.sum(over) > 0
        value = torch.where(observed, self._loss(tp, fp, fn), 0.0)
        if self.average == "macro":
            return value.sum(-1) / observed.sum(-1).clamp(min=1)
        return value

    def _row_gradient(
        self, outputs: Tensor, y: Tensor, top: tuple[float, float], bottom: tuple[float, ...]
    ) -> Tensor:
        r"""Return the derivative of a ratio of soft counts by the logits of each row.

        Of

        .. math:: 1 - \frac{t_0 + t_1 TP}{b_0 + b_1 TP + b_2 \sum p + b_3 \sum y}
        """
        p = self._logits(outputs).sigmoid()
        tp = (p * y).sum(-1, keepdim=True)
        below = tp.mul(bottom[1]).add_(p.sum(-1, keepdim=True), alpha=bottom[2])
        below.add_(y.sum(-1, keepdim=True), alpha=bottom[3]).add_(bottom[0])
        share = tp.mul_(top[1]).add_(top[0]).div_(below)
        of_present = share.mul(bottom[1]).sub_(top[1]).div_(below)
        of_each = share.mul_(bottom[2]).div_(below)
        return y.mul(of_present).add_(of_each).mul_(p.addcmul_(p, p, value=-1))

    def link(self, outputs: Tensor) -> Tensor:
        """Return the probabilities that enter the counts; see `Loss.link`."""
        return sigmoid_scores(self._logits(outputs.double()))

    def initial_bias(self) -> np.ndarray:
        """Return the logits of the label priors."""
        return self._prior_logit


@dataclass(eq=False, repr=False)
class SoftFBetaLoss(_SoftCounts):
    r"""Soft F-beta loss: one minus the F-measure of soft counts.

    .. math::
        1 - \frac{(1+\beta^2)\,TP}{(1+\beta^2)\,TP + \beta^2 FN + FP + \epsilon}, \qquad
        TP = \sum p\,y

    over the batch for each label ("macro"), over the batch as a whole ("micro"), or over each row
    ("samples").

    A label without a positive in the batch yields the constant 1 and **no gradient**, hence no
    pressure against false positives: train with large or full batches, or use `TverskyLoss`, whose
    smoothing keeps a gradient.

    Parameters
    ----------
    beta : float > 0, default=1
        Weight of recall against precision.
    average : {"macro", "micro", "samples"}, default="macro"
        Counts per label, over the batch, or per row.
    eps : float > 0, default=1e-7
        Keeps the denominator off 0.

    References
    ----------
    Dembczynski et al., "Optimizing the F-measure in multi-label classification", ICML 2013, for
    the metric; the soft counts are folklore.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from sklearn_mlloss.losses import SoftFBetaLoss
    >>> Y = np.array([[1, 0], [0, 1]])
    >>> loss = SoftFBetaLoss().fit(Y)
    >>> loss.objective(torch.zeros(2, 2), torch.tensor(Y, dtype=torch.float32))
    tensor(0.5000)
    """

    beta: float = checked(1.0, check_number, low=0, closed="neither")
    average: str = checked("macro", check_choice, choices=AVERAGES)
    eps: float = checked(1e-7, check_number, low=0, closed="neither")

    def gradient(self, outputs: Tensor, targets: Tensor) -> Tensor | None:
        """Return the derivative for rows, if `average` is "samples"; see `Loss.gradient`."""
        if self.average != "samples":
            return None
        weight = self.beta**2
        return self._row_gradient(outputs, targets, (0, 1 + weight), (self.eps, 0, 1, weight))

    def _loss(self, tp, fp, fn):
        weight = self.beta**2
        return 1 - (1 + weight) * tp / ((1 + weight) * tp + weight * fn + fp + self.eps)


class SigmoidF1Loss(SoftFBetaLoss):
    r"""Loss sigmoidF1: one minus the macro-F1 of soft counts by a tunable sigmoid.

    .. math:: p = \sigma(\mathrm{slope}\,(s + \mathrm{offset}))

    With slope 1 and offset 0 it is the soft macro-F1 of `SoftFBetaLoss`. As there, a label without
    a positive in the batch has no gradient.

    Parameters
    ----------
    slope : float > 0, default=1
        Steepness; tune it.
    offset : float, default=0
        Shift; tune it.
    eps : float > 0, default=1e-7
        Keeps the denominator off 0.

    References
    ----------
    Benedict, Koops, Odijk, de Rijke: sigmoidF1: a smooth F1 score surrogate loss for multilabel
    classification, TMLR 2022.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from sklearn_mlloss.losses import SigmoidF1Loss
    >>> Y = np.array([[1, 0], [0, 1]])
    >>> loss = SigmoidF1Loss(slope=9).fit(Y)
    >>> loss.objective(torch.zeros(2, 2), torch.tensor(Y, dtype=torch.float32))
    tensor(0.5000)
    """

    # Not a dataclass: `beta` and `average` are not parameters here, but have their defaults.
    def __init__(self, slope: float = 1.0, offset: float = 0.0, eps: float = 1e-7):
        self.slope = slope
        self.offset = offset
        self.eps = eps

    def initial_bias(self) -> np.ndarray:
        """Return the outputs whose probabilities are the label priors."""
        return super().initial_bias() / self.slope - self.offset

    def _logits(self, s: Tensor) -> Tensor:
        return self.slope * (s + self.offset)

    def _check_params(self) -> None:
        super()._check_params()
        check_number(self.slope, "slope", low=0, closed="neither")
        check_number(self.offset, "offset")


@dataclass(eq=False, repr=False)
class TverskyLoss(_SoftCounts):
    r"""Tversky loss: one minus the Tversky index of soft counts.

    .. math:: 1 - \frac{TP + \varsigma}{TP + \alpha\,FP + \beta\,FN + \varsigma}

    alpha = beta = 1/2 is Dice (F1), alpha = beta = 1 Jaccard. The smoothing in numerator and
    denominator keeps a gradient for labels without a positive in the batch.

    Parameters
    ----------
    alpha, beta : float > 0, default=0.5
        Weight of false positives and of false negatives.
    smooth : float > 0, default=1
        The smoothing.
    average : {"macro", "micro", "samples"}, default="macro"
        Counts per label, over the batch, or per row.

    References
    ----------
    Salehi, Erdogmus, Gholipour: Tversky loss function for image segmentation using 3D fully
    convolutional deep networks, MLMI 2017.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from sklearn_mlloss.losses import TverskyLoss
    >>> Y = np.array([[1, 0], [0, 1]])
    >>> loss = TverskyLoss().fit(Y)
    >>> loss.objective(torch.zeros(2, 2), torch.tensor(Y, dtype=torch.float32))
    tensor(0.2500)
    """

    alpha: float = checked(0.5, check_number, low=0, closed="neither")
    beta: float = checked(0.5, check_number, low=0, closed="neither")
    smooth: float = checked(1.0, check_number, low=0, closed="neither")
    average: str = checked("macro", check_choice, choices=AVERAGES)

    def gradient(self, outputs: Tensor, targets: Tensor) -> Tensor | None:
        """Return the derivative for rows, if `average` is "samples"; see `Loss.gradient`."""
        if self.average != "samples":
            return None
        a, b, smooth = self.alpha, self.beta, self.smooth
        return self._row_gradient(outputs, targets, (smooth, 1), (smooth, 1 - a - b, a, b))

    def _loss(self, tp, fp, fn):
        return 1 - (tp + self.smooth) / (tp + self.alpha * fp + self.beta * fn + self.smooth)
