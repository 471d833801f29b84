"""Numerical feature encodings: fitted on the training rows, then the first layer of a network.

An encoding consists of two objects. An `Encoding` is a scikit-learn estimator to clone and search
over, whose ``fit(X)`` computes numpy arrays. Its ``module()`` returns a torch module with these
arrays as buffers, which moves with ``.to`` and is saved with the network. (One class cannot be
both: scikit-learn's `clone` and `set_params` need constructors that only store their arguments,
torch needs ``Module.__init__`` to run first and changes attribute access.)

Rows are encoded per batch, never all at once. Outputs are finite for any finite input: values far
outside of the range of the training rows are limited (except by an `IdentityEncoding` that does not
clip).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Self, final

import numpy as np
import torch
from scipy.special import ndtri
from sklearn.exceptions import NotFittedError
from torch import nn

from .._data.fields import check_fields, checked
from .._data.messages import describe
from .._data.persistence import VersionedEstimator
from .._data.registry import Registry
from .._data.validation import check_flag, check_integer, is_auto
from .columns import CSR, SLACK, Columns, quantiles
from .layers import (
    Centered,
    Filled,
    Flipped,
    PiecewiseLinear,
    Quantile,
    Scaled,
    WithIndicator,
    inverse,
    reach,
)

__all__ = [
    "ENCODINGS",
    "Encoding",
    "IdentityEncoding",
    "PiecewiseLinearEncoding",
    "QuantileEncoding",
    "RobustEncoding",
    "StandardEncoding",
    "get_encoding",
]

# The largest output of a quantile encoding: the normal quantile of 3 in 10 million.
NORMAL_LIMIT = 5.0
# Share of ones from which binary columns are centred.
DENSE_SHARE = 0.25
# Interquartile range of a standard normal variable.
NORMAL_IQR = 2 * ndtri(0.75)


class Encoding(VersionedEstimator, ABC):
    """Base class of encodings: ``fit(X)``, then ``module()`` returns a layer of a network.

    To write a custom encoding, store the parameters in ``__init__`` (including
    ``missing_indicator``), implement ``_fit(columns)``, which computes arrays and returns the
    number of outputs, and ``_module(dtype)``, which returns a torch module from (..., n_features)
    to (..., n_outputs) that encodes NaN as a typical value of the column. Do not override the
    public methods.

    Attributes
    ----------
    n_features_in_ : int
        Columns of X.
    n_outputs_ : int
        Columns of the encoded X.
    missing_features_ : ndarray of int
        Columns of X with NaN in some of the training rows, but not all: those with an indicator if
        `missing_indicator`.
    constant_ : ndarray of bool, shape (n_features,)
        Columns of X with fewer than two values, which have no effect.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from sklearn_mlloss.networks import StandardEncoding
    >>> encoding = StandardEncoding().fit(np.array([[1.0], [3.0], [np.nan]]))
    >>> encoding.module()(torch.tensor([[4.0], [torch.nan]]))
    tensor([[2., 0.],
            [0., 1.]])
    """

    missing_indicator: bool = False

    @final
    def fit(self, X: np.ndarray | CSR, y: Any = None, sample_weight: Any = None) -> Self:
        """Fit the encoding on the training rows.

        Parameters
        ----------
        X : ndarray or CSR matrix of shape (n_samples, n_features)
            NaN means missing and is left out; a sparse X has none.
        y : object
            Ignored.
        sample_weight : array-like of shape (n_samples,), optional
            Weights >= 0. A weight of 2 equals a row given twice, 0 one left out; only proportions
            matter.

        Returns
        -------
        self : Encoding

        Raises
        ------
        ValueError
            If X has infinite values, a sparse X has NaN, a weight is negative, or a parameter is
            out of range.
        """
        check_flag(self.missing_indicator, "missing_indicator")
        check_fields(self)
        columns = Columns(X, sample_weight)
        self.constant_ = columns.constant
        self.missing_features_ = np.flatnonzero(columns.missing & (columns.low <= columns.high))
        n_outputs = self._fit(columns)
        self.n_features_in_ = columns.n_features
        self.n_outputs_ = n_outputs + (len(self.missing_features_) if self.missing_indicator else 0)
        return self

    @final
    def module(self, dtype: torch.dtype = torch.float32) -> nn.Module:
        """Return a layer that encodes rows.

        Parameters
        ----------
        dtype : torch.dtype, default=torch.float32
            Type of the buffers, and of the rows to encode.

        Returns
        -------
        nn.Module
            From (..., n_features) to (..., n_outputs), without parameters to train. A new one
            at each call.
        """
        if not hasattr(self, "n_outputs_"):
            raise NotFittedError(f"{type(self).__name__} is not fitted: call fit(X), then module()")
        module = self._module(dtype)
        if not isinstance(module, nn.Module):
            raise TypeError(
                f"encoding={type(self).__name__} must make a torch.nn.Module, got "
                f"{describe(module)}"
            )
        if self.missing_indicator and len(self.missing_features_):
            module = WithIndicator(module, self.missing_features_)
        return module

    @abstractmethod
    def _fit(self, columns: Columns) -> int: ...

    @abstractmethod
    def _module(self, dtype: torch.dtype) -> nn.Module: ...


@dataclass(eq=False, repr=False)
class IdentityEncoding(Encoding):
    """No encoding, except that the mean replaces NaN: ``encoding=None``.

    For a sparse X, which has no NaN, only `binary` changes values.

    Parameters
    ----------
    missing_indicator : bool, default=True
        Whether each column with NaN in some of the training rows has one more output, 1 for NaN.
    clip : bool, default=False
        Whether values are limited to one more range of the column beyond the training rows: 10 in
        a column of 0 and 1 becomes 2. For ``encoding="auto"``.
    binary : bool, default=False
        Whether columns of 0 and 1 are coded for training: as ``1 - x`` where more than half of the
        training rows are 1, as 0 where all are, and, if there are only such columns, minus their
        means. Otherwise many of them together would shift all hidden units by more than training
        can make up for. Means are not subtracted where less than a quarter of the coded values are
        1 (without constant columns), as in sparse tables, which stay sparse. For
        ``encoding="auto"``.

    Attributes
    ----------
    mean_ : ndarray of shape (n_features,), or None for a sparse X
        Values that replace NaN.
    limits_ : pair of ndarray of shape (n_features,), or None
        Limits of the values.
    flipped_ : ndarray of bool, shape (n_features,)
        Columns that become ``1 - x``.
    center_ : ndarray of shape (n_features,), or None
        Means that are subtracted.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from sklearn_mlloss.networks import IdentityEncoding
    >>> module = IdentityEncoding().fit(np.array([[1.0, 5.0], [3.0, np.nan]])).module()
    >>> module(torch.tensor([[torch.nan, torch.nan]]))
    tensor([[2., 5., 1.]])
    """

    missing_indicator: bool = True
    clip: bool = checked(False, check_flag)
    binary: bool = checked(False, check_flag)

    def _fit(self, columns: Columns) -> int:
        mean = np.zeros(columns.n_features)
        if self.binary or not columns.sparse:
            mean = columns.moments[0]
        self.mean_ = None if columns.sparse else mean
        self.limits_ = reach(columns.low, columns.high) if self.clip else None
        self.flipped_, self.center_ = np.zeros(columns.n_features, dtype=bool), None
        if self.binary:
            self.flipped_ = columns.binary & (mean > 0.5 + SLACK)
            # Rounded, so that it is the same for 1 - x.
            share = np.where(self.flipped_, 1 - mean, mean).round(6)
            varying = share[~self.constant_]
            if columns.binary.all() and varying.sum() >= DENSE_SHARE * max(1, len(varying)):
                self.center_ = share
        return columns.n_features

    def _module(self, dtype: torch.dtype) -> nn.Module:
        layers: list[nn.Module] = []
        if self.mean_ is not None:
            layers.append(Filled(self.mean_, self.limits_, dtype))
        if self.flipped_.any():
            layers.append(Flipped(self.flipped_, self.constant_, dtype))
        if self.center_ is not None:
            layers.append(Centered(self.center_, dtype))
        if len(layers) > 1:
            return nn.Sequential(*layers)
        return layers[0] if layers else nn.Identity()


@dataclass(eq=False, repr=False)
class StandardEncoding(Encoding):
    """Standardise each column to mean 0 and variance 1.

    ``(x - mean) / std``, limited to one more range of the column beyond the training rows, and to
    ±1000. The columns of a sparse X are only divided by their standard deviation, so that zeros
    stay zeros.

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

    See Also
    --------
    sklearn.preprocessing.StandardScaler : The same before a network, not as a part of it.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from sklearn_mlloss.networks import StandardEncoding
    >>> module = StandardEncoding().fit(np.array([[1.0, 5.0], [3.0, 5.0]])).module()
    >>> module(torch.tensor([[4.0, 7.0]]))
    tensor([[2., 0.]])
    """

    missing_indicator: bool = True

    def _fit(self, columns: Columns) -> int:
        mean, variance = columns.moments
        self.center_ = np.where(self.constant_ | columns.sparse, 0.0, mean)
        self.factor_ = np.where(self.constant_, 0.0, inverse(np.sqrt(variance)))
        self.limits_ = reach(columns.low, columns.high)
        return columns.n_features

    def _module(self, dtype: torch.dtype) -> nn.Module:
        return Scaled(self.center_, self.factor_, self.limits_, dtype)


@dataclass(eq=False, repr=False)
class RobustEncoding(Encoding):
    r"""Scale each column robustly to median 0 and unit spread, and clip outliers smoothly.

    .. math:: z = \frac{x - \text{median}}{\text{IQR} / 1.349}, \qquad \frac{z}{\sqrt{1 + (z/3)^2}}

    in (-3, 3): a normal column has variance 1 before the clip. (The reference divides by the IQR
    itself.) If the interquartile range is 0, half the range replaces IQR / 1.349. The columns of a
    sparse X are scaled and clipped but not centred, so that zeros stay zeros.

    Parameters
    ----------
    missing_indicator : bool, default=True
        Whether each column with NaN in some of the training rows has one more output, 1 for NaN.

    Attributes
    ----------
    center_, factor_ : ndarray of shape (n_features,)
        Offset to subtract, and factor to multiply by, which is 0 for constant columns.

    References
    ----------
    D. Holzmüller, L. Grinsztajn, I. Steinwart. "Better by default: Strong pre-tuned MLPs and
    boosted trees on tabular data". NeurIPS 2024.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from sklearn_mlloss.networks import RobustEncoding
    >>> module = RobustEncoding().fit(np.arange(9.0)[:, None]).module()
    >>> module(torch.tensor([[4.0], [8.0], [1e9]]))
    tensor([[0.0000],
            [1.2303],
            [3.0000]])
    """

    missing_indicator: bool = True

    def _fit(self, columns: Columns) -> int:
        center, width = np.zeros((2, columns.n_features))
        for j, (values, counts) in enumerate(columns.distinct()):
            if not self.constant_[j]:
                first, center[j], third = quantiles(values, counts, np.array([0.25, 0.5, 0.75]))
                width[j] = (third - first) / NORMAL_IQR or (values[-1] - values[0]) / 2
        self.center_ = np.zeros_like(center) if columns.sparse else center
        self.factor_ = np.where(self.constant_, 0.0, inverse(width))
        return columns.n_features

    def _module(self, dtype: torch.dtype) -> nn.Module:
        return Scaled(self.center_, self.factor_, None, dtype)


@dataclass(eq=False, repr=False)
class QuantileEncoding(Encoding):
    r"""Quantile encoding: map each column by its ranks to a standard normal distribution.

    A value that occurs :math:`c` times and has :math:`b` of the :math:`n` training rows below it
    becomes :math:`\Phi^{-1}((b + c/2) / n)`, within ±5; between values the map is linear, and
    beyond them constant. At most `n_quantiles` values, evenly spaced in the output, are kept.
    Columns with two values are standardised instead, within ±5. The zeros of a sparse X count.

    scikit-learn's `QuantileTransformer` maps the extremes to ±5.2 for any number of rows; here they
    are as extreme as those of a normal sample of this size.

    Parameters
    ----------
    n_quantiles : int, default=32
        Knots of the piecewise-linear map, at least 2. Time and working memory are proportional.
    missing_indicator : bool, default=True
        Whether each column with NaN in some of the training rows has one more output, 1 for NaN.

    Attributes
    ----------
    knots_, heights_ : list of ndarray
        Increasing values per column and their outputs; empty for a constant column.

    See Also
    --------
    sklearn.preprocessing.QuantileTransformer : The same before a network.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from sklearn_mlloss.networks import QuantileEncoding
    >>> module = QuantileEncoding().fit(np.exp(np.arange(5.0))[:, None]).module()
    >>> module(torch.arange(5.0).exp()[:, None]).T
    tensor([[-1.2816, -0.5244,  0.0000,  0.5244,  1.2816]])
    """

    n_quantiles: int = checked(32, check_integer, low=2)
    missing_indicator: bool = True

    def _fit(self, columns: Columns) -> int:
        self.knots_, self.heights_ = [], []
        for j, (values, counts) in enumerate(columns.distinct()):
            heights = np.empty(0)
            if not self.constant_[j]:
                heights = _normal_scores(counts)
                if len(values) > self.n_quantiles:
                    even = np.linspace(heights[0], heights[-1], self.n_quantiles)
                    kept = np.unique(np.searchsorted(heights, even - SLACK))
                    values, heights = values[kept], heights[kept]
            self.knots_.append(values[: len(heights)])
            self.heights_.append(heights)
        return columns.n_features

    def _module(self, dtype: torch.dtype) -> nn.Module:
        return Quantile(self.knots_, self.heights_, dtype)


@dataclass(eq=False, repr=False)
class PiecewiseLinearEncoding(Encoding):
    r"""Piecewise-linear encoding (PLE): how far the value fills each quantile bin of its column.

    With bin edges :math:`b_0 < \dots < b_T` a value becomes :math:`T` numbers

    .. math:: e_t = \frac{x - b_{t-1}}{b_t - b_{t-1}} \text{ limited to } [0, 1]

    minus their means over the training rows, so that a linear layer on top is a piecewise-linear
    function of each column. The first and last continue beyond the training rows as in the
    reference, but by the width of one bin only: -1 and 2 are the limits there. Edges are quantiles,
    without repetitions; a column of at most ``n_bins + 1`` distinct values has these as edges, so a
    binary column gives one output: 1 for the rarer value, minus its share. A constant column gives
    none. NaN is encoded like the median. The zeros of a sparse X count.

    Parameters
    ----------
    n_bins : int, default=8
        Maximum number of bins per column. The size of the first layer is proportional to it.
    missing_indicator : bool, default=True
        Whether each column with NaN in some of the training rows has one more output, 1 for NaN.
    center : bool, default=True
        Whether means are subtracted, unlike in the reference. Otherwise all outputs together shift
        the hidden units, and training takes longer and ends with a larger loss.

    Attributes
    ----------
    edges_ : list of ndarray
        Increasing edges per column; fewer than two for a constant column.
    flipped_ : ndarray of bool, shape (n_features,)
        Columns of two values of which the lower one is the rarer, so that it becomes 1.
    means_ : list of ndarray
        The means to subtract from the outputs of each column.
    median_ : ndarray of shape (n_features,)
        Median of each column; 0 if all is missing.

    References
    ----------
    Y. Gorishniy, I. Rubachev, A. Babenko. "On embeddings for numerical features in tabular deep
    learning". NeurIPS 2022, section 3.2.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from sklearn_mlloss.networks import PiecewiseLinearEncoding
    >>> encoding = PiecewiseLinearEncoding(n_bins=3, center=False)
    >>> module = encoding.fit(np.arange(10.0)[:, None]).module()
    >>> module(torch.tensor([[4.5], [9.0], [1e9]]))
    tensor([[1.0000, 0.5000, 0.0000],
            [1.0000, 1.0000, 1.0000],
            [1.0000, 1.0000, 2.0000]])
    """

    n_bins: int = checked(8, check_integer, low=1)
    missing_indicator: bool = True
    center: bool = checked(True, check_flag)

    def _fit(self, columns: Columns) -> int:
        self.edges_, self.means_, self.median_ = [], [], np.zeros(columns.n_features)
        self.flipped_ = np.zeros(columns.n_features, dtype=bool)
        for j, (values, counts) in enumerate(columns.distinct()):
            if len(values) == 2:
                self.flipped_[j] = counts[1] > (0.5 + SLACK) * counts.sum()
            if len(values):
                self.median_[j] = quantiles(values, counts, np.array([0.5]))[0]
            edges = bin_edges(values, counts, self.n_bins, columns.X.dtype)
            self.edges_.append(edges)
            means = np.zeros(max(0, len(edges) - 1))
            if self.center and self.flipped_[j]:
                means = counts[:1] / counts.sum()
            elif self.center:
                means = _mean_fills(values, counts, edges)
            self.means_.append(means)
        return max(1, sum(map(len, self.means_)))

    def _module(self, dtype: torch.dtype) -> nn.Module:
        return PiecewiseLinear(self.edges_, self.flipped_, self.means_, self.median_, dtype)


ENCODINGS: Registry[Encoding] = Registry(
    "encoding",
    Encoding,
    {
        "piecewise_linear": PiecewiseLinearEncoding,
        "quantile": QuantileEncoding,
        "robust": RobustEncoding,
        "standard": StandardEncoding,
    },
    or_none="None, ",
)


def get_encoding(spec: Any) -> Encoding:
    """Return an encoding from a name, a class or an instance.

    Parameters
    ----------
    spec : None, str, Encoding class or Encoding
        None gives an `IdentityEncoding`, a name of `ENCODINGS` or a class an instance with default
        parameters; an encoding is returned as it is. For "auto" see `choose_encoding`.

    Returns
    -------
    Encoding

    Raises
    ------
    ValueError
        For a name that is not registered.
    TypeError
        For anything else.

    Examples
    --------
    >>> from sklearn_mlloss.networks import get_encoding
    >>> get_encoding("quantile")
    QuantileEncoding()
    """
    if spec is None:
        return IdentityEncoding()
    if is_auto(spec):
        raise ValueError(
            "encoding='auto' has no parameters: set encoding='piecewise_linear' or another name "
            f"along, one of {', '.join(ENCODINGS)}"
        )
    return ENCODINGS.resolve(spec)


def _mean_fills(values: np.ndarray, counts: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return how far sorted values with these counts fill each bin on average."""
    places = np.searchsorted(values, edges)
    fills = np.zeros(max(0, len(edges) - 1))
    for t, (start, stop) in enumerate(zip(places[:-1], places[1:], strict=True)):
        inside = (values[start:stop] - edges[t]) * inverse(edges[t + 1] - edges[t])
        fills[t] = inside @ counts[start:stop] + counts[stop:].sum()
    return fills / counts.sum()


def bin_edges(
    values: np.ndarray, counts: np.ndarray, n_bins: int, dtype: np.dtype[Any]
) -> np.ndarray:
    """Return the edges of at most `n_bins` quantile bins of sorted values with these counts."""
    # Edges of more bins than there are values would lie between these.
    if len(values) > n_bins + 1:
        # Rounded as the rows are, or an edge could lie between neighbouring numbers.
        edges = quantiles(values, counts, np.linspace(0, 1, n_bins + 1)).astype(dtype)
        values = np.unique(edges)
    return values.astype(np.float64)


def _normal_scores(counts: np.ndarray) -> np.ndarray:
    """Return the normal scores of sorted values with these counts."""
    share = counts / counts.sum()
    if len(share) == 2:
        scores = np.array([-np.sqrt(share[1] / share[0]), np.sqrt(share[0] / share[1])])
    else:
        scores = ndtri(share.cumsum() - share / 2)
    return scores.clip(-NORMAL_LIMIT, NORMAL_LIMIT)
