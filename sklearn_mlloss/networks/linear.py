"""The linear part of a network: penalised logistic regressions, with a share per label."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from .._data.fields import checked
from .._data.validation import check_integer
from .columns import Columns, quantiles
from .encoding import Encoding, bin_edges
from .layers import PiecewiseLinear, Scaled, inverse

__all__ = ["LinearPart", "UnitEncoding"]

# Spreads from the mean beyond which a value counts as that far out.
FARTHEST = 4.0
# A sparse X with a larger share of non-zeros is treated as dense.
SPARSE_SHARE = 0.25
# Size of the outputs for bins: the smaller, the more their weights are penalised.
BIN_SHARE = 0.5
# How many times as fast as the weights of the network the shares are learned.
PACE = 10.0


@dataclass(eq=False, repr=False)
class UnitEncoding(Encoding):
    r"""Inputs of a linear model: each column on a common scale, and how far it fills its bins.

    .. math:: z = \frac{x - \text{mean}}{\sqrt{\text{mean of } (x - \text{median})^2
              \text{ over } x \neq \text{median}}}

    within ±4. A continuous column is standardised. A column of two values, such as 0 and 1, is only
    centred: scaled to variance 1, rare ones would escape a penalty. Columns of more values also
    have the outputs of a `PiecewiseLinearEncoding`, by half: with them the model is additive, and
    linear where the penalty finds nothing else worth its price.

    A sparse X, of which less than a quarter is not 0, is not centred, so that zeros stay zeros, and
    has no bins.

    Parameters
    ----------
    n_bins : int, default=4
        Maximum number of bins per column; 0 for none.
    missing_indicator : bool, default=True
        Whether each column with NaN in some of the training rows has one more output, 1 for NaN.

    Attributes
    ----------
    center_, factor_ : ndarray of shape (n_features,)
        Offset to subtract, and factor to multiply by, which is 0 for constant columns.
    limits_ : pair of ndarray of shape (n_features,)
        Limits of the values before scaling.
    edges_ : list of ndarray
        Edges of the bins of each column; empty if it has none.
    median_ : ndarray of shape (n_features,)
    """

    n_bins: int = checked(4, check_integer, low=0)
    missing_indicator: bool = True

    def _fit(self, columns: Columns) -> int:
        thin = columns.sparse and columns.X.nnz < SPARSE_SHARE * np.prod(columns.X.shape)
        mean, width = columns.moments[0], np.zeros(columns.n_features)
        self.edges_, self.median_ = [], np.zeros(columns.n_features)
        for j, (values, counts) in enumerate(columns.distinct()):
            edges = np.empty(0)
            if not self.constant_[j]:
                self.median_[j] = quantiles(values, counts, np.array([0.5]))[0]
                square = (values - self.median_[j]) ** 2
                width[j] = np.sqrt(square @ counts / counts[square > 0].sum())
                if len(values) > 2 and self.n_bins and not thin:
                    edges = bin_edges(values, counts, self.n_bins, columns.X.dtype)
            self.edges_.append(edges)
        self.center_ = np.zeros_like(mean) if thin else mean
        self.factor_ = np.where(self.constant_, 0.0, inverse(width))
        self.limits_ = mean - FARTHEST * width, mean + FARTHEST * width
        return columns.n_features + sum(max(0, len(edges) - 1) for edges in self.edges_)

    def _module(self, dtype: torch.dtype) -> nn.Module:
        scaled = Scaled(self.center_, self.factor_, self.limits_, dtype)
        if not any(len(edges) > 1 for edges in self.edges_):
            return scaled
        flipped = np.zeros(len(self.edges_), dtype=bool)
        # The intercept takes the means.
        means = [np.zeros(max(0, len(edges) - 1)) for edges in self.edges_]
        return _WithBins(scaled, PiecewiseLinear(self.edges_, flipped, means, self.median_, dtype))


class _WithBins(nn.Module):
    """Columns, and how far they fill their bins."""

    def __init__(self, scaled: nn.Module, bins: nn.Module):
        super().__init__()
        self.scaled, self.bins = scaled, bins

    def forward(self, X: Tensor) -> Tensor:
        """Encode rows."""
        return torch.cat([self.scaled(X), BIN_SHARE * self.bins(X)], dim=-1)


class LinearPart(nn.Module):
    r"""Deviations from the label priors by a linear model, of which each label learns a share.

    .. math:: \alpha_l \, (\text{weight}_l \cdot \text{encoding}(x) + \text{bias}_l)

    is added to the first outputs of a network. The linear model is fixed, and :math:`\alpha` is
    trained with the network, from 0: beside a linear model that is there from the beginning, layers
    get worse before they get better, and early stopping may end training before that.

    Parameters
    ----------
    encoding : nn.Module
        From rows of X to inputs.
    weight : Tensor of shape (n_inputs, n_labels)
    bias : Tensor of shape (n_labels,)

    Attributes
    ----------
    share : nn.Parameter of shape (n_labels,)
        :math:`\alpha` divided by `pace`.
    pace : float
        10 for optimisers whose steps do not depend on the size of the gradient; 1 for others, such
        as SGD, whose steps it would multiply by 100.
    known : Tensor of shape (n, n_labels), or None
        Deviations of the present batch, while a network is trained, from models that have not seen
        its rows.
    """

    weight: Tensor
    bias: Tensor
    known: Tensor | None

    def __init__(self, encoding: nn.Module, weight: Tensor, bias: Tensor):
        super().__init__()
        self.encoding = encoding
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)
        self.pace = PACE
        self.share = nn.Parameter(torch.zeros_like(bias))
        self.known = None

    @property
    def takes_sparse(self) -> bool:
        """Whether rows can be encoded by their stored values."""
        return type(self.encoding) is Scaled

    def alpha(self) -> Tensor:
        """Return the share of the linear model in the output of each label."""
        return self.pace * self.share

    def forward(self, X: Tensor) -> Tensor:
        """Return the log-odds of rows less those of the label priors, shape (n, n_labels)."""
        if self.known is not None:
            return self.known
        return torch.addmm(self.bias, self.encoding(X), self.weight)

    def added(
        self, outputs: Tensor, deviations: Tensor, alpha: Tensor | float | None = None
    ) -> Tensor:
        """Return outputs with the share of deviations; outputs beyond the labels stay."""
        share = (self.alpha() if alpha is None else alpha) * deviations
        more = outputs.shape[-1] - share.shape[-1]
        return outputs + (nn.functional.pad(share, (0, more)) if more else share)
