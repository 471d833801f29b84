"""The linear part of a network: penalised logistic regressions, with a share per label."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from .columns import Columns, quantiles
from .encoding import Encoding
from .layers import Scaled, inverse

__all__ = ["LinearPart", "UnitEncoding"]

# Spreads from the mean beyond which a value counts as that far out.
FARTHEST = 4.0
# A sparse X with a larger share of non-zeros is treated as dense.
SPARSE_SHARE = 0.25
# How many times as fast as the weights of the network the shares are learned.
PACE = 10.0


@dataclass(eq=False, repr=False)
class UnitEncoding(Encoding):
    r"""Centre each column and scale it by the typical size of its deviations from the median.

    .. math:: z = \frac{x - \text{mean}}{\sqrt{\text{mean of } (x - \text{median})^2
              \text{ over } x \neq \text{median}}}

    within ±4. A continuous column is standardised, except that few outliers count less. A column of
    two values, such as 0 and 1, is only centred: scaled to variance 1, rare ones would escape a
    penalty. A sparse X, of which less than a quarter is not 0, is not centred: zeros stay zeros.

    Parameters
    ----------
    missing_indicator : bool, default=True
        Whether each column with NaN in some of the training rows has one more output, 1 for NaN.

    Attributes
    ----------
    center_, factor_ : ndarray of shape (n_features,)
        Offset to subtract, and factor to multiply by, which is 0 for constant columns.
    limits_ : pair of ndarray of shape (n_features,)
        Limits of the values before scaling.
    """

    missing_indicator: bool = True

    def _fit(self, columns: Columns) -> int:
        mean, width = columns.moments[0], np.zeros(columns.n_features)
        for j, (values, counts) in enumerate(columns.distinct()):
            if not self.constant_[j]:
                square = (values - quantiles(values, counts, np.array([0.5]))[0]) ** 2
                width[j] = np.sqrt(square @ counts / counts[square > 0].sum())
        thin = columns.sparse and columns.X.nnz < SPARSE_SHARE * np.prod(columns.X.shape)
        self.center_ = np.zeros_like(mean) if thin else mean
        self.factor_ = np.where(self.constant_, 0.0, inverse(width))
        self.limits_ = mean - FARTHEST * width, mean + FARTHEST * width
        return columns.n_features

    def _module(self, dtype: torch.dtype) -> Scaled:
        return Scaled(self.center_, self.factor_, self.limits_, dtype)


class LinearPart(nn.Module):
    r"""Deviations from the label priors by a linear model, of which each label learns a share.

    .. math:: \alpha_l \, (\text{weight}_l \cdot \text{encoding}(x) + \text{bias}_l)

    is added to the first outputs of a network. The linear model is fixed, and :math:`\alpha` is
    trained with the network.

    Parameters
    ----------
    encoding : nn.Module
        From rows of X to inputs.
    weight : Tensor of shape (n_inputs, n_labels)
    bias : Tensor of shape (n_labels,)

    Attributes
    ----------
    share : nn.Parameter of shape (n_labels,)
        A tenth of :math:`\alpha`, which so changes ten times as fast in steps of a given size.
    known : Tensor of shape (n, n_labels), or None
        Deviations of the present batch in training, from models that have not seen these rows.
    """

    weight: Tensor
    bias: Tensor
    known: Tensor | None

    def __init__(self, encoding: nn.Module, weight: Tensor, bias: Tensor):
        super().__init__()
        self.encoding = encoding
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)
        self.share = nn.Parameter(torch.full_like(bias, 1 / PACE))
        self.known = None

    @property
    def takes_sparse(self) -> bool:
        """Whether rows can be encoded by their stored values."""
        return type(self.encoding) is Scaled

    @torch.no_grad()
    def set_alpha(self, value: float) -> None:
        """Set the shares of all labels."""
        self.share.fill_(value / PACE)

    def alpha(self) -> Tensor:
        """Return the share of the linear model in the output of each label."""
        return PACE * self.share

    def forward(self, X: Tensor) -> Tensor:
        """Return the log-odds of rows less those of the label priors, shape (n, n_labels)."""
        if self.known is not None and self.training:
            return self.known
        return torch.addmm(self.bias, self.encoding(X), self.weight)

    def added(self, outputs: Tensor, deviations: Tensor) -> Tensor:
        """Return outputs with the share of deviations; outputs beyond the labels stay."""
        share = self.alpha() * deviations
        more = outputs.shape[-1] - share.shape[-1]
        return outputs + (nn.functional.pad(share, (0, more)) if more else share)
